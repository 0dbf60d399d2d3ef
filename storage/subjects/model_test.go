package subjects

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/subject"
)

// model is a map kept the plainest way.
type model struct {
	ids  map[string]uint32
	free []uint32
	next uint32
}

func newModel() *model { return &model{ids: map[string]uint32{}} }

func (m *model) insert(s string) (uint32, bool) {
	if id, ok := m.ids[s]; ok {
		return id, false
	}
	if !subject.Valid(s) || len(s) > SubjectMax {
		return None, false
	}
	id := m.next
	if n := len(m.free); n > 0 {
		id, m.free = m.free[n-1], m.free[:n-1]
	} else {
		m.next++
	}
	m.ids[s] = id
	return id, true
}

func (m *model) remove(s string) (uint32, bool) {
	id, ok := m.ids[s]
	if !ok {
		return None, false
	}
	delete(m.ids, s)
	m.free = append(m.free, id)
	if len(m.ids) == 0 {
		m.free, m.next = nil, 0
	}
	return id, true
}

func (m *model) sorted() []string {
	all := make([]string, 0, len(m.ids))
	for s := range m.ids { //lockstep:ordered sorted below
		all = append(all, s)
	}
	sort.Strings(all)
	return all
}

// found lists what a walk gives, at most max of it (0: all).
func found(walk func(fn func(uint32, []byte) bool), max int) []string {
	got := []string{}
	walk(func(id uint32, s []byte) bool {
		got = append(got, fmt.Sprintf("%s=%d", s, id))
		return len(got) != max
	})
	return got
}

// want lists what a walk of the model gives.
func (m *model) want(start string, max int, matches func(string) bool) []string {
	want := []string{}
	for _, s := range m.sorted() {
		if s >= start && matches(s) && (max == 0 || len(want) < max) {
			want = append(want, fmt.Sprintf("%s=%d", s, m.ids[s]))
		}
	}
	return want
}

// subjectsOf draws subjects that share prefixes, tokens and odd bytes.
func subjectsOf() *rapid.Generator[string] {
	token := rapid.OneOf(
		rapid.SampledFrom([]string{"a", "b", "ab", "a-b", "a!", "*", ">", "abc", "\x00", "\xff", "a\x00"}),
		rapid.StringMatching(`[a-c]{1,3}`),
		rapid.StringMatching(`x[0-9a-zA-Z]`),
		rapid.Map(rapid.Byte(), func(b byte) string { return strings.ReplaceAll("w"+string([]byte{b}), ".", ",") }),
		rapid.SampledFrom([]string{strings.Repeat("long", 20), strings.Repeat("long", 20) + "er", ""}),
	)
	return rapid.Map(rapid.SliceOfN(token, 1, 4), func(tokens []string) string { return strings.Join(tokens, ".") })
}

func patternsOf() *rapid.Generator[string] {
	token := rapid.SampledFrom([]string{"a", "b", "ab", "*", "*", "*", "a*", "x1", "a-b"})
	return rapid.Custom(func(t *rapid.T) string {
		tokens := rapid.SliceOfN(token, 0, 3).Draw(t, "tokens")
		if len(tokens) == 0 || rapid.Bool().Draw(t, "rest") {
			tokens = append(slices.Clone(tokens), ">")
		}
		return strings.Join(tokens, ".")
	})
}

func property(t *rapid.T) {
	m, want := New(), newModel()
	all := subjectsOf()
	known := rapid.Custom(func(t *rapid.T) string {
		have := want.sorted()
		if len(have) == 0 || rapid.IntRange(0, 9).Draw(t, "any") == 0 {
			return all.Draw(t, "subject")
		}
		return rapid.SampledFrom(have).Draw(t, "known")
	})
	insert := func(s string) {
		id, isNew := m.Insert([]byte(s))
		wantID, wantNew := want.insert(s)
		require.Equal(t, wantID, id, "%q", s)
		require.Equal(t, wantNew, isNew, "%q", s)
	}
	t.Repeat(map[string]func(*rapid.T){
		"insert": func(t *rapid.T) {
			for _, s := range rapid.SliceOfN(all, 1, 40).Draw(t, "subjects") {
				insert(s)
			}
		},
		"insert all": func(t *rapid.T) {
			var texts [][]byte
			var ids []uint32
			for _, s := range rapid.SliceOfN(rapid.OneOf(all, known), 1, 80).Draw(t, "subjects") {
				texts = append(texts, []byte(s))
			}
			if rapid.Bool().Draw(t, "ascending") {
				slices.SortFunc(texts, bytes.Compare)
			}
			for _, s := range texts {
				id, _ := want.insert(string(s))
				ids = append(ids, id)
			}
			require.Equal(t, ids, m.InsertAll(nil, texts))
		},
		"insert one":   func(t *rapid.T) { insert(all.Draw(t, "subject")) },
		"insert known": func(t *rapid.T) { insert(known.Draw(t, "subject")) },
		"find": func(t *rapid.T) {
			s := known.Draw(t, "subject")
			id, ok := m.Find([]byte(s))
			wantID, wantOK := want.ids[s]
			require.Equal(t, wantOK, ok, "%q", s)
			if ok {
				require.Equal(t, wantID, id)
				require.True(t, m.Equal(id, []byte(s)))
				require.False(t, m.Equal(id, []byte(s+"x")))
				require.False(t, m.Equal(id, []byte(s[1:])))
			}
		},
		"remove": func(t *rapid.T) {
			for range rapid.IntRange(1, 20).Draw(t, "count") {
				s := known.Draw(t, "subject")
				id, ok := m.Remove([]byte(s))
				wantID, wantOK := want.remove(s)
				require.Equal(t, wantID, id)
				require.Equal(t, wantOK, ok)
			}
		},
		"remove id": func(t *rapid.T) {
			id := rapid.Uint32Range(0, uint32(m.IDs())).Draw(t, "id")
			s := m.Text(id)
			_, ok := want.remove(s)
			require.Equal(t, ok, m.RemoveID(id))
		},
		"compact": func(t *rapid.T) { m.Compact() },
		"ascend": func(t *rapid.T) {
			start, max := known.Draw(t, "start"), rapid.IntRange(0, 5).Draw(t, "max")
			if rapid.Bool().Draw(t, "after") {
				start += "\x00"
			}
			got := found(func(fn func(uint32, []byte) bool) { m.Ascend([]byte(start), fn) }, max)
			require.Equal(t, want.want(start, max, func(string) bool { return true }), got)
		},
		"match": func(t *rapid.T) {
			texts := rapid.SliceOfN(rapid.OneOf(patternsOf(), known.Filter(subject.Valid[string])), 0, 4).Draw(t, "patterns")
			p, err := NewPatterns(texts...)
			require.NoError(t, err)
			start, max := "", rapid.IntRange(0, 5).Draw(t, "max")
			if rapid.Bool().Draw(t, "from start") {
				start = known.Draw(t, "start")
			}
			matches := func(s string) bool {
				hit := slices.ContainsFunc(texts, func(p string) bool { return subject.Matches(s, p) })
				require.Equal(t, hit, p.Matches([]byte(s)))
				return hit
			}
			got := found(func(fn func(uint32, []byte) bool) { m.Match(p, []byte(start), fn) }, max)
			require.Equal(t, want.want(start, max, matches), got, "%q", texts)
		},
		"": func(t *rapid.T) { check(t, m, want) },
	})
}

// check compares everything, and looks at the tree itself.
func check(t require.TestingT, m *Map, want *model) {
	require.Equal(t, len(want.ids), m.Len())
	got := found(func(fn func(uint32, []byte) bool) { m.Ascend(nil, fn) }, 0)
	require.Equal(t, want.want("", 0, func(string) bool { return true }), got)
	for _, s := range want.sorted() {
		require.Equal(t, s, m.Text(want.ids[s]))
	}
	require.Equal(t, int(want.next), m.IDs())
	require.Zero(t, m.walks)
	used := uint32(wordsUsed)
	if root := m.word(rootSlot); root != 0 {
		used += treeWords(t, m, root, "")
	}
	require.Equal(t, m.next, used+m.unused, "words lost, or counted twice")
	count := 0
	var last *table
	for _, table := range m.dir {
		if table != last {
			last = table
			count += table.used
			empty := 0
			for i := range table.groups {
				for s := range groupSlots {
					if table.groups[i].tag(s) == tagEmpty {
						empty++
					}
				}
			}
			require.Equal(t, empty, table.room+len(table.groups)*groupSlots-roomOf(len(table.groups)))
		}
	}
	require.Equal(t, m.Len(), count)
}

// treeWords checks a branch and counts its words.
func treeWords(t require.TestingT, m *Map, ref uint32, prefix string) uint32 {
	p := node(m.at(ref))
	_, words := classOf(p.words())
	if p.kind() == leafKind {
		require.Equal(t, ref, m.leaves[p.id()])
		require.True(t, strings.HasPrefix(string(p.label()), prefix))
		return words
	}
	if prefix != "" {
		require.NotZero(t, p.labelLen())
	}
	prefix += string(p.label())
	if end := p.end(); end != 0 {
		require.Equal(t, prefix, string(node(m.at(end)).label()))
		words += treeWords(t, m, end, prefix)
	} else {
		require.Greater(t, p.count(), 1)
	}
	last, seen := -1, 0
	p.each(func(c byte, child uint32) bool {
		require.Greater(t, int(c), last)
		require.Equal(t, c, node(m.at(child)).told(len(prefix))[0])
		words += treeWords(t, m, child, prefix)
		last = int(c)
		seen++
		return true
	})
	require.Equal(t, seen, p.count())
	return words
}

func TestMapIsTheModel(t *testing.T) { rapid.Check(t, property) }

func FuzzMapIsTheModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(property)) }

// Whatever bytes patterns and subjects are made of, a walk finds what [subject.Matches] says.
func FuzzMatch(f *testing.F) {
	f.Add("orders.*.new", "orders.>", "orders.1.new orders.2 orders orders.1.new.x", "orders.1")
	f.Add("*", ">", "a b a.b \xff \x00", "")
	f.Add("a*.>", "*.*", "a*.b a.b a*.b.c", "a")
	f.Fuzz(func(t *testing.T, one, two, all, start string) {
		p, err := NewPatterns(one, two)
		require.Equal(t, subject.Valid(one) && subject.Valid(two), err == nil)
		if err != nil {
			return
		}
		m, want := New(), newModel()
		for _, s := range strings.Split(all, " ") {
			m.Insert([]byte(s))
			want.insert(s)
		}
		got := found(func(fn func(uint32, []byte) bool) { m.Match(p, []byte(start), fn) }, 0)
		require.Equal(t, want.want(start, 0, func(s string) bool { return subject.Matches(s, one) || subject.Matches(s, two) }), got)
	})
}
