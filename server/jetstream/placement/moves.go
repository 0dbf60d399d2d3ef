package placement

import "slices"

// Asset is a group and what its members must have.
type Asset struct {
	ID       uint64   // above zero
	Members  []uint64 // the leader or not, in any order
	Leader   uint64   // 0 when it has none
	Memory   bool     // in memory, not in files
	MaxBytes int64    // what each member has reserved; 0 or less is nothing
	Tags     []string // of the placement
}

// Move is one change of one group.
//
//	From and To    the member From goes, To comes
//	From           the member From goes, and the group is smaller by one
//	neither        only the leader changes
type Move struct {
	Asset    uint64
	From, To uint64
	// Leader is to lead the group afterwards, and is best given the lead before From goes. It is 0 when it
	// stays with who has it, or nobody who could take it is online.
	Leader uint64
}

// After gives the members and the leader that the move leaves a group with.
func (m Move) After(a *Asset) (members []uint64, leader uint64) {
	members, leader = a.Members, a.Leader
	if m.From != 0 {
		members = without(members, m.From)
		if leader == m.From {
			leader = 0
		}
	}
	if m.To != 0 {
		members = append(slices.Clone(members), m.To)
	}
	if m.Leader != 0 {
		leader = m.Leader
	}
	return members, leader
}

// Evacuate proposes the moves after which a server, and those to avoid besides, get no assets, and the server
// holds none. Replacements are spread by how many of the assets they hold. A replicated group with no
// replacement shrinks, if a quorum of what remains is online. Stuck are the assets that must stay: single
// replicas with no replacement, and groups of which too few others are online. The server must still be in the
// state, which says what cluster it is in.
func Evacuate(s *State, assets []Asset, server uint64, avoid []uint64) (moves []Move, stuck []uint64) {
	p := newPlan(s, assets, append([]uint64{server}, avoid...))
	for i := range p.assets {
		a := &p.assets[i]
		if !slices.Contains(a.Members, server) {
			continue
		}
		to := replacement(&p.s, p.request(a), server, p.held)
		if rest := without(a.Members, server); to == 0 && (len(rest) == 0 || p.serving(rest) < quorum(len(rest))) {
			stuck = append(stuck, a.ID)
			continue
		}
		p.move(i, server, to)
	}
	return p.moves, stuck
}

// plan is what proposals change as they grow: a state and assets of their own.
type plan struct {
	s      State
	assets []Asset
	avoid  []uint64
	held   []int  // of the assets how many each server holds, by its place in the state
	leads  []int  // and how many it leads
	moved  []bool // by place of the asset
	moves  []Move
}

func newPlan(s *State, assets []Asset, avoid []uint64) *plan {
	p := &plan{s: State{slices.Clone(s.Servers), s.UniqueTag}, assets: slices.Clone(assets), avoid: avoid}
	p.held, p.leads, p.moved = make([]int, len(s.Servers)), make([]int, len(s.Servers)), make([]bool, len(assets))
	for i := range assets {
		for _, id := range assets[i].Members {
			count(&p.s, p.held, id, 1)
		}
		count(&p.s, p.leads, assets[i].Leader, 1)
	}
	return p
}

// count adds to what is counted of a server, if it is known.
func count(s *State, of []int, id uint64, n int) {
	if i := s.find(id); i >= 0 {
		of[i] += n
	}
}

// request is for a server in the place of a member.
func (p *plan) request(a *Asset) *Request {
	return &Request{Replicas: len(a.Members), Memory: a.Memory, MaxBytes: a.MaxBytes, Tags: a.Tags, Keep: a.Members, Avoid: p.avoid, Seed: a.ID}
}

// serving counts the members that serve.
func (p *plan) serving(members []uint64) int {
	n := 0
	for _, id := range members {
		if p.s.serving(id) {
			n++
		}
	}
	return n
}

// move moves an asset, of which from is a member, and sees to its leader.
func (p *plan) move(i int, from, to uint64) {
	a := &p.assets[i]
	m := Move{Asset: a.ID, From: from, To: to}
	members, leader := m.After(a)
	if leader == 0 {
		m.Leader = p.successor(members, to)
	}
	p.reserve(a, members)
	p.take(i, m)
}

// successor is the member to lead that leads the fewest groups; a newcomer has to catch up and is the last
// choice.
func (p *plan) successor(members []uint64, newcomer uint64) uint64 {
	best := -1
	for _, id := range members {
		at := p.s.find(id)
		if at < 0 || !p.s.Servers[at].serves() || slices.Contains(p.avoid, id) || id == newcomer && len(members) > 1 {
			continue
		}
		if best < 0 || p.leads[at] < p.leads[best] {
			best = at
		}
	}
	switch {
	case best >= 0:
		return p.s.Servers[best].ID
	case p.s.serving(newcomer):
		return newcomer
	}
	return 0
}

// reserve counts an asset with its new members instead of its present ones.
func (p *plan) reserve(a *Asset, members []uint64) {
	p.charge(a, a.Members, -1)
	p.charge(a, members, 1)
}

func (p *plan) charge(a *Asset, members []uint64, sign int) {
	for _, id := range members {
		v := p.s.server(id)
		if v == nil {
			continue
		}
		count(&p.s, p.held, id, sign)
		if len(members) > 1 {
			v.Assets += sign
		}
		resource := &v.Store
		if a.Memory {
			resource = &v.Memory
		}
		resource.Reserved += int64(sign) * max(0, a.MaxBytes)
	}
}

// take adds a move to the proposal and lets it be done.
func (p *plan) take(i int, m Move) {
	a := &p.assets[i]
	count(&p.s, p.leads, a.Leader, -1)
	a.Members, a.Leader = m.After(a)
	count(&p.s, p.leads, a.Leader, 1)
	p.moved[i] = true
	p.moves = append(p.moves, m)
}
