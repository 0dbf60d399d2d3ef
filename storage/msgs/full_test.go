package msgs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
)

// full is every write failing for want of space.
var full = storage.DiskFaults{WriteFull: 1, WriteTime: time.Millisecond}

// fill appends n messages to store and model.
func (f *fileRig) fill(t require.TestingT, n int, subject string) {
	for range n {
		f.now++
		x := modelMsg{Msg: Msg{Subject: subject, Time: f.now, Data: make([]byte, 100)}}
		_, err := f.store.Append(0, x.Time, []byte(subject), nil, x.Data, TTL{})
		require.NoError(t, err)
		require.NoError(t, f.model.append(x))
	}
}

// TestFullDisk: what finds no space waits in memory, checkpoints fail meanwhile, and all of it is written when there is
// space.
func TestFullDisk(t *testing.T) {
	for _, v := range fileVariants {
		if v.name == "in the manifest" || v.name == "large blocks" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			var told []error
			f := newFileRig(t, 0, func(f *fileRig) Options {
				o := v.o(f)
				o.OnFull = func(err error) { told = append(told, err) }
				return o
			})
			f.fill(t, 20, "a")
			f.checkpoint(t)
			f.store.Release(f.manifest)
			require.Empty(t, told)
			f.disk.SetFaults(storage.DiskFaults{Capacity: f.disk.Used() + 10})
			f.fill(t, 20, "b")
			fails := func() {
				called := 0
				f.store.Checkpoint(func(_ []byte, err error) {
					called++
					require.ErrorIs(t, err, storage.ErrFull)
					require.NotErrorIs(t, err, ErrFenced)
				})
				f.sim.RunFor(10 * time.Second)
				require.Equal(t, 1, called)
			}
			fails()
			require.Len(t, told, 1)
			require.ErrorIs(t, told[0], storage.ErrFull)
			fails()
			f.fill(t, 5, "c")
			require.True(t, f.store.Full())
			require.Greater(t, f.store.Unwritten(), int64(700))
			for seq := f.model.state().First; seq <= f.model.last; seq++ {
				called := false
				f.store.Fetch(seq, func(m Msg, err error) {
					called = true
					require.NoError(t, err)
					require.Equal(t, seq, m.Seq)
				})
				f.sim.RunFor(time.Second)
				require.True(t, called)
			}
			require.Len(t, told, 1)
			f.disk.SetFaults(storage.DiskFaults{})
			f.settle()
			require.Len(t, told, 2)
			require.NoError(t, told[1])
			require.False(t, f.store.Full())
			require.Zero(t, f.store.(*store).disk.queued)
			f.checkAll(t)
			f.checkpoint(t)
			f.crash(t, true)
			require.True(t, f.report.Sound(), "%+v", f.report)
			f.recovered(t)
		})
	}
}

// TestFullDiskCrash ends a process whose disk is full: what the last checkpoint had is all there.
func TestFullDiskCrash(t *testing.T) {
	for _, power := range []bool{false, true} {
		f := newFileRig(t, 1, fileVariants[0].o)
		f.fill(t, 20, "a")
		f.checkpoint(t)
		f.disk.SetFaults(full)
		f.fill(t, 20, "b")
		f.sim.RunFor(5 * time.Second)
		f.store.Checkpoint(func(_ []byte, err error) { require.ErrorIs(t, err, storage.ErrFull) })
		f.disk.SetFaults(storage.DiskFaults{})
		f.crash(t, power)
		require.True(t, f.report.Sound(), "%+v", f.report)
		f.recovered(t)
	}
}

// TestFullDiskGivesWay: what is removed need not be written any more, and files that nobody needs go though others
// wait for space.
func TestFullDiskGivesWay(t *testing.T) {
	f := newFileRig(t, 1, fileVariants[0].o)
	f.fill(t, 40, "a")
	f.checkpoint(t)
	f.store.Release(f.manifest)
	f.settle()
	require.Equal(t, f.model.purge(NewFilter("a"), 0, 1), f.store.Purge(NewFilter("a"), 0, 1))
	f.checkpoint(t)
	f.settle()
	used := f.disk.Used()
	f.disk.SetFaults(full)
	f.fill(t, 40, "b")
	f.sim.RunFor(time.Second)
	d := f.store.(*store).disk
	require.True(t, d.short.paused)
	before := d.queued
	f.store.Release(f.manifest)
	f.sim.RunFor(time.Second)
	require.Less(t, f.disk.Used(), used/2)
	require.Equal(t, f.model.purge(NewFilter("b"), 0, 1), f.store.Purge(NewFilter("b"), 0, 1))
	require.Less(t, d.queued, before/2)
	f.disk.SetFaults(storage.DiskFaults{})
	f.settle()
	f.checkpoint(t)
	f.crash(t, true)
	require.True(t, f.report.Sound(), "%+v", f.report)
	f.recovered(t)
}

// TestFullDiskClose ends a store that waits for space.
func TestFullDiskClose(t *testing.T) {
	f := newFileRig(t, 1, fileVariants[0].o)
	f.disk.SetFaults(full)
	f.fill(t, 40, "a")
	f.sim.RunFor(time.Second)
	require.True(t, f.store.Full())
	f.store.Close()
	f.settle() // it ends: no timer is left
	require.False(t, f.store.Full())
}

// fillOnce tells the story of the crash tests on a disk that is full from one operation on, for some operations, and then perhaps
// dies.
func fillOnce(t *testing.T, o func(*fileRig) Options, op, length uint64, die bool) (ops uint64) {
	f := newFileRig(t, op, o)
	f.fills = true
	begun := f.disk.Ops()
	died := false
	f.disk.Hook = func(d storage.DiskOp) storage.CrashPoint {
		switch d.Number - begun {
		case op:
			f.disk.SetFaults(storage.DiskFaults{WriteFull: 1})
		case op + length:
			f.disk.SetFaults(storage.DiskFaults{})
			if die {
				died = true
				f.machine.Kill()
				return storage.CrashPoint{Stage: storage.CrashHalf, Power: op%2 == 0}
			}
		}
		return storage.CrashPoint{}
	}
	f.story(t, op%3 == 0, func() bool { return died })
	ops = f.disk.Ops() - begun
	f.disk.Hook = nil
	f.disk.SetFaults(storage.DiskFaults{})
	f.settle()
	if died {
		f.crash(t, op%2 == 0)
		require.True(t, f.report.Sound(), "%+v", f.report)
	}
	f.recovered(t)
	for range 5 {
		f.checkpoint(t)
		f.store.Release(f.manifest)
		f.settle()
	}
	f.crash(t, false)
	require.True(t, f.report.Sound(), "%+v", f.report)
	require.Empty(t, f.report.Unneeded)
	f.recovered(t)
	return ops
}

func TestFullDiskAtEveryOperation(t *testing.T) {
	for _, v := range fileVariants {
		if v.name == "large blocks" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			total := fillOnce(t, v.o, 1<<30, 1, false)
			for op := uint64(1); op <= total; op++ {
				for _, length := range []uint64{1, 3, 17} {
					fillOnce(t, v.o, op, length, false)
					fillOnce(t, v.o, op, length, true)
					if t.Failed() {
						t.Fatalf("op %d length %d", op, length)
					}
				}
			}
		})
	}
}
