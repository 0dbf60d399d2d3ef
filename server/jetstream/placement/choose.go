package placement

import (
	"cmp"
	"math/bits"
	"slices"
)

// keepMax is how many present members are looked at: two groups of five, while one becomes the other.
const keepMax = 10

// Choose gives the members of a group: the present ones that stay, in their order, and the best others: online
// before offline, then by the most free bytes for one replica and the fewest replicated assets for
// several. Of a new group the first, who is to lead it, is online and leads the fewest groups. Either
// the members are nil or the refusal is.
func Choose(s *State, r *Request) ([]uint64, *Refusal) {
	refusal := &Refusal{}
	for _, cluster := range s.clusters(r) {
		if members := newField(s, r, cluster, refusal).choose(); members != nil {
			return members, nil
		}
	}
	return nil, refusal
}

// clusters are those to try: the request's, then by name.
func (s *State) clusters(r *Request) []string {
	if r.Explicit {
		return []string{r.Cluster}
	}
	var others []string
	for i := range s.Servers {
		if c := s.Servers[i].Cluster; c != r.Cluster && !slices.Contains(others, c) {
			others = append(others, c)
		}
	}
	slices.Sort(others)
	return append([]string{r.Cluster}, others...)
}

// field is what one choice within one cluster is made from.
type field struct {
	s       *State
	n       int       // members wanted
	prefix  string    // of the tag that must differ, or empty
	kept    []uint64  // of Request.Keep those that qualify
	fresh   []*Server // all others that qualify, the best first
	refusal *Refusal  // takes the reasons
}

// newField judges the servers of a cluster.
func newField(s *State, r *Request, cluster string, refusal *Refusal) *field {
	c := &field{s: s, n: max(1, r.Replicas), prefix: s.distinct(r.Tags), refusal: refusal}
	keep := r.Keep[:min(len(r.Keep), keepMax)]
	for _, id := range keep {
		v := s.server(id)
		if v != nil && v.Cluster == cluster && !slices.Contains(c.kept, id) && s.judge(r, v, true).ok {
			c.kept = append(c.kept, id)
		}
	}
	for i := range s.Servers {
		v := &s.Servers[i]
		if v.Cluster != cluster || slices.Contains(c.kept, v.ID) {
			continue
		}
		if judged := s.judge(r, v, false); judged.ok {
			c.fresh = append(c.fresh, v)
		} else {
			refusal.note(judged)
		}
	}
	slices.SortFunc(c.fresh, order(r)) //lockstep:total servers differ by ID, which is compared last
	return c
}

// order puts the best server first. No two are equal.
func order(r *Request) func(a, b *Server) int {
	return func(a, b *Server) int {
		free := cmp.Compare(b.Store.free(), a.Store.free())
		if r.Memory {
			free = cmp.Compare(b.Memory.free(), a.Memory.free())
		}
		fewer := cmp.Compare(a.Assets, b.Assets)
		if r.Replicas > 1 {
			free, fewer = fewer, free
		}
		return cmp.Or(onlineFirst(a.Online, b.Online), free, fewer,
			cmp.Compare(tie(r.Seed, a.ID), tie(r.Seed, b.ID)), cmp.Compare(a.ID, b.ID))
	}
}

func onlineFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// choose keeps as many members as it can, and is nil when it finds no group.
func (c *field) choose() []uint64 {
	for _, stay := range c.keeping() {
		if members := c.complete(stay); members != nil {
			if len(stay) == 0 {
				c.lead(members)
			}
			return members
		}
	}
	return nil
}

// keeping gives the sets of present members that may stay together, in the order to try them: the
// largest first, of these the one with most members online, of these the one with the earlier members.
func (c *field) keeping() [][]uint64 {
	type set struct {
		members []uint64
		online  int
	}
	var sets []set
	n := len(c.kept)
	for mask := uint(1<<n) - 1; ; mask-- { // the first member is the highest bit, so that earlier members come first
		if bits.OnesCount(mask) <= c.n {
			var x set
			for i, id := range c.kept {
				if mask&(1<<(n-1-i)) != 0 {
					x.members = append(x.members, id)
				}
			}
			x.online = c.online(x.members)
			if c.differ(x.members) {
				sets = append(sets, x)
			}
		}
		if mask == 0 {
			break
		}
	}
	slices.SortStableFunc(sets, func(a, b set) int {
		return cmp.Or(cmp.Compare(len(b.members), len(a.members)), cmp.Compare(b.online, a.online))
	})
	out := make([][]uint64, len(sets))
	for i := range sets {
		out[i] = sets[i].members
	}
	return out
}

// complete adds the best others to members that stay, and gives nil when there are too few or no quorum of the
// group would be online. Others that are online come first, one of each tag, so no other way of adding has
// more of them.
func (c *field) complete(stay []uint64) []uint64 {
	members := slices.Clone(stay)
	taken := c.classes(stay)
	clash, offline := false, false
	for _, v := range c.fresh {
		class := v.class(c.prefix)
		switch {
		case c.prefix != "" && slices.Contains(taken, class):
			clash = true
		case len(members) < c.n:
			members, taken = append(members, v.ID), append(taken, class)
			offline = offline || !v.Online
		}
	}
	enough, alive := len(members) >= c.n, c.online(members) >= quorum(c.n)
	if enough && alive {
		return members
	}
	if !enough && clash {
		c.refusal.Reasons |= TagNotUnique
	}
	if !alive && (offline || c.online(stay) < len(stay)) {
		c.refusal.Reasons |= PeerOffline
	}
	return nil
}

// lead puts the member first who leads the fewest groups.
func (c *field) lead(members []uint64) {
	best := -1
	for i, id := range members {
		if v := c.s.server(id); v.Online && (best < 0 || v.Leads < c.s.server(members[best]).Leads) {
			best = i
		}
	}
	id := members[best]
	copy(members[1:], members[:best])
	members[0] = id
}

// online counts the members that serve.
func (c *field) online(members []uint64) int {
	n := 0
	for _, id := range members {
		if c.s.serving(id) {
			n++
		}
	}
	return n
}

// classes are the unique tags of members; of a server that is unknown or has none, nothing.
func (c *field) classes(members []uint64) []string {
	var out []string
	for _, id := range members {
		if v := c.s.server(id); v != nil && c.prefix != "" {
			if class := v.class(c.prefix); class != "" {
				out = append(out, class)
			}
		}
	}
	return out
}

// differ tells whether no two members have the same unique tag.
func (c *field) differ(members []uint64) bool {
	classes := c.classes(members)
	slices.Sort(classes)
	return len(slices.Compact(classes)) == len(c.classes(members))
}
