package cluster

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
)

// How long, and ever more rarely, a route to a server that another one told of is sought beyond
// connect_retries: nobody tells of it again, and only this server and that one know that it is lacking.
const (
	toldPatience = 10 * time.Minute // if there was none yet
	lostPatience = 24 * time.Hour   // if there was
)

// reconnectJitter is up to how long after a loss a route is dialled again.
const reconnectJitter = 100 * time.Millisecond

// target is what a route is dialled for. Immutable.
type target struct {
	url      *url.URL
	explicit bool      // it is configured; else another server told of it
	account  string    // the route is for it alone
	gossip   int       // the mode that it was told with
	remote   string    // id of the server, where that is known
	lane     *laneDial // the connection is to be a lane

	had     bool          // there was a route, and it was lost
	until   time.Duration // monotonic time up to which it is sought if it is not configured; see toldPatience
	attempt int           // failed ones so far
}

// same tells whether two targets are the same place.
func (t *target) same(o *target) bool {
	return t.account == o.account && t.url.Host == o.url.Host
}

// forAccount is t for one account, or for a pool.
func (t *target) forAccount(account string) *target {
	o := *t
	o.account = account
	return &o
}

// dials are the routes that are to be had. Of the cluster's strand.
type dials struct {
	c       *Cluster
	pending []*dial
	moves   []*move
	stopped bool
	self    []*url.URL // configured routes that lead to this server
	rand    *rand.Rand
}

// dial is one route that is not there yet.
type dial struct {
	d       *dials
	target  *target
	timer   clock.Timer
	attempt int  // failed ones so far
	again   bool // there was a route before
	dialing bool
	renewed bool // the present attempt is for an earlier life of the server
	over    bool
}

// configured dials the configured routes: for the pool, and for each account with a route of
// its own.
func (d *dials) configured(routes []*url.URL) {
	l := d.c.settings.Load().layout
	for _, u := range routes {
		d.start(&target{url: u, explicit: true}, 0, false)
		for _, account := range l.pinned {
			d.start(&target{url: u, explicit: true, account: account}, 0, false)
		}
	}
}

// start dials a target after a delay, unless that is under way.
func (d *dials) start(t *target, delay time.Duration, again bool) {
	if d.stopped || d.isSelf(t.url) {
		return
	}
	for _, p := range d.pending {
		if p.target.same(t) {
			switch {
			case t.explicit && !p.target.explicit:
				p.target = t
			case t.explicit == p.target.explicit && t.remote != p.target.remote: // another life of the server
				p.target, p.attempt, p.renewed = t, 0, p.dialing
			}
			return
		}
	}
	p := &dial{d: d, target: t, again: again, attempt: t.attempt}
	p.timer = d.c.strand.NewTimer(p.try)
	d.pending = append(d.pending, p)
	if delay > 0 {
		p.timer.Reset(delay)
		return
	}
	p.try()
}

// again dials a route that was lost. A peer that ends routes at once, and one that is
// configured and will be back, is given time.
func (d *dials) again(t *target, lived time.Duration) {
	if t.attempt > 0 { // it was not let in
		if t.attempt <= d.c.settings.Load().o.Cluster.ConnectRetries || d.sought(t) {
			d.start(t, retryDelay(t.attempt, true), true)
		}
		return
	}
	if d.rand == nil {
		d.rand = d.c.strand.Rand("reconnect")
	}
	delay := time.Duration(d.rand.Int64N(int64(reconnectJitter)))
	if t.explicit || lived < config.DefaultRouteConnect {
		delay += config.DefaultRouteConnect
	}
	d.c.Log.Debugf("Attempting reconnect for solicited route %q", t.url.Redacted())
	d.start(t, max(delay, 1), true)
}

// done takes a dial off the list.
func (d *dials) done(p *dial) {
	p.over = true
	p.timer.Stop()
	d.pending = slices.DeleteFunc(d.pending, func(o *dial) bool { return o == p })
}

func (d *dials) stop() {
	d.stopped = true
	for len(d.pending) > 0 {
		d.done(d.pending[0])
	}
}

// isSelf tells whether a url was found to lead here.
func (d *dials) isSelf(u *url.URL) bool {
	return slices.ContainsFunc(d.self, func(s *url.URL) bool { return s.Host == u.Host })
}

// foundSelf notes that a configured route leads here.
func (d *dials) foundSelf(u *url.URL) {
	if !d.isSelf(u) {
		d.self = append(d.self, u)
	}
	for _, p := range slices.Clone(d.pending) {
		if p.target.url.Host == u.Host {
			d.done(p)
		}
	}
}

// wanted tells whether the route is still to be had.
func (p *dial) wanted() bool {
	c := p.d.c
	s := c.settings.Load()
	switch {
	case c.table.isDown():
		return false
	case p.target.account != "" && !s.layout.isPinned(p.target.account):
		return false
	case p.target.explicit && !isConfigured(s.o, p.target.url.Host):
		return false
	}
	return p.target.remote == "" || !c.table.satisfied(p.target)
}

func isConfigured(o *config.Options, host string) bool {
	return slices.ContainsFunc(o.Routes, func(u *url.URL) bool { return u.Host == host })
}

// try makes one attempt.
func (p *dial) try() {
	if p.over || p.dialing {
		return
	}
	c := p.d.c
	if !p.wanted() {
		p.d.done(p)
		return
	}
	p.dialing = true
	c.Log.Debugf("Trying to connect to route on %s (%s)", p.target.url.Host, p.target.url.Host)
	c.Network.Dial(c.strand, dialAddress(p.target.url), netsim.DialOptions{Timeout: config.DefaultRouteDial}, p.dialled)
}

// dialAddress is host and port of a url.
func dialAddress(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname() + ":0" // refused with a text that names it
	}
	return u.Host
}

// dialled takes the end of an attempt.
func (p *dial) dialled(nc netsim.Conn, err error) {
	p.dialing = false
	if p.over || !p.wanted() {
		if nc != nil {
			nc.Abort(routeRemoved)
		}
		p.d.done(p)
		return
	}
	if err == nil {
		p.d.done(p)
		p.d.c.newConn(nc, p.target)
		return
	}
	p.failed(err)
}

// failed decides when, if ever, the next attempt is made.
func (p *dial) failed(err error) {
	c := p.d.c
	o := c.settings.Load().o
	if p.renewed {
		p.renewed = false
		p.timer.Reset(retryDelay(1, false))
		return
	}
	p.attempt++
	every := o.ConnectErrorReports
	if p.again {
		every = o.ReconnectErrorReports
	}
	text := "Error trying to connect to route (attempt %v): %v"
	if p.attempt == 1 || every > 0 && p.attempt%every == 0 {
		c.Log.Errorf(text, p.attempt, err)
	} else {
		c.Log.Debugf(text, p.attempt, err)
	}
	beyond := !p.target.explicit && p.attempt > o.Cluster.ConnectRetries
	if beyond && !p.d.sought(p.target) {
		p.d.done(p)
		return
	}
	p.timer.Reset(retryDelay(p.attempt, beyond || o.Cluster.ConnectBackoff))
}

// sought tells whether a route that is not configured is worth more attempts than were asked
// for: there are others to the same server, or it was told of or lost not long ago.
func (d *dials) sought(t *target) bool {
	return d.c.table.lacks(t.remote, t.account) || d.c.Clock.Monotonic() < t.until
}

// retryDelay is the time until the next attempt.
func retryDelay(attempt int, backoff bool) time.Duration {
	delay := time.Duration(config.DefaultRouteConnect)
	if !backoff {
		return delay
	}
	for i := 1; i < attempt && delay < config.DefaultRouteConnectMax; i++ {
		delay *= 2
	}
	return min(delay, config.DefaultRouteConnectMax)
}
