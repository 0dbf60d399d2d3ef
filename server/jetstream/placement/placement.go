// Package placement decides which servers of a cluster hold a stream, and who leads it.
//
// It owns no state and runs on no strand: every function is pure. The meta layer gives it
// what is committed (who holds what, which tags) and what the meta leader knows of the servers (who
// is online), and writes the answer into an entry; members of the meta group never compute it again.
// Equal input gives equal output; what would be a coin's toss is drawn from [Request.Seed]. It never
// changes what it is given.
//
// # Which servers qualify
//
// All members of a group are in one cluster. A server is considered when it has JetStream, is not tagged
// !jetstream, has every tag of the request and none that the request names with a leading !, and has room for
// the bytes that the stream reserves; a group of several replicas also needs the server to be below its cap of
// replicated assets. With a unique tag configured, such as az:, the first tag of that prefix differs between
// members and a server without one holds nothing, unless the request itself names a tag of the prefix. A
// server that is offline may be a member as long as a quorum of the group is online; it is the last choice.
//
// # Invariants
//
//   - No server is chosen twice, nor one that does not qualify.
//   - A refusal means that no choice exists.
//   - A change keeps as many present members as it can.
package placement

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// noJetStream is the tag of a server that is in the cluster, but is given no assets.
const noJetStream = "!jetstream"

// Resource is memory or storage, in bytes.
type Resource struct {
	Max      int64 // below zero: without limit
	Reserved int64 // what is promised to streams, at least zero
}

// free is what is not promised; it is below zero where more is promised than there is.
func (r Resource) free() int64 {
	if r.Max < 0 {
		return math.MaxInt64
	}
	return r.Max - r.Reserved
}

// Server is one member of the meta group.
type Server struct {
	ID        uint64 // above zero
	Name      string
	Cluster   string
	Tags      []string // case does not matter
	Online    bool
	JetStream bool // false where it was disabled or the server was removed
	Memory    Resource
	Store     Resource
	Assets    int // how many replicated assets it holds
	MaxAssets int // how many it may hold; 0 is no cap
	Leads     int // how many groups it leads
}

// serves tells whether the server can lead a group, or be moved to.
func (v *Server) serves() bool { return v.Online && v.JetStream }

// tagged tells whether the server has a tag, in whatever case.
func (v *Server) tagged(tag string) bool {
	return slices.ContainsFunc(v.Tags, func(t string) bool { return strings.EqualFold(t, tag) })
}

// class is the server's first tag with a prefix, in lower case; empty if it has none.
func (v *Server) class(prefix string) string {
	for _, t := range v.Tags {
		if t = strings.ToLower(t); strings.HasPrefix(t, prefix) {
			return t
		}
	}
	return ""
}

// State is what a choice is made from.
type State struct {
	Servers   []Server // by ID, ascending, each once
	UniqueTag string   // a prefix in lower case, such as az:, or empty
}

// find gives the place of a server, or -1.
func (s *State) find(id uint64) int {
	i, found := slices.BinarySearchFunc(s.Servers, id, func(v Server, id uint64) int { return cmp.Compare(v.ID, id) })
	if !found {
		return -1
	}
	return i
}

// server gives a server, or nil.
func (s *State) server(id uint64) *Server {
	if i := s.find(id); i >= 0 {
		return &s.Servers[i]
	}
	return nil
}

// serving tells whether a server is known, online and has JetStream.
func (s *State) serving(id uint64) bool {
	v := s.server(id)
	return v != nil && v.serves()
}

// clusterOf is the cluster of the first member that is known, or other.
func (s *State) clusterOf(members []uint64, other string) string {
	for _, id := range members {
		if v := s.server(id); v != nil {
			return v.Cluster
		}
	}
	return other
}

// Request says what is to be placed.
type Request struct {
	Replicas int   // 1 to 5
	Memory   bool  // in memory, not in files
	MaxBytes int64 // what the stream reserves on each member; 0 or less is nothing
	// Held is what each server of Keep has reserved for the stream already, in bytes.
	Held int64
	// Cluster is tried first: that of the placement, else that of the client or stream.
	Cluster string
	// Explicit says that the placement names Cluster, so that no other is tried.
	Explicit bool
	Tags     []string // of the placement; a leading ! is a tag that must be missing
	// Keep are present members, the leader first. They stay where they still qualify. Those after
	// the tenth are taken for strangers.
	Keep  []uint64
	Avoid []uint64 // servers that must not be chosen: removed, evacuated
	Seed  uint64   // decides between servers that are alike
}

// distinct gives the prefix of tags that must differ between members, or "" when the configuration has none
// or the request itself names a tag of it.
func (s *State) distinct(tags []string) string {
	if s.UniqueTag == "" {
		return ""
	}
	for _, t := range tags {
		if strings.HasPrefix(strings.TrimPrefix(t, "!"), s.UniqueTag) {
			return ""
		}
	}
	return s.UniqueTag
}

// quorum of a group of n.
func quorum(n int) int { return n/2 + 1 }

// tie spreads servers that are alike over seeds.
func tie(seed, id uint64) uint64 {
	h := (seed ^ id*0x9e3779b97f4a7c15) + 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
