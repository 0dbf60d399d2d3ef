package jetstream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/placement"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Taking servers out: out of a stream, and out of the cluster.

// streamPeerRemove gives the place of a server to another.
func (m *Manager) streamPeerRemove(r *request) {
	if m.cluster == nil {
		m.clusterOnly(r)
		return
	}
	var req api.JSApiStreamRemovePeerRequest
	if !api.HasBody(r.body) {
		r.fail(api.ErrBadRequest)
		return
	}
	if err := r.decode(&req); err != nil {
		r.fail(err)
		return
	}
	if req.Peer == "" {
		r.fail(api.ErrBadRequest)
		return
	}
	r.t.exclusive(r.Stream, func(next func()) {
		m.removePeer(r, req.Peer, next)
	})
}

func (m *Manager) removePeer(r *request, peer string, next func()) {
	mem := r.t.streams[r.Stream]
	if mem == nil || mem.proposed {
		r.fail(api.ErrStreamNotFound)
		next()
		return
	}
	a, err := m.without(r, mem, m.cluster.find(m, peer))
	if err != nil {
		r.fail(err)
		next()
		return
	}
	m.commit(&change{Op: "update", Asset: a}, func() {
		r.respond(&api.SuccessResponse{ApiResponse: r.head(), Success: true})
		next()
		m.flush()
	})
}

// without gives a stream's entry with another server in the place of one.
func (m *Manager) without(r *request, mem *member, leaving core.MemberID) (*asset, *api.Error) {
	a := *mem.asset
	if leaving == 0 || !placed(a.Places, leaving) {
		return nil, api.ErrClusterPeerNotMember
	}
	q := m.wanted(r, a.Config)
	q.Keep, _ = mem.ids()
	q.Held = max(a.Config.MaxBytes, 0)
	ids, err := placement.Replace(m.state(), q, uint64(leaving))
	if err != nil {
		return nil, err
	}
	a.placeAt(ids)
	return &a, nil
}

// find gives the server of a name, or of what is shown of it; 0 for none.
func (c *clustered) find(m *Manager, peer string) core.MemberID {
	for _, v := range m.group.Members().Voters {
		if name := c.nameOf(v.ID); name == peer || stream.PeerID(v.ID) == peer {
			return v.ID
		}
	}
	return 0
}

// serverRemove takes a server out of the cluster, for the system account.
func (m *Manager) serverRemove(r *request) {
	if m.cluster == nil {
		return // nobody answers
	}
	var req api.JSApiMetaServerRemoveRequest
	if !api.HasBody(r.body) {
		r.fail(api.ErrBadRequest)
		return
	}
	if err := r.decode(&req); err != nil {
		r.fail(err)
		return
	}
	peer := req.Server
	if req.Peer != "" {
		peer = req.Peer
	}
	id := m.cluster.find(m, peer)
	if id == 0 {
		r.fail(api.ErrClusterServerNotMember)
		return
	}
	cfg := m.group.Members()
	if cfg.Joint() || len(cfg.Learners) > 0 {
		r.fail(api.ErrClusterServerMemberChangeInflight)
		return
	}
	f := facts{Name: m.cluster.nameOf(id), Cluster: m.cluster.Name()}
	if old := m.catalogue.Servers[id]; old != nil {
		f = *old
	}
	at := m.now.UTC().Truncate(time.Second)
	f.Removed = &at
	m.commit(&change{Op: "server", Server: id, Facts: &f}, func() {
		m.cluster.removing = r
		m.cluster.removed = id
	})
}

// evict takes a server that was removed out of the streams, as far as others can take its places, and then out of the
// catalogue's group. The catalogue's leader does it.
func (m *Manager) evict(id core.MemberID) {
	c := m.cluster
	r := c.removing
	if c.removed != id {
		r = nil
	}
	c.removing, c.removed = nil, 0
	if !c.leads || m.stopped {
		return
	}
	m.task(func() {
		for _, t := range m.order {
			for _, name := range t.sorted() {
				mem := t.streams[name]
				if mem.proposed || !placed(mem.asset.Places, id) {
					continue
				}
				if a, err := m.without(&request{m: m, t: t}, mem, id); err == nil {
					m.commit(&change{Op: "update", Asset: a}, nil)
				}
			}
		}
	})
	m.group.ProposeConfig(core.Change{Remove: []core.MemberID{id}}, func(err error) {
		if r == nil {
			return
		}
		m.task(func() {
			if err != nil {
				r.fail(api.ErrClusterServerMemberChangeInflight)
				return
			}
			r.respond(&api.SuccessResponse{ApiResponse: r.head(), Success: true})
		})
	})
}
