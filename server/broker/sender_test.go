package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
)

// send1 lets the server itself publish in an account.
func (s *script) send1(n *broker.Sender, to, subject, reply, header, data string) bool {
	ok := n.Deliver([]byte(to), []byte(subject), []byte(reply), []byte(header), []byte(data))
	n.Flush()
	s.settle()
	return ok
}

// heard is what a client got since the last time.
func (s *script) heard(name string) string {
	got := string(s.clients[name].got)
	s.clients[name].got = nil
	return strings.ReplaceAll(strings.ReplaceAll(got, "PING\r\n", ""), "\r\n", "|")
}

func TestSenderReachesEverybody(t *testing.T) {
	s := newScript(t, acrossConf)
	a, b := s.broker.LookupAccount("A"), s.broker.LookupAccount("B")
	s.login("a", `,"user":"a","pass":"a","headers":true,"echo":false`)
	s.login("b", `,"user":"b","pass":"b"`)
	s.send("a", "SUB x 1\r\nSUB ev.* q 2\r\nSUB old 3\r\nSUB svc.new 4\r\n")
	s.send("b", "SUB imp.ev.1 7\r\n")
	s.settle()
	k := s.collect(broker.SinkOptions{WithInfo: true})
	mustSubscribe(t, k.Sink, a, "svc.>", "")
	mustSubscribe(t, k.Sink, a, "x", "")
	s.heard("a")
	s.heard("b")
	n := s.broker.NewSender(s.serverStrand("send"), a, "me")
	require.Same(t, a, n.Account())
	const h = "NATS/1.0\r\nk: v\r\n\r\n"
	hs := strings.ReplaceAll(h, "\r\n", "|")

	require.True(t, n.Publish([]byte("x"), []byte("r"), []byte(h), []byte("data")))
	n.Flush()
	s.settle()
	require.Equal(t, "HMSG x 1 r 18 22|"+hs+"data|", s.heard("a"))
	require.Equal(t, []string{"A x r [" + hs + "] data"}, k.take())
	require.Equal(t, "me", k.infos[0].Name)
	require.Equal(t, "A", k.infos[0].Account)

	require.True(t, s.send1(n, "ev.1", "seen", "", h, "e"), "queue groups, and imports of the stream")
	require.Equal(t, "HMSG seen 2 18 19|"+hs+"e|", s.heard("a"))
	require.Equal(t, "MSG seen 7 1|e|", s.heard("b"), "without headers: the client takes none")

	require.True(t, n.Publish([]byte("ev.1"), nil, nil, []byte("e")))
	n.Flush()
	s.settle()
	require.Equal(t, "MSG imp.ev.1 7 1|e|", s.heard("b"), "as the import names it")
	s.heard("a")

	require.True(t, n.Publish([]byte("old"), nil, nil, nil), "mappings are for clients")
	n.Flush()
	s.settle()
	require.Equal(t, "MSG old 3 0||", s.heard("a"))

	require.False(t, n.Publish([]byte("nobody"), nil, nil, nil))

	fromB := s.broker.NewSender(s.serverStrand("sendB"), b, "other")
	require.True(t, fromB.Publish([]byte("ask.q"), []byte("re"), nil, []byte("?")), "services of other accounts")
	fromB.Flush()
	s.settle()
	require.Regexp(t, `^B svc.q _R_\.\S+ \[NATS/1.0\|Nats-Request-Info: \{"acc":"B"\}\|\|\] \?$`, k.take()[0])
	require.EqualValues(t, 6, a.Sent.Msgs.Load())
	require.Zero(t, b.Sent.Msgs.Load(), "what comes by an import counts where it was published")
	in, out := &s.broker.Stats().In, &s.broker.Stats().Out
	require.Zero(t, in.Msgs.Load(), "nothing came from a client")
	require.EqualValues(t, 6, out.Msgs.Load())
}

func TestSenderKeepsOrderAndSettlesUnsub(t *testing.T) {
	s := newScript(t, "")
	s.login("a", "")
	s.send("a", "SUB x.* 1\r\nSUB x.* 2\r\nUNSUB 2 2\r\n")
	s.settle()
	s.heard("a")
	n := s.broker.NewSender(s.serverStrand("send"), s.broker.Global(), "")
	for i := range 4 {
		n.Publish(fmt.Appendf(nil, "x.%d", i), nil, nil, nil)
	}
	s.feed(1, "UNSUB 1\r\n")
	n.Flush()
	s.settle()
	require.Equal(t, "MSG x.0 2 0||MSG x.1 2 0||", s.heard("a"), "nothing after UNSUB, and no more than the maximum")
	require.Zero(t, s.broker.NumSubscriptions())
	require.False(t, n.Publish([]byte("x.9"), nil, nil, nil))
	n.Flush()
	n.Close()
	n.Close()
	s.send("a", "SUB x.* 3\r\n")
	s.settle()
	require.False(t, n.Publish([]byte("x.9"), nil, nil, nil), "closed")
}

// TestSenderFlushesWhatGrowsLarge: a task that sends much holds no more than a bound.
func TestSenderFlushesWhatGrowsLarge(t *testing.T) {
	b := newBroker(t, "")
	var subs []*sink
	for i := range 20 {
		c := accept(b)
		c.subscribe(fmt.Sprintf("x.%d", i))
		subs = append(subs, c)
	}
	taken := func() (n int) {
		for _, c := range subs {
			n += c.taken
		}
		return n
	}
	n := b.NewSender(clock.NewSim(2).Clock("s").NewStrand("send"), b.Global(), "")
	before, sent, data := taken(), 0, make([]byte, 8<<10)
	for i := range 2000 {
		require.True(t, n.Publish([]byte(subs[i%20].subject), nil, nil, data[:1+i%len(data)]))
		sent += 1 + i%len(data)
		require.Less(t, sent-(taken()-before), 2<<20)
	}
	n.Flush()
	require.GreaterOrEqual(t, taken()-before, sent)
}

// TestSenderEndsSlowConsumers, and does not wait for them.
func TestSenderEndsSlowConsumers(t *testing.T) {
	s := newScript(t, "max_payload: 1000, max_pending: 1000")
	s.login("a", "")
	s.send("a", "SUB x 1\r\n")
	s.settle()
	n := s.broker.NewSender(s.serverStrand("send"), s.broker.Global(), "")
	n.Publish([]byte("x"), nil, nil, make([]byte, 900))
	n.Flush()
	require.Empty(t, s.broker.Closed())
	require.Zero(t, s.broker.Stats().Stalled.Load())
	n.Publish([]byte("x"), nil, nil, make([]byte, 900))
	n.Publish([]byte("x"), nil, nil, make([]byte, 900))
	n.Flush()
	s.settle()
	require.Equal(t, broker.SlowConsumerPendingBytes, s.endings()[1])
}

// TestSenderLetsGo: whoever has gone is not kept by a sender that is idle.
func TestSenderLetsGo(t *testing.T) {
	s := newScript(t, "")
	n := s.broker.NewSender(s.serverStrand("send"), s.broker.Global(), "")
	s.login("a", "")
	s.send("a", "SUB x 1\r\n")
	s.settle()
	for range 3 {
		require.True(t, s.send1(n, "x", "x", "", "", ""))
	}
	require.Equal(t, 1, n.Kept())
	s.send("a", "nonsense\r\n")
	s.settle()
	require.Equal(t, 1, n.Kept())
	for range 1100 {
		s.open("other")
		s.settle()
		s.send("other", "nonsense\r\n")
		s.settle()
	}
	require.Zero(t, n.Kept())
}
