package subject

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrInvalidSubject says that a subject has an empty token or something after ">".
var ErrInvalidSubject = errors.New("invalid subject")

// An Index finds the subscriptions that match a published subject. T stands for a
// subscription and is usually a pointer; one T may be in the index any number of
// times under different subjects or queues, but once under each.
//
// Any number of strands may read and write at once. Readers take no lock. What a
// change costs does not depend on how many subscriptions there are, nor does it
// make results stale that it does not concern, but for the few that share its
// share of the [Generation] counters.
//
// Literal subjects are in hash tables, and so are, by what comes before it, the
// patterns whose only wildcard is the last token: inboxes mostly. The others are in
// a trie of immutable nodes. An index without subscriptions is small enough to have
// tens of thousands of them; one that has emptied again is as small.
type Index[T comparable] struct {
	seed     hasher
	literals hashed[T]
	stars    hashed[T]                    // literal tokens and a last "*"
	rests    hashed[T]                    // up to restDepth literal tokens and a last ">"
	depths   [restDepth + 1]atomic.Uint32 // leaves of rests by number of literal tokens
	root     atomic.Pointer[node[T]]      // all other patterns
	keyedG   generations                  // literals and stars: by the hash that finds them
	patternG generations                  // other patterns: by hash of the first token
	leadingG atomic.Uint64                // patterns that start with a wildcard

	mu     sync.RWMutex // held shared by writers, alone while sizes change
	rootMu sync.Mutex   // between writers of the trie
	deep   atomic.Int64 // leaves of the trie

	seq  atomic.Uint64
	size atomic.Int64
	stat counters
}

const (
	keyedCounters   = 8 // per shard of literals or stars
	patternCounters = 4 // for up to patternFew patterns, else patternCountersMany
	patternFew      = 32

	patternCountersMany = 256

	restDepth = 15
)

// NewIndex gives an empty index. Its hashes are the same in every process.
func NewIndex[T comparable]() *Index[T] { return NewIndexSeeded[T](0) }

// NewIndexSeeded gives an empty index whose hashes depend on seed, so that who
// does not know it cannot choose subjects that collide.
func NewIndexSeeded[T comparable](seed uint64) *Index[T] {
	x := &Index[T]{seed: hasher(seed)}
	x.stars.cut, x.rests.cut = len(".*"), len(".>")
	x.keyedG.resize(keyedCounters)
	x.patternG.resize(patternCounters)
	return x
}

// Insert adds a subscription: plain when queue is empty, else a member of that
// queue group that stands for weight subscribers (at least 1). What is there
// already gets the new weight. The index keeps both strings. The only error is
// [ErrInvalidSubject].
func (x *Index[T]) Insert(subject, queue string, weight int32, v T) error {
	if !Valid(subject) {
		return ErrInvalidSubject
	}
	added := false
	x.edit(subject, func(l *leaf[T]) *leaf[T] {
		var now *leaf[T]
		now, added = l.with(subject, queue, max(weight, 1), v, x.seq.Add(1))
		return now
	})
	if added {
		x.size.Add(1)
		x.stat.inserts.Add(1)
	}
	return nil
}

// Remove takes a subscription out again and tells whether it was there.
func (x *Index[T]) Remove(subject, queue string, v T) bool {
	if !Valid(subject) {
		return false
	}
	removed := false
	x.edit(subject, func(l *leaf[T]) *leaf[T] {
		now := l.without(queue, v)
		removed = now != l
		return now
	})
	if removed {
		x.size.Add(-1)
		x.stat.removes.Add(1)
	}
	return removed
}

// UpdateWeight gives a member of a queue group another weight (at least 1) and
// tells whether there is such a member. The order of members does not change.
func (x *Index[T]) UpdateWeight(subject, queue string, v T, weight int32) bool {
	if queue == "" || !Valid(subject) {
		return false
	}
	found := false
	x.edit(subject, func(l *leaf[T]) *leaf[T] {
		if l == nil || l.more == nil {
			return l
		}
		var seq uint64
		if seq, found = l.more.find(queue, v); !found {
			return l
		}
		return l.reweighed(l.crowded(), queue, max(weight, 1), seq)
	})
	return found
}

// edit replaces the leaf of a valid subject and counts the change.
func (x *Index[T]) edit(subject string, change func(*leaf[T]) *leaf[T]) {
	changed := false
	note := func(l *leaf[T]) *leaf[T] {
		now := change(l)
		changed = now != l
		return now
	}
	x.mu.RLock()
	var counter *atomic.Uint64
	if HasWildcard(subject) {
		counter = x.editPattern(subject, note)
	} else {
		hash := x.seed.hash(subject)
		x.literals.edit(hash, subject, note)
		counter = x.keyedG.counter(hash)
	}
	fits := true
	if changed {
		counter.Add(1)
		fits = x.literals.misfit()+x.stars.misfit()+x.rests.misfit()+x.patternMisfit() == 0
	}
	x.mu.RUnlock()
	if !fits {
		x.resize()
	}
}

// editPattern gives the counter of the part that it changed.
func (x *Index[T]) editPattern(pattern string, change func(*leaf[T]) *leaf[T]) *atomic.Uint64 {
	first, _ := next(pattern, 0)
	if is(first, wildOne) || is(first, wildRest) {
		x.editTrie(pattern, change)
		return &x.leadingG
	}
	counter := x.patternG.counter(x.seed.hash(first))
	end := len(pattern) - len(".*")
	prefix := pattern[:end]
	hash, depth := x.seed.hash(prefix), Tokens(prefix)
	switch {
	case pattern[end] != separator || HasWildcard(prefix):
		x.editTrie(pattern, change)
	case pattern[end+1] == wildOne:
		x.stars.edit(hash, pattern, change)
		return x.keyedG.counter(hash)
	case depth <= restDepth:
		more := x.rests.edit(hash, pattern, change)
		x.depths[depth].Add(uint32(more))
	default:
		x.editTrie(pattern, change)
	}
	return counter
}

func (x *Index[T]) editTrie(pattern string, change func(*leaf[T]) *leaf[T]) {
	x.rootMu.Lock()
	defer x.rootMu.Unlock()
	was := x.root.Load()
	now := was.edit(x.seed, pattern, 0, func(l *leaf[T]) *leaf[T] {
		to := change(l)
		switch {
		case l == nil && to != nil:
			x.deep.Add(1)
		case l != nil && to == nil:
			x.deep.Add(-1)
		}
		return to
	})
	if now != was {
		x.root.Store(now)
	}
}

// patternMisfit gives the number of counters there should be, 0 when there are as
// many.
func (x *Index[T]) patternMisfit() int {
	few := len(*x.patternG.counters.Load()) == patternCounters
	patterns := x.stars.leaves.Load() + x.rests.leaves.Load() + x.deep.Load()
	switch {
	case few && patterns > patternFew:
		return patternCountersMany
	case !few && patterns < patternFew/4:
		return patternCounters
	}
	return 0
}

// resize fits shards and counters to what the index holds.
func (x *Index[T]) resize() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.literals.refit()
	x.stars.refit()
	x.rests.refit()
	if n := keyedCounters * max(x.literals.count(), x.stars.count()); n != len(*x.keyedG.counters.Load()) {
		x.keyedG.resize(n)
	}
	if n := x.patternMisfit(); n != 0 {
		x.patternG.resize(n)
	}
}

// Len counts subscriptions.
func (x *Index[T]) Len() int { return int(x.size.Load()) }

// Match fills r with the subscriptions that a message published to subject goes
// to. Wildcards in subject are plain text; a subject with an empty token matches
// nothing.
func (x *Index[T]) Match(subject []byte, r *Result[T]) {
	r.clear()
	hash := Hash(uint64(x.seed), subject)
	parent, parentHash := x.parent(subject)
	r.Gen = x.gen(subject, hash, parentHash) // before anything is looked at
	if l := x.literals.find(hash, subject); l != nil {
		r.add(l)
	}
	x.collect(subject, parent, parentHash, r)
	x.stat.matched(r.Fanout())
}

// parent gives subject without its last token, nil when there is no other, and the
// hash of that.
func (x *Index[T]) parent(subject []byte) ([]byte, uint64) {
	i := bytes.LastIndexByte(subject, separator)
	if i < 0 {
		return nil, 0
	}
	return subject[:i], Hash(uint64(x.seed), subject[:i])
}

// collect adds to r the patterns that match.
func (x *Index[T]) collect(subject, parent []byte, parentHash uint64, r *Result[T]) {
	stars, rests, root := x.stars.leaves.Load() != 0, x.rests.leaves.Load() != 0, x.root.Load()
	if !stars && !rests && root == nil || hasEmptyToken(subject) {
		return
	}
	if stars && parent != nil {
		if l := x.stars.find(parentHash, parent); l != nil {
			r.add(l)
		}
	}
	if rests {
		for d, i := 1, 0; d <= restDepth; d++ {
			var l *leaf[T]
			if l, i = x.findRest(subject, i, d); l != nil {
				r.add(l)
			}
			if i > len(subject) {
				break
			}
		}
	}
	if root != nil {
		root.collect(x.seed, subject, 0, r)
	}
}

// findStar looks for the pattern that has a "*" for the last token of subject only.
func (x *Index[T]) findStar(subject []byte) *leaf[T] {
	parent, hash := x.parent(subject)
	if parent == nil {
		return nil
	}
	return x.stars.find(hash, parent)
}

// findRest looks for the pattern that has a ">" for all but the first d tokens of
// subject. The d-th token starts at i; after is where the next one does.
func (x *Index[T]) findRest(subject []byte, i, d int) (l *leaf[T], after int) {
	_, after = next(subject, i)
	if after > len(subject) || x.depths[d].Load() == 0 {
		return nil, after
	}
	prefix := subject[:after-1]
	return x.rests.find(Hash(uint64(x.seed), prefix), prefix), after
}

// HasInterest tells whether anything matches a published subject.
func (x *Index[T]) HasInterest(subject []byte) bool {
	if x.literals.find(Hash(uint64(x.seed), subject), subject) != nil {
		return true
	}
	if hasEmptyToken(subject) {
		return false
	}
	if x.findStar(subject) != nil {
		return true
	}
	for d, i := 1, 0; d <= restDepth && i <= len(subject); d++ {
		var l *leaf[T]
		if l, i = x.findRest(subject, i, d); l != nil {
			return true
		}
	}
	root := x.root.Load()
	return root != nil && root.any(x.seed, subject, 0)
}

// Gen gives the present generation of all that subject may match.
func (x *Index[T]) Gen(subject []byte) Generation {
	_, parentHash := x.parent(subject)
	return x.gen(subject, Hash(uint64(x.seed), subject), parentHash)
}

func (x *Index[T]) gen(subject []byte, hash, parentHash uint64) (g Generation) {
	first, _ := next(subject, 0)
	g.literal, g.literalN = x.keyedG.read(hash)
	g.star, g.starN = x.keyedG.read(parentHash)
	g.pattern, g.patternN = x.patternG.read(Hash(uint64(x.seed), first))
	g.leadingN = x.leadingG.Load()
	return g
}

// Valid tells whether what matched at g, a generation of this index, matches
// still. It costs four loads.
func (x *Index[T]) Valid(g *Generation) bool {
	return g.literal != nil && g.literal.Load() == g.literalN && g.star.Load() == g.starN &&
		g.pattern.Load() == g.patternN && x.leadingG.Load() == g.leadingN
}

// Fresh tells whether r is what Match would give again.
func (x *Index[T]) Fresh(r *Result[T]) bool { return x.Valid(&r.Gen) }

// ReverseMatch fills r with all subscriptions whose subject or pattern overlaps
// pattern, sorted by their subjects. When pattern has wildcards it visits most of
// the index. r.Gen is not set: such a result is not for keeping.
func (x *Index[T]) ReverseMatch(pattern []byte, r *Result[T]) {
	r.clear()
	r.Gen = Generation{}
	if !Valid(pattern) {
		return
	}
	r.leafs = r.leafs[:0]
	visit := func(l *leaf[T]) {
		if l != nil {
			r.leafs = append(r.leafs, l)
		}
	}
	if HasWildcard(pattern) {
		x.eachHashed(func(l *leaf[T]) {
			if Overlaps(l.subject, pattern) {
				visit(l)
			}
		})
	} else {
		visit(x.literals.find(Hash(uint64(x.seed), pattern), pattern))
		visit(x.findStar(pattern))
		for d, i := 1, 0; d <= restDepth && i <= len(pattern); d++ {
			var l *leaf[T]
			l, i = x.findRest(pattern, i, d)
			visit(l)
		}
	}
	if root := x.root.Load(); root != nil {
		root.overlapping(x.seed, pattern, 0, visit)
	}
	sortLeafs(r.leafs)
	for _, l := range r.leafs {
		r.add(l)
	}
	clear(r.leafs)
}

func (x *Index[T]) eachHashed(visit func(*leaf[T])) {
	x.literals.each(visit)
	x.stars.each(visit)
	x.rests.each(visit)
}

func sortLeafs[T comparable](leafs []*leaf[T]) {
	slices.SortFunc(leafs, func(a, b *leaf[T]) int { return cmp.Compare(a.subject, b.subject) }) //lockstep:total a subject has one leaf
}

// Walk visits all subscriptions until visit returns false: sorted by subject,
// plain ones before queue groups by name, in the order of insertion. It holds no
// lock meanwhile; what changes while Walk collects may be visited or not.
func (x *Index[T]) Walk(visit func(subject, queue string, v T) bool) {
	var leafs []*leaf[T]
	collect := func(l *leaf[T]) { leafs = append(leafs, l) }
	x.eachHashed(collect)
	if root := x.root.Load(); root != nil {
		root.each(collect)
	}
	sortLeafs(leafs)
	for _, l := range leafs {
		if !l.each(func(queue string, v T) bool { return visit(l.subject, queue, v) }) {
			return
		}
	}
}
