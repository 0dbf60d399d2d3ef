package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/placement"
)

// carry carries moves out, and holds each to what it may be.
func carry(t require.TestingT, assets []placement.Asset, moves []placement.Move) []placement.Asset {
	out := slices.Clone(assets)
	for _, m := range moves {
		i := slices.IndexFunc(out, func(a placement.Asset) bool { return a.ID == m.Asset })
		require.GreaterOrEqual(t, i, 0, "%+v", m)
		a := &out[i]
		require.True(t, m.From == 0 || slices.Contains(a.Members, m.From), "%+v of %+v", m, a)
		require.True(t, m.To == 0 || m.From != 0 && !slices.Contains(a.Members, m.To), "%+v of %+v", m, a)
		a.Members, a.Leader = m.After(a)
		require.True(t, a.Leader == 0 || slices.Contains(a.Members, a.Leader), "%+v leaves %+v", m, a)
	}
	return out
}

// held counts by server what it holds and leads.
func held(s *placement.State, assets []placement.Asset) (holds, leads []int) {
	holds, leads = make([]int, len(s.Servers)), make([]int, len(s.Servers))
	for _, a := range assets {
		for i := range s.Servers {
			if slices.Contains(a.Members, s.Servers[i].ID) {
				holds[i]++
			}
			if a.Leader == s.Servers[i].ID {
				leads[i]++
			}
		}
	}
	return holds, leads
}

// settle carries out proposals until there are none, and counts the copies of an asset to another server.
func settle(t require.TestingT, s *placement.State, assets []placement.Asset, limit int) (copies int, after []placement.Asset, rounds int) {
	for {
		moves := placement.Rebalance(s, assets, nil, limit)
		require.LessOrEqual(t, len(moves), limit)
		if len(moves) == 0 {
			return copies, assets, rounds
		}
		for _, m := range moves {
			if m.To != 0 {
				copies++
			}
		}
		assets = carry(t, assets, moves)
		rounds++
		require.Less(t, rounds, 10_000, "it does not end")
	}
}

// alike is a cluster of servers that are all the same.
func alike(n int) *placement.State {
	s := &placement.State{}
	for i := range n {
		s.Servers = append(s.Servers, server(uint64(i+1), "C", fmt.Sprint("s", i+1), "", 1000))
	}
	return s
}

// groups are assets on the first servers only, all led by the first.
func groups(n, replicas int) []placement.Asset {
	var out []placement.Asset
	for i := range n {
		a := placement.Asset{ID: uint64(i + 1), Leader: 1}
		for m := range replicas {
			a.Members = append(a.Members, uint64(m+1))
		}
		out = append(out, a)
	}
	return out
}

// TestEvacuate: each asset of the server gets what it can.
func TestEvacuate(t *testing.T) {
	s := five()
	assets := []placement.Asset{
		{ID: 1, Members: []uint64{1, 2, 3}, Leader: 1},
		{ID: 2, Members: []uint64{1, 2}, Leader: 2, Tags: tags("ssd")},
		{ID: 3, Members: []uint64{1}, Leader: 1},
		{ID: 4, Members: []uint64{1}, Leader: 1, MaxBytes: 500 * mb},
		{ID: 5, Members: []uint64{2, 3}, Leader: 2},
		{ID: 6, Members: []uint64{1, 5}, Leader: 1, Tags: tags("ssd"), MaxBytes: 500 * mb},
	}
	moves, stuck := placement.Evacuate(s, assets, 1, nil)
	require.Equal(t, []placement.Move{
		{Asset: 1, From: 1, To: 4, Leader: 3},
		{Asset: 2, From: 1},
		{Asset: 3, From: 1, To: 4, Leader: 4},
	}, moves, "a replacement, a smaller group, a single replica that is copied")
	require.Equal(t, []uint64{4, 6}, stuck, "nowhere to go, and nobody left who is online")
	holds, _ := held(s, carry(t, assets, moves))
	require.Equal(t, 2, holds[0])
	moves, stuck = placement.Evacuate(s, assets[:1], 1, []uint64{4})
	require.Equal(t, []placement.Move{{Asset: 1, From: 1, Leader: 2}}, moves, "nor to servers that are leaving too")
	require.Empty(t, stuck)
}

// TestEvacuationIsSpread: what one server held goes to all others alike, and so does its lead.
func TestEvacuationIsSpread(t *testing.T) {
	s, assets := alike(4), groups(90, 1)
	moves, stuck := placement.Evacuate(s, assets, 1, nil)
	require.Empty(t, stuck)
	holds, leads := held(s, carry(t, assets, moves))
	require.Equal(t, []int{0, 30, 30, 30}, holds)
	require.Equal(t, []int{0, 30, 30, 30}, leads)
	assets = groups(90, 3)
	moves, stuck = placement.Evacuate(s, assets, 1, nil)
	require.Empty(t, stuck)
	holds, leads = held(s, carry(t, assets, moves))
	require.Equal(t, []int{0, 90, 90, 90}, holds)
	require.Equal(t, []int{0, 45, 45, 0}, leads, "who has the data leads")
}

// TestRebalanceAfterGrowth: two servers join three, and get their share with no move too many.
func TestRebalanceAfterGrowth(t *testing.T) {
	s, assets := alike(5), groups(50, 3)
	first := placement.Rebalance(s, assets, nil, 1000)
	require.Len(t, first, 50, "each asset is changed once at a time")
	copies, after, rounds := settle(t, s, assets, 1000)
	holds, leads := held(s, after)
	require.Equal(t, []int{30, 30, 30, 30, 30}, holds)
	require.Equal(t, []int{10, 10, 10, 10, 10}, leads)
	require.Equal(t, 60, copies, "as many as the newcomers get")
	require.LessOrEqual(t, rounds, 4)
	few := placement.Rebalance(s, assets, nil, 7)
	require.Equal(t, first[:7], few, "a bound takes the first")
	require.Empty(t, placement.Rebalance(s, assets, nil, 0))
}

// TestRebalanceLeavesAlone: what is nearly even, not sound, or has nowhere to go is not touched.
func TestRebalanceLeavesAlone(t *testing.T) {
	one := func(id, member uint64) placement.Asset {
		return placement.Asset{ID: id, Members: []uint64{member}, Leader: member}
	}
	s := alike(3)
	require.Empty(t, placement.Rebalance(s, []placement.Asset{one(1, 1), one(2, 1), one(3, 2), one(4, 2), one(5, 3)}, nil, 100), "one more is even")
	require.Len(t, placement.Rebalance(s, []placement.Asset{one(1, 1), one(2, 1)}, nil, 100), 1, "two more is not")
	require.Empty(t, placement.Rebalance(s, []placement.Asset{one(1, 1), one(2, 1)}, []uint64{2, 3}, 100), "servers to avoid")
	s.Servers[1].Online, s.Servers[2].JetStream = false, false
	require.Empty(t, placement.Rebalance(s, []placement.Asset{one(1, 1), one(2, 1)}, nil, 100), "servers that do not serve")
	require.Empty(t, placement.Rebalance(s, []placement.Asset{one(1, 2), one(2, 2)}, nil, 100), "an asset that is offline")
	s = alike(3)
	s.Servers[1].Tags, s.Servers[2].Tags = tags("x"), tags("!jetstream")
	assets := []placement.Asset{one(1, 1), one(2, 1), one(3, 1)}
	for i := range assets {
		assets[i].Tags = tags("!x")
	}
	require.Empty(t, placement.Rebalance(s, assets, nil, 100), "tags")
	s = alike(2)
	s.Servers[1].Cluster = "D"
	require.Empty(t, placement.Rebalance(s, []placement.Asset{one(1, 1), one(2, 1)}, nil, 100), "another cluster")
	s = zones()
	assets = []placement.Asset{{ID: 1, Members: []uint64{1, 2}, Leader: 1}, {ID: 2, Members: []uint64{1, 2}, Leader: 2}}
	require.Equal(t, []placement.Move{{Asset: 1, From: 2, To: 3}}, placement.Rebalance(s, assets, nil, 100), "a unique tag")
}

// TestRebalanceOfLeadersGoesByChains: a lead passes over servers that have enough where no group is shared.
func TestRebalanceOfLeadersGoesByChains(t *testing.T) {
	assets := []placement.Asset{
		{ID: 1, Members: []uint64{1, 2}, Leader: 1},
		{ID: 2, Members: []uint64{1, 2}, Leader: 1},
		{ID: 3, Members: []uint64{2, 3}, Leader: 2},
		{ID: 4, Members: []uint64{3, 4}, Leader: 4},
	}
	s := alike(4)
	holds, leads := held(s, assets)
	require.Equal(t, []int{2, 3, 2, 1}, holds)
	require.Equal(t, []int{2, 1, 0, 1}, leads)
	// Another group of the last server makes holdings even, so that only leads are moved.
	assets = append(assets, placement.Asset{ID: 5, Members: []uint64{4}})
	require.Equal(t, []placement.Move{{Asset: 1, Leader: 2}, {Asset: 3, Leader: 3}}, placement.Rebalance(s, assets, nil, 100))
	require.Empty(t, placement.Rebalance(s, assets, nil, 1), "half a chain would help nobody")
}
