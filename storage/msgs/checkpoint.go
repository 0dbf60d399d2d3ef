package msgs

import (
	"slices"
)

// checkpoint hands everything to files, notes what there is, and tells when it is durable.
func (d *disk) checkpoint(done func([]byte, error)) {
	if d.writable() == nil {
		d.eraseDue()
		d.flushAll()
	}
	if err := d.writable(); err != nil {
		d.st.strand.Post(func() { done(nil, err) })
		return
	}
	d.serial++
	p := &checkpoint{d.manifest().encode(), done}
	d.points = append(d.points, p)
	d.add(job{point: p})
}

// flushAll hands everything that lives to files.
func (d *disk) flushAll() {
	s := d.st
	n := len(s.blocks) - 1
	b := s.blocks[n]
	s.squeezeFresh(b)
	switch {
	case b.live == 0:
		d.abandon(b)
		s.blocks[n] = newBlock(s.last + 1)
	case b.disk != nil && b.disk.scrub: // only what is complete can be written anew
		d.complete(b)
		s.blocks = append(s.blocks, newBlock(s.last+1))
	case d.freshBytes(b) > int64(min(inlineMax, s.blockBytes/4)):
		d.flush(b)
	}
	d.inline = s.tail().size
	if d.flushed {
		d.flushSubjects()
		d.flushed = false
	}
}

// inlineMax is how many bytes of messages a manifest takes in rather than have them written and synced: of many
// streams with little to do each, none needs a flush of its own.
const inlineMax = 4 << 10

// freshBytes is the length of the records that no file has.
func (d *disk) freshBytes(b *block) int64 {
	if b.disk == nil {
		return int64(b.size)
	}
	return int64(b.size - b.disk.size)
}

// lostSet is the messages that damage took, ascending. Some may still be in the index; they are
// here until they are removed, or read after all.
type lostSet struct {
	seqs  []uint64
	bytes uint64
}

func (l *lostSet) report() ([]uint64, uint64) {
	if len(l.seqs) == 0 {
		return nil, 0
	}
	return slices.Clone(l.seqs), l.bytes
}

// add notes a message, once; it is false for one that was known.
func (l *lostSet) add(seq uint64, size int) bool {
	at, found := slices.BinarySearch(l.seqs, seq)
	if !found {
		l.seqs = slices.Insert(l.seqs, at, seq)
		l.bytes += uint64(size)
	}
	return !found
}

// forget takes a message out that was found after all, or that nobody wants any more.
func (l *lostSet) forget(seq uint64, size int) {
	if len(l.seqs) == 0 {
		return
	}
	if at, found := slices.BinarySearch(l.seqs, seq); found {
		l.seqs = slices.Delete(l.seqs, at, at+1)
		l.bytes -= min(uint64(size), l.bytes)
	}
}
