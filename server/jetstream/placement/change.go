package placement

import (
	"cmp"
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Grow gives the members of a group that is to have r.Replicas of them: all of r.Keep, whether they still
// qualify or not, in their order, then the best others of their cluster. It is given more members than
// replicas only by mistake, and then returns them as they are.
func Grow(s *State, r *Request) ([]uint64, *Refusal) {
	refusal := &Refusal{}
	if len(r.Keep) >= r.Replicas {
		return slices.Clone(r.Keep), nil
	}
	c := newField(s, r.strangers(r.Replicas), s.clusterOf(r.Keep, r.Cluster), refusal)
	if members := c.complete(r.Keep); members != nil {
		return members, nil
	}
	return nil, refusal
}

// strangers is the request for the members of a group that are not members now.
func (r *Request) strangers(replicas int) *Request {
	q := *r
	q.Replicas, q.Keep, q.Avoid = replicas, nil, append(slices.Clone(r.Avoid), r.Keep...)
	return &q
}

// Shrink gives the replicas, at least one, of a group's members that stay. The leader, if it is a member,
// stays and comes first. Of the others those go first that do not serve, then those that hold the most
// replicated assets, then the later ones.
func Shrink(s *State, members []uint64, leader uint64, replicas int) []uint64 {
	out := slices.Clone(members)
	assets := func(id uint64) int {
		if v := s.server(id); v != nil {
			return v.Assets
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b uint64) int {
		return cmp.Or(onlineFirst(a == leader, b == leader), onlineFirst(s.serving(a), s.serving(b)), cmp.Compare(assets(a), assets(b)))
	})
	return out[:min(len(out), max(1, replicas))]
}

// Replace gives the members of a group, r.Keep, without one of them: the others in their order, whether they
// still qualify or not, then the best server of their cluster that is online. It fails with 10040 when the
// server is no member and with 10075 when no other can take its place. r.Replicas is not looked at.
func Replace(s *State, r *Request, leaving uint64) ([]uint64, *api.Error) {
	if !slices.Contains(r.Keep, leaving) {
		return nil, api.ErrClusterPeerNotMember
	}
	to := replacement(s, r, leaving, nil)
	if to == 0 {
		return nil, api.ErrPeerRemap
	}
	return append(without(r.Keep, leaving), to), nil
}

// without gives the members but one.
func without(members []uint64, leaving uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(members), func(id uint64) bool { return id == leaving })
}

// replacement is the best server for a member's place, or 0. Servers with less load, by their place in the
// state, come first if load is given.
func replacement(s *State, r *Request, leaving uint64, load []int) uint64 {
	c := newField(s, r.strangers(len(r.Keep)), s.clusterOf(append([]uint64{leaving}, r.Keep...), r.Cluster), &Refusal{})
	taken := c.classes(without(r.Keep, leaving))
	var best *Server
	for _, v := range c.fresh {
		if !v.Online || c.prefix != "" && slices.Contains(taken, v.class(c.prefix)) {
			continue
		}
		if best == nil || load != nil && load[s.find(v.ID)] < load[s.find(best.ID)] {
			best = v
		}
	}
	if best == nil {
		return 0
	}
	return best.ID
}

// StepDown gives the member who is to lead a group in place of its leader; the members of the meta group are
// all servers. It is 0 when the leader is to step down and any other may follow: of a single replica, and when
// nobody who could follow serves. A preferred server goes before cluster and tags, which are matched as they
// are written, a leading ! included. It fails with 10005 when the placement cannot be followed.
func StepDown(s *State, members []uint64, leader uint64, p *api.Placement) (uint64, *api.Error) {
	if len(members) <= 1 {
		return 0, nil
	}
	if p == nil {
		p = &api.Placement{}
	}
	if p.Preferred != "" {
		return s.preferred(members, leader, p.Preferred)
	}
	connected, best := false, (*Server)(nil)
	for _, id := range members {
		v := s.server(id)
		if id == leader || v == nil || !v.Online || !v.follows(p) {
			continue
		}
		connected = true
		if v.JetStream && (best == nil || v.Leads < best.Leads) {
			best = v
		}
	}
	switch {
	case best != nil:
		return best.ID, nil
	case connected || p.Cluster == "" && len(p.Tags) == 0:
		return 0, nil
	}
	return 0, api.ErrClusterNoPeers.With("no replacement peer connected")
}

// follows tells whether the server has the cluster and the tags that the placement names.
func (v *Server) follows(p *api.Placement) bool {
	return (p.Cluster == "" || p.Cluster == v.Cluster) &&
		!slices.ContainsFunc(p.Tags, func(t string) bool { return !v.tagged(t) })
}

// preferred is the member of a name.
func (s *State) preferred(members []uint64, leader uint64, name string) (uint64, *api.Error) {
	for _, id := range members {
		switch v := s.server(id); {
		case v == nil || v.Name != name:
		case id == leader:
			return 0, api.ErrClusterNoPeers.Withf("preferred server %q is already leader", name)
		case !v.serves():
			return 0, nil
		default:
			return id, nil
		}
	}
	return 0, api.ErrClusterNoPeers.Withf("preferred server %q not known", name)
}
