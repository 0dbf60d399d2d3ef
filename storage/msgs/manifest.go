package msgs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrManifest: what Open was given is not a manifest, or not whole.
var ErrManifest = errors.New("invalid manifest")

// manifest is what a checkpoint is: which files there are, how long they are, and which of
// their messages live.
//
//	magic 8 | version 4 | serial 8 | identity 8 | what follows, numbers as varints | checksum of all before 4
type manifest struct {
	serial      uint64
	identity    uint64
	number      uint64 // of the next file
	last        uint64
	lastTime    int64
	messages    uint64
	bytes       uint64
	limits      Limits
	compression Compression
	sealed      bool
	subs        manifestSubjects
	blocks      []manifestBlock
	tail        []byte // a frame of the messages that are in no file; empty: there are none
	tailCount   uint64
	erasing     []manifestErasure
	spoiled     []uint64 // files that are left alone
	lost        []uint64
	lostBytes   uint64
}

type manifestSubjects struct {
	number  uint64 // 0: no file
	size    uint64
	off     uint64
	entries uint64
	ids     uint64
}

type manifestBlock struct {
	number      uint64
	kind        uint64 // body, and whether it is packed
	first, last uint64
	fileFirst   uint64 // what the file's header says
	body, index uint64 // lengths in the file
	size        uint64 // of the records
	live        uint64
	liveSize    uint64
	missing     []byte // see appendMissing
}

// Bits of kind.
const (
	kindFramed = 1 << 0
	kindPacked = 1 << 1
	kindScrub  = 1 << 2
	kindBroken = 1 << 3
)

type manifestErasure struct {
	number uint64
	off    uint64
	length uint64
	seq    uint64
	time   int64
}

const (
	manifestMagic = "LSMSGST\x01"
	manifestHead  = 28
)

// manifestSerial is the serial of a manifest that was made by a store.
func manifestSerial(p []byte) (uint64, bool) {
	if len(p) < manifestHead || string(p[:8]) != manifestMagic {
		return 0, false
	}
	return binary.LittleEndian.Uint64(p[12:]), true
}

func (m *manifest) encode() []byte {
	le := binary.LittleEndian
	p := append(make([]byte, 0, 256+64*len(m.blocks)), manifestMagic...)
	p = le.AppendUint32(p, formatVersion)
	p = le.AppendUint64(p, m.serial)
	p = le.AppendUint64(p, m.identity)
	l := &m.limits
	p = appendNumbers(p, m.number, m.last, zig(m.lastTime), m.messages, m.bytes,
		zig(l.Msgs), zig(l.Bytes), zig(l.PerSubject), zig(l.Age), bit(l.DiscardNew), bit(l.DiscardNewPerSubject),
		uint64(m.compression), bit(m.sealed),
		m.subs.number, m.subs.size, m.subs.off, m.subs.entries, m.subs.ids,
		uint64(len(m.blocks)))
	for i := range m.blocks {
		b := &m.blocks[i]
		p = appendNumbers(p, b.number, b.kind, b.first, b.last-b.first, b.fileFirst, b.body, b.index, b.size, b.live, b.liveSize,
			uint64(len(b.missing)))
		p = append(p, b.missing...)
	}
	p = appendNumbers(p, m.tailCount, uint64(len(m.tail)))
	p = append(p, m.tail...)
	p = appendNumbers(p, uint64(len(m.erasing)))
	for _, x := range m.erasing {
		p = appendNumbers(p, x.number, x.off, x.length, x.seq, zig(x.time))
	}
	p = appendNumbers(p, uint64(len(m.spoiled)))
	p = appendNumbers(p, m.spoiled...)
	p = appendNumbers(p, m.lostBytes, uint64(len(m.lost)))
	before := uint64(0)
	for _, seq := range m.lost {
		p = appendNumbers(p, seq-before)
		before = seq
	}
	return le.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

func appendNumbers(p []byte, list ...uint64) []byte {
	for _, n := range list {
		p = binary.AppendUvarint(p, n)
	}
	return p
}

func zig(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzig(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// numbers reads varints; after the first that is not whole it gives zeros.
type numbers struct {
	p   []byte
	bad bool
}

func (r *numbers) next() uint64 {
	n, w := binary.Uvarint(r.p)
	if w <= 0 {
		r.bad, r.p = true, nil
		return 0
	}
	r.p = r.p[w:]
	return n
}

func (r *numbers) bytes(n uint64) []byte {
	if n > uint64(len(r.p)) {
		r.bad, r.p = true, nil
		return nil
	}
	p := r.p[:n:n]
	r.p = r.p[n:]
	return p
}

// length reads the length of a list whose entries take at least min bytes.
func (r *numbers) length(min int) int {
	n := r.next()
	if n > uint64(len(r.p)/min) {
		r.bad = true
		return 0
	}
	return int(n)
}

func decodeManifest(p []byte) (*manifest, error) {
	le := binary.LittleEndian
	switch {
	case len(p) < manifestHead+4 || string(p[:8]) != manifestMagic:
		return nil, fmt.Errorf("%w: %d bytes that do not begin as one", ErrManifest, len(p))
	case crc32.Checksum(p[:len(p)-4], castagnoli) != le.Uint32(p[len(p)-4:]):
		return nil, fmt.Errorf("%w: %w", ErrManifest, errSum)
	case le.Uint32(p[8:]) != formatVersion:
		return nil, fmt.Errorf("%w: version %d, want %d", ErrManifest, le.Uint32(p[8:]), formatVersion)
	}
	m := &manifest{serial: le.Uint64(p[12:]), identity: le.Uint64(p[20:])}
	r := &numbers{p: p[manifestHead : len(p)-4]}
	m.decode(r)
	if r.bad || len(r.p) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrManifest, errContent)
	}
	return m, m.validate()
}

func (m *manifest) decode(r *numbers) {
	m.number, m.last, m.lastTime, m.messages, m.bytes = r.next(), r.next(), unzig(r.next()), r.next(), r.next()
	l := &m.limits
	l.Msgs, l.Bytes, l.PerSubject, l.Age = unzig(r.next()), unzig(r.next()), unzig(r.next()), unzig(r.next())
	l.DiscardNew, l.DiscardNewPerSubject = r.next() == 1, r.next() == 1
	m.compression, m.sealed = Compression(r.next()), r.next() == 1
	m.subs = manifestSubjects{r.next(), r.next(), r.next(), r.next(), r.next()}
	m.blocks = make([]manifestBlock, r.length(11))
	for i := range m.blocks {
		b := &m.blocks[i]
		b.number, b.kind, b.first = r.next(), r.next(), r.next()
		b.last = b.first + r.next()
		b.fileFirst, b.body, b.index, b.size, b.live, b.liveSize = r.next(), r.next(), r.next(), r.next(), r.next(), r.next()
		b.missing = r.bytes(r.next())
	}
	m.tailCount = r.next()
	m.tail = r.bytes(r.next())
	m.erasing = make([]manifestErasure, r.length(5))
	for i := range m.erasing {
		m.erasing[i] = manifestErasure{r.next(), r.next(), r.next(), r.next(), unzig(r.next())}
	}
	m.spoiled = make([]uint64, r.length(1))
	for i := range m.spoiled {
		m.spoiled[i] = r.next()
	}
	m.lostBytes = r.next()
	m.lost = make([]uint64, r.length(1))
	before := uint64(0)
	for i := range m.lost {
		before += r.next()
		m.lost[i] = before
	}
}

// validate guards against a manifest that would lead outside of files and blocks.
func (m *manifest) validate() error {
	var next, messages uint64
	for i := range m.blocks {
		b := &m.blocks[i]
		live, ok := eachMissing(b.missing, b.last-b.first, func(_, _ uint64) {})
		switch {
		case b.first < next || b.last < b.first || b.last > m.last,
			!ok || live != b.live || live == 0 || live > b.liveSize/recordHead,
			b.body < fileHeaderLen || b.body > 1<<40 || b.index > 1<<40 || b.size > 1<<32-1 || b.liveSize > b.size,
			b.kind&kindFramed == 0 && b.body != fileHeaderLen+b.size:
			return fmt.Errorf("%w: block %d of %d: %w", ErrManifest, i+1, len(m.blocks), errContent)
		}
		next = b.last + 1
		messages += live
	}
	if messages+m.tailCount != m.messages || m.tailCount > uint64(len(m.tail)) || m.subs.size > 1<<40 || m.subs.ids > subjectIDMax || m.last == ^uint64(0) {
		return fmt.Errorf("%w: %w", ErrManifest, errContent)
	}
	for _, x := range m.erasing {
		if x.length < recordHead || x.length > recordLenMax || x.off > 1<<40 {
			return fmt.Errorf("%w: erasures: %w", ErrManifest, errContent)
		}
	}
	return nil
}

// appendMissing appends which sequences of the first slots of a block have no living message: nothing if all have
// one, runs or a bitmap, whichever is shorter.
//
//	1 | uvarint living ones before it, uvarint length, for each run
//	2 | bitmap of the missing from first on
func (b *block) appendMissing(p []byte, slots int) []byte {
	last := b.seq(slots - 1)
	span := last - b.first + 1
	if uint64(b.live-b.liveFrom(slots)) == span {
		return p
	}
	at := len(p)
	p = append(p, 1)
	want := b.first
	run := want
	for i := b.nextLive(0); i < slots; {
		if seq := b.seq(i); seq != want {
			p = appendNumbers(p, want-run, seq-want)
			run = seq
		}
		end := min(b.runEnd(i), slots)
		want = b.seq(end-1) + 1
		i = b.nextLive(end)
	}
	if want <= last {
		p = appendNumbers(p, want-run, last+1-want)
	}
	if uint64(len(p)-at) <= span/8 {
		return p
	}
	bitmap := make([]byte, 1+(span+7)/8)
	bitmap[0] = 2
	eachMissing(p[at:], span-1, func(from, to uint64) {
		for ; from <= to; from++ {
			bitmap[1+from/8] |= 1 << (from % 8)
		}
	})
	return append(p[:at], bitmap...)
}

// eachMissing calls fn for each run of missing sequences of a block, counted from its first, and gives
// the number of those between 0 and last that live. It tells whether p is well formed.
func eachMissing(p []byte, last uint64, fn func(from, to uint64)) (live uint64, ok bool) {
	live = last + 1
	if len(p) == 0 {
		return live, true
	}
	if p[0] == 2 {
		return eachInBitmap(p[1:], last, fn)
	}
	r := &numbers{p: p[1:]}
	at := uint64(0)
	for p[0] == 1 && len(r.p) > 0 {
		from := at + r.next()
		n := r.next()
		to := from + n - 1
		if r.bad || n == 0 || from < at || from > last || to < from || to > last {
			return 0, false
		}
		fn(from, to)
		live -= n
		at = to + 1
	}
	return live, p[0] == 1
}

func eachInBitmap(p []byte, last uint64, fn func(from, to uint64)) (live uint64, ok bool) {
	if uint64(len(p)) != last/8+1 {
		return 0, false
	}
	live = last + 1
	for at := uint64(0); at <= last; at++ {
		if p[at/8]&(1<<(at%8)) == 0 {
			continue
		}
		from := at
		for at < last && p[(at+1)/8]&(1<<((at+1)%8)) != 0 {
			at++
		}
		fn(from, at)
		live -= at - from + 1
	}
	return live, true
}

// manifest describes the store as it is now, when everything is handed to files.
func (d *disk) manifest() *manifest {
	s := d.st
	m := &manifest{
		serial: d.serial, identity: d.o.Identity, number: d.number,
		last: s.last, lastTime: s.lastTime, messages: s.messages, bytes: s.bytes,
		limits: s.limits, compression: d.compression, sealed: d.o.Sealer != nil,
		spoiled: d.spoiled, lost: d.lost.seqs, lostBytes: d.lost.bytes,
	}
	if f := &d.subs; f.file != nil {
		m.subs = manifestSubjects{f.file.number, uint64(f.size), uint64(f.off), uint64(f.entries), uint64(s.subs.IDs())}
	}
	for _, b := range s.blocks {
		if b.disk != nil && b.live > b.liveFrom(b.disk.slots) {
			m.blocks = append(m.blocks, b.manifest())
		}
	}
	d.manifestTail(m)
	for _, x := range d.erasing {
		m.erasing = append(m.erasing, manifestErasure{x.file.number, uint64(x.off), uint64(x.length), x.seq, x.time})
	}
	return m
}

// manifest describes what is in the file of a block.
func (b *block) manifest() manifestBlock {
	k := b.disk
	kind := bit(k.framed)*kindFramed | bit(k.codec.pack)*kindPacked | bit(k.scrub)*kindScrub | bit(k.broken)*kindBroken
	m := manifestBlock{
		number: k.file.number, kind: kind, first: b.first, last: b.seq(k.slots - 1), fileFirst: k.first,
		body: uint64(k.body), index: uint64(k.index), size: uint64(k.size), live: uint64(b.live - b.liveFrom(k.slots)),
		liveSize: uint64(b.liveSize),
	}
	if k.missingOf != (missingKey{k.slots, int(m.live)}) { // what lives only becomes less
		k.missing, k.missingOf = b.appendMissing(nil, k.slots), missingKey{k.slots, int(m.live)}
	}
	m.missing = k.missing
	for i := b.nextLive(k.slots); i < b.n; i = b.nextLive(i + 1) {
		m.liveSize -= uint64(b.entry(i).length)
	}
	return m
}

// manifestTail puts messages that are in no file into the manifest.
func (d *disk) manifestTail(m *manifest) {
	b := d.st.tail()
	var p []byte
	for i := b.nextLive(b.fresh()); i < b.n; i = b.nextLive(i + 1) {
		p = append(p, b.record(b.entry(i))...)
		m.tailCount++
	}
	if len(p) > 0 {
		c := newCodec(&d.o, 0, false)
		m.tail = c.appendFrame(nil, sealRecords(p, c.seed, 0), 0, 0)
	}
}
