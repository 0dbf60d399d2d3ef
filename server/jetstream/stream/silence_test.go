package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// TestFailedStreamDeliversNothing: whoever waits is sent away, and what is stored is not delivered, since nobody would hear
// the ack.
func TestFailedStreamDeliversNothing(t *testing.T) {
	s := quietStream(t, 1)
	wall := s.env.Clock.(*clock.SimClock)
	o := &config.Options{}
	o.SetBaseline()
	b, err := broker.New(broker.Config{Clock: wall, Log: logging.NewSwitch(), Options: o})
	require.NoError(t, err)
	s.env.Broker, s.env.Log, s.spec.Account = b, logging.NewSwitch(), b.Global()
	s.sender = b.NewSender(s.strand, s.spec.Account, "s")
	var got []string
	inbox := b.NewSink(wall.NewStrand("inbox"), broker.SinkOptions{}, func(batches []*broker.Batch) {
		for _, batch := range batches {
			for i := range batch.Messages {
				got = append(got, string(batch.Messages[i].Header))
			}
			batch.Release()
		}
	})
	_, err = inbox.Subscribe(b.Global(), "_INBOX.x", "")
	require.NoError(t, err)

	h := s.consumers.all()[0]
	s.leads = true
	s.tick()
	h.c.Start()
	h.c.Pull("_INBOX.x", nil, []byte(`{"batch":1,"expires":60000000000}`))
	wall.Sim().RunFor(time.Millisecond)
	require.Empty(t, got)
	s.fail(msgs.ErrFenced)
	wall.Sim().RunFor(time.Millisecond)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "NATS/1.0 409 Leadership Change")

	_, err = s.store.Append(1, 1, []byte("s.0"), nil, []byte("late"), msgs.TTL{})
	require.NoError(t, err)
	h.c.Stored(1, []byte("s.0"))
	h.c.Pull("_INBOX.x", nil, []byte(`{"batch":1,"expires":60000000000}`))
	wall.Sim().RunFor(time.Minute)
	require.Len(t, got, 1)
}
