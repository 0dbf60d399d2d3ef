package jetstream

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
)

// What the leader of the catalogue proposes, and what every server does when it is committed.

// assign proposes a new stream of several servers.
func (m *Manager) assign(r *request, a *asset, next func()) {
	t := r.t
	places, err := m.choose(r, a.Config)
	if err != nil {
		r.fail(err)
		next()
		return
	}
	a.Places, a.Leader = places, places[0].ID
	a.Group = m.cluster.next
	m.cluster.next++
	t.streams[a.name()] = &member{asset: a, proposed: true}
	t.reserve(a.Config, 1)
	m.commit(&change{Op: "create", Asset: a, Ask: r.ask()}, next)
}

// enact does what a committed entry asks of this server. Who asked is answered when the entry is news.
func (m *Manager) enact(ch *change, news bool) {
	acc := m.cfg.Broker.LookupAccount(ch.Asset.Account)
	if acc == nil {
		m.log.Warnf("Stream '%s > %s' is not served here: its account is not configured", ch.Asset.Account, ch.Asset.name())
		return
	}
	t := m.tenantOf(acc)
	if !news {
		ch.Ask = nil
	}
	switch ch.Op {
	case "create":
		m.enactCreate(t, ch)
	case "update":
		m.enactUpdate(t, ch)
	case "moved":
		m.enactMoved(t, ch)
	case "renew":
		m.enactRenew(t, ch, news)
	case "delete":
		m.enactDelete(t, ch)
	}
	m.countStreams()
}

func (m *Manager) enactCreate(t *tenant, ch *change) {
	a := ch.Asset
	mem := t.streams[a.name()]
	switch {
	case mem == nil:
		mem = &member{}
		t.streams[a.name()] = mem
		t.reserve(a.Config, 1)
	case mem.proposed:
		mem.proposed = false
	default: // is known already
		return
	}
	mem.asset = a
	if a.holds(m.cluster.Self) && t.grant != nil {
		mem.asked, mem.created = ch.Ask, ch.Ask != nil
		m.openStream(t, a, m.isFresh(a, ch.Ask != nil), m.openedHere)
	}
}

// reopen takes up a stream that the catalogue has at the start.
func (m *Manager) reopen(t *tenant, a *asset) {
	t.streams[a.name()] = &member{asset: a}
	t.reserve(a.Config, 1)
	if a.holds(m.cluster.Self) {
		m.openStream(t, a, m.isFresh(a, false), m.openedHere)
	}
}

// late ends a stream that was deleted while it was being opened, or that the server's end has missed.
func (m *Manager) late(s *stream.Stream) {
	s.Do(m.strand, func() {
		if m.stopped {
			s.Close(func() {})
		} else {
			s.Delete(func() {})
		}
	})
}

// isFresh tells whether this server never had anything of a stream that it was given. What memory held may be
// gone, so that only news is fresh.
func (m *Manager) isFresh(a *asset, news bool) bool {
	if a.Config.Storage == api.MemoryStorage {
		return news
	}
	return !m.cluster.known[m.logID(a)]
}

// openedHere tells of a stream that could not be opened.
func (m *Manager) openedHere(mem *member, err error) {
	if err != nil {
		m.log.Errorf("Stream '%s > %s' cannot be opened: %v", mem.asset.Account, mem.asset.name(), err)
		m.note(Problem{Account: mem.asset.Account, Stream: mem.asset.name(), Err: err})
	}
}

func (m *Manager) enactUpdate(t *tenant, ch *change) {
	mem := t.streams[ch.Asset.name()]
	if mem == nil || mem.asset.Group != ch.Asset.Group {
		return
	}
	a := mem.asset
	held := a.holds(m.cluster.Self)
	same := a.Config.Equal(ch.Asset.Config)
	t.reserve(a.Config, -1)
	a.take(ch.Asset)
	t.reserve(a.Config, 1)
	m.replaced(t, mem, held)
	if mem.leads {
		mem.asked = ch.Ask
		m.serves(t, mem)
		if !same {
			t.advise("$JS.EVENT.ADVISORY.STREAM.UPDATED."+a.name(), m.streamAction(a.name(), "modify"))
		}
	}
}

func (m *Manager) enactDelete(t *tenant, ch *change) {
	name := ch.Asset.name()
	mem := t.streams[name]
	if mem == nil || mem.asset.Group != ch.Asset.Group {
		return
	}
	delete(t.streams, name)
	t.reserve(mem.asset.Config, -1)
	s := mem.s
	if s == nil {
		return
	}
	leads := mem.leads
	s.Do(m.strand, func() {
		s.Delete(func() {
			m.strand.PostFrom(s.Strand(), func() {
				m.task(func() {
					if leads {
						t.advise("$JS.EVENT.ADVISORY.STREAM.DELETED."+name, m.streamAction(name, "delete"))
					}
				})
			})
		})
	})
}
