package subjects

import "math/bits"

// The hash table refers to the leaves. It is many small tables, of which a directory chooses
// one by the highest bits of the hash: a table that is full is split, or doubled while it
// is small, so that no insertion moves more than some hundred references, however
// many there are. Inside a table a subject stands in the group of 64 bytes that the lowest
// bits name, or in the next that had room.
const (
	groupSlots     = 12
	tableGroupsMax = 64
	// entrySubjectsMin is how many subjects there must be for each entry of the directory before that
	// grows. There are some hundreds, unless hashes collide; then the table is doubled.
	entrySubjectsMin = 32
)

// Tags in a group: what is there, and otherwise 8 bits of the hash.
const (
	tagEmpty = 0 // and nothing was ever put into a later group for want of room here
	tagGone  = 1
	tagFirst = 2
)

const (
	groupBytes = 64 // a cache line
	tableBytes = 48
)

type group struct {
	lo   uint64 // tags of slots 0 to 7
	hi   uint32 // tags of slots 8 to 11
	_    uint32
	refs [groupSlots]uint32
}

type table struct {
	groups []group
	depth  uint8 // bits of the hash that all its subjects have in common
	used   int
	room   int // empty slots that may be filled before the table is too full
}

func newTable(groups int, depth uint8) *table {
	return &table{groups: make([]group, groups), depth: depth, room: roomOf(groups)}
}

// roomOf leaves an eighth of the slots empty: searches end there.
func roomOf(groups int) int { return groups * groupSlots * 7 / 8 }

// index is the directory.
type index struct {
	dir   []*table
	depth uint8 // the directory has this power of two entries
}

func (x *index) clear() {
	x.dir, x.depth = append(x.dir[:0], newTable(1, 0)), 0
}

// presize makes tables for n subjects, when there are none yet.
func (x *index) presize(n int) {
	perTable := roomOf(tableGroupsMax) * 3 / 4
	if n <= perTable {
		return
	}
	x.depth = uint8(bits.Len(uint((n - 1) / perTable)))
	x.dir = make([]*table, 1<<x.depth)
	for i := range x.dir {
		x.dir[i] = newTable(tableGroupsMax, x.depth)
	}
}

func (x *index) of(h uint64) *table { return x.dir[h>>(64-x.depth)] }

func tagOf(h uint64) uint8 {
	tag := uint8(h >> 32)
	if tag < tagFirst {
		tag += tagFirst
	}
	return tag
}

// zeros marks bytes that are zero, and perhaps bytes of 1 above the first of them.
func zeros(w uint64) uint64 { return (w - lowBits) &^ w & highBits }

// with marks the slots that may have this tag: a bit for each, at eight times its
// number. The high four come in the second word.
func (g *group) with(tag uint8) (lo, hi uint64) {
	return zeros(g.lo ^ lowBits*uint64(tag)), zeros(uint64(g.hi)^lowBits*uint64(tag)) & 0x80808080
}

func (g *group) hasEmpty() bool { return zeros(g.lo)|zeros(uint64(g.hi)|0x80808080<<32) != 0 }

// spare is a slot that is empty or gone, or groupSlots.
func (g *group) spare() int {
	if z := zeros(g.lo &^ lowBits); z != 0 {
		return bits.TrailingZeros64(z) / 8
	}
	if z := zeros(uint64(g.hi)&^lowBits) & 0x80808080; z != 0 {
		return 8 + bits.TrailingZeros64(z)/8
	}
	return groupSlots
}

func (g *group) tag(i int) uint8 {
	if i < 8 {
		return uint8(g.lo >> (8 * i))
	}
	return uint8(g.hi >> (8 * (i - 8)))
}

func (g *group) setTag(i int, tag uint8) {
	if i < 8 {
		g.lo = g.lo&^(0xff<<(8*i)) | uint64(tag)<<(8*i)
		return
	}
	i -= 8
	g.hi = g.hi&^(0xff<<(8*i)) | uint32(tag)<<(8*i)
}

// put adds a leaf that is not there.
func (t *table) put(h uint64, leaf uint32) {
	for i := h; ; i++ {
		g := &t.groups[i&uint64(len(t.groups)-1)]
		s := g.spare()
		if s == groupSlots {
			continue
		}
		if g.tag(s) == tagEmpty {
			t.room--
		}
		g.setTag(s, tagOf(h))
		g.refs[s] = leaf
		t.used++
		return
	}
}

// drop takes a leaf out that is there.
func (t *table) drop(h uint64, leaf uint32) {
	for i := h; ; i++ {
		g := &t.groups[i&uint64(len(t.groups)-1)]
		for s, ref := range g.refs {
			if ref != leaf || g.tag(s) < tagFirst {
				continue
			}
			g.refs[s] = 0 // a search may look at it, see zeros
			if g.hasEmpty() {
				g.setTag(s, tagEmpty)
				t.room++
			} else {
				g.setTag(s, tagGone)
			}
			t.used--
			return
		}
	}
}

// each calls fn for each leaf.
func (t *table) each(fn func(leaf uint32)) {
	for i := range t.groups {
		g := &t.groups[i]
		for s, ref := range g.refs {
			if g.tag(s) >= tagFirst {
				fn(ref)
			}
		}
	}
}

// lookup gives the leaf of a subject, or 0.
func (m *Map) lookup(h uint64, subject []byte) uint32 {
	t := m.of(h)
	tag := tagOf(h)
	for i := h; ; i++ {
		g := &t.groups[i&uint64(len(t.groups)-1)]
		lo, hi := g.with(tag)
		for ; lo != 0; lo &= lo - 1 {
			ref := g.refs[bits.TrailingZeros64(lo)/8]
			if string(m.leafText(ref)) == string(subject) {
				return ref
			}
		}
		for ; hi != 0; hi &= hi - 1 {
			ref := g.refs[8+bits.TrailingZeros64(hi)/8]
			if string(m.leafText(ref)) == string(subject) {
				return ref
			}
		}
		if g.hasEmpty() {
			return 0
		}
	}
}

// register adds a leaf to the hash table, after making room.
func (m *Map) register(h uint64, leaf uint32) {
	for t := m.of(h); t.room == 0; t = m.of(h) {
		m.widen(t, h)
	}
	m.of(h).put(h, leaf)
}

// widen gives room to a table, which h belongs to.
func (m *Map) widen(t *table, h uint64) {
	groups := len(t.groups)
	switch {
	case t.used <= roomOf(groups)/2: // it is full of what is gone
	case groups < tableGroupsMax, t.depth == m.depth && m.len < entrySubjectsMin<<m.depth:
		groups *= 2
	default:
		m.splitTable(t, h)
		return
	}
	n := newTable(groups, t.depth)
	t.each(func(leaf uint32) { n.put(m.hash(m.leafText(leaf)), leaf) })
	*t = *n
}

// splitTable makes two tables of one, by one more bit of the hash.
func (m *Map) splitTable(t *table, h uint64) {
	if t.depth == m.depth {
		dir := make([]*table, 2*len(m.dir))
		for i, t := range m.dir {
			dir[2*i], dir[2*i+1] = t, t
		}
		m.dir, m.depth = dir, m.depth+1
	}
	depth := t.depth + 1
	low, high := newTable(len(t.groups), depth), newTable(len(t.groups), depth)
	t.each(func(leaf uint32) {
		h := m.hash(m.leafText(leaf))
		if h>>(64-depth)&1 == 0 {
			low.put(h, leaf)
		} else {
			high.put(h, leaf)
		}
	})
	span := 1 << (m.depth - depth) // entries of each half
	first := int(h>>(64-t.depth)) * 2 * span
	for i := range span {
		m.dir[first+i], m.dir[first+span+i] = low, high
	}
}
