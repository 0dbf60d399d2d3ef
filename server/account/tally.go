package account

import (
	"cmp"
	"slices"
	"sync"
)

// Key names what other servers are told of an account's interest: a subject, and a
// queue group or "".
type Key struct {
	Subject string
	Queue   string
}

// Compare orders keys by subject, then by queue.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Subject, o.Subject), cmp.Compare(k.Queue, o.Queue))
}

// Change is what others are to be told of a key: how many members its queue group has, 1 for
// any number of plain subscriptions, 0 for none.
type Change struct {
	Key
	Weight int
}

// Tally counts the subscriptions of an account by key, and tells which keys others must
// be told of. What it costs does not depend on how many keys there are. Safe from any strand.
type Tally struct {
	account *Account
	counts  func(*Subscription) bool
	changed func()

	mu    sync.Mutex // held across no call out
	keys  map[Key]counted
	dirty []Key // in the order of their first change since Take
}

// counted is what is known of a key. It is listed as long as either number is not 0, or it
// is dirty.
type counted struct {
	count int32
	told  int32 // as Take told it
	dirty bool
}

// States of a subscription in its account's tally. Whether it is counted is noted on it, as
// the beginning of a tally and the change of a subscription may happen at once.
const (
	tallyNew = iota
	tallyCounted
	tallyEnded
)

// StartTally begins to count the subscriptions that counts wants, those that are there
// included. changed is called, by whoever changed the interest and with locks of this package
// held, when the first key becomes dirty: it must only post to a strand. Of several tallies
// only the last goes on.
func (a *Account) StartTally(counts func(*Subscription) bool, changed func()) *Tally {
	t := &Tally{account: a, counts: counts, changed: changed, keys: make(map[Key]counted)}
	a.tally.Store(t)
	a.index.Walk(func(_, _ string, s *Subscription) bool {
		t.add(s)
		return true
	})
	return t
}

// Stop ends the count.
func (t *Tally) Stop() { t.account.tally.CompareAndSwap(t, nil) }

// add counts a subscription in, once.
func (t *Tally) add(s *Subscription) {
	if !t.counts(s) {
		return
	}
	t.mu.Lock()
	first := false
	if s.tally == tallyNew {
		s.tally = tallyCounted
		first = t.count(Key{s.Subject, s.Queue}, 1)
	}
	t.mu.Unlock()
	if first {
		t.changed()
	}
}

// remove counts a subscription out; it is not counted in again.
func (t *Tally) remove(s *Subscription) {
	if !t.counts(s) {
		return
	}
	t.mu.Lock()
	was, first := s.tally, false
	s.tally = tallyEnded
	if was == tallyCounted {
		first = t.count(Key{s.Subject, s.Queue}, -1)
	}
	t.mu.Unlock()
	if first {
		t.changed()
	}
}

// count changes the number of a key and tells whether it is the first to become dirty.
func (t *Tally) count(k Key, by int32) (first bool) {
	c := t.keys[k]
	c.count += by
	if !c.dirty && c.weight(k) != c.told {
		c.dirty = true
		first = len(t.dirty) == 0
		t.dirty = append(t.dirty, k)
	}
	if c == (counted{}) {
		delete(t.keys, k)
		return first
	}
	t.keys[k] = c
	return first
}

// weight is what others are to know of the key.
func (c counted) weight(k Key) int32 {
	if k.Queue == "" {
		return min(c.count, 1)
	}
	return c.count
}

// Take adds to dst what others are to be told since the last Take, in the order of the
// changes. What has become again as it was told is left out.
func (t *Tally) Take(dst []Change) []Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.dirty {
		c := t.keys[k]
		c.dirty = false
		if w := c.weight(k); w != c.told {
			c.told = w
			dst = append(dst, Change{k, int(w)})
		}
		if c == (counted{}) {
			delete(t.keys, k)
		} else {
			t.keys[k] = c
		}
	}
	if cap(t.dirty) > tallyKeep {
		t.dirty = nil
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
	return dst
}

// tallyKeep is how many changed keys a tally keeps the space for.
const tallyKeep = 1024

// Told is all that others were told and is still so, sorted.
func (t *Tally) Told() []Change {
	t.mu.Lock()
	all := make([]Change, 0, len(t.keys))
	for k, c := range t.keys { //lockstep:ordered sorted below
		if c.told > 0 {
			all = append(all, Change{k, int(c.told)})
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b Change) int { return a.Compare(b.Key) }) //lockstep:total keys are unique
	return all
}
