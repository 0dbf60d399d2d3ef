package stream

import (
	"encoding/binary"

	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/raft"
)

// eventLog gathers what consumers record until it is proposed as one entry: with the
// task's end when someone waits for it, else with a flush that comes anyway.
type eventLog struct {
	buf     []byte // an entry: kind, then events
	likely  int    // bytes of the one before
	count   int
	prompt  bool
	posted  bool
	waiters []func() // told at commit
	flying  int      // entries proposed and not applied
	task    func()
}

// eventsTag is what an entry of events carries to its commit.
type eventsTag struct{ committed []func() }

// eventsMax bounds the events of one entry, in bytes.
const eventsMax = 256 << 10

// record adds an event of a consumer.
func (s *Stream) record(h *hosted, event []byte, prompt bool, committed func()) {
	l := &s.events
	if len(l.buf) == 0 {
		l.buf = append(s.env.Broker.Buffer(max(l.likely, len(event)+16)), kindEvents)
	}
	l.buf = binary.AppendUvarint(l.buf, uint64(h.id))
	l.buf = codec.AppendBytes(l.buf, event)
	l.count++
	if committed != nil {
		l.waiters = append(l.waiters, committed)
		prompt = true
	}
	l.prompt = l.prompt || prompt
	if len(l.buf) >= eventsMax {
		s.proposeEvents()
		return
	}
	if !l.posted {
		l.posted = true
		if l.task == nil {
			l.task = s.flushEvents
		}
		s.strand.Post(l.task)
	}
}

// flushEvents proposes what the tasks before it recorded.
func (s *Stream) flushEvents() {
	s.events.posted = false
	s.proposeEvents()
}

func (s *Stream) proposeEvents() {
	l := &s.events
	if l.count == 0 || s.closed {
		return
	}
	payload, waiters, class := l.buf, l.waiters, raft.Lazy
	if l.prompt {
		class = raft.Prompt
	}
	l.buf, l.waiters, l.count, l.prompt, l.likely = nil, nil, 0, false, len(payload)
	l.flying++
	s.propose(payload, &eventsTag{waiters}, class)
}

// applyEvents carries out the committed side of events: retention, and answers to who
// waited. In replay the consumers see the events themselves first.
func (s *Stream) applyEvents(e *raft.Entry) {
	tag, _ := e.Tag.(*eventsTag)
	d := codec.Reader{P: e.Payload[1:]}
	for len(d.P) > 0 {
		id, event := uint32(d.Uint()), d.Bytes()
		if d.Err() != nil {
			s.fail(d.Err())
			return
		}
		h := s.consumers.byID(id)
		switch {
		case h == nil: // deleted meanwhile
		case tag == nil:
			h.c.Replay(event)
		default:
			s.saveFirst(h)
			h.c.Committed(event)
		}
		if h != nil && consumer.IsReset(event) {
			s.wasReset()
		}
	}
	if tag == nil {
		return
	}
	s.events.flying--
	for _, fn := range tag.committed {
		fn()
	}
}

// settled tells whether the consumers' state is exactly what the applied entries made: a
// leader's runs ahead of its log by what is not committed yet.
func (s *Stream) settled() bool {
	return s.events.flying == 0 && s.events.count == 0 && (s.machine == nil || !s.machine.Halfway())
}
