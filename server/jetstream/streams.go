package jetstream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
)

// exclusive runs fn when no other operation on the stream's name is under way, and holds
// those that come until next is called.
func (t *tenant) exclusive(name string, fn func(next func())) {
	epoch := t.epoch
	run := func() {
		fn(func() {
			if t.epoch == epoch {
				t.nextOn(name)
			}
		})
	}
	if queue, busy := t.pending[name]; busy {
		t.pending[name] = append(queue, run)
		return
	}
	t.pending[name] = nil
	run()
}

func (t *tenant) nextOn(name string) {
	queue := t.pending[name]
	if len(queue) == 0 {
		delete(t.pending, name)
		return
	}
	t.pending[name] = queue[1:]
	queue[0]()
}

// member finds a stream that serves.
func (t *tenant) member(name string) (*member, *api.Error) {
	mem := t.streams[name]
	switch {
	case mem == nil:
		return nil, api.ErrStreamNotFound
	case mem.s == nil && mem.offline != "":
		return nil, api.ErrStreamOfflineReason.With(mem.offline)
	case mem.s == nil:
		return nil, api.ErrStreamNotFound
	}
	return mem, nil
}

// streamConfig reads and judges the configuration of a create or update request.
func (r *request) streamConfig() (*api.StreamConfigRequest, *api.Error) {
	req := &api.StreamConfigRequest{}
	if err := r.decode(req); err != nil {
		return nil, err
	}
	if r.Endpoint == api.EndpointStreamUpdate {
		if _, err := api.CheckStreamConfig(&req.StreamConfig, r.m.streamLimits(r.t), req.Pedantic); err != nil {
			return nil, err
		}
	}
	if req.Name != r.Stream {
		return nil, api.ErrStreamMismatch
	}
	if api.HasSeparator(req.Name) {
		return nil, api.ErrStreamNameContainsPathSeparators
	}
	return req, nil
}

func (m *Manager) streamCreate(r *request) {
	req, err := r.streamConfig()
	if err != nil {
		r.fail(err)
		return
	}
	r.t.exclusive(req.Name, func(next func()) {
		m.createStream(r, req, next)
	})
}

func (m *Manager) createStream(r *request, req *api.StreamConfigRequest, next func()) {
	t := r.t
	cfg, err := m.judgeCreate(t, &req.StreamConfig, req.Pedantic)
	if err != nil {
		r.fail(err)
		next()
		return
	}
	if l, err := t.limitsOf(cfg.Replicas); err == nil && l.MaxConsumers > 0 && cfg.MaxConsumers > l.MaxConsumers {
		r.fail(api.ErrMaximumConsumersLimit)
		next()
		return
	}
	if mem := t.streams[cfg.Name]; mem != nil {
		m.createdBefore(r, mem, cfg)
		next()
		return
	}
	err = m.admissible(t, cfg, nil)
	if t.restores[cfg.Name] != nil {
		err = api.ErrStreamNameExist
	}
	if err == nil && t.overlaps(cfg) {
		err = api.ErrStreamSubjectOverlap
	}
	if err != nil {
		r.fail(err)
		next()
		return
	}
	a := &asset{Account: t.name, Group: m.catalogue.Next, Incarnation: 1, Created: m.catalogue.creation(m.now.UTC()), Config: cfg}
	if m.cluster != nil {
		m.assign(r, a, next)
		return
	}
	m.catalogue.Next++
	t.reserve(cfg, 1)
	t.streams[cfg.Name] = &member{asset: a}
	m.commit(&change{Op: "create", Asset: a}, func() {
		m.openStream(t, a, true, func(mem *member, err error) {
			if err != nil {
				m.undoCreate(t, a)
				r.fail(api.ErrStreamCreate.With("error creating store for stream"))
				next()
				return
			}
			m.countStreams()
			m.answerInfo(r, mem, true)
			t.advise("$JS.EVENT.ADVISORY.STREAM.CREATED."+cfg.Name, m.streamAction(cfg.Name, "create"))
			next()
		})
	})
}

// undoCreate takes back a stream whose store could not be made.
func (m *Manager) undoCreate(t *tenant, a *asset) {
	delete(t.streams, a.name())
	t.reserve(a.Config, -1)
	m.commit(&change{Op: "delete", Asset: a}, nil)
}

// createdBefore answers a create of what is there already.
func (m *Manager) createdBefore(r *request, mem *member, cfg *api.StreamConfig) {
	if !mem.asset.Config.Equal(cfg) {
		r.fail(api.ErrStreamNameExist)
		return
	}
	if m.cluster != nil { // who leads it answers
		a := *mem.asset
		m.commit(&change{Op: "update", Asset: &a, Ask: r.ask()}, nil)
		return
	}
	if mem.s == nil {
		r.fail(api.ErrStreamOfflineReason.With(mem.offline))
		return
	}
	m.answerInfo(r, mem, true)
}

// answerInfo answers a create or update with the stream's information.
func (m *Manager) answerInfo(r *request, mem *member, created bool) {
	s := mem.s
	s.Do(m.strand, func() {
		info := s.Info()
		info.Cluster, info.Domain = nil, ""
		resp := &api.StreamCreateResponse{ApiResponse: r.head(), StreamInfo: &info, DidCreate: created}
		r.respondBy(s.Sender(), resp)
	})
}

func (m *Manager) streamUpdate(r *request) {
	req, err := r.streamConfig()
	if err != nil {
		r.fail(err)
		return
	}
	r.t.exclusive(req.Name, func(next func()) {
		m.updateStream(r, req, next)
	})
}

func (m *Manager) updateStream(r *request, req *api.StreamConfigRequest, next func()) {
	t := r.t
	mem, err := t.member(req.Name)
	if m.cluster != nil { // who leads the stream need not hold the catalogue's part
		if mem, err = t.streams[req.Name], nil; mem == nil {
			err = api.ErrStreamNotFound
		}
	}
	if err != nil {
		r.fail(err)
		next()
		return
	}
	was := mem.asset.Config
	cfg, err := m.judgeUpdate(t, was, &req.StreamConfig, req.Pedantic)
	if err == nil {
		err = m.admissible(t, cfg, was)
	}
	if err != nil {
		r.fail(err)
		next()
		return
	}
	if m.cluster != nil {
		m.putUpdate(r, mem, cfg, nil, next)
		return
	}
	s := mem.s
	s.Do(m.strand, func() {
		violators := s.LimitViolators(cfg.ConsumerLimits)
		m.strand.PostFrom(s.Strand(), func() {
			m.now = m.cfg.Clock.Now()
			m.putUpdate(r, mem, cfg, violators, next)
			m.flush()
		})
	})
}

// putUpdate commits an update that was found good.
func (m *Manager) putUpdate(r *request, mem *member, cfg *api.StreamConfig, violators []string, next func()) {
	t := r.t
	if len(violators) > 0 {
		r.fail(api.NewLimitViolation(violators))
		next()
		return
	}
	a := *mem.asset
	was := a.Config
	a.Config = cfg
	if m.cluster != nil {
		if err := m.replace(r, mem, &a, was); err != nil {
			r.fail(err)
			next()
			return
		}
		m.commit(&change{Op: "update", Asset: &a, Ask: r.ask()}, next)
		return
	}
	t.reserve(was, -1)
	t.reserve(cfg, 1)
	m.commit(&change{Op: "update", Asset: &a}, func() {
		mem.asset = &a
		s := mem.s
		s.Do(m.strand, func() {
			s.Update(cfg, func() {
				info := s.Info()
				info.Cluster = nil
				r.respondBy(s.Sender(), &api.StreamCreateResponse{ApiResponse: r.head(), StreamInfo: &info})
				m.strand.PostFrom(s.Strand(), func() {
					m.now = m.cfg.Clock.Now()
					m.countStreams()
					t.advise("$JS.EVENT.ADVISORY.STREAM.UPDATED."+cfg.Name, m.streamAction(cfg.Name, "modify"))
					next()
					m.flush()
				})
			})
		})
	})
}

func (m *Manager) streamDelete(r *request) {
	if len(r.body) > 0 && !api.IsEmpty(r.body) {
		r.fail(api.ErrNotEmptyRequest)
		return
	}
	r.t.exclusive(r.Stream, func(next func()) {
		mem := r.t.streams[r.Stream]
		if mem == nil {
			r.fail(api.ErrStreamNotFound)
			next()
			return
		}
		m.deleteStream(r.t, mem, func() {
			r.respond(&api.SuccessResponse{ApiResponse: r.head(), Success: true})
			next()
			m.flush()
		})
	})
}

// deleteStream commits the end of a stream and then removes what it has.
func (m *Manager) deleteStream(t *tenant, mem *member, done func()) {
	a := mem.asset
	if m.cluster != nil {
		m.commit(&change{Op: "delete", Asset: a}, done)
		return
	}
	m.commit(&change{Op: "delete", Asset: a}, func() {
		delete(t.streams, a.name())
		t.reserve(a.Config, -1)
		gone := func() {
			t.advise("$JS.EVENT.ADVISORY.STREAM.DELETED."+a.name(), m.streamAction(a.name(), "delete"))
			done()
		}
		s := mem.s
		if s == nil {
			gone()
			return
		}
		s.Do(m.strand, func() {
			s.Delete(func() {
				m.strand.PostFrom(s.Strand(), func() {
					m.now = m.cfg.Clock.Now()
					gone()
				})
			})
		})
	})
}

// onStream runs fn on the strand of the stream that a request names.
func (m *Manager) onStream(r *request, fn func(s *stream.Stream)) {
	mem, err := r.t.member(r.Stream)
	if err != nil {
		r.fail(err)
		return
	}
	s := mem.s
	s.Do(m.strand, func() {
		if m.cluster == nil || s.Leads() { // otherwise another is about to lead: who asked asks again
			fn(s)
		}
	})
}

func (m *Manager) streamPurge(r *request) {
	var req api.JSApiStreamPurgeRequest
	if err := r.decodeOptional(&req); err != nil {
		r.fail(err)
		return
	}
	if req.Sequence > 0 && req.Keep > 0 {
		r.fail(api.ErrBadRequest)
		return
	}
	m.onStream(r, func(s *stream.Stream) {
		s.Purge(&req, func(n uint64, err *api.Error) {
			if err != nil {
				r.failBy(s.Sender(), err)
				return
			}
			r.respondBy(s.Sender(), &api.StreamPurgeResponse{ApiResponse: r.head(), Success: true, Purged: n})
		})
	})
}

func (m *Manager) msgDelete(r *request) {
	if api.IsEmpty(r.body) {
		r.fail(api.ErrBadRequest)
		return
	}
	var req api.JSApiMsgDeleteRequest
	if err := r.decode(&req); err != nil {
		r.fail(err)
		return
	}
	m.onStream(r, func(s *stream.Stream) {
		s.DeleteMsg(req.Seq, !req.NoErase, func(err *api.Error) {
			if err != nil {
				r.failBy(s.Sender(), err)
				return
			}
			r.respondBy(s.Sender(), &api.SuccessResponse{ApiResponse: r.head(), Success: true})
		})
	})
}

func (m *Manager) msgGet(r *request) {
	if api.IsEmpty(r.body) {
		r.fail(api.ErrBadRequest)
		return
	}
	var req api.JSApiMsgGetRequest
	if err := r.decode(&req); err != nil {
		r.fail(err)
		return
	}
	if err := api.CheckMsgGet(&req); err != nil {
		r.fail(err)
		return
	}
	m.onStream(r, func(s *stream.Stream) {
		s.GetMsg(&req, func(msg *api.StoredMsg, err *api.Error) {
			if err != nil {
				r.failBy(s.Sender(), err)
				return
			}
			r.respondBy(s.Sender(), &api.MsgGetResponse{ApiResponse: r.head(), Message: msg})
		})
	})
}

// clusterOnly answers what only a cluster can do.
func (m *Manager) clusterOnly(r *request) { r.fail(api.ErrClusterRequired) }

func (m *Manager) streamAction(name, action string) func(id string, now time.Time) any {
	return func(id string, now time.Time) any {
		return api.NewStreamAction(id, now, name, action, m.env.Domain)
	}
}
