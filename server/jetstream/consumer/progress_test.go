package consumer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

func TestProgressThatMakesNoSense(t *testing.T) {
	for name, p := range map[string]Progress{
		"delivered":  {DeliveredStream: 1 << 63},
		"floor":      {DeliveredStream: 3, FloorStream: 4},
		"consumer":   {DeliveredConsumer: 3, FloorConsumer: 4},
		"pending":    {DeliveredStream: 3, DeliveredConsumer: 3, Pending: []PendingMessage{{Stream: 4, Consumer: 1}}},
		"order":      {DeliveredStream: 3, DeliveredConsumer: 3, Pending: []PendingMessage{{Stream: 2}, {Stream: 2}}},
		"zero":       {DeliveredStream: 3, Pending: []PendingMessage{{}}},
		"first":      {DeliveredStream: 3, DeliveredConsumer: 1, Pending: []PendingMessage{{Stream: 1, Consumer: 2}}},
		"time":       {DeliveredStream: 3, DeliveredConsumer: 1, Pending: []PendingMessage{{Stream: 1, At: 1 << 62}, {Stream: 2, At: -1 << 63}}},
		"exhausted":  {DeliveredStream: 3, Exhausted: []uint64{4}},
		"exhausted0": {DeliveredStream: 3, Exhausted: []uint64{0}},
	} {
		_, err := AppendProgress(nil, &p)
		require.ErrorContains(t, err, "state makes no sense", name)
	}
}

// What AppendProgress makes is what Restore takes, and Progress gives back.
func TestProgressComesBack(t *testing.T) {
	const now = int64(1_700_000_000_000_000_000)
	p := &Progress{
		DeliveredConsumer: 9, DeliveredStream: 12, FloorConsumer: 1, FloorStream: 2,
		Pending: []PendingMessage{
			{Stream: 3, Consumer: 2, At: now, Deliveries: 1}, {Stream: 7, Consumer: 5, At: now - 5, Deliveries: 3}, {Stream: 12, Consumer: 9, At: now + 7, Deliveries: 1},
		},
	}
	state, err := AppendProgress(nil, p)
	require.NoError(t, err)
	cfg := &api.ConsumerConfig{Durable: "C", AckPolicy: api.AckExplicit, AckWait: time.Minute}
	c, err := Restore(newWorld(t), Spec{ID: 1, Name: "C", Config: cfg}, state)
	require.NoError(t, err)
	require.Equal(t, p.DeliveredStream, c.position())
	require.Equal(t, [3]uint64{9, 1, 2}, [3]uint64{c.dseq, c.floorDseq, c.floor})
	require.Equal(t, 3, c.pending.len())
	require.Equal(t, 1, c.pending.many)
	e := c.pending.find(7)
	require.NotNil(t, e)
	require.Equal(t, entry{seq: 7, first: 5, at: now - 5, count: 3}, *e)
	require.Equal(t, uint64(9), c.horizon, "nothing is presumed delivered")
}
