package heap

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestHeapAgainstSortedList compares with a list that is kept in order.
func TestHeapAgainstSortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Heap[int64, uint32]
		var list []Item[int64, uint32]
		order := func(a, b Item[int64, uint32]) int {
			return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Of, b.Of))
		}
		keys, ofs := rapid.Int64Range(-3, 3), rapid.Uint32Range(0, 3)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				key, of := keys.Draw(t, "key"), ofs.Draw(t, "of")
				h.Push(key, of)
				list = append(list, Item[int64, uint32]{key, of})
			},
			"pop": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip("empty")
				}
				require.Equal(t, list[0], h.Pop())
				list = list[1:]
			},
			"raise": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip("empty")
				}
				key := list[0].Key + rapid.Int64Range(0, 3).Draw(t, "by")
				h.Raise(key)
				list[0].Key = key
			},
			"order": func(t *rapid.T) {
				some := rapid.SliceOfN(rapid.Bool(), len(list), len(list)).Draw(t, "kept")
				kept := list[:0]
				for i, it := range list {
					if some[i] {
						kept = append(kept, it)
					}
				}
				list = kept
				h = append(h[:0], rapid.Permutation(kept).Draw(t, "in any order")...)
				h.Order()
			},
			"": func(t *rapid.T) {
				slices.SortFunc(list, order)
				require.Len(t, h, len(list))
				if len(list) > 0 {
					require.Equal(t, list[0], h[0])
				}
			},
		})
	})
}

func BenchmarkRaise(b *testing.B) {
	for _, n := range []int{16, 4096} {
		b.Run("items="+map[int]string{16: "16", 4096: "4096"}[n], func(b *testing.B) {
			var h Heap[uint64, uint32]
			for i := range n {
				h.Push(uint64(i), uint32(i))
			}
			b.ReportAllocs()
			for b.Loop() {
				h.Raise(h[0].Key + uint64(n))
			}
		})
	}
}
