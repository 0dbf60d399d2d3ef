package subjects

// Remove forgets a subject and tells the id it had, which is free from now on. When none is left,
// ids begin at 0 again.
func (m *Map) Remove(subject []byte) (id uint32, ok bool) {
	h := m.hash(subject)
	leaf := m.lookup(h, subject)
	if leaf == 0 {
		return None, false
	}
	id = node(m.at(leaf)).id()
	m.remove(h, leaf, subject)
	return id, true
}

// RemoveID is Remove by id; false when no subject has it.
func (m *Map) RemoveID(id uint32) bool {
	if !m.has(id) {
		return false
	}
	leaf := m.leaves[id]
	subject := m.leafText(leaf)
	m.remove(m.hash(subject), leaf, subject)
	return true
}

func (m *Map) remove(h uint64, leaf uint32, subject []byte) {
	if m.walks > 0 {
		panic("subjects: the map is changed during a walk over it")
	}
	p := node(m.at(leaf))
	m.leaves[p.id()] = idFree | m.freeID
	m.freeID = p.id()
	m.len--
	if m.len == 0 {
		m.empty()
		return
	}
	m.of(h).drop(h, leaf)
	m.cut(leaf, subject)
	m.release(leaf, p.words())
}

// empty begins anew, and keeps memory of a small map only.
func (m *Map) empty() {
	m.reset()
	m.freeID = idNoNext
	if m.leaves = m.leaves[:0]; cap(m.leaves) > chunkWords {
		m.leaves = nil
	}
	m.index.clear()
}

// cut takes a leaf out of the tree, which has others.
func (m *Map) cut(leaf uint32, rest []byte) {
	slot := uint32(rootSlot)
	for {
		ref := m.word(slot)
		p := node(m.at(ref)) // an inner node: a leaf in the root would be the last one
		rest = rest[p.labelLen():]
		if len(rest) == 0 {
			p.setEnd(0)
			m.tidy(slot)
			return
		}
		i, _ := p.find(rest[0])
		if p.child(i) != leaf {
			slot = ref + uint32(p.childrenAt()/4+i)
			continue
		}
		if p.count() > 1 {
			p.remove(rest[0])
			m.tidy(slot)
			return
		}
		m.setWord(slot, p.end()) // the subject that ends here has no company left
		m.release(ref, p.words())
		return
	}
}

// tidy gives the inner node in slot the form it should have after a removal.
func (m *Map) tidy(slot uint32) {
	ref := m.word(slot)
	p := node(m.at(ref))
	kind := p.kind()
	switch {
	case p.count() == 1 && p.end() == 0:
		m.join(slot)
	case kind > 1 && 4*p.count() <= 3*int(capacity[kind-1]):
		// Three quarters, so that a subject that comes and goes does not move it each time.
		m.resize(slot, kind-1, nil)
	}
}

// join replaces the inner node in slot by its only child, which takes over the label.
func (m *Map) join(slot uint32) {
	ref := m.word(slot)
	p := node(m.at(ref))
	child := p.child(0)
	m.setWord(slot, child)
	if q := node(m.at(child)); q.kind() != leafKind {
		m.resize(slot, q.kind(), p.label())
		p = node(m.at(ref))
	}
	m.release(ref, p.words())
}
