package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
)

// TestSeedsHold runs a sample of seeds of each profile; many more run outside of tests.
func TestSeedsHold(t *testing.T) {
	for _, p := range Profiles() {
		for seed := uint64(1); seed <= 3; seed++ {
			t.Run(fmt.Sprintf("%s/%d", p.Name, seed), func(t *testing.T) {
				r := Run(Options{Seed: seed, Profile: p.Name})
				require.Empty(t, r.Violations, "lockstep-sim replay %d --profile %s", seed, p.Name)
				require.Empty(t, r.Vacuous)
				require.Equal(t, "ok", r.Result)
			})
		}
	}
}

func TestOneSeedIsOneRun(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(string(p.Name), func(t *testing.T) {
			a := Run(Options{Seed: 11, Profile: p.Name})
			b := Run(Options{Seed: 11, Profile: p.Name})
			require.Equal(t, a.TraceHash, b.TraceHash)
			require.Equal(t, a.Events, b.Events)
			require.Equal(t, a.Operations, b.Operations)
		})
	}
	require.NotEqual(t, Run(Options{Seed: 11, Profile: Calm}).TraceHash, Run(Options{Seed: 12, Profile: Calm}).TraceHash)
}

func TestTracingChangesNothing(t *testing.T) {
	quiet := Run(Options{Seed: 13, Profile: Swarm})
	lines := 0
	loud := Run(Options{Seed: 13, Profile: Swarm, Level: clock.LevelTask, Log: true, Sink: func(clock.Level, time.Duration, string, string) { lines++ }})
	require.Equal(t, quiet.TraceHash, loud.TraceHash)
	require.Greater(t, uint64(lines), loud.Events)
}

func TestRunThatIsCutHasNoVerdict(t *testing.T) {
	r := Run(Options{Seed: 14, Profile: Calm, Until: 3 * time.Second})
	require.Equal(t, "cut", r.Result)
	require.InDelta(t, 3.0, r.Virtual, 1e-9)
	require.Empty(t, r.Violations)
}

func TestRunThatDoesNothingIsVacuous(t *testing.T) {
	plan := NewPlan(15, Calm, clock.NewSim(15).Rand("plan"))
	plan.Think, plan.Burst = time.Hour, 1
	r := RunPlan(plan, Options{Seed: 15, Profile: Calm})
	require.Equal(t, "vacuous", r.Result)
	require.Contains(t, r.Vacuous[0], "publishes: ")
}

func TestResultIsOneObject(t *testing.T) {
	text, err := json.Marshal(Run(Options{Seed: 16, Profile: Disk}))
	require.NoError(t, err)
	var object map[string]any
	require.NoError(t, json.Unmarshal(text, &object))
	var keys []string
	for key := range object { //lockstep:ordered sorted below
		keys = append(keys, key)
	}
	slices.Sort(keys)
	require.Equal(t, []string{
		"events", "faults", "operations", "profile", "result", "seed", "trace_hash", "violations", "virtual_seconds", "wall_seconds",
	}, keys)
}

func TestPlansAreDrawnWithinTheirRanges(t *testing.T) {
	on := map[string]int{}
	for seed := range uint64(300) {
		p := NewPlan(seed, Swarm, clock.NewSim(seed).Rand("plan"))
		require.GreaterOrEqual(t, p.Clients, 3)
		require.LessOrEqual(t, p.MaxPayload, p.MaxPending*2)
		for _, r := range p.Rates {
			on[r.Family]++
			for _, f := range families {
				if f.name == r.Family {
					require.GreaterOrEqual(t, r.PerSecond, f.min)
					require.LessOrEqual(t, r.PerSecond, f.max)
				}
			}
		}
	}
	for _, f := range families {
		require.Greater(t, on[f.name], 75, "%s is on in about half of the runs", f.name)
		require.Less(t, on[f.name], 200)
	}
}

func TestCalmHasNoFaults(t *testing.T) {
	r := Run(Options{Seed: 17, Profile: Calm})
	for name := range r.Faults { //lockstep:ordered each is judged by itself
		if strings.HasPrefix(name, "store: ") || strings.HasPrefix(name, "net: ") {
			continue // the audit of JetStream restarts the server
		}
		require.Contains(t, name, "garbage", "only hostile clients")
	}
}

func TestProfileNames(t *testing.T) {
	p, err := ParseProfile("network")
	require.NoError(t, err)
	require.Equal(t, Network, p)
	_, err = ParseProfile("stormy")
	require.EqualError(t, err, `profile "stormy" is unknown: there are calm, network, crash, disk, swarm, plans, streams, cluster, replicas`)
}

func TestPayloadsAreRecognized(t *testing.T) {
	for _, size := range []int{0, 4, 30, 26 * 100, 60_000} {
		p := appendPayload(nil, 12345, size)
		id, intact := readPayload(p)
		require.True(t, intact)
		require.EqualValues(t, 12345, id)
		if size > 10 {
			p[len(p)-1]++
			_, intact = readPayload(p)
			require.False(t, intact)
		}
	}
	for _, bad := range []string{"", "#", "#;", "x12;a", "#1x;", "#1"} {
		_, intact := readPayload([]byte(bad))
		require.False(t, intact, bad)
	}
}
