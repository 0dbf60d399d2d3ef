package broker

import (
	"bytes"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/server/wire"
)

// boundariesMax is how many account boundaries one message may cross; imports
// that form a longer chain would be cycles, which definition refuses.
const boundariesMax = 32

// mapSubject applies the account's mappings to a publish; false drops it.
func (c *Client) mapSubject(maps *subject.Mappings, m *message) bool {
	to, mapped, drop := maps.AppendTo(c.mappingSpace(m), m.subject, "", c.strand.Rand("mapping"))
	if drop {
		return false
	}
	if !mapped {
		return true
	}
	if c.b.log.Trace() {
		c.traceMapping(string(m.subject), string(to))
	}
	if m.depth == 0 {
		c.mapped = to
	}
	m.subject = to
	return true
}

// mappingSpace is where a mapped subject is written: scratch for the first
// account of a message, its own memory beyond.
func (c *Client) mappingSpace(m *message) []byte {
	if m.depth == 0 {
		return c.mapped[:0]
	}
	return nil
}

// deliverInternal gives m to one of the server's own subscriptions.
func (c *Client) deliverInternal(sub *account.Subscription, acc *account.Account, m *message) bool {
	if m.depth >= boundariesMax {
		return false
	}
	switch {
	case sub.Service != nil:
		return c.request(sub.Service, acc, m)
	case sub.Response:
		return c.respond(acc, m)
	}
	return false
}

// routeAcross delivers in another account while the caller still walks a match
// of its own.
func (c *Client) routeAcross(acc *account.Account, m *message) bool {
	c.routes.depth++
	ok := c.route(acc, m)
	c.routes.depth--
	return ok
}

// request publishes m, which reached a service import, in the exporting account.
func (c *Client) request(si *account.ServiceImport, from *account.Account, m *message) bool {
	there, ok := si.AppendTarget(nil, m.subject)
	if !ok {
		return false
	}
	next := message{subject: there, payload: m.payload, header: m.header, depth: m.depth + 1}
	if maps := si.Account.Graph().Mappings; maps != nil && !c.mapSubject(maps, &next) {
		return false
	}
	var open *account.Response
	if len(m.reply) > 0 {
		next.reply = m.reply
		if !bytes.HasPrefix(m.reply, prefixJSAck) {
			open = si.Account.Responses().Open(from, string(m.reply), si, c.now, c.strand.Rand("reply"), nil)
			next.reply = open.Subject()
			c.b.armSweep(si.Account, c.now)
		}
	}
	c.introduce(si, from, &next)
	if c.routeAcross(si.Account, &next) {
		return true
	}
	if open != nil {
		si.Account.Responses().Remove(open, c.now)
	}
	return false
}

// introduce stamps a request with who sends it; a value that the client supplied
// is replaced, one of an earlier boundary is kept with the account between.
func (c *Client) introduce(si *account.ServiceImport, from *account.Account, m *message) {
	info := account.ClientInfo{Account: c.account(), RTT: time.Duration(c.rtt.Load())}
	if m.depth > 1 {
		info.Service = from.Name
	}
	if si.Share {
		c.describe(&info)
	}
	if si.Account == c.b.SystemAccount() {
		info.Server = c.b.identity.ServerName
	}
	head := wire.AppendHeaderSet(nil, m.payload[:m.header], account.RequestInfoHeader, string(account.AppendRequestInfo(nil, info)))
	m.payload = append(head, m.payload[m.header:]...)
	m.header = len(head)
}

// describe fills in what a shared import tells about the requester.
func (c *Client) describe(info *account.ClientInfo) {
	info.Start, info.Host, info.ID = c.start, c.peer.Load().host, c.id
	info.Server, info.Kind, info.ClientType = c.b.identity.ServerName, "Client", "nats"
	if id := c.ident.Load(); id != nil {
		info.User, info.Name, info.Lang, info.Version = id.User, id.Connect.Name, id.Connect.Lang, id.Connect.Version
	}
}

// respond carries a service's response back to who asked.
func (c *Client) respond(acc *account.Account, m *message) bool {
	open := acc.Responses().Lookup(m.subject)
	if open == nil {
		return false
	}
	last := open.Import.Export.Current().Response == account.Singleton
	if last && !acc.Responses().Remove(open, c.now) {
		return false // another responder was first
	}
	back := message{subject: []byte(open.Reply), reply: m.reply, payload: m.payload, header: m.header, depth: m.depth + 1}
	answer := c.answerable(open, acc, &back)
	delivered := c.routeAcross(open.Requestor, &back)
	if answer != nil && !delivered {
		open.Requestor.Responses().Remove(answer, c.now)
	}
	switch {
	case last:
	case !delivered || len(m.payload) == 0:
		acc.Responses().Remove(open, c.now)
	default:
		acc.Responses().Touch(open, c.now)
	}
	return delivered
}

// answerable gives a response that wants an answer a reply subject in the account
// that gets it; the way there leads back to the responder.
func (c *Client) answerable(open *account.Response, acc *account.Account, back *message) *account.Response {
	if len(back.reply) == 0 || bytes.HasPrefix(back.reply, prefixJSAck) {
		return nil
	}
	there := open.Requestor
	answer := there.Responses().Open(acc, string(back.reply), open.Import, c.now, c.strand.Rand("reply"), nil)
	back.reply = answer.Subject()
	c.b.armSweep(there, c.now)
	return answer
}

// armSweep makes sure that overdue responses of an account will be ended.
func (b *Broker) armSweep(acc *account.Account, now time.Duration) {
	at, ok := acc.Responses().Next()
	if !ok {
		return
	}
	for {
		armed := b.sweepAt.Load()
		if armed != 0 && armed <= int64(at) {
			return
		}
		if b.sweepAt.CompareAndSwap(armed, int64(at)) {
			b.sweep.Reset(at - now)
			return
		}
	}
}

// sweepResponses ends the responses that took too long, and looks again while
// any is open.
func (b *Broker) sweepResponses() {
	b.sweepAt.Store(0)
	now := b.clock.Monotonic()
	for _, a := range b.Accounts() {
		a.Responses().ExpireBefore(now)
		b.armSweep(a, now)
	}
}
