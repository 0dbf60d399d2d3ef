package subjects

// Compact copies the map to memory of the right size, in the order of subjects; ids
// stay. It takes some tenths of a microsecond a subject, so it is for the idle, and worth it when
// [Map.Bytes] tells of much that is unused.
func (m *Map) Compact() {
	if m.walks > 0 {
		panic("subjects: the map is changed during a walk over it")
	}
	to := &arena{}
	to.reset()
	if root := m.word(rootSlot); root != 0 {
		to.setWord(rootSlot, m.copyTo(to, root))
	}
	m.arena = *to
	m.leaves = append(make([]uint32, 0, len(m.leaves)), m.leaves...)
	m.index = index{}
	m.index.clear()
	m.presize(m.len)
	for _, leaf := range m.leaves {
		if leaf&idFree == 0 {
			m.register(m.hash(m.leafText(leaf)), leaf)
		}
	}
}

// copyTo copies a branch, and tells where its topmost record is now.
func (m *Map) copyTo(to *arena, ref uint32) uint32 {
	p := node(m.at(ref))
	label := p.labelLen()
	if p.kind() == leafKind {
		moved := to.alloc(wordsOf(leafKind, label))
		q := node(to.at(moved))
		q.begin(leafKind, label, p.id())
		copy(q[labelAt:], p.label())
		m.leaves[p.id()] = moved
		return moved
	}
	kind := kindFor(p.count())
	moved := to.alloc(wordsOf(kind, label))
	q := node(to.at(moved))
	q.begin(kind, label, 0)
	copy(q[labelAt:], p.label())
	if end := p.end(); end != 0 {
		end = m.copyTo(to, end)
		node(to.at(moved)).setEnd(end)
	}
	n := 0
	p.each(func(c byte, ref uint32) bool {
		ref = m.copyTo(to, ref)
		node(to.at(moved)).insert(n, c, ref)
		n++
		return true
	})
	return moved
}
