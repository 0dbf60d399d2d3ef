package edges

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"

	"github.com/lockstepmq/lockstep/checks/determinism"
)

// TestModule holds the table over the whole project.
func TestModule(t *testing.T) {
	_, err := determinism.Watch("../..")
	require.NoError(t, err)
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports | packages.NeedFiles,
		Dir:  "../..",
	}, "./...")
	require.NoError(t, err)
	require.NotEmpty(t, pkgs)
	for _, p := range pkgs {
		var imports []string
		for path := range p.Imports {
			imports = append(imports, path)
		}
		for _, err := range Check(p.PkgPath, imports) {
			t.Error(err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, pkg, imp string
		ok             bool
	}{
		{"another module", "clock", "golang.org/x/sys/unix", true},
		{"clock imports nothing", "clock", Module + "/netsim", false},
		{"disk on strands", "storage", Module + "/clock", true},
		{"doors do not know each other", "storage", Module + "/netsim", false},
		{"codec imports nothing", "server/wire", Module + "/server/subject", false},
		{"permission on subject", "server/perm", Module + "/server/subject", true},
		{"account does not know auth", "server/account", Module + "/server/auth", false},
		{"configuration does not know the broker", "server/config", Module + "/server/broker", false},
		{"broker on auth", "server/broker", Module + "/server/auth", true},
		{"monitor on broker", "server/monitor", Module + "/server/broker", true},
		{"broker does not know monitor", "server/broker", Module + "/server/monitor", false},
		{"assembly on all under it", "server", Module + "/server/monitor", true},
		{"server never imports sim", "server", Module + "/sim", false},
		{"server never imports checks", "server/broker", Module + "/checks/models", false},
		{"test helpers on the server", "server/test", Module + "/server", true},
		{"world on judges", "sim", Module + "/checks/models", true},
		{"judges do not know the world", "checks/models", Module + "/sim", false},
		{"programs on the world", "cmd/lockstep-sim", Module + "/sim", true},
		{"a parent's row serves", "checks/cmd/lockstep-lint", Module + "/checks/determinism", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			errs := Check(Module+"/"+tc.pkg, []string{tc.imp})
			assert.Equal(t, tc.ok, len(errs) == 0, "%v", errs)
		})
	}
}

func TestUnknownPackageSaysWhereToAddIt(t *testing.T) {
	for _, pkg := range []string{"server/novelty", "novelty", "clock/novelty", "serverx"} {
		errs := Check(Module+"/"+pkg, nil)
		require.Len(t, errs, 1, pkg)
		assert.ErrorContains(t, errs[0], "checks/edges/edges.go")
	}
}

func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range Layers {
		assert.False(t, seen[l.Package], "%s has two rows", l.Package)
		assert.NotEmpty(t, l.Why, l.Package)
		seen[l.Package] = true
	}
}
