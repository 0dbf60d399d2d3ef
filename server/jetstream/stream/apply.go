package stream

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/jetstream/source"
	"github.com/lockstepmq/lockstep/server/raft"
)

// Kinds of entries: the first byte of each.
const (
	kindMessages       = 1 // for the machine
	kindEvents         = 2
	kindConsumerDelete = 5
	kindConfig         = 6
	kindConsumerCreate = 10
	kindConsumerUpdate = 11
	// Of a stream that is made of a backup.
	kindRestoreRemove   = 8
	kindRestored        = 9
	kindConsumerRestore = 12
	// 3, 4 and 7 were 10 to 12 with configurations in JSON.
)

// answerTag is what an administrative entry carries to its apply.
type answerTag struct{ done func() }

// Apply is part of [raft.Machine].
func (s *Stream) Apply(e *raft.Entry) bool {
	done := s.apply(e)
	s.halfway = !done && s.machine.Halfway()
	return done
}

func (s *Stream) apply(e *raft.Entry) bool {
	if len(e.Payload) == 0 {
		return true
	}
	switch e.Payload[0] {
	case kindMessages:
		return s.applyMessages(e)
	case kindEvents:
		s.applyEvents(e)
	case kindConsumerCreate:
		s.applyConsumerCreate(e)
	case kindConsumerUpdate:
		s.applyConsumerUpdate(e)
	case kindConsumerDelete:
		s.applyConsumerDelete(e)
	case kindConfig:
		if !s.applyConfig(e) {
			return false
		}
	case kindConsumerRestore:
		s.applyConsumerRestore(e)
	case kindRestoreRemove:
		s.applyRestoreRemove(e)
	case kindRestored:
		s.applyRestored()
	default:
		s.fail(fmt.Errorf("%w: kind %d at index %d", codec.ErrUnreadable, e.Payload[0], e.Index))
	}
	switch t := e.Tag.(type) {
	case *answerTag:
		if t.done != nil {
			t.done()
		}
	case *restoreTag:
		t.applied()
	}
	return true
}

// applyMessages lets the machine apply; a publisher's replies are at hand meanwhile.
func (s *Stream) applyMessages(e *raft.Entry) bool {
	s.tag, _ = e.Tag.(*intake)
	s.follow.copying, _ = e.Tag.(*source.Batch)
	if !s.machine.Apply(e.Payload[1:]) {
		return false
	}
	s.follow.copying = nil
	if err := s.machine.Err(); err != nil {
		s.fail(err)
	}
	switch t := e.Tag.(type) {
	case *source.Batch:
		t.Applied()
	case *intake:
		s.letGoIntake(t)
		s.tag = nil
	case *resultTag:
		t.done(s.machine.Result())
	case *restoreTag:
		t.applied()
	}
	return true
}

// Applied is part of [raft.Machine].
func (s *Stream) Applied(replayed bool) {
	s.tick()
	switch {
	case !replayed || s.failed != nil:
	case s.spec.Hidden, s.spec.Members != nil:
		s.finish(nil)
	default:
		s.lead((*consumer.Consumer).Recovered)
	}
	s.afterEvents()
	s.letIn()
	s.endTask()
}

// endTask flushes what a task sent, and arms what comes next.
func (s *Stream) endTask() {
	s.count()
	s.armWake()
	s.sender.Flush()
}

// count tells the account's usage what changed.
func (s *Stream) count() {
	st := s.store.State()
	if n := int64(st.Bytes); n != s.counted.bytes {
		s.spec.Usage.add(s.cfg.Storage, n-s.counted.bytes)
		s.counted.bytes = n
	}
	if n := int64(st.Msgs); n != s.counted.messages {
		s.spec.Usage.addMessages(n - s.counted.messages)
		s.counted.messages = n
	}
	if n := int64(s.consumers.visible); n != s.counted.consumers {
		s.spec.Usage.addConsumers(n - s.counted.consumers)
		s.counted.consumers = n
	}
	if n := int64(s.consumers.len() - s.consumers.visible); n != s.counted.internal {
		s.spec.Usage.addInternal(n - s.counted.internal)
		s.counted.internal = n
	}
	n := int64(0)
	if s.leads {
		n = int64(s.consumers.len())
	}
	if n != s.counted.served {
		s.spec.Usage.addServed(n - s.counted.served)
		s.counted.served = n
	}
}

// uncount takes back what a stream that goes was counted for.
func (s *Stream) uncount() {
	s.spec.Usage.add(s.cfg.Storage, -s.counted.bytes)
	s.spec.Usage.addMessages(-s.counted.messages)
	s.spec.Usage.addConsumers(-s.counted.consumers)
	s.spec.Usage.addInternal(-s.counted.internal)
	s.spec.Usage.addServed(-s.counted.served)
	s.counted = counted{}
}

// appendConsumerEntry writes a consumer's configuration with what identifies it.
func appendConsumerEntry(dst []byte, id uint32, name string, created time.Time, cfg *api.ConsumerConfig) []byte {
	b := binary.AppendUvarint(dst, uint64(id))
	b = codec.AppendBytes(b, name)
	b = binary.AppendVarint(b, created.UnixNano())
	return appendConsumerConfig(b, name, cfg)
}

// readConsumerEntry reads it off d. If the consumer's metadata equals labels, it is that map, which nobody may change.
func readConsumerEntry(d *codec.Reader, labels map[string]string) (id uint32, name string, created time.Time, cfg *api.ConsumerConfig, err error) {
	id, name = uint32(d.Uint()), d.Text()
	created = time.Unix(0, d.Int()).UTC()
	cfg = readConsumerConfig(d, name, labels)
	if d.Err() != nil {
		return 0, "", created, nil, fmt.Errorf("%w: consumer configuration", d.Err())
	}
	return id, name, created, cfg, nil
}

func (s *Stream) applyConsumerCreate(e *raft.Entry) {
	id, name, created, cfg, err := readConsumerEntry(&codec.Reader{P: e.Payload[1:]}, s.consumers.labels)
	if err != nil {
		s.fail(err)
		return
	}
	s.consumers.labels = cfg.Metadata
	h := newHosted(id, name, cfg)
	h.c = consumer.New(hostOf{s, h}, consumer.Spec{ID: id, Name: name, Created: created, Config: cfg, Window: s.env.Limits.Window})
	s.consumers.add(h)
	s.adopt(h)
	if s.leads {
		h.c.Start()
	}
}

func (s *Stream) applyConsumerUpdate(e *raft.Entry) {
	id, _, _, cfg, err := readConsumerEntry(&codec.Reader{P: e.Payload[1:]}, nil)
	if err != nil {
		s.fail(err)
		return
	}
	h := s.consumers.byID(id)
	if h == nil {
		return
	}
	narrowed := s.isInterest()
	var needed []uint64
	if narrowed {
		s.eachNeeded(h, func(seq uint64) { needed = append(needed, seq) })
	}
	s.saveFirst(h)
	s.consumers.refilter(h, func() { h.c.Update(cfg) })
	for _, seq := range needed {
		if subj, ok := s.store.SubjectOf(seq); ok && !h.c.Matches([]byte(subj)) {
			s.letGo(seq)
		}
	}
}

func (s *Stream) applyConsumerDelete(e *raft.Entry) {
	d := codec.Reader{P: e.Payload[1:]}
	h := s.consumers.byID(uint32(d.Uint()))
	if h == nil {
		return
	}
	s.saveFirst(h)
	s.consumers.remove(h)
	s.disown(h)
	h.c.Stop(consumer.Deleted)
}

// applyConfig puts a configuration in force. It is false while the machine is at it.
func (s *Stream) applyConfig(e *raft.Entry) bool {
	d := codec.Reader{P: e.Payload[1:]}
	now := d.Int()
	cfg := &api.StreamConfig{}
	if err := json.Unmarshal(d.Bytes(), cfg); d.Err() != nil || err != nil {
		s.fail(fmt.Errorf("%w: stream configuration: %v", codec.ErrUnreadable, err))
		return true
	}
	if !s.machine.SetConfig(cfg, now) {
		return false
	}
	was := s.cfg
	s.cfg = cfg
	s.saveRest()
	for _, h := range s.consumers.all() {
		h.c.StreamChanged()
	}
	if was.Retention != cfg.Retention {
		s.recount()
	}
	if s.leads {
		s.reconfigure(was)
	}
	return true
}
