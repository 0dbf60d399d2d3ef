package wal

import "slices"

// segment is one file of the log.
type segment struct {
	number uint64
	size   int64 // up to the end of what counts, in bytes
	base   int64 // size when it was made
	refs   int   // pieces of groups that are needed and lie here
	asked  bool  // groups were asked to checkpoint because of it
	stuck  bool  // what is left cannot be carried forward
	spoilt bool  // damaged: the file is kept under another name when nobody needs it
	sum    uint32
}

// run is entries of one group in one segment, all of them and no others of these indexes at
// these places.
type run struct {
	first, last uint64 // indexes
	seg         *segment
	from, to    int64 // places of the first and the last chunk
	cut         bool  // it once went further, so it cannot grow
	bytes       int64 // of the chunks, roughly those of the entries that are left
}

// narrow changes the bounds to some within them.
func (r *run) narrow(first, last uint64) (freed int64) {
	freed = r.bytes - int64(float64(r.bytes)*float64(last-first+1)/float64(r.last-r.first+1))
	r.first, r.last = first, last
	r.bytes -= freed
	return freed
}

// checkpoint is where a logged state lies.
type checkpoint struct {
	index, term uint64
	attempt     uint32
	parts       []*segment // nil where a part is missing
	found       int        // parts that are not
	bytes       int64
}

func (c *checkpoint) complete() bool { return len(c.parts) > 0 && c.found == len(c.parts) }

// newer tells which of two attempts counts.
func (c *checkpoint) newer(o *checkpoint) bool {
	return c.index > o.index || c.index == o.index && c.attempt > o.attempt
}

func (c *checkpoint) is(h *chunkHeader) bool {
	return len(c.parts) > 0 && c.index == h.index && c.attempt == h.count && len(c.parts) == int(h.to)
}

// release gives the segments back, and tells how many bytes are not needed any more.
func (c *checkpoint) release() (freed int64) {
	for _, s := range c.parts {
		if s != nil {
			s.refs--
		}
	}
	freed = c.bytes
	*c = checkpoint{}
	return freed
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

	handle  *Group // attached; guarded by the log's mutex
	dropped bool
	damage  error

	found      *found // until attached; guarded by the log's mutex once it is open
	used       bool   // was attached; guarded likewise
	loading    bool   // is being found anew; guarded likewise
	attemptMax uint32 // of its checkpoints
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
			st.bytes += int64(h.size())
			st.assign(run{first: first, last: h.last(), seg: seg, from: off, to: off, bytes: int64(h.size())})
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
func (st *groupState) assign(n run) {
	i, _ := slices.BinarySearchFunc(st.runs, n.first, func(r run, first uint64) int {
		if r.last < first {
			return -1
		}
		return 1
	})
	if i < len(st.runs) && st.runs[i].first <= n.last {
		i = st.clear(i, n.first, n.last)
	}
	if i > 0 {
		if p := &st.runs[i-1]; p.last+1 == n.first && p.seg == n.seg && !p.cut && p.to < n.from {
			p.last, p.to = n.last, n.to
			p.bytes += n.bytes
			return
		}
	}
	n.seg.refs++
	st.runs = slices.Insert(st.runs, i, n)
}

// clear makes room for first to last, where runs[i] is the first that it concerns. It
// returns the place for them.
func (st *groupState) clear(i int, first, last uint64) int {
	if r := st.runs[i]; r.first < first {
		if r.last > last { // both ends stay
			right := r
			right.narrow(last+1, r.last)
			right.seg.refs++
			st.bytes += right.bytes
			st.runs = slices.Insert(st.runs, i+1, right)
		}
		st.bytes -= st.runs[i].narrow(r.first, first-1)
		st.runs[i].cut = true
		i++
	}
	for i < len(st.runs) && st.runs[i].first <= last {
		if r := &st.runs[i]; r.last > last {
			st.bytes -= r.narrow(last+1, r.last)
			break
		}
		st.remove(i)
	}
	return i
}

func (st *groupState) remove(i int) {
	st.bytes -= st.runs[i].bytes
	st.runs[i].seg.refs--
	st.runs = slices.Delete(st.runs, i, i+1)
}

// truncate forgets entries from index on.
func (st *groupState) truncate(index uint64) {
	for n := len(st.runs); n > 0 && st.runs[n-1].last >= index; n-- {
		if r := &st.runs[n-1]; r.first < index {
			st.bytes -= r.narrow(r.first, index-1)
			r.cut = true
			return
		}
		st.remove(n - 1)
	}
}

// notePart takes in a part of a state.
func (st *groupState) notePart(h *chunkHeader, seg *segment) {
	st.attemptMax = max(st.attemptMax, h.count)
	c := st.attempt(h)
	if c == nil {
		return
	}
	if old := c.parts[h.from]; old != nil {
		old.refs--
	} else {
		c.found++
		c.bytes += int64(h.size())
		st.bytes += int64(h.size())
	}
	c.parts[h.from] = seg
	seg.refs++
	if c == &st.done || !c.complete() {
		return
	}
	st.bytes -= st.done.release()
	st.done, *c = *c, checkpoint{}
	st.next = slices.DeleteFunc(st.next, func(o checkpoint) bool {
		stale := !o.newer(&st.done)
		if stale {
			st.bytes -= o.release()
		}
		return stale
	})
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
		st.bytes -= st.next[i].release()
	}
	st.next = nil
}

// forget lets go of entries up to and including index.
func (st *groupState) forget(index uint64) {
	for len(st.runs) > 0 && st.runs[0].first <= index {
		if r := &st.runs[0]; r.last > index {
			st.bytes -= r.narrow(index+1, r.last)
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
	st.bytes -= st.done.release()
	st.giveUp()
	if st.home != nil {
		st.home.refs--
		st.home = nil
	}
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
