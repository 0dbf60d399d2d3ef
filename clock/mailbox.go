package clock

import "sync"

// Mailbox hands typed values to a strand in batches: however many are put
// before the strand gets to it, it costs one task. Put and PutFrom may be called
// from anywhere; drain runs on the strand. A value counts against the credit
// until the drain that took it has returned.
type Mailbox[T any] struct {
	strand Strand
	size   func(T) int
	drain  func([]T)
	task   func()
	credit int

	mu      sync.Mutex // held across no call out
	in      []T
	used    int // bytes of values put and not yet drained
	bytes   int // bytes of in
	posted  bool
	waiting []func()

	spare []T // the strand's
}

// keptItemsMax bounds the capacity that a burst leaves behind.
const keptItemsMax = 4096

// NewMailbox makes a mailbox whose drain runs on s. A value's size is what size
// says, or one without a size function. creditBytes bounds the sizes of what is
// put and not drained; zero or less is no bound. A single value above the
// credit is taken when the mailbox is empty. drain must not keep the batch.
func NewMailbox[T any](s Strand, creditBytes int, size func(T) int, drain func(batch []T)) *Mailbox[T] {
	m := &Mailbox[T]{strand: s, credit: creditBytes, size: size, drain: drain}
	m.task = m.run
	return m
}

// Put queues v for the next batch. It is false, and v is not taken, when the
// credit is spent.
func (m *Mailbox[T]) Put(v T) bool {
	ok, post := m.add(v)
	if post {
		m.strand.Post(m.task)
	}
	return ok
}

// PutFrom is Put by a task that now runs on strand from; see Strand.PostFrom.
func (m *Mailbox[T]) PutFrom(from Strand, v T) bool {
	ok, post := m.add(v)
	if post {
		m.strand.PostFrom(from, m.task)
	}
	return ok
}

func (m *Mailbox[T]) add(v T) (ok, post bool) {
	n := 1
	if m.size != nil {
		n = m.size(v)
	}
	m.mu.Lock()
	if m.credit > 0 && m.used > 0 && m.used+n > m.credit {
		m.mu.Unlock()
		return false, false
	}
	m.in = append(m.in, v)
	m.used += n
	m.bytes += n
	post = !m.posted
	m.posted = true
	m.mu.Unlock()
	return true, post
}

// Used is the size of what was put and not yet drained.
func (m *Mailbox[T]) Used() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// WhenCredit calls fn once, without locks held, when at most half of the credit
// is used; at once if that is so now. Otherwise it is called on the mailbox's
// strand, in the order of the calls. fn must be short: it posts to a strand.
func (m *Mailbox[T]) WhenCredit(fn func()) {
	m.mu.Lock()
	if m.roomy() {
		m.mu.Unlock()
		fn()
		return
	}
	m.waiting = append(m.waiting, fn)
	m.mu.Unlock()
}

func (m *Mailbox[T]) roomy() bool { return m.credit <= 0 || m.used <= m.credit/2 }

func (m *Mailbox[T]) run() {
	m.mu.Lock()
	batch, bytes := m.in, m.bytes
	m.in, m.bytes, m.posted = m.spare, 0, false
	m.spare = nil
	m.mu.Unlock()

	m.drain(batch)

	clear(batch)
	if cap(batch) <= keptItemsMax {
		m.spare = batch[:0]
	}
	m.mu.Lock()
	m.used -= bytes
	var waiting []func()
	if len(m.waiting) > 0 && m.roomy() {
		waiting, m.waiting = m.waiting, nil
	}
	m.mu.Unlock()
	for _, fn := range waiting {
		fn()
	}
}
