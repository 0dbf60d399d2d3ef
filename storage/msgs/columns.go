package msgs

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The index of a block, as its file has it at the end. Which slots live is the
// manifest's to know, and how messages of one subject are linked is found when it is read.
//
//	first 8 | last 8 | last time 8 | slots 4 | size of records 4 | sparse 4 | groups 4 | codes 4 | frames 4 | deadlines 4 |
//	if sparse: sequence - first 4 a slot | subject 4 a slot |
//	time 8, offset 4, place in codes 4 a group | codes |
//	offset 4, size 4, place in the file 8, length there 4 a frame | slot 4, deadline 8 each
const columnsHead = 52

// appendColumns appends the index of a block.
func (b *block) appendColumns(p []byte) []byte {
	le := binary.LittleEndian
	p = le.AppendUint64(p, b.first)
	p = le.AppendUint64(p, b.last)
	p = le.AppendUint64(p, uint64(b.lastTime))
	p = le.AppendUint32(p, uint32(b.n))
	p = le.AppendUint32(p, b.size)
	p = le.AppendUint32(p, uint32(min(len(b.rel), 1)))
	p = le.AppendUint32(p, uint32(len(b.groups)))
	p = le.AppendUint32(p, uint32(len(b.codes)))
	frames := b.frames
	if !b.disk.framed {
		frames = nil
	}
	p = le.AppendUint32(p, uint32(len(frames)))
	p = le.AppendUint32(p, uint32(len(b.ttls)))
	for _, r := range b.rel {
		p = le.AppendUint32(p, r)
	}
	for i := range b.n {
		p = le.AppendUint32(p, b.id(i))
	}
	for _, g := range b.groups {
		p = le.AppendUint64(p, uint64(g.time))
		p = le.AppendUint32(p, g.off)
		p = le.AppendUint32(p, g.at)
	}
	p = append(p, b.codes...)
	for _, f := range frames {
		p = le.AppendUint32(p, f.off)
		p = le.AppendUint32(p, f.size)
		p = le.AppendUint64(p, uint64(f.place.off))
		p = le.AppendUint32(p, f.place.stored)
	}
	for _, t := range b.ttls {
		p = le.AppendUint32(p, t.slot)
		p = le.AppendUint64(p, uint64(t.deadline))
	}
	return p
}

// decodeColumns reads the index of a block whose body has the given length in the file. All slots live, as far as it
// can know; they have subjects and no links.
func decodeColumns(p []byte, framed bool, body int64) (*block, []slotTTL, error) {
	if len(p) < columnsHead {
		return nil, nil, errContent
	}
	le := binary.LittleEndian
	b := newBlock(le.Uint64(p))
	b.last, b.lastTime = le.Uint64(p[8:]), int64(le.Uint64(p[16:]))
	slots, size, sparse := int(le.Uint32(p[24:])), le.Uint32(p[28:]), le.Uint32(p[32:])
	groups, codes, frames, ttls := int(le.Uint32(p[36:])), int(le.Uint32(p[40:])), int(le.Uint32(p[44:])), int(le.Uint32(p[48:]))
	want := columnsHead + slots*4*(1+int(sparse&1)) + groups*16 + codes + frames*20 + ttls*12
	if len(p) != want || slots == 0 || sparse > 1 || groups != (slots+groupLen-1)/groupLen || framed != (frames > 0) {
		return nil, nil, errContent
	}
	b.size, b.liveSize, b.live = size, size, slots
	p = p[columnsHead:]
	if sparse == 1 {
		p = b.decodeRel(p, slots)
	}
	b.slots, b.n = make([]slot, slots), slots
	for i := range b.slots {
		copy(b.slots[i][:4], p[4*i:])
		id := b.slots[i].id()
		b.idMin, b.idMax = min(b.idMin, id), max(b.idMax, id)
	}
	p = p[4*slots:]
	b.groups = make([]group, groups)
	for i := range b.groups {
		g := p[16*i:]
		b.groups[i] = group{int64(le.Uint64(g)), le.Uint32(g[8:]), le.Uint32(g[12:])}
	}
	p = p[16*groups:]
	b.codes = slices.Clone(p[:codes])
	p = p[codes:]
	if err := b.decodeFrames(p, frames, body); err != nil {
		return nil, nil, err
	}
	p = p[20*frames:]
	list := make([]slotTTL, ttls)
	for i := range list {
		list[i] = slotTTL{le.Uint32(p[12*i:]), int64(le.Uint64(p[12*i+4:]))}
		if int(list[i].slot) >= slots {
			return nil, nil, errContent
		}
	}
	return b, list, b.consistent()
}

func (b *block) decodeRel(p []byte, slots int) []byte {
	b.rel = make([]uint32, slots)
	for i := range b.rel {
		b.rel[i] = binary.LittleEndian.Uint32(p[4*i:])
	}
	return p[4*slots:]
}

func (b *block) decodeFrames(p []byte, frames int, body int64) error {
	if frames == 0 {
		return nil
	}
	le := binary.LittleEndian
	var next uint32
	b.frames = make([]*frame, frames)
	for i := range b.frames {
		q := p[20*i:]
		f := &frame{off: le.Uint32(q), size: le.Uint32(q[4:]), closed: true}
		f.place = place{off: int64(le.Uint64(q[8:])), stored: le.Uint32(q[16:])}
		if f.off != next || f.place.off < fileHeaderLen || f.place.off+int64(f.place.stored) > body {
			return errContent
		}
		next = f.off + f.size
		b.frames[i] = f
	}
	if next != b.size {
		return errContent
	}
	return nil
}

// consistent guards against columns that would lead outside of themselves although their checksum is
// right.
func (b *block) consistent() error {
	n := b.n
	switch {
	case b.rel == nil && b.last-b.first != uint64(n-1),
		b.rel != nil && (b.rel[0] != 0 || b.last-b.first != uint64(b.rel[n-1])):
		return errContent
	}
	for i := 1; i < len(b.rel); i++ {
		if b.rel[i] <= b.rel[i-1] {
			return errContent
		}
	}
	for i, g := range b.groups {
		end, off := uint32(len(b.codes)), b.size
		if i+1 < len(b.groups) {
			end, off = b.groups[i+1].at, b.groups[i+1].off
		}
		if g.at > end || g.off > off || !wholeCodes(b.codes[g.at:end], min(groupLen, n-i*groupLen)) {
			return errContent
		}
	}
	return nil
}

// wholeCodes tells whether p is exactly the codes of n slots.
func wholeCodes(p []byte, n int) bool {
	if len(p) == 0 || p[len(p)-1] >= 0x80 {
		return false
	}
	ends := 0
	for ; len(p) >= 8; p = p[8:] {
		ends += bits.OnesCount64(^binary.LittleEndian.Uint64(p) & 0x8080808080808080)
	}
	for _, c := range p {
		if c < 0x80 {
			ends++
		}
	}
	return ends == 2*n
}

// cutFrames divides the body of a plain block that is on disk into frames to be read by.
func (b *block) cutFrames() {
	b.frames = nil
	for i := 0; i < b.n; {
		g := i / groupLen
		end := b.size
		if g+1 < len(b.groups) {
			end = b.groups[g+1].off
		}
		if off := b.groups[g].off; end-off <= frameBytes {
			b.coverFrame(off, end)
			i = (g + 1) * groupLen
			continue
		}
		e := b.entry(i)
		b.coverFrame(min(e.off, b.size), min(e.off+e.length, b.size))
		i++
	}
	b.frames = clipped(b.frames)
}

// coverFrame adds records to the last frame, or to a new one if it grew too long.
func (b *block) coverFrame(off, end uint32) {
	if n := len(b.frames); n > 0 && end-b.frames[n-1].off <= frameBytes {
		b.frames[n-1].size = end - b.frames[n-1].off
		b.frames[n-1].place.stored = b.frames[n-1].size
		return
	}
	f := &frame{off: off, size: end - off, closed: true}
	f.place = place{off: fileHeaderLen + int64(off), stored: f.size}
	b.frames = append(b.frames, f)
}
