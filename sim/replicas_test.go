package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
)

// replicasRun is the run of JetStream on several servers whose plan was changed by hand.
func replicasRun(t *testing.T, seed uint64, change func(*Plan)) *Result {
	t.Helper()
	plan := NewPlan(seed, Replicas, clock.NewSim(seed).Rand("plan"))
	change(&plan)
	r := RunPlan(plan, Options{Seed: seed, Profile: Replicas})
	require.Empty(t, r.Violations, "seed %d", seed)
	require.Equal(t, "ok", r.Result, "seed %d: %v", seed, r.Vacuous)
	return r
}

// TestReplicasInPeace: without faults everything is acknowledged, and all servers are equal in the end.
func TestReplicasInPeace(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		r := replicasRun(t, seed, func(p *Plan) {
			p.Replicas.Rates, p.Replicas.CrashPer = nil, 0
			p.JS.Loads, p.Chaos = []string{"log", "kv", "consume"}, 10*time.Second
		})
		require.Greater(t, r.Operations["replicas_compared"], 50)
		require.Zero(t, r.Operations["js_unknown"])
	}
}

// TestReplicasOutlivePowerLoss: what was acknowledged is there when all servers have lost power at once.
func TestReplicasOutlivePowerLoss(t *testing.T) {
	for seed := uint64(1); seed <= 2; seed++ {
		r := replicasRun(t, seed, func(p *Plan) {
			p.Replicas.Rates, p.Replicas.CrashPer = []Rate{{"power-loss-of-all", 0.2}}, 0
			p.JS.Loads, p.Chaos = []string{"kv"}, 12*time.Second
		})
		require.Positive(t, r.Faults["store: power-loss"])
	}
}
