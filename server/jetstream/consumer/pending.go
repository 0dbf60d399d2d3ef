package consumer

import "github.com/lockstepmq/lockstep/server/heap"

// flags of a pending message.
const (
	// timed: due says when it must be sent again, and an item of the alarms has it. Otherwise it is due
	// one ack wait after its delivery.
	timed uint8 = 1 << iota
	// queued: it must be sent again as soon as somebody can take it.
	queued
	// inQueue: an item of the queue has it, though it may not be queued any more.
	inQueue
	// granted: its count has been raised for the next sending, which has not happened yet.
	granted
	// gone: an empty place.
	gone
)

// entry is a message that was delivered and not acknowledged.
type entry struct {
	seq   uint64
	first uint64 // consumer sequence of the first delivery; 0 when that is not known
	at    int64  // when its ack wait began to run; see [Consumer] for the time
	due   int64  // if timed
	grant uint64 // number of the record that raised count; if granted
	count uint32 // deliveries; 0 for one that may have been delivered before a crash
	flags uint8
}

// pendingTable holds the pending messages by ascending sequence. A new one always has the
// highest sequence, so the table is a slice that is appended to; what is removed
// leaves an empty place until the places at the front go, or half of all are empty.
type pendingTable struct {
	e    []entry // from head on; e[head] and the last are never empty places
	head int
	live int
	fifo int // below it no entry waits untimed for its ack wait
	many int // entries that were delivered more than once
}

// pendingKeep is how many places an empty table keeps.
const pendingKeep = 8

func (t *pendingTable) len() int { return t.live }

// find gives the entry of a sequence, or nil. The pointer is good until the next add or remove.
func (t *pendingTable) find(seq uint64) *entry {
	if i := t.index(seq); i >= 0 {
		return &t.e[i]
	}
	return nil
}

// index narrows the search by density first: sequences ascend by one at least, so where
// there are no gaps both bounds are the place itself.
func (t *pendingTable) index(seq uint64) int {
	if t.live == 0 {
		return -1
	}
	low, high := t.head, len(t.e)-1
	first, last := t.e[low].seq, t.e[high].seq
	if seq < first || seq > last {
		return -1
	}
	if d := seq - first; d < uint64(high-low) {
		high = low + int(d)
	}
	if d := last - seq; d < uint64(len(t.e)-1-low) {
		low = max(low, len(t.e)-1-int(d))
	}
	for low < high {
		mid := int(uint(low+high) >> 1)
		if t.e[mid].seq < seq {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if t.e[low].seq != seq || t.e[low].flags&gone != 0 {
		return -1
	}
	return low
}

// add appends a message with a higher sequence than all others; false, and nothing
// happens, if it is not higher.
func (t *pendingTable) add(e entry) bool {
	if t.live == 0 {
		t.e, t.head, t.fifo = t.e[:0], 0, 0
	} else if e.seq <= t.e[len(t.e)-1].seq {
		return false
	}
	if len(t.e) == cap(t.e) && t.live <= len(t.e)-len(t.e)/4 {
		t.compact()
	}
	t.e = append(t.e, e)
	t.live++
	if e.count > 1 {
		t.many++
	}
	return true
}

// compact moves the entries together.
func (t *pendingTable) compact() {
	kept := t.e[:0]
	fifo := -1
	for i := t.head; i < len(t.e); i++ {
		if i >= t.fifo && fifo < 0 {
			fifo = len(kept)
		}
		if t.e[i].flags&gone == 0 {
			kept = append(kept, t.e[i])
		}
	}
	if fifo < 0 {
		fifo = len(kept)
	}
	t.e, t.head, t.fifo = kept, 0, fifo
}

// remove takes a message out.
func (t *pendingTable) remove(seq uint64) bool {
	i := t.index(seq)
	if i < 0 {
		return false
	}
	t.drop(&t.e[i])
	t.trim()
	return true
}

func (t *pendingTable) drop(e *entry) {
	t.setCount(e, 0)
	e.flags = gone
	t.live--
}

// setCount sets the deliveries of an entry.
func (t *pendingTable) setCount(e *entry, count uint32) {
	if e.count > 1 {
		t.many--
	}
	if count > 1 {
		t.many++
	}
	e.count = count
}

// removeTo takes out everything up to seq.
func (t *pendingTable) removeTo(seq uint64) {
	for t.live > 0 && t.e[t.head].seq <= seq {
		t.drop(&t.e[t.head])
		t.skipFront()
	}
	t.trim()
}

func (t *pendingTable) skipFront() {
	for t.head < len(t.e) && t.e[t.head].flags&gone != 0 {
		t.head++
	}
}

// trim drops the empty places at both ends.
func (t *pendingTable) trim() {
	if t.live == 0 {
		t.e, t.head, t.fifo = t.e[:0], 0, 0
		return
	}
	t.skipFront()
	for t.e[len(t.e)-1].flags&gone != 0 {
		t.e = t.e[:len(t.e)-1]
	}
	t.fifo = min(max(t.fifo, t.head), len(t.e))
}

// clear empties the table and lets its memory go.
func (t *pendingTable) clear() { *t = pendingTable{} }

// shrink lets the memory of an empty table go, but for a little.
func (t *pendingTable) shrink() {
	if t.live == 0 && cap(t.e) > pendingKeep {
		t.clear()
	}
}

// lowest gives the entry with the lowest sequence, or nil.
func (t *pendingTable) lowest() *entry {
	if t.live == 0 {
		return nil
	}
	return &t.e[t.head]
}

// each visits the entries by ascending sequence until visit returns false. It must not
// add or remove.
func (t *pendingTable) each(visit func(e *entry) bool) {
	for i := t.head; i < len(t.e); i++ {
		if t.e[i].flags&gone == 0 && !visit(&t.e[i]) {
			return
		}
	}
}

// oldest gives the entry whose ack wait began first of those that wait untimed, or nil.
func (t *pendingTable) oldest() *entry {
	t.fifo = max(t.fifo, t.head)
	for ; t.fifo < len(t.e); t.fifo++ {
		if t.e[t.fifo].flags&(gone|timed|queued) == 0 {
			return &t.e[t.fifo]
		}
	}
	return nil
}

// alarm is when a timed entry must be sent again: the time, and its sequence.
type alarm = heap.Item[int64, uint64]

// alarms are in order of time. An alarm is stale when its entry is gone, not timed any more, or due at another time.
type alarms struct{ heap.Heap[int64, uint64] }

// alarmsSlack is how many stale alarms are kept without looking.
const alarmsSlack = 32

// first gives the earliest alarm that is not stale.
func (h *alarms) first(t *pendingTable) (alarm, bool) {
	for len(h.Heap) > 0 {
		if a := h.Heap[0]; rings(t, a) {
			return a, true
		}
		h.Pop()
	}
	return alarm{}, false
}

// set makes e due at a time.
func (h *alarms) set(t *pendingTable, e *entry, due int64) {
	e.due = due
	e.flags |= timed
	if len(h.Heap) > 2*t.live+alarmsSlack { // a client may touch one message again and again
		kept := h.Heap[:0]
		for _, a := range h.Heap {
			if a.Of != e.seq && rings(t, a) {
				kept = append(kept, a)
			}
		}
		h.Heap = kept
		h.Order()
	}
	h.Push(due, e.seq)
}

// rings tells that an alarm is not stale.
func rings(t *pendingTable, a alarm) bool {
	e := t.find(a.Of)
	return e != nil && e.flags&timed != 0 && e.due == a.Key
}

// line is the queue of messages to send again, in order. What it holds counts only while
// the entry is queued.
type line struct {
	seqs []uint64
	head int
}

func (l *line) push(t *pendingTable, e *entry) {
	e.flags |= queued
	e.flags &^= timed
	if e.flags&inQueue != 0 {
		return
	}
	e.flags |= inQueue
	switch {
	case l.head == len(l.seqs):
		l.seqs, l.head = l.seqs[:0], 0
	case len(l.seqs) == cap(l.seqs) && len(l.seqs) > 2*t.live+alarmsSlack, l.head > len(l.seqs)/2:
		l.compact(t)
	}
	l.seqs = append(l.seqs, e.seq)
}

func (l *line) compact(t *pendingTable) {
	kept := l.seqs[:0]
	for _, seq := range l.seqs[l.head:] {
		if e := t.find(seq); e != nil && e.flags&inQueue != 0 {
			kept = append(kept, seq)
		}
	}
	l.seqs, l.head = kept, 0
}

// front gives the first entry to send again, or nil.
func (l *line) front(t *pendingTable) *entry {
	for l.head < len(l.seqs) {
		e := t.find(l.seqs[l.head])
		if e != nil && e.flags&(queued|inQueue) == queued|inQueue {
			return e
		}
		if e != nil {
			e.flags &^= inQueue
		}
		l.head++
	}
	return nil
}

// pop takes the front away, which front gave.
func (l *line) pop(e *entry) {
	e.flags &^= queued | inQueue
	l.head++
}

// waiting gives the sequences in the queue, and some that do not wait any more.
func (l *line) waiting() []uint64 { return l.seqs[l.head:] }

// count is how many wait in the queue.
func (l *line) count(t *pendingTable) int {
	n := 0
	for _, seq := range l.seqs[l.head:] {
		if e := t.find(seq); e != nil && e.flags&queued != 0 {
			n++
		}
	}
	return n
}
