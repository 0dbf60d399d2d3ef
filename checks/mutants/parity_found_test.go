package mutants

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOneIsFound goes the whole way with one mutant: patched, built, run, and caught by
// the invariant that it names. `make mutants` does the same with all.
func TestOneIsFound(t *testing.T) {
	cmd := exec.Command("go", "run", "./checks/mutants/run", "-only", "echo-anyway", "-jobs", "1")
	cmd.Dir = "../.."
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	require.Regexp(t, `echo-anyway: found after \d+ seeds`, string(text))
	require.Contains(t, string(text), "1 mutants, 0 not found as they should be")
}
