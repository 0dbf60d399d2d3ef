package wal

import "slices"

// segment is one file of the log.
type segment struct {
	number uint64
	size   int64 // up to the end of what counts, in bytes
	refs   int   // pieces of groups that are needed and lie here
	asked  bool  // groups were asked to checkpoint because of it
	stuck  bool  // it cannot be carried forward
	sum    uint32
}

// run is entries of one group in one segment, all of them and no others of these indexes at
// these places.
type run struct {
	first, last uint64 // indexes
	seg         *segment
	from, to    int64 // places of the first and the last chunk
	cut         bool  // it once went further, so it cannot grow
}

// checkpoint is where a logged state lies.
type checkpoint struct {
	index, term uint64
	attempt     uint32
	parts       []*segment // nil where a part is missing
	found       int        // parts that are not
}

func (c *checkpoint) complete() bool { return len(c.parts) > 0 && c.found == len(c.parts) }

// newer tells which of two attempts counts.
func (c *checkpoint) newer(o *checkpoint) bool {
	return c.index > o.index || c.index == o.index && c.attempt > o.attempt
}

func (c *checkpoint) is(h *chunkHeader) bool {
	return len(c.parts) > 0 && c.index == h.index && c.attempt == h.count && len(c.parts) == int(h.to)
}

// release gives the segments back.
func (c *checkpoint) release() {
	for _, s := range c.parts {
		if s != nil {
			s.refs--
		}
	}
	*c = checkpoint{}
}

// groupState is what the log knows of a group. It belongs to the log's strand, but for
// what the log's mutex guards.
type groupState struct {
	id   ID
	nth  uint64 // chunks so far
	runs []run  // ascending, apart
	done checkpoint
	next []checkpoint // not complete; one at most but during recovery
	hard HardState
	home *segment // of hard; nil when it was never set

	bytes int64 // that it needs, roughly
	mark  int64 // bytes when the last checkpoint began

	handle  *Group // attached
	out     *outbox
	dropped bool
	damage  error
	pinned  []*segment // kept because of damage

	found *found // until attached; guarded by the log's mutex once it is open
	used  bool   // was attached; guarded likewise
}

// last is the index of the last entry.
func (st *groupState) last() uint64 {
	if n := len(st.runs); n > 0 {
		return max(st.runs[n-1].last, st.done.index)
	}
	return st.done.index
}

// note takes in a chunk that stands in seg at off.
func (st *groupState) note(h *chunkHeader, seg *segment, off int64) {
	switch h.kind {
	case kindEntries:
		if first := max(h.first(), st.done.index+1); h.from < h.to && first <= h.last() {
			if h.last() > st.last() {
				st.bytes += int64(h.size())
			}
			st.assign(first, h.last(), seg, off)
		}
	case kindPart:
		st.notePart(h, seg)
	case kindHard:
		if st.home != nil {
			st.home.refs--
		}
		st.hard, st.home = HardState{h.index, h.term}, seg
		seg.refs++
	case kindTruncate:
		st.truncate(h.index)
	case kindDrop:
		st.drop()
	}
}

// assign says where entries lie from now on.
func (st *groupState) assign(first, last uint64, seg *segment, off int64) {
	i, _ := slices.BinarySearchFunc(st.runs, first, func(r run, first uint64) int {
		if r.last < first {
			return -1
		}
		return 1
	})
	if i < len(st.runs) && st.runs[i].first <= last {
		i = st.clear(i, first, last)
	}
	if i > 0 {
		if p := &st.runs[i-1]; p.last+1 == first && p.seg == seg && !p.cut && p.to < off {
			p.last, p.to = last, off
			return
		}
	}
	seg.refs++
	st.runs = slices.Insert(st.runs, i, run{first: first, last: last, seg: seg, from: off, to: off})
}

// clear makes room for first to last, where runs[i] is the first that it concerns. It
// returns the place for them.
func (st *groupState) clear(i int, first, last uint64) int {
	if r := st.runs[i]; r.first < first {
		if r.last > last { // both ends stay
			r.first = last + 1
			r.seg.refs++
			st.runs = slices.Insert(st.runs, i+1, r)
		}
		st.runs[i].last, st.runs[i].cut = first-1, true
		i++
	}
	for i < len(st.runs) && st.runs[i].first <= last {
		if st.runs[i].last > last {
			st.runs[i].first = last + 1
			break
		}
		st.remove(i)
	}
	return i
}

func (st *groupState) remove(i int) {
	st.runs[i].seg.refs--
	st.runs = slices.Delete(st.runs, i, i+1)
}

// truncate forgets entries from index on.
func (st *groupState) truncate(index uint64) {
	for n := len(st.runs); n > 0 && st.runs[n-1].last >= index; n-- {
		if r := &st.runs[n-1]; r.first < index {
			r.last, r.cut = index-1, true
			return
		}
		st.remove(n - 1)
	}
}

// notePart takes in a part of a state.
func (st *groupState) notePart(h *chunkHeader, seg *segment) {
	c := st.attempt(h)
	if c == nil {
		return
	}
	if old := c.parts[h.from]; old != nil {
		old.refs--
	} else {
		c.found++
		if c.found == 1 {
			st.mark = st.bytes
		}
		st.bytes += int64(h.size())
	}
	c.parts[h.from] = seg
	seg.refs++
	if c == &st.done || !c.complete() {
		return
	}
	st.done.release()
	st.done, *c = *c, checkpoint{}
	st.next = slices.DeleteFunc(st.next, func(o checkpoint) bool {
		stale := !o.newer(&st.done)
		if stale {
			o.release()
		}
		return stale
	})
	st.bytes -= st.mark
	st.mark = 0
	st.forget(st.done.index)
}

// attempt finds the checkpoint that a part is of, or begins it; nil when a newer one is complete.
func (st *groupState) attempt(h *chunkHeader) *checkpoint {
	if st.done.is(h) {
		return &st.done
	}
	for i := range st.next {
		if st.next[i].is(h) {
			return &st.next[i]
		}
	}
	fresh := checkpoint{index: h.index, term: h.term, attempt: h.count, parts: make([]*segment, h.to)}
	if st.done.complete() && !fresh.newer(&st.done) {
		return nil
	}
	st.next = append(st.next, fresh)
	return &st.next[len(st.next)-1]
}

// giveUp forgets checkpoints that will never be complete.
func (st *groupState) giveUp() {
	for i := range st.next {
		st.next[i].release()
	}
	st.next = nil
}

// forget lets go of entries up to and including index.
func (st *groupState) forget(index uint64) {
	for len(st.runs) > 0 && st.runs[0].first <= index {
		if st.runs[0].last > index {
			st.runs[0].first = index + 1
			return
		}
		st.remove(0)
	}
}

// holds tells whether anything that is needed lies in seg.
func (st *groupState) holds(seg *segment) bool {
	in := func(c checkpoint) bool { return slices.Contains(c.parts, seg) }
	return st.home == seg || in(st.done) || slices.ContainsFunc(st.next, in) ||
		slices.ContainsFunc(st.runs, func(r run) bool { return r.seg == seg })
}

// drop lets go of everything.
func (st *groupState) drop() {
	st.truncate(0)
	st.done.release()
	st.giveUp()
	if st.home != nil {
		st.home.refs--
		st.home = nil
	}
	for _, s := range st.pinned {
		s.refs--
	}
	st.pinned = nil
	st.bytes, st.mark = 0, 0
	st.dropped = true
}

// needed narrows a chunk that stands in seg at off to what is still needed of it, and
// tells whether there is anything.
func (st *groupState) needed(h *chunkHeader, seg *segment, off int64) bool {
	switch h.kind {
	case kindEntries:
		for i := range st.runs {
			r := &st.runs[i]
			if r.seg != seg || off < r.from || off > r.to || r.first > h.last() || r.last < h.first() {
				continue
			}
			first, last := max(r.first, h.first()), min(r.last, h.last())
			h.from, h.to = uint32(first-h.index), uint32(last+1-h.index)
			return true
		}
	case kindPart:
		holds := func(c checkpoint) bool { return c.is(h) && c.parts[h.from] == seg }
		return holds(st.done) || slices.ContainsFunc(st.next, holds)
	case kindHard:
		return st.home == seg && st.hard == HardState{h.index, h.term}
	}
	return false
}
