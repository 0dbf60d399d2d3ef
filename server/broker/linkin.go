package broker

import (
	"bytes"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/wire"
)

// The way of a message that came over a link: to receivers of this server, and on to another
// one only for a queue group that has members nowhere else.

// receive carries out RMSG, HMSG and LMSG.
func (l *Link) receive(op *wire.RouteOp) {
	if l.b.log.Trace() {
		l.traceMessage(op)
	}
	if !l.enter(op.Account) {
		return // of an account that is not here
	}
	l.inMsgs++
	l.inBytes += int64(len(op.Payload))
	m := message{
		subject: op.Subject, reply: op.Reply, origin: op.Origin,
		header: op.Payload[:op.Header], body: op.Payload[op.Header:],
	}
	if bytes.HasPrefix(m.reply, prefixJSAck) {
		m.reply, m.shown = splitAck(m.reply)
	}
	l.routeIn(l.acc, &m, op.Queues)
}

// ackTokensMin is how many tokens the reply subject of a consumer's delivery has at least.
const ackTokensMin = 8

// splitAck takes off a consumer's reply subject the subject that receivers shall see, which
// other servers append for deliveries to a subject of the consumer's own; nil is none.
func splitAck(reply []byte) (ack, shown []byte) {
	at := bytes.IndexByte(reply, '@')
	if at < 0 || bytes.Count(reply[:at], dot)+1 < ackTokensMin || at+1 == len(reply) {
		return reply, nil
	}
	return reply[:at], reply[at+1:]
}

var dot = []byte{'.'}

// enter makes the account of a message the publisher's; false if there is none here.
func (l *Link) enter(name []byte) bool {
	if pl := l.present; pl != nil && (l.o.Account != nil || pl.name == string(name)) {
		return true
	}
	if l.o.Account != nil {
		name = []byte(l.o.Account.Name)
	}
	pl := l.places[string(name)]
	if pl == nil {
		if l.b.LookupAccount(string(name)) == nil {
			return false
		}
		pl = l.place(string(name))
	}
	if pl.acc == nil {
		return false
	}
	l.leave()
	l.present, l.acc = pl, pl.acc
	if pl.epoch == l.epoch {
		l.routes = pl.routes
	} else {
		pl.routes.drop(pl.acc)
	}
	pl.routes = routeCache{}
	return true
}

// leave puts the cache of the present account aside.
func (l *Link) leave() {
	if l.present == nil {
		return
	}
	l.countIn()
	l.countHits()
	l.present.routes, l.present.epoch = l.routes, l.epoch
	l.present, l.acc, l.about, l.routes = nil, nil, nil, routeCache{}
}

// countIn adds what came in this batch to the statistics.
func (l *Link) countIn() {
	if l.inMsgs == 0 {
		return
	}
	l.in.Add(l.inMsgs, l.inBytes)
	l.b.stats.RoutesIn.Add(l.inMsgs, l.inBytes)
	l.acc.Received.Add(l.inMsgs, l.inBytes)
	l.acc.Routes.Received.Add(l.inMsgs, l.inBytes)
	l.inMsgs, l.inBytes = 0, 0
}

// routeIn delivers what came from another server: to plain subscriptions, and to one member
// of each of the queue groups that the other server chose this one for.
func (l *Link) routeIn(acc *account.Account, m *message, queues [][]byte) {
	p := &l.publisher
	r := p.lookup(acc, m.subject)
	for i := range r.plain {
		p.deliver(&r.plain[i], acc, m)
	}
	on := false
	for _, q := range queues {
		if g := r.group(q); g != nil && !p.deliverGroup(g, acc, m) && l.sendOn(g, r, m) {
			on = true
		}
	}
	if on {
		for i := range r.links {
			p.sendAway(&r.links[i], acc, m, false)
		}
	}
}

// group finds a queue group by name.
func (m *matched) group(name []byte) *group {
	for i := range m.groups {
		if m.groups[i].name == string(name) {
			return &m.groups[i]
		}
	}
	return nil
}

// sendOn picks another server for a group that has no member here any more, and tells
// whether there is one.
func (l *Link) sendOn(g *group, r *matched, m *message) bool {
	for _, leafs := range [...]bool{false, true} {
		if t := l.publisher.pickAway(g, r, m, leafs); t != nil {
			t.queues = append(t.queues, g.name)
			return true
		}
	}
	return false
}
