package wal_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// opened is a world with an empty log and n groups.
func opened(t require.TestingT, seed uint64, n int) *world {
	w := newWorld(t, seed)
	ok, err := w.open()
	require.NoError(t, err)
	require.True(t, ok)
	for i := 1; i <= n; i++ {
		w.attach(gid(i))
	}
	return w
}

func TestLogRecoversWhatItAcknowledged(t *testing.T) {
	w := opened(t, 1, 3)
	for i := range 60 {
		p := w.members[gid(1+i%3)]
		p.do(func() { p.append(wal.Prompt, body(i), body(i+1)) })
		w.settle()
	}
	for i := 1; i <= 3; i++ {
		require.EqualValues(t, 40, w.members[gid(i)].m.flushed)
	}
	require.Greater(t, w.log.Metrics().Segments, int64(3))
	w.end(true)
	w.reopen()
	require.EqualValues(t, 40, w.members[gid(1)].g.Last())
	require.False(t, w.report.Clean)
}

func TestLogCheckpointsLetSegmentsGo(t *testing.T) {
	w := opened(t, 1, 2)
	p := w.members[gid(1)]
	state := bytes.Repeat([]byte("state"), 100)
	for i := range 200 {
		p.do(func() { p.append(wal.Prompt, body(i)) })
		w.settle()
		if i%20 == 19 {
			p.do(func() { p.checkpoint(p.m.last, append(state, byte(i))) })
			w.settle()
		}
	}
	m := w.log.Metrics()
	assert.Less(t, m.Size, int64(9<<10))
	assert.Greater(t, m.Trims, uint64(10))
	w.end(true)
	w.reopen()
	require.EqualValues(t, 200, w.members[gid(1)].g.Last())
}

func TestLogCarriesIdleGroupsForward(t *testing.T) {
	w := opened(t, 1, 3)
	idle, busy := w.members[gid(1)], w.members[gid(2)]
	idle.do(func() {
		idle.append(wal.Prompt, []byte("one"), []byte("two"), []byte("three"))
		idle.hard(wal.HardState{Term: 3, Vote: 2})
	})
	w.settle()
	idle.do(func() { idle.checkpoint(2, []byte("the state at two")) })
	w.settle()
	for i := range 400 {
		busy.do(func() { busy.append(wal.Prompt, body(i)) })
		w.settle()
		if i%20 == 19 {
			busy.do(func() { busy.checkpoint(busy.m.last, body(i)) })
			w.settle()
		}
	}
	m := w.log.Metrics()
	assert.Greater(t, m.Carried, uint64(0))
	assert.Greater(t, idle.tails, 0)
	assert.Less(t, m.Size, int64(12<<10))
	w.end(true)
	w.reopen()
	require.EqualValues(t, 3, w.members[gid(1)].g.Last())
	require.Equal(t, wal.HardState{Term: 3, Vote: 2}, w.members[gid(1)].g.Hard())
}

// TestLogFindsDetachedGroupsAnew reads from the segments what is given away already, while others
// go on, and segments come and go.
func TestLogFindsDetachedGroupsAnew(t *testing.T) {
	w := opened(t, 1, 3)
	p, busy := w.members[gid(1)], w.members[gid(2)]
	for i := range 12 {
		p.do(func() { p.append(wal.Prompt, body(i), body(i+1)); p.hard(wal.HardState{Term: uint64(i)}) })
		w.settle()
		if i == 5 {
			p.do(func() { p.checkpoint(7, bytes.Repeat([]byte("state"), 30)) })
			w.settle()
		}
	}
	for round := range 6 {
		detached := false
		p.do(func() { p.append(wal.Prompt, body(round)); p.g.Detach(func() { detached = true }) })
		require.True(t, w.until(func() bool { return detached }))
		p.m.acked = len(p.m.ops)
		_, _, err := w.log.Attach(gid(1), p.strand, nil, p)
		require.ErrorIs(t, err, wal.ErrDetached)
		found := false
		w.log.Reattach(gid(1), p.strand, nil, p, func(g *wal.Group, f *wal.Found, err error) {
			require.NoError(t, err)
			p.m.check(t, gid(1), f, false)
			p.g, found = g, true
		})
		for i := range 20 {
			busy.do(func() { busy.append(wal.Prompt, body(i)) })
			w.sim.Step()
		}
		require.True(t, w.until(func() bool { return found }))
		w.settle()
		busy.do(func() { busy.checkpoint(busy.m.flushed, nil) })
		w.settle()
	}
	_, _, err := w.log.Attach(gid(1), p.strand, nil, p)
	require.ErrorContains(t, err, "attached")
	w.end(true)
	w.reopen()
}

func TestLogCloseIsClean(t *testing.T) {
	w := opened(t, 1, 1)
	for range 3 {
		p := w.members[gid(1)]
		p.do(func() { p.append(wal.Lazy, []byte("x")) })
		closed := false
		p.do(func() { w.log.Close(func(err error) { assert.NoError(t, err); closed = true }) })
		require.True(t, w.until(func() bool { return closed }))
		w.end(true)
		w.reopen()
		require.True(t, w.report.Clean)
		require.Nil(t, w.report.Torn)
	}
	require.EqualValues(t, 3, w.members[gid(1)].g.Last())
}

// scenario fills, truncates, checkpoints and drops, as far as it gets.
func (w *world) scenario() {
	if ok, err := w.open(); !ok || err != nil {
		require.NoError(w.t, err)
		return
	}
	for i := 1; i <= 3; i++ {
		w.attach(gid(i))
	}
	a, b, c := w.members[gid(1)], w.members[gid(2)], w.members[gid(3)]
	for i := range 20 {
		a.do(func() { a.append(wal.Prompt, body(i), body(i+5)) })
		b.do(func() { b.append(wal.Lazy, body(i+9)) })
		if i == 2 {
			c.do(func() { c.append(wal.Prompt, body(2), body(3)); c.hard(wal.HardState{Term: 1, Vote: 1}) })
		}
		if i == 5 {
			b.do(func() { b.truncate(3); b.append(wal.Prompt, body(8)) })
		}
		if i == 8 {
			a.do(func() { a.checkpoint(a.m.flushed, bytes.Repeat([]byte{'s'}, 700)) })
		}
		if i == 10 {
			c.do(func() { c.checkpoint(1, nil) })
		}
		if i == 13 {
			b.do(func() { b.checkpoint(b.m.flushed, []byte("b")) })
		}
		if i == 16 {
			a.do(func() { a.checkpoint(a.m.flushed, []byte("a")) })
		}
		for range 8 + i {
			w.sim.Step()
		}
	}
	w.settle()
	c.do(c.drop)
	w.settle()
}

// resets is a scenario of groups that are read, repaired and reset, as far as it gets.
func (w *world) resets() {
	if ok, err := w.open(); !ok || err != nil {
		require.NoError(w.t, err)
		return
	}
	for i := 1; i <= 3; i++ {
		w.attach(gid(i))
	}
	a, b, c := w.members[gid(1)], w.members[gid(2)], w.members[gid(3)]
	large := bytes.Repeat([]byte("large"), 110<<10) // three parts
	for i := range 12 {
		a.do(func() { a.append(wal.Prompt, body(i), body(i+5)) })
		b.do(func() { b.append(wal.Prompt, body(i+9)); b.read(1, b.m.last+1, 300) })
		switch i {
		case 1:
			b.do(func() { b.keepFrom(2); b.hard(wal.HardState{Term: 2, Vote: 3, Life: 4}) })
		case 2:
			c.do(func() { c.append(wal.Prompt, body(2), body(3)); c.hard(wal.HardState{Term: 1, Vote: 1, Life: 1}) })
		case 4:
			a.do(func() { a.repair(2, 3); a.checkpoint(a.m.flushed, []byte("a")) })
			b.do(func() { b.checkpoint(b.m.flushed, []byte("b")) })
		case 5:
			c.do(func() { c.reset(20, large) })
		case 7:
			a.do(func() { a.reset(3, []byte("back")); a.hard(wal.HardState{Term: 7, Life: 1}) })
		case 9:
			c.do(func() { c.append(wal.Prompt, body(4)); c.checkpoint(c.m.flushed, []byte("c")) })
		case 10:
			b.do(func() { b.reset(b.m.last+9, nil) })
		}
		for range 8 + 2*i {
			w.sim.Step()
		}
	}
	w.settle()
	b.do(func() { b.append(wal.Prompt, body(3)); b.read(b.m.last, b.m.last+1, 1) })
	w.settle()
}

// crashAt arms a crash at the n-th disk operation from now.
func (w *world) crashAt(n uint64, stage storage.CrashStage, power bool) {
	at := w.disk.Ops() + n
	machine := w.machine
	w.disk.Hook = func(op storage.DiskOp) storage.CrashPoint {
		if op.Number != at {
			return storage.CrashPoint{}
		}
		machine.Kill()
		return storage.CrashPoint{Stage: stage, Power: power}
	}
}

// TestLogCrashAtEveryOperation strikes before, in and after each disk operation of opening,
// appending, rolling, checkpoints and reclamation, and of the recoveries that follow.
func TestLogCrashAtEveryOperation(t *testing.T) {
	t.Run("resets", func(t *testing.T) {
		whole := newWorld(t, 1)
		whole.cfg.SegmentBytes, whole.cfg.LogBytesMax = 1<<10, 2<<10
		whole.resets()
		for i := 1; i <= 3; i++ {
			require.Zero(t, whole.members[gid(i)].resets)
			require.Positive(t, whole.models[gid(i)].era(len(whole.models[gid(i)].ops)))
		}
		require.True(t, whole.members[gid(1)].repaired)
		require.Positive(t, whole.members[gid(2)].got)
		for n := range whole.disk.Ops() {
			for _, power := range []bool{false, true} {
				crashThenRecover(t, 1, n+1, storage.CrashStage(1+n%3), power, (*world).resets)
			}
		}
	})
	whole := newWorld(t, 1)
	whole.cfg.SegmentBytes, whole.cfg.LogBytesMax = 1<<10, 2<<10
	whole.scenario()
	total := whole.disk.Ops()
	require.Greater(t, total, uint64(60))
	m := whole.log.Metrics()
	require.Greater(t, m.Rolls, uint64(2))
	require.Greater(t, m.Trims, uint64(0))
	require.Greater(t, m.Carried, uint64(0))

	seeds := uint64(2)
	for seed := range seeds {
		for n := uint64(1); n <= total; n++ {
			for _, stage := range []storage.CrashStage{storage.CrashBefore, storage.CrashHalf, storage.CrashAfter} {
				for _, power := range []bool{false, true} {
					crashThenRecover(t, seed, n, stage, power, (*world).scenario)
				}
			}
		}
	}
}

func crashThenRecover(t *testing.T, seed, n uint64, stage storage.CrashStage, power bool, scenario func(*world)) {
	w := newWorld(t, seed)
	w.cfg.SegmentBytes, w.cfg.LogBytesMax, w.cfg.ReserveBytes = 1<<10, 2<<10, int64(seed)*300
	w.crashAt(n, stage, power)
	scenario(w)
	// Recovery is cut short at each of its operations in turn, by either crash.
	for m := uint64(1); m <= 12 && !w.disk.Mounted(); m++ {
		w.start()
		w.crashAt(m, storage.CrashStage(1+(m+seed)%3), (m+seed)%2 == 0)
		_, err := w.open()
		require.NoError(t, err)
	}
	w.reopen()
	p := w.members[gid(1)]
	if p == nil {
		p = w.attach(gid(1))
	}
	p.do(func() { p.append(wal.Prompt, []byte("after")) })
	w.settle()
	require.Equal(t, p.m.last, p.m.flushed)
	w.end(true)
	w.reopen()
}
