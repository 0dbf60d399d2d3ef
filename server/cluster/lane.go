package cluster

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/wire"
)

// Times of lanes that are sought.
const (
	laneHandshakeMax = 3 * time.Second       // from the connection to the end of the handshake, TLS included
	laneRetryMin     = 50 * time.Millisecond // doubles with each attempt in a row
	laneRetryMax     = time.Second
	laneRefusedMax   = 10 * time.Second // the same where the other server refuses, or is not who it should be
	// lanePatience is how long a lane is sought after the last route to its server was lost. With the
	// routes' return it is sought again.
	lanePatience = 10 * time.Minute
)

// laneSide is what a connection has that is a lane, or is about to be.
type laneSide struct {
	hello  lane.HelloReader
	info   wire.RouteInfo // of the peer, which was dialled
	link   *lane.Link     // once the handshake is over
	failed error          // why a handshake with who was dialled failed
}

// lanes are the lanes that this server dials. Of the cluster's strand.
type lanes struct {
	c       *Cluster
	all     []*laneDial // as they were wanted first
	stopped bool
}

// laneDial is the lane to one member.
type laneDial struct {
	l       *lanes
	member  lane.MemberID
	name    string // of the server
	target  *target
	timer   clock.Timer
	attempt int           // failed ones in a row
	seen    time.Duration // monotonic: when there was a route last
	dialing bool
	conn    *conn // the last that was dialled, until it has closed
	over    bool
}

// laneInfo is what this server says of its lane on routes; nil: it has none.
func (c *Cluster) laneInfo() *wire.RouteLockstep {
	if c.Lane == nil {
		return nil
	}
	return &wire.RouteLockstep{Member: uint64(c.Lane.Self()), Lane: lane.Version}
}

// laneHeard has a lane sought to a server that there is a first route to.
func (c *Cluster) laneHeard(k *conn, info *wire.RouteInfo) {
	if c.Lane == nil || info.Lockstep == nil || info.Lockstep.Lane < 1 || info.Lockstep.Member == 0 {
		return
	}
	member := lane.MemberID(info.Lockstep.Member)
	if err := c.Lane.Claim(lane.Peer{Member: member, ServerName: k.remoteName, ServerID: k.remoteID}); err != nil {
		c.Log.Errorf("%s - No lane from server %q (%s): %v", k, c.id.ServerName, c.id.ServerID, err)
		return
	}
	if c.Lane.Self() > member { // it dials
		return
	}
	u, err := c.laneURL(k, info)
	if err != nil {
		c.Log.Errorf("%s - No lane to server %q: %v", k, k.remoteName, err)
		return
	}
	d := &laneDial{l: &c.lanes, member: member, name: k.remoteName, target: &target{url: u, remote: k.remoteID}}
	d.target.lane = d
	c.strand.Post(func() { c.lanes.want(d) })
}

// laneURL is where the lane of a server is dialled: where the route was, or where it says that it is.
func (c *Cluster) laneURL(k *conn, info *wire.RouteInfo) (*url.URL, error) {
	if k.dialled != nil {
		return k.dialled.url, nil
	}
	u, err := url.Parse(info.IP)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("its address %q is no url", info.IP)
	}
	if o := &c.settings.Load().o.Cluster; info.AuthRequired && o.Username != "" {
		u.User = url.UserPassword(o.Username, o.Password)
	}
	return u, nil
}

// want begins to seek a lane, or to seek it elsewhere.
func (l *lanes) want(d *laneDial) {
	if l.stopped {
		return
	}
	for i, was := range l.all {
		if was.member != d.member {
			continue
		}
		if was.name != d.name && l.c.table.connected(was.target.remote, "") {
			l.c.Log.Errorf("Servers %q (%s) and %q (%s) both claim member number %d: no lane to the second",
				was.name, was.target.remote, d.name, d.target.remote, d.member)
			return
		}
		at, _ := l.c.Lane.Present(d.member)
		if was.conn != nil && (was.target.remote == d.target.remote || at.ServerID == d.target.remote) { // it was faster than the routes
			to := *d.target
			to.lane = was
			was.seen, was.target = l.c.Clock.Monotonic(), &to
			return
		}
		was.drop()
		l.all = slices.Delete(l.all, i, i+1)
		break
	}
	d.timer, d.seen = l.c.strand.NewTimer(d.try), l.c.Clock.Monotonic()
	l.all = append(l.all, d)
	d.try()
}

func (l *lanes) stop() {
	l.stopped = true
	for _, d := range l.all {
		d.drop()
	}
	l.all = nil
}

// drop ends the search; a connection that there is lives on.
func (d *laneDial) drop() {
	d.over = true
	d.timer.Stop()
}

// forget is drop for a lane that nobody wants any more.
func (d *laneDial) forget() {
	d.drop()
	d.l.all = slices.DeleteFunc(d.l.all, func(o *laneDial) bool { return o == d })
}

// try makes one attempt.
func (d *laneDial) try() {
	c := d.l.c
	if d.over || d.dialing || d.conn != nil {
		return
	}
	now := c.Clock.Monotonic()
	if c.table.connected(d.target.remote, "") {
		d.seen = now
	} else if now-d.seen > lanePatience {
		d.forget()
		return
	}
	d.dialing = true
	c.Network.Dial(c.strand, dialAddress(d.target.url), netsim.DialOptions{Timeout: config.DefaultRouteDial}, d.dialled)
}

// dialled takes the end of an attempt.
func (d *laneDial) dialled(nc netsim.Conn, err error) {
	d.dialing = false
	switch {
	case d.over || d.l.c.table.isDown():
		if nc != nil {
			nc.Abort(routeRemoved)
		}
	case err != nil:
		d.failed(err)
	default:
		d.conn = d.l.c.newConn(nc, d.target)
	}
}

// failed decides when the next attempt is made.
func (d *laneDial) failed(err error) {
	c := d.l.c
	d.attempt++
	every := c.settings.Load().o.ConnectErrorReports
	text := "Error trying to connect a lane to server %q at %s (attempt %d): %v"
	if first := d.attempt == 1 && c.table.connected(d.target.remote, ""); first || every > 0 && d.attempt%every == 0 {
		c.Log.Errorf(text, d.name, d.target.url.Host, d.attempt, err)
	} else {
		c.Log.Debugf(text, d.name, d.target.url.Host, d.attempt, err)
	}
	most := time.Duration(laneRetryMax)
	if errors.Is(err, protocolViolation) {
		most = laneRefusedMax
	}
	d.again(most)
}

// again has the next attempt made, after most at the latest but for a quarter.
func (d *laneDial) again(most time.Duration) {
	delay := min(laneRetryMin<<min(d.attempt-1, 10), most)
	d.timer.Reset(delay + time.Duration(d.l.c.strand.Rand("lane").Int64N(int64(delay)/4+1)))
}

// ended takes the end of a connection: of a lane that was up, or of an attempt.
func (d *laneDial) ended(k *conn, err error, was bool) {
	if d.conn != k {
		return
	}
	d.conn = nil
	switch {
	case d.over || d.l.c.table.isDown():
	case !was:
		d.failed(err)
	default:
		if d.l.c.Clock.Monotonic()-k.accepted > 2*laneRetryMax {
			d.attempt = 0
		}
		d.attempt++
		d.again(laneRetryMax)
	}
}

// laneInfoCame answers the INFO of a server that was dialled for a lane.
func (k *conn) laneInfoCame(info *wire.RouteInfo) {
	name, _ := k.c.table.clusterName()
	d := k.dialled.lane
	switch {
	case info.Lockstep == nil || info.Lockstep.Lane < 1 || lane.MemberID(info.Lockstep.Member) != d.member:
		k.refuseLane(fmt.Sprintf("Server %q (%s) is not member %d", info.ServerName, info.ServerID, d.member), protocolViolation)
		return
	case info.Cluster != name:
		k.refuseLane(fmt.Sprintf("Rejecting lane, cluster name %q does not match %q", info.Cluster, name), clusterNameConflict)
		return
	}
	k.remoteID, k.remoteName = info.ServerID, info.ServerName
	h := k.ownHello(info.Nonce)
	h.User, h.Pass = k.login()
	k.phase, k.lane.info = phaseLane, *info
	k.out.Write(lane.AppendHello(nil, &h))
}

// ownHello is what this server says on a lane.
func (k *conn) ownHello(answers string) lane.Hello {
	name, _ := k.c.table.clusterName()
	return lane.Hello{
		Lane: lane.Version, Member: uint64(k.c.Lane.Self()), ServerID: k.c.id.ServerID, ServerName: k.c.id.ServerName,
		Cluster: name, Nonce: k.nonce, Answers: answers,
	}
}

// laneData takes what came on a lane.
func (k *conn) laneData(p []byte) {
	if k.phase == phaseLaneUp {
		k.lane.link.Data(p)
		return
	}
	h, rest, done, err := k.lane.hello.Next(p)
	if err != nil {
		k.badHello(err)
		return
	}
	if !done {
		return
	}
	who := lane.Peer{Member: lane.MemberID(h.Member), ServerName: h.ServerName, ServerID: h.ServerID}
	var greeting []byte
	if k.dialled != nil {
		if !k.judgeAnswer(&h) {
			return
		}
	} else {
		if !k.judgeHello(&h, who) {
			return
		}
		own := k.ownHello(h.Nonce)
		greeting = lane.AppendHello(nil, &own)
	}
	link, err := k.c.Lane.Attach(k.raw, k.strand, who, greeting)
	if err != nil {
		k.refuseLane(err.Error(), protocolViolation)
		return
	}
	k.remoteID, k.remoteName = h.ServerID, h.ServerName
	k.authAt, k.watchAt = 0, 0
	k.phase, k.lane.link = phaseLaneUp, link
	link.Data(rest)
}

// badHello ends a connection whose first line is not LANE.
func (k *conn) badHello(err error) {
	var refused *lane.RefusedError
	switch {
	case k.dialled != nil:
		k.refuseLane(err.Error(), protocolViolation)
	case errors.As(err, &refused):
		k.c.Log.Errorf("%s - Lane %v", k, err)
		k.end(parseError)
	default: // as whoever does not begin with CONNECT
		k.c.Log.Errorf("%s - %v", k, err)
		k.fail(textAuthViolation, authenticationFailure)
	}
}

// judgeHello tells whether a server that dialled may have its lane.
func (k *conn) judgeHello(h *lane.Hello, who lane.Peer) bool {
	name, _ := k.c.table.clusterName()
	k.said = wire.RouteConnect{Name: h.ServerID, User: h.User, Pass: h.Pass, Cluster: h.Cluster}
	switch err := k.c.Lane.Claim(who); {
	case !k.authenticate(&k.said):
		k.refuse(textAuthViolation, authenticationFailure)
	case h.Cluster != name:
		k.refuseLane(fmt.Sprintf("Rejecting lane, cluster name %q does not match %q", h.Cluster, name), clusterNameConflict)
	case h.Answers != k.nonce:
		k.refuseLane("Rejecting lane, the nonce is not that of this connection", protocolViolation)
	case err != nil:
		k.refuseLane(fmt.Sprintf("Rejecting lane to server %q (%s): %v", k.c.id.ServerName, k.c.id.ServerID, err), protocolViolation)
	case who.Member > k.c.Lane.Self():
		k.refuseLane(fmt.Sprintf("Rejecting lane, member %d is dialled by %d", who.Member, k.c.Lane.Self()), protocolViolation)
	default:
		return true
	}
	return false
}

// judgeAnswer tells whether the server that was dialled is who it was taken for.
func (k *conn) judgeAnswer(h *lane.Hello) bool {
	name, _ := k.c.table.clusterName()
	i := &k.lane.info
	switch {
	case h.ServerID != i.ServerID || h.ServerName != i.ServerName || h.Member != i.Lockstep.Member:
		k.refuseLane(fmt.Sprintf("Rejecting lane, server %q (%s), member %d, says in LANE that it is %q (%s), member %d",
			i.ServerName, i.ServerID, i.Lockstep.Member, h.ServerName, h.ServerID, h.Member), protocolViolation)
	case h.Cluster != name:
		k.refuseLane(fmt.Sprintf("Rejecting lane, cluster name %q does not match %q", h.Cluster, name), clusterNameConflict)
	case h.Answers != k.nonce:
		k.refuseLane("Rejecting lane, the nonce is not that of this connection", protocolViolation)
	default:
		return true
	}
	return false
}

// refuseLane is refuse; who was dialled is told nothing, and whether the log is told depends on how
// often it was.
func (k *conn) refuseLane(text string, why reason) {
	if k.dialled != nil {
		k.lane.failed = fmt.Errorf("%s (%w)", text, protocolViolation)
		k.end(why)
		return
	}
	k.refuse(text, why)
}

// laneClosed removes what is left of a lane, and has it dialled again.
func (k *conn) laneClosed(err error) {
	was := k.lane.link != nil
	if was {
		k.lane.link.Closed(err)
	}
	k.c.Log.Debugf("%s - Lane connection closed: %v", k, err)
	if d := k.dialled; d != nil {
		if k.lane.failed != nil {
			err = k.lane.failed
		}
		k.c.strand.Post(func() { d.lane.ended(k, err, was) })
	}
}

// judgeLaneAnew ends the lane of a peer that could not log in any more.
func (k *conn) judgeLaneAnew() {
	switch {
	case k.phase != phaseLaneUp:
	case k.dialled == nil && !k.authenticate(&k.said):
		k.c.Log.Errorf("%s - %s", k, textAuthViolation)
		k.end(authenticationFailure)
	case !config.MatchesPinned(k.c.settings.Load().o.Cluster.TLSPinnedCerts, k.raw.TLS()):
		k.end(tlsHandshakeFailure)
	}
}
