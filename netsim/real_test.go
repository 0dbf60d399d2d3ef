//lockstep:exempt tests of real sockets
package netsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// probe is a Handler that collects what it is given.
type probe struct {
	t      testing.TB
	data   chan []byte
	closed chan error
	onData func(p []byte) // instead of collecting
	ended  atomic.Bool
}

func newProbe(t testing.TB) *probe {
	return &probe{t: t, data: make(chan []byte, 1<<14), closed: make(chan error, 8)}
}

func (p *probe) Data(b []byte) {
	if p.ended.Load() {
		p.t.Error("Data after Closed")
	}
	if p.onData != nil {
		p.onData(b)
		return
	}
	p.data <- bytes.Clone(b)
}

func (p *probe) Closed(err error) {
	if p.ended.Swap(true) {
		p.t.Error("Closed twice")
	}
	p.closed <- err
}

// want collects n bytes.
func (p *probe) want(n int) []byte {
	p.t.Helper()
	var got []byte
	for len(got) < n {
		select {
		case b := <-p.data:
			got = append(got, b...)
		case err := <-p.closed:
			if len(p.data) > 0 { // Data came first
				p.closed <- err
				got = append(got, <-p.data...)
				continue
			}
			require.Failf(p.t, "closed early", "%v after %d of %d bytes", err, len(got), n)
		case <-time.After(patience):
			require.Failf(p.t, "no data", "%d of %d bytes came", len(got), n)
		}
	}
	return got
}

func (p *probe) wantClosed() error {
	p.t.Helper()
	return await(p.t, p.closed)
}

func await[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.Fail(t, "it did not happen")
		panic("unreachable")
	}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			require.Fail(t, "it did not happen: "+what)
		}
	}
}

// on runs task on s and waits for it.
func on(s clock.Strand, task func()) { s.(clock.Doer).Do(task) }

var testClock = clock.NewReal()

// acceptor listens and hands out the server's ends.
type acceptor struct {
	l     Listener
	conns chan Conn
}

func listen(t testing.TB) *acceptor {
	a := &acceptor{conns: make(chan Conn, 4096)}
	var err error
	a.l, err = NewReal().Listen(testClock.NewStrand("listener"), "127.0.0.1:0", func(c Conn) { a.conns <- c })
	require.NoError(t, err)
	t.Cleanup(a.l.Close)
	return a
}

// connect makes a plain client and the server's end of it.
func (a *acceptor) connect(t testing.TB) (*net.TCPConn, Conn) {
	nc, err := net.Dial("tcp", a.l.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	return nc.(*net.TCPConn), await(t, a.conns)
}

// started is connect with the server's end started.
func started(t testing.TB) (*net.TCPConn, Conn, *probe, clock.Strand) {
	nc, c := listen(t).connect(t)
	p, s := newProbe(t), testClock.NewStrand("conn")
	c.Start(s, p)
	t.Cleanup(func() { c.Abort(ErrClosed) })
	return nc, c, p, s
}

func readN(t testing.TB, r io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
	return b
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

func TestRealEcho(t *testing.T) {
	nc, c, p, _ := started(t)
	_, err := nc.Write([]byte("hello"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(p.want(5)))
	c.Write([]byte("wo"), nil, []byte("rld"))
	require.Equal(t, 5, c.Buffered())
	c.Flush()
	require.Zero(t, c.Buffered())
	require.Equal(t, "world", string(readN(t, nc, 5)))
	require.Equal(t, nc.LocalAddr().String(), c.RemoteAddr())
	require.Equal(t, nc.RemoteAddr().String(), c.LocalAddr())
	require.False(t, c.InProcess())
	require.Nil(t, c.TLS())
}

func TestRealPeerCloses(t *testing.T) {
	nc, _, p, _ := started(t)
	_, err := nc.Write([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, nc.Close())
	require.Equal(t, "last", string(p.want(4)))
	require.Equal(t, io.EOF, p.wantClosed())
}

func TestRealPeerResets(t *testing.T) {
	nc, _, p, _ := started(t)
	require.NoError(t, nc.SetLinger(0))
	require.NoError(t, nc.Close())
	require.ErrorIs(t, p.wantClosed(), syscall.ECONNRESET)
}

// Data and the end of the stream, or a reset, may arrive as one event; neither
// may be lost then.
func TestRealDataAndEndAtOnce(t *testing.T) {
	a := listen(t)
	for i := range 200 {
		nc, c := a.connect(t)
		p := newProbe(t)
		_, err := nc.Write([]byte("x"))
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, nc.SetLinger(0))
		}
		require.NoError(t, nc.Close())
		c.Start(testClock.NewStrand("conn"), p)
		require.Error(t, p.wantClosed())
	}
}

func TestRealDataAndEndAtOnceWhileWaiting(t *testing.T) {
	a := listen(t)
	for i := range 300 {
		nc, c := a.connect(t)
		p := newProbe(t)
		c.Start(testClock.NewStrand("conn"), p)
		_, err := nc.Write([]byte("a"))
		require.NoError(t, err)
		p.want(1)
		_, err = nc.Write([]byte("b"))
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, nc.SetLinger(0))
		}
		require.NoError(t, nc.Close())
		require.Error(t, p.wantClosed())
		require.LessOrEqual(t, len(p.data), 1)
	}
}

func TestRealHalfClosedPeerGetsWhatIsQueued(t *testing.T) {
	nc, c, p, _ := started(t)
	c.Write([]byte("answer")) // and no Flush
	require.NoError(t, nc.CloseWrite())
	require.Equal(t, io.EOF, p.wantClosed())
	b, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "answer", string(b))
}

func TestRealCloseFlushes(t *testing.T) {
	nc, c, p, s := started(t)
	mine := errors.New("my reason")
	big := pattern(8 << 20)
	_, err := nc.Write([]byte("not read by anybody"))
	require.NoError(t, err)
	got := make(chan []byte, 1)
	on(s, func() {
		c.Write(big)
		c.Close(mine)
		c.Close(errors.New("too late"))
		c.Write([]byte("dropped"))
	})
	go func() {
		b, _ := io.ReadAll(nc)
		got <- b
	}()
	require.Equal(t, mine, p.wantClosed())
	require.Equal(t, big, await(t, got))
}

func TestRealCloseGivesUp(t *testing.T) {
	_, c, p, _ := started(t)
	c.Write(pattern(32 << 20)) // more than the system buffers
	c.Close(io.ErrNoProgress)
	require.Equal(t, io.ErrNoProgress, p.wantClosed())
}

func TestRealAbortDropsAndHurries(t *testing.T) {
	_, c, p, _ := started(t)
	c.SetWriteDeadline(time.Hour, false)
	c.Write(pattern(32 << 20))
	c.Flush()
	require.NotZero(t, c.Buffered())
	below := make(chan struct{}, 1)
	c.WhenBelow(1, func() { below <- struct{}{} })
	c.Abort(io.ErrNoProgress)
	require.Equal(t, io.ErrNoProgress, p.wantClosed())
	await(t, below)
	require.Zero(t, c.Buffered())
	c.WhenBelow(1, func() { below <- struct{}{} })
	await(t, below)
}

func TestRealCloseWithinData(t *testing.T) {
	nc, c, p, _ := started(t)
	mine := errors.New("my reason")
	p.onData = func([]byte) {
		c.Write([]byte("-ERR"))
		c.Close(mine)
	}
	_, err := nc.Write([]byte("bad"))
	require.NoError(t, err)
	require.Equal(t, mine, p.wantClosed())
	b, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "-ERR", string(b))
}

func TestRealCloseBeforeStart(t *testing.T) {
	nc, c := listen(t).connect(t)
	c.Write([]byte("go away"))
	c.Close(io.ErrNoProgress)
	b, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "go away", string(b))
	p := newProbe(t)
	c.Start(testClock.NewStrand("conn"), p)
	require.Equal(t, io.ErrNoProgress, p.wantClosed())
}

func TestRealNothingIsReadBeforeStart(t *testing.T) {
	nc, c := listen(t).connect(t)
	_, err := nc.Write([]byte("early"))
	require.NoError(t, err)
	p := newProbe(t)
	c.Start(testClock.NewStrand("conn"), p)
	require.Equal(t, "early", string(p.want(5)))
	c.Abort(nil)
	require.NoError(t, p.wantClosed())
}

func TestRealPause(t *testing.T) {
	nc, c, p, s := started(t)
	var paused atomic.Bool
	var got int
	full := make(chan struct{}, 1)
	const size = 4 << 20
	p.onData = func(b []byte) {
		if paused.Load() {
			t.Error("Data while paused")
		}
		got += len(b)
		if got == size {
			full <- struct{}{}
			return
		}
		c.Pause()
		paused.Store(true)
		s.Post(func() {
			paused.Store(false)
			c.Resume()
		})
	}
	go func() { _, _ = nc.Write(pattern(size)) }()
	await(t, full)
	on(s, c.Pause) // while the reader waits
	_, err := nc.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, nc.Close())
	select {
	case <-p.closed:
		require.Fail(t, "read while paused")
	case <-full:
		require.Fail(t, "read while paused")
	case <-time.After(20 * time.Millisecond):
	}
	p.onData = nil
	on(s, c.Resume)
	require.Equal(t, "x", string(p.want(1)))
	require.Equal(t, io.EOF, p.wantClosed())
}

func TestRealCloseWhilePaused(t *testing.T) {
	nc, c, p, s := started(t)
	p.onData = func([]byte) { c.Pause() }
	_, err := nc.Write([]byte("x"))
	require.NoError(t, err)
	eventually(t, "pause", func() (paused bool) {
		on(s, func() { paused = c.(*realConn).stop.Load() == stopPaused })
		return paused
	})
	c.Close(io.ErrNoProgress)
	require.Equal(t, io.ErrNoProgress, p.wantClosed())
}

func TestRealManyConnections(t *testing.T) {
	const conns = 1000
	a := listen(t)
	clients := make([]net.Conn, conns)
	for i := range clients {
		nc, c := a.connect(t)
		p := newProbe(t)
		p.onData = func(b []byte) {
			c.Write(b)
			c.Flush()
		}
		c.Start(testClock.NewStrand("conn"), p)
		clients[i] = nc
	}
	for round := range 3 {
		for i, nc := range clients {
			_, err := fmt.Fprintf(nc, "%04d%d", i, round)
			require.NoError(t, err)
		}
		for i, nc := range clients {
			require.Equal(t, fmt.Sprintf("%04d%d", i, round), string(readN(t, nc, 5)))
		}
	}
}

func TestRealDial(t *testing.T) {
	a := listen(t)
	s := testClock.NewStrand("dialer")
	type result struct {
		c   Conn
		err error
	}
	results := make(chan result, 1)
	done := func(c Conn, err error) { results <- result{c, err} }
	NewReal().Dial(s, a.l.Addr(), DialOptions{Timeout: time.Second}, done)
	r := await(t, results)
	require.NoError(t, r.err)
	client, server := newProbe(t), newProbe(t)
	r.c.Start(s, client)
	sc := await(t, a.conns)
	sc.Start(testClock.NewStrand("server"), server)
	r.c.Write([]byte("hi"))
	r.c.Flush()
	require.Equal(t, "hi", string(server.want(2)))
	r.c.Close(ErrClosed)
	require.Equal(t, ErrClosed, client.wantClosed())
	require.Equal(t, io.EOF, server.wantClosed())

	addr := a.l.Addr()
	a.l.Close()
	a.l.Close()
	NewReal().Dial(s, addr, DialOptions{}, done)
	r = await(t, results)
	require.ErrorIs(t, r.err, syscall.ECONNREFUSED)
	require.Nil(t, r.c)
}

func TestRealListenRefusesTakenAddress(t *testing.T) {
	a := listen(t)
	_, err := NewReal().Listen(testClock.NewStrand("s"), a.l.Addr(), func(Conn) {})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

// failingListener fails some Accepts, as when files run out.
type failingListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, os.NewSyscallError("accept", syscall.EMFILE)
	}
	return l.Listener.Accept()
}

func TestRealAcceptSurvivesErrors(t *testing.T) {
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	fl := &failingListener{Listener: nl}
	fl.failures.Store(3)
	l := &realListener{nl: fl, closed: make(chan struct{})}
	conns := make(chan Conn, 1)
	ended := make(chan struct{})
	go func() {
		l.loop(testClock.NewStrand("s"), func(c Conn) { conns <- c })
		close(ended)
	}()
	nc, err := net.Dial("tcp", l.Addr())
	require.NoError(t, err)
	defer nc.Close()
	await(t, conns).Abort(nil)
	l.Close()
	await(t, ended)
}

func TestRealSocketOptions(t *testing.T) {
	_, c := listen(t).connect(t)
	defer c.Abort(nil)
	fd := c.(*realConn).t.(*socket).fd
	v, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
	require.NoError(t, err)
	require.NotZero(t, v)
	v, err = syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
	require.NoError(t, err)
	require.Zero(t, v)
}
