package msgs

import (
	"slices"
	"sort"
)

// load is a read of a frame that is under way.
type load struct {
	d       *disk
	b       *block
	f       *frame
	buf     []byte
	again   bool // the second try
	waiting []waiter
	then    []func(p []byte, bad []int) // who wants the content itself, and which slots of it are damaged
}

// waiter is who fetches a message.
type waiter struct {
	seq  uint64
	done func(Msg, error)
}

// readAhead is the number of frames that are read ahead of a reader that reads in order.
const readAhead = 4

// fetch reads a message from disk.
func (d *disk) fetch(seq uint64, done func(Msg, error)) {
	b, i, ok := d.st.locate(seq)
	if !ok {
		d.st.strand.Post(func() { done(Msg{}, ErrNotFound) })
		return
	}
	at := frameIndex(b, b.frameOf(b.entry(i).off).off)
	l := d.load(b, b.frames[at])
	l.waiting = append(l.waiting, waiter{seq, done})
	if at > 0 && b.frames[at-1].cached.Load() != nil {
		for _, f := range b.frames[at+1 : min(at+1+readAhead, len(b.frames))] {
			if f.bytes() == nil {
				d.load(b, f)
			}
		}
	}
}

// load reads a frame, if that is not under way.
func (d *disk) load(b *block, f *frame) *load {
	if f.place.load == nil {
		f.place.load = &load{d: d, b: b, f: f}
		f.place.load.start()
	}
	return f.place.load
}

func (l *load) start() {
	l.buf = make([]byte, l.f.place.stored)
	l.b.disk.file.readWhole(l.buf, l.f.place.off, l.read)
}

// read judges what came from disk. What cannot be read or is damaged is tried once more.
func (l *load) read(n int, _ error) {
	if l.d.st.closed {
		l.end(nil, nil)
		return
	}
	p := l.b.disk.openContent(l.f, l.buf[:n])
	bad := l.b.damaged(l.f, p)
	if len(bad) > 0 && !l.again {
		l.again = true
		l.start()
		return
	}
	l.end(p, bad)
}

// openContent gives the records of a frame from what its file holds; what is missing of a plain one is zero, and of
// a damaged one there is nothing.
func (k *diskBlock) openContent(f *frame, p []byte) []byte {
	if !k.framed {
		return append(p, make([]byte, int(f.size)-len(p))...)
	}
	h, plain, n, err := k.codec.openFrame(p)
	if err != nil || h.off != f.off || len(plain) != int(f.size) || n != int(f.place.stored) {
		return nil
	}
	return plain[:len(plain):len(plain)]
}

// damaged are the slots of living messages in a frame that are not intact in its content p.
func (b *block) damaged(f *frame, p []byte) (bad []int) {
	for i := b.nextLive(b.slotAt(f.off)); i < b.n; i = b.nextLive(i + 1) {
		e := b.entry(i)
		if e.off >= f.off+f.size {
			break
		}
		if !b.intact(i, e, f, p) {
			bad = append(bad, i)
		}
	}
	return bad
}

// intact tells whether the content p of a frame holds the record of a slot.
func (b *block) intact(i int, e entry, f *frame, p []byte) bool {
	if p == nil || e.off-f.off+e.length > uint32(len(p)) {
		return false
	}
	r, err := checkRecord(p[e.off-f.off:][:e.length], b.disk.codec.seed, e.off)
	return err == nil && r.length == int(e.length) && r.seq == b.seq(i) && r.time == e.time && r.flags == e.flags
}

// slotAt is the first slot whose record is at or above off.
func (b *block) slotAt(off uint32) int {
	g := sort.Search(len(b.groups), func(g int) bool { return b.groups[g].off >= off })
	i := max(g-1, 0) * groupLen
	for i < b.n && b.entry(i).off < off {
		i++
	}
	return i
}

// end keeps the content if all of it is intact, notes what is lost, and answers who waits.
func (l *load) end(p []byte, bad []int) {
	l.f.place.load = nil
	if !l.d.st.closed {
		l.note(p, bad)
	}
	for _, then := range l.then {
		then(p, bad)
	}
	for _, w := range l.waiting {
		l.answer(p, bad, w)
	}
}

// note keeps content and account of damage.
func (l *load) note(p []byte, bad []int) {
	lost := &l.d.lost
	if len(bad) > 0 && l.d.failed != nil {
		return // what a failed write took is in the log
	}
	first, fresh := uint64(0), 0
	for _, i := range bad {
		if seq := l.b.seq(i); lost.add(seq, l.d.st.sizeAt(l.b.entry(i))) {
			if fresh++; fresh == 1 {
				first = seq
			}
		}
	}
	if len(bad) > 0 {
		l.b.disk.broken = true
		if tell := l.d.o.OnLost; tell != nil && fresh > 0 {
			tell(first, fresh)
		}
		return
	}
	if len(lost.seqs) > 0 { // a disk may come to its senses
		for i := l.b.nextLive(l.b.slotAt(l.f.off)); i < l.b.n; i = l.b.nextLive(i + 1) {
			e := l.b.entry(i)
			if e.off >= l.f.off+l.f.size {
				break
			}
			lost.forget(l.b.seq(i), l.d.st.sizeAt(e))
		}
	}
	if l.b.live > 0 {
		l.d.cache.put(l.f, p)
	}
}

// answer gives a message to who fetched it, if it is still there.
func (l *load) answer(p []byte, bad []int, w waiter) {
	s := l.d.st
	b, i, ok := s.locate(w.seq)
	switch {
	case s.closed:
		w.done(Msg{}, ErrClosed)
	case !ok:
		w.done(Msg{}, ErrNotFound)
	case b != l.b: // compaction took it elsewhere
		s.Fetch(w.seq, w.done)
	case slices.Contains(bad, i):
		w.done(Msg{}, ErrLost)
	default:
		e := b.entry(i)
		r, _ := parseRecord(p[e.off-l.f.off:][:e.length:e.length])
		w.done(r.message(), nil)
	}
}
