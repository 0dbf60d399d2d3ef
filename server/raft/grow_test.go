package raft_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage"
)

// openAlone opens the group as one of one member.
func (s *server) openAlone(fresh bool) *book {
	b := &book{s: s, strand: s.machine.NewStrand("group"), alone: true}
	s.book = b
	b.strand.Post(func() {
		g, err := s.host.Open(raft.Options{
			ID: gid(1), Name: "book", Strand: b.strand, Machine: b, Memory: s.c.memory, Fresh: fresh,
		})
		if err != nil {
			s.c.judge.violation("server %d: open: %v", s.id, err)
			return
		}
		b.group = g
	})
	return b
}

// TestGroupOfOneGrows replicates a group in place: it goes on by itself, takes members, and survives its first
// server.
func TestGroupOfOneGrows(t *testing.T) {
	for _, memory := range []bool{false, true} {
		for _, entries := range []int{0, 20} {
			t.Run(fmt.Sprintf("memory=%v/entries=%d", memory, entries), func(t *testing.T) {
				c := newCluster(t, 6, 3, memory, nil)
				s := c.server(1)
				s.openAlone(true)
				for i := range entries {
					s.propose(fmt.Sprint("alone", i))
				}
				c.run(100 * time.Millisecond)
				var grown error = core.ErrPending
				busy := false
				s.do(func(g *raft.Group) {
					g.Replicate(raft.Members{}, func(err error) { grown = err })
					busy = memory || g.Propose([]byte("early"), nil, raft.Prompt) != nil
				})
				require.True(t, c.until(time.Second, func() bool { return s.book.leads > 0 }))
				require.NoError(t, grown)
				require.True(t, busy)
				s.propose("first")
				require.True(t, c.until(time.Second, func() bool { return c.judge.acked["first"] > 0 }))

				for _, o := range c.servers[1:] {
					o.open(raft.Members{}, true)
				}
				c.run(10 * time.Millisecond)
				for _, o := range c.servers[1:] {
					c.run(50 * time.Millisecond)
					var joined error = core.ErrPending
					s.do(func(g *raft.Group) {
						g.ProposeConfig(core.Change{Join: []core.MemberID{o.id}}, func(err error) { joined = err })
					})
					require.True(t, c.until(5*time.Second, func() bool {
						cfg := s.book.group.Members()
						return joined == nil && !cfg.Joint() && cfg.Names(o.id, o.book.group.Life())
					}), "server %d: %v", o.id, joined)
				}
				s.propose("second")
				require.True(t, c.until(time.Second, func() bool { return c.judge.acked["second"] > 0 && c.same() }))
				require.Len(t, c.server(3).book.lines, entries+2)
				s.stop(true)
				require.True(t, c.until(5*time.Second, func() bool { return c.leader() != nil }))
				c.leader().propose("third")
				require.True(t, c.until(time.Second, func() bool { return c.judge.acked["third"] > 0 }))
				s.restart()
				require.True(t, c.until(5*time.Second, func() bool { return c.same() && len(s.book.lines) == entries+3 }))
				c.fine(t)
			})
		}
	}
}

// TestGrowingSurvivesCrashes ends the process at every operation of the disk while a group grows: it is found
// whole, as one of several members, with what it had.
func TestGrowingSurvivesCrashes(t *testing.T) {
	for at := range uint64(14) {
		c := newCluster(t, 7+at, 1, false, func(c *cluster) { c.files = at%2 == 0 })
		s := c.server(1)
		s.openAlone(true)
		s.propose("a", "b", "c")
		require.True(t, c.until(time.Second, func() bool { return len(s.book.lines) == 3 }))
		at += s.disk.Ops()
		machine := s.machine
		s.disk.Hook = func(op storage.DiskOp) storage.CrashPoint {
			if op.Number != at {
				return storage.CrashPoint{}
			}
			machine.Kill()
			return storage.CrashPoint{Stage: storage.CrashAfter, Power: at%3 == 0}
		}
		s.do(func(g *raft.Group) { g.Replicate(raft.Members{}, func(error) {}) })
		c.run(time.Second)
		s.disk.Hook = nil
		c.judge.leaders = map[core.Term]core.MemberID{}
		if s.disk.Mounted() {
			s.stop(false)
		}
		s.restart() // with Members
		require.True(t, c.until(3*time.Second, func() bool { return s.book.leads > 0 }), "operation %d: %+v %v %+v", at, s.book, c.judge.broken, s.book.group.State())
		s.propose("d")
		require.True(t, c.until(time.Second, func() bool { return c.judge.acked["d"] > 0 }))
		require.Equal(t, []string{"a", "b", "c", "d"}, s.book.lines)
		c.fine(t)
	}
}

func TestReplicateRefuses(t *testing.T) {
	w := opened(t)
	m := w.open(gid(1), false)
	var refused error
	m.strand.Post(func() { m.group.Replicate(raft.Members{}, func(err error) { refused = err }) })
	w.settle()
	require.ErrorContains(t, refused, "no lane")
	m.propose(raft.Prompt, "a")
	w.settle()
	require.Len(t, m.applied, 1, "it goes on")
	_, err := w.host.Open(raft.Options{ID: gid(2), Strand: m.strand, Machine: m, Members: &raft.Members{}})
	require.ErrorContains(t, err, "no lane")

	c := newCluster(t, 8, 3, false, nil)
	c.create()
	c.run(time.Second)
	c.server(1).do(func(g *raft.Group) { g.Replicate(raft.Members{}, func(err error) { refused = err }) })
	c.run(time.Millisecond)
	require.ErrorContains(t, refused, "several members already")
	s := c.server(2)
	s.stop(false)
	s.start()
	b := s.openAlone(false)
	c.run(time.Second)
	require.ErrorContains(t, b.failed, "opened as a group of one")
}
