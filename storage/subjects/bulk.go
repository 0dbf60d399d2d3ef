package subjects

import (
	"bytes"
	"slices"
)

// batch is how many subjects InsertAll looks ahead. What a processor waits for in a large
// map is memory; asked for many places at once, it waits once.
const batch = 32

// InsertAll inserts many subjects, in their order, and appends to ids what Insert gives for each.
// It is faster than Insert one by one in a large map, and fastest with ascending subjects.
func (m *Map) InsertAll(ids []uint32, subjects [][]byte) []uint32 {
	var hashes [batch]uint64
	t := trail{steps: m.steps[:0]}
	defer func() { m.steps = t.steps }()
	for len(subjects) > 0 {
		now := subjects[:min(batch, len(subjects))]
		subjects = subjects[len(now):]
		m.warmTable(&hashes, now)
		if !slices.IsSortedFunc(now, bytes.Compare) {
			m.warmTree(now)
		}
		for i, s := range now {
			t.follow(s)
			id, _ := m.insert(hashes[i], s, &t)
			ids = append(ids, id)
		}
	}
	return ids
}

// warmTable hashes the subjects, and reads the group where each search begins.
func (m *Map) warmTable(hashes *[batch]uint64, subjects [][]byte) {
	for i, s := range subjects {
		h := m.hash(s)
		hashes[i] = h
		groups := m.of(h).groups
		m.warmed ^= groups[h&uint64(len(groups)-1)].lo
	}
}

// warmTree reads what Insert would read of the tree, one level for all subjects after the
// other.
func (m *Map) warmTree(subjects [][]byte) {
	var at, depth [batch]uint32
	root := m.word(rootSlot)
	for i := range subjects {
		at[i] = root
	}
	for busy := root != 0; busy; {
		busy = false
		for _, ref := range at[:len(subjects)] {
			m.warmed ^= uint64(m.word(ref)) // nothing here waits for what was read
		}
		for i, s := range subjects {
			if at[i] == 0 {
				continue
			}
			p := node(m.at(at[i]))
			at[i] = 0
			if p.kind() == leafKind {
				continue
			}
			if depth[i] += uint32(p.labelLen()); int(depth[i]) >= len(s) {
				continue
			}
			if place, ok := p.find(s[depth[i]]); ok {
				at[i], busy = p.child(place), true
			}
		}
	}
}

// trail is the way to the leaf inserted last: the slots of the records on it, and the number
// of bytes above each. The next subject, if it is like the last one, begins where they part.
// Insertions leave all slots valid up to that where they stop.
type trail struct {
	last  []byte
	steps []step
}

type step struct {
	slot  uint32
	depth int
}

// follow drops the steps that s does not share: the byte behind those above a slot is what led
// there.
func (t *trail) follow(s []byte) {
	n := common(t.last, s)
	for len(t.steps) > 0 && t.steps[len(t.steps)-1].depth >= n {
		t.steps = t.steps[:len(t.steps)-1]
	}
	t.last = s
}

// start is where the search begins.
func (t *trail) start() step {
	if t == nil || len(t.steps) == 0 {
		return step{rootSlot, 0}
	}
	top := t.steps[len(t.steps)-1]
	t.steps = t.steps[:len(t.steps)-1]
	return top
}

// note adds a step.
func (t *trail) note(slot uint32, depth int) {
	if t != nil {
		t.steps = append(t.steps, step{slot, depth})
	}
}
