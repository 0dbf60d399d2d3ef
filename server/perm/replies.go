package perm

import "time"

// Bounds of [Replies].
const (
	repliesPruneCount = 4096        // permits between two prunes
	repliesPruneAfter = time.Second // time between two prunes
	repliesMax        = 1 << 20     // permits held; beyond them the oldest is dropped
)

// Replies are the subjects a connection may publish to because requests it received
// ask for an answer there. The connection's receiving side fills it and its
// publishing side uses it: the owner locks. Times are monotonic.
type Replies struct {
	max int           // publishes a permit allows; negative: any number
	ttl time.Duration // life of a permit; negative: ever

	permits map[string]int32 // by subject: place in slots
	slots   []permit         // slots[0] heads the list of permits, the oldest first
	free    int32            // first of the unused slots, linked by next; 0: none

	since     int // permits since the last prune
	lastPrune time.Duration
}

// permit is one subject. Its bytes are the key in the map, and are changed only
// while it is not there.
type permit struct {
	subject    []byte
	granted    time.Duration
	used       int
	prev, next int32
}

// NewReplies makes an empty table from what [Set.Responses] gives.
func NewReplies(maxMsgs int, expires time.Duration) *Replies {
	return &Replies{max: maxMsgs, ttl: expires, permits: make(map[string]int32), slots: make([]permit, 1)}
}

// Len is how many permits are held, spent and expired ones included until a prune.
func (r *Replies) Len() int { return len(r.permits) }

// Permit opens reply, or opens it afresh. Call it for each request delivered whose
// reply the client may not publish to otherwise.
func (r *Replies) Permit(reply []byte, now time.Duration) {
	i, known := r.permits[string(reply)]
	if known {
		r.unlink(i)
	} else {
		if len(r.permits) >= repliesMax {
			r.drop(r.slots[0].next)
		}
		i = r.take()
		p := &r.slots[i]
		p.subject = append(p.subject[:0], reply...)
		r.permits[text(p.subject)] = i
	}
	r.slots[i].granted, r.slots[i].used = now, 0
	r.append(i)

	if r.since++; r.since > repliesPruneCount || now-r.lastPrune > repliesPruneAfter {
		r.prune(now)
	}
}

// Use spends one publish to subject and tells whether it was permitted.
func (r *Replies) Use(subject []byte, now time.Duration) bool {
	i, known := r.permits[string(subject)]
	if !known {
		return false
	}
	p := &r.slots[i]
	if r.expired(p, now) {
		r.drop(i)
		return false
	}
	if p.used++; p.used == r.max {
		r.drop(i)
	}
	return true
}

func (r *Replies) expired(p *permit, now time.Duration) bool {
	return r.ttl >= 0 && now-p.granted > r.ttl
}

// prune drops what has expired. All permits live equally long, so those are the
// oldest; spent ones were dropped when they were used.
func (r *Replies) prune(now time.Duration) {
	r.since, r.lastPrune = 0, now
	for i := r.slots[0].next; i != 0 && r.expired(&r.slots[i], now); i = r.slots[0].next {
		r.drop(i)
	}
	if len(r.permits) == 0 && len(r.slots) > repliesPruneCount { // what a burst left behind
		r.permits, r.slots, r.free = make(map[string]int32), make([]permit, 1), 0
	}
}

// take gives an unused slot.
func (r *Replies) take() int32 {
	if i := r.free; i != 0 {
		r.free = r.slots[i].next
		return i
	}
	r.slots = append(r.slots, permit{})
	return int32(len(r.slots) - 1)
}

func (r *Replies) drop(i int32) {
	r.unlink(i)
	p := &r.slots[i]
	delete(r.permits, text(p.subject))
	p.next, r.free = r.free, i
}

func (r *Replies) append(i int32) {
	last := r.slots[0].prev
	r.slots[i].prev, r.slots[i].next = last, 0
	r.slots[last].next = i
	r.slots[0].prev = i
}

func (r *Replies) unlink(i int32) {
	p := &r.slots[i]
	r.slots[p.prev].next = p.next
	r.slots[p.next].prev = p.prev
}
