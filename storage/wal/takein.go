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
			r.lostChunk(s, c, place{s.seg, b.offset, off, s.name}, into)
		case into != nil && !c.kind.ofLog(): // header and census of the new segment replace those
			r.takeChunk(c, records, place{into.seg, int64(into.at), into.add(c, records), s.name})
		default:
			r.takeChunk(c, records, place{s.seg, b.offset, off, s.name})
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

// lostChunk notes damage that concerns one group only. Which entries are lost the header tells; what is
// written anew tells it, too.
func (r *recovery) lostChunk(s *scan, c *chunkHeader, at place, into *repeat) {
	if c.kind.ofLog() {
		r.lost = append(r.lost, &loss{Damage: Damage{File: s.name, Offset: at.off, Bytes: int64(c.size()), Err: errChecksum}})
		return
	}
	st := r.arrived(c, at)
	unbounded := st.unbounded
	r.lossOf(st, s.name, at.off, int64(c.size()), errChecksum)
	st.found.losses = len(r.lost)
	switch {
	case c.kind == kindEntries && c.from < c.to:
		m := c.marker()
		if into != nil {
			at.seg, at.batch, at.off = into.seg, int64(into.at), into.add(&m, nil)
		}
		st.note(&m, at.seg, at.batch, at.off)
		r.expect(st, &m, false)
		st.found.bound(c)
		fallthrough
	case c.kind == kindEntries:
		st.unbounded = unbounded
	case c.kind.ofState():
		st.unbounded = unbounded // when a later state is complete; else judge says so
		st.attemptMax = max(st.attemptMax, c.count)
		st.found.lostAttempt = max(st.found.lostAttempt, c.count)
	}
}

// arrived counts a chunk of a group.
func (r *recovery) arrived(c *chunkHeader, at place) *groupState {
	st := r.group(c.id)
	r.checkNth(st, c, at.off, at.name)
	if st.nth == 0 {
		st.found.firstNth = c.nth
	}
	st.nth = max(st.nth, c.nth)
	st.found.losses = len(r.lost)
	return st
}

func (r *recovery) group(id ID) *groupState {
	st := r.states[id]
	if st == nil {
		st = newState(id)
		st.found = &found{}
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
	st.concerns++
	st.unbounded = true
	if st.damage == nil {
		st.damage = o.error()
	}
}

// place is where a chunk will stand.
type place struct {
	seg        *segment
	batch, off int64
	name       string // of the file where it was found
}

// takeChunk takes in a sound chunk.
func (r *recovery) takeChunk(c *chunkHeader, records []byte, at place) {
	switch c.kind {
	case kindTrim:
		r.oldest = max(r.oldest, c.index)
		return
	case kindCensus:
		r.takeCensus(c, records, at.seg)
		return
	}
	st := r.arrived(c, at)
	before, damage := st.done, st.damage
	st.note(c, at.seg, at.batch, at.off)
	completed := st.done.index != before.index || st.done.attempt != before.attempt
	r.expect(st, c, completed)
	st.found.bound(c)
	switch {
	case c.kind == kindDrop:
		r.drop(st)
		return
	case c.kind == kindLost:
		r.tellLost(st, at)
	case c.kind.ofState() || c.kind == kindEntries:
		st.found.chunks = append(st.found.chunks, kept{chunkHeader: *c, seg: at.seg, off: at.off, records: slices.Clone(records)})
	}
	if completed {
		st.found.prune(st)
	}
	if completed && st.done.reset {
		st.found.loose, st.found.until = 0, 0
	}
	if completed && st.done.reset && st.damage == nil {
		r.replaced(st, damage != nil)
	}
}

// expect changes what a census says of a group by what came behind it.
func (r *recovery) expect(st *groupState, c *chunkHeader, completed bool) {
	w := st.found.want
	switch {
	case w == nil:
	case (c.kind == kindEntries || c.kind == kindLost) && c.from < c.to:
		w.last = max(w.last, c.last())
	case c.kind == kindTruncate:
		w.last = min(w.last, c.index-1)
	case c.kind == kindHard:
		w.hard = st.hard
	case completed && st.done.reset:
		w.checkpoint, w.last = st.done.index, st.last()
	case completed:
		w.last = max(w.last, st.done.index)
	}
}

// tellLost tells of entries that an earlier process knew to be lost.
func (r *recovery) tellLost(st *groupState, at place) {
	unbounded := st.unbounded
	r.lossOf(st, at.name, at.off, 0, errRecorded)
	st.unbounded = unbounded
	st.found.losses = len(r.lost)
}

// replaced forgets what a group had lost before a state that replaced everything.
func (r *recovery) replaced(st *groupState, damaged bool) {
	f := st.found
	f.suspect, f.firstNth, f.lostAttempt = 0, 1, 0
	if damaged {
		for _, o := range r.lost {
			o.Groups = slices.DeleteFunc(o.Groups, func(id ID) bool { return id == st.id })
		}
	}
}

// checkNth finds out from the count of a group's chunks whether some were lost.
func (r *recovery) checkNth(st *groupState, c *chunkHeader, off int64, name string) {
	if c.nth != st.nth+1 {
		unbounded, last := st.unbounded, st.last()
		r.lostBetween(st, fmt.Errorf("%w: chunk %d of the group follows chunk %d", errRecord, c.nth, st.nth), name, off)
		if st.others > 0 && c.others == st.others+others(c.kind) && c.nth > st.nth { // entries alone are missing
			st.unbounded = unbounded
			if st.found.loose == 0 {
				st.found.loose = max(last, st.found.until) + 1
			}
		}
	}
	st.others = c.others
}

// others is how many chunks without entries one of the kind is.
func others(k chunkKind) uint64 {
	if k.ofEntries() {
		return 0
	}
	return 1
}

// bound takes what a chunk says about where the entries end that are missing: nobody adds or truncates what is not
// behind others.
func (f *found) bound(c *chunkHeader) {
	switch {
	case c.kind == kindEntries && c.flags&flagAgain == 0 && f.loose > 0 && c.index >= f.loose:
		f.until, f.loose = max(f.until, c.index-1), 0
	case c.kind == kindTruncate:
		if f.loose > 0 && c.index > f.loose {
			f.until = c.index - 1
		}
		f.until, f.loose = min(f.until, c.index-1), 0
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
// What they miss for sure is written down behind the others' chunks.
func (r *recovery) judge(into *repeat) {
	r.missingHead()
	for _, st := range r.order {
		if st.dropped {
			continue
		}
		st.giveUp()
		r.missed(st)
		st.unbounded = st.unbounded || st.found.loose > 0 ||
			st.found.lostAttempt > 0 && (!st.done.complete() || st.done.attempt < st.found.lostAttempt)
		for i, o := range r.lost {
			if o.open && (i < st.found.suspect || i >= st.found.losses) {
				r.concern(st, i)
			}
		}
		r.findGaps(st)
		if st.damage != nil && !st.unbounded {
			st.fillGaps(into)
		}
		f := st.found
		f.attempt = st.attemptMax
		f.state, f.runs, f.hard, f.damage = st.done, slices.Clone(st.runs), st.hard, st.damage
		f.unbounded = st.unbounded
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

// fillGaps says of each entry that is missing that it is lost, in the segment to write to.
func (st *groupState) fillGaps(into *repeat) {
	into.begin()
	next := st.done.index + 1
	lose := func(last uint64) {
		for next <= last {
			n := uint32(min(last+1-next, 1<<20))
			st.nth++
			h := chunkHeader{id: st.id, nth: st.nth, others: st.others, index: next, to: n, count: n}
			m := h.marker()
			st.note(&m, into.seg, int64(into.at), into.add(&m, nil))
			next += uint64(n)
		}
	}
	for _, run := range slices.Clone(st.runs) {
		lose(run.first - 1)
		next = run.last + 1
	}
	lose(st.found.until)
	into.end()
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
