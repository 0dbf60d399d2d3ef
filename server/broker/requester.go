package broker

import (
	"time"

	"github.com/lockstepmq/lockstep/server/account"
)

// Who publishes, as services of the server and events tell it.

// Info is what services and events tell about the client at this moment. Any strand.
func (c *Client) Info() account.ClientInfo {
	info := account.ClientInfo{Account: c.account(), RTT: time.Duration(c.rtt.Load())}
	c.describe(&info)
	return info
}

// info is Info, made anew only when something has changed. Own strand; the result is
// shared and never changes.
func (p *publisher) info() *account.ClientInfo {
	c := p.self
	if c == nil {
		if p.about == nil {
			p.about = &account.ClientInfo{Account: p.accountName()}
			p.describe(p.about)
		}
		return p.about
	}
	if id, rtt := c.ident.Load(), c.rtt.Load(); c.lastInfo == nil || c.lastInfoOf != id || int64(c.lastInfo.RTT) != rtt {
		now := c.Info()
		c.lastInfo, c.lastInfoOf = &now, id
	}
	return c.lastInfo
}

// describe fills in what may be told of the publisher beside its account.
func (p *publisher) describe(info *account.ClientInfo) {
	if p.self != nil {
		p.self.describe(info)
		return
	}
	info.Name, info.Server, info.Kind = p.name, p.b.identity.ServerName, "JetStream"
	if p.from != nil {
		info.Name, info.Server, info.Kind = p.from.o.RemoteName, p.from.o.RemoteName, "Router"
	}
}

func (c *Client) describe(info *account.ClientInfo) {
	info.Start, info.Host, info.ID = c.start, c.peer.Load().host, c.id
	info.Server, info.Kind, info.ClientType = c.b.identity.ServerName, "Client", "nats"
	if id := c.ident.Load(); id != nil {
		info.User, info.Name, info.Lang, info.Version = id.User, id.Connect.Name, id.Connect.Lang, id.Connect.Version
	}
}
