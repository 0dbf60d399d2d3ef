package raft

import "github.com/lockstepmq/lockstep/server/raft/core"

// item is an entry that waits to be applied.
type item struct {
	payload []byte
	tag     any
	class   Class
	kind    core.Kind
	replay  bool
}

// queue is a ring of items. Its zero value is empty.
type queue struct {
	ring  []item // a power of two long
	head  int
	count int
	bytes int64 // of payloads
}

// queueKept bounds the capacity that an empty queue keeps, in items.
const queueKept = 4096

func (q *queue) len() int { return q.count }

// at is the item i places behind the first.
func (q *queue) at(i int) *item { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue) push(it item) {
	if q.count == len(q.ring) {
		q.grow()
	}
	*q.at(q.count) = it
	q.count++
	q.bytes += int64(len(it.payload))
}

func (q *queue) grow() {
	ring := make([]item, max(16, 2*len(q.ring)))
	for i := range q.count {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// pop drops the first item.
func (q *queue) pop() {
	first := q.at(0)
	q.bytes -= int64(len(first.payload))
	*first = item{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.count--
	if q.count == 0 && len(q.ring) > queueKept {
		q.ring, q.head = nil, 0
	}
}
