package msgs

import (
	"errors"
	"sort"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage/subjects"
)

// ErrSubject refuses a message whose subject is empty, has an empty token, or is
// longer than 65535 bytes.
var ErrSubject = errors.New("invalid subject")

// store is a [Store]: the index, and content in blocks. With a disk its blocks are files as well.
type store struct {
	strand     clock.Strand
	limits     Limits
	blockBytes int
	onRemove   func(seq uint64, subject string, size int, why Why, lastOfSubject bool)
	onClear    func(first, last, msgs uint64)

	seed  uint64 // of subs
	subs  *subjects.Map
	epoch uint64 // counts how often all ids lost their meaning
	info  infoTable
	births
	farNext, farPrev links

	blocks   []*block // ascending; the last one is the tail, all others have living messages
	messages uint64
	bytes    uint64
	first    uint64 // of the first message; last+1 if there is none
	last     uint64
	lastTime int64

	expiry  expiry
	memos   memos
	hint    int     // in blocks: where the last message was found
	change  uint64  // counts changes
	idle    int     // subjects without a message
	retired retired // those, and some that have one again
	names   *[namesKept]named
	tuning  tuning
	over    []uint64 // reused
	text    []byte   // reused
	ids     []uint32 // reused

	disk   *disk // nil: in memory
	closed bool
}

// NewMemory makes an empty store in memory. Of the options it heeds limits and the size of
// blocks.
func NewMemory(s clock.Strand, o Options) Store {
	return newStore(s, o, false)
}

func newStore(s clock.Strand, o Options, file bool) *store {
	st := &store{
		strand: s, limits: o.Limits, blockBytes: o.blockBytes(file),
		seed: o.Seed, subs: subjects.Seeded(o.Seed), first: 1,
	}
	st.blocks = []*block{newBlock(1)}
	st.tune(defaultTuning)
	return st
}

func (s *store) tune(t tuning) {
	s.tuning = t
	s.births.kept, s.memos.max = t.births, t.pages
}

func (s *store) tail() *block { return s.blocks[len(s.blocks)-1] }

// State is what a stream reports.
func (s *store) State() State {
	st := State{
		Msgs: s.messages, Bytes: s.bytes, First: s.first, Last: s.last, LastTime: s.lastTime,
		Subjects: s.subjects(), Deleted: s.last + 1 - s.first - s.messages,
	}
	if s.messages > 0 {
		st.FirstTime, _ = s.TimeOf(s.first)
	}
	if s.disk != nil {
		st.LostMsgs, st.LostBytes = s.disk.lost.report()
	}
	return st
}

func (s *store) OnRemove(fn func(seq uint64, subject string, size int, why Why, lastOfSubject bool)) {
	s.onRemove = fn
}

func (s *store) OnClear(fn func(first, last, msgs uint64)) { s.onClear = fn }

// Subject is O(1).
func (s *store) Subject(subject []byte) SubjectState {
	id, ok := s.subs.Find(subject)
	if !ok {
		return SubjectState{}
	}
	return s.info.of(id).state()
}

// blockAt is the place of the first block whose last sequence is at or above seq; len(blocks)
// if none.
func (s *store) blockAt(seq uint64) int {
	n := len(s.blocks)
	if t := s.blocks[n-1]; seq >= t.first {
		if seq > t.last {
			return n
		}
		return n - 1
	}
	if h := s.hint; h < n && s.blocks[h].first <= seq && seq <= s.blocks[h].last {
		return h
	}
	i := sort.Search(n-1, func(i int) bool { return s.blocks[i].last >= seq })
	s.hint = i
	return i
}

// locate finds a living message.
func (s *store) locate(seq uint64) (b *block, slot int, ok bool) {
	if seq < s.first || seq > s.last {
		return nil, 0, false
	}
	n := s.blockAt(seq)
	if n == len(s.blocks) {
		return nil, 0, false
	}
	b = s.blocks[n]
	slot, ok = b.find(seq)
	return b, slot, ok
}

// slotOf is the slot of a message that lives, to be changed.
func (s *store) slotOf(seq uint64) *slot {
	b := s.blocks[s.blockAt(seq)]
	return b.edit(b.at(seq))
}

// nextLive is the first living message at or above seq; last+1 if none.
func (s *store) nextLive(seq uint64) uint64 {
	for n := s.blockAt(seq); n < len(s.blocks); n++ {
		b := s.blocks[n]
		if i := b.nextLive(b.at(seq)); i < b.n {
			return b.seq(i)
		}
	}
	return s.last + 1
}

// size is what a message of these parts counts for.
func (s *store) size(subject, header, data int) int {
	if s.disk == nil {
		return MemorySize(subject, header, data)
	}
	return FileSize(subject, header, data)
}

// sizeAt is what the message of a slot counts for.
func (s *store) sizeAt(e entry) int { return sizeOf(e.length, e.flags, s.disk != nil) }

// Append stores a message, then removes what limits ask for.
func (s *store) Append(seq uint64, at int64, subject, header, data []byte, ttl TTL) (uint64, error) {
	if err := s.Admit(subject, len(header), len(data), true); err != nil {
		return 0, err
	}
	switch {
	case seq == 0:
		seq = s.last + 1
	case seq <= s.last:
		return 0, errSequence(seq, s.last)
	}
	id, isNew := s.subs.Insert(subject)
	if id == subjects.None {
		return 0, ErrSubject
	}
	switch {
	case isNew:
		s.info.ensure(id)
		s.note(id, subject, s.subs.Len())
		if s.disk != nil {
			s.disk.subs.fresh = append(s.disk.subs.fresh, id)
		}
	case s.info.of(id).count == 0:
		s.idle--
	}
	at = max(at, s.lastTime)
	s.store(seq, at, id, subject, header, data, ttl)
	s.enforce(id)
	return seq, nil
}

// store puts a message into the tail and the index.
func (s *store) store(seq uint64, at int64, id uint32, subject, header, data []byte, ttl TTL) {
	length := recordLen(recordFlags(header, ttl), len(subject), len(header), len(data))
	b := s.tail()
	if !b.takes(seq, length, s.blockBytes) {
		b = s.roll(seq, length)
	}
	s.put(b, seq, at, id, subject, header, data, ttl)
}

// put is store, when b is the tail that takes it.
func (s *store) put(b *block, seq uint64, at int64, id uint32, subject, header, data []byte, ttl TTL) {
	flags := recordFlags(header, ttl)
	length := recordLen(flags, len(subject), len(header), len(data))
	putRecord(b.room(length), seq, at, flags, subject, header, data, ttl.Deadline)
	b.push(seq, newSlot(id, noLink, noLink), uint32(length), flags, at)
	if flags&(flagDeadline|flagNever) != 0 {
		s.addTTL(b, seq, ttl)
	}
	s.linkLast(b, seq, id)
	s.change++
	s.messages++
	s.bytes += uint64(s.size(len(subject), len(header), len(data)))
	if s.messages == 1 {
		s.first = seq
	}
	s.last, s.lastTime = seq, at
}

// linkLast makes the message in the last slot of b the last one of its subject.
func (s *store) linkLast(b *block, seq uint64, id uint32) {
	inf := s.info.of(id)
	if inf.count == 0 {
		inf.setFirst(seq)
	} else {
		before := inf.getLast()
		s.setNext(before, s.slotOf(before), seq)
		s.setPrev(seq, b.edit(b.n-1), before)
	}
	inf.setLast(seq)
	inf.count++
}

// Skip uses sequences without storing.
func (s *store) Skip(seq uint64, at int64) {
	if seq <= s.last {
		return
	}
	s.change++
	s.last = seq
	s.lastTime = max(s.lastTime, at)
	if s.messages == 0 {
		s.first = seq + 1
	}
}

// remove takes a living message out of the index, and tells of it.
func (s *store) remove(n, i int, seq uint64, why Why, tell bool) {
	b := s.blocks[n]
	e := b.entry(i)
	id := b.id(i)
	size := s.sizeAt(e)
	gone := s.unlink(seq, b.edit(i))
	var text string
	if tell = tell && s.onRemove != nil; tell {
		text = s.textOf(b, i, e, id)
	}
	if gone {
		s.retire(id)
	}
	if e.flags&flagDeadline != 0 {
		s.expiry.stale++
	}
	s.messages--
	s.bytes -= uint64(size)
	s.change++
	b.kill(i, e.length)
	if s.disk != nil {
		s.disk.lost.forget(seq, size)
	}
	s.settle(n)
	if seq == s.first {
		s.first = s.nextLive(seq + 1)
	}
	if tell {
		s.onRemove(seq, text, size, why, gone)
	}
}

// unlink takes a message out of the chain of its subject, and tells whether that was its last.
func (s *store) unlink(seq uint64, sl *slot) bool {
	inf := s.info.of(sl.id())
	prev, next := s.prevBy(seq, sl), s.nextBy(seq, sl)
	s.setPrev(seq, sl, 0)
	s.setNext(seq, sl, 0)
	if prev != 0 {
		s.setNext(prev, s.slotOf(prev), next)
	} else {
		inf.setFirst(next)
	}
	if next != 0 {
		s.setPrev(next, s.slotOf(next), prev)
	} else {
		inf.setLast(prev)
	}
	inf.count--
	return inf.count == 0
}

// subjects is the number of subjects that have a message.
func (s *store) subjects() int { return s.subs.Len() - s.idle }

// retired are ids in the order in which they lost their last message.
type retired struct {
	ids  []uint32
	head int
}

func (r *retired) len() int { return len(r.ids) - r.head }

func (r *retired) pop() uint32 {
	id := r.ids[r.head]
	if r.head++; r.head > len(r.ids)/2 {
		r.ids, r.head = r.ids[:copy(r.ids, r.ids[r.head:])], 0
	}
	return id
}

// retire notes that a subject has no message any more. It is likely to have one again soon, so it goes only when
// many are idle: then two of those that are idle for longest go with each that comes.
func (s *store) retire(id uint32) {
	s.idle++
	s.retired.ids = append(s.retired.ids, id)
	for range 2 {
		if s.retired.len() <= s.tuning.idle+s.subs.Len()/4 {
			return
		}
		if id := s.retired.pop(); s.info.of(id).count == 0 && s.subs.RemoveID(id) {
			s.unname(id)
			s.idle--
		}
	}
}

// textOf is the subject of a slot: without a copy when the record is in memory.
func (s *store) textOf(b *block, i int, e entry, id uint32) string {
	if p := b.record(e); p != nil {
		if r, err := parseRecord(p); err == nil {
			return textOf(r.subject)
		}
	}
	return s.name(id)
}

// namesKept is the number of subjects whose text is kept as a string, so that removing many messages of few
// subjects does not make one for each.
const namesKept = 256

// name is the text of a subject.
func (s *store) name(id uint32) string {
	if s.names == nil {
		s.names = new([namesKept]named)
	}
	n := &s.names[id%namesKept]
	if n.id != id || n.text == "" {
		*n = named{id, s.subs.Text(id)}
	}
	return n.text
}

// named is a subject and its id. An id without a subject has no entry.
type named struct {
	id   uint32
	text string
}

// unname forgets the text of an id that loses its subject.
func (s *store) unname(id uint32) {
	if s.names != nil {
		s.names[id%namesKept] = named{}
	}
}

// record is the bytes of a record, or nil when they are not in memory.
func (b *block) record(e entry) []byte {
	f := b.frameOf(e.off)
	p := f.bytes()
	if p == nil {
		return nil
	}
	return p[e.off-f.off:][:e.length:e.length]
}

// settle makes block n smaller, or drops it, when little or nothing of it lives.
func (s *store) settle(n int) {
	b := s.blocks[n]
	switch {
	case n == len(s.blocks)-1:
	case b.live == 0:
		s.dropBlock(n)
	case s.disk == nil && b.liveSize < b.size/2:
		s.squeeze(n)
	}
}

// Remove removes one message.
func (s *store) Remove(seq uint64, erase bool, why Why) bool {
	if s.closed || seq < s.first || seq > s.last {
		return false
	}
	n := s.blockAt(seq)
	if n == len(s.blocks) {
		return false
	}
	i, ok := s.blocks[n].find(seq)
	if !ok {
		return false
	}
	if erase {
		s.erase(s.blocks[n], i)
	}
	s.remove(n, i, seq, why, false)
	return true
}

// Has, SubjectOf, TimeOf and SizeOf answer from the index.
func (s *store) Has(seq uint64) bool {
	_, _, ok := s.locate(seq)
	return ok
}

func (s *store) SubjectOf(seq uint64) (string, bool) {
	b, i, ok := s.locate(seq)
	if !ok {
		return "", false
	}
	return s.textOf(b, i, b.entry(i), b.id(i)), true
}

func (s *store) TimeOf(seq uint64) (int64, bool) {
	b, i, ok := s.locate(seq)
	if !ok {
		return 0, false
	}
	return b.entry(i).time, true
}

func (s *store) SizeOf(seq uint64) (int, bool) {
	b, i, ok := s.locate(seq)
	if !ok {
		return 0, false
	}
	return s.sizeAt(b.entry(i)), true
}

// FirstAtOrAfter is the first message stored at or after t; last+1 if none.
func (s *store) FirstAtOrAfter(t int64) uint64 {
	n := sort.Search(len(s.blocks)-1, func(n int) bool { return s.blocks[n].lastTime >= t })
	for ; n < len(s.blocks); n++ {
		b := s.blocks[n]
		if i := b.nextLive(b.firstTimeSlot(t)); i < b.n {
			return b.seq(i)
		}
	}
	return s.last + 1
}

// DeletedRanges calls fn for each run of missing sequences between first and last.
func (s *store) DeletedRanges(fn func(first, last uint64) bool) {
	want := s.first // the sequence that comes next if nothing is missing
	for _, b := range s.blocks {
		for i := b.nextLive(0); i < b.n; {
			if seq := b.seq(i); seq != want && !fn(want, seq-1) {
				return
			}
			end := b.runEnd(i)
			want = b.seq(end-1) + 1
			i = b.nextLive(end)
		}
	}
	if want <= s.last {
		fn(want, s.last)
	}
}

// runEnd is the slot behind the living ones of consecutive sequences from i on.
func (b *block) runEnd(i int) int {
	if b.rel == nil && b.dead == nil {
		return b.n
	}
	end := i + 1
	for end < b.n && !b.isDead(end) && b.seq(end) == b.seq(end-1)+1 {
		end++
	}
	return end
}
