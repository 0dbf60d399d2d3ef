package archive

import (
	"encoding/binary"
	"fmt"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

const (
	magic          = "NATSARC1"
	stateName      = "state.json"
	consumerPrefix = "consumers/"
)

// Consumer is a consumer in a backup.
type Consumer struct {
	Config *api.ConsumerConfig `json:"config"`
	State  *ConsumerState      `json:"state"`
}

// ConsumerState is how far a consumer was.
type ConsumerState struct {
	Delivered   Pair                `json:"delivered"`
	AckFloor    Pair                `json:"ack_floor"`
	Pending     map[uint64]*Pending `json:"pending,omitempty"`     // by the stream's sequence
	Redelivered map[uint64]uint64   `json:"redelivered,omitempty"` // how often again, by the stream's sequence
}

// Pair is a place in a consumer's deliveries and in its stream.
type Pair struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

// Pending is a message that was delivered and not acknowledged.
type Pending struct {
	Sequence  uint64 // of the consumer
	Timestamp int64  // of the delivery, nanoseconds since 1970
}

// Writer makes a backup: State first, then every Consumer, then every Message, then End. Between calls
// [Writer.Take] gives what is ready.
type Writer struct {
	f         framer
	now       int64
	head      []byte
	consumers int // that must still come
	last      uint64
	written   int64
	begun     bool
	ended     bool
}

// NewWriter begins a backup; now is nanoseconds since 1970.
func NewWriter(now int64) *Writer {
	w := &Writer{now: now}
	w.f.write([]byte(magic))
	return w
}

// State writes what the stream holds. state.Consumers tells how many consumers follow.
func (w *Writer) State(state *api.StreamState) {
	if w.begun {
		panic("archive: state written twice")
	}
	w.begun, w.consumers = true, state.Consumers
	w.entry(stateName, w.now, 0, nil, api.Marshal(state))
}

// Consumer writes a consumer.
func (w *Writer) Consumer(name string, c *Consumer) {
	if !w.begun || w.consumers == 0 {
		panic(fmt.Sprintf("archive: consumer %q is more than the state says", name))
	}
	w.consumers--
	w.entry(consumerPrefix+name, w.now, 0, nil, api.Marshal(c))
}

// Message writes a message. Sequences ascend.
func (w *Writer) Message(m *msgs.Msg) {
	if !w.begun || w.consumers > 0 || m.Seq <= w.last {
		panic(fmt.Sprintf("archive: message %d after %d, with %d consumers missing", m.Seq, w.last, w.consumers))
	}
	w.last = m.Seq
	w.entry(m.Subject, m.Time, m.Seq, m.Header, m.Data)
}

// End writes the end.
func (w *Writer) End() {
	w.entry("", 0, 0, nil, nil)
	w.f.flush()
	w.ended = true
}

func (w *Writer) entry(name string, at int64, seq uint64, header, data []byte) {
	b := binary.AppendUvarint(w.head[:0], uint64(len(name)))
	b = binary.AppendVarint(b, at)
	b = binary.AppendUvarint(b, seq)
	b = binary.AppendUvarint(b, uint64(len(header)))
	b = binary.AppendUvarint(b, uint64(len(data)))
	b = append(b, name...)
	w.head = b
	w.written += int64(len(b) + len(header) + len(data))
	w.f.write(b)
	w.f.write(header)
	w.f.write(data)
}

// Written is the number of bytes written, before compression.
func (w *Writer) Written() int64 { return w.written }

// Ready is the number of bytes that Take can give.
func (w *Writer) Ready() int { return len(w.f.out) }

// Ended tells whether End was called: what is ready is all.
func (w *Writer) Ended() bool { return w.ended }

// Take appends up to n bytes of the backup to dst.
func (w *Writer) Take(dst []byte, n int) []byte {
	n = min(n, len(w.f.out))
	dst = append(dst, w.f.out[:n]...)
	w.f.out = w.f.out[:copy(w.f.out, w.f.out[n:])]
	return dst
}
