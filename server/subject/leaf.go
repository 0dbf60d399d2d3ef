package subject

// A leaf holds the subscriptions to one subject or pattern. It is immutable: a
// change makes another. One plain subscription, by far the usual case, is stored
// in the leaf itself.
type leaf[T comparable] struct {
	subject string
	hash    uint64 // of subject; literals only
	one     plain[T]
	more    *crowd[T] // nil: one is all there is
}

type plain[T comparable] struct {
	value T
	seq   uint64 // rises with every insert into the index
}

type queued[T comparable] struct {
	queue  string
	value  T
	seq    uint64
	weight int32
}

// A crowd is more than one subscription, or any in a queue group. Plain ones are
// sorted by sequence, the others by queue and then sequence.
type crowd[T comparable] struct {
	plain  bag[plain[T]]
	queued bag[queued[T]]
	// seqs finds entries of a large crowd. It is the writer's alone and passes
	// from each version of the crowd to the next.
	seqs map[identity[T]]uint64
}

type identity[T comparable] struct {
	queue string
	value T
}

const (
	crowdIndexed   = 64 // entries from which on seqs is kept
	crowdUnindexed = 24 // entries below which it is dropped again
)

func (c *crowd[T]) size() int { return c.plain.size + c.queued.size }

// find gives the sequence of an entry.
func (c *crowd[T]) find(queue string, v T) (uint64, bool) {
	if c.seqs != nil {
		seq, ok := c.seqs[identity[T]{queue, v}]
		return seq, ok
	}
	if queue == "" {
		for _, chunk := range c.plain.chunks {
			for i := range chunk {
				if chunk[i].value == v {
					return chunk[i].seq, true
				}
			}
		}
		return 0, false
	}
	for _, chunk := range c.queued.chunks {
		for i := range chunk {
			if e := &chunk[i]; e.value == v && e.queue == queue {
				return e.seq, true
			}
		}
	}
	return 0, false
}

func (c *crowd[T]) place(seq uint64) (int, int) {
	return c.plain.search(func(e plain[T]) bool { return e.seq < seq })
}

func (c *crowd[T]) placeQueued(queue string, seq uint64) (int, int) {
	return c.queued.search(func(e queued[T]) bool {
		return e.queue < queue || e.queue == queue && e.seq < seq
	})
}

// index keeps or drops seqs as the crowd's size asks.
func (c *crowd[T]) index() {
	switch n := c.size(); {
	case n < crowdUnindexed:
		c.seqs = nil
	case n >= crowdIndexed && c.seqs == nil:
		c.seqs = make(map[identity[T]]uint64, n)
		for _, chunk := range c.plain.chunks {
			for _, e := range chunk {
				c.seqs[identity[T]{"", e.value}] = e.seq
			}
		}
		for _, chunk := range c.queued.chunks {
			for _, e := range chunk {
				c.seqs[identity[T]{e.queue, e.value}] = e.seq
			}
		}
	}
}

// crowded gives l's subscriptions as a crowd that may be changed.
func (l *leaf[T]) crowded() *crowd[T] {
	if l.more != nil {
		c := *l.more
		return &c
	}
	return &crowd[T]{plain: bag[plain[T]]{[][]plain[T]{{l.one}}, 1}}
}

// with gives l with one subscription more. A subscription that is there already
// gets the new weight and keeps its place; added is false then. l may be nil.
func (l *leaf[T]) with(subject, queue string, weight int32, v T, seq uint64) (_ *leaf[T], added bool) {
	var c *crowd[T]
	switch {
	case l == nil && queue == "":
		return &leaf[T]{subject: subject, one: plain[T]{v, seq}}, true
	case l == nil:
		l, c = &leaf[T]{subject: subject}, &crowd[T]{}
	case l.more == nil && queue == "" && l.one.value == v:
		return l, false
	default:
		c = l.crowded()
	}
	if old, ok := c.find(queue, v); ok {
		return l.reweighed(c, queue, weight, old), false
	}
	if queue == "" {
		i, j := c.place(seq)
		c.plain = c.plain.insert(i, j, plain[T]{v, seq})
	} else {
		i, j := c.placeQueued(queue, seq)
		c.queued = c.queued.insert(i, j, queued[T]{queue, v, seq, weight})
	}
	if c.seqs != nil {
		c.seqs[identity[T]{queue, v}] = seq
	}
	c.index()
	return &leaf[T]{subject: l.subject, hash: l.hash, more: c}, true
}

// reweighed gives l with another weight for the entry (queue, seq) of its crowd.
func (l *leaf[T]) reweighed(c *crowd[T], queue string, weight int32, seq uint64) *leaf[T] {
	if queue == "" {
		return l
	}
	i, j := c.placeQueued(queue, seq)
	e := c.queued.chunks[i][j]
	if e.weight == weight {
		return l
	}
	e.weight = weight
	c.queued = c.queued.set(i, j, e)
	return &leaf[T]{subject: l.subject, hash: l.hash, more: c}
}

// without gives l with one subscription less: nil when none is left, l itself when
// the subscription is not there.
func (l *leaf[T]) without(queue string, v T) *leaf[T] {
	if l == nil {
		return nil
	}
	if l.more == nil {
		if queue == "" && l.one.value == v {
			return nil
		}
		return l
	}
	seq, ok := l.more.find(queue, v)
	if !ok {
		return l
	}
	c := l.crowded()
	if queue == "" {
		c.plain = c.plain.remove(c.place(seq))
	} else {
		c.queued = c.queued.remove(c.placeQueued(queue, seq))
	}
	switch {
	case c.size() == 0:
		return nil
	case c.size() == 1 && c.plain.size == 1:
		return &leaf[T]{subject: l.subject, hash: l.hash, one: c.plain.chunks[0][0]}
	}
	if c.seqs != nil {
		delete(c.seqs, identity[T]{queue, v})
	}
	c.index()
	return &leaf[T]{subject: l.subject, hash: l.hash, more: c}
}

// each visits every subscription of l until visit returns false.
func (l *leaf[T]) each(visit func(queue string, v T) bool) bool {
	if l.more == nil {
		return visit("", l.one.value)
	}
	for _, chunk := range l.more.plain.chunks {
		for i := range chunk {
			if !visit("", chunk[i].value) {
				return false
			}
		}
	}
	for _, chunk := range l.more.queued.chunks {
		for i := range chunk {
			if !visit(chunk[i].queue, chunk[i].value) {
				return false
			}
		}
	}
	return true
}
