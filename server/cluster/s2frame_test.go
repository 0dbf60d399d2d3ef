package cluster

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
)

// unframe reads chunks, each in memory that is spoiled afterwards.
func unframe(u *unframer, chunks ...[]byte) (out []byte, err error) {
	for _, chunk := range chunks {
		in := bytes.Clone(chunk)
		for rest := in; ; {
			var data []byte
			if data, rest, err = u.next(rest); err != nil {
				return out, err
			}
			if data == nil {
				break
			}
			out = append(out, data...)
		}
		for i := range in {
			in[i] = '#'
		}
	}
	return out, nil
}

// texts are of all kinds: repeated, random, long.
var texts = rapid.Custom(func(t *rapid.T) []byte {
	n := rapid.SampledFrom([]int{1, 10, 300, 5000, 70_000}).Draw(t, "size")
	if rapid.Bool().Draw(t, "random") {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	return []byte(strings.Repeat("RMSG APP orders.new 128 ", n/24+1)[:n])
})

func TestFramesAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in, want, scratch []byte
		for range rapid.IntRange(1, 5).Draw(t, "flushes") {
			text := texts.Draw(t, "text")
			want = append(want, text...)
			in, scratch = appendFrames(in, text, scratch, level(rapid.IntRange(0, 3).Draw(t, "level")))
		}
		theirs, err := io.ReadAll(s2.NewReader(bytes.NewReader(in)))
		require.NoError(t, err, "the library reads it")
		require.Equal(t, want, theirs)

		var chunks [][]byte
		for left := in; len(left) > 0; {
			n := rapid.IntRange(1, min(len(left), 3000)).Draw(t, "chunk")
			chunks, left = append(chunks, left[:n]), left[n:]
		}
		got, err := unframe(new(unframer), chunks...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestFramesOfTheLibraryAreRead(t *testing.T) {
	text := []byte(strings.Repeat("some text of a route ", 200_000)) // several blocks
	for _, options := range [][]s2.WriterOption{
		{s2.WriterConcurrency(1)}, {s2.WriterConcurrency(1), s2.WriterUncompressed()}, {s2.WriterConcurrency(1), s2.WriterBetterCompression()},
		{s2.WriterConcurrency(1), s2.WriterBestCompression(), s2.WriterPadding(512), s2.WriterPaddingSrc(zeros{})},
		{s2.WriterConcurrency(1), s2.WriterSnappyCompat()}, {s2.WriterConcurrency(1), s2.WriterAddIndex()},
	} {
		var in bytes.Buffer
		for range 2 { // streams follow each other
			w := s2.NewWriter(&in, options...)
			_, err := w.Write(text)
			require.NoError(t, err)
			require.NoError(t, w.Close())
		}
		want := append(bytes.Clone(text), text...)
		got, err := unframe(new(unframer), in.Bytes())
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))

		var byteByByte [][]byte
		for _, b := range in.Bytes()[:min(3000, in.Len())] {
			byteByByte = append(byteByByte, []byte{b})
		}
		u := new(unframer)
		got, err = unframe(u, append(byteByByte, in.Bytes()[min(3000, in.Len()):])...)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestDamagedFrames(t *testing.T) {
	good, _ := appendFrames(nil, []byte(strings.Repeat("abc", 100)), nil, levelFast)
	head := good[:10]
	for _, tc := range []struct {
		name, want string
		in         []byte
	}{
		{"no identifier", "does not begin with an identifier", good[10:]},
		{"text", `chunk of unknown type 0x49`, []byte("INFO {}\r\n")},
		{"identifier of another length", "identifier of 7 bytes", []byte{0xff, 7, 0, 0}},
		{"another identifier", `identifier "S2sTwo"`, []byte("\xff\x06\x00\x00S2sTwo")},
		{"unknown chunk", "chunk of unknown type 0x2", append(bytes.Clone(head), 2, 0, 0, 0)},
		{"chunk too short", "chunk of 3 bytes", append(bytes.Clone(head), 0, 3, 0, 0)},
		{"chunk too long", "chunk of 16777215 bytes", append(bytes.Clone(head), 0, 0xff, 0xff, 0xff)},
		{"wrong checksum", "wrong checksum", append(bytes.Clone(head), 1, 5, 0, 0, 1, 2, 3, 4, 'x')},
		{"no block", "block of more than", append(bytes.Clone(head), 0, 4, 0, 0, 1, 2, 3, 4)},
		{"block too large", "block of more than", append(bytes.Clone(head), 0, 9, 0, 0, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"damaged block", "s2: corrupt input", append(bytes.Clone(head), 0, 6, 0, 0, 1, 2, 3, 4, 9, 0xff)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := new(unframer)
			_, err := unframe(u, tc.in)
			require.ErrorIs(t, err, errFraming)
			require.ErrorContains(t, err, tc.want)
			_, again := unframe(u, good)
			require.Equal(t, err, again)
		})
	}
}

// TestUnframerHoldsWhatCame announces a large chunk and sends little of it.
func TestUnframerHoldsWhatCame(t *testing.T) {
	u := new(unframer)
	_, err := unframe(u, []byte("\xff\x06\x00\x00S2sTwO"), []byte{1, 0, 0, 0x40, 1, 2, 3})
	require.NoError(t, err)
	require.Less(t, cap(u.chunk), 1024)
	_, err = unframe(u, make([]byte, 10_000))
	require.NoError(t, err)
	require.Less(t, cap(u.chunk), 40_000)
	u.trim()
	require.NotEmpty(t, u.chunk, "what is not complete is kept")
}

func FuzzUnframer(f *testing.F) {
	good, _ := appendFrames(nil, []byte(strings.Repeat("RS+ $G foo\r\n", 10)), nil, levelFast)
	plain, _ := appendFrames(nil, []byte("PING\r\n"), nil, levelUncompressed)
	for _, in := range [][]byte{good, plain, append(good, plain...), append(good, 0xfe, 3, 0, 0, 1, 2, 3), []byte("INFO {}\r\n")} {
		f.Add(in, uint16(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		n := int(cut) % (len(in) + 1)
		want, wantErr := unframe(new(unframer), in)
		got, err := unframe(new(unframer), in[:n], in[n:])
		if !bytes.Equal(want, got) || (wantErr == nil) != (err == nil) {
			t.Fatalf("cut at %d: %q %v, whole: %q %v", n, got, err, want, wantErr)
		}
	})
}

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
		want       level
	}{
		{ms(10, 50, 100), 0, levelUncompressed}, {ms(10, 50, 100), 10, levelUncompressed}, {ms(10, 50, 100), 11, levelFast},
		{ms(10, 50, 100), 50, levelFast}, {ms(10, 50, 100), 100, levelBetter}, {ms(10, 50, 100), 101, levelBest},
		{ms(0, 50, 100), 1, levelFast}, {ms(0, 0, 100), 1, levelBetter}, {ms(10), 11, levelFast}, {ms(10, 20), 21, levelBetter},
		{ms(10, 0, 30), 11, levelBetter}, {ms(1, 2, 3, 4), 9, levelBest},
	} {
		require.Equal(t, tc.want, autoLevel(tc.thresholds, time.Duration(tc.rtt)*time.Millisecond), "%v at %d ms", tc.thresholds, tc.rtt)
	}
	require.Equal(t, []string{"s2_uncompressed", "s2_fast", "s2_better", "s2_best"},
		[]string{modeOf(levelUncompressed), modeOf(levelFast), modeOf(levelBetter), modeOf(levelBest)})
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
	p := newPacker(s, levelFast)
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
	got, err := unframe(new(unframer), s.out)
	require.NoError(t, err)
	require.Equal(t, "RS+ $G foo\r\nPING\r\nPONG\r\n", string(got))
}

func TestPackingAllocatesLittle(t *testing.T) {
	s := &sink{out: make([]byte, 0, 1<<20)}
	p := newPacker(s, levelUncompressed)
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
	for _, l := range []level{levelUncompressed, levelFast, levelBetter} {
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
