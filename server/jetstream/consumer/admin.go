package consumer

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Update puts a configuration in force, live and in a replay. The position stays; the pause, too.
func (c *Consumer) Update(cfg *api.ConsumerConfig) {
	was := c.cfg
	if cfg.PauseUntil != was.PauseUntil {
		kept := *cfg
		kept.PauseUntil = was.PauseUntil
		cfg = &kept
	}
	c.cfg = cfg
	c.configure()
	if !slices.Equal(was.Filters(), cfg.Filters()) {
		c.refilter()
	}
	if was.PriorityPolicy != cfg.PriorityPolicy || !slices.Equal(was.PriorityGroups, cfg.PriorityGroups) {
		c.group = newGroup(cfg)
	}
	if !c.live || c.stopped {
		return
	}
	// The position may have passed what did not match without a record; from here on another
	// filter decides.
	c.record(&event{kind: evMove, seq: c.position() + 1, dseq: c.dseq}, false)
	if c.push != nil && was.DeliverSubject != cfg.DeliverSubject {
		c.sendAgain()
	}
	if c.push != nil && (was.DeliverSubject != cfg.DeliverSubject || was.DeliverGroup != cfg.DeliverGroup) {
		c.watch()
	}
	c.wakeAt(c.nextAck())
	if limit := c.inactivity(); limit > 0 {
		c.wakeAt(c.activeAt + limit)
	}
	c.wake()
}

// sendAgain puts everything that is pending into the queue: who listens now has seen none of it.
func (c *Consumer) sendAgain() {
	w := c.work()
	c.pending.each(func(e *entry) bool {
		w.line.push(&c.pending, e)
		return true
	})
}

// configure sets what follows from the configuration alone.
func (c *Consumer) configure() {
	c.lazy = isLazy(c.host.Stream(), c.cfg)
	c.sample = samplePercent(c.cfg.SampleFrequency)
}

// refilter goes on with another filter from the position on.
func (c *Consumer) refilter() {
	c.filter = nil
	store := c.host.Store()
	if l := c.last; l != nil {
		l.seqs = slices.DeleteFunc(slices.Clone(l.seqs), func(seq uint64) bool {
			subj, ok := store.SubjectOf(seq)
			return !ok || !matches(c.cfg, subj)
		})
		if len(l.seqs) == 0 {
			c.last = nil
		}
	}
	c.recount()
}

// Pause withholds deliveries until a time; a time that is not in the future resumes. done, which may
// be nil, is called when that is durable.
func (c *Consumer) Pause(until time.Time, done func()) {
	at, was := int64(0), int64(0)
	if !until.IsZero() {
		at = api.Nanos(until)
	}
	if t := c.cfg.PauseUntil; t != nil && !t.IsZero() {
		was = api.Nanos(*t)
	}
	c.recordDelivered()
	if done == nil {
		done = func() {}
	}
	c.applyPause(at)
	c.log(&event{kind: evPause, at: at}, true, done)
	if at != was {
		c.advisePause()
	}
	if !c.paused() {
		c.resumed = true
		c.wake()
		return
	}
	c.wakeAt(c.nextPause(int64(c.host.Mono())))
}

// applyPause sets the end of the pause; 0 is none.
func (c *Consumer) applyPause(at int64) {
	cfg := *c.cfg
	cfg.PauseUntil = nil
	if at != 0 {
		t := time.Unix(0, at).UTC()
		cfg.PauseUntil = &t
	}
	cfg.SetStaticMetadata()
	c.cfg = &cfg
	c.resumed = false
}

// Reset starts the deliveries over at a sequence, or with 0 behind the ack floor. done is told why
// not, or, when it is durable, where it goes on.
func (c *Consumer) Reset(seq uint64, done func(seq uint64, err *api.Error)) {
	if seq == 0 {
		seq = c.floor + 1
	} else if err := c.resets(seq); err != nil {
		done(0, err)
		return
	}
	c.StartOver(seq, done)
}

// StartOver is Reset for a mirror or source, which is not bound to where the consumer began once. Who
// acknowledges by flow control has, for good, all that it was given of what is below seq: that is done, though
// the answer that said so may not have come, or was lost with the end of the log.
func (c *Consumer) StartOver(seq uint64, done func(seq uint64, err *api.Error)) {
	c.recordDelivered()
	if c.cfg.AckPolicy == api.AckFlowControl {
		c.ackUpTo(seq-1, false)
	}
	c.applyReset(seq)
	w := c.work()
	w.line, w.alarms = line{}, alarms{}
	c.log(&event{kind: evReset, seq: seq}, true, func() { done(seq, nil) })
	c.allowed, c.cutAt, c.promptAt, c.grantAt = 0, c.recorded, 0, 0
	c.recount()
	c.wake()
}

// resets tells why a reset to a sequence is refused.
func (c *Consumer) resets(seq uint64) *api.Error {
	switch c.cfg.DeliverPolicy {
	case api.DeliverAll:
		return nil
	case api.DeliverByStartSequence:
		if seq < c.cfg.OptStartSeq {
			return api.ErrConsumerInvalidReset.With("below start seq")
		}
		return nil
	case api.DeliverByStartTime:
		if t := c.cfg.OptStartTime; t != nil && seq < c.host.Store().FirstAtOrAfter(api.Nanos(*t)) {
			return api.ErrConsumerInvalidReset.With("below start time")
		}
		return nil
	}
	return api.ErrConsumerInvalidReset.With("not allowed")
}

// Reason is why a consumer stops.
type Reason uint8

const (
	Deleted       Reason = iota // by request, or for inactivity
	StreamDeleted               // with its stream
	Moved                       // this server does not lead the stream any more
	Shutdown                    // of the server
)

// Stop ends the service: whoever waits is told. After Shutdown the log, once flushed, has the exact
// position.
func (c *Consumer) Stop(why Reason) {
	if c.stopped {
		return
	}
	if c.live && why == Shutdown {
		c.recordDelivered()
		c.pending.each(func(e *entry) bool {
			if e.flags&(granted|queued) == granted|queued { // counted, but not sent
				c.record(&event{kind: evNak, seq: e.seq}, false)
			}
			return true
		})
		if !c.lazy {
			c.record(&event{kind: evMove, seq: c.position() + 1, dseq: c.dseq}, false)
		}
		c.cut()
	}
	status, withPending := api.StatusConsumerDeleted, false
	switch why {
	case Moved:
		status = api.StatusLeadershipChange
	case Shutdown:
		status, withPending = api.StatusServerShutdown, true
	}
	for c.pull != nil && c.pull.waiting.len() > 0 {
		c.end(0, status, withPending)
	}
	c.stopped = true
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.push != nil {
		c.push.active = false
		if c.push.stop != nil {
			c.push.stop()
			c.push.stop = nil
		}
	}
}
