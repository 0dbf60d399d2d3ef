//lockstep:exempt pools of the real network's buffers
package netsim

import "sync"

// Sizes of pooled buffers. A class is an index into chunkSizes.
const (
	class1K = iota
	class4K
	class16K
	class64K
	class256K
	classLent // no buffer of its own: b is the caller's
)

var chunkSizes = [classLent]int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10}

var chunkPools [classLent + 1]sync.Pool

// chunk is a piece of a queue, or a read buffer. Bytes r to w wait to be sent;
// w to len(b) is room.
type chunk struct {
	next  *chunk
	b     []byte
	r, w  int
	class int
}

func newChunk(class int) *chunk {
	if c, ok := chunkPools[class].Get().(*chunk); ok {
		return c
	}
	c := &chunk{class: class}
	if class < classLent {
		c.b = make([]byte, chunkSizes[class])
	}
	return c
}

func (c *chunk) free() {
	if c.class == classLent {
		c.b = nil
	}
	c.next, c.r, c.w = nil, 0, 0
	chunkPools[c.class].Put(c)
}

// chunkQueue is a queue of bytes in pooled chunks. A chunk leaves it as soon as
// all that it holds is sent, so an idle connection holds none.
type chunkQueue struct {
	head, tail *chunk
	size       int
}

func (q *chunkQueue) append(p []byte) {
	q.size += len(p)
	for len(p) > 0 {
		t := q.tail
		if t == nil || t.w == len(t.b) {
			t = newChunk(q.nextClass(len(p)))
			q.push(t)
		}
		n := copy(t.b[t.w:], p)
		t.w += n
		p = p[n:]
	}
}

// lend appends p without copying it.
func (q *chunkQueue) lend(p []byte) {
	c := newChunk(classLent)
	c.b, c.w = p, len(p)
	q.size += len(p)
	q.push(c)
}

func (q *chunkQueue) push(c *chunk) {
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	q.tail = c
}

// nextClass grows with the queue: a lone message takes little, a flood few chunks.
func (q *chunkQueue) nextClass(need int) int {
	class := class1K
	if t := q.tail; t != nil && t.class != classLent {
		class = min(t.class+1, class64K)
	}
	for class < class64K && chunkSizes[class] < need {
		class++
	}
	return class
}

// consume drops the first n bytes, which were sent.
func (q *chunkQueue) consume(n int) {
	q.size -= n
	for n > 0 {
		h := q.head
		k := min(n, h.w-h.r)
		h.r += k
		n -= k
		if h.r < h.w {
			return
		}
		q.head = h.next
		if q.head == nil {
			q.tail = nil
		}
		h.free()
	}
}

// own replaces what is lent by copies.
func (q *chunkQueue) own() {
	lent := false
	for c := q.head; c != nil && !lent; c = c.next {
		lent = c.class == classLent
	}
	if !lent {
		return
	}
	old := q.head
	q.head, q.tail, q.size = nil, nil, 0
	for old != nil {
		next := old.next
		if old.class == classLent {
			q.append(old.b[old.r:old.w])
			old.free()
		} else {
			old.next = nil
			q.size += old.w - old.r
			q.push(old)
		}
		old = next
	}
}

func (q *chunkQueue) drop() {
	for q.head != nil {
		h := q.head
		q.head = h.next
		h.free()
	}
	q.tail, q.size = nil, 0
}
