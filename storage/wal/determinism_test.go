package wal_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// TestLogIsDeterministic runs one history twice: every event and every byte is the same.
func TestLogIsDeterministic(t *testing.T) {
	run := func(seed uint64) (hash, folds uint64) {
		w := newWorld(t, seed)
		w.cfg.SegmentBytes, w.cfg.LogBytesMax = 1<<10, 4<<10
		r := rand.New(rand.NewPCG(seed, 1))
		w.reopen()
		for i := 1; i <= 5; i++ {
			w.attach(gid(i))
		}
		faults := storage.DiskFaults{SyncTime: time.Millisecond, WriteFull: 0.05}
		w.disk.SetFaults(faults)
		for i := range 120 {
			p := w.members[gid(1+r.IntN(5))]
			if p == nil || p.m.dropped > 0 {
				continue
			}
			p.do(func() { p.append(wal.Class(r.IntN(2)), body(i), body(i+3)) })
			switch r.IntN(12) {
			case 0:
				p.do(func() { p.checkpoint(p.m.flushed, body(2*i)) })
			case 1:
				p.do(func() { p.hard(wal.HardState{Term: uint64(i + 1), Vote: 1}) })
			case 2:
				p.do(p.drop)
				w.attach(gid(10 + i))
			case 3:
				w.settle()
				w.end(r.IntN(2) == 0)
				w.disk.SetFaults(storage.DiskFaults{})
				w.reopen()
				w.disk.SetFaults(faults)
			}
			for range r.IntN(30) {
				w.sim.Step()
			}
		}
		w.settle()
		return w.sim.Trace().Hash(), w.sim.Trace().Folds()
	}
	for seed := range uint64(10) {
		hash, folds := run(seed)
		for range 3 {
			again, foldsAgain := run(seed)
			require.Equal(t, folds, foldsAgain, "seed %d", seed)
			require.Equal(t, hash, again, "seed %d", seed)
		}
	}
}
