package stream

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// fullStore is a store that waits for space.
type fullStore struct{ msgs.Store }

func (fullStore) Full() bool { return true }

func (fullStore) Checkpoint(done func([]byte, error)) {
	done(nil, fmt.Errorf("messages in %q: %w", "dir", storage.ErrFull))
}

// TestStreamOutlivesAFullDisk: a checkpoint that found no space is one that can be made later, and until then nothing
// is stored.
func TestStreamOutlivesAFullDisk(t *testing.T) {
	s := quietStream(t, 1)
	s.env.Log, s.spec.Account, s.spec.Usage = logging.NewSwitch(), &account.Account{Name: "A"}, &Usage{}
	require.Zero(t, s.leaderLimits(10)&machine.ServerExceeded)
	s.store = fullStore{s.store}
	s.env.StreamFailed = func(_ *Stream, err error) { t.Errorf("stopped: %v", err) }
	var made error
	s.Checkpoint(func(_ []byte, err error) { made = err })
	require.ErrorIs(t, made, storage.ErrFull)
	require.NoError(t, s.failed)
	require.Nil(t, s.saving, "the next one can begin")
	require.NotZero(t, s.leaderLimits(10)&machine.ServerExceeded)
}
