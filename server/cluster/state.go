package cluster

import (
	"time"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/s2frame"
)

// RouteState is what monitoring shows of a route.
type RouteState struct {
	ID           uint64
	RemoteID     string
	RemoteName   string
	Solicited    bool // this server dials the remote
	Configured   bool // because it is configured
	Host         string
	Port         int
	Start        time.Time     // wall
	LastActivity time.Duration // since interest or messages came last
	RTT          time.Duration // 0: not known
	Import       *perm.SubjectPermission
	Export       *perm.SubjectPermission
	Account      string // the route is for it alone
	Compression  string // empty: none
	Stats        broker.LinkStats
	link         *broker.Link
}

// Subscriptions lists the interest that came over the route.
func (r *RouteState) Subscriptions() []broker.LinkSubscription { return r.link.Subscriptions() }

// Line writes an interest as the protocol has it, without the verb: `account subject [queue]`, the
// account left out on a route for one.
func (r *RouteState) Line(s *broker.LinkSubscription) string {
	line := s.Subject
	if r.Account == "" {
		line = s.Account + " " + line
	}
	if s.Origin != "" {
		line = s.Origin + " " + line
	}
	if s.Queue != "" {
		line += " " + s.Queue
	}
	return line
}

// Routes lists the registered routes by remote. Any strand.
func (c *Cluster) Routes() []RouteState {
	now := c.Clock.Monotonic()
	var all []RouteState
	for _, k := range c.table.registered() {
		link, peer := k.link.Load(), k.peer.Load()
		if link == nil || peer == nil { // about to be
			continue
		}
		s := RouteState{
			ID: k.id, RemoteID: link.RemoteID(), RemoteName: link.RemoteName(), Host: k.host, Port: k.port, Start: k.start,
			LastActivity: now - time.Duration(k.last.Load()), RTT: time.Duration(k.rtt.Load()),
			Import: permissions(peer.Import), Export: permissions(peer.Export), Account: k.account,
			Compression: k.compression(), Stats: link.Stats(), link: link,
		}
		s.Solicited, s.Configured = c.table.how(k)
		all = append(all, s)
	}
	return all
}

// compression is how what is sent is compressed now.
func (k *conn) compression() string {
	switch {
	case k.packer == nil:
		return config.CompressionOff
	case k.mode == config.CompressionS2Auto:
		return modeOf(s2frame.Level(k.packer.level.Load()))
	}
	return k.mode
}

// NumRoutes and NumRemotes count the registered routes and the servers at their other ends.
func (c *Cluster) NumRoutes() int {
	n, _ := c.table.counts()
	return n
}

func (c *Cluster) NumRemotes() int {
	_, n := c.table.counts()
	return n
}

// how tells whether a route's remote is dialled by this server, and whether because it is
// configured.
func (t *table) how(k *conn) (solicited, configured bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.remote == nil || k.remote.how == nil {
		return false, false
	}
	return true, k.remote.how.explicit
}
