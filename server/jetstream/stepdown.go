package jetstream

import (
	"cmp"
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/placement"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Leaders step down when they are asked to.

// successor reads who is to lead in place of this server, 0 for whoever has most.
func (r *request) successor(members []core.MemberID) (core.MemberID, *api.Error) {
	var req api.JSApiLeaderStepdownRequest
	if err := r.decodeOptional(&req); err != nil || req.Placement == nil {
		return 0, err
	}
	c := r.m.cluster
	s := &placement.State{}
	var ids []uint64
	for _, id := range members {
		ids = append(ids, uint64(id))
		name, _ := c.peerOf(id)
		s.Servers = append(s.Servers, placement.Server{
			ID: uint64(id), Name: name, Cluster: c.Name(), JetStream: true, Online: id == c.Self || slices.Contains(c.present, id),
		})
	}
	slices.SortFunc(s.Servers, func(a, b placement.Server) int { return cmp.Compare(a.ID, b.ID) }) //lockstep:total each once
	to, err := placement.StepDown(s, ids, uint64(c.Self), req.Placement)
	return core.MemberID(to), err
}

// streamStepdown moves the leadership of a stream, or of the stream of a consumer.
func (m *Manager) streamStepdown(r *request) {
	if m.cluster == nil {
		m.clusterOnly(r)
		return
	}
	mem, err := r.t.member(r.Stream)
	if err != nil {
		r.fail(err)
		return
	}
	var members []core.MemberID
	for _, p := range mem.asset.Places {
		members = append(members, p.ID)
	}
	m.onStream(r, func(s *stream.Stream) {
		if r.Consumer != "" {
			if _, ok := s.Consumer(r.Consumer); !ok {
				r.failBy(s.Sender(), api.ErrConsumerNotFound)
				return
			}
		}
		m.strand.PostFrom(s.Strand(), func() {
			m.task(func() { m.handOver(r, s, members) })
		})
	})
}

func (m *Manager) handOver(r *request, s *stream.Stream, members []core.MemberID) {
	to, err := r.successor(members)
	if err != nil {
		r.fail(err)
		return
	}
	s.Do(m.strand, func() {
		if e := s.StepDown(to); e != nil {
			m.log.Debugf("Stream '%s > %s' does not change its leader: %v", s.Account(), r.Stream, e)
		}
		r.respondBy(s.Sender(), r.success())
	})
}

// metaStepdown moves the leadership of the catalogue.
func (m *Manager) metaStepdown(r *request) {
	members := m.group.Members()
	var ids []core.MemberID
	for _, v := range members.Voters {
		ids = append(ids, v.ID)
	}
	to, err := r.successor(ids)
	if err != nil {
		r.fail(err)
		return
	}
	r.respond(r.success())
	if to == 0 {
		to = m.bestFollower()
	}
	if to == 0 {
		return
	}
	if e := m.group.TransferLeadership(to); e != nil {
		m.log.Debugf("JetStream cluster: the leader does not change: %v", e)
	}
}

// bestFollower is the member that has most of the catalogue besides this one; 0 for none.
func (m *Manager) bestFollower() core.MemberID {
	var best core.Peer
	for _, p := range m.group.Peers(nil) {
		if p.Present && !p.Learner && !p.Snapshot && (best.ID == 0 || p.Match > best.Match) {
			best = p
		}
	}
	return best.ID
}

// success is the answer of a request that has nothing to tell.
func (r *request) success() *api.SuccessResponse {
	return &api.SuccessResponse{ApiResponse: r.head(), Success: true}
}
