package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// responseTypes gives an empty response by its type.
func responseTypes() map[string]func() any {
	m := map[string]func() any{}
	add := func(v func() any, endpoints ...Endpoint) {
		for _, e := range endpoints {
			m[e.ResponseType()] = v
		}
	}
	add(func() any { return &AccountInfoResponse{} }, EndpointAccountInfo)
	add(func() any { return &StreamCreateResponse{} }, EndpointStreamCreate, EndpointStreamUpdate)
	add(func() any { return &StreamNamesResponse{} }, EndpointStreamNames)
	add(func() any { return &StreamListResponse{} }, EndpointStreamList)
	add(func() any { return &StreamInfoResponse{} }, EndpointStreamInfo)
	add(func() any { return &SuccessResponse{} }, EndpointStreamDelete, EndpointMsgDelete, EndpointConsumerDelete,
		EndpointStreamPeerRemove, EndpointStreamPeerEvacuate, EndpointStreamStepdown, EndpointConsumerStepdown,
		EndpointStreamCancelMove)
	add(func() any { return &StreamPurgeResponse{} }, EndpointStreamPurge)
	add(func() any { return &MsgGetResponse{} }, EndpointMsgGet)
	add(func() any { return &StreamSnapshotResponse{} }, EndpointStreamSnapshot)
	add(func() any { return &StreamRestoreResponse{} }, EndpointStreamRestore)
	add(func() any { return &ConsumerResponse{} }, EndpointConsumerCreate, EndpointConsumerInfo)
	add(func() any { return &ConsumerNamesResponse{} }, EndpointConsumerNames)
	add(func() any { return &ConsumerListResponse{} }, EndpointConsumerList)
	add(func() any { return &ConsumerPauseResponse{} }, EndpointConsumerPause)
	add(func() any { return &ConsumerUnpinResponse{} }, EndpointConsumerUnpin)
	add(func() any { return &ConsumerResetResponse{} }, EndpointConsumerReset)
	return m
}

func TestResponsesAsRecorded(t *testing.T) {
	types := responseTypes()
	seen, refused := map[string]bool{}, map[string]bool{}
	eachLine(t, "responses.jsonl", func(line []byte) {
		var head ApiResponse
		require.NoError(t, json.Unmarshal(line, &head))
		empty := types[head.Type]
		require.NotNil(t, empty, head.Type)
		v := empty()
		require.Nil(t, DecodeStrict(line, v), "%s", line)
		require.Equal(t, string(line), string(Marshal(v)))
		seen[head.Type] = true
		if head.Error == nil {
			return
		}
		refused[head.Type] = true
		for e := EndpointAccountInfo; e < endpoints; e++ {
			if e.ResponseType() == head.Type {
				require.Equal(t, string(line), string(e.Refusal(head.Error)))
			}
		}
	})
	for typ := range types {
		require.True(t, seen[typ], "%s is not recorded", typ)
		require.True(t, refused[typ], "no error of %s is recorded", typ)
	}
}

func TestPubAcksAsRecorded(t *testing.T) {
	eachLine(t, "pubacks.jsonl", func(line []byte) {
		var a PubAck
		require.NoError(t, json.Unmarshal(line, &a))
		require.Equal(t, string(line), string(a.AppendJSON(nil)))
	})
}

func TestAdvisoriesAsRecorded(t *testing.T) {
	var c struct {
		Event
		Server, Account, Stream, Consumer, Action, Domain, Group, Reason, Batch, Subject string
		Request, Response                                                                string
		Paused                                                                           bool
		PauseUntil                                                                       time.Time `json:"pause_until"`
		Start, End                                                                       time.Time
		PinnedID                                                                         string `json:"pinned_id"`
		ConsumerSeq                                                                      uint64 `json:"consumer_seq"`
		StreamSeq                                                                        uint64 `json:"stream_seq"`
		AckTime                                                                          int64  `json:"ack_time"`
		Deliveries                                                                       uint64
		State                                                                            StreamState
		Client                                                                           json.RawMessage
		Bytes                                                                            int64
	}
	empty := c
	seen := map[string]bool{}
	eachLine(t, "advisories.txt", func(line []byte) {
		subj, body, _ := strings.Cut(string(line), " ")
		c = empty
		require.NoError(t, json.Unmarshal([]byte(body), &c))
		var v any
		var want string
		kind := c.Type[strings.LastIndexByte(c.Type, '.')+1:]
		switch kind {
		case "stream_action":
			v = NewStreamAction(c.ID, c.Time, c.Stream, c.Action, c.Domain)
			want = map[string]string{
				Created: SubjectStreamCreated, Deleted: SubjectStreamDeleted, Modified: SubjectStreamUpdated,
			}[c.Action] + c.Stream
		case "consumer_action":
			v = NewConsumerAction(c.ID, c.Time, c.Stream, c.Consumer, c.Action, c.Domain)
			want = ConsumerCreatedSubject(c.Stream, c.Consumer)
			if c.Action == Deleted {
				want = ConsumerDeletedSubject(c.Stream, c.Consumer)
			}
		case "consumer_pause":
			v = NewConsumerPaused(c.ID, c.Time, c.Stream, c.Consumer, c.Paused, c.PauseUntil, c.Domain)
			want = ConsumerPauseSubject(c.Stream, c.Consumer)
		case "consumer_group_pinned":
			v = NewGroupPinned(c.ID, c.Time, c.Account, c.Stream, c.Consumer, c.Domain, c.Group, c.PinnedID)
			want = ConsumerPinnedSubject(c.Stream, c.Consumer)
		case "consumer_group_unpinned":
			v = NewGroupUnpinned(c.ID, c.Time, c.Account, c.Stream, c.Consumer, c.Domain, c.Group, c.Reason)
			want = ConsumerUnpinnedSubject(c.Stream, c.Consumer)
		case "max_deliver":
			v = NewMaxDelivered(c.ID, c.Time, c.Stream, c.Consumer, c.StreamSeq, c.Deliveries, c.Domain)
			want = MaxDeliveriesSubject(c.Stream, c.Consumer)
		case "nak":
			a := &AckReply{ConsumerSeq: c.ConsumerSeq, StreamSeq: c.StreamSeq, Delivered: c.Deliveries}
			v = NewNaked(c.ID, c.Time, c.Stream, c.Consumer, a, c.Domain)
			want = NakedSubject(c.Stream, c.Consumer)
		case "terminated":
			v = NewTerminated(c.ID, c.Time, c.Stream, c.Consumer, c.ConsumerSeq, c.StreamSeq, c.Deliveries, c.Reason, c.Domain)
			want = TerminatedSubject(c.Stream, c.Consumer)
		case "consumer_ack":
			v = NewAckMetric(c.ID, c.Time, c.Stream, c.Consumer, c.ConsumerSeq, c.StreamSeq, time.Duration(c.AckTime), c.Deliveries, c.Domain)
			want = AckMetricSubject(c.Stream, c.Consumer)
		case "stream_batch_abandoned":
			v = NewBatchAbandoned(c.ID, c.Time, c.Account, c.Stream, c.Domain, c.Batch, c.Reason)
			want = SubjectBatchAbandoned + c.Stream
		case "snapshot_create":
			v = NewSnapshotCreate(c.ID, c.Time, c.Stream, c.State, c.Client, c.Domain)
			want = SubjectSnapshotCreate + c.Stream
		case "snapshot_complete":
			v = NewSnapshotComplete(c.ID, c.Time, c.Stream, c.Start, c.End, c.Client, c.Domain, "")
			want = SubjectSnapshotComplete + c.Stream
		case "restore_create":
			v = NewRestoreCreate(c.ID, c.Time, c.Stream, c.Client, c.Domain)
			want = SubjectRestoreCreate + c.Stream
		case "restore_complete":
			v = NewRestoreComplete(c.ID, c.Time, c.Stream, c.Start, c.End, c.Bytes, c.Client, c.Domain)
			want = SubjectRestoreComplete + c.Stream
		case "api_audit":
			v = NewAPIAudit(c.ID, c.Time, c.Server, c.Client, c.Subject, []byte(c.Request), []byte(c.Response), c.Domain)
			want = SubjectAPIAudit
		default:
			t.Fatalf("unknown: %s", line)
		}
		require.Equal(t, body, string(Marshal(v)))
		require.Equal(t, subj, want)
		seen[kind] = true
	})
	require.Len(t, seen, 15, "%v", sorted(seen))
}
