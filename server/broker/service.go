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

// requestInfo is the header that tells a service who asks.
const requestInfo = "Nats-Request-Info"

// mapSubject applies the account's mappings to a publish; false drops it.
func (c *Client) mapSubject(maps *subject.Mappings, m *message) bool {
	to, mapped, drop := maps.Apply(string(m.subject), "", c.strand.Rand("mapping"))
	if drop {
		return false
	}
	if mapped {
		c.traceMapping(string(m.subject), to)
		m.subject = []byte(to)
	}
	return true
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
	opened := ""
	if len(m.reply) > 0 {
		next.reply = m.reply
		if !bytes.HasPrefix(m.reply, prefixJSAck) {
			opened = si.Account.Responses().Add(from, string(m.reply), si, c.now, c.strand.Rand("reply"), nil)
			next.reply = []byte(opened)
			c.b.armSweep(si)
		}
	}
	c.introduce(si, from, &next)
	if c.routeAcross(si.Account, &next) {
		return true
	}
	if opened != "" {
		si.Account.Responses().Remove(opened)
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
	head := wire.AppendHeaderSet(nil, m.payload[:m.header], requestInfo, string(account.AppendRequestInfo(nil, info)))
	m.payload = append(head, m.payload[m.header:]...)
	m.header = len(head)
}

// describe fills in what a shared import tells about the requester.
func (c *Client) describe(info *account.ClientInfo) {
	info.Start, info.Host, info.ID = c.start, c.host, c.id
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
	back := message{subject: []byte(open.Reply), reply: m.reply, payload: m.payload, header: m.header, depth: m.depth + 1}
	delivered := c.routeAcross(open.Requestor, &back)
	ended := !delivered || open.Import.Export.Response == account.Singleton || len(m.payload) == 0
	if ended {
		acc.Responses().Remove(string(m.subject))
	} else {
		acc.Responses().Touch(string(m.subject), c.now)
	}
	return delivered
}

// armSweep makes sure that open responses are looked through after the threshold.
func (b *Broker) armSweep(si *account.ServiceImport) {
	if !b.sweeping.Swap(true) {
		b.sweep.Reset(si.Export.Threshold)
	}
}

// sweepResponses ends the responses that took too long, and looks again while
// any is open.
func (b *Broker) sweepResponses() {
	b.sweeping.Store(false)
	now := b.clock.Monotonic()
	next := time.Duration(0)
	for _, a := range b.Accounts() {
		if a.Responses().Len() == 0 {
			continue
		}
		a.Responses().ExpireBefore(now)
		if t := a.Responses().Shortest(); t > 0 && (next == 0 || t < next) {
			next = t
		}
	}
	if next > 0 && !b.sweeping.Swap(true) {
		b.sweep.Reset(next)
	}
}
