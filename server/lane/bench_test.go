package lane_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// nowhere takes what is written and counts it.
type nowhere struct {
	netsim.Conn
	bytes int
}

func (n *nowhere) Write(p ...[]byte) {
	for _, b := range p {
		n.bytes += len(b)
	}
}

func (n *nowhere) Lend(p ...[]byte) bool { n.Write(p...); return true }
func (n *nowhere) Flush()                {}
func (n *nowhere) FlushLent()            {}
func (n *nowhere) Buffered() int         { return 0 }
func (n *nowhere) RemoteAddr() string    { return "nowhere:1" }
func (n *nowhere) Abort(error)           {}

// quiet is a handler, and a log, that does nothing.
type quiet struct{}

func (quiet) Up(lane.Peer)                {}
func (quiet) Down(core.MemberID)          {}
func (quiet) Frame(core.MemberID, []byte) {}
func (quiet) Noticef(string, ...any)      {}
func (quiet) Errorf(string, ...any)       {}

// linkTo gives a lane whose member 2 is behind c.
func linkTo(t testing.TB, c netsim.Conn) (*lane.Lane, *lane.Link) {
	clk := clock.NewSim(1).Clock("n1")
	l, err := lane.New(clk, quiet{}, lane.DefaultOptions(1))
	require.NoError(t, err)
	l.Serve(quiet{})
	k, err := l.Attach(c, clk.NewStrand("link"), lane.Peer{Member: 2, ServerName: "n2", ServerID: "N"}, nil)
	require.NoError(t, err)
	return l, k
}

func TestNoAllocationPerFrame(t *testing.T) {
	l, k := linkTo(t, &nowhere{})
	for _, size := range []int{0, 100, 100 << 10} {
		p := make([]byte, size)
		require.Zero(t, testing.AllocsPerRun(100, func() { l.Send(2, p) }), "sending %d bytes", size)
		in := appendFrame(nil, 1, p)
		require.Zero(t, testing.AllocsPerRun(100, func() { k.Data(in) }), "taking %d bytes", size)
	}
	in := appendFrame(nil, 1, make([]byte, 100))
	require.Zero(t, testing.AllocsPerRun(100, func() { k.Data(in[:50]); k.Data(in[50:]) }), "in two pieces")
}

func BenchmarkSend(b *testing.B) {
	for _, size := range []int{100, 10 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			l, _ := linkTo(b, &nowhere{})
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				l.Send(2, p)
			}
		})
	}
}

func BenchmarkTake(b *testing.B) {
	for _, size := range []int{100, 10 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			_, k := linkTo(b, &nowhere{})
			var in []byte
			for len(in) < 32<<10 {
				in = appendFrame(in, 1, make([]byte, size))
			}
			frames := len(in) / (size + 5)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for n := 0; n < b.N; n += frames {
				k.Data(in)
			}
		})
	}
}

// echo answers frames, or tells that they came.
type echo struct {
	quiet
	lane  *lane.Lane
	up    sync.WaitGroup
	frame func(from core.MemberID, p []byte)
}

func (e *echo) Up(lane.Peer)                       { e.up.Done() }
func (e *echo) Frame(from core.MemberID, p []byte) { e.frame(from, p) }

// realPair is two lanes over a loopback connection.
func realPair(b testing.TB) (x, y *echo) {
	clk, net := clock.NewReal(), netsim.NewReal()
	make1 := func(self core.MemberID) *echo {
		e := &echo{}
		e.up.Add(1)
		var err error
		e.lane, err = lane.New(clk, quiet{}, lane.DefaultOptions(self))
		require.NoError(b, err)
		e.lane.Serve(e)
		return e
	}
	x, y = make1(1), make1(2)
	attach := func(e *echo, c netsim.Conn, s clock.Strand, other core.MemberID) {
		h := &end{}
		s.Post(func() {
			h.link, h.err = e.lane.Attach(c, s, lane.Peer{Member: other, ServerName: "n", ServerID: "N"}, nil)
			c.Start(s, h)
		})
	}
	sy := clk.NewStrand("y")
	at, err := net.Listen(sy, "127.0.0.1:0", func(c netsim.Conn) { attach(y, c, sy, 1) })
	require.NoError(b, err)
	sx := clk.NewStrand("x")
	net.Dial(sx, at.Addr(), netsim.DialOptions{}, func(c netsim.Conn, err error) {
		require.NoError(b, err)
		b.Cleanup(func() { c.Abort(netsim.ErrClosed) })
		attach(x, c, sx, 2)
	})
	x.up.Wait()
	y.up.Wait()
	at.Close()
	return x, y
}

// BenchmarkRoundTrip is a frame there and one back over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	x, y := realPair(b)
	back := make(chan struct{}, 1)
	y.frame = func(from core.MemberID, p []byte) { y.lane.Send(from, p) }
	x.frame = func(core.MemberID, []byte) { back <- struct{}{} }
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		x.lane.Send(2, p)
		<-back
	}
}

// BenchmarkStream is frames one way over loopback, from several senders.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{100, 32 << 10} {
		for _, senders := range []int{1, 4} {
			b.Run(fmt.Sprintf("size=%d/senders=%d", size, senders), func(b *testing.B) {
				x, y := realPair(b)
				all := make(chan struct{})
				got := 0
				y.frame = func(core.MemberID, []byte) {
					if got++; got == b.N {
						close(all)
					}
				}
				x.frame = func(core.MemberID, []byte) {}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := range senders {
					go func() {
						p := make([]byte, size)
						for n := i; n < b.N; n += senders {
							for !x.lane.Send(2, p) {
							}
						}
					}()
				}
				<-all
			})
		}
	}
}
