package placement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/placement"
)

const mb = 1_000_000

// server is one that is idle and online.
func server(id uint64, cluster, name, tags string, store int64) placement.Server {
	return placement.Server{
		ID: id, Name: name, Cluster: cluster, Tags: strings.Fields(tags), Online: true, JetStream: true,
		Memory: placement.Resource{Max: 64 * mb}, Store: placement.Resource{Max: store * mb},
	}
}

// world is two clusters, of which one has a server that takes no assets.
func world() *placement.State {
	return &placement.State{Servers: []placement.Server{
		server(1, "east", "e1", "az:1 ssd region:eu", 100),
		server(2, "east", "e2", "az:2 ssd", 100),
		server(3, "east", "e3", "az:2 hdd", 200),
		server(4, "west", "w1", "az:1 Gold", 1000),
		server(5, "west", "w2", "az:3 !jetstream", 1000),
	}}
}

// zones is one cluster with a unique tag, and a server that has none.
func zones() *placement.State {
	return &placement.State{UniqueTag: "az:", Servers: []placement.Server{
		server(1, "C", "a", "az:1 AZ:9x ssd", 100),
		server(2, "C", "b", "az:2 ssd", 100),
		server(3, "C", "c", "AZ:2 hdd", 200),
		server(4, "C", "d", "hdd", 200),
	}}
}

// names of members, in their order.
func names(s *placement.State, members []uint64) string {
	var out []string
	for _, id := range members {
		out = append(out, s.Servers[id-1].Name)
	}
	return strings.Join(out, " ")
}

// row is a request and what comes of it: who is chosen, or refused with what follows on "no suitable peers for
// placement".
type row struct {
	name string
	r    placement.Request
	want string
}

// run holds a state to rows, in which the chosen stand by name, since the order of those who are alike is a
// draw.
func run(t *testing.T, s *placement.State, rows []row) { runAs(t, s, rows, true) }

// runInOrder also holds it to the order of the chosen.
func runInOrder(t *testing.T, s *placement.State, rows []row) { runAs(t, s, rows, false) }

func runAs(t *testing.T, s *placement.State, rows []row, sorted bool) {
	for _, tc := range rows {
		t.Run(tc.name, func(t *testing.T) {
			members, refusal := placement.Choose(s, &tc.r)
			if refusal != nil {
				got, ok := strings.CutPrefix(refusal.Error(), "no suitable peers for placement")
				require.True(t, ok, refusal)
				require.Equal(t, tc.want, "refused"+got)
				require.Equal(t, &api.Error{Code: 400, ErrCode: 10005, Description: refusal.Error()}, refusal.API())
				require.Nil(t, members)
				return
			}
			if sorted {
				slices.Sort(members)
			}
			require.Equal(t, tc.want, names(s, members))
		})
	}
}

func tags(t ...string) []string { return t }

// TestWordsOfTwoClusters: what the reference server answers in a cluster of three and one of two, to the word.
func TestWordsOfTwoClusters(t *testing.T) {
	run(t, world(), []row{
		{"one replica goes where most is free", placement.Request{Replicas: 1, Cluster: "east"}, "e3"},
		{"of a client elsewhere too", placement.Request{Replicas: 1, Cluster: "north"}, "e3"},
		{"four replicas fit in no cluster", placement.Request{Replicas: 4, Cluster: "east"}, "refused, exclude tag set"},
		{"three in a cluster of two", placement.Request{Replicas: 3, Cluster: "west", Explicit: true}, "refused, exclude tag set"},
		{"four in a cluster of three", placement.Request{Replicas: 4, Cluster: "east", Explicit: true}, "refused"},
		{"the only server that takes assets", placement.Request{Replicas: 1, Cluster: "west", Explicit: true}, "w1"},
		{"a cluster that nobody knows", placement.Request{Replicas: 1, Cluster: "nowhere", Explicit: true, Tags: tags("ssd")}, "refused"},
		{"a cluster's name has its case", placement.Request{Replicas: 1, Cluster: "WEST", Explicit: true}, "refused"},
		{"three of a tag that two have", placement.Request{Replicas: 3, Cluster: "east", Tags: tags("ssd")}, "refused, exclude tag set, tags not matched ['ssd']"},
		{"the case of a tag does not matter", placement.Request{Replicas: 2, Cluster: "east", Tags: tags("SSD")}, "e1 e2"},
		{"both tags", placement.Request{Replicas: 2, Cluster: "east", Tags: tags("ssd", "hdd")}, "refused, exclude tag set, tags not matched ['hdd', 'ssd']"},
		{"only the first tag that is missing is told", placement.Request{Replicas: 1, Cluster: "east", Tags: tags("nothing", "Other")}, "refused, exclude tag set, tags not matched ['nothing']"},
		{"a tag that must be missing", placement.Request{Replicas: 1, Cluster: "east", Tags: tags("!ssd")}, "e3"},
		{"it is told as it was written", placement.Request{Replicas: 2, Cluster: "east", Tags: tags("!SSD")}, "refused, exclude tag set, tags excluded ['SSD']"},
		{"several that must be missing", placement.Request{Replicas: 2, Cluster: "east", Tags: tags("!region:eu", "!az:2", "!gold")}, "refused, exclude tag set, tags excluded ['region:eu', 'az:2', 'gold']"},
		{"one missing, one not", placement.Request{Replicas: 2, Cluster: "east", Tags: tags("!ssd", "hdd")}, "refused, exclude tag set, tags not matched ['hdd'], tags excluded ['ssd']"},
		{"another cluster has the tag", placement.Request{Replicas: 1, Cluster: "east", Tags: tags("gold")}, "w1"},
		{"unless the cluster is named", placement.Request{Replicas: 1, Cluster: "east", Explicit: true, Tags: tags("gold")}, "refused, tags not matched ['gold']"},
		{"an empty tag", placement.Request{Replicas: 1, Cluster: "east", Tags: tags("")}, "refused, exclude tag set, tags not matched ['']"},
		{"nobody has the empty tag", placement.Request{Replicas: 1, Cluster: "east", Tags: tags("!")}, "e3"},
		{"a tag twice", placement.Request{Replicas: 1, Cluster: "east", Tags: tags("region:eu", "region:eu")}, "e1"},
		{"bytes that one server has", placement.Request{Replicas: 1, Cluster: "east", MaxBytes: 150 * mb}, "e3"},
		{"to the last byte", placement.Request{Replicas: 1, Cluster: "east", Explicit: true, MaxBytes: 200 * mb}, "e3"},
		{"and not one more", placement.Request{Replicas: 1, Cluster: "east", Explicit: true, MaxBytes: 200*mb + 1}, "refused, insufficient storage"},
		{"bytes that another cluster has", placement.Request{Replicas: 1, Cluster: "east", MaxBytes: 500 * mb}, "w1"},
		{"bytes that three servers have not", placement.Request{Replicas: 3, Cluster: "east", MaxBytes: 150 * mb}, "refused, exclude tag set, insufficient storage"},
		{"bytes in memory", placement.Request{Replicas: 1, Cluster: "east", MaxBytes: 80 * mb, Memory: true}, "refused, exclude tag set, insufficient storage"},
		{"bytes and tags", placement.Request{Replicas: 2, Cluster: "east", MaxBytes: 150 * mb, Tags: tags("ssd")}, "refused, exclude tag set, insufficient storage, tags not matched ['ssd']"},
		{"a server to avoid has no reason", placement.Request{Replicas: 3, Cluster: "east", Keep: []uint64{1, 2, 3}, Avoid: []uint64{1}}, "refused, exclude tag set"},
	})
}

// TestWordsOfUniqueTags: what the reference server answers where members differ by a tag.
func TestWordsOfUniqueTags(t *testing.T) {
	run(t, zones(), []row{
		{"one replica", placement.Request{Replicas: 1, Cluster: "C"}, "c"},
		{"two zones", placement.Request{Replicas: 2, Cluster: "C"}, "a c"},
		{"no third zone", placement.Request{Replicas: 3, Cluster: "C"}, "refused, server tag not unique"},
		{"a zone that is named may be used twice", placement.Request{Replicas: 2, Cluster: "C", Tags: tags("az:2")}, "b c"},
		{"but has no third server", placement.Request{Replicas: 3, Cluster: "C", Tags: tags("az:2")}, "refused, tags not matched ['az:2']"},
		{"naming it in other case does not count", placement.Request{Replicas: 2, Cluster: "C", Tags: tags("AZ:2")}, "refused, server tag not unique, tags not matched ['AZ:2']"},
		{"a server without a zone", placement.Request{Replicas: 2, Cluster: "C", Tags: tags("hdd")}, "refused, server tag not unique, tags not matched ['hdd']"},
		{"not even for one replica", placement.Request{Replicas: 1, Cluster: "C", Tags: tags("hdd", "!AZ:2")}, "refused, server tag not unique, tags not matched ['hdd'], tags excluded ['AZ:2']"},
		{"unless a zone to avoid is named", placement.Request{Replicas: 1, Cluster: "C", Tags: tags("hdd", "!az:2")}, "d"},
		{"whichever", placement.Request{Replicas: 4, Cluster: "C", Tags: tags("!az:7")}, "a b c d"},
		{"the second zone of a server can be asked for", placement.Request{Replicas: 1, Cluster: "C", Tags: tags("az:9x")}, "a"},
		{"a prefix is no tag", placement.Request{Replicas: 2, Cluster: "C", Tags: tags("az:")}, "refused, tags not matched ['az:']"},
	})
	s := &placement.State{UniqueTag: "az:", Servers: []placement.Server{server(1, "C", "a", "az:1 az:2", 100), server(2, "C", "b", "az:2", 100)}}
	run(t, s, []row{{"only the first zone of a server counts", placement.Request{Replicas: 2, Cluster: "C"}, "a b"}})
}

// TestCapOfReplicatedAssets: a server that holds as many as it may gets no more, but single replicas.
func TestCapOfReplicatedAssets(t *testing.T) {
	s := zones()
	for i, held := range []int{2, 1, 1, 0} {
		s.Servers[i].Assets, s.Servers[i].MaxAssets = held, 2
	}
	run(t, s, []row{
		{"several replicas", placement.Request{Replicas: 2, Cluster: "C"}, "refused, server tag not unique, miscellaneous issue"},
		{"one replica", placement.Request{Replicas: 1, Cluster: "C", Tags: tags("ssd")}, "b"},
		{"the one that is there already", placement.Request{Replicas: 2, Cluster: "C", Keep: []uint64{1}}, "a c"},
	})
}

// TestOfflineServers: they are the last choice, and never more than a quorum can miss.
func TestOfflineServers(t *testing.T) {
	s := &placement.State{}
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		s.Servers = append(s.Servers, server(uint64(i+1), "C", name, "t"+name, 100))
	}
	s.Servers[2].Online = false
	run(t, s, []row{
		{"one of five", placement.Request{Replicas: 5, Cluster: "C"}, "a b c d e"},
		{"one of three", placement.Request{Replicas: 3, Cluster: "C", Tags: tags("!td", "!te")}, "a b c"},
		{"one of one", placement.Request{Replicas: 1, Cluster: "C", Tags: tags("tc")}, "refused, peer offline, tags not matched ['tc']"},
		{"none where others are", placement.Request{Replicas: 4, Cluster: "C"}, "a b d e"},
	})
	s.Servers[4].Online = false
	run(t, s, []row{
		{"two of five", placement.Request{Replicas: 5, Cluster: "C"}, "a b c d e"},
		{"one of two", placement.Request{Replicas: 2, Cluster: "C", Tags: tags("!ta", "!tb")}, "refused, peer offline, tags excluded ['ta', 'tb']"},
		{"two of three", placement.Request{Replicas: 3, Cluster: "C", Tags: tags("!ta", "!tb")}, "refused, peer offline, tags excluded ['ta', 'tb']"},
		{"too little space is told alone", placement.Request{Replicas: 3, Cluster: "C", MaxBytes: 999 * mb}, "refused, insufficient storage"},
		{"a present member makes way where a quorum needs it", placement.Request{Replicas: 2, Cluster: "C", Keep: []uint64{3, 1}, Tags: tags("!tb")}, "a d"},
	})
	s.Servers[1].JetStream = false
	run(t, s, []row{{"a server whose JetStream is off counts as offline", placement.Request{Replicas: 3, Cluster: "C", Tags: tags("!tc", "!te")}, "refused, peer offline, tags excluded ['tc', 'te']"}})
}

// TestOrder: what is preferred when all would do.
func TestOrder(t *testing.T) {
	s := &placement.State{}
	for i, name := range []string{"a", "b", "c"} {
		s.Servers = append(s.Servers, server(uint64(i+1), "C", name, "", int64(100*(i+1))))
	}
	s.Servers[2].Assets = 3
	s.Servers[1].Assets = 1
	runInOrder(t, s, []row{
		{"one replica: the most free", placement.Request{Replicas: 1, Cluster: "C"}, "c"},
		{"several: the fewest assets", placement.Request{Replicas: 2, Cluster: "C"}, "a b"},
		{"present members first, in their order", placement.Request{Replicas: 3, Cluster: "C", Keep: []uint64{3, 2}}, "c b a"},
		{"fewer replicas than present members", placement.Request{Replicas: 1, Cluster: "C", Keep: []uint64{3, 2}}, "c"},
	})
	s.Servers[0].Leads = 5
	s.Servers[1].Leads = 2
	s.Servers[2].Leads = 2
	runInOrder(t, s, []row{{"a new group is led by who leads the fewest", placement.Request{Replicas: 3, Cluster: "C"}, "b a c"}})
	s.Servers[2].Store = placement.Resource{Max: -1, Reserved: 1 << 60}
	runInOrder(t, s, []row{{"no limit has room for all", placement.Request{Replicas: 1, Cluster: "C", MaxBytes: 1 << 62}, "c"}})
	s.Servers[2].Store = placement.Resource{Max: 100, Reserved: 100}
	runInOrder(t, s, []row{
		{"what it has reserved already counts", placement.Request{Replicas: 1, Cluster: "C", MaxBytes: 50, Held: 50, Keep: []uint64{3}}, "c"},
		{"but not for more", placement.Request{Replicas: 1, Cluster: "C", MaxBytes: 51, Held: 50, Keep: []uint64{3}}, "b"},
		{"a stream that reserves nothing fits where nothing is free", placement.Request{Replicas: 3, Cluster: "C"}, "b a c"},
	})
}

// TestTiesAreSpread: servers that are alike get their share.
func TestTiesAreSpread(t *testing.T) {
	s := &placement.State{}
	for i := range uint64(7) {
		s.Servers = append(s.Servers, server(i+1, "C", fmt.Sprint(i), "", 100))
	}
	got := map[uint64]int{}
	for seed := range uint64(7000) {
		members, refusal := placement.Choose(s, &placement.Request{Replicas: 1, Cluster: "C", Seed: seed})
		require.Nil(t, refusal)
		got[members[0]]++
	}
	for id := range uint64(7) {
		require.InDelta(t, 1000, got[id+1], 150)
	}
}

// TestPresentMembersThatNoLongerFitTogether: of two in one zone the earlier stays, and who is offline before who is online goes.
func TestPresentMembersThatNoLongerFitTogether(t *testing.T) {
	s := zones()
	runInOrder(t, s, []row{
		{"the earlier stays", placement.Request{Replicas: 2, Cluster: "C", Keep: []uint64{3, 2}}, "c a"},
		{"whichever it is", placement.Request{Replicas: 2, Cluster: "C", Keep: []uint64{2, 3}}, "b a"},
		{"one replica", placement.Request{Replicas: 1, Cluster: "C", Keep: []uint64{2, 3}}, "b"},
	})
	s.Servers[1].Online = false
	runInOrder(t, s, []row{{"or the one that is online", placement.Request{Replicas: 2, Cluster: "C", Keep: []uint64{2, 3}}, "c a"}})
}
