package sim

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
)

// TestScriptedPlansHold runs each scripted plan on a few seeds. With other things that a seed draws, a server may be down
// just when a script would have had its effect: so one more seed is tried where one shows nothing.
func TestScriptedPlansHold(t *testing.T) {
	for _, s := range Scripts() {
		ran, shown := 0, 0
		for seed := uint64(1); seed <= 4 && shown < 2; seed++ {
			t.Run(fmt.Sprintf("%s/%d", s.Name, seed), func(t *testing.T) {
				r := RunPlan(scripted(seed, s), Options{Seed: seed, Profile: Swarm})
				require.Empty(t, r.Violations)
				ran++
				if len(r.Vacuous) == 0 && r.Faults["world: plan: "+s.Name] > 0 {
					shown++
				}
			})
		}
		require.True(t, ran < 4 || shown >= 2, "%s shows nothing on most seeds", s.Name)
	}
}

// scripted is the plan of a seed, made to follow a script.
func scripted(seed uint64, s Script) Plan {
	rnd := clock.NewSim(seed).Rand("plan")
	p := NewPlan(seed, Swarm, rnd)
	p.follow(s, newJournalPlan(rnd, Swarm))
	return p
}

func TestOneRunInTenFollowsAScript(t *testing.T) {
	n := map[string]int{}
	for seed := range uint64(1000) {
		n[NewPlan(seed, Swarm, clock.NewSim(seed).Rand("plan")).Script]++
	}
	for _, s := range Scripts() {
		require.Positive(t, n[s.Name], s.Name)
	}
	require.Greater(t, n[""], 850)
	require.Less(t, n[""], 950)
	_, known := ParseScript("no such")
	require.False(t, known)
}
