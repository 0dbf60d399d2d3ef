package subject

import (
	"math/bits"
	"strings"
)

// tokens is an immutable map from a token to the trie's node behind it: a hash
// array mapped trie, of which a change copies one path. A node with a million
// children is never copied whole.
type tokens[T comparable] struct {
	here  uint32 // bit set: an entry
	below uint32 // bit set: more tokens that share the hash so far
	kids  []kid[T]
	subs  []*tokens[T]
}

type kid[T comparable] struct {
	token string
	node  *node[T]
}

// Tokens of entries are copies, lest one keeps a long pattern in memory that has
// long been removed.

const (
	hamtBits = 5
	hamtEnd  = 65 // hash bits spent: what is left collides and is searched in turn
)

func hamtBit(hash uint64, shift uint) uint32 { return 1 << (hash >> shift & (1<<hamtBits - 1)) }

func hamtPlace(set, bit uint32) int { return bits.OnesCount32(set & (bit - 1)) }

func (m *tokens[T]) get(hash uint64, token []byte) *node[T] {
	for shift := uint(0); m != nil; shift += hamtBits {
		if shift >= hamtEnd {
			for i := range m.kids {
				if m.kids[i].token == string(token) {
					return m.kids[i].node
				}
			}
			return nil
		}
		bit := hamtBit(hash, shift)
		if m.here&bit != 0 {
			if k := &m.kids[hamtPlace(m.here, bit)]; k.token == string(token) {
				return k.node
			}
			return nil
		}
		if m.below&bit == 0 {
			return nil
		}
		m = m.subs[hamtPlace(m.below, bit)]
	}
	return nil
}

// hasher hashes tokens under the seed of an index.
type hasher uint64

func (h hasher) hash(token string) uint64 { return Hash(uint64(h), view(token)) }

// edit gives m with the node of token replaced by what change makes of it. It
// gives m itself when nothing changed and nil when nothing is left.
func (m *tokens[T]) edit(h hasher, hash uint64, shift uint, token string, change func(*node[T]) *node[T]) *tokens[T] {
	if m == nil {
		m = &tokens[T]{}
	}
	if shift >= hamtEnd {
		return m.editCollided(token, change)
	}
	bit := hamtBit(hash, shift)
	at, sub := hamtPlace(m.here, bit), hamtPlace(m.below, bit)
	switch {
	case m.here&bit != 0 && m.kids[at].token == token:
		return m.setKid(bit, at, token, change(m.kids[at].node))
	case m.here&bit != 0:
		added := change(nil)
		if added == nil {
			return m
		}
		old := m.kids[at]
		var pair *tokens[T]
		pair = pair.edit(h, h.hash(old.token), shift+hamtBits, old.token, func(*node[T]) *node[T] { return old.node })
		pair = pair.edit(h, hash, shift+hamtBits, token, func(*node[T]) *node[T] { return added })
		return &tokens[T]{m.here &^ bit, m.below | bit, cut(m.kids, at), put(m.subs, sub, pair)}
	case m.below&bit != 0:
		return m.setSub(bit, sub, m.subs[sub].edit(h, hash, shift+hamtBits, token, change))
	}
	added := change(nil)
	if added == nil {
		return m
	}
	return &tokens[T]{m.here | bit, m.below, put(m.kids, at, kid[T]{strings.Clone(token), added}), m.subs}
}

func (m *tokens[T]) setKid(bit uint32, at int, token string, n *node[T]) *tokens[T] {
	switch {
	case n == m.kids[at].node:
		return m
	case n != nil:
		return &tokens[T]{m.here, m.below, set(m.kids, at, kid[T]{token, n}), m.subs}
	case len(m.kids) == 1 && len(m.subs) == 0:
		return nil
	}
	return &tokens[T]{m.here &^ bit, m.below, cut(m.kids, at), m.subs}
}

func (m *tokens[T]) setSub(bit uint32, sub int, to *tokens[T]) *tokens[T] {
	switch {
	case to == m.subs[sub]:
		return m
	case to == nil && len(m.kids) == 0 && len(m.subs) == 1:
		return nil
	case to == nil:
		return &tokens[T]{m.here, m.below &^ bit, m.kids, cut(m.subs, sub)}
	case len(to.kids) == 1 && len(to.subs) == 0: // a lone entry needs no level of its own
		at := hamtPlace(m.here, bit)
		return &tokens[T]{m.here | bit, m.below &^ bit, put(m.kids, at, to.kids[0]), cut(m.subs, sub)}
	}
	return &tokens[T]{m.here, m.below, m.kids, set(m.subs, sub, to)}
}

func (m *tokens[T]) editCollided(token string, change func(*node[T]) *node[T]) *tokens[T] {
	for i, k := range m.kids {
		if k.token != token {
			continue
		}
		switch n := change(k.node); {
		case n == k.node:
			return m
		case n != nil:
			return &tokens[T]{kids: set(m.kids, i, kid[T]{token, n})}
		case len(m.kids) == 1:
			return nil
		}
		return &tokens[T]{kids: cut(m.kids, i)}
	}
	if n := change(nil); n != nil {
		return &tokens[T]{kids: put(m.kids, len(m.kids), kid[T]{strings.Clone(token), n})}
	}
	return m
}

// each visits every entry, in the order of hashes.
func (m *tokens[T]) each(visit func(*node[T])) {
	if m == nil {
		return
	}
	for i := range m.kids {
		visit(m.kids[i].node)
	}
	for _, sub := range m.subs {
		sub.each(visit)
	}
}

func put[E any](s []E, i int, e E) []E {
	out := make([]E, len(s)+1)
	copy(out, s[:i])
	out[i] = e
	copy(out[i+1:], s[i:])
	return out
}

func set[E any](s []E, i int, e E) []E {
	out := make([]E, len(s))
	copy(out, s)
	out[i] = e
	return out
}

func cut[E any](s []E, i int) []E {
	if len(s) == 1 {
		return nil
	}
	out := make([]E, len(s)-1)
	copy(out, s[:i])
	copy(out[i:], s[i+1:])
	return out
}
