//lockstep:exempt TLS of the real network: crypto/tls draws its own randomness and reads the clock
package netsim

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// plainClass is the size of the buffers for decrypted bytes: several records.
const plainClass = class64K

// linkMax bounds what a peer can make TLS answer, by key updates for example,
// without reading the answers.
const linkMax = 16 << 20

var errLinkFull = errors.New("the peer does not read what TLS answers")

// tlsState is TLS over a realConn's queues instead of a socket, so that neither
// reading nor writing waits and a record of which a part was sent can be resumed.
//
// Plain text waits in plain and is encrypted by the holder of the writer role
// when it sends: many small writes become one record.
type tlsState struct {
	conn    *tls.Conn
	link    tlsLink
	timeout time.Duration
	done    func(error)
	more    bool // of the reader: link.in or conn may hold bytes not delivered

	plain    chunkQueue // under realConn.mu, as what follows
	ready    bool       // the handshake is complete
	notified bool       // close_notify is queued
}

// StartTLS implements Conn.
func (c *realConn) StartTLS(o TLSOptions, done func(error)) {
	t := &tlsState{timeout: o.Timeout, done: done}
	t.link = tlsLink{c: c, in: append([]byte(nil), o.Pending...), waits: true}
	if o.Server {
		t.conn = tls.Server(&t.link, o.Config)
	} else {
		t.conn = tls.Client(&t.link, o.Config)
	}
	c.mu.Lock()
	if c.stop.Load()&stopEnding != 0 || c.tls != nil {
		c.mu.Unlock()
		c.strand.Post(func() { done(fmt.Errorf("%w: %w", ErrHandshake, ErrClosed)) })
		return
	}
	c.tls = t
	c.setStop(stopTLS)
	if !c.delivering {
		c.kick()
	}
	c.mu.Unlock()
	c.Flush() // what was queued before leaves in clear text
}

// handshake runs in the reader goroutine and waits for the peer.
func (c *realConn) handshake() {
	c.mu.Lock()
	t := c.tls
	c.clearStop(stopTLS)
	c.shaking = true
	c.mu.Unlock()
	c.dropHeld() // deliver has moved it to the link

	deadline := noDeadline
	if t.timeout > 0 {
		deadline = time.Now().Add(t.timeout)
	}
	c.setReadDeadline(deadline)
	var err error
	if c.stop.Load()&stopEnding != 0 {
		err = ErrClosed
	} else {
		err = t.conn.Handshake()
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrHandshake, err)
		c.end(err, closeGrace) // sends the alert
	} else {
		c.handshaken(t)
	}
	c.doer.Do(func() { t.done(err) })
	t.done = nil
}

func (c *realConn) handshaken(t *tlsState) {
	state := t.conn.ConnectionState()
	c.state.Store(&state)
	t.link.waits = false
	t.more = true // the peer's first bytes may have come with the handshake's last
	c.rtls = t
	c.mu.Lock()
	t.ready = true
	c.shaking = false
	if c.stop.Load()&stopEnding == 0 {
		c.kicked = false
		c.t.setReadDeadline(noDeadline)
	}
	c.mu.Unlock()
	c.Flush()
}

// readTLS decrypts and delivers cipher, and what was left over from before.
func (c *realConn) readTLS(cipher []byte) {
	t := c.rtls
	if len(t.link.in) > 0 {
		cipher = append(t.link.in, cipher...)
	}
	t.link.in, t.more = cipher, false
	b := newChunk(plainClass)
	for {
		n, err := t.fill(b.b)
		if n > 0 {
			c.in = b.b[:n]
			c.doer.Do(c.deliverFn)
		}
		if err != nil {
			if err != errAgain {
				c.readErr = err
			}
			break
		}
		if c.stop.Load() != 0 {
			t.more = true
			break
		}
	}
	if c.held {
		c.heldBuf = b
	} else {
		b.free()
	}
	if len(t.link.in) > 0 {
		t.link.in = append([]byte(nil), t.link.in...) // it was the caller's
	} else {
		t.link.in = nil
	}
	c.Flush() // reading may answer, for example with a key update
}

// fill reads decrypted bytes into p until it is full or there are no more.
func (t *tlsState) fill(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = t.conn.Read(p[n:])
		n += k
	}
	return n, err
}

// encryptSome moves plain text to the transport's queue, if that is short. It
// is called by the holder of the role with mu held, and reports whether it has
// done anything.
func (c *realConn) encryptSome() bool {
	t := c.tls
	if t == nil || c.out.size >= cipherMax {
		return false
	}
	ending := c.stop.Load()&stopEnding != 0
	if !t.ready {
		if ending { // nobody completes the handshake any more
			c.buffered.Add(-int64(t.plain.size))
			t.plain.drop()
		}
		return false
	}
	h := t.plain.head
	if h == nil {
		if t.notified || !ending {
			return false
		}
		t.notified = true
		c.mu.Unlock()
		_ = t.conn.CloseWrite() // fails only where nothing can be sent anyhow
		c.mu.Lock()
		return true
	}
	p := h.b[h.r:min(h.w, h.r+cipherStep)]
	c.mu.Unlock()
	_, err := t.conn.Write(p)
	c.mu.Lock()
	t.plain.consume(len(p))
	c.buffered.Add(-int64(len(p)))
	if err != nil {
		c.endLocked(err, 0)
	}
	return true
}

// tlsLink is what crypto/tls takes for its socket.
type tlsLink struct {
	c     *realConn
	in    []byte // cipher text that crypto/tls has not taken
	waits bool   // Read waits for the peer: only in the handshake
}

func (l *tlsLink) Read(p []byte) (int, error) {
	if len(l.in) == 0 && l.waits {
		if err := l.wait(); err != nil {
			return 0, err
		}
	}
	if len(l.in) == 0 {
		return 0, errAgain
	}
	n := copy(p, l.in)
	l.in = l.in[n:]
	return n, nil
}

// wait sends what the handshake has queued and waits for the answer.
func (l *tlsLink) wait() error {
	c := l.c
	c.Flush()
	b := newChunk(class4K)
	defer b.free()
	n, readErr := 0, error(nil)
	err := c.t.awaitRead(func(uintptr) bool {
		if c.stop.Load()&stopEnding != 0 {
			readErr = ErrClosed
			return true
		}
		n, readErr = c.t.read(b.b)
		return readErr != errAgain
	})
	switch {
	case err == nil:
		err = readErr
	case errors.Is(err, os.ErrDeadlineExceeded) && c.stop.Load()&stopEnding != 0:
		err = ErrClosed
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	l.in = append(l.in, b.b[:n]...)
	return err
}

func (l *tlsLink) Write(p []byte) (int, error) {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut || c.flushed {
		return 0, ErrClosed
	}
	if c.out.size > linkMax {
		return 0, errLinkFull
	}
	c.out.append(p)
	c.buffered.Add(int64(len(p)))
	return len(p), nil
}

// Close and the deadlines are crypto/tls's wishes, which realConn grants itself.
func (l *tlsLink) Close() error                     { return nil }
func (l *tlsLink) SetDeadline(time.Time) error      { return nil }
func (l *tlsLink) SetReadDeadline(time.Time) error  { return nil }
func (l *tlsLink) SetWriteDeadline(time.Time) error { return nil }
func (l *tlsLink) LocalAddr() net.Addr              { return linkAddr(l.c.LocalAddr()) }
func (l *tlsLink) RemoteAddr() net.Addr             { return linkAddr(l.c.RemoteAddr()) }

type linkAddr string

func (linkAddr) Network() string  { return "tcp" }
func (a linkAddr) String() string { return string(a) }
