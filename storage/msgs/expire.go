package msgs

import (
	"math"
	"slices"

	"github.com/lockstepmq/lockstep/server/heap"
)

// expiry knows which messages end by themselves. Those with a deadline of their own are in a heap;
// age needs to look at the oldest only, since times never fall.
type expiry struct {
	heap  heap.Heap[int64, uint64] // times, sequences
	stale int                      // in the heap: messages that are gone
	// from: below it live only messages that age does not apply to.
	from   uint64
	due    []uint64 // reused
	popped []deadline
}

// deadline is when a message ends.
type deadline = heap.Item[int64, uint64]

// addTTL notes when the message in the last slot of b ends.
func (s *store) addTTL(b *block, seq uint64, ttl TTL) {
	if ttl.Deadline == 0 {
		return
	}
	s.expiry.heap.Push(ttl.Deadline, seq)
	if s.disk != nil {
		b.ttls = append(b.ttls, slotTTL{uint32(b.n - 1), ttl.Deadline})
	}
}

// tidy drops what is gone when that is most of the heap.
func (s *store) tidy() {
	x := &s.expiry
	if x.stale <= len(x.heap)/2+16 {
		return
	}
	kept := x.heap[:0]
	for _, d := range x.heap {
		if s.Has(d.Of) {
			kept = append(kept, d)
		}
	}
	x.heap = clipped(kept)
	x.stale = 0
	x.heap.Order()
}

// top is the earliest deadline of a message that lives.
func (s *store) top() (deadline, bool) {
	x := &s.expiry
	for len(x.heap) > 0 {
		if s.Has(x.heap[0].Of) {
			return x.heap[0], true
		}
		x.heap.Pop()
		x.stale--
	}
	return deadline{}, false
}

// oldest is the first message at or above from that age applies to.
func (s *store) oldest(from uint64) (seq uint64, at int64, ok bool) {
	for n := s.blockAt(max(from, s.first)); n < len(s.blocks); n++ {
		b := s.blocks[n]
		for i := b.nextLive(b.at(from)); i < b.n; i = b.nextLive(i + 1) {
			if e := b.entry(i); e.flags&flagNever == 0 {
				return b.seq(i), e.time, true
			}
		}
	}
	return 0, 0, false
}

// NextExpiry is when Expire will find something; 0 is never.
func (s *store) NextExpiry() int64 {
	next := int64(math.MaxInt64)
	if d, ok := s.top(); ok {
		next = d.Key
	}
	if s.limits.Age > 0 && s.messages > 0 {
		seq, at, ok := s.oldest(s.expiry.from)
		if ok {
			s.expiry.from = seq
			next = min(next, endOfAge(at, s.limits.Age))
		} else {
			s.expiry.from = s.last + 1
		}
	}
	if next == math.MaxInt64 {
		return 0
	}
	return next
}

// endOfAge is at + age, as far as it fits.
func endOfAge(at, age int64) int64 {
	if at > math.MaxInt64-age {
		return math.MaxInt64
	}
	return at + age
}

// Expire removes what is due, in order of sequence.
func (s *store) Expire(now int64, max int) (more bool) {
	if s.closed {
		return false
	}
	if max <= 0 {
		max = math.MaxInt
	}
	x := &s.expiry
	due := x.due[:0]
	popped := s.popDue(now, max)
	for _, d := range popped {
		due = append(due, d.Of)
	}
	due = s.dueByAge(due, now, max)
	slices.Sort(due)
	due = slices.Compact(due)
	x.due = due
	due = due[:min(len(due), max)]
	for _, seq := range due {
		s.removeSeq(seq, ByAge)
	}
	for _, d := range popped {
		if len(due) > 0 && d.Of <= due[len(due)-1] {
			x.stale-- // it was removed after it had left the heap
		} else {
			x.heap.Push(d.Key, d.Of)
		}
	}
	s.tidy()
	next := s.NextExpiry()
	return next != 0 && next <= now
}

// popDue takes up to limit messages from the heap whose deadline has come.
func (s *store) popDue(now int64, limit int) []deadline {
	x := &s.expiry
	x.popped = x.popped[:0]
	for len(x.popped) < limit {
		d, ok := s.top()
		if !ok || d.Key > now {
			break
		}
		x.popped = append(x.popped, x.heap.Pop())
	}
	return x.popped
}

// dueByAge appends up to limit messages that are over the stream's age.
func (s *store) dueByAge(due []uint64, now int64, limit int) []uint64 {
	age := s.limits.Age
	if age <= 0 || s.messages == 0 {
		return due
	}
	seq, at, ok := s.oldest(s.expiry.from)
	for n := 0; n < limit && ok && endOfAge(at, age) <= now; n++ {
		due = append(due, seq)
		seq, at, ok = s.oldest(seq + 1)
	}
	return due
}
