package jetstream

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// How a server of a cluster does, for monitoring.

// Standing is what a server of a cluster knows of the catalogue, and whether it has what it should.
type Standing struct {
	Cluster string
	// Leader of the catalogue and how it is shown where names are too long; empty when nobody is known to lead.
	Leader, Peer string
	// Leads: it is this server.
	Leads    bool
	Replicas []*api.PeerInfo // the other servers, by name
	Size     int             // servers, this one included
	Pending  int             // entries of the catalogue's log that are committed and not applied
	// Problem is what keeps this server from knowing which streams there are; empty when it knows.
	Problem string
	// Behind are the streams that this server should have and has not.
	Behind []Problem
	// Assets are the replicated streams here; StreamsLed and ConsumersLed are of this server.
	Assets, StreamsLed, ConsumersLed int
}

// What a server says that does not know which streams there are.
const (
	problemRecovering = "JetStream is still recovering meta layer"
	problemLeaderless = "JetStream has not established contact with a meta leader"
	problemBehind     = "JetStream is not current with the meta leader"
)

// Clustered tells whether it is one of several servers. Any strand.
func (m *Manager) Clustered() bool { return m.cluster != nil }

// Standing calls done once, on the manager's strand. Of a server alone it is the zero value.
func (m *Manager) Standing(done func(*Standing)) {
	m.strand.Post(func() {
		if m.cluster == nil {
			done(&Standing{})
			return
		}
		st := m.standing()
		left := 1
		one := func() {
			if left--; left == 0 {
				slices.SortFunc(st.Behind, func(a, b Problem) int { //lockstep:total account and name are unique together
					return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Stream, b.Stream))
				})
				done(st)
			}
		}
		for _, t := range m.order {
			for _, name := range t.sorted() {
				if mem := t.streams[name]; t.grant != nil && !mem.proposed && mem.asset.holds(m.cluster.Self) {
					left++
					m.standingOf(st, t, mem, one)
				}
			}
		}
		one()
	})
}

// standingOf adds a stream that this server should have.
func (m *Manager) standingOf(st *Standing, t *tenant, mem *member, one func()) {
	behind := func(why string) {
		err := fmt.Errorf("JetStream stream '%s > %s' is not current: %s", t.name, mem.asset.name(), why)
		st.Behind = append(st.Behind, Problem{Account: t.name, Stream: mem.asset.name(), Err: err})
	}
	if mem.asset.Config.Replicas > 1 {
		st.Assets++
	}
	s := mem.s
	if s == nil {
		behind("stream not found")
		one()
		return
	}
	s.Do(m.strand, func() {
		current, leads, consumers := s.Current(), s.Leads(), len(s.Consumers())
		m.strand.PostFrom(s.Strand(), func() {
			switch {
			case !current && t.streams[mem.asset.name()] == mem:
				behind("stream catching up")
			case leads:
				st.StreamsLed++
				st.ConsumersLed += consumers
			}
			one()
		})
	})
}

// standing tells of the catalogue.
func (m *Manager) standing() *Standing {
	c := m.cluster
	st := &Standing{Cluster: c.Name(), Leads: c.leads, Problem: problemRecovering, Size: max(c.Expected, 1)}
	if m.group == nil {
		return st
	}
	if c.leader != 0 {
		st.Leader, st.Peer = c.peerOf(c.leader)
	}
	members := m.group.Members()
	if n := len(members.Voters); n > 0 {
		st.Size = n
	}
	committed := m.group.Committed()
	if applied := m.group.Applied(); committed > applied {
		st.Pending = int(committed - applied)
	}
	switch state := m.group.State(); {
	case c.leader == 0:
		st.Problem = problemLeaderless
	case state.Standing != core.Voter, st.Pending > 0:
		st.Problem = problemBehind
	case m.sink != nil:
		st.Problem = ""
	}
	st.Replicas = m.otherServers(members, committed)
	return st
}

// otherServers are the other members of the catalogue, by name.
func (m *Manager) otherServers(members core.Config, committed uint64) []*api.PeerInfo {
	c := m.cluster
	var list []*api.PeerInfo
	known := make(map[core.MemberID]core.Peer)
	if c.leads {
		for _, p := range m.group.Peers(nil) {
			known[p.ID] = p
		}
	}
	for _, v := range members.Voters {
		if v.ID == c.Self {
			continue
		}
		i := &api.PeerInfo{Current: v.ID == c.leader, Offline: !slices.Contains(c.present, v.ID)}
		i.Name, i.Peer = c.peerOf(v.ID)
		if p, ok := known[v.ID]; ok {
			i.Active = p.Heard
			if n := uint64(p.Match); n < committed {
				i.Lag = committed - n
			}
			i.Current = p.Present && !p.Snapshot && i.Lag == 0
		}
		list = append(list, i)
	}
	slices.SortStableFunc(list, func(a, b *api.PeerInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
