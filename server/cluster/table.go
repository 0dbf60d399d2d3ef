package cluster

import (
	"slices"
	"sync"

	"github.com/lockstepmq/lockstep/server/wire"
)

// table has the routes and the servers at their other ends. Safe from any strand; its lock is
// held across no call out.
type table struct {
	own string // id of this server

	mu      sync.Mutex
	name    string
	dynamic bool // name is generated
	up      bool
	down    bool
	lame    bool
	conns   []*conn   // all, as they came
	remotes []*remote // as they came

	whenGone func()
}

// remote is another server, as long as there are routes to it.
type remote struct {
	id, name string
	noPool   bool
	slots    []*conn // of its pool
	pinned   []*conn // as they came
	solo     *conn   // the only one to a server without pools
	how      *target // how it was dialled, once a route to it was
	urls     []string
}

// routes lists the routes to the remote: those of the pool first.
func (r *remote) routes() []*conn {
	var all []*conn
	for _, k := range r.slots {
		if k != nil {
			all = append(all, k)
		}
	}
	if r.solo != nil {
		all = append(all, r.solo)
	}
	return append(all, r.pinned...)
}

func (r *remote) pinnedTo(account string) *conn {
	for _, k := range r.pinned {
		if k.account == account {
			return k
		}
	}
	return nil
}

// freeSlot is the first slot without a route; -1 when all have one.
func (r *remote) freeSlot() int {
	return slices.Index(r.slots, nil)
}

func (t *table) setName(name string, dynamic bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.name, t.dynamic = name, dynamic
}

func (t *table) clusterName() (name string, dynamic bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.name, t.dynamic
}

func (t *table) open() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up = true
}

func (t *table) setLame() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lame = true
}

func (t *table) isLame() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lame
}

// shut lets no route come any more and gives those that there are; done is called when they
// have gone.
func (t *table) shut(done func()) []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = true
	if len(t.conns) > 0 {
		t.whenGone = done
	}
	return slices.Clone(t.conns)
}

func (t *table) isDown() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.down
}

// add takes a new connection in; false when none may come any more.
func (t *table) add(k *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return false
	}
	t.conns = append(t.conns, k)
	return true
}

// except lists the routes to all remotes but that of k.
func (t *table) except(k *conn) (gone []*conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.remotes {
		if r.id != k.remoteID {
			gone = append(gone, r.routes()...)
		}
	}
	return gone
}

func (t *table) find(id string) *remote {
	for _, r := range t.remotes {
		if r.id == id {
			return r
		}
	}
	return nil
}

// outcome is what registering a route came to.
type outcome struct {
	ok    bool
	extra bool // a dialled route for which there is no place: it is not dialled again
	first bool // to this remote, or for this account of it
	begun bool // of all to this remote
	more  bool // slots are left to be dialled
}

// register gives a route its place. size is the number of slots of the pool, 0 for a remote
// without one.
func (t *table) register(k *conn, info *wire.RouteInfo, size int) (o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return outcome{extra: true}
	}
	r := t.find(info.ServerID)
	if r == nil {
		r = &remote{id: info.ServerID, name: info.ServerName, noPool: size == 0}
		o.begun = true
	}
	if k.dialled != nil {
		r.dialledAs(k.dialled)
	}
	r.seat(k, info.PoolIndex, size, &o)
	if !o.ok {
		o.extra = k.dialled != nil
		return o
	}
	k.remote = r
	if o.begun {
		t.remotes = append(t.remotes, r)
	}
	if o.begun || len(info.ConnectURLs) > 0 {
		r.urls = info.ConnectURLs
	}
	return o
}

// seat gives a route its place at the remote, if that is free. index is the slot that a peer who dialled asks for.
func (r *remote) seat(k *conn, index, size int, o *outcome) {
	switch {
	case k.account != "":
		o.ok, o.first = r.pinnedTo(k.account) == nil, true
		if o.ok {
			r.pinned = append(r.pinned, k)
		}
		k.place = place{account: k.account}
	case size == 0:
		o.ok, o.first = r.solo == nil, true
		if o.ok {
			r.solo = k
		}
		k.place = place{slot: -1}
	default:
		o.first = !slices.ContainsFunc(r.slots, func(s *conn) bool { return s != nil })
		if o.first { // sizes may have changed since there were any
			r.slots = nil
		}
		for len(r.slots) < size {
			r.slots = append(r.slots, nil)
		}
		i := index
		if k.dialled != nil {
			i = r.freeSlot()
		}
		o.ok = i >= 0 && r.slots[i] == nil
		if o.ok {
			r.slots[i] = k
		}
		k.place = place{slot: i}
		o.more = o.ok && r.freeSlot() >= 0
	}
}

// parting is what is left when a route has gone.
type parting struct {
	last   bool    // to its remote
	noPool bool    // the remote had no pool
	how    *target // how the route is to be had again; nil: not by this server
	gone   func()  // to be called: nothing is left of a server that stops
}

// remove forgets a route.
func (t *table) remove(k *conn) (p parting) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = slices.DeleteFunc(t.conns, func(other *conn) bool { return other == k })
	if k.dialled != nil {
		p.how = k.dialled
	}
	if r := k.remote; r != nil {
		if p.how == nil && r.how != nil {
			p.how = r.how.forAccount(k.account)
		}
		if p.how != nil {
			again := *p.how
			again.remote = r.id
			p.how = &again
		}
		p.noPool = r.noPool
		p.last = t.detach(k)
	}
	if t.down && len(t.conns) == 0 {
		p.gone, t.whenGone = t.whenGone, nil
	}
	return p
}

// detach takes a route's place from it and tells whether it was the last of its remote.
func (t *table) detach(k *conn) (last bool) {
	r := k.remote
	if r == nil {
		return false
	}
	k.remote = nil
	for i, s := range r.slots {
		if s == k {
			r.slots[i] = nil
		}
	}
	if r.solo == k {
		r.solo = nil
	}
	r.pinned = slices.DeleteFunc(r.pinned, func(other *conn) bool { return other == k })
	if len(r.routes()) > 0 {
		return false
	}
	t.remotes = slices.DeleteFunc(t.remotes, func(other *remote) bool { return other == r })
	return true
}

// registered lists the routes that have a place, remote by remote.
func (t *table) registered() []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*conn
	for _, r := range t.remotes {
		all = append(all, r.routes()...)
	}
	return all
}

// all lists every connection, as they came.
func (t *table) all() []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.conns)
}

// counts gives the number of routes and of remotes.
func (t *table) counts() (routes, remotes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.remotes {
		routes += len(r.routes())
	}
	return routes, len(t.remotes)
}

// peerURLs are where clients reach the other servers.
func (t *table) peerURLs() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var urls []string
	for _, r := range t.remotes {
		urls = append(urls, r.urls...)
	}
	return urls
}

// setURLs changes where clients reach a server; it tells whether that was known before.
func (t *table) setURLs(id string, urls []string) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.find(id)
	if r == nil || slices.Equal(r.urls, urls) {
		return false
	}
	r.urls = urls
	return true
}

// isExplicit tells whether a route's remote was dialled because it is configured.
func (t *table) isExplicit(k *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return k.remote != nil && k.remote.how != nil && k.remote.how.explicit
}

// connected tells whether there is a route to a server, or for an account of it.
func (t *table) connected(id, account string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.find(id)
	if r == nil {
		return false
	}
	if account != "" {
		return r.pinnedTo(account) != nil
	}
	return r.solo != nil || slices.ContainsFunc(r.slots, func(k *conn) bool { return k != nil })
}

// lacks tells whether there are routes to a remote, but not what a target would bring.
func (t *table) lacks(id, account string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.find(id)
	return r != nil && !r.complete(account)
}

// satisfied tells whether there is already what a target would bring. The remote is then one
// that is dialled that way, should its routes be lost.
func (t *table) satisfied(to *target) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.find(to.remote)
	if r == nil || !r.complete(to.account) {
		return false
	}
	r.dialledAs(to)
	return true
}

// dialledAs notes how the remote is dialled; a configured way is the better one.
func (r *remote) dialledAs(to *target) {
	if r.how == nil || to.explicit && !r.how.explicit {
		r.how = to
	}
}

// complete tells whether there is a route for an account, or, if none is named, all others.
func (r *remote) complete(account string) bool {
	switch {
	case account != "":
		return r.noPool || r.pinnedTo(account) != nil
	case r.noPool:
		return r.solo != nil
	}
	return len(r.slots) > 0 && r.freeSlot() < 0
}

// others gives one route to each remote but that one: to one for an account, if it is not
// empty, where there is one.
func (t *table) others(id, account string) []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*conn
	for _, r := range t.remotes {
		if r.id == id || account != "" && r.noPool {
			continue
		}
		k := r.pinnedTo(account)
		if routes := r.routes(); k == nil && len(routes) > 0 {
			k = routes[0]
		}
		if k != nil {
			all = append(all, k)
		}
	}
	return all
}

// those lists the registered routes that which selects.
func (t *table) those(which func(*conn) bool) (gone []*conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.remotes {
		for _, k := range r.routes() {
			if which(k) {
				gone = append(gone, k)
			}
		}
	}
	return gone
}

// pooled lists the routes of pools: of one server, or of all where id is empty.
func (t *table) pooled(id string) (all []*conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.remotes {
		if id != "" && r.id != id {
			continue
		}
		for _, k := range r.slots {
			if k != nil {
				all = append(all, k)
			}
		}
	}
	return all
}

// dialledRemotes tells how the servers that this one dials are dialled.
func (t *table) dialledRemotes() (all []*target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.remotes {
		if r.how != nil {
			how := *r.how
			how.remote = r.id
			all = append(all, &how)
		}
	}
	return all
}
