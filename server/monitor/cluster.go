package monitor

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// JetStreamCluster is JetStream of several servers, as this one sees it.
type JetStreamCluster struct {
	Meta *MetaClusterInfo
	// Leads: this server leads the meta group.
	Leads bool
	// Problem keeps this server from knowing which streams there are; empty when it knows.
	Problem string
	// Behind are the streams that this server should have and has not.
	Behind []HealthzError
	// Of this server.
	HAAssets, StreamsLeader, ConsumersLeader int
}

// MetaClusterInfo is the group of servers that knows which streams there are.
type MetaClusterInfo struct {
	Name            string             `json:"name,omitempty"`
	Leader          string             `json:"leader,omitempty"`
	Peer            string             `json:"peer,omitempty"`     // the leader's id
	Replicas        []*api.PeerInfo    `json:"replicas,omitempty"` // the other servers, by name
	Size            int                `json:"cluster_size"`
	Quorum          int                `json:"quorum_needed"`
	Pending         int                `json:"pending"` // entries to be applied
	PendingRequests int                `json:"pending_requests"`
	PendingInfos    int                `json:"pending_infos"`
	Snapshot        *MetaSnapshotStats `json:"snapshot,omitempty"`
}

// MetaSnapshotStats tells of the group's log since the last snapshot.
type MetaSnapshotStats struct {
	PendingEntries uint64        `json:"pending_entries"`
	PendingSize    uint64        `json:"pending_size"` // bytes
	LastTime       time.Time     `json:"last_time"`
	LastDuration   time.Duration `json:"last_duration,omitempty"`
}

// RaftGroupDetail names the group of a consumer.
type RaftGroupDetail struct {
	Name      string `json:"name"`
	RaftGroup string `json:"raft_group,omitempty"`
}

// judge is what a server of a cluster lacks of what o asks for.
func (c *JetStreamCluster) judge(o *HealthzOptions) []HealthzError {
	if c.Problem != "" {
		return []HealthzError{{Type: HealthzErrorJetStream, Error: c.Problem}}
	}
	if o.JSMetaOnly {
		return nil
	}
	return o.concerned(c.Behind)
}
