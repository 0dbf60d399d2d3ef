package cluster

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/s2frame"
)

func TestNegotiation(t *testing.T) {
	const (
		no, off, accept = config.CompressionNotSupported, config.CompressionOff, config.CompressionAccept
		auto, fast      = config.CompressionS2Auto, config.CompressionS2Fast
		better          = config.CompressionS2Better
	)
	for _, tc := range []struct{ local, remote, want string }{
		{no, fast, off}, {off, fast, off}, {off, accept, off}, {no, accept, off},
		{accept, "", off}, {accept, no, off}, {accept, off, off}, {accept, accept, off},
		{accept, fast, fast}, {accept, better, better}, {accept, auto, fast},
		{fast, "", off}, {fast, no, off}, {fast, off, off}, {fast, accept, fast}, {fast, better, fast}, {better, fast, better},
		{auto, accept, auto}, {auto, fast, auto},
	} {
		require.Equal(t, tc.want, negotiate(tc.local, tc.remote), "%s with %s", tc.local, tc.remote)
	}
	require.True(t, known(""))
	require.True(t, known(config.CompressionS2Uncompressed))
	require.False(t, known("zzz"))
}

func TestAutoLevel(t *testing.T) {
	ms := func(n ...int) (all []time.Duration) {
		for _, m := range n {
			all = append(all, time.Duration(m)*time.Millisecond)
		}
		return all
	}
	for _, tc := range []struct {
		thresholds []time.Duration
		rtt        int
		want       s2frame.Level
	}{
		{ms(10, 50, 100), 0, s2frame.Uncompressed}, {ms(10, 50, 100), 10, s2frame.Uncompressed}, {ms(10, 50, 100), 11, s2frame.Fast},
		{ms(10, 50, 100), 50, s2frame.Fast}, {ms(10, 50, 100), 100, s2frame.Better}, {ms(10, 50, 100), 101, s2frame.Best},
		{ms(0, 50, 100), 1, s2frame.Fast}, {ms(0, 0, 100), 1, s2frame.Better}, {ms(10), 11, s2frame.Fast}, {ms(10, 20), 21, s2frame.Better},
		{ms(10, 0, 30), 11, s2frame.Better}, {ms(1, 2, 3, 4), 9, s2frame.Best},
	} {
		require.Equal(t, tc.want, autoLevel(tc.thresholds, time.Duration(tc.rtt)*time.Millisecond), "%v at %d ms", tc.thresholds, tc.rtt)
	}
	require.Equal(t, []string{"s2_uncompressed", "s2_fast", "s2_better", "s2_best"},
		[]string{modeOf(s2frame.Uncompressed), modeOf(s2frame.Fast), modeOf(s2frame.Better), modeOf(s2frame.Best)})
}

// sink is a connection that keeps what is written to it.
type sink struct {
	netsim.Conn
	out     []byte
	flushes int
	end     error
}

func (s *sink) Write(p ...[]byte) {
	for _, b := range p {
		s.out = append(s.out, b...)
	}
}
func (s *sink) Flush()          { s.flushes++ }
func (s *sink) Buffered() int   { return 0 }
func (s *sink) Close(err error) { s.end = err }

func TestPackerSendsWhatIsFlushed(t *testing.T) {
	s := &sink{}
	p := newPacker(s, s2frame.Fast)
	p.Write([]byte("RS+ $G "), []byte("foo\r\n"))
	require.False(t, p.Lend([]byte("PING\r\n")), "nothing is lent")
	require.Empty(t, s.out)
	require.Equal(t, len("RS+ $G foo\r\nPING\r\n"), p.Buffered())
	p.Flush()
	require.Zero(t, p.Buffered())
	require.Equal(t, 1, s.flushes)
	p.Write([]byte("PONG\r\n"))
	p.Close(serverShutdown)
	p.Write([]byte("late\r\n"))
	p.Flush()
	require.Equal(t, serverShutdown, s.end)
	got, err := io.ReadAll(s2.NewReader(bytes.NewReader(s.out)))
	require.NoError(t, err)
	require.Equal(t, "RS+ $G foo\r\nPING\r\nPONG\r\n", string(got))
}

func TestPackingAllocatesLittle(t *testing.T) {
	s := &sink{out: make([]byte, 0, 1<<20)}
	p := newPacker(s, s2frame.Uncompressed)
	message := []byte(strings.Repeat("RMSG APP orders.new 128 ", 20))
	round := func() {
		s.out = s.out[:0]
		p.Write(message)
		p.Flush()
	}
	round()
	round()
	require.LessOrEqual(t, testing.AllocsPerRun(100, round), 1.0) // the arguments of Conn.Write
}

func TestLayout(t *testing.T) {
	l := &layout{pool: 3, pinned: []string{"$SYS", "P"}}
	require.Equal(t, 1, l.slot("APP"))
	require.Equal(t, 2, l.slot("$G"))
	require.True(t, l.carries(place{slot: 1}, "APP"))
	require.False(t, l.carries(place{slot: 0}, "APP"))
	require.False(t, l.carries(place{slot: l.slot("P")}, "P"))
	require.True(t, l.carries(place{account: "P"}, "P"))
	require.False(t, l.carries(place{account: "P"}, "APP"))
	require.True(t, l.carries(place{slot: -1}, "P"), "a server without pools has all on one route")
	require.Zero(t, (&layout{pool: 1}).slot("APP"))
	require.Zero(t, (&layout{pool: -1}).slot("APP"))
}

// TestEachAccountHasOnePlace: whatever the sizes, interest goes over one of the routes to a peer.
func TestEachAccountHasOnePlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Z]{1,3}`)
		l := &layout{pool: rapid.IntRange(1, 9).Draw(t, "own"), pinned: rapid.SliceOfN(name, 0, 3).Draw(t, "pinned")}
		size := max(l.pool, rapid.IntRange(1, 9).Draw(t, "theirs"))
		account := name.Draw(t, "account")
		n := 0
		for i := range size {
			if l.carries(place{slot: i}, account) {
				n++
			}
		}
		for _, p := range l.pinned {
			if p == account && l.carries(place{account: p}, account) {
				n++
				break
			}
		}
		require.Equal(t, 1, n)
	})
}

func TestRetryDelay(t *testing.T) {
	for attempt, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 5: 16, 6: 30, 1000: 30} {
		require.Equal(t, want*time.Second, retryDelay(attempt, true))
		require.Equal(t, time.Second, retryDelay(attempt, false))
	}
}

func TestMatchesHost(t *testing.T) {
	for _, tc := range []struct {
		name, host string
		want       bool
	}{
		{"a.b", "a.b", true}, {"*.b", "a.b", true}, {"*.b", "x.a.b", false}, {"*.b", "b", false}, {"a.b", "b", false}, {"*", "b", false},
	} {
		require.Equal(t, tc.want, matchesHost(tc.name, tc.host), "%s and %s", tc.name, tc.host)
	}
}

func TestSplitAdvertised(t *testing.T) {
	for _, tc := range []struct {
		text, host string
		port       int
		ok         bool
	}{
		{"a", "a", 6, true}, {"a:5", "a", 5, true}, {"a:-1", "a", 6, true}, {":5", "", 5, true}, {"[::1]:5", "::1", 5, true},
		{"a:b:c", "", 0, false}, {"a:b", "", 0, false},
	} {
		host, port, err := splitAdvertised(tc.text, 6)
		require.Equal(t, tc.ok, err == nil, tc.text)
		if tc.ok {
			require.Equal(t, tc.host, host, tc.text)
			require.Equal(t, tc.port, port, tc.text)
		}
	}
}

func BenchmarkPack(b *testing.B) {
	for _, l := range []s2frame.Level{s2frame.Uncompressed, s2frame.Fast, s2frame.Better} {
		b.Run("level="+modeOf(l), func(b *testing.B) {
			s := &sink{}
			p := newPacker(s, l)
			message := []byte(strings.Repeat("RMSG APP orders.new.eu 128\r\n{\"order\":12345,\"name\":\"somebody\"}\r\n", 100))
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				s.out = s.out[:0]
				p.Write(message)
				p.Flush()
			}
			b.ReportMetric(float64(len(s.out))/float64(len(message)), "size/size")
		})
	}
}
