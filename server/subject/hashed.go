package subject

import (
	"sync"
	"sync/atomic"
)

// hashed finds leaves by a key that starts their subject: all of it for literals,
// or what comes before a last ".*" or ".>". Readers take no lock: leaves are
// immutable, and a table's slot holds one subject's leaves as long as there is
// one. Writers of one shard take turns; [Index.mu] keeps them out while the number
// of shards changes.
type hashed[T comparable] struct {
	cut    int // bytes of a leaf's subject behind its key
	leaves atomic.Int64
	shards atomic.Pointer[[]shard[T]] // nil until the first leaf
}

type shard[T comparable] struct {
	mu  sync.Mutex
	tab atomic.Pointer[table[T]] // nil: empty
	_   [48]byte                 // a writer here disturbs no reader of the next shard
}

// A table is an open-addressing hash table. The tags in its slots, pieces of the
// hashes, keep a search from touching leaves other than the right one.
type table[T comparable] struct {
	slots []slot[T]
	cut   int
	used  int // slots that hold a leaf or a grave
	live  int // slots that hold a leaf
}

type slot[T comparable] struct {
	leaf atomic.Pointer[leaf[T]]
	tag  atomic.Uint32 // 0: never used; else without a leaf: a grave
}

const tableMin = 4 // slots

// shardSteps: up to so many leaves, so many shards. A shard's table is copied when
// it grows; few shards keep a small account small.
var shardSteps = [...]struct{ leaves, shards int }{{64, 1}, {4096, 16}, {1 << 62, 256}}

func tagOf(hash uint64) uint32 { return uint32(hash>>24) | 1 }

func newTable[T comparable](live, cut int) *table[T] {
	size := tableMin
	for size < 2*live {
		size *= 2
	}
	return &table[T]{slots: make([]slot[T], size), cut: cut}
}

func (t *table[T]) find(hash uint64, key []byte) *leaf[T] {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		switch s.tag.Load() {
		case 0:
			return nil
		case tagOf(hash):
			l := s.leaf.Load()
			if l != nil && l.hash == hash && l.subject[:len(l.subject)-t.cut] == string(key) {
				return l
			}
		}
	}
}

// place gives the slot of a leaf's subject, or one where it may go.
func (t *table[T]) place(hash uint64, subject string) uint64 {
	const none = uint64(1) << 63
	mask, free := uint64(len(t.slots)-1), none
	for i := hash & mask; ; i = (i + 1) & mask {
		l := t.slots[i].leaf.Load()
		switch {
		case l != nil && l.hash == hash && l.subject == subject:
			return i
		case l == nil && free == none:
			free = i
		}
		if t.slots[i].tag.Load() == 0 {
			return free
		}
	}
}

// put stores a leaf whose subject the table does not hold.
func (t *table[T]) put(l *leaf[T]) {
	s := &t.slots[t.place(l.hash, l.subject)]
	t.live++
	if s.tag.Load() == 0 {
		t.used++
	}
	s.leaf.Store(l) // before the tag that leads readers to it
	s.tag.Store(tagOf(l.hash))
}

func (t *table[T]) clear(i uint64) {
	t.slots[i].leaf.Store(nil)
	t.live--
	mask := uint64(len(t.slots) - 1)
	if t.slots[(i+1)&mask].tag.Load() != 0 {
		return // a search may go on past i: leave a grave
	}
	for t.slots[i].leaf.Load() == nil && t.slots[i].tag.Load() != 0 {
		t.slots[i].tag.Store(0)
		t.used--
		i = (i - 1) & mask
	}
}

func (t *table[T]) each(visit func(*leaf[T])) {
	for i := range t.slots {
		if l := t.slots[i].leaf.Load(); l != nil {
			visit(l)
		}
	}
}

// fit gives t, or when it is too small for more leaves or much too large, a copy
// of another size: nil for no leaf at all.
func (t *table[T]) fit(more int) *table[T] {
	size := len(t.slots)
	switch {
	case t.live+more == 0:
		return nil
	case (t.used+more)*4 <= size*3 && (size <= tableMin || t.live*8 >= size):
		return t
	}
	to := newTable[T](t.live+more, t.cut)
	t.each(to.put)
	return to
}

func shardOf[T comparable](shards []shard[T], hash uint64) *shard[T] {
	return &shards[int(hash>>56)&(len(shards)-1)]
}

// insert stores a leaf that is not there yet, for the shard's only writer.
func (sh *shard[T]) insert(l *leaf[T], cut int) {
	was := sh.tab.Load()
	to := was
	if was == nil {
		to = newTable[T](1, cut)
	} else {
		to = was.fit(1)
	}
	to.put(l)
	if to != was {
		sh.tab.Store(to)
	}
}

func (s *hashed[T]) find(hash uint64, key []byte) *leaf[T] {
	shards := s.shards.Load()
	if shards == nil {
		return nil
	}
	if t := shardOf(*shards, hash).tab.Load(); t != nil {
		return t.find(hash, key)
	}
	return nil
}

// edit replaces the leaf of a subject by what change makes of it, and gives the
// number of leaves that came or, negative, went.
func (s *hashed[T]) edit(hash uint64, subject string, change func(*leaf[T]) *leaf[T]) (more int) {
	shards := s.shards.Load()
	if shards == nil {
		one := make([]shard[T], 1)
		s.shards.CompareAndSwap(nil, &one)
		shards = s.shards.Load()
	}
	sh := shardOf(*shards, hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.tab.Load()
	var was *leaf[T]
	if t != nil {
		was = t.find(hash, view(subject[:len(subject)-s.cut]))
	}
	now := change(was)
	switch {
	case now == was:
		return 0
	case was == nil:
		now.hash = hash
		sh.insert(now, s.cut)
		s.leaves.Add(1)
		return 1
	case now != nil:
		t.slots[t.place(hash, subject)].leaf.Store(now)
		return 0
	}
	t.clear(t.place(hash, subject))
	s.leaves.Add(-1)
	if to := t.fit(0); to != t {
		sh.tab.Store(to)
	}
	return -1
}

// misfit gives the number of shards there should be, 0 when there are as many. It
// shrinks late, so that a number at the border does not move everything often.
func (s *hashed[T]) misfit() int {
	shards, n := s.shards.Load(), int(s.leaves.Load())
	if shards == nil {
		return 0
	}
	for i, step := range shardSteps {
		switch {
		case len(*shards) > step.shards && n < step.leaves/4:
			return step.shards
		case len(*shards) < step.shards && n > shardSteps[i-1].leaves && n <= step.leaves:
			return step.shards
		}
	}
	return 0
}

// refit moves all leaves when the number of shards does not fit. No writer may be
// at work; readers of the old shards see what was there until now, and learn of
// what is new by generations.
func (s *hashed[T]) refit() {
	n := s.misfit()
	if n == 0 {
		return
	}
	to := make([]shard[T], n)
	s.each(func(l *leaf[T]) { shardOf(to, l.hash).insert(l, s.cut) })
	s.shards.Store(&to)
}

// count is the number of shards, 1 when there is none yet.
func (s *hashed[T]) count() int {
	if shards := s.shards.Load(); shards != nil {
		return len(*shards)
	}
	return 1
}

func (s *hashed[T]) each(visit func(*leaf[T])) {
	shards := s.shards.Load()
	if shards == nil {
		return
	}
	for i := range *shards {
		if t := (*shards)[i].tab.Load(); t != nil {
			t.each(visit)
		}
	}
}
