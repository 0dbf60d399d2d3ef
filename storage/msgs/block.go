package msgs

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
)

// block is a run of messages with its index: who is where, how large, how old, and which
// message of the same subject is next. Slots are in order of sequence. In a dense
// block slot i is sequence first+i; a sparse one has a column of sequences. A slot whose
// message is gone is dead. Places, sizes and times are coded, some five bytes a message.
type block struct {
	first  uint64   // of slot 0
	last   uint64   // of the last slot; first-1 when there is none
	rel    []uint32 // of a sparse block: sequence - first, by slot
	n      int      // slots
	slots  []slot   // nil in a block that is folded
	ends   *[2]slot // of a folded block: its first and last slot
	dead   []uint64 // bit by slot; nil: none is
	groups []group
	codes  []byte // of each slot: uvarint length<<flagBits|flags, uvarint nanoseconds since the slot before
	cur    cursor

	size     uint32 // of all records, in bytes
	liveSize uint32 // of those that live
	live     int    // slots
	head     int    // no slot below lives
	fills    int    // dead slots that never had a message
	lastTime int64

	idMin, idMax uint32 // of subjects, ever

	frames []*frame
	ttls   []slotTTL // of a block that is not sealed: deadlines by slot, ascending
	sealed bool      // takes no more messages

	disk *diskBlock // nil in memory
}

// group is where the codes of a run of slots begin.
type group struct {
	time int64  // of the first slot
	off  uint32 // of its record
	at   uint32 // in codes
}

// groupLen is the number of slots in a group: a lookup decodes half of them on average.
const groupLen = 32

// slotTTL is when the message of a slot ends.
type slotTTL struct {
	slot     uint32
	deadline int64
}

// cursor is where decoding stands: before slot i. It makes looking up in order cheap.
type cursor struct {
	ok   bool
	i    int
	at   uint32
	off  uint32
	time int64
}

// entry is what the codes of a slot say.
type entry struct {
	off    uint32
	length uint32
	flags  uint8
	time   int64
}

func newBlock(first uint64) *block {
	return &block{first: first, last: first - 1, idMin: ^uint32(0)}
}

// like makes room in a new block for as much as another one has.
func (b *block) like(o *block) *block {
	n := o.n + o.n/16
	b.slots = make([]slot, 0, n)
	b.groups = make([]group, 0, n/groupLen+1)
	b.codes = make([]byte, 0, len(o.codes)+len(o.codes)/16)
	return b
}

// slotsMax bounds the slots of a block, so that dead ones cannot make it grow for ever.
const slotsMax = 1 << 20

// takes tells whether a message of this length and sequence belongs into the block, which ends
// near a size of blockBytes.
func (b *block) takes(seq uint64, length, blockBytes int) bool {
	if b.n == 0 {
		return true
	}
	return int(b.size)+length <= blockBytes && b.n < slotsMax && seq-b.first <= 1<<32-1
}

// push appends a slot. The sequence is above last, and takes agreed.
func (b *block) push(seq uint64, sl slot, length uint32, flags uint8, at int64) {
	if b.n == 0 {
		b.first, b.rel = seq, nil
	} else if gap := seq - b.last - 1; gap > 0 && b.rel == nil {
		b.bridge(gap)
	}
	if b.rel != nil {
		b.rel = append(b.rel, uint32(seq-b.first))
	}
	b.pushSlot(sl, length, flags, at)
	b.last = seq
	b.live++
	b.liveSize += length
	b.idMin, b.idMax = min(b.idMin, sl.id()), max(b.idMax, sl.id())
}

// bridge prepares a dense block for a gap: a few dead slots, or a column of sequences.
func (b *block) bridge(gap uint64) {
	if gap > uint64(max(8+b.n/8-b.fills, 0)) {
		b.makeSparse()
		return
	}
	for range gap {
		b.pushSlot(slot{}, 0, 0, b.lastTime)
		b.bury(b.n - 1)
	}
	b.fills += int(gap)
	b.last += gap
}

func (b *block) makeSparse() {
	b.rel = make([]uint32, b.n, cap(b.slots))
	for i := range b.rel {
		b.rel[i] = uint32(i)
	}
}

func (b *block) pushSlot(sl slot, length uint32, flags uint8, at int64) {
	i := b.n
	if i%groupLen == 0 {
		b.groups = append(b.groups, group{time: at, off: b.size, at: uint32(len(b.codes))})
		b.lastTime = at
	}
	b.codes = binary.AppendUvarint(b.codes, uint64(length)<<flagBits|uint64(flags))
	b.codes = binary.AppendUvarint(b.codes, uint64(at-b.lastTime))
	b.lastTime = at
	b.slots = append(b.slots, sl)
	b.n++
	if b.dead != nil && i/64 >= len(b.dead) {
		b.dead = append(b.dead, 0)
	}
	b.size += length
}

// bury marks a slot dead.
func (b *block) bury(i int) {
	if b.ends != nil {
		b.unfold()
	}
	if b.dead == nil {
		b.dead = make([]uint64, (b.n+63)/64, (cap(b.slots)+63)/64)
	}
	b.dead[i/64] |= 1 << (i % 64)
}

// isDead tells whether a slot has no message.
func (b *block) isDead(i int) bool { return b.dead != nil && b.dead[i/64]&(1<<(i%64)) != 0 }

// entry decodes a slot.
func (b *block) entry(i int) entry {
	c := b.cur
	if !c.ok || c.i > i || c.i/groupLen != i/groupLen {
		g := &b.groups[i/groupLen]
		c = cursor{ok: true, i: i / groupLen * groupLen, at: g.at, off: g.off, time: g.time}
	}
	for {
		code, n := uvarint(b.codes[c.at:])
		delta, m := uvarint(b.codes[int(c.at)+n:])
		length := uint32(code >> flagBits)
		at := c.time + int64(delta)
		if c.i == i {
			b.cur = c
			return entry{off: c.off, length: length, flags: uint8(code) & flagsIndex, time: at}
		}
		c.i++
		c.at += uint32(n + m)
		c.off += length
		c.time = at
	}
}

// uvarint is binary.Uvarint for codes that are known to be whole.
func uvarint(p []byte) (uint64, int) {
	if v := p[0]; v < 0x80 {
		return uint64(v), 1
	}
	return binary.Uvarint(p)
}

// seq is the sequence of a slot.
func (b *block) seq(i int) uint64 {
	if b.rel != nil {
		return b.first + uint64(b.rel[i])
	}
	return b.first + uint64(i)
}

// at is the first slot whose sequence is at or above seq; len(slots) if none.
func (b *block) at(seq uint64) int {
	switch {
	case seq <= b.first:
		return 0
	case seq > b.last:
		return b.n
	case b.rel == nil:
		return int(seq - b.first)
	}
	want := uint32(seq - b.first)
	i, _ := slices.BinarySearch(b.rel, want)
	return i
}

// find is the slot of a message, if it lives.
func (b *block) find(seq uint64) (int, bool) {
	if seq < b.first || seq > b.last {
		return 0, false
	}
	i := b.at(seq)
	return i, b.seq(i) == seq && !b.isDead(i)
}

// nextLive is the first living slot at or above i; len(slots) if none.
func (b *block) nextLive(i int) int {
	i = max(i, b.head)
	if b.dead == nil || i >= b.n {
		return min(i, b.n)
	}
	w := i / 64
	word := ^b.dead[w] &^ (1<<(i%64) - 1)
	for word == 0 {
		if w++; w == len(b.dead) {
			return b.n
		}
		word = ^b.dead[w]
	}
	return min(w*64+bits.TrailingZeros64(word), b.n)
}

// prevLive is the last living slot at or below i; -1 if none.
func (b *block) prevLive(i int) int {
	i = min(i, b.n-1)
	if i < b.head {
		return -1
	}
	if b.dead == nil {
		return i
	}
	w := i / 64
	word := ^b.dead[w] & (^uint64(0) >> (63 - i%64))
	for word == 0 {
		if w--; w < 0 {
			return -1
		}
		word = ^b.dead[w]
	}
	return w*64 + 63 - bits.LeadingZeros64(word)
}

// liveFrom is the number of living slots at or above i.
func (b *block) liveFrom(i int) int {
	switch {
	case i <= b.head:
		return b.live
	case i >= b.n:
		return 0
	case b.dead == nil:
		return b.n - i
	}
	n, w := 0, i/64
	n += bits.OnesCount64(b.dead[w] >> (i % 64))
	for _, word := range b.dead[w+1:] {
		n += bits.OnesCount64(word)
	}
	return b.n - i - n
}

// kill marks a living slot dead.
func (b *block) kill(i int, length uint32) {
	b.bury(i)
	b.live--
	b.liveSize -= length
	if i == b.head {
		b.head = b.nextLive(i)
	}
}

// firstTimeSlot is the first slot stored at or after t; len(slots) if none.
func (b *block) firstTimeSlot(t int64) int {
	if t > b.lastTime {
		return b.n
	}
	g := sort.Search(len(b.groups), func(g int) bool { return b.groups[g].time >= t })
	if g == 0 {
		return 0
	}
	i := (g - 1) * groupLen
	for ; i < min(g*groupLen, b.n); i++ {
		if b.entry(i).time >= t {
			break
		}
	}
	return i
}

// truncate forgets slots from n on. The caller has seen to what they counted for.
func (b *block) truncate(n int) {
	e := entry{off: b.size}
	at := uint32(len(b.codes))
	if n < b.n {
		e = b.entry(n)
		at = b.cur.at
	}
	if n > 0 {
		b.lastTime = b.entry(n - 1).time
		b.last = b.seq(n - 1)
	} else {
		b.last = b.first - 1
	}
	for i := b.nextLive(n); i < b.n; i = b.nextLive(i + 1) {
		b.live--
		b.liveSize -= b.entry(i).length
	}
	b.cur = cursor{}
	b.size = e.off
	b.slots, b.n = b.slots[:n], n
	b.codes = b.codes[:at]
	b.groups = b.groups[:(n+groupLen-1)/groupLen]
	if b.rel != nil {
		b.rel = b.rel[:n]
	}
	if b.dead != nil {
		b.dead = b.dead[:(n+63)/64]
		if n%64 != 0 {
			b.dead[n/64] &= 1<<(n%64) - 1
		}
	}
	b.head = min(b.head, n)
	for len(b.ttls) > 0 && int(b.ttls[len(b.ttls)-1].slot) >= n {
		b.ttls = b.ttls[:len(b.ttls)-1]
	}
}

// clip gives back the memory that growing left unused.
func (b *block) clip() {
	b.slots = clipped(b.slots)
	b.rel = clipped(b.rel)
	b.groups = clipped(b.groups)
	b.codes = clipped(b.codes)
	b.dead = clipped(b.dead)
}

func clipped[E any](p []E) []E {
	if cap(p)-len(p) <= len(p)/16 {
		return p
	}
	return append(make([]E, 0, len(p)), p...)
}
