package placement_test

import (
	"fmt"
	"testing"

	"github.com/lockstepmq/lockstep/server/jetstream/placement"
)

// spread are assets of three replicas on the first of some servers, in turn: evenly where n is a multiple of
// them.
func spread(n, servers int) []placement.Asset {
	var out []placement.Asset
	for i := range n {
		a := placement.Asset{ID: uint64(i + 1)}
		for m := range 3 {
			a.Members = append(a.Members, uint64((i+m)%servers+1))
		}
		a.Leader = a.Members[0]
		out = append(out, a)
	}
	return out
}

func BenchmarkChoose(b *testing.B) {
	for _, servers := range []int{7, 70} {
		b.Run(fmt.Sprintf("servers=%d", servers), func(b *testing.B) {
			s := alike(servers)
			r := &placement.Request{Replicas: 3, Cluster: "C"}
			for b.Loop() {
				r.Seed++
				if _, refusal := placement.Choose(s, r); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}

// BenchmarkRebalance: four servers joined three, or nothing is to be done.
func BenchmarkRebalance(b *testing.B) {
	for _, on := range []int{3, 7} {
		for _, assets := range []int{105, 10_003} {
			b.Run(fmt.Sprintf("servers=7/on=%d/assets=%d", on, assets), func(b *testing.B) {
				s, all := alike(7), spread(assets, on)
				for b.Loop() {
					if moves := placement.Rebalance(s, all, nil, assets); len(moves) > 0 != (on < 7) {
						b.Fatal(len(moves))
					}
				}
			})
		}
	}
}

func BenchmarkEvacuate(b *testing.B) {
	for _, assets := range []int{105, 10_003} {
		b.Run(fmt.Sprintf("servers=7/assets=%d", assets), func(b *testing.B) {
			s, all := alike(7), spread(assets, 7)
			for b.Loop() {
				if _, stuck := placement.Evacuate(s, all, 1, nil); len(stuck) > 0 {
					b.Fatal(stuck)
				}
			}
		})
	}
}
