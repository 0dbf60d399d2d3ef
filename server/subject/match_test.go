package subject

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestValid(t *testing.T) {
	for _, tc := range []struct {
		s                string
		subscribe, plain bool
	}{
		{"foo", true, true},
		{"foo.bar", true, true},
		{"", false, false},
		{".", false, false},
		{".a", false, false},
		{"a.", false, false},
		{"a..b", false, false},
		{"*", true, false},
		{">", true, false},
		{"a.*.>", true, false},
		{"a.>.b", false, false},
		{">.>", false, false},
		{"foo*", true, true},
		{">x", true, true},
		{"a.>x.b", true, true},
		{"a.*x", true, true},
		{"f\x00o.\xff", true, true},
		{"a\fb", true, true},
	} {
		t.Run(fmt.Sprintf("%q", tc.s), func(t *testing.T) {
			require.Equal(t, tc.subscribe, Valid(tc.s))
			require.Equal(t, tc.subscribe, Valid([]byte(tc.s)))
			require.Equal(t, tc.plain, ValidLiteral(tc.s))
			require.Equal(t, tc.plain, ValidPublish([]byte(tc.s)))
		})
	}
	require.True(t, HasBlank("a b") && HasBlank("a\tb") && HasBlank("\n") && HasBlank("\f\r"))
	require.False(t, HasBlank("a\vb"))
}

func TestTokens(t *testing.T) {
	require.Equal(t, 0, Tokens(""))
	require.Equal(t, 1, Tokens("a"))
	require.Equal(t, 3, Tokens([]byte("a..b")))
	token, ok := Token("a.b.c", 2)
	require.True(t, ok)
	require.Equal(t, "c", token)
	_, ok = Token("a.b.c", 3)
	require.False(t, ok)
	_, ok = Token("", 0)
	require.False(t, ok)
	var seen []string
	Each("a..b", func(n int, token string) bool {
		seen = append(seen, fmt.Sprintf("%d %s", n, token))
		return n < 1
	})
	require.Equal(t, []string{"0 a", "1 "}, seen)
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		literal, pattern string
		want             bool
	}{
		{"foo", "foo", true},
		{"foo.bar", "foo.*", true},
		{"foo", "foo.*", false},
		{"foo", "foo.>", false},
		{"foo.a.b", "foo.>", true},
		{"foo.a.b", ">", true},
		{"foo..b", "foo.>", false},
		{"foo.", "foo.*", false},
		{"foo.*", "foo.*", true},
		{"foo.>", "foo.*", true},
		{"foo.>", "foo.>", true},
		{"foo.>", "foo.bar", false},
		{"foobar", "foo*", false},
		{"foo*", "foo*", true},
		{"", ">", false},
	} {
		require.Equal(t, tc.want, Matches(tc.literal, tc.pattern), "%q %q", tc.literal, tc.pattern)
		require.Equal(t, tc.want, Matches([]byte(tc.literal), tc.pattern), "%q %q", tc.literal, tc.pattern)
	}
}

func TestMatchesAsText(t *testing.T) {
	require.True(t, MatchesAsText("foo.*", "foo.*"))
	require.True(t, MatchesAsText("foo.*", "foo.>"))
	require.False(t, MatchesAsText("*.b.c", "a.*.c"))
	require.True(t, MatchesAsText("foo.>", "foo.*"), "the quirk")
	require.False(t, SubsetOf("foo.>", "foo.*"))
}

func TestIntersection(t *testing.T) {
	for _, tc := range []struct{ a, b, want string }{
		{"foo.*", "*.bar", "foo.bar"},
		{"foo.>", "*.bar.*", "foo.bar.*"},
		{">", "a.*", "a.*"},
		{"a.>", "a.>", "a.>"},
		{"a.*.>", "a.>", "a.*.>"},
		{"a", "b", ""},
		{"a.>", "a", ""},
	} {
		got, ok := Intersection(tc.a, tc.b)
		require.Equal(t, tc.want, got)
		require.Equal(t, tc.want != "", ok)
		back, _ := Intersection(tc.b, tc.a)
		require.Equal(t, got, back)
	}
}

func TestMatchingAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawAny(t, "a"), drawAny(t, "b")
		require.Equal(t, modelValid(a), Valid(a))
		require.Equal(t, modelLiteral(a), ValidLiteral([]byte(a)))
		require.Equal(t, modelMatches(a, b), Matches(a, b))
		if Valid(a) {
			require.Equal(t, !modelLiteral(a), HasWildcard(a))
		}
	})
}

// Relations between patterns are what their sets of subjects say.
func TestRelationsAgainstModel(t *testing.T) {
	universe := modelUniverse()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPattern(t, "a"), drawPattern(t, "b")
		both, ok := Intersection(a, b)
		subset, overlap := true, false
		for _, s := range universe {
			inA, inB := modelMatches(s, a), modelMatches(s, b)
			subset = subset && (!inA || inB)
			overlap = overlap || inA && inB
			require.Equal(t, inA && inB, ok && modelMatches(s, both), "%q in %q", s, both)
		}
		require.Equal(t, subset, SubsetOf(a, b), "%q subset of %q", a, b)
		require.Equal(t, overlap, Overlaps([]byte(a), b), "%q overlaps %q", a, b)
		require.Equal(t, overlap, ok)
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("foo.bar", "foo.*")
	f.Add("a..b", ">")
	f.Add(">.*", "*.>")
	f.Fuzz(func(t *testing.T, a, b string) {
		require.Equal(t, modelValid(a), Valid(a))
		require.Equal(t, modelLiteral(a), ValidLiteral(a))
		require.Equal(t, modelMatches(a, b), Matches(a, b))
		if Valid(a) && Valid(b) {
			require.Equal(t, Overlaps(a, b), Overlaps(b, a))
			require.True(t, SubsetOf(a, a))
			require.True(t, !SubsetOf(a, b) || Overlaps(a, b))
			if both, ok := Intersection(a, b); ok {
				require.True(t, SubsetOf(both, a) && SubsetOf(both, b), both)
			}
		}
	})
}

func TestMatchingAllocatesNothing(t *testing.T) {
	literal, pattern := []byte("orders.eu.1234.paid"), "orders.*.*.>"
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !Matches(literal, pattern) || !Valid(literal) || !SubsetOf(literal, pattern) || !Overlaps(literal, pattern) {
			t.Fail()
		}
		Each(literal, func(n int, token []byte) bool { return len(token) > 0 })
	}))
}
