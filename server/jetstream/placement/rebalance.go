package placement

import (
	"cmp"
	"slices"
)

// Rebalance proposes at most limit moves that even out, within each cluster, first how many of the assets each
// server holds and then how many it leads. Each move takes from a server something of which it has at least
// two more than the receiver; a leader may also change along a chain of servers, which counts once each. An
// asset is changed at most once. Only groups whose members all serve are touched, and servers to avoid neither
// give nor take. Carried out, and proposed anew until nothing is proposed, it ends: with no members unevenly
// held that one move could better, and leaders as even as the members permit.
func Rebalance(s *State, assets []Asset, avoid []uint64, limit int) []Move {
	p := newPlan(s, assets, avoid)
	members := newLeveller(p, p.held, 1, limit, p.holders(), p.movable, func(asset, from, to int) {
		p.move(asset, p.s.Servers[from].ID, p.s.Servers[to].ID)
	})
	for members.step() {
	}
	leaders := newLeveller(p, p.leads, len(s.Servers), limit, p.leaders(), p.leadable, func(asset, _, to int) {
		p.take(asset, Move{Asset: p.assets[asset].ID, Leader: p.s.Servers[to].ID})
	})
	for leaders.step() {
	}
	return p.moves
}

// holders lists by server the assets that it holds: those that it does not lead first.
func (p *plan) holders() [][]int {
	lists := make([][]int, len(p.s.Servers))
	for _, led := range []bool{false, true} {
		for i := range p.assets {
			for _, id := range p.assets[i].Members {
				if at := p.s.find(id); at >= 0 && (p.assets[i].Leader == id) == led {
					lists[at] = append(lists[at], i)
				}
			}
		}
	}
	return lists
}

// leaders lists by server the assets that it leads.
func (p *plan) leaders() [][]int {
	lists := make([][]int, len(p.s.Servers))
	for i := range p.assets {
		if at := p.s.find(p.assets[i].Leader); at >= 0 {
			lists[at] = append(lists[at], i)
		}
	}
	return lists
}

// movable tells whether a member of an asset may be replaced by another server.
func (p *plan) movable(asset, from, to int) bool {
	a, source, target := &p.assets[asset], &p.s.Servers[from], &p.s.Servers[to]
	if slices.Contains(a.Members, target.ID) || source.Cluster != target.Cluster || p.serving(a.Members) < len(a.Members) {
		return false
	}
	r := Request{Replicas: len(a.Members), Memory: a.Memory, MaxBytes: a.MaxBytes, Tags: a.Tags}
	if !p.s.judge(&r, target, false).ok {
		return false
	}
	prefix := p.s.distinct(a.Tags)
	return prefix == "" || !slices.ContainsFunc(a.Members, func(id uint64) bool {
		return id != source.ID && p.s.server(id).class(prefix) == target.class(prefix)
	})
}

// leadable tells whether another server is a member of an asset, and may lead it.
func (p *plan) leadable(asset, _, to int) bool {
	a := &p.assets[asset]
	return slices.Contains(a.Members, p.s.Servers[to].ID) && p.serving(a.Members) == len(a.Members)
}

// leveller evens out a load over servers by moving assets.
type leveller struct {
	p       *plan
	load    []int   // by server; moving changes it
	hops    int     // how long a chain of moves may be
	limit   int     // of moves in the whole proposal
	lists   [][]int // by server the assets that it could give
	next    []int   // by pair of servers: what stands before in the list cannot move between them
	fits    func(asset, from, to int) bool
	apply   func(asset, from, to int)
	partake []bool // by server
}

func newLeveller(
	p *plan, load []int, hops, limit int, lists [][]int,
	fits func(asset, from, to int) bool, apply func(asset, from, to int),
) *leveller {
	n := len(load)
	l := &leveller{p, load, hops, limit, lists, make([]int, n*n), fits, apply, make([]bool, n)}
	for i := range p.s.Servers {
		v := &p.s.Servers[i]
		l.partake[i] = v.serves() && !slices.Contains(p.avoid, v.ID)
	}
	return l
}

// asset gives the next asset that may move between two servers, or -1. What could not move before is not asked
// again: within one proposal hardly anything becomes possible, and the next one sees it.
func (l *leveller) asset(from, to int) int {
	next := &l.next[from*len(l.load)+to]
	for ; *next < len(l.lists[from]); *next++ {
		if a := l.lists[from][*next]; !l.p.moved[a] && l.fits(a, from, to) {
			return a
		}
	}
	return -1
}

// step makes the moves that take one from the most loaded server that can give, and tells whether there were
// any.
func (l *leveller) step() bool {
	from := make([]int, len(l.load))
	for i := range from {
		from[i] = i
	}
	slices.SortStableFunc(from, func(a, b int) int { return cmp.Compare(l.load[b], l.load[a]) })
	for _, f := range from {
		if !l.partake[f] {
			continue
		}
		chain := l.chain(f)
		if len(chain) > 1 && len(l.p.moves)+len(chain)-1 <= l.limit {
			for i := range chain[1:] {
				l.apply(l.asset(chain[i], chain[i+1]), chain[i], chain[i+1])
			}
			return true
		}
	}
	return false
}

// chain gives the servers along which one asset each moves, from a server to one that has at least two less:
// the shortest chain, of these one to the least loaded server. It is empty when there is none.
func (l *leveller) chain(from int) []int {
	n := len(l.load)
	via := make([]int, n) // where a server was reached from
	for i := range via {
		via[i] = -1
	}
	via[from] = from
	ring := []int{from}
	for hop := 0; hop < l.hops && len(ring) > 0; hop++ {
		var reached []int
		best := -1
		for _, at := range ring {
			for to := range n {
				if via[to] >= 0 || !l.partake[to] || !l.useful(from, to) || l.asset(at, to) < 0 {
					continue
				}
				via[to] = at
				reached = append(reached, to)
				if l.load[to] <= l.load[from]-2 && (best < 0 || l.load[to] < l.load[best]) {
					best = to
				}
			}
		}
		if best >= 0 {
			chain := []int{best}
			for at := best; at != from; at = via[at] {
				chain = append(chain, via[at])
			}
			slices.Reverse(chain)
			return chain
		}
		ring = reached
	}
	return nil
}

// useful tells whether a server is worth reaching: as an end, or on the way where chains may be long.
func (l *leveller) useful(from, to int) bool {
	return l.hops > 1 || l.load[to] <= l.load[from]-2
}
