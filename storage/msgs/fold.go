package msgs

// A block that is full and has the messages of one subject only, all of them and one behind another, says so and has no
// slots but the first and the last, whose links lead out of it. It is folded until something between them changes.

// fold lets the slots go if they can be told from the ends.
func (b *block) fold() {
	n := b.n
	if n < 3 || b.rel != nil || b.dead != nil || b.idMin != b.idMax || b.ends != nil {
		return
	}
	inner := newSlot(b.idMin, 1, 1)
	for i := 1; i < n-1; i++ {
		if b.slots[i] != inner {
			return
		}
	}
	first, last := b.slots[0], b.slots[n-1]
	if first.next() != 1 || last.prev() != 1 {
		return
	}
	b.ends = &[2]slot{first, last}
	b.slots = nil
}

// unfold gives the block its slots back.
func (b *block) unfold() {
	inner := newSlot(b.idMin, 1, 1)
	b.slots = make([]slot, b.n)
	for i := range b.slots {
		b.slots[i] = inner
	}
	b.slots[0], b.slots[b.n-1] = b.ends[0], b.ends[1]
	b.ends = nil
}

// id is the subject of a slot.
func (b *block) id(i int) uint32 {
	if b.slots == nil {
		return b.idMin
	}
	return b.slots[i].id()
}

// peek is a slot to be read.
func (b *block) peek(i int) slot {
	switch {
	case b.slots != nil:
		return b.slots[i]
	case i == 0:
		return b.ends[0]
	case i == b.n-1:
		return b.ends[1]
	}
	return newSlot(b.idMin, 1, 1)
}

// look is a slot, of a folded block the first or the last, to be read.
func (b *block) look(i int) *slot {
	switch {
	case b.ends == nil:
		return &b.slots[i]
	case i == 0:
		return &b.ends[0]
	}
	return &b.ends[1]
}

// edit is a slot to be changed; valid until the block gets another one.
func (b *block) edit(i int) *slot {
	if b.slots == nil {
		switch i {
		case 0:
			return &b.ends[0]
		case b.n - 1:
			return &b.ends[1]
		}
		b.unfold()
	}
	return &b.slots[i]
}
