package raft_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage"
)

func TestGroupAppliesInOrderAndReplays(t *testing.T) {
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprintf("memory=%v", memory), func(t *testing.T) {
			w := opened(t)
			m := w.open(gid(1), memory)
			m.propose(raft.Prompt, "a", "b")
			m.propose(raft.Lazy, "c")
			m.propose(raft.Unflushed, "d")
			m.propose(raft.Prompt, "e")
			w.settle()
			require.Equal(t, []string{"a", "b", "c", "d", "e"}, m.applied)
			require.Equal(t, []any{"a", "b", "c", "d", "e"}, m.tags)
			require.True(t, m.replayed)
			require.EqualValues(t, 5, m.group.Applied())
			require.Zero(t, m.group.Unapplied())
			require.Zero(t, w.host.Metrics().Unapplied)

			w.end(true)
			w.start()
			if memory {
				require.Empty(t, w.host.Unopened())
				return
			}
			require.Equal(t, []raft.ID{gid(1)}, w.host.Unopened())
			m = w.open(gid(1), false)
			m.propose(raft.Prompt, "f")
			w.settle()
			require.Empty(t, w.host.Unopened())
			require.Equal(t, []string{"a", "b", "c", "d", "e", "f"}, m.applied)
			require.Equal(t, []any{nil, nil, nil, nil, nil, "f"}, m.tags)
			require.Equal(t, []string{"f"}, m.spent, "what was proposed, not what was replayed")
		})
	}
}

func TestGroupCommitsOnlyWhatIsFlushed(t *testing.T) {
	w := opened(t)
	m := w.open(gid(1), false)
	w.settle()
	w.disk.SetFaults(storage.DiskFaults{SyncTime: time.Millisecond})
	m.propose(raft.Prompt, "a")
	for range 3 {
		w.sim.Step()
	}
	require.Empty(t, m.applied)
	w.settle()
	require.Equal(t, []string{"a"}, m.applied)

	before := w.sim.Now()
	m.propose(raft.Unflushed, "b")
	w.until(func() bool { return len(m.applied) == 2 })
	require.Less(t, w.sim.Now()-before, 10*time.Microsecond, "at once")
	m.propose(raft.Lazy, "c")
	w.until(func() bool { return len(m.applied) == 3 })
	require.Less(t, w.sim.Now()-before, 30*time.Millisecond)
}

func TestGroupUnflushedWaitsForWhatIsBefore(t *testing.T) {
	w := opened(t)
	m := w.open(gid(1), false)
	w.settle()
	w.disk.SetFaults(storage.DiskFaults{SyncTime: time.Second})
	m.propose(raft.Prompt, "a")
	m.propose(raft.Unflushed, "b", "c")
	m.propose(raft.Lazy, "d")
	for range 6 {
		w.sim.Step()
	}
	require.Empty(t, m.applied)
	w.until(func() bool { return len(m.applied) > 0 })
	require.Equal(t, []string{"a", "b", "c"}, m.applied[:3])
	w.settle()
	require.Len(t, m.applied, 4)
}

func TestGroupResumesWhereTheMachineStopped(t *testing.T) {
	w := opened(t)
	m := w.open(gid(1), false)
	m.refuse = 3
	m.propose(raft.Prompt, "a", "b")
	w.settle()
	require.Equal(t, []string{"a", "b"}, m.applied)
}

func TestGroupCheckpointsWhenMuchWasLogged(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.CheckpointBytes, w.walCfg.LogBytesMax = 1<<10, 1<<20
	w.start()
	m := w.open(gid(1), false)
	for i := range 100 {
		m.propose(raft.Prompt, strings.Repeat("x", 50), fmt.Sprint(i))
		w.settle()
	}
	assert.Greater(t, m.saved, 3)
	assert.Less(t, m.saved, 12)
	w.end(true)
	w.start()
	m = w.open(gid(1), false)
	w.settle()
	require.Len(t, m.applied, 200)
	require.Greater(t, 50, len(m.tags), "most came with the state")
}

func TestGroupCheckpointNow(t *testing.T) {
	w := opened(t)
	m := w.open(gid(1), false)
	m.propose(raft.Prompt, "a", "b")
	w.settle()
	m.hold = true
	told := 0
	ask := func() {
		m.group.CheckpointNow(func(err error) { assert.NoError(t, err); told++ })
	}
	m.strand.Post(ask)
	w.settle()
	require.Zero(t, told)
	m.propose(raft.Prompt, "c") // applied while it is under way
	m.strand.Post(ask)          // for the next
	w.settle()
	require.Equal(t, []string{"a", "b", "c"}, m.applied)
	m.strand.Post(m.released)
	w.settle()
	require.Equal(t, 1, told)
	m.strand.Post(m.released)
	w.settle()
	require.Equal(t, 2, told)
	require.Equal(t, 2, m.saved)

	m.hold, m.broken = false, errBroken
	var failed error
	m.strand.Post(func() { m.group.CheckpointNow(func(err error) { failed = err }) })
	w.settle()
	require.ErrorIs(t, failed, errBroken)
	w.end(true)
	w.start()
	m = w.open(gid(1), false)
	w.settle()
	require.Equal(t, []string{"a", "b", "c"}, m.applied)
	require.Empty(t, m.tags)
}

func TestGroupsFailWhenTheLogIsFenced(t *testing.T) {
	w := opened(t)
	a, b, c := w.open(gid(1), false), w.open(gid(2), false), w.open(gid(3), true)
	w.settle()
	w.disk.SetFaults(storage.DiskFaults{SyncError: 1})
	a.propose(raft.Prompt, "lost or not")
	w.settle()
	require.ErrorIs(t, a.failed, raft.ErrFenced)
	require.ErrorIs(t, b.failed, raft.ErrFenced)
	require.NoError(t, c.failed)
	require.Empty(t, a.applied)
	require.ErrorIs(t, a.group.Propose(nil, nil, raft.Prompt), raft.ErrFenced)
	require.Zero(t, w.host.Metrics().Unapplied)
}

func TestGroupStopAndDrop(t *testing.T) {
	w := opened(t)
	a, b := w.open(gid(1), false), w.open(gid(2), false)
	a.propose(raft.Prompt, "a")
	b.propose(raft.Prompt, "b")
	w.settle()
	_, err := w.host.Open(raft.Options{ID: gid(1), Strand: a.strand, Machine: a})
	require.ErrorIs(t, err, raft.ErrOpen)
	stopped, dropped := false, false
	a.strand.Post(func() {
		require.NoError(t, a.group.Propose([]byte("last"), nil, raft.Prompt))
		a.group.Stop(func() { stopped = true })
		require.ErrorIs(t, a.group.Propose(nil, nil, raft.Prompt), raft.ErrStopped)
	})
	b.strand.Post(func() { b.group.Drop(func(err error) { assert.NoError(t, err); dropped = true }) })
	w.settle()
	require.True(t, stopped)
	require.True(t, dropped)
	require.Zero(t, w.host.Metrics().Groups)
	w.end(true)
	w.start()
	require.Equal(t, []raft.ID{gid(1)}, w.host.Unopened())
	a = w.open(gid(1), false)
	w.settle()
	require.Equal(t, []string{"a", "last"}, a.applied)

	w.end(true)
	w.start()
	gone := false
	w.host.DropUnopened(gid(1), w.machine.NewStrand("main"), func(err error) { assert.NoError(t, err); gone = true })
	w.settle()
	require.True(t, gone)
	w.end(true)
	w.start()
	require.Empty(t, w.host.Unopened())
}

// TestGroupOpensAgainAfterStop finds in the log, once more, what was there.
func TestGroupOpensAgainAfterStop(t *testing.T) {
	w := opened(t)
	m := w.open(gid(1), false)
	m.propose(raft.Prompt, "a", "b")
	w.settle()
	m.strand.Post(func() { m.group.CheckpointNow(nil) })
	w.settle()
	m.propose(raft.Prompt, "c")
	stop := func(m *ledger) {
		stopped := false
		m.strand.Post(func() { m.group.Stop(func() { stopped = true }) })
		require.True(t, w.until(func() bool { return stopped }))
	}
	stop(m)
	m = w.open(gid(1), false)
	require.ErrorIs(t, m.group.Propose([]byte("early"), nil, raft.Prompt), raft.ErrBusy)
	w.settle()
	require.Equal(t, []string{"a", "b", "c"}, m.applied)
	require.Len(t, m.tags, 1)
	m.propose(raft.Prompt, "d")
	w.settle()
	stop(m)
	m = w.open(gid(1), false)
	stop(m) // before it was found
	w.settle()
	m = w.open(gid(1), false)
	w.settle()
	require.Equal(t, []string{"a", "b", "c", "d"}, m.applied)
	stop(m)
	m = w.open(gid(1), false)
	dropped := false
	m.strand.Post(func() { m.group.Drop(func(err error) { assert.NoError(t, err); dropped = true }) })
	w.settle()
	require.True(t, dropped)
	w.end(true)
	w.start()
	require.Empty(t, w.host.Unopened())
}

func TestGroupBoundsWhatIsNotApplied(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.UnappliedMax, w.cfg.UnappliedTotalMax = 1000, 1500
	w.start()
	a, b := w.open(gid(1), false), w.open(gid(2), true)
	var errs []error
	propose := func(m *ledger, n int) func() {
		return func() { errs = append(errs, m.group.Propose(make([]byte, n), nil, raft.Prompt)) }
	}
	w.settle()
	a.strand.Post(func() {
		propose(a, 2000)() // the only one is taken whatever its size
		propose(a, 1)()
	})
	w.settle()
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], raft.ErrBusy)
	require.Len(t, a.applied, 1)
	errs = nil
	w.disk.SetFaults(storage.DiskFaults{SyncTime: time.Hour})
	a.strand.Post(func() { propose(a, 900)(); propose(a, 101)() })
	require.True(t, w.until(func() bool { return w.host.Metrics().Unapplied == 900 }))
	b.strand.Post(func() { propose(b, 500)(); propose(b, 500)() })
	w.until(func() bool { return len(errs) == 4 })
	busy := 0
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, raft.ErrBusy)
			busy++
		}
	}
	require.Equal(t, 2, busy)
	roomy := 0
	a.strand.Post(func() { a.group.WhenRoom(func() { roomy++ }) })
	b.strand.Post(func() { b.group.WhenRoom(func() { roomy++ }) })
	require.True(t, w.until(func() bool { return roomy == 1 }))
	require.Less(t, w.sim.Now(), time.Minute, "the memory group has room")
	w.settle()
	require.Equal(t, 2, roomy)
	require.ErrorIs(t, a.group.Propose(make([]byte, raft.PayloadMax+1), nil, raft.Prompt), raft.ErrTooLarge)
}
