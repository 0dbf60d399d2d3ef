package sim

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestX(t *testing.T) {
	prof := Profile(os.Getenv("P"))
	var n, from int
	fmt.Sscan(os.Getenv("N"), &n)
	fmt.Sscan(os.Getenv("F"), &from)
	start := time.Now()
	ev := uint64(0)
	virt := 0.0
	ops := 0
	for i := from; i < from+n; i++ {
		r := Run(Options{Seed: uint64(i), Profile: prof})
		ev += r.Events
		virt += r.Virtual
		ops += r.Operations["publishes"]
		if r.Result != "ok" {
			fmt.Println(i, r.Result, r.Vacuous, r.Faults, r.Plan.Rates)
			for k, v := range r.Violations {
				if k < 4 {
					fmt.Println("   ", v.At, v)
				}
			}
		}
	}
	d := time.Since(start)
	fmt.Println(n, "seeds", d, "events/s", float64(ev)/d.Seconds(), "virt/s", virt/d.Seconds(), "pubs", ops)
}
