package jetstream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
)

// consumerCreate serves all forms of create: with or without a name in the subject, and a
// filter behind it, and the older form for durables.
func (m *Manager) consumerCreate(r *request) {
	req := &api.CreateConsumerRequest{}
	if err := r.decode(req); err != nil {
		r.fail(err)
		return
	}
	durable := r.Endpoint == api.EndpointConsumerDurable
	check := api.CheckConsumerRequest
	if m.cluster != nil {
		check = api.CheckClusteredConsumerRequest
	}
	if err := check(r.Stream, r.Consumer, r.Tail, durable, req); err != nil {
		r.fail(err)
		return
	}
	m.createConsumer(r, req)
}

// createConsumer hands a request that is well formed to its stream.
func (m *Manager) createConsumer(r *request, req *api.CreateConsumerRequest) {
	limits := m.consumerLimits(r.t)
	m.onStream(r, func(s *stream.Stream) {
		if err := s.SettleSourcing(&req.Config, r.header); err != nil {
			r.failBy(s.Sender(), err)
			return
		}
		internal := req.Config.Internal()
		s.CreateConsumer(&req.Config, req.Action, req.Pedantic, limits, func(info *api.ConsumerInfo, created bool, err *api.Error) {
			if err != nil {
				r.failBy(s.Sender(), err)
				return
			}
			if created {
				s.Advise(api.ConsumerCreatedSubject(s.Config().Name, info.Name), func(id string, now time.Time) any {
					return api.NewConsumerAction(id, now, s.Config().Name, info.Name, "create", m.env.Domain)
				})
			}
			r.respondWithIdentity(s, &api.ConsumerResponse{ApiResponse: r.head(), ConsumerInfo: info}, internal)
		})
	})
}

// onConsumer runs fn for a consumer that a request names.
func (m *Manager) onConsumer(r *request, fn func(s *stream.Stream, h stream.Handle)) {
	m.onStream(r, func(s *stream.Stream) {
		h, ok := s.Consumer(r.Consumer)
		if !ok {
			r.failBy(s.Sender(), api.ErrConsumerNotFound)
			return
		}
		fn(s, h)
	})
}

func (m *Manager) consumerInfo(r *request) {
	if !api.IsEmpty(r.body) {
		r.fail(api.ErrNotEmptyRequest)
		return
	}
	m.onConsumer(r, func(s *stream.Stream, h stream.Handle) {
		r.respondBy(s.Sender(), &api.ConsumerResponse{ApiResponse: r.head(), ConsumerInfo: s.ConsumerInfo(h)})
	})
}

func (m *Manager) consumerDelete(r *request) {
	if !api.IsEmpty(r.body) {
		r.fail(api.ErrNotEmptyRequest)
		return
	}
	m.onConsumer(r, func(s *stream.Stream, h stream.Handle) {
		s.DeleteConsumer(h.Name(), func(found bool) {
			if !found {
				r.failBy(s.Sender(), api.ErrConsumerNotFound)
				return
			}
			r.respondBy(s.Sender(), &api.SuccessResponse{ApiResponse: r.head(), Success: true})
		})
	})
}

func (m *Manager) consumerNames(r *request) {
	var req api.JSApiConsumersRequest
	if err := r.decodeOptional(&req); err != nil {
		r.fail(err)
		return
	}
	m.onStream(r, func(s *stream.Stream) {
		all := s.Consumers()
		from, to := page(len(all), req.Offset, api.NamesPage)
		resp := &api.ConsumerNamesResponse{ApiResponse: r.head(), ApiPaged: api.ApiPaged{Total: len(all), Offset: from, Limit: api.NamesPage}}
		for _, h := range all[from:to] {
			resp.Consumers = append(resp.Consumers, h.Name())
		}
		r.respondBy(s.Sender(), resp)
	})
}

func (m *Manager) consumerList(r *request) {
	var req api.JSApiConsumersRequest
	if err := r.decodeOptional(&req); err != nil {
		r.fail(err)
		return
	}
	m.onStream(r, func(s *stream.Stream) {
		all := s.Consumers()
		from, to := page(len(all), req.Offset, api.ListPage)
		resp := &api.ConsumerListResponse{ApiResponse: r.head(), ApiPaged: api.ApiPaged{Total: len(all), Offset: from, Limit: api.ListPage}}
		for _, h := range all[from:to] {
			info := s.ConsumerInfo(h)
			info.Config = h.Config()
			resp.Consumers = append(resp.Consumers, info)
		}
		r.respondBy(s.Sender(), resp)
	})
}

func (m *Manager) consumerPause(r *request) {
	var req api.JSApiConsumerPauseRequest
	if err := r.decodeOptional(&req); err != nil {
		r.fail(err)
		return
	}
	m.onConsumer(r, func(s *stream.Stream, h stream.Handle) {
		s.PauseConsumer(h, req.PauseUntil, func(resp api.ConsumerPauseResponse) {
			resp.ApiResponse = r.head()
			r.respondBy(s.Sender(), &resp)
		})
	})
}

// unpin reads the body of an unpin.
func (r *request) unpin() (*api.JSApiConsumerUnpinRequest, *api.Error) {
	req := &api.JSApiConsumerUnpinRequest{}
	if err := api.DecodeLenient(r.body, req); err != nil {
		return nil, err
	}
	if req.Group == "" {
		return nil, api.ErrInvalidJSON.With("consumer group not specified")
	}
	return req, nil
}

func (m *Manager) consumerUnpin(r *request) {
	req, err := r.unpin()
	if err != nil {
		r.fail(err)
		return
	}
	m.onConsumer(r, func(s *stream.Stream, h stream.Handle) {
		if !s.UnpinConsumer(h, req.Group) {
			r.failBy(s.Sender(), api.ErrConsumerInvalidPriorityGroup)
			return
		}
		r.respondBy(s.Sender(), &api.ConsumerUnpinResponse{ApiResponse: r.head()})
	})
}

// consumerReset moves a consumer back; nothing answers for one that is not there.
func (m *Manager) consumerReset(r *request) {
	mem, _ := r.t.member(r.Stream)
	if mem == nil {
		return
	}
	s := mem.s
	s.Do(m.strand, func() {
		h, ok := s.Consumer(r.Consumer)
		if !ok || m.cluster != nil && !s.Leads() {
			return
		}
		var req api.JSApiConsumerResetRequest
		if len(r.body) > 0 {
			if err := api.DecodeLenient(r.body, &req); err != nil {
				r.failBy(s.Sender(), err)
				return
			}
		}
		s.ResetConsumer(h, req.Seq, func(seq uint64, err *api.Error) {
			if err != nil {
				r.failBy(s.Sender(), err)
				return
			}
			resp := &api.ConsumerResetResponse{ApiResponse: r.head(), ConsumerInfo: s.ConsumerInfo(h), ResetSeq: seq}
			r.respondWithIdentity(s, resp, len(api.HeaderValue(r.header, "Nats-Stream-Identity")) > 0)
		})
	})
}
