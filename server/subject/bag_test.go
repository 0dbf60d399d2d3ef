package subject

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func (b bag[E]) all() (out []E) {
	for _, chunk := range b.chunks {
		out = append(out, chunk...)
	}
	return out
}

// A bag is a sorted list, and no version of it changes when a later one is made.
func TestBagAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bag[int]
		var m []int
		type version struct {
			bag   bag[int]
			model []int
		}
		var versions []version
		rising := 1000
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				for range rapid.IntRange(1, 300).Draw(t, "n") {
					rising++
					c, i := b.search(func(e int) bool { return e < rising })
					b, m = b.insert(c, i, rising), append(m, rising)
				}
			},
			"insert": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					e := rapid.IntRange(0, rising).Draw(t, "e")
					c, i := b.search(func(o int) bool { return o < e })
					at, _ := slices.BinarySearch(m, e)
					b, m = b.insert(c, i, e), slices.Insert(m, at, e)
				}
			},
			"remove": func(t *rapid.T) {
				for range rapid.IntRange(1, 150).Draw(t, "n") {
					if len(m) == 0 {
						break
					}
					at := rapid.IntRange(0, len(m)-1).Draw(t, "at")
					e := m[at]
					c, i := b.search(func(o int) bool { return o < e })
					require.Equal(t, e, b.chunks[c][i])
					at, _ = slices.BinarySearch(m, e)
					b, m = b.remove(c, i), slices.Delete(slices.Clone(m), at, at+1)
				}
			},
			"": func(t *rapid.T) {
				versions = append(versions, version{b, slices.Clone(m)})
				for _, v := range versions[max(0, len(versions)-5):] {
					require.Equal(t, len(v.model), v.bag.size)
					require.True(t, slices.Equal(v.model, v.bag.all()))
				}
				for _, chunk := range b.chunks {
					require.NotEmpty(t, chunk)
					require.LessOrEqual(t, len(chunk), chunkMax)
				}
			},
		})
	})
}
