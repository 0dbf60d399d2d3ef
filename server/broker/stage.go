package broker

import (
	"sync"

	"github.com/lockstepmq/lockstep/server/account"
)

// Sizes of the staging area. What is staged for all receivers of one batch is
// flushed when it passes stagedMax, so that a large fan-out of a large read
// stays bounded.
const (
	lendMin   = 2048    // payloads from here on are sent from the read buffer, not copied
	stagedMax = 1 << 20 // bytes

	stageMax = 64 << 10 // bytes encoded for one receiver before they are handed over

	recordsKeep = 2048 // records whose space a stage keeps between batches
)

// stage collects what one publisher's batch sends to one receiver. It belongs
// to the publisher's strand, so appending takes no lock; flush hands it over
// under the receiver's lock, once a batch.
type stage struct {
	to      *Client // nil when sink or link is not
	buf     []byte  // encoded protocol, with copied payloads
	ext     []ref   // payloads lent from the read buffer
	recs    []record
	touched bool // listed in the publisher's touched

	link                *Link
	acc                 *account.Account // of what was staged last for the link,
	msgs, payload       int64            // and how much in this account,
	allMsgs, allPayload int64            // and before in others

	sink    *Sink
	arrived *Batch // of the sink; nil while nothing is staged
	likely  int    // bytes of the sink's last batch
}

// ref is a lent payload whose place is after buf[:at].
type ref struct {
	at int
	p  []byte
}

// record is one message of a subscription: it ends at buf[:end] and ext[:ext].
type record struct {
	sub     *account.Subscription // nil for protocol of the connection itself
	end     int32
	ext     int32
	payload int32
	counted bool // Delivered was raised when the message was staged
}

// note closes the record of what was just encoded.
func (s *stage) note(sub *account.Subscription, payload int, counted bool) {
	s.recs = append(s.recs, record{sub, int32(len(s.buf)), int32(len(s.ext)), int32(payload), counted})
}

// before is where record i begins, in buf and in ext.
func (s *stage) before(i int) (at, ext int) {
	if i == 0 {
		return 0, 0
	}
	return int(s.recs[i-1].end), int(s.recs[i-1].ext)
}

// vectors appends buf[from:to] with the lent payloads ext[fromExt:toExt] in
// their places.
func (s *stage) vectors(dst [][]byte, from, to, fromExt, toExt int) [][]byte {
	for _, e := range s.ext[fromExt:toExt] {
		if e.at > from {
			dst = append(dst, s.buf[from:e.at])
			from = e.at
		}
		dst = append(dst, e.p)
	}
	if to > from {
		dst = append(dst, s.buf[from:to])
	}
	return dst
}

// empty forgets what was handed over, and keeps the buffer.
func (s *stage) empty() {
	if s.sink != nil {
		return
	}
	s.buf = s.buf[:0]
	clear(s.ext)
	s.ext = s.ext[:0]
	if cap(s.recs) > recordsKeep {
		s.recs = nil
		return
	}
	clear(s.recs)
	s.recs = s.recs[:0]
}

// reset empties the stage at the end of a batch and gives its buffer back.
func (s *stage) reset(pool *bufferPool) {
	s.touched = false
	if s.sink != nil {
		if s.arrived != nil {
			s.arrived.Release()
			s.arrived = nil
		}
		return
	}
	pool.put(s.buf)
	s.empty()
	s.buf = nil
}

// bufferPool keeps staging buffers between batches, by size class. It is shared
// by all strands and bounded.
type bufferPool struct {
	classes [len(classSizes)]bufferClass
}

// classSizes are those of buffers; the last is for the usual chunks of large objects.
var classSizes = [...]int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 144 << 10}

// classKeep bounds what each class keeps, in bytes.
const classKeep = 8 << 20

type bufferClass struct {
	mu   sync.Mutex
	free [][]byte
}

// get returns an empty buffer with room for n bytes.
func (p *bufferPool) get(n int) []byte {
	for i, size := range classSizes {
		if n > size {
			continue
		}
		c := &p.classes[i]
		c.mu.Lock()
		if k := len(c.free); k > 0 {
			b := c.free[k-1]
			c.free[k-1] = nil
			c.free = c.free[:k-1]
			c.mu.Unlock()
			return b
		}
		c.mu.Unlock()
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// put takes a buffer back; one of no class is left to the collector.
func (p *bufferPool) put(b []byte) {
	for i, size := range classSizes {
		if cap(b) != size {
			continue
		}
		c := &p.classes[i]
		c.mu.Lock()
		if len(c.free)*size < classKeep {
			c.free = append(c.free, b[:0])
		}
		c.mu.Unlock()
		return
	}
}

// grow returns b with room for n more bytes.
func (p *bufferPool) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	want := len(b) + n
	if b != nil {
		want = max(want, min(4*cap(b), stageMax))
	}
	next := append(p.get(want), b...)
	p.put(b)
	return next
}
