package msgs

import (
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/heap"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/subjects"
)

// NewFilter makes a filter. A pattern that is not valid matches nothing.
func NewFilter(patterns ...string) *Filter { return &Filter{Patterns: patterns} }

// none tells whether everything is selected without looking at any index.
func (f *Filter) none() bool { return f == nil || len(f.Patterns) == 0 }

// filterCache is what a filter found in the index of its store. Which subjects match is found
// once, and then kept up to date by looking at subjects that are new. When they are few it is a
// list of ids (narrow). When they are many, or nobody has counted them, messages are
// looked at one by one, and a memo holds the verdict on each subject that was met (wide).
type filterCache struct {
	st       *store
	epoch    uint64             // of its ids
	literal  []byte             // the only pattern, when it has no wildcard
	prefix   string             // of the only pattern, when it is this and any tokens
	patterns *subjects.Patterns // nil: nothing is valid
	anchored bool               // no pattern begins with a wildcard

	known bool // what follows is true, up to births
	wide  bool
	seen  uint64   // births looked at
	ids   []uint32 // narrow: ascending; some may have no message
	sieve []uint64 // narrow, when there are many: a bit for each id, and for others by chance
	far   bool     // narrow: the last search found nothing near
	heap  bounds   // narrow: where the next message of each subject is at the earliest
	since uint64   // the heap knows nothing of what is below
	memo  memo
	many  int // wide: the number that matched when it was counted

	// Nothing matches from emptyFrom up to below emptyTo: messages never appear where
	// others were.
	emptyFrom, emptyTo uint64

	count countCache
}

// bounds are sequences below which no message of a subject, an id, stands.
type bounds = heap.Heap[uint64, uint32]

// countCache is the last answer of Count.
type countCache struct {
	change uint64
	from   uint64
	newest bool
	ok     bool
	n      uint64
}

// tuning says when which way of searching is taken. No answer depends on it.
type tuning struct {
	narrow int // subjects up to which a filter is narrow
	near   int // messages that are looked at one by one before subjects are asked
	ask    int // messages that can be looked at in the time that the map needs for a subject
	births int // new subjects that are remembered
	pages  int // of all memos
	idle   int // subjects without a message that are kept at least
}

var defaultTuning = tuning{narrow: 4096, near: 64, ask: 32, births: 1024, pages: 32 << 20 / (memoPage / 4), idle: 64}

// births are the subjects that came into the store lately, for filters to catch up.
type births struct {
	watched bool // some filter wants to know
	born    uint64
	recent  []uint32 // the ids of the last births
	kept    int      // of them at least
	common  []byte   // what all subjects begin with
}

// note adds a new subject, which is one of n now.
func (b *births) note(id uint32, text []byte, n int) {
	if n == 1 {
		b.common = append(b.common[:0], text...)
	} else {
		i := 0
		for i < len(b.common) && i < len(text) && b.common[i] == text[i] {
			i++
		}
		b.common = b.common[:i]
	}
	if !b.watched {
		return
	}
	b.recent = append(b.recent, id)
	if most := max(b.kept, n/8); len(b.recent) > 2*most {
		b.recent = b.recent[:copy(b.recent, b.recent[len(b.recent)-most:])]
	}
	b.born++
}

// selectsAll tells whether a filter matches every subject of the store.
func (s *store) selectsAll(f *Filter) bool {
	if f.none() {
		return true
	}
	c := s.compiled(f)
	return c.literal == nil && c.prefix != "" && (c.prefix == ">" || strings.HasPrefix(textOf(s.common), c.prefix))
}

// compiled is the cache of a filter, ready for this store.
func (s *store) compiled(f *Filter) *filterCache {
	c := &f.cache
	if c.st == s && c.epoch == s.epoch {
		return c
	}
	if c.st != nil {
		c.st.memos.drop(c)
	}
	*c = filterCache{st: s, epoch: s.epoch, anchored: true}
	valid := make([]string, 0, len(f.Patterns))
	for _, p := range f.Patterns {
		if subject.Valid(p) {
			valid = append(valid, p)
			c.anchored = c.anchored && p[0] != '*' && p[0] != '>'
		}
	}
	if len(valid) == 0 {
		return c
	}
	c.patterns, _ = subjects.NewPatterns(valid...)
	if len(valid) > 1 {
		return c
	}
	only := valid[0]
	body, open := strings.CutSuffix(only, ">")
	switch {
	case !subject.HasWildcard(only):
		c.literal = []byte(only)
	case only == ">":
		c.prefix = ">"
	case open && !subject.HasWildcard(strings.TrimSuffix(body, ".")):
		c.prefix = body
	}
	return c
}

// prepare brings the cache of a filter up to date.
func (s *store) prepare(f *Filter) *filterCache {
	c := s.compiled(f)
	switch {
	case c.literal != nil:
		c.ids = c.ids[:0]
		if id, ok := s.subs.Find(c.literal); ok {
			c.ids = append(c.ids, id)
		}
	case c.patterns == nil:
	case !c.known || s.born-c.seen > s.remembered(c):
		s.enumerate(c)
	default:
		s.catchUp(c)
	}
	return c
}

// remembered is how many births a filter looks at to catch up; after more it asks the map again. That is fast when the
// map knows where to begin.
func (s *store) remembered(c *filterCache) uint64 {
	if c.anchored {
		return uint64(min(s.births.kept, len(s.recent)))
	}
	return uint64(len(s.recent))
}

// enumerate finds the subjects that match, unless they are many.
func (s *store) enumerate(c *filterCache) {
	s.watched = true
	s.memos.drop(c)
	c.known, c.wide, c.seen = true, false, s.born
	c.ids, c.heap = c.ids[:0], c.heap[:0]
	s.subs.Match(c.patterns, nil, func(id uint32, _ []byte) bool {
		c.ids = append(c.ids, id)
		return len(c.ids) <= s.tuning.narrow
	})
	if len(c.ids) > s.tuning.narrow {
		c.widen()
		return
	}
	slices.Sort(c.ids)
	c.sift()
}

// sift makes the sieve.
func (c *filterCache) sift() {
	c.sieve = nil
	if len(c.ids) <= sieveMin {
		return
	}
	words := 1
	for words*8 < len(c.ids) {
		words *= 2
	}
	c.sieve = make([]uint64, words)
	for _, id := range c.ids {
		c.mark(id)
	}
}

func (c *filterCache) mark(id uint32) {
	h := id * sieveHash >> 7 % uint32(64*len(c.sieve))
	c.sieve[h/64] |= 1 << (h % 64)
}

const (
	sieveMin  = 8
	sieveHash = 2654435769
)

func (c *filterCache) widen() { c.wide, c.ids, c.heap, c.sieve, c.many = true, nil, nil, nil, 0 }

// catchUp looks at the subjects that are new.
func (s *store) catchUp(c *filterCache) {
	for ; c.seen < s.born; c.seen++ {
		id := s.recent[len(s.recent)-int(s.born-c.seen)]
		if c.wide {
			c.memo.forget(id)
			continue
		}
		s.text = s.subs.AppendText(s.text[:0], id)
		at, in := slices.BinarySearch(c.ids, id)
		switch match := len(s.text) > 0 && c.patterns.Matches(s.text); {
		case match && !in:
			c.ids = slices.Insert(c.ids, at, id)
			if len(c.ids) > 8*len(c.sieve) {
				c.sift()
			} else {
				c.mark(id)
			}
			if len(c.heap) > 0 {
				c.heap.Push(0, id)
			}
		case !match && in:
			c.ids = slices.Delete(c.ids, at, at+1)
		}
		if len(c.ids) > 2*s.tuning.narrow {
			c.widen()
		}
	}
}

// matches tells whether the subject of a living message matches.
func (s *store) matches(c *filterCache, id uint32) bool {
	if !c.wide {
		return c.has(id)
	}
	switch c.memo.get(id) {
	case memoYes:
		return true
	case memoNo:
		return false
	}
	s.text = s.subs.AppendText(s.text[:0], id)
	yes := c.patterns.Matches(s.text)
	s.memos.set(c, id, yes)
	return yes
}

// has tells whether a narrow filter matches a subject.
func (c *filterCache) has(id uint32) bool {
	if len(c.ids) <= sieveMin {
		for _, x := range c.ids {
			if x == id {
				return true
			}
		}
		return false
	}
	if len(c.sieve) > 0 {
		if h := id * sieveHash >> 7 % uint32(64*len(c.sieve)); c.sieve[h/64]&(1<<(h%64)) == 0 {
			return false
		}
	}
	_, ok := slices.BinarySearch(c.ids, id)
	return ok
}

// mayHave tells whether a block can hold a message that matches.
func (c *filterCache) mayHave(b *block) bool {
	if c.wide {
		return true
	}
	return len(c.ids) > 0 && c.ids[0] <= b.idMax && c.ids[len(c.ids)-1] >= b.idMin
}

// memo holds verdicts on subjects, two bits each, in pages that come as they are needed.
type memo struct{ pages []*[memoPage / 32]uint64 }

const (
	memoPage    = 4096
	memoUnknown = 0
	memoYes     = 1
	memoNo      = 2
)

func (m *memo) get(id uint32) uint64 {
	if p := int(id / memoPage); p < len(m.pages) && m.pages[p] != nil {
		i := id % memoPage
		return m.pages[p][i/32] >> (i % 32 * 2) & 3
	}
	return memoUnknown
}

func (m *memo) forget(id uint32) {
	if p := int(id / memoPage); p < len(m.pages) && m.pages[p] != nil {
		i := id % memoPage
		m.pages[p][i/32] &^= 3 << (i % 32 * 2)
	}
}

// memos bounds what the memos of a store's filters take: that of the filter which waited longest
// for a new page goes.
type memos struct {
	list  []*filterCache
	pages int
	max   int
}

func (m *memos) set(c *filterCache, id uint32, yes bool) {
	p, i := int(id/memoPage), id%memoPage
	for p >= len(c.memo.pages) {
		c.memo.pages = append(c.memo.pages, nil)
	}
	if c.memo.pages[p] == nil {
		m.addPage(c, p)
	}
	verdict := uint64(memoNo)
	if yes {
		verdict = memoYes
	}
	c.memo.pages[p][i/32] |= verdict << (i % 32 * 2)
}

func (m *memos) addPage(c *filterCache, p int) {
	at := slices.Index(m.list, c)
	if at >= 0 {
		m.list = slices.Delete(m.list, at, at+1)
	}
	for m.pages >= m.max && len(m.list) > 0 {
		m.drop(m.list[0])
	}
	m.list = append(m.list, c)
	c.memo.pages[p] = new([memoPage / 32]uint64)
	m.pages++
}

// drop forgets the memo of a filter.
func (m *memos) drop(c *filterCache) {
	if len(c.memo.pages) == 0 {
		return
	}
	for _, p := range c.memo.pages {
		if p != nil {
			m.pages--
		}
	}
	c.memo.pages = nil
	if at := slices.Index(m.list, c); at >= 0 {
		m.list = slices.Delete(m.list, at, at+1)
	}
}
