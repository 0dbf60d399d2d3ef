package netsim_test

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// ear is a Handler that records.
type ear struct {
	data   []byte
	reads  int
	closed int
	err    error
	at     time.Duration // of the last byte
	world  *clock.Sim
	keep   []byte // the last Data as it was lent
}

func (e *ear) Data(p []byte) {
	e.data = append(e.data, p...)
	e.keep = p
	e.reads++
	e.at = e.world.Now()
}

func (e *ear) Closed(err error) { e.closed, e.err = e.closed+1, err }

// simLine is one connection from machine "client" to machine "server", port 4222.
type simLine struct {
	world          *clock.Sim
	net            *netsim.Sim
	client, server netsim.Conn
	ce, se         *ear
	pair           *netsim.SimPair
}

// newSimWorld makes a world in which the server listens and what connects is started.
func newSimWorld(profile netsim.Link) *simLine {
	w := clock.NewSim(11)
	l := &simLine{world: w, net: netsim.NewSim(w), ce: &ear{world: w}, se: &ear{world: w}}
	l.net.SetProfile(profile)
	l.listen()
	return l
}

func (l *simLine) listen() {
	c := l.world.Clock("server")
	_, err := l.net.Host("server").Listen(c.NewStrand("listener"), ":4222", func(conn netsim.Conn) {
		l.server = conn
		conn.Start(c.NewStrand("conn"), l.se)
	})
	if err != nil {
		panic(err)
	}
}

// dial dials and returns where the outcome will be.
func (l *simLine) dial(addr string, timeout time.Duration) *error {
	outcome := errors.New("still dialing")
	c := l.world.Clock("client")
	l.net.Host("client").Dial(c.NewStrand("dialer"), addr, netsim.DialOptions{Timeout: timeout}, func(conn netsim.Conn, err error) {
		outcome = err
		if err == nil {
			l.client = conn
			conn.Start(c.NewStrand("conn"), l.ce)
		}
	})
	return &outcome
}

func newSimLine(t testing.TB, profile netsim.Link) *simLine {
	l := newSimWorld(profile)
	err := l.dial("server:4222", 0)
	l.world.RunFor(time.Second)
	require.NoError(t, *err)
	pairs := l.net.Pairs(nil)
	require.Len(t, pairs, 1)
	l.pair = pairs[0]
	return l
}

func say(c netsim.Conn, s string) {
	c.Write([]byte(s))
	c.Flush()
}

func TestSimPairTellsWhoIsConnected(t *testing.T) {
	l := newSimLine(t, netsim.Link{})
	require.Equal(t, "client", l.pair.ClientHost())
	require.Equal(t, "server", l.pair.ServerHost())
	require.Equal(t, 4222, l.pair.ServerPort())
	require.Equal(t, "server:4222", l.client.RemoteAddr())
	require.Positive(t, l.pair.ID())
	l.client.Close(nil)
	require.True(t, l.pair.Broken())
	require.Empty(t, l.net.Pairs(nil))
}

func TestSimLatency(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: 30 * time.Millisecond, Jitter: 10 * time.Millisecond})
	var least, sum time.Duration = time.Hour, 0
	for range 200 {
		sent := l.world.Now()
		say(l.client, "x")
		l.world.RunFor(time.Second)
		d := l.se.at - sent
		least = min(least, d)
		sum += d
	}
	require.GreaterOrEqual(t, least, 30*time.Millisecond)
	require.InDelta(t, 40*time.Millisecond, sum/200, float64(3*time.Millisecond), "the mean of minimum and jitter")
}

func TestSimBandwidth(t *testing.T) {
	l := newSimLine(t, netsim.Link{Bandwidth: 1_000_000})
	sent := l.world.Now()
	say(l.client, string(make([]byte, 2_000_000)))
	l.world.RunFor(time.Minute)
	require.Len(t, l.se.data, 2_000_000)
	require.InDelta(t, 2*time.Second, l.se.at-sent, float64(100*time.Millisecond))
}

func TestSimFragments(t *testing.T) {
	whole, cut := newSimLine(t, netsim.Link{}), newSimLine(t, netsim.Link{Fragment: true})
	for _, l := range []*simLine{whole, cut} {
		say(l.client, string(make([]byte, 100_000)))
		l.world.RunFor(time.Second)
		require.Len(t, l.se.data, 100_000)
	}
	require.Equal(t, 2, whole.se.reads)
	require.Greater(t, cut.se.reads, 10)
}

func TestSimReset(t *testing.T) {
	prefixes := map[int]bool{}
	l := newSimLine(t, netsim.Link{Latency: 10 * time.Millisecond})
	l.net.Reset(l.pair)
	l.net.Reset(l.pair)
	require.EqualValues(t, 1, l.net.Count(netsim.FaultReset), "what is broken cannot break")
	l.world.RunFor(time.Second)
	require.ErrorIs(t, l.ce.err, syscall.ECONNRESET)
	require.ErrorIs(t, l.se.err, syscall.ECONNRESET)
	for n := range 20 {
		l := newSimLine(t, netsim.Link{Latency: 10 * time.Millisecond})
		for range n {
			l.world.Rand("net/fault").Uint64() // so that every round draws another prefix
		}
		say(l.client, "0123456789")
		l.net.Reset(l.pair)
		l.world.RunFor(time.Second)
		require.Equal(t, "0123456789"[:len(l.se.data)], string(l.se.data))
		require.Equal(t, 1, l.se.closed)
		prefixes[len(l.se.data)] = true
	}
	require.Greater(t, len(prefixes), 5, "any prefix may arrive")
}

func TestSimHalfOpen(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
	l.net.HalfOpen(l.pair, true)
	l.world.RunFor(time.Minute)
	require.ErrorIs(t, l.ce.err, syscall.ECONNRESET)
	require.Zero(t, l.se.closed, "the other side never learns")
	say(l.server, string(make([]byte, 1<<20)))
	l.world.RunFor(time.Hour)
	require.Equal(t, 1<<20-256<<10, l.server.Buffered(), "what fits the socket is swallowed")
	l.server.SetWriteDeadline(2*time.Second, true)
	l.world.RunFor(3 * time.Second)
	require.ErrorIs(t, l.se.err, netsim.ErrWriteDeadline)
}

func TestSimPartition(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
		p := l.net.Partition([]string{"client"}, []string{"server"}, oneWay)
		say(l.client, "there")
		say(l.server, "back")
		l.world.RunFor(time.Hour)
		require.Empty(t, l.se.data)
		if oneWay {
			require.Equal(t, "back", string(l.ce.data))
		} else {
			require.Empty(t, l.ce.data)
		}
		p.Heal()
		p.Heal()
		l.world.RunFor(time.Second)
		require.Equal(t, "there", string(l.se.data))
		require.Equal(t, "back", string(l.ce.data))
		require.EqualValues(t, 1, l.net.Count(netsim.FaultHeal))
	}
}

// TestSimOneWayPartitionStopsTheSender: bytes arrive, but the sender cannot know, and the
// window closes.
func TestSimOneWayPartitionStopsTheSender(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
	p := l.net.Partition([]string{"server"}, []string{"client"}, true)
	say(l.client, string(make([]byte, 1<<20)))
	l.world.RunFor(time.Hour)
	require.Len(t, l.se.data, 256<<10)
	require.Positive(t, l.client.Buffered())
	p.Heal()
	l.world.RunFor(time.Second)
	require.Len(t, l.se.data, 1<<20)
}

func TestSimClogAndFreeze(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
	l.net.Clog("client", "server", 5*time.Second)
	say(l.client, "late")
	l.world.RunFor(4900 * time.Millisecond)
	require.Empty(t, l.se.data)
	l.world.RunFor(200 * time.Millisecond)
	require.Equal(t, "late", string(l.se.data))

	l.net.Freeze("server")
	say(l.client, "r")
	l.world.RunFor(time.Hour)
	require.Equal(t, "late", string(l.se.data))
	l.net.Thaw("server")
	l.world.RunFor(time.Second)
	require.Equal(t, "later", string(l.se.data))
}

func TestSimSlowReader(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
	l.net.SlowReader(l.pair, false, 10*time.Second)
	say(l.client, string(make([]byte, 1<<20)))
	l.world.RunFor(9 * time.Second)
	require.Empty(t, l.se.data)
	require.Equal(t, 1<<20-256<<10, l.client.Buffered())
	below := false
	l.client.WhenBelow(1000, func() { below = true })
	require.False(t, below)
	l.world.RunFor(2 * time.Second)
	require.Len(t, l.se.data, 1<<20)
	require.True(t, below)
}

func TestSimWriteDeadlineRetry(t *testing.T) {
	for _, retry := range []bool{false, true} {
		l := newSimLine(t, netsim.Link{Latency: time.Millisecond, Bandwidth: 100_000})
		l.client.SetWriteDeadline(2*time.Second, retry)
		say(l.client, string(make([]byte, 1_000_000))) // takes about ten seconds
		l.world.RunFor(20 * time.Second)
		if retry {
			require.NoError(t, l.ce.err)
			require.Len(t, l.se.data, 1_000_000)
		} else {
			require.ErrorIs(t, l.ce.err, netsim.ErrWriteDeadline)
		}
	}
}

// TestSimCloseLingers: what is queued is sent for a tenth of a second, then dropped, and
// nothing is read meanwhile.
func TestSimCloseLingers(t *testing.T) {
	for _, tc := range []struct {
		stall time.Duration
		want  int
	}{{50 * time.Millisecond, 1 << 19}, {200 * time.Millisecond, 256 << 10}} {
		l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
		l.net.SlowReader(l.pair, false, tc.stall)
		say(l.server, "not heard any more")
		l.client.Write(make([]byte, 1<<19))
		l.client.Close(io.ErrUnexpectedEOF)
		l.world.RunFor(time.Second)
		require.Len(t, l.se.data, tc.want)
		require.Empty(t, l.ce.data)
		require.Equal(t, io.ErrUnexpectedEOF, l.ce.err)
		require.ErrorIs(t, l.se.err, io.EOF)
	}
}

func TestSimPausedMachineDoesNotRead(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
	l.world.Clock("server").Pause()
	say(l.client, string(make([]byte, 1<<20)))
	l.world.RunFor(time.Minute)
	require.Empty(t, l.se.data)
	require.Equal(t, 1<<20-256<<10, l.client.Buffered(), "its system still takes what fits")
	l.world.Clock("server").Resume()
	l.world.RunFor(time.Second)
	require.Len(t, l.se.data, 1<<20)
}

func TestSimKill(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
	say(l.server, "last words")
	l.world.Clock("server").Kill()
	l.net.Kill("server")
	l.world.RunFor(time.Second)
	require.Equal(t, "last words", string(l.ce.data))
	require.ErrorIs(t, l.ce.err, io.EOF)
	require.Zero(t, l.se.closed, "the dead hear nothing")
	say(l.server, "from the grave")
	_, err := l.net.Host("server").Listen(l.world.Clock("server").NewStrand("s"), ":4222", nil)
	require.NoError(t, err, "the port is free again")

	l = newSimLine(t, netsim.Link{Latency: time.Millisecond})
	l.world.Clock("server").Pause()
	say(l.client, "unread")
	l.world.RunFor(time.Second)
	l.world.Clock("server").Kill()
	l.net.Kill("server")
	l.world.RunFor(time.Second)
	require.ErrorIs(t, l.ce.err, syscall.ECONNRESET)
}

func TestSimPowerLoss(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond})
	l.world.Clock("server").Kill()
	l.net.PowerLoss("server")
	say(l.client, "hello?")
	l.world.RunFor(time.Hour)
	require.Zero(t, l.ce.closed, "silence")
	l.net.Host("server")
	l.world.RunFor(time.Second)
	require.ErrorIs(t, l.ce.err, syscall.ECONNRESET, "the machine knows nothing of the connection")
	require.EqualValues(t, 1, l.net.Count(netsim.FaultDeadPeer))
}

func TestSimDialFailures(t *testing.T) {
	l := newSimWorld(netsim.Link{Latency: time.Millisecond})
	for _, tc := range []struct {
		name string
		addr string
		want error
	}{
		{"nobody listens", "server:4223", syscall.ECONNREFUSED},
		{"no such machine", "nowhere:4222", nil},
		{"no port", "server", nil},
	} {
		err := l.dial(tc.addr, 0)
		l.world.RunFor(time.Second)
		require.Error(t, *err, tc.name)
		require.NotEqual(t, "still dialing", (*err).Error(), tc.name)
		if tc.want != nil {
			require.ErrorIs(t, *err, tc.want, tc.name)
		}
	}

	p := l.net.Partition([]string{"client"}, []string{"server"}, false)
	err := l.dial("server:4222", 3*time.Second)
	l.world.RunFor(4 * time.Second)
	require.ErrorIs(t, *err, os.ErrDeadlineExceeded)
	err = l.dial("server:4222", 0)
	l.world.RunFor(5 * time.Second)
	p.Heal()
	l.world.RunFor(10 * time.Second)
	require.NoError(t, *err, "the system tries again")

	l.net.SetConnectFaults(1, 0, 0)
	err = l.dial("server:4222", 0)
	l.world.RunFor(time.Second)
	require.ErrorIs(t, *err, syscall.ECONNREFUSED)
	require.EqualValues(t, 1, l.net.Count(netsim.FaultRefused))
	l.net.SetConnectFaults(0, 1, 10*time.Second)
	err = l.dial("server:4222", 0)
	l.world.RunFor(11 * time.Second)
	require.NoError(t, *err)
	require.EqualValues(t, 1, l.net.Count(netsim.FaultSlowConnect))
}

// TestSimDialTimeoutAfterAccept: the server accepted, the answer is late, the client gave up.
func TestSimDialTimeoutAfterAccept(t *testing.T) {
	l := newSimWorld(netsim.Link{Latency: time.Millisecond})
	p := l.net.Partition([]string{"server"}, []string{"client"}, true)
	err := l.dial("server:4222", time.Second)
	l.world.RunFor(10 * time.Second)
	require.ErrorIs(t, *err, os.ErrDeadlineExceeded)
	require.NotNil(t, l.server)
	p.Heal()
	l.world.RunFor(10 * time.Second)
	require.Nil(t, l.client)
	require.Equal(t, 1, l.se.closed)
}

func TestSimLoopbackAndAlias(t *testing.T) {
	l := newSimWorld(netsim.Link{Latency: time.Hour})
	c := l.world.Clock("server")
	connected := 0
	for _, addr := range []string{"127.0.0.1:4222", "localhost:4222", ":4222", "[::1]:4222", "server:4222"} {
		l.net.Host("server").Dial(c.NewStrand("dialer"), addr, netsim.DialOptions{}, func(conn netsim.Conn, err error) {
			require.NoError(t, err)
			connected++
			conn.Start(c.NewStrand("conn"), l.ce)
		})
	}
	l.world.RunFor(time.Second)
	require.Equal(t, 5, connected, "a machine reaches itself at once")

	l.net.SetLink("client", "server", netsim.Link{})
	l.net.SetLink("server", "client", netsim.Link{})
	l.net.Alias("nats.example", "server")
	err := l.dial("nats.example:4222", 0)
	l.world.RunFor(time.Second)
	require.NoError(t, *err)
	l.net.Alias("nats.example", "")
	err = l.dial("nats.example:4222", 0)
	l.world.RunFor(time.Second)
	require.Error(t, *err)
}

// TestSimFindsMisuse: what breaks the contract of Data or Lend shows in the bytes.
func TestSimFindsMisuse(t *testing.T) {
	l := newSimLine(t, netsim.Link{})
	say(l.client, "kept")
	l.world.RunFor(time.Second)
	require.Equal(t, "kept", string(l.se.data))
	require.Equal(t, "\xdb\xdb\xdb\xdb", string(l.se.keep), "Data's bytes are not the handler's to keep")

	b := []byte("lent")
	require.True(t, l.client.Lend(b))
	copy(b, "oops")
	l.client.FlushLent()
	l.world.RunFor(time.Second)
	require.Equal(t, "keptoops", string(l.se.data))
	require.Panics(t, l.client.FlushLent, "there is no turn to end")
}

func TestSimTLSHooksAndNames(t *testing.T) {
	alice := &netsim.Identity{CommonName: "alice"}
	broken := errors.New("not you")
	for _, tc := range []struct {
		name           string
		server, client netsim.TLSOptions
		want           string // in the error of both, or nothing
	}{
		{"plain", netsim.TLSOptions{}, netsim.TLSOptions{}, ""},
		{"identity asked for and not given", netsim.TLSOptions{Config: &tls.Config{ClientAuth: tls.RequireAnyClientCert}}, netsim.TLSOptions{}, "certificate"},
		{"identity wished for and not given", netsim.TLSOptions{Config: &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven}}, netsim.TLSOptions{}, ""},
		{"hook refuses", netsim.TLSOptions{Config: &tls.Config{
			ClientAuth:       tls.RequestClientCert,
			VerifyConnection: func(s tls.ConnectionState) error { return broken },
		}}, netsim.TLSOptions{Identity: alice}, "not you"},
		{"configuration of the moment", netsim.TLSOptions{Config: &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{ClientAuth: tls.RequireAnyClientCert}, nil
			},
		}}, netsim.TLSOptions{}, "certificate"},
		{"other name", netsim.TLSOptions{Identity: &netsim.Identity{DNSNames: []string{"a"}}},
			netsim.TLSOptions{Config: &tls.Config{ServerName: "b"}}, "valid for"},
		{"other name, not looked at", netsim.TLSOptions{Identity: &netsim.Identity{DNSNames: []string{"a"}}},
			netsim.TLSOptions{Config: &tls.Config{ServerName: "b", InsecureSkipVerify: true}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newSimLine(t, netsim.Link{Fragment: true})
			tc.server.Server = true
			errs := []error{errors.New("no end"), errors.New("no end")}
			l.server.StartTLS(tc.server, func(err error) { errs[0] = err })
			l.client.StartTLS(tc.client, func(err error) { errs[1] = err })
			l.world.RunFor(10 * time.Second)
			if tc.want == "" {
				require.NoError(t, errs[0])
				require.NoError(t, errs[1])
				return
			}
			require.ErrorIs(t, errs[1], netsim.ErrHandshake)
			require.ErrorContains(t, errs[1], tc.want)
			require.ErrorIs(t, l.ce.err, netsim.ErrHandshake)
			require.NotNil(t, l.se.err)
		})
	}
}

// FuzzSimHandshake feeds a server that waits for a handshake with anything.
func FuzzSimHandshake(f *testing.F) {
	f.Add([]byte("CONNECT {}\r\n"), uint64(1))
	f.Add([]byte("\x16\x03\x03\x00\x02{}"), uint64(2))
	f.Add([]byte("\x16\x03\x03\x00\x02{}PING\r\n"), uint64(3))
	f.Add([]byte("\x16\x03\x03\xff\xff"), uint64(4))
	f.Add([]byte("\x15\x03\x03\x00\x02{}"), uint64(5))
	f.Add([]byte("\x16\x03\x03\x00\x04null"), uint64(6))
	f.Fuzz(func(t *testing.T, b []byte, _ uint64) {
		l := newSimLine(t, netsim.Link{Fragment: true})
		calls := 0
		var got error
		l.server.StartTLS(netsim.TLSOptions{Server: true, Timeout: time.Second}, func(err error) { calls++; got = err })
		say(l.client, string(b))
		l.world.RunFor(time.Minute)
		require.Equal(t, 1, calls)
		if got == nil {
			require.NotNil(t, l.server.TLS())
			require.Zero(t, l.se.closed)
			return
		}
		require.ErrorIs(t, got, netsim.ErrHandshake)
		require.Equal(t, 1, l.se.closed)
		require.Empty(t, l.se.data)
	})
}

// BenchmarkSimRoundTrip is a request of 16 bytes and its answer over a link with jitter.
func BenchmarkSimRoundTrip(b *testing.B) {
	l := newSimLine(b, netsim.Link{Latency: time.Millisecond, Jitter: time.Millisecond})
	parts := [][]byte{make([]byte, 16)}
	before := l.world.Events()
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range [...]netsim.Conn{l.client, l.server} {
			c.Write(parts...)
			c.Flush()
			for l.world.Step() && c.Buffered() > 0 {
			}
		}
		l.ce.data, l.se.data = l.ce.data[:0], l.se.data[:0]
	}
	b.ReportMetric(float64(l.world.Events()-before)/float64(b.N), "events/op")
}

func TestSimMessageDoesNotAllocate(t *testing.T) {
	l := newSimLine(t, netsim.Link{Latency: time.Millisecond, Jitter: time.Millisecond})
	parts := [][]byte{make([]byte, 64)} // a literal argument of an interface's method would be one allocation
	send := func() {
		l.client.Write(parts...)
		l.client.Flush()
		l.world.Step()
		l.se.data = l.se.data[:0]
	}
	send()
	require.Zero(t, testing.AllocsPerRun(100, send))
}
