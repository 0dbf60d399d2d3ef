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

// same tells whether all running servers have applied the same, up to the leader's last entry.
func (c *cluster) same() bool {
	l := c.leader()
	if l == nil || l.book.group == nil {
		return false
	}
	for _, s := range c.servers {
		if !s.up {
			continue
		}
		if b := s.book; b == nil || b.group == nil || b.hash != l.book.hash || b.group.Applied() != l.book.group.Last() {
			return false
		}
	}
	return true
}

func (c *cluster) fine(t *testing.T) {
	t.Helper()
	require.Empty(t, c.judge.broken)
}

func TestReplicatedGroupBeginsWithItsLeader(t *testing.T) {
	c := newCluster(t, 1, 3, true, nil)
	c.create()
	require.True(t, c.until(50*time.Millisecond, func() bool { return c.leader() != nil }))
	require.EqualValues(t, 1, c.leader().id)
	require.EqualValues(t, 1, c.leader().book.leads)
	c.leader().propose("a", "b", "c")
	require.True(t, c.until(50*time.Millisecond, func() bool {
		return len(c.server(2).book.lines) == 3 && len(c.server(3).book.lines) == 3 && c.same()
	}))
	require.Len(t, c.judge.acked, 3)
	var err error
	c.server(2).do(func(g *raft.Group) { err = g.Propose([]byte("d"), nil, raft.Prompt) })
	c.run(time.Millisecond)
	require.ErrorIs(t, err, raft.ErrNotLeader)
	require.EqualValues(t, 1, c.server(2).book.follows)
	c.fine(t)
}

func TestReplicatedGroupFailsOver(t *testing.T) {
	c := newCluster(t, 2, 3, true, nil)
	c.create()
	c.run(100 * time.Millisecond)
	for _, id := range []core.MemberID{2, 3} { // nobody is told
		c.cut[[2]core.MemberID{1, id}], c.cut[[2]core.MemberID{id, 1}] = true, true
	}
	c.server(1).propose("lost")
	require.True(t, c.until(3*time.Second, func() bool { l := c.leader(); return l != nil && l.id != 1 }))
	c.leader().propose("kept")
	require.True(t, c.until(time.Second, func() bool { return c.judge.acked["kept"] > 0 }))
	require.True(t, c.until(3*time.Second, func() bool { return c.server(1).book.leads == 0 }))
	c.sever(1, 2, false)
	c.sever(1, 3, false)
	require.True(t, c.until(3*time.Second, c.same))
	require.Equal(t, []string{"kept"}, c.server(1).book.lines)
	require.Equal(t, 1, c.judge.unsure)
	require.Empty(t, c.server(1).book.flying)
	c.fine(t)
}

func TestIdleGroupSleepsAndWakes(t *testing.T) {
	c := newCluster(t, 3, 3, true, nil)
	c.create()
	c.run(100 * time.Millisecond)
	c.leader().propose("a")
	require.True(t, c.until(10*time.Second, func() bool {
		n := int64(0)
		for _, s := range c.servers {
			n += s.host.Metrics().Asleep
		}
		return n == 3
	}))
	c.run(time.Second)
	before := c.sim.Events()
	c.run(time.Hour)
	require.Less(t, c.sim.Events()-before, uint64(10), "a sleeping group costs nothing")
	c.leader().propose("b")
	require.True(t, c.until(100*time.Millisecond, func() bool { return len(c.judge.acked) == 2 && c.same() }))

	c.run(5 * time.Second)
	c.server(1).stop(false)
	require.True(t, c.until(3*time.Second, func() bool { l := c.leader(); return l != nil }), "the host tells that the leader is gone")
	c.fine(t)
}

func TestReadsSeeWhatWasAcknowledged(t *testing.T) {
	c := newCluster(t, 4, 3, true, nil)
	c.create()
	c.run(10 * time.Second) // asleep
	c.leader().propose("a")
	require.True(t, c.until(time.Second, func() bool { return c.judge.acked["a"] > 0 }))
	for _, s := range c.servers {
		told := false
		s.do(func(g *raft.Group) {
			g.ReadIndex(func(err error) {
				require.NoError(t, err)
				require.Equal(t, []string{"a"}, s.book.lines)
				told = true
			})
		})
		require.True(t, c.until(time.Second, func() bool { return told }), "server %d", s.id)
	}
	c.fine(t)
}

func TestMembersChange(t *testing.T) {
	c := newCluster(t, 5, 3, true, nil)
	c.create()
	c.run(100 * time.Millisecond)
	for i := range 40 {
		c.leader().propose(fmt.Sprint(i))
		c.run(2 * time.Millisecond)
	}
	four := c.add()
	four.start()
	four.open(raft.Members{}, true)
	change := func(ch core.Change) {
		t.Helper()
		var told error = core.ErrPending
		done := false
		c.leader().do(func(g *raft.Group) { g.ProposeConfig(ch, func(err error) { told, done = err, true }) })
		require.True(t, c.until(5*time.Second, func() bool { return done }))
		require.NoError(t, told)
	}
	change(core.Change{Join: []core.MemberID{4}})
	require.True(t, c.until(5*time.Second, func() bool {
		if c.leader() == nil {
			return false
		}
		cfg := c.leader().book.group.Members()
		return len(cfg.Voters) == 4 && !cfg.Joint()
	}))
	require.True(t, c.until(time.Second, c.same))
	require.Len(t, four.book.lines, 40)

	change(core.Change{Remove: []core.MemberID{1}}) // the leader itself
	require.True(t, c.until(5*time.Second, func() bool { return c.leader() != nil && c.leader().id != 1 }))
	require.EqualValues(t, 0, c.server(1).book.leads)

	var err error
	from := c.leader().id
	to := core.MemberID(4)
	if from == to {
		to = 3
	}
	c.leader().do(func(g *raft.Group) { err = g.TransferLeadership(to) })
	require.True(t, c.until(time.Second, func() bool { return c.server(to).book.leads > 0 }))
	require.NoError(t, err)
	c.server(to).do(func(g *raft.Group) { err = g.StepDown() })
	require.True(t, c.until(2*time.Second, func() bool { return c.leader() != nil && c.leader().id != to }))
	require.NoError(t, err)
	c.fine(t)
}

// TestLaggingFollowerIsReadFor catches up from the leader's disk: memory has no more what it needs, and no
// snapshot is taken, though the leader has made checkpoints.
func TestLaggingFollowerIsReadFor(t *testing.T) {
	c := newCluster(t, 10, 3, false, func(c *cluster) {
		c.cfg.CacheBytes, c.cfg.CheckpointBytes = 1, 1000
		c.walCfg.LogBytesMax = 1 << 20
	})
	c.create()
	c.run(100 * time.Millisecond)
	c.sever(1, 3, true)
	c.sever(2, 3, true)
	for i := range 100 {
		c.leader().propose(fmt.Sprintf("%d %050d", i, 0))
		c.run(5 * time.Millisecond)
	}
	require.Greater(t, c.leader().book.saved, 2)
	require.Empty(t, c.server(3).book.lines)
	c.sever(1, 3, false)
	c.sever(2, 3, false)
	require.True(t, c.until(3*time.Second, c.same))
	require.Len(t, c.server(3).book.lines, 100)
	require.Zero(t, c.judge.installs)
	c.fine(t)
}

// TestFencedLeaderHandsOver leads until its disk fails; another leads before a silence would have been noticed.
func TestFencedLeaderHandsOver(t *testing.T) {
	c := newCluster(t, 11, 3, false, nil)
	c.create()
	c.run(100 * time.Millisecond)
	c.server(1).disk.SetFaults(storage.DiskFaults{SyncError: 1})
	c.server(1).propose("a")
	require.True(t, c.until(100*time.Millisecond, func() bool { return c.server(1).book.failed != nil }))
	require.ErrorIs(t, c.server(1).book.failed, raft.ErrFenced)
	require.True(t, c.until(400*time.Millisecond, func() bool { return c.leader() != nil }))
	require.EqualValues(t, 1, c.leader().host.Metrics().Leaders)
	c.leader().propose("b")
	require.True(t, c.until(time.Second, func() bool { return c.judge.acked["b"] > 0 }))
	c.fine(t)
}

// TestFullFollowerGoesOnWithRoom has a disk without room for a while.
func TestFullFollowerGoesOnWithRoom(t *testing.T) {
	c := newCluster(t, 12, 3, false, nil)
	c.create()
	c.run(100 * time.Millisecond)
	c.server(3).disk.SetFaults(storage.DiskFaults{Capacity: 1})
	for i := range 20 {
		c.leader().propose(fmt.Sprintf("%d %050d", i, 0))
		c.run(20 * time.Millisecond)
	}
	require.Len(t, c.judge.acked, 20, "two are enough")
	require.Less(t, len(c.server(3).book.lines), 20)
	c.server(3).disk.SetFaults(storage.DiskFaults{})
	require.True(t, c.until(10*time.Second, c.same))
	require.NoError(t, c.server(3).book.failed)
	c.fine(t)
}

// TestUnknownGroupIsTold tells that others expect a group here.
func TestUnknownGroupIsTold(t *testing.T) {
	c := newCluster(t, 13, 3, true, nil)
	c.first = []core.MemberID{1, 2, 3}
	for _, s := range c.servers[:2] {
		s.open(raft.Members{Voters: c.first, Leader: 1}, true)
	}
	require.True(t, c.until(time.Second, func() bool { return c.server(3).unknown > 0 }))
	c.server(3).open(raft.Members{Voters: c.first, Leader: 1}, true)
	c.run(10 * time.Millisecond)
	c.leader().propose("a")
	require.True(t, c.until(time.Second, func() bool { return len(c.judge.acked) == 1 && c.same() }))
	for _, p := range [][]byte{nil, {0}, {1, 1}, {1, 1, 1, 9}, {1, 1, 1, 0, 0x80, 0x80, 0x80, 0x80, 0}, {1, 1, 1, 0, 0x81, 0x80, 0x80, 0x80, 0, 7}} {
		c.server(1).host.Frame(2, p) // nobody minds
	}
	c.run(time.Second)
	require.EqualValues(t, 6, c.server(1).host.Metrics().DroppedIn)
	c.fine(t)
}

// TestWipedServerIsAdmittedAgain lives another life, with all that the others have.
func TestWipedServerIsAdmittedAgain(t *testing.T) {
	c := newCluster(t, 14, 3, false, func(c *cluster) { c.cfg.CheckpointBytes = 200 })
	c.create()
	c.run(100 * time.Millisecond)
	for i := range 30 {
		c.leader().propose(fmt.Sprintf("%d %050d", i, 0))
		c.run(5 * time.Millisecond)
	}
	s := c.server(3)
	s.stop(true)
	s.disk.Wipe()
	s.lost = true
	s.restart()
	require.True(t, c.until(10*time.Second, func() bool {
		if !s.sound() || s.book.group.Life() == core.FirstLife {
			return false
		}
		cfg := c.leader().book.group.Members()
		return !cfg.Joint() && cfg.Names(3, s.book.group.Life()) && c.same()
	}))
	require.Len(t, s.book.lines, 30)
	require.Positive(t, s.host.Metrics().SnapshotsInstalled)
	c.fine(t)
}
