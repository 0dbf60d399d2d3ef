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
	unkept bool  // nothing that is not needed stays in it
	spoilt bool  // damaged: the file is kept under another name when nobody needs it
	sum    uint32
}

// run is entries of one group in one segment, all of them and no others of these indexes at
// these places.
type run struct {
	first, last uint64 // indexes
	seg         *segment
	from, to    int64  // places of the first and the last chunk
	cut         bool   // it once went further, so it cannot grow
	bytes       int64  // of the chunks, roughly those of the entries that are left
	lost        bool   // they cannot be read; the place is that of the damaged chunk, or of one that tells of it
	term        uint64 // of lost ones
	epoch       uint64 // how many resets had begun
	marks       []mark // ascending, so that a reader need not begin at the first chunk
}

// mark says that entries from index on lie in the batch at the offset and behind.
type mark struct {
	index uint64
	batch int64
}

// markBytes is how far marks are apart at least.
const markBytes = 256 << 10

// batchOf is the offset of a batch from which on an entry is found.
func (r *run) batchOf(index uint64) int64 {
	i, _ := slices.BinarySearchFunc(r.marks, index, func(m mark, index uint64) int {
		if m.index <= index {
			return -1
		}
		return 1
	})
	return r.marks[max(i, 1)-1].batch
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
	reset       bool   // it replaces everything
	epoch       uint64 // of what comes behind it
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
	id  ID
	nth uint64 // chunks so far
	// others is one more than the chunks so far that had no entries; 0 when that is not known.
	others uint64
	runs   []run // ascending, apart
	done   checkpoint
	next   []checkpoint // not complete; one at most but during recovery
	hard   HardState
	home   *segment // of hard; nil when it was never set

	bytes int64 // that it needs, roughly
	kept  keeping

	handle  *Group // attached; guarded by the log's mutex
	dropped bool
	replica bool   // what is lost can be had from others; guarded by the log's mutex
	epoch   uint64 // how many resets have begun
	damage  error
	// unbounded: of the damage more is lost than entries of which the indexes are known.
	unbounded bool
	// concerns counts what has set damage, hardConcerns what had done so before the last hard state.
	concerns, hardConcerns int

	found      *found // until attached; guarded by the log's mutex once it is open
	used       bool   // was attached; guarded likewise
	loading    bool   // is being found anew; guarded likewise
	attemptMax uint32 // of its checkpoints
}

func newState(id ID) *groupState { return &groupState{id: id, kept: keeping{from: keepNothing}} }

// last is the index of the last entry.
func (st *groupState) last() uint64 {
	if n := len(st.runs); n > 0 {
		return max(st.runs[n-1].last, st.done.index)
	}
	return st.done.index
}

// note takes in a chunk that stands in seg at off, in the batch that begins at batch.
func (st *groupState) note(h *chunkHeader, seg *segment, batch, off int64) {
	switch h.kind {
	case kindEntries:
		if first := max(h.first(), st.done.index+1); h.from < h.to && first <= h.last() {
			st.bytes += int64(h.size())
			st.assign(run{first: first, last: h.last(), seg: seg, from: off, to: off, bytes: int64(h.size())}, batch)
		}
	case kindLost:
		if first := max(h.first(), st.done.index+1); first <= h.last() {
			st.assign(run{first: first, last: h.last(), seg: seg, from: off, to: off, lost: true, term: h.term}, batch)
		}
	case kindPart, kindReset:
		st.notePart(h, seg)
	case kindHard:
		if st.home != nil {
			st.home.refs--
		}
		st.hard, st.home, st.hardConcerns = h.hard(), seg, st.concerns
		seg.refs++
	case kindTruncate:
		st.truncate(h.index)
	case kindDrop:
		st.drop()
	}
}

// assign says where entries lie from now on: in chunks of the batch that begins at batch.
func (st *groupState) assign(n run, batch int64) {
	i, _ := slices.BinarySearchFunc(st.runs, n.first, func(r run, first uint64) int {
		if r.last < first {
			return -1
		}
		return 1
	})
	n.epoch = st.epoch
	if i < len(st.runs) && st.runs[i].first <= n.last {
		i = st.clear(i, n.first, n.last)
	}
	if i > 0 {
		if p := &st.runs[i-1]; p.last+1 == n.first && p.seg == n.seg && !p.cut && p.to < n.from &&
			p.lost == n.lost && p.term == n.term && p.epoch == n.epoch {
			p.last, p.to = n.last, n.to
			p.bytes += n.bytes
			if p.marks[len(p.marks)-1].batch+markBytes <= batch {
				p.marks = append(p.marks, mark{n.first, batch})
			}
			return
		}
	}
	n.seg.refs++
	n.marks = []mark{{n.first, batch}}
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
	if h.kind == kindReset { // nothing from before it stays, nor what is written before it once more, after a full disk
		st.epoch++
		c.reset, c.epoch = true, st.epoch
	}
	switch {
	case c == &st.done && h.kind == kindReset:
		st.replaced()
		return
	case c == &st.done || !c.complete():
		return
	}
	st.bytes -= st.done.release()
	st.done, *c = *c, checkpoint{}
	if st.done.reset {
		st.replaced()
		return
	}
	st.next = slices.DeleteFunc(st.next, func(o checkpoint) bool {
		stale := !o.newer(&st.done)
		if stale {
			st.bytes -= o.release()
		}
		return stale
	})
	st.forget(st.done.index)
}

// replaced ends a reset: nothing from before it counts.
func (st *groupState) replaced() {
	st.giveUp()
	for i := len(st.runs) - 1; i >= 0; i-- {
		if st.runs[i].epoch < st.done.epoch {
			st.remove(i)
		}
	}
	st.kept.remove(len(st.kept.runs))
	if st.concerns == st.hardConcerns {
		st.damage, st.unbounded = nil, false
	}
}

// resetting tells whether a state that replaces everything is being logged.
func (st *groupState) resetting() bool {
	return slices.ContainsFunc(st.next, func(c checkpoint) bool { return c.reset })
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
	if h.kind != kindReset && st.done.complete() && !fresh.newer(&st.done) {
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
		st.retire(st.runs[0], index)
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
	st.keepFrom(keepNothing)
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
	// Behind the first part of a reset nothing from before it may stand.
	if h.kind != kindHard && st.resetting() && !slices.ContainsFunc(st.next, func(c checkpoint) bool { return c.reset && c.is(h) }) {
		return false
	}
	switch h.kind {
	case kindEntries, kindLost:
		for i := range st.runs {
			r := &st.runs[i]
			if r.seg != seg || off < r.from || off > r.to || r.first > h.last() || r.last < h.first() {
				continue
			}
			first, last := max(r.first, h.first()), min(r.last, h.last())
			h.from, h.to = uint32(first-h.index), uint32(last+1-h.index)
			return true
		}
	case kindPart, kindReset:
		holds := func(c checkpoint) bool { return c.is(h) && c.parts[h.from] == seg }
		return holds(st.done) || slices.ContainsFunc(st.next, holds)
	case kindHard:
		return st.home == seg && st.hard == h.hard()
	}
	return false
}
