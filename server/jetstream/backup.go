package jetstream

import (
	"maps"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/subject"
)

// streamSnapshot serves STREAM.SNAPSHOT: the answer tells what the stream holds, then the backup is sent.
func (m *Manager) streamSnapshot(r *request) {
	if api.IsEmpty(r.body) {
		r.fail(api.ErrBadRequest)
		return
	}
	if _, err := r.t.member(r.Stream); err != nil {
		r.fail(err)
		return
	}
	var req api.JSApiStreamSnapshotRequest
	if err := r.decode(&req); err != nil {
		r.fail(err)
		return
	}
	if !subject.ValidLiteral(req.DeliverSubject) {
		r.fail(api.ErrSnapshotDeliverSubjectInvalid)
		return
	}
	m.onStream(r, func(s *stream.Stream) { m.sendBackup(r, &req, s) })
}

// sendBackup runs on the stream's strand.
func (m *Manager) sendBackup(r *request, req *api.JSApiStreamSnapshotRequest, s *stream.Stream) {
	name, start, client := s.Config().Name, m.cfg.Clock.Now(), clientOf(r.info)
	b, err := s.Backup(req, func(err error) {
		failure := ""
		if err != nil {
			failure = err.Error()
			m.log.Warnf("Backup of stream '%s > %s' was not finished: %v", r.t.name, name, err)
		}
		s.Advise(api.SubjectSnapshotComplete+name, func(id string, now time.Time) any {
			return api.NewSnapshotComplete(id, now, name, start, now, client, m.env.Domain, failure)
		})
	})
	if err != nil {
		r.failBy(s.Sender(), api.ErrStreamSnapshot.With(err.Error()))
		return
	}
	r.respondBy(s.Sender(), &api.StreamSnapshotResponse{
		ApiResponse: r.head(), Config: s.Config(), State: b.State(),
	})
	s.Advise(api.SubjectSnapshotCreate+name, func(id string, now time.Time) any {
		return api.NewSnapshotCreate(id, now, name, *b.State(), client, m.env.Domain)
	})
	b.Start()
}

// restore is a stream that is being made of a backup. Nobody but this knows it: it is not in the catalogue, and is
// no member of its tenant, until everything is in its log. So a crash leaves nothing but files that the next
// start removes. It belongs to the manager's strand, but for taking.
type restore struct {
	m     *Manager
	t     *tenant
	r     *request
	asset *asset
	start time.Time
	s     *stream.Stream    // nil while it is being opened
	from  *stream.Restoring // on the stream's strand
	over  bool
	gone  func() // Close waits for the stream's end
}

// restorable judges a restore's request.
func (m *Manager) restorable(r *request) (*api.StreamConfig, *api.Error) {
	if api.IsEmpty(r.body) {
		return nil, api.ErrBadRequest
	}
	var req api.JSApiStreamRestoreRequest
	if err := r.decode(&req); err != nil {
		return nil, err
	}
	if req.Config.Name == "" {
		req.Config.Name = r.Stream
	}
	if req.Config.Name != r.Stream {
		return nil, api.ErrStreamMismatch
	}
	if api.HasSeparator(req.Config.Name) {
		return nil, api.ErrStreamNameContainsPathSeparators
	}
	cfg, err := m.judgeRestore(r.t, &req.Config)
	if err != nil {
		return nil, err
	}
	if r.t.streams[cfg.Name] != nil || r.t.restores[cfg.Name] != nil {
		return nil, api.ErrStreamNameExistRestoreFailed
	}
	if err := m.admissible(r.t, cfg, nil); err != nil {
		return nil, err
	}
	return cfg, m.holds(r.t, cfg, req.State.Bytes)
}

// holds judges the bytes of a backup against the limits of the account and the server.
func (m *Manager) holds(t *tenant, cfg *api.StreamConfig, bytes uint64) *api.Error {
	l, err := t.limitsOf(cfg.Replicas)
	if err != nil {
		return err
	}
	account, server, full := l.MaxStore, m.cfg.MaxStore, api.ErrStorageResourcesExceeded
	if cfg.Storage == api.MemoryStorage {
		account, server, full = l.MaxMemory, m.cfg.MaxMemory, api.ErrMemoryResourcesExceeded
	}
	used, all := uint64(max(t.usage.Used(cfg.Storage), 0)), uint64(max(m.usage.Used(cfg.Storage), 0))
	bytes = min(bytes, 1<<62)
	if account >= 0 && used+bytes > uint64(account) || server >= 0 && all+bytes > uint64(server) {
		return full
	}
	return nil
}

// streamRestore serves STREAM.RESTORE.
func (m *Manager) streamRestore(r *request) {
	r.t.exclusive(r.Stream, func(next func()) {
		cfg, err := m.restorable(r)
		if err == nil && m.cluster != nil { // the log of several servers cannot be made of a backup
			err = api.ErrStreamRestore.With("restore is not served by a server of a cluster")
		}
		if err != nil {
			r.fail(err)
		} else {
			m.beginRestore(r, cfg)
		}
		next()
	})
}

// beginRestore opens a hidden stream. The catalogue notes that its group is used, so that no later one finds what
// a crash may leave of it.
func (m *Manager) beginRestore(r *request, cfg *api.StreamConfig) {
	a := &asset{Account: r.t.name, Group: m.catalogue.Next, Incarnation: 1, Created: m.now.UTC(), Config: cfg}
	m.catalogue.Next++
	x := &restore{m: m, t: r.t, r: r, asset: a, start: m.now.UTC()}
	x.t.restores[cfg.Name] = x
	x.t.reserve(cfg, 1)
	m.commit(&change{Op: "claim", Asset: a}, func() {
		stream.Open(&m.env, stream.Spec{
			Account: x.t.acc, ID: raft.ID{Group: a.Group, Incarnation: a.Incarnation}, Dir: x.m.dirOf(a),
			Config: cfg, Created: a.Created, Usage: x.t.usage, Hidden: true, Fresh: true,
		}, func(s *stream.Stream, err error) {
			m.strand.PostFrom(s.Strand(), func() {
				m.now = m.cfg.Clock.Now()
				x.opened(s, err)
				m.flush()
			})
		})
	})
}

// opened begins to take chunks.
func (x *restore) opened(s *stream.Stream, err error) {
	switch {
	case err != nil:
		x.r.fail(api.ErrStreamRestore.With("error creating store for stream"))
		x.abandon()
		return
	case x.over: // the server goes
		x.s = s
		x.abandon()
		return
	}
	x.s = s
	x.t.advise(api.SubjectRestoreCreate+x.asset.name(), func(id string, now time.Time) any {
		return api.NewRestoreCreate(id, now, x.asset.name(), clientOf(x.r.info), x.m.env.Domain)
	})
	limits := x.m.consumerLimits(x.t)
	s.Do(x.m.strand, func() { x.receive(s, limits) })
}

// receive runs on the stream's strand.
func (x *restore) receive(s *stream.Stream, limits api.ConsumerServerLimits) {
	post := func(fn func()) {
		x.m.strand.PostFrom(s.Strand(), func() {
			x.m.now = x.m.cfg.Clock.Now()
			fn()
			x.m.flush()
		})
	}
	from, err := s.RestoreFrom(limits, stream.RestoreEvents{
		Complete: func() { post(x.complete) },
		Aborted: func(err error) {
			bytes := x.from.Bytes()
			post(func() { x.aborted(err, bytes) })
		},
	})
	if err != nil {
		x.r.failBy(s.Sender(), api.NewRestoreSubscribeFailed(api.RestorePrefix+x.asset.name(), err))
		post(x.abandon)
		return
	}
	x.from = from
	x.r.respondBy(s.Sender(), &api.StreamRestoreResponse{ApiResponse: x.r.head(), DeliverSubject: from.Subject()})
	from.Start()
}

// complete makes the stream known: all of it is in its log.
func (x *restore) complete() {
	m, t, a := x.m, x.t, x.asset
	switch {
	case x.over:
		return
	case t.overlaps(a.Config):
		x.refuse(api.ErrStreamSubjectOverlap)
		return
	}
	mem := &member{asset: a}
	t.streams[a.name()] = mem
	m.commit(&change{Op: "create", Asset: a}, func() {
		if x.over {
			return
		}
		x.over = true
		delete(t.restores, a.name())
		mem.s = x.s
		m.countStreams()
		t.advise("$JS.EVENT.ADVISORY.STREAM.CREATED."+a.name(), m.streamAction(a.name(), "create"))
		s := x.s
		s.Do(m.strand, func() {
			s.Appear()
			info := s.Info()
			info.Cluster = nil
			resp := &api.StreamCreateResponse{ApiResponse: api.EndpointStreamCreate.Response(), StreamInfo: &info}
			bytes := x.from.Bytes()
			x.from.Answer(api.Marshal(resp))
			s.Advise(api.SubjectRestoreComplete+a.name(), x.completion(bytes))
		})
	})
}

// completion is the advisory of a restore's end.
func (x *restore) completion(bytes int64) func(id string, now time.Time) any {
	return func(id string, now time.Time) any {
		return api.NewRestoreComplete(id, now, x.asset.name(), x.start, now, bytes, clientOf(x.r.info), x.m.env.Domain)
	}
}

// refuse ends a restore that has everything, and still cannot be.
func (x *restore) refuse(err *api.Error) {
	s := x.s
	s.Do(x.m.strand, func() { x.from.Fail(api.ErrStreamRestore.With(err.Description)) })
}

// aborted takes back what there is.
func (x *restore) aborted(err error, bytes int64) {
	if x.over {
		return
	}
	if err != nil {
		x.m.log.Warnf("Restore of stream '%s > %s' failed: %v", x.t.name, x.asset.name(), err)
		x.t.advise(api.SubjectRestoreComplete+x.asset.name(), x.completion(bytes))
	} else {
		x.m.log.Warnf("Restore of stream '%s > %s' was given up: no more of it came", x.t.name, x.asset.name())
	}
	x.abandon()
}

// abandon removes the stream, if it was opened. Its name may be used again when it is gone.
func (x *restore) abandon() { x.end(x.s != nil) }

func (x *restore) end(ok bool) {
	done := func() {
		delete(x.t.restores, x.asset.name())
		x.t.reserve(x.asset.Config, -1)
		if x.gone != nil {
			x.gone()
		}
	}
	x.over = true
	if !ok {
		done()
		return
	}
	s := x.s
	s.Do(x.m.strand, func() {
		s.Delete(func() { x.m.strand.PostFrom(s.Strand(), done) })
	})
}

// stopRestores ends the restores of a tenant, because the server goes; gone is called for each, and the number
// of them is told. What they leave is removed by the next start.
func (t *tenant) stopRestores(gone func()) int {
	for _, name := range slices.Sorted(maps.Keys(t.restores)) {
		x := t.restores[name]
		x.gone = gone
		if x.over || x.s == nil {
			x.over = true
			continue
		}
		x.over = true
		s := x.s
		s.Do(t.m.strand, func() {
			if x.from != nil {
				x.from.Stop()
			}
			s.Close(func() { t.m.strand.PostFrom(s.Strand(), gone) })
		})
	}
	return len(t.restores)
}
