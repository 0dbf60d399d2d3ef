package wal

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Log is the write-ahead log of a server. Its work runs on the strand it was opened
// with; the methods may be called from any strand.
//
// What was acknowledged is recovered: of each group in order, once, and nothing that was
// not appended. What was appended and not acknowledged may be recovered too, as a prefix.
type Log struct {
	fs     storage.FS
	strand clock.Strand
	cfg    Config
	id     uint64
	pool   pool
	in     *clock.Mailbox[*chunk]

	segments []*segment // ascending; the last is the head
	bytes    int64      // of all segments
	bases    int64      // of it, what segments begin with
	file     storage.File
	durable  int64  // of the head: everything before is
	previous uint32 // checksum of the last batch
	number   uint64 // of the next batch
	undo     undo
	live     int64  // bytes that groups need, roughly
	credit   int64  // bytes of segments that may be carried forward; what groups log earns more
	oldest   uint64 // segment that is needed, as the log says
	unknown  bool   // damage may have hit groups of which nothing was found

	gathered []*chunk // for the next batches
	flying   []*chunk // written, not answered
	spare    []*chunk
	hurry    bool // gathered holds what asks for a flush
	state    logState
	header   [batchHeaderLen]byte
	closing  func(error)

	committedTask func(error)

	lazy      clock.Timer // armed while lazy chunks wait and nobody hurries
	lazyArmed bool
	interval  clock.Timer // armed while the head has unsynced bytes, in mode Interval
	syncArmed bool
	syncDue   bool
	lighter   bool        // the batch under way is written out, not synced
	retry     clock.Timer // after a full disk

	trim      trimming
	carrying  *carrier
	onDurable []func() // when everything written by now is durable

	failed     error
	fenceCause atomic.Pointer[error]
	full       atomic.Bool
	metrics    counters

	mu       sync.Mutex // guards the next three; held across no call out
	groups   map[ID]*groupState
	outboxes map[clock.Strand]*outbox
	closed   bool
}

// logState says what the log's strand waits for.
type logState uint8

const (
	idle    logState = iota
	writing          // a batch is on its way
	rolling          // the next segment is being made
	syncing          // mode Interval: the head is being synced
	waiting          // for space on the disk
	fenced
	shut
)

func newLog(fs storage.FS, s clock.Strand, c Config) *Log {
	l := &Log{
		fs: fs, strand: s, cfg: c, number: 1,
		credit: c.LogBytesMax, groups: map[ID]*groupState{}, outboxes: map[clock.Strand]*outbox{},
	}
	l.in = clock.NewMailbox(s, 0, nil, l.take)
	l.committedTask = l.committed
	l.lazy = s.NewTimer(l.lazyDue)
	l.interval = s.NewTimer(l.intervalDue)
	l.retry = s.NewTimer(l.retryDue)
	return l
}

// head is the segment that is written.
func (l *Log) head() *segment { return l.segments[len(l.segments)-1] }

func (l *Log) segmentName(number uint64) string {
	return path.Join(l.cfg.Dir, segmentFile(number))
}

// segmentFile is a segment's name in the directory.
func segmentFile(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

const (
	segmentSuffix = ".wal"
	damagedSuffix = segmentSuffix + ".damaged"
	newName       = "new"
	identityName  = "identity"
)

// Create makes a handle for a group that the log never had anything of: its strand is s from now
// on. It may be called from any strand.
func (l *Log) Create(id ID, s clock.Strand, seal Sealer, o Owner) (*Group, error) {
	g, _, err := l.attach(id, s, seal, o, true)
	return g, err
}

// Attach makes a handle for a group, and tells what recovery found of it: its strand is s from now
// on. An ID that the log does not know is a new group, unless damage may have taken all that the log
// had of it. It may be called from any strand.
func (l *Log) Attach(id ID, s clock.Strand, seal Sealer, o Owner) (*Group, *Found, error) {
	return l.attach(id, s, seal, o, false)
}

func (l *Log) attach(id ID, s clock.Strand, seal Sealer, o Owner, fresh bool) (*Group, *Found, error) {
	l.mu.Lock()
	st := l.groups[id]
	var err error
	switch {
	case l.closed:
		err = ErrClosed
	case st != nil && fresh:
		err = storage.ErrExist
	case st != nil && st.used && st.handle == nil && !st.loading:
		err = ErrDetached
	case st != nil && st.used:
		err = errAttached
	}
	if err != nil {
		l.mu.Unlock()
		return nil, nil, fmt.Errorf("log %q: attach %v: %w", l.cfg.Dir, id, err)
	}
	lost := st == nil && l.unknown && !fresh
	if st == nil {
		st = &groupState{id: id}
		l.groups[id] = st
	}
	st.used = true
	raw := st.found
	st.found = nil
	out := l.outboxes[s]
	if out == nil {
		out = newOutbox(l, s)
		l.outboxes[s] = out
	}
	g := &Group{log: l, id: id, strand: s, seal: seal, owner: o, state: st, out: out}
	st.handle, st.out = g, out
	l.mu.Unlock()

	f := &Found{}
	if raw != nil {
		f = raw.open(id, seal)
		g.checkpointed, g.attempt, g.hard = f.StateIndex, raw.attempt, f.Hard
		g.last, g.flushed = f.StateIndex, f.StateIndex
		if f.StateTerm > 0 {
			g.noteTerm(f.StateIndex, f.StateTerm)
		}
		for i := range f.Entries {
			g.noteTerm(f.Entries[i].Index, f.Entries[i].Term)
			g.last, g.flushed = f.Entries[i].Index, f.Entries[i].Index
		}
		g.damage = f.Damage
	}
	if lost {
		f.Damage = fmt.Errorf("log %q: %v: %w: nothing is found of it, and it may have been lost", l.cfg.Dir, id, ErrDamaged)
		g.damage = f.Damage
	}
	return g, f, nil
}

var errAttached = errors.New("it is attached")

// Unattached lists the groups that recovery found and nobody has attached or dropped, in order.
func (l *Log) Unattached() []ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []ID
	//lockstep:ordered sorted below
	for id, st := range l.groups {
		if !st.used {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, ID.compare)
	return ids
}

// DropUnattached removes what recovery found of a group that nobody has attached. done is called
// on s when that is as durable as the mode asks for.
func (l *Log) DropUnattached(id ID, s clock.Strand, done func(error)) {
	l.mu.Lock()
	st := l.groups[id]
	ok := st != nil && !st.used && !l.closed
	out := l.outboxes[s]
	if out == nil {
		out = newOutbox(l, s)
		l.outboxes[s] = out
	}
	if ok {
		st.used, st.found, st.out = true, nil, out
	}
	l.mu.Unlock()
	if !ok {
		s.Post(func() { done(fmt.Errorf("log %q: drop %v: it is attached, dropped or unknown", l.cfg.Dir, id)) })
		return
	}
	c := l.pool.get()
	c.kind, c.id, c.state, c.out, c.done = kindDrop, id, st, out, done
	c.finish(nil, nil)
	l.in.Put(c)
}

// take gathers what strands handed over.
func (l *Log) take(chunks []*chunk) {
	for _, c := range chunks {
		if l.state == fenced || l.state == shut {
			l.refuse(c)
			continue
		}
		if c.action == detach && len(l.gathered) == 0 && len(l.flying) == 0 {
			l.detached(c)
			continue
		}
		l.gather(c)
	}
	l.advance()
}

func (l *Log) gather(c *chunk) {
	l.gathered = append(l.gathered, c)
	l.hurry = l.hurry || c.class == Prompt
	l.metrics.pending.Add(int64(len(c.buf)))
}

// refuse answers a chunk that came too late.
func (l *Log) refuse(c *chunk) {
	c.err = l.failed
	if l.state == shut {
		c.err = fmt.Errorf("log %q: %w", l.cfg.Dir, ErrClosed)
	}
	if c.action == detach {
		l.detached(c)
		return
	}
	l.answer(c)
}

func (l *Log) detached(c *chunk) {
	l.mu.Lock()
	c.state.handle = nil
	l.mu.Unlock()
	c.err = nil
	l.answer(c)
}

// answer gives a chunk back.
func (l *Log) answer(c *chunk) {
	if c.out == nil {
		if c.done != nil {
			c.done(c.err)
		}
		l.pool.put(c)
		return
	}
	c.out.box.PutFrom(l.strand, c)
}

// advance starts whatever is due and can start.
func (l *Log) advance() {
	if l.state != idle {
		return
	}
	switch {
	case len(l.onDurable) > 0 || l.syncDue:
		l.syncHead(l.tellDurable)
	case l.hurry || l.closing != nil && len(l.gathered) > 0:
		l.writeNext()
	case l.closing != nil:
		l.witness()
	case len(l.gathered) > 0 && !l.lazyArmed:
		l.lazyArmed = true
		l.lazy.Reset(LazyDelay)
	}
}

func (l *Log) lazyDue() {
	l.lazyArmed = false
	if len(l.gathered) > 0 {
		l.hurry = true
	}
	l.advance()
}

// writeNext writes a batch, in a new segment when the head is long enough.
func (l *Log) writeNext() {
	if head := l.head(); head.size >= l.cfg.SegmentBytes && head.size > head.base {
		l.startRoll()
		return
	}
	if !l.fill() { // nothing of it is to be written
		l.answerFlying()
		l.advance()
		return
	}
	if err := l.writeBatch(0); err != nil {
		l.writeFailed(err)
		return
	}
	l.commit()
}

// fill moves what goes into the next batch from gathered to flying, and tells whether there is
// anything to write.
func (l *Log) fill() bool {
	size, n := 0, 0
	for n < len(l.gathered) && (size == 0 || size < l.cfg.BatchBytesMax) {
		c := l.gathered[n]
		n++
		if c.action < detach {
			size += len(c.buf)
		}
		l.flying = append(l.flying, c)
	}
	rest := copy(l.gathered, l.gathered[n:])
	clear(l.gathered[rest:])
	l.gathered = l.gathered[:rest]
	if cap(l.gathered) > keptChunks && rest == 0 {
		l.gathered = nil
	}
	l.hurry = rest > 0 && slices.ContainsFunc(l.gathered, func(c *chunk) bool { return c.class == Prompt })
	if rest == 0 && l.lazyArmed {
		l.lazyArmed = false
		l.lazy.Stop()
	}
	return size > 0
}

// creditFactor is how many bytes of old segments one byte of new entries may set in motion: once to
// ask, once to carry, and as much again for the states that checkpoints log.
const creditFactor = 4

// keptChunks bounds the capacity that a burst leaves behind.
const keptChunks = 4096

// writeBatch puts what is flying behind the end of the head.
func (l *Log) writeBatch(flags uint32) error {
	seg := l.head()
	l.undo = undo{seg.size, l.previous, l.number}
	h := batchHeader{
		previous: l.previous, segment: seg.number, offset: seg.size, durable: l.durable,
		number: l.number, flags: flags,
	}
	at := seg.size + batchHeaderLen
	for _, c := range l.flying {
		if c.action == carry && !l.judge(c) {
			c.action = skip
		}
		if c.action >= detach {
			continue
		}
		l.settle(c, seg, at)
		h.chunkSum = crc32.Update(h.chunkSum, castagnoli, c.buf[:chunkHeaderLen])
		h.chunks++
		at += int64(len(c.buf))
	}
	h.body = uint32(at - seg.size - batchHeaderLen)
	h.put(l.header[:], l.id)
	if _, err := l.file.Append(l.header[:]); err != nil {
		return err
	}
	for _, c := range l.flying {
		if c.action >= detach {
			continue
		}
		if _, err := l.file.Append(c.buf); err != nil {
			return err
		}
	}
	l.bytes += at - seg.size
	seg.size = at
	l.previous = h.sum
	l.number++
	l.metrics.batches.Add(1)
	return nil
}

// settle gives a chunk its place, numbers it and takes it into the group's state.
func (l *Log) settle(c *chunk, seg *segment, at int64) {
	if c.state != nil {
		if c.nth == 0 { // a second try keeps its number
			c.state.nth++
			c.nth = c.state.nth
		}
		before := c.state.bytes
		c.state.note(&c.chunkHeader, seg, at)
		l.live += c.state.bytes - before
		if c.kind == kindDrop {
			l.forget(c.state)
		}
	}
	c.put(c.buf, l.id, l.number)
}

// forget takes a dropped group out of the table.
func (l *Log) forget(st *groupState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.handle = nil
	if l.groups[st.id] == st {
		delete(l.groups, st.id)
	}
}

// commit makes the batch as durable as the mode asks for.
func (l *Log) commit() {
	l.state = writing
	l.lighter = l.cfg.Mode == Interval && l.closing == nil
	if l.lighter {
		l.file.WriteOut(l.strand, l.committedTask)
		return
	}
	l.file.Sync(l.strand, l.committedTask)
}

// committed acknowledges a batch.
func (l *Log) committed(err error) {
	if l.state != writing {
		return
	}
	if err != nil {
		l.writeFailed(err)
		return
	}
	l.state = idle
	if l.lighter {
		l.armInterval()
	} else {
		l.durable = l.head().size
		l.metrics.syncs.Add(1)
	}
	l.answerFlying()
	l.advance()
	l.reclaim()
}

// answerFlying gives back what the batch held. Answers may gather more, and start the next batch.
func (l *Log) answerFlying() {
	flying := l.flying
	l.flying = l.spare[:0]
	l.spare = nil
	for i, c := range flying {
		flying[i] = nil
		l.metrics.pending.Add(-int64(len(c.buf)))
		switch c.action {
		case detach:
			l.detached(c)
			continue
		case write:
			if c.kind == kindEntries {
				l.metrics.entries.Add(uint64(c.count))
				l.credit += creditFactor * int64(len(c.buf))
			}
			l.metrics.bytes.Add(uint64(len(c.buf)))
		case carry:
			l.metrics.carried.Add(uint64(len(c.buf)))
		}
		l.answer(c)
	}
	if cap(flying) <= keptChunks {
		l.spare = flying[:0]
	}
}

// armInterval sees to it that what was written is synced before long.
func (l *Log) armInterval() {
	if !l.syncArmed && l.durable < l.head().size {
		l.syncArmed = true
		l.interval.Reset(l.cfg.SyncInterval)
	}
}

func (l *Log) intervalDue() {
	l.syncArmed = false
	switch l.state {
	case fenced, shut:
	case idle:
		l.syncHead(l.advance)
	default:
		l.syncDue = true // as soon as what is under way has ended
	}
}

// syncHead makes everything written durable, then calls next.
func (l *Log) syncHead(next func()) {
	l.state, l.syncDue = syncing, false
	size := l.head().size
	l.file.Sync(l.strand, func(err error) {
		if l.state != syncing {
			return
		}
		if err != nil {
			l.fence(err)
			return
		}
		l.state = idle
		l.durable = size
		l.metrics.syncs.Add(1)
		next()
	})
}

// whenDurable calls fn when everything written by now is durable.
func (l *Log) whenDurable(fn func()) {
	if l.durable == l.head().size {
		fn()
		return
	}
	l.onDurable = append(l.onDurable, fn)
	l.advance()
}

func (l *Log) tellDurable() {
	fns := l.onDurable
	l.onDurable = nil
	for _, fn := range fns {
		fn()
	}
	l.advance()
}

// fence refuses everything from now on, and tells everybody.
func (l *Log) fence(err error) {
	if l.state == fenced || l.state == shut {
		return
	}
	l.state = fenced
	l.failed = fmt.Errorf("log %q: %w: %w", l.cfg.Dir, ErrFenced, err)
	l.fenceCause.Store(&l.failed)
	l.full.Store(false)
	lost := append(l.flying, l.gathered...)
	l.flying, l.gathered = nil, nil
	l.metrics.pending.Store(0)
	for _, c := range lost {
		l.refuse(c)
	}
	for _, st := range l.sortedGroups() {
		l.notify(st, l.failed)
	}
	if l.closing != nil {
		l.shut(l.failed)
	}
}

func (l *Log) fencedBy() error {
	if p := l.fenceCause.Load(); p != nil {
		return *p
	}
	return fmt.Errorf("log %q: %w", l.cfg.Dir, ErrFenced)
}

// notify tells a group something that answers nothing it asked.
func (l *Log) notify(st *groupState, err error) {
	l.mu.Lock()
	g := st.handle
	l.mu.Unlock()
	if g == nil {
		return
	}
	c := l.pool.get()
	c.group, c.state, c.out, c.err = g, st, g.out, err
	l.answer(c)
}

// sortedGroups lists the groups in order.
func (l *Log) sortedGroups() []*groupState {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*groupState, 0, len(l.groups))
	//lockstep:ordered sorted below
	for _, st := range l.groups {
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b *groupState) int { return a.id.compare(b.id) })
	return all
}

// Close writes what was handed over, leaves a witness of it and lets go of the files. done is
// called on the log's strand.
func (l *Log) Close(done func(error)) {
	l.strand.Post(func() {
		if l.state == shut || l.closing != nil {
			done(fmt.Errorf("log %q: %w", l.cfg.Dir, ErrClosed))
			return
		}
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.closing = done
		if l.carrying != nil {
			l.carrying.stop()
		}
		if l.state == fenced {
			l.shut(l.failed)
			return
		}
		l.advance()
	})
}

// witness writes an empty batch that tells the next recovery that everything before it was
// durable, and that nothing followed.
func (l *Log) witness() {
	if l.durable < l.head().size {
		l.syncHead(l.advance)
		return
	}
	if err := l.writeBatch(flagClosed); err != nil {
		l.fence(err)
		return
	}
	l.state = syncing
	l.file.Sync(l.strand, func(err error) {
		if l.state != syncing {
			return
		}
		if err != nil {
			l.fence(err)
			return
		}
		l.shut(nil)
	})
}

func (l *Log) shut(err error) {
	done := l.closing
	l.closing = nil
	if err == nil {
		for _, c := range l.gathered {
			c.err = fmt.Errorf("log %q: %w", l.cfg.Dir, ErrClosed)
			l.answer(c)
		}
		l.gathered = nil
	}
	l.state = shut
	l.lazy.Stop()
	l.interval.Stop()
	l.retry.Stop()
	l.file.Close()
	done(err)
}

// counters are shared with whoever asks for metrics.
type counters struct {
	entries, bytes, batches, syncs atomic.Uint64
	pending, size                  atomic.Int64
	segments                       atomic.Int64
	carried, rolls, trims, damaged atomic.Uint64
}

// Metrics of a log since it was opened.
type Metrics struct {
	Entries  uint64 // acknowledged
	Bytes    uint64 // acknowledged, of everything logged
	Batches  uint64 // written
	Syncs    uint64
	Pending  int64 // bytes that wait for their batch to be acknowledged
	Segments int64
	Size     int64  // of all segments, in bytes
	Carried  uint64 // bytes carried forward
	Rolls    uint64 // segments begun
	Trims    uint64 // segments removed
	Damaged  uint64 // times that damage was met since
	Full     bool   // waits for space on the disk
}

// Metrics tells what has happened so far.
func (l *Log) Metrics() Metrics {
	c := &l.metrics
	return Metrics{
		Entries: c.entries.Load(), Bytes: c.bytes.Load(), Batches: c.batches.Load(), Syncs: c.syncs.Load(),
		Pending: c.pending.Load(), Segments: c.segments.Load(), Size: c.size.Load(),
		Carried: c.carried.Load(), Rolls: c.rolls.Load(), Trims: c.trims.Load(), Damaged: c.damaged.Load(), Full: l.full.Load(),
	}
}

// byNumber finds a segment.
func (l *Log) byNumber(number uint64) *segment {
	i, ok := slices.BinarySearchFunc(l.segments, number, func(s *segment, n uint64) int { return cmp.Compare(s.number, n) })
	if !ok {
		return nil
	}
	return l.segments[i]
}
