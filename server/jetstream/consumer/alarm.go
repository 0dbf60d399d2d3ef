package consumer

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// wakeAt makes sure that the timer fires at a monotonic time, or earlier.
func (c *Consumer) wakeAt(at int64) {
	if at == 0 || !c.live || c.stopped || c.alarmAt != 0 && c.alarmAt <= at {
		return
	}
	if c.timer == nil {
		c.timer = c.host.NewTimer(c.ring)
	}
	c.alarmAt = at
	c.timer.Reset(time.Duration(at) - c.host.Mono())
}

// ring does what is due, and sets the timer for what is due next.
func (c *Consumer) ring() {
	c.alarmAt = 0
	if c.stopped {
		return
	}
	now := int64(c.host.Mono())
	c.expireAcks(now)
	c.tendPause()
	next := c.tendRequests(now)
	next = sooner(next, c.tendPin(now))
	next = sooner(next, c.tendPush(now))
	next = sooner(next, c.tendPace(now))
	next = sooner(next, c.tendInactivity(now))
	next = sooner(next, c.tendRest(now))
	next = sooner(next, c.nextAck())
	next = sooner(next, c.nextPause(now))
	c.wakeAt(next)
	c.rest()
}

// nextAck is when the next ack wait ends.
func (c *Consumer) nextAck() (next int64) {
	if e := c.pending.oldest(); e != nil {
		if w := c.wait(1); w > 0 {
			next = e.at + w
		}
	}
	if c.w != nil {
		if a, ok := c.w.alarms.first(&c.pending); ok {
			next = sooner(next, a.Key)
		}
	}
	return next
}

// expireAcks finds the pending messages whose ack wait is over: they go into the queue, by
// sequence, or are out of deliveries.
func (c *Consumer) expireAcks(now int64) {
	if c.pending.len() == 0 {
		return
	}
	w := c.work()
	w.expired = w.expired[:0]
	for ack := c.wait(1); ack > 0; {
		e := c.pending.oldest()
		if e == nil || e.at+ack > now {
			break
		}
		e.flags |= queued // so that oldest goes on
		w.expired = append(w.expired, e.seq)
	}
	for {
		a, ok := w.alarms.first(&c.pending)
		if !ok || a.Key > now {
			break
		}
		c.pending.find(a.Of).flags &^= timed
		w.expired = append(w.expired, a.Of)
	}
	if len(w.expired) == 0 {
		return
	}
	slices.Sort(w.expired)
	limit := c.maxDeliver()
	for _, seq := range w.expired {
		e := c.pending.find(seq)
		if limit > 0 && e.count >= limit && e.flags&granted == 0 {
			c.exhaust(seq)
			continue
		}
		w.line.push(&c.pending, e)
	}
	c.wake()
}

// exhaust takes a pending message out that had all its deliveries.
func (c *Consumer) exhaust(seq uint64) {
	e := c.pending.find(seq)
	count := uint64(e.count)
	c.record(&event{kind: evExhaust, runs: []run{{seq, 1}}}, false)
	c.applyExhaust(seq)
	c.adviseMaxDeliver(seq, count)
}

// lost takes a pending message out that the stream has not any more.
func (c *Consumer) lost(seq uint64) {
	e := c.pending.find(seq)
	count, first := uint64(e.count), e.first
	c.pending.remove(seq)
	c.settle()
	c.adviseTerminated(seq, first, count, api.TerminatedLimits)
}

// paused tells whether deliveries are withheld.
func (c *Consumer) paused() bool {
	t := c.cfg.PauseUntil
	return t != nil && !c.resumed && api.Nanos(*t) > c.host.Now()
}

// nextPause is when the pause ends, by the monotonic clock.
func (c *Consumer) nextPause(now int64) int64 {
	if !c.paused() {
		return 0
	}
	return now + max(api.Nanos(*c.cfg.PauseUntil)-c.host.Now(), 1)
}

// tendPause goes on when the pause is over.
func (c *Consumer) tendPause() {
	if t := c.cfg.PauseUntil; t == nil || c.resumed || t.IsZero() || api.Nanos(*t) > c.host.Now() {
		return
	}
	c.resumed = true
	c.advisePause()
	c.wake()
}

// inactivity is the silence after which the consumer goes; 0 is never.
func (c *Consumer) inactivity() int64 {
	t := c.cfg.InactiveThreshold
	if t <= 0 {
		return 0
	}
	if c.grace == 0 && (c.push == nil || c.cfg.Durable == "" && t == api.InactiveThresholdDefault) {
		c.grace = uint16(100 + c.host.Rand().IntN(900))
	}
	return int64(t) + int64(c.grace)*int64(time.Millisecond)
}

// inactivityRetry is how often the end of a consumer is proposed again.
const inactivityRetry = int64(30 * time.Second)

// tendInactivity proposes the consumer's end when it was silent too long, and gives when to
// look next.
func (c *Consumer) tendInactivity(now int64) (next int64) {
	limit := c.inactivity()
	if limit == 0 {
		return 0
	}
	if c.push != nil {
		if c.push.active {
			return 0
		}
	} else if c.pull != nil && c.pull.waiting.len() > 0 {
		c.prune(now)
		if c.pull.waiting.len() > 0 {
			c.activeAt = now
		}
	}
	due := c.activeAt + limit
	if c.push == nil {
		due = max(due, c.lastAck()+limit)
	}
	if due > now {
		return due
	}
	c.host.Expire(c)
	return now + inactivityRetry
}

// lastAck is when the last ack wait ends.
func (c *Consumer) lastAck() (last int64) {
	if !c.tracks() {
		return 0
	}
	w := c.wait(1)
	c.pending.each(func(e *entry) bool {
		if e.flags&timed != 0 {
			last = max(last, e.due)
		} else {
			last = max(last, e.at+w)
		}
		return true
	})
	return last
}

// touch notes a sign of life.
func (c *Consumer) touch() { c.activeAt = int64(c.host.Mono()) }

// rest does what is to do when nothing more can be delivered for now.
func (c *Consumer) rest() {
	if c.counting && c.ahead == 0 && c.last == nil {
		c.cursor = max(c.cursor, c.host.Store().State().Last+1) // what was passed over does not match
	}
	if !c.wanted() || c.paused() {
		if c.isTight() {
			c.cut()
		} else if !c.lazy && c.horizon != c.dseq && c.restAt == 0 && c.ahead > 0 {
			c.restAt = int64(c.host.Mono()) + restBeforeCut
			c.wakeAt(c.restAt)
		}
	} else {
		c.restAt = 0
	}
	c.tidy()
}

// tendRest takes the horizon back when nobody waited for a while.
func (c *Consumer) tendRest(now int64) (next int64) {
	switch {
	case c.restAt == 0:
	case c.wanted() && !c.paused():
		c.restAt = 0
	case c.restAt > now:
		return c.restAt
	default:
		c.restAt = 0
		c.cut()
	}
	return 0
}

// tidy lets go of memory that a consumer at rest does not need. While it still counts new messages
// it keeps what its next turn would make anew.
func (c *Consumer) tidy() {
	if c.pending.len() > 0 || c.wanted() || c.fetching {
		return
	}
	c.pending.shrink()
	if c.idleMsgs >= idleMsgsMax {
		c.counting, c.idleMsgs = false, 0
	}
	if c.counting {
		return
	}
	if c.recorded == c.committed || c.lazy {
		c.w, c.pull = nil, nil
	}
	c.listen(false)
	c.filter = nil
}

// silent counts the messages that nobody waited for. After some, the next turn stops counting; the
// host is just telling its listeners of one, so they stay as they are until then.
func (c *Consumer) silent() {
	if c.wanted() || c.pending.len() > 0 {
		c.idleMsgs = 0
	} else if c.idleMsgs++; c.idleMsgs == idleMsgsMax {
		c.host.Run(c)
	}
}

// idleMsgsMax is how many messages are counted for a consumer that nobody asks.
const idleMsgsMax = 16
