package msgs

import "math"

// Limiting is a change of limits in steps; it is used once.
type Limiting struct {
	Limits Limits

	begun bool
	over  uint64 // messages that the limit per subject does not allow, and that are still there
	from  uint64 // below it there is none of them
}

// SetLimits changes the limits and enforces them. A store that discards new messages
// keeps what it has, but for what is over the limit per subject.
func (s *store) SetLimits(l Limits) {
	w := &Limiting{Limits: l}
	for s.LimitStep(w, 0) {
	}
}

// LimitStep does a part of SetLimits. First goes what the limit per subject does not allow, in order of sequence, then
// the oldest of all.
func (s *store) LimitStep(w *Limiting, most int) (more bool) {
	if most <= 0 {
		most = math.MaxInt
	}
	if !w.begun {
		w.begun = true
		old := s.limits
		s.limits = w.Limits
		if per := s.limits.PerSubject; per > 0 && (old.PerSubject <= 0 || per < old.PerSubject) {
			w.over, w.from = s.overPerSubject(), s.first
		}
	}
	if w.over > 0 {
		if most = s.trimSubjects(w, most); most <= 0 {
			return true
		}
	}
	return s.trimOldest(most)
}

// overPerSubject is the number of messages that the limit per subject does not allow.
func (s *store) overPerSubject() (n uint64) {
	per := uint64(s.limits.PerSubject)
	for id := range uint32(s.subs.IDs()) {
		if count := uint64(s.info.of(id).count); count > per {
			n += count - per
		}
	}
	return n
}

// trimSubjects removes messages of subjects that have too many. Going up, the first message that it meets of such a
// subject is the subject's oldest. It gives what is left of the number of messages that it may look at.
func (s *store) trimSubjects(w *Limiting, most int) int {
	per := uint64(s.limits.PerSubject)
	for n := s.blockAt(w.from); w.over > 0 && n < len(s.blocks); n = s.blockAt(w.from) {
		b := s.blocks[n]
		i := b.nextLive(b.at(w.from))
		for ; i < b.n && uint64(s.info.of(b.id(i)).count) <= per; i = b.nextLive(i + 1) {
			if most--; most <= 0 {
				w.from = b.seq(i) + 1
				return 0
			}
		}
		if i == b.n {
			w.from = b.last + 1
			continue
		}
		seq := b.seq(i)
		w.from = seq + 1
		w.over--
		s.remove(n, i, seq, ByLimit, true)
		if most--; most <= 0 {
			return 0
		}
	}
	return most
}

// trimOldest removes up to most of the oldest messages while there are too many, or too much.
func (s *store) trimOldest(most int) (more bool) {
	for l := &s.limits; !l.DiscardNew && s.messages > 0 && (l.Msgs > 0 && int64(s.messages) > l.Msgs || l.Bytes > 0 && int64(s.bytes) > l.Bytes); most-- {
		if most == 0 {
			return true
		}
		s.removeSeq(s.first, ByLimit)
	}
	return false
}
