package broker

import (
	"errors"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// errFirstOp: something other than CONNECT came first although credentials are asked for.
var errFirstOp = &auth.Error{Reason: "the first operation must be CONNECT"}

// processConnect carries out CONNECT, which may come again: then the new values
// are laid over the old, subscriptions are dropped, and everything is judged anew.
func (c *Client) processConnect(arg []byte) {
	if c.b.log.Trace() {
		c.traceIn("CONNECT", []byte(wire.RedactConnect(arg)))
	}
	c.active = true
	c.flushStages() // what was published so far is another publisher's
	again := c.connect != nil
	next := wire.DefaultConnect()
	if again {
		next = *c.connect
	}
	if err := next.Merge(arg); err != nil {
		c.b.log.Errorf("%s - CONNECT: %v", c, err)
		c.end(ProtocolViolation)
		return
	}
	c.connect = &next
	if again || c.implicit {
		for _, s := range c.listSubs() {
			c.removeSub(s)
		}
	}
	c.verbose, c.pedantic, c.echo = next.Verbose, next.Pedantic, next.Echo
	if !c.authenticate() {
		return
	}
	if next.Protocol < 0 || next.Protocol > 1 {
		c.b.log.Errorf("%s - %s", c, wire.TextInvalidClientProtocol)
		c.fail(wire.TextInvalidClientProtocol, BadClientProtocolVersion)
		return
	}
	headers := next.Headers && !c.b.options().NoHeaderSupport
	c.out.headers.Store(headers)
	c.parser.Headers = headers
	c.noResp = next.NoResponders
	if c.noResp && !headers {
		c.b.log.Errorf("%s - %s", c, wire.TextNoRespondersHeaders)
		c.fail(wire.TextNoRespondersHeaders, NoRespondersRequiresHeaders)
		return
	}
	c.authAt = 0
	c.connected = true
	c.guessRTT()
	c.firstPing()
	c.arm()
	c.acknowledge()
}

// implicitUser authenticates a connection that sent no CONNECT as no_auth_user.
func (c *Client) implicitUser() bool {
	if !c.b.table().Implicit(c.connType()) {
		return false
	}
	empty := wire.DefaultConnect()
	c.connect = &empty
	ok := c.authenticate()
	c.connect = nil
	if ok {
		c.connected, c.implicit, c.authAt = true, true, 0
	}
	return ok
}

// authenticate finds out who connects and binds the connection to its account.
// A refusal is answered.
func (c *Client) authenticate() bool {
	id, err := c.b.table().Authenticate(auth.Request{
		Connect: c.connect, Nonce: c.nonce, TLS: c.conn.TLS(), ConnType: c.connType(), Client: c,
	})
	if err != nil {
		c.authViolation(err)
		return false
	}
	c.warn(id.Warning)
	c.known = c.b.table().Knows(id.Name, id.Nkey)
	return c.bind(id)
}

// authViolation refuses a connection's credentials; the log knows why, the
// client does not.
func (c *Client) authViolation(err error) {
	reason := AuthenticationViolation
	var refused *auth.Error
	if errors.As(err, &refused) {
		switch refused.Kind {
		case auth.ProxyRequired:
			reason = ProxyRequired
		case auth.ProxyNotTrusted:
			reason = ProxyNotTrusted
		}
		c.warn(refused.Warning)
		if refused.Reason != "" {
			c.b.log.Debugf("%s - %s", c, refused.Reason)
		}
		c.remember(refused, "")
	}
	c.b.log.Errorf("%s - %v", c, err)
	c.fail(wire.TextAuthViolation, reason)
}

// warn logs what authentication found worth a warning, if anything.
func (c *Client) warn(text string) {
	if text != "" {
		c.b.log.Warnf("%s - %s", c, text)
	}
}

// remember keeps who a refused client claimed to be, for monitoring, and the account
// that was full, if that was why.
func (c *Client) remember(refused *auth.Error, full string) {
	denied := &Ident{User: refused.Name, Account: full, Kind: "Client", ProxyKey: refused.ProxyKey}
	if prior := c.ident.Load(); prior != nil && full == "" {
		denied.Account, denied.Perms = prior.Account, prior.Perms
		if denied.ProxyKey == "" {
			denied.ProxyKey = prior.ProxyKey
		}
	}
	if c.connect != nil {
		denied.Connect = *c.connect
	}
	c.denied.Store(denied)
}

// bind makes the connection a member of the identity's account.
func (c *Client) bind(id auth.Identity) bool {
	acc := id.Account
	if acc == nil {
		acc = c.b.Global()
	}
	if c.acc != acc {
		if !acc.AddConnection() {
			c.remember(&auth.Error{Name: id.Name, ProxyKey: id.ProxyKey}, acc.Name)
			c.b.log.Errorf("%s - maximum account active connections exceeded", c)
			c.fail(wire.TextMaxAccountConnections, MaxAccountConnectionsExceeded)
			return false
		}
		c.forgetRoutes()
		if c.acc != nil {
			c.acc.RemoveConnection()
		}
		c.acc = acc
		c.bound.Store(acc)
	}
	prior := c.ident.Load()
	c.setPermissions(id.Perms, prior != nil && prior.User == id.Name && prior.Account == acc.Name)
	c.applyLimits()
	c.expireAt = 0
	if !id.Deadline.IsZero() {
		c.expireAt = c.now + max(id.Deadline.Sub(c.b.clock.Now()), 1)
	}
	ident := &Ident{
		User: id.Name, Label: id.Label, Account: acc.Name, Perms: id.Permissions, Nkey: id.Nkey, Kind: "Client",
		ProxyKey: id.ProxyKey,
	}
	if prior != nil && ident.ProxyKey == "" { // a second CONNECT came the same way
		ident.ProxyKey = prior.ProxyKey
	}
	if c.connect != nil {
		ident.Connect = *c.connect
	}
	c.ident.Store(ident)
	return true
}

// setPermissions puts a compiled permission set in force. What the same user was
// asked before may still be answered, if as much and as long as before.
func (c *Client) setPermissions(p *perm.Set, sameUser bool) {
	was := c.perms.Swap(p)
	c.pub, c.publishes = perm.PubCache{}, p
	if p != nil && !p.RestrictsPublish() {
		c.publishes = nil
	}
	n, ttl, ok := p.Responses()
	if wasN, wasTTL, had := was.Responses(); sameUser && had == ok && wasN == n && wasTTL == ttl {
		return
	}
	var replies *perm.Replies
	if ok {
		replies = perm.NewReplies(n, ttl)
	}
	c.out.mu.Lock()
	c.out.replies = replies
	c.out.mu.Unlock()
	c.out.permits.Store(replies != nil)
}

// applyLimits puts the lower of server and account limits in force.
func (c *Client) applyLimits() {
	o := c.b.options()
	c.parser.MaxControlLine = int(o.MaxControlLine)
	c.parser.MaxPayload = int64(o.MaxPayload)
	c.subsMax = -1
	if o.MaxSubs > 0 {
		c.subsMax = int64(o.MaxSubs)
	}
	if c.acc == nil {
		return
	}
	l := c.acc.Limits()
	c.parser.MaxPayload = lower(c.parser.MaxPayload, l.Payload)
	c.subsMax = lower(c.subsMax, l.Subs)
	if l.Subs >= 0 && l.Subs != c.accountSubs && int64(c.NumSubscriptions()) >= c.subsMax {
		c.overSubsAt = c.now + overSubsWait
	}
	c.accountSubs = l.Subs
}

// overSubsWait is how long a connection lives that an account's new limit of
// subscriptions leaves no room.
const overSubsWait = 20 * time.Millisecond

// overSubs ends a connection that has as many subscriptions as its account's new
// limit, or more.
func (c *Client) overSubs() {
	if int64(c.NumSubscriptions()) < c.subsMax {
		return
	}
	c.b.log.Errorf("%s - maximum subscriptions exceeded", c)
	c.fail(wire.TextMaxSubscriptions, MaxSubscriptionsExceeded)
}

// lower of two limits, where a negative one is none.
func lower(a, b int64) int64 {
	if a < 0 {
		return b
	}
	if b < 0 {
		return a
	}
	return min(a, b)
}

// sendInfo sends INFO; after CONNECT it also tells account and limits.
func (c *Client) sendInfo(afterConnect bool) { c.sendInfoWith(afterConnect, c.b.lame.Load()) }

func (c *Client) sendInfoWith(afterConnect, lame bool) {
	info := c.b.info(c)
	info.LameDuck = lame
	if afterConnect {
		info.ConnectInfo = true
		info.AuthRequired = c.b.AuthRequired()
		info.RemoteAccount = c.account()
		info.IsSystemAccount = c.isSystem()
		info.MaxPayload = c.parser.MaxPayload
	}
	line := wire.AppendInfo(nil, info)
	c.reply(line)
	c.infoSent = true
	if c.b.log.Trace() && c.began {
		c.traceOut("INFO", line[len("INFO "):len(line)-2])
	}
}

// account is the name of the connection's account. Any strand.
func (c *Client) account() string {
	if acc := c.bound.Load(); acc != nil {
		return acc.Name
	}
	return account.Global
}

func (c *Client) isSystem() bool {
	return c.acc != nil && c.acc == c.b.SystemAccount()
}

// authTimeout is how long a client may take to authenticate.
func (b *Broker) authTimeout() time.Duration {
	return time.Duration(b.options().AuthTimeout * float64(time.Second))
}

// tlsTimeout is how long a handshake may take.
func (b *Broker) tlsTimeout() time.Duration {
	return time.Duration(b.options().TLSTimeout * float64(time.Second))
}
