package subject

// A Result is what a subject matches. It belongs to one caller, who reuses it:
// after the first few matches it is filled without allocating.
//
// The order is that of the index and the same in every run: subscriptions to the
// literal subject first, then to patterns with only a last "*", then with only a
// last ">", then to other patterns; those to one subject or pattern in the order of
// their insertion.
type Result[T comparable] struct {
	Plain  []T
	Groups []Group[T]
	// Gen is from before the match; see [Index.Fresh].
	Gen Generation

	named map[string]int // Groups by name, once there are many
	leafs []*leaf[T]     // scratch of ReverseMatch
}

// A Group is all members of one queue group, whichever matching subject each
// subscribed to.
type Group[T comparable] struct {
	Name    string
	Members []Member[T]
}

// A Member of a queue group. Its weight is how many subscribers it stands for: 1
// for a local one, more for the other end of a route or leafnode connection.
type Member[T comparable] struct {
	Value  T
	Weight int32
}

const groupsNamed = 12 // groups from which on they are found by map

// Reset empties r and lets go of all values it held.
func (r *Result[T]) Reset() { *r = Result[T]{} }

// Empty tells whether nothing matched.
func (r *Result[T]) Empty() bool { return len(r.Plain) == 0 && len(r.Groups) == 0 }

// Fanout counts what matched, members of groups included.
func (r *Result[T]) Fanout() int {
	n := len(r.Plain)
	for i := range r.Groups {
		n += len(r.Groups[i].Members)
	}
	return n
}

func (r *Result[T]) clear() {
	r.Plain, r.Groups = r.Plain[:0], r.Groups[:0]
	if len(r.named) > 0 {
		clear(r.named)
	}
}

func (r *Result[T]) add(l *leaf[T]) {
	if l.more == nil {
		r.Plain = append(r.Plain, l.one.value)
		return
	}
	for _, chunk := range l.more.plain.chunks {
		for i := range chunk {
			r.Plain = append(r.Plain, chunk[i].value)
		}
	}
	var g *Group[T]
	for _, chunk := range l.more.queued.chunks {
		for i := range chunk {
			e := &chunk[i]
			if g == nil || g.Name != e.queue {
				g = r.group(e.queue)
			}
			g.Members = append(g.Members, Member[T]{e.value, e.weight})
		}
	}
}

// group finds the group of a name, or adds it, reusing the memory of an old one.
func (r *Result[T]) group(name string) *Group[T] {
	n := len(r.Groups)
	if n < groupsNamed {
		for i := range r.Groups {
			if r.Groups[i].Name == name {
				return &r.Groups[i]
			}
		}
	} else {
		if len(r.named) == 0 {
			r.nameGroups()
		}
		if i, ok := r.named[name]; ok {
			return &r.Groups[i]
		}
		r.named[name] = n
	}
	if n < cap(r.Groups) {
		r.Groups = r.Groups[:n+1]
		r.Groups[n].Name, r.Groups[n].Members = name, r.Groups[n].Members[:0]
	} else {
		r.Groups = append(r.Groups, Group[T]{Name: name})
	}
	return &r.Groups[n]
}

func (r *Result[T]) nameGroups() {
	if r.named == nil {
		r.named = make(map[string]int, 2*groupsNamed)
	}
	for i := range r.Groups {
		r.named[r.Groups[i].Name] = i
	}
}
