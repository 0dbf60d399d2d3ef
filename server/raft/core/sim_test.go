package core

import (
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

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
		if missing := c.converge(); missing != "" {
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
	for s := *seed1; s < *seed1+uint64(*seeds); s++ {
		c, broken := runChaos(s, 3000)
		if broken != "" {
			t.Fatalf("seed %d: %s\nreplay: go test ./server/raft/core -run TestSimulation -seed %d -seeds 1", s, broken, s)
		}
		for fault, n := range c.faults {
			total[fault] += n
		}
		total["commits"] += c.judge.commits
		total["elections"] += c.judge.elections
		total["truncations"] += c.judge.cuts
		total["reads"] += c.judge.reads
		total["snapshots"] += c.judge.installs
	}
	t.Log(fmt.Sprint(total))
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
	reformed := 0
	for seed := range uint64(60) {
		c := newChaos(seed)
		c.forgets, c.damages, c.membership, c.compacts = 0, 0, 0, 0
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
	}
	require.Greater(t, reformed, 100)
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
