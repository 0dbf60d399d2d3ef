package wal_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// readNow reads and waits for the answer.
func (p *member) readNow(lo, hi uint64, bytesMax int) (entries []wal.Entry, err error) {
	answered := false
	p.do(func() {
		p.g.Read(lo, hi, bytesMax, func(e []wal.Entry, cause error) { entries, err, answered = e, cause, true })
	})
	require.True(p.w.t, p.w.until(func() bool { return answered }))
	return entries, err
}

func TestReadGivesWhatFits(t *testing.T) {
	w := opened(t, 1, 2)
	w.cfg.LogBytesMax = 1 << 20
	p, q := w.members[gid(1)], w.members[gid(2)]
	for i := range 40 {
		p.do(func() { p.append(wal.Prompt, bytes.Repeat([]byte{byte(i)}, 100)) })
		q.do(func() { q.append(wal.Prompt, body(i)) })
		w.settle()
	}
	require.Greater(t, w.log.Metrics().Segments, int64(4))
	for _, tc := range []struct {
		lo, hi   uint64
		bytesMax int
		n        int
	}{
		{1, 2, 0, 1}, {40, 41, 0, 1}, {5, 41, -1, 1}, {5, 41, 99, 1}, {5, 41, 199, 1}, {5, 41, 200, 2},
		{5, 41, 1000, 10}, {5, 8, 1000, 3}, {1, 41, 1 << 20, 40},
	} {
		entries, err := p.readNow(tc.lo, tc.hi, tc.bytesMax)
		require.NoError(t, err)
		require.Len(t, entries, tc.n, "%+v", tc)
		for i, e := range entries {
			require.Equal(t, tc.lo+uint64(i), e.Index)
			require.Equal(t, bytes.Repeat([]byte{byte(e.Index - 1)}, 100), e.Payload)
		}
	}
	for _, tc := range []struct{ lo, hi uint64 }{{0, 1}, {3, 3}, {4, 3}, {1, 42}, {41, 42}} {
		_, err := p.readNow(tc.lo, tc.hi, 1)
		require.ErrorContains(t, err, "the last one is 40", "%+v", tc)
	}
	p.do(func() { p.checkpoint(30, []byte("s")) })
	w.settle()
	_, err := p.readNow(30, 41, 1)
	require.ErrorIs(t, err, wal.ErrGone)
	entries, err := p.readNow(31, 41, 1<<20)
	require.NoError(t, err)
	require.Len(t, entries, 10)
}

// TestReadSeesWhatIsOnItsWay reads entries in the task that appends them, and while the disk is slow.
func TestReadSeesWhatIsOnItsWay(t *testing.T) {
	w := opened(t, 1, 1)
	w.disk.SetFaults(storage.DiskFaults{SyncTime: 10 * time.Millisecond})
	p := w.members[gid(1)]
	p.do(func() { p.append(wal.Prompt, body(1), body(2)) })
	w.settle()
	answered := 0
	p.do(func() {
		p.append(wal.Prompt, body(3))
		p.read(2, 4, 1<<20) // waits for the flush
		p.g.Read(1, 3, 1<<20, func(entries []wal.Entry, err error) {
			require.NoError(t, err)
			require.Len(t, entries, 2)
			require.EqualValues(t, 2, p.m.flushed, "it does not wait for a flush that is none of its business")
			answered++
		})
		p.append(wal.Prompt, body(4))
	})
	w.settle()
	require.Equal(t, 1, answered)
	require.Equal(t, 2, p.got)
	require.Zero(t, p.reads)

	// What is truncated, or reset, after the call is not given.
	var errs []error
	p.do(func() {
		p.g.Read(3, 5, 1<<20, func(entries []wal.Entry, err error) {
			require.Len(t, entries, 1)
			errs = append(errs, err)
		})
		p.g.Read(4, 5, 1<<20, func(entries []wal.Entry, err error) { errs = append(errs, err) })
		p.truncate(4)
		p.append(wal.Prompt, body(9))
	})
	w.settle()
	require.Len(t, errs, 2)
	require.True(t, errs[0] == nil || errs[1] == nil)
	require.ErrorIs(t, append(errs, nil)[map[bool]int{true: 1, false: 0}[errs[0] == nil]], wal.ErrGone)
	p.do(func() { p.read(4, 5, 1); p.reset(9, nil) })
	w.settle()
	require.Equal(t, 2, p.got)
	_, err := p.readNow(9, 10, 1)
	require.ErrorIs(t, err, wal.ErrGone)
}

// TestReadsEndWithTheGroupAndTheLog: each is answered once.
func TestReadsEndWithTheGroupAndTheLog(t *testing.T) {
	w := opened(t, 1, 2)
	p, q := w.members[gid(1)], w.members[gid(2)]
	for i := range 30 {
		p.do(func() { p.append(wal.Prompt, body(i)); q.append(wal.Prompt, body(i)) })
		w.settle()
	}
	var errs []error
	note := func(_ []wal.Entry, err error) { errs = append(errs, err) }
	p.do(func() {
		p.g.Read(1, 31, 1<<20, note)
		p.g.Detach(func() {})
		p.g.Read(1, 31, 1<<20, note)
	})
	w.settle()
	require.Len(t, errs, 2)
	require.ErrorIs(t, errs[0], wal.ErrClosed)
	require.ErrorIs(t, errs[1], wal.ErrClosed)

	errs = nil
	sound := 0
	q.do(func() {
		for range 9 {
			q.g.Read(1, 31, 1<<20, func(entries []wal.Entry, err error) {
				if err == nil {
					sound++
				}
				note(entries, err)
			})
		}
		w.log.Close(func(error) {})
	})
	w.settle()
	require.Len(t, errs, 9)
	for _, err := range errs {
		require.True(t, err == nil || assert.ErrorIs(t, err, wal.ErrClosed))
	}
	require.Less(t, sound, 9)
	w.end(true)
	w.reopen()

	p = w.members[gid(1)]
	w.disk.SetFaults(storage.DiskFaults{SyncError: 1})
	p.do(func() {
		p.append(wal.Prompt, body(1))
		p.g.Read(31, 32, 1, func(_ []wal.Entry, err error) { errs = append(errs[:0], err) })
	})
	w.settle()
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], wal.ErrFenced)
	_, err := p.readNow(1, 2, 1)
	require.ErrorIs(t, err, wal.ErrFenced)
}

func TestReadOpensWhatIsSealed(t *testing.T) {
	w := opened(t, 1, 0)
	p := &member{w: w, id: gid(9), m: &model{}, strand: w.strand}
	var err error
	p.g, err = w.log.Create(gid(9), w.strand, mask{7}, p)
	require.NoError(t, err)
	for i := range 30 {
		p.do(func() { p.append(wal.Prompt, body(i), body(i+1)) })
		w.settle()
	}
	p.do(func() { p.read(1, 61, 1<<20); p.read(7, 61, 600) })
	w.settle()
	require.GreaterOrEqual(t, p.got, 61)
	p.do(func() { p.reset(99, []byte("secret state")) })
	w.settle()
	p.do(func() { p.append(wal.Prompt, []byte("secret")) })
	w.settle()
	// Its parts are carried forward as those of an ordinary state.
	other := w.attach(gid(1))
	for i := range 100 {
		other.do(func() { other.append(wal.Prompt, body(i)) })
		w.settle()
		if i%10 == 9 {
			other.do(func() { other.checkpoint(other.m.flushed, nil) })
			w.settle()
		}
	}
	require.Greater(t, w.log.Metrics().Carried, uint64(0))
	w.end(true)
	w.start()
	_, err = w.open()
	require.NoError(t, err)
	_, f, err := w.log.Attach(gid(9), w.strand, mask{7}, p)
	require.NoError(t, err)
	require.NoError(t, f.Damage)
	require.Equal(t, []byte("secret state"), f.State)
	require.EqualValues(t, 99, f.StateIndex)
	require.Equal(t, []byte("secret"), f.Entries[0].Payload)
}

// TestKeepLetsMembersLag: entries stay behind a checkpoint, until the log is as long as it may be.
func TestKeepLetsMembersLag(t *testing.T) {
	w := opened(t, 1, 2)
	w.log = nil
	w.end(true)
	w.cfg.LogBytesMax = 32 << 10
	w.reopen()
	p, q := w.members[gid(1)], w.members[gid(2)]
	p.do(func() { p.keepFrom(5) })
	for i := range 30 {
		p.do(func() { p.m.term = uint64(1 + i/10); p.append(wal.Prompt, body(i)) })
		w.settle()
		if i%7 == 6 {
			p.do(func() { p.checkpoint(p.m.flushed, []byte("s")) })
			w.settle()
		}
	}
	require.EqualValues(t, 29, p.g.First())
	require.EqualValues(t, 1, p.g.Term(7))
	require.EqualValues(t, 2, p.g.Term(11))
	_, err := p.readNow(4, 31, 1)
	require.ErrorIs(t, err, wal.ErrGone)
	p.do(func() { p.read(5, 31, 1<<20) })
	w.settle()
	require.Equal(t, 26, p.got)
	p.do(func() { p.keepFrom(12) })
	w.settle()
	_, err = p.readNow(11, 31, 1)
	require.ErrorIs(t, err, wal.ErrGone)
	p.do(func() { p.read(12, 31, 1<<20) })
	w.settle()
	require.Equal(t, 26+19, p.got)

	tails := p.tails
	for i := range 400 {
		q.do(func() { q.append(wal.Prompt, body(i)) })
		w.settle()
		if i%20 == 19 {
			q.do(func() { q.checkpoint(q.m.last, body(i)) })
			w.settle()
		}
		if i == 50 {
			p.do(func() { p.checkpoint(p.m.flushed, []byte("s")) })
		}
		require.Less(t, w.log.Metrics().Size, w.cfg.LogBytesMax+8<<10)
	}
	require.Equal(t, tails, p.tails, "what is kept is not asked for")
	_, err = p.readNow(12, 31, 1)
	require.ErrorIs(t, err, wal.ErrGone)
	p.do(func() { p.keepFrom(math.MaxUint64) })
	w.settle()
	w.end(true)
	w.reopen()
}

// TestReadReadsEachByteSeldom: reading a long segment in small steps does not begin at its start each time.
func TestReadReadsEachByteSeldom(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.SegmentBytes = 16 << 20
	_, err := w.open()
	require.NoError(t, err)
	p := w.attach(gid(1))
	const entries = 2000
	for range entries / 100 {
		p.do(func() { p.append(wal.Prompt, bigBodies(100)...) })
		w.settle()
	}
	before := w.disk.Ops()
	n := 0
	for next := uint64(1); next <= entries; n++ {
		got, err := p.readNow(next, entries+1, 64<<10)
		require.NoError(t, err)
		next += uint64(len(got))
	}
	require.Less(t, w.disk.Ops()-before, uint64(10*n), "%d reads", n)
}

func bigBodies(n int) (all [][]byte) {
	for i := range n {
		all = append(all, bytes.Repeat([]byte{byte(i)}, 1000))
	}
	return all
}

// BenchmarkRead reads 64 MiB of entries back, in steps, among those of other groups.
func BenchmarkRead(b *testing.B) {
	for _, groups := range []int{1, 10} {
		for _, step := range []int{4 << 10, 256 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("groups=%d/step=%d", groups, step), func(b *testing.B) { benchmarkRead(b, groups, step) })
		}
	}
}

func benchmarkRead(b *testing.B, groups, step int) {
	real, err := storage.OpenReal(b.TempDir())
	require.NoError(b, err)
	c := clock.NewReal()
	logs := make(chan *wal.Log, 1)
	wal.Open(&noSync{real, false}, c.NewStrand("log"), wal.Config{Dir: "log", Identity: "bench", LogBytesMax: 1 << 40}, func(l *wal.Log, _ *wal.Report, err error) {
		if err != nil {
			b.Error(err)
		}
		logs <- l
	})
	log := <-logs
	const size = 128
	var pushers []*pusher
	for i := range groups {
		p := &pusher{strand: c.NewStrand("group"), body: make([]byte, size), batch: 100, left: (64 << 20) / size / groups,
			window: 10000, ended: make(chan struct{})}
		p.g, _, err = log.Attach(wal.ID{Group: uint64(i + 1)}, p.strand, nil, p)
		require.NoError(b, err)
		pushers = append(pushers, p)
	}
	for _, p := range pushers {
		p.strand.Post(p.push)
	}
	for _, p := range pushers {
		<-p.ended
	}
	p := pushers[0]
	next, got := uint64(1), 0
	ended := make(chan error, 1)
	left := b.N
	var read func()
	read = func() {
		p.g.Read(next, p.g.Last()+1, step, func(entries []wal.Entry, err error) {
			got += len(entries)
			next += uint64(len(entries))
			if next > p.g.Last() {
				next = 1
			}
			if left--; err != nil || left == 0 {
				ended <- err
				return
			}
			read()
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	p.strand.Post(read)
	require.NoError(b, <-ended)
	b.StopTimer()
	b.ReportMetric(float64(got)*size/b.Elapsed().Seconds()/1e6, "MB/s")
	closed := make(chan error, 1)
	log.Close(func(err error) { closed <- err })
	require.NoError(b, <-closed)
	require.NoError(b, real.Close())
}
