package jetstream

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/placement"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Which servers hold a stream: how they are chosen, and how a stream gets from the ones to the others. The catalogue
// says at once where a stream is to be; the stream's leader brings its group there, and tells when that is done.

const (
	// moveEvery is how often changes of places that are under way are looked at.
	moveEvery = 200 * time.Millisecond
	// tellEvery is how often a server tells its facts, until the catalogue has them.
	tellEvery = 500 * time.Millisecond
)

// state is what places are chosen from.
func (m *Manager) state() *placement.State {
	c := m.cluster
	byID := make(map[core.MemberID]int)
	st := &placement.State{UniqueTag: m.cfg.Options().JetStreamUniqueTag}
	cfg := m.group.Members()
	for _, v := range cfg.Voters {
		s := placement.Server{
			ID: uint64(v.ID), Name: c.nameOf(v.ID), Cluster: c.Name(), JetStream: true,
			Online: v.ID == c.Self || slices.Contains(c.present, v.ID),
			Memory: placement.Resource{Max: -1}, Store: placement.Resource{Max: -1},
		}
		if f := m.catalogue.Servers[v.ID]; f != nil {
			s.Name, s.Cluster, s.Tags, s.JetStream, s.MaxAssets = f.Name, f.Cluster, f.Tags, f.Removed == nil, f.MaxAssets
			s.Memory.Max, s.Store.Max = f.Memory, f.Store
		}
		byID[v.ID] = len(st.Servers)
		st.Servers = append(st.Servers, s)
	}
	for _, a := range m.placedAssets() {
		for _, list := range [...][]place{a.Places, a.Leaving} {
			for _, p := range list {
				if i, ok := byID[p.ID]; ok {
					count(&st.Servers[i], a)
				}
			}
		}
	}
	return st
}

// placedAssets are the streams of the catalogue, and those that are proposed.
func (m *Manager) placedAssets() []*asset {
	list := m.catalogue.all()
	for _, t := range m.order {
		for _, name := range t.sorted() {
			if mem := t.streams[name]; mem.proposed {
				list = append(list, mem.asset)
			}
		}
	}
	return list
}

// count adds a stream to what a server has.
func count(s *placement.Server, a *asset) {
	r := &s.Store
	if a.Config.Storage == api.MemoryStorage {
		r = &s.Memory
	}
	r.Reserved += max(a.Config.MaxBytes, 0)
	if len(a.Places) > 1 {
		s.Assets++
	}
	if uint64(a.Leader) == s.ID {
		s.Leads++
	}
}

// wanted is what a configuration asks of places.
func (m *Manager) wanted(r *request, cfg *api.StreamConfig) *placement.Request {
	q := &placement.Request{
		Replicas: max(cfg.Replicas, 1), Memory: cfg.Storage == api.MemoryStorage, MaxBytes: cfg.MaxBytes,
		Cluster: m.cluster.Name(), Seed: m.strand.Rand("placement").Uint64(),
	}
	if p := cfg.Placement; p != nil {
		q.Tags = p.Tags
		if p.Cluster != "" {
			q.Cluster, q.Explicit = p.Cluster, true
		}
	}
	return q
}

// choose gives a new stream its servers, the one that leads first before the others.
func (m *Manager) choose(r *request, cfg *api.StreamConfig) ([]place, *api.Error) {
	ids, refusal := placement.Choose(m.state(), m.wanted(r, cfg))
	if refusal != nil {
		return nil, refusal.API()
	}
	lives := make(map[core.MemberID]core.Life)
	for _, v := range m.group.Members().Voters {
		lives[v.ID] = v.Life
	}
	list := make([]place, len(ids))
	for i, id := range ids {
		list[i] = place{ID: core.MemberID(id), Life: lives[core.MemberID(id)]}
	}
	return list, nil
}

// ids gives who holds a stream, the leader first as far as it is known.
func (mem *member) ids() (list []uint64, leader uint64) {
	a := mem.asset
	for _, p := range a.Places {
		list = append(list, uint64(p.ID))
	}
	lead := mem.leader
	if lead == 0 {
		lead = a.Leader
	}
	if i := slices.Index(list, uint64(lead)); i > 0 {
		list = slices.Insert(slices.Delete(list, i, i+1), 0, uint64(lead))
	}
	return list, uint64(lead)
}

// replace gives an update the places that it asks for, if they are others.
func (m *Manager) replace(r *request, mem *member, a *asset, was *api.StreamConfig) *api.Error {
	was1, now := max(was.Replicas, 1), max(a.Config.Replicas, 1)
	moves := !samePlacement(was.Placement, a.Config.Placement)
	if was1 == now && !moves {
		return nil
	}
	if was1 != now && moves {
		return api.ErrStreamMoveAndScale
	}
	if mem.asset.Moving {
		return api.ErrStreamReconfigureInProgress
	}
	if mem.leads {
		mem.leader = m.cluster.Self
	}
	q := m.wanted(r, a.Config)
	present, leader := mem.ids()
	q.Keep = present
	if a.Config.MaxBytes > 0 {
		q.Held = was.MaxBytes
	}
	var ids []uint64
	var refusal *placement.Refusal
	switch st := m.state(); {
	case now < was1:
		ids = placement.Shrink(st, present, leader, now)
	case moves:
		ids, refusal = placement.Choose(st, q)
	default:
		ids, refusal = placement.Grow(st, q)
	}
	if refusal != nil {
		return refusal.API()
	}
	a.placeAt(ids)
	return nil
}

// samePlacement tells whether two placements ask for the same.
func samePlacement(a, b *api.Placement) bool {
	var none api.Placement
	if a == nil {
		a = &none
	}
	if b == nil {
		b = &none
	}
	return a.Cluster == b.Cluster && slices.Equal(a.Tags, b.Tags)
}

// placeAt has the stream move to servers, of which the first should lead. Nothing that it had is changed in place.
func (a *asset) placeAt(ids []uint64) {
	a.Round++
	var places, leaving []place
	old := append(slices.Clone(a.Places), a.Leaving...)
	for _, id := range ids {
		p := place{ID: core.MemberID(id), Round: a.Round}
		if i := slices.IndexFunc(old, func(o place) bool { return o.ID == p.ID }); i >= 0 {
			p.Round = old[i].Round
		}
		places = append(places, p)
	}
	for _, p := range old {
		if !placed(places, p.ID) {
			p.Life = 0
			leaving = append(leaving, p)
		}
	}
	a.Places, a.Leaving, a.Moving, a.Leader = places, leaving, true, places[0].ID
}

// replaced follows a change of places on this server, which held the stream or not.
func (m *Manager) replaced(t *tenant, mem *member, held bool) {
	a := mem.asset
	holds := a.holds(m.cluster.Self)
	switch {
	case holds && !held && t.grant != nil:
		m.join(t, a)
	case held && !holds:
		m.leave(mem)
	case holds && mem.s != nil:
		s, leader := mem.s, a.Leader
		s.Do(m.strand, func() { s.Prefer(leader) })
	}
	m.tendPlaces()
}

// join opens a stream that was given to this server; it may have to wait for the end of what it had of it before.
func (m *Manager) join(t *tenant, a *asset) {
	m.openStream(t, a, m.isFresh(a, true), func(mem *member, err error) {
		if errors.Is(err, raft.ErrOpen) {
			m.strand.NewTimer(func() {
				if !m.stopped && t.streams[a.name()] == mem && mem.s == nil && a.holds(m.cluster.Self) {
					m.task(func() { m.join(t, a) })
				}
			}).Reset(moveEvery)
			return
		}
		m.openedHere(mem, err)
	})
}

// leave removes what this server has of a stream that others hold from now on.
func (m *Manager) leave(mem *member) {
	s := mem.s
	mem.s, mem.leads, mem.leader = nil, false, 0
	if s != nil {
		s.Do(m.strand, func() { s.Delete(func() {}) })
	}
}

// enactMoved has those that left a stream let go of it.
func (m *Manager) enactMoved(t *tenant, ch *change) {
	mem := t.streams[ch.Asset.name()]
	if mem == nil || mem.asset.Group != ch.Asset.Group || mem.asset.Round != ch.Asset.Round {
		return
	}
	held := mem.asset.holds(m.cluster.Self)
	mem.asset.Moving, mem.asset.Leaving = false, nil
	m.replaced(t, mem, held)
}

// tendPlaces goes on with the changes of places of the streams that this server leads.
func (m *Manager) tendPlaces() {
	c := m.cluster
	if m.stopped {
		return
	}
	any := false
	for _, t := range m.order {
		for _, name := range t.sorted() {
			mem := t.streams[name]
			if mem.s == nil || !mem.leads || !mem.asset.Moving {
				continue
			}
			any = true
			m.reconcile(t, mem)
		}
	}
	if !any {
		return
	}
	if c.moving == nil {
		c.moving = m.strand.NewTimer(m.tendPlaces)
	}
	c.moving.Reset(moveEvery)
}

func (m *Manager) reconcile(t *tenant, mem *member) {
	s, a := mem.s, *mem.asset
	var want []core.MemberID
	for _, p := range a.Places {
		want = append(want, p.ID)
	}
	s.Do(m.strand, func() {
		if !s.Reconcile(want) {
			return
		}
		m.strand.PostFrom(s.Strand(), func() {
			if now := mem.asset; now.Moving && now.Round == a.Round && !m.stopped {
				m.toLeader(frameMoved, &change{Op: "moved", Asset: &a})
			}
		})
	})
}

// toLeader has the catalogue's leader propose a change.
func (m *Manager) toLeader(kind byte, ch *change) {
	c := m.cluster
	switch {
	case c.leads && kind == frameLost:
		m.lost(c.Self, ch.Asset)
		return
	case c.leads:
		m.commit(ch, nil)
		return
	}
	p, err := json.Marshal(ch)
	if err == nil && c.leader != 0 {
		c.Lane.Send(c.leader, append([]byte{kind}, p...))
	}
}

// told takes what another server has for the catalogue's leader.
func (m *Manager) told(from core.MemberID, p []byte) {
	c := m.cluster
	ch := &change{}
	if !c.leads || m.stopped || json.Unmarshal(p[1:], ch) != nil || !ch.whole() {
		return
	}
	switch {
	case p[0] == frameFacts && ch.Op == "server" && ch.Server == from:
		if f := m.catalogue.Servers[from]; f == nil || !f.equal(ch.Facts) {
			if cfg := m.group.Members(); cfg.Has(from) {
				m.commit(ch, nil)
			}
		}
	case p[0] == frameLost && ch.Op == "renew":
		m.lost(from, ch.Asset)
	case p[0] == frameMoved && ch.Op == "moved":
		a := m.catalogue.find(ch.Asset.Account, ch.Asset.name())
		if a != nil && a.Group == ch.Asset.Group && a.Round == ch.Asset.Round && a.Moving && placed(a.Places, from) {
			m.commit(ch, nil)
		}
	}
}

// facts are this server's.
func (m *Manager) facts() *facts {
	o := m.cfg.Options()
	return &facts{
		Name: m.cluster.server, Cluster: m.cluster.Name(), Tags: o.Tags, Memory: m.cfg.MaxMemory, Store: m.cfg.MaxStore,
		MaxAssets: max(o.JetStreamLimits.MaxHAAssets, 0),
	}
}

// tell tells the leader this server's facts, until the catalogue has them.
func (m *Manager) tell() {
	c := m.cluster
	if m.stopped || m.group == nil || c.leader == 0 {
		return
	}
	f := m.facts()
	if old := m.catalogue.Servers[c.Self]; old != nil && old.equal(f) {
		return
	}
	if cfg := m.group.Members(); cfg.Has(c.Self) {
		m.toLeader(frameFacts, &change{Op: "server", Server: c.Self, Facts: f})
	}
	if c.telling == nil {
		c.telling = m.strand.NewTimer(m.tell)
	}
	c.telling.Reset(tellEvery)
}

// learnNames has servers called what the catalogue says, though they are not reached.
func (m *Manager) learnNames() {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, f := range m.catalogue.Servers { //lockstep:ordered each has its own name
		c.names[id] = f.Name
	}
}

// enactServer takes note of a server's facts.
func (m *Manager) enactServer(ch *change) {
	c := m.cluster
	if c == nil {
		return
	}
	m.learnNames()
	if ch.Facts.Removed != nil {
		m.strand.Post(func() { m.evict(ch.Server) })
	}
}
