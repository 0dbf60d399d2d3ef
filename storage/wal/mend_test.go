package wal

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestTermsAgainstModel appends, repairs and truncates; the term of each entry is what it was told to be.
func TestTermsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &Group{keep: keepNothing}
		var model []uint64 // of the entries from 1 on
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				term := rapid.Uint64Range(0, 3).Draw(t, "term")
				g.last++
				g.noteTerm(g.last, term)
				model = append(model, term)
			},
			"set": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("no entry")
				}
				at := rapid.IntRange(0, len(model)-1).Draw(t, "at")
				term := rapid.Uint64Range(0, 3).Draw(t, "term")
				g.setTerm(uint64(at+1), term)
				model[at] = term
			},
			"": func(t *rapid.T) {
				for i, term := range model {
					require.Equal(t, term, g.Term(uint64(i+1)), "entry %d of %v: %v", i+1, model, g.terms)
				}
				if n := len(model); n > 0 {
					require.Equal(t, model[n-1], g.LastTerm())
				}
				require.LessOrEqual(t, len(g.terms), len(model))
			},
		})
	})
}

// TestMarksAreApart: a run of many chunks remembers few places, and finds the one before each entry.
func TestMarksAreApart(t *testing.T) {
	st := newState(ID{1, 1})
	seg := &segment{number: 1}
	const chunk = 10 << 10
	for i := range uint64(1000) {
		at := int64(i) * chunk
		st.note(&chunkHeader{kind: kindEntries, index: 1 + i, to: 1, count: 1, length: chunk}, seg, at, at+batchHeaderLen)
	}
	require.Len(t, st.runs, 1)
	r := &st.runs[0]
	require.LessOrEqual(t, len(r.marks), 1000*chunk/markBytes+1)
	for i := range uint64(1000) {
		at := int64(i) * chunk
		require.LessOrEqual(t, r.batchOf(1+i), at)
		require.Greater(t, r.batchOf(1+i)+markBytes+chunk, at)
	}
}
