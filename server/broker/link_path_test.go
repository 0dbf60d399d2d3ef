package broker_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/wire"
)

// linkIn is a link over a connection that takes everything, with what parses for it.
type linkIn struct {
	sink
	link   *broker.Link
	parser wire.RouteParser
	op     wire.RouteOp
}

func newLinkIn(b *broker.Broker, s clock.Strand, remote string) *linkIn {
	l := &linkIn{}
	l.link = b.NewLink(broker.LinkOptions{
		ID: b.NextID(), Conn: &l.sink, Strand: s, Name: "peer - rid:1", RemoteID: remote, Headers: true, Origins: true,
	})
	return l
}

// read has the link carry out a read of the network.
func (l *linkIn) read(p []byte) {
	for len(p) > 0 {
		rest, ok, err := l.parser.Next(p, &l.op)
		if err == nil && ok {
			err = l.link.Op(&l.op)
		}
		if err != nil || !ok {
			panic(fmt.Sprintf("%v after %q", err, p[:min(len(p), 60)]))
		}
		p = rest
	}
	l.link.EndBatch()
}

func (l *linkIn) hear(format string, v ...any) { l.read(fmt.Appendf(nil, format, v...)) }

// linkPaths are shapes of the way of a message to and from other servers.
var linkPaths = []struct {
	name   string
	local  []string // SUB of one connection each
	remote []string // RS+ of one link each
	send   string   // what a client publishes,
	hear   string   // or what comes over a link
	size   int
}{
	{name: "to=link", remote: []string{"foo"}, send: "PUB foo", size: 128},
	{name: "to=link,size=16384", remote: []string{"foo"}, send: "PUB foo", size: 16 << 10},
	{name: "to=2links+client", local: []string{"foo"}, remote: []string{"foo", "foo"}, send: "PUB foo", size: 128},
	{name: "to=queues", local: []string{"foo q"}, remote: []string{"foo q 3", "foo q 2"}, send: "PUB foo", size: 128},
	{name: "from=link", local: []string{"foo"}, hear: "RMSG $G foo", size: 128},
	{name: "from=link,size=16384", local: []string{"foo"}, hear: "RMSG $G foo", size: 16 << 10},
	{name: "from=link,queue", local: []string{"foo q", "foo q"}, hear: "RMSG $G foo | q", size: 128},
	{name: "from=link,nobody", remote: []string{"foo"}, hear: "RMSG $G foo", size: 128},
}

// linkPath sets one shape up and gives what has one read carried out.
func linkPath(t testing.TB, i int) (run func(), msgs int, taken func() int) {
	tc := linkPaths[i]
	b := newBroker(t, "")
	b.NewAnnouncer()
	strand := clock.NewSim(1).Clock("server").NewStrand("link")
	var ends []*sink
	for _, spec := range tc.local {
		s := accept(b)
		s.subscribe(spec)
		ends = append(ends, s)
	}
	for i, spec := range tc.remote {
		l := newLinkIn(b, strand, fmt.Sprint(i))
		l.hear("RS+ $G %s\r\n", spec)
		ends = append(ends, &l.sink)
	}
	taken = func() (n int) {
		for _, s := range ends {
			n += s.taken
		}
		return n
	}
	verb, p := tc.send+tc.hear, []byte(nil)
	for body := make([]byte, tc.size); len(p)+tc.size+64 < 64<<10; msgs++ {
		p = fmt.Appendf(p, "%s %d\r\n%s\r\n", verb, tc.size, body)
	}
	if tc.hear != "" {
		from := newLinkIn(b, strand, "from")
		return func() { from.read(p) }, msgs, taken
	}
	pub := accept(b)
	return func() { pub.h.Data(p) }, msgs, taken
}

// TestLinkAllocatesNothing pins the way between servers as the one between clients.
func TestLinkAllocatesNothing(t *testing.T) {
	for i, tc := range linkPaths {
		t.Run(tc.name, func(t *testing.T) {
			run, _, taken := linkPath(t, i)
			for range 4 { // the subject is known, buffers are there
				run()
			}
			before := taken()
			require.Zero(t, testing.AllocsPerRun(20, run))
			if len(tc.local) > 0 || tc.send != "" {
				require.Greater(t, taken(), before, "nothing was delivered")
			}
		})
	}
}

func BenchmarkLink(b *testing.B) {
	for i, tc := range linkPaths {
		b.Run(tc.name, func(b *testing.B) {
			run, msgs, _ := linkPath(b, i)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*msgs), "ns/msg")
		})
	}
}

// TestLinkTrace: what the protocol trace shows of an exchange with another server.
func TestLinkTrace(t *testing.T) {
	s := newScript(t, "trace: true")
	var log lines
	s.log.Set(&log)
	s.log.SetLevels(false, true, false)
	a := s.broker.NewAnnouncer()
	l := newLinkIn(s.broker, s.clock.NewStrand("link"), "peer")
	a.Add(l.link, func(string) bool { return true }, nil)
	l.hear("RS+ $G foo q 2\r\nRS- $G foo q\r\nLS+ LC $G foo\r\n")
	l.hear("HMSG $G bar + r q 12 14\r\nNATS/1.0\r\n\r\nhi\r\nRMSG $G bar 0\r\n\r\n")
	local := accept(s.broker)
	log = nil
	local.say("SUB bar q 1\r\nPUB foo 2\r\nhi\r\n")
	l.hear("HMSG $G bar + r q 12 14\r\nNATS/1.0\r\n\r\nhi\r\nRMSG $G none 0\r\n\r\nLS- LC $G foo\r\n")
	var got []string
	for _, line := range log {
		if rest, ok := strings.CutPrefix(line, "TRC peer - rid:1 - "); ok {
			got = append(got, rest)
		}
	}
	require.Equal(t, []string{
		`->> [RMSG $G foo 2]`, `->> MSG_PAYLOAD: ["hi"]`, `->> [RS+ $G bar q 1]`,
		`<<- [HMSG $G bar + r q 12 14]`, `<<- MSG_PAYLOAD: ["NATS/1.0\r\n\r\nhi"]`,
		`<<- [RMSG $G none 0]`, `<<- [LS- LC $G foo]`,
	}, got)
}

// TestInterestElsewhere: what another server is interested in counts for services of this one,
// and who watches hears of it.
func TestInterestElsewhere(t *testing.T) {
	s := newScript(t, "")
	l := newLinkIn(s.broker, s.clock.NewStrand("link"), "peer")
	acc := s.broker.Global()
	heard := 0
	stop := s.broker.WatchInterest(acc, "in.1", s.clock.NewStrand("watcher"), func() { heard++ })
	require.False(t, s.broker.Interested(acc, "in.1", ""))
	l.hear("RS+ $G in.*\r\nRS+ $G in.1 q 3\r\n")
	s.settle()
	require.Equal(t, 1, heard)
	require.True(t, s.broker.Interested(acc, "in.1", ""))
	require.True(t, s.broker.Interested(acc, "in.1", "q"))
	require.False(t, s.broker.Interested(acc, "in.1", "r"))
	l.hear("RS- $G in.1 q\r\n")
	s.settle()
	require.Equal(t, 2, heard)
	require.False(t, s.broker.Interested(acc, "in.1", "q"))
	require.True(t, s.broker.Interested(acc, "in.1", ""))
	require.Len(t, s.broker.Links(), 1)
	l.link.Close()
	s.settle()
	require.Equal(t, 3, heard)
	require.False(t, s.broker.Interested(acc, "in.1", ""))
	require.Empty(t, s.broker.Links())
	stop()
	l.link.Close() // a second time does nothing
	l.hear("RS+ $G in.1\r\n")
	require.Zero(t, s.broker.NumSubscriptions())
}

// TestMemoryOfInterestElsewhere bounds what one more interest of another server costs, and one more
// subscription that others are told of.
func TestMemoryOfInterestElsewhere(t *testing.T) {
	const n = 50_000
	b := newBroker(t, "")
	l := newLinkIn(b, clock.NewSim(1).Clock("server").NewStrand("link"), "peer")
	fill := func(line func(i int) string, take func([]byte)) int64 {
		before := heap()
		var p []byte
		for i := range n {
			if p = append(p, line(i)...); len(p) > 32<<10 {
				take(p)
				p = p[:0]
			}
		}
		take(p)
		return (heap() - before) / n
	}
	each := fill(func(i int) string { return fmt.Sprintf("RS+ $G orders.region%d.item%d\r\n", i%100, i) }, l.read)
	t.Logf("%d bytes an interest", each)
	require.Equal(t, n, l.link.Stats().Subscriptions)
	require.LessOrEqual(t, each, int64(420))

	b.NewAnnouncer().Add(l.link, func(string) bool { return true }, nil)
	s := accept(b)
	each = fill(func(i int) string { return fmt.Sprintf("SUB told.region%d.item%d %d\r\nPING\r\n", i%100, i, i) }, s.h.Data)
	t.Logf("%d bytes a subscription", each)
	require.Equal(t, 2*n, b.NumSubscriptions())
	require.LessOrEqual(t, each, int64(560))
	runtime.KeepAlive(l)
}

// BenchmarkSubscribeTold shows what it costs to tell other servers of a subscription that comes and
// goes, beside one that does so alone.
func BenchmarkSubscribeTold(b *testing.B) {
	for _, links := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("links=%d", links), func(b *testing.B) {
			br := newBroker(b, "")
			strand := clock.NewSim(1).Clock("server").NewStrand("link")
			var a *broker.Announcer
			if links > 0 {
				a = br.NewAnnouncer()
			}
			for i := range links {
				a.Add(newLinkIn(br, strand, fmt.Sprint(i)).link, func(string) bool { return true }, nil)
			}
			s := accept(br)
			come, leave := []byte("SUB orders.new 9\r\nPING\r\n"), []byte("UNSUB 9\r\nPING\r\n")
			b.ReportAllocs()
			for b.Loop() {
				s.h.Data(come)
				s.h.Data(leave)
			}
		})
	}
}
