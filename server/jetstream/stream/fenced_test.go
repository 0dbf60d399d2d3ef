package stream

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// fencedStore is a store that a write or sync failed.
type fencedStore struct{ msgs.Store }

func (fencedStore) Checkpoint(done func([]byte, error)) {
	done(nil, fmt.Errorf("messages in %q: %w", "dir", msgs.ErrFenced))
}

// TestStreamStopsWithItsStore: what a store wrote before a sync failed may be nowhere but in the log. A stream that went
// on would answer that there is no such message.
func TestStreamStopsWithItsStore(t *testing.T) {
	s := quietStream(t, 1)
	s.store = fencedStore{s.store}
	s.env.Log, s.spec.Account = logging.NewSwitch(), &account.Account{Name: "A"}
	var told error
	s.env.StreamFailed = func(_ *Stream, err error) { told = err }
	var made error
	s.Checkpoint(func(_ []byte, err error) { made = err })
	require.ErrorIs(t, made, msgs.ErrFenced)
	require.ErrorIs(t, told, msgs.ErrFenced)
}
