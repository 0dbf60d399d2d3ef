package wal_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// TestLogFullDisk fills the disk. What was acknowledged stays, what waits is written when there is
// space again, and what comes meanwhile is refused.
func TestLogFullDisk(t *testing.T) {
	for _, mode := range []wal.Mode{wal.Flush, wal.Interval} {
		w := newWorld(t, 1)
		w.cfg.Mode, w.cfg.SyncInterval = mode, time.Hour
		_, err := w.open()
		require.NoError(t, err)
		p, q := w.attach(gid(1)), w.attach(gid(2))
		p.do(func() { p.append(wal.Prompt, body(1), body(2)) })
		q.do(func() { q.append(wal.Prompt, body(3)) })
		w.until(func() bool { return p.m.flushed == 2 && q.m.flushed == 1 })
		w.disk.SetFaults(storage.DiskFaults{Capacity: w.disk.Used() + 300})
		p.do(func() { p.append(wal.Prompt, bytes.Repeat([]byte("x"), 1000)) })
		require.True(t, w.until(func() bool { return w.log.Metrics().Full }))
		for range 50 { // it tries again and again
			w.sim.Step()
		}
		require.NoError(t, p.fenced)
		require.EqualValues(t, 2, p.m.flushed)
		_, err = p.g.Append(1, 0, []byte("y"), wal.Prompt)
		require.ErrorIs(t, err, storage.ErrFull)

		w.disk.SetFaults(storage.DiskFaults{})
		require.True(t, w.until(func() bool { return p.m.flushed == 3 }))
		require.False(t, w.log.Metrics().Full)
		q.do(func() { q.append(wal.Prompt, body(4)) })
		require.True(t, w.until(func() bool { return q.m.flushed == 2 }))
		w.end(false)
		w.reopen()
		require.EqualValues(t, 3, w.members[gid(1)].g.Last())
	}
}

func TestLogFencesItself(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults storage.DiskFaults
		cause  error
	}{
		{"sync", storage.DiskFaults{SyncError: 1}, storage.ErrIO},
		{"write", storage.DiskFaults{WriteError: 1}, storage.ErrIO},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := opened(t, 3, 2)
			p, q := w.members[gid(1)], w.members[gid(2)]
			p.do(func() { p.append(wal.Prompt, body(1)) })
			w.settle()
			w.disk.SetFaults(tc.faults)
			p.do(func() { p.append(wal.Prompt, body(2)) })
			w.settle()
			for _, m := range []*member{p, q} {
				require.ErrorIs(t, m.fenced, wal.ErrFenced)
				require.ErrorIs(t, m.fenced, tc.cause)
			}
			require.EqualValues(t, 1, p.m.flushed)
			w.disk.SetFaults(storage.DiskFaults{}) // a sync would succeed now, and mean nothing
			_, err := q.g.Append(1, 0, nil, wal.Prompt)
			require.ErrorIs(t, err, wal.ErrFenced)
			var errs []error
			note := func(err error) { errs = append(errs, err) }
			q.do(func() {
				q.g.SetHardState(wal.HardState{Term: 1}, note)
				q.g.Checkpoint(0, nil, note)
				q.g.Drop(note)
			})
			w.log.Close(note)
			w.settle()
			require.Len(t, errs, 4)
			for _, err := range errs {
				require.ErrorIs(t, err, wal.ErrFenced)
			}
			w.end(true)
			w.reopen()
		})
	}
}

// TestLogInterval acknowledges what a crash of the process leaves, and syncs in time.
func TestLogInterval(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.Mode, w.cfg.SyncInterval = wal.Interval, time.Second
	_, err := w.open()
	require.NoError(t, err)
	p := w.attach(gid(1))
	w.disk.SetFaults(storage.DiskFaults{SyncTime: time.Millisecond})
	before := w.log.Metrics().Syncs
	p.do(func() { p.append(wal.Prompt, []byte("one")) })
	require.True(t, w.until(func() bool { return p.m.flushed == 1 }))
	require.Less(t, w.sim.Now(), 100*time.Millisecond)
	require.Equal(t, before, w.log.Metrics().Syncs)
	w.end(false)
	w.reopen() // nothing is lost: the process alone died

	p = w.members[gid(1)]
	p.do(func() { p.append(wal.Prompt, []byte("two")) })
	w.settle() // the interval passes
	require.EqualValues(t, 1, w.log.Metrics().Syncs)
	at := w.sim.Now()
	w.sim.RunFor(time.Hour)
	require.EqualValues(t, 1, w.log.Metrics().Syncs, "an idle log costs nothing")
	require.Greater(t, w.sim.Now(), at)
	w.end(true)
	w.reopen() // nothing is lost: it was synced
}

func TestLogLazyRecordsRideAlong(t *testing.T) {
	w := opened(t, 1, 2)
	p, q := w.members[gid(1)], w.members[gid(2)]
	w.settle()
	before := w.log.Metrics().Batches
	p.do(func() { p.append(wal.Lazy, body(1)) })
	start := w.sim.Now()
	require.True(t, w.until(func() bool { return w.log.Metrics().Pending > 0 }))
	require.Zero(t, p.m.flushed)
	q.do(func() { q.append(wal.Prompt, body(2)) })
	w.until(func() bool { return q.m.flushed == 1 && p.m.flushed == 1 })
	require.Less(t, w.sim.Now()-start, wal.LazyDelay)
	require.Equal(t, before+1, w.log.Metrics().Batches)

	start = w.sim.Now()
	p.do(func() { p.append(wal.Lazy, body(1)) })
	w.until(func() bool { return p.m.flushed == 2 })
	require.GreaterOrEqual(t, w.sim.Now()-start, wal.LazyDelay)
	require.Less(t, w.sim.Now()-start, 2*wal.LazyDelay)
}

func TestLogAppendsShareSyncs(t *testing.T) {
	w := opened(t, 1, 50)
	w.disk.SetFaults(storage.DiskFaults{SyncTime: time.Millisecond})
	w.cfg.SegmentBytes = 1 << 20
	before := w.log.Metrics().Batches
	for i := 1; i <= 50; i++ {
		p := w.members[gid(i)]
		p.do(func() { p.append(wal.Prompt, []byte("x")) })
	}
	w.settle()
	assert.LessOrEqual(t, w.log.Metrics().Batches-before, uint64(3))
}

// mask is a sealer that hides, binds, and checks.
type mask struct{ key byte }

func (m mask) Seal(dst, plain, aad []byte) []byte {
	sum := m.key
	for _, b := range aad {
		sum = sum*31 + b
	}
	dst = append(dst, sum)
	for _, b := range plain {
		dst = append(dst, b^m.key)
	}
	return dst
}

func (m mask) Open(dst, sealed, aad []byte) ([]byte, error) {
	sum := m.key
	for _, b := range aad {
		sum = sum*31 + b
	}
	if len(sealed) == 0 || sealed[0] != sum {
		return nil, errors.New("wrong key or place")
	}
	for _, b := range sealed[1:] {
		dst = append(dst, b^m.key)
	}
	return dst, nil
}

// TestLogSeals keeps what is secret off the disk, also where it is carried forward.
func TestLogSeals(t *testing.T) {
	w := opened(t, 1, 1)
	secret := &member{w: w, id: gid(9), m: &model{}, strand: w.strand}
	g, err := w.log.Create(gid(9), w.strand, mask{7}, secret)
	require.NoError(t, err)
	secret.g = g
	secret.do(func() {
		secret.append(wal.Prompt, []byte("secret one"), []byte("secret two"), []byte("secret three"))
	})
	w.settle()
	secret.do(func() { secret.checkpoint(2, []byte("secret state")) })
	w.settle()
	p := w.members[gid(1)]
	for i := range 200 {
		p.do(func() { p.append(wal.Prompt, body(i)) })
		w.settle()
		if i%20 == 19 {
			p.do(func() { p.checkpoint(p.m.flushed, nil) })
			w.settle()
		}
	}
	require.Greater(t, w.log.Metrics().Carried, uint64(0))
	for _, name := range w.disk.Files() {
		require.NotContains(t, string(w.disk.ReadFile(name)), "secret")
	}
	w.end(true)
	for _, tc := range []struct {
		key  wal.Sealer
		good bool
	}{{mask{7}, true}, {mask{8}, false}, {nil, false}} {
		w.start()
		_, err = w.open()
		require.NoError(t, err)
		_, f, err := w.log.Attach(gid(9), w.strand, tc.key, secret)
		require.NoError(t, err)
		if tc.good {
			secret.m.check(t, gid(9), f, false)
		} else {
			require.ErrorIs(t, f.Damage, wal.ErrDamaged)
		}
		w.end(true)
	}
}

func TestLogRefusals(t *testing.T) {
	w := opened(t, 1, 2)
	p := w.members[gid(1)]
	_, _, err := w.log.Attach(gid(1), w.strand, nil, p)
	require.ErrorContains(t, err, "attached")
	_, err = w.log.Create(gid(1), w.strand, nil, p)
	require.ErrorIs(t, err, storage.ErrExist)
	_, err = p.g.Append(1, 16, nil, wal.Prompt)
	require.ErrorContains(t, err, "at most 15")
	_, err = p.g.Append(1, 0, make([]byte, wal.PayloadMax+1), wal.Prompt)
	require.ErrorContains(t, err, "at most")
	var errs []string
	p.do(func() {
		p.append(wal.Prompt, body(1))
		p.g.Checkpoint(2, nil, func(err error) { errs = append(errs, err.Error()) })
		p.g.Checkpoint(1, nil, func(err error) { assert.NoError(t, err) })
		p.g.Checkpoint(1, nil, func(err error) { errs = append(errs, err.Error()) })
	})
	w.settle()
	p.do(func() { p.g.TruncateSuffix(1, func(err error) { errs = append(errs, err.Error()) }) })
	w.settle()
	require.Len(t, errs, 3)
	assert.Contains(t, errs[0], "want 0 to 1")
	assert.Contains(t, errs[1], "under way")
	assert.Contains(t, errs[2], "the checkpoint is at 1")

	for _, bad := range []wal.Config{
		{Dir: "x"}, {Dir: "x", Identity: "y", SegmentBytes: 5}, {Dir: "x", Identity: "y", LogBytesMax: -1},
	} {
		var got error
		wal.Open(w.fs, w.strand, bad, func(l *wal.Log, _ *wal.Report, err error) { assert.Nil(t, l); got = err })
		w.settle()
		require.Error(t, got)
	}

	detached := false
	p.do(func() { p.g.Detach(func() { detached = true }) })
	w.settle()
	require.True(t, detached)
	_, err = p.g.Append(1, 0, nil, wal.Prompt)
	require.ErrorIs(t, err, wal.ErrClosed)
	w.closeLog()
	_, _, err = w.log.Attach(gid(7), w.strand, nil, p)
	require.ErrorIs(t, err, wal.ErrClosed)
}

// TestLogTellsTerms keeps the terms of entries, which a group of several members compares.
func TestLogTellsTerms(t *testing.T) {
	w := opened(t, 1, 1)
	p := w.members[gid(1)]
	add := func(term uint64, n int) {
		p.do(func() { p.m.term = term; p.append(wal.Prompt, make([][]byte, n)...) })
		w.settle()
	}
	add(1, 3)
	add(4, 2)
	want := func(g *wal.Group, terms ...uint64) {
		t.Helper()
		for i, term := range terms {
			require.Equal(t, term, g.Term(g.First()-1+uint64(i)), "index %d", g.First()-1+uint64(i))
		}
		require.Equal(t, terms[len(terms)-2], g.LastTerm())
	}
	want(p.g, 0, 1, 1, 1, 4, 4, 0)
	p.do(func() { p.truncate(5) })
	w.settle()
	want(p.g, 0, 1, 1, 1, 4, 0)
	p.do(func() { p.truncate(4); p.m.term = 6; p.append(wal.Prompt, body(1)) })
	w.settle()
	want(p.g, 0, 1, 1, 1, 6, 0)
	p.do(func() { p.checkpoint(2, []byte("s")) })
	w.settle()
	want(p.g, 1, 1, 6, 0)
	w.end(true)
	w.reopen()
	want(w.members[gid(1)].g, 1, 1, 6, 0)
}

// TestLogReservesSpace: a segment grows in steps, ahead of the batches; what is left of a step is
// the end of the log, and no torn batch.
func TestLogReservesSpace(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.SegmentBytes, w.cfg.ReserveBytes = 64<<10, 8<<10
	_, err := w.open()
	require.NoError(t, err)
	p := w.attach(gid(1))
	name := w.disk.Files()[0]
	sizes := map[int64]bool{}
	for i := range 100 {
		p.do(func() { p.append(wal.Prompt, body(i)) })
		w.settle()
		size, _ := w.disk.FileSize(name)
		sizes[size] = true
	}
	require.LessOrEqual(t, len(sizes), 6, "it grows seldom: %v", sizes)
	image := w.disk.Snapshot()
	for _, power := range []bool{false, true} {
		w.disk.Restore(image)
		w.end(power)
		w.reopen()
		require.Nil(t, w.report.Torn)
		require.EqualValues(t, 100, w.members[gid(1)].g.Last())
	}
	w.end(false)
	size, _ := w.disk.FileSize(name)
	require.True(t, w.disk.FlipBit(name, 8*(size-1)))
	w.reopen()
	require.Empty(t, w.report.Damage, "nothing was there")
	require.EqualValues(t, 100, w.members[gid(1)].g.Last())
}
