package broker

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/subject"
)

// place is a literal subject of an account.
type place struct {
	acc     *account.Account
	subject string
}

// reached is what a message finds at one place.
type reached = subject.Result[*account.Subscription]

// Interested tells whether a message on the literal subject would have a receiver in acc, or
// through its imports: with queue "" any, else a member of that queue group. Services of
// the server count as clients do. Any strand.
func (b *Broker) Interested(acc *account.Account, subject, queue string) bool {
	if !acc.Index().HasInterest([]byte(subject)) {
		return false
	}
	found := false
	walkPlaces(place{acc, subject}, func(r *reached) bool {
		found = interested(r, queue)
		return !found
	})
	return found
}

// interested tells whether r has an open subscription that is not the way to another
// account.
func interested(r *reached, queue string) bool {
	open := func(s *account.Subscription) bool {
		l, away := linkOf(s)
		return s.Owner != nil && !s.Closed() && !(away && l.closed.Load())
	}
	if queue == "" && slices.ContainsFunc(r.Plain, open) {
		return true
	}
	for i := range r.Groups {
		if g := &r.Groups[i]; queue == "" || g.Name == queue {
			for _, m := range g.Members {
				if open(m.Value) {
					return true
				}
			}
		}
	}
	return false
}

// walkPlaces visits what is reached at a place and at all those that imports and open
// responses lead to from there, until visit is false. It gives the places.
func walkPlaces(from place, visit func(r *reached) bool) []place {
	places := []place{from}
	var r reached
	for i := 0; i < len(places) && len(places) <= boundariesMax; i++ {
		p := places[i]
		p.acc.Index().Match([]byte(p.subject), &r)
		if visit != nil && !visit(&r) {
			break
		}
		for _, s := range r.Plain {
			if to, ok := beyond(p, s); ok && !slices.Contains(places, to) {
				places = append(places, to)
			}
		}
	}
	return places
}

// beyond is where a message goes from a place by one of the server's own subscriptions.
func beyond(p place, s *account.Subscription) (place, bool) {
	switch {
	case s.Service != nil:
		to, ok := s.Service.AppendTarget(nil, []byte(p.subject))
		if !ok {
			return place{}, false
		}
		there := s.Service.Account
		mapped, _ := there.Graph().Mappings.Choose(string(to), "", nil)
		return place{there, mapped}, true
	case s.Response:
		open := p.acc.Responses().Lookup([]byte(p.subject))
		if open == nil {
			return place{}, false
		}
		return place{open.Requestor, open.Reply}, true
	}
	return place{}, false
}

// WatchInterest has fn posted to s whenever the interest in a literal subject of acc may
// have come or gone, until stop is called: once for any number of changes that s has not
// heard of yet. What fn finds by then is the present interest. Called from s, stop is final.
func (b *Broker) WatchInterest(acc *account.Account, subject string, s clock.Strand, fn func()) (stop func()) {
	w := &interestWatch{from: place{acc, subject}, strand: s, fn: fn}
	w.task = w.run
	w.follow()
	return w.stop
}

// interestWatch watches a subject where it is published, and wherever imports lead from
// there.
type interestWatch struct {
	from   place
	strand clock.Strand
	fn     func()
	task   func()
	posted atomic.Bool

	mu      sync.Mutex // held across no call out but into accounts
	ended   bool
	watched []watchedPlace
}

type watchedPlace struct {
	place place
	stop  func()
}

// changed runs on the strand of whoever changed the interest.
func (w *interestWatch) changed() {
	if w.posted.CompareAndSwap(false, true) {
		w.strand.Post(w.task)
	}
}

func (w *interestWatch) run() {
	w.posted.Store(false) // what changes from here on is told again
	if w.follow() {
		w.fn()
	}
}

// follow watches where imports lead now, and no longer where they led; it is false once the
// watch has ended. It looks again after it began to watch a place: what changed there
// before was not told.
func (w *interestWatch) follow() bool {
	if _, open := w.watch([]place{w.from}, false); !open {
		return false
	}
	for range boundariesMax {
		more, open := w.watch(walkPlaces(w.from, nil), true)
		if !more || !open {
			return open
		}
	}
	return true
}

// watch begins to watch places, and if they are all there are ends to watch others. It
// tells whether any is new, and whether the watch goes on.
func (w *interestWatch) watch(places []place, all bool) (more, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false, false
	}
	for _, p := range places {
		if !slices.ContainsFunc(w.watched, func(old watchedPlace) bool { return old.place == p }) {
			w.watched = append(w.watched, watchedPlace{p, p.acc.Watch(p.subject, w.changed)})
			more = true
		}
	}
	if all {
		w.watched = slices.DeleteFunc(w.watched, func(old watchedPlace) bool {
			gone := !slices.Contains(places, old.place)
			if gone {
				old.stop()
			}
			return gone
		})
	}
	return more, true
}

func (w *interestWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, old := range w.watched {
		old.stop()
	}
	w.watched = nil
}
