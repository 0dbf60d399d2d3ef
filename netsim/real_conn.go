//lockstep:exempt real sockets and the goroutines that serve them
package netsim

import (
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// closeGrace is how long Close goes on sending what is queued.
const closeGrace = 100 * time.Millisecond

// Reasons for the reader to leave its wait.
const (
	stopEnding = 1 << iota // Close, Abort, or it broke
	stopTLS                // StartTLS was called and the reader has not begun
	stopPaused
)

// role says who may send. Only its holder takes bytes out of the queues.
type role uint8

const (
	roleIdle    role = iota
	roleLent         // the turn that Lend gave, until FlushLent
	roleSending      // a Flush, inline
	roleWaiting      // the writer goroutine
)

// past is a deadline that has passed, to wake what waits.
var past = time.Unix(1, 0)

// noDeadline is the absence of one.
var noDeadline time.Time

// realConn is a Conn over a transport. Its reader goroutine owns the transport:
// it closes it, as the last thing but Handler.Closed.
type realConn struct {
	t    transport
	stop atomic.Uint32 // stop* bits; written under mu

	// Of the reader goroutine, or of the strand while the reader runs a task on it.
	strand     clock.Strand
	doer       clock.Doer // the strand, too
	h          Handler
	deliverFn  func()
	in         []byte    // what deliver hands over
	heldBuf    *chunk    // keeps in alive while paused
	rtls       *tlsState // the reader's view: set once the handshake is complete
	readErr    error
	class      uint8 // of the next read buffer
	short      uint8 // reads in a row that would have fitted a smaller one
	held       bool  // in was not delivered, since the connection is paused
	delivering bool

	buffered atomic.Int64 // bytes in out and in tls.plain; written under mu
	state    atomic.Pointer[tls.ConnectionState]

	mu       sync.Mutex // held across no call out
	cond     sync.Cond  // what the reader waits for when not on the transport
	out      chunkQueue // bytes for the transport
	tls      *tlsState
	role     role
	started  bool
	kicked   bool // the read deadline is in the past
	shaking  bool // the read deadline is the TLS handshake's
	cut      bool // what is queued is to be dropped
	flushed  bool // ending, and nobody will send any more
	deadline bool // the write deadline is set
	retry    bool
	endErr   error
	flushBy  time.Time // ending: when to give up sending
	below    func()
	belowN   int
	limit    time.Duration // write deadline of a batch
	w        *writer       // state of the writer goroutine; made when first needed
}

var _ Conn = (*realConn)(nil)

func newRealConn(t transport) *realConn {
	c := &realConn{t: t, class: class4K}
	c.cond.L = &c.mu
	return c
}

// Start implements Conn.
func (c *realConn) Start(s clock.Strand, h Handler) {
	doer, ok := s.(clock.Doer)
	if !ok {
		doer = postDoer{s}
	}
	c.mu.Lock()
	if c.stop.Load()&stopEnding != 0 {
		err := c.endErr
		c.mu.Unlock()
		s.Post(func() { h.Closed(err) })
		return
	}
	c.started = true
	c.strand, c.doer, c.h = s, doer, h
	c.deliverFn = c.deliver
	c.mu.Unlock()
	go c.readLoop()
}

// Close implements Conn.
func (c *realConn) Close(err error) { c.end(err, closeGrace) }

// Abort implements Conn.
func (c *realConn) Abort(err error) { c.end(err, 0) }

// end begins the end. The first call states the error; a later one without
// grace hurries.
func (c *realConn) end(err error, grace time.Duration) {
	c.mu.Lock()
	if c.stop.Load()&stopEnding != 0 && (grace > 0 || c.cut) {
		c.mu.Unlock()
		return
	}
	c.endLocked(err, grace)
	switch {
	case c.role == roleIdle && !c.flushed:
		c.role = roleSending
		c.runSend()
	case c.role == roleWaiting:
		c.setBatchDeadline()
	default: // the holder of the role sees it
	}
	c.unlock()
}

// endLocked only marks the end: the holder of the role acts on it.
func (c *realConn) endLocked(err error, grace time.Duration) {
	if c.stop.Load()&stopEnding == 0 {
		c.endErr = err
		c.setStop(stopEnding)
		c.kick()
		if !c.started {
			go c.finish()
		}
	}
	if grace > 0 {
		c.flushBy = time.Now().Add(grace)
	} else {
		c.cut = true
	}
}

func (c *realConn) setStop(bit uint32) {
	c.stop.Store(c.stop.Load() | bit)
	c.cond.Broadcast()
}

func (c *realConn) clearStop(bit uint32) {
	c.stop.Store(c.stop.Load() &^ bit)
	c.cond.Broadcast()
}

// kick wakes the reader from its wait for the transport.
func (c *realConn) kick() {
	if !c.kicked && !c.flushed {
		c.kicked = true
		c.t.setReadDeadline(past)
	}
}

// hangup makes the reader look at its transport once more.
func (c *realConn) hangup() {
	c.mu.Lock()
	if c.stop.Load()&stopEnding == 0 && !c.shaking {
		c.kick()
	}
	c.mu.Unlock()
}

// setReadDeadline is for the reader: zero is none. It undoes a kick, whose
// reason the caller must look at afterwards, in c.stop.
func (c *realConn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kicked = false
	c.t.setReadDeadline(t)
}

// unlock releases mu and tells the one who waits for the queue to shrink.
func (c *realConn) unlock() {
	var fn func()
	if c.below != nil && (c.Buffered() < c.belowN || c.stop.Load()&stopEnding != 0) {
		fn, c.below = c.below, nil
	}
	c.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// finish is the end of the reader, or of a connection that was never started.
func (c *realConn) finish() {
	c.mu.Lock()
	for !c.flushed {
		c.cond.Wait()
	}
	gently := !c.cut
	c.mu.Unlock()
	if gently {
		c.discard()
	}
	c.t.close()
	if c.h != nil {
		c.doer.Do(func() { c.h.Closed(c.endErr) })
	}
}

// discard reads away what the peer sent, as far as it is there: a socket that
// is closed with bytes unread is reset, and the peer may lose what was sent to
// it last.
func (c *realConn) discard() {
	b := newChunk(class64K)
	defer b.free()
	for range 16 {
		if _, err := c.t.read(b.b); err != nil {
			return
		}
	}
}

// Buffered implements Conn.
func (c *realConn) Buffered() int { return int(c.buffered.Load()) }

// WhenBelow implements Conn.
func (c *realConn) WhenBelow(n int, fn func()) {
	c.mu.Lock()
	c.below, c.belowN = fn, n
	c.unlock()
}

// Pause implements Conn.
func (c *realConn) Pause() {
	c.mu.Lock()
	c.setStop(stopPaused)
	c.mu.Unlock()
}

// Resume implements Conn.
func (c *realConn) Resume() {
	c.mu.Lock()
	c.clearStop(stopPaused)
	c.mu.Unlock()
}

// TLS implements Conn.
func (c *realConn) TLS() *tls.ConnectionState { return c.state.Load() }

// SetWriteDeadline implements Conn.
func (c *realConn) SetWriteDeadline(d time.Duration, retry bool) {
	c.mu.Lock()
	changed := c.limit != d
	c.limit, c.retry = d, retry
	if changed && c.role == roleWaiting {
		c.beginBatch()
	}
	c.mu.Unlock()
}

// LocalAddr implements Conn.
func (c *realConn) LocalAddr() string {
	local, _ := c.t.addrs()
	return local
}

// RemoteAddr implements Conn.
func (c *realConn) RemoteAddr() string {
	_, remote := c.t.addrs()
	return remote
}

// InProcess implements Conn.
func (c *realConn) InProcess() bool { return c.t.inProcess() }

// broken ends the connection after err from reading.
func (c *realConn) broken(err error) {
	if errors.Is(err, io.EOF) {
		c.end(io.EOF, closeGrace) // the peer may still listen
		return
	}
	c.end(err, 0)
}
