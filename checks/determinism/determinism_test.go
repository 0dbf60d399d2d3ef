package determinism

import (
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis/analysistest"
)

func TestAnalyzer(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), Analyzer,
		"forbidden", "order", "exempted", "needless", "malformed")
}

func TestJudged(t *testing.T) {
	for path, want := range map[string]bool{
		module + "/server":                              true,
		module + "/server/broker":                       true,
		module + "/server/broker [" + module + ".test]": true,
		module + "/storage":                             true,
		module + "/sim":                                 true,
		module + "/checks/models":                       true,
		module + "/cmd/lockstep":                        false,
		module + "/checks/cmd/lockstep-lint":            false,
		module + "/checks/determinism":                  false,
		module + "/checks/determinismx":                 true,
		module + "/server.test":                         false,
	} {
		assert.Equal(t, want, Judged(path), path)
	}
}

func TestExemption(t *testing.T) {
	for _, tc := range []struct {
		name, source, reason string
		ok                   bool
	}{
		{"none", "package p", "", false},
		{"with reason", "//lockstep:exempt real sockets\n\npackage p", "real sockets", true},
		{"joined to the doc comment", "//lockstep:exempt real sockets\n\n// Package p.\npackage p", "real sockets", true},
		{"without reason", "//lockstep:exempt\npackage p", "", true},
		{"below the package clause", "package p\n//lockstep:exempt real sockets\n", "", false},
		{"another marker", "//lockstep:ordered sums\npackage p", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), "p.go", tc.source, parser.ParseComments)
			require.NoError(t, err)
			reason, ok := Exemption(file)
			assert.Equal(t, tc.ok, ok)
			assert.Equal(t, tc.reason, reason)
		})
	}
}

func TestForbiddenImport(t *testing.T) {
	for path, want := range map[string]bool{
		"os": true, "os/exec": true, "os/signal": true, "os/user": true, "syscall": true,
		"net": true, "net/http": true, "net/http/pprof": true, "net/rpc": true,
		"golang.org/x/sys/unix": true, "golang.org/x/sync/errgroup": true,
		"crypto/rand": true, "hash/maphash": true, "weak": true, "unique": true,
		"net/netip": false, "net/url": false, "net/textproto": false,
		"crypto/tls": false, "crypto/x509": false, "math/rand/v2": false, "osx": false,
		module + "/storage": false,
	} {
		why, bad := forbiddenImport(path)
		assert.Equal(t, want, bad, path)
		assert.Equal(t, want, why != "", path)
	}
}

func TestPrintsPointer(t *testing.T) {
	for format, want := range map[string]bool{
		"":         false,
		"%d %s":    false,
		"%p":       true,
		"at %#p.":  true,
		"%-12.3p":  true,
		"%[2]p":    true,
		"%%p":      false,
		"%d%%%p":   true,
		"50% per":  true, // vet reports such a format anyway
		"ends in%": false,
	} {
		assert.Equal(t, want, printsPointer(format), format)
	}
}
