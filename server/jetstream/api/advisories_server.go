package api

import "time"

// Clients in advisories are whatever the caller reports of who asked.

// APIAudit is the record of a request that was answered.
type APIAudit struct {
	Event
	Server   string `json:"server"`
	Client   any    `json:"client"`
	Subject  string `json:"subject"`
	Request  string `json:"request,omitempty"`
	Response string `json:"response"`
	Domain   string `json:"domain,omitempty"`
}

// NewAPIAudit makes an [APIAudit].
func NewAPIAudit(id string, now time.Time, server string, client any, subject string, request, response []byte, domain string) *APIAudit {
	return &APIAudit{advisory("api_audit", id, now), server, client, subject, string(request), string(response), domain}
}

// APILimitReached tells that requests were dropped without an answer.
type APILimitReached struct {
	Event
	Server  string `json:"server"`
	Domain  string `json:"domain,omitempty"`
	Dropped int64  `json:"dropped"`
}

// NewAPILimitReached makes an [APILimitReached].
func NewAPILimitReached(id string, now time.Time, server, domain string, dropped int64) *APILimitReached {
	return &APILimitReached{advisory("api_limit_reached", id, now), server, domain, dropped}
}

// SnapshotCreate tells that a backup began.
type SnapshotCreate struct {
	Event
	Stream string      `json:"stream"`
	State  StreamState `json:"state"`
	Client any         `json:"client"`
	Domain string      `json:"domain,omitempty"`
}

// NewSnapshotCreate makes a [SnapshotCreate].
func NewSnapshotCreate(id string, now time.Time, stream string, state StreamState, client any, domain string) *SnapshotCreate {
	return &SnapshotCreate{advisory("snapshot_create", id, now), stream, state, client, domain}
}

// SnapshotComplete tells that a backup ended; well, when there is no error.
type SnapshotComplete struct {
	Event
	Stream string    `json:"stream"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Client any       `json:"client"`
	Domain string    `json:"domain,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// NewSnapshotComplete makes a [SnapshotComplete].
func NewSnapshotComplete(id string, now time.Time, stream string, start, end time.Time, client any, domain, failure string) *SnapshotComplete {
	return &SnapshotComplete{advisory("snapshot_complete", id, now), stream, start.UTC(), end.UTC(), client, domain, failure}
}

// RestoreCreate tells that a restore began.
type RestoreCreate struct {
	Event
	Stream string `json:"stream"`
	Client any    `json:"client"`
	Domain string `json:"domain,omitempty"`
}

// NewRestoreCreate makes a [RestoreCreate].
func NewRestoreCreate(id string, now time.Time, stream string, client any, domain string) *RestoreCreate {
	return &RestoreCreate{advisory("restore_create", id, now), stream, client, domain}
}

// RestoreComplete tells that a restore ended.
type RestoreComplete struct {
	Event
	Stream string    `json:"stream"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Bytes  int64     `json:"bytes"`
	Client any       `json:"client"`
	Domain string    `json:"domain,omitempty"`
}

// NewRestoreComplete makes a [RestoreComplete].
func NewRestoreComplete(id string, now time.Time, stream string, start, end time.Time, bytes int64, client any, domain string) *RestoreComplete {
	return &RestoreComplete{advisory("restore_complete", id, now), stream, start.UTC(), end.UTC(), bytes, client, domain}
}

// Reasons of [BatchAbandoned].
const (
	AbandonedTimeout     = "timeout"
	AbandonedLarge       = "large"
	AbandonedIncomplete  = "incomplete"
	AbandonedUnsupported = "unsupported"
)

// BatchAbandoned tells that an atomic batch will not be stored.
type BatchAbandoned struct {
	Event
	Account string `json:"account,omitempty"` // for the system account
	Stream  string `json:"stream"`
	Domain  string `json:"domain,omitempty"`
	Batch   string `json:"batch"`
	Reason  string `json:"reason"`
}

// NewBatchAbandoned makes a [BatchAbandoned].
func NewBatchAbandoned(id string, now time.Time, account, stream, domain, batch, reason string) *BatchAbandoned {
	return &BatchAbandoned{advisory("stream_batch_abandoned", id, now), account, stream, domain, batch, reason}
}

// LeaderElected tells who leads a stream or consumer. Consumer is empty for a stream.
type LeaderElected struct {
	Event
	Account  string      `json:"account,omitempty"` // for the system account
	Stream   string      `json:"stream"`
	Consumer string      `json:"consumer,omitempty"`
	Leader   string      `json:"leader"`
	Replicas []*PeerInfo `json:"replicas"`
	Domain   string      `json:"domain,omitempty"`
}

// NewLeaderElected makes a [LeaderElected].
func NewLeaderElected(id string, now time.Time, account, stream, consumer, leader string, replicas []*PeerInfo, domain string) *LeaderElected {
	kind := "stream_leader_elected"
	if consumer != "" {
		kind = "consumer_leader_elected"
	}
	return &LeaderElected{advisory(kind, id, now), account, stream, consumer, leader, replicas, domain}
}

// QuorumLost tells that a stream or consumer has no majority. Consumer is empty for a stream.
type QuorumLost struct {
	Event
	Account  string      `json:"account,omitempty"` // for the system account
	Stream   string      `json:"stream"`
	Consumer string      `json:"consumer,omitempty"`
	Replicas []*PeerInfo `json:"replicas"`
	Domain   string      `json:"domain,omitempty"`
}

// NewQuorumLost makes a [QuorumLost].
func NewQuorumLost(id string, now time.Time, account, stream, consumer string, replicas []*PeerInfo, domain string) *QuorumLost {
	kind := "stream_quorum_lost"
	if consumer != "" {
		kind = "consumer_quorum_lost"
	}
	return &QuorumLost{advisory(kind, id, now), account, stream, consumer, replicas, domain}
}

// DomainLeader tells who leads the meta group.
type DomainLeader struct {
	Event
	Leader   string      `json:"leader"` // peer id
	Replicas []*PeerInfo `json:"replicas"`
	Cluster  string      `json:"cluster"`
	Domain   string      `json:"domain,omitempty"`
}

// NewDomainLeader makes a [DomainLeader].
func NewDomainLeader(id string, now time.Time, leader string, replicas []*PeerInfo, cluster, domain string) *DomainLeader {
	return &DomainLeader{advisory("domain_leader_elected", id, now), leader, replicas, cluster, domain}
}

// OutOfSpace tells that a server's disk is full, and JetStream disabled on it.
type OutOfSpace struct {
	Event
	Server   string `json:"server"`
	ServerID string `json:"server_id"`
	Stream   string `json:"stream,omitempty"`
	Cluster  string `json:"cluster"`
	Domain   string `json:"domain,omitempty"`
}

// NewOutOfSpace makes an [OutOfSpace].
func NewOutOfSpace(id string, now time.Time, server, serverID, stream, cluster, domain string) *OutOfSpace {
	return &OutOfSpace{advisory("server_out_of_space", id, now), server, serverID, stream, cluster, domain}
}

// ServerRemoved tells that a server is no member of the meta group any more.
type ServerRemoved struct {
	Event
	Server   string `json:"server"`
	ServerID string `json:"server_id"`
	Cluster  string `json:"cluster"`
	Domain   string `json:"domain,omitempty"`
}

// NewServerRemoved makes a [ServerRemoved].
func NewServerRemoved(id string, now time.Time, server, serverID, cluster, domain string) *ServerRemoved {
	return &ServerRemoved{advisory("server_removed", id, now), server, serverID, cluster, domain}
}

// MetaRescued tells that a server lowered the quorum of the meta group for a while.
type MetaRescued struct {
	Event
	Server     string `json:"server"`
	ServerID   string `json:"server_id"`
	PrevQuorum int    `json:"prev_quorum"`
	NewQuorum  int    `json:"new_quorum"`
	Cluster    string `json:"cluster"`
	Domain     string `json:"domain,omitempty"`
}

// NewMetaRescued makes a [MetaRescued].
func NewMetaRescued(id string, now time.Time, server, serverID string, prev, next int, cluster, domain string) *MetaRescued {
	return &MetaRescued{advisory("meta_rescue", id, now), server, serverID, prev, next, cluster, domain}
}
