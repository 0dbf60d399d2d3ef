package integration

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// acked is what a publisher was promised: text and the sequence it has.
type acked struct {
	mu   sync.Mutex
	seqs map[uint64]string
}

// publishUntilDown publishes asynchronously, with a window, until the connection is lost, and keeps what was
// acknowledged.
func (a *acked) publishUntilDown(t *testing.T, p *process, subject string, count *atomic.Int64) {
	nc, err := p.dial()
	if err != nil {
		return
	}
	defer nc.Close()
	inbox := nats.NewInbox()
	type sent struct {
		id   int
		text string
	}
	window := make(chan sent, 64) // answers of one subject come in order
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return
	}
	go func() {
		defer close(window)
		for i := 0; ; i++ {
			text := fmt.Sprintf("%s/%s/%d", p.addr, subject, i)
			m := &nats.Msg{Subject: subject, Reply: inbox, Data: []byte(text)}
			if nc.PublishMsg(m) != nil {
				return
			}
			select {
			case window <- sent{i, text}:
			case <-p.ended:
				return
			}
		}
	}()
	for s := range window {
		answer, err := sub.NextMsg(patience)
		if err != nil {
			for range window { //nolint // lets the sender end
			}
			return
		}
		var seq uint64
		if _, err := fmt.Sscanf(string(answer.Data), `{"stream":"S","seq":%d}`, &seq); err != nil {
			continue // refused: it promises nothing
		}
		a.mu.Lock()
		if was, ok := a.seqs[seq]; ok {
			t.Errorf("sequence %d was acknowledged for %q and for %q", seq, was, s.text)
		}
		a.seqs[seq] = s.text
		a.mu.Unlock()
		count.Add(1)
	}
}

// What was acknowledged is there after a kill, at its sequence, round after round.
func TestKilledWhilePublishing(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	promised := &acked{seqs: map[uint64]string{}}
	for range 4 {
		var count atomic.Int64
		var publishers sync.WaitGroup
		for i := range 3 {
			publishers.Go(func() { promised.publishUntilDown(t, p, fmt.Sprint("S.", i), &count) })
		}
		require.Eventually(t, func() bool { return count.Load() > 500 }, patience, tick)
		p = p.restart(syscall.SIGKILL)
		publishers.Wait()
		js, _ = p.js()
		s, err := js.Stream(within(t), "S")
		require.NoError(t, err)
		held := map[uint64]string{}
		messages, err := consumer(t, s, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy}).Messages(jetstream.PullMaxMessages(5000))
		require.NoError(t, err)
		last := state(t, s).LastSeq
		for range state(t, s).Msgs {
			m, err := messages.Next()
			require.NoError(t, err)
			meta, err := m.Metadata()
			require.NoError(t, err)
			held[meta.Sequence.Stream] = string(m.Data())
		}
		messages.Stop()
		require.Len(t, held, int(last), "no holes")
		for seq, text := range promised.seqs {
			require.Equal(t, text, held[seq], "sequence %d", seq)
		}
	}
}

// What was acknowledged with a confirmation never comes again, and what was not does.
func TestKilledWhileConsuming(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S", Retention: jetstream.WorkQueuePolicy})
	const many = 600
	fill(t, js, "S", many)
	consumer(t, s, jetstream.ConsumerConfig{Durable: "d", AckWait: 200 * time.Millisecond, MaxAckPending: 50})
	done := map[uint64]bool{}
	for round := 0; len(done) < many; round++ {
		c, err := js.Consumer(within(t), "S", "d")
		require.NoError(t, err)
		goal := min(many, len(done)+200)
		for len(done) < goal {
			batch, err := c.Fetch(10, jetstream.FetchMaxWait(time.Second))
			require.NoError(t, err)
			for m := range batch.Messages() {
				meta, err := m.Metadata()
				require.NoError(t, err)
				require.False(t, done[meta.Sequence.Stream], "%d comes again in round %d", meta.Sequence.Stream, round)
				if meta.Sequence.Stream%7 == 0 && meta.NumDelivered == 1 {
					continue // left to be sent again
				}
				require.NoError(t, m.DoubleAck(within(t)))
				done[meta.Sequence.Stream] = true
			}
		}
		p = p.restart(syscall.SIGKILL)
		js, _ = p.js()
	}
	s, err := js.Stream(within(t), "S")
	require.NoError(t, err)
	require.Zero(t, state(t, s).Msgs)
	require.EqualValues(t, many, state(t, s).LastSeq)
}

// Everything that a server keeps survives orderly restarts.
func TestEverythingSurvivesATerm(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	for _, name := range []string{"A", "B", "C"} {
		s := stream(t, js, jetstream.StreamConfig{Name: name, Compression: jetstream.S2Compression})
		fill(t, js, name+".x", 300)
		c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", AckWait: time.Hour})
		for _, m := range fetch(t, c, 100) {
			require.NoError(t, m.DoubleAck(within(t)))
		}
	}
	for round := range 2 {
		p = p.restart(syscall.SIGTERM)
		js, _ = p.js()
		for _, name := range []string{"A", "B", "C"} {
			c, err := js.Consumer(within(t), name, "d")
			require.NoError(t, err)
			require.EqualValues(t, 100*(round+1), told(t, c).AckFloor.Stream)
			for i, m := range fetch(t, c, 100) {
				require.Equal(t, fmt.Sprint(100*(round+1)+i+1), string(m.Data()))
				require.NoError(t, m.DoubleAck(within(t)))
			}
		}
	}
}
