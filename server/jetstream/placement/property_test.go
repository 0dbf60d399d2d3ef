package placement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/placement"
)

// drawState draws up to seven servers in two clusters.
func drawState(t *rapid.T) *placement.State {
	s := &placement.State{UniqueTag: rapid.SampledFrom([]string{"", "az:"}).Draw(t, "unique tag")}
	n := rapid.IntRange(1, 7).Draw(t, "servers")
	for i := range n {
		v := server(uint64(i+1), rapid.SampledFrom([]string{"A", "A", "B"}).Draw(t, "cluster"), fmt.Sprint("s", i+1), "", 0)
		v.Tags = rapid.SliceOfN(rapid.SampledFrom([]string{"az:1", "AZ:2", "az:3", "x", "Y", "x", "!jetstream"}), 0, 3).Draw(t, "tags")
		v.Online = rapid.IntRange(0, 3).Draw(t, "online") > 0
		v.JetStream = rapid.IntRange(0, 7).Draw(t, "jetstream") > 0
		for _, r := range []*placement.Resource{&v.Memory, &v.Store} {
			r.Max, r.Reserved = rapid.Int64Range(-1, 3).Draw(t, "max"), rapid.Int64Range(0, 2).Draw(t, "reserved")
		}
		v.Assets, v.MaxAssets = rapid.IntRange(0, 3).Draw(t, "assets"), rapid.IntRange(0, 3).Draw(t, "cap")
		v.Leads = rapid.IntRange(0, 2).Draw(t, "leads")
		s.Servers = append(s.Servers, v)
	}
	return s
}

var (
	ids      = rapid.SliceOfNDistinct(rapid.Uint64Range(1, 8), 0, 5, rapid.ID) // one more than there are servers
	someTags = rapid.SliceOfN(rapid.SampledFrom([]string{"x", "X", "y", "!x", "!y", "!az:3", "az:1", "AZ:1"}), 0, 2)
)

func drawRequest(t *rapid.T) *placement.Request {
	r := &placement.Request{
		Replicas: rapid.IntRange(1, 5).Draw(t, "replicas"),
		Memory:   rapid.Bool().Draw(t, "memory"),
		MaxBytes: rapid.Int64Range(-1, 2).Draw(t, "bytes"),
		Held:     rapid.Int64Range(0, 1).Draw(t, "held"),
		Cluster:  rapid.SampledFrom([]string{"A", "A", "B", "none"}).Draw(t, "cluster asked"),
		Explicit: rapid.Bool().Draw(t, "explicit"),
		Keep:     ids.Draw(t, "keep"),
		Seed:     rapid.Uint64Range(0, 3).Draw(t, "seed"),
	}
	if rapid.Bool().Draw(t, "with tags") {
		r.Tags = someTags.Draw(t, "tags asked")
	}
	if rapid.Bool().Draw(t, "with avoid") {
		r.Avoid = ids.Draw(t, "avoid")
	}
	return r
}

// qualifies says again, in its own words, which servers may hold what is asked.
func qualifies(s *placement.State, r *placement.Request, v placement.Server) bool {
	has := map[string]bool{}
	for _, t := range v.Tags {
		has[strings.ToLower(t)] = true
	}
	for _, t := range r.Tags {
		t = strings.ToLower(t)
		if strings.HasPrefix(t, "!") == has[strings.TrimPrefix(t, "!")] {
			return false
		}
	}
	present := slices.Contains(r.Keep, v.ID)
	res, need := v.Store, r.MaxBytes
	if r.Memory {
		res = v.Memory
	}
	if present {
		need -= r.Held
	}
	room := need <= 0 || res.Max < 0 || need+res.Reserved <= res.Max
	capped := r.Replicas > 1 && v.MaxAssets > 0 && v.Assets >= v.MaxAssets && !present
	zoned := !zonesCount(s, r) || zone(v) != ""
	return v.JetStream && !has["!jetstream"] && !slices.Contains(r.Avoid, v.ID) && room && !capped && zoned
}

func zonesCount(s *placement.State, r *placement.Request) bool {
	return s.UniqueTag != "" && !slices.ContainsFunc(r.Tags, func(t string) bool { return strings.HasPrefix(t, "az:") || strings.HasPrefix(t, "!az:") })
}

func zone(v placement.Server) string {
	for _, t := range v.Tags {
		if strings.HasPrefix(strings.ToLower(t), "az:") {
			return strings.ToLower(t)
		}
	}
	return ""
}

// sound tells whether servers, other than those that are there anyhow, qualify, and may be a group together.
func sound(s *placement.State, r *placement.Request, members, anyhow []uint64, clusters ...string) bool {
	online, used := 0, map[string]bool{}
	for _, id := range anyhow {
		if id <= uint64(len(s.Servers)) {
			used[zone(s.Servers[id-1])] = true
		}
	}
	for _, id := range members {
		if id > uint64(len(s.Servers)) {
			if slices.Contains(anyhow, id) {
				continue
			}
			return false
		}
		v := s.Servers[id-1]
		if v.Online && v.JetStream {
			online++
		}
		if slices.Contains(anyhow, id) {
			continue
		}
		if !slices.Contains(clusters, v.Cluster) || !qualifies(s, r, v) || zonesCount(s, r) && used[zone(v)] {
			return false
		}
		used[zone(v)] = true
	}
	return online >= len(members)/2+1
}

// subsets gives all sets of n servers.
func subsets(servers, n int) [][]uint64 {
	var out [][]uint64
	for mask := range 1 << servers {
		var set []uint64
		for i := range servers {
			if mask&(1<<i) != 0 {
				set = append(set, uint64(i+1))
			}
		}
		if len(set) == n {
			out = append(out, set)
		}
	}
	return out
}

func clone(s *placement.State) *placement.State {
	c := &placement.State{Servers: slices.Clone(s.Servers), UniqueTag: s.UniqueTag}
	for i := range c.Servers {
		c.Servers[i].Tags = slices.Clone(c.Servers[i].Tags)
	}
	return c
}

// TestChoiceIsTheBestThereIs holds Choose to all sets of servers: it refuses only if none would do, and
// keeps as many members as any that would.
func TestChoiceIsTheBestThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, r := drawState(t), drawRequest(t)
		before := clone(s)
		members, refusal := placement.Choose(s, r)
		require.Equal(t, before, s, "it changes nothing")
		again, _ := placement.Choose(before, r)
		require.Equal(t, members, again)

		clusters := []string{r.Cluster}
		for _, c := range []string{"A", "B"} {
			if !r.Explicit && c != r.Cluster {
				clusters = append(clusters, c)
			}
		}
		for _, c := range clusters {
			possible, keep := false, 0
			for _, set := range subsets(len(s.Servers), r.Replicas) {
				if sound(s, r, set, nil, c) {
					possible, keep = true, max(keep, kept(set, r.Keep))
				}
			}
			if !possible {
				continue
			}
			require.Nil(t, refusal)
			require.Len(t, members, r.Replicas)
			require.True(t, sound(s, r, members, nil, c), members)
			require.Equal(t, keep, kept(members, r.Keep), "of %v stay %v", r.Keep, members)
			if keep == 0 {
				require.True(t, s.Servers[members[0]-1].Online, "who is to lead is online")
			}
			return
		}
		require.NotNil(t, refusal)
		require.Nil(t, members)
	})
}

func kept(members, keep []uint64) int {
	n := 0
	for _, id := range members {
		if slices.Contains(keep, id) {
			n++
		}
	}
	return n
}

// TestGrowthAndReplacementAreTheBestThereAre holds Grow and Replace to all sets of servers that hold the
// members who stay.
func TestGrowthAndReplacementAreTheBestThereAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, r := drawState(t), drawRequest(t)
		if len(r.Keep) == 0 {
			return
		}
		cluster := r.Cluster
		for _, id := range slices.Backward(r.Keep) {
			if id <= uint64(len(s.Servers)) {
				cluster = s.Servers[id-1].Cluster
			}
		}
		// present members are there anyhow, and strangers have reserved nothing
		grown, refusal := placement.Grow(s, r)
		if r.Replicas > len(r.Keep) {
			possible := false
			for _, add := range subsets(len(s.Servers), r.Replicas-len(r.Keep)) {
				set := append(slices.Clone(r.Keep), add...)
				possible = possible || kept(add, r.Keep) == 0 && sound(s, r, set, r.Keep, cluster)
			}
			require.Equal(t, possible, refusal == nil)
			if possible {
				require.Equal(t, r.Keep, grown[:len(r.Keep)])
				require.Len(t, grown, r.Replicas)
				require.Zero(t, kept(grown[len(r.Keep):], r.Keep))
				require.True(t, sound(s, r, grown, r.Keep, cluster))
			}
		}

		leaving := rapid.SampledFrom(r.Keep).Draw(t, "leaving")
		if leaving <= uint64(len(s.Servers)) {
			cluster = s.Servers[leaving-1].Cluster
		}
		rest := slices.DeleteFunc(slices.Clone(r.Keep), func(id uint64) bool { return id == leaving })
		q := *r
		q.Replicas = len(r.Keep)
		fits := func(id uint64) bool {
			others := sound(s, &q, append(slices.Clone(rest), id), rest, cluster)
			return !slices.Contains(r.Keep, id) && s.Servers[id-1].Online && (others || fitsAlone(s, &q, rest, id, cluster))
		}
		possible := false
		for i := range s.Servers {
			possible = possible || fits(uint64(i+1))
		}
		replaced, err := placement.Replace(s, r, leaving)
		if !possible {
			require.Equal(t, api.ErrPeerRemap, err)
			return
		}
		require.Nil(t, err)
		require.Equal(t, rest, replaced[:len(rest)])
		require.Len(t, replaced, len(r.Keep))
		require.True(t, fits(replaced[len(rest)]))
	})
}

// fitsAlone is sound without the quorum: a replacement is welcome also to a group that has none.
func fitsAlone(s *placement.State, r *placement.Request, rest []uint64, id uint64, cluster string) bool {
	v := s.Servers[id-1]
	if v.Cluster != cluster || !qualifies(s, r, v) {
		return false
	}
	return !zonesCount(s, r) || !slices.ContainsFunc(rest, func(m uint64) bool {
		return m <= uint64(len(s.Servers)) && zone(s.Servers[m-1]) == zone(v)
	})
}

// drawAssets draws groups of servers of one cluster; what they need need not be so.
func drawAssets(t *rapid.T, s *placement.State) []placement.Asset {
	var out []placement.Asset
	for i := range rapid.IntRange(0, 12).Draw(t, "groups") {
		first := rapid.IntRange(0, len(s.Servers)-1).Draw(t, "member")
		a := placement.Asset{ID: uint64(i + 1), Memory: rapid.Bool().Draw(t, "memory"), MaxBytes: rapid.Int64Range(0, 1).Draw(t, "bytes")}
		for j := range s.Servers {
			at := (first + j) % len(s.Servers)
			if v := s.Servers[at]; v.Cluster == s.Servers[first].Cluster && (j == 0 || rapid.IntRange(0, 2).Draw(t, "too") == 0) && len(a.Members) < 5 {
				a.Members = append(a.Members, v.ID)
			}
		}
		a.Leader = rapid.SampledFrom(append([]uint64{0}, a.Members...)).Draw(t, "leader")
		if rapid.IntRange(0, 3).Draw(t, "with tags") == 0 {
			a.Tags = someTags.Draw(t, "tags asked")
		}
		out = append(out, a)
	}
	return out
}

// TestEvacuationLeavesNothingBehind but what cannot go.
func TestEvacuationLeavesNothingBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		assets := drawAssets(t, s)
		before, beforeAssets := clone(s), slices.Clone(assets)
		leaving := s.Servers[rapid.IntRange(0, len(s.Servers)-1).Draw(t, "leaving")].ID
		avoid := ids.Draw(t, "avoid")
		moves, stuck := placement.Evacuate(s, assets, leaving, avoid)
		require.Equal(t, before, s)
		require.Equal(t, beforeAssets, assets)
		after := carry(t, assets, moves)
		for i, a := range after {
			if slices.Contains(stuck, a.ID) {
				require.Equal(t, assets[i], a)
				require.Contains(t, a.Members, leaving)
				rest := slices.DeleteFunc(slices.Clone(a.Members), func(id uint64) bool { return id == leaving })
				require.False(t, len(rest) > 0 && sound(s, &placement.Request{}, rest, rest), "the others could do without it")
				continue
			}
			require.NotContains(t, a.Members, leaving)
			require.NotEqual(t, leaving, a.Leader)
			require.NotEmpty(t, a.Members)
		}
		for _, m := range moves {
			require.Equal(t, leaving, m.From)
			require.False(t, slices.Contains(avoid, m.To))
			require.False(t, slices.Contains(avoid, m.Leader))
		}
	})
}

// squares is the sum of squares: the more even, the less.
func squares(of []int) int {
	n := 0
	for _, v := range of {
		n += v * v
	}
	return n
}

// TestRebalancingConverges: each proposal makes things more even, and the end is when nothing can be made so.
func TestRebalancingConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		assets := drawAssets(t, s)
		limit := rapid.SampledFrom([]int{1, 2, 5, 100}).Draw(t, "limit")
		before, beforeAssets := clone(s), slices.Clone(assets)
		for {
			moves := placement.Rebalance(s, assets, nil, limit)
			require.Equal(t, before, s)
			require.Equal(t, moves, placement.Rebalance(before, beforeAssets, nil, limit))
			require.LessOrEqual(t, len(moves), limit)
			if len(moves) == 0 {
				break
			}
			after := carry(t, assets, moves)
			holds, leads := held(s, assets)
			holdsNow, leadsNow := held(s, after)
			require.True(t, squares(holdsNow) < squares(holds) || squares(holdsNow) == squares(holds) && squares(leadsNow) < squares(leads), moves)
			for _, m := range moves {
				if m.To != 0 {
					a := assets[m.Asset-1]
					v := s.Servers[m.To-1]
					require.True(t, v.Online)
					require.Equal(t, s.Servers[m.From-1].Cluster, v.Cluster)
					r := &placement.Request{Replicas: len(a.Members), Memory: a.Memory, MaxBytes: a.MaxBytes, Tags: a.Tags}
					require.True(t, qualifies(s, r, v) || v.MaxAssets > 0 && v.Assets >= v.MaxAssets || a.MaxBytes > 0, "%+v", m)
				}
			}
			assets, beforeAssets = after, slices.Clone(after)
			account(s, after, moves)
			before = clone(s)
		}
		if limit < 100 {
			return // a chain of leaders may be longer than it
		}
		holds, leads := held(s, assets)
		require.Equal(t, squares(leads), mostEven(s, assets), "leaders are as even as the members permit")
		for i := range assets {
			for _, from := range assets[i].Members {
				for to := range s.Servers {
					if holds[to] <= holds[from-1]-2 && ableToMove(s, assets[i], from, s.Servers[to]) {
						t.Fatalf("%+v could move from %d to %d: %v", assets[i], from, to+1, holds)
					}
				}
			}
		}
	})
}

// account lets the state follow moves that were carried out.
func account(s *placement.State, after []placement.Asset, moves []placement.Move) {
	for _, m := range moves {
		a := after[m.Asset-1]
		if m.From == 0 {
			continue
		}
		for i, id := range []uint64{m.From, m.To} {
			v, sign := &s.Servers[id-1], 2*i-1
			if len(a.Members) > 1 {
				v.Assets += sign
			}
			if a.Memory {
				v.Memory.Reserved += int64(sign) * a.MaxBytes
			} else {
				v.Store.Reserved += int64(sign) * a.MaxBytes
			}
		}
	}
}

// allServe tells whether no member is offline or without JetStream.
func allServe(s *placement.State, a placement.Asset) bool {
	return !slices.ContainsFunc(a.Members, func(id uint64) bool { return !s.Servers[id-1].Online || !s.Servers[id-1].JetStream })
}

func ableToMove(s *placement.State, a placement.Asset, from uint64, to placement.Server) bool {
	rest := slices.DeleteFunc(slices.Clone(a.Members), func(id uint64) bool { return id == from })
	r := &placement.Request{Replicas: len(a.Members), Memory: a.Memory, MaxBytes: a.MaxBytes, Tags: a.Tags}
	return allServe(s, a) && to.Online && !slices.Contains(a.Members, to.ID) && fitsAlone(s, r, rest, to.ID, s.Servers[from-1].Cluster)
}

// mostEven is the least sum of squares of leads, over all ways to choose leaders among members. A
// way is only as good as the counts it comes to, so that each set of counts is looked at once.
func mostEven(s *placement.State, assets []placement.Asset) int {
	counts := map[string][]int{"": make([]int, len(s.Servers))}
	for _, a := range assets {
		leaders := []uint64{a.Leader}
		if a.Leader != 0 && allServe(s, a) {
			leaders = a.Members
		}
		next := map[string][]int{}
		for _, c := range counts {
			for _, l := range leaders {
				d := slices.Clone(c)
				if l != 0 {
					d[l-1]++
				}
				next[fmt.Sprint(d)] = d
			}
		}
		counts = next
	}
	best := -1
	for _, c := range counts {
		if n := squares(c); best < 0 || n < best {
			best = n
		}
	}
	return best
}
