package consumer

// queue is first in, first out. It keeps its memory for a while.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

// all gives what waits, oldest first.
func (q *queue[T]) all() []T { return q.items[q.head:] }

func (q *queue[T]) push(v T) {
	if q.head > 0 && len(q.items) == cap(q.items) && q.head >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// front gives the oldest, or nil. The pointer is good until the next push or pop.
func (q *queue[T]) front() *T {
	if q.head == len(q.items) {
		return nil
	}
	return &q.items[q.head]
}

func (q *queue[T]) pop() {
	var zero T
	q.items[q.head] = zero
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// take removes the item at place i of all, keeping the order of the others.
func (q *queue[T]) take(i int) {
	if i == 0 {
		q.pop()
		return
	}
	all := q.all()
	copy(all[i:], all[i+1:])
	var zero T
	all[len(all)-1] = zero
	q.items = q.items[:len(q.items)-1]
}

// insert puts v at place i of all.
func (q *queue[T]) insert(i int, v T) {
	q.push(v)
	all := q.all()
	copy(all[i+1:], all[i:])
	all[i] = v
}
