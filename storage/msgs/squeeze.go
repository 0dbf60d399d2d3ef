package msgs

// roll ends the tail and begins another one that takes a record of this length. A tail of which
// much is dead is made smaller instead.
func (s *store) roll(seq uint64, length int) *block {
	n := len(s.blocks) - 1
	if s.disk != nil {
		return s.rollFile(seq, length)
	}
	if s.shrinkTail(n, seq); s.blocks[n].takes(seq, length, s.blockBytes) {
		return s.blocks[n]
	}
	b := s.blocks[n]
	b.seal()
	s.blocks = append(s.blocks, newBlock(seq).like(b))
	return s.tail()
}

// shrinkTail takes what is dead out of the tail of a memory store, if that is much.
func (s *store) shrinkTail(n int, seq uint64) {
	switch b := s.blocks[n]; {
	case b.live == 0:
		s.blocks[n] = newBlock(seq)
	case b.liveSize < b.size/2 || b.live < b.n/2:
		s.blocks[n] = merged(b)
	}
}

// seal ends a block: it takes no more messages.
func (b *block) seal() {
	b.fold()
	b.clip()
	b.sealed = true
	if n := len(b.frames); n > 0 && b.frames[n-1].own != nil {
		f := b.frames[n-1]
		f.own = clipped(f.own)
		f.closed = true
	}
	b.frames = clipped(b.frames)
}

// squeeze makes a block of a memory store without what is dead, and joins it with the one before
// when both are small.
func (s *store) squeeze(n int) {
	parts := s.blocks[n : n+1]
	if n > 0 {
		a, b := s.blocks[n-1], s.blocks[n]
		if int(a.liveSize+b.liveSize) <= s.blockBytes/2 && b.last-a.first < 1<<32 {
			parts, n = s.blocks[n-1:n+1], n-1
		}
	}
	m := merged(parts...)
	m.seal()
	s.blocks[n] = m
	if len(parts) == 2 {
		s.cutBlock(n + 1)
	}
}

// merged is a block of what lives in blocks whose content is in memory.
func merged(parts ...*block) *block {
	m := newBlock(parts[0].first)
	for _, b := range parts {
		for i := b.nextLive(0); i < b.n; i = b.nextLive(i + 1) {
			e := b.entry(i)
			copy(m.room(int(e.length)), b.record(e))
			m.push(b.seq(i), b.peek(i), e.length, e.flags, e.time)
		}
	}
	return m
}

// dropBlock forgets a block without living messages.
func (s *store) dropBlock(n int) {
	if s.disk != nil {
		s.disk.abandon(s.blocks[n])
	}
	s.cutBlock(n)
}

// cutBlock takes block n out of the list.
func (s *store) cutBlock(n int) {
	if n == 0 {
		s.blocks[0] = nil
		s.blocks = s.blocks[1:]
	} else {
		copy(s.blocks[n:], s.blocks[n+1:])
		s.blocks[len(s.blocks)-1] = nil
		s.blocks = s.blocks[:len(s.blocks)-1]
	}
	s.hint = 0
}

// erase overwrites the content of a message that is about to be removed. In memory the frame is
// replaced, because messages may refer to it.
func (s *store) erase(b *block, i int) {
	e := b.entry(i)
	f := b.frameOf(e.off)
	if f.own != nil {
		p := append(make([]byte, 0, cap(f.own)), f.own...)
		clear(p[e.off-f.off+recordHead:][:e.length-recordHead])
		f.own = p
	}
	if s.disk != nil {
		s.disk.erase(b, i, e)
	}
}
