package determinism

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// TestModule holds the rules over the whole project.
func TestModule(t *testing.T) {
	files, err := Watch("../..")
	require.NoError(t, err)
	require.Greater(t, files, 10)
	all, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Dir: "../.."}, "./...")
	require.NoError(t, err)

	var judged []*packages.Package
	for _, p := range all {
		for _, e := range p.Errors {
			t.Errorf("%s does not compile: %v", p.PkgPath, e)
		}
		if Judged(p.PkgPath) && !p.IllTyped {
			judged = append(judged, p)
		}
	}
	require.NotEmpty(t, judged, "a lint that sees nothing finds nothing")

	graph, err := checker.Analyze([]*analysis.Analyzer{Analyzer}, judged, nil)
	require.NoError(t, err)
	for act := range graph.All() {
		require.NoError(t, act.Err, act.String())
		for _, d := range act.Diagnostics {
			t.Errorf("%s: %s", act.Package.Fset.Position(d.Pos), d.Message)
		}
	}
}
