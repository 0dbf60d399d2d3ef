package subjects

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Some thousand subjects of many shapes come and go: tables split, nodes grow to every kind and
// shrink again, and free memory is used again.
func TestManyComeAndGo(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	draw := func() string {
		switch r.IntN(5) {
		case 0:
			return fmt.Sprintf("wide.%c%c", rune('0'+r.IntN(75)), rune('0'+r.IntN(75)))
		case 1:
			return "byte." + strings.ReplaceAll(string([]byte{byte(r.IntN(256)), byte(r.IntN(4))}), ".", "-")
		case 2:
			return fmt.Sprintf("orders.%d.%x", r.IntN(50), r.IntN(1000))
		case 3:
			return "long." + strings.Repeat("x", r.IntN(300)) + string(rune('a'+r.IntN(3)))
		}
		return fmt.Sprintf("kv.%d", r.IntN(20_000))
	}
	m, want := Seeded(7), newModel()
	kinds := map[uint8]bool{}
	for round := range 6 {
		for i := range 6000 {
			if i%250 == 0 {
				countKinds(m, m.word(rootSlot), kinds)
			}
			s := draw()
			id, isNew := m.Insert([]byte(s))
			wantID, wantNew := want.insert(s)
			require.Equal(t, wantID, id)
			require.Equal(t, wantNew, isNew)
		}
		check(t, m, want)
		countKinds(m, m.word(rootSlot), kinds)
		for i, s := range want.sorted() {
			if r.IntN(12) < round*2 || i == 0 {
				wantID, _ := want.remove(s)
				id, ok := m.Remove([]byte(s))
				require.True(t, ok)
				require.Equal(t, wantID, id)
			}
		}
		check(t, m, want)
		countKinds(m, m.word(rootSlot), kinds)
		if round == 2 {
			m.Compact()
			check(t, m, want)
		}
	}
	require.Len(t, kinds, kindLast+1, "kinds of nodes met: %v", kinds)
	require.Greater(t, len(m.dir), 4)
	for _, s := range want.sorted() {
		require.True(t, m.RemoveID(want.ids[s]))
	}
	require.Zero(t, m.Len())
	require.Zero(t, m.IDs())
	total, unused := m.Bytes()
	require.Less(t, total, 1<<20)
	require.Zero(t, unused)
}

func countKinds(m *Map, ref uint32, kinds map[uint8]bool) {
	if ref == 0 {
		return
	}
	p := node(m.at(ref))
	kinds[p.kind()] = true
	if p.kind() != leafKind {
		p.each(func(_ byte, child uint32) bool { countKinds(m, child, kinds); return true })
	}
}

func TestLongAndNestedSubjects(t *testing.T) {
	m, want := New(), newModel()
	for _, n := range []int{1, 255, 256, 4096, 65_534, SubjectMax} {
		for _, end := range []string{"a", "b"} {
			s := strings.Repeat("s", n-1) + end
			id, isNew := m.Insert([]byte(s))
			wantID, _ := want.insert(s)
			require.True(t, isNew)
			require.Equal(t, wantID, id)
		}
	}
	for n := range 2000 { // each is a prefix of the next
		s := strings.Repeat("n", n+1)
		m.Insert([]byte(s))
		want.insert(s)
	}
	id, isNew := m.Insert(bytes.Repeat([]byte("s"), SubjectMax+1))
	require.Equal(t, None, id)
	require.False(t, isNew)
	check(t, m, want)
	m.Compact()
	check(t, m, want)
	for _, s := range want.sorted() {
		if len(s)%3 != 0 {
			m.Remove([]byte(s))
			want.remove(s)
		}
	}
	check(t, m, want)
}

func TestInvalidSubjectsAreRefused(t *testing.T) {
	m := New()
	for _, s := range []string{"", ".", "a.", ".a", "a..b"} {
		id, isNew := m.Insert([]byte(s))
		require.Equal(t, None, id, "%q", s)
		require.False(t, isNew)
		_, ok := m.Find([]byte(s))
		require.False(t, ok)
		_, ok = m.Remove([]byte(s))
		require.False(t, ok)
	}
	require.Zero(t, m.Len())
	require.Equal(t, "", m.Text(0))
	require.False(t, m.RemoveID(0))
	require.False(t, m.RemoveID(None))
	require.Equal(t, "x", string(m.AppendText([]byte("x"), None)))
}

func TestPatternsAreChecked(t *testing.T) {
	for _, bad := range []string{"", "a..b", ">.a", "a.", "."} {
		_, err := NewPatterns("ok.*", bad)
		require.ErrorContains(t, err, fmt.Sprintf("pattern 1, %q", bad))
	}
}

// Who knows the seed can choose subjects whose hashes begin alike. That must cost them
// speed only.
func TestCollidingSubjectsDoNotGrowTheDirectory(t *testing.T) {
	m, want := Seeded(3), newModel()
	for i := 0; len(want.ids) < 1500; i++ {
		s := fmt.Appendf(nil, "attack.%d", i)
		if m.hash(s)>>55 == 0 {
			m.Insert(s)
			want.insert(string(s))
		}
	}
	require.LessOrEqual(t, len(m.dir), 2*1500/entrySubjectsMin)
	for _, s := range want.sorted() {
		id, ok := m.Find([]byte(s))
		require.True(t, ok)
		require.Equal(t, want.ids[s], id)
	}
	check(t, m, want)
}

func TestSeedAndGrowChangeNothing(t *testing.T) {
	all := shaped("orders", 3000)
	a, b := Seeded(1), Seeded(2)
	b.Grow(3000)
	for i, s := range all {
		x, _ := a.Insert(s)
		y, _ := b.Insert(s)
		require.Equal(t, x, y)
		if i%3 == 0 {
			a.Remove(all[i/2])
			b.Remove(all[i/2])
		}
	}
	list := func(m *Map) []string {
		return found(func(fn func(uint32, []byte) bool) { m.Ascend(nil, fn) }, 0)
	}
	require.Equal(t, list(a), list(b))
}

func TestChangingDuringAWalkPanics(t *testing.T) {
	m := New()
	m.Insert([]byte("a"))
	m.Insert([]byte("b"))
	for name, change := range map[string]func(){ //lockstep:ordered each is judged by itself
		"insert":  func() { m.Insert([]byte("c")) },
		"remove":  func() { m.Remove([]byte("a")) },
		"compact": func() { m.Compact() },
	} {
		m.Ascend(nil, func(uint32, []byte) bool {
			require.Panics(t, change, name)
			id, isNew := m.Insert([]byte("b")) // changes nothing
			require.Equal(t, uint32(1), id)
			require.False(t, isNew)
			n := 0
			m.Ascend(nil, func(uint32, []byte) bool { n++; return true })
			require.Equal(t, 2, n)
			return true
		})
	}
	require.Equal(t, 2, m.Len())
}

// A narrow pattern must cost what it finds, and not what the map holds.
func TestMatchVisitsOnlyWhatMayMatch(t *testing.T) {
	m := New()
	var all [][]byte
	for i := range 100_000 {
		all = append(all, fmt.Appendf(nil, "orders.%d.item.%d", i%1000, i))
	}
	m.InsertAll(nil, all)
	for _, tc := range []struct {
		patterns []string
		found    int
		most     int // records
	}{
		{[]string{"orders.17.>"}, 100, 170},
		{[]string{"orders.17.item.5017"}, 1, 10},
		{[]string{"orders.*.item.5017"}, 1, 5000},
		{[]string{"none.>"}, 0, 1},
		{[]string{"orders.5.*.1005", "orders.999.item.*", "x"}, 101, 180},
		{nil, 0, 1},
	} {
		p, err := NewPatterns(tc.patterns...)
		require.NoError(t, err)
		n := 0
		m.visits = 0
		m.Match(p, nil, func(_ uint32, s []byte) bool {
			require.True(t, p.Matches(s))
			n++
			return true
		})
		require.Equal(t, tc.found, n, "%q", tc.patterns)
		require.LessOrEqual(t, m.visits, tc.most, "%q", tc.patterns)
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	all := shaped("orders", 2000)
	m := loaded(all)
	p, err := NewPatterns("orders.*.>", "other.*")
	require.NoError(t, err)
	count := 0
	count1 := func(uint32, []byte) bool { count++; return true }
	var text []byte
	i := 0
	n := testing.AllocsPerRun(500, func() {
		s := all[i]
		i = (i + 1) % len(all)
		id, ok := m.Find(s)
		text = m.AppendText(text[:0], id)
		if !ok || !bytes.Equal(text, s) {
			t.Fatal(string(s))
		}
		m.Remove(s)
		m.Insert(s)
	})
	require.Zero(t, n)
	require.Zero(t, testing.AllocsPerRun(5, func() { m.Ascend(nil, count1); m.Match(p, all[0], count1) }))
	require.Positive(t, count)
}

// Subjects of one size that go make room for longer ones, at the latest by Compact.
func TestMemoryIsUsedAgain(t *testing.T) {
	m := New()
	live := shaped("orders", 20_000)
	m.InsertAll(nil, live)
	most, _ := m.Bytes()
	for round := range 20 {
		for i, s := range live {
			m.Remove(s)
			live[i] = fmt.Appendf(nil, "round.%d.%d.x%s", round%3, i, strings.Repeat("x", i%17))
			m.Insert(live[i])
		}
	}
	total, _ := m.Bytes()
	require.Less(t, total, 2*most)
	for _, s := range live[100:] {
		m.Remove(s)
	}
	_, unused := m.Bytes()
	require.Greater(t, unused, 100_000)
	m.Compact()
	total, unused = m.Bytes()
	require.Less(t, total, 4*20_000+20_000, "ids are not moved")
	require.Zero(t, unused)
	slices.SortFunc(live[:100], bytes.Compare)
	i := 0
	m.Ascend(nil, func(_ uint32, s []byte) bool {
		require.Equal(t, string(live[i]), string(s))
		i++
		return true
	})
	require.Equal(t, 100, i)
}

// The figure that the design promises: at most 60 bytes a subject beside the bytes that it
// shares with no other.
func TestMemoryPerSubject(t *testing.T) {
	for _, shape := range []string{"orders", "kv", "nuid"} {
		all := shaped(shape, 100_000)
		m := Seeded(1)
		for _, s := range all {
			m.Insert(s)
		}
		unshared := 0
		last := []byte{}
		var lastShared int
		add := func(next []byte) {
			shared := common(last, next)
			unshared += len(last) - max(shared, lastShared)
			lastShared = shared
			last = append(last[:0], next...)
		}
		m.Ascend(nil, func(_ uint32, s []byte) bool { add(s); return true })
		add(nil)
		total, _ := m.Bytes()
		per := float64(total-unshared) / float64(len(all))
		t.Logf("%s: %.1f bytes a subject, %.1f of them unshared text", shape,
			float64(total)/float64(len(all)), float64(unshared)/float64(len(all)))
		require.Less(t, per, 60.0, shape)
	}
}
