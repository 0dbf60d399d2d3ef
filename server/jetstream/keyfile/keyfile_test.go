package keyfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/keyfile"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/seal"
)

// bench is a simulated disk and whoever opens keys on it.
type bench struct {
	t    *testing.T
	sim  *clock.Sim
	disk *storage.SimDisk
	life int
}

func newBench(t *testing.T, seed uint64) *bench {
	sim := clock.NewSim(seed)
	return &bench{t: t, sim: sim, disk: storage.NewSimDisk(sim, "disk")}
}

// open opens the key of asset a in a new life of the process, for at most steps events; 0 is to the end.
func (b *bench) open(key, previous string, steps int) (a *seal.Asset, err error, ended bool) {
	b.life++
	c := b.sim.Clock("host " + string(rune('a'+b.life)))
	fs, s := b.disk.Mount(), c.NewStrand("s")
	k := keyfile.Keys{Ring: seal.NewKeyring(key, previous), Cipher: seal.AESGCM, Entropy: c.Entropy("keys")}
	s.Post(func() {
		keyfile.Open(fs, s, "a", k, "ACC", "S", func(found *seal.Asset, e error) { a, err, ended = found, e, true })
	})
	for i := 0; (steps == 0 || i < steps) && b.sim.Step(); i++ {
	}
	b.disk.PowerLoss()
	c.Kill()
	return a, err, ended
}

// sealed is a text under an asset's key, to tell keys apart.
func sealed(t *testing.T, a *seal.Asset, b *bench) []byte {
	s, err := a.Sealer(b.sim.Clock("sealer").Entropy("x"), "test")
	require.NoError(t, err)
	return s.Seal(nil, []byte("text"), nil)
}

func opens(t *testing.T, a *seal.Asset, b *bench, text []byte) bool {
	s, err := a.Sealer(b.sim.Clock("sealer").Entropy("y"), "test")
	require.NoError(t, err)
	plain, err := s.Open(nil, text, nil)
	return err == nil && string(plain) == "text"
}

func TestPlainWithoutAKey(t *testing.T) {
	b := newBench(t, 1)
	a, err, _ := b.open("", "", 0)
	require.NoError(t, err)
	require.Nil(t, a)
	require.Empty(t, b.disk.Files(), "nothing is written for a plain asset")
}

// TestTheKeyStays finds the same key after power was lost, and tells who has another one what to do.
func TestTheKeyStays(t *testing.T) {
	b := newBench(t, 2)
	a, err, _ := b.open("one", "", 0)
	require.NoError(t, err)
	text := sealed(t, a, b)
	again, err, _ := b.open("one", "", 0)
	require.NoError(t, err)
	require.True(t, opens(t, again, b, text))
	_, err, _ = b.open("two", "", 0)
	require.ErrorIs(t, err, seal.ErrKey)
	_, err, _ = b.open("", "", 0)
	require.ErrorIs(t, err, seal.ErrKey, "without any key an encrypted asset stays closed")
}

// TestRotationAtEveryEvent loses power in the middle of a rotation: the old key or the new one opens the asset then,
// and together they always do.
func TestRotationAtEveryEvent(t *testing.T) {
	for steps := 1; ; steps++ {
		b := newBench(t, 3)
		a, err, _ := b.open("one", "", 0)
		require.NoError(t, err)
		text := sealed(t, a, b)
		_, _, ended := b.open("two", "one", steps)
		again, err, _ := b.open("two", "one", 0)
		require.NoError(t, err, "cut after %d events", steps)
		require.True(t, opens(t, again, b, text))
		now, err, _ := b.open("two", "", 0)
		require.NoError(t, err, "the rotation is complete")
		require.True(t, opens(t, now, b, text))
		if ended {
			return
		}
	}
}
