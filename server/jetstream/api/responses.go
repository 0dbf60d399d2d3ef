package api

import (
	"encoding/json"
	"time"
)

// ApiResponse begins every response.
type ApiResponse struct {
	Type  string `json:"type"`
	Error *Error `json:"error,omitempty"`
}

// ApiPaged begins, after that, every response that comes in pages.
type ApiPaged struct {
	Total  int `json:"total"`
	Offset int `json:"offset"`
	Limit  int `json:"limit"`
}

// List is a slice that is [] in JSON when it is nil.
type List[T any] []T

func (l List[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(l))
}

// AccountInfoResponse answers INFO.
type AccountInfoResponse struct {
	ApiResponse
	*JetStreamAccountStats
}

// StreamInfoCreateResponse answers STREAM.CREATE and STREAM.UPDATE, ACCOUNT.STREAM.MOVE, the
// CANCEL_MOVE endpoints and the last chunk of a restore.
type StreamCreateResponse struct {
	ApiResponse
	*StreamInfo
	DidCreate bool `json:"did_create,omitempty"` // of STREAM.CREATE
}

// StreamInfoResponse answers STREAM.INFO. The page is that of the subjects.
type StreamInfoResponse struct {
	ApiResponse
	ApiPaged
	*StreamInfo
}

// StreamNamesResponse answers STREAM.NAMES. No streams are null.
type StreamNamesResponse struct {
	ApiResponse
	ApiPaged
	Streams []string `json:"streams"`
}

// StreamListResponse answers STREAM.LIST.
type StreamListResponse struct {
	ApiResponse
	ApiPaged
	Streams List[*StreamInfo] `json:"streams"`
	Missing []string          `json:"missing,omitempty"`
	Offline map[string]string `json:"offline,omitempty"` // reasons by name
}

// SuccessResponse answers requests that are done or not: deletions, step-downs, removals.
type SuccessResponse struct {
	ApiResponse
	Success bool `json:"success,omitempty"`
}

// StreamPurgeResponse answers STREAM.PURGE.
type StreamPurgeResponse struct {
	ApiResponse
	Success bool   `json:"success,omitempty"`
	Purged  uint64 `json:"purged"`
}

// MsgGetResponse answers STREAM.MSG.GET.
type MsgGetResponse struct {
	ApiResponse
	Message *StoredMsg `json:"message,omitempty"`
}

// StreamSnapshotResponse answers STREAM.SNAPSHOT, before the chunks.
type StreamSnapshotResponse struct {
	ApiResponse
	Config *StreamConfig `json:"config,omitempty"`
	State  *StreamState  `json:"state,omitempty"`
}

// StreamRestoreResponse answers STREAM.RESTORE: where the chunks go.
type StreamRestoreResponse struct {
	ApiResponse
	DeliverSubject string `json:"deliver_subject"`
}

// ConsumerResponse answers CONSUMER.CREATE in all its forms, and CONSUMER.INFO.
type ConsumerResponse struct {
	ApiResponse
	*ConsumerInfo
}

// ConsumerNamesResponse answers CONSUMER.NAMES.
type ConsumerNamesResponse struct {
	ApiResponse
	ApiPaged
	Consumers List[string] `json:"consumers"`
}

// ConsumerListResponse answers CONSUMER.LIST.
type ConsumerListResponse struct {
	ApiResponse
	ApiPaged
	Consumers List[*ConsumerInfo] `json:"consumers"`
	Missing   []string            `json:"missing,omitempty"`
	Offline   map[string]string   `json:"offline,omitempty"` // reasons by name
}

// ConsumerPauseResponse answers CONSUMER.PAUSE.
type ConsumerPauseResponse struct {
	ApiResponse
	Paused         bool          `json:"paused"`
	PauseUntil     time.Time     `json:"pause_until"`
	PauseRemaining time.Duration `json:"pause_remaining,omitempty"`
}

// ConsumerUnpinResponse answers CONSUMER.UNPIN.
type ConsumerUnpinResponse struct{ ApiResponse }

// ConsumerResetResponse answers CONSUMER.RESET.
type ConsumerResetResponse struct {
	ApiResponse
	*ConsumerInfo
	ResetSeq uint64 `json:"reset_seq"` // the next one to be delivered
}

// MetaRescueResponse answers META.RESCUE.
type MetaRescueResponse struct {
	ApiResponse
	Server     string `json:"server,omitempty"`
	ServerID   string `json:"server_id,omitempty"`
	PrevQuorum int    `json:"prev_quorum,omitempty"`
	NewQuorum  int    `json:"new_quorum,omitempty"`
}

// AccountPurgeResponse answers ACCOUNT.PURGE.
type AccountPurgeResponse struct {
	ApiResponse
	Initiated bool `json:"initiated,omitempty"`
}
