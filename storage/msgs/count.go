package msgs

import "slices"

// Count is the number of messages at or above from that match.
func (s *store) Count(f *Filter, from uint64, lastPerSubject bool) uint64 {
	from = max(from, s.first)
	if s.messages == 0 || from > s.last {
		return 0
	}
	if s.selectsAll(f) {
		switch {
		case !lastPerSubject:
			return s.liveFrom(from)
		case from == s.first:
			return uint64(s.subjects())
		}
		return s.countAllNewest(from)
	}
	c := s.prepare(f)
	if k := &c.count; k.ok && k.change == s.change && k.from == from && k.newest == lastPerSubject {
		return k.n
	}
	var n uint64
	if c.wide {
		n = s.countWide(c, from, lastPerSubject)
	} else {
		n = s.countNarrow(c, from, lastPerSubject)
	}
	c.count = countCache{s.change, from, lastPerSubject, true, n}
	return n
}

// liveFrom is the number of messages at or above from.
func (s *store) liveFrom(from uint64) uint64 {
	if from <= s.first {
		return s.messages
	}
	n := s.blockAt(from)
	if n == len(s.blocks) {
		return 0
	}
	live := uint64(s.blocks[n].liveFrom(s.blocks[n].at(from)))
	for _, b := range s.blocks[n+1:] {
		live += uint64(b.live)
	}
	return live
}

// countAllNewest counts the subjects whose newest message is at or above from.
func (s *store) countAllNewest(from uint64) uint64 {
	if s.liveFrom(from) < uint64(s.subs.IDs()) {
		return s.countUp(nil, from, s.last, true)
	}
	var n uint64
	for id := range uint32(s.subs.IDs()) {
		if inf := s.info.of(id); inf.count > 0 && inf.getLast() >= from {
			n++
		}
	}
	return n
}

// countUp looks at every message from from to to; c nil matches all.
func (s *store) countUp(c *filterCache, from, to uint64, newest bool) uint64 {
	var n uint64
	for k := s.blockAt(from); k < len(s.blocks) && s.blocks[k].first <= to; k++ {
		b := s.blocks[k]
		if c != nil && !c.mayHave(b) {
			continue
		}
		end := b.at(to + 1)
		if b.ends != nil {
			n += s.countFolded(b, c, b.at(from), end, newest)
			continue
		}
		for i := b.nextLive(b.at(from)); i < end; i = b.nextLive(i + 1) {
			sl := &b.slots[i]
			if (!newest || sl.next() == noLink) && (c == nil || s.matches(c, sl.id())) {
				n++
			}
		}
	}
	return n
}

// countFolded is countUp in a part of a folded block, where all messages live.
func (s *store) countFolded(b *block, c *filterCache, from, end int, newest bool) uint64 {
	switch {
	case from >= end || c != nil && !s.matches(c, b.idMin):
		return 0
	case !newest:
		return uint64(end - from)
	case end == b.n && b.ends[1].next() == noLink:
		return 1
	}
	return 0
}

// countWide counts subject by subject, or message by message on the shorter side of from.
func (s *store) countWide(c *filterCache, from uint64, newest bool) uint64 {
	s.sample(c)
	after := s.liveFrom(from)
	before := s.messages - after
	asking := uint64(s.subs.Len() * s.tuning.ask)
	switch {
	case newest && after < asking:
		return s.countUp(c, from, s.last, true)
	case newest:
		return s.sumMatching(c, func(inf *subjectInfo) uint64 {
			if inf.getLast() >= from {
				return 1
			}
			return 0
		})
	case after <= before+asking && (after <= uint64(s.subs.Len()) || c.many*s.tuning.ask >= s.subs.Len()):
		return s.countUp(c, from, s.last, false)
	}
	n := s.sumMatching(c, func(inf *subjectInfo) uint64 { return uint64(inf.count) })
	if before > 0 {
		n -= s.countUp(c, s.first, from-1, false)
	}
	return n
}

// samples is the number of subjects that are looked at to guess how many match.
const samples = 256

// sample guesses how many subjects match, unless it is known.
func (s *store) sample(c *filterCache) {
	if c.many > 0 {
		return
	}
	ids := s.subs.IDs()
	for n := range min(samples, ids) {
		if id := uint32(n * ids / min(samples, ids)); s.info.of(id).count > 0 && s.matches(c, id) {
			c.many++
		}
	}
	c.many = c.many*ids/samples + 1
}

// sumMatching adds up what fn tells of each subject that matches. When many do, and the verdicts on them are known, it
// is faster to go through all of them by id.
func (s *store) sumMatching(c *filterCache, fn func(*subjectInfo) uint64) (n uint64) {
	if c.many*s.tuning.ask >= s.subs.IDs() {
		for id := range uint32(s.subs.IDs()) {
			if inf := s.info.of(id); inf.count > 0 && s.matches(c, id) {
				n += fn(inf)
			}
		}
		return n
	}
	c.many = 1
	s.subs.Match(c.patterns, nil, func(id uint32, _ []byte) bool {
		if inf := s.info.of(id); inf.count > 0 {
			n += fn(inf)
		}
		c.many++
		return true
	})
	return n
}

// chainStep is how many messages can be looked at in the time that one link takes.
const chainStep = 16

// countNarrow counts subject by subject. Those that have messages on both sides of from are
// counted along their chains, or together by looking at all messages on the shorter side.
func (s *store) countNarrow(c *filterCache, from uint64, newest bool) uint64 {
	var n, straddling, total uint64
	s.ids = s.ids[:0]
	for _, id := range c.ids {
		inf := s.info.of(id)
		total += uint64(inf.count)
		switch {
		case inf.count == 0 || inf.getLast() < from:
		case newest:
			n++
		case inf.getFirst() >= from:
			n += uint64(inf.count)
		default:
			s.ids = append(s.ids, id)
			straddling += uint64(inf.count)
		}
	}
	if len(s.ids) == 0 {
		return n
	}
	after := s.liveFrom(from)
	if total == s.messages {
		return after
	}
	before := s.messages - after
	if straddling/2*chainStep < min(after, before) {
		for _, id := range s.ids {
			n += s.countChain(id, from)
		}
		return n
	}
	some := filterCache{ids: s.ids}
	if after <= before {
		return n + s.countUp(&some, from, s.last, false)
	}
	return n + straddling - s.countUp(&some, s.first, from-1, false)
}

// countChain counts the messages of a subject at or above from, along its chain from both ends.
func (s *store) countChain(id uint32, from uint64) uint64 {
	inf := s.info.of(id)
	low, high := inf.getFirst(), inf.getLast()
	for n := uint64(1); ; n++ {
		if low = s.next(low); low >= from {
			return uint64(inf.count) - n
		}
		if high = s.prev(high); high < from {
			return n
		}
	}
}

// LastPerSubject is the newest message not above upTo of each matching subject, ascending.
func (s *store) LastPerSubject(f *Filter, upTo uint64, max int) (seqs []uint64, ok bool) {
	if upTo == 0 || upTo > s.last {
		upTo = s.last
	}
	visit := func(id uint32, _ []byte) bool {
		switch inf := s.info.of(id); {
		case inf.count == 0 || inf.getFirst() > upTo:
		case inf.getLast() <= upTo:
			seqs = append(seqs, inf.getLast())
		default:
			seqs = append(seqs, s.seekDown(id, upTo))
		}
		return max <= 0 || len(seqs) <= max
	}
	if s.eachMatching(f, visit); max > 0 && len(seqs) > max {
		return nil, false
	}
	slices.Sort(seqs)
	return seqs, true
}

// eachMatching calls fn for each subject that matches, in an order that does not show.
func (s *store) eachMatching(f *Filter, fn func(id uint32, _ []byte) bool) {
	if s.messages == 0 {
		return
	}
	if s.selectsAll(f) {
		for id := range uint32(s.subs.IDs()) {
			if s.info.of(id).count > 0 && !fn(id, nil) {
				return
			}
		}
		return
	}
	c := s.prepare(f)
	if c.wide {
		s.subs.Match(c.patterns, nil, fn)
		return
	}
	for _, id := range c.ids {
		if !fn(id, nil) {
			return
		}
	}
}

// Subjects calls fn for each matching subject, ascending.
func (s *store) Subjects(f *Filter, start string, fn func(subject string, s SubjectState) bool) {
	visit := func(id uint32, text []byte) bool {
		inf := s.info.of(id)
		return inf.count == 0 || fn(string(text), inf.state())
	}
	if s.selectsAll(f) {
		s.subs.Ascend([]byte(start), visit)
		return
	}
	if c := s.compiled(f); c.patterns != nil {
		s.subs.Match(c.patterns, []byte(start), visit)
	}
}
