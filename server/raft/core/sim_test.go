package core

import (
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seeds = flag.Int("seeds", 400, "how many seeds the simulation runs")
	loud  = flag.Bool("loud", false, "print what happens")
	seed1 = flag.Uint64("seed", 1, "the first seed")
)

// runChaos runs a seed and tells what went wrong.
func runChaos(seed uint64, steps int) (c *chaos, broken string) {
	c = newChaos(seed)
	defer func() {
		if p := recover(); p != nil {
			broken = fmt.Sprintf("RAFT.crash-free: %v\n%s", p, debug.Stack())
		}
	}()
	if *loud {
		c.detail = true
		c.trace = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	}
	for i := 0; i < steps && len(c.judge.broken) == 0; i++ {
		c.step()
		if i%64 == 0 {
			c.judge.logs()
		}
	}
	if len(c.judge.broken) == 0 {
		c.heal(c.r.IntN(2) == 0)
		missing := c.converge()
		if missing == "" {
			c.sleepWithoutLeader()
			missing = c.converge()
		}
		if missing != "" {
			var all strings.Builder
			for _, n := range c.nodes {
				n.status(&all)
			}
			name := "RAFT.converge"
			if c.leader() == nil {
				name = "RAFT.elect"
			}
			c.judge.violation(name+": %s\n%s", missing, all.String())
		}
		c.judge.logs()
	}
	return c, strings.Join(c.judge.broken, "\n")
}

// TestSimulation runs seeds of faults and demands that all invariants hold, and that everything
// converges after the faults have ended.
func TestSimulation(t *testing.T) {
	total := map[string]int{}
	slowest := time.Duration(0)
	for s := *seed1; s < *seed1+uint64(*seeds); s++ {
		c, broken := runChaos(s, 3000)
		if broken != "" {
			t.Fatalf("seed %d: %s\nreplay: go test ./server/raft/core -run TestSimulation -seed %d -seeds 1", s, broken, s)
		}
		for fault, n := range c.faults {
			total[fault] += n
		}
		total["commits"] += c.judge.commits
		slowest = max(slowest, c.slowest)
		total["elections"] += c.judge.elections
		total["truncations"] += c.judge.cuts
		total["reads"] += c.judge.reads
		total["snapshots"] += c.judge.installs
	}
	t.Log(fmt.Sprint(total), "slowest convergence", slowest)
	if *seeds < 100 {
		return
	}
	for _, what := range []string{
		"commits", "elections", "truncations", "reads", "snapshots", "crash", "cut", "wipe", "lose", "roll-back", "damage", "change", "compact", "transfer", "sleep",
	} {
		if total[what] == 0 {
			t.Errorf("no %s happened: the simulation is vacuous", what)
		}
	}
}

// TestReform takes the newest entries of all members at once, over and over, as the loss of power
// does to servers that flush rarely: what is left on any of them is found again, on all.
func TestReform(t *testing.T) {
	reformed, slowest := 0, time.Duration(0)
	for seed := range uint64(60) {
		c := newChaos(seed)
		c.forgets, c.damages, c.membership, c.compacts, c.churns = 0, 0, 0, 0, 0
		for round := 0; round < 4 && len(c.judge.broken) == 0; round++ {
			for range 600 {
				c.step()
			}
			want := c.loseAll()
			c.heal(false)
			for _, n := range c.nodes {
				n.c.Reform(true)
				n.pump()
			}
			c.proposed = max(c.proposed, 0)
			if missing := c.converge(); missing != "" {
				c.judge.violation("RAFT.converge in round %d: %s", round, missing)
			}
			for _, n := range c.nodes {
				for _, e := range want {
					if n.c.TermAt(e.Index) != e.Term {
						c.judge.violation("RAFT.reform: member %d lost entry %d of term %d, which was on a disk", n.id, e.Index, e.Term)
					}
				}
				n.c.Reform(false)
				n.slow = c.slow
			}
			if l := c.leader(); l != nil && l.c.Hard().Term > reformGap*Term(round+1) {
				reformed++
			}
			c.proposed = 1000 * (round + 1)
		}
		require.Empty(t, c.judge.broken, "seed %d", seed)
		slowest = max(slowest, c.slowest)
	}
	require.Greater(t, reformed, 100)
	t.Log(reformed, "reformed, slowest convergence", slowest)
}

// loseAll crashes all members, takes a part of each log, and tells the log that goes furthest.
func (c *chaos) loseAll() []Entry {
	var best []Entry
	least := 1
	c.net = nil
	for _, n := range c.nodes {
		n.crash(0)
		if n.disk.hard.Life == 0 {
			continue
		}
		n.disk.entries = n.disk.entries[:max(least, len(n.disk.entries)-c.r.IntN(6))]
		n.disk.hard.Term = max(1, n.disk.hard.Term-Term(c.r.IntN(2)))
		c.forget(n)
		last, most := n.disk.entries[len(n.disk.entries)-1], Entry{}
		if len(best) > 0 {
			most = best[len(best)-1]
		}
		if last.Term > most.Term || last.Term == most.Term && last.Index > most.Index {
			best = n.disk.entries
		}
	}
	keep := 0
	for keep < min(len(best), len(c.judge.committed)) && c.judge.committed[keep].term == best[keep].Term {
		keep++
	}
	c.judge.committed, c.judge.states = c.judge.committed[:keep], c.judge.states[:min(keep, len(c.judge.states))]
	c.judge.exempt = true
	return slices.Clone(best)
}

// TestRepairWithoutAMajority damages entries on all members, so that none is sound, but leaves
// each entry intact on one: they get everything back from each other, and nobody forgets.
func TestRepairWithoutAMajority(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(seed)
		w.bootstrap(3+2*int(seed%2), 1)
		for i := range 30 {
			if _, err := w.node(1).c.Propose(0, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			w.node(1).pump()
			w.settle()
		}
		w.pass(10 * time.Millisecond)
		want := w.node(1).machine
		for _, n := range w.nodes {
			n.crash(0)
		}
		w.judge.tainted = true
		for i := Index(1); i < 31; i++ {
			intact := w.rand.IntN(len(w.nodes))
			for k, n := range w.nodes {
				if k != intact && w.rand.IntN(2) == 0 {
					n.damage(i)
				}
			}
		}
		for _, n := range w.nodes {
			require.NotEmpty(t, n.disk.damaged)
			n.start()
		}
		w.pass(time.Second)
		l := w.leader()
		require.NotNil(t, l, "seed %d", seed)
		for _, n := range w.nodes {
			require.Empty(t, n.disk.damaged)
			require.Equal(t, FirstLife, n.c.Hard().Life)
			require.Equal(t, want.hash, w.judge.states[30], "what was committed is what is there")
			require.Equal(t, l.machine, n.machine)
		}
		require.Empty(t, w.judge.broken, "seed %d", seed)
	}
}
