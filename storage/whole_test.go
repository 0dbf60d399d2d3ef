package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// TestReplaceFileIsWholeAfterPowerLoss loses power before and after, and once in the middle of each replacement.
func TestReplaceFileIsWholeAfterPowerLoss(t *testing.T) {
	for seed := range uint64(64) {
		sim := clock.NewSim(seed)
		disk := storage.NewSimDisk(sim, "disk")
		c := sim.Clock("host")
		fs, s := disk.Mount(), c.NewStrand("s")
		durable := false
		s.Post(func() {
			storage.ReplaceFile(fs, s, "f", []byte("old"), func(err error) {
				require.NoError(t, err)
				durable = true
				storage.ReplaceFile(fs, s, "f", []byte("the new one"), func(error) {})
			})
		})
		for i := uint64(0); i < seed && sim.Step(); i++ {
		}
		disk.PowerLoss()
		c.Kill()
		fs, s = disk.Mount(), sim.Clock("host again").NewStrand("s")
		var got []byte
		var failed error
		s.Post(func() {
			storage.ReadFile(fs, s, "f", 100, func(p []byte, err error) { got, failed = p, err })
		})
		for sim.Step() {
		}
		switch {
		case failed != nil:
			require.ErrorIs(t, failed, storage.ErrNotExist)
			require.False(t, durable, "seed %d: a durable file is gone", seed)
		case string(got) != "old":
			require.Equal(t, "the new one", string(got), "seed %d", seed)
		}
	}
}

func TestReadFileRefusesWhatIsTooLong(t *testing.T) {
	sim := clock.NewSim(1)
	fs, s := storage.NewSimDisk(sim, "disk").Mount(), sim.Clock("host").NewStrand("s")
	var failed error
	s.Post(func() {
		storage.ReplaceFile(fs, s, "f", []byte("twelve bytes"), func(err error) {
			require.NoError(t, err)
			storage.ReadFile(fs, s, "f", 11, func(_ []byte, err error) { failed = err })
		})
	})
	for sim.Step() {
	}
	require.ErrorContains(t, failed, "12 bytes, more than 11")
}
