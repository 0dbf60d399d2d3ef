package jetstream

import (
	"fmt"
	"path"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage"
)

const (
	walDir     = "wal"
	metaDir    = "meta" // of the catalogue's key
	streamsDir = "streams"
)

// catalogued opens the streams, once it is known which there are.
func (m *Manager) catalogued() {
	m.now = m.cfg.Clock.Now()
	if m.sink != nil {
		return
	}
	m.sink = m.cfg.Broker.NewSink(m.strand, broker.SinkOptions{Name: "jetstream", WithInfo: true, Wants: wantsAPI}, m.drain)
	m.foreign = m.cfg.Broker.NewSink(m.strand, broker.SinkOptions{Name: "jetstream", WithInfo: true}, m.drain)
	for _, acc := range m.cfg.Broker.Accounts() {
		m.admit(acc, m.grantOf(acc))
	}
	m.opening = 1
	for _, a := range m.catalogue.all() {
		acc := m.cfg.Broker.LookupAccount(a.Account)
		if acc == nil {
			m.log.Warnf("Stream '%s > %s' is kept, but its account is not configured", a.Account, a.name())
			continue
		}
		t := m.tenantOf(acc)
		if t.grant == nil {
			continue // rests until the account has JetStream again
		}
		if m.cluster != nil {
			m.reopen(t, a)
			continue
		}
		m.opening++
		if a.Config.Storage == api.MemoryStorage {
			a.Incarnation++ // what it held is gone
		}
		t.reserve(a.Config, 1)
		m.openStream(t, a, false, func(_ *member, err error) {
			if err != nil {
				m.log.Errorf("Stream '%s > %s' cannot be opened: %v", a.Account, a.name(), err)
			}
			m.streamReady()
		})
	}
	m.dropOrphans()
	m.streamReady()
}

// streamReady counts the streams that have replayed their log; with the last one the
// manager serves.
func (m *Manager) streamReady() {
	if m.opening--; m.opening > 0 {
		return
	}
	m.countStreams()
	m.cfg.Broker.SetJetStream(true, m.env.Domain)
	m.finish(nil)
}

// dropOrphans removes what streams left that a committed entry deleted: a crash may have
// come between the entry and its work.
func (m *Manager) dropOrphans() {
	known := make(map[raft.ID]bool)
	rounds := make(map[uint64]uint32)
	for _, a := range m.catalogue.all() {
		rounds[a.Group] = a.Round
		if m.cluster == nil || a.holds(m.cluster.Self) {
			known[m.logID(a)] = true
		}
	}
	for _, id := range m.host.Unopened() {
		if !known[id] && id.Group < m.catalogue.Next && (m.cluster == nil || m.outlived(id, rounds)) {
			m.host.DropUnopened(id, m.strand, func(error) {})
		}
	}
	m.cfg.Disk.List(m.strand, streamsDir, func(entries []storage.Entry, err error) {
		if err != nil {
			return
		}
		for _, e := range entries {
			if !m.ownsDir(e.Name) && m.isOld(e.Name, rounds) {
				removeTree(m.cfg.Disk, m.strand, path.Join(streamsDir, e.Name))
			}
		}
	})
}

// isOld tells whether a directory is of a stream that the catalogue must have known: what it may not have heard of
// yet is left alone.
func (m *Manager) isOld(name string, rounds map[uint64]uint32) bool {
	var id raft.ID
	if _, err := fmt.Sscanf(name, "%d-%d", &id.Group, &id.Incarnation); err != nil {
		return true
	}
	return id.Group < m.catalogue.Next && (m.cluster == nil || m.outlived(id, rounds))
}

// outlived tells whether what this server has of a group is of a place that it had before, and not of one that the
// catalogue has not heard of yet.
func (m *Manager) outlived(id raft.ID, rounds map[uint64]uint32) bool {
	round, there := rounds[id.Group]
	return !there || uint32(id.Incarnation>>32) < round
}

func (m *Manager) ownsDir(name string) bool {
	for _, a := range m.catalogue.all() {
		if m.dirOf(a) == path.Join(streamsDir, name) {
			return true
		}
	}
	return false
}

func (m *Manager) dirOf(a *asset) string {
	id := m.logID(a)
	return path.Join(streamsDir, fmt.Sprintf("%d-%d", id.Group, id.Incarnation))
}

// admit gives an account its API, and what it may use; nil for nothing.
func (m *Manager) admit(acc *account.Account, grant *account.JetStream) {
	t := m.tenantOf(acc)
	t.grant = grant
	m.countAccounts()
	t.setLimits()
	if t.grant == nil && t.imports([]byte(api.Prefix+"INFO")) { // its API is another account's: what it does not import has no responder
		m.unsubscribe(t)
		return
	}
	if t.sub != nil {
		return
	}
	sink := m.sink
	if acc == m.cfg.Broker.SystemAccount() {
		sink = m.foreign
	}
	sub, err := sink.Subscribe(acc, api.Prefix+">", "")
	if err != nil {
		m.broken(err)
		return
	}
	t.sub = sub
	m.subs[sub] = t
	if d := m.env.Domain; d != "" {
		m.mapDomain(acc, d)
	}
}

// unsubscribe ends an account's API.
func (m *Manager) unsubscribe(t *tenant) {
	if t.sub != nil {
		m.sink.Unsubscribe(t.sub)
		delete(m.subs, t.sub)
		t.sub = nil
	}
}

// DomainSubject is a subject of JetStream's services, without and with the name of a domain.
type DomainSubject struct{ Plain, Named string }

// DomainSubjects are the subjects that a domain's name can stand in.
func DomainSubjects(domain string) []DomainSubject {
	prefix := "$JS." + domain + ".API."
	list := []DomainSubject{{"$KV.>", prefix + "$KV.>"}, {"$OBJ.>", prefix + "$OBJ.>"}}
	for _, rest := range [...]string{"ACCOUNT.>", "CONSUMER.>", "DIRECT.>", "INFO", "META.>", "SERVER.>", "STREAM.>"} {
		list = append(list, DomainSubject{api.Prefix + rest, prefix + rest})
	}
	return list
}

// mapDomain lets clients of an account name the domain.
func (m *Manager) mapDomain(acc *account.Account, domain string) {
	for _, subj := range DomainSubjects(domain) {
		m.mapSystem(acc, subj.Named, subj.Plain)
	}
}

func (m *Manager) mapSystem(acc *account.Account, from, to string) {
	if err := acc.SetSystemMapping(from, to); err != nil {
		m.log.Errorf("Account %q: mapping %q to %q: %v", acc.Name, from, to, err)
	}
}

// grantOf is what an account may use. Without configured accounts the global one may use
// everything.
func (m *Manager) grantOf(acc *account.Account) *account.JetStream {
	if acc == m.cfg.Broker.SystemAccount() {
		return nil
	}
	if j := acc.JetStream(); j != nil {
		return j
	}
	if acc == m.cfg.Broker.Global() && len(m.cfg.Options().Accounts) == 0 {
		return everything
	}
	return nil
}

// everything is the grant of the global account where no others are configured.
var everything = &account.JetStream{Tiers: map[string]account.JetStreamLimits{"": account.JetStreamUnlimited}}

// openStream starts a stream of the catalogue. done is called on the manager's strand.
func (m *Manager) openStream(t *tenant, a *asset, fresh bool, done func(*member, error)) {
	mem := t.streams[a.name()]
	if mem == nil || mem.asset != a {
		mem = &member{asset: a}
		t.streams[a.name()] = mem
	}
	mem.s = nil
	spec := stream.Spec{
		Account: t.acc, ID: raft.ID{Group: a.Group, Incarnation: a.Incarnation}, LogID: m.logID(a), Dir: m.dirOf(a),
		Config: a.Config, Created: a.Created, Usage: t.usage, Fresh: fresh,
	}
	if m.cluster != nil {
		spec.Members, spec.Self, spec.Role = m.members(a), m.cluster.Self, role{m, t, a}
	}
	stream.Open(&m.env, spec, func(s *stream.Stream, err error) {
		m.strand.PostFrom(s.Strand(), func() {
			m.now = m.cfg.Clock.Now()
			if m.cluster != nil && err == nil && (t.streams[a.name()] != mem || m.stopped || !a.holds(m.cluster.Self)) { // it went meanwhile
				m.late(s)
				return
			}
			if err == nil {
				mem.s = s
				if m.cluster != nil {
					mem.offline = ""
					m.cluster.known[spec.LogID] = true
					m.tendLost()
				}
			} else {
				mem.offline = err.Error()
			}
			done(mem, err)
			m.flush()
		})
	})
}

// Close stops the streams after a checkpoint of each, and the log; done is called on the
// manager's strand.
func (m *Manager) Close(done func()) {
	m.strand.Post(func() {
		if m.stopped {
			done()
			return
		}
		m.stopped = true
		if m.sink != nil {
			m.sink.Close()
			m.foreign.Close()
		}
		left := 1
		one := func() {
			if left--; left == 0 {
				m.closeLog(done)
			}
		}
		for _, t := range m.order {
			left += t.stopRestores(one)
			for _, name := range t.sorted() {
				if s := t.streams[name].s; s != nil {
					left++
					s.Do(m.strand, func() {
						s.Close(func() { m.strand.PostFrom(s.Strand(), one) })
					})
				}
			}
		}
		one()
	})
}

func (m *Manager) closeLog(done func()) {
	if m.group == nil {
		done()
		return
	}
	m.group.Stop(func() {
		m.wal.Close(func(err error) {
			if err != nil {
				m.log.Errorf("JetStream's log: %v", err)
			}
			done()
		})
	})
}
