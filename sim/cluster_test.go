package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
)

// clusterRun is the run of a cluster whose plan was changed by hand.
func clusterRun(t *testing.T, seed uint64, change func(*Plan)) *Result {
	t.Helper()
	plan := NewPlan(seed, Cluster, clock.NewSim(seed).Rand("plan"))
	change(&plan)
	r := RunPlan(plan, Options{Seed: seed, Profile: Cluster})
	require.Empty(t, r.Violations, "seed %d", seed)
	require.Equal(t, "ok", r.Result)
	return r
}

// TestClusterInPeace: without faults no connection between servers ends, so that everything passes
// between them in order.
func TestClusterInPeace(t *testing.T) {
	for _, pool := range []int{-1, 3} {
		r := clusterRun(t, 21, func(p *Plan) { p.Cluster.Rates, p.Cluster.Pool, p.Cluster.Pinned = nil, pool, nil })
		require.Empty(t, r.History.World.Breaks)
		require.Empty(t, r.Faults)
		passed := 0
		for _, d := range r.History.Deliveries {
			for _, p := range r.History.Pubs {
				if p.ID == d.ID && p.Conn.Epoch != d.Conn.Epoch {
					passed++
				}
			}
			if passed > 100 {
				break
			}
		}
		require.Greater(t, passed, 100, "messages passed between servers")
	}
}

// TestClusterThatKnowsOneServer: servers that are told of each other by a third come together
// again after partitions.
func TestClusterThatKnowsOneServer(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		clusterRun(t, seed, func(p *Plan) {
			p.Cluster.Servers, p.Cluster.Seeds, p.Cluster.PingInterval = 3, 1, time.Second
			p.Cluster.Rates = []Rate{{"server-partition", 0.15}}
		})
	}
}
