//lockstep:exempt real sockets and the goroutine that waits for a slow peer
package netsim

import (
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// lendMin is the size from which a reference is cheaper than a copy.
	lendMin = 1 << 10
	// inlineRounds bounds how long a Flush serves the bytes of others.
	inlineRounds = 8
	// writerRounds lets the writer goroutine go on until the transport is full:
	// if it waited before that, nothing would wake it.
	writerRounds = -1
	// cipherMax is how much is encrypted ahead of the transport.
	cipherMax = 128 << 10
	// cipherStep is how much is encrypted between two looks at the state: four full
	// records.
	cipherStep = 64 << 10
)

// writer is the state of a writer goroutine, and its closures.
type writer struct {
	run   func()
	step  func(uintptr) bool
	batch int       // bytes of the present batch that wait
	taken int       // bytes of it that went
	until time.Time // its deadline; zero is none
}

// Write implements Conn.
func (c *realConn) Write(p ...[]byte) {
	c.mu.Lock()
	if c.stop.Load()&stopEnding == 0 {
		c.queue(p, false)
	}
	c.mu.Unlock()
}

// Lend implements Conn.
func (c *realConn) Lend(p ...[]byte) (turn bool) {
	c.mu.Lock()
	if c.stop.Load()&stopEnding == 0 {
		turn = c.queue(p, c.role == roleIdle && (c.tls == nil || c.tls.ready))
		if turn {
			c.role = roleLent
		}
	}
	c.mu.Unlock()
	return turn
}

// queue appends p and reports whether any of it was not copied, which lend allows.
func (c *realConn) queue(p [][]byte, lend bool) (lent bool) {
	q, sum := &c.out, 0
	if c.tls != nil {
		q = &c.tls.plain
	}
	for _, b := range p {
		if lend && len(b) >= lendMin {
			q.lend(b)
			lent = true
		} else {
			q.append(b)
		}
		sum += len(b)
	}
	c.buffered.Add(int64(sum))
	return lent
}

// Flush implements Conn.
func (c *realConn) Flush() {
	if c.buffered.Load() > 0 {
		c.sendFrom(roleIdle)
	}
}

// FlushLent implements Conn.
func (c *realConn) FlushLent() { c.sendFrom(roleLent) }

// sendFrom sends if r is the present role.
func (c *realConn) sendFrom(r role) {
	c.mu.Lock()
	if c.role == r {
		c.role = roleSending
		c.runSend()
	}
	c.unlock()
}

// runSend sends what the transport takes at once, and starts the writer with
// the rest. The caller has claimed roleSending.
func (c *realConn) runSend() {
	if c.send(inlineRounds) {
		c.leaveRole()
		return
	}
	c.out.own()
	if c.tls != nil {
		c.tls.plain.own()
	}
	c.role = roleWaiting
	if c.w == nil {
		c.w = &writer{}
		c.w.run, c.w.step = c.writeRest, c.writeStep
	}
	c.beginBatch()
	go c.w.run()
}

// leaveRole gives the role back.
func (c *realConn) leaveRole() {
	c.role = roleIdle
	if c.stop.Load()&stopEnding != 0 && !c.flushed {
		c.kick()
		c.flushed = true
		c.cond.Broadcast()
	}
}

// send reports true when nothing is left, false when the transport is full or
// the rounds are spent; a negative number of them has no end. It holds mu, but
// not while it writes or encrypts.
func (c *realConn) send(rounds int) (empty bool) {
	for {
		if c.cut {
			c.dropQueues()
			return true
		}
		if c.encryptSome() {
			continue
		}
		if c.out.size == 0 {
			return true // plain text may wait for the handshake
		}
		if rounds == 0 {
			return false
		}
		rounds--
		n, want, err := c.writeHead()
		c.out.consume(n)
		c.buffered.Add(int64(-n))
		if c.w != nil {
			c.w.batch -= n
			c.w.taken += n
		}
		if err != nil {
			c.endLocked(fmt.Errorf("%w: %w", ErrWrite, err), 0)
			continue
		}
		if n < want {
			return false
		}
	}
}

// writeHead writes the head of the queue once.
func (c *realConn) writeHead() (n, want int, err error) {
	h := c.out.head
	if h.next == nil {
		p := h.b[h.r:h.w]
		c.mu.Unlock()
		n, err = c.t.write(p)
		c.mu.Lock()
		return n, len(p), err
	}
	v, _ := vectors.Get().(*vector)
	v.n = 0
	for ; h != nil && v.n < vectorMax; h = h.next {
		v.b[v.n] = h.b[h.r:h.w]
		want += h.w - h.r
		v.n++
	}
	c.mu.Unlock()
	n, err = c.t.writev(v)
	*v = vector{}
	vectors.Put(v)
	c.mu.Lock()
	return n, want, err
}

// dropQueues is for the holder of the role.
func (c *realConn) dropQueues() {
	c.out.drop()
	if c.tls != nil {
		c.tls.plain.drop()
	}
	c.buffered.Store(0)
}

// beginBatch: what is queued now must be taken within the limit.
func (c *realConn) beginBatch() {
	w := c.w
	w.batch, w.taken, w.until = int(c.buffered.Load()), 0, time.Time{}
	if c.limit > 0 {
		w.until = time.Now().Add(c.limit)
	}
	c.setBatchDeadline()
}

// setBatchDeadline tells the transport what the writer waits for at most.
func (c *realConn) setBatchDeadline() {
	t := c.w.until
	if c.stop.Load()&stopEnding != 0 {
		t = c.flushBy
	}
	if c.cut {
		t = past
	}
	if c.deadline || !t.IsZero() {
		c.deadline = !t.IsZero()
		c.t.setWriteDeadline(t)
	}
}

// writeRest is the writer goroutine: it holds roleWaiting until all is sent.
func (c *realConn) writeRest() {
	for {
		err := c.t.awaitWrite(c.w.step)
		if err == nil {
			return // writeStep gave the role back
		}
		c.mu.Lock()
		c.waitFailed(err)
		if c.cut {
			c.dropQueues()
			c.leaveRole()
			c.unlock()
			return
		}
		c.unlock()
	}
}

// writeStep sends what the transport takes; true ends the writer.
func (c *realConn) writeStep(uintptr) bool {
	c.mu.Lock()
	empty := c.send(writerRounds)
	if empty {
		c.leaveRole()
	} else if c.w.batch <= 0 {
		c.beginBatch()
	}
	c.unlock()
	return empty
}

// waitFailed judges why the writer's wait ended.
func (c *realConn) waitFailed(err error) {
	now := time.Now()
	switch {
	case c.cut:
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.endLocked(err, 0)
	case c.stop.Load()&stopEnding != 0:
		c.cut = !now.Before(c.flushBy)
	case c.w.until.IsZero() || now.Before(c.w.until): // the deadline of an earlier batch
	case c.retry && c.w.taken > 0:
		c.beginBatch()
	default:
		c.endLocked(ErrWriteDeadline, 0)
	}
	if !c.cut {
		c.setBatchDeadline()
	}
}
