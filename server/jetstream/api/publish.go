package api

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Has tells which headers a message has.
type Has uint32

// Headers of a publish that mean something to JetStream.
const (
	HasMsgID Has = 1 << iota
	HasExpectedStream
	HasExpectedLastSeq
	HasExpectedLastSubjSeq
	HasExpectedLastSubjSeqSubj
	HasExpectedLastMsgID
	HasRollup
	HasTTL
	HasIncr
	HasCounterSources
	HasBatchID
	HasBatchSeq
	HasBatchCommit
	HasSchedule
	HasScheduleTarget
	HasScheduleTTL
	HasScheduleSource
	HasScheduleRollup
	HasScheduleTimeZone
	HasScheduler
	HasScheduleNext
	HasStreamSource
	HasMarkerReason
	HasKVOperation
	HasRequiredApiLevel
)

// HasExpectation are the headers that make a publish conditional.
const HasExpectation = HasExpectedStream | HasExpectedLastSeq | HasExpectedLastSubjSeq |
	HasExpectedLastSubjSeqSubj | HasExpectedLastMsgID

// HasAnySchedule are the headers of a message that is a schedule.
const HasAnySchedule = HasSchedule | HasScheduleTarget | HasScheduleTTL | HasScheduleSource |
	HasScheduleRollup | HasScheduleTimeZone

// PublishHeaders are the headers of one message that mean something to JetStream, raw.
// Slices are parts of the header block. A field counts only when Has says so: the
// others may be left over.
type PublishHeaders struct {
	Has                     Has
	MsgID                   []byte
	ExpectedStream          []byte
	ExpectedLastMsgID       []byte
	ExpectedLastSubjSeqSubj []byte
	Rollup                  []byte
	TTL                     []byte
	Incr                    []byte
	CounterSources          []byte
	BatchID                 []byte
	BatchCommit             []byte
	Schedule                []byte
	ScheduleTarget          []byte
	ScheduleTTL             []byte
	ScheduleSource          []byte
	ScheduleRollup          []byte
	ScheduleTimeZone        []byte
	Scheduler               []byte
	ScheduleNext            []byte
	StreamSource            []byte
	MarkerReason            []byte
	KVOperation             []byte
	RequiredApiLevel        []byte

	// Numbers; what is none reads as the largest, which no sequence is.
	ExpectedLastSeq     uint64
	ExpectedLastSubjSeq uint64
	BatchSeq            uint64

	seen Has // names that came, with or without a value
}

// Parse reads a header block in one pass, and allocates nothing. The first of several
// values counts. An empty value is as good as none, but for the time zone.
func (h *PublishHeaders) Parse(block []byte) {
	h.Has, h.seen = 0, 0
	if len(block) == 0 {
		return
	}
	rest := afterHeaderLine(block)
	for {
		name, value, r, ok := nextHeader(rest)
		if !ok {
			return
		}
		rest = r
		if len(name) >= len(HdrTTL) && (name[0] == 'N' || name[0] == 'K') {
			h.take(name, value)
		}
	}
}

// take notes one header.
func (h *PublishHeaders) take(name, value []byte) {
	switch string(name) {
	case HdrMsgID:
		h.text(HasMsgID, &h.MsgID, value)
	case HdrExpectedStream:
		h.text(HasExpectedStream, &h.ExpectedStream, value)
	case HdrExpectedLastSeq:
		h.number(HasExpectedLastSeq, &h.ExpectedLastSeq, value)
	case HdrExpectedLastSubjSeq:
		h.number(HasExpectedLastSubjSeq, &h.ExpectedLastSubjSeq, value)
	case HdrExpectedLastSubjSeqSubj:
		h.text(HasExpectedLastSubjSeqSubj, &h.ExpectedLastSubjSeqSubj, value)
	case HdrExpectedLastMsgID:
		h.text(HasExpectedLastMsgID, &h.ExpectedLastMsgID, value)
	case HdrRollup:
		h.text(HasRollup, &h.Rollup, value)
	case HdrTTL:
		h.text(HasTTL, &h.TTL, value)
	case HdrIncr:
		h.text(HasIncr, &h.Incr, value)
	case HdrCounterSources:
		h.text(HasCounterSources, &h.CounterSources, value)
	case HdrStreamSource:
		h.text(HasStreamSource, &h.StreamSource, value)
	case HdrMarkerReason:
		h.text(HasMarkerReason, &h.MarkerReason, value)
	case HdrKVOperation:
		h.text(HasKVOperation, &h.KVOperation, value)
	case HdrRequiredApiLevel:
		h.text(HasRequiredApiLevel, &h.RequiredApiLevel, value)
	default:
		h.takeRare(name, value)
	}
}

// takeRare notes headers of batches and schedules.
func (h *PublishHeaders) takeRare(name, value []byte) {
	switch string(name) {
	case HdrBatchID:
		h.text(HasBatchID, &h.BatchID, value)
	case HdrBatchSeq:
		h.number(HasBatchSeq, &h.BatchSeq, value)
	case HdrBatchCommit:
		h.text(HasBatchCommit, &h.BatchCommit, value)
	case HdrSchedule:
		h.text(HasSchedule, &h.Schedule, value)
	case HdrScheduleTarget:
		h.text(HasScheduleTarget, &h.ScheduleTarget, value)
	case HdrScheduleTTL:
		h.text(HasScheduleTTL, &h.ScheduleTTL, value)
	case HdrScheduleSource:
		h.text(HasScheduleSource, &h.ScheduleSource, value)
	case HdrScheduleRollup:
		h.text(HasScheduleRollup, &h.ScheduleRollup, value)
	case HdrScheduleTimeZone:
		h.text(HasScheduleTimeZone, &h.ScheduleTimeZone, value)
	case HdrScheduler:
		h.text(HasScheduler, &h.Scheduler, value)
	case HdrScheduleNext:
		h.text(HasScheduleNext, &h.ScheduleNext, value)
	}
}

// mayBeEmpty are headers whose empty value is not the same as no header.
const mayBeEmpty = HasScheduleTimeZone | HasBatchCommit

// first tells whether a name comes for the first time.
func (h *PublishHeaders) first(bit Has) bool {
	first := h.seen&bit == 0
	h.seen |= bit
	return first
}

func (h *PublishHeaders) text(bit Has, field *[]byte, value []byte) {
	if h.first(bit) && (len(value) > 0 || bit&mayBeEmpty != 0) {
		h.Has |= bit
		*field = value
	}
}

func (h *PublishHeaders) number(bit Has, field *uint64, value []byte) {
	if !h.first(bit) || len(value) == 0 {
		return
	}
	h.Has |= bit
	n, ok := parseUint(value)
	if !ok {
		n = math.MaxUint64
	}
	*field = n
}

// parseUint reads a number of nothing but digits that fits 63 bits.
func parseUint(p []byte) (uint64, bool) {
	if len(p) == 0 || len(p) > 19 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= math.MaxInt64
}

// Never is the TTL of a message that does not expire, not even by its stream's max_age.
const Never time.Duration = -1

// ttlMax is the longest TTL in whole seconds; longer ones are cut to it.
const ttlMax = math.MaxInt64 / time.Second * time.Second

// ParseTTL reads a value of Nats-TTL: "never", whole seconds, or a duration in Go's notation; at
// least one second. What is left of a second is dropped.
func ParseTTL(value []byte) (time.Duration, bool) {
	if bytes.EqualFold(value, []byte("never")) {
		return Never, true
	}
	if d, ok := parseSeconds(value); ok {
		return d, d > 0
	}
	d, err := time.ParseDuration(string(value))
	if err != nil || d < time.Second {
		return 0, false
	}
	return d.Truncate(time.Second), true
}

// parseSeconds reads a number of digits, however large.
func parseSeconds(value []byte) (time.Duration, bool) {
	n := time.Duration(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+time.Duration(c-'0'), ttlMax/time.Second)
	}
	return n * time.Second, len(value) > 0
}

// ParseRollup reads a value of Nats-Rollup; case does not matter.
func ParseRollup(value []byte) (all, ok bool) {
	switch {
	case bytes.EqualFold(value, []byte(RollupSubject)):
		return false, true
	case bytes.EqualFold(value, []byte(RollupAll)):
		return true, true
	}
	return false, false
}

// ValidIncr tells whether a value of Nats-Incr is an integer in base 10, with or without
// sign. It may be of any size.
func ValidIncr(value []byte) bool {
	if len(value) > 0 && (value[0] == '+' || value[0] == '-') {
		value = value[1:]
	}
	if len(value) == 0 {
		return false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// IsMarker tells whether a message marks the deletion of its subject.
func (h *PublishHeaders) IsMarker() bool {
	return h.Has&HasMarkerReason != 0 || h.Has&HasKVOperation != 0 && string(h.KVOperation) == KVPurge
}

// AppendSeconds appends a TTL the way the server writes one: whole seconds.
func AppendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendInt(dst, int64(d/time.Second), 10)
}
