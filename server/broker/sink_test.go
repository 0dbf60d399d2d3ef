package broker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/subject"
)

// collector is a service of the server that writes down what comes.
type collector struct {
	*broker.Sink
	batches int
	got     []string
	infos   []*account.ClientInfo
}

func (s *script) collect(o broker.SinkOptions) *collector {
	k := &collector{}
	k.Sink = s.broker.NewSink(s.serverStrand("sink"), o, func(batches []*broker.Batch) {
		for _, b := range batches {
			k.batches++
			k.infos = append(k.infos, b.Info)
			for _, m := range b.Messages {
				k.got = append(k.got, arrival(b, &m))
			}
			b.Release()
		}
	})
	return k
}

// arrival is account, subject, reply, header and data of a message.
func arrival(b *broker.Batch, m *broker.Arrival) string {
	return fmt.Sprintf("%s %s %s [%s] %s", b.FromAccount, m.Subject, m.Reply, strings.ReplaceAll(string(m.Header), "\r\n", "|"), m.Data)
}

// take gives what came since the last time.
func (k *collector) take() []string {
	got := k.got
	k.got = nil
	return got
}

func (s *script) serverStrand(name string) clock.Strand { return s.clock.NewStrand(name) }

func mustSubscribe(t testing.TB, k *broker.Sink, acc *account.Account, subj, queue string) *account.Subscription {
	sub, err := k.Subscribe(acc, subj, queue)
	require.NoError(t, err)
	return sub
}

func TestSinkTakesWhatIsPublished(t *testing.T) {
	s := newScript(t, "")
	k := s.collect(broker.SinkOptions{Name: "k", WithInfo: true})
	sub := mustSubscribe(t, k.Sink, s.broker.Global(), "api.>", "")
	require.EqualValues(t, 0, sub.Owner.ID())
	require.Equal(t, 1, s.broker.NumSubscriptions())
	s.login("a", `,"headers":true,"name":"me"`)
	s.send("a", "PUB api.x 2\r\nhi\r\nPUB other 1\r\nx\r\nPUB api.y re 0\r\n\r\nHPUB api.z 12 15\r\nNATS/1.0\r\n\r\nabc\r\n")
	s.settle()
	require.Equal(t, []string{
		"$G api.x  [] hi",
		"$G api.y re [] ",
		"$G api.z  [NATS/1.0||] abc",
	}, k.take())
	require.Equal(t, 1, k.batches, "one read is one batch")
	require.Equal(t, "me", k.infos[0].Name)
	require.Equal(t, s.broker.Client(1).Info(), *k.infos[0])
	s.send("a", "PUB api.x 1\r\n1\r\n")
	s.settle()
	require.Same(t, k.infos[0], k.infos[1], "nothing changed: nothing was made anew")

	msgs, limit := k.Delivered(sub)
	require.EqualValues(t, 4, msgs)
	require.Zero(t, limit)

	k.Unsubscribe(sub)
	s.send("a", "PUB api.x 1\r\n2\r\n")
	s.settle()
	require.Equal(t, []string{"$G api.x  [] 1"}, k.take())
	require.Zero(t, s.broker.NumSubscriptions())
}

func TestSinkRefusesBadSubjects(t *testing.T) {
	s := newScript(t, "")
	k := s.collect(broker.SinkOptions{})
	_, err := k.Subscribe(s.broker.Global(), "a..b", "")
	require.ErrorIs(t, err, subject.ErrInvalidSubject)
	mustSubscribe(t, k.Sink, s.broker.Global(), "a", "")
	mustSubscribe(t, k.Sink, s.broker.Global(), "a", "q")
	require.Equal(t, 2, s.broker.NumSubscriptions())
	k.Close()
	require.Zero(t, s.broker.NumSubscriptions())
	_, err = k.Subscribe(s.broker.Global(), "a", "")
	require.ErrorContains(t, err, "closed")
}

func TestSinkIsAResponder(t *testing.T) {
	s := newScript(t, "")
	s.login("a", `,"headers":true,"no_responders":true`)
	s.send("a", "SUB in 1\r\nPUB svc in 0\r\n\r\n")
	s.settle()
	require.Contains(t, string(s.clients["a"].got), "503")
	s.clients["a"].got = nil
	k := s.collect(broker.SinkOptions{Wants: func(subj []byte) bool { return string(subj) != "svc.not" }})
	mustSubscribe(t, k.Sink, s.broker.Global(), "svc", "")
	mustSubscribe(t, k.Sink, s.broker.Global(), "svc.not", "_sys_")
	s.send("a", "PUB svc in 0\r\n\r\n")
	s.settle()
	require.Empty(t, s.clients["a"].got)
	s.send("a", "PUB svc.not in 0\r\n\r\n")
	s.settle()
	require.Contains(t, string(s.clients["a"].got), "503", "what is not wanted has no responder")
	require.Equal(t, []string{"$G svc in [] "}, k.take(), "what is not wanted does not come")
}

func TestSinkInQueueGroups(t *testing.T) {
	s := newScript(t, "")
	one, two := s.collect(broker.SinkOptions{}), s.collect(broker.SinkOptions{})
	mustSubscribe(t, one.Sink, s.broker.Global(), "q.*", "_sys_")
	mustSubscribe(t, two.Sink, s.broker.Global(), "q.*", "_sys_")
	s.login("a", "")
	for i := range 64 {
		s.send("a", fmt.Sprintf("PUB q.%d 1\r\nx\r\n", i))
	}
	s.settle()
	require.Len(t, append(one.got, two.got...), 64, "each message goes to one member")
	require.NotEmpty(t, one.got)
	require.NotEmpty(t, two.got)
}

func TestSinkBesidePermissions(t *testing.T) {
	s := newScript(t, `authorization {users: [{user: u, password: p, permissions: {publish: "ok.>"}}]}`)
	k := s.collect(broker.SinkOptions{})
	mustSubscribe(t, k.Sink, s.broker.Global(), ">", "")
	s.login("a", `,"user":"u","pass":"p"`)
	s.send("a", "PUB no 1\r\nx\r\nPUB ok.1 1\r\nx\r\n")
	s.settle()
	require.Equal(t, []string{"$G ok.1  [] x"}, k.take())
	require.Contains(t, string(s.clients["a"].got), `Permissions Violation for Publish to "no"`)
}

const acrossConf = `accounts {
	A {users: [{user: a, password: a}], exports: [{service: "svc.>"}, {stream: "ev.>"}], mappings {old: svc.new}}
	B {users: [{user: b, password: b}], imports: [{service: {account: A, subject: "svc.>"}, to: "ask.>"}, {stream: {account: A, subject: "ev.>"}, prefix: "imp"}]}
}`

func TestSinkAcrossAccounts(t *testing.T) {
	s := newScript(t, acrossConf)
	a := s.broker.LookupAccount("A")
	k := s.collect(broker.SinkOptions{})
	mustSubscribe(t, k.Sink, a, "svc.>", "")
	s.login("a", `,"user":"a","pass":"a"`)
	s.login("b", `,"user":"b","pass":"b","headers":true`)
	s.send("a", "PUB old 1\r\nm\r\n")
	s.settle()
	require.Equal(t, []string{"A svc.new  [] m"}, k.take(), "the account's mapping comes first")

	s.clients["b"].got = nil
	s.send("b", "SUB in 1\r\nPUB ask.it in 1\r\nq\r\n")
	s.settle()
	require.Len(t, k.got, 1)
	require.Regexp(t, `^B svc\.it _R_\.\w+\.\w+ \[NATS/1\.0\|Nats-Request-Info: \{"acc":"B".*\|\|\] q$`, k.got[0])
	reply := strings.Fields(k.take()[0])[2]
	send := s.broker.NewSender(s.serverStrand("send"), a, "svc")
	require.True(t, send.Deliver([]byte(reply), []byte("shown"), nil, nil, []byte("answer")))
	send.Flush()
	s.settle()
	require.Equal(t, "MSG shown 1 6\r\nanswer\r\n", string(s.clients["b"].got))
	require.False(t, send.Publish([]byte(reply), nil, nil, nil), "it was the one response")
}

func TestSinkInTwoAccountsOfOneConnection(t *testing.T) {
	s := newScript(t, `accounts {A {users: [{user: a, password: a}]}, B {users: [{user: b, password: b}]}}
		no_auth_user: a`)
	k := s.collect(broker.SinkOptions{})
	mustSubscribe(t, k.Sink, s.broker.LookupAccount("A"), "x", "")
	mustSubscribe(t, k.Sink, s.broker.LookupAccount("B"), "x", "")
	s.open("c")
	s.settle()
	s.send("c", "PUB x 1\r\n1\r\nCONNECT {\"user\":\"b\",\"pass\":\"b\"}\r\nPUB x 1\r\n2\r\n")
	s.settle()
	require.Equal(t, []string{"A x  [] 1", "B x  [] 2"}, k.take())
}

// TestSinkBeforePong: what was published before a PING is with the sink when the PONG
// leaves; the sink's strand has not run yet.
func TestSinkBeforePong(t *testing.T) {
	b := newBroker(t, "")
	strand := clock.NewSim(2).Clock("sinks").NewStrand("sink")
	k := b.NewSink(strand, broker.SinkOptions{}, func([]*broker.Batch) {})
	mustSubscribe(t, k, b.Global(), "x", "")
	pub := accept(b)
	pongs := 0
	pub.watch = func(p []byte) {
		if bytes.HasPrefix(p, []byte("PONG")) {
			msgs, _ := k.Waiting()
			require.Equal(t, 2, msgs)
			pongs++
		}
	}
	pub.say("PUB x 1\r\n1\r\nPUB x 1\r\n2\r\nPING\r\nPUB x 1\r\n3\r\n")
	require.Equal(t, 1, pongs)
	msgs, size := k.Waiting()
	require.Equal(t, 3, msgs)
	require.Equal(t, 3*2, size)
}

func TestSinkThatIsFullAnswers(t *testing.T) {
	s := newScript(t, acrossConf)
	a := s.broker.LookupAccount("A")
	s.login("b", `,"user":"b","pass":"b","headers":true`)
	s.login("a", `,"user":"a","pass":"a","headers":true`)
	strand := s.serverStrand("sink")
	var taken, refused int
	k := s.broker.NewSink(strand, broker.SinkOptions{CreditMsgs: 3, Full: func(b *broker.Batch, from clock.Strand) {
		refused += len(b.Messages)
		for i := range b.Messages {
			b.Answer(i, []byte("NATS/1.0 429 Too Many\r\n\r\n"), nil)
		}
		b.Release()
	}}, func(batches []*broker.Batch) {
		for _, b := range batches {
			taken += len(b.Messages)
			b.Release()
		}
	})
	mustSubscribe(t, k, a, "svc.>", "")
	s.clients["a"].got, s.clients["b"].got = nil, nil
	four := strings.Repeat("PUB svc.x in 0\r\n\r\n", 4)
	strand.Post(func() { // while this strand is busy the others' tasks fill its queue
		for i := range 3 {
			s.feed(2, "SUB in 1\r\n"+four+fmt.Sprintf("PING\r\nPUB svc.%d in 0\r\n\r\n", i))
		}
		s.feed(1, "SUB in 1\r\nPUB ask.x in 0\r\n\r\n")
	})
	s.settle()
	require.Equal(t, 4, taken, "the first batch is taken however large it is")
	require.Equal(t, 12, refused)
	got := string(s.clients["a"].got)
	require.Equal(t, 11, strings.Count(got, "HMSG in 1 25 25\r\nNATS/1.0 429 Too Many\r\n\r\n\r\n"), got)
	require.Equal(t, 3, strings.Count(got, "PONG"))
	require.Equal(t, "HMSG in 1 25 25\r\nNATS/1.0 429 Too Many\r\n\r\n\r\n", string(s.clients["b"].got), "answers cross accounts too")
	msgs, size := k.Waiting()
	require.Zero(t, msgs+size)
}

// feed is a read of the server's connection id, at once.
func (s *script) feed(id uint64, text string) { s.broker.Client(id).Data([]byte(text)) }

func TestSinkWithoutRoomPausesThePublisher(t *testing.T) {
	b := newBroker(t, "")
	sim := clock.NewSim(2)
	taken := 0
	k := b.NewSink(sim.Clock("sinks").NewStrand("sink"), broker.SinkOptions{Credit: 100}, func(batches []*broker.Batch) {
		for _, b := range batches {
			taken += len(b.Messages)
			b.Release()
		}
	})
	mustSubscribe(t, k, b.Global(), "x", "")
	pub := accept(b)
	pub.say("PUB x 50\r\n%50d\r\n", 1)
	require.Zero(t, pub.paused)
	pub.say("PUB x 50\r\n%50d\r\n", 2)
	require.Equal(t, 1, pub.paused, "above the credit: read no more")
	sim.RunFor(1)
	require.Equal(t, 2, taken, "nothing is lost")
	_, size := k.Waiting()
	require.Zero(t, size)
}

// TestSinkEasesUntilBatchesAreReleased: what a service has taken and holds counts.
func TestSinkEasesUntilBatchesAreReleased(t *testing.T) {
	b := newBroker(t, "")
	sim := clock.NewSim(2)
	var held []*broker.Batch
	k := b.NewSink(sim.Clock("sinks").NewStrand("sink"), broker.SinkOptions{Ease: 100}, func(batches []*broker.Batch) {
		held = append(held, batches...)
	})
	mustSubscribe(t, k, b.Global(), "x", "")
	pub := accept(b)
	pub.say("PUB x 50\r\n%50d\r\n", 1)
	sim.RunFor(1)
	require.Zero(t, pub.paused)
	pub.say("PUB x 50\r\n%50d\r\n", 2)
	sim.RunFor(1)
	require.Equal(t, 1, pub.paused)
	other := accept(b)
	other.say("PUB x 1\r\n1\r\n")
	sim.RunFor(1)
	require.Equal(t, 1, other.paused, "whoever publishes more has to wait")
	require.Len(t, held, 3)
	for _, batch := range held {
		batch.Release()
	}
	third := accept(b)
	third.say("PUB x 50\r\n%50d\r\n", 3)
	sim.RunFor(1)
	require.Zero(t, third.paused, "what was released does not count")
}

// TestBatchesAreBounded: a read of many messages comes in several batches.
func TestBatchesAreBounded(t *testing.T) {
	s := newScript(t, "")
	largest, msgs := 0, 0
	k := s.broker.NewSink(s.serverStrand("sink"), broker.SinkOptions{}, func(batches []*broker.Batch) {
		for _, b := range batches {
			size := 0
			for i, m := range b.Messages {
				require.Equal(t, fmt.Sprint(msgs+i), string(m.Data))
				size += len(m.Subject) + len(m.Reply) + len(m.Header) + len(m.Data)
			}
			msgs += len(b.Messages)
			require.Equal(t, size, b.Bytes)
			largest = max(largest, len(b.Messages))
			b.Release()
		}
	})
	mustSubscribe(t, k, s.broker.Global(), "x", "")
	s.login("a", "")
	text := &strings.Builder{}
	for i := range 5000 {
		fmt.Fprintf(text, "PUB x %d\r\n%d\r\n", len(fmt.Sprint(i)), i)
	}
	s.feed(1, text.String())
	s.settle()
	require.Equal(t, 5000, msgs)
	require.Equal(t, 1024, largest)
}

// TestBatchesHoldUntilReleased: what one batch holds is not touched by the next, small or
// large.
func TestBatchesHoldUntilReleased(t *testing.T) {
	s := newScript(t, "")
	var held []*broker.Batch
	k := s.broker.NewSink(s.serverStrand("sink"), broker.SinkOptions{}, func(batches []*broker.Batch) {
		held = append(held, batches...)
	})
	mustSubscribe(t, k, s.broker.Global(), "*", "")
	s.login("a", "")
	sizes := []int{0, 1, 900, 5000, 40_000, 70_000, 200_000, 3}
	for i, n := range sizes {
		s.feed(1, fmt.Sprintf("PUB s%d r%d %d\r\n%s\r\nPUB s%d %d\r\n%s\r\n", i, i, n, strings.Repeat(fmt.Sprint(i), n), i, n, strings.Repeat(fmt.Sprint(i), n)))
	}
	s.settle()
	got := 0
	for _, b := range held {
		for _, m := range b.Messages {
			i := got / 2
			require.Equal(t, fmt.Sprintf("s%d", i), string(m.Subject))
			require.Equal(t, strings.Repeat(fmt.Sprint(i), sizes[i]), string(m.Data))
			got++
		}
	}
	require.Equal(t, 2*len(sizes), got)
	for _, b := range held {
		b.Release()
	}
	require.NotPanics(t, func() { s.feed(1, "PUB again 1\r\nx\r\n") })
	s.settle()
	require.Equal(t, "again", string(held[len(held)-1].Messages[0].Subject))
}

func TestSinksLeaveNothingBehind(t *testing.T) {
	s := newScript(t, "")
	k := s.collect(broker.SinkOptions{Name: "gone"})
	require.Equal(t, "gone", k.String())
	mustSubscribe(t, k.Sink, s.broker.Global(), "x", "")
	s.login("a", "")
	s.feed(1, "PUB x 1\r\nx\r\n")
	k.Close()
	s.feed(1, "PUB x 1\r\ny\r\n")
	s.settle()
	require.Equal(t, []string{"$G x  [] x"}, k.take(), "what waits is still drained, nothing new comes")
	require.Equal(t, 1, s.broker.Held().Gone)
	s.sim.RunFor(5 * time.Minute)
	require.Zero(t, s.broker.Held().Gone, "publishers let go of it")
}

func TestBatchesAreReleasedOnce(t *testing.T) {
	s := newScript(t, "")
	k := s.broker.NewSink(s.serverStrand("sink"), broker.SinkOptions{}, func(batches []*broker.Batch) {
		batches[0].Release()
		require.Panics(t, batches[0].Release)
	})
	mustSubscribe(t, k, s.broker.Global(), "x", "")
	s.login("a", "")
	s.feed(1, "PUB x 1\r\nx\r\n")
	s.settle()
	msgs, _ := k.Waiting()
	require.Zero(t, msgs)
}

// newStrand is a strand of a world of its own.
func newStrand(name string) clock.Strand { return clock.NewSim(2).Clock("other").NewStrand(name) }

// TestSinkThroughAStreamImport lets a sink listen to what its account imports, as clients of it do.
func TestSinkThroughAStreamImport(t *testing.T) {
	s := newScript(t, `accounts {
		EX {users: [{user: e, password: p}], exports: [{stream: "out.>"}]}
		IM {users: [{user: i, password: p}], imports: [{stream: {account: EX, subject: "out.>"}, prefix: here}]}
	}`)
	im := s.broker.LookupAccount("IM")
	require.NotNil(t, im)
	k := s.collect(broker.SinkOptions{})
	sub := mustSubscribe(t, k.Sink, im, "here.out.a", "")
	s.login("c", `,"user":"e","pass":"p"`)
	s.send("c", "PUB out.a 1\r\nx\r\nPUB out.b 1\r\ny\r\n")
	s.settle()
	require.Equal(t, []string{"EX here.out.a  [] x"}, k.take(), "the account named is the publisher's")
	require.True(t, s.broker.Interested(s.broker.LookupAccount("EX"), "out.a", ""), "the exporting account sees the interest")
	k.Unsubscribe(sub)
	require.False(t, s.broker.Interested(s.broker.LookupAccount("EX"), "out.a", ""))
}
