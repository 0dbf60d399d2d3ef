package subject

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// modelIndex is a list of subscriptions in the order of their insertion.
type modelIndex []modelSub

type modelSub struct {
	subject, queue string
	weight         int32
	value          int
}

func (m modelIndex) find(subject, queue string, value int) int {
	return slices.IndexFunc(m, func(s modelSub) bool {
		return s.subject == subject && s.queue == queue && s.value == value
	})
}

var remembrance = map[[2]string]bool{}

// remembered is modelMatches, once for each pair: tests of the index are serial.
func remembered(literal, pattern string) bool {
	key := [2]string{literal, pattern}
	match, known := remembrance[key]
	if !known {
		match = modelMatches(literal, pattern)
		remembrance[key] = match
	}
	return match
}

// rank orders subjects and patterns that match the same subject as the index does.
func rank(pattern string) string {
	if modelLiteral(pattern) {
		return ""
	}
	if i := strings.LastIndexByte(pattern, '.'); i > 0 && modelLiteral(pattern[:i]) {
		return map[byte]string{'*': "1", '>': "2" + string(rune('0'+i))}[pattern[i+1]]
	}
	out := "3"
	for _, token := range strings.Split(pattern, ".") {
		switch token {
		case ">":
			out += "1"
		case "*":
			out += "2"
		default:
			out += "3"
		}
	}
	return out
}

func (m modelIndex) match(subject string) (plain []int, groups []Group[int]) {
	var hits modelIndex
	for _, s := range m {
		if remembered(subject, s.subject) {
			hits = append(hits, s)
		}
	}
	slices.SortStableFunc(hits, func(a, b modelSub) int {
		if c := strings.Compare(rank(a.subject), rank(b.subject)); c != 0 {
			return c
		}
		return strings.Compare(a.queue, b.queue)
	})
	return hits.grouped()
}

func (m modelIndex) reverse(pattern string) (plain []int, groups []Group[int]) {
	universe := modelUniverse()
	var hits modelIndex
	for _, s := range m {
		if slices.ContainsFunc(universe, func(u string) bool { return remembered(u, pattern) && remembered(u, s.subject) }) {
			hits = append(hits, s)
		}
	}
	hits.sort()
	return hits.grouped()
}

func (m modelIndex) sort() {
	slices.SortStableFunc(m, func(a, b modelSub) int {
		if c := strings.Compare(a.subject, b.subject); c != 0 {
			return c
		}
		return strings.Compare(a.queue, b.queue)
	})
}

func (m modelIndex) grouped() (plain []int, groups []Group[int]) {
	for _, s := range m {
		if s.queue == "" {
			plain = append(plain, s.value)
			continue
		}
		i := slices.IndexFunc(groups, func(g Group[int]) bool { return g.Name == s.queue })
		if i < 0 {
			i = len(groups)
			groups = append(groups, Group[int]{Name: s.queue})
		}
		groups[i].Members = append(groups[i].Members, Member[int]{s.value, s.weight})
	}
	return plain, groups
}

func requireResult(t require.TestingT, plain []int, groups []Group[int], r *Result[int], about string) {
	require.True(t, slices.Equal(plain, r.Plain), "%s: want %v got %v", about, plain, r.Plain)
	require.Equal(t, len(groups), len(r.Groups), about)
	for i := range groups {
		require.Equal(t, groups[i].Name, r.Groups[i].Name, about)
		require.Equal(t, groups[i].Members, r.Groups[i].Members, about)
	}
}

func TestIndexAgainstModel(t *testing.T) {
	universe := modelUniverse()[:39] // up to three tokens
	universe = append(universe, "a.*", "a.>", "*", ">", "a..b", "", "a.", "a.b.a.b")
	everything := make([]int, len(universe))
	for i := range everything {
		everything[i] = i
	}
	rapid.Check(t, func(t *rapid.T) {
		x := NewIndexSeeded[int](rapid.Uint64Range(0, 3).Draw(t, "seed"))
		var m modelIndex
		var r Result[int]
		cache := make([]Result[int], len(universe))
		subject := func(t *rapid.T) string {
			if rapid.Bool().Draw(t, "literal") {
				return rapid.SampledFrom(universe[:39]).Draw(t, "subject")
			}
			return drawPattern(t, "subject")
		}
		queue := func(t *rapid.T) string { return rapid.SampledFrom([]string{"", "", "q", "p"}).Draw(t, "queue") }
		value := func(t *rapid.T) int { return rapid.IntRange(1, 4).Draw(t, "value") }
		insert := func(s modelSub) {
			require.NoError(t, x.Insert(s.subject, s.queue, s.weight, s.value))
			if i := m.find(s.subject, s.queue, s.value); i >= 0 {
				m[i].weight = s.weight
			} else {
				m = append(m, s)
			}
		}
		remove := func(s modelSub) {
			i := m.find(s.subject, s.queue, s.value)
			require.Equal(t, i >= 0, x.Remove(s.subject, s.queue, s.value))
			if i >= 0 {
				m = slices.Delete(m, i, i+1)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				insert(modelSub{subject(t), queue(t), int32(rapid.IntRange(1, 3).Draw(t, "weight")), value(t)})
			},
			"insert many": func(t *rapid.T) {
				s, q, n := subject(t), queue(t), rapid.IntRange(40, 150).Draw(t, "n")
				for i := range n {
					insert(modelSub{s, q, 1, 10 + i})
				}
			},
			"remove": func(t *rapid.T) { remove(modelSub{subject(t), queue(t), 0, value(t)}) },
			"remove many": func(t *rapid.T) {
				keep := rapid.IntRange(0, 3).Draw(t, "keep")
				for _, s := range slices.Clone(m) {
					if s.value%4 != keep {
						remove(s)
					}
				}
			},
			"weigh": func(t *rapid.T) {
				s, q, v, w := subject(t), queue(t), value(t), int32(rapid.IntRange(1, 3).Draw(t, "weight"))
				i := m.find(s, q, v)
				require.Equal(t, i >= 0 && q != "", x.UpdateWeight(s, q, v, w))
				if i >= 0 && q != "" {
					m[i].weight = w
				}
			},
			"reverse": func(t *rapid.T) {
				p := subject(t)
				x.ReverseMatch([]byte(p), &r)
				plain, groups := m.reverse(p)
				requireResult(t, plain, groups, &r, p)
			},
			"walk": func(t *rapid.T) {
				want := slices.Clone(m)
				want.sort()
				x.Walk(func(subject, queue string, v int) bool {
					require.NotEmpty(t, want)
					require.Equal(t, []any{want[0].subject, want[0].queue, want[0].value}, []any{subject, queue, v})
					want = want[1:]
					return true
				})
				require.Empty(t, want)
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(m), x.Len())
				for _, i := range rapid.Permutation(everything).Draw(t, "subjects")[:8] {
					s := universe[i]
					plain, groups := m.match(s)
					if c := &cache[i]; x.Fresh(c) {
						requireResult(t, plain, groups, c, "cached "+s)
					} else {
						x.Match([]byte(s), c)
						require.True(t, x.Fresh(c))
						requireResult(t, plain, groups, c, s)
					}
					require.Equal(t, len(plain)+len(groups) > 0, x.HasInterest([]byte(s)), s)
				}
			},
		})
	})
}

// Many subjects, so that tables, shards and counters grow and shrink.
func TestIndexGrowsAndShrinks(t *testing.T) {
	const n = 6001 // not a multiple of 7
	x := NewIndex[int]()
	var r, early, earlyPattern Result[int]
	x.Match([]byte("s.1"), &early)
	x.Match([]byte("w.1.x"), &earlyPattern)
	name := func(i int) (string, string) {
		return fmt.Sprintf("s.%d", i), fmt.Sprintf([]string{"w%d.%d.*", "w%d.%d.>", "w%d.*.%d"}[i/3%3], i%3, i)
	}
	for i := range n {
		literal, pattern := name(i)
		require.NoError(t, x.Insert(literal, "", 1, i))
		require.NoError(t, x.Insert(pattern, "q", 1, i))
	}
	require.False(t, x.Fresh(&early))
	require.False(t, x.Fresh(&earlyPattern))
	require.Len(t, *x.literals.shards.Load(), 256)
	require.Len(t, *x.patternG.counters.Load(), patternCountersMany)
	for i := range n {
		literal, pattern := name(i)
		x.Match([]byte(literal), &r)
		require.Equal(t, []int{i}, r.Plain)
		x.Match([]byte(strings.NewReplacer("*", "y", ">", "y").Replace(pattern)), &r)
		require.Equal(t, []Group[int]{{"q", []Member[int]{{i, 1}}}}, r.Groups)
	}
	for i := range n {
		literal, pattern := name((i * 7) % n)
		require.True(t, x.Remove(literal, "", (i*7)%n), literal)
		require.True(t, x.Remove(pattern, "q", (i*7)%n), pattern)
		require.False(t, x.HasInterest([]byte(literal)))
	}
	require.Zero(t, x.Len())
	require.Nil(t, x.root.Load())
	require.Len(t, *x.keyedG.counters.Load(), keyedCounters)
	require.Len(t, *x.patternG.counters.Load(), patternCounters)
	for _, s := range []*hashed[int]{&x.literals, &x.stars, &x.rests} {
		require.Len(t, *s.shards.Load(), 1)
		require.Nil(t, (*s.shards.Load())[0].tab.Load())
		require.Zero(t, s.leaves.Load())
	}
	require.Zero(t, x.deep.Load())
	require.Zero(t, x.depths[2].Load())
	s := x.Stats()
	require.Equal(t, []uint64{0, 2 * n, 2 * n}, []uint64{s.Subscriptions, s.Inserts, s.Removes})
}

func TestInvalidSubjectsAreRefused(t *testing.T) {
	x := NewIndex[int]()
	for _, s := range []string{"", "a..b", ".a", "a.", "a.>.b"} {
		require.ErrorIs(t, x.Insert(s, "", 1, 1), ErrInvalidSubject)
		require.False(t, x.Remove(s, "", 1))
		require.False(t, x.UpdateWeight(s, "q", 1, 1))
		var r Result[int]
		x.ReverseMatch([]byte(s), &r)
		require.True(t, r.Empty())
	}
	require.Zero(t, x.Len())
}

// What a change does not concern stays fresh, but for what shares its counter.
func TestChangesConcernFewResults(t *testing.T) {
	x := NewIndex[int]()
	const n = 5000
	cached := make([]Result[int], n)
	for i := range n {
		require.NoError(t, x.Insert(fmt.Sprintf("s%d.x", i), "", 1, i))
	}
	require.NoError(t, x.Insert("p.*", "", 1, 0))
	refresh := func() {
		for i := range n {
			x.Match(fmt.Appendf(nil, "s%d.x", i), &cached[i])
		}
	}
	stale := func() (count int) {
		for i := range n {
			if !x.Fresh(&cached[i]) {
				count++
			}
		}
		return count
	}
	refresh()
	require.NoError(t, x.Insert("inbox.1", "", 1, 1))
	require.Less(t, stale(), n/200, "a literal")
	refresh()
	require.NoError(t, x.Insert("inbox.*", "", 1, 1))
	require.Less(t, stale(), n/200, "an inbox")
	refresh()
	require.NoError(t, x.Insert("inbox.>", "", 1, 1))
	require.Less(t, stale(), n*2/3, "a pattern, while there are few")
	for i := range 100 {
		require.NoError(t, x.Insert(fmt.Sprintf("p%d.>", i), "", 1, 1))
	}
	refresh()
	require.True(t, x.Remove("inbox.>", "", 1))
	require.Less(t, stale(), n/50, "a pattern")
	refresh()
	require.NoError(t, x.Insert("p.*", "", 7, 0))
	require.Zero(t, stale(), "nothing new")
	require.NoError(t, x.Insert("*.y", "", 1, 1))
	require.Equal(t, n, stale(), "a leading wildcard")
}

func TestManyGroupsOnOneSubject(t *testing.T) {
	x := NewIndex[int]()
	for i := range 300 {
		require.NoError(t, x.Insert("foo", fmt.Sprintf("q%03d", i), 1, i))
		require.NoError(t, x.Insert("*", fmt.Sprintf("q%03d", i), 2, -i-1))
	}
	var r Result[int]
	for range 2 {
		x.Match([]byte("foo"), &r)
		require.Len(t, r.Groups, 300)
		for i, g := range r.Groups {
			require.Equal(t, fmt.Sprintf("q%03d", i), g.Name)
			require.Equal(t, []Member[int]{{i, 1}, {-i - 1, 2}}, g.Members)
		}
	}
	require.Equal(t, 600, r.Fanout())
	r.Reset()
	require.True(t, r.Empty())
}

func TestLongSubjectsCostNoMoreThanTheirLength(t *testing.T) {
	x := NewIndex[int]()
	long := strings.Repeat("a.", 30000) + "a"
	stars := strings.Repeat("*.", 30000) + "*"
	for _, s := range []string{long, stars, long + ".>"} {
		require.NoError(t, x.Insert(s, "", 1, len(s)))
	}
	var r Result[int]
	x.Match([]byte(long), &r)
	require.Equal(t, []int{len(long), len(stars)}, r.Plain)
	x.ReverseMatch([]byte(stars), &r)
	require.Len(t, r.Plain, 2)
	for _, s := range []string{long, stars, long + ".>"} {
		require.True(t, x.Remove(s, "", len(s)))
	}
	require.Nil(t, x.root.Load())
}

func TestStats(t *testing.T) {
	x := NewIndex[int]()
	require.NoError(t, x.Insert("foo", "", 1, 1))
	require.NoError(t, x.Insert("foo", "q", 1, 2))
	require.NoError(t, x.Insert("bar", "", 1, 3))
	var r Result[int]
	x.Match([]byte("foo"), &r)
	x.Match([]byte("none"), &r)
	x.CountHits(2)
	x.CountCached(3)
	x.CountCached(-1)
	s := x.Stats()
	require.Equal(t, Stats{Subscriptions: 3, Cached: 2, Inserts: 3, Matches: 4, Hits: 2, FanoutMax: 2, FanoutSum: 2}, s)
	require.InDelta(t, 0.5, s.HitRate(), 0)
	require.InDelta(t, 1.0, s.FanoutAvg(), 0)
	s = s.Add(Stats{Subscriptions: 1, FanoutMax: 9, FanoutSum: 9, Matches: 1})
	require.Equal(t, Stats{Subscriptions: 4, Cached: 2, Inserts: 3, Matches: 5, Hits: 2, FanoutMax: 9, FanoutSum: 11}, s)
	require.Zero(t, Stats{}.HitRate()+Stats{}.FanoutAvg())
}

// Readers beside writers: what stays is always found, and a result held for fresh
// while its subject is certainly at rest is right. Every writer toggles one kind of
// subscription, and grows and empties the index around it.
func TestReadersBesideWriters(t *testing.T) {
	const writers, rounds, crowd = 4, 30, 100
	x := NewIndex[int]()
	require.NoError(t, x.Insert("stay.a", "", 1, -1))
	require.NoError(t, x.Insert("stay.*", "", 1, -2))
	var begun, ended [writers]atomic.Int64 // changes to "toggle.<w>": odd ones insert
	var wg, readers sync.WaitGroup
	var done atomic.Bool
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			toggled := fmt.Sprintf([]string{"t%d.x.y", "t%d.x.*", "t%d.>", "t%d.*.y"}[w], w)
			for round := range rounds {
				begun[w].Add(1)
				_ = x.Insert(toggled, "", 1, w)
				ended[w].Add(1)
				for i := range crowd {
					_ = x.Insert(fmt.Sprintf("c.%d.%d", w, i), "", 1, w)
					_ = x.Insert(fmt.Sprintf([]string{"c%d.%d.*", "c%d.*.%d"}[i%2], i, w), "q", 1, w)
					_ = x.Insert("c.same", "", 1, w*crowd+i)
				}
				begun[w].Add(1)
				x.Remove(toggled, "", w)
				ended[w].Add(1)
				for i := range crowd {
					x.Remove(fmt.Sprintf("c.%d.%d", w, (i+round)%crowd), "", w)
					x.Remove(fmt.Sprintf([]string{"c%d.%d.*", "c%d.*.%d"}[i%2], i, w), "q", w)
					x.Remove("c.same", "", w*crowd+i)
				}
			}
		}()
	}
	wrong := make([]string, 2)
	for reader := range wrong {
		readers.Add(1)
		go func() {
			defer readers.Done()
			var cache [writers]Result[int]
			var r Result[int]
			for !done.Load() && wrong[reader] == "" {
				x.Match([]byte("stay.a"), &r)
				if !slices.Equal(r.Plain, []int{-1, -2}) {
					wrong[reader] = fmt.Sprint("stay.a matched ", r.Plain)
				}
				for w := range writers {
					before := ended[w].Load()
					fresh := x.Fresh(&cache[w])
					if fresh && begun[w].Load() == before && len(cache[w].Plain) != int(before%2) {
						wrong[reader] = fmt.Sprint("held for fresh after change ", before, ": ", cache[w].Plain)
					}
					if !fresh {
						x.Match(fmt.Appendf(nil, "t%d.x.y", w), &cache[w])
					}
				}
				x.ReverseMatch([]byte("c.>"), &r)
				x.Walk(func(subject, queue string, v int) bool { return v < 0 })
			}
		}()
	}
	wg.Wait()
	done.Store(true)
	readers.Wait()
	require.Equal(t, make([]string, 2), wrong)
	require.Equal(t, 2, x.Len())
	require.True(t, x.Remove("stay.*", "", -2))
	require.True(t, x.Remove("stay.a", "", -1))
	require.Nil(t, x.root.Load())
}

func TestMatchAllocatesNothing(t *testing.T) {
	x := NewIndex[int]()
	for i, s := range []string{"a.b.c", "a.*.c", "a.>", ">", "*.*.*"} {
		require.NoError(t, x.Insert(s, "", 1, i))
		require.NoError(t, x.Insert(s, "q", 1, i))
		require.NoError(t, x.Insert(s, fmt.Sprint("q", i), 1, i))
	}
	for i := range 20 {
		require.NoError(t, x.Insert("many", fmt.Sprint("q", i), 1, i))
	}
	var r, many Result[int]
	subject := []byte("a.b.c")
	x.Match(subject, &r)
	x.Match([]byte("many"), &many)
	require.Zero(t, testing.AllocsPerRun(100, func() { x.Match(subject, &r) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { x.Match([]byte("many"), &many) }))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if g := x.Gen(subject); !x.Valid(&g) || !x.Fresh(&r) || !x.HasInterest(subject) {
			t.Fail()
		}
	}))
}
