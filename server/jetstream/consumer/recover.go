package consumer

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Start puts a consumer into service that was just created.
func (c *Consumer) Start() {
	if c.live || c.stopped {
		return
	}
	c.live = true
	c.activate()
}

// Recovered puts a consumer into service after the replay of the log.
func (c *Consumer) Recovered() { c.resume(true) }

// Restored puts a consumer of a backup into service, where the backup says that it is.
func (c *Consumer) Restored() { c.resume(false) }

func (c *Consumer) resume(passOver bool) {
	if c.live || c.stopped {
		return
	}
	c.live = true
	c.dropMissing()
	c.adoptTimes()
	c.presume()
	if passOver {
		c.passOver()
	}
	c.allowed = c.dseq
	c.activate()
}

// passOver moves the position over what the filter does not match, and the floor to where such a move may have
// brought it, which costs no event while it happens: what is reported of them does not fall with a restart.
func (c *Consumer) passOver() {
	if c.last != nil {
		return
	}
	store := c.host.Store()
	next, ok := store.Next(c.Filter(), c.cursor)
	if !ok {
		next = store.State().Last + 1
	}
	c.cursor = max(c.cursor, next)
	c.settle()
}

// adoptTimes turns wall times into monotonic ones, and plans what is to be sent again.
func (c *Consumer) adoptTimes() {
	if c.pending.len() == 0 {
		return
	}
	now := int64(c.host.Mono())
	shift := c.host.Now() - now
	w := c.work()
	before := int64(-1 << 62)
	c.pending.each(func(e *entry) bool {
		whole := e.due - e.at // of a delay: no clock that was set back makes it longer
		e.at = min(e.at-shift, now)
		switch {
		case e.flags&queued != 0 || e.count == 0:
			w.line.push(&c.pending, e)
		case e.flags&timed != 0:
			w.alarms.set(&c.pending, e, min(e.due-shift, now+whole))
		case e.at < before: // a clock was set
			w.alarms.set(&c.pending, e, e.at+c.wait(e.count))
		default:
			before = e.at
		}
		return true
	})
	c.wakeAt(c.nextAck())
}

// presume takes what may have been delivered without a record as delivered; see the package comment.
func (c *Consumer) presume() {
	n := int(min(c.horizon-min(c.dseq, c.horizon), eventMsgsMax))
	horizon := max(c.horizon, c.dseq)
	c.horizon = c.dseq
	if c.lazy || n == 0 {
		return
	}
	seqs := c.nextAhead(n)
	move := &event{kind: evMove, seq: c.host.Store().State().Last + 1, dseq: horizon}
	if len(seqs) == n { // else all there is may have been delivered, what is gone included
		move.seq = seqs[n-1] + 1
	}
	move.seq = max(move.seq, c.position()+1)
	var runs []run
	for _, seq := range seqs {
		runs = addRun(runs, seq)
	}
	if c.tracks() {
		c.presumePending(runs, horizon)
	} else {
		move.runs = runs
	}
	c.record(move, false)
	c.applyMove(move.seq, horizon)
	c.horizon = horizon
	c.record(&event{kind: evHorizon, dseq: horizon, last: horizon}, false)
	c.cutAt = c.recorded
}

// presumePending makes messages pending that may have been delivered.
func (c *Consumer) presumePending(runs []run, horizon uint64) {
	if len(runs) == 0 {
		return
	}
	ev := &event{kind: evPresume, at: c.host.Now(), dseq: horizon, runs: runs}
	if c.maxDeliver() > 0 {
		ev.count = 1
	}
	c.record(ev, false)
	c.dseq = horizon
	now := int64(c.host.Mono())
	for _, r := range runs {
		for i := range r.n {
			c.applyPresumed(r.first+i, now, ev.count)
		}
	}
	c.wakeAt(c.nextAck())
}

// nextAhead gives the next n messages that would be delivered for the first time, or fewer.
func (c *Consumer) nextAhead(n int) (seqs []uint64) {
	store, from := c.host.Store(), c.cursor
	if c.last != nil {
		for _, seq := range c.last.seqs {
			if len(seqs) < n && store.Has(seq) {
				seqs = append(seqs, seq)
			}
		}
	}
	for len(seqs) < n {
		seq, ok := store.Next(c.Filter(), from)
		if !ok {
			break
		}
		seqs = append(seqs, seq)
		from = seq + 1
	}
	return seqs
}

// activate begins the service.
func (c *Consumer) activate() {
	c.touch()
	if c.IsPush() {
		c.push = &push{}
	}
	c.group = newGroup(c.cfg)
	if c.cfg.ReplayPolicy == api.ReplayOriginal {
		c.pace = c.newPace()
	}
	if t := c.cfg.PauseUntil; t != nil {
		c.resumed = !c.paused()
		c.wakeAt(c.nextPause(c.activeAt))
	}
	if limit := c.inactivity(); limit > 0 {
		c.wakeAt(c.activeAt + limit)
	}
	if c.pending.len() > 0 {
		c.listen(true)
	}
	c.watch()
	c.wake()
}
