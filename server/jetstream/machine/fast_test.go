package machine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// fastOf begins a fast batch of some messages, none of which is applied.
func fastOf(t *testing.T, gap string, n int) (*FastBatches, *FastBatch) {
	f := NewFastBatches(BatchLimits{}, &OpenBatches{}, 1)
	cfg := &api.StreamConfig{Name: "S", AllowBatchPublish: true}
	var b *FastBatch
	for i := range n {
		a := &Arrival{Subject: []byte("a"), Headers: &api.PublishHeaders{}}
		ans := f.Add(nil, 1, cfg, a, fmt.Appendf(nil, "r.b.1.%s.%d.%d.$FI", gap, i+1, min(i, 1)))
		require.Nil(t, ans.Err)
		require.True(t, ans.Store)
		b = ans.Batch
	}
	return f, b
}

// TestWhatCouldNotBeProposedIsRefusedFirst: a message that cannot be proposed is refused at once, while those before
// it are still on their way to the disk: they are neither acknowledged before they are stored, nor left out of
// the last answer.
func TestWhatCouldNotBeProposedIsRefusedFirst(t *testing.T) {
	t.Run("a gap ends the batch", func(t *testing.T) {
		f, b := fastOf(t, "fail", 3)
		ans := f.Refused(nil, b, 2, api.ErrInsufficientResources, []byte("r2"))
		require.Contains(t, string(ans.Body), `"seq":2`)
		require.False(t, ans.Final, "the first is on its way")
		ans = f.Refused(nil, b, 3, api.ErrInsufficientResources, []byte("r3"))
		require.False(t, ans.Final)
		require.Same(t, api.ErrInsufficientResources, ans.Err)
		ans = f.Stored(nil, b, 1, 165)
		require.NotContains(t, string(ans.Body), `"seq":3`)
		require.True(t, ans.Final)
		require.Equal(t, "r2", string(ans.Reply))
		require.Equal(t, api.PubAck{Sequence: 165, BatchId: "b", BatchSize: 1}, ans.Ack)
		require.Zero(t, f.Len())
	})
	t.Run("a gap does not end it", func(t *testing.T) {
		f, b := fastOf(t, "ok", 2)
		require.Contains(t, string(f.Refused(nil, b, 2, api.ErrInsufficientResources, []byte("r2")).Body), `"seq":2`)
		ping := f.Add(nil, 1, &api.StreamConfig{AllowBatchPublish: true}, &Arrival{Headers: &api.PublishHeaders{}}, []byte("r.b.1.ok.2.4.$FI"))
		require.Contains(t, string(ping.Body), `"seq":0`, "nothing is stored yet")
		require.Contains(t, string(f.Stored(nil, b, 1, 165).Body), `"seq":2`)
	})
}

// TestFlights lets messages land in and out of order.
func TestFlights(t *testing.T) {
	var f flights
	for seq := range uint64(100) {
		f.start(seq)
		if seq < 3 {
			continue
		}
		first, known := f.land(seq - 3)
		require.True(t, first && known)
	}
	require.LessOrEqual(t, cap(f.seqs), 8, "what has landed leaves its place")
	first, known := f.land(99)
	require.True(t, !first && known)
	first, known = f.land(99)
	require.True(t, !first && !known)
	f.forget(97)
	first, known = f.land(97)
	require.True(t, first && known && f.none())
}
