package mutants

import (
	"go/parser"
	"go/token"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
)

func TestEveryPatchApplies(t *testing.T) {
	for i := range All {
		m := &All[i]
		t.Run(m.Name, func(t *testing.T) {
			path, text, err := m.Apply("../..")
			require.NoError(t, err)
			_, err = parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
			require.NoError(t, err, "the patched file is Go")
		})
	}
}

func TestMutantsAreToldApart(t *testing.T) {
	require.GreaterOrEqual(t, len(All), 12)
	known := map[string]bool{}
	for _, i := range slices.Concat(core.Invariants(), js.Invariants(), raftInvariants()) {
		known[i.Name] = true
	}
	names := map[string]bool{}
	for _, m := range All {
		require.False(t, names[m.Name], "two mutants are called %s", m.Name)
		names[m.Name] = true
		require.True(t, known[m.Invariant], "mutant %s names %s, which is no invariant", m.Name, m.Invariant)
	}
}

func TestPatchThatNoLongerAppliesSaysSo(t *testing.T) {
	gone := Mutant{Name: "gone", File: "server/broker/route.go", Edits: []Edit{{"no such text", ""}}}
	_, _, err := gone.Apply("../..")
	require.EqualError(t, err, `mutant gone no longer applies: server/broker/route.go has "no such text" 0 times, once is needed`)
	missing := Mutant{Name: "missing", File: "server/none.go"}
	_, _, err = missing.Apply("../..")
	require.ErrorContains(t, err, "mutant missing no longer applies")
}
