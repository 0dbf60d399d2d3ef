package cluster

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/wire"
)

// moveWait is how long peers may take to let go of an account that gets a route of its own.
const moveWait = 2 * time.Second

// Check tells whether options that are otherwise in order can be put in force.
func (c *Cluster) Check(o *config.Options) error {
	if text := o.Cluster.Advertise; text != "" {
		if _, _, err := splitAdvertised(text, 1); err != nil {
			return fmt.Errorf("invalid cluster advertise value of %s, err=%w", text, err)
		}
	}
	_, err := c.prepare(o)
	return err
}

// Reload puts options in force. Accounts that they name exist by now.
func (c *Cluster) Reload(o *config.Options) error {
	next, err := c.prepare(o)
	if err != nil {
		return err
	}
	was := c.settings.Load()
	if err := c.readvertise(o); err != nil {
		return err
	}
	c.settings.Store(next)
	c.reloadName(was.o, o)
	c.reloadLayout(was, next)
	a, b := &was.o.Cluster, &o.Cluster
	c.tellAgain(a, b)
	c.reloadPermissions(was, next)
	if !a.Compression.Same(b.Compression) {
		c.close(clientClosed, false, func(*conn) bool { return true })
	}
	if len(b.TLSPinnedCerts) > 0 {
		c.close(tlsHandshakeFailure, false, func(k *conn) bool { return !config.MatchesPinned(b.TLSPinnedCerts, k.raw.TLS()) })
	}
	if a.Username != b.Username || a.Password != b.Password {
		for _, k := range c.table.registered() {
			k.strand.Post(k.judgeAnew)
		}
	}
	if c.Lane != nil {
		for _, k := range c.table.all() {
			k.strand.Post(k.judgeLaneAnew)
		}
	}
	if a.NoAdvertise != b.NoAdvertise && b.NoAdvertise {
		c.Broker.SetConnectURLs(nil)
	}
	c.reloadRoutes(was.o.Routes, o.Routes)
	return nil
}

// tellAgain tells peers and clients what concerns them of other options. Of another address
// only new peers are told.
func (c *Cluster) tellAgain(a, b *config.ClusterOpts) {
	if a.NoAdvertise != b.NoAdvertise && !b.NoAdvertise && len(c.table.peerURLs()) > 0 {
		c.tellClients()
	}
	if !samePermissions(a.Permissions, b.Permissions) {
		c.tellInfo()
	}
}

// judgeAnew ends the route of a peer that could not log in any more.
func (k *conn) judgeAnew() {
	if k.registered() && k.dialled == nil && !k.authenticate(&k.said) {
		k.refuse(textAuthViolation, authenticationFailure)
	}
}

func samePermissions(a, b *config.RoutePermissions) bool {
	if a == nil || b == nil {
		return a == b
	}
	return sameLists(lists(a.Import), lists(b.Import)) && sameLists(lists(a.Export), lists(b.Export))
}

func (c *Cluster) readvertise(o *config.Options) error {
	_, port, err := netsim.SplitHostPort(c.Addr())
	if err != nil { // not listening yet
		return nil
	}
	return c.advertise(o, port)
}

// reloadName changes the name for those that come; routes stay.
func (c *Cluster) reloadName(was, next *config.Options) {
	if was.Cluster.Name == next.Cluster.Name {
		return
	}
	name := next.Cluster.Name
	if name == "" {
		name = c.drawName()
	}
	c.rename(name, next.Cluster.Name == "")
}

// reloadPermissions tells peers of what they may know now, and forgets what they told and may
// not.
func (c *Cluster) reloadPermissions(was, next *settings) {
	if samePermissions(was.o.Cluster.Permissions, next.o.Cluster.Permissions) {
		return
	}
	for _, k := range c.table.registered() {
		k.strand.Post(func() { // after what this server says anew of itself
			if k.registered() {
				k.linked.SetExport(next.perms)
				c.announcer.SetImports(k.linked, next.perms)
			}
		})
	}
}

// reloadRoutes dials what is new among the configured routes and closes what is gone.
func (c *Cluster) reloadRoutes(was, next []*url.URL) {
	in := func(list []*url.URL, u *url.URL) bool {
		return slices.ContainsFunc(list, func(o *url.URL) bool { return o.String() == u.String() })
	}
	var added []*url.URL
	for _, u := range next {
		if !in(was, u) {
			added = append(added, u)
		}
	}
	for _, u := range was {
		if !in(next, u) {
			c.close(routeRemoved, false, func(k *conn) bool { return k.dialled != nil && k.dialled.explicit && k.dialled.url.Host == u.Host })
		}
	}
	if len(added) > 0 {
		c.strand.Post(func() { c.dials.configured(added) })
	}
}

// close ends the registered routes that which selects. Those that were dialled and are still
// wanted come again, without delay if atOnce is set.
func (c *Cluster) close(why reason, atOnce bool, which func(*conn) bool) {
	for _, k := range c.table.those(which) {
		k.strand.Post(func() {
			k.removed = atOnce && k.phase != phaseClosed
			k.end(why)
		})
	}
}

// reloadLayout follows a change of pools and of the accounts with routes of their own.
func (c *Cluster) reloadLayout(was, next *settings) {
	a, b := was.layout, next.layout
	if a.pool == b.pool && slices.Equal(a.pinned, b.pinned) {
		return
	}
	if a.pools() != b.pools() {
		c.close(routeRemoved, true, func(*conn) bool { return true })
		return
	}
	gone := func(k *conn) bool {
		if k.place.account != "" {
			return !b.isPinned(k.place.account)
		}
		return a.pool != b.pool && k.place.slot >= 0
	}
	c.close(routeRemoved, true, gone)
	for _, account := range a.pinned {
		if !b.isPinned(account) {
			c.comeBack(account, "")
		}
	}
	var added []string
	for _, account := range b.pinned {
		if !a.isPinned(account) {
			added = append(added, account)
		}
	}
	for _, k := range c.table.registered() {
		if l := k.link.Load(); l != nil && !gone(k) {
			c.announcer.Rewant(l)
		}
	}
	if len(added) > 0 {
		c.move(added)
	}
}

// move is the change of accounts from pools to routes of their own: peers are asked to forget
// what came over the pool, and when they have the routes are dialled.
type move struct {
	c        *Cluster
	id       string
	accounts []string
	waiting  int
	timer    clock.Timer
	over     bool
}

func (c *Cluster) move(accounts []string) {
	m := &move{c: c, id: c.drawName(), accounts: accounts}
	m.timer = c.strand.NewTimer(m.finish)
	c.strand.Post(m.begin)
}

func (m *move) begin() {
	c := m.c
	c.dials.moves = append(c.dials.moves, m)
	for _, account := range m.accounts {
		for _, k := range c.table.pooled("") {
			k.strand.Post(func() { k.linked.DropAccount(account) })
		}
		for _, k := range c.table.others("", "") {
			if k.place.slot < 0 {
				continue
			}
			m.waiting++
			k.strand.Post(func() {
				i := wire.RouteInfo{PoolSize: c.settings.Load().layout.pool, Account: account, AccountReqID: m.id}
				k.sendInfo(&i, false)
				k.out.Flush()
			})
		}
	}
	if m.waiting == 0 {
		m.finish()
		return
	}
	m.timer.Reset(moveWait)
}

// confirmed takes a peer's answer.
func (c *Cluster) confirmed(id string) {
	for _, m := range c.dials.moves {
		if m.id == id {
			if m.waiting--; m.waiting == 0 {
				m.finish()
			}
			return
		}
	}
}

// finish dials the routes, to those servers that this one dials.
func (m *move) finish() {
	if m.over {
		return
	}
	m.over = true
	m.timer.Stop()
	c := m.c
	c.dials.moves = slices.DeleteFunc(c.dials.moves, func(o *move) bool { return o == m })
	for _, how := range c.table.dialledRemotes() {
		for _, account := range m.accounts {
			c.dials.start(how.forAccount(account), 0, false)
		}
	}
}

// letMove forgets what came over a pool for an account, and takes nothing more of it there.
func (k *conn) letMove(account string) {
	if !k.registered() || k.account != "" {
		return
	}
	if !k.isMoving(account) {
		list := []string{account}
		if was := k.moving.Load(); was != nil {
			list = append(list, *was...)
		}
		k.moving.Store(&list)
		k.c.announcer.Rewant(k.linked)
	}
	k.linked.DropAccount(account)
}

// comeBack takes back letMove on the routes to a server, or on all where it is not named: the
// account has no route of its own any more.
func (c *Cluster) comeBack(account, remote string) {
	for _, k := range c.table.pooled(remote) {
		k.strand.Post(func() { k.stay(account) })
	}
}

func (k *conn) stay(account string) {
	if !k.isMoving(account) || !k.registered() {
		return
	}
	list := slices.DeleteFunc(slices.Clone(*k.moving.Load()), func(a string) bool { return a == account })
	k.moving.Store(&list)
	k.c.announcer.Rewant(k.linked)
}

// accountMoves takes a peer's request to let an account move, or the answer to ours.
func (k *conn) accountMoves(info *wire.RouteInfo) {
	if info.Account == "" {
		id := info.AccountReqID
		k.c.strand.Post(func() { k.c.confirmed(id) })
		return
	}
	account := info.Account
	k.letMove(account)
	for _, other := range k.c.table.pooled(k.remoteID) {
		if other != k {
			other.strand.Post(func() { other.letMove(account) })
		}
	}
	answer := *info
	answer.Account = ""
	k.sendInfo(&answer, false)
}
