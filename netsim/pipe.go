//lockstep:exempt in-process connections for blocking clients
package netsim

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe makes a connection inside the process: the server's end, and an ordinary
// blocking net.Conn for a client. Each direction holds at most 64 KB.
func (*Real) Pipe() (Conn, net.Conn) {
	in, out := newPipeBuffer(), newPipeBuffer()
	return newRealConn(&pipeEnd{in: in, out: out}), &pipeConn{pipeEnd{in: out, out: in}}
}

// pipeBuffer is one direction of a pipe. It holds its memory only while there
// are bytes in it.
type pipeBuffer struct {
	mu      sync.Mutex
	changed sync.Cond
	ring    *chunk // of class64K
	r, n    int    // first byte and how many
	ended   bool   // nothing will be written any more
	refused bool   // nothing will be read any more
	reader  pipeDeadline
	writer  pipeDeadline
}

type pipeDeadline struct {
	timer  *time.Timer
	round  int // tells a timer that fired too late from the present one
	passed bool
}

func newPipeBuffer() *pipeBuffer {
	b := &pipeBuffer{}
	b.changed.L = &b.mu
	return b
}

// take is a read that does not wait.
func (b *pipeBuffer) take(p []byte) (int, error) {
	switch {
	case b.refused:
		return 0, io.ErrClosedPipe
	case b.n == 0 && b.ended:
		return 0, io.EOF
	case b.n == 0:
		return 0, errAgain
	}
	first := b.ring.b[b.r:min(b.r+b.n, len(b.ring.b))]
	k := copy(p, first)
	if k == len(first) {
		k += copy(p[k:], b.ring.b[:b.n-k])
	}
	b.r, b.n = (b.r+k)%len(b.ring.b), b.n-k
	if b.n == 0 {
		b.ring.free()
		b.ring = nil
	}
	b.changed.Broadcast()
	return k, nil
}

// put is a write that does not wait: it takes what fits.
func (b *pipeBuffer) put(p []byte) (int, error) {
	if b.refused || b.ended {
		return 0, io.ErrClosedPipe
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.ring == nil {
		b.ring, b.r = newChunk(class64K), 0
	}
	size, k := len(b.ring.b), 0
	for len(p) > 0 && b.n < size {
		w := (b.r + b.n) % size
		m := copy(b.ring.b[w:min(size, w+size-b.n)], p)
		p, k, b.n = p[m:], k+m, b.n+m
	}
	if k > 0 {
		b.changed.Broadcast()
	}
	return k, nil
}

// await waits until ready holds, the buffer ends or d passes.
func (b *pipeBuffer) await(d *pipeDeadline, ready func() bool) error {
	for !ready() && !b.ended && !b.refused {
		if d.passed {
			return os.ErrDeadlineExceeded
		}
		b.changed.Wait()
	}
	return nil
}

func (b *pipeBuffer) readable() bool { return b.n > 0 }
func (b *pipeBuffer) writable() bool { return b.n < chunkSizes[class64K] }

func (b *pipeBuffer) setDeadline(d *pipeDeadline, t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.round++
	wait := time.Until(t)
	d.passed = !t.IsZero() && wait <= 0
	if d.passed {
		b.changed.Broadcast()
	}
	if t.IsZero() || d.passed {
		return
	}
	round := d.round
	d.timer = time.AfterFunc(wait, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if d.round == round {
			d.passed = true
			b.changed.Broadcast()
		}
	})
}

// end is the writer's close; refuse the reader's.
func (b *pipeBuffer) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.changed.Broadcast()
}

func (b *pipeBuffer) refuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = true
	if b.ring != nil {
		b.ring.free()
		b.ring, b.n = nil, 0
	}
	b.changed.Broadcast()
}

// pipeEnd is one end of a pipe, as the transport of a realConn.
type pipeEnd struct {
	in, out *pipeBuffer
}

func (e *pipeEnd) read(p []byte) (int, error) {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.take(p)
}

func (e *pipeEnd) write(p []byte) (int, error) {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	return e.out.put(p)
}

func (e *pipeEnd) writev(v *vector) (sum int, err error) {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	for _, p := range v.b[:v.n] {
		n, err := e.out.put(p)
		sum += n
		if err != nil || n < len(p) {
			return sum, err
		}
	}
	return sum, nil
}

func (e *pipeEnd) awaitRead(f func(uintptr) bool) error {
	return awaitPipe(e.in, &e.in.reader, e.in.readable, f)
}

func (e *pipeEnd) awaitWrite(f func(uintptr) bool) error {
	return awaitPipe(e.out, &e.out.writer, e.out.writable, f)
}

// awaitPipe behaves like syscall.RawConn: a deadline that has passed fails
// before the first call of f.
func awaitPipe(b *pipeBuffer, d *pipeDeadline, ready func() bool, f func(uintptr) bool) error {
	for {
		b.mu.Lock()
		passed := d.passed
		b.mu.Unlock()
		if passed {
			return os.ErrDeadlineExceeded
		}
		if f(0) {
			return nil
		}
		b.mu.Lock()
		err := b.await(d, ready)
		b.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (e *pipeEnd) drained() bool                { return true }
func (e *pipeEnd) setReadDeadline(t time.Time)  { e.in.setDeadline(&e.in.reader, t) }
func (e *pipeEnd) setWriteDeadline(t time.Time) { e.out.setDeadline(&e.out.writer, t) }
func (e *pipeEnd) addrs() (string, string)      { return pipeName, pipeName }
func (e *pipeEnd) inProcess() bool              { return true }

func (e *pipeEnd) close() {
	e.in.refuse()
	e.out.end()
}

const pipeName = "pipe"

// pipeConn is the client's end.
type pipeConn struct{ end pipeEnd }

func (c *pipeConn) Read(p []byte) (int, error) {
	b := c.end.in
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if b.reader.passed {
		return 0, os.ErrDeadlineExceeded
	}
	if err := b.await(&b.reader, b.readable); err != nil {
		return 0, err
	}
	return b.take(p)
}

func (c *pipeConn) Write(p []byte) (sum int, err error) {
	b := c.end.out
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if b.writer.passed {
			return sum, os.ErrDeadlineExceeded
		}
		n, err := b.put(p)
		sum, p = sum+n, p[n:]
		if err != nil || len(p) == 0 {
			return sum, err
		}
		if err := b.await(&b.writer, b.writable); err != nil {
			return sum, err
		}
	}
}

func (c *pipeConn) Close() error {
	c.end.close()
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.end.setReadDeadline(t)
	c.end.setWriteDeadline(t)
	return nil
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.end.setReadDeadline(t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.end.setWriteDeadline(t)
	return nil
}

func (*pipeConn) LocalAddr() net.Addr  { return pipeAddr{} }
func (*pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return pipeName }
func (pipeAddr) String() string  { return pipeName }
