package wal

import (
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/lockstepmq/lockstep/clock"
)

const (
	// chunkMax is the length at which a chunk of entries takes no further one, in bytes.
	chunkMax = 256 << 10
	// partBytes is the length of the parts in which a state is logged.
	partBytes = 256 << 10
	partsMax  = 1 << 20
	// poolMax bounds the buffers that wait to be used again, in bytes.
	poolMax = 16 << 20
)

// action is what a chunk asks of the log besides being written.
type action uint8

const (
	write action = iota
	carry        // written with what is still needed of it
	// Those from here on are not written.
	detach   // the group is let go of
	skip     // nothing of it is needed any more
	keep     // entries from its index on stay behind checkpoints
	readBack // entries are read
)

// chunk is records of one group on their way to the log and, as an acknowledgement, back.
// It belongs to the strand that it was last handed to.
type chunk struct {
	chunkHeader
	buf    []byte // space for the header, the records, padding
	action action
	class  Class
	group  *Group // whom to tell; nil for nobody
	state  *groupState
	out    *outbox
	done   func(error) // called on the strand of out; nil for entries
	err    error
	cuts   uint64 // truncations of the group before it

	source   *segment // of action carry: where the chunk stood
	sourceAt int64
	judged   bool       // of action carry: what is needed of it was decided
	reading  *retrieval // of action readBack
}

// add appends an entry.
func (c *chunk) add(kind uint8, payload []byte) {
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(kind)<<28|uint32(len(payload)))
	c.buf = append(c.buf, payload...)
	c.count++
}

// finish ends the records, encrypting them when asked. scratch is a buffer to use and
// give back.
func (c *chunk) finish(s Sealer, scratch []byte) []byte {
	if s != nil && len(c.buf) > chunkHeaderLen {
		var aad [aadLen]byte
		c.flags |= flagSealed
		scratch = append(scratch[:0], c.buf[chunkHeaderLen:]...)
		c.buf = s.Seal(c.buf[:chunkHeaderLen], scratch, c.aad(&aad))
	}
	c.length = uint32(len(c.buf) - chunkHeaderLen)
	c.pad()
	c.bodySum = crc32.Checksum(c.buf[chunkHeaderLen:], castagnoli)
	return scratch
}

func (c *chunk) pad() {
	for len(c.buf)%8 != 0 {
		c.buf = append(c.buf, 0)
	}
}

// pool holds chunks to use again. It may be used from any strand.
type pool struct {
	mu    sync.Mutex // held across no call out
	free  []*chunk
	bytes int
}

func (p *pool) get() *chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return &chunk{buf: make([]byte, chunkHeaderLen, 1024)}
	}
	c := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	p.bytes -= cap(c.buf)
	return c
}

func (p *pool) put(c *chunk) {
	*c = chunk{buf: c.buf[:chunkHeaderLen]}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+cap(c.buf) <= poolMax && cap(c.buf) <= 2*chunkMax {
		p.free = append(p.free, c)
		p.bytes += cap(c.buf)
	}
}

// outbox brings answers to one strand, however many groups live there: one task a flush.
type outbox struct {
	box     *clock.Mailbox[*chunk]
	groups  int      // attached ones there; guarded by the log's mutex
	touched []*Group // the strand's
}

func newOutbox(l *Log, s clock.Strand) *outbox {
	o := &outbox{}
	o.box = clock.NewMailbox(s, 0, nil, func(answers []*chunk) { o.drain(l, answers) })
	return o
}

// drain gives each group its answers, and each one Flushed call.
func (o *outbox) drain(l *Log, answers []*chunk) {
	for _, c := range answers {
		switch {
		case c.group != nil:
			c.group.answered(c)
		case c.done != nil:
			c.done(c.err)
		}
		l.pool.put(c)
	}
	touched := o.touched
	o.touched = nil
	for i, g := range touched {
		touched[i] = nil
		g.tellFlushed()
	}
	if o.touched == nil {
		o.touched = touched[:0]
	}
}
