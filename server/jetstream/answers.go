package jetstream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Which server of several answers a request, and what is answered when nobody leads.

const (
	// leaderlessAfter is how long nobody must lead before requests are refused.
	leaderlessAfter = 10 * time.Second
	// refuseAfter is how long a refusal waits, for a leader that is somewhere to answer first.
	refuseAfter = 500 * time.Millisecond
	// refusingMax bounds how many requests wait to be refused; more are dropped.
	refusingMax = 4096
)

// answers tells whether a request is this server's to answer, of all those that have it.
func (m *Manager) answers(r *request) bool {
	c := m.cluster
	switch r.Endpoint {
	case api.EndpointStreamInfo, api.EndpointStreamPurge, api.EndpointMsgGet, api.EndpointMsgDelete, api.EndpointStreamSnapshot,
		api.EndpointStreamStepdown, api.EndpointConsumerCreate, api.EndpointConsumerDurable, api.EndpointConsumerNames, api.EndpointConsumerList,
		api.EndpointConsumerInfo, api.EndpointConsumerDelete, api.EndpointConsumerPause, api.EndpointConsumerUnpin, api.EndpointConsumerReset,
		api.EndpointConsumerStepdown:
		if mem := r.t.streams[r.Stream]; mem != nil {
			if !mem.leads {
				m.streamLeaderless(r, mem)
			}
			return mem.leads
		}
	}
	if !c.leads {
		m.leaderless(r)
	}
	return c.leads
}

// leaderless refuses a request when nobody has led the catalogue for long.
func (m *Manager) leaderless(r *request) {
	if m.cluster.leader != 0 || m.cfg.Clock.Monotonic()-m.colleagues.unled < leaderlessAfter {
		return
	}
	if m.group != nil {
		m.group.Wake()
	}
	m.refuseLater(r)
}

// streamLeaderless refuses a request when nobody has led its stream for long.
func (m *Manager) streamLeaderless(r *request, mem *member) {
	s := mem.s
	if s == nil || mem.leader != 0 {
		return
	}
	s.Do(m.strand, func() {
		if s.Leaderless(leaderlessAfter) {
			m.strand.PostFrom(s.Strand(), func() { m.refuseLater(r) })
		}
	})
}

// refuseLater says that nobody can serve a request now, unless it is not known who asks for what.
func (m *Manager) refuseLater(r *request) {
	c := &m.colleagues
	if r.reply == "" || r.Endpoint == api.EndpointConsumerReset || r.t.grant == nil && !isMeta(r.Endpoint) || c.refusing >= refusingMax {
		return
	}
	c.refusing++
	m.strand.NewTimer(func() {
		c.refusing--
		if !m.stopped {
			m.task(func() { r.fail(api.ErrClusterNotAvail) })
		}
	}).Reset(refuseAfter)
}

// isMeta tells whether a request is the system account's to the servers of a cluster as such.
func isMeta(e api.Endpoint) bool { return e == api.EndpointMetaStepdown }

// noteLeader keeps when the leader of the catalogue was lost; was is who led before.
func (m *Manager) noteLeader(was, leader core.MemberID) {
	if was != 0 && leader == 0 {
		m.colleagues.unled = m.cfg.Clock.Monotonic()
	}
}

// peerOf is what a server is called, and how it is shown where names are too long. Any strand.
func (c *clustered) peerOf(id core.MemberID) (name, peer string) {
	return c.nameOf(id), stream.PeerID(id)
}
