package account

import "slices"

// Changes says what [Account.Adopt] changed.
type Changes struct {
	Exports        bool
	StreamImports  bool // shadows of live subscriptions must be made anew
	ServiceImports bool // the internal subscriptions were changed already
	Mappings       bool
	Limits         bool
	JetStream      bool // what configuration grants; see [Account.JetStream]
}

// Any tells whether anything changed.
func (c Changes) Any() bool { return c != Changes{} }

// Imports tells whether imports of either kind changed.
func (c Changes) Imports() bool { return c.StreamImports || c.ServiceImports }

// Adopt makes the live account a what the freshly configured account next says:
// its exports, imports, mappings, limits and JetStream. System mappings, interest, counters, connections and
// open responses stay. Imports are bound to the accounts that resolve gives for
// their names; one that it gives nil for is dropped. What did not change is not
// touched: the same [StreamImport] is the same pointer before and after. All
// accounts of a reload adopt, in any order; next is of no use afterwards.
func (a *Account) Adopt(next *Account, resolve func(name string) *Account) Changes {
	bound := next.Graph().bind(a, resolve)
	topology.Lock()
	defer topology.Unlock()
	var c Changes
	was := a.graph.Load()
	now := *was
	var streams, services bool
	now.StreamExports, streams = adoptExports(was.StreamExports, bound.StreamExports)
	now.ServiceExports, services = adoptExports(was.ServiceExports, bound.ServiceExports)
	c.Exports = streams || services
	now.StreamImports, c.StreamImports = adoptList(was.StreamImports, bound.StreamImports, (*StreamImport).equal)
	now.ServiceImports, c.ServiceImports = adoptList(was.ServiceImports, bound.ServiceImports, (*ServiceImport).equal)
	if maps := next.graph.Load().configured; !sameMappings(was.configured, maps) {
		now.configured, c.Mappings = maps, true
		now.remap()
	}
	if l := next.Limits(); l != a.Limits() {
		a.SetLimits(l)
		c.Limits = true
	}
	if j := next.JetStream(); !j.equal(a.JetStream()) {
		a.SetJetStream(j)
		c.JetStream = true
	}
	if a.Nkey != next.Nkey {
		a.Nkey = next.Nkey
	}
	if c.Any() {
		a.graph.Store(&now)
		a.syncServiceSubscriptions(was.ServiceImports, now.ServiceImports)
	}
	return c
}

// bind is a copy of the graph whose imports belong to a, and lead to the accounts
// that resolve gives.
func (g *Graph) bind(a *Account, resolve func(name string) *Account) *Graph {
	out := &Graph{StreamExports: g.StreamExports, ServiceExports: g.ServiceExports}
	for _, i := range g.StreamImports {
		if to := resolve(i.Account.Name); to != nil {
			bound := *i
			bound.Account = to
			out.StreamImports = append(out.StreamImports, &bound)
		}
	}
	for _, i := range g.ServiceImports {
		if to := resolve(i.Account.Name); to != nil {
			bound := *i
			bound.Account, bound.importer = to, a
			bound.sub = &Subscription{Subject: bound.From, Service: &bound}
			out.ServiceImports = append(out.ServiceImports, &bound)
		}
	}
	return out
}

// adoptList is next with the unchanged elements of was in their places. When
// nothing changed it is was itself, and false.
func adoptList[T comparable](was, next []T, equal func(T, T) bool) ([]T, bool) {
	out := make([]T, len(next))
	for n, one := range next {
		out[n] = one
		if i := slices.IndexFunc(was, func(old T) bool { return equal(old, one) }); i >= 0 {
			out[n] = was[i]
		}
	}
	if slices.Equal(was, out) {
		return was, false
	}
	return out, true
}

// adoptExports is adoptList for exports, and makes Current of the exports that were
// before, and of those in next, lead to those that are in force: imports refer to
// either.
func adoptExports(was, next []*Export) ([]*Export, bool) {
	fresh := make([]*Export, len(next)) // so that Current never runs in a circle
	for n, one := range next {
		fresh[n] = one.copy()
	}
	out, changed := adoptList(was, fresh, (*Export).equal)
	for n, one := range next {
		one.next.Store(out[n])
	}
	for _, old := range was {
		if now := findExport(out, old.Subject); now != nil && now != old {
			old.next.Store(now)
		}
	}
	return out, changed
}

// syncServiceSubscriptions changes the account's interest from the imports that
// were to those that are; topology is held.
func (a *Account) syncServiceSubscriptions(was, now []*ServiceImport) {
	for _, i := range now {
		if !slices.Contains(was, i) {
			a.insert(i.sub)
		}
	}
	for _, i := range was {
		if !slices.Contains(now, i) {
			a.dropSubscription(i.sub)
		}
	}
}
