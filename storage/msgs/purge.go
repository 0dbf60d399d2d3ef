package msgs

import (
	"math"

	"github.com/lockstepmq/lockstep/storage/subjects"
)

// Purging is a purge in steps; it is used once. Filter, Before and Keep are what Purge takes.
type Purging struct {
	Filter *Filter
	Before uint64
	Keep   uint64
	// Removed counts what went so far.
	Removed uint64

	begun bool
	end   uint64 // what matches below it goes
	kept  uint64 // matching messages found that stay
	from  uint64 // no message below it matches
}

// Purge removes what f matches below before, but for the newest keep of it.
func (s *store) Purge(f *Filter, before uint64, keep uint64) uint64 {
	p := &Purging{Filter: f, Before: before, Keep: keep}
	for s.PurgeStep(p, 0) {
	}
	return p.Removed
}

// PurgeStep does a part of Purge: first it looks, from the end, for what is kept, then it removes what is left.
func (s *store) PurgeStep(p *Purging, most int) (more bool) {
	if s.closed {
		return false
	}
	if most <= 0 {
		most = math.MaxInt
	}
	if !p.begun {
		p.begun, p.end = true, s.last+1
		if p.Before != 0 {
			p.end = min(p.end, p.Before)
		}
		if p.Keep == 0 && s.matchesAll(p.Filter, p.end) {
			p.Removed = s.messages
			s.removeAll()
			p.end = 0
		}
	}
	for ; p.kept < p.Keep && p.end > 0; most-- {
		if most == 0 {
			return true
		}
		seq, _ := s.Prev(p.Filter, p.end-1)
		p.end = seq // 0: there are no more than are kept
		p.kept++
	}
	if s.purgeBelow(p, most) {
		return true
	}
	if p.Filter.none() && p.Keep == 0 && p.Before > s.last+1 {
		s.Skip(p.Before-1, s.lastTime)
	}
	return false
}

// purgeBelow removes up to most messages below the end.
func (s *store) purgeBelow(p *Purging, most int) (more bool) {
	for ; p.end > 0; most-- {
		seq, ok := s.Next(p.Filter, p.from)
		if !ok || seq >= p.end {
			return false
		}
		if most == 0 {
			return true
		}
		s.removeSeq(seq, ByPurge)
		p.from = seq + 1
		p.Removed++
	}
	return false
}

// matchesAll tells whether a filter matches every message, and all are below end. It may not know it of a filter that
// many subjects match.
func (s *store) matchesAll(f *Filter, end uint64) bool {
	if end <= s.last {
		return false
	}
	if s.selectsAll(f) {
		return true
	}
	c := s.prepare(f)
	n := uint64(0)
	for _, id := range c.ids {
		n += uint64(s.info.of(id).count)
	}
	return n == s.messages
}

// removeAll empties the store: first everything is forgotten, then told of, at once where somebody wants it
// so. Nothing has to be unlinked for that.
func (s *store) removeAll() {
	if s.messages == 0 {
		return
	}
	old := *s
	s.forgetAll()
	if s.onClear != nil {
		s.onClear(old.first, old.last, old.messages)
		return
	}
	if s.onRemove == nil {
		return
	}
	for _, b := range old.blocks {
		for i := b.nextLive(0); i < b.n; i = b.nextLive(i + 1) {
			e := b.entry(i)
			sl := b.peek(i)
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
	s.idle, s.retired, s.names = 0, retired{}, nil
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
