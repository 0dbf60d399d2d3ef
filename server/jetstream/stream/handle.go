package stream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Handle names a consumer of a stream for the length of a task.
type Handle struct{ h *hosted }

// Name is the consumer's name.
func (h Handle) Name() string { return h.h.name }

// Config is the consumer's configuration as it is kept.
func (h Handle) Config() *api.ConsumerConfig { return h.h.c.Config() }

// Consumer finds a consumer.
func (s *Stream) Consumer(name string) (Handle, bool) {
	h := s.consumers.byName[name]
	return Handle{h}, h != nil
}

// Consumers gives the consumers that are listed, by name.
func (s *Stream) Consumers() []Handle {
	var list []Handle
	for _, h := range s.consumers.names() {
		if !h.c.Config().Direct {
			list = append(list, Handle{h})
		}
	}
	return list
}

// PauseConsumer stops deliveries until a time; one that is zero or past resumes them.
func (s *Stream) PauseConsumer(h Handle, until time.Time, done func(api.ConsumerPauseResponse)) {
	s.saveFirst(h.h)
	h.h.c.Pause(until, func() {
		info := h.h.c.Info()
		resp := api.ConsumerPauseResponse{Paused: info.Paused, PauseRemaining: info.PauseRemaining}
		if p := h.h.c.Config().PauseUntil; p != nil {
			resp.PauseUntil = *p
		}
		done(resp)
	})
}

// UnpinConsumer takes the pin from who has it; false for a group that is not there.
func (s *Stream) UnpinConsumer(h Handle, group string) bool {
	s.saveFirst(h.h)
	return h.h.c.Unpin(group)
}

// ResetConsumer moves a consumer back to seq, or with 0 to behind its ack floor.
func (s *Stream) ResetConsumer(h Handle, seq uint64, done func(uint64, *api.Error)) {
	s.saveFirst(h.h)
	h.h.c.Reset(seq, done)
}

// SettleSourcing refuses a mirror's or source's consumer that means an earlier stream of this
// name, and gives any other the form in which the stream keeps it.
func (s *Stream) SettleSourcing(cfg *api.ConsumerConfig, header []byte) *api.Error {
	if err := api.CheckStreamIdentity(cfg, header, s.spec.Created); err != nil {
		return err
	}
	cfg.SettleSourcing(s.cfg, api.Name8(s.strand.Rand("consumer names").Uint64()))
	return nil
}

// Identity tells this stream from others of its name.
func (s *Stream) Identity() string { return api.StreamIdentity(s.spec.Created) }

// AllConsumerInfos reports all consumers by name, with those of mirrors and sources.
func (s *Stream) AllConsumerInfos() []*api.ConsumerInfo {
	var list []*api.ConsumerInfo
	for _, h := range s.consumers.names() {
		info := h.c.Info()
		info.Stream, info.TimeStamp = s.name, time.Unix(0, s.now).UTC()
		if info.Cluster = s.consumerCluster(h); info.Cluster == nil {
			info.Cluster = &api.ClusterInfo{Leader: s.env.Server}
		}
		list = append(list, info)
	}
	return list
}
