package subjects

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// shapes are the subjects that streams are made of.
var shapes = []struct {
	name string
	make func(r *rand.Rand, i int) string
}{
	{"orders", func(r *rand.Rand, i int) string {
		return fmt.Sprintf("orders.%05d.%08x-%04x-%04x-%012x", r.IntN(100_000), r.Uint32(), r.IntN(1<<16), r.IntN(1<<16), r.Int64N(1<<48))
	}},
	{"kv", func(_ *rand.Rand, i int) string { return fmt.Sprintf("$KV.bucket.key-%d", i) }},
	{"nuid", func(r *rand.Rand, i int) string {
		const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		b := []byte("kv.")
		for range 22 {
			b = append(b, digits[r.IntN(62)])
		}
		return string(b)
	}},
}

func shaped(shape string, n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range shapes {
		if s.name == shape {
			out := make([][]byte, n)
			for i := range out {
				out[i] = []byte(s.make(r, i))
			}
			r.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
			return out
		}
	}
	panic("no shape " + shape)
}

func loaded(all [][]byte) *Map {
	m := Seeded(1)
	m.Grow(len(all))
	for _, s := range all {
		m.Insert(s)
	}
	return m
}

// probes are the subjects in another order, one behind the other in memory, as a
// publisher's are in a read buffer.
func probes(all [][]byte) [][]byte {
	out := slices.Clone(all)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return together(out)
}

// together moves them to one piece of memory.
func together(out [][]byte) [][]byte {
	together := bytes.Join(out, nil)
	for i, s := range out {
		out[i], together = together[:len(s):len(s)], together[len(s):]
	}
	return out
}

func each(b *testing.B, sizes []int, fn func(b *testing.B, all [][]byte)) {
	for _, s := range shapes {
		for _, n := range sizes {
			all := shaped(s.name, n)
			b.Run(fmt.Sprintf("shape=%s/subjects=%d", s.name, n), func(b *testing.B) { fn(b, all) })
		}
	}
}

var sizes = []int{10_000, 1_000_000}

func BenchmarkFind(b *testing.B) {
	each(b, sizes, func(b *testing.B, all [][]byte) {
		m := loaded(all)
		probe := probes(all)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, ok := m.Find(probe[i]); !ok {
				b.Fatal("lost")
			}
			if i++; i == len(probe) {
				i = 0
			}
		}
	})
}

// BenchmarkInsert tells the time and memory of one subject of many.
func BenchmarkInsert(b *testing.B) {
	for _, order := range []string{"random", "ascending", "random-bulk", "ascending-bulk"} {
		b.Run("order="+order, func(b *testing.B) {
			order, bulk := strings.CutSuffix(order, "-bulk")
			each(b, sizes, func(b *testing.B, all [][]byte) {
				if order == "ascending" {
					all = slices.Clone(all)
					slices.SortFunc(all, func(a, b []byte) int { return strings.Compare(asText(a), asText(b)) })
				}
				all = together(all)
				var m *Map
				ids := make([]uint32, 0, len(all))
				for b.Loop() {
					if !bulk {
						m = loaded(all)
						continue
					}
					m = Seeded(1)
					m.Grow(len(all))
					m.InsertAll(ids, all)
				}
				n := float64(len(all))
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/subject")
				total, unused := m.Bytes()
				b.ReportMetric(float64(total)/n, "B/subject")
				b.ReportMetric(float64(unused)/n, "unusedB/subject")
				runtime.KeepAlive(m)
			})
		})
	}
}

func BenchmarkRemoveInsert(b *testing.B) {
	each(b, []int{1_000_000}, func(b *testing.B, all [][]byte) {
		m := loaded(all)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			m.Remove(all[i])
			m.Insert(all[i])
			i = (i + 7919) % len(all)
		}
	})
}

func BenchmarkText(b *testing.B) {
	each(b, sizes, func(b *testing.B, all [][]byte) {
		m := loaded(all)
		var dst []byte
		b.ReportAllocs()
		id := 0
		for b.Loop() {
			dst = m.AppendText(dst[:0], uint32(id))
			id = (id + 7919) % m.Len()
		}
	})
}

func BenchmarkAscend(b *testing.B) {
	each(b, []int{1_000_000}, func(b *testing.B, all [][]byte) {
		m := loaded(all)
		for _, compact := range []bool{false, true} {
			if compact {
				m.Compact()
			}
			b.Run(fmt.Sprintf("compact=%t", compact), func(b *testing.B) {
				n := 0
				for b.Loop() {
					m.Ascend(nil, func(uint32, []byte) bool { n++; return true })
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/subject")
			})
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	m := loaded(shaped("orders", 1_000_000))
	for _, pattern := range []string{"orders.*.00000000-*", "orders.12345.*", "orders.12345.>", "orders.*.ffffffff-0000-0000-000000000000", ">", "other.>"} {
		b.Run("pattern="+pattern, func(b *testing.B) {
			p, err := NewPatterns(pattern)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				m.Match(p, nil, func(uint32, []byte) bool { n++; return true })
			}
			b.ReportMetric(float64(n)/float64(b.N), "found/op")
		})
	}
}

func BenchmarkCompact(b *testing.B) {
	each(b, []int{1_000_000}, func(b *testing.B, all [][]byte) {
		m := loaded(all)
		for b.Loop() {
			m.Compact()
		}
		total, _ := m.Bytes()
		b.ReportMetric(float64(total)/float64(len(all)), "B/subject")
	})
}
