package jetstream

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Reload takes over what newly loaded options give the accounts. The streams of an account that
// has no JetStream any more rest, and go on where they were when it has it again.
func (m *Manager) Reload() { m.strand.Post(m.reload) }

func (m *Manager) reload() {
	if m.stopped || m.sink == nil || m.failure != nil {
		return
	}
	m.now = m.cfg.Clock.Now()
	for _, acc := range m.cfg.Broker.Accounts() {
		t := m.tenantOf(acc)
		had := t.grant != nil
		m.admit(acc)
		switch {
		case had && t.grant == nil:
			m.restStreams(t)
		case !had && t.grant != nil:
			m.wakeStreams(t)
		}
	}
	m.countStreams()
	m.flush()
}

// restStreams closes the streams of a tenant; the catalogue keeps them.
func (m *Manager) restStreams(t *tenant) {
	for _, name := range t.sorted() {
		t.exclusive(name, func(next func()) {
			mem := t.streams[name]
			if mem == nil || mem.s == nil || t.grant != nil {
				next()
				return
			}
			delete(t.streams, name)
			t.reserve(mem.asset.Config, -1)
			s := mem.s
			s.Do(m.strand, func() {
				s.Close(func() {
					m.strand.PostFrom(s.Strand(), func() {
						m.now = m.cfg.Clock.Now()
						next()
						m.flush()
					})
				})
			})
		})
	}
}

// wakeStreams opens the streams of a tenant that rest.
func (m *Manager) wakeStreams(t *tenant) {
	for _, a := range m.catalogue.all() {
		if a.Account != t.name {
			continue
		}
		t.exclusive(a.name(), func(next func()) {
			if t.streams[a.name()] != nil || t.grant == nil || m.catalogue.find(a.Account, a.name()) != a {
				next()
				return
			}
			if a.Config.Storage == api.MemoryStorage {
				a.Incarnation++ // what it held is gone
			}
			t.reserve(a.Config, 1)
			m.openStream(t, a, false, func(_ *member, err error) {
				if err != nil {
					m.log.Errorf("Stream '%s > %s' cannot be opened: %v", a.Account, a.name(), err)
				}
				next()
			})
		})
	}
}
