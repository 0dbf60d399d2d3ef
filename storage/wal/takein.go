package wal

import (
	"fmt"
	"slices"
)

// loss is a place where records were lost, or may have been.
type loss struct {
	Damage
	open bool // it is not known which groups had records here
}

// loss notes a place of which nothing is known.
func (r *recovery) loss(file string, offset, bytes int64, err error) {
	r.lost = append(r.lost, &loss{
		Damage: Damage{File: file, Offset: offset, Bytes: bytes, Err: err, Unknown: true}, open: true,
	})
}

// lossOf notes a place where one group lost something.
func (r *recovery) lossOf(st *groupState, file string, offset, bytes int64, err error) {
	r.lost = append(r.lost, &loss{Damage: Damage{File: file, Offset: offset, Bytes: bytes, Err: err}})
	r.concern(st, len(r.lost)-1)
}

// takeIn gives batches of a segment, and the damage between them, to the groups. With into they
// will stand there.
func (r *recovery) takeIn(s *scan, from, to int, into *repeat) {
	for i := from; i < to; i++ {
		r.takeRegions(s, i)
		r.takeBatch(s, &s.batches[i], into)
	}
	if to == len(s.batches) {
		r.takeRegions(s, to)
	}
}

// takeRegions notes the damaged regions in front of batch i.
func (r *recovery) takeRegions(s *scan, i int) {
	for len(s.regions) > 0 && s.regions[0].before <= i {
		g := s.regions[0]
		r.loss(s.name, g.from, g.to-g.from, g.err)
		s.regions = s.regions[1:]
	}
}

func (r *recovery) takeBatch(s *scan, b *scanned, into *repeat) {
	r.report.Batches++
	body := s.body(&b.batchHeader)
	lost := len(r.lost)
	into.begin()
	bad := eachChunk(body, &b.batchHeader, r.l.id, func(c *chunkHeader, at int, records []byte, sound bool) {
		off := b.offset + batchHeaderLen + int64(at)
		switch {
		case !sound:
			r.lostChunk(s, c, off)
		case into != nil && !c.kind.ofLog(): // header and census of the new segment replace those
			r.takeChunk(c, records, into.seg, into.add(c, records), s.name)
		default:
			r.takeChunk(c, records, s.seg, off, s.name)
		}
	})
	into.end()
	switch {
	case bad >= 0:
		r.loss(s.name, b.offset+batchHeaderLen+int64(bad), int64(len(body)-bad), errChecksum)
	case !b.intact && lost == len(r.lost):
		r.loss(s.name, b.offset, b.size(), errChecksum)
	}
}

// lostChunk notes damage that concerns one group only.
func (r *recovery) lostChunk(s *scan, c *chunkHeader, off int64) {
	if c.kind.ofLog() {
		r.lost = append(r.lost, &loss{Damage: Damage{File: s.name, Offset: off, Bytes: int64(c.size()), Err: errChecksum}})
		return
	}
	st := r.group(c.id)
	if st.nth == 0 {
		st.found.firstNth = c.nth
	}
	st.nth = max(st.nth, c.nth)
	r.lossOf(st, s.name, off, int64(c.size()), errChecksum)
}

func (r *recovery) group(id ID) *groupState {
	st := r.states[id]
	if st == nil {
		st = &groupState{id: id, found: &found{}}
		r.states[id] = st
		r.order = append(r.order, st)
	}
	return st
}

// concern says that a group lost records at a place, or may have.
func (r *recovery) concern(st *groupState, at int) {
	o := r.lost[at]
	if slices.Contains(o.Groups, st.id) {
		return
	}
	o.Groups = append(o.Groups, st.id)
	if st.damage == nil {
		st.damage = o.error()
	}
}

// takeChunk takes in a sound chunk.
func (r *recovery) takeChunk(c *chunkHeader, records []byte, seg *segment, off int64, name string) {
	switch c.kind {
	case kindTrim:
		r.oldest = max(r.oldest, c.index)
		return
	case kindCensus:
		r.takeCensus(c, records, seg)
		return
	}
	st := r.group(c.id)
	r.checkNth(st, c, off, name)
	if st.nth == 0 {
		st.found.firstNth = c.nth
	}
	st.nth = max(st.nth, c.nth)
	st.found.losses = len(r.lost)
	before := st.done
	st.note(c, seg, off)
	switch {
	case c.kind == kindDrop:
		r.drop(st)
		return
	case st.found.want == nil:
	case c.kind == kindEntries && c.from < c.to:
		st.found.want.last = max(st.found.want.last, c.last())
	case c.kind == kindTruncate:
		st.found.want.last = min(st.found.want.last, c.index-1)
	case c.kind == kindHard:
		st.found.want.hard = st.hard
	case c.kind == kindPart && st.done.newer(&before): // complete
		st.found.want.last = max(st.found.want.last, st.done.index)
	}
	switch {
	case c.kind == kindPart || c.kind == kindEntries:
		st.found.chunks = append(st.found.chunks, kept{*c, seg, off, slices.Clone(records)})
	}
	if st.done.newer(&before) {
		st.found.prune(st)
	}
}

// checkNth finds out from the count of a group's chunks whether some were lost.
func (r *recovery) checkNth(st *groupState, c *chunkHeader, off int64, name string) {
	if c.nth != st.nth+1 {
		r.lostBetween(st, fmt.Errorf("%w: chunk %d of the group follows chunk %d", errRecord, c.nth, st.nth), name, off)
	}
}

// lostBetween blames the losses since a group's last chunk for what is missing of it. Of a group that
// was not seen before, it may be that nothing is: a census can tell.
func (r *recovery) lostBetween(st *groupState, err error, name string, off int64) {
	if st.nth == 0 {
		st.found.suspect = len(r.lost)
		return
	}
	concerned := false
	for i := st.found.losses; i < len(r.lost); i++ {
		if r.lost[i].open {
			r.concern(st, i)
			concerned = true
		}
	}
	if !concerned && st.damage == nil {
		r.lossOf(st, name, off, 0, err)
	}
}

// sumUp remembers that groups may be lost of which nothing is known.
func (r *recovery) sumUp() {
	for _, o := range r.lost {
		r.unknown = r.unknown || o.Unknown
	}
}

// judge finds the groups that may have lost what came last, and those with gaps.
func (r *recovery) judge() {
	r.missingHead()
	for _, st := range r.order {
		if st.dropped {
			continue
		}
		st.giveUp()
		r.missed(st)
		for i, o := range r.lost {
			if o.open && (i < st.found.suspect || i >= st.found.losses) {
				r.concern(st, i)
			}
		}
		r.findGaps(st)
		f := st.found
		f.attempt = st.attemptMax
		f.state, f.runs, f.hard, f.damage = st.done, slices.Clone(st.runs), st.hard, st.damage
		f.state.parts = slices.Clone(st.done.parts)
	}
	r.sumUp()
}

// findGaps tells whether entries are missing.
func (r *recovery) findGaps(st *groupState) {
	next := st.done.index + 1
	for _, run := range st.runs {
		if run.first != next && st.damage == nil {
			r.lossOf(st, r.l.segmentName(run.seg.number), run.from, 0, fmt.Errorf("%w: %d to %d", errGap, next, run.first-1))
		}
		next = run.last + 1
	}
}

// missingHead tells whether segments before the first that is there are needed.
func (r *recovery) missingHead() {
	first := r.scans[0].seg
	if first.number <= r.oldest || r.oldest == 0 {
		return
	}
	o := &loss{Damage: Damage{
		File: r.l.segmentName(r.oldest), Unknown: true,
		Err: fmt.Errorf("%w, segments %d to %d", errMissing, r.oldest, first.number-1),
	}}
	r.lost = append(r.lost, o)
	for _, st := range r.order {
		if !st.dropped && st.found.firstNth > 1 && st.found.want == nil {
			r.concern(st, len(r.lost)-1)
		}
	}
}
