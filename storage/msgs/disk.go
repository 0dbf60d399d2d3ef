package msgs

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/storage"
)

// ErrFenced: a write or sync of the store failed. It takes no checkpoint any more; what
// earlier ones found durable, and the log, are intact.
var ErrFenced = storage.ErrFenced

// disk is what a store has beside its index when its blocks are files.
type disk struct {
	st          *store
	o           Options
	fs          storage.FS
	dir         string
	compression Compression
	cache       *Cache
	files       *Files

	number  uint64 // of the next file
	serial  uint64 // of the last manifest made
	durable uint64 // of the last one known to be durable
	subs    subjectFile

	jobs    []job
	handed  []job // to files, which may not have given them to the system yet
	running bool
	short   shortage
	failed  error
	spare   []byte        // a buffer to be used again
	dirty   []*file       // to be synced
	names   bool          // some name in dir is not durable
	parent  bool          // nor is dir itself
	queued  int64         // bytes in jobs
	ahead   int           // bytes handed to files since one passed on what it had
	passing *file         // that does
	written int64         // bytes handed to files since the last compaction
	garbage []garbage     // files to be removed
	erasing []erasure     // to be overwritten
	inline  uint32        // of the tail: the size up to which the last manifest has its records
	offline bool          // nothing may be written
	flushed bool          // blocks were, since subjects were
	spoiled []uint64      // files of which nothing could be read; they are left alone
	lost    lostSet       // what damage took
	compact *compaction   // under way
	points  []*checkpoint // under way, in order
	frozen  []*Frozen     // held by readers
}

// diskBlock is what a block has beside its index when it is a file. The file is made when there is
// something to write.
type diskBlock struct {
	file      *file
	codec     codec
	framed    bool
	first     uint64 // what the file's header says
	slots     int    // handed to the file, or waiting to be
	size      uint32 // of their records
	body      int64  // length of header and body in the file
	index     int64  // length of the index, if it is there
	void      bool   // it has an index in its file, which is of no use
	broken    bool   // something of it is damaged: it is left alone
	missing   []byte // as the last manifest had it
	missingOf missingKey
	scrub     bool // it holds content that must go, and cannot be overwritten in place
}

// missingKey says of how many slots, and how many living ones, something was noted.
type missingKey struct{ slots, live int }

// newFile makes the file object of a number.
func (d *disk) newFile(number uint64, suffix string) *file {
	return &file{
		fs: d.fs, strand: d.st.strand, files: d.files, number: number,
		name: fileName(d.dir, number, suffix), cut: -1, offline: d.offline,
	}
}

// nextFile makes the object of a file that does not exist yet.
func (d *disk) nextFile(suffix string) *file {
	f := d.newFile(d.number, suffix)
	d.number++
	return f
}

// begin gives a block a file, and the file its header.
func (d *disk) begin(b *block) {
	f := d.nextFile(blockSuffix)
	b.disk = &diskBlock{file: f, first: b.first, framed: d.compression == S2 || d.o.Sealer != nil}
	b.disk.codec = newCodec(&d.o, f.number, d.compression == S2)
	h := fileHeader{blockMagic, bodyPlain, d.o.Identity, f.number, b.first}
	if b.disk.framed {
		h.kind = bodyFramed
	}
	d.write(f, h.encode(), nil)
	b.disk.body = fileHeaderLen
}

// fresh is the first slot of a block that no file has.
func (b *block) fresh() int {
	if b.disk == nil {
		return 0
	}
	return b.disk.slots
}

// squeezeFresh takes what is dead out of what no file has of the tail.
func (s *store) squeezeFresh(b *block) {
	from := b.fresh()
	if b.dead == nil || b.liveFrom(from) == b.n-from {
		return
	}
	var size uint32
	if b.disk != nil {
		size = b.disk.size
	}
	type kept struct {
		seq    uint64
		slot   slot
		entry  entry
		record []byte
	}
	var list []kept
	for i := b.nextLive(from); i < b.n; i = b.nextLive(i + 1) {
		e := b.entry(i)
		list = append(list, kept{b.seq(i), b.peek(i), e, b.record(e)})
	}
	b.truncate(from)
	b.frames = slices.DeleteFunc(b.frames, func(f *frame) bool { return f.off >= size })
	for _, k := range list {
		copy(b.room(len(k.record)), k.record)
		b.push(k.seq, k.slot, k.entry.length, k.entry.flags, k.entry.time)
		b.noteTTL(k.entry, k.record)
	}
}

// noteTTL keeps the deadline of the record in the last slot for the block's index.
func (b *block) noteTTL(e entry, p []byte) {
	if e.flags&flagDeadline == 0 {
		return
	}
	if r, err := parseRecord(p); err == nil {
		b.ttls = append(b.ttls, slotTTL{uint32(b.n - 1), r.deadline})
	}
}

// flush hands what no file has of a block to its file.
func (d *disk) flush(b *block) {
	from := b.fresh()
	if from == b.n {
		return
	}
	if b.disk == nil {
		d.begin(b)
	}
	d.flushed = true
	k := b.disk
	for _, f := range b.frames[frameIndex(b, k.size):] {
		if f.own == nil {
			continue
		}
		f.closed = true
		d.flushFrame(b, f)
	}
	k.slots, k.size = b.n, b.size
}

// frameIndex is the first frame at or above off.
func frameIndex(b *block, off uint32) int {
	i, _ := slices.BinarySearchFunc(b.frames, off, func(f *frame, off uint32) int {
		switch {
		case f.off < off:
			return -1
		case f.off > off:
			return 1
		}
		return 0
	})
	return i
}

// flushFrame hands a frame to the block's file. Plain records are copied when their turn comes.
func (d *disk) flushFrame(b *block, f *frame) {
	k := b.disk
	f.place.off = k.body
	j := job{file: k.file, at: -1, frame: f, raw: f.own, seed: k.codec.seed}
	n := len(f.own)
	if k.framed {
		d.spare = sealRecords(append(d.buffer(), f.own...), k.codec.seed, f.off)
		j.data, j.raw = k.codec.appendFrame(nil, d.spare, f.off, 0), nil
		n = len(j.data)
	}
	f.place.stored = uint32(n)
	k.body += int64(n)
	k.file.size += int64(n)
	d.queued += int64(n)
	d.add(j)
}

// sealRecords writes the checksums of records that stand one behind another, from off on.
func sealRecords(p []byte, seed, off uint32) []byte {
	for at := 0; at < len(p); {
		n := int(binary.LittleEndian.Uint32(p[at+4:]))
		sealRecord(p[at:at+n], seed, off+uint32(at))
		at += n
	}
	return p
}

// buffer is an empty buffer, perhaps used before.
func (d *disk) buffer() []byte {
	p := d.spare[:0]
	d.spare = nil
	return p
}

// complete ends a block's file with its index.
func (d *disk) complete(b *block) {
	d.flush(b)
	b.seal()
	b.disk.file.sealed = true
	p := b.disk.codec.appendFrame(nil, b.appendColumns(nil), b.size, frameColumns)
	b.disk.index = int64(len(p))
	b.ttls = nil
	d.write(b.disk.file, p, nil)
	d.writeOut(b.disk.file)
}

// rollFile ends the tail and begins another.
func (s *store) rollFile(seq uint64, length int) *block {
	n := len(s.blocks) - 1
	b := s.blocks[n]
	s.squeezeFresh(b)
	switch {
	case b.live == 0:
		s.disk.abandon(b)
		s.disk.inline = 0
		s.blocks[n] = newBlock(seq)
		return s.blocks[n]
	case b.takes(seq, length, s.blockBytes*3/4):
		return b
	}
	s.disk.complete(b)
	s.disk.inline = 0
	s.blocks = append(s.blocks, newBlock(seq).like(b))
	return s.tail()
}

// unwritten is what neither a file nor the last manifest has.
func (d *disk) unwritten() int64 {
	b := d.st.tail()
	has := d.inline
	if b.disk != nil {
		has = max(has, b.disk.size)
	}
	return int64(b.size) - int64(min(has, b.size)) + d.queued
}

// fail ends all writing.
func (d *disk) fail(err error) {
	if d.failed == nil {
		d.failed = fmt.Errorf("messages in %q: %w: %w", d.dir, ErrFenced, err)
	}
	d.jobs, d.handed, d.queued = nil, nil, 0
	d.short.end()
	d.failPoints(d.failed)
}

// failPoints ends the checkpoints under way.
func (d *disk) failPoints(err error) {
	points := d.points
	d.points = nil
	for _, c := range points {
		d.st.strand.Post(func() { c.done(nil, err) })
	}
}

// close lets go of every file.
func (d *disk) close() {
	if d.failed == nil {
		d.failed = fmt.Errorf("messages in %q: %w", d.dir, ErrClosed)
	}
	d.jobs, d.handed, d.queued, d.compact = nil, nil, 0, nil
	d.short.end()
	for _, b := range d.st.blocks {
		for _, f := range b.frames {
			if f.own == nil {
				d.cache.drop(f)
			}
		}
		if b.disk != nil {
			b.disk.file.close()
		}
	}
	for _, g := range d.garbage {
		g.file.close()
	}
	if d.subs.file != nil {
		d.subs.file.close()
	}
	d.failPoints(ErrClosed)
}
