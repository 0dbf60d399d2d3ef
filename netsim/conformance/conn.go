//lockstep:exempt compares errors with those of the operating system
package conformance

import (
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/netsim"
)

func testExchange(h *harness) {
	c, s := h.pair()
	c.send([]byte("PI"), []byte("NG\r\n"))
	h.await("the client's bytes", s.has(6))
	require.Equal(h, "PING\r\n", string(s.data))
	s.send([]byte("PONG\r\n"))
	h.await("the server's bytes", c.has(6))
	require.Equal(h, "PONG\r\n", string(c.data))

	require.Equal(h, c.conn.LocalAddr(), s.conn.RemoteAddr())
	require.Equal(h, c.conn.RemoteAddr(), s.conn.LocalAddr())
	require.Contains(h, s.conn.LocalAddr(), ":")
	require.False(h, c.conn.InProcess())
	require.Nil(h, c.conn.TLS())
	require.Zero(h, c.conn.Buffered())
}

func testOrderedAndComplete(h *harness) {
	c, s := h.pair()
	want := text(1 << 20)
	for _, p := range []*peer{c, s} {
		rest, size := want, 1
		for len(rest) > 0 {
			var chunk []byte
			n := min(size, len(rest))
			chunk, rest = rest[:n], rest[n:]
			p.conn.Write(chunk)
			if size%3 != 0 {
				p.conn.Flush()
			}
			size = size*5%65521 + 1
		}
		p.conn.Flush()
	}
	h.await("all bytes both ways", func() bool { return len(c.data) >= len(want) && len(s.data) >= len(want) })
	require.True(h, string(want) == string(c.data), "what the server sent arrives as it was sent")
	require.True(h, string(want) == string(s.data), "what the client sent arrives as it was sent")
}

// testManyWriters writes from several strands to one connection: lines stay whole and
// each strand's are in order.
func testManyWriters(h *harness) {
	c, s := h.pair()
	const writers, lines = 4, 200
	for w := range writers {
		strand := h.strand(h.ClientClock, "writer")
		name := string(rune('a' + w))
		for i := range lines {
			line := []byte(name + strings.Repeat("x", i%50) + "\n")
			strand.Post(func() {
				c.conn.Write(line)
				c.conn.Flush()
			})
		}
	}
	total := 0
	for i := range lines {
		total += writers * (2 + i%50)
	}
	h.await("all lines", s.has(total))
	next := make(map[byte]int)
	for _, line := range strings.Split(strings.TrimSuffix(string(s.data), "\n"), "\n") {
		w := line[0]
		require.Equal(h, string(w)+strings.Repeat("x", next[w]%50), line)
		next[w]++
	}
	require.Len(h, next, writers)
}

func testLend(h *harness) {
	c, s := h.pair()
	buffer := make([]byte, 10_000)
	var want []byte
	for i := range 200 {
		h.do(c.strand, func() {
			for j := range buffer {
				buffer[j] = byte('a' + i%26)
			}
			c.conn.Write([]byte("head"))
			lend(c.conn, buffer[:5000], buffer[5000:])
			want = append(append(want, "head"...), buffer...)
			clear(buffer) // it is the caller's again
		})
	}
	h.await("all lent bytes", s.has(len(want)))
	require.True(h, string(want) == string(s.data), "lent bytes arrive as they were at FlushLent")
}

// lend is how a Lend is sent.
func lend(c netsim.Conn, p ...[]byte) {
	if c.Lend(p...) {
		c.FlushLent()
	} else {
		c.Flush()
	}
}

// testFlushDuringTurn: what others queue and flush during a turn waits for its end, in order.
func testFlushDuringTurn(h *harness) {
	c, s := h.pair()
	first, second := text(5000), text(3000)
	h.do(c.strand, func() {
		c.conn.Write([]byte("head"))
		assert.True(h, c.conn.Lend(first), "nobody else is sending")
		c.conn.Write([]byte("middle"))
		c.conn.Flush()
	})
	other := h.strand(h.ClientClock, "other")
	h.do(other, func() {
		assert.False(h, c.conn.Lend(second), "there is one turn at a time")
		clear(second) // copied
		c.conn.Flush()
	})
	require.Equal(h, 4+5000+6+3000, c.conn.Buffered(), "all of it is the holder's to send")
	h.do(c.strand, func() {
		c.conn.FlushLent()
		clear(first)
	})
	h.await("all bytes", s.has(4+5000+6+3000))
	want := "head" + string(text(5000)) + "middle" + string(text(3000))
	require.True(h, want == string(s.data), "bytes arrive in the order of Lend and Write")
}

func testCloseDuringTurn(h *harness) {
	c, s := h.pair()
	buffer := text(5000)
	h.do(c.strand, func() {
		assert.True(h, c.conn.Lend(buffer), "nobody else is sending")
		c.conn.Close(errDone)
		c.conn.Write([]byte("after"))
		c.conn.FlushLent()
		clear(buffer)
	})
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	require.Equal(h, errDone, c.err)
	require.ErrorIs(h, s.err, io.EOF)
	require.True(h, string(text(5000)) == string(s.data), "what was lent is sent before the end")
	require.False(h, c.conn.Lend(buffer), "there is no turn after the end")
}

func testAbortDuringTurn(h *harness) {
	c, s := h.pair()
	h.do(c.strand, func() {
		assert.True(h, c.conn.Lend(text(5000)), "nobody else is sending")
		c.conn.Abort(errDone)
		c.conn.FlushLent()
	})
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	require.Equal(h, errDone, c.err)
	require.Empty(h, s.data, "what was lent is dropped")
	require.Zero(h, c.conn.Buffered())
}

// testLendToSlowPeer: what the peer does not take is copied, at the end of the turn
// or, while earlier bytes wait, at once.
func testLendToSlowPeer(h *harness) {
	c, s := h.dial(h.listen(h.Listen))
	c.start()
	buffer := make([]byte, 1<<20)
	var want []byte
	refused := 0
	for i := range 16 {
		h.do(c.strand, func() {
			for j := range buffer {
				buffer[j] = byte('a' + i)
			}
			want = append(want, buffer...)
			if c.conn.Lend(buffer) {
				c.conn.FlushLent()
				clear(buffer)
				return
			}
			refused++
			clear(buffer)
			c.conn.Flush()
		})
	}
	require.NotZero(h, refused, "there is no turn while bytes wait for the peer")
	s.start()
	h.await("all bytes", s.has(len(want)))
	require.True(h, string(want) == string(s.data), "lent bytes arrive as they were at FlushLent")
}

func testBufferedBeforeFlush(h *harness) {
	c, s := h.pair()
	h.do(c.strand, func() {
		c.conn.Write([]byte("hello "), []byte("world"))
		assert.Equal(h, 11, c.conn.Buffered())
		c.conn.Flush()
	})
	h.await("the bytes", s.has(11))
	require.Equal(h, "hello world", string(s.data))
	drained := false
	c.conn.WhenBelow(1, h.flag(&drained))
	h.await("nothing buffered", func() bool { return drained })
}

// flag makes a function that sets b under the harness's lock.
func (h *harness) flag(b *bool) func() {
	return func() {
		h.mu.Lock()
		*b = true
		h.mu.Unlock()
		h.note()
	}
}

func testCloseSends(h *harness) {
	c, s := h.pair()
	want := text(100_000)
	h.do(c.strand, func() {
		c.conn.Write(want) // without Flush
		c.conn.Close(errDone)
	})
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	require.Equal(h, errDone, c.err)
	require.ErrorIs(h, s.err, io.EOF)
	require.True(h, string(want) == string(s.data), "what was queued is sent before the end")
}

func testCloseWithNil(h *harness) {
	c, s := h.pair()
	c.conn.Close(nil)
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	require.NoError(h, c.err)
	require.ErrorIs(h, s.err, io.EOF)
}

func testWritesAfterClose(h *harness) {
	c, s := h.pair()
	h.do(c.strand, func() {
		c.conn.Write([]byte("before"))
		c.conn.Close(errDone)
		c.conn.Write([]byte("after"))
		assert.False(h, c.conn.Lend([]byte("after")))
		c.conn.Flush()
	})
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	c.conn.Write([]byte("later"))
	c.conn.Flush()
	require.Zero(h, c.conn.Buffered())
	require.Equal(h, "before", string(s.data))
}

func testCloseTwice(h *harness) {
	c, s := h.pair()
	h.do(c.strand, func() {
		c.conn.Close(errDone)
		c.conn.Close(io.ErrUnexpectedEOF)
		c.conn.Abort(io.ErrUnexpectedEOF)
	})
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	c.conn.Close(nil)
	s.conn.Close(nil)
	require.Equal(h, 1, c.closed)
}

func testAbort(h *harness) {
	c, s := h.pair()
	h.do(c.strand, func() {
		c.conn.Abort(errDone)
		h.mu.Lock()
		defer h.mu.Unlock()
		assert.Zero(h, c.closed, "Closed is not called from within Abort")
	})
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	require.Equal(h, errDone, c.err)
	require.Error(h, s.err)
}

func testAbortBeforeStart(h *harness) {
	c, s := h.dial(h.listen(h.Listen))
	s.start()
	c.conn.Abort(errDone)
	h.await("the server's side closed", s.isClosed)
	c.start()
	h.await("the client's side closed", c.isClosed)
	require.Equal(h, errDone, c.err)
}

func testPeerClosedUnread(h *harness) {
	c, s := h.dial(h.listen(h.Listen))
	c.start()
	want := text(50_000)
	h.do(c.strand, func() {
		c.conn.Write(want)
		c.conn.Close(errDone)
	})
	h.await("the client's side closed", c.isClosed)
	s.start()
	h.await("the server's side closed", s.isClosed)
	require.True(h, string(want) == string(s.data), "bytes before the end are delivered before Closed")
	require.ErrorIs(h, s.err, io.EOF)
}

func testLateStart(h *harness) {
	c, s := h.dial(h.listen(h.Listen))
	c.start()
	c.send([]byte("early"))
	require.Empty(h, s.data)
	s.start()
	h.await("the early bytes", s.has(5))
	require.Equal(h, "early", string(s.data))
}

func testPauseAndResume(h *harness) {
	c, s := h.pair()
	want := text(300_000)
	pausedAt := -1
	s.onData = func(p []byte) {
		s.record(p)
		h.mu.Lock()
		defer h.mu.Unlock()
		if pausedAt < 0 {
			pausedAt = len(s.data)
			s.conn.Pause()
		}
	}
	c.send(want)
	h.await("the pause", func() bool { return pausedAt >= 0 })
	c.send([]byte("more"))
	h.do(s.strand, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		// One read may have been on its way to the strand already.
		assert.LessOrEqual(h, len(s.data), len(want))
	})
	h.do(s.strand, func() { s.conn.Resume() })
	h.await("the rest", s.has(len(want)+4))
	require.True(h, string(want)+"more" == string(s.data))
}

// fill writes until the system takes no more, and returns what was written.
func (h *harness) fill(p *peer) int {
	h.Helper()
	const chunk = 1 << 20
	written := 0
	b := text(chunk)
	for range 256 {
		h.do(p.strand, func() {
			p.conn.Write(b)
			p.conn.Flush()
		})
		written += chunk
		if p.conn.Buffered() > 4*chunk {
			return written
		}
	}
	require.Fail(h, "the system takes everything", "%d bytes written, %d buffered", written, p.conn.Buffered())
	return written
}

func testBackPressure(h *harness) {
	c, s := h.dial(h.listen(h.Listen))
	c.start() // the server's side is not, so that nobody reads
	written := h.fill(c)
	require.Empty(h, s.data)
	drained := false
	c.conn.WhenBelow(1, h.flag(&drained))
	s.start()
	h.await("all bytes", func() bool { return drained && len(s.data) >= written })
	require.Len(h, s.data, written)
	require.Zero(h, c.conn.Buffered())
}

func testWhenBelow(h *harness) {
	c, s := h.dial(h.listen(h.Listen))
	c.start()
	called := false
	c.conn.WhenBelow(1, h.flag(&called))
	require.True(h, called, "at once when it is below already")
	h.fill(c)
	replaced, ended := false, false
	c.conn.WhenBelow(1, h.flag(&replaced))
	c.conn.WhenBelow(1, h.flag(&ended))
	c.conn.Abort(errDone)
	h.await("the call at the end", func() bool { return ended && c.isClosed() })
	require.False(h, replaced, "a second call replaces the first")
	called = false
	c.conn.WhenBelow(0, h.flag(&called))
	require.True(h, called, "at once when the connection has ended")
	_ = s
}

func testWriteDeadline(h *harness) {
	c, _ := h.dial(h.listen(h.Listen))
	c.start()
	c.conn.SetWriteDeadline(50*time.Millisecond, false)
	want := text(32 << 20)
	c.send(want)
	h.await("the deadline", c.isClosed)
	require.ErrorIs(h, c.err, netsim.ErrWriteDeadline)
}

// testWriteDeadlineRetry has a peer that takes nothing at all: to try again does not save
// the connection either.
func testWriteDeadlineRetry(h *harness) {
	c, _ := h.dial(h.listen(h.Listen))
	c.start()
	h.fill(c)
	c.conn.SetWriteDeadline(50*time.Millisecond, true)
	c.send([]byte("more"))
	h.await("the deadline", c.isClosed)
	require.ErrorIs(h, c.err, netsim.ErrWriteDeadline)
}

// dialErr dials what must fail.
func (h *harness) dialErr(addr string) error {
	h.Helper()
	s := h.strand(h.ClientClock, "client")
	calls := 0
	var err error
	h.Client.Dial(s, addr, netsim.DialOptions{Timeout: 5 * time.Second}, func(c netsim.Conn, e error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		err = e
		calls++
		if c != nil {
			h.Errorf("dial %s: a connection", addr)
		}
		h.note()
	})
	h.await("the dial", func() bool { return calls > 0 })
	h.do(s, func() {})
	require.Equal(h, 1, calls)
	require.Error(h, err)
	return err
}

func testRefused(h *harness) {
	a := h.listen(h.Listen)
	a.Close()
	require.ErrorIs(h, h.dialErr(a.Addr()), syscall.ECONNREFUSED)
}

func testBadAddress(h *harness) {
	for _, addr := range []string{"nonsense", "host:port:more", "127.0.0.1:99999999"} {
		require.Error(h, h.dialErr(addr))
		_, err := h.Server.Listen(h.strand(h.ServerClock, "listener"), addr, func(netsim.Conn) {})
		require.Error(h, err, addr)
	}
}

func testListener(h *harness) {
	a := h.listen(h.Listen)
	_, err := h.Server.Listen(h.strand(h.ServerClock, "listener"), a.Addr(), func(netsim.Conn) {})
	require.ErrorIs(h, err, syscall.EADDRINUSE)
	c, s := h.dial(a)
	c.start()
	s.start()
	a.Close()
	a.Close()
	require.Error(h, h.dialErr(a.Addr()))
	c.send([]byte("still here"))
	h.await("bytes over an accepted connection", s.has(10))

	again := h.listen(a.Addr())
	require.Equal(h, a.Addr(), again.Addr())
	h.dial(again)
}

var _ netsim.Handler = (*peer)(nil)
