package stream

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Where a stream and its consumers live, as the API shows it.

// Cluster is what a stream of several servers shows of them.
type Cluster struct {
	// Name is that of the cluster.
	Name func() string
	// Peer gives the name of a server, and how it is shown where names are too long. Any strand.
	Peer func(core.MemberID) (name, peer string)
}

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// MemberOf is the number of a server of this name: the first eight bytes of its SHA-256, in order.
func MemberOf(name string) core.MemberID {
	sum := sha256.Sum256([]byte(name))
	return core.MemberID(max(binary.BigEndian.Uint64(sum[:]), 1)) // 0 is nobody
}

// PeerID is how a server is shown where names are too long: eight characters, which the official servers make of its
// name in the same way.
func PeerID(id core.MemberID) string {
	return eight(binary.BigEndian.AppendUint64(nil, uint64(id)))
}

func eight(sum []byte) string {
	var b [8]byte
	for i := range b {
		b[i] = digits[int(sum[i])%len(digits)]
	}
	return string(b[:])
}

// groupName is what the API calls the group of a stream (S), or of its consumer (C) of that number. It is the same
// on all servers.
func (s *Stream) groupName(kind byte, consumer uint32, replicas int, storage api.StorageType) string {
	p := binary.BigEndian.AppendUint64([]byte{kind}, s.spec.ID.Group)
	p = binary.BigEndian.AppendUint64(p, s.spec.ID.Incarnation)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(p, consumer))
	letter := 'F'
	if storage == api.MemoryStorage {
		letter = 'M'
	}
	return fmt.Sprintf("%c-R%d%c-%s", kind, replicas, letter, eight(sum[:]))
}

// RaftGroup is what the API calls the stream's group; "" for a stream of a server alone.
func (s *Stream) RaftGroup() string {
	if s.spec.Members == nil {
		return ""
	}
	return s.groupName('S', 0, max(s.cfg.Replicas, 1), s.cfg.Storage)
}

// consumerGroup is what the API calls the group of a consumer, and how many servers it counts.
func (s *Stream) consumerGroup(h *hosted) (name string, replicas int) {
	cfg := h.c.Config()
	storage := s.cfg.Storage
	if cfg.MemoryStorage {
		storage = api.MemoryStorage
	}
	replicas = s.consumerReplicas(cfg)
	return s.groupName('C', h.id, replicas, storage), replicas
}

// consumerReplicas is how many servers a consumer counts as its own: one that nobody named as lasting, of a stream
// that keeps messages regardless of consumers, is on the leader alone.
func (s *Stream) consumerReplicas(cfg *api.ConsumerConfig) int {
	n := max(s.cfg.Replicas, 1)
	switch {
	case cfg.Replicas > 0:
		return min(cfg.Replicas, n)
	case cfg.Durable == "" && s.cfg.Retention == api.LimitsPolicy:
		return 1
	}
	return n
}

// clusterInfo tells where the stream lives.
func (s *Stream) clusterInfo() *api.ClusterInfo {
	if s.spec.Members == nil {
		return &api.ClusterInfo{Leader: s.env.Server}
	}
	return s.whereabouts(s.RaftGroup(), max(s.cfg.Replicas, 1))
}

// consumerCluster tells where a consumer lives; nil on a server alone.
func (s *Stream) consumerCluster(h *hosted) *api.ClusterInfo {
	if s.spec.Members == nil {
		return nil
	}
	return s.whereabouts(s.consumerGroup(h))
}

// whereabouts tells of a group of so many servers.
func (s *Stream) whereabouts(group string, replicas int) *api.ClusterInfo {
	c := &api.ClusterInfo{Leader: s.env.Server}
	if s.env.Cluster == nil {
		return c
	}
	c.Name = s.env.Cluster.Name()
	leads := s.Leads()
	if !leads {
		c.Leader = ""
		if s.leader != 0 {
			c.Leader, _ = s.env.Cluster.Peer(s.leader)
		}
	}
	if replicas <= 1 {
		return c
	}
	c.RaftGroup, c.SystemAcc = group, true
	if acc := s.env.Broker.SystemAccount(); acc != nil {
		c.TrafficAcc = acc.Name
	}
	if leads {
		since := s.since
		c.LeaderSince, c.Replicas = &since, s.followers()
	} else {
		c.Replicas = s.fellows()
	}
	c.Replicas = c.Replicas[:min(len(c.Replicas), replicas-1)]
	return c
}

// followers are the others, as their leader knows them, by name.
func (s *Stream) followers() []*api.PeerInfo {
	committed := s.group.Committed()
	var list []*api.PeerInfo
	for _, p := range s.group.Peers(nil) {
		i := &api.PeerInfo{Active: p.Heard, Offline: !p.Present}
		i.Name, i.Peer = s.env.Cluster.Peer(p.ID)
		if n := uint64(p.Match); n < committed {
			i.Lag = committed - n
		}
		i.Current = p.Present && !p.Snapshot && i.Lag == 0
		list = append(list, i)
	}
	return byName(list)
}

// fellows are the others, as far as one who follows knows them, by name.
func (s *Stream) fellows() []*api.PeerInfo {
	members := s.group.Members()
	var list []*api.PeerInfo
	for _, v := range members.Voters {
		if v.ID == s.spec.Self {
			continue
		}
		i := &api.PeerInfo{Current: v.ID == s.leader}
		i.Name, i.Peer = s.env.Cluster.Peer(v.ID)
		list = append(list, i)
	}
	return byName(list)
}

func byName(list []*api.PeerInfo) []*api.PeerInfo {
	slices.SortStableFunc(list, func(a, b *api.PeerInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// StepDown hands the leadership to another server, 0 for whoever has most. A stream that nobody else can lead stays.
func (s *Stream) StepDown(to core.MemberID) error {
	if !s.Leads() {
		return nil
	}
	if to == 0 {
		var best *core.Peer
		peers := s.group.Peers(nil)
		for i := range peers {
			if p := &peers[i]; p.Present && !p.Learner && !p.Snapshot && (best == nil || p.Match > best.Match) {
				best = p
			}
		}
		if best == nil {
			return nil
		}
		to = best.ID
	}
	return s.group.TransferLeadership(to)
}

// Leaderless tells whether nobody has been known to lead for that long.
func (s *Stream) Leaderless(d time.Duration) bool {
	s.tick()
	return s.spec.Members != nil && !s.leads && s.leader == 0 && s.mono-s.unled >= d
}

// Current tells whether this server has what the stream's leader has, as far as it knows.
func (s *Stream) Current() bool {
	switch {
	case s.spec.Members == nil || s.Leads():
		return true
	case s.leader == 0 || s.closed || s.failed != nil:
		return false
	}
	st := s.group.State()
	return st.Standing == core.Voter && s.group.Applied() >= s.group.Committed()
}

// ConsumerGroups are what the API calls the groups of the consumers, by name, with those of mirrors and sources; none for
// a stream of a server alone.
func (s *Stream) ConsumerGroups(visit func(consumer, group string)) {
	if s.spec.Members == nil {
		return
	}
	for _, h := range s.consumers.names() {
		group, _ := s.consumerGroup(h)
		visit(h.name, group)
	}
}
