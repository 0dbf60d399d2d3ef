package broker

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/wire"
)

// The way of a message to other servers: once over each link that has anybody who should
// receive it, with the queue groups that were chosen to be served there.

// linkTarget is another server that a subject reaches, with this publisher's stage of it.
type linkTarget struct {
	link   *Link
	st     *stage
	plain  bool     // somebody there is interested,
	leafs  []string // or there are leafnodes of these clusters that are
	queues []string // chosen for the present message
}

// awayMember is the members that a queue group has at another server.
type awayMember struct {
	at     int // in the links of what was matched
	weight int
	origin string // of leafnodes there
}

// addAway adds what a subscription of another server reaches: as plain interest to the links,
// as members to a group.
func (m *matched) addAway(l *Link, sub *account.Subscription, g *group, weight int) {
	origin := originOf(sub)
	at := m.linkTo(l)
	t := &m.links[at]
	switch {
	case g != nil:
		g.away = append(g.away, awayMember{at, weight, origin})
	case origin == "":
		t.plain = true
	case !slices.Contains(t.leafs, origin):
		t.leafs = append(t.leafs, origin)
	}
}

// linkTo finds or adds the target of a link. Of several links to one server, such as an old
// connection that did not notice its end, it takes the newest.
func (m *matched) linkTo(l *Link) int {
	for i := range m.links {
		t := &m.links[i]
		if t.link == l || l.o.RemoteID != "" && t.link.o.RemoteID == l.o.RemoteID {
			if t.link.o.ID < l.o.ID {
				t.link = l
			}
			return i
		}
	}
	n := len(m.links)
	if n < cap(m.links) {
		m.links = m.links[:n+1]
	} else {
		m.links = append(m.links, linkTarget{})
	}
	m.links[n].link = l
	return n
}

// resetLinks empties the list, and keeps the memory of its elements.
func (m *matched) resetLinks() {
	for i := range m.links {
		t := &m.links[i]
		*t = linkTarget{leafs: t.leafs[:0], queues: t.queues[:0]}
	}
	m.links = m.links[:0]
}

// routeAway is route for a subject that reaches other servers too.
func (p *publisher) routeAway(r *matched, acc *account.Account, m *message) bool {
	delivered := false
	for i := range r.plain {
		if p.deliver(&r.plain[i], acc, m) {
			delivered = true
		}
	}
	for i := range r.groups {
		g := &r.groups[i]
		if len(g.away) == 0 {
			if p.deliverGroup(g, acc, m) {
				delivered = true
			}
		} else if p.deliverGroupAway(g, r, acc, m) {
			delivered = true
		}
	}
	for i := range r.links {
		if p.sendAway(&r.links[i], acc, m, true) {
			delivered = true
		}
	}
	return delivered
}

// deliverGroupAway gives m to a member of a group that has members at other servers: every
// member is as likely, wherever it is, but for those at leafnodes, who come last.
func (p *publisher) deliverGroupAway(g *group, r *matched, acc *account.Account, m *message) bool {
	total := len(g.members)
	for i := range g.away {
		if a := &g.away[i]; a.origin == "" && p.mayLeave(&r.links[a.at], m) {
			total += a.weight
		}
	}
	if total > 0 && p.strand.Rand("queue").IntN(total) >= len(g.members) {
		if t := p.pickAway(g, r, m, false); t != nil {
			t.queues = append(t.queues, g.name)
			return true
		}
	}
	if p.deliverGroup(g, acc, m) {
		return true
	}
	for _, leafs := range [...]bool{false, true} {
		if t := p.pickAway(g, r, m, leafs); t != nil {
			t.queues = append(t.queues, g.name)
			return true
		}
	}
	return false
}

// pickAway picks a server with members of a group, or with leafnodes that have some, by
// their number; nil is none.
func (p *publisher) pickAway(g *group, r *matched, m *message, leafs bool) *linkTarget {
	total := 0
	for i := range g.away {
		if a := &g.away[i]; p.mayServe(a, r, m, leafs) {
			total += a.weight
		}
	}
	if total == 0 {
		return nil
	}
	n := 0
	if total > 1 {
		n = p.strand.Rand("queue").IntN(total)
	}
	for i := range g.away {
		a := &g.away[i]
		if !p.mayServe(a, r, m, leafs) {
			continue
		}
		if n -= a.weight; n < 0 {
			return &r.links[a.at]
		}
	}
	return nil
}

func (p *publisher) mayServe(a *awayMember, r *matched, m *message, leafs bool) bool {
	return (a.origin != "") == leafs && (!leafs || a.origin != string(m.origin)) && p.mayLeave(&r.links[a.at], m)
}

// mayLeave tells whether m can go to a server. What came from another one, and has not crossed
// to another account here, goes neither back, nor where others are interested who have it already:
// they would receive it twice.
func (p *publisher) mayLeave(t *linkTarget, m *message) bool {
	if f := p.from; f != nil && m.depth == 0 {
		back := f == t.link || f.o.RemoteID != "" && f.o.RemoteID == t.link.o.RemoteID
		if back || t.plain || len(t.leafs) > 0 {
			return false
		}
	}
	return !t.link.closed.Load()
}

// sendAway sends m to another server for the groups it was chosen for and, with plain, for whoever
// else is interested there. It tells whether there is anybody.
func (p *publisher) sendAway(t *linkTarget, acc *account.Account, m *message, plain bool) bool {
	wanted := len(t.queues) > 0 || plain && (t.plain || t.wantedByLeafs(m.origin))
	if !wanted || t.link.closed.Load() {
		t.queues = t.queues[:0]
		return false
	}
	if t.st == nil {
		t.st = p.stageOfLink(t.link)
	}
	p.stageAway(t, acc, m)
	clear(t.queues)
	t.queues = t.queues[:0]
	return true
}

func (t *linkTarget) wantedByLeafs(origin []byte) bool {
	for _, o := range t.leafs {
		if o != string(origin) {
			return true
		}
	}
	return false
}

// stageOfLink finds or makes this publisher's stage of a link.
func (p *publisher) stageOfLink(l *Link) *stage {
	if s := p.linked[l]; s != nil {
		return s
	}
	if p.linked == nil {
		p.linked = make(map[*Link]*stage)
	}
	s := &stage{link: l}
	p.linked[l] = s
	return s
}

// stageAway encodes m for another server into this publisher's stage of it.
func (p *publisher) stageAway(t *linkTarget, acc *account.Account, m *message) {
	s, o := t.st, &t.link.o
	if !s.touched {
		s.touched = true
		p.touched = append(p.touched, s)
	}
	reply, header := m.reply, m.header
	if m.shown != nil { // receivers are to see another subject
		reply = p.ackOf(m)
	}
	if !o.Headers {
		header = nil
	}
	name := acc.Name
	if o.Account != nil {
		name = ""
	}
	size, lend := len(header)+len(m.body), len(m.body) >= lendMin
	need := len(name) + len(m.subject) + len(reply) + len(m.origin) + len(header)
	for _, q := range t.queues {
		need += len(q) + 1
	}
	if !lend {
		need += len(m.body)
	}
	p.makeRoom(s, need)
	before := len(s.buf)
	if len(m.origin) > 0 && o.Origins {
		s.buf = wire.AppendLmsgHead(s.buf, string(m.origin), name, m.subject, reply, t.queues, len(header), size)
	} else {
		s.buf = wire.AppendRouteMsgHead(s.buf, name, m.subject, reply, t.queues, len(header), size)
	}
	if p.b.log.Trace() {
		t.link.traceOutMessage(s.buf[before:len(s.buf)-2], header, m.body)
	}
	s.buf = append(s.buf, header...)
	if lend {
		p.finishLent(s, m.body)
	} else {
		s.buf = append(append(s.buf, m.body...), '\r', '\n')
		p.staged += len(s.buf) - before
	}
	if s.acc != acc {
		s.countAway()
		s.acc = acc
	}
	s.msgs++
	s.payload += int64(size)
}

// ackOf is the reply subject by which a consumer's delivery tells another server what its
// receivers are to see for its subject.
func (p *publisher) ackOf(m *message) []byte {
	if len(m.reply) == 0 {
		return nil
	}
	p.ack = append(append(append(p.ack[:0], m.reply...), '@'), m.shown...)
	return p.ack
}

// countAway adds what was staged to the account's statistics.
func (s *stage) countAway() {
	if s.acc != nil && s.msgs > 0 {
		s.acc.Sent.Add(s.msgs, s.payload)
		s.acc.Routes.Sent.Add(s.msgs, s.payload)
		s.allMsgs += s.msgs
		s.allPayload += s.payload
	}
	s.msgs, s.payload = 0, 0
}

// flushAway queues a stage with its link. What this server is interested in by now is
// told first: who answers finds the way back.
func (p *publisher) flushAway(s *stage) {
	l := s.link
	p.b.announce()
	if l.closed.Load() {
		s.msgs, s.payload, s.acc = 0, 0, nil
		delete(p.linked, l)
		return
	}
	s.countAway()
	s.acc = nil
	iov := s.vectors(p.iov[:0], 0, len(s.buf), 0, len(s.ext))
	l.out.Add(s.allMsgs, s.allPayload)
	p.b.stats.RoutesOut.Add(s.allMsgs, s.allPayload)
	s.allMsgs, s.allPayload = 0, 0
	if l.conn.Lend(iov...) {
		l.conn.FlushLent()
	} else {
		l.conn.Flush()
	}
	clear(iov)
	p.iov = iov[:0]
	if p.self != nil {
		p.gateAway(l)
	}
}

// gateAway notes a link that has so much pending that who publishes to it must wait. It is
// never closed for it.
func (p *publisher) gateAway(l *Link) {
	o := p.b.options()
	if !o.NoFastProducerStall && int64(l.conn.Buffered()) > o.MaxPending/4*3 {
		p.stall = l.conn
	}
}
