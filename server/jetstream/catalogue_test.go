package jetstream

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// TestCreationsDiffer: streams made while the clock stands still can be told apart, also by who has only the
// log or a checkpoint of it.
func TestCreationsDiffer(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	c := newCatalogue()
	first := c.creation(now)
	require.Equal(t, now, first)
	require.Equal(t, now.Add(1), c.creation(now))
	require.Equal(t, now.Add(2), c.creation(now))
	require.Equal(t, now.Add(time.Minute), c.creation(now.Add(time.Minute)))
	require.Equal(t, now, c.creation(now), "a clock that was set back is believed")

	replayed := newCatalogue()
	a := &asset{Account: "A", Group: 2, Created: now, Config: &api.StreamConfig{Name: "S"}}
	replayed.apply(&change{Op: "create", Asset: a})
	replayed.apply(&change{Op: "delete", Asset: a})
	state, err := json.Marshal(replayed)
	require.NoError(t, err)
	restored := newCatalogue()
	require.NoError(t, json.Unmarshal(state, restored))
	require.Equal(t, now.Add(1), restored.creation(now))
}
