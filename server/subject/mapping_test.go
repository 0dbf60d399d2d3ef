package subject

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// shares draws 2,000 times and gives percentages, "drop" among them.
func shares(t *testing.T, m *Mapping, subject, cluster string) map[string]int {
	r := rand.New(rand.NewPCG(3, 4))
	got := map[string]int{}
	for range 2000 {
		dest, drop := m.Choose(subject, cluster, r)
		if drop {
			require.Empty(t, dest)
			dest = "drop"
		}
		got[dest]++
	}
	for dest := range got { //lockstep:ordered each count is scaled by itself
		got[dest] = (got[dest] + 10) / 20
	}
	return got
}

func TestMappingShares(t *testing.T) {
	for _, tc := range []struct {
		name                     string
		source, subject, cluster string
		dests                    []Dest
		want                     map[string]int
	}{
		{"one", "foo", "foo", "", []Dest{{"bar", 100, ""}}, map[string]int{"bar": 100}},
		{"rest stays", "foo.*", "foo.a", "", []Dest{{"bar.$1", 50, ""}}, map[string]int{"bar.a": 50, "foo.a": 50}},
		{"rest is lost when the source is listed", "foo", "foo", "", []Dest{{"foo", 50, ""}, {"bar", 20, ""}}, map[string]int{"foo": 50, "bar": 20, "drop": 30}},
		{"a listed source is compared as text", "foo.*", "foo.a", "", []Dest{{"foo.$1", 50, ""}}, map[string]int{"foo.a": 100}},
		{"a listed source with wildcards", "foo.>", "foo.a", "", []Dest{{"foo.>", 50, ""}}, map[string]int{"foo.a": 50, "drop": 50}},
		{"no destination", "foo", "foo", "", nil, map[string]int{"foo": 100}},
		{"weight 0", "foo", "foo", "", []Dest{{"bar", 0, ""}}, map[string]int{"foo": 100}},
		{"nothing but a source of weight 0", "foo", "foo", "", []Dest{{"foo", 0, ""}}, map[string]int{"drop": 100}},
		{"another cluster", "foo", "foo", "", []Dest{{"a", 50, "X"}}, map[string]int{"foo": 100}},
		{"the own cluster replaces", "foo", "foo", "X", []Dest{{"a", 50, "X"}, {"b", 100, ""}}, map[string]int{"a": 50, "foo": 50}},
		{"an unknown cluster", "foo", "foo", "Y", []Dest{{"a", 50, "X"}, {"b", 100, ""}}, map[string]int{"b": 100}},
		{"listed in another scope", "foo", "foo", "", []Dest{{"foo", 50, "X"}, {"bar", 50, ""}}, map[string]int{"bar": 50, "drop": 50}},
		{"listed in the general scope", "foo", "foo", "X", []Dest{{"a", 50, "X"}, {"foo", 50, ""}}, map[string]int{"a": 50, "drop": 50}},
		{"listed only for another cluster", "foo", "foo", "", []Dest{{"foo", 50, "X"}}, map[string]int{"drop": 100}},
		{"empty destination is the source", "foo", "foo", "", []Dest{{"", 100, ""}}, map[string]int{"foo": 100}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := NewMapping(tc.source, tc.dests)
			require.NoError(t, err)
			require.True(t, m.Matches([]byte(tc.subject)))
			got := shares(t, m, tc.subject, tc.cluster)
			require.Len(t, got, len(tc.want), "%v", got)
			for dest := range tc.want { //lockstep:ordered only compared
				require.InDelta(t, tc.want[dest], got[dest], 4, dest)
			}
			require.Equal(t, len(tc.dests), len(m.Dests()))
		})
	}
}

func TestMappingErrors(t *testing.T) {
	for _, tc := range []struct {
		source string
		dests  []Dest
		want   string
	}{
		{"foo..x", nil, "invalid subject"},
		{"foo", []Dest{{"a", 101, ""}}, "individual weights need to be <= 100"},
		{"foo", []Dest{{"a", 60, ""}, {"b", 60, ""}}, "total weight needs to be <= 100"},
		{"foo", []Dest{{"a", 60, "X"}, {"b", 60, "X"}}, "total weight needs to be <= 100"},
		{"foo", []Dest{{"a", 50, "X"}, {"a", 50, ""}}, `duplicate entry for "a"`},
		{"foo", []Dest{{"a.*", 10, ""}}, "invalid subject"},
		{"foo", []Dest{{"a..b", 10, ""}}, "invalid mapping destination: invalid transform"},
	} {
		_, err := NewMapping(tc.source, tc.dests)
		require.EqualError(t, err, tc.want)
	}
	_, err := NewMapping("foo", []Dest{{"a", 60, "X"}, {"b", 60, ""}})
	require.NoError(t, err, "scopes are summed apart")
}

func mustMapping(t require.TestingT, source, dest string) *Mapping {
	m, err := NewMapping(source, []Dest{{Subject: dest, Weight: 100}})
	require.NoError(t, err)
	return m
}

func TestLoneLiteralMappingPartitionsNothing(t *testing.T) {
	foo := mustMapping(t, "foo", "b.{{partition(5)}}")
	dest, drop := NewMappings(foo).Choose("foo", "", nil)
	require.False(t, drop)
	require.Equal(t, "b.1", dest)
	dest, _ = NewMappings(foo, mustMapping(t, "zz.*", "q")).Choose("foo", "", nil)
	require.Equal(t, "b.3", dest)
}

func TestMappingsReplaceTheSameSource(t *testing.T) {
	s := NewMappings(mustMapping(t, "foo", "bar"), mustMapping(t, ">", "x.>"), mustMapping(t, "foo", "baz"))
	require.Len(t, s.All(), 2)
	dest, drop := s.Choose("foo", "", nil)
	require.False(t, drop)
	require.Equal(t, "baz", dest)
	var none *Mappings
	require.Nil(t, none.Find([]byte("foo")))
	require.Empty(t, none.All())
	dest, _ = none.Choose("foo", "", nil)
	require.Equal(t, "foo", dest)
}

func TestMappingsFindTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sources := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) string { return drawPattern(t, "source") }),
			func(s string) string { return s }).Draw(t, "sources")
		var list []*Mapping
		for _, s := range sources {
			m, err := NewMapping(s, nil)
			require.NoError(t, err)
			list = append(list, m)
		}
		set := NewMappings(list...)
		for _, s := range modelUniverse() {
			want := ""
			for _, source := range sources {
				if modelMatches(s, source) {
					want = source
					break
				}
			}
			got := ""
			if m := set.Find([]byte(s)); m != nil {
				got = m.Source()
			}
			require.Equal(t, want, got, s)
		}
	})
}

func TestMappingAllocatesNothing(t *testing.T) {
	s := NewMappings(mustMapping(t, "foo", "bar"), mustMapping(t, "a.*", "b.$1"))
	subject, other, dst := []byte("a.x"), []byte("c.x"), make([]byte, 0, 32)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		out, mapped, drop := s.AppendTo(dst, subject, "C", nil)
		if string(out) != "b.x" || !mapped || drop || s.Find(other) != nil {
			t.Fail()
		}
	}))
}
