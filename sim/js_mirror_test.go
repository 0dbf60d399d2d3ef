package sim

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
)

// TestCopiesAndPushes makes runs of one workload alone, and sees that it did what it is for.
func TestCopiesAndPushes(t *testing.T) {
	for _, tc := range []struct {
		load string
		must []string // operations
	}{
		{"mirror", []string{"js_caught_up", "js_audited", "js_reads", "js_batches"}},
		{"sources", []string{"js_caught_up", "js_audited", "js_reads", "js_batches"}},
		{"push", []string{"js_deliveries", "js_ordered", "js_heartbeats", "js_flow_answers", "js_acks_confirmed"}},
	} {
		for _, profile := range []Profile{Calm, Streams} {
			t.Run(fmt.Sprintf("load=%s/profile=%s", tc.load, profile), func(t *testing.T) {
				done := make(map[string]int)
				for seed := uint64(1); seed <= 2; seed++ {
					p := NewPlan(seed, profile, clock.NewSim(seed).Rand("plan"))
					p.Token, p.Clients, p.Chaos = false, 3, p.Chaos/2
					if p.JS == nil {
						p.JS = newJSPlan(clock.NewSim(seed).Rand("streams"), &p)
					}
					p.JS.Loads, p.JS.Sizes.Window = []string{tc.load}, 4096
					r := RunPlan(p, Options{Seed: seed, Profile: profile})
					require.Empty(t, r.Violations, "seed %d", seed)
					for _, name := range tc.must {
						done[name] += r.Operations[name]
					}
				}
				for _, name := range tc.must {
					require.Positive(t, done[name], name)
				}
			})
		}
	}
}
