//lockstep:exempt real sockets
package netsim

import (
	"errors"
	"os"
)

// shrinkAfter is how many reads in a row must fit a smaller buffer before the
// next one is smaller.
const shrinkAfter = 8

// readLoop is the reader goroutine. Its frames stay small: there is one per
// connection, and it sleeps most of the time.
func (c *realConn) readLoop() {
	readFn := c.onReadable
	for {
		switch s := c.stop.Load(); {
		case s&stopTLS != 0: // even when ending, since it owes the call of done
			c.handshake()
		case s&stopEnding != 0:
			c.dropHeld()
			c.finish()
			return
		case s&stopPaused != 0:
			c.park()
		case c.held:
			c.doer.Do(c.deliverFn)
			if !c.held {
				c.dropHeld()
			}
		case c.rtls != nil && c.rtls.more:
			c.readTLS(nil)
		case c.readErr != nil:
			c.broken(c.readErr)
		default:
			c.await(readFn)
		}
	}
}

// await waits for the transport, unless a kick says that there is other work.
func (c *realConn) await(readFn func(uintptr) bool) {
	err := c.t.awaitRead(readFn)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.setReadDeadline(noDeadline)
	default:
		c.readErr = err
	}
}

// park waits as long as the connection is paused.
func (c *realConn) park() {
	c.mu.Lock()
	for c.stop.Load() == stopPaused {
		c.cond.Wait()
	}
	c.mu.Unlock()
}

// onReadable reads and delivers until nothing is there, and then reports false.
func (c *realConn) onReadable(uintptr) bool {
	for c.stop.Load() == 0 && c.readErr == nil {
		if !c.readOnce() {
			return false
		}
	}
	return true
}

// readOnce does one read and delivers it. It reports false when the reader
// should wait for more.
func (c *realConn) readOnce() (again bool) {
	b := newChunk(int(c.class))
	n, err := c.t.read(b.b)
	if err != nil {
		b.free()
		if err == errAgain {
			return false
		}
		c.readErr = err
		return true
	}
	full := n == len(b.b)
	if c.rtls != nil {
		c.readTLS(b.b[:n])
	} else {
		c.in = b.b[:n]
		c.doer.Do(c.deliverFn)
		if c.held {
			c.heldBuf = b
			return true
		}
	}
	b.free()
	c.adapt(n)
	return full || !c.t.drained() || c.stop.Load() != 0 || c.readErr != nil
}

// adapt chooses the size of the next read buffer after a read of n bytes.
func (c *realConn) adapt(n int) {
	switch {
	case n == chunkSizes[c.class]:
		c.short = 0
		if c.class < class256K {
			c.class++
		}
	case c.class > class4K && n < chunkSizes[c.class-1]:
		if c.short++; c.short >= shrinkAfter {
			c.short = 0
			c.class--
		}
	default:
		c.short = 0
	}
}

// deliver runs on the strand.
func (c *realConn) deliver() {
	c.held = false
	switch s := c.stop.Load(); {
	case s&stopEnding != 0: // nobody wants it any more
	case s&stopTLS != 0: // read before StartTLS was called, so the handshake's
		c.tls.link.in = append(c.tls.link.in, c.in...)
	case s&stopPaused != 0:
		c.held = true
	default:
		c.delivering = true
		c.h.Data(c.in)
		c.delivering = false
	}
}

func (c *realConn) dropHeld() {
	c.held, c.in = false, nil
	if c.heldBuf != nil {
		c.heldBuf.free()
		c.heldBuf = nil
	}
}
