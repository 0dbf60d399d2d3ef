package broker

import (
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/server/wire"
)

// What a link knows of the other server's interest.

// accountOf is the name of the account that an operation is about.
func (l *Link) accountOf(op *wire.RouteOp) []byte {
	if l.o.Account != nil {
		return []byte(l.o.Account.Name)
	}
	return op.Account
}

// learn carries out RS+ and LS+.
func (l *Link) learn(op *wire.RouteOp) error {
	if l.b.log.Trace() {
		l.traceSub(op)
	}
	subj, queue := string(op.Subject), string(op.Queue)
	if !subject.Valid(subj) {
		return ErrInvalidSubscription
	}
	if ok, _ := l.o.Export.CanSubscribe(subj, queue); !ok {
		l.b.log.Debugf("%s - Can not export %q, ignoring remote subscription request", l, subj)
		return nil
	}
	pl := l.place(string(l.accountOf(op)))
	if pl.acc == nil {
		l.complain("Unknown account %q for remote subject %q", pl.name, subj)
	}
	key := linkKey{subject: subj, queue: queue, origin: string(op.Origin)}
	weight := max(op.Weight, 1)
	l.mu.Lock()
	held, known := pl.subs[key]
	if !known {
		held = &linkSub{sub: l.subscription(key)}
		pl.add(key, held)
		l.subscribers++
	}
	changed := !known || queue != "" && held.weight != weight
	held.weight = weight
	l.mu.Unlock()
	switch {
	case pl.acc == nil || !changed:
	case known:
		pl.acc.Reweigh(held.sub, weight)
	default:
		l.insert(pl, held)
	}
	return nil
}

// add lists one interest more.
func (pl *linkPlace) add(k linkKey, s *linkSub) {
	pl.subs[k] = s
	s.older = pl.newest
	if pl.newest != nil {
		pl.newest.newer = s
	} else {
		pl.oldest = s
	}
	pl.newest = s
}

// remove takes one interest off the list.
func (pl *linkPlace) remove(k linkKey, s *linkSub) {
	delete(pl.subs, k)
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		pl.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		pl.newest = s.older
	}
	s.older, s.newer = nil, nil
}

// subscription is what stands for one interest in an account. The lock is held.
func (l *Link) subscription(k linkKey) *account.Subscription {
	return &account.Subscription{Owner: l.owner(k.origin), Subject: k.subject, Queue: k.queue}
}

// origin is the cluster of the leafnode that an interest comes from.
func originOf(s *account.Subscription) string {
	if o, ok := s.Owner.(*leafOfLink); ok {
		return o.origin
	}
	return ""
}

func (l *Link) insert(pl *linkPlace, held *linkSub) {
	if err := pl.acc.InsertWeighted(held.sub, held.weight); err != nil {
		l.b.log.Errorf("%s - subscription on %q not registered: %v", l, held.sub.Subject, err)
	}
}

// owner is who owns the interest of an origin. The lock is held.
func (l *Link) owner(origin string) account.Owner {
	if origin == "" {
		return l
	}
	o := l.leafs[origin]
	if o == nil {
		o = &leafOfLink{l, origin}
		if l.leafs == nil {
			l.leafs = make(map[string]*leafOfLink)
		}
		l.leafs[origin] = o
		l.origins = append(l.origins, origin)
	}
	return o
}

// unlearn carries out RS- and LS-.
func (l *Link) unlearn(op *wire.RouteOp) {
	if l.b.log.Trace() {
		l.traceSub(op)
	}
	pl := l.places[string(l.accountOf(op))]
	if pl == nil {
		return
	}
	key := linkKey{subject: string(op.Subject), queue: string(op.Queue), origin: string(op.Origin)}
	if op.Verb == wire.VerbLUnsub && op.Origin == nil {
		l.unlearnAll(pl, key)
		return
	}
	l.forget(pl, key)
}

// unlearnAll carries out an LS- that does not tell the origin.
func (l *Link) unlearnAll(pl *linkPlace, key linkKey) {
	for _, o := range l.origins {
		key.origin = o
		l.forget(pl, key)
	}
}

// forget removes one interest, if it is there.
func (l *Link) forget(pl *linkPlace, key linkKey) {
	l.mu.Lock()
	held, known := pl.subs[key]
	if known {
		pl.remove(key, held)
		l.subscribers--
	}
	l.mu.Unlock()
	if known && held.sub.Close() && pl.acc != nil {
		pl.acc.Remove(held.sub)
	}
}

// place finds or makes what the link knows of an account.
func (l *Link) place(name string) *linkPlace {
	pl := l.places[name]
	if pl == nil {
		pl = &linkPlace{name: name, acc: l.b.LookupAccount(name), subs: make(map[linkKey]*linkSub)}
		l.mu.Lock()
		l.places[name] = pl
		l.mu.Unlock()
	}
	return pl
}

// heldSubs are what a link had in an account, from the oldest on.
type heldSubs struct {
	acc *account.Account // nil: they are in none
	sub *linkSub
}

// takeSubs empties a place and gives what was in it.
func (l *Link) takeSubs(pl *linkPlace) heldSubs {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := heldSubs{pl.acc, pl.oldest}
	l.subscribers -= len(pl.subs)
	pl.subs, pl.oldest, pl.newest = make(map[linkKey]*linkSub), nil, nil
	return taken
}

// drop removes interest in steps, so that a million of it keep nobody waiting.
func (l *Link) drop(subs []heldSubs) {
	d := &linkDropping{l: l, left: subs}
	d.step()
}

// linkDropping is the work of giving up a link's interest.
type linkDropping struct {
	l    *Link
	left []heldSubs
}

func (d *linkDropping) step() {
	for n := 0; len(d.left) > 0; n++ {
		h := &d.left[0]
		if h.sub == nil {
			d.left = d.left[1:]
			continue
		}
		if n >= dropStep {
			d.l.strand.Post(d.step)
			return
		}
		if h.sub.sub.Close() && h.acc != nil {
			h.acc.Remove(h.sub.sub)
		}
		h.sub = h.sub.newer
	}
	if d.l.closed.Load() {
		d.l.b.receiverGone()
	}
}

// rebindLinks follows a change of which accounts there are.
func (b *Broker) rebindLinks() {
	for _, l := range b.links.list() {
		l.strand.Post(l.rebind)
	}
}

// rebind moves interest to the accounts that have its names now.
func (l *Link) rebind() {
	if l.closed.Load() {
		return
	}
	for _, pl := range l.listPlaces() {
		now := l.b.LookupAccount(pl.name)
		if now == pl.acc {
			continue
		}
		if l.present == pl {
			l.leave()
		}
		for s := pl.oldest; s != nil; s = s.newer {
			l.move(pl, s, now)
		}
		pl.routes.drop(pl.acc)
		pl.acc = now
	}
}

// move puts one interest into another account; nil is none.
func (l *Link) move(pl *linkPlace, s *linkSub, to *account.Account) {
	old := s.sub
	l.mu.Lock()
	s.sub = &account.Subscription{Owner: old.Owner, Subject: old.Subject, Queue: old.Queue}
	l.mu.Unlock()
	if old.Close() && pl.acc != nil {
		pl.acc.Remove(old)
	}
	if to == nil {
		return
	}
	if err := to.InsertWeighted(s.sub, s.weight); err != nil {
		l.b.log.Errorf("%s - subscription on %q not registered: %v", l, old.Subject, err)
	}
}

// complain logs an error that the peer could cause any number of times.
func (l *Link) complain(format string, v ...any) {
	if l.b.repeats.Allow(l.now, l.o.Name+format) {
		l.b.log.Errorf("%s - "+format, append([]any{l}, v...)...)
	}
}

// LinkStats are what monitoring shows of a link.
type LinkStats struct {
	InMsgs, InBytes   int64 // from the peer
	OutMsgs, OutBytes int64 // to it
	Subscriptions     int   // the peer's
	Pending           int   // bytes that the peer has not taken
}

// Stats of the link. Any strand.
func (l *Link) Stats() LinkStats {
	s := LinkStats{
		InMsgs: l.in.Msgs.Load(), InBytes: l.in.Bytes.Load(), OutMsgs: l.out.Msgs.Load(), OutBytes: l.out.Bytes.Load(),
		Pending: l.conn.Buffered(),
	}
	l.mu.Lock()
	s.Subscriptions = l.subscribers
	l.mu.Unlock()
	return s
}

// LinkSubscription is one interest of the other server.
type LinkSubscription struct {
	Account, Subject, Queue string
	Origin                  string // cluster of a leafnode; "" for none
	Weight                  int    // members of the queue group
}

// Subscriptions lists the other server's interest by account, in the order in which it came. Any
// strand.
func (l *Link) Subscriptions() []LinkSubscription {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []LinkSubscription
	for _, pl := range l.listPlaces() {
		for s := pl.oldest; s != nil; s = s.newer {
			all = append(all, LinkSubscription{pl.name, s.sub.Subject, s.sub.Queue, originOf(s.sub), s.weight})
		}
	}
	return all
}
