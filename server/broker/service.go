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
func (p *publisher) mapSubject(maps *subject.Mappings, m *message) bool {
	to, mapped, drop := maps.AppendTo(p.mappingSpace(m), m.subject, "", p.strand.Rand("mapping"))
	if drop {
		return false
	}
	if !mapped {
		return true
	}
	if p.self != nil && p.b.log.Trace() {
		p.self.traceMapping(string(m.subject), string(to))
	}
	if m.depth == 0 {
		p.mapped = to
	}
	m.subject = to
	return true
}

// mappingSpace is where a mapped subject is written: scratch for the first
// account of a message, its own memory beyond.
func (p *publisher) mappingSpace(m *message) []byte {
	if m.depth == 0 {
		return p.mapped[:0]
	}
	return nil
}

// deliverInternal gives m to one of the server's own subscriptions.
func (p *publisher) deliverInternal(t *target, acc *account.Account, m *message) bool {
	sub := t.sub
	if m.depth >= boundariesMax {
		return false
	}
	switch {
	case sub.Service != nil && p.from != nil && m.depth == 0:
		return false // it was evaluated where the request entered
	case sub.Service != nil:
		return p.request(sub.Service, acc, m)
	case sub.Response:
		return p.respond(acc, m)
	}
	return p.deliverToSink(t, m)
}

// routeAcross delivers in another account while the caller still walks a match
// of its own.
func (p *publisher) routeAcross(acc *account.Account, m *message) bool {
	p.routes.depth++
	ok := p.route(acc, m)
	p.routes.depth--
	return ok
}

// request publishes m, which reached a service import, in the exporting account.
func (p *publisher) request(si *account.ServiceImport, from *account.Account, m *message) bool {
	there, ok := si.AppendTarget(nil, m.subject)
	if !ok {
		return false
	}
	next := message{subject: there, shown: m.shown, header: m.header, body: m.body, depth: m.depth + 1}
	if maps := si.Account.Graph().Mappings; maps != nil && !p.mapSubject(maps, &next) {
		return false
	}
	var open *account.Response
	if len(m.reply) > 0 {
		next.reply = m.reply
		if !bytes.HasPrefix(m.reply, prefixJSAck) {
			open = si.Account.Responses().Open(from, string(m.reply), si, p.now, p.strand.Rand("reply"), nil)
			next.reply = open.Subject()
			p.b.armSweep(si.Account, p.now)
		}
	}
	p.introduce(si, from, &next)
	if p.routeAcross(si.Account, &next) {
		return true
	}
	if open != nil {
		si.Account.Responses().Remove(open, p.now)
	}
	return false
}

// introduce stamps a request with who sends it; a value that the client supplied
// is replaced, one of an earlier boundary is kept with the account between.
func (p *publisher) introduce(si *account.ServiceImport, from *account.Account, m *message) {
	info := account.ClientInfo{Account: p.accountName()}
	if p.self != nil {
		info.RTT = time.Duration(p.self.rtt.Load())
	}
	if m.depth > 1 {
		info.Service = from.Name
	}
	if si.Share {
		p.describe(&info)
	}
	if si.Account == p.b.SystemAccount() {
		info.Server = p.b.identity.ServerName
	}
	m.header = wire.AppendHeaderSet(nil, m.header, account.RequestInfoHeader, string(account.AppendRequestInfo(nil, info)))
}

// accountName is the name of the publisher's account.
func (p *publisher) accountName() string {
	if p.acc != nil {
		return p.acc.Name
	}
	return account.Global
}

// respond carries a service's response back to who asked.
func (p *publisher) respond(acc *account.Account, m *message) bool {
	open := acc.Responses().Lookup(m.subject)
	if open == nil {
		return false
	}
	last := open.Import.Export.Current().Response == account.Singleton
	if last && !acc.Responses().Remove(open, p.now) {
		return false // another responder was first
	}
	back := message{subject: []byte(open.Reply), shown: m.shown, reply: m.reply, header: m.header, body: m.body, depth: m.depth + 1}
	answer := p.answerable(open, acc, &back)
	delivered := p.routeAcross(open.Requestor, &back)
	if answer != nil && !delivered {
		open.Requestor.Responses().Remove(answer, p.now)
	}
	switch {
	case last:
	case !delivered || m.size() == 0:
		acc.Responses().Remove(open, p.now)
	default:
		acc.Responses().Touch(open, p.now)
	}
	return delivered
}

// answerable gives a response that wants an answer a reply subject in the account
// that gets it; the way there leads back to the responder.
func (p *publisher) answerable(open *account.Response, acc *account.Account, back *message) *account.Response {
	if len(back.reply) == 0 || bytes.HasPrefix(back.reply, prefixJSAck) {
		return nil
	}
	there := open.Requestor
	answer := there.Responses().Open(acc, string(back.reply), open.Import, p.now, p.strand.Rand("reply"), nil)
	back.reply = answer.Subject()
	p.b.armSweep(there, p.now)
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
