package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// A record of a block: length of all of it, little endian, whose highest bit tells of a header | sequence |
// time | length of the subject | subject | length of the header, if there is one | header | payload | checksum.
const (
	recordHasHeader = 1 << 31
	recordFixed     = 4 + 8 + 8 + 2
	recordSum       = 8
	recordErased    = 1 << 63 // of the sequence: its content was overwritten
	recordTombstone = 1 << 62 // of the sequence: the message of that sequence was removed
)

var errRecord = errors.New("malformed record")

// record reads a record of a block. Checksums are not verified: those of the compressed stream cover all.
func (t *tarball) record(o *Options, p []byte, it *Item) (int, error) {
	if len(p) < recordFixed {
		return 0, nil
	}
	word := binary.LittleEndian.Uint32(p)
	n := int(word &^ uint32(recordHasHeader))
	if n < recordFixed+recordSum || int64(n) > t.left {
		return 0, errRecord
	}
	seq, at := binary.LittleEndian.Uint64(p[4:]), int64(binary.LittleEndian.Uint64(p[12:]))
	subject := int(binary.LittleEndian.Uint16(p[20:]))
	switch {
	case seq&recordErased == 0 && seq&recordTombstone == 0:
		if err := t.admit(o, seq, n-recordFixed-recordSum-subject); err != nil {
			return 0, err
		}
	case n > documentMax:
		return 0, errRecord
	}
	if len(p) < n {
		return 0, nil
	}
	switch {
	case seq&recordErased != 0:
		return n, nil
	case seq&recordTombstone != 0:
		if seq &^= recordTombstone; seq <= t.last {
			it.Kind, it.From, it.To = IsRemoved, seq, seq
		}
		return n, nil
	}
	t.last = seq
	return n, splitRecord(p[recordFixed:n-recordSum], subject, word&recordHasHeader != 0, seq, at, it)
}

// admit judges a message by what its record begins with.
func (t *tarball) admit(o *Options, seq uint64, size int) error {
	switch {
	case size < 0 || seq == 0:
		return errRecord
	case seq <= t.last:
		return fmt.Errorf("message sequence %d out of order", seq)
	case size > o.MaxPayload+4:
		return fmt.Errorf("message sequence %d exceeds maximum payload size", seq)
	}
	return nil
}

func splitRecord(p []byte, subject int, headed bool, seq uint64, at int64, it *Item) error {
	if subject == 0 || subject > len(p) {
		return errRecord
	}
	it.Kind = IsMessage
	it.Message = Message{Seq: seq, Time: at, Subject: p[:subject]}
	p = p[subject:]
	if headed {
		if len(p) < 4 {
			return errRecord
		}
		n := binary.LittleEndian.Uint32(p)
		if p = p[4:]; uint64(n) > uint64(len(p)) {
			return errRecord
		}
		it.Message.Header, p = p[:n:n], p[n:]
	}
	it.Message.Data = p
	return nil
}

// index reads index.db: which messages of the blocks exist.
//
//	11 | version | messages | bytes | first sequence | its time | last sequence | its time |
//	number of subjects | each: length, subject, messages, first block, last block if there are several |
//	number of blocks | each: number, bytes, first sequence, its time, last sequence, its time, removed
//	messages, (from version 2 on) messages with a TTL, (from version 3 on) schedules, set of the removed
//	ones if there are any |
//	what is not needed
type index struct {
	stage    uint8
	version  byte
	subjects uint64
	blocks   uint64
	last     uint64 // of the block before
	removed  []run  // to be told
}

// run is some sequences one after another.
type run struct{ from, to uint64 }

const (
	indexMagic   = 11
	indexVersion = 4
	setMagic     = 22
	setVersion   = 2
	setNode      = 8 + 2048/8 + 2 // base, bits, height
)

var errIndex = errors.New("malformed index")

// cursor reads numbers. With short set the bytes did not suffice, with bad they are none.
type cursor struct {
	p          []byte
	at         int
	short, bad bool
}

func (c *cursor) uint() uint64 {
	if c.short || c.bad {
		return 0
	}
	v, n := binary.Uvarint(c.p[c.at:])
	switch {
	case n == 0:
		c.short = true
	case n < 0:
		c.bad = true
	default:
		c.at += n
	}
	return v
}

func (c *cursor) int() int64 {
	v := c.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (c *cursor) bytes(n uint64) []byte {
	if c.short || c.bad {
		return nil
	}
	if n > uint64(len(c.p)-c.at) {
		c.short = true
		return nil
	}
	b := c.p[c.at : c.at+int(n)]
	c.at += int(n)
	return b
}

// tells whether there is something to be told.
func (x *index) tells() bool { return len(x.removed) > 0 }

// tell gives the next run of sequences that have no message.
func (x *index) tell(it *Item) bool {
	if len(x.removed) == 0 {
		return false
	}
	r := x.removed[0]
	x.removed = x.removed[1:]
	it.Kind, it.From, it.To = IsRemoved, r.from, r.to
	return true
}

// parse reads a step of the index. It gives the bytes that were read; 0 when more are needed.
func (x *index) parse(p []byte, it *Item) (int, error) {
	c := cursor{p: p}
	var err error
	switch {
	case x.stage == 0:
		err = x.head(&c, it)
	case x.subjects > 0:
		x.subject(&c)
	case x.stage == 1:
		if x.blocks = c.uint(); !c.short {
			x.stage = 2
		}
	case x.blocks > 0:
		err = x.block(&c)
	default:
		return len(p), nil
	}
	switch {
	case err != nil:
		return 0, err
	case c.bad:
		return 0, errIndex
	case c.short:
		*it = Item{}
		return 0, nil
	}
	return c.at, nil
}

func (x *index) head(c *cursor, it *Item) error {
	b := c.bytes(2)
	if c.short {
		return nil
	}
	if b[0] != indexMagic || b[1] == 0 || b[1] > indexVersion {
		return fmt.Errorf("version %d.%d of the index is not known", b[0], b[1])
	}
	x.version = b[1]
	s := &api.StreamState{}
	s.Msgs, s.Bytes = c.uint(), c.uint()
	s.FirstSeq, s.FirstTime = c.uint(), moment(c.int())
	s.LastSeq, s.LastTime = c.uint(), moment(c.int())
	n := c.uint()
	if c.short || c.bad {
		return nil
	}
	x.stage, x.subjects = 1, n
	s.NumSubjects = int(min(n, 1<<31))
	it.Kind, it.State = IsState, s
	return nil
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// subject passes over what the index says of a subject.
func (x *index) subject(c *cursor) {
	n := c.uint()
	if n > nameMax {
		c.bad = true
		return
	}
	c.bytes(n)
	many := c.uint() > 1
	c.uint()
	if many {
		c.uint()
	}
	if !c.short && !c.bad {
		x.subjects--
	}
}

func (x *index) block(c *cursor) error {
	c.uint()
	c.uint()
	first := c.uint()
	c.int()
	last := c.uint()
	c.int()
	removed := c.uint()
	for v := byte(2); v <= min(x.version, 3); v++ {
		c.uint()
	}
	if c.short || c.bad {
		return nil
	}
	var runs []run
	if removed > 0 {
		var err error
		if runs, err = readSet(c); err != nil || c.short || c.bad {
			return err
		}
	}
	if first > x.last+1 {
		x.removed = append(x.removed, run{x.last + 1, first - 1})
	}
	x.removed = append(x.removed, runs...)
	x.last = max(last, x.last)
	x.blocks--
	return nil
}

// setNodesMax bounds the nodes of a set: those of a block's sequences.
const setNodesMax = 1 << 16

// readSet reads a set of sequences: 22 | version | number of nodes and of members, four bytes each | nodes
// of a first sequence, 2048 bits and a height.
func readSet(c *cursor) ([]run, error) {
	b := c.bytes(10)
	if c.short {
		return nil, nil
	}
	nodes := binary.LittleEndian.Uint32(b[2:])
	if b[0] != setMagic || b[1] != setVersion || nodes > setNodesMax {
		return nil, errIndex
	}
	p := c.bytes(uint64(nodes) * setNode)
	if c.short {
		return nil, nil
	}
	var runs []run
	for ; len(p) > 0; p = p[setNode:] {
		base := binary.LittleEndian.Uint64(p)
		for i := range 2048 / 64 {
			for w := binary.LittleEndian.Uint64(p[8+8*i:]); w != 0; w &= w - 1 {
				seq := base + uint64(64*i+bits.TrailingZeros64(w))
				if n := len(runs); n > 0 && runs[n-1].to+1 == seq {
					runs[n-1].to = seq
				} else {
					runs = append(runs, run{seq, seq})
				}
			}
		}
	}
	return runs, nil
}

var errConsumerState = errors.New("malformed consumer state")

// decodeConsumerState reads o.dat. Sequences of what is pending are counted from the ack floor, times are seconds
// before a base.
//
//	22 | 2 | ack floor: consumer, stream | delivered: consumer, stream | number pending |
//	base, and each: stream, consumer, seconds, if there are any | number redelivered | each: stream, count
func decodeConsumerState(p []byte) (*ConsumerState, error) {
	c := cursor{p: p}
	if b := c.bytes(2); c.short || b[0] != setMagic || b[1] != 2 {
		return nil, errConsumerState
	}
	s := &ConsumerState{}
	s.AckFloor.Consumer, s.AckFloor.Stream = c.uint(), c.uint()
	s.Delivered.Consumer, s.Delivered.Stream = c.uint(), c.uint()
	if n := c.uint(); n > 0 {
		if n > uint64(len(p)/3) {
			return nil, errConsumerState
		}
		base := c.int()
		s.Pending = make(map[uint64]*Pending, n)
		for range n {
			seq, dseq := c.uint()+s.AckFloor.Stream, c.uint()+s.AckFloor.Consumer
			s.Pending[seq] = &Pending{dseq, (base - c.int()) * int64(time.Second)}
		}
	}
	if n := c.uint(); n > 0 {
		if n > uint64(len(p)/2) {
			return nil, errConsumerState
		}
		s.Redelivered = make(map[uint64]uint64, n)
		for range n {
			seq := c.uint() + s.AckFloor.Stream
			s.Redelivered[seq] = c.uint()
		}
	}
	if c.short || c.bad {
		return nil, errConsumerState
	}
	return s, nil
}
