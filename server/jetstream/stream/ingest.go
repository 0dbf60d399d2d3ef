package stream

import (
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// intake is what a publisher sent in one read, or a part of it, on its way through the
// log: item i of the entry is message items[i] of the batch.
type intake struct {
	batch *broker.Batch
	refs  *int // entries that the batch is spread over, and not yet applied
	items []int32
	fast  []fastItem // items that belong to fast batches, in order
	atom  bool       // the entry is an atomic batch, committed by items[0]
}

func (s *Stream) newIntake(b *broker.Batch, refs *int) *intake {
	t := &intake{}
	if n := len(s.free); n > 0 {
		t = s.free[n-1]
		s.free = s.free[:n-1]
	}
	*refs++
	t.batch, t.refs = b, refs
	return t
}

// freeMax bounds the intakes kept for reuse.
const freeMax = 64

// letGoIntake gives back a batch whose answers were sent, or never will be.
func (s *Stream) letGoIntake(t *intake) {
	if *t.refs--; *t.refs == 0 {
		t.batch.Release()
	}
	*t = intake{items: t.items[:0], fast: t.fast[:0]}
	if len(s.free) < freeMax {
		s.free = append(s.free, t)
	}
}

// take turns what publishers sent into entries, one a batch.
func (s *Stream) take(batches []*broker.Batch) {
	s.tick()
	for _, b := range batches {
		switch {
		case s.closed || s.failed != nil:
			b.Release()
		case s.jammed > 0 && s.jammed+b.Bytes > s.env.Limits.BufferedBytes:
			s.turnAway(b)
		default:
			s.takeBatch(b)
		}
	}
	s.endTask()
}

func (s *Stream) takeBatch(b *broker.Batch) {
	refs := new(int)
	*refs = 1
	t := s.newIntake(b, refs)
	s.begin(len(b.Messages), b.Bytes)
	for i := range b.Messages {
		m := &b.Messages[i]
		m.Header = s.ownHeader(m.Header)
		switch {
		case machine.IsFastReply(m.Reply):
			s.takeFast(t, m, i)
		case len(m.Header) > 0 && s.hasBatchID(m.Header):
			t = s.takeAtomic(t, m, i)
		default:
			s.add(m)
			t.items = append(t.items, int32(i))
		}
	}
	s.send(t)
	if *refs--; *refs == 0 {
		b.Release()
	}
}

// send proposes the entry that was built, unless it is empty.
func (s *Stream) send(t *intake) {
	if len(t.items) == 0 {
		s.env.Broker.PutBuffer(s.builder.Bytes())
		s.letGoIntake(t)
		return
	}
	s.propose(s.builder.Bytes(), t, s.class())
}

// begin starts an entry of msgs messages that have size bytes together.
func (s *Stream) begin(msgs, size int) {
	s.builder.MaxPayload = s.env.MaxPayload
	s.builder.Begin(append(s.env.Broker.Buffer(size+itemHead*msgs+64), kindMessages), s.now)
}

// itemHead is what a message in an entry has beside its subject, header and data, in bytes.
const itemHead = 16

// spent takes back what an entry was built in.
func (s *Stream) spent(payload []byte) {
	if len(payload) > 0 && (payload[0] == kindMessages || payload[0] == kindEvents) { // the others are kept in parts
		s.env.Broker.PutBuffer(payload)
	}
}

// class says how soon publishes must be durable.
func (s *Stream) class() raft.Class {
	if s.cfg.PersistMode == api.AsyncPersistMode {
		return raft.Unflushed
	}
	return raft.Prompt
}

// sizeOf is what a message will count for.
func (s *Stream) sizeOf(subject, header, data int) int {
	if s.cfg.Storage == api.MemoryStorage {
		return msgs.MemorySize(subject, header, data)
	}
	return msgs.FileSize(subject, header, data)
}

// overflow answers the publishers of a batch that does not fit into the queue. It runs on
// the publisher's strand, so it touches nothing of the stream that changes.
func (s *Stream) overflow(b *broker.Batch, _ clock.Strand) {
	if !s.noAck.Load() {
		ack := api.AppendPubAckError(nil, s.name, api.ErrStreamTooManyRequests)
		for i := range b.Messages {
			b.Answer(i, tooManyRequests, ack)
		}
	}
	b.Release()
}

// turnAway answers the publishers of a batch that came while too much waits for the log.
func (s *Stream) turnAway(b *broker.Batch) {
	for i := range b.Messages {
		if m := &b.Messages[i]; len(m.Reply) > 0 && !s.cfg.NoAck {
			s.scratch = api.AppendPubAckError(s.scratch[:0], s.name, api.ErrStreamTooManyRequests)
			s.sender.Publish(m.Reply, nil, tooManyRequests, s.scratch)
		}
	}
	b.Release()
}

var tooManyRequests = []byte("NATS/1.0 429 Too Many Requests\r\n\r\n")
