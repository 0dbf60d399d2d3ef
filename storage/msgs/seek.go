package msgs

import (
	"math"

	"github.com/lockstepmq/lockstep/server/heap"
)

// Next is the first sequence at or above from that matches.
func (s *store) Next(f *Filter, from uint64) (seq uint64, ok bool) {
	from = max(from, s.first)
	if s.messages == 0 || from > s.last {
		return 0, false
	}
	if s.selectsAll(f) {
		return s.found(s.nextLive(from))
	}
	c := s.prepare(f)
	asked := from
	if c.emptyFrom <= from && from < c.emptyTo {
		from = c.emptyTo
	}
	end := s.last + 1
	if from <= s.last {
		end = s.seek(c, from)
	}
	if asked < c.emptyFrom || asked > c.emptyTo {
		c.emptyFrom = asked
	}
	c.emptyTo = end
	return s.found(end)
}

// found is a search's answer: anything above last is none.
func (s *store) found(seq uint64) (uint64, bool) {
	if seq > s.last {
		return 0, false
	}
	return seq, true
}

// seek looks at some messages one by one, which is fast where many match, and then asks for each
// subject where its next message is. Near the end of the store it does not ask: after every new message it
// would have to ask for each subject again.
func (s *store) seek(c *filterCache, from uint64) uint64 {
	if c.wide {
		seq, _ := s.scanUp(c, from, math.MaxInt)
		return seq
	}
	if len(c.ids) == 0 {
		return s.last + 1
	}
	near := s.tuning.near + len(c.ids)/4
	if !c.far || s.last-from < uint64(near) {
		seq, found := s.scanUp(c, from, near)
		if found || seq > s.last {
			c.far = false
			return seq
		}
		from = seq
	}
	seq := s.seekHeap(c, from)
	c.far = seq-from > uint64(near/4)
	return seq
}

// scanUp looks at messages from from on, at most budget slots. It gives the first that matches,
// or where it stopped.
func (s *store) scanUp(c *filterCache, from uint64, budget int) (seq uint64, found bool) {
	for n := s.blockAt(from); n < len(s.blocks); n++ {
		b := s.blocks[n]
		if !c.mayHave(b) {
			continue
		}
		begin := b.nextLive(b.at(from))
		if b.ends != nil {
			if begin < b.n && s.matches(c, b.idMin) {
				return b.seq(begin), true
			}
			continue
		}
		for i := begin; i < b.n; i = b.nextLive(i + 1) {
			if s.matches(c, b.slots[i].id()) {
				return b.seq(i), true
			}
			if i-begin > budget {
				return b.seq(i) + 1, false
			}
		}
		if budget -= b.n - begin; budget < 0 {
			return b.last + 1, false
		}
	}
	return s.last + 1, false
}

// seekHeap asks subject by subject. The heap holds bounds: the lowest is made exact until the lowest is
// exact.
func (s *store) seekHeap(c *filterCache, from uint64) uint64 {
	if len(c.heap) < len(c.ids) || len(c.heap) > 2*len(c.ids)+16 || from < c.since || c.literal != nil && c.heap[0].Of != c.ids[0] {
		c.heap = c.heap[:0]
		for _, id := range c.ids {
			c.heap = append(c.heap, heap.Item[uint64, uint32]{Of: id})
		}
	}
	c.since = from
	for len(c.heap) > 0 {
		top := c.heap[0]
		switch {
		case top.Key > s.last:
			return s.last + 1
		case !c.has(top.Of):
			c.heap.Pop()
			continue
		case top.Key >= from && s.isOf(top.Key, top.Of):
			return top.Key
		}
		c.heap.Raise(s.follow(top.Of, top.Key, from))
	}
	return s.last + 1
}

// isOf tells whether a message lives and is of this subject.
func (s *store) isOf(seq uint64, id uint32) bool {
	b, i, ok := s.locate(seq)
	return ok && b.id(i) == id
}

// followMax is the number of links tried before a search.
const followMax = 16

// follow is the first message of a subject at or above from, which is likely to be near before, a message that was
// found; last+1 if none. None is below before.
func (s *store) follow(id uint32, before, from uint64) uint64 {
	if before < from && s.isOf(before, id) {
		seq := before
		for range followMax {
			if seq = s.next(seq); seq == 0 {
				return s.last + 1
			}
			if seq >= from {
				return seq
			}
		}
		from = max(from, seq)
	}
	return s.seekUp(id, max(from, before))
}

// seekUp is the first message of a subject at or above from; last+1 if none. It goes along the
// subject's chain from both ends, and over all messages from from on, by turns: whichever gets there
// first.
func (s *store) seekUp(id uint32, from uint64) uint64 {
	inf := s.info.of(id)
	switch {
	case inf.count == 0 || inf.getLast() < from:
		return s.last + 1
	case inf.getFirst() >= from:
		return inf.getFirst()
	}
	one := filterCache{ids: []uint32{id}}
	low, high := inf.getFirst(), inf.getLast()
	for {
		at, found := s.scanUp(&one, from, s.tuning.near)
		if found {
			return at
		}
		from = at
		for range 2 {
			if low = s.next(low); low >= from {
				return low
			}
			below := s.prev(high)
			if below < from {
				return high
			}
			high = below
		}
	}
}

// seekDown is the last message of a subject at or below from; 0 if none.
func (s *store) seekDown(id uint32, from uint64) uint64 {
	inf := s.info.of(id)
	switch {
	case inf.count == 0 || inf.getFirst() > from:
		return 0
	case inf.getLast() <= from:
		return inf.getLast()
	}
	one := filterCache{ids: []uint32{id}}
	low, high := inf.getFirst(), inf.getLast()
	for {
		at, found := s.scanDown(&one, from, s.tuning.near)
		if found {
			return at
		}
		from = at
		for range 2 {
			if high = s.prev(high); high <= from {
				return high
			}
			above := s.next(low)
			if above > from {
				return low
			}
			low = above
		}
	}
}

// Prev is the last sequence at or below from that matches.
func (s *store) Prev(f *Filter, from uint64) (seq uint64, ok bool) {
	from = min(from, s.last)
	if s.messages == 0 || from < s.first {
		return 0, false
	}
	var c *filterCache
	budget := math.MaxInt
	if !s.selectsAll(f) {
		c = s.prepare(f)
		if !c.wide {
			if len(c.ids) == 0 {
				return 0, false
			}
			budget = s.tuning.near + len(c.ids)/4
		}
	}
	seq, found := s.scanDown(c, from, budget)
	if found {
		return seq, true
	}
	if seq < s.first {
		return 0, false
	}
	from, seq = seq, 0
	for _, id := range c.ids {
		seq = max(seq, s.seekDown(id, from))
	}
	return seq, seq != 0
}

// scanDown is scanUp in the other direction; c nil matches everything. Where it stopped may be 0.
func (s *store) scanDown(c *filterCache, from uint64, budget int) (seq uint64, found bool) {
	for n := min(s.blockAt(from), len(s.blocks)-1); n >= 0; n-- {
		b := s.blocks[n]
		if b.n == 0 || b.first > from || c != nil && !c.mayHave(b) {
			continue
		}
		i := b.at(from)
		if i == b.n || b.seq(i) > from {
			i--
		}
		begin := i
		if b.ends != nil && c != nil && !s.matches(c, b.idMin) {
			continue
		}
		for i = b.prevLive(i); i >= 0; i = b.prevLive(i - 1) {
			if c == nil || s.matches(c, b.id(i)) {
				return b.seq(i), true
			}
			if begin-i > budget {
				return b.seq(i) - 1, false
			}
		}
		if budget -= begin + 1; budget < 0 {
			return b.first - 1, false
		}
	}
	return 0, false
}
