// Package subjects maps the subjects of one stream to small dense numbers.
//
// It owns [Map], an ordered map from literal subjects to ids: a store keeps what it
// knows of a subject in side arrays indexed by id. Ids start at 0, are handed out in
// order and used again after removal, the last freed first, so the same calls give the
// same ids everywhere. And it owns [Patterns], sets of subscriptions that a walk over
// the map is narrowed to.
//
// A map belongs to one strand. Nothing is hashed: where a subject is found
// depends on its text alone, and the worst that chosen subjects do is one step a byte.
package subjects

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/lockstepmq/lockstep/server/subject"
)

const (
	// SubjectMax is the longest subject that a map takes, in bytes.
	SubjectMax = 1<<16 - 1
	// None is no id.
	None = ^uint32(0)
)

const (
	idFree   = 1 << 31 // in an entry of the table: no leaf, but the next free id
	idNoNext = idFree - 1
)

// Map is an ordered map from subjects to ids. Its zero value is not ready: use [New].
type Map struct {
	arena
	leaves   []uint32 // by id: the leaf, or idFree and the next free id
	freeID   uint32   // the first free id, or idNoNext
	len      int
	walks    int       // under way: the map must not change
	unneeded []*walker // walkers to be used again
}

// New gives an empty map. An empty map costs some hundred bytes.
func New() *Map {
	m := &Map{freeID: idNoNext}
	m.reset()
	return m
}

// Len is the number of subjects.
func (m *Map) Len() int { return m.len }

// IDs is the length side arrays need: every id is below it.
func (m *Map) IDs() int { return len(m.leaves) }

// Grow makes room for the ids of n more subjects, before many are inserted.
// Inserting ascending subjects is fastest.
func (m *Map) Grow(n int) { m.leaves = slices.Grow(m.leaves, n) }

// Find gives the subject's id, or (None, false).
func (m *Map) Find(subject []byte) (id uint32, ok bool) {
	if leaf := m.leaf(subject); leaf != 0 {
		return node(m.at(leaf)).id(), true
	}
	return None, false
}

// leaf gives the subject's leaf, or 0.
func (m *Map) leaf(subject []byte) uint32 {
	for ref := m.word(rootSlot); ref != 0; {
		p := node(m.at(ref))
		n := p.labelLen()
		if n > len(subject) || string(p[labelAt:labelAt+n]) != string(subject[:n]) {
			return 0
		}
		subject = subject[n:]
		switch {
		case p.kind() == leafKind && len(subject) == 0:
			return ref
		case p.kind() == leafKind:
			return 0
		case len(subject) == 0:
			return p.end()
		}
		i, ok := p.find(subject[0])
		if !ok {
			return 0
		}
		ref = p.child(i)
	}
	return 0
}

// Insert gives the subject's id, after adding it if it is new. A subject that is empty,
// longer than [SubjectMax] or has an empty token is refused with (None, false), and so is one
// for which the map has no room (it holds 8 GiB). Nothing is kept of subject.
func (m *Map) Insert(subject []byte) (id uint32, isNew bool) {
	slot, up, rest := uint32(rootSlot), uint32(0), subject
	for {
		ref := m.word(slot)
		if ref == 0 {
			return m.insertRoot(subject)
		}
		p := node(m.at(ref))
		label := p.label()
		n := common(label, rest)
		rest = rest[n:]
		switch {
		case n < len(label):
			if !m.admits(subject) {
				return None, false
			}
			return m.split(slot, ref, up, n, rest), true
		case p.kind() == leafKind && len(rest) == 0:
			return p.id(), false
		case p.kind() == leafKind:
			if !m.admits(subject) {
				return None, false
			}
			return m.split(slot, ref, up, n, rest), true
		case len(rest) == 0 && p.end() != 0:
			return node(m.at(p.end())).id(), false
		case len(rest) == 0:
			if !m.admits(subject) {
				return None, false
			}
			leaf, id := m.newLeaf(ref, nil)
			node(m.at(ref)).setEnd(leaf)
			return id, true
		}
		i, ok := p.find(rest[0])
		if !ok {
			if !m.admits(subject) {
				return None, false
			}
			return m.addChild(slot, ref, rest), true
		}
		slot, up = ref+uint32(p.childrenAt()/4+i), ref
	}
}

// admits tells whether a new subject may be added. A walk must not see it.
func (m *Map) admits(s []byte) bool {
	if m.walks > 0 {
		panic("subjects: the map is changed during a walk over it")
	}
	return len(s) <= SubjectMax && !m.full() && subject.Valid(asText(s))
}

// common is the length of the longest common prefix.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i+8 <= n && binary.LittleEndian.Uint64(a[i:]) == binary.LittleEndian.Uint64(b[i:]) {
		i += 8
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

func (m *Map) insertRoot(subject []byte) (uint32, bool) {
	if !m.admits(subject) {
		return None, false
	}
	leaf, id := m.newLeaf(0, subject)
	m.setWord(rootSlot, leaf)
	return id, true
}

// newLeaf makes a leaf with a new id.
func (m *Map) newLeaf(parent uint32, label []byte) (leaf, id uint32) {
	if id = m.freeID; id != idNoNext {
		m.freeID = m.leaves[id] &^ idFree
	} else {
		id = uint32(len(m.leaves))
		m.leaves = append(m.leaves, 0)
	}
	leaf = m.alloc(wordsOf(leafKind, len(label)))
	p := node(m.at(leaf))
	p.begin(leafKind, len(label), parent, id)
	copy(p[labelAt:], label)
	m.leaves[id] = leaf
	m.len++
	return leaf, id
}

// split puts an inner node above ref that takes n bytes of its label, and the new
// subject, of which rest is left, below.
func (m *Map) split(slot, ref, up uint32, n int, rest []byte) uint32 {
	above := m.alloc(wordsOf(1, n))
	p, q := node(m.at(ref)), node(m.at(above))
	q.begin(1, n, up, 0)
	copy(q[labelAt:], p.label()[:n])
	ends := n == p.labelLen() // ref is a leaf, and its subject ends here
	lower := m.shorten(ref, n)
	m.setWord(slot, above)
	leaf, id := m.newLeaf(above, rest)

	p, q = node(m.at(lower)), node(m.at(above))
	p.setUp(above)
	count := 0
	if ends {
		q.setEnd(lower)
	} else {
		q.insert(0, p[labelAt], lower)
		count++
	}
	if len(rest) == 0 {
		q.setEnd(leaf)
	} else {
		q.insert(count, rest[0], leaf)
	}
	return id
}

// shorten takes n bytes from the front of a record's label, and tells where the
// record is now.
func (m *Map) shorten(ref uint32, n int) uint32 {
	p := node(m.at(ref))
	old, label := p.words(), p.labelLen()-n
	if p.kind() == leafKind {
		moved := m.alloc(wordsOf(leafKind, label))
		p, q := node(m.at(ref)), node(m.at(moved))
		q.begin(leafKind, label, p.parent(), p.id())
		copy(q[labelAt:], p.label()[n:])
		m.leaves[p.id()] = moved
		m.release(ref, old)
		return moved
	}
	// An inner node stays where it is, since its children refer to it.
	keys := p[keysAt(label+n) : 4*old]
	copy(p[labelAt:], p.label()[n:])
	copy(p[keysAt(label):], keys)
	binary.LittleEndian.PutUint16(p[2:], uint16(label))
	m.trim(ref, old, p.words())
	return ref
}

// addChild adds a leaf to an inner node.
func (m *Map) addChild(slot, ref uint32, rest []byte) uint32 {
	if p := node(m.at(ref)); p.full() {
		ref = m.resize(slot, ref, p.kind()+1, nil)
	}
	leaf, id := m.newLeaf(ref, rest)
	p := node(m.at(ref))
	p.insert(p.count(), rest[0], leaf)
	return id
}

// resize copies an inner node to one of another kind, with prefix before its label, and
// tells where it is now.
func (m *Map) resize(slot, ref uint32, kind uint8, prefix []byte) uint32 {
	label := len(prefix) + node(m.at(ref)).labelLen()
	moved := m.alloc(wordsOf(kind, label))
	p, q := node(m.at(ref)), node(m.at(moved))
	q.begin(kind, label, p.parent(), p.end())
	copy(q[labelAt:], prefix)
	copy(q[labelAt+len(prefix):], p.label())
	m.copyChildren(q, p, moved)
	m.release(ref, p.words())
	m.setWord(slot, moved)
	return moved
}

// copyChildren gives to's children of from, and makes to, which stands at ref, their
// parent.
func (m *Map) copyChildren(to, from node, ref uint32) {
	n := from.count()
	copy(to.children()[:4*n], from.children()[:4*n])
	switch {
	case to.list() == from.list():
		copy(to.keys()[:keyBytes[to.kind()]], from.keys()[:keyBytes[from.kind()]])
	case from.list():
		for _, c := range from.keys()[:n] {
			to.keys()[c>>3] |= 1 << (c & 7)
		}
	default:
		keys := to.keys()[:0]
		from.each(func(c byte, _ uint32) bool { keys = append(keys, c); return true })
	}
	to.setCount(n)
	for i := range n {
		node(m.at(to.child(i))).setUp(ref)
	}
	if end := to.end(); end != 0 {
		node(m.at(end)).setUp(ref)
	}
}

// AppendText appends the subject of id, or nothing when no subject has it.
func (m *Map) AppendText(dst []byte, id uint32) []byte {
	if int64(id) >= int64(len(m.leaves)) || m.leaves[id]&idFree != 0 {
		return dst
	}
	n := 0
	for ref := m.leaves[id]; ref != 0; {
		p := node(m.at(ref))
		n, ref = n+p.labelLen(), p.parent()
	}
	at := len(dst) + n
	dst = slices.Grow(dst, n)[:at]
	for ref := m.leaves[id]; ref != 0; {
		p := node(m.at(ref))
		at -= copy(dst[at-p.labelLen():], p.label())
		ref = p.parent()
	}
	return dst
}

// Text is the subject of id, or "" when no subject has it. It allocates the string.
func (m *Map) Text(id uint32) string {
	var short [128]byte
	return string(m.AppendText(short[:0], id))
}

// Equal tells whether the subject of id is this one, without making its text.
func (m *Map) Equal(id uint32, subject []byte) bool {
	if int64(id) >= int64(len(m.leaves)) || m.leaves[id]&idFree != 0 {
		return false
	}
	for ref := m.leaves[id]; ref != 0; {
		p := node(m.at(ref))
		if !bytes.HasSuffix(subject, p.label()) {
			return false
		}
		subject, ref = subject[:len(subject)-p.labelLen()], p.parent()
	}
	return len(subject) == 0
}

// Bytes is what the map holds of memory, and of that what removed subjects left
// unused. Unused memory is used again, but for fragments.
func (m *Map) Bytes() (total, unused int) {
	for _, c := range m.chunks {
		total += len(c)
	}
	return total + 4*cap(m.leaves), 4 * int(m.unused)
}
