package stream

import (
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/wire"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// effects is the [machine.Effects] of a stream.
type effects struct{ s *Stream }

var _ machine.Effects = effects{}

// reply is where item i of the present entry wants its answer; nil for nowhere.
func (s *Stream) reply(i int) []byte {
	if s.tag == nil || s.cfg.NoAck || i >= len(s.tag.items) {
		return nil
	}
	return s.tag.batch.Messages[s.tag.items[i]].Reply
}

// Acked answers a publisher.
func (x effects) Acked(i int, a *api.PubAck) {
	s := x.s
	to := s.reply(i)
	if s.tag != nil && len(s.tag.fast) > 0 {
		if f := s.tag.fastOf(i); f != nil {
			ans := s.fast.Stored(s.scratch[:0], f.batch, f.seq, a.Sequence)
			s.answerFast(to, &ans)
			return
		}
	}
	if len(to) == 0 {
		return
	}
	if a.Value == "" && a.BatchId == "" {
		s.scratch = api.AppendPubAck(s.scratch[:0], s.ackPrefix, a.Sequence, a.Duplicate)
	} else {
		s.scratch = a.AppendJSON(s.scratch[:0])
	}
	s.sender.Publish(to, nil, nil, s.scratch)
}

// Refused answers a publisher.
func (x effects) Refused(i int, err *api.Error) {
	s := x.s
	if s.restoring != nil {
		s.restoring.refused(err)
		return
	}
	if b := s.follow.copying; b != nil {
		b.Refused(i, err)
		return
	}
	to := s.reply(i)
	if s.tag != nil && len(s.tag.fast) > 0 {
		if f := s.tag.fastOf(i); f != nil {
			ans := s.fast.Refused(s.scratch[:0], f.batch, f.seq, err, to)
			s.answerFast(to, &ans)
			return
		}
	}
	s.answerError(to, err)
}

// Stored counts who needs the message, wakes who waits for it, and publishes it again
// where the configuration asks for it.
func (x effects) Stored(m *machine.Stored) {
	s := x.s
	s.retain(m.Seq, m.Subject)
	if !s.leads {
		return
	}
	if r := &s.consumers.awake; !r.empty() {
		for _, h := range r.all {
			h.c.Stored(m.Seq, m.Subject)
		}
		for _, h := range r.matching(m.Subject) {
			h.c.Stored(m.Seq, m.Subject)
		}
	}
	if s.republish != nil {
		s.publishAgain(m)
	}
}

// Removed forgets who needed the message, and tells who counts it or has it pending.
func (x effects) Removed(seq uint64, subject string, size int, why msgs.Why) {
	s := x.s
	s.keep.forget(seq)
	switch {
	case !s.leads:
	case why == msgs.ByDelete:
		for _, h := range s.consumers.all() {
			s.saveFirst(h)
			h.c.Removed(seq, subject, why)
		}
	case !s.consumers.awake.empty():
		for _, h := range s.consumers.awake.all {
			s.saveFirst(h)
			h.c.Removed(seq, subject, why)
		}
		for _, h := range s.consumers.awake.matching([]byte(subject)) {
			s.saveFirst(h)
			h.c.Removed(seq, subject, why)
		}
	}
}

// Cleared is Removed of everything that was there; the message that replaced it is counted already.
func (x effects) Cleared() {
	s := x.s
	s.keep.clear(s.store)
	if !s.leads || s.consumers.awake.empty() {
		return
	}
	for _, h := range s.consumers.all() {
		if h.listening {
			s.saveFirst(h)
			h.c.Cleared()
		}
	}
}

// publishAgain is the republish of a stored message: core, without guarantee.
func (s *Stream) publishAgain(m *machine.Stored) {
	to, ok := s.republish.AppendTo(nil, m.Subject, s.strand.Rand("republish"))
	if !ok {
		return
	}
	head, data := m.Header, m.Data
	head = wire.AppendHeaderSet(nil, head, "Nats-Stream", s.name)
	head = wire.AppendHeaderSet(nil, head, "Nats-Subject", string(m.Subject))
	head = wire.AppendHeaderSet(nil, head, "Nats-Sequence", strconv.FormatUint(m.Seq, 10))
	head = wire.AppendHeaderSet(nil, head, "Nats-Time-Stamp", time.Unix(0, m.Time).UTC().Format(time.RFC3339Nano))
	head = wire.AppendHeaderSet(nil, head, "Nats-Last-Sequence", strconv.FormatUint(m.Previous, 10))
	if s.cfg.RePublish.HeadersOnly {
		head = wire.AppendHeaderSet(nil, head, "Nats-Msg-Size", strconv.Itoa(len(data)))
		data = nil
	}
	s.sender.Publish(to, nil, head, data)
}
