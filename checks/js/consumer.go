package js

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
)

// consumer judges what one consumer delivered.
func (b *book) consumer(c *Consumer) {
	b.sequences(c)
	b.firsts(c)
	b.afterAck(c)
	b.deliverLimits(c)
	b.pulls(c)
	b.infos(c)
	b.left(c)
}

// sequences demands that consumer sequences and delivery counts rise together, and that
// no consumer sequence is used twice.
func (b *book) sequences(c *Consumer) {
	byCSeq := make(map[uint64]*Delivery, len(c.Deliveries))
	counts := make(map[uint64][]*Delivery)
	for _, d := range c.Deliveries {
		if other := byCSeq[d.CSeq]; other != nil && (other.Seq != d.Seq || other.Count != d.Count) {
			b.report(InOrder, d.At, "%s used its sequence %d twice: for %d (delivery %d) and for %d (delivery %d)", c, d.CSeq, other.Seq, other.Count, d.Seq, d.Count)
			return
		}
		byCSeq[d.CSeq] = d
		counts[d.Seq] = append(counts[d.Seq], d)
		if c.Filter != "" && !core.Matches(c.Filter, d.Subject) {
			b.report(NothingElse, d.At, "%s delivered %d on %q, which its filter %q does not match", c, d.Seq, d.Subject, c.Filter)
		}
	}
	for _, d := range c.Deliveries {
		for _, o := range counts[d.Seq] {
			if o.CSeq < d.CSeq && o.Count >= d.Count && (o.Life == d.Life || b.recorded(o)) {
				b.report(InOrder, d.At, "%s delivered %d for time %d as its %d, and for time %d as its %d", c, d.Seq, o.Count, o.CSeq, d.Count, d.CSeq)
				return
			}
		}
	}
}

// recorded tells whether the end of a server cannot have made it forget a delivery.
func (b *book) recorded(d *Delivery) bool {
	end, ended := b.deaths[d.Life]
	return !ended || end-d.Time > b.settling
}

// firsts demands that first deliveries follow the stream.
func (b *book) firsts(c *Consumer) {
	var list []*Delivery
	for _, d := range c.Deliveries {
		if d.Count == 1 {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(x, y *Delivery) int { return int(int64(x.CSeq) - int64(y.CSeq)) })
	for i := 1; i < len(list); i++ {
		if list[i].Seq < list[i-1].Seq && (list[i].Life == list[i-1].Life || b.recorded(list[i-1])) {
			b.report(InOrder, list[i].At, "%s delivered %d for the first time after %d", c, list[i].Seq, list[i-1].Seq)
			return
		}
	}
}

// afterAck demands that what was confirmed is not delivered again.
func (b *book) afterAck(c *Consumer) {
	done := make(map[uint64]*Ack)
	for _, a := range c.Acks {
		if a.Confirmed && (a.Kind == Ack_ || a.Kind == Term) {
			if o := done[a.Of.Seq]; o == nil || a.Return < o.Return {
				done[a.Of.Seq] = a
			}
		}
	}
	for _, d := range c.Deliveries {
		a := done[d.Seq]
		if a == nil || d.At < a.Return {
			continue
		}
		if d.Conn == a.Conn || d.Pull.Sent > a.Return {
			b.report(AckedStays, d.At, "%s delivered %d again (time %d) after its ack was confirmed", c, d.Seq, d.Count)
			return
		}
	}
}

// deliverLimits demands that nothing is delivered too often or too early.
func (b *book) deliverLimits(c *Consumer) {
	naked := make(map[uint64]bool)
	for _, a := range c.Acks {
		naked[a.Of.Seq] = naked[a.Of.Seq] || a.Kind == Nak
	}
	last := make(map[uint64]*Delivery)
	for _, d := range c.Deliveries {
		if c.MaxDeliver > 0 && d.Count > uint64(c.MaxDeliver) {
			b.report(Limits, d.At, "%s delivered %d for time %d, and its limit is %d", c, d.Seq, d.Count, c.MaxDeliver)
			return
		}
		p := last[d.Seq]
		if p == nil || p.Count < d.Count {
			last[d.Seq] = d
		}
		if p == nil || p.Count+1 != d.Count || naked[d.Seq] || d.Life != p.Life {
			continue // a restart may have lost when it was delivered
		}
		// The earlier one cannot have left before its pull was sent.
		if gap := d.Time - p.Pull.Time; gap < c.AckWait*9/10-50*time.Millisecond {
			b.report(Limits, d.At, "%s delivered %d again %v after the pull that it was given to, and the ack wait is %v", c, d.Seq, gap, c.AckWait)
			return
		}
	}
}

// pulls demands that each gets what it asked for at most, and an end.
func (b *book) pulls(c *Consumer) {
	for _, p := range c.Pulls {
		switch {
		case p.Got > p.Batch:
			b.report(Pull, p.Sent, "%s gave %d messages to a pull of %d", c, p.Got, p.Batch)
		case p.Late:
			b.report(Pull, p.Sent, "%s gave a pull of %d a message after it had told %d", c, p.Batch, p.Status)
		case p.Silent:
			b.report(Pull, p.Sent, "%s left a pull of %d that expires in %v without an end", c, p.Batch, p.Expires)
		}
	}
}

// infos demands that floors never fall, and that they and all counts fit what is
// acknowledged.
func (b *book) infos(c *Consumer) {
	var floor, delivered uint64
	var told core.Stamp
	life := 0
	for _, in := range c.Infos {
		f, d := in.Answer.AckFloor, in.Answer.Delivered
		if f == nil || d == nil {
			continue
		}
		if life == in.Life && in.Call > told && (f.Stream < floor || d.Stream < delivered) || life != in.Life && b.surelyPast(c, f.Stream, floor, told) {
			b.report(Floor, in.At, "%s reports floor %d and delivered %d, and reported %d and %d before", c, f.Stream, d.Stream, floor, delivered)
			return
		}
		if life != in.Life { // what fell by right is where it goes on
			floor, delivered = f.Stream, d.Stream
		}
		floor, delivered, told, life = max(floor, f.Stream), max(delivered, d.Stream), in.At, in.Life
		if f.Stream > d.Stream {
			b.report(Floor, in.At, "%s reports the floor %d above what is delivered, %d", c, f.Stream, d.Stream)
		}
		// What was under way at a restart is pending besides, and acks of it may be lost with the end
		// of the log: each life may add as many.
		most := c.MaxPending * max(in.Life, 1)
		if c.MaxPending > 0 && in.Answer.AckPend > most {
			b.report(Limits, in.At, "%s has %d acks pending, and its limit is %d", c, in.Answer.AckPend, c.MaxPending)
		}
		b.underFloor(c, in, f.Stream)
		if in.Quiet {
			b.recount(c, in)
		}
	}
}

// surelyPast tells whether a floor that fell over a restart was surely right before: between the two
// is nothing that matches, or nothing but what was acknowledged, and confirmed when the higher one was told.
func (b *book) surelyPast(c *Consumer, now, before uint64, told core.Stamp) bool {
	if now >= before {
		return false
	}
	for _, seq := range b.seqs {
		if w := b.places[seq].w; seq > now && seq <= before && (c.Filter == "" || core.Matches(c.Filter, w.Subject)) {
			if !c.confirmedBy(seq, told) {
				return false
			}
		}
	}
	return true
}

// underFloor demands that nothing below a floor still waits for its ack.
func (b *book) underFloor(c *Consumer, in *ConsumerInfo, floor uint64) {
	if c.MaxDeliver > 0 || len(b.s.Audits) == 0 || b.s.MaxAge > 0 || b.s.TTLs || len(b.s.Removals) > 0 || b.s.MaxMsgs > 0 || b.s.MaxPer > 0 {
		return
	}
	settled := make(map[uint64]bool)
	for _, a := range c.Acks {
		if a.Kind == Ack_ || a.Kind == Term {
			settled[a.Of.Seq] = settled[a.Of.Seq] || a.Call < in.At
		}
	}
	for _, seq := range b.seqs {
		if seq > floor {
			return
		}
		w := b.places[seq].w
		if (c.Filter == "" || core.Matches(c.Filter, w.Subject)) && !settled[seq] && w.Call > c.Created {
			b.report(Floor, in.At, "%s reports the floor %d, and nobody acknowledged %d", c, floor, seq)
			return
		}
	}
}

// recount compares what a quiet consumer reports with the stream.
func (b *book) recount(c *Consumer, in *ConsumerInfo) {
	if len(b.s.Audits) == 0 {
		return
	}
	a := b.s.Audits[0]
	n := uint64(0)
	for i := range a.Msgs {
		if m := &a.Msgs[i]; m.Seq > in.Answer.Delivered.Stream && (c.Filter == "" || core.Matches(c.Filter, m.Subject)) {
			n++
		}
	}
	if n != in.Answer.Pending {
		b.report(NumPending, in.At, "%s reports %d pending after %d, and %d are there", c, in.Answer.Pending, in.Answer.Delivered.Stream, n)
	}
}

// confirmedBy tells whether an ack of a message had been confirmed at a stamp.
func (c *Consumer) confirmedBy(seq uint64, at core.Stamp) bool {
	for _, a := range c.Acks {
		if a.Of.Seq == seq && (a.Kind == Ack_ || a.Kind == Term) && a.Confirmed && a.Return <= at {
			return true
		}
	}
	return false
}

// settledBy tells whether a worker may have let a message go, and whether it surely did.
func (c *Consumer) settledBy(seq uint64) (maybe, sure bool) {
	for _, a := range c.Acks {
		if a.Of.Seq == seq && (a.Kind == Ack_ || a.Kind == Term) {
			maybe, sure = true, sure || a.Confirmed
		}
	}
	return maybe, sure
}

// retention judges what was kept for consumers and what was not.
func (b *book) retention() {
	if len(b.s.Audits) == 0 {
		return
	}
	for _, a := range b.s.Audits {
		here := make(map[uint64]bool, len(a.Msgs))
		for i := range a.Msgs {
			here[a.Msgs[i].Seq] = true
		}
		for _, seq := range b.seqs {
			b.needed(a, b.places[seq].w, here[seq])
		}
	}
	b.delivered()
}

// needed judges one message of a stream that keeps what consumers need.
func (b *book) needed(a *Audit, w *Write, here bool) {
	if b.s.Retention == "limits" || b.s.Retention == "moved" || w.Return > a.At || b.removedBy(w, a.At) != nil || b.s.MaxMsgs > 0 || b.s.MaxAge > 0 {
		return
	}
	name := Interest
	if b.s.Retention == "workqueue" {
		name = WorkQueue
	}
	mayNeed, mustNeed := false, (*Consumer)(nil)
	for _, c := range b.s.Consumers {
		if c.Filter != "" && !core.Matches(c.Filter, w.Subject) {
			continue
		}
		maybe, sure := c.settledBy(w.Seq)
		existed := c.Created < w.Call && c.Deleted > a.At
		if b.s.Retention == "workqueue" {
			existed = c.Created != core.Never && c.Deleted > a.At
		}
		// A consumer that came later needs what it found: officially, and here, it counts from its creation on.
		mayExist := c.Asked < a.At && c.Gone > a.At || b.s.Retention == "workqueue"
		if mayExist && !sure {
			mayNeed = true
		}
		if existed && !maybe {
			mustNeed = c
		}
	}
	if b.s.Retention == "workqueue" && len(b.s.Consumers) == 0 {
		mayNeed = true
	}
	switch {
	case !here && mustNeed != nil:
		if mustNeed.MaxDeliver > 0 {
			name = MaxDeliver
		}
		b.report(name, a.At, "%s at %d of stream %s is gone, and %s has not acknowledged it", w, w.Seq, b.s.Name, mustNeed)
	case here && !mayNeed && b.s.Retention == "workqueue":
		b.report(WorkQueue, a.At, "%s at %d of stream %s is kept, and its ack was confirmed", w, w.Seq, b.s.Name)
	case here && !mayNeed:
		b.report(NoOrphans, a.At, "%s at %d of stream %s is kept, and no consumer needs it", w, w.Seq, b.s.Name)
	}
}

// delivered demands that each message reached each consumer that it is for.
func (b *book) delivered() {
	a := b.s.Audits[0]
	for _, c := range b.s.Consumers {
		if !c.Drained || c.Deleted < a.At {
			continue
		}
		got := make(map[uint64]bool, len(c.Deliveries))
		for _, d := range c.Deliveries {
			got[d.Seq] = true
		}
		for i := range a.Msgs {
			m := &a.Msgs[i]
			maybe, _ := c.settledBy(m.Seq)
			if maybe || c.Filter != "" && !core.Matches(c.Filter, m.Subject) || got[m.Seq] && c.MaxDeliver > 0 {
				continue
			}
			if w := b.writes[m.ID]; w == nil || w.Call < c.Created && b.s.Retention == "interest" {
				continue
			}
			word := AtLeastOnce
			if c.MaxDeliver > 0 && c.Restarts > 0 {
				continue // what was under way at a restart counts as delivered
			}
			b.report(word, a.At, "%s has nothing more to deliver, and %d of stream %s was never acknowledged (delivered: %v)", c, m.Seq, b.s.Name, got[m.Seq])
			return
		}
	}
}
