package subjects

// Remove forgets a subject and tells the id it had, which is free from now on.
func (m *Map) Remove(subject []byte) (id uint32, ok bool) {
	leaf := m.leaf(subject)
	if leaf == 0 {
		return None, false
	}
	id = node(m.at(leaf)).id()
	m.removeLeaf(leaf)
	return id, true
}

// RemoveID is Remove by id; false when no subject has it.
func (m *Map) RemoveID(id uint32) bool {
	if int64(id) >= int64(len(m.leaves)) || m.leaves[id]&idFree != 0 {
		return false
	}
	m.removeLeaf(m.leaves[id])
	return true
}

func (m *Map) removeLeaf(leaf uint32) {
	if m.walks > 0 {
		panic("subjects: the map is changed during a walk over it")
	}
	p := node(m.at(leaf))
	up, id := p.parent(), p.id()
	m.leaves[id] = idFree | m.freeID
	m.freeID = id
	m.len--
	if m.len == 0 {
		m.empty()
		return
	}
	parent := node(m.at(up))
	last := parent.count() == 1
	if p.labelLen() == 0 { // the subject that ends at its parent
		parent.setEnd(0)
	} else if !last {
		parent.remove(p[labelAt])
	}
	gone := p.labelLen() > 0 && last
	m.release(leaf, p.words())
	switch {
	case gone:
		m.join(up, parent.end())
	case parent.count() == 1 && parent.end() == 0:
		m.join(up, parent.child(0))
	default:
		m.shrink(up)
	}
}

// slotOf is the word that refers to a record which is not the leaf of a subject that
// ends at an inner node.
func (m *Map) slotOf(ref uint32) uint32 {
	p := node(m.at(ref))
	up := p.parent()
	if up == 0 {
		return rootSlot
	}
	q := node(m.at(up))
	i, _ := q.find(p[labelAt])
	return up + uint32(q.childrenAt()/4+i)
}

// join puts a record in the place of the inner node above it, which has nothing else
// below, with the label of both.
func (m *Map) join(above, ref uint32) {
	slot := m.slotOf(above)
	q := node(m.at(above))
	up := q.parent()
	moved := uint32(0)
	if p := node(m.at(ref)); p.kind() == leafKind {
		moved = m.lengthen(ref, q.label())
	} else {
		moved = m.resize(slot, ref, p.kind(), q.label())
	}
	q = node(m.at(above))
	m.release(above, q.words())
	node(m.at(moved)).setUp(up)
	m.setWord(slot, moved)
}

// lengthen puts prefix before the label of a leaf, and tells where it is now.
func (m *Map) lengthen(ref uint32, prefix []byte) uint32 {
	label := len(prefix) + node(m.at(ref)).labelLen()
	moved := m.alloc(wordsOf(leafKind, label))
	p, q := node(m.at(ref)), node(m.at(moved))
	q.begin(leafKind, label, 0, p.id())
	copy(q[labelAt:], prefix)
	copy(q[labelAt+len(prefix):], p.label())
	m.leaves[p.id()] = moved
	m.release(ref, p.words())
	return moved
}

// shrink gives an inner node a smaller kind when it fills that to three quarters at
// most, so that a subject that comes and goes does not move it each time.
func (m *Map) shrink(ref uint32) {
	p := node(m.at(ref))
	if kind := p.kind(); kind > 1 && 4*p.count() <= 3*int(capacity[kind-1]) {
		m.resize(m.slotOf(ref), ref, kind-1, nil)
	}
}

// empty begins anew, and keeps memory of a small map only.
func (m *Map) empty() {
	m.reset()
	m.freeID = idNoNext
	if m.leaves = m.leaves[:0]; cap(m.leaves) > chunkWords {
		m.leaves = nil
	}
}
