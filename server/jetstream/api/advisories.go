package api

import "time"

// Subjects that advisories and metrics begin with; the asset's name follows where there is
// one, or the stream's and the consumer's with a dot between.
const (
	advisoryPrefix = "$JS.EVENT.ADVISORY."
	metricPrefix   = "$JS.EVENT.METRIC."

	SubjectAPIAudit         = advisoryPrefix + "API"
	SubjectAPILimitReached  = advisoryPrefix + "API.LIMIT_REACHED"
	SubjectStreamCreated    = advisoryPrefix + "STREAM.CREATED."
	SubjectStreamDeleted    = advisoryPrefix + "STREAM.DELETED."
	SubjectStreamUpdated    = advisoryPrefix + "STREAM.UPDATED."
	SubjectSnapshotCreate   = advisoryPrefix + "STREAM.SNAPSHOT_CREATE."
	SubjectSnapshotComplete = advisoryPrefix + "STREAM.SNAPSHOT_COMPLETE."
	SubjectRestoreCreate    = advisoryPrefix + "STREAM.RESTORE_CREATE."
	SubjectRestoreComplete  = advisoryPrefix + "STREAM.RESTORE_COMPLETE."
	SubjectStreamLeader     = advisoryPrefix + "STREAM.LEADER_ELECTED."
	SubjectStreamQuorumLost = advisoryPrefix + "STREAM.QUORUM_LOST."
	SubjectBatchAbandoned   = advisoryPrefix + "STREAM.BATCH_ABANDONED."
	SubjectOutOfStorage     = advisoryPrefix + "SERVER.OUT_OF_STORAGE"
	SubjectServerRemoved    = advisoryPrefix + "SERVER.REMOVED"
	SubjectMetaRescue       = advisoryPrefix + "SERVER.META_RESCUE"
	SubjectDomainLeader     = advisoryPrefix + "DOMAIN.LEADER_ELECTED"

	subjectConsumerCreated    = advisoryPrefix + "CONSUMER.CREATED."
	subjectConsumerDeleted    = advisoryPrefix + "CONSUMER.DELETED."
	subjectConsumerPause      = advisoryPrefix + "CONSUMER.PAUSE."
	subjectConsumerPinned     = advisoryPrefix + "CONSUMER.PINNED."
	subjectConsumerUnpinned   = advisoryPrefix + "CONSUMER.UNPINNED."
	subjectMaxDeliveries      = advisoryPrefix + "CONSUMER.MAX_DELIVERIES."
	subjectNaked              = advisoryPrefix + "CONSUMER.MSG_NAKED."
	subjectTerminated         = advisoryPrefix + "CONSUMER.MSG_TERMINATED."
	subjectConsumerLeader     = advisoryPrefix + "CONSUMER.LEADER_ELECTED."
	subjectConsumerQuorumLost = advisoryPrefix + "CONSUMER.QUORUM_LOST."
	subjectAck                = metricPrefix + "CONSUMER.ACK."
)

func ConsumerCreatedSubject(stream, consumer string) string {
	return subjectConsumerCreated + stream + "." + consumer
}

func ConsumerDeletedSubject(stream, consumer string) string {
	return subjectConsumerDeleted + stream + "." + consumer
}

func ConsumerPauseSubject(stream, consumer string) string {
	return subjectConsumerPause + stream + "." + consumer
}

func ConsumerPinnedSubject(stream, consumer string) string {
	return subjectConsumerPinned + stream + "." + consumer
}

func ConsumerUnpinnedSubject(stream, consumer string) string {
	return subjectConsumerUnpinned + stream + "." + consumer
}

func MaxDeliveriesSubject(stream, consumer string) string {
	return subjectMaxDeliveries + stream + "." + consumer
}

func NakedSubject(stream, consumer string) string { return subjectNaked + stream + "." + consumer }

func TerminatedSubject(stream, consumer string) string {
	return subjectTerminated + stream + "." + consumer
}

func AckMetricSubject(stream, consumer string) string { return subjectAck + stream + "." + consumer }

func ConsumerLeaderSubject(stream, consumer string) string {
	return subjectConsumerLeader + stream + "." + consumer
}

func ConsumerQuorumLostSubject(stream, consumer string) string {
	return subjectConsumerQuorumLost + stream + "." + consumer
}

// Event begins every advisory and metric. The id is 22 characters, see [NewID]; the time is
// UTC.
type Event struct {
	Type string    `json:"type"`
	ID   string    `json:"id"`
	Time time.Time `json:"timestamp"`
}

func advisory(kind, id string, now time.Time) Event {
	return Event{"io.nats.jetstream.advisory.v1." + kind, id, now.UTC()}
}

// Actions of [StreamAction] and [ConsumerAct].
const (
	Created  = "create"
	Deleted  = "delete"
	Modified = "modify"
)

// StreamAction tells that a stream was created, updated or deleted.
type StreamAction struct {
	Event
	Stream string `json:"stream"`
	Action string `json:"action"`
	Domain string `json:"domain,omitempty"`
}

// NewStreamAction makes a [StreamAction].
func NewStreamAction(id string, now time.Time, stream, action, domain string) *StreamAction {
	return &StreamAction{advisory("stream_action", id, now), stream, action, domain}
}

// ConsumerAct tells that a consumer was created or deleted.
type ConsumerAct struct {
	Event
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	Action   string `json:"action"`
	Domain   string `json:"domain,omitempty"`
}

// NewConsumerAction makes a [ConsumerAct].
func NewConsumerAction(id string, now time.Time, stream, consumer, action, domain string) *ConsumerAct {
	return &ConsumerAct{advisory("consumer_action", id, now), stream, consumer, action, domain}
}

// ConsumerPaused tells that a consumer was paused, or goes on.
type ConsumerPaused struct {
	Event
	Stream     string    `json:"stream"`
	Consumer   string    `json:"consumer"`
	Paused     bool      `json:"paused"`
	PauseUntil time.Time `json:"pause_until"`
	Domain     string    `json:"domain,omitempty"`
}

// NewConsumerPaused makes a [ConsumerPaused].
func NewConsumerPaused(id string, now time.Time, stream, consumer string, paused bool, until time.Time, domain string) *ConsumerPaused {
	return &ConsumerPaused{advisory("consumer_pause", id, now), stream, consumer, paused, until, domain}
}

// GroupPinned tells that a client alone gets the messages of a group.
type GroupPinned struct {
	Event
	Account  string `json:"account,omitempty"`
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	Domain   string `json:"domain,omitempty"`
	Group    string `json:"group"`
	PinnedID string `json:"pinned_id"`
}

// NewGroupPinned makes a [GroupPinned].
func NewGroupPinned(id string, now time.Time, account, stream, consumer, domain, group, pin string) *GroupPinned {
	return &GroupPinned{advisory("consumer_group_pinned", id, now), account, stream, consumer, domain, group, pin}
}

// Reasons of [GroupUnpinned].
const (
	UnpinnedByAdmin   = "admin"
	UnpinnedByTimeout = "timeout"
)

// GroupUnpinned tells that no client is pinned any more.
type GroupUnpinned struct {
	Event
	Account  string `json:"account,omitempty"`
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	Domain   string `json:"domain,omitempty"`
	Group    string `json:"group"`
	Reason   string `json:"reason"`
}

// NewGroupUnpinned makes a [GroupUnpinned].
func NewGroupUnpinned(id string, now time.Time, account, stream, consumer, domain, group, reason string) *GroupUnpinned {
	return &GroupUnpinned{advisory("consumer_group_unpinned", id, now), account, stream, consumer, domain, group, reason}
}

// MaxDelivered tells that a message was delivered as often as it may be.
type MaxDelivered struct {
	Event
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	StreamSeq  uint64 `json:"stream_seq"`
	Deliveries uint64 `json:"deliveries"`
	Domain     string `json:"domain,omitempty"`
}

// NewMaxDelivered makes a [MaxDelivered].
func NewMaxDelivered(id string, now time.Time, stream, consumer string, seq, deliveries uint64, domain string) *MaxDelivered {
	return &MaxDelivered{advisory("max_deliver", id, now), stream, consumer, seq, deliveries, domain}
}

// Naked tells that a message was refused by a client.
type Naked struct {
	Event
	Stream      string `json:"stream"`
	Consumer    string `json:"consumer"`
	ConsumerSeq uint64 `json:"consumer_seq"`
	StreamSeq   uint64 `json:"stream_seq"`
	Deliveries  uint64 `json:"deliveries"`
	Domain      string `json:"domain,omitempty"`
}

// NewNaked makes a [Naked] of what the refused delivery said.
func NewNaked(id string, now time.Time, stream, consumer string, a *AckReply, domain string) *Naked {
	return &Naked{advisory("nak", id, now), stream, consumer, a.ConsumerSeq, a.StreamSeq, a.Delivered, domain}
}

// Reasons of [Terminated] that the server gives.
const (
	TerminatedDeleted = "Unacknowledged message was deleted"
	TerminatedLimits  = "Message deleted by stream limits"
)

// Terminated tells that a message will not be delivered again.
type Terminated struct {
	Event
	Stream      string `json:"stream"`
	Consumer    string `json:"consumer"`
	ConsumerSeq uint64 `json:"consumer_seq"`
	StreamSeq   uint64 `json:"stream_seq"`
	Deliveries  uint64 `json:"deliveries"`
	Reason      string `json:"reason,omitempty"`
	Domain      string `json:"domain,omitempty"`
}

// NewTerminated makes a [Terminated].
func NewTerminated(id string, now time.Time, stream, consumer string, consumerSeq, streamSeq, deliveries uint64, reason, domain string) *Terminated {
	return &Terminated{advisory("terminated", id, now), stream, consumer, consumerSeq, streamSeq, deliveries, reason, domain}
}

// AckMetric is a sample of how long an ack took.
type AckMetric struct {
	Event
	Stream      string `json:"stream"`
	Consumer    string `json:"consumer"`
	ConsumerSeq uint64 `json:"consumer_seq"`
	StreamSeq   uint64 `json:"stream_seq"`
	Delay       int64  `json:"ack_time"` // nanoseconds since the latest delivery
	Deliveries  uint64 `json:"deliveries"`
	Domain      string `json:"domain,omitempty"`
}

// NewAckMetric makes an [AckMetric].
func NewAckMetric(id string, now time.Time, stream, consumer string, consumerSeq, streamSeq uint64, delay time.Duration, deliveries uint64, domain string) *AckMetric {
	return &AckMetric{
		Event{"io.nats.jetstream.metric.v1.consumer_ack", id, now.UTC()},
		stream, consumer, consumerSeq, streamSeq, int64(delay), deliveries, domain,
	}
}
