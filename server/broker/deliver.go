package broker

import (
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/wire"
)

// stageMessage encodes m for one receiver into this publisher's stage of it.
func (p *publisher) stageMessage(s *stage, sub *account.Subscription, m *message, counted bool) {
	if !s.touched {
		s.touched = true
		p.touched = append(p.touched, s)
	}
	if len(m.header) > 0 {
		p.stageWithHeader(s, sub, m, counted)
		return
	}
	subj, body := m.subject, m.body
	if sub.Shadow != nil || m.shown != nil {
		subj = p.localSubject(sub, m)
	}
	if len(body) >= lendMin {
		p.makeRoom(s, len(subj)+len(sub.SID)+len(m.reply))
		s.buf = wire.AppendMsgHeader(s.buf, subj, sub.SID, m.reply, len(body))
		p.finishLent(s, body)
	} else {
		p.makeRoom(s, len(subj)+len(sub.SID)+len(m.reply)+len(body))
		before := len(s.buf)
		b := wire.AppendMsgHeader(s.buf, subj, sub.SID, m.reply, len(body))
		b = append(b, body...)
		b = append(b, '\r', '\n')
		s.buf = b
		p.staged += len(b) - before
	}
	s.note(sub, len(body), counted)
	if len(m.reply) > 0 || p.b.log.Trace() {
		p.followUp(s.to, sub, subj, m.reply, nil, body)
	}
}

// stageWithHeader is stageMessage for a message that has a header, which not every receiver
// understands.
func (p *publisher) stageWithHeader(s *stage, sub *account.Subscription, m *message, counted bool) {
	subj, header := p.localSubject(sub, m), m.header
	if !s.to.out.headers.Load() {
		header = nil
	}
	size, lend := len(header)+len(m.body), len(m.body) >= lendMin
	need := len(subj) + len(sub.SID) + len(m.reply) + len(header)
	if !lend {
		need += len(m.body)
	}
	p.makeRoom(s, need)
	before := len(s.buf)
	if len(header) > 0 {
		s.buf = append(wire.AppendHmsgHeader(s.buf, subj, sub.SID, m.reply, len(header), size), header...)
	} else {
		s.buf = wire.AppendMsgHeader(s.buf, subj, sub.SID, m.reply, size)
	}
	if lend {
		p.finishLent(s, m.body)
	} else {
		s.buf = append(append(s.buf, m.body...), '\r', '\n')
		p.staged += len(s.buf) - before
	}
	s.note(sub, size, counted)
	p.followUp(s.to, sub, subj, m.reply, header, m.body)
}

// finishLent ends a message with a payload that is not copied.
func (p *publisher) finishLent(s *stage, body []byte) {
	s.ext = append(s.ext, ref{len(s.buf), body})
	s.buf = append(s.buf, '\r', '\n')
	p.staged += len(body) // what else the message has is little
	p.lent = true
}

// controlMax bounds what a message's control line has beside subject, sid and reply, with
// the end of the message.
const controlMax = 40

// makeRoom makes sure that a message of n bytes fits into a stage's buffer, with its
// control line.
func (p *publisher) makeRoom(s *stage, n int) {
	if n += controlMax; cap(s.buf)-len(s.buf) < n {
		if len(s.buf)+n > stageMax {
			p.flushStage(s)
			s.empty()
		}
		s.buf = p.b.buffers.grow(s.buf, n)
	}
}

// followUp is what follows from a message that was staged.
func (p *publisher) followUp(to *Client, sub *account.Subscription, subj, reply, header, body []byte) {
	if len(reply) > 0 && to.out.permits.Load() {
		to.permit(reply, p.now)
	}
	if p.b.log.Trace() {
		to.traceDeliver(subj, sub.SID, reply, header, body)
	}
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
func (p *publisher) flushStages() {
	if len(p.touched) == 0 {
		return
	}
	for i := 0; i < len(p.touched); i++ { // a sink that is full may have answers sent meanwhile
		s := p.touched[i]
		p.flushStage(s)
		s.reset(&p.b.buffers)
		p.touched[i] = nil
	}
	flushed := len(p.touched)
	p.touched = p.touched[:0]
	p.staged, p.lent = 0, false
	if n := len(p.stages) + len(p.sinks) + len(p.linked); n > p.stagesMax() && n > 4*flushed {
		p.forgetStages() // most are of receivers that this batch did not need
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

// flushStage queues a stage with its receiver and sends it as far as the socket
// takes it. What its subscriptions no longer want is left out here, under the
// receiver's lock: after the answer to an UNSUB nothing more comes.
func (p *publisher) flushStage(s *stage) {
	if s.sink != nil {
		p.handOver(s)
		return
	}
	if s.link != nil {
		p.flushAway(s)
		return
	}
	to := s.to
	o := &to.out
	iov := p.iov[:0]
	from, fromExt, bytes := 0, 0, 0
	var msgs, payload int64
	p.abroad = p.abroad[:0]
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		delete(p.stages, to)
		p.recent = nil
		return
	}
	for i := range s.recs {
		r := &s.recs[i]
		if r.sub == nil {
			continue
		}
		if r.counted && revoked(r.sub) || !r.counted && !p.countDelivery(r.sub) {
			at, ext := s.before(i)
			iov = s.vectors(iov, from, at, fromExt, ext)
			from, fromExt = int(r.end), int(r.ext)
			continue
		}
		msgs++
		payload += int64(r.payload)
		if r.sub.Shadow != nil {
			p.abroad = append(p.abroad, *r)
		}
	}
	iov = s.vectors(iov, from, len(s.buf), fromExt, len(s.ext))
	for _, v := range iov {
		bytes += len(v)
	}
	if pending := to.conn.Buffered() + bytes; int64(pending) > p.b.options().MaxPending {
		o.mu.Unlock()
		clear(iov)
		clear(p.ended) // they go with the connection
		p.iov, p.ended = iov[:0], p.ended[:0]
		to.slowConsumer()
		return
	}
	o.msgs += msgs
	o.bytes += payload
	turn := to.conn.Lend(iov...)
	o.mu.Unlock()
	p.dropEnded(to) // before the peer can see its last message and use the sid anew
	if turn {
		to.conn.FlushLent()
	} else {
		to.conn.Flush()
	}
	clear(iov)
	p.iov = iov[:0]
	p.batch.outMsgs += msgs
	p.batch.outBytes += payload
	p.countSent(to, msgs, payload)
	p.gate(to)
}

// countSent adds a flush to the accounts' statistics: what came through a stream
// import counts for the exporting account.
func (p *publisher) countSent(to *Client, msgs, payload int64) {
	for i := range p.abroad {
		r := &p.abroad[i]
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
func (p *publisher) countDelivery(sub *account.Subscription) bool {
	n := sub.Counter()
	if sub.Closed() || n.Max > 0 && n.Delivered >= n.Max {
		return false
	}
	n.Delivered++
	if n.Max > 0 && n.Delivered >= n.Max {
		p.ended = append(p.ended, n)
	}
	return true
}

// dropEnded removes subscriptions that a flush brought to their maximum.
func (p *publisher) dropEnded(to *Client) {
	for i, sub := range p.ended {
		to.strand.Post(func() { to.removeSub(sub) })
		p.ended[i] = nil
	}
	p.ended = p.ended[:0]
}

// gate notes receivers whose pending bytes ask their producers to wait. The server
// itself waits for nobody.
func (p *publisher) gate(to *Client) {
	if p.self == nil {
		return
	}
	limit := p.b.options().MaxPending
	pending := int64(to.conn.Buffered())
	if pending <= limit/4*3 {
		return
	}
	if !p.b.options().NoFastProducerStall {
		p.stall = to.conn
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
