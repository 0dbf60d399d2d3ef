package subject

import (
	"sync"
	"sync/atomic"
)

// literals finds leaves by literal subject. Readers take no lock: leaves are
// immutable, and a table's slot holds one leaf's subject as long as that leaf is
// in the table. Writers of one shard take turns; [Index.mu] keeps them out while
// the number of shards changes.
type literals[T comparable] struct {
	shards atomic.Pointer[[]shard[T]]
	leaves atomic.Int64
}

type shard[T comparable] struct {
	mu  sync.Mutex
	tab atomic.Pointer[table[T]] // nil: empty
	_   [48]byte                 // a writer here disturbs no reader of the next shard
}

// A table is an open-addressing hash table. Its tags, pieces of the hashes, stand
// beside the slots so that a search touches a leaf only when it is the right one.
type table[T comparable] struct {
	tags  []atomic.Uint32 // 0: never used; a used tag with an empty slot: a grave
	slots []atomic.Pointer[leaf[T]]
	used  int // slots that hold a leaf or a grave
	live  int // slots that hold a leaf
}

const tableMin = 8 // slots

// shardSteps: up to so many literals, so many shards. A shard's table is copied
// when it grows; few shards keep a small account small.
var shardSteps = [...]struct{ leaves, shards int }{{64, 1}, {4096, 16}, {1 << 62, 256}}

func tagOf(hash uint64) uint32 { return uint32(hash>>24) | 1 }

func newTable[T comparable](live int) *table[T] {
	size := tableMin
	for size < 2*live {
		size *= 2
	}
	return &table[T]{tags: make([]atomic.Uint32, size), slots: make([]atomic.Pointer[leaf[T]], size)}
}

func (t *table[T]) find(hash uint64, subject []byte) *leaf[T] {
	mask := uint64(len(t.tags) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch t.tags[i].Load() {
		case 0:
			return nil
		case tagOf(hash):
			if l := t.slots[i].Load(); l != nil && l.hash == hash && l.subject == string(subject) {
				return l
			}
		}
	}
}

// slot gives the place of a subject's leaf, or one where it may go.
func (t *table[T]) slot(hash uint64, subject string) uint64 {
	mask, free := uint64(len(t.tags)-1), uint64(1)<<63
	for i := hash & mask; ; i = (i + 1) & mask {
		tag, l := t.tags[i].Load(), t.slots[i].Load()
		switch {
		case l != nil && l.hash == hash && l.subject == subject:
			return i
		case l == nil && free == 1<<63:
			free = i
		}
		if tag == 0 {
			return free
		}
	}
}

func (t *table[T]) put(i, hash uint64, l *leaf[T]) {
	if t.slots[i].Load() == nil {
		t.live++
		if t.tags[i].Load() == 0 {
			t.used++
		}
	}
	t.slots[i].Store(l) // before the tag that leads readers to it
	t.tags[i].Store(tagOf(hash))
}

func (t *table[T]) clear(i uint64) {
	t.slots[i].Store(nil)
	t.live--
	mask := uint64(len(t.tags) - 1)
	if t.tags[(i+1)&mask].Load() != 0 {
		return // a search may go on past i: leave a grave
	}
	for ; t.slots[i].Load() == nil && t.tags[i].Load() != 0; i = (i - 1) & mask {
		t.tags[i].Store(0)
		t.used--
	}
}

func (t *table[T]) each(visit func(*leaf[T])) {
	for i := range t.slots {
		if l := t.slots[i].Load(); l != nil {
			visit(l)
		}
	}
}

// fit gives a table with room for one leaf more and not too large: nil when t is
// empty and asked for nothing more.
func (t *table[T]) fit(more int) *table[T] {
	if t == nil {
		return newTable[T](more)
	}
	size := len(t.tags)
	switch {
	case t.live+more == 0:
		return nil
	case (t.used+more)*4 <= size*3 && (size <= tableMin || t.live*8 >= size):
		return t
	}
	to := newTable[T](t.live + more)
	t.each(func(l *leaf[T]) { to.put(to.slot(l.hash, l.subject), l.hash, l) })
	return to
}

func shardOf[T comparable](shards []shard[T], hash uint64) *shard[T] {
	return &shards[int(hash>>56)&(len(shards)-1)]
}

func (s *literals[T]) find(hash uint64, subject []byte) *leaf[T] {
	shards := s.shards.Load()
	if shards == nil {
		return nil
	}
	if t := shardOf(*shards, hash).tab.Load(); t != nil {
		return t.find(hash, subject)
	}
	return nil
}

// edit replaces the leaf of a subject by what change makes of it.
func (s *literals[T]) edit(hash uint64, subject string, change func(*leaf[T]) *leaf[T]) {
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
		was = t.find(hash, view(subject))
	}
	now := change(was)
	switch {
	case now == was:
	case now == nil:
		t.clear(t.slot(hash, subject))
		s.leaves.Add(-1)
		if to := t.fit(0); to != t {
			sh.tab.Store(to)
		}
	case was == nil:
		now.hash = hash
		to := t.fit(1)
		to.put(to.slot(hash, subject), hash, now)
		if s.leaves.Add(1); to != t {
			sh.tab.Store(to)
		}
	default:
		t.slots[t.slot(hash, subject)].Store(now)
	}
}

// misfit gives the number of shards there should be, 0 when there are as many.
// It shrinks late, so that a number at the border does not move everything often.
func (s *literals[T]) misfit() int {
	shards, n := s.shards.Load(), int(s.leaves.Load())
	if shards == nil {
		return 0
	}
	for i, step := range shardSteps {
		switch {
		case len(*shards) < step.shards && n > shardSteps[i-1].leaves:
			if n <= step.leaves {
				return step.shards
			}
		case len(*shards) > step.shards && n < step.leaves/4:
			return step.shards
		}
	}
	return 0
}

// reshard moves all leaves. No writer may be at work; readers of the old shards
// see what was there until now, and learn of what is new by generations.
func (s *literals[T]) reshard(n int) {
	to := make([]shard[T], n)
	for i := range *s.shards.Load() {
		t := (*s.shards.Load())[i].tab.Load()
		if t == nil {
			continue
		}
		t.each(func(l *leaf[T]) {
			sh := shardOf(to, l.hash)
			was := sh.tab.Load()
			tab := was.fit(1)
			tab.put(tab.slot(l.hash, l.subject), l.hash, l)
			if tab != was {
				sh.tab.Store(tab)
			}
		})
	}
	s.shards.Store(&to)
}

func (s *literals[T]) each(visit func(*leaf[T])) {
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
