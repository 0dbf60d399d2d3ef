package broker

import (
	"slices"
	"sort"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/server/wire"
)

// reservedQueue is the queue name that clients may not use.
const reservedQueue = "_sys_"

// dropStep is how many subscriptions a closed connection gives up in one task.
const dropStep = 1024

// subscribe carries out SUB. A refused one is answered and leaves nothing.
func (c *Client) subscribe(op *wire.Op) {
	c.active = true
	if c.b.log.Trace() {
		c.traceSub(op)
	}
	subj, queue := string(op.Subject), string(op.Queue)
	filtered, ok := c.maySubscribe(subj, queue, op.SID)
	if !ok {
		return
	}
	c.out.mu.Lock()
	n := int64(len(c.out.subs))
	known := c.out.subs[string(op.SID)] != nil
	c.out.mu.Unlock()
	if c.subsMax >= 0 && n >= c.subsMax {
		c.b.complain(c, wire.TextMaxSubscriptions)
		c.sendError(wire.TextMaxSubscriptions)
		return
	}
	if known { // the old one is kept
		c.acknowledge()
		return
	}
	if !subject.Valid(subj) {
		c.sendError(wire.TextInvalidSubject)
		return
	}
	sub := &account.Subscription{Owner: c, Subject: subj, Queue: queue, SID: string(op.SID)}
	if filtered {
		c.out.filters.Store(true)
	}
	c.addSub(sub)
	c.acknowledge()
}

// maySubscribe judges a subscription; a refusal is answered. filtered tells that
// deliveries must be checked against what is denied.
func (c *Client) maySubscribe(subj, queue string, sid []byte) (filtered, ok bool) {
	ok = queue != reservedQueue
	if p := c.perms.Load(); ok && p != nil {
		ok, filtered = p.CanSubscribe(subj, queue)
	}
	if !ok {
		c.sendError(wire.TextSubscribeViolation([]byte(subj), []byte(queue)))
		if queue != "" {
			c.b.log.Errorf("%s - Subscription Violation - Subject %q, Queue: %q, SID %s", c, subj, queue, sid)
		} else {
			c.b.log.Errorf("%s - Subscription Violation - Subject %q, SID %s", c, subj, sid)
		}
		return false, false
	}
	if limit := int(c.b.options().MaxSubTokens); limit > 0 && subject.Tokens(subj) > limit {
		c.sendError(wire.TextTooManyTokens([]byte(subj)))
		c.b.log.Errorf("%s - Subscription Violation - Subject %q has more than %d tokens, SID %s", c, subj, limit, sid)
		return false, false
	}
	return filtered, true
}

// addSub registers a subscription with the account and, through its stream
// imports, with others.
func (c *Client) addSub(sub *account.Subscription) {
	c.out.mu.Lock()
	if c.out.subs == nil {
		c.out.subs = make(map[string]*account.Subscription)
	}
	c.out.subs[sub.SID] = sub
	c.out.mu.Unlock()
	if c.acc == nil {
		return
	}
	c.mustInsert(c.acc, sub)
	c.addShadows(sub, nil)
}

func (c *Client) mustInsert(acc *account.Account, sub *account.Subscription) {
	if err := acc.Insert(sub); err != nil {
		c.b.log.Errorf("%s - subscription on %q not registered: %v", c, sub.Subject, err)
	}
}

// addShadows registers sub with every account whose exported streams it reaches,
// but for those that shadows are there for already.
func (c *Client) addShadows(sub *account.Subscription, shadows []*account.Subscription) {
	shadows, err := shadow(c.acc, sub, shadows)
	if err != nil {
		c.b.log.Errorf("%s - subscription on %q not registered: %v", c, sub.Subject, err)
	}
	if len(shadows) == 0 {
		return
	}
	c.out.mu.Lock()
	if c.out.shadows == nil {
		c.out.shadows = make(map[*account.Subscription][]*account.Subscription)
	}
	c.out.shadows[sub] = shadows
	c.out.mu.Unlock()
}

// shadow puts what sub, of acc, reaches through stream imports into the exporting accounts, but for
// the imports that known has shadows of; it gives all of them.
func shadow(acc *account.Account, sub *account.Subscription, known []*account.Subscription) (all []*account.Subscription, err error) {
	all = known
	for _, im := range acc.Graph().StreamImports {
		if slices.ContainsFunc(known, func(s *account.Subscription) bool { return s.Shadow.Import == im }) {
			continue
		}
		there, ok := im.ShadowSubject(sub.Subject)
		if !ok {
			continue
		}
		s := &account.Subscription{
			Owner: sub.Owner, Subject: there, Queue: sub.Queue, SID: sub.SID,
			Shadow: &account.Shadow{Import: im, Origin: sub},
		}
		if e := im.Account.Insert(s); e != nil {
			err = e
			continue
		}
		all = append(all, s)
	}
	return all, err
}

// divide tells which shadows belong to imports that acc still has.
func divide(acc *account.Account, shadows []*account.Subscription) (kept, gone []*account.Subscription) {
	imports := acc.Graph().StreamImports
	for _, s := range shadows {
		if slices.Contains(imports, s.Shadow.Import) {
			kept = append(kept, s)
		} else {
			gone = append(gone, s)
		}
	}
	return kept, gone
}

// unsubscribe carries out UNSUB. A maximum counts from SUB; one that is already
// reached, or none, removes at once.
func (c *Client) unsubscribe(op *wire.Op) {
	c.active = true
	if c.b.log.Trace() {
		c.traceUnsub(op)
	}
	c.settle()
	c.out.mu.Lock()
	sub := c.out.subs[string(op.SID)]
	later := false
	if sub != nil && int64(op.Max) > sub.Delivered {
		sub.SetMax(int64(op.Max))
		later = true
	}
	c.out.mu.Unlock()
	if sub != nil && !later {
		c.removeSub(sub)
	}
	c.acknowledge()
}

// removeSub ends a subscription; ended ones are ignored. Own strand.
func (c *Client) removeSub(sub *account.Subscription) {
	c.out.mu.Lock()
	if !sub.Close() {
		c.out.mu.Unlock()
		return
	}
	if c.out.subs[sub.SID] == sub {
		delete(c.out.subs, sub.SID)
	}
	shadows := c.out.shadows[sub]
	delete(c.out.shadows, sub)
	c.out.mu.Unlock()
	if c.acc != nil {
		c.acc.Remove(sub)
	}
	removeShadows(shadows)
	if c.b.log.Trace() && c.phase != phaseClosed {
		c.traceDelsub(sub.SID)
	}
}

func removeShadows(shadows []*account.Subscription) {
	for _, s := range shadows {
		s.Shadow.Import.Account.Remove(s)
	}
}

// listSubs is a copy of the subscriptions in the order of
// their sids.
func (c *Client) listSubs() []*account.Subscription {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	subs := make([]*account.Subscription, 0, len(c.out.subs))
	for _, s := range c.out.subs { //lockstep:ordered sorted below
		subs = append(subs, s)
	}
	sort.Slice(subs, func(i, j int) bool { return subs[i].SID < subs[j].SID }) //lockstep:total sids are unique
	return subs
}

// dropSubs gives up all subscriptions of a closed connection, in steps, so that
// a million of them keep nobody waiting.
func (c *Client) dropSubs() {
	d := &dropping{c: c, left: c.listSubs()}
	d.step()
}

// dropping is the work of giving up a connection's subscriptions.
type dropping struct {
	c    *Client
	left []*account.Subscription
}

func (d *dropping) step() {
	n := min(dropStep, len(d.left))
	for i, s := range d.left[:n] {
		d.c.removeSub(s)
		d.left[i] = nil
	}
	if d.left = d.left[n:]; len(d.left) > 0 {
		d.c.strand.Post(d.step)
		return
	}
	d.c.b.forget(d.c)
}

// Subscriptions lists the connection's subscriptions, by sid. Any strand.
func (c *Client) Subscriptions() []*account.Subscription { return c.listSubs() }

// NumSubscriptions counts them. Any strand.
func (c *Client) NumSubscriptions() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return len(c.out.subs)
}
