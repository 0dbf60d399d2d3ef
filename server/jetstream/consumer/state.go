package consumer

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// lastOfSubjects is what a last_per_subject consumer delivers first: the newest message of each
// subject at its creation.
type lastOfSubjects struct {
	seqs []uint64 // not delivered yet, ascending
	at   uint64   // position: the last delivered, or one below the first
	end  uint64   // the stream's last sequence at creation; from there on it goes on as usual
}

// passTo moves the position to seq, which is delivered or known to be unwanted.
func (c *Consumer) passTo(seq uint64) {
	if l := c.last; l != nil {
		for len(l.seqs) > 0 && l.seqs[0] <= seq {
			l.seqs = l.seqs[1:]
		}
		l.at = max(l.at, min(seq, l.end))
		if len(l.seqs) == 0 {
			c.last = nil
		}
		if seq <= l.end {
			return
		}
		c.last = nil
	}
	c.cursor = max(c.cursor, seq+1)
}

// position is the stream sequence up to which all was delivered or passed over.
func (c *Consumer) position() uint64 {
	if c.last != nil {
		return c.last.at
	}
	return c.cursor - 1
}

// isAhead tells whether a message is still to be delivered for the first time.
func (c *Consumer) isAhead(seq uint64) bool {
	if c.last != nil && seq <= c.last.end {
		_, found := slices.BinarySearch(c.last.seqs, seq)
		return found
	}
	return seq >= c.cursor
}

// tracks tells whether delivered messages are pending until they are acknowledged.
func (c *Consumer) tracks() bool { return c.cfg.AckPolicy != api.AckNone }

// cumulative tells whether an ack stands for all messages before it.
func (c *Consumer) cumulative() bool {
	return c.cfg.AckPolicy == api.AckAll || c.cfg.AckPolicy == api.AckFlowControl
}

// maxDeliver is the most deliveries of a message; 0 is no limit.
func (c *Consumer) maxDeliver() uint32 {
	if c.cfg.MaxDeliver > 0 {
		return uint32(min(c.cfg.MaxDeliver, 1<<31))
	}
	return 0
}

// applyDelivered is the first delivery of a message, or with count 0 or more a presumed one.
func (c *Consumer) applyDelivered(seq, first uint64, at int64, count uint32) {
	c.passTo(seq)
	if c.tracks() {
		c.pending.add(entry{seq: seq, first: first, at: at, count: count})
		return
	}
	c.floor, c.floorDseq = c.position(), c.dseq
}

// applyPresumed makes a message pending that may have been delivered before a crash. It is to be
// sent at once, unless that might be once too often.
func (c *Consumer) applyPresumed(seq uint64, at int64, count uint32) {
	c.applyDelivered(seq, 0, at, count)
	if e := c.pending.find(seq); e != nil && c.maxDeliver() != 1 {
		c.enqueue(e)
	}
}

// applyAgain is one more delivery of a pending message.
func (c *Consumer) applyAgain(e *entry, count uint32, at int64) {
	c.pending.setCount(e, max(e.count, count))
	e.at = at
	e.flags &^= queued
	if w := c.wait(e.count); w > 0 {
		c.setDue(e, at+w)
	}
}

// applyAck makes one message done, and tells whether that changed anything.
func (c *Consumer) applyAck(seq uint64) bool {
	if !c.pending.remove(seq) {
		return c.revive(seq) // the floor waits for the next ack of a pending one
	}
	c.settle()
	return true
}

// applyAckAll makes all messages up to last done.
func (c *Consumer) applyAckAll(last uint64) {
	dseq := uint64(0)
	if e := c.pending.find(last); e != nil {
		dseq = e.first
	}
	c.pending.removeTo(last)
	n, _ := slices.BinarySearch(c.exhausted, last+1)
	c.exhausted = slices.Delete(c.exhausted, 0, n)
	if last > c.floor {
		c.floor = last
	}
	switch e := c.pending.lowest(); {
	case dseq > 0:
	case e != nil && e.first > 0:
		dseq = e.first - 1
	case e == nil:
		dseq = c.dseq
	}
	c.floorDseq = max(c.floorDseq, dseq)
}

// settle moves the floor to below the lowest pending message, or to the position.
func (c *Consumer) settle() {
	floor, dseq := c.position(), c.dseq
	if e := c.pending.lowest(); e != nil {
		floor, dseq = e.seq-1, 0
		if e.first > 0 {
			dseq = e.first - 1
		}
	}
	c.floor, c.floorDseq = max(c.floor, floor), max(c.floorDseq, dseq)
}

// applyExhaust takes a message out of the pending ones: it had all its deliveries.
func (c *Consumer) applyExhaust(seq uint64) {
	if !c.pending.remove(seq) {
		return
	}
	if i, found := slices.BinarySearch(c.exhausted, seq); !found {
		if len(c.exhausted) == cap(c.exhausted) {
			c.dropExhausted() // so there are no more of them than messages
			i, _ = slices.BinarySearch(c.exhausted, seq)
		}
		c.exhausted = slices.Insert(c.exhausted, i, seq)
	}
}

// revive takes a message out of the exhausted ones.
func (c *Consumer) revive(seq uint64) bool {
	i, found := slices.BinarySearch(c.exhausted, seq)
	if found {
		c.exhausted = slices.Delete(c.exhausted, i, i+1)
		if len(c.exhausted) == 0 {
			c.exhausted = nil
		}
	}
	return found
}

// applyReset starts anew at seq.
func (c *Consumer) applyReset(seq uint64) {
	c.pending.clear()
	c.exhausted, c.last = nil, nil
	c.cursor, c.floor = seq, seq-1
	c.dseq, c.floorDseq, c.horizon = 0, 0, 0
	c.deliveredAt, c.ackedAt = 0, 0
}

// applyMove moves the position without a delivery.
func (c *Consumer) applyMove(seq, dseq uint64) {
	c.passTo(seq - 1)
	c.dseq = max(c.dseq, dseq)
	if c.pending.len() == 0 {
		c.settle()
	}
}

// setDue makes a pending message due at a time, instead of one ack wait after delivery.
func (c *Consumer) setDue(e *entry, due int64) {
	e.flags &^= queued
	if c.live {
		c.work().alarms.set(&c.pending, e, due)
		c.wakeAt(due)
		return
	}
	e.due = due
	e.flags |= timed
}

// enqueue makes a pending message wait for somebody to take it again.
func (c *Consumer) enqueue(e *entry) {
	if c.live {
		c.work().line.push(&c.pending, e)
		return
	}
	e.flags |= queued
	e.flags &^= timed
}

// Replay applies an event of the log, at a restart, with what follows from its being durable.
// An error says that the event cannot be read.
func (c *Consumer) Replay(p []byte) error {
	e := &event{}
	if err := e.decode(p); err != nil {
		return err
	}
	c.recorded++
	c.committed++
	switch e.kind {
	case evDeliver:
		dseq := e.dseq
		for _, r := range e.runs {
			for i := range r.n {
				c.dseq = max(c.dseq, dseq)
				c.applyDelivered(r.first+i, dseq, e.at, 1)
				dseq++
			}
		}
	case evAgain:
		c.dseq = max(c.dseq, e.dseq)
		for _, a := range e.again {
			if p := c.pending.find(a.seq); p != nil {
				c.applyAgain(p, a.count, e.at)
			}
		}
	case evAck:
		c.applyAck(e.seq)
	case evAckAll:
		c.applyAckAll(e.seq)
	case evNak:
		if p := c.pending.find(e.seq); p == nil {
		} else if e.delay == 0 {
			c.enqueue(p)
		} else {
			p.at = e.at // the clock may have been set since the delivery: the delay is not to grow with it
			c.setDue(p, e.at+e.delay)
		}
	case evProgress:
		if p := c.pending.find(e.seq); p != nil {
			c.applyProgress(p, e.at)
		}
	case evExhaust:
		for _, r := range e.runs {
			for i := range r.n {
				c.applyExhaust(r.first + i)
			}
		}
	case evHorizon:
		c.dseq, c.horizon = max(c.dseq, e.dseq), e.last
	case evMove:
		c.applyMove(e.seq, e.dseq)
	case evPresume:
		c.dseq = max(c.dseq, e.dseq)
		for _, r := range e.runs {
			for i := range r.n {
				c.applyPresumed(r.first+i, e.at, e.count)
			}
		}
	case evPause:
		c.applyPause(e.at)
	case evReset:
		c.applyReset(e.seq)
	}
	c.eachReleased(e, c.host.Release)
	return nil
}

// applyProgress begins a message's ack wait anew.
func (c *Consumer) applyProgress(e *entry, at int64) {
	e.at = at
	if w := c.wait(max(e.count, 1)); w > 0 && e.flags&queued == 0 {
		c.setDue(e, at+w)
	}
}

// eachReleased gives the messages that an event makes unneeded.
func (c *Consumer) eachReleased(e *event, release func(c *Consumer, first, last uint64)) {
	switch e.kind {
	case evAck:
		release(c, e.seq, e.seq)
	case evDeliver:
		if c.tracks() {
			return
		}
		fallthrough
	case evAckAll, evMove:
		for _, r := range e.runs {
			release(c, r.first, r.last())
		}
	}
}
