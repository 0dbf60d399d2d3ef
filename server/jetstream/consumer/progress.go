package consumer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Progress is how far a consumer is, in terms that other servers share: what a backup keeps of it.
// All sequences of the stream in it are above 0.
type Progress struct {
	DeliveredConsumer, DeliveredStream uint64
	FloorConsumer, FloorStream         uint64
	// Pending are the messages that were delivered and not acknowledged, ascending.
	Pending []PendingMessage
	// Exhausted are those that had all their deliveries without an acknowledgement, ascending.
	Exhausted []uint64
}

// PendingMessage is one message that waits for its acknowledgement.
type PendingMessage struct {
	Stream   uint64 // sequence
	Consumer uint64 // sequence of the first delivery; 0 when that is not known
	// At is from when one ack wait runs, in nanoseconds since 1970. A message that is due at another time
	// than that has it moved.
	At         int64
	Deliveries uint32 // 1 at least
}

// Progress tells how far the consumer is.
func (c *Consumer) Progress() *Progress {
	c.dropExhausted()
	p := &Progress{
		DeliveredConsumer: c.dseq, DeliveredStream: c.position(), FloorConsumer: c.floorDseq, FloorStream: c.floor,
		Pending: make([]PendingMessage, 0, c.pending.len()), Exhausted: slices.Clone(c.exhausted),
	}
	now, shift := c.host.Now(), int64(0)
	if c.live {
		shift = now - int64(c.host.Mono())
	}
	c.pending.each(func(e *entry) bool {
		m := PendingMessage{Stream: e.seq, Consumer: e.first, At: e.at + shift, Deliveries: max(e.count, 1)}
		switch wait := c.wait(m.Deliveries); {
		case e.flags&queued != 0 || e.count == 0:
			m.At = min(m.At, now-wait)
		case e.flags&timed != 0:
			m.At = e.due + shift - wait
		}
		p.Pending = append(p.Pending, m)
		return true
	})
	return p
}

// AppendProgress appends the snapshot of a consumer that is so far, for [Restore]. An error says what
// makes no sense in p.
func AppendProgress(dst []byte, p *Progress) ([]byte, error) {
	if err := p.check(); err != nil {
		return dst, err
	}
	dst = append(dst, snapshotVersion)
	for _, v := range [...]uint64{p.DeliveredStream + 1, p.DeliveredConsumer, p.FloorStream, p.FloorConsumer, p.DeliveredConsumer} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = binary.AppendVarint(dst, 0) // the configuration says until when it is paused
	dst = appendSequences(dst, p.Exhausted)
	dst = append(dst, 0)
	dst = binary.AppendUvarint(dst, uint64(len(p.Pending)))
	seq, at := uint64(0), int64(0)
	for _, m := range p.Pending {
		dst = binary.AppendUvarint(dst, m.Stream-seq)
		dst = binary.AppendUvarint(dst, m.Consumer)
		dst = binary.AppendUvarint(dst, uint64(max(m.Deliveries, 1)))
		dst = binary.AppendVarint(dst, m.At-at)
		dst = append(dst, 0)
		seq, at = m.Stream, m.At
	}
	return dst, nil
}

// progressMax is above every sequence that makes sense, and every time.
const progressMax = 1 << 62

func (p *Progress) check() error {
	var wrong []string
	if p.DeliveredStream >= progressMax || p.DeliveredConsumer >= progressMax {
		wrong = append(wrong, fmt.Sprintf("delivered up to %d, %d", p.DeliveredConsumer, p.DeliveredStream))
	}
	if p.FloorStream > p.DeliveredStream || p.FloorConsumer > p.DeliveredConsumer {
		wrong = append(wrong, fmt.Sprintf("ack floor %d, %d above what was delivered, %d, %d",
			p.FloorConsumer, p.FloorStream, p.DeliveredConsumer, p.DeliveredStream))
	}
	if len(p.Pending) > sequencesMax || len(p.Exhausted) > sequencesMax {
		wrong = append(wrong, fmt.Sprintf("%d messages pending; %d are allowed", len(p.Pending), sequencesMax))
	}
	seq := uint64(0)
	for i := range p.Pending {
		m := &p.Pending[i]
		if m.Stream <= seq || m.Stream > p.DeliveredStream || m.Consumer > p.DeliveredConsumer || m.At < -progressMax || m.At > progressMax {
			wrong = append(wrong, fmt.Sprintf("message %d cannot be pending, delivered as %d", m.Stream, m.Consumer))
			break
		}
		seq = m.Stream
	}
	seq = 0
	for _, s := range p.Exhausted {
		if s <= seq || s > p.DeliveredStream {
			wrong = append(wrong, fmt.Sprintf("message %d cannot be out of deliveries", s))
			break
		}
		seq = s
	}
	if len(wrong) > 0 {
		return fmt.Errorf("state makes no sense: %s", strings.Join(wrong, "; "))
	}
	return nil
}
