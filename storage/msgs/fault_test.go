package msgs

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/storage"
)

// TestFaults lets the disk fail at random. The store in memory goes on, checkpoints fail for good after the first
// failure that was not for want of space, and what was durable is found again.
func TestFaults(t *testing.T) {
	for _, v := range fileVariants {
		t.Run(v.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				f := newFileRig(t, rapid.Uint64Range(0, 7).Draw(t, "tuning"), v.o)
				faults := storage.DiskFaults{SyncTime: time.Millisecond, WriteTime: time.Millisecond, ReadTime: time.Millisecond, NameTime: time.Millisecond}
				failed := false
				actions := f.rig.actions()
				for name := range actions {
					actions[name] = func(t *rapid.T) { f.rig.actions()[name](t) }
				}
				actions["checkpoint"] = func(t *rapid.T) {
					saved, called, st := f.model.clone(), 0, f.store
					f.disk.SetFaults(fail(t, faults))
					st.Checkpoint(func(m []byte, err error) {
						called++
						if errors.Is(err, storage.ErrFull) && !errors.Is(err, ErrFenced) {
							return // the next one may succeed
						}
						if err != nil {
							require.ErrorIs(t, err, ErrFenced)
							failed = true
							return
						}
						require.False(t, failed, "a checkpoint after a failed one")
						f.manifest, f.saved = m, saved
						st.Release(m)
					})
					f.settle()
					f.disk.SetFaults(faults)
					require.Equal(t, 1, called)
				}
				actions["restart"] = func(t *rapid.T) {
					f.crash(t, rapid.Bool().Draw(t, "power"))
					failed = false
					require.True(t, f.report.Sound(), "%+v", f.report)
				}
				actions["fetch"] = func(t *rapid.T) {
					if f.store.(*store).disk.failed != nil { // what was written and not synced may be gone
						t.Skip()
					}
					f.checkAll(t)
				}
				actions[""] = func(t *rapid.T) { f.check(t) }
				t.Repeat(actions)
			})
		})
	}
}

// fail draws what fails for a while.
func fail(t *rapid.T, f storage.DiskFaults) storage.DiskFaults {
	switch rapid.IntRange(0, 5).Draw(t, "fault") {
	case 0:
		f.WriteError = 0.3
	case 1:
		f.WriteFull = 0.3
	case 2:
		f.SyncError = 0.3
	case 3:
		f.CacheMiss = 0.5
	}
	return f
}

// TestBadSector reads what is around it.
func TestBadSector(t *testing.T) {
	f := newFileRig(t, 0, func(*fileRig) Options { return Options{} })
	data := make([]byte, 1000)
	for range 100 {
		_, err := f.store.Append(0, 1, []byte("a"), nil, data, TTL{})
		require.NoError(t, err)
	}
	f.checkpoint(t)
	f.machine.Kill()
	f.disk.PowerLoss()
	require.True(t, f.disk.BreakSector("store/00000001.blk", 40))
	f.mount()
	require.NoError(t, f.open(f.manifest))
	require.NotEmpty(t, f.report.Damage)
	require.NotEmpty(t, f.report.Lost)
	require.Less(t, len(f.report.Lost), 8, "a bad sector costs what is read with it")
	require.Equal(t, uint64(100-len(f.report.Lost)), f.store.State().Msgs)
	require.Equal(t, f.report.Lost, f.store.State().LostMsgs)
}
