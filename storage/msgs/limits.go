package msgs

import (
	"slices"

	"github.com/lockstepmq/lockstep/storage/subjects"
)

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

// SetLimits changes the limits and enforces them. A store that discards new messages
// keeps what it has, but for what is over the limit per subject.
func (s *store) SetLimits(l Limits) {
	old := s.limits
	s.limits = l
	var over []uint64
	if l.PerSubject > 0 && (old.PerSubject <= 0 || l.PerSubject < old.PerSubject) {
		over = s.overPerSubject()
	}
	s.trim(over)
}

// overPerSubject are the messages that the limit per subject does not allow, ascending.
func (s *store) overPerSubject() []uint64 {
	var over []uint64
	for id := range uint32(s.subs.IDs()) {
		inf := s.info.of(id)
		seq := inf.getFirst()
		for n := int64(inf.count) - s.limits.PerSubject; n > 0; n-- {
			over = append(over, seq)
			seq = s.next(seq, s.slotOf(seq))
		}
	}
	slices.Sort(over)
	return over
}

// enforce removes what limits ask for after a message of a subject was stored.
func (s *store) enforce(id uint32) {
	inf := s.info.of(id)
	over := s.over[:0]
	if per := s.limits.PerSubject; per > 0 {
		seq := inf.getFirst()
		for n := int64(inf.count) - per; n > 0; n-- {
			over = append(over, seq)
			seq = s.next(seq, s.slotOf(seq))
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

// Purge removes what f matches below before, but for the newest keep of it.
func (s *store) Purge(f *Filter, before uint64, keep uint64) uint64 {
	if s.closed {
		return 0
	}
	all := s.selectsAll(f)
	n := s.Count(f, 0, false)
	if before != 0 {
		n -= s.Count(f, before, false)
	}
	if n <= keep {
		n = 0
	} else {
		n -= keep
	}
	if all && n == s.messages {
		s.removeAll()
	} else {
		s.purgeSome(f, n)
	}
	if f.none() && keep == 0 && before > s.last+1 {
		s.Skip(before-1, s.lastTime)
	}
	return n
}

// purgeSome removes the first n messages that f matches.
func (s *store) purgeSome(f *Filter, n uint64) {
	seq, ok := s.Next(f, 0)
	for ; n > 0 && ok; n-- {
		s.removeSeq(seq, ByPurge)
		seq, ok = s.Next(f, seq+1)
	}
}

// removeAll empties the store: first everything is forgotten, then told of. Nothing has to be unlinked for that.
func (s *store) removeAll() {
	if s.messages == 0 {
		return
	}
	old := *s
	s.forgetAll()
	if s.onRemove == nil {
		return
	}
	for _, b := range old.blocks {
		for i := b.nextLive(0); i < len(b.slots); i = b.nextLive(i + 1) {
			e := b.entry(i)
			sl := &b.slots[i]
			s.onRemove(b.seq(i), old.textOf(b, i, e, sl.id()), s.sizeAt(e), ByPurge, sl.next() == noLink)
		}
	}
}

// forgetAll makes the store empty. The blocks that it had stay as they are.
func (s *store) forgetAll() {
	if s.disk != nil {
		s.disk.forgetAll()
	}
	s.subs = subjects.Seeded(s.seed)
	s.info = infoTable{}
	s.births = births{kept: s.births.kept}
	s.epoch++
	s.farNext, s.farPrev = nil, nil
	s.expiry = expiry{}
	s.idle, s.retired, s.names = 0, nil, nil
	s.blocks = []*block{newBlock(s.last + 1)}
	s.messages, s.bytes, s.first = 0, 0, s.last+1
	s.change++
	s.hint = 0
}

// forgetAll lets go of all files of blocks.
func (d *disk) forgetAll() {
	lost := d.lost
	d.lost = lostSet{}
	for _, seq := range lost.seqs { // those that nobody can remove any more stay
		if !d.st.Has(seq) {
			d.lost.add(seq, 0)
		}
	}
	for _, b := range d.st.blocks {
		d.abandon(b)
	}
	d.subs.fresh, d.inline = nil, 0
}
