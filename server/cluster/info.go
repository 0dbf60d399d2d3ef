package cluster

import (
	"net/netip"
	"net/url"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// routeProto is what this server understands: INFO at any time, and accounts.
const routeProto = 2

// info is what this server says of itself on any route.
func (c *Cluster) info() wire.RouteInfo {
	s := c.settings.Load()
	o := s.o
	name, dynamic := c.table.clusterName()
	at := c.address.Load()
	i := wire.RouteInfo{
		ServerID: c.id.ServerID, ServerName: c.id.ServerName, Version: c.id.Version, Proto: routeProto,
		GitCommit: c.id.GitCommit, GoVersion: c.id.GoVersion, Headers: !o.NoHeaderSupport,
		AuthRequired: o.Cluster.Username != "" || o.Cluster.TLSMap, MaxPayload: int64(o.MaxPayload),
		Cluster: name, Dynamic: dynamic, ConnectURLs: c.clientURLs(), LameDuck: c.table.isLame(),
		LeafOrigin: true, LeafOriginInUnsub: true, Lockstep: c.laneInfo(),
	}
	if at != nil {
		i.Host, i.Port, i.IP = at.host, at.port, at.ip
	}
	if i.LameDuck {
		i.ConnectURLs = nil
	}
	if o.Cluster.TLSConfig != nil {
		i.TLSRequired, i.TLSVerify = true, true
	}
	i.Compression = o.Cluster.Compression.Mode
	if s.layout.pools() {
		i.PoolSize = s.layout.pool
	}
	if p := o.Cluster.Permissions; p != nil {
		i.Import, i.Export = lists(p.Import), lists(p.Export)
	}
	return i
}

func lists(p *perm.SubjectPermission) *wire.SubjectLists {
	if p == nil {
		return nil
	}
	return &wire.SubjectLists{Allow: p.Allow, Deny: p.Deny}
}

func permissions(l *wire.SubjectLists) *perm.SubjectPermission {
	if l == nil {
		return nil
	}
	return &perm.SubjectPermission{Allow: l.Allow, Deny: l.Deny}
}

// ownInfo is what this server says of itself on the route.
func (k *conn) ownInfo() wire.RouteInfo {
	i := k.c.info()
	i.Nonce = k.nonce
	i.Account = k.account
	if k.dialled != nil {
		i.GossipMode = k.dialled.gossip
	}
	if k.negotiated && i.Compression != config.CompressionNotSupported {
		i.Compression = k.mode
	}
	if k.dialled != nil && k.registered() {
		i.PoolIndex = max(k.place.slot, 0)
	}
	return i
}

// sendInfo queues an INFO.
func (k *conn) sendInfo(i *wire.RouteInfo, first bool) {
	k.out.Write(wire.AppendRouteInfo(nil, i, first))
}

// sayInfo says anew what this server is.
func (k *conn) sayInfo() {
	if !k.registered() {
		return
	}
	i := k.c.info()
	i.Compression = ""
	k.sendInfo(&i, false)
	k.out.Flush()
}

// sendConnect queues CONNECT, which begins a route that this server dialled.
func (k *conn) sendConnect() {
	s := k.c.settings.Load()
	name, dynamic := k.c.table.clusterName()
	m := wire.RouteConnect{
		Echo: true, TLSRequired: s.o.Cluster.TLSConfig != nil, Headers: !s.o.NoHeaderSupport, Name: k.c.id.ServerID,
		Cluster: name, Dynamic: dynamic, LeafOrigin: true,
	}
	m.User, m.Pass = k.login()
	k.out.Write(wire.AppendRouteConnect(nil, &m))
	k.c.Log.Debugf("%s - Route connect msg sent", k)
}

// login is what this server logs in with where it dialled.
func (k *conn) login() (user, pass string) {
	if u := k.dialled.url.User; u != nil {
		user = u.Username()
		pass, _ = u.Password()
	}
	return user, pass
}

// serverName is the name that the peer's certificate must have: that of the url, or, where
// that is an address, the first that is none among the configured routes.
func (c *Cluster) serverName(u *url.URL) string {
	if host := u.Hostname(); !isAddress(host) {
		return host
	}
	for _, r := range c.settings.Load().o.Routes {
		if host := r.Hostname(); host != "" && !isAddress(host) {
			return host
		}
	}
	return u.Hostname()
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
