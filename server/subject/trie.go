package subject

// A node of the trie of patterns with wildcards. It is immutable, and none is
// empty.
type node[T comparable] struct {
	kids *tokens[T]
	star *node[T] // behind a "*"
	rest *leaf[T] // patterns that end here with a ">"
	here *leaf[T] // patterns that end with the token that led here
}

func (n *node[T]) empty() bool {
	return n.kids == nil && n.star == nil && n.rest == nil && n.here == nil
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
		case is(token, wildOne):
			now.star = was.star.edit(h, pattern, after, change)
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
	for i <= len(subject) {
		if n.rest != nil {
			r.add(n.rest)
		}
		token, after := next(subject, i)
		k := n.kid(h, token)
		switch {
		case n.star != nil && k != nil:
			n.star.collect(h, subject, after, r)
			n = k
		case n.star != nil:
			n = n.star
		case k != nil:
			n = k
		default:
			return
		}
		i = after
	}
	if n.here != nil {
		r.add(n.here)
	}
}

func (n *node[T]) kid(h hasher, token []byte) *node[T] {
	if n.kids == nil {
		return nil
	}
	return n.kids.get(hash64(uint64(h), token), token)
}

// any tells whether something matches subject[i:], which has no empty token.
func (n *node[T]) any(h hasher, subject []byte, i int) bool {
	if i > len(subject) {
		return n.here != nil
	}
	if n.rest != nil {
		return true
	}
	token, after := next(subject, i)
	if n.star != nil && n.star.any(h, subject, after) {
		return true
	}
	k := n.kid(h, token)
	return k != nil && k.any(h, subject, after)
}

// overlapping visits the leaves of all patterns that overlap pattern[i:].
func (n *node[T]) overlapping(h hasher, pattern []byte, i int, visit func(*leaf[T])) {
	if i > len(pattern) {
		if n.here != nil {
			visit(n.here)
		}
		return
	}
	if n.rest != nil {
		visit(n.rest)
	}
	token, after := next(pattern, i)
	down := func(k *node[T]) { k.overlapping(h, pattern, after, visit) }
	if is(token, wildRest) {
		down = func(k *node[T]) { k.each(visit) }
	}
	if n.star != nil {
		down(n.star)
	}
	if is(token, wildRest) || is(token, wildOne) {
		n.kids.each(down)
	} else if k := n.kid(h, token); k != nil {
		down(k)
	}
}

// each visits every leaf at and below n.
func (n *node[T]) each(visit func(*leaf[T])) {
	if n.here != nil {
		visit(n.here)
	}
	if n.rest != nil {
		visit(n.rest)
	}
	if n.star != nil {
		n.star.each(visit)
	}
	n.kids.each(func(k *node[T]) { k.each(visit) })
}
