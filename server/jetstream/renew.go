package jetstream

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Streams that their servers have forgotten, such as those in memory when too many of them were started again: none of
// them may lead by what it has, so the stream begins anew, empty.

const (
	// lostEvery is how often a server tells that it has nothing of a stream that nobody leads.
	lostEvery = 500 * time.Millisecond
	// lostAfter is how long that must be so before it is told: a leader that is there makes itself known sooner.
	lostAfter = 2 * time.Second
	// lostFor is how long what was told counts.
	lostFor = 2 * lostEvery
)

// lostReports are the servers that have nothing of a stream, and when they said so, on the monotonic clock.
type lostReports struct {
	id raft.ID
	at map[core.MemberID]time.Duration
}

// tendLost tells the leader of streams that this server has nothing of.
func (m *Manager) tendLost() {
	c := m.cluster
	if m.stopped {
		return
	}
	any := false
	for _, t := range m.order {
		for _, name := range t.sorted() {
			mem := t.streams[name]
			if mem.s == nil || mem.leads || mem.leader != 0 || !placed(mem.asset.Places, c.Self) {
				continue
			}
			any = true
			s, a := mem.s, *mem.asset
			s.Do(m.strand, func() {
				forgotten := s.Forgotten()
				m.strand.PostFrom(s.Strand(), func() {
					if now := m.cfg.Clock.Monotonic(); !forgotten || mem.s != s {
						mem.lostSince = 0
					} else if mem.lostSince == 0 {
						mem.lostSince = now
					} else if now-mem.lostSince >= lostAfter && !m.stopped {
						m.toLeader(frameLost, &change{Op: "renew", Asset: &a})
					}
				})
			})
		}
	}
	if !any {
		return
	}
	if c.losing == nil {
		c.losing = m.strand.NewTimer(m.tendLost)
	}
	c.losing.Reset(lostEvery)
}

// lost notes, where the catalogue is led, that a server has nothing of a stream, and begins the stream anew when that is true
// of so many that it could not go on: of all who hold it, or of most when it is kept in memory.
func (m *Manager) lost(from core.MemberID, told *asset) {
	c := m.cluster
	a := m.catalogue.find(told.Account, told.name())
	if a == nil || a.Group != told.Group || a.Incarnation != told.Incarnation || !placed(a.Places, from) {
		return
	}
	if c.lost == nil {
		c.lost = make(map[uint64]*lostReports)
	}
	id := raft.ID{Group: a.Group, Incarnation: a.Incarnation}
	l := c.lost[a.Group]
	if l == nil || l.id != id {
		l = &lostReports{id: id, at: make(map[core.MemberID]time.Duration)}
		c.lost[a.Group] = l
	}
	now := m.cfg.Clock.Monotonic()
	l.at[from] = now
	all := append(slices.Clone(a.Places), a.Leaving...)
	n := 0
	for _, p := range all {
		if at, ok := l.at[p.ID]; ok && now-at < lostFor {
			n++
		}
	}
	if n < len(all) && (a.Config.Storage != api.MemoryStorage || a.Moving || n <= len(all)/2) { // who comes new has nothing yet
		return
	}
	delete(c.lost, a.Group)
	next := *a
	next.Incarnation++
	next.Leader = from
	next.Places = nil
	lives := make(map[core.MemberID]core.Life)
	for _, v := range m.group.Members().Voters {
		lives[v.ID] = v.Life
	}
	for _, p := range a.Places {
		p.Life = lives[p.ID]
		next.Places = append(next.Places, p)
	}
	m.log.Warnf("Stream '%s > %s' begins anew: its servers have nothing of it any more", a.Account, a.name())
	m.commit(&change{Op: "renew", Asset: &next}, nil)
}

// renew is part of [catalogue.apply].
func (a *asset) renew(o *asset) bool {
	if a.Group != o.Group || a.Incarnation+1 != o.Incarnation || a.Round != o.Round {
		return false
	}
	a.Incarnation, a.Places, a.Leader = o.Incarnation, o.Places, o.Leader
	return true
}

// enactRenew has who holds a stream begin it anew.
func (m *Manager) enactRenew(t *tenant, ch *change, news bool) {
	mem := t.streams[ch.Asset.name()]
	if mem == nil || !mem.asset.renew(ch.Asset) {
		return
	}
	a := mem.asset
	m.leave(mem)
	if !a.holds(m.cluster.Self) || t.grant == nil {
		return
	}
	delete(t.streams, a.name()) // what may still be under way for it is of the one that was
	m.openStream(t, a, m.isFresh(a, news), m.openedHere)
}
