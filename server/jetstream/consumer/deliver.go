package consumer

import (
	"slices"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// delivery is the message whose turn it is.
type delivery struct {
	msg   msgs.Msg
	again bool   // it is pending already
	count uint32 // what its ack subject will say
	left  uint64 // messages after it
}

// fetchAhead is how many messages are read from disk at once, where the filter skips many.
const fetchAhead = 4

// wake asks for a turn, if anybody could get a message.
func (c *Consumer) wake() {
	if c.live && !c.stopped && c.wanted() {
		c.host.Run(c)
	}
}

// wanted tells whether somebody waits for messages.
func (c *Consumer) wanted() bool {
	if c.push != nil {
		return c.push.active
	}
	return c.pull != nil && c.pull.waiting.len() > 0
}

// Step delivers up to budget messages, and tells whether it could go on. The host calls it after Run.
func (c *Consumer) Step(budget int) (more bool) {
	if !c.live || c.stopped {
		return false
	}
	if !c.wanted() || c.paused() {
		c.endUnwilling()
		c.rest()
		return false
	}
	c.work()
	c.count()
	now := int64(c.host.Mono())
	sent, tries := 0, 0
	for ; sent < budget && tries < 2*budget; tries++ {
		ok, progress := c.one(now)
		if ok {
			sent++
		} else if !progress {
			break
		}
	}
	c.adapt(sent)
	c.recordDelivered()
	if sent > 0 {
		c.activeAt = now
		c.deliveredAt = c.host.Now()
	}
	if sent == budget || tries == 2*budget {
		return true
	}
	c.drained(now)
	if c.group != nil && c.push == nil && (c.ahead > 0 || c.w.line.front(&c.pending) != nil) && c.pick(now) < 0 {
		c.endUnwilling() // there are messages, but for others
	}
	c.rest()
	return false
}

// one delivers one message. Without one, progress tells that trying again makes sense.
func (c *Consumer) one(now int64) (sent, progress bool) {
	if c.fetching || c.ahead == 0 && c.w.line.front(&c.pending) == nil {
		return false, false
	}
	if c.push != nil && c.isStalled() {
		return false, false
	}
	r := -1
	if c.push == nil {
		if r = c.pick(now); r < 0 {
			return false, false
		}
	}
	var d delivery
	if !c.next(&d, now) {
		return false, false
	}
	if c.push != nil {
		return c.sendPush(&d, now)
	}
	return c.sendPull(&d, r, now)
}

// next finds the message whose turn it is: those to be sent again come first. False when there is
// none, or it cannot be sent yet.
func (c *Consumer) next(d *delivery, now int64) bool {
	store, limit := c.host.Store(), c.maxDeliver()
	for e := c.w.line.front(&c.pending); e != nil; e = c.w.line.front(&c.pending) {
		if limit > 0 && e.count >= limit && e.flags&granted == 0 {
			c.exhaust(e.seq)
			continue
		}
		msg, found := store.Load(e.seq)
		if found == msgs.None {
			c.lost(e.seq)
			continue
		}
		if found == msgs.Cold {
			c.fetch(e.seq)
			return false
		}
		if !c.mayDeliver() || e.count > 0 && !c.grant(e) {
			return false
		}
		d.msg, d.again, d.count, d.left = msg, true, max(e.count, 1), c.ahead
		return true
	}
	return c.nextNew(d, now)
}

// nextNew finds the first message that was not delivered yet.
func (c *Consumer) nextNew(d *delivery, now int64) bool {
	if m := c.cfg.MaxAckPending; m > 0 && c.tracks() && c.pending.len() >= m {
		c.stalled()
		return false
	}
	msg, found, ok := c.peek()
	if !ok {
		return false
	}
	if found == msgs.Cold {
		c.fetch(msg.Seq)
		return false
	}
	if !c.mayDeliver() || c.pace != nil && !c.keepsPace(msg.Seq, msg.Time, now) {
		return false
	}
	d.msg, d.count, d.left = msg, 1, c.ahead-1
	return true
}

// peek finds the first message ahead. When it is Cold only its sequence is known.
func (c *Consumer) peek() (msg msgs.Msg, found msgs.Found, ok bool) {
	store := c.host.Store()
	for c.last != nil {
		seq := c.last.seqs[0]
		if msg, found = store.Load(seq); found != msgs.None {
			msg.Seq = seq
			return msg, found, true
		}
		c.passTo(seq)
	}
	if c.ahead == 0 {
		return msg, msgs.None, false
	}
	if c.unfiltered() {
		if msg, found = store.Load(c.cursor); found == msgs.Cached {
			return msg, found, true
		}
	}
	seq, ok := store.Next(c.Filter(), c.cursor)
	if !ok {
		c.ahead = 0
		return msg, msgs.None, false
	}
	msg, found = store.Load(seq)
	msg.Seq = seq
	return msg, found, found != msgs.None
}

func (c *Consumer) unfiltered() bool {
	return c.cfg.FilterSubject == "" && len(c.cfg.FilterSubjects) == 0
}

// fetch reads a message from disk, and those that will follow it, and goes on then.
func (c *Consumer) fetch(seq uint64) {
	c.fetching = true
	store := c.host.Store()
	store.Fetch(seq, func(_ msgs.Msg, err error) {
		c.fetching = false
		if c.stopped {
			return
		}
		if err != nil && store.Has(seq) {
			c.unreadable(seq)
		}
		c.wake()
	})
	if c.unfiltered() {
		return // the store reads ahead
	}
	next := max(seq+1, c.cursor)
	for range fetchAhead - 1 {
		ahead, ok := store.Next(c.Filter(), next)
		if !ok {
			return
		}
		if _, found := store.Load(ahead); found == msgs.Cold {
			store.Fetch(ahead, func(msgs.Msg, error) {})
		}
		next = ahead + 1
	}
}

// unreadable passes over a message that the disk has damaged: it cannot be delivered by
// anybody, and what follows it must not wait for it.
func (c *Consumer) unreadable(seq uint64) {
	if c.pending.find(seq) != nil {
		c.exhaust(seq)
		return
	}
	if c.isAhead(seq) {
		c.passTo(seq)
		c.counting = false
		c.count()
	}
}

// ackSubject builds the reply of a delivery: what an ack of it is published to.
func (c *Consumer) ackSubject(d *delivery) []byte {
	w := c.w
	if w.head == "" {
		w.head = c.ackHead()
	}
	w.reply = api.AppendAckReply(w.reply[:0], w.head, uint64(d.count), d.msg.Seq, c.dseq+1, d.msg.Time, d.left)
	return w.reply
}

// content gives the header and payload to send.
func (c *Consumer) content(d *delivery, pin string, pins bool) (header, data []byte) {
	header, data = d.msg.Header, d.msg.Data
	if c.cfg.HeadersOnly {
		c.w.header = appendField(c.w.header[:0], header, api.HdrMsgSize)
		c.w.header = endField(strconv.AppendInt(c.w.header, int64(len(data)), 10))
		header, data = c.w.header, nil
	}
	if pins { // those that bypass the group get an empty one
		c.w.pinned = appendField(c.w.pinned[:0], header, api.HdrPinID)
		c.w.pinned = endField(append(c.w.pinned, pin...))
		header = c.w.pinned
	}
	return header, data
}

// appendField copies a header block and begins a field of it.
func appendField(dst, header []byte, key string) []byte {
	if n := len(header) - 2; n > 0 {
		dst = append(dst, header[:n]...)
	} else {
		dst = append(dst, api.HeaderLine...)
	}
	return append(append(dst, key...), ": "...)
}

// endField ends a field and the block.
func endField(dst []byte) []byte { return append(dst, "\r\n\r\n"...) }

// sent notes that a delivery left.
func (c *Consumer) sent(d *delivery, now int64) {
	c.dseq++
	if !d.again {
		c.ahead--
		c.applyDelivered(d.msg.Seq, c.dseq, now, 1)
		c.noteDelivered(d.msg.Seq, c.dseq, c.host.Now())
		if w := c.wait(1); w > 0 && c.tracks() {
			c.listen(true)
			c.wakeAt(now + w)
		}
		return
	}
	e := c.pending.find(d.msg.Seq)
	c.w.line.pop(e)
	e.flags &^= granted
	presumed := e.count == 0
	c.applyAgain(e, d.count, now)
	if presumed {
		c.noteAgain(e.seq, c.dseq, d.count, c.host.Now())
	}
}

// wait is how long after delivery number count a message is sent again, 0 for never. The
// millisecond keeps an ack that arrives in time from losing against a timer.
func (c *Consumer) wait(count uint32) int64 {
	w := c.cfg.AckWait
	if n := len(c.cfg.BackOff); n > 0 {
		w = c.cfg.BackOff[min(max(int(count), 1), n)-1]
	}
	if w <= 0 {
		return 0
	}
	return int64(w + time.Millisecond)
}

// grant tells whether the raised count of e is durable, and raises it and those of what follows
// it if that was not done yet.
func (c *Consumer) grant(e *entry) bool {
	if e.flags&granted != 0 {
		return e.grant <= c.committed || c.lazy
	}
	ev := &c.w.scratch
	ev.kind, ev.at, ev.again = evAgain, c.host.Now(), ev.again[:0]
	limit, number, most := c.maxDeliver(), c.recorded+1, grantMax
	if c.pull != nil {
		most = int(min(c.asked(), grantMax)) // what is not sent now would lose a delivery in a crash
	}
	if c.w.ev.kind != 0 {
		number++ // what was delivered before is recorded first
	}
	for _, seq := range c.w.line.waiting() {
		p := c.pending.find(seq)
		if p == nil || p.flags&(queued|granted) != queued || p.count == 0 || limit > 0 && p.count >= limit {
			continue
		}
		c.pending.setCount(p, p.count+1)
		p.flags |= granted
		p.grant = number
		if ev.again = append(ev.again, again{seq, p.count}); len(ev.again) == most {
			break
		}
	}
	ev.dseq = c.dseq
	c.grantAt = number
	c.record(ev, true)
	return e.grant <= c.committed || c.lazy
}

// grantMax is how many redeliveries are recorded together before they are sent.
const grantMax = 128

// count makes ahead exact, and keeps it so.
func (c *Consumer) count() {
	if c.counting {
		return
	}
	c.ahead = c.countAhead()
	c.counting = true
	c.listen(true)
}

func (c *Consumer) countAhead() uint64 {
	store := c.host.Store()
	if l := c.last; l != nil {
		l.seqs = slices.DeleteFunc(l.seqs, func(seq uint64) bool { return !store.Has(seq) })
		n := uint64(len(l.seqs))
		if n == 0 {
			c.last = nil
		}
		return n + store.Count(c.Filter(), c.cursor, false)
	}
	return store.Count(c.Filter(), c.cursor, false)
}

// listen asks to be told of messages, or not.
func (c *Consumer) listen(on bool) {
	if c.listening != on {
		c.listening = on
		c.host.Listen(c, on)
	}
}
