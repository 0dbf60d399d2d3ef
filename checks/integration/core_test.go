package integration

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// next waits for a message.
func next(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsg(patience)
	require.NoError(t, err)
	return m
}

// flushed subscribes and makes sure that the server knows.
func flushed(t *testing.T, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	return sub
}

func TestPublishSubscribe(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	a, b := p.client(), p.client()
	for _, tc := range []struct{ interest, subject string }{
		{"plain", "plain"}, {"one.*.three", "one.two.three"}, {"tail.>", "tail.a.b.c"}, {"utf.ü", "utf.ü"}, {"*.last", "x.last"},
	} {
		sub := flushed(t, b, tc.interest)
		for i := range 100 {
			require.NoError(t, a.Publish(tc.subject, fmt.Append(nil, i)))
		}
		for i := range 100 {
			m := next(t, sub)
			require.Equal(t, tc.subject, m.Subject)
			require.Equal(t, fmt.Sprint(i), string(m.Data), "in order")
		}
		require.NoError(t, sub.Unsubscribe())
	}
}

func TestRequestReply(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	a, b := p.client(), p.client()
	_, err := b.Subscribe("double", func(m *nats.Msg) { _ = m.Respond(append(m.Data, m.Data...)) })
	require.NoError(t, err)
	require.NoError(t, b.Flush())
	for range 50 {
		m, err := a.Request("double", []byte("ab"), patience)
		require.NoError(t, err)
		require.Equal(t, "abab", string(m.Data))
	}
	old := p.client(nats.UseOldRequestStyle())
	m, err := old.Request("double", []byte("c"), patience)
	require.NoError(t, err)
	require.Equal(t, "cc", string(m.Data))
}

func TestNoResponders(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	nc := p.client()
	for range 10 {
		_, err := nc.Request("nobody.here", nil, patience)
		require.ErrorIs(t, err, nats.ErrNoResponders)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := nc.RequestWithContext(ctx, "nobody.here", nil)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestQueueGroups(t *testing.T) {
	t.Parallel()
	const messages, members = 3000, 3
	p := start(t, "")
	pub := p.client()
	var total, plain atomic.Int64
	var each [members]atomic.Int64
	var clients []*nats.Conn
	for i := range members {
		nc := p.client()
		clients = append(clients, nc)
		_, err := nc.QueueSubscribe("work.*", "workers", func(*nats.Msg) { each[i].Add(1); total.Add(1) })
		require.NoError(t, err)
		_, err = nc.Subscribe("work.>", func(*nats.Msg) { plain.Add(1) })
		require.NoError(t, err)
		require.NoError(t, nc.Flush())
	}
	for range messages {
		require.NoError(t, pub.Publish("work.x", nil))
	}
	require.NoError(t, pub.Flush())
	for _, nc := range clients {
		require.NoError(t, nc.Drain())
	}
	require.Eventually(t, func() bool { return total.Load() == messages && plain.Load() == members*messages }, patience, tick)
	for i := range each {
		require.Greater(t, each[i].Load(), int64(messages/members/2), "member %d has its share", i)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	a, b := p.client(), p.client()
	sub := flushed(t, b, "h")
	m := nats.NewMsg("h")
	m.Header.Set("Key", "value")
	m.Header.Add("Many", "1")
	m.Header.Add("Many", "2")
	m.Data = []byte("body")
	m.Reply = "r"
	require.NoError(t, a.PublishMsg(m))
	got := next(t, sub)
	require.Equal(t, m.Header, got.Header)
	require.Equal(t, "body", string(got.Data))
	require.Equal(t, "r", got.Reply)
}

func TestAutoUnsubscribe(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	a, b := p.client(), p.client()
	sub, err := b.SubscribeSync("n")
	require.NoError(t, err)
	require.NoError(t, sub.AutoUnsubscribe(5))
	require.NoError(t, b.Flush())
	for range 20 {
		require.NoError(t, a.Publish("n", nil))
	}
	for range 5 {
		next(t, sub)
	}
	_, err = sub.NextMsg(patience)
	require.ErrorIs(t, err, nats.ErrMaxMessages)
	require.NoError(t, a.Flush())
	_, err = a.Request("n", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders, "the server has no interest left")
}

func TestDrain(t *testing.T) {
	t.Parallel()
	const messages = 2000
	p := start(t, "")
	pub := p.client()
	closed := make(chan struct{})
	nc := p.client(nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	var got atomic.Int64
	_, err := nc.Subscribe("d", func(*nats.Msg) { got.Add(1) })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	for range messages {
		require.NoError(t, pub.Publish("d", []byte("x")))
	}
	require.NoError(t, pub.Flush())
	require.NoError(t, nc.Drain())
	<-closed
	require.EqualValues(t, messages, got.Load(), "what was sent before the drain is delivered")
}

func TestNoEcho(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	a, b := p.client(nats.NoEcho()), p.client()
	mine, theirs := flushed(t, a, "e"), flushed(t, b, "e")
	require.NoError(t, a.Publish("e", []byte("1")))
	require.NoError(t, a.Flush())
	require.Equal(t, "1", string(next(t, theirs).Data))
	require.NoError(t, b.Publish("e", []byte("2")))
	require.Equal(t, "2", string(next(t, mine).Data))
}

func TestLargeAndEmptyPayloads(t *testing.T) {
	t.Parallel()
	p := start(t, "max_payload: 4MB\nmax_pending: 64MB")
	a, b := p.client(), p.client()
	require.EqualValues(t, 4<<20, a.MaxPayload())
	sub := flushed(t, b, "big")
	for _, size := range []int{0, 1, 2047, 2048, 2049, 64 << 10, 1 << 20, 4 << 20} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * 7)
		}
		require.NoError(t, a.Publish("big", data))
		require.NoError(t, a.Flush())
		require.Equal(t, len(data), len(next(t, sub).Data))
	}
	require.ErrorIs(t, a.Publish("big", make([]byte, 4<<20+1)), nats.ErrMaxPayload)
}

func TestManySubscriptionsFanOut(t *testing.T) {
	t.Parallel()
	const subs = 2000
	p := start(t, "")
	a, b := p.client(), p.client()
	var got atomic.Int64
	for i := range subs {
		_, err := b.Subscribe(fmt.Sprintf("fan.%d.*", i%100), func(*nats.Msg) { got.Add(1) })
		require.NoError(t, err)
	}
	require.NoError(t, b.Flush())
	for i := range 100 {
		require.NoError(t, a.Publish(fmt.Sprintf("fan.%d.x", i), nil))
	}
	require.NoError(t, a.Flush())
	require.Eventually(t, func() bool { return got.Load() == subs }, patience, tick)
}
