package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/fstest"
)

// simWorld is a process on a simulated disk.
type simWorld struct {
	fstest.World
	sim     *clock.Sim
	machine *clock.SimClock
	disk    *storage.SimDisk
}

// newSimWorld makes a world of its own with an empty disk.
func newSimWorld(seed uint64) *simWorld {
	w := &simWorld{sim: clock.NewSim(seed)}
	w.disk = storage.NewSimDisk(w.sim, "n1")
	w.start()
	return w
}

// start gives the disk a new process.
func (w *simWorld) start() {
	w.machine = w.sim.Clock("n1")
	w.FS, w.Strand = w.disk.Mount(), w.machine.NewStrand("main")
	w.Await = func(task func(done func())) {
		finished := false
		w.Strand.Post(func() { task(func() { finished = true }) })
		for !finished && !w.machine.Dead() && w.sim.Step() {
		}
	}
}

// restart ends the process, by loss of power or without, and starts another.
func (w *simWorld) restart(power bool) {
	w.machine.Kill()
	if power {
		w.disk.PowerLoss()
	} else {
		w.disk.Crash()
	}
	w.start()
}

func TestSimulatedDisk(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		fstest.Run(t, func(t *testing.T) fstest.World { return newSimWorld(1).World })
	})
	t.Run("slow", func(t *testing.T) {
		fstest.Run(t, func(t *testing.T) fstest.World {
			w := newSimWorld(2)
			w.disk.SetFaults(storage.DiskFaults{
				ReadTime: time.Millisecond, WriteTime: time.Millisecond, SyncTime: 20 * time.Millisecond, NameTime: time.Millisecond,
				Hang: 0.05, HangMin: time.Second, HangMax: time.Minute, CacheMiss: 0.5,
			})
			return w.World
		})
	})
}

func TestRealDisk(t *testing.T) {
	fstest.Run(t, func(t *testing.T) fstest.World {
		w, r := realWorld(t, t.TempDir())
		t.Cleanup(func() { assert.NoError(t, r.Close()) })
		return w
	})
}
