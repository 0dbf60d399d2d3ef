package consumer

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// How far ahead of the last consumer sequence used the horizon is raised: what a few flushes of
// the log take, at the pace of the last turns.
const (
	leadMin      = 16
	leadMax      = 8192
	leadMaxTight = 2048
)

// restBeforeCut is how long nobody has waited for messages when the horizon is taken back.
const restBeforeCut = int64(2 * time.Second)

// isTight tells whether a delivery that is presumed though it never happened costs something: one of
// a few deliveries, or the only one. Such a horizon covers no more than what was asked for.
func (c *Consumer) isTight() bool { return c.maxDeliver() > 0 || !c.tracks() }

// record logs an event of a live consumer.
func (c *Consumer) record(e *event, prompt bool) {
	c.recordDelivered()
	c.log(e, prompt, nil)
}

// log hands an event to the host. A lazy consumer's are dropped, but for those that somebody
// waits for.
func (c *Consumer) log(e *event, prompt bool, committed func()) {
	if c.lazy && committed == nil {
		return
	}
	w := c.work()
	w.buf = e.append(w.buf[:0])
	c.recorded++
	if c.retains() {
		c.eachReleased(e, pushReleased)
	}
	c.host.Record(c, w.buf, prompt, committed)
}

// pushReleased remembers what the event just recorded will make unneeded.
func pushReleased(c *Consumer, first, last uint64) {
	c.w.releasing.push(released{c.recorded, first, last})
}

// retains tells whether the stream keeps messages because of its consumers.
func (c *Consumer) retains() bool { return c.host.Stream().Retention != api.LimitsPolicy }

// recordDelivered logs what the present turn has delivered.
func (c *Consumer) recordDelivered() {
	w := c.w
	if w == nil || w.ev.kind == 0 {
		return
	}
	e := w.ev
	w.ev.kind = 0
	c.log(&e, false, nil)
	w.ev.runs, w.ev.again = e.runs[:0], e.again[:0]
}

// noteDelivered adds a first delivery to the turn's event.
func (c *Consumer) noteDelivered(seq, dseq uint64, wall int64) {
	if c.lazy {
		return
	}
	ev := &c.w.ev
	if ev.kind != evDeliver || dseq-ev.dseq >= eventMsgsMax {
		c.recordDelivered()
		ev.kind, ev.at, ev.dseq = evDeliver, wall, dseq
	}
	ev.runs = addRun(ev.runs, seq)
}

// noteAgain adds the sending of a presumed message to the turn's event.
func (c *Consumer) noteAgain(seq, dseq uint64, count uint32, wall int64) {
	ev := &c.w.ev
	if ev.kind != evAgain || len(ev.again) >= eventMsgsMax {
		c.recordDelivered()
		ev.kind, ev.at = evAgain, wall
	}
	ev.dseq = dseq
	ev.again = append(ev.again, again{seq, count})
}

// mayDeliver tells whether the next consumer sequence is below the horizon. If not, Step is
// called again when it is.
func (c *Consumer) mayDeliver() bool {
	if c.lazy {
		return true
	}
	if c.dseq < c.allowed {
		if left := c.horizon - c.dseq; left < c.reach()/2 {
			c.raise(false)
		}
		return true
	}
	if c.promptAt <= c.committed || c.promptAt == 0 {
		c.raise(true)
		c.promptAt = c.recorded
	}
	return c.dseq < c.allowed // a host may commit at once
}

// reach is how far ahead the horizon is raised.
func (c *Consumer) reach() uint64 {
	reach := uint64(max(c.lead, leadMin))
	if m := c.cfg.MaxAckPending; m > 0 && c.tracks() {
		reach = min(reach, uint64(m))
	}
	if c.isTight() && c.pull != nil {
		reach = min(reach, c.asked())
	}
	return reach
}

// raise records a higher horizon.
func (c *Consumer) raise(prompt bool) {
	ahead := c.reach()
	if !prompt && c.dseq+ahead <= c.horizon {
		return
	}
	c.horizon = max(c.horizon, c.dseq+ahead)
	c.record(&event{kind: evHorizon, dseq: c.dseq, last: c.horizon}, prompt)
}

// asked is how many messages the requests that wait may still get.
func (c *Consumer) asked() (n uint64) {
	for _, r := range c.pull.waiting.all() {
		n += uint64(max(r.left, 0))
	}
	return max(n, 1)
}

// cut takes the horizon back to what was used.
func (c *Consumer) cut() {
	if c.lazy || c.horizon == c.dseq {
		return
	}
	c.horizon = c.dseq
	c.allowed = min(c.allowed, c.dseq)
	c.record(&event{kind: evHorizon, dseq: c.dseq, last: c.dseq}, false)
	c.cutAt = c.recorded
}

// widen doubles how far ahead the horizon is raised, since it was waited for. Turns that deliver little
// because of the horizon would otherwise keep it low.
func (c *Consumer) widen() {
	c.lead = uint16(min(2*max(int(c.lead), leadMin), c.leadLimit()))
}

func (c *Consumer) leadLimit() int {
	if c.isTight() {
		return leadMaxTight
	}
	return leadMax
}

// adapt sets how far ahead the horizon is raised by what one turn delivered.
func (c *Consumer) adapt(sent int) {
	lead := int(c.lead)
	c.lead = uint16(min(max(lead-lead/8, 16*sent, leadMin), c.leadLimit()))
}

// Committed tells that the oldest event recorded and not committed yet is durable.
func (c *Consumer) Committed(p []byte) {
	c.committed++
	w := c.w
	if w == nil || len(p) == 0 {
		return
	}
	if p[0] == evHorizon && c.committed > c.cutAt {
		if e := &w.scratch; e.decode(p) == nil {
			waited := c.dseq >= c.allowed
			c.allowed = e.last
			if waited {
				c.widen()
				c.wake()
			}
		}
	}
	if p[0] == evAgain && c.grantAt != 0 && c.committed >= c.grantAt {
		c.grantAt = 0
		c.wake()
	}
	for r := w.releasing.front(); r != nil && r.number <= c.committed; r = w.releasing.front() {
		first, last := r.first, r.last
		w.releasing.pop()
		c.host.Release(c, first, last)
	}
	for r := w.confirms.front(); r != nil && r.number <= c.committed; r = w.confirms.front() {
		inbox := r.inbox
		w.confirms.pop()
		c.confirm(inbox)
	}
	if c.committed == c.recorded {
		c.tidy()
	}
}
