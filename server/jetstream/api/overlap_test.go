package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestPatternSetAgainstModel compares with a look at everything.
func TestPatternSetAgainstModel(t *testing.T) {
	token := rapid.SampledFrom([]string{"a", "b", "*", ">", ""})
	pattern := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(token, 1, 3).Draw(t, "tokens"), ".")
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(pattern, 0, 12).Draw(t, "list")
		s := pattern.Draw(t, "s")
		from, except := rapid.IntRange(0, 3).Draw(t, "from"), rapid.IntRange(-1, 3).Draw(t, "except")
		related := overlap
		if rapid.Bool().Draw(t, "subset") {
			related = subsetOf
		}
		want := -1
		for i, other := range list {
			if i >= from && i != except && related(s, other) {
				want = i
				break
			}
		}
		got, ok := newPatternSet(list).find(s, from, except, related)
		if !ok || got != want {
			t.Fatalf("%q in %q from %d but %d: %d, want %d", s, list, from, except, got, want)
		}
	})
}

// TestLongListsAreJudgedInTime: the work is counted, not the time.
func TestLongListsAreJudgedInTime(t *testing.T) {
	const n = 50_000
	plain, tenants, crossing := make([]string, n), make([]string, n), make([]string, n)
	for i := range n {
		plain[i] = fmt.Sprintf("orders.%d", i)
		tenants[i] = fmt.Sprintf("tenant%d.>", i)
		crossing[i] = fmt.Sprintf("*.%d", i)
	}
	for name, list := range map[string][]string{"plain": plain, "tenants": tenants} {
		_, err := CheckStreamConfig(&StreamConfig{Name: "S", Subjects: list}, StreamLimits{}, false)
		require.Nil(t, err, name)
		_, err = CheckConsumerConfig(&ConsumerConfig{FilterSubjects: list}, &StreamConfig{Replicas: 1}, ConsumerServerLimits{}, false)
		require.Nil(t, err, name)
		require.False(t, SubjectsOverlap(list, []string{"other"}))
	}
	require.False(t, SubjectsOverlap(plain, tenants))
	_, err := CheckStreamConfig(&StreamConfig{Name: "S", Subjects: crossing, NoAck: true}, StreamLimits{}, false)
	require.Equal(t, "too many subjects with wildcards", err.Description)
	_, err = CheckConsumerConfig(&ConsumerConfig{FilterSubjects: crossing}, &StreamConfig{Replicas: 1}, ConsumerServerLimits{}, false)
	require.Equal(t, "too many filters with wildcards", err.Description)
	require.True(t, SubjectsOverlap(crossing, tenants))

	last := append(plain[:n-1:n-1], plain[n-2])
	_, err = CheckStreamConfig(&StreamConfig{Name: "S", Subjects: last}, StreamLimits{}, false)
	require.Equal(t, fmt.Sprintf("subject %q overlaps with %q", plain[n-2], plain[n-2]), err.Description)
}
