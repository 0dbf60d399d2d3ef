package subject

// A node of the trie of patterns with wildcards. It is immutable, and none is
// empty.
type node[T comparable] struct {
	kids *tokens[T]
	here *leaf[T] // patterns that end with the literal token that led here
	star *leaf[T] // patterns that end behind here with a "*", the usual case
	rest *leaf[T] // patterns that end behind here with a ">"
	deep *node[T] // behind a "*" that is not the last token
}

func (n *node[T]) empty() bool {
	return n.kids == nil && n.deep == nil && n.star == nil && n.rest == nil && n.here == nil
}

// edit gives n with the leaf of pattern[i:] replaced by what change makes of it: n
// itself when nothing changed, nil when nothing is left. n may be nil.
func (n *node[T]) edit(h hasher, pattern string, i int, change func(*leaf[T]) *leaf[T]) *node[T] {
	var was node[T]
	if n != nil {
		was = *n
	}
	now := was
	if i > len(pattern) {
		now.here = change(was.here)
	} else {
		token, after := next(pattern, i)
		switch {
		case is(token, wildRest):
			now.rest = change(was.rest)
		case is(token, wildOne) && after > len(pattern):
			now.star = change(was.star)
		case is(token, wildOne):
			now.deep = was.deep.edit(h, pattern, after, change)
		default:
			now.kids = was.kids.edit(h, h.hash(token), 0, token, func(k *node[T]) *node[T] {
				return k.edit(h, pattern, after, change)
			})
			if now.kids != nil && len(now.kids.kids)+len(now.kids.subs) == 0 {
				now.kids = nil
			}
		}
	}
	switch {
	case now == was:
		return n
	case now.empty():
		return nil
	}
	return &now
}

// collect adds to r all that matches subject[i:], which has no empty token.
func (n *node[T]) collect(h hasher, subject []byte, i int, r *Result[T]) {
	for {
		if n.rest != nil {
			r.add(n.rest)
		}
		token, after := next(subject, i)
		last := after > len(subject)
		if last && n.star != nil {
			r.add(n.star)
		}
		k := n.kid(h, token)
		switch {
		case last:
			if k != nil && k.here != nil {
				r.add(k.here)
			}
			return
		case n.deep != nil && k != nil:
			n.deep.collect(h, subject, after, r)
			n = k
		case n.deep != nil:
			n = n.deep
		case k != nil:
			n = k
		default:
			return
		}
		i = after
	}
}

func (n *node[T]) kid(h hasher, token []byte) *node[T] {
	if n.kids == nil {
		return nil
	}
	return n.kids.get(Hash(uint64(h), token), token)
}

// any tells whether something matches subject[i:], which has no empty token.
func (n *node[T]) any(h hasher, subject []byte, i int) bool {
	if n.rest != nil {
		return true
	}
	token, after := next(subject, i)
	k := n.kid(h, token)
	if after > len(subject) {
		return n.star != nil || k != nil && k.here != nil
	}
	return n.deep != nil && n.deep.any(h, subject, after) || k != nil && k.any(h, subject, after)
}

// overlapping visits the leaves of all patterns that overlap pattern[i:].
func (n *node[T]) overlapping(h hasher, pattern []byte, i int, visit func(*leaf[T])) {
	token, after := next(pattern, i)
	last, rest := after > len(pattern), is(token, wildRest)
	if n.rest != nil {
		visit(n.rest)
	}
	if n.star != nil && last {
		visit(n.star)
	}
	down := func(k *node[T]) { k.overlapping(h, pattern, after, visit) }
	switch {
	case rest:
		down = func(k *node[T]) { k.each(visit) }
	case last:
		down = func(k *node[T]) {
			if k.here != nil {
				visit(k.here)
			}
		}
	}
	if n.deep != nil && (rest || !last) {
		down(n.deep)
	}
	if rest || is(token, wildOne) {
		n.kids.each(down)
	} else if k := n.kid(h, token); k != nil {
		down(k)
	}
}

// each visits every leaf at and below n.
func (n *node[T]) each(visit func(*leaf[T])) {
	for _, l := range [...]*leaf[T]{n.here, n.star, n.rest} {
		if l != nil {
			visit(l)
		}
	}
	if n.deep != nil {
		n.deep.each(visit)
	}
	n.kids.each(func(k *node[T]) { k.each(visit) })
}
