package api

import (
	"strconv"
	"time"
)

// Status lines, without what a header block begins with.
const (
	StatusEOB                = "204 EOB"
	StatusNoContent          = "204"
	StatusIdleHeartbeat      = "100 Idle Heartbeat"
	StatusFlowControl        = "100 FlowControl Request"
	StatusNoMessages         = "404 No Messages"
	StatusMessageNotFound    = "404 Message Not Found"
	StatusNoResults          = "404 No Results"
	StatusRequestTimeout     = "408 Request Timeout"
	StatusRequestsPending    = "408 Requests Pending"
	StatusInterestExpired    = "408 Interest Expired"
	StatusEmptyRequest       = "408 Empty Request"
	StatusMalformedRequest   = "408 Malformed Request"
	StatusBadRequest         = "408 Bad Request"
	StatusNoInterest         = "408 No Interest"
	StatusNoFlowResponse     = "408 No Flow Response"
	StatusPushBased          = "409 Consumer is push based"
	StatusMaxWaiting         = "409 Exceeded MaxWaiting"
	StatusMaxBytes           = "409 Message Size Exceeds MaxBytes"
	StatusBatchCompleted     = "409 Batch Completed"
	StatusConsumerDeleted    = "409 Consumer Deleted"
	StatusLeadershipChange   = "409 Leadership Change"
	StatusServerShutdown     = "409 Server Shutdown"
	StatusRequiredLevel      = "412 Required Api Level"
	StatusTooManyResults     = "413 Too Many Results"
	StatusPinMismatch        = "423 Nats-Pin-Id mismatch"
	StatusWrongPin           = "423 Nats-Wrong-Pin-Id"
	StatusTooManyRequests    = "429 Too Many Requests"
	StatusHeartbeatTooLarge  = StatusPullRefused + "heartbeat value too large"
	StatusNotOverflow        = StatusPullRefused + "Not a Overflow Priority consumer"
	StatusNotPinned          = StatusPullRefused + "Not a Pinned Client Priority consumer"
	StatusPriorityRange      = StatusPullRefused + "Priority must be between 0 and 9"
	StatusGroupMissing       = StatusPullRefused + "Priority Group missing"
	StatusGroupInvalid       = StatusPullRefused + "Invalid Priority Group"
	StatusPullRefused        = "400 Bad Request - " // with a reason
	statusMaxRequestBatch    = "409 Exceeded MaxRequestBatch of "
	statusMaxRequestExpires  = "409 Exceeded MaxRequestExpires of "
	statusMaxRequestMaxBytes = "409 Exceeded MaxRequestMaxBytes of "
)

// StatusMaxRequestBatch refuses a pull request for too many messages.
func StatusMaxRequestBatch(limit int) string { return statusMaxRequestBatch + strconv.Itoa(limit) }

// StatusMaxRequestExpires refuses a pull request that waits for too long.
func StatusMaxRequestExpires(limit time.Duration) string {
	return statusMaxRequestExpires + limit.String()
}

// StatusMaxRequestBytes refuses a pull request for too many bytes.
func StatusMaxRequestBytes(limit int) string { return statusMaxRequestMaxBytes + strconv.Itoa(limit) }

// AppendStatus appends a header block that is nothing but a status.
func AppendStatus(dst []byte, status string) []byte {
	return append(AppendStatusLine(dst, status), "\r\n"...)
}

// AppendStatusLine begins a header block with a status. Headers and an empty line follow.
func AppendStatusLine(dst []byte, status string) []byte {
	dst = append(dst, "NATS/1.0 "...)
	dst = append(dst, status...)
	return append(dst, "\r\n"...)
}

// AppendPendingStatus appends a header block with a status and what a pull request did not
// get.
func AppendPendingStatus(dst []byte, status string, messages, bytes int) []byte {
	dst = AppendStatusLine(dst, status)
	dst = AppendIntHeader(dst, HdrPendingMessages, int64(messages))
	dst = AppendIntHeader(dst, HdrPendingBytes, int64(bytes))
	return append(dst, "\r\n"...)
}

// AppendHeartbeat appends the header block of an idle heartbeat; stalled is the flow
// control subject that is not answered, or empty.
func AppendHeartbeat(dst []byte, consumerSeq, streamSeq uint64, stalled []byte) []byte {
	dst = AppendStatusLine(dst, StatusIdleHeartbeat)
	dst = AppendUintHeader(dst, HdrLastConsumer, consumerSeq)
	dst = AppendUintHeader(dst, HdrLastStream, streamSeq)
	if len(stalled) > 0 {
		dst = append(dst, HdrConsumerStalled+": "...)
		dst = append(dst, stalled...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// AppendIntHeader is [AppendHeader] of a number.
func AppendIntHeader(dst []byte, name string, value int64) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = strconv.AppendInt(dst, value, 10)
	return append(dst, "\r\n"...)
}

// AppendUintHeader is [AppendHeader] of a number.
func AppendUintHeader(dst []byte, name string, value uint64) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = strconv.AppendUint(dst, value, 10)
	return append(dst, "\r\n"...)
}
