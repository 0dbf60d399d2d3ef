package api

import (
	"encoding/json"
	"time"
)

// Requests carry the official names of types, for the reason given at [StreamConfig].

// ApiPagedRequest asks for a page; a negative offset is 0.
type ApiPagedRequest struct {
	Offset int `json:"offset"`
}

// JSApiStreamNamesRequest is the body of STREAM.NAMES.
type JSApiStreamNamesRequest struct {
	ApiPagedRequest
	Subject string `json:"subject,omitempty"` // keeps streams whose subjects overlap it
}

// JSApiStreamListRequest is the body of STREAM.LIST.
type JSApiStreamListRequest struct {
	ApiPagedRequest
	Subject string `json:"subject,omitempty"` // keeps streams whose subjects overlap it
}

// JSApiStreamInfoRequest is the body of STREAM.INFO.
type JSApiStreamInfoRequest struct {
	ApiPagedRequest
	DeletedDetails bool   `json:"deleted_details,omitempty"`
	SubjectsFilter string `json:"subjects_filter,omitempty"`
}

// JSApiStreamPurgeRequest is the body of STREAM.PURGE.
type JSApiStreamPurgeRequest struct {
	Sequence uint64 `json:"seq,omitempty"` // the first one to stay
	Subject  string `json:"filter,omitempty"`
	Keep     uint64 `json:"keep,omitempty"` // newest ones
}

// JSApiMsgGetRequest is the body of STREAM.MSG.GET and of direct gets.
type JSApiMsgGetRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	LastFor   string     `json:"last_by_subj,omitempty"`
	NextFor   string     `json:"next_by_subj,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	MultiLast []string   `json:"multi_last,omitempty"`
	UpToSeq   uint64     `json:"up_to_seq,omitempty"`
	UpToTime  *time.Time `json:"up_to_time,omitempty"`
	NoHeaders bool       `json:"no_hdr,omitempty"`
}

// JSApiMsgDeleteRequest is the body of STREAM.MSG.DELETE.
type JSApiMsgDeleteRequest struct {
	Seq     uint64 `json:"seq"`
	NoErase bool   `json:"no_erase,omitempty"` // leaves the bytes on the disk
}

// JSApiStreamSnapshotRequest is the body of STREAM.SNAPSHOT.
type JSApiStreamSnapshotRequest struct {
	DeliverSubject string `json:"deliver_subject"`
	NoConsumers    bool   `json:"no_consumers,omitempty"`
	ChunkSize      int    `json:"chunk_size,omitempty"`  // bytes
	WindowSize     int    `json:"window_size,omitempty"` // bytes
	CheckMsgs      bool   `json:"jsck,omitempty"`
}

// JSApiStreamRestoreRequest is the body of STREAM.RESTORE.
type JSApiStreamRestoreRequest struct {
	Config StreamConfig `json:"config"`
	State  StreamState  `json:"state"`
}

// JSApiStreamRemovePeerRequest is the body of STREAM.PEER.REMOVE and STREAM.PEER.EVACUATE.
type JSApiStreamRemovePeerRequest struct {
	Peer string `json:"peer"`
}

// JSApiLeaderStepdownRequest is the body of every step-down.
type JSApiLeaderStepdownRequest struct {
	Placement *Placement `json:"placement,omitempty"`
}

// JSApiMetaServerRemoveRequest is the body of SERVER.REMOVE and SERVER.EVACUATE.
type JSApiMetaServerRemoveRequest struct {
	Server string `json:"peer"`
	Peer   string `json:"peer_id,omitempty"`
}

// JSApiMetaRescueRequest is the body of META.RESCUE.
type JSApiMetaRescueRequest struct {
	QuorumNeeded int `json:"quorum_needed"`
}

// JSApiMetaServerStreamMoveRequest is the body of ACCOUNT.STREAM.MOVE.
type JSApiMetaServerStreamMoveRequest struct {
	Server  string   `json:"server,omitempty"`
	Cluster string   `json:"cluster,omitempty"`
	Domain  string   `json:"domain,omitempty"`
	Tags    []string `json:"tags,omitempty"`
}

// JSApiConsumersRequest is the body of CONSUMER.NAMES and CONSUMER.LIST.
type JSApiConsumersRequest struct {
	ApiPagedRequest
}

// JSApiConsumerPauseRequest is the body of CONSUMER.PAUSE; no time resumes.
type JSApiConsumerPauseRequest struct {
	PauseUntil time.Time `json:"pause_until,omitzero"`
}

// JSApiConsumerUnpinRequest is the body of CONSUMER.UNPIN.
type JSApiConsumerUnpinRequest struct {
	Group string `json:"group"`
}

// JSApiConsumerResetRequest is the body of CONSUMER.RESET; 0 is the ack floor.
type JSApiConsumerResetRequest struct {
	Seq uint64 `json:"seq,omitempty"`
}

// Marshal gives the JSON of a response or advisory, as clients see it: "<", ">" and "&"
// are escaped. It panics on what has no JSON, which no type of this package is.
func Marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("api: " + err.Error())
	}
	return b
}
