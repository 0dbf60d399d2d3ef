package broker

import (
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/server/wire"
)

// target is one subscription that a subject reaches, with the receiver's stage
// of this publisher at hand so that delivery needs no search.
type target struct {
	sub *account.Subscription
	to  *Client // nil for internal subscriptions
	st  *stage
}

// group is a queue group: one member receives each message.
type group struct {
	members []target
	total   int // sum of weights
}

// matched is a resolved subject: what the index found, with receivers looked up.
type matched struct {
	subject string
	res     subject.Result[*account.Subscription]
	plain   []target
	groups  []group
}

// routeCache keeps what recent subjects resolved to. Entries are checked against
// the index's generations, so a change of interest is seen by the next message.
type routeCache struct {
	last    *matched // of the previous message
	entries map[string]*matched
	seen    []uint32   // hashes of subjects resolved once: only a repeated subject is kept
	own     []*matched // of uncached look-ups, one for each account boundary that a message has crossed
	depth   int
	hits    int // of the present batch
	targets int // receivers in entries
}

const (
	cacheMax = 1024
	seenSize = 256 // a power of two
	// cacheTargetsMax bounds the receivers of all cached subjects together, as they
	// were when cached: subjects with many receivers make room for each other.
	cacheTargetsMax = 64 << 10
)

// lookup resolves subject in acc. The result is valid until the next lookup at
// the same depth.
func (c *Client) lookup(acc *account.Account, subj []byte) *matched {
	rc := &c.routes
	if acc != c.acc || rc.depth > 0 {
		return c.resolve(acc, subj, rc.uncached())
	}
	index := acc.Index()
	if m := rc.last; m != nil && m.subject == string(subj) {
		if index.Fresh(&m.res) {
			rc.hits++
			return m
		}
		return c.resolve(acc, subj, m)
	}
	if m := rc.entries[string(subj)]; m != nil {
		if index.Fresh(&m.res) {
			rc.hits++
		} else {
			c.resolve(acc, subj, m)
		}
		rc.last = m
		return m
	}
	return c.admit(acc, subj)
}

// uncached is where a look-up that is not cached goes. Those of the boundaries
// before it are still walked.
func (rc *routeCache) uncached() *matched {
	for len(rc.own) <= rc.depth {
		rc.own = append(rc.own, &matched{})
	}
	return rc.own[rc.depth]
}

// admit resolves a subject that is not cached, and caches it when it comes a
// second time soon: unique subjects, such as inboxes, would only flood the cache.
func (c *Client) admit(acc *account.Account, subj []byte) *matched {
	rc := &c.routes
	h := hashSubject(subj)
	if rc.seen == nil {
		rc.seen = make([]uint32, seenSize)
	}
	if slot := &rc.seen[h%seenSize]; *slot != h {
		*slot = h
		return c.resolve(acc, subj, rc.uncached())
	}
	if len(rc.entries) >= cacheMax || rc.targets >= cacheTargetsMax {
		acc.Index().CountCached(-len(rc.entries))
		clear(rc.entries)
		rc.targets = 0
	}
	if rc.entries == nil {
		rc.entries = make(map[string]*matched)
	}
	m := &matched{subject: string(subj)}
	rc.entries[m.subject] = m
	acc.Index().CountCached(1)
	rc.last = m
	c.resolve(acc, subj, m)
	rc.targets += m.res.Fanout()
	return m
}

// hashSubject is FNV-1a, never 0.
func hashSubject(s []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range s {
		h = (h ^ uint32(b)) * 16777619
	}
	return h | 1
}

// resolve asks the index and looks the receivers up.
func (c *Client) resolve(acc *account.Account, subj []byte, m *matched) *matched {
	acc.Index().Match(subj, &m.res)
	clear(m.plain)
	m.plain = m.plain[:0]
	for _, sub := range m.res.Plain {
		m.plain = append(m.plain, c.target(sub))
	}
	for len(m.groups) < len(m.res.Groups) {
		m.groups = append(m.groups, group{})
	}
	m.groups = m.groups[:len(m.res.Groups)]
	for i := range m.res.Groups {
		g := &m.groups[i]
		clear(g.members)
		g.members, g.total = g.members[:0], 0
		for _, member := range m.res.Groups[i].Members {
			g.members = append(g.members, c.target(member.Value))
			g.total += int(member.Weight)
		}
	}
	return m
}

func (c *Client) target(sub *account.Subscription) target {
	to, _ := sub.Owner.(*Client)
	return target{sub: sub, to: to}
}

// stageFor finds or makes this publisher's stage of a receiver.
func (c *Client) stageFor(to *Client) *stage {
	if s := c.stages[to]; s != nil {
		return s
	}
	if c.stages == nil {
		c.stages = make(map[*Client]*stage)
	}
	s := &stage{to: to}
	c.stages[to] = s
	return s
}

// route delivers m to everybody in acc who should receive it and tells whether
// anybody did.
func (c *Client) route(acc *account.Account, m *message) bool {
	r := c.lookup(acc, m.subject)
	if len(r.plain) == 0 && len(r.groups) == 0 {
		return false
	}
	delivered := false
	for i := range r.plain {
		if c.deliver(&r.plain[i], acc, m) {
			delivered = true
		}
	}
	for i := range r.groups {
		if c.deliverGroup(&r.groups[i], acc, m) {
			delivered = true
		}
	}
	return delivered
}

// deliverGroup tries members from a random start until one takes the message.
func (c *Client) deliverGroup(g *group, acc *account.Account, m *message) bool {
	n := len(g.members)
	if n == 0 {
		return false
	}
	start := 0
	if n > 1 {
		start = c.strand.Rand("queue").IntN(n)
	}
	for i := range n {
		if c.deliver(&g.members[(start+i)%n], acc, m) {
			return true
		}
	}
	return false
}

// deliver gives m to one subscription and tells whether it was taken.
func (c *Client) deliver(t *target, acc *account.Account, m *message) bool {
	sub, to := t.sub, t.to
	if to == nil {
		return c.deliverInternal(sub, acc, m)
	}
	if to == c && !c.echo {
		return false
	}
	if sub.Closed() || to != c && to.out.stalled.Load() && c.dropsFor(to) {
		return false
	}
	if to.out.filters.Load() && to.denies(sub, c.localSubject(sub, m.subject)) {
		return false
	}
	counted := sub.Limited()
	if counted && !to.reserve(sub, c) {
		return false
	}
	if t.st == nil {
		t.st = c.stageFor(to)
	}
	c.stageMessage(t.st, sub, m, counted)
	return true
}

// dropsFor tells whether a message is lost on a receiver that was found to have much
// pending, because its producers are not to wait. It looks again: a reload may have
// changed what they are to do, and who was to end this state.
func (c *Client) dropsFor(to *Client) bool {
	o := c.b.options()
	if o.NoFastProducerStall && int64(to.conn.Buffered()) > o.MaxPending/4*3 {
		return true
	}
	to.out.stalled.Store(false)
	return false
}

// denies tells whether the receiver's permissions keep subject from a wildcard
// subscription that overlaps what is denied.
func (c *Client) denies(sub *account.Subscription, subj []byte) bool {
	p := c.perms.Load()
	return p != nil && p.DeniesDelivery(subj, sub.Queue)
}

// reserve counts one delivery of a subscription with auto-unsubscribe, on the
// receiver's side, and ends the subscription with its last one: at once when the
// receiver is the publisher itself, whose next operation may use the sid anew.
func (c *Client) reserve(sub *account.Subscription, from *Client) bool {
	n := sub.Counter()
	c.out.mu.Lock()
	if n.Closed() || n.Max > 0 && n.Delivered >= n.Max {
		c.out.mu.Unlock()
		return false
	}
	n.Delivered++
	last := n.Max > 0 && n.Delivered >= n.Max
	c.out.mu.Unlock()
	switch {
	case last && c == from:
		c.removeSub(n)
	case last:
		c.strand.Post(func() { c.removeSub(n) })
	}
	return true
}

// localSubject is the subject under which the owner of sub sees a message.
func (c *Client) localSubject(sub *account.Subscription, published []byte) []byte {
	if sub.Shadow == nil {
		return published
	}
	c.scratch = sub.Shadow.Import.AppendLocal(c.scratch[:0], published)
	return c.scratch
}

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
		dst = append(dst, "HMSG "...)
	} else {
		dst = append(dst, "MSG "...)
	}
	dst = append(dst, subj...)
	dst = append(dst, ' ')
	dst = append(dst, sid...)
	dst = append(dst, ' ')
	if header > 0 {
		return wire.AppendHmsgTail(dst, reply, header, total)
	}
	return wire.AppendMsgTail(dst, reply, total)
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
