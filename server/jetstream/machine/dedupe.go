package machine

import (
	"encoding/binary"

	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// dedupe remembers the message ids of a window of time, exactly: an id is known from when its
// message was stored until the window has passed. It is a ring in order of time with a hash
// table over it; ids lie one after another in chunks, so that an id costs no allocation.
type dedupe struct {
	window int64 // nanoseconds; 0 is off
	ring   []dedupeEntry
	head   uint64 // number of the oldest
	tail   uint64 // number of the next
	table  []uint32
	chunks []dedupeChunk // of ids, oldest first
}

type dedupeEntry struct {
	hash uint64
	seq  uint64
	time int64
	id   []byte // in a chunk
}

// dedupeChunk holds ids; it goes when its last one does.
type dedupeChunk struct {
	buf  []byte
	last uint64 // number of its newest entry
}

const dedupeChunkBytes = 16 << 10

func hashID(id []byte) uint64 { return mixBytes(hashB, id) }

func (d *dedupe) len() int { return int(d.tail - d.head) }

func (d *dedupe) at(n uint64) *dedupeEntry { return &d.ring[n&uint64(len(d.ring)-1)] }

// find gives the sequence that an id was stored at within the window before now.
func (d *dedupe) find(id []byte, now int64) (seq uint64, ok bool) {
	if d.tail == d.head {
		return 0, false
	}
	if _, e := d.lookup(hashID(id), id); e != nil && now-e.time < d.window {
		return e.seq, true
	}
	return 0, false
}

// lookup gives an id's place in the table, or the free one where it would be.
func (d *dedupe) lookup(hash uint64, id []byte) (place uint64, e *dedupeEntry) {
	mask := uint64(len(d.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		v := d.table[i]
		if v == 0 {
			return i, nil
		}
		if e := d.entry(v); e.hash == hash && string(e.id) == string(id) {
			return i, e
		}
	}
}

// entry finds an entry by what the table has: the low bits of its number, plus one.
func (d *dedupe) entry(v uint32) *dedupeEntry { return &d.ring[uint64(v-1)] }

// add notes an id that find does not know. Times do not fall, but for those of a backup.
func (d *dedupe) add(id []byte, seq uint64, now int64) {
	if d.window <= 0 {
		return
	}
	if d.len() == len(d.ring) {
		d.grow()
	}
	hash := hashID(id)
	if _, e := d.lookup(hash, id); e != nil { // out of the window, and behind one that is not
		e.seq, e.time = seq, now
		return
	}
	n := d.tail
	d.tail++
	*d.at(n) = dedupeEntry{hash: hash, seq: seq, time: now, id: d.keep(id, n)}
	place, _ := d.lookup(hash, id)
	d.table[place] = uint32(n&uint64(len(d.ring)-1)) + 1
}

// keep copies an id into a chunk.
func (d *dedupe) keep(id []byte, n uint64) []byte {
	c := len(d.chunks) - 1
	if c < 0 || cap(d.chunks[c].buf)-len(d.chunks[c].buf) < len(id) {
		size := min(max(dedupeChunkBytes, len(id)), max(len(id), 64*len(d.ring)))
		d.chunks = append(d.chunks, dedupeChunk{buf: make([]byte, 0, size)})
		c++
	}
	ch := &d.chunks[c]
	from := len(ch.buf)
	ch.buf = append(ch.buf, id...)
	ch.last = n
	return ch.buf[from:len(ch.buf):len(ch.buf)]
}

// grow doubles the ring, and the table with it, which is never more than half full.
func (d *dedupe) grow() { d.resize(max(16, 2*len(d.ring))) }

func (d *dedupe) resize(size int) {
	old, head := d.ring, d.head
	d.ring, d.table = make([]dedupeEntry, size), make([]uint32, 2*size)
	for n := head; n != d.tail; n++ {
		*d.at(n) = old[n&uint64(len(old)-1)]
		d.place(n)
	}
}

func (d *dedupe) place(n uint64) {
	mask := uint64(len(d.table) - 1)
	i := d.at(n).hash & mask
	for d.table[i] != 0 {
		i = (i + 1) & mask
	}
	d.table[i] = uint32(n&uint64(len(d.ring)-1)) + 1
}

// expire forgets what is older than the window at now.
func (d *dedupe) expire(now int64) {
	if d.head == d.tail || now-d.at(d.head).time < d.window {
		return
	}
	for d.head != d.tail && now-d.at(d.head).time >= d.window {
		d.drop()
	}
	d.shrink()
}

// drop forgets the oldest.
func (d *dedupe) drop() {
	e := d.at(d.head)
	d.unplace(e.hash, uint32(d.head&uint64(len(d.ring)-1))+1)
	*e = dedupeEntry{}
	if d.chunks[0].last == d.head {
		d.chunks[0] = dedupeChunk{}
		d.chunks = d.chunks[1:]
	}
	d.head++
}

// unplace removes a value from the table, and moves what follows it up.
func (d *dedupe) unplace(hash uint64, v uint32) {
	mask := uint64(len(d.table) - 1)
	i := hash & mask
	for d.table[i] != v {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; d.table[j] != 0; j = (j + 1) & mask {
		home := d.entry(d.table[j]).hash & mask
		if (j-home)&mask >= (j-i)&mask {
			d.table[i] = d.table[j]
			i = j
		}
	}
	d.table[i] = 0
}

// shrink lets go of the memory of a crowd that has left.
func (d *dedupe) shrink() {
	switch n := d.len(); {
	case n == 0:
		d.ring, d.table, d.chunks = nil, nil, nil
		d.head, d.tail = 0, 0
	case len(d.ring) > 1024 && n < len(d.ring)/8:
		d.resize(len(d.ring) / 4)
	}
}

// setWindow changes the window; what is out of the new one is forgotten.
func (d *dedupe) setWindow(window, now int64) {
	d.window = max(window, 0)
	if window <= 0 {
		d.head = d.tail
		d.shrink()
		return
	}
	d.expire(now)
}

// snapshot appends the ids in order of time.
func (d *dedupe) snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.len()))
	var seq, time uint64
	for n := d.head; n != d.tail; n++ {
		e := d.at(n)
		dst = binary.AppendVarint(dst, int64(e.seq-seq))
		dst = binary.AppendUvarint(dst, uint64(e.time)-time)
		dst = codec.AppendBytes(dst, e.id)
		seq, time = e.seq, uint64(e.time)
	}
	return dst
}

// restore reads what snapshot wrote, into an empty table.
func (d *dedupe) restore(r *codec.Reader) {
	var seq, time uint64
	for range r.Count(3) {
		seq += uint64(r.Int())
		time += r.Uint()
		id := r.Bytes()
		if r.Bad {
			return
		}
		d.add(id, seq, int64(time))
	}
}
