package jetstream

import (
	"github.com/lockstepmq/lockstep/server/account"
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
	for _, t := range m.order {
		switch acc := m.cfg.Broker.LookupAccount(t.name); {
		case acc == nil:
			m.retire(t)
		case acc != t.acc: // it went, and one of its name came
			m.retire(t)
			t.acc, t.sender = acc, m.cfg.Broker.NewSender(m.strand, acc, "jetstream")
		}
	}
	accounts := m.cfg.Broker.Accounts()
	grants := m.grantsOf(accounts)
	for i, acc := range accounts {
		t := m.tenantOf(acc)
		had := t.grant != nil
		m.admit(acc, grants[i])
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

// retire ends the service of an account that is no more.
func (m *Manager) retire(t *tenant) {
	t.grant = nil
	m.unsubscribe(t)
	m.restStreams(t)
	m.countAccounts()
}

// grantsOf is what each account may use from now on. What they may use together must be there: who
// would get more than is left keeps what it had.
func (m *Manager) grantsOf(accounts []*account.Account) []*account.JetStream {
	grants := make([]*account.JetStream, len(accounts))
	memory, file := m.cfg.MaxMemory, m.cfg.MaxStore // left, with the lower of old and new taken
	for i, acc := range accounts {
		grants[i] = m.grantOf(acc)
		oldMemory, oldFile := reservedBy(m.tenantOf(acc).grant)
		newMemory, newFile := reservedBy(grants[i])
		memory -= min(oldMemory, newMemory)
		file -= min(oldFile, newFile)
	}
	for i, acc := range accounts {
		was := m.tenantOf(acc).grant
		oldMemory, oldFile := reservedBy(was)
		newMemory, newFile := reservedBy(grants[i])
		moreMemory, moreFile := max(newMemory-oldMemory, 0), max(newFile-oldFile, 0)
		var err *api.Error
		switch {
		case moreMemory > 0 && moreMemory > memory:
			err = api.ErrMemoryResourcesExceeded
		case moreFile > 0 && moreFile > file:
			err = api.ErrStorageResourcesExceeded
		}
		if err != nil {
			m.log.Errorf("Error enabling jetstream on configured accounts: %s (%d)", err.Description, err.ErrCode)
			grants[i] = was
			continue
		}
		memory, file = memory-moreMemory, file-moreFile
	}
	return grants
}

// reservedBy are the bytes that a grant takes of the server's.
func reservedBy(g *account.JetStream) (memory, file int64) {
	if g == nil {
		return 0, 0
	}
	l := g.Tiers[""]
	return max(l.MaxMemory, 0), max(l.MaxStore, 0)
}

// restStreams closes the streams of a tenant; the catalogue keeps them.
func (m *Manager) restStreams(t *tenant) {
	acc := t.acc
	for _, name := range t.sorted() {
		t.exclusive(name, func(next func()) {
			mem := t.streams[name]
			if mem == nil || mem.s == nil || t.grant != nil && t.acc == acc {
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
