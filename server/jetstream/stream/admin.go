package stream

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// timeOf is a stored time as the API shows it; the zero time for none.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// State reports the messages.
func (s *Stream) State() api.StreamState {
	st := s.store.State()
	out := api.StreamState{
		Msgs: st.Msgs, Bytes: st.Bytes, FirstSeq: st.First, FirstTime: timeOf(st.FirstTime),
		LastSeq: st.Last, LastTime: timeOf(st.LastTime), NumSubjects: st.Subjects, NumDeleted: int(st.Deleted),
		Consumers: s.consumers.visible,
	}
	if st.Last == 0 && s.cfg.FirstSeq != 1 { // no message yet: the first is not known, unless it was stated
		out.FirstSeq = 0
	}
	if len(st.LostMsgs) > 0 {
		out.Lost = &api.LostStreamData{Msgs: st.LostMsgs, Bytes: st.LostBytes}
	}
	return out
}

// Info reports the stream.
func (s *Stream) Info() api.StreamInfo {
	return api.StreamInfo{
		Config: *s.cfg.WithDynamicMetadata(s.env.Version), Created: s.spec.Created, State: s.State(), Domain: s.env.Domain,
		Cluster: s.clusterInfo(), TimeStamp: time.Unix(0, s.now).UTC(),
		Mirror: s.mirrorInfo(), Sources: s.sourceInfos(),
	}
}

// Deleted lists the missing sequences between the first and the last.
func (s *Stream) Deleted() []uint64 {
	var list []uint64
	s.store.DeletedRanges(func(first, last uint64) bool {
		for seq := first; seq <= last; seq++ {
			list = append(list, seq)
		}
		return true
	})
	return list
}

// Subjects counts the messages of each subject that filter selects: one page of them from
// offset, and how many subjects there are.
func (s *Stream) Subjects(filter string, offset, page int) (counts map[string]uint64, total int) {
	counts = make(map[string]uint64)
	s.store.Subjects(msgs.NewFilter(filter), "", func(subj string, st msgs.SubjectState) bool {
		if total >= offset && len(counts) < page {
			counts[subj] = st.Count
		}
		total++
		return true
	})
	return counts, total
}

// Update proposes a configuration, which was judged already; done is called when it is in force.
func (s *Stream) Update(cfg *api.StreamConfig, done func()) {
	b := binary.AppendVarint([]byte{kindConfig}, s.now)
	s.propose(codec.AppendBytes(b, api.Marshal(cfg)), &answerTag{done}, raft.Prompt)
}

// LimitViolators names the consumers that a configuration's consumer limits do not allow.
func (s *Stream) LimitViolators(l api.StreamConsumerLimits) []string {
	var names []string
	for _, h := range s.consumers.names() {
		c := h.c.Config()
		if l.InactiveThreshold > 0 && c.InactiveThreshold > l.InactiveThreshold || l.MaxAckPending > 0 && c.MaxAckPending > l.MaxAckPending {
			names = append(names, h.name)
		}
	}
	return names
}

// Purge removes messages; done gets how many.
func (s *Stream) Purge(r *api.JSApiStreamPurgeRequest, done func(uint64, *api.Error)) {
	p := machine.EncodePurge([]byte{kindMessages}, s.now, r.Subject, r.Sequence, r.Keep)
	s.administer(p, func(res machine.Result) {
		if res.Err == nil {
			s.saveRest()
			for _, h := range s.consumers.all() {
				if h.concerns(r.Subject) {
					h.c.Purged()
				}
			}
		}
		done(res.Count, res.Err)
	})
}

// concerns tells whether a consumer may have to do with messages of a filter; "" is all.
func (h *hosted) concerns(filter string) bool {
	filters := h.c.Filters()
	return filter == "" || len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool { return subject.Overlaps(f, filter) })
}

// DeleteMsg removes one message, and with erase its bytes too.
func (s *Stream) DeleteMsg(seq uint64, erase bool, done func(*api.Error)) {
	p := machine.EncodeDelete([]byte{kindMessages}, s.now, seq, erase)
	s.administer(p, func(res machine.Result) { done(res.Err) })
}

// exclusive runs fn when no other operation on the consumer's name is under way, and holds
// those that come until next is called.
func (s *Stream) exclusive(name string, fn func(next func())) {
	run := func() {
		fn(func() { s.nextOn(name) })
	}
	if queue, busy := s.waiting[name]; busy {
		s.waiting[name] = append(queue, run)
		return
	}
	s.waiting[name] = nil
	run()
}

func (s *Stream) nextOn(name string) {
	queue := s.waiting[name]
	if len(queue) == 0 {
		delete(s.waiting, name)
		return
	}
	s.waiting[name] = queue[1:]
	queue[0]()
}

// CreateConsumer creates or updates a consumer as the request's action says.
func (s *Stream) CreateConsumer(cfg *api.ConsumerConfig, action api.ConsumerAction, pedantic bool, limits api.ConsumerServerLimits, done func(*api.ConsumerInfo, bool, *api.Error)) {
	name := cfg.Name
	if name == "" {
		name = cfg.Durable
	}
	if name == "" {
		name = s.freeName()
	}
	s.exclusive(name, func(next func()) {
		s.createConsumer(name, cfg, action, pedantic, limits, func(info *api.ConsumerInfo, created bool, err *api.Error) {
			done(info, created, err)
			next()
		})
	})
}

// freeName draws a name for an ephemeral consumer.
func (s *Stream) freeName() string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	r := s.strand.Rand("consumer names")
	for {
		var b [8]byte
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		if name := string(b[:]); s.consumers.byName[name] == nil {
			return name
		}
	}
}

func (s *Stream) createConsumer(name string, cfg *api.ConsumerConfig, action api.ConsumerAction, pedantic bool, limits api.ConsumerServerLimits, done func(*api.ConsumerInfo, bool, *api.Error)) {
	if s.closed || s.failed != nil {
		done(nil, false, api.ErrStreamInvalid)
		return
	}
	h := s.consumers.byName[name]
	next, err := api.CheckConsumerConfig(cfg, s.cfg, limits, pedantic)
	if err != nil {
		done(nil, false, err)
		return
	}
	if h != nil {
		s.updateConsumer(h, next, action, done)
		return
	}
	switch {
	case action == api.ActionUpdate:
		err = api.ErrConsumerDoesNotExist
	case !next.Direct && s.full(limits.MaxConsumers):
		err = api.ErrMaximumConsumersLimit
	default:
		err = api.CheckConsumerFilters(next, s.cfg, s.otherFilters(nil))
	}
	if err != nil {
		done(nil, false, err)
		return
	}
	if cfg.Name != "" || cfg.Durable != "" { // a name that was drawn is not part of what was asked for
		next.Name = name
	}
	id := s.consumers.nextID
	s.consumers.nextID++
	s.propose(appendConsumerEntry([]byte{kindConsumerCreate}, id, name, time.Unix(0, s.now).UTC(), next), &answerTag{func() {
		h := s.consumers.byName[name]
		if h == nil {
			done(nil, false, api.ErrStreamInvalid)
			return
		}
		done(s.consumerInfo(h), true, nil)
	}}, raft.Prompt)
}

// full tells whether the stream has as many consumers as it may have by its configuration, or
// by its account if that allows less; 0 and below is no limit.
func (s *Stream) full(account int) bool {
	limit := s.cfg.MaxConsumers
	if limit <= 0 {
		limit = s.env.Limits.DefaultConsumers
	}
	if account > 0 && (limit <= 0 || account < limit) {
		limit = account
	}
	return limit > 0 && s.consumers.visible >= limit
}

// otherFilters gives the filters of all consumers but h.
func (s *Stream) otherFilters(h *hosted) [][]string {
	if !s.isQueue() {
		return nil
	}
	var list [][]string
	for _, o := range s.consumers.all() {
		if o != h && !o.c.Config().Internal() {
			list = append(list, o.c.Filters())
		}
	}
	return list
}

func (s *Stream) updateConsumer(h *hosted, next *api.ConsumerConfig, action api.ConsumerAction, done func(*api.ConsumerInfo, bool, *api.Error)) {
	was := h.c.Config()
	next.Name = h.name
	next.PauseUntil = was.PauseUntil
	if next.Sourcing && was.Sourcing {
		done = s.startingOver(h, s.startOf(next), done)
	}
	if was.Equal(next) {
		done(s.consumerInfo(h), false, nil)
		return
	}
	if action == api.ActionCreate {
		done(nil, false, api.ErrConsumerAlreadyExists)
		return
	}
	if err := api.CheckConsumerUpdate(was, next); err != nil {
		done(nil, false, err)
		return
	}
	if err := api.CheckConsumerFilters(next, s.cfg, s.otherFilters(h)); err != nil {
		done(nil, false, err)
		return
	}
	if was.DeliverSubject != next.DeliverSubject && was.DeliverSubject != "" &&
		s.env.Broker.Interested(s.spec.Account, was.DeliverSubject, "") {
		done(nil, false, api.ErrConsumerNameExist)
		return
	}
	s.proposeEvents()
	s.propose(appendConsumerEntry([]byte{kindConsumerUpdate}, h.id, h.name, h.c.Created(), next), &answerTag{func() {
		done(s.consumerInfo(h), false, nil)
	}}, raft.Prompt)
}

// startingOver lets a mirror or source that takes up its durable again begin where it says, with consumer
// sequence 1, before done is called.
func (s *Stream) startingOver(h *hosted, seq uint64, done func(*api.ConsumerInfo, bool, *api.Error)) func(*api.ConsumerInfo, bool, *api.Error) {
	return func(info *api.ConsumerInfo, created bool, err *api.Error) {
		if err != nil {
			done(info, created, err)
			return
		}
		s.saveFirst(h)
		h.c.StartOver(seq, func(_ uint64, err *api.Error) { done(s.consumerInfo(h), false, err) })
	}
}

// startOf is the first sequence that a mirror or source asks for.
func (s *Stream) startOf(cfg *api.ConsumerConfig) uint64 {
	if t := cfg.OptStartTime; t != nil {
		return s.store.FirstAtOrAfter(api.Nanos(*t))
	}
	return max(cfg.OptStartSeq, 1)
}

// ConsumerInfo reports a consumer.
func (s *Stream) ConsumerInfo(h Handle) *api.ConsumerInfo { return s.consumerInfo(h.h) }

func (s *Stream) consumerInfo(h *hosted) *api.ConsumerInfo {
	info := h.c.Info()
	info.Stream = s.name
	info.Config = info.Config.WithDynamicMetadata(s.env.Version)
	info.TimeStamp = time.Unix(0, s.now).UTC()
	info.Cluster = s.consumerCluster(h)
	return info
}

// DeleteConsumer removes a consumer; found tells whether it was there.
func (s *Stream) DeleteConsumer(name string, done func(found bool)) {
	s.exclusive(name, func(next func()) {
		h := s.consumers.byName[name]
		if h == nil {
			done(false)
			next()
			return
		}
		s.proposeEvents()
		s.propose(binary.AppendUvarint([]byte{kindConsumerDelete}, uint64(h.id)), &answerTag{func() {
			done(true)
			s.consumerDeleted(h)
			next()
		}}, raft.Prompt)
	})
}

// expire removes a consumer that was inactive for too long.
func (s *Stream) expire(h *hosted) {
	s.DeleteConsumer(h.name, func(bool) {})
}

// consumerDeleted publishes the advisory of a consumer's end.
func (s *Stream) consumerDeleted(h *hosted) {
	if h.c.Config().Direct {
		return
	}
	s.Advise(api.ConsumerDeletedSubject(s.name, h.name), func(id string, now time.Time) any {
		return api.NewConsumerAction(id, now, s.name, h.name, "delete", s.env.Domain)
	})
}
