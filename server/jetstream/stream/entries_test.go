package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/raft"
)

// TestRetentionKeepsItsCounts writes and reads counts of every shape.
func TestRetentionKeepsItsCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := retention{needs: rapid.MapOf(rapid.Uint64Range(1, 40), rapid.Uint32Range(1, 3)).Draw(t, "needs")}
		text := r.snapshot(nil)
		require.Equal(t, text, r.snapshot(nil), "the same bytes for the same counts")
		var back retention
		d := codec.Reader{P: text}
		back.restore(&d)
		require.NoError(t, d.Err())
		require.Empty(t, d.P)
		require.Equal(t, len(r.needs), len(back.needs))
		for seq, n := range r.needs { //lockstep:ordered compared one by one
			require.Equal(t, n, back.needs[seq], "sequence %d", seq)
		}
	})
}

func TestConsumerEntriesAreReadBack(t *testing.T) {
	created := time.Unix(7, 8).UTC()
	cfg := &api.ConsumerConfig{Durable: "d", Name: "d", AckPolicy: api.AckExplicit, FilterSubjects: []string{"a", "b.>"}, MaxDeliver: -1}
	b := appendConsumerEntry([]byte{kindConsumerCreate}, 9, "d", created, cfg)
	require.Equal(t, byte(kindConsumerCreate), b[0])
	d := &codec.Reader{P: b[1:]}
	id, name, at, got, err := readConsumerEntry(d, nil)
	require.NoError(t, err)
	require.False(t, d.More())
	require.Equal(t, uint32(9), id)
	require.Equal(t, "d", name)
	require.Equal(t, created, at)
	require.Equal(t, cfg, got)
}

func FuzzConsumerEntry(f *testing.F) {
	f.Add(appendConsumerEntry(nil, 1, "name", time.Unix(1, 0), &api.ConsumerConfig{Name: "name"}))
	f.Add(appendConsumerEntry(nil, 1, "name", time.Unix(1, 0), everyField()))
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, p []byte) {
		id, name, created, cfg, err := readConsumerEntry(&codec.Reader{P: p}, nil)
		if err != nil {
			require.ErrorIs(t, err, codec.ErrUnreadable)
			return
		}
		again := appendConsumerEntry(nil, id, name, created, cfg)
		_, name2, _, cfg2, err := readConsumerEntry(&codec.Reader{P: again}, nil)
		require.NoError(t, err)
		require.Equal(t, name, name2)
		require.Equal(t, api.Marshal(cfg), api.Marshal(cfg2))
	})
}

// FuzzRetentionState reads states that nobody wrote: they fail, and take no more memory than they are long for.
func FuzzRetentionState(f *testing.F) {
	r := retention{needs: map[uint64]uint32{1: 1, 2: 1, 9: 4}}
	f.Add(r.snapshot(nil))
	f.Add([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		var r retention
		d := codec.Reader{P: p}
		r.restore(&d)
		if d.Err() == nil && len(r.needs) > retentionRunsMax {
			t.Fatalf("%d counts of %d bytes", len(r.needs), len(p))
		}
	})
}

// retentionRunsMax is more than any fuzz input of runs may stand for.
const retentionRunsMax = 1 << 26

// TestAsyncPersistModeWaitsForNoFlush: publishes of such a stream are committed when they are appended, those of
// others with a flush. What committed means for each class is tested in server/raft.
func TestAsyncPersistModeWaitsForNoFlush(t *testing.T) {
	s := &Stream{cfg: &api.StreamConfig{}}
	require.Equal(t, raft.Prompt, s.class())
	s.cfg = &api.StreamConfig{PersistMode: api.AsyncPersistMode}
	require.Equal(t, raft.Unflushed, s.class())
}
