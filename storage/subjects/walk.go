package subjects

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// walker is one walk over a map.
type walker struct {
	m    *Map
	set  *Patterns
	fn   func(id uint32, subject []byte) bool
	live []uint32 // operations that patterns have come to, for each level one after another
}

// Ascend calls fn for each subject at or above start (nil: all) in ascending order of
// bytes, until fn returns false. The bytes are valid during the call to fn only. fn may use the
// map, other walks included, but must not change it; to go on later, give the last subject with
// a zero byte appended as start.
func (m *Map) Ascend(start []byte, fn func(id uint32, subject []byte) bool) {
	w := m.begin(fn)
	if root := m.word(rootSlot); root != 0 {
		w.all(root, 0, start)
	}
	m.done(w)
}

// Match is Ascend for what matches at least one of the patterns. It visits only branches
// in which something may match, and calls fn once for a subject.
func (m *Map) Match(p *Patterns, start []byte, fn func(id uint32, subject []byte) bool) {
	w := m.begin(fn)
	w.set, w.live = p, append(w.live[:0], p.starts...)
	if root := m.word(rootSlot); root != 0 {
		w.some(root, 0, start, 0)
	}
	m.done(w)
}

func (m *Map) begin(fn func(id uint32, subject []byte) bool) *walker {
	m.walks++
	if n := len(m.unneeded); n > 0 {
		w := m.unneeded[n-1]
		m.unneeded = m.unneeded[:n-1]
		w.fn = fn
		return w
	}
	return &walker{m: m, fn: fn}
}

func (m *Map) done(w *walker) {
	m.walks--
	w.fn, w.set = nil, nil
	m.unneeded = append(m.unneeded, w)
}

// below compares a label with what is left of the start: whether everything with this label
// comes before it, and what is left of it behind the label (nothing when all
// that follows is at or above the start).
func below(label, start []byte) (before bool, rest []byte) {
	n := min(len(label), len(start))
	switch c := bytes.Compare(label[:n], start[:n]); {
	case c < 0:
		return true, nil
	case c > 0:
		return false, nil
	}
	return false, start[n:]
}

// told is what a record adds to the prefix of the records above, which has this many bytes.
func (p node) told(depth int) []byte {
	if p.kind() == leafKind {
		return p.label()[depth:]
	}
	return p.label()
}

// give tells of a leaf.
func (w *walker) give(leaf node) bool {
	text := leaf.label()
	return w.fn(leaf.id(), text[:len(text):len(text)])
}

// all visits everything in a record's branch from start on, of which the prefix of the records
// above is taken off. That prefix has depth bytes. It tells whether to go on.
func (w *walker) all(ref uint32, depth int, start []byte) bool {
	w.m.visits++
	p := node(w.m.at(ref))
	if len(start) > 0 {
		before, rest := below(p.told(depth), start)
		if before || p.kind() == leafKind && len(rest) > 0 {
			return true
		}
		start = rest
	}
	if p.kind() == leafKind {
		return w.give(p)
	}
	depth += p.labelLen()
	i := 0
	if len(start) > 0 {
		i = p.place(start[0])
	} else if end := p.end(); end != 0 && !w.give(w.m.at(end)) {
		return false
	}
	refs := p.children()[:4*p.count()]
	for ; 4*i < len(refs); i++ {
		if !w.all(binary.LittleEndian.Uint32(refs[4*i:]), depth, start) {
			return false
		}
		start = nil // the next children begin with a higher byte
	}
	return true
}

// some is all for the patterns in live from number from on.
func (w *walker) some(ref uint32, depth int, start []byte, from int) bool {
	w.m.visits++
	p := node(w.m.at(ref))
	told, to := p.told(depth), len(w.live)
	for _, op := range w.live[from:to] {
		next, rest, alive := w.set.advance(op, told)
		if rest {
			w.live = w.live[:to]
			return w.all(ref, depth, start)
		}
		if alive {
			w.live = append(w.live, next)
		}
	}
	goOn := len(w.live) == to || w.under(p, depth, start, to)
	w.live = w.live[:to]
	return goOn
}

// under visits a record that some patterns have passed, those from number from on.
func (w *walker) under(p node, depth int, start []byte, from int) bool {
	if len(start) > 0 {
		before, rest := below(p.told(depth), start)
		if before || p.kind() == leafKind && len(rest) > 0 {
			return true
		}
		start = rest
	}
	if p.kind() == leafKind {
		return !w.ended(from) || w.give(p)
	}
	if end := p.end(); end != 0 && len(start) == 0 && w.ended(from) && !w.give(w.m.at(end)) {
		return false
	}
	return w.children(p, depth+p.labelLen(), start, from)
}

// ended tells whether one of the patterns matches what ends here.
func (w *walker) ended(from int) bool {
	for _, op := range w.live[from:] {
		if w.set.ends(op) {
			return true
		}
	}
	return false
}

// children visits those children that a pattern may go on with.
func (w *walker) children(p node, depth int, start []byte, from int) bool {
	want, every := w.wanted(from)
	first := byte(0)
	if len(start) > 0 {
		first = start[0]
		for i := range want {
			want[i] &= atLeast(i, first)
		}
	}
	if every {
		i := 0
		if len(start) > 0 {
			i = p.place(first)
		}
		for ; i < p.count(); i++ {
			if !w.some(p.child(i), depth, start, from) {
				return false
			}
			start = nil
		}
		return true
	}
	for word := range want {
		for set := want[word]; set != 0; set &= set - 1 {
			c := byte(64*word + bits.TrailingZeros64(set))
			i, ok := p.find(c)
			if !ok {
				continue
			}
			bound := start
			if c != first {
				bound = nil
			}
			if !w.some(p.child(i), depth, bound, from) {
				return false
			}
		}
	}
	return true
}

// atLeast is the bytes from c on, in the i-th word of a set.
func atLeast(i int, c byte) uint64 {
	switch w := int(c >> 6); {
	case i < w:
		return 0
	case i > w:
		return ^uint64(0)
	}
	return ^uint64(0) << (c & 63)
}

// wanted is the set of bytes with which a pattern may go on, or every byte.
func (w *walker) wanted(from int) (set [4]uint64, every bool) {
	for _, op := range w.live[from:] {
		switch o := w.set.ops[op]; {
		case o < 256:
			set[o>>6] |= 1 << (o & 63)
		case o != opEnd:
			every = true
		}
	}
	return set, every
}
