package wal

import (
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/storage"
)

const (
	// readersMax bounds the segments that are read at one time on behalf of groups.
	readersMax = 4
	// readUnitMin is how much such a reader reads at one time, in bytes; walkRead at most.
	readUnitMin = 64 << 10
)

// LostError tells that an entry was durable once and cannot be read.
type LostError struct {
	ID    ID
	Index uint64
	Err   error // a *storage.DamageError that wraps ErrDamaged, or why the disk does not read
}

func (e *LostError) Error() string { return fmt.Sprintf("%v: entry %d: %v", e.ID, e.Index, e.Err) }
func (e *LostError) Unwrap() error { return e.Err }

// retrieval is entries that a group reads back. The group's strand owns what is above the line, but for
// what is fixed once it is handed over.
type retrieval struct {
	group    *Group
	lo, hi   uint64 // fixed
	bytesMax int    // fixed
	cut      uint64 // entries from it on were truncated meanwhile
	done     func([]Entry, error)
	answer   *chunk // brings it to the log and back; whoever has it owns the rest

	l      *Log
	runs   []run // where the entries lie, in order; their segments stay meanwhile
	at     int   // of runs
	next   uint64
	bytes  int // found so far, of payloads, roughly when they are encrypted
	chunks []kept
	walker *walker
	met    error // damage that was met last
}

// Read gives the entries from lo to below hi, in order and without a gap, until their payloads
// exceed bytesMax: one at least. They were appended, submitted or not; what was checkpointed is there as far
// as [Group.Keep] keeps it. It does not wait for the disk's flush unless the entries do.
//
// done is called on the group's strand, for several reads in any order. Entries before a damaged one come without an error; when
// the first is damaged, the error is a *[LostError]. Other errors: ErrGone, ErrFenced, ErrClosed.
func (g *Group) Read(lo, hi uint64, bytesMax int, done func(entries []Entry, err error)) {
	var err error
	switch {
	case g.fenced:
		err = g.log.fencedBy()
	case g.closed:
		err = fmt.Errorf("%v: %w", g.id, ErrClosed)
	case lo == 0 || lo >= hi || hi > g.last+1:
		err = fmt.Errorf("%v: read entries %d to below %d: the last one is %d", g.id, lo, hi, g.last)
	}
	if err != nil {
		g.strand.Post(func() { done(nil, err) })
		return
	}
	g.Submit()
	r := &retrieval{group: g, lo: lo, hi: hi, bytesMax: max(0, bytesMax), cut: hi, done: done, l: g.log, next: lo}
	g.readings = append(g.readings, r)
	c := g.chunk(0, Lazy)
	c.action, c.group, c.reading, c.done = readBack, nil, r, r.answered
	r.answer = c
	g.hand(c)
}

// cutReadings sees to it that nobody is given entries that are truncated.
func (g *Group) cutReadings(from uint64) {
	for _, r := range g.readings {
		r.cut = min(r.cut, from)
	}
}

// answered takes what was read back to whoever asked.
func (r *retrieval) answered(err error) {
	g := r.group
	g.readings = slices.DeleteFunc(g.readings, func(o *retrieval) bool { return o == r })
	switch {
	case g.closed:
		err = fmt.Errorf("%v: %w", g.id, ErrClosed)
	case r.cut <= r.lo:
		err = r.gone(r.lo)
	}
	if err != nil {
		r.done(nil, err)
		return
	}
	r.done(r.open())
}

func (r *retrieval) gone(index uint64) error {
	return fmt.Errorf("%v: read entry %d: %w", r.group.id, index, ErrGone)
}

// open decrypts and cuts what was read.
func (r *retrieval) open() ([]Entry, error) {
	count := 0
	for i := range r.chunks {
		count += int(r.chunks[i].to - r.chunks[i].from)
	}
	entries := make([]Entry, 0, count)
	next, size, over := r.lo, 0, false
	for i := range r.chunks {
		k := &r.chunks[i]
		records, err := k.plain(r.group.seal)
		if err == nil {
			err = k.eachEntry(records, func(e Entry) {
				if over || e.Index != next || next >= r.cut {
					return
				}
				size += len(e.Payload)
				if over = len(entries) > 0 && size > r.bytesMax; !over {
					entries = append(entries, e)
					next++
				}
			})
		}
		if err != nil && len(entries) == 0 {
			return nil, &LostError{r.group.id, next, err}
		}
		if err != nil {
			break
		}
	}
	if len(entries) == 0 {
		return nil, &LostError{r.group.id, next, ErrDamaged}
	}
	return entries, nil
}

// readers are the readings that are under way, and those that wait for them.
type readers struct {
	active  []*retrieval
	waiting []*retrieval
}

// underWay tells whether entries that are asked for, or what changes them, are not written yet.
func (l *Log) underWay(r *retrieval) bool {
	concerns := func(c *chunk) bool {
		return c.state == r.group.state && c.action == write &&
			((c.kind == kindEntries || c.kind == kindTruncate) && c.index < r.hi || c.kind == kindReset)
	}
	return slices.ContainsFunc(l.flying, concerns) || slices.ContainsFunc(l.gathered, concerns)
}

// startRead finds out where the entries lie.
func (l *Log) startRead(c *chunk) {
	r := c.reading
	if l.closing != nil {
		c.err = l.errClosed()
		l.answer(c)
		return
	}
	st := c.state
	next := r.lo
	for _, runs := range [...][]run{st.kept.runs, st.runs} {
		for _, run := range runs {
			if run.first <= next && next <= run.last && next < r.hi && !run.lost {
				run.seg.refs++
				r.runs = append(r.runs, run)
				next = run.last + 1
			}
		}
	}
	if len(r.runs) == 0 {
		c.err = l.whyNoRead(st, r)
		l.answer(c)
		return
	}
	if len(l.readers.active) == readersMax {
		l.readers.waiting = append(l.readers.waiting, r)
		return
	}
	l.readers.active = append(l.readers.active, r)
	r.walk()
}

// whyNoRead tells why the first entry is nowhere.
func (l *Log) whyNoRead(st *groupState, r *retrieval) error {
	for _, run := range st.runs {
		if run.lost && run.first <= r.lo && r.lo <= run.last {
			return &LostError{st.id, r.lo, &storage.DamageError{
				File: l.segmentName(run.seg.number), Offset: run.from, Err: fmt.Errorf("%w: %w", ErrDamaged, errRecorded),
			}}
		}
	}
	return r.gone(r.lo)
}

// walk reads the entries of the next run.
func (r *retrieval) walk() {
	if r.l.closing != nil {
		r.end(r.l.errClosed())
		return
	}
	run := &r.runs[r.at]
	w := &walker{
		l: r.l, seg: run.seg, from: run.batchOf(r.next), unit: int64(max(readUnitMin, min(r.bytesMax, walkRead))),
		chunk: r.take,
	}
	w.ready = func() bool {
		if w.pos > run.to || r.next > run.last || r.full() {
			w.stop()
			r.walked(nil)
			return false
		}
		return true
	}
	w.bad = func(at int64, err error) {
		r.l.damaged(run.seg, at, err)
		r.met = &storage.DamageError{File: r.l.segmentName(run.seg.number), Offset: at, Err: fmt.Errorf("%w: %w", ErrDamaged, err)}
	}
	w.end = r.walked
	r.walker = w
	w.start()
}

func (r *retrieval) full() bool { return r.next >= r.hi || r.bytes > r.bytesMax }

// take keeps a chunk if it has the next entry.
func (r *retrieval) take(h *chunkHeader, at int64, records []byte) {
	run := &r.runs[r.at]
	if h.id != r.group.id || h.kind != kindEntries || at < run.from || at > run.to || h.first() > r.next || h.last() < r.next || r.full() {
		return
	}
	k := kept{chunkHeader: *h, seg: run.seg, off: at, records: slices.Clone(records)}
	last := min(h.last(), run.last, r.hi-1)
	k.from, k.to = uint32(r.next-h.index), uint32(last+1-h.index) // others of it may not count
	r.bytes += k.payloads()
	r.chunks = append(r.chunks, k)
	r.next = last + 1
}

// payloads is the length of the payloads of the entries that count, in bytes; when they are encrypted, roughly.
func (k *kept) payloads() (size int) {
	if k.flags&flagSealed != 0 {
		return int(uint64(k.length) * uint64(k.to-k.from) / uint64(k.count))
	}
	_ = k.eachEntry(k.records, func(e Entry) { size += len(e.Payload) })
	return size
}

// walked goes on with the next run, or ends.
func (r *retrieval) walked(err error) {
	run := &r.runs[r.at]
	switch {
	case err != nil && r.next <= run.last:
		r.met = err
		r.l.damaged(run.seg, r.walker.pos, err)
	case r.next > run.last && !r.full() && r.at+1 < len(r.runs):
		r.at++
		r.walk()
		return
	}
	if len(r.chunks) > 0 {
		r.end(nil)
		return
	}
	if r.met == nil {
		r.met = &storage.DamageError{File: r.l.segmentName(run.seg.number), Offset: run.from, Err: fmt.Errorf("%w: %w", ErrDamaged, errGap)}
	}
	r.end(&LostError{r.group.id, r.next, r.met})
}

// end answers, and starts the next.
func (r *retrieval) end(err error) {
	l := r.l
	r.release(err)
	l.readers.active = slices.DeleteFunc(l.readers.active, func(o *retrieval) bool { return o == r })
	if w := l.readers.waiting; len(w) > 0 {
		next := w[0]
		l.readers.waiting = w[1:]
		l.readers.active = append(l.readers.active, next)
		next.walk()
	}
	l.reclaim()
}

// release gives the segments back, and the answer.
func (r *retrieval) release(err error) {
	for i := range r.runs {
		r.runs[i].seg.refs--
	}
	r.runs = nil
	r.answer.err = err
	r.l.answer(r.answer)
}

func (l *Log) errClosed() error { return fmt.Errorf("log %q: %w", l.cfg.Dir, ErrClosed) }

// abortReads ends what is under way when the log ends.
func (l *Log) abortReads() {
	rs := l.readers
	l.readers = readers{}
	for _, r := range rs.active {
		if r.walker != nil {
			r.walker.stop()
		}
	}
	for _, r := range append(rs.active, rs.waiting...) {
		r.release(l.errClosed())
	}
}
