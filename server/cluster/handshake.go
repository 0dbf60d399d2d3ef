package cluster

import (
	"fmt"
	"strings"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/s2frame"
	"github.com/lockstepmq/lockstep/server/wire"
)

// textAuthViolation is told who may not connect.
const textAuthViolation = wire.TextAuthViolation

// connect judges the CONNECT of a peer that dialled.
func (k *conn) connect(arg []byte) {
	if k.phase != phaseConnect {
		return
	}
	m, err := wire.ParseRouteConnect(arg)
	if err != nil {
		k.c.Log.Errorf("%s - %v", k, err)
		k.end(protocolViolation)
		return
	}
	k.remoteID = m.Name
	switch {
	case !k.authenticate(&m):
		k.refuse(textAuthViolation, authenticationFailure)
	case m.Lang != "":
		k.refuse(wire.TextRoutePort, incorrectPort)
	case m.Gateway != "":
		k.refuse(fmt.Sprintf("Rejecting connection from gateway %q on the Route port", m.Gateway), wrongGateway)
	default:
		name, _ := k.c.table.clusterName()
		if m.Cluster != name && !k.joins(m.Cluster, m.Dynamic) {
			k.refuse(fmt.Sprintf("Rejecting connection, cluster name %q does not match %q", m.Cluster, name), clusterNameConflict)
			return
		}
		k.said, k.phase, k.authAt = m, phaseInfo, 0
	}
}

// authenticate tells whether the peer may connect.
func (k *conn) authenticate(m *wire.RouteConnect) bool {
	s := k.c.settings.Load()
	if s.o.Cluster.TLSCheckKnownURLs && !k.knownURL(s.o) {
		return false
	}
	if !s.users.Required() {
		return true
	}
	who := &wire.Connect{Username: m.User, Password: m.Pass}
	if s.o.Cluster.TLSMap { // the certificate says all
		who = &wire.Connect{}
	}
	_, err := s.users.Authenticate(auth.Request{Connect: who, TLS: k.raw.TLS(), ConnType: auth.Standard})
	return err == nil
}

// knownURL tells whether the peer's certificate names the host of a configured route.
func (k *conn) knownURL(o *config.Options) bool {
	state := k.raw.TLS()
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	for _, name := range state.PeerCertificates[0].DNSNames {
		for _, u := range o.Routes {
			if matchesHost(strings.ToLower(name), strings.ToLower(u.Hostname())) {
				return true
			}
		}
	}
	return false
}

// matchesHost compares a name of a certificate, whose first label may be a wildcard, with a host.
func matchesHost(name, host string) bool {
	if name == host {
		return true
	}
	rest, wild := strings.CutPrefix(name, "*.")
	_, parent, found := strings.Cut(host, ".")
	return wild && found && rest == parent
}

// joins decides which of two cluster names gives way. It tells whether this server takes the
// peer's: its own is generated, and the peer's is not, or is the greater one.
func (k *conn) joins(name string, dynamic bool) bool {
	own, generated := k.c.table.clusterName()
	if !generated || name == "" || strings.Contains(name, " ") || dynamic && own >= name {
		return false
	}
	k.c.adopt(name, dynamic, k)
	return true
}

// infoCame takes an INFO.
func (k *conn) infoCame(arg []byte) {
	info, err := wire.ParseRouteInfo(arg)
	if err != nil {
		k.c.Log.Errorf("%s - %v", k, err)
		k.end(protocolViolation)
		return
	}
	switch {
	case k.registered():
		k.update(&info)
		return
	case k.lane != nil:
		k.laneInfoCame(&info)
		return
	}
	k.introduce(&info)
}

// introduce judges the INFO of a peer that is not registered.
func (k *conn) introduce(info *wire.RouteInfo) {
	if info.ServerID == k.c.id.ServerID {
		k.noAgain = true
		if k.dialled != nil {
			u := k.dialled.url
			k.c.Log.Debugf("Detected route to self, ignoring %q", u.Redacted())
			k.c.strand.Post(func() { k.c.dials.foundSelf(u) })
		}
		k.end(duplicateRoute)
		return
	}
	k.remoteID = info.ServerID
	if name, _ := k.c.table.clusterName(); info.Cluster != "" && info.Cluster != name && !k.joins(info.Cluster, info.Dynamic) {
		k.end(clusterNameConflict)
		return
	}
	if k.dialled == nil && info.ServerName == k.c.id.ServerName {
		k.c.Log.Errorf("%s - Remote server has a duplicate name: %q", k, info.ServerName)
		k.end(duplicateServerName)
		return
	}
	k.remoteName = info.ServerName
	if k.remoteName == "" {
		k.remoteName = k.remoteID
	}
	if !k.negotiated {
		if !k.compress(info) {
			return
		}
	}
	if k.place, k.size = (place{}), k.poolSize(info); !k.checkPlace(info) {
		return
	}
	k.register(info)
}

// compress settles how the route is compressed. It tells whether this INFO is the one that
// counts: with compression there is a second one.
func (k *conn) compress(info *wire.RouteInfo) (goOn bool) {
	local := k.c.settings.Load().o.Cluster.Compression
	if mayCompress(local.Mode) && !known(info.Compression) {
		k.refuse(fmt.Sprintf("unsupported route compression mode %q", info.Compression), protocolViolation)
		return false
	}
	k.negotiated = true
	if k.mode = negotiate(local.Mode, info.Compression); k.mode == config.CompressionOff {
		return true
	}
	if k.dialled != nil {
		i := k.ownInfo()
		k.sendInfo(&i, false)
		k.out.Flush()
	}
	k.packer = newPacker(k.raw, levelOf(local, k.mode, k.now-k.accepted))
	k.out = k.packer
	k.unpack = new(s2frame.Reader)
	if k.dialled == nil {
		i := k.ownInfo()
		k.sendInfo(&i, false)
	}
	k.watchAt = k.now + k.patience()
	return false
}

// poolSize is how many slots there are between this server and the peer.
func (k *conn) poolSize(info *wire.RouteInfo) int {
	own := k.c.settings.Load().layout.pool
	if own < 1 || info.PoolSize < 1 {
		return 0
	}
	return min(max(own, info.PoolSize), slotsMax)
}

// slotsMax bounds what a peer can make this server reserve.
const slotsMax = 1024

// checkPlace judges what the peer says of the route's place.
func (k *conn) checkPlace(info *wire.RouteInfo) bool {
	if k.dialled == nil {
		k.account = info.Account
	}
	switch {
	case k.account != "" && k.size == 0:
		k.noAgain = true
		k.refuse(fmt.Sprintf("Not possible to have a dedicated route for account %q between those servers", k.account), protocolViolation)
	case k.account != "":
		return k.checkAccount()
	case k.dialled != nil && info.PoolIndex > 0:
		k.refuse(fmt.Sprintf("Route pool index should not be set but is set to %d", info.PoolIndex), protocolViolation)
	case k.dialled == nil && k.size > 0 && (info.PoolIndex < 0 || info.PoolIndex >= k.size):
		k.refuse(fmt.Sprintf("Invalid route pool index: %d - pool size is %d", info.PoolIndex, info.PoolSize), protocolViolation)
	default:
		return true
	}
	return false
}

// checkAccount judges a route for one account.
func (k *conn) checkAccount() bool {
	switch {
	case k.c.Broker.LookupAccount(k.account) == nil:
		k.refuse(fmt.Sprintf("Unable to lookup account %q: account missing", k.account), missingAccount)
	case !k.c.settings.Load().layout.isPinned(k.account):
		k.refuse(fmt.Sprintf("No route for account %q", k.account), protocolViolation)
	default:
		return true
	}
	return false
}

// register gives the route its place, and lets interest and messages flow.
func (k *conn) register(info *wire.RouteInfo) {
	o := k.c.table.register(k, info, k.size)
	if !o.ok {
		k.noAgain = k.noAgain || o.extra
		k.c.Log.Debugf("%s - Detected duplicate remote route %q", k, k.remoteID)
		k.end(duplicateRoute)
		return
	}
	k.phase, k.watchAt = phaseReady, 0
	if info.IP == "" {
		info.IP = routeURL(k.host, info.Port)
	}
	k.peer.Store(info)
	k.makeLink(info)
	suffix := ""
	if k.account != "" {
		suffix = fmt.Sprintf(" for account %q", k.account)
	}
	k.c.Log.Debugf("%s - Registering remote route %q%s", k, k.remoteID, suffix)
	if k.dialled != nil && !k.saidAll {
		i := k.ownInfo()
		k.sendInfo(&i, false)
	}
	k.saidAll = true
	if o.first {
		k.c.gossip(k, info)
	}
	if o.begun {
		k.c.tellClients()
		k.c.laneHeard(k, info)
	}
	k.startTelling()
	k.firstPing()
	if o.more && k.dialled != nil {
		k.chain = true
		k.sendPing()
	}
}

func (k *conn) makeLink(info *wire.RouteInfo) {
	var acc *account.Account
	if k.account != "" {
		acc = k.c.Broker.LookupAccount(k.account)
	}
	k.parser.Pinned, k.parser.OriginInUnsub = k.account != "", info.LeafOriginInUnsub
	k.linked = k.c.Broker.NewLink(broker.LinkOptions{
		ID: k.id, Conn: k.out, Strand: k.strand, Name: k.String(), RemoteID: k.remoteID, RemoteName: k.remoteName,
		Account: acc, Headers: info.Headers, Origins: info.LeafOrigin, OriginInUnsub: info.LeafOriginInUnsub,
		Export: k.c.settings.Load().perms,
	})
	k.link.Store(k.linked)
}

// startTelling tells the peer of the interest that belongs here.
func (k *conn) startTelling() {
	at := k.place
	wants := func(account string) bool {
		return !k.isMoving(account) && k.c.settings.Load().layout.carries(at, account)
	}
	k.c.announcer.Add(k.linked, wants, k.c.settings.Load().perms)
	k.c.Log.Debugf("%s - Sent local subscriptions to route", k)
}
