package msgs

// Admit tells whether a message would be refused.
func (s *store) Admit(subject []byte, header, data int, replaces bool) error {
	if s.closed {
		return ErrClosed
	}
	if recordHead+len(subject)+header+data > RecordMax {
		return ErrTooLarge
	}
	if !s.limits.DiscardNew {
		return nil
	}
	return s.refuses(subject, s.size(len(subject), header, data), replaces)
}

// refuses judges by the limits of a store that discards new messages.
func (s *store) refuses(subject []byte, size int, replaces bool) error {
	l := &s.limits
	var st SubjectState
	if l.PerSubject > 0 {
		st = s.Subject(subject)
	}
	full := l.PerSubject > 0 && int64(st.Count) >= l.PerSubject
	if full && l.DiscardNewPerSubject && !replaces {
		return ErrMaxMsgsPerSubject
	}
	if l.Msgs > 0 && int64(s.messages) >= l.Msgs && !full {
		return ErrMaxMsgs
	}
	if l.Bytes > 0 && int64(s.bytes)+int64(size) > l.Bytes {
		// The message that makes room must be as large at least: a store that is over its
		// limit already must not grow.
		if room, _ := s.SizeOf(st.First); !full || room < size {
			return ErrMaxBytes
		}
	}
	return nil
}

// enforce removes what limits ask for after a message of a subject was stored.
func (s *store) enforce(id uint32) {
	inf := s.info.of(id)
	over := s.over[:0]
	if per := s.limits.PerSubject; per > 0 {
		seq := inf.getFirst()
		for n := int64(inf.count) - per; n > 0; n-- {
			over = append(over, seq)
			seq = s.next(seq)
		}
	}
	s.over = over
	s.trim(over)
}

// trim removes the given messages, which ascend, and the oldest ones until count and bytes are
// within their limits, all in order of sequence.
func (s *store) trim(over []uint64) {
	l := &s.limits
	count, bytes := int64(s.messages)-int64(len(over)), int64(s.bytes)
	limited := !l.DiscardNew && (l.Msgs > 0 || l.Bytes > 0)
	if limited && l.Bytes > 0 {
		for _, seq := range over {
			size, _ := s.SizeOf(seq)
			bytes -= int64(size)
		}
	}
	for limited && (l.Msgs > 0 && count > l.Msgs || l.Bytes > 0 && bytes > l.Bytes) {
		if len(over) > 0 && over[0] == s.first {
			over = over[1:]
		} else {
			size, _ := s.SizeOf(s.first)
			count, bytes = count-1, bytes-int64(size)
		}
		s.removeSeq(s.first, ByLimit)
	}
	for _, seq := range over {
		s.removeSeq(seq, ByLimit)
	}
}

// removeSeq removes a message that lives, and tells of it.
func (s *store) removeSeq(seq uint64, why Why) {
	n := s.blockAt(seq)
	b := s.blocks[n]
	s.remove(n, b.at(seq), seq, why, true)
}
