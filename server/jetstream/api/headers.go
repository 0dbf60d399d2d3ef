package api

import "bytes"

// Names of headers. They are compared as they are, case and all.
const (
	HdrMsgID                   = "Nats-Msg-Id"
	HdrExpectedStream          = "Nats-Expected-Stream"
	HdrExpectedLastSeq         = "Nats-Expected-Last-Sequence"
	HdrExpectedLastSubjSeq     = "Nats-Expected-Last-Subject-Sequence"
	HdrExpectedLastSubjSeqSubj = "Nats-Expected-Last-Subject-Sequence-Subject"
	HdrExpectedLastMsgID       = "Nats-Expected-Last-Msg-Id"
	HdrRollup                  = "Nats-Rollup"
	HdrTTL                     = "Nats-TTL"
	HdrIncr                    = "Nats-Incr"
	HdrCounterSources          = "Nats-Counter-Sources"
	HdrBatchID                 = "Nats-Batch-Id"
	HdrBatchSeq                = "Nats-Batch-Sequence"
	HdrBatchCommit             = "Nats-Batch-Commit"
	HdrSchedule                = "Nats-Schedule"
	HdrScheduleTarget          = "Nats-Schedule-Target"
	HdrScheduleTTL             = "Nats-Schedule-TTL"
	HdrScheduleSource          = "Nats-Schedule-Source"
	HdrScheduleRollup          = "Nats-Schedule-Rollup"
	HdrScheduleTimeZone        = "Nats-Schedule-Time-Zone"
	HdrScheduler               = "Nats-Scheduler"
	HdrScheduleNext            = "Nats-Schedule-Next"
	HdrStreamSource            = "Nats-Stream-Source"
	HdrMarkerReason            = "Nats-Marker-Reason"
	HdrKVOperation             = "KV-Operation"
	HdrRequiredApiLevel        = "Nats-Required-Api-Level"

	// Of republished messages, direct gets and deliveries.
	HdrStream       = "Nats-Stream"
	HdrSubject      = "Nats-Subject"
	HdrSequence     = "Nats-Sequence"
	HdrTimeStamp    = "Nats-Time-Stamp"
	HdrLastSequence = "Nats-Last-Sequence"
	HdrNumPending   = "Nats-Num-Pending"
	HdrUpToSequence = "Nats-UpTo-Sequence"
	HdrMsgSize      = "Nats-Msg-Size"
	HdrPinID        = "Nats-Pin-Id"

	// Of status messages.
	HdrPendingMessages = "Nats-Pending-Messages"
	HdrPendingBytes    = "Nats-Pending-Bytes"
	HdrLastConsumer    = "Nats-Last-Consumer"
	HdrLastStream      = "Nats-Last-Stream"
	HdrConsumerStalled = "Nats-Consumer-Stalled"

	// Of requests.
	HdrRequestInfo    = "Nats-Request-Info"
	HdrStreamIdentity = "Nats-Stream-Identity"
)

// Values of headers.
const (
	RollupSubject = "sub"
	RollupAll     = "all"

	MarkerMaxAge = "MaxAge"
	MarkerPurge  = "Purge"
	MarkerRemove = "Remove"

	KVDelete = "DEL"
	KVPurge  = "PURGE"

	ScheduleNextPurge = "purge"

	BatchCommitFinal = "1"   // commits, with this message
	BatchCommitEob   = "eob" // commits, without this message
)

// HeaderLine is what a header block begins with; a status may follow on the same line.
const HeaderLine = "NATS/1.0\r\n"

// cutLine takes what comes before the next CR LF, or all.
func cutLine(block []byte) (line, rest []byte) {
	for from := 0; ; {
		i := bytes.IndexByte(block[from:], '\r')
		if i < 0 {
			return block, nil
		}
		i += from
		if i+1 < len(block) && block[i+1] == '\n' {
			return block[:i], block[i+2:]
		}
		from = i + 1
	}
}

// nextHeader takes the next "Name: value" line off a header block whose first line is gone
// already; ok is false at the end. Lines without a colon are passed over, empty ones
// too: what comes after them counts, and so does a last line that does not end.
func nextHeader(block []byte) (name, value, rest []byte, ok bool) {
	for len(block) > 0 {
		var line []byte
		line, block = cutLine(block)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		value = line[colon+1:]
		for len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		return line[:colon], value, block, true
	}
	return nil, nil, nil, false
}

// afterHeaderLine cuts the first line off a header block.
func afterHeaderLine(block []byte) []byte {
	_, rest := cutLine(block)
	return rest
}

// HeaderValue gives the first value of a name in a header block, without the spaces before
// it; nil when there is none. It shares the block's bytes.
func HeaderValue(block []byte, name string) []byte {
	rest := afterHeaderLine(block)
	for {
		n, v, r, ok := nextHeader(rest)
		if !ok {
			return nil
		}
		if string(n) == name {
			return v
		}
		rest = r
	}
}

// AppendHeader appends a line to an unfinished header block: one that lacks its last
// empty line.
func AppendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// WithoutStatus gives a header block without the status that may stand in its first line.
// What has none is given as it is.
func WithoutStatus(block []byte) []byte {
	line, rest := cutLine(block)
	if len(line) <= len(HeaderLine)-2 || len(rest) == 0 {
		return block
	}
	return append(append(make([]byte, 0, len(HeaderLine)+len(rest)), HeaderLine...), rest...)
}
