package account

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Insert puts a subscription into the account's interest, and tells whoever watches it. The
// only error is [subject.ErrInvalidSubject].
func (a *Account) Insert(s *Subscription) error { return a.InsertWeighted(s, 1) }

// InsertWeighted is Insert of a subscription that stands for weight members of its queue
// group, at least 1: those of another server.
func (a *Account) InsertWeighted(s *Subscription, weight int) error {
	if err := a.index.Insert(s.Subject, s.Queue, int32(min(weight, math.MaxInt32)), s); err != nil {
		return err
	}
	if t := a.tally.Load(); t != nil {
		t.add(s)
	}
	a.watches.changed(s.Subject)
	return nil
}

// Reweigh changes for how many members a subscription in a queue group stands.
func (a *Account) Reweigh(s *Subscription, weight int) {
	a.index.UpdateWeight(s.Subject, s.Queue, s, int32(min(weight, math.MaxInt32)))
}

// Remove takes a subscription out of the account's interest, tells whoever watches it, and
// tells whether it was there.
func (a *Account) Remove(s *Subscription) bool {
	if !a.index.Remove(s.Subject, s.Queue, s) {
		return false
	}
	if t := a.tally.Load(); t != nil {
		t.remove(s)
	}
	a.watches.changed(s.Subject)
	return true
}

// Watch has changed called, without locks of the broker's held, after every change of the
// interest in a literal subject of this account, on the strand of whoever changed it, until stop
// is called. It may be called while another lock of this package is held, so it must
// only post to a strand.
func (a *Account) Watch(subj string, changed func()) (stop func()) {
	w := a.watches.add(subj, changed)
	return func() { a.watches.remove(subj, w) }
}

// Watches counts what is watched.
func (a *Account) Watches() int { return int(a.watches.n.Load()) }

// watches are a tree of tokens, so that a pattern finds the subjects that it covers without
// looking at the others.
type watches struct {
	n    atomic.Int64 // read without the lock: mostly there are none
	mu   sync.Mutex   // held across no call out
	root watchNode
	seq  uint64
}

type watchNode struct {
	next map[string]*watchNode
	here []*watch
}

type watch struct {
	seq     uint64
	changed func()
}

func (t *watches) add(subj string, changed func()) *watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	w := &watch{t.seq, changed}
	n := &t.root
	for token := range strings.SplitSeq(subj, ".") {
		child := n.next[token]
		if child == nil {
			child = &watchNode{}
			if n.next == nil {
				n.next = make(map[string]*watchNode, 1)
			}
			n.next[token] = child
		}
		n = child
	}
	n.here = append(n.here, w)
	t.n.Add(1)
	return w
}

func (t *watches) remove(subj string, w *watch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.root.remove(subj, w) {
		t.n.Add(-1)
	}
}

// remove takes w out of the place that the rest of its subject leads to, and drops what it
// leaves empty.
func (n *watchNode) remove(rest string, w *watch) bool {
	token, rest, more := strings.Cut(rest, ".")
	child := n.next[token]
	if child == nil {
		return false
	}
	removed := false
	if more {
		removed = child.remove(rest, w)
	} else if i := slices.Index(child.here, w); i >= 0 {
		child.here, removed = slices.Delete(child.here, i, i+1), true
	}
	if len(child.here) == 0 && len(child.next) == 0 {
		delete(n.next, token)
		if len(n.next) == 0 {
			n.next = nil
		}
	}
	return removed
}

// changed calls whoever watches a subject that pattern covers, in the order in which they
// began to.
func (t *watches) changed(pattern string) {
	if t.n.Load() == 0 {
		return
	}
	t.mu.Lock()
	found := t.root.covered(pattern, nil)
	t.mu.Unlock()
	//lockstep:total every watch has its own seq
	slices.SortFunc(found, func(a, b *watch) int { return cmp.Compare(a.seq, b.seq) })
	for _, w := range found {
		w.changed()
	}
}

// covered adds the watches below n whose tokens the pattern matches.
func (n *watchNode) covered(pattern string, found []*watch) []*watch {
	token, rest, more := strings.Cut(pattern, ".")
	switch {
	case token == ">" && !more:
		for _, child := range n.next { //lockstep:ordered the caller sorts
			found = child.all(found)
		}
		return found
	case token == "*":
		for _, child := range n.next { //lockstep:ordered the caller sorts
			found = child.step(rest, more, found)
		}
		return found
	}
	if child := n.next[token]; child != nil {
		found = child.step(rest, more, found)
	}
	return found
}

func (n *watchNode) step(rest string, more bool, found []*watch) []*watch {
	if more {
		return n.covered(rest, found)
	}
	return append(found, n.here...)
}

func (n *watchNode) all(found []*watch) []*watch {
	found = append(found, n.here...)
	for _, child := range n.next { //lockstep:ordered the caller sorts
		found = child.all(found)
	}
	return found
}
