package subject

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

type receiver struct{ id int }

// Kinds of interest: literals, patterns that end with their only wildcard, both
// together, and patterns with a wildcard in the middle, which are in the trie.
var kinds = []struct {
	name     string
	patterns func(i int) []string
}{
	{"literal", func(i int) []string { return []string{fmt.Sprintf("orders.%d.created", i)} }},
	{"wildcard", func(i int) []string { return []string{fmt.Sprintf("orders.%d.*", i)} }},
	{"mixed", func(i int) []string {
		if i%2 == 0 {
			return []string{fmt.Sprintf("orders.%d.created", i)}
		}
		return []string{fmt.Sprintf("orders.%d.>", i)}
	}},
	{"middle", func(i int) []string { return []string{fmt.Sprintf("*.%d.created", i)} }},
}

func fill(tb testing.TB, x *Index[*receiver], subs int, patterns func(int) []string) (published [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range subs {
		for _, p := range patterns(i) {
			require.NoError(tb, x.Insert(p, "", 1, &receiver{i}))
		}
	}
	for range 4096 {
		published = append(published, fmt.Appendf(nil, "orders.%d.created", r.IntN(subs)))
	}
	return published
}

func BenchmarkMatch(b *testing.B) {
	for _, kind := range kinds {
		for _, subs := range []int{1000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("kind=%s/subs=%d", kind.name, subs), func(b *testing.B) {
				x := NewIndex[*receiver]()
				published := fill(b, x, subs, kind.patterns)
				runtime.GC()
				var r Result[*receiver]
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					x.Match(published[i&4095], &r)
					if i++; len(r.Plain) != 1 {
						b.Fatal(len(r.Plain))
					}
				}
			})
		}
	}
}

func BenchmarkMatchFanout(b *testing.B) {
	for _, receivers := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("receivers=%d", receivers), func(b *testing.B) {
			x := NewIndex[*receiver]()
			fill(b, x, receivers, func(int) []string { return []string{"orders"} })
			var r Result[*receiver]
			for b.Loop() {
				if x.Match([]byte("orders"), &r); len(r.Plain) != receivers {
					b.Fatal(len(r.Plain))
				}
			}
		})
	}
}

func BenchmarkFresh(b *testing.B) {
	x := NewIndex[*receiver]()
	fill(b, x, 1000, kinds[2].patterns)
	var r Result[*receiver]
	x.Match([]byte("orders.7.created"), &r)
	for b.Loop() {
		if !x.Fresh(&r) {
			b.Fatal("stale")
		}
	}
}

func BenchmarkInsertRemove(b *testing.B) {
	for _, kind := range kinds {
		for _, subs := range []int{1000, 1_000_000} {
			b.Run(fmt.Sprintf("kind=%s/subs=%d", kind.name, subs), func(b *testing.B) {
				x := NewIndex[*receiver]()
				fill(b, x, subs, kind.patterns)
				v, p := &receiver{}, kind.patterns(subs + 1)[0]
				b.ReportAllocs()
				for b.Loop() {
					_ = x.Insert(p, "", 1, v)
					x.Remove(p, "", v)
				}
			})
		}
	}
	for _, subs := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("kind=same/subs=%d", subs), func(b *testing.B) {
			x := NewIndex[*receiver]()
			fill(b, x, subs, func(int) []string { return []string{"orders"} })
			v := &receiver{}
			b.ReportAllocs()
			for b.Loop() {
				_ = x.Insert("orders", "", 1, v)
				x.Remove("orders", "", v)
			}
		})
	}
}

func BenchmarkTransform(b *testing.B) {
	for _, dest := range []string{"b.$2.$1.>", "b.{{partition(10,1,2)}}.>", "b.{{split(1,-)}}.$2.>"} {
		b.Run("dest="+dest, func(b *testing.B) {
			x, err := NewTransform("a.*.*.>", dest)
			require.NoError(b, err)
			subject, dst := []byte("a.x-y.12345.c.d"), make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = x.AppendTo(dst[:0], subject, nil)
			}
		})
	}
}

func BenchmarkMappingsMiss(b *testing.B) {
	for _, mappings := range []int{1, 1000} {
		b.Run(fmt.Sprintf("mappings=%d", mappings), func(b *testing.B) {
			var list []*Mapping
			for i := range mappings {
				list = append(list, mustMapping(b, fmt.Sprintf("m%d.*", i), "x.$1"))
			}
			s, subject := NewMappings(list...), []byte("orders.12345.created")
			for b.Loop() {
				if s.Find(subject) != nil {
					b.Fatal("found")
				}
			}
		})
	}
}

// heap is what is allocated and reachable now, in bytes.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Bytes of a literal subscription beyond its subject and value, of an index that
// is empty, and of one that has emptied again.
func TestSizes(t *testing.T) {
	const subs, accounts = 150_000, 1000
	values, names := make([]*receiver, subs), make([]string, subs)
	for i := range values {
		values[i], names[i] = &receiver{i}, fmt.Sprintf("orders.%d.created", i)
	}
	before := heap()
	x := NewIndex[*receiver]()
	for i := range subs {
		require.NoError(t, x.Insert(names[i], "", 1, values[i]))
	}
	each := float64(heap()-before) / subs
	t.Logf("literal subscription: %.1f bytes", each)
	require.Less(t, each, 150.0)

	for i := range subs {
		require.True(t, x.Remove(names[i], "", values[i]))
	}
	left := int64(heap()) - int64(before)
	t.Logf("emptied index: %d bytes", left)
	require.Less(t, left, int64(20_000))

	before = heap()
	indexes := make([]*Index[*receiver], accounts)
	for i := range indexes {
		indexes[i] = NewIndex[*receiver]()
	}
	empty := float64(heap()-before) / accounts
	t.Logf("empty index: %.0f bytes", empty)
	require.Less(t, empty, 500.0)
	for i := range indexes {
		require.NoError(t, indexes[i].Insert("foo", "", 1, values[0]))
	}
	t.Logf("index with one subscription: %.0f bytes", float64(heap()-before)/accounts)
	runtime.KeepAlive(indexes)
	runtime.KeepAlive(x)
	runtime.KeepAlive(values)
	runtime.KeepAlive(names)
}
