package consumer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Ack takes an acknowledgement: a is its subject taken apart, reply where to confirm it, if
// anywhere. It keeps nothing of its arguments.
func (c *Consumer) Ack(a *api.AckReply, payload, reply []byte) {
	if !c.live || c.stopped || c.cfg.AckPolicy != api.AckExplicit && c.cfg.AckPolicy != api.AckAll {
		return
	}
	ack := api.ParseAck(payload)
	if a.StreamSeq > c.position() || a.StreamSeq == 0 {
		c.ackOfNothing(a, &ack, reply)
		return
	}
	prompt := len(reply) > 0
	switch ack.Kind {
	case api.AckDone, api.AckNext:
		c.acked(a, prompt)
	case api.AckNak:
		c.nak(a, int64(ack.Delay), prompt)
	case api.AckProgress:
		c.progress(a.StreamSeq, prompt)
	case api.AckTerm:
		c.done(a.StreamSeq, prompt)
		c.adviseTerminated(a.StreamSeq, a.ConsumerSeq, a.Delivered, string(ack.Reason))
	}
	c.touch()
	if len(reply) > 0 {
		if ack.Kind == api.AckNext {
			c.Pull(string(reply), nil, ack.Pull)
		} else {
			c.confirmLater(string(reply))
		}
	}
	if c.pending.len() == 0 {
		c.tidy()
	}
}

// ackOfNothing takes an ack of a message that was never delivered, which changes nothing. What is confirmed
// all the same is as clients find it on the official server.
func (c *Consumer) ackOfNothing(a *api.AckReply, ack *api.Ack, reply []byte) {
	c.touch()
	answered := a.StreamSeq > 0
	switch ack.Kind {
	case api.AckDone:
		answered = a.StreamSeq == 0 && !c.cumulative()
	case api.AckTerm:
		answered = a.StreamSeq == 0 && !c.cumulative()
		c.adviseTerminated(a.StreamSeq, a.ConsumerSeq, a.Delivered, string(ack.Reason))
	case api.AckNext:
		answered = false
		if len(reply) > 0 {
			c.Pull(string(reply), nil, ack.Pull)
		}
	}
	if answered && len(reply) > 0 {
		c.confirmLater(string(reply))
	}
}

// acked takes a positive ack.
func (c *Consumer) acked(a *api.AckReply, prompt bool) {
	if c.sample > 0 && c.cfg.AckPolicy == api.AckExplicit {
		if e := c.pending.find(a.StreamSeq); e != nil && (c.sample >= 100 || c.host.Rand().IntN(100) < int(c.sample)) {
			c.adviseAck(a, int64(c.host.Mono())-e.at)
		}
	}
	c.done(a.StreamSeq, prompt)
}

// done makes a message done, or with cumulative acks all up to it.
func (c *Consumer) done(seq uint64, prompt bool) {
	c.ackedAt = c.host.Now()
	if c.cumulative() {
		c.ackUpTo(seq, prompt)
		return
	}
	blocked := c.isFull()
	if !c.applyAck(seq) {
		return
	}
	c.record(&event{kind: evAck, seq: seq}, prompt)
	if blocked {
		c.wake()
	}
}

// isFull tells whether max_ack_pending holds new messages back.
func (c *Consumer) isFull() bool {
	return c.cfg.MaxAckPending > 0 && c.pending.len() >= c.cfg.MaxAckPending
}

// ackUpTo makes all messages up to seq done.
func (c *Consumer) ackUpTo(seq uint64, prompt bool) {
	seq = min(seq, c.position())
	if seq <= c.floor && (len(c.exhausted) == 0 || c.exhausted[0] > seq) {
		return
	}
	blocked := c.isFull()
	w := c.work()
	w.expired = w.expired[:0]
	for _, s := range c.exhausted {
		if s <= seq {
			w.expired = append(w.expired, s)
		}
	}
	c.pending.each(func(e *entry) bool {
		if e.seq <= seq {
			w.expired = append(w.expired, e.seq)
		}
		return e.seq < seq
	})
	slices.Sort(w.expired)
	ev := &w.scratch
	ev.kind, ev.runs = evAckAll, ev.runs[:0]
	for i, s := range w.expired {
		ev.runs = addRun(ev.runs, s)
		if (i+1)%eventMsgsMax == 0 && s != seq { // an event of its own
			ev.seq = s
			c.record(ev, prompt)
			c.applyAckAll(s)
			ev.kind, ev.runs = evAckAll, ev.runs[:0]
		}
	}
	ev.seq = seq
	c.record(ev, prompt)
	c.applyAckAll(seq)
	if blocked {
		c.wake()
	}
}

// nak makes a message to be sent again, now or after a delay.
func (c *Consumer) nak(a *api.AckReply, delay int64, prompt bool) {
	e := c.pending.find(a.StreamSeq)
	if e == nil || a.ConsumerSeq <= c.floorDseq || a.ConsumerSeq > c.dseq {
		return
	}
	ev := &event{kind: evNak, seq: e.seq}
	if delay > 0 {
		ev.at, ev.delay = c.host.Now(), delay
		c.setDue(e, int64(c.host.Mono())+delay)
	} else {
		c.enqueue(e)
	}
	c.record(ev, prompt)
	c.adviseNak(a)
	c.wake()
}

// progress begins a message's ack wait anew.
func (c *Consumer) progress(seq uint64, prompt bool) {
	e := c.pending.find(seq)
	if e == nil {
		return
	}
	c.record(&event{kind: evProgress, seq: seq, at: c.host.Now()}, prompt)
	c.applyProgress(e, int64(c.host.Mono()))
}

// confirmLater answers an ack once everything recorded so far is durable.
func (c *Consumer) confirmLater(inbox string) {
	if c.recorded == c.committed {
		c.confirm(inbox)
		return
	}
	c.work().confirms.push(confirmation{c.recorded, inbox})
}

func (c *Consumer) confirm(inbox string) { c.host.Status(inbox, nil, nil) }

// samplePercent reads how many acks of a hundred are measured: "30" or "30%".
func samplePercent(text string) uint8 {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || n <= 0 {
		return 0
	}
	return uint8(min(n, 100))
}
