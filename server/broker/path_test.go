package broker_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
)

// sink is a connection that takes everything and keeps nothing.
type sink struct {
	h     netsim.Handler
	taken int
	turn  bool

	strand clock.Strand // the connection's
	watch  func(p []byte)
	paused int

	subject string // of subscribe
}

func (s *sink) Start(strand clock.Strand, h netsim.Handler) { s.strand, s.h = strand, h }
func (s *sink) Write(p ...[]byte) {
	for _, b := range p {
		s.taken += len(b)
		if s.watch != nil {
			s.watch(b)
		}
	}
}

// Lend always gives the turn; the connection's user must end it before the next.
func (s *sink) Lend(p ...[]byte) bool {
	s.Write(p...)
	s.endTurn(false)
	s.turn = true
	return true
}

func (s *sink) FlushLent() { s.endTurn(true) }

func (s *sink) endTurn(held bool) {
	if s.turn != held {
		panic(fmt.Sprintf("the turn to send: held %t, want %t", s.turn, held))
	}
	s.turn = false
}

func (s *sink) Flush()                                  {}
func (s *sink) Buffered() int                           { return 0 }
func (s *sink) WhenBelow(int, func())                   {}
func (s *sink) Pause()                                  { s.paused++ }
func (s *sink) Resume()                                 {}
func (s *sink) StartTLS(netsim.TLSOptions, func(error)) {}
func (s *sink) TLS() *tls.ConnectionState               { return nil }
func (s *sink) SetWriteDeadline(time.Duration, bool)    {}
func (s *sink) Close(error)                             {}
func (s *sink) Abort(error)                             {}
func (s *sink) LocalAddr() string                       { return "127.0.0.1:4222" }
func (s *sink) RemoteAddr() string                      { return "127.0.0.1:50000" }
func (s *sink) InProcess() bool                         { return false }
func (s *sink) say(format string, v ...any)             { s.h.Data(fmt.Appendf(nil, format, v...)) }
func (s *sink) connect()                                { s.say("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n") }
func newBroker(t testing.TB, text string) *broker.Broker {
	o := &config.Options{}
	require.NoError(t, o.ProcessConfigString(text))
	o.SetBaseline()
	b, err := broker.New(broker.Config{Clock: clock.NewSim(1).Clock("server"), Log: logging.NewSwitch(), Options: o})
	require.NoError(t, err)
	return b
}

func accept(b *broker.Broker) *sink {
	s := &sink{}
	b.Accept(s)
	s.connect()
	return s
}

// read is as many publishes as fit into one read of the network.
func read(subject string, size int) (p []byte, msgs int) {
	body := make([]byte, size)
	for len(p)+size+64 < 64<<10 {
		p = fmt.Appendf(p, "PUB %s %d\r\n%s\r\n", subject, size, body)
		msgs++
	}
	return p, msgs
}

// paths are the shapes of the message path whose cost matters.
var paths = []struct {
	name  string
	conf  string
	subs  []string // one connection each
	size  int
	allow float64 // allocations a read
}{
	{name: "interest=none", size: 128},
	{name: "fanout=1", subs: []string{"foo"}, size: 128},
	{name: "fanout=10", subs: []string{"foo", "foo", "foo", "foo", "foo", "foo", "foo", "foo", "foo", "foo"}, size: 128},
	{name: "fanout=1,size=16384", subs: []string{"foo"}, size: 16 << 10},
	{name: "queue=3", subs: []string{"foo g", "foo g", "foo g"}, size: 128},
	{name: "wildcard", subs: []string{"*"}, size: 128},
	{name: "permissions", conf: `authorization {users: [{user: u, permissions: {publish: ["foo", "bar.*"]}}]}
		no_auth_user: u`, subs: []string{"foo"}, size: 128},
}

func (s *sink) subscribe(spec string) {
	s.subject, _, _ = strings.Cut(spec, " ")
	s.say("SUB %s 1\r\n", spec)
}

// TestPublishAllocatesNothing pins the hot path: whatever a message costs, it is no
// garbage.
func TestPublishAllocatesNothing(t *testing.T) {
	for _, tc := range paths {
		t.Run(tc.name, func(t *testing.T) {
			b := newBroker(t, tc.conf)
			var subs []*sink
			for _, spec := range tc.subs {
				s := accept(b)
				s.subscribe(spec)
				subs = append(subs, s)
			}
			pub := accept(b)
			p, _ := read("foo", tc.size)
			for range 4 { // the subject is known, buffers are there
				pub.h.Data(p)
			}
			before := 0
			for _, s := range subs {
				before += s.taken
			}
			require.Equal(t, tc.allow, testing.AllocsPerRun(20, func() { pub.h.Data(p) }))
			after := 0
			for _, s := range subs {
				after += s.taken
			}
			if len(subs) > 0 {
				require.Greater(t, after, before, "nothing was delivered")
			}
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, tc := range paths {
		b.Run(tc.name, func(b *testing.B) {
			br := newBroker(b, tc.conf)
			for _, spec := range tc.subs {
				accept(br).subscribe(spec)
			}
			pub := accept(br)
			p, msgs := read("foo", tc.size)
			b.ReportAllocs()
			for b.Loop() {
				pub.h.Data(p)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*msgs), "ns/msg")
		})
	}
}

// BenchmarkPublishManySubjects shows what a message costs whose subject was not
// published before.
func BenchmarkPublishManySubjects(b *testing.B) {
	for _, subjects := range []int{100, 10000} {
		b.Run(fmt.Sprintf("subjects=%d", subjects), func(b *testing.B) {
			br := newBroker(b, "")
			s := accept(br)
			for i := range subjects {
				s.say("SUB orders.%d %d\r\n", i, i)
			}
			pub := accept(br)
			var reads [][]byte
			for i := range subjects {
				reads = append(reads, fmt.Appendf(nil, "PUB orders.%d 16\r\n0123456789abcdef\r\n", i))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				pub.h.Data(reads[i%subjects])
				i++
			}
		})
	}
}
