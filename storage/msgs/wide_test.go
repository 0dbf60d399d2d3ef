package msgs

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/subject"
)

// TestManySubjects compares filters of every kind with looking at each message, in a store with more subjects than are
// listed one by one.
func TestManySubjects(t *testing.T) {
	const subjects = 20_000
	st := NewMemory(newWorld(0).strand, Options{})
	var list []string // by sequence
	put := func(i int) {
		s := fmt.Sprintf("x.%d.%d", i%3000, i%subjects)
		_, err := st.Append(0, int64(i), []byte(s), nil, nil, TTL{})
		require.NoError(t, err)
		list = append(list, s)
	}
	for i := range 2 * subjects {
		put(i * 7)
	}
	filters := map[string]*Filter{}
	patterns := []string{"x.*.*", "x.>", "x.17.*", "*.*.123", "x.5.5", "x.*", "y.>"}
	for _, p := range patterns {
		filters[p] = NewFilter(p)
	}
	for round := range 3 {
		for _, p := range patterns {
			f := filters[p]
			matches := map[uint64]bool{}
			last := map[string]uint64{}
			for i, s := range list {
				if subject.Matches(s, p) && st.Has(uint64(i)+1) {
					matches[uint64(i)+1] = true
					last[s] = uint64(i) + 1
				}
			}
			n := 0
			for seq, ok := st.Next(f, 0); ok; seq, ok = st.Next(f, seq+1) {
				require.True(t, matches[seq], "%s: %d", p, seq)
				n++
			}
			require.Equal(t, len(matches), n, "%s, up", p)
			n = 0
			for seq, ok := st.Prev(f, 1<<60); ok; seq, ok = st.Prev(f, seq-1) {
				require.True(t, matches[seq])
				n++
			}
			require.Equal(t, len(matches), n, "%s, down", p)
			for _, from := range []uint64{0, 1, 777, uint64(len(list)) / 2, uint64(len(list)) - 50} {
				want, newest := 0, 0
				for seq := range matches {
					if seq >= from {
						want++
					}
				}
				for _, seq := range last {
					if seq >= from {
						newest++
					}
				}
				require.Equal(t, uint64(want), st.Count(f, from, false), "%s from %d", p, from)
				require.Equal(t, uint64(newest), st.Count(f, from, true), "%s from %d", p, from)
			}
			seqs, ok := st.LastPerSubject(f, 0, 0)
			require.True(t, ok)
			require.Len(t, seqs, len(last))
		}
		for i := range 5000 { // some go, some subjects with them, and others come
			st.Remove(uint64(i*3+round+1), false, ByDelete)
			if i%5 == 0 {
				put(1_000_000 + round*5000 + i)
			}
		}
	}
}

func TestFilterOfAnotherStore(t *testing.T) {
	w := newWorld(0)
	a, b := NewMemory(w.strand, Options{}), NewMemory(w.strand, Options{})
	f := NewFilter("a.*", "b")
	for i := range 10 {
		_, _ = a.Append(0, 1, []byte("a.b"), nil, nil, TTL{})
		if i%2 == 0 {
			_, _ = b.Append(0, 1, []byte("c"), nil, nil, TTL{})
			_, _ = b.Append(0, 1, []byte("b"), nil, nil, TTL{})
		}
	}
	seq, _ := a.Next(f, 0)
	require.Equal(t, uint64(1), seq)
	seq, _ = b.Next(f, 0)
	require.Equal(t, uint64(2), seq)
	require.Equal(t, uint64(10), a.Count(f, 0, false))
}

// TestAllocations pins what the hot paths allocate.
func TestAllocations(t *testing.T) {
	st := NewMemory(newWorld(0).strand, Options{})
	subject, header, data := []byte("orders.17.new"), []byte("NATS/1.0\r\nA: b\r\n\r\n"), make([]byte, 128)
	at := int64(0)
	appends := testing.AllocsPerRun(20_000, func() {
		at += 1000
		if _, err := st.Append(0, at, subject, header, data, TTL{}); err != nil {
			t.Fatal(err)
		}
	})
	require.Zero(t, appends, "the memory of blocks is a fraction of an allocation per message")
	seq := uint64(0)
	require.Zero(t, testing.AllocsPerRun(5000, func() {
		seq++
		if _, found := st.Load(seq); found != Cached {
			t.Fatal(seq)
		}
	}))
	for _, f := range []*Filter{nil, NewFilter("orders.17.new"), NewFilter("orders.*.new"), NewFilter("orders.>")} {
		seq = 0
		require.Zero(t, testing.AllocsPerRun(5000, func() {
			var ok bool
			if seq, ok = st.Next(f, seq+1); !ok {
				t.Fatal(seq)
			}
		}))
		require.Zero(t, testing.AllocsPerRun(100, func() { st.Count(f, seq, false) }))
	}
	st.SetLimits(Limits{Msgs: 10_000})
	told := 0
	st.OnRemove(func(uint64, string, int, Why, bool) { told++ })
	require.Zero(t, testing.AllocsPerRun(5000, func() {
		_, _ = st.Append(0, at, subject, header, data, TTL{})
	}))
	require.Positive(t, told)
}
