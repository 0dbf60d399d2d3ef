package subjects

import (
	"encoding/binary"

	"github.com/lockstepmq/lockstep/server/subject"
)

// Insert gives the subject's id, after adding it if it is new. A subject that is empty,
// longer than [SubjectMax] or has an empty token is refused with (None, false), and so is one
// for which the map has no room (it holds 8 GiB). Nothing is kept of subject.
func (m *Map) Insert(subject []byte) (id uint32, isNew bool) {
	return m.insert(m.hash(subject), subject, nil)
}

func (m *Map) insert(h uint64, subject []byte, t *trail) (id uint32, isNew bool) {
	if leaf := m.lookup(h, subject); leaf != 0 {
		return node(m.at(leaf)).id(), false
	}
	if !m.admits(subject) {
		return None, false
	}
	leaf, id := m.newLeaf(subject)
	m.hang(leaf, subject, t)
	m.register(h, leaf)
	return id, true
}

// admits tells whether a new subject may be added. A walk must not see it.
func (m *Map) admits(s []byte) bool {
	if m.walks > 0 {
		panic("subjects: the map is changed during a walk over it")
	}
	return len(s) <= SubjectMax && !m.full() && subject.Valid(asText(s))
}

// newLeaf makes a leaf with a new id.
func (m *Map) newLeaf(subject []byte) (leaf, id uint32) {
	if id = m.freeID; id != idNoNext {
		m.freeID = m.leaves[id] &^ idFree
	} else {
		id = uint32(len(m.leaves))
		m.leaves = append(m.leaves, 0)
	}
	leaf = m.alloc(wordsOf(leafKind, len(subject)))
	p := node(m.at(leaf))
	p.begin(leafKind, len(subject), id)
	copy(p[labelAt:], subject)
	m.leaves[id] = leaf
	m.len++
	return leaf, id
}

// hang puts a leaf into the tree. A trail, if there is one, shortens the way.
func (m *Map) hang(leaf uint32, subject []byte, t *trail) {
	at := t.start()
	slot, depth, rest := at.slot, at.depth, subject[at.depth:]
	for {
		t.note(slot, depth)
		ref := m.word(slot)
		if ref == 0 {
			m.setWord(slot, leaf)
			return
		}
		p := node(m.at(ref))
		label, isLeaf := p.label(), p.kind() == leafKind
		if isLeaf {
			label = label[depth:]
		}
		n := common(label, rest)
		if n < len(label) || isLeaf {
			m.split(slot, label, n, rest, leaf)
			return
		}
		rest, depth = rest[n:], depth+n
		if len(rest) == 0 {
			p.setEnd(leaf)
			return
		}
		i, ok := p.find(rest[0])
		if !ok {
			m.addChild(slot, rest[0], leaf)
			return
		}
		slot = ref + uint32(p.childrenAt()/4+i)
	}
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

// split puts an inner node above the record in slot that takes n bytes of its label, of which
// label is what the tree has not yet told, and the new leaf below, which goes on with rest.
func (m *Map) split(slot uint32, label []byte, n int, rest []byte, leaf uint32) {
	above := m.alloc(wordsOf(1, n))
	ref := m.word(slot)
	p, q := node(m.at(ref)), node(m.at(above))
	q.begin(1, n, 0)
	copy(q[labelAt:], label[:n])
	count := 0
	if n < len(label) {
		q.insert(0, label[n], ref)
		count = 1
	} else {
		q.setEnd(ref)
	}
	if n < len(rest) {
		q.insert(count, rest[n], leaf)
	} else {
		q.setEnd(leaf)
	}
	if p.kind() != leafKind {
		m.shorten(ref, n)
	}
	m.setWord(slot, above)
}

// shorten takes n bytes from the front of an inner node's label. It stays where it is.
func (m *Map) shorten(ref uint32, n int) {
	p := node(m.at(ref))
	old, label := p.words(), p.labelLen()-n
	after := p[keysAt(label+n) : 4*old]
	copy(p[labelAt:], p.label()[n:])
	copy(p[keysAt(label):], after)
	binary.LittleEndian.PutUint16(p[2:], uint16(label))
	m.trim(ref, old, p.words())
}

// addChild adds a child to the inner node in slot.
func (m *Map) addChild(slot uint32, c byte, child uint32) {
	ref := m.word(slot)
	if p := node(m.at(ref)); p.full() {
		ref = m.resize(slot, p.kind()+1, nil)
	}
	p := node(m.at(ref))
	p.insert(p.count(), c, child)
}

// resize replaces the inner node in slot by one of another kind, with prefix before its
// label, and tells where it is.
func (m *Map) resize(slot uint32, kind uint8, prefix []byte) uint32 {
	ref := m.word(slot)
	label := len(prefix) + node(m.at(ref)).labelLen()
	moved := m.alloc(wordsOf(kind, label))
	p, q := node(m.at(ref)), node(m.at(moved))
	q.begin(kind, label, p.end())
	copy(q[labelAt:], prefix)
	copy(q[labelAt+len(prefix):], p.label())
	q.takeChildren(p)
	m.release(ref, p.words())
	m.setWord(slot, moved)
	return moved
}
