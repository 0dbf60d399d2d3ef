package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// Reload puts new options in force. They were checked before: what may not change
// did not. Accounts keep their interest and connections; every connection is
// judged anew on its own strand, so a message sees either the old or the new.
func (b *Broker) Reload(o *config.Options) error {
	if _, err := b.buildTable(o); err != nil { // nothing may change for a bad one
		return err
	}
	old := b.options()
	changed := b.adoptAccounts(o)
	b.renewSinks()
	table, err := b.buildTable(o)
	if err != nil {
		return err
	}
	b.opts.Store(o)
	b.auth.Store(table)
	clients := b.Clients()
	payload := old.MaxPayload != o.MaxPayload
	for _, c := range clients {
		c.strand.Post(func() { c.reloaded(changed, payload) })
	}
	b.shedAccounts(clients)
	b.strand.Post(func() { b.shed(clients, o.MaxConn) })
	return nil
}

// Settled calls done, on the strand of whoever is last, when every open connection
// has carried out what was posted to it before, such as a reload.
func (b *Broker) Settled(done func()) {
	b.strand.Post(func() { // after what the reload left to the broker's own strand
		clients := b.Clients()
		var left atomic.Int64
		left.Store(int64(len(clients)) + 1)
		step := func() {
			if left.Add(-1) == 0 {
				done()
			}
		}
		for _, c := range clients {
			c.strand.Post(step)
		}
		step()
	})
}

// renewSinks makes what sinks have in exporting accounts fit the imports.
func (b *Broker) renewSinks() {
	b.sinks.mu.Lock()
	all := slices.Clone(b.sinks.all)
	b.sinks.mu.Unlock()
	for _, k := range all {
		k.renewShadows()
	}
}

// adoptAccounts gives the living accounts what the new options say of them, and
// forgets those that are no longer there. It returns the accounts whose imports
// or exports changed.
func (b *Broker) adoptAccounts(o *config.Options) map[*account.Account]bool {
	now := b.clock.Now()
	stated := map[string]*account.Account{}
	for _, a := range o.Accounts {
		stated[a.Name] = a
		b.ensureAccount(a.Name)
	}
	for _, name := range []string{account.Global, b.systemName()} {
		if name != "" && stated[name] == nil {
			stated[name] = account.New(name)
		}
	}
	changed := map[*account.Account]bool{}
	for _, a := range b.Accounts() {
		next := stated[a.Name]
		if next == nil { // no longer configured: it keeps nothing that reaches others
			next = account.New(a.Name)
		}
		if c := a.Adopt(next, b.LookupAccount); c.Any() {
			changed[a] = c.StreamImports
			a.SetUpdated(now)
		}
		if stated[a.Name] == nil {
			b.removeAccount(a)
		}
	}
	return changed
}

func (b *Broker) systemName() string {
	if s := b.SystemAccount(); s != nil {
		return s.Name
	}
	return ""
}

// removeAccount forgets an account and the responses that lead to it.
func (b *Broker) removeAccount(gone *account.Account) {
	b.accounts.remove(gone)
	if n := b.announcer.Load(); n != nil && b.LookupAccount(gone.Name) != gone {
		n.shut(gone)
	}
	b.rebindLinks()
	now := b.clock.Monotonic()
	for _, a := range b.Accounts() {
		a.Responses().RemoveRequestor(gone, now)
	}
}

func (r *accounts) remove(a *account.Account) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName[a.Name] == a && a != r.global && a != r.system {
		delete(r.byName, a.Name)
	}
}

// shed closes connections above a lowered max_connections, picked at random. It runs
// on the broker's strand, whose randomness it draws.
func (b *Broker) shed(clients []*Client, limit int) {
	over := len(clients) - max(limit, 0)
	if over <= 0 {
		return
	}
	rnd := b.strand.Rand("shed")
	rnd.Shuffle(len(clients), func(i, j int) { clients[i], clients[j] = clients[j], clients[i] })
	for _, c := range clients[:over] {
		c.Disconnect(MaxConnectionsExceeded, wire.TextMaxConnections)
	}
}

// shedAccounts closes the newest connections of accounts that now allow fewer.
func (b *Broker) shedAccounts(clients []*Client) {
	kept := map[*account.Account]int64{}
	for _, c := range clients { // by id
		acc := c.bound.Load()
		if acc == nil {
			continue
		}
		if limit := acc.Limits().Connections; limit >= 0 && kept[acc] >= limit {
			c.Disconnect(MaxAccountConnectionsExceeded, wire.TextMaxAccountConnections)
			continue
		}
		kept[acc]++
	}
}

// errMoved: the user of a connection now belongs to another account, or is gone.
var errMoved = errors.New("user changed account")

// reloaded judges a connection by the new options.
func (c *Client) reloaded(changed map[*account.Account]bool, payload bool) {
	if c.phase == phaseClosed {
		return
	}
	c.now = c.b.clock.Monotonic()
	if !c.reauthorize() {
		return
	}
	if payload {
		c.parser.MaxPayload = int64(c.b.options().MaxPayload)
	}
	c.parser.MaxControlLine = int(c.b.options().MaxControlLine)
	if c.acc != nil && changed[c.acc] {
		c.renewShadows()
	}
	c.forgetRoutes()
	c.endBatch()
	c.arm()
}

// reauthorize asks the new users about a connection that authenticated before.
func (c *Client) reauthorize() bool {
	t := c.b.table()
	if c.connect == nil && !c.connected {
		c.authAsked = t.Required()
		return true
	}
	request := auth.Request{Nonce: c.nonce, TLS: c.conn.TLS(), ConnType: c.connType(), Client: c, Connect: c.connect}
	if request.Connect == nil {
		anonymous := wire.DefaultConnect()
		request.Connect = &anonymous
	}
	if state := request.TLS; state != nil && !config.MatchesPinned(c.b.options().TLSPinnedCerts, state) {
		c.end(TLSHandshakeError)
		return false
	}
	if prior := c.ident.Load(); prior != nil && prior.ProxyKey != "" && !t.TrustsProxy(prior.ProxyKey) {
		c.authViolation(auth.Distrusted(request.Connect))
		return false
	}
	id, err := t.Authenticate(request)
	if err == nil && c.known && !t.Required() { // users are gone altogether
		c.b.log.Debugf("%s - %v", c, errMoved)
		c.end(ClientClosed)
		return false
	}
	if err != nil {
		if prior := c.ident.Load(); prior != nil && c.known && !t.Knows(prior.User, prior.Nkey) {
			c.b.log.Debugf("%s - %v", c, errMoved)
			c.end(ClientClosed)
			return false
		}
		c.authViolation(err)
		return false
	}
	next := id.Account
	if next == nil {
		next = c.b.Global()
	}
	if next != c.acc {
		c.b.log.Debugf("%s - %v", c, errMoved)
		c.end(ClientClosed)
		return false
	}
	if !c.bind(id) {
		return false
	}
	c.recheckSubs(id.Perms)
	return true
}

// recheckSubs removes subscriptions that are no longer permitted, and says so.
func (c *Client) recheckSubs(p *perm.Set) {
	some := false
	for _, s := range c.listSubs() {
		ok, filtered := true, false
		if p != nil {
			ok, filtered = p.CanSubscribe(s.Subject, s.Queue)
		}
		if !ok {
			c.removeSub(s)
			c.sendError(wire.TextSubscriptionRemoved([]byte(s.Subject), []byte(s.Queue), []byte(s.SID)))
			c.logRemoved(s)
			continue
		}
		some = some || filtered
	}
	c.out.filters.Store(some)
}

// logRemoved says which subscription its user may no longer have.
func (c *Client) logRemoved(s *account.Subscription) {
	queue := ""
	if s.Queue != "" {
		queue = fmt.Sprintf(" using queue %q", s.Queue)
	}
	kind, who, _ := strings.Cut(c.ident.Load().Label, ":")
	if kind != "" {
		kind = strings.ToUpper(kind[:1]) + kind[1:]
	}
	c.b.log.Noticef("Removed sub %q%s (sid %q) for %s %q - not authorized", s.Subject, queue, s.SID, kind, who)
}

// renewShadows makes the subscriptions in exporting accounts fit the imports. Those
// of unchanged imports stay, so that nothing is missed.
func (c *Client) renewShadows() {
	for _, sub := range c.listSubs() {
		c.out.mu.Lock()
		old := c.out.shadows[sub]
		delete(c.out.shadows, sub)
		c.out.mu.Unlock()
		kept, gone := divide(c.acc, old)
		removeShadows(gone)
		c.addShadows(sub, kept)
	}
}
