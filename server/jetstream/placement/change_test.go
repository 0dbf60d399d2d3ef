package placement_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/placement"
)

// five is one cluster of five servers; e is offline.
func five() *placement.State {
	s := &placement.State{Servers: []placement.Server{
		server(1, "C", "a", "ssd", 100), server(2, "C", "b", "ssd", 100), server(3, "C", "c", "hdd", 100),
		server(4, "C", "d", "hdd", 100), server(5, "C", "e", "ssd", 100),
	}}
	for i := range s.Servers {
		s.Servers[i].Assets = i
	}
	s.Servers[4].Online = false
	return s
}

// TestGrow: nobody leaves.
func TestGrow(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    placement.Request
		want string
	}{
		{"from one to three", placement.Request{Replicas: 3, Keep: []uint64{4}}, "d a b"},
		{"from three to five", placement.Request{Replicas: 5, Keep: []uint64{4, 5, 1}}, "d e a b c"},
		{"a member that would not qualify stays", placement.Request{Replicas: 2, Keep: []uint64{3}, Tags: tags("ssd")}, "c a"},
		{"and is no reason", placement.Request{Replicas: 5, Keep: []uint64{3}, Tags: tags("ssd")}, "no suitable peers for placement, tags not matched ['ssd']"},
		{"more than there are", placement.Request{Replicas: 6, Keep: []uint64{3}}, "no suitable peers for placement"},
		{"only one of two would be online", placement.Request{Replicas: 2, Keep: []uint64{5}, Avoid: []uint64{1, 2, 3, 4}}, "no suitable peers for placement, peer offline"},
		{"no more than there are replicas", placement.Request{Replicas: 1, Keep: []uint64{3, 1}}, "c a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := five()
			members, refusal := placement.Grow(s, &tc.r)
			got := names(s, members)
			if refusal != nil {
				got = refusal.Error()
			}
			require.Equal(t, tc.want, got)
		})
	}
	s := world()
	members, refusal := placement.Grow(s, &placement.Request{Replicas: 2, Cluster: "west", Keep: []uint64{3}})
	require.Nil(t, refusal)
	require.Equal(t, "e3 e1", names(s, []uint64{members[0], 1}), "a group grows in the cluster of its members")
	require.Less(t, members[1], uint64(3))
	s = zones()
	members, refusal = placement.Grow(s, &placement.Request{Replicas: 2, Keep: []uint64{2}})
	require.Nil(t, refusal)
	require.Equal(t, "b a", names(s, members), "a new member has another unique tag")
	_, refusal = placement.Grow(s, &placement.Request{Replicas: 3, Keep: []uint64{1, 3}})
	require.EqualError(t, refusal, "no suitable peers for placement, server tag not unique")
}

// TestShrink: the leader stays.
func TestShrink(t *testing.T) {
	for _, tc := range []struct {
		name     string
		members  []uint64
		leader   uint64
		replicas int
		want     string
	}{
		{"the leader stays, though it holds most", []uint64{1, 2, 4}, 4, 1, "d"},
		{"then those that hold the fewest", []uint64{4, 3, 1}, 4, 2, "d a"},
		{"who is offline goes first", []uint64{5, 4, 3}, 4, 2, "d c"},
		{"but a leader", []uint64{5, 4, 3}, 5, 2, "e c"},
		{"without a leader", []uint64{5, 4, 3}, 0, 1, "c"},
		{"a leader that is no member does not count", []uint64{4, 3}, 1, 1, "c"},
		{"never to nothing", []uint64{4, 3}, 4, 0, "d"},
		{"no more than there are", []uint64{4, 3}, 3, 5, "c d"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := five()
			before := append([]uint64(nil), tc.members...)
			require.Equal(t, tc.want, names(s, placement.Shrink(s, tc.members, tc.leader, tc.replicas)))
			require.Equal(t, before, tc.members)
		})
	}
	require.Equal(t, []uint64{3, 99}, placement.Shrink(five(), []uint64{99, 3}, 0, 2), "a server that is gone is offline")
}

// TestReplace: one goes, one comes.
func TestReplace(t *testing.T) {
	for _, tc := range []struct {
		name    string
		r       placement.Request
		leaving uint64
		want    string
		err     *api.Error
	}{
		{"the best other comes last", placement.Request{Keep: []uint64{2, 3, 4}}, 2, "c d a", nil},
		{"a single replica", placement.Request{Keep: []uint64{2}}, 2, "a", nil},
		{"not a member", placement.Request{Keep: []uint64{2}}, 1, "", api.ErrClusterPeerNotMember},
		{"nobody else", placement.Request{Keep: []uint64{1, 2, 3, 4}}, 2, "", api.ErrPeerRemap},
		{"nobody else with the tag", placement.Request{Keep: []uint64{1, 2}, Tags: tags("ssd")}, 2, "", api.ErrPeerRemap},
		{"others need not have it", placement.Request{Keep: []uint64{2, 3}, Tags: tags("ssd")}, 2, "c a", nil},
		{"nobody but who is to be avoided", placement.Request{Keep: []uint64{2, 3, 4}, Avoid: []uint64{1}}, 2, "", api.ErrPeerRemap},
		{"who is offline is replaced", placement.Request{Keep: []uint64{5, 3, 4}}, 5, "c d a", nil},
		{"no room", placement.Request{Keep: []uint64{2, 3, 4}, MaxBytes: 101 * mb}, 2, "", api.ErrPeerRemap},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := five()
			members, err := placement.Replace(s, &tc.r, tc.leaving)
			require.Equal(t, tc.err, err)
			require.Equal(t, tc.want, names(s, members))
		})
	}
	require.Equal(t, &api.Error{Code: 503, ErrCode: 10075, Description: "peer remap failed"}, api.ErrPeerRemap)
	s := zones()
	members, err := placement.Replace(s, &placement.Request{Keep: []uint64{1, 2}}, 2)
	require.Nil(t, err)
	require.Equal(t, "a c", names(s, members), "in the zone that became free")
	_, err = placement.Replace(s, &placement.Request{Keep: []uint64{1, 2}}, 1)
	require.Equal(t, api.ErrPeerRemap, err, "c is in the zone of b, d in none")
	s = world()
	_, err = placement.Replace(s, &placement.Request{Keep: []uint64{1, 2, 3}}, 1)
	require.Equal(t, api.ErrPeerRemap, err, "a replacement is in the same cluster")
}

// TestStepDown: who follows a leader, and the refusals to the word.
func TestStepDown(t *testing.T) {
	all := []uint64{1, 2, 3}
	for _, tc := range []struct {
		name    string
		members []uint64
		leader  uint64
		p       *api.Placement
		want    uint64
		err     string
	}{
		{"who leads the fewest", all, 3, nil, 2, ""},
		{"an empty placement", all, 3, &api.Placement{}, 2, ""},
		{"preferred", all, 3, &api.Placement{Preferred: "e1"}, 1, ""},
		{"preferred before tags", all, 3, &api.Placement{Preferred: "e1", Tags: tags("hdd")}, 1, ""},
		{"preferred leads already", all, 1, &api.Placement{Preferred: "e1"}, 0, `preferred server "e1" is already leader`},
		{"preferred is no member", all, 1, &api.Placement{Preferred: "w1"}, 0, `preferred server "w1" not known`},
		{"preferred is nobody", all, 1, &api.Placement{Preferred: "zz"}, 0, `preferred server "zz" not known`},
		{"a name has its case", all, 1, &api.Placement{Preferred: "E2"}, 0, `preferred server "E2" not known`},
		{"the cluster of the members", all, 3, &api.Placement{Cluster: "east", Tags: tags("SSD")}, 2, ""},
		{"another cluster", all, 3, &api.Placement{Cluster: "west"}, 0, "no replacement peer connected"},
		{"a cluster's name has its case", all, 3, &api.Placement{Cluster: "EAST"}, 0, "no replacement peer connected"},
		{"a tag of the leader alone", all, 3, &api.Placement{Tags: tags("hdd")}, 0, "no replacement peer connected"},
		{"all tags", all, 3, &api.Placement{Tags: tags("ssd", "region:eu")}, 1, ""},
		{"a tag with ! is not turned round", all, 1, &api.Placement{Tags: tags("!ssd")}, 0, "no replacement peer connected"},
		{"but matched", []uint64{1, 2, 3, 4, 5}, 1, &api.Placement{Cluster: "west", Tags: tags("!jetstream")}, 5, ""},
		{"a single replica steps down for nobody", []uint64{1}, 1, &api.Placement{Cluster: "west"}, 0, ""},
		{"nor for a preferred server", []uint64{1}, 1, &api.Placement{Preferred: "zz"}, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := world()
			s.Servers[0].Leads, s.Servers[1].Leads = 2, 1
			got, err := placement.StepDown(s, tc.members, tc.leader, tc.p)
			require.Equal(t, tc.want, got)
			if tc.err == "" {
				require.Nil(t, err)
				return
			}
			require.Equal(t, &api.Error{Code: 400, ErrCode: 10005, Description: tc.err}, err)
		})
	}
}

// TestStepDownWithServersOffline: a placement that only who is offline fits is refused, but not when it is
// preferred by name.
func TestStepDownWithServersOffline(t *testing.T) {
	s := five()
	target, err := placement.StepDown(s, []uint64{4, 5, 1}, 4, &api.Placement{Tags: tags("ssd")})
	require.Nil(t, err)
	require.Equal(t, uint64(1), target)
	_, err = placement.StepDown(s, []uint64{4, 5, 3}, 4, &api.Placement{Tags: tags("ssd")})
	require.EqualError(t, err, "no replacement peer connected (10005)")
	target, err = placement.StepDown(s, []uint64{4, 5, 3}, 4, &api.Placement{Preferred: "e"})
	require.Nil(t, err)
	require.Zero(t, target, "it steps down, and whoever can follows")
	target, err = placement.StepDown(s, []uint64{4, 5}, 4, nil)
	require.Nil(t, err)
	require.Zero(t, target)
	s.Servers[0].JetStream = false
	target, err = placement.StepDown(s, []uint64{4, 5, 1}, 4, &api.Placement{Tags: tags("ssd")})
	require.Nil(t, err, "it is connected")
	require.Zero(t, target, "but cannot lead")
}
