package subjects

import (
	"fmt"
	"testing"
)

func BenchmarkGoMap(b *testing.B) {
	each(b, sizes, func(b *testing.B, all [][]byte) {
		m := map[string]uint32{}
		for i, s := range all {
			m[string(s)] = uint32(i)
		}
		probe := probes(all)
		i := 0
		for b.Loop() {
			if _, ok := m[string(probe[i])]; !ok {
				b.Fatal("lost")
			}
			if i++; i == len(probe) {
				i = 0
			}
		}
	})
}
func BenchmarkRaw(b *testing.B) {
	for _, mb := range []int{1, 8, 64} {
		b.Run(fmt.Sprint("mb=", mb), func(b *testing.B) {
			a := make([]uint32, mb<<18)
			x := uint32(1)
			for i := range a {
				x = x*1664525 + 1013904223
				a[i] = x
			}
			n := uint32(len(a) - 1)
			j := uint32(0)
			for b.Loop() {
				j = (a[j]>>3)&n ^ (j*7+1)&n
			}
			_ = j
		})
	}
}
