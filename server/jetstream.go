package server

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/jetstream"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/monitor"
	"github.com/lockstepmq/lockstep/storage"
)

// Store is what JetStream stands on in a [World].
type Store struct {
	// Open gives the directory of JetStream under the options' store directory.
	Open func(o *Options) (storage.FS, error)
	// Dir is what monitoring shows.
	Dir string
	// Find, if not nil, gives the store again for other options.
	Find func(o *Options) Store
	// Memory and Disk are the bytes that JetStream may use when nothing is configured.
	Memory, Disk int64
	// Sizes are small in simulations, and zero elsewhere.
	Sizes jetstream.Sizes
}

// StartJetStream recovers the streams and begins to serve them, if the options ask for
// it. done is called, on a strand, when all is ready; the listener should open after
// that.
func (s *Server) StartJetStream(done func(error)) {
	o := s.getOpts()
	for _, w := range o.JetStreamWarnings() {
		s.log.Warnf("%s", w)
	}
	s.mapDefaultDomains(o)
	if !o.JetStream || s.js.Load() != nil { // a program may have turned it on before the start
		s.strand.Post(func() { done(nil) })
		return
	}
	if err := o.CheckJetStream(); err != nil {
		s.strand.Post(func() { done(err) })
		return
	}
	s.log.Noticef("Starting JetStream")
	disk, err := s.world.Store.Open(o)
	if err != nil {
		//lint:ignore ST1005 the whole of a log line
		s.strand.Post(func() { done(fmt.Errorf("Can't start JetStream: store directory %q: %w", s.world.Store.Dir, err)) })
		return
	}
	memory, file := o.JetStreamMaxMemory, o.JetStreamMaxStore
	if memory <= 0 {
		memory = s.world.Store.Memory
	}
	if file <= 0 {
		file = s.world.Store.Disk
	}
	s.announceJetStream(o, memory, file)
	if err := s.reserveAccounts(memory, file); err != nil {
		s.strand.Post(func() { done(err) })
		return
	}
	began := s.world.Clock.Monotonic()
	jetstream.Open(jetstream.Config{
		Clock: s.world.Clock, Broker: s.broker, Disk: disk, Log: s.log, Options: s.getOpts,
		MaxMemory: memory, MaxStore: file, Sizes: s.world.Store.Sizes, Cluster: s.jetStreamCluster(o),
	}, func(m *jetstream.Manager, err error) {
		if err == nil {
			s.js.Store(m)
			s.log.Noticef("Took %v to start JetStream", s.world.Clock.Monotonic()-began)
		}
		done(err)
	})
}

// mapDefaultDomains sends the requests of accounts that another domain serves there. Whether the way
// exists is not known here: it may be an import, or lead over a leafnode.
func (s *Server) mapDefaultDomains(o *Options) {
	for _, name := range slices.Sorted(maps.Keys(o.JsAccDefaultDomain)) {
		acc, domain := s.broker.LookupAccount(name), o.JsAccDefaultDomain[name]
		if acc == nil || domain == "" {
			continue
		}
		for _, subj := range jetstream.DomainSubjects(domain) {
			if err := acc.SetSystemMapping(subj.Plain, subj.Named); err != nil {
				s.log.Errorf("Account %q: default_js_domain %q: %v", name, domain, err)
			}
		}
	}
}

// announceJetStream says what JetStream may use.
func (s *Server) announceJetStream(o *Options, memory, file int64) {
	s.log.Noticef("---------------- JETSTREAM ----------------")
	if !o.NoJetStreamStrict {
		s.log.Noticef("  Strict:          true")
	}
	s.log.Noticef("  Max Memory:      %s", config.FormatBytes(memory))
	s.log.Noticef("  Max Storage:     %s", config.FormatBytes(file))
	s.log.Noticef("  Store Directory: %q", s.world.Store.Dir)
	if o.JetStreamDomain != "" {
		s.log.Noticef("  Domain:          %s", o.JetStreamDomain)
	}
	if o.JetStreamKey != "" {
		s.log.Noticef("  Encryption:      %s", o.JetStreamCipher)
	}
	s.log.Noticef("  API Level:       %d", api.Level)
	s.log.Noticef("-------------------------------------------")
}

// reserveAccounts judges whether what the accounts may use, each by its limits, fits into what
// the server has.
func (s *Server) reserveAccounts(memory, file int64) error {
	for _, acc := range s.broker.Accounts() {
		j := acc.JetStream()
		if j == nil {
			continue
		}
		l := j.Tiers[""]
		memory -= max(l.MaxMemory, 0)
		file -= max(l.MaxStore, 0)
		var err *api.Error
		switch {
		case memory < 0:
			err = api.ErrMemoryResourcesExceeded
		case file < 0:
			err = api.ErrStorageResourcesExceeded
		}
		if err != nil {
			//lint:ignore ST1005 the whole of a log line
			return fmt.Errorf("Can't start JetStream: Error enabling jetstream on configured accounts: %s (%d)", err.Description, err.ErrCode)
		}
	}
	return nil
}

// followJetStream makes JetStream run, stop or take over other accounts as newly loaded options say.
// Starting and stopping take their time, one after the other.
func (s *Server) followJetStream(plan *config.ReloadPlan) {
	if !plan.Changed("JetStream") {
		if m := s.js.Load(); m != nil {
			m.Reload()
		}
		return
	}
	on := plan.New.JetStream
	s.strand.Post(func() { s.switchJetStream(on) })
}

// switchJetStream turns JetStream on or off, on the server's strand.
func (s *Server) switchJetStream(on bool) {
	if s.jsSwitching {
		s.jsNext = &on
		return
	}
	s.jsSwitching = true
	s.jsError = nil
	settled := func() {
		s.jsSwitching = false
		if next := s.jsNext; next != nil {
			s.jsNext = nil
			s.switchJetStream(*next)
			return
		}
		waiting := s.jsSettled
		s.jsSettled = nil
		for _, done := range waiting {
			done(s.jsError)
		}
	}
	switch {
	case on == (s.js.Load() != nil):
		settled()
	case on:
		s.log.Noticef("Restarting JetStream")
		if find := s.world.Store.Find; find != nil {
			s.world.Store = find(s.getOpts())
		}
		s.StartJetStream(func(err error) {
			if err != nil {
				s.log.Errorf("%v", err)
			}
			s.strand.Post(func() {
				s.jsError = err
				settled()
			})
		})
	default:
		s.stopJetStream(func() {
			s.broker.SetJetStream(false, "")
			s.js.Store(nil)
			settled()
		})
	}
}

// SwitchJetStream turns JetStream on or off as the options in force say; done is called on a strand when
// that is so, with what kept it from starting.
func (s *Server) SwitchJetStream(done func(error)) {
	s.strand.Post(func() {
		s.jsSettled = append(s.jsSettled, done)
		s.switchJetStream(s.getOpts().JetStream)
	})
}

// JetStream is the running JetStream, or nil.
func (s *Server) JetStream() *jetstream.Manager { return s.js.Load() }

// stopJetStream closes the streams, so that nothing needs to be replayed at the next start;
// done is posted to the server's strand.
func (s *Server) stopJetStream(done func()) {
	m := s.js.Load()
	if m == nil {
		s.strand.Post(done)
		return
	}
	s.log.Noticef("Initiating JetStream Shutdown...")
	m.Close(func() {
		s.log.Noticef("JetStream Shutdown")
		s.strand.Post(done)
	})
}

// jetStreamSource is JetStream as monitoring sees it.
type jetStreamSource struct {
	s *Server
	m *jetstream.Manager
}

// monitored gives monitoring its view of JetStream; nil when there is none.
func (s *Server) monitored() monitor.JetStreamSource {
	m := s.js.Load()
	if m == nil {
		return nil
	}
	return jetStreamSource{s, m}
}

func (j jetStreamSource) JetStreamConfig() *monitor.JetStreamConfig {
	memory, file := j.m.Limits()
	return monitor.NewJetStreamConfig(j.s.getOpts(), memory, file, j.s.world.Store.Dir)
}

func (j jetStreamSource) JetStreamTotals() monitor.JetStreamTotals {
	t := j.m.Totals()
	return monitor.JetStreamTotals{
		JetStreamStats: monitor.JetStreamStats{
			Memory: t.Memory, Store: t.Store, ReservedMemory: t.ReservedMemory, ReservedStore: t.ReservedStore,
			Accounts: t.Accounts, API: t.API,
		},
		Streams: t.Streams, StreamsLeader: t.Streams, Consumers: t.Consumers, ConsumersLeader: t.Consumers,
		Messages: t.Messages, Bytes: t.Bytes,
	}
}

func (j jetStreamSource) JetStreamAccounts() []string { return j.m.Accounts() }

func (j jetStreamSource) JetStreamProblems() []monitor.HealthzError {
	var list []monitor.HealthzError
	for _, p := range j.m.Problems() {
		e := monitor.HealthzError{Type: monitor.HealthzErrorJetStream, Account: p.Account, Stream: p.Stream, Error: p.Err.Error()}
		if p.Stream != "" {
			e.Type = monitor.HealthzErrorStream
		}
		list = append(list, e)
	}
	return list
}

func (j jetStreamSource) JetStreamCluster(done func(*monitor.JetStreamCluster)) {
	if !j.m.Clustered() {
		done(nil)
		return
	}
	j.m.Standing(func(st *jetstream.Standing) {
		c := &monitor.JetStreamCluster{
			Leads: st.Leads, Problem: st.Problem, HAAssets: st.Assets, StreamsLeader: st.StreamsLed, ConsumersLeader: st.ConsumersLed,
			Meta: &monitor.MetaClusterInfo{
				Name: st.Cluster, Leader: st.Leader, Peer: st.Peer, Replicas: st.Replicas, Size: st.Size, Quorum: st.Size/2 + 1,
				Pending: st.Pending, Snapshot: &monitor.MetaSnapshotStats{},
			},
		}
		for _, p := range st.Behind {
			c.Behind = append(c.Behind, monitor.HealthzError{Type: monitor.HealthzErrorStream, Account: p.Account, Stream: p.Stream, Error: p.Err.Error()})
		}
		done(c)
	})
}

func (j jetStreamSource) JetStreamGather(q monitor.JetStreamQuery, done func([]*monitor.AccountDetail)) {
	j.m.Gather(jetstream.Query{
		Accounts: q.Accounts, Stream: q.Stream, Streams: q.Streams, Consumers: q.Consumers || q.Direct,
	}, func(list []*jetstream.AccountReport) {
		details := make([]*monitor.AccountDetail, len(list))
		for i, a := range list {
			details[i] = detailOf(a, &q)
		}
		done(details)
	})
}

func detailOf(a *jetstream.AccountReport, q *monitor.JetStreamQuery) *monitor.AccountDetail {
	d := &monitor.AccountDetail{Name: a.Name, Id: a.Name, JetStreamStats: monitor.JetStreamStats{
		Memory: a.Stats.Memory, Store: a.Stats.Store,
		ReservedMemory: uint64(a.Stats.Limits.MaxMemory), ReservedStore: uint64(a.Stats.Limits.MaxStore),
		API: api.JetStreamAPIStats{Total: a.Stats.API.Total, Errors: a.Stats.API.Errors},
	}}
	for _, s := range a.Streams {
		sd := monitor.StreamDetail{
			Name: s.Info.Config.Name, Created: s.Info.Created, Cluster: s.Info.Cluster, State: s.Info.State,
			Mirror: s.Info.Mirror, Sources: s.Info.Sources,
		}
		if q.RaftGroups {
			sd.RaftGroup = s.Group
			for _, g := range s.ConsumerGroups {
				sd.ConsumerGroups = append(sd.ConsumerGroups, &monitor.RaftGroupDetail{Name: g.Consumer, RaftGroup: g.Group})
			}
		}
		if q.Config {
			sd.Config = &s.Info.Config
		}
		for _, c := range s.Consumers {
			direct := c.Config.Direct
			if !q.Config {
				c.Config = nil
			}
			switch {
			case !direct && q.Consumers:
				sd.Consumer = append(sd.Consumer, c)
			case direct && q.Direct:
				sd.DirectConsumer = append(sd.DirectConsumer, c)
			}
		}
		d.Streams = append(d.Streams, sd)
	}
	return d
}
