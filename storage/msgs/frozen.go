package msgs

import (
	"fmt"
	"math/bits"
	"slices"
)

// Frozen is a store as it was at one moment, for a reader that takes its time: the store goes on changing, and what the
// reader still needs stays, in memory and in files. It belongs to the store's strand.
type Frozen struct {
	s      *store
	serial uint64 // of the store's last manifest then
	state  State
	blocks []frozenBlock
	warm   *frozenBlock // that holds content for the reader, in frame
	frame  int
	closed bool
}

// frozenBlock is a block then. Slots below n do not change, but for who lives; the end of a tail that no file
// has does, so that its records are kept themselves.
type frozenBlock struct {
	b       *block
	n       int // slots
	dead    []uint64
	frames  []*frame
	own     [][]byte // of frames: what no file has, or was read for the reader
	seqs    []uint64 // of records
	records [][]byte
}

// Freeze holds the store as it is now until the reader closes it.
func (s *store) Freeze() *Frozen {
	f := &Frozen{s: s, state: s.State()}
	tail := s.tail()
	for _, b := range s.blocks {
		if b.live == 0 {
			continue
		}
		fb := frozenBlock{b: b, n: b.n, dead: slices.Clone(b.dead)}
		if b == tail {
			fb.n = b.fresh()
			for i := b.nextLive(fb.n); i < b.n; i = b.nextLive(i + 1) {
				fb.seqs = append(fb.seqs, b.seq(i))
				fb.records = append(fb.records, b.record(b.entry(i)))
			}
		}
		fb.frames = slices.Clone(b.frames)
		fb.own = make([][]byte, len(fb.frames))
		for k, fr := range fb.frames {
			fb.own[k] = fr.own
		}
		f.blocks = append(f.blocks, fb)
	}
	if d := s.disk; d != nil {
		f.serial = d.serial
		d.frozen = append(d.frozen, f)
	}
	return f
}

// State is the store's then.
func (f *Frozen) State() State { return f.state }

// Close lets go of everything.
func (f *Frozen) Close() {
	if f.closed {
		return
	}
	f.closed = true
	f.blocks, f.warm = nil, nil
	if d := f.s.disk; d != nil {
		d.frozen = slices.DeleteFunc(d.frozen, func(o *Frozen) bool { return o == f })
		d.collect()
	}
}

// needs tells whether a reader needs what manifests up to a serial do.
func (d *disk) needed(serial uint64) bool {
	return slices.ContainsFunc(d.frozen, func(f *Frozen) bool { return f.serial <= serial })
}

// Append appends the records of messages from a sequence on, until they are size bytes or more. next is where it goes
// on; above the last message there is nothing. It stops before a message whose content is on disk only, and
// tells that it is cold: Warm fetches it.
func (f *Frozen) Append(dst []byte, from uint64, size int) (out []byte, next uint64, cold bool) {
	end := len(dst) + size
	for i := range f.blocks {
		fb := &f.blocks[i]
		if fb.last() < from {
			continue
		}
		for at := fb.slot(from); at < fb.n; at = fb.next(at + 1) {
			seq := fb.b.seq(at)
			if len(dst) >= end {
				return dst, seq, false
			}
			p := fb.record(fb.b.entry(at))
			if p == nil {
				return dst, seq, true
			}
			dst = appendCopy(dst, p)
			from = seq + 1
		}
		n, _ := slices.BinarySearch(fb.seqs, from)
		for ; n < len(fb.seqs); n++ {
			if len(dst) >= end {
				return dst, fb.seqs[n], false
			}
			dst = appendCopy(dst, fb.records[n])
			from = fb.seqs[n] + 1
		}
	}
	return dst, f.state.Last + 1, false
}

// appendCopy appends a record with a checksum that belongs to no place.
func appendCopy(dst, record []byte) []byte {
	at := len(dst)
	dst = append(dst, record...)
	sealRecord(dst[at:], 0, 0)
	return dst
}

// last is the last sequence of the block.
func (fb *frozenBlock) last() uint64 {
	if n := len(fb.seqs); n > 0 {
		return fb.seqs[n-1]
	}
	if fb.n == 0 {
		return 0
	}
	return fb.b.seq(fb.n - 1)
}

// slot is the first slot of a message that lived then, at or above a sequence; n if there is none.
func (fb *frozenBlock) slot(seq uint64) int {
	if fb.n == 0 {
		return 0
	}
	return fb.next(min(fb.b.at(seq), fb.n))
}

// next is the first slot at or above i that lived then; n if there is none.
func (fb *frozenBlock) next(i int) int {
	if fb.dead == nil || i >= fb.n {
		return min(i, fb.n)
	}
	w := i / 64
	for mask := ^uint64(0) << (i % 64); w < len(fb.dead); w, mask = w+1, ^uint64(0) {
		if word := ^fb.dead[w] & mask; word != 0 {
			return min(w*64+bits.TrailingZeros64(word), fb.n)
		}
	}
	return fb.n
}

// record is a record's bytes, nil when only the disk has them.
func (fb *frozenBlock) record(e entry) []byte {
	k := fb.frameAt(e.off)
	p := fb.own[k]
	if p == nil {
		p = fb.frames[k].bytes()
	}
	if p == nil {
		return nil
	}
	at := e.off - fb.frames[k].off
	return p[at:][:e.length:e.length]
}

func (fb *frozenBlock) frameAt(off uint32) int {
	n, found := slices.BinarySearchFunc(fb.frames, off, func(fr *frame, off uint32) int { return int(int64(fr.off) - int64(off)) })
	if !found {
		n--
	}
	return n
}

// Warm fetches the content of a message that Append found cold. done is called on the strand.
func (f *Frozen) Warm(seq uint64, done func(error)) {
	for i := range f.blocks {
		fb := &f.blocks[i]
		at := fb.slot(seq)
		if fb.last() < seq || at == fb.n {
			continue
		}
		k := fb.frameAt(fb.b.entry(at).off)
		l := f.s.disk.load(fb.b, fb.frames[k])
		l.then = append(l.then, func(p []byte, bad []int) {
			switch {
			case f.closed || f.s.closed:
				done(ErrClosed)
			case p == nil || len(bad) > 0:
				done(fmt.Errorf("message %d: %w", seq, ErrLost))
			default:
				f.keep(fb, k, p)
				done(nil)
			}
		})
		return
	}
	f.s.strand.Post(func() { done(ErrNotFound) })
}

// keep holds the content of a frame until the next one is read.
func (f *Frozen) keep(fb *frozenBlock, k int, p []byte) {
	if f.warm != nil {
		f.warm.own[f.frame] = nil
	}
	f.warm, f.frame = fb, k
	fb.own[k] = p
}

// Record is a message as another store had it.
type Record struct {
	Msg
	TTL TTL
}

// ReadRecord reads the record that p begins with, as [Frozen.Append] wrote it, and tells what follows. Its slices are
// parts of p.
func ReadRecord(p []byte) (r Record, rest []byte, err error) {
	rec, err := checkRecord(p, 0, 0)
	if err != nil {
		return Record{}, nil, err
	}
	if rec.flags&^flagsIndex != 0 || rec.deadline < 0 {
		return Record{}, nil, errRecordFields
	}
	r.Msg, r.TTL = rec.message(), TTL{Deadline: rec.deadline, Never: rec.flags&flagNever != 0}
	return r, p[rec.length:], nil
}
