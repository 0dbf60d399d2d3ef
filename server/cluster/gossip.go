package cluster

import (
	"net/url"
	"slices"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// gossip tells the other servers of one that has just come, or has got a route for one
// account. Of one that this server was itself told of it tells nobody; but one that was lost is
// news to whoever came meanwhile, and one that has begun anew is to all.
func (c *Cluster) gossip(k *conn, info *wire.RouteInfo) {
	told := k.dialled != nil && !k.dialled.explicit && k.dialled.remote == k.remoteID && !k.dialled.had
	if told && k.dialled.gossip != wire.GossipOverride || info.GossipMode == wire.GossipDisabled {
		return
	}
	i := *info
	i.Nonce, i.PoolIndex, i.Account, i.Lockstep = "", 0, k.account, nil
	for _, to := range c.table.others(k.remoteID, k.account) {
		i.GossipMode = c.gossipMode(k, to)
		line := wire.AppendRouteInfo(nil, &i, false)
		to.strand.Post(func() { // after what it says of itself
			if to.registered() {
				to.out.Write(line)
				to.out.Flush()
			}
		})
	}
}

// gossipMode is how a server is told of the one at the other end of k.
func (c *Cluster) gossipMode(k, to *conn) int {
	switch {
	case k.dialled == nil && c.table.isExplicit(to), k.dialled != nil && k.dialled.explicit:
		return wire.GossipOverride
	case k.dialled == nil:
		return wire.GossipDisabled
	}
	return wire.GossipDefault
}

// heard takes what a peer tells of a third server.
func (c *Cluster) heard(from *conn, info *wire.RouteInfo) {
	if info.ServerID == "" || info.ServerID == c.id.ServerID || c.table.connected(info.ServerID, info.Account) {
		return
	}
	u, err := url.Parse(info.IP)
	if err != nil || u.Host == "" {
		c.Log.Errorf("%s - Told of server %q at %q, which is no url", from, info.ServerID, info.IP)
		return
	}
	s := c.settings.Load()
	if c.isRoute(u, info) || info.Account != "" && !s.layout.isPinned(info.Account) {
		return
	}
	if info.AuthRequired && s.o.Cluster.Username != "" {
		u.User = url.UserPassword(s.o.Cluster.Username, s.o.Cluster.Password)
	}
	t := &target{
		url: u, account: info.Account, gossip: info.GossipMode, remote: info.ServerID,
		until: c.Clock.Monotonic() + toldPatience,
	}
	alone := from.size == 0 && s.layout.pools() && info.PoolSize > 0 && info.Account == ""
	c.strand.Post(func() {
		c.dials.start(t, 0, false)
		if alone { // a server without pools does not tell of accounts
			for _, account := range s.layout.pinned {
				c.dials.start(t.forAccount(account), 0, false)
			}
		}
	})
}

// isRoute tells whether a server is one of the configured routes, which are dialled anyhow.
func (c *Cluster) isRoute(u *url.URL, info *wire.RouteInfo) bool {
	at := netsim.JoinHostPort(info.Host, info.Port)
	return slices.ContainsFunc(c.settings.Load().o.Routes, func(r *url.URL) bool {
		return r.Host == at || r.Host == u.Host
	})
}

// update takes an INFO that comes later on.
func (k *conn) update(info *wire.RouteInfo) {
	switch {
	case info.AccountReqID != "":
		k.accountMoves(info)
	case info.Gateway != "":
		k.c.Log.Errorf("%s - Received information about gateway %q, but gateways are not configured", k, info.Gateway)
	case info.ServerID != k.remoteID:
		k.c.heard(k, info)
	case info.LameDuck:
		if k.c.table.setURLs(k.remoteID, nil) {
			k.c.tellClients()
		}
	default:
		k.renewed(info)
	}
}

// renewed takes what the peer says anew of itself. When it takes other interest than before, it
// is told of what it did not take.
func (k *conn) renewed(info *wire.RouteInfo) {
	was := k.peer.Load()
	now := *was
	now.Import, now.Export, now.ConnectURLs = info.Import, info.Export, info.ConnectURLs
	k.peer.Store(&now)
	if k.c.table.setURLs(k.remoteID, info.ConnectURLs) {
		k.c.tellClients()
	}
	if !sameLists(was.Export, info.Export) {
		k.tellAnew(was.Export)
	}
}

// tellAnew tells the peer of the interest that it did not take when these lists were what it
// takes.
func (k *conn) tellAnew(was *wire.SubjectLists) {
	taken, err := perm.Compile(&perm.Permissions{Publish: permissions(was)})
	if err != nil { // it states what are no subjects: who knows what it took
		k.c.Log.Debugf("%s - Permissions of the remote: %v", k, err)
		k.c.announcer.Remove(k.linked)
		k.startTelling()
		return
	}
	k.c.announcer.SetImports(k.linked, taken)
	k.c.announcer.SetImports(k.linked, k.c.settings.Load().perms)
}

func sameLists(a, b *wire.SubjectLists) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Allow, b.Allow) && slices.Equal(a.Deny, b.Deny)
}
