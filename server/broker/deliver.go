package broker

import (
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/wire"
)

// stageMessage encodes m for one receiver into this publisher's stage of it.
func (c *Client) stageMessage(s *stage, sub *account.Subscription, m *message, counted bool) {
	if !s.touched {
		s.touched = true
		c.touched = append(c.touched, s)
	}
	to := s.to
	subj := c.localSubject(sub, m.subject)
	payload, header := m.payload, m.header
	if header > 0 && !to.out.headers.Load() {
		payload, header = payload[header:], 0
	}
	lend := len(payload) >= lendMin
	need := len(subj) + len(sub.SID) + len(m.reply) + 40
	if !lend {
		need += len(payload)
	}
	if cap(s.buf)-len(s.buf) < need {
		if len(s.buf)+need > stageMax {
			c.flushStage(s)
			s.empty()
		}
		s.buf = c.b.buffers.grow(s.buf, need)
	}
	before := len(s.buf)
	b := appendMessage(s.buf, subj, sub.SID, m.reply, header, len(payload))
	if lend {
		s.ext = append(s.ext, ref{len(b), payload})
		c.staged += len(payload)
		c.lent = true
	} else {
		b = append(b, payload...)
	}
	b = append(b, '\r', '\n')
	s.buf = b
	c.staged += len(b) - before
	s.note(sub, len(payload), counted)
	if len(m.reply) > 0 && to.out.permits.Load() {
		to.permit(m.reply, c.now)
	}
	if c.b.log.Trace() {
		to.traceDeliver(subj, sub.SID, m.reply, header, payload)
	}
}

// appendMessage appends the control line of a message.
func appendMessage(dst, subj []byte, sid string, reply []byte, header, total int) []byte {
	if header > 0 {
		return wire.AppendHmsgHeader(dst, subj, sid, reply, header, total)
	}
	return wire.AppendMsgHeader(dst, subj, sid, reply, total)
}

// permit lets the receiver answer on reply.
func (c *Client) permit(reply []byte, now time.Duration) {
	if p := c.perms.Load(); p == nil || p.CanPublish(reply) {
		return
	}
	c.out.mu.Lock()
	if c.out.replies != nil {
		c.out.replies.Permit(reply, now)
	}
	c.out.mu.Unlock()
}

// flushStages hands every receiver what this batch has for it.
func (c *Client) flushStages() {
	if len(c.touched) == 0 {
		return
	}
	flushed := len(c.touched)
	for i, s := range c.touched {
		c.flushStage(s)
		s.reset(&c.b.buffers)
		c.touched[i] = nil
	}
	c.touched = c.touched[:0]
	c.staged, c.lent = 0, false
	if n := len(c.stages); n > cacheMax && n > 4*flushed {
		c.forgetStages() // most are of receivers that this batch did not need
	}
}

// settle hands this connection what it published to itself, before what it is
// subscribed to changes: those messages came first.
func (c *Client) settle() {
	if s := c.stages[c]; s != nil && s.touched {
		c.flushStage(s)
		s.empty()
	}
}

// forgetStages drops the stages and whatever refers to them, so that receivers
// that have gone are not kept.
func (c *Client) forgetStages() {
	clear(c.stages)
	c.forgetRoutes()
}

// letGo drops what a publisher keeps of receivers that have gone, now and then: one
// that publishes to others, or to nobody any more, would not notice.
func (c *Client) letGo() {
	if c.gone() > 0 {
		c.forgetStages()
	}
}

// forgetRoutes empties the cache of resolved subjects.
func (c *Client) forgetRoutes() {
	if n := len(c.routes.entries); n > 0 && c.acc != nil {
		c.acc.Index().CountCached(-n)
	}
	c.routes = routeCache{seen: c.routes.seen, depth: c.routes.depth, hits: c.routes.hits}
}

// flushStage queues a stage with its receiver and sends it as far as the socket
// takes it. What its subscriptions no longer want is left out here, under the
// receiver's lock: after the answer to an UNSUB nothing more comes.
func (c *Client) flushStage(s *stage) {
	to := s.to
	o := &to.out
	iov := c.iov[:0]
	from, fromExt, bytes := 0, 0, 0
	var msgs, payload int64
	c.abroad = c.abroad[:0]
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		delete(c.stages, to)
		return
	}
	for i := range s.recs {
		r := &s.recs[i]
		if r.sub == nil {
			continue
		}
		if r.counted && revoked(r.sub) || !r.counted && !c.countDelivery(r.sub) {
			at, ext := s.before(i)
			iov = s.vectors(iov, from, at, fromExt, ext)
			from, fromExt = int(r.end), int(r.ext)
			continue
		}
		msgs++
		payload += int64(r.payload)
		if r.sub.Shadow != nil {
			c.abroad = append(c.abroad, *r)
		}
	}
	iov = s.vectors(iov, from, len(s.buf), fromExt, len(s.ext))
	for _, p := range iov {
		bytes += len(p)
	}
	if pending := to.conn.Buffered() + bytes; int64(pending) > c.b.options().MaxPending {
		o.mu.Unlock()
		clear(iov)
		clear(c.ended) // they go with the connection
		c.iov, c.ended = iov[:0], c.ended[:0]
		to.slowConsumer()
		return
	}
	o.msgs += msgs
	o.bytes += payload
	turn := to.conn.Lend(iov...)
	o.mu.Unlock()
	c.dropEnded(to) // before the peer can see its last message and use the sid anew
	if turn {
		to.conn.FlushLent()
	} else {
		to.conn.Flush()
	}
	clear(iov)
	c.iov = iov[:0]
	c.batch.outMsgs += msgs
	c.batch.outBytes += payload
	c.countSent(to, msgs, payload)
	c.gate(to)
}

// countSent adds a flush to the accounts' statistics: what came through a stream
// import counts for the exporting account.
func (c *Client) countSent(to *Client, msgs, payload int64) {
	for i := range c.abroad {
		r := &c.abroad[i]
		r.sub.Shadow.Import.Account.Sent.Add(1, int64(r.payload))
		msgs--
		payload -= int64(r.payload)
		r.sub = nil
	}
	if acc := to.bound.Load(); acc != nil && msgs > 0 {
		acc.Sent.Add(msgs, payload)
	}
}

// revoked tells whether a subscription whose delivery was counted before has been
// ended since by something else than its maximum. The receiver's lock is held.
func revoked(sub *account.Subscription) bool {
	n := sub.Counter()
	return sub.Closed() && n.Delivered < n.Max
}

// countDelivery raises a subscription's count, or refuses because it has ended
// since the message was staged. The receiver's lock is held.
func (c *Client) countDelivery(sub *account.Subscription) bool {
	n := sub.Counter()
	if sub.Closed() || n.Max > 0 && n.Delivered >= n.Max {
		return false
	}
	n.Delivered++
	if n.Max > 0 && n.Delivered >= n.Max {
		c.ended = append(c.ended, n)
	}
	return true
}

// dropEnded removes subscriptions that a flush brought to their maximum.
func (c *Client) dropEnded(to *Client) {
	for i, sub := range c.ended {
		to.strand.Post(func() { to.removeSub(sub) })
		c.ended[i] = nil
	}
	c.ended = c.ended[:0]
}

// gate notes receivers whose pending bytes ask their producers to wait.
func (c *Client) gate(to *Client) {
	limit := c.b.options().MaxPending
	pending := int64(to.conn.Buffered())
	if pending <= limit/4*3 {
		return
	}
	if !c.b.options().NoFastProducerStall {
		c.stall = to
	} else if !to.out.stalled.Swap(true) {
		to.conn.WhenBelow(int(limit/4*3), func() { to.out.stalled.Store(false) })
	}
}

// slowConsumer ends a receiver that has more pending than it may. Called from
// the strand of any publisher.
func (c *Client) slowConsumer() {
	if !c.why.CompareAndSwap(0, uint32(SlowConsumerPendingBytes)) {
		return
	}
	c.b.stats.Slow.Add(1)
	if acc := c.bound.Load(); acc != nil {
		acc.AddSlowConsumer()
	}
	c.b.log.Noticef("%s - Slow Consumer Detected: MaxPending of %d Exceeded", c, c.b.options().MaxPending)
	c.conn.Abort(SlowConsumerPendingBytes)
}
