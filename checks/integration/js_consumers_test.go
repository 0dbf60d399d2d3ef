package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// consumer creates a consumer.
func consumer(t testing.TB, s jetstream.Stream, cfg jetstream.ConsumerConfig) jetstream.Consumer {
	t.Helper()
	c, err := s.CreateConsumer(within(t), cfg)
	require.NoError(t, err)
	return c
}

// told reads a consumer's information.
func told(t testing.TB, c jetstream.Consumer) *jetstream.ConsumerInfo {
	t.Helper()
	info, err := c.Info(within(t))
	require.NoError(t, err)
	return info
}

func TestConsumersAreManaged(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	ctx := within(t)
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S.a", 10)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", Description: "one"})
	require.EqualValues(t, 10, told(t, c).NumPending)
	_, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "d", Description: "other"})
	require.ErrorIs(t, err, jetstream.ErrConsumerExists)
	_, err = s.UpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "d", Description: "other"})
	require.NoError(t, err)
	require.Equal(t, 10012, refused(t, nc, "CONSUMER.CREATE.S.d", map[string]any{
		"stream_name": "S", "config": map[string]any{"durable_name": "d", "ack_policy": "none", "deliver_policy": "all"}}))
	_, err = s.UpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "nobody"})
	require.ErrorIs(t, err, jetstream.ErrConsumerDoesNotExist)
	consumer(t, s, jetstream.ConsumerConfig{Name: "named", FilterSubjects: []string{"S.a", "S.b"}})
	var names []string
	for name := range s.ConsumerNames(ctx).Name() {
		names = append(names, name)
	}
	slices.Sort(names)
	require.Equal(t, []string{"d", "named"}, names)
	require.Equal(t, 2, state(t, s).Consumers)
	require.NoError(t, s.DeleteConsumer(ctx, "named"))
	require.ErrorIs(t, s.DeleteConsumer(ctx, "named"), jetstream.ErrConsumerNotFound)
	js, _ = p.restart(syscall.SIGKILL).js()
	c, err = js.Consumer(ctx, "S", "d")
	require.NoError(t, err)
	require.Equal(t, "other", c.CachedInfo().Config.Description)
	_, err = js.Consumer(ctx, "S", "named")
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
}

func TestDeliverPolicies(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S.a", 3) // 1-3
	fill(t, js, "S.b", 3) // 4-6
	fourth, err := s.GetMsg(within(t), 4)
	require.NoError(t, err)
	for _, row := range []struct {
		cfg  jetstream.ConsumerConfig
		seqs []uint64
	}{
		{jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, []uint64{1, 2, 3, 4, 5, 6}},
		{jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPolicy}, []uint64{6}},
		{jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPolicy, FilterSubject: "S.a"}, []uint64{3}},
		{jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: "S.>"}, []uint64{3, 6}},
		{jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 5}, []uint64{5, 6}},
		{jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &fourth.Time}, []uint64{4, 5, 6}},
		{jetstream.ConsumerConfig{FilterSubjects: []string{"S.b"}}, []uint64{4, 5, 6}},
		{jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}, nil},
	} {
		c := consumer(t, s, row.cfg)
		require.EqualValues(t, len(row.seqs), c.CachedInfo().NumPending)
		if row.seqs == nil {
			nothing(t, c)
			continue
		}
		var seqs []uint64
		for i, m := range fetch(t, c, len(row.seqs)) {
			meta, err := m.Metadata()
			require.NoError(t, err)
			seqs = append(seqs, meta.Sequence.Stream)
			require.EqualValues(t, i+1, meta.Sequence.Consumer)
			require.EqualValues(t, len(row.seqs)-i-1, meta.NumPending)
		}
		require.Equal(t, row.seqs, seqs)
	}
}

func TestAcks(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 6)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", AckWait: time.Hour, MaxDeliver: 10})
	all := fetch(t, c, 6)
	require.NoError(t, all[0].DoubleAck(within(t)))
	require.NoError(t, all[2].DoubleAck(within(t)))
	info := told(t, c)
	require.EqualValues(t, 1, info.AckFloor.Stream)
	require.Equal(t, 4, info.NumAckPending)
	require.NoError(t, all[1].Nak())
	again := fetch(t, c, 1)[0]
	require.Equal(t, "2", string(again.Data()))
	meta, err := again.Metadata()
	require.NoError(t, err)
	require.EqualValues(t, 2, meta.NumDelivered)
	require.NoError(t, again.DoubleAck(within(t)))
	require.EqualValues(t, 3, told(t, c).AckFloor.Stream, "the floor passes the gap that closed")
	require.NoError(t, all[3].NakWithDelay(50*time.Millisecond))
	require.Equal(t, []string{"4"}, bodies(t, c, 1))
	terminated := flushed(t, nc, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.d")
	require.NoError(t, all[4].TermWithReason("broken"))
	require.Contains(t, string(next(t, terminated).Data), `"reason":"broken"`)
	require.NoError(t, all[5].InProgress())
	require.NoError(t, all[5].DoubleAck(within(t)))
	require.Equal(t, 1, told(t, c).NumAckPending)

	js, _ = p.restart(syscall.SIGTERM).js()
	c, err = js.Consumer(within(t), "S", "d")
	require.NoError(t, err)
	info = told(t, c)
	require.EqualValues(t, 3, info.AckFloor.Stream)
	require.Equal(t, 1, info.NumAckPending)
	require.Zero(t, info.NumPending)
	nothing(t, c)
}

func TestAckAllAndNone(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 10)
	c := consumer(t, s, jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy})
	require.NoError(t, fetch(t, c, 7)[6].DoubleAck(within(t)))
	info := told(t, c)
	require.EqualValues(t, 7, info.AckFloor.Stream)
	require.Zero(t, info.NumAckPending)
	c = consumer(t, s, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	require.Equal(t, numbers(1, 10), bodies(t, c, 10))
	require.Zero(t, told(t, c).NumAckPending)
}

func TestRedelivery(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 1)
	most := flushed(t, nc, "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.d")
	c := consumer(t, s, jetstream.ConsumerConfig{
		Durable: "d", MaxDeliver: 3, BackOff: []time.Duration{20 * time.Millisecond, 40 * time.Millisecond},
	})
	for n := 1; n <= 3; n++ {
		meta, err := fetch(t, c, 1)[0].Metadata()
		require.NoError(t, err)
		require.EqualValues(t, n, meta.NumDelivered)
	}
	require.Eventually(t, func() bool { // it is told to those who ask for more
		nothing(t, c)
		m, err := most.NextMsg(tick)
		return err == nil && strings.Contains(string(m.Data), `"deliveries":3`)
	}, patience, tick)
	nothing(t, c)
}

func TestPullRequests(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 4)
	consumer(t, s, jetstream.ConsumerConfig{
		Durable: "d", AckPolicy: jetstream.AckNonePolicy, MaxRequestBatch: 100, MaxRequestExpires: time.Minute, MaxWaiting: 1,
	})
	ask := func(body string) *nats.Subscription {
		t.Helper()
		sub := flushed(t, nc, nats.NewInbox())
		require.NoError(t, nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.S.d", sub.Subject, []byte(body)))
		return sub
	}
	status := func(sub *nats.Subscription, status, text string) *nats.Msg {
		t.Helper()
		m := next(t, sub)
		require.Equal(t, status, m.Header.Get("Status"))
		require.Equal(t, text, m.Header.Get("Description"))
		return m
	}
	status(ask(`{"batch":101}`), "409", "Exceeded MaxRequestBatch of 100")
	status(ask(`{"batch":1,"expires":120000000000}`), "409", "Exceeded MaxRequestExpires of 1m0s")
	status(ask(`{"batch":`), "400", "Bad Request - unexpected end of JSON input")
	sub := ask(`{"batch":10,"no_wait":true}`)
	for range 4 {
		require.Empty(t, next(t, sub).Header.Get("Status"))
	}
	status(sub, "404", "No Messages")
	status(ask(`{"batch":2,"expires":10000000}`), "408", "Request Timeout")
	sub = ask(`{"batch":2,"expires":30000000000,"idle_heartbeat":20000000}`)
	status(sub, "100", "Idle Heartbeat")
	status(ask(`{"batch":1,"expires":30000000000}`), "409", "Exceeded MaxWaiting")
	require.NoError(t, s.DeleteConsumer(within(t), "d"))
	for {
		m := next(t, sub)
		if m.Header.Get("Status") != "100" {
			require.Equal(t, "Consumer Deleted", m.Header.Get("Description"))
			break
		}
	}
	_, err := nc.Request("$JS.API.CONSUMER.MSG.NEXT.S.d", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders, "nobody serves a consumer that is gone")
}

func TestConsumeAndMessages(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	const many = 2000
	fill(t, js, "S", many)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d"})
	var mu sync.Mutex
	var got []string
	done := make(chan struct{})
	run, err := c.Consume(func(m jetstream.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, string(m.Data())); len(got) == many {
			close(done)
		}
		_ = m.Ack()
	}, jetstream.PullMaxMessages(100))
	require.NoError(t, err)
	select {
	case <-done:
	case <-within(t).Done():
		require.Fail(t, "not everything came")
	}
	run.Stop()
	require.Equal(t, numbers(1, many), got)
	require.Eventually(t, func() bool { return told(t, c).AckFloor.Stream == many }, patience, tick)
	messages, err := consumer(t, s, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy}).Messages(jetstream.PullMaxMessages(64))
	require.NoError(t, err)
	for i := 1; i <= many; i++ {
		m, err := messages.Next()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(m.Data()))
	}
	messages.Stop()
}

func TestPushConsumers(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	nc := p.client()
	js, err := nc.JetStream(nats.MaxWait(patience))
	require.NoError(t, err)
	_, err = js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"S.*"}})
	require.NoError(t, err)
	const many = 500
	for i := range many {
		_, err = js.PublishAsync(fmt.Sprint("S.", i%2), fmt.Append(nil, i))
		require.NoError(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-within(t).Done():
		require.Fail(t, "publishes were not answered")
	}
	sub, err := js.SubscribeSync("S.*", nats.Durable("push"), nats.ManualAck(), nats.EnableFlowControl(), nats.IdleHeartbeat(time.Second))
	require.NoError(t, err)
	for i := range many {
		m, err := sub.NextMsg(patience)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(m.Data))
		require.NoError(t, m.Ack())
	}
	info, err := sub.ConsumerInfo()
	require.NoError(t, err)
	require.True(t, info.PushBound)
	only, err := js.SubscribeSync("S.1", nats.OrderedConsumer(), nats.HeadersOnly())
	require.NoError(t, err)
	for range many / 2 {
		m, err := only.NextMsg(patience)
		require.NoError(t, err)
		require.Empty(t, m.Data)
		require.NotEmpty(t, m.Header.Get("Nats-Msg-Size"))
	}
	shared := make(chan int, many)
	for member := range 2 {
		_, err = js.QueueSubscribe("S.*", "workers", func(m *nats.Msg) { shared <- member }, nats.Durable("q"), nats.DeliverNew())
		require.NoError(t, err)
	}
	for range many {
		_, err = js.PublishAsync("S.0", nil)
		require.NoError(t, err)
	}
	served := map[int]int{}
	for range many {
		select {
		case member := <-shared:
			served[member]++
		case <-within(t).Done():
			require.Fail(t, "not everything came")
		}
	}
	require.Len(t, served, 2, "both members work: %v", served)
	_, err = js.Subscribe("S.*", func(*nats.Msg) {}, nats.Durable("push"))
	require.Error(t, err, "the durable is bound already")
}

func TestOrderedConsumersSurviveARestart(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js(nats.MaxReconnects(-1), nats.ReconnectWait(tick), nats.ReconnectJitter(0, 0),
		func(o *nats.Options) error { o.AllowReconnect = true; return nil })
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 200)
	c, err := s.OrderedConsumer(within(t), jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	messages, err := c.Messages(jetstream.PullMaxMessages(10), jetstream.PullHeartbeat(500*time.Millisecond), jetstream.PullExpiry(time.Second))
	require.NoError(t, err)
	for i := 1; i <= 200; i++ {
		if i == 100 {
			p.restartWith(syscall.SIGKILL, `listen: "`+p.addr+"\"\n"+jsConfig)
		}
		m, err := messages.Next()
		for errors.Is(err, jetstream.ErrNoHeartbeat) {
			m, err = messages.Next()
		}
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(m.Data()))
	}
	messages.Stop()
}

func TestPauseResetUnpin(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	ctx := within(t)
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 10)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", AckWait: time.Hour})
	paused, err := s.PauseConsumer(ctx, "d", time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.True(t, paused.Paused)
	nothing(t, c)
	_, err = s.ResumeConsumer(ctx, "d")
	require.NoError(t, err)
	require.Equal(t, numbers(1, 10), bodies(t, c, 10))
	reset, err := s.ResetConsumerToSequence(ctx, "d", 4)
	require.NoError(t, err)
	require.EqualValues(t, 4, reset.ResetSeq)
	require.Equal(t, numbers(4, 10), bodies(t, c, 7))

	pinned := consumer(t, s, jetstream.ConsumerConfig{
		Durable: "pin", PriorityPolicy: jetstream.PriorityPolicyPinned, PinnedTTL: time.Minute, PriorityGroups: []string{"g"},
	})
	batch, err := pinned.Fetch(1, jetstream.FetchPriorityGroup("g"))
	require.NoError(t, err)
	first := <-batch.Messages()
	id := first.Headers().Get("Nats-Pin-Id")
	require.NotEmpty(t, id)
	unpinned := flushed(t, nc, "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.pin")
	require.NoError(t, s.UnpinConsumer(ctx, "pin", "g"))
	require.Contains(t, string(next(t, unpinned).Data), `"reason":"admin"`)
	other, err := s.Consumer(ctx, "pin")
	require.NoError(t, err)
	batch, err = other.Fetch(1, jetstream.FetchPriorityGroup("g"))
	require.NoError(t, err)
	require.NotEqual(t, id, (<-batch.Messages()).Headers().Get("Nats-Pin-Id"))
}

func TestOverflowGroups(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 10)
	c := consumer(t, s, jetstream.ConsumerConfig{
		Durable: "d", PriorityPolicy: jetstream.PriorityPolicyOverflow, PriorityGroups: []string{"g"},
	})
	batch, err := c.Fetch(5, jetstream.FetchPriorityGroup("g"), jetstream.FetchMinPending(100), jetstream.FetchMaxWait(50*time.Millisecond))
	require.NoError(t, err)
	for m := range batch.Messages() {
		require.Fail(t, "less is pending than asked for", "%s", m.Data())
	}
	batch, err = c.Fetch(5, jetstream.FetchPriorityGroup("g"), jetstream.FetchMinPending(10))
	require.NoError(t, err)
	require.Equal(t, "1", string((<-batch.Messages()).Data()))
}

func TestWorkQueues(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	s := stream(t, js, jetstream.StreamConfig{Name: "W", Retention: jetstream.WorkQueuePolicy})
	fill(t, js, "W.a", 5)
	fill(t, js, "W.b", 5)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "a", FilterSubject: "W.a", AckWait: time.Hour})
	require.Equal(t, 10100, refused(t, nc, "CONSUMER.CREATE.W.x.W.>", map[string]any{
		"stream_name": "W", "config": map[string]any{"name": "x", "filter_subject": "W.>", "ack_policy": "explicit"}}))
	consumer(t, s, jetstream.ConsumerConfig{Durable: "b", FilterSubject: "W.b"})
	for _, m := range fetch(t, c, 3) {
		require.NoError(t, m.DoubleAck(within(t)))
	}
	require.Equal(t, map[string]uint64{"W.a": 2, "W.b": 5}, subjects(t, s))
	js, _ = p.restart(syscall.SIGKILL).js()
	s, err := js.Stream(within(t), "W")
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"W.a": 2, "W.b": 5}, subjects(t, s))
	c, err = s.Consumer(within(t), "a")
	require.NoError(t, err)
	require.Equal(t, []string{"4", "5"}, bodies(t, c, 2))
}

func TestInterestStreams(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "I", Retention: jetstream.InterestPolicy})
	fill(t, js, "I.a", 3)
	require.Zero(t, state(t, s).Msgs, "nobody is interested")
	a := consumer(t, s, jetstream.ConsumerConfig{Durable: "a"})
	b := consumer(t, s, jetstream.ConsumerConfig{Durable: "b", FilterSubject: "I.b"})
	fill(t, js, "I.a", 2)
	fill(t, js, "I.b", 2)
	require.EqualValues(t, 4, state(t, s).Msgs)
	for _, m := range fetch(t, a, 4) {
		require.NoError(t, m.DoubleAck(within(t)))
	}
	require.Equal(t, map[string]uint64{"I.b": 2}, subjects(t, s), "the other one waits for them")
	for _, m := range fetch(t, b, 2) {
		require.NoError(t, m.DoubleAck(within(t)))
	}
	require.Zero(t, state(t, s).Msgs)
	fill(t, js, "I.a", 1)
	require.NoError(t, s.DeleteConsumer(within(t), "a"))
	require.Eventually(t, func() bool { return state(t, s).Msgs == 0 }, patience, tick, "who wanted it is gone")
}

func TestInactiveConsumersGo(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	gone := flushed(t, nc, "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.>")
	consumer(t, s, jetstream.ConsumerConfig{Name: "idle", InactiveThreshold: 50 * time.Millisecond})
	require.Contains(t, string(next(t, gone).Data), `"consumer":"idle"`)
	_, err := s.Consumer(within(t), "idle")
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
}

func TestSampledAcks(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 1)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", SampleFrequency: "100%"})
	metric := flushed(t, nc, "$JS.EVENT.METRIC.CONSUMER.ACK.S.d")
	require.NoError(t, fetch(t, c, 1)[0].Ack())
	text := string(next(t, metric).Data)
	require.Contains(t, text, `"type":"io.nats.jetstream.metric.v1.consumer_ack"`)
	require.Contains(t, text, `"stream_seq":1`)
}

func TestReplayAtTheOriginalPace(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 1)
	first, err := s.GetMsg(within(t), 1)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return time.Since(first.Time) > 200*time.Millisecond }, patience, tick)
	fill(t, js, "S", 1)
	second, err := s.GetMsg(within(t), 2)
	require.NoError(t, err)
	c := consumer(t, s, jetstream.ConsumerConfig{ReplayPolicy: jetstream.ReplayOriginalPolicy})
	began := time.Now()
	fetch(t, c, 2)
	require.GreaterOrEqual(t, time.Since(began), second.Time.Sub(first.Time)-20*time.Millisecond)
}

// Acks that no consumer takes, and answers to flow control that none asked for, have no responder.
func TestAcksThatNobodyTakes(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 1)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy})
	consumer(t, s, jetstream.ConsumerConfig{Durable: "none", AckPolicy: jetstream.AckNonePolicy})
	_, err := js.CreateOrUpdatePushConsumer(within(t), "S", jetstream.ConsumerConfig{
		Durable: "push", DeliverSubject: "to.push", FlowControl: true, IdleHeartbeat: time.Second,
	})
	require.NoError(t, err)
	m := fetch(t, c, 1)[0]
	require.NoError(t, m.DoubleAck(within(t)))
	for _, subject := range []string{
		"$JS.ACK.S.d.1.1.1.1.1", "$JS.ACK.S.d.9.1.9.9.0", "$JS.ACK.S.d.0.0.0.0.0",
		"$JS.ACK._.szMpdrwD.S.d.1.1.1.1.1", "$JS.ACK._.szMpdrwD.S.d.1.1.1.1.1.more.of.it",
	} {
		answer, err := nc.Request(subject, []byte("+ACK"), patience)
		require.NoError(t, err, subject)
		require.Empty(t, answer.Data)
	}
	for _, subject := range []string{
		"$JS.ACK.S.nobody.1.1.1.1.1", "$JS.ACK.NOT.d.1.1.1.1.1", "$JS.ACK.S.none.1.1.1.1.1", "$JS.ACK.S.d.1.1.1.1",
		"$JS.ACK.S.d.1.1.1.1.1.1", "$JS.ACK.S.d", "$JS.ACK.x.szMpdrwD.S.d.1.1.1.1.1", "$JS.ACK._.other.S.d.1.1.1.1.1",
		"$JS.FC.S.d.abcd", "$JS.FC.S.nobody.abcd", "$JS.FC.S.push", "$JS.FC.S.push.abcd.e",
	} {
		_, err := nc.Request(subject, []byte("+ACK"), patience)
		require.ErrorIs(t, err, nats.ErrNoResponders, subject)
	}
}

// With a feature flag, the subjects of acks and of flow control name domain and account.
func TestAcksThatNameTheAccount(t *testing.T) {
	t.Parallel()
	js, nc := start(t, "jetstream { store_dir: \"DIR/data\", domain: hub }\nfeature_flags { js_ack_fc_v2: true }").js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 2)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy})
	for _, m := range fetch(t, c, 2) {
		require.Regexp(t, `^\$JS\.ACK\.hub\.szMpdrwD\.S\.d\.1\.[12]\.[12]\.\d{19}\.[01]$`, m.Reply())
		require.NoError(t, m.DoubleAck(within(t)))
	}
	info, err := c.Info(within(t))
	require.NoError(t, err)
	require.EqualValues(t, 2, info.AckFloor.Stream)
	stream(t, js, jetstream.StreamConfig{Name: "M", Mirror: &jetstream.StreamSource{Name: "S"}})
	questions := flushed(t, nc, "$JS.FC.hub.szMpdrwD.S.>")
	for range 30 {
		require.Zero(t, code(request(t, nc, "S", strings.Repeat("x", 200_000))))
	}
	reaches(t, js, "M", 32)
	require.NotEmpty(t, next(t, questions).Subject)
}

// What is said of messages that were never delivered changes nothing.
func TestAcksOfWhatWasNotDelivered(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 3)
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy})
	require.Equal(t, numbers(1, 1), bodies(t, c, 1))
	terminated := flushed(t, nc, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.d")
	const ack = "$JS.ACK.S.d.1.3.3.1.1"
	for _, text := range []string{"-NAK", "+WPI", "of no meaning"} {
		_, err := nc.Request(ack, []byte(text), patience)
		require.NoError(t, err, text)
	}
	require.NoError(t, nc.PublishRequest(ack, "nowhere", []byte("+ACK")))
	require.NoError(t, nc.PublishRequest(ack, "nowhere", []byte("+TERM not for me")))
	require.Contains(t, string(next(t, terminated).Data), `"reason":"not for me"`)
	answer, err := nc.Request(ack, []byte("+NXT"), patience)
	require.NoError(t, err)
	require.Equal(t, "2", string(answer.Data), "asking for the next works all the same")
	info, err := c.Info(within(t))
	require.NoError(t, err)
	require.Equal(t, []any{2, uint64(1), uint64(0)}, []any{info.NumAckPending, info.NumPending, info.AckFloor.Stream})
	require.Equal(t, numbers(3, 3), bodies(t, c, 1))
}
