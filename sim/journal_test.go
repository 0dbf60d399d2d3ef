package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// journalStory is a journal on a disk that does what the test says.
type journalStory struct {
	t     *testing.T
	sim   *clock.Sim
	disk  *storage.SimDisk
	clock *clock.SimClock
	s     clock.Strand
	fs    *storage.SimFS
	j     *storage.Journal
	model core.Journal
}

func newJournalStory(t *testing.T, seed uint64) *journalStory {
	s := clock.NewSim(seed)
	x := &journalStory{t: t, sim: s, disk: storage.NewSimDisk(s, storeHost)}
	x.start()
	return x
}

func (x *journalStory) start() {
	x.clock = x.sim.Clock(storeHost)
	x.s = x.clock.NewStrand("journal")
	x.fs = x.disk.Mount()
	x.open()
}

func (x *journalStory) open() {
	x.j = nil
	x.model.Opening()
	storage.OpenJournal(x.fs, x.s, journalFile, func(seq uint64, payload []byte) {
		id, _ := readPayload(payload)
		x.model.Replayed(seq, id)
	}, func(j *storage.Journal, err error) {
		if err != nil {
			x.model.FoundDamage(err)
			return
		}
		x.j = j
		x.model.Opened(j.Next())
	})
	x.sim.RunFor(time.Second)
}

func (x *journalStory) append(n int) {
	for range n {
		seq := x.j.Next()
		x.model.Appended(seq, seq)
		x.j.Append(appendPayload(nil, seq, 100), func(seq uint64, err error) {
			if err == nil {
				x.model.Acknowledged(seq)
			} else {
				x.model.Refused()
			}
		})
		x.sim.RunFor(time.Second)
	}
}

func (x *journalStory) close() {
	x.j.Close(func(error) {})
	x.sim.RunFor(time.Second)
}

// TestWitnessLostWithAFailedSync: the sync of a closing journal fails. The system goes on
// showing what it may have lost, until a later failure makes it look again.
func TestWitnessLostWithAFailedSync(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			x := newJournalStory(t, seed)
			x.append(3)
			x.disk.SetFaults(storage.DiskFaults{SyncError: 1})
			x.close()
			x.disk.SetFaults(storage.DiskFaults{})
			x.open()
			x.append(3)
			x.clock.Kill()
			x.disk.PowerLoss()
			x.start()
			require.Empty(t, x.model.Take(1))
			require.Equal(t, 6, x.model.Acked())
		})
	}
}

func TestJournalLoadMeetsItsFaults(t *testing.T) {
	sum := map[string]int{}
	for seed := uint64(1); seed <= 14; seed++ {
		r := Run(Options{Seed: seed, Profile: Disk})
		for name, n := range r.Faults { //lockstep:ordered a sum
			sum[name] += n
		}
		sum["reported"] += r.Operations["journal_damages_reported"]
	}
	for _, name := range []string{"disk: power-loss", "disk: process-crash", "disk: sync-error", "disk: bit-rot", "disk: lost-write", "reported"} {
		require.Positive(t, sum[name], name)
	}
}
