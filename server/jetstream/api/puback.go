package api

import (
	"strconv"

	"github.com/lockstepmq/lockstep/server/jsonstring"
)

// PubAck is what a publisher is told, once its message is as durable as asked for.
type PubAck struct {
	Error     *Error `json:"error,omitempty"`
	Stream    string `json:"stream"`
	Domain    string `json:"domain,omitempty"`
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate,omitempty"`
	Value     string `json:"val,omitempty"`   // of a counter
	BatchId   string `json:"batch,omitempty"` // id
	BatchSize uint64 `json:"count,omitempty"` // messages of the batch
}

// AppendPubAckHead appends what all acks of a stream have in common: all before the
// number of "seq".
func AppendPubAckHead(dst []byte, stream, domain string) []byte {
	dst = append(dst, `{"stream":`...)
	dst = jsonstring.Append(dst, stream)
	if domain != "" {
		dst = append(dst, `,"domain":`...)
		dst = jsonstring.Append(dst, domain)
	}
	return append(dst, `,"seq":`...)
}

// AppendPubAck appends the JSON of an ack without error to dst. head is what
// [AppendPubAckHead] made for the stream and domain.
func AppendPubAck(dst, head []byte, seq uint64, duplicate bool) []byte {
	dst = append(dst, head...)
	dst = strconv.AppendUint(dst, seq, 10)
	if duplicate {
		dst = append(dst, `,"duplicate": true`...)
	}
	return append(dst, '}')
}

// AppendJSON appends the JSON of the ack to dst, or of the error if there is one, and does
// not allocate beyond dst.
func (a *PubAck) AppendJSON(dst []byte) []byte {
	if a.Error != nil {
		return AppendPubAckError(dst, a.Stream, a.Error)
	}
	dst = AppendPubAckHead(dst, a.Stream, a.Domain)
	dst = strconv.AppendUint(dst, a.Sequence, 10)
	if a.Duplicate {
		dst = append(dst, `,"duplicate": true`...)
	}
	if a.Value != "" {
		dst = append(dst, `,"val":`...)
		dst = jsonstring.Append(dst, a.Value)
	}
	if a.BatchId != "" {
		dst = append(dst, `,"batch":`...)
		dst = jsonstring.Append(dst, a.BatchId)
		dst = append(dst, `,"count":`...)
		dst = strconv.AppendUint(dst, a.BatchSize, 10)
	}
	return append(dst, '}')
}

// AppendPubAckError appends the JSON of a refusal to dst. It does not name the domain.
func AppendPubAckError(dst []byte, stream string, e *Error) []byte {
	dst = append(dst, `{"error":`...)
	dst = AppendError(dst, e)
	dst = append(dst, `,"stream":`...)
	dst = jsonstring.Append(dst, stream)
	return append(dst, `,"seq":0}`...)
}

// AppendError appends the JSON of an error to dst.
func AppendError(dst []byte, e *Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	if e.ErrCode != 0 {
		dst = append(dst, `,"err_code":`...)
		dst = strconv.AppendInt(dst, int64(e.ErrCode), 10)
	}
	if e.Description != "" {
		dst = append(dst, `,"description":`...)
		dst = jsonstring.Append(dst, e.Description)
	}
	return append(dst, '}')
}
