package api

import (
	"bytes"
	"strings"
)

// CheckStreamUpdate judges an update of a stream and gives what becomes its configuration.
// Limits of consumers, what is left of the account and overlap with other streams are
// the caller's to judge.
func CheckStreamUpdate(was, cfg *StreamConfig, l StreamLimits, pedantic bool) (*StreamConfig, *Error) {
	next, err := CheckStreamConfig(cfg, l, pedantic)
	if err == nil { // once more: defaults may contradict what else was asked for
		next, err = CheckStreamConfig(next, l, pedantic)
	}
	if err != nil {
		return nil, err
	}
	if err := checkChange(was, next); err != nil {
		return nil, err
	}
	if next.Sealed {
		next.seal()
	}
	return next, nil
}

// checkChange judges what may not change.
func checkChange(was, next *StreamConfig) *Error {
	switch {
	case next.Name != was.Name:
		return invalid("stream configuration name must match original")
	case next.Storage != was.Storage:
		return invalid("stream configuration update can not change storage type")
	case next.Retention != was.Retention && (next.Retention == WorkQueuePolicy || was.Retention == WorkQueuePolicy):
		return invalid("stream configuration update can not change retention policy to/from workqueue")
	case was.Sealed && !next.Sealed:
		return invalid("stream configuration update can not unseal a sealed stream")
	case was.DenyDelete && !next.DenyDelete:
		return invalid("stream configuration update can not cancel deny message deletes")
	case was.DenyPurge && !next.DenyPurge:
		return invalid("stream configuration update can not cancel deny purge")
	case next.Mirror != nil && !sameSource(was.Mirror, next.Mirror):
		return ErrStreamMirrorNotUpdatable
	case was.AllowMsgTTL && !next.AllowMsgTTL:
		return invalid("message TTL status can not be disabled")
	case was.AllowMsgCounter != next.AllowMsgCounter:
		return invalid("stream configuration update can not change message counter setting")
	case was.AllowMsgSchedules && !next.AllowMsgSchedules:
		return invalid("message schedules can not be disabled")
	case was.PersistMode != next.PersistMode:
		return invalid("stream configuration update can not change persist mode")
	}
	return nil
}

// sameSource compares what is written: the same moment in another time zone is a change.
func sameSource(a, b *StreamSource) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(Marshal(a), Marshal(b))
}

// seal makes everything stay as it is.
func (c *StreamConfig) seal() {
	c.MaxAge = 0
	c.Discard = DiscardNew
	c.DenyDelete, c.DenyPurge = true, true
	c.AllowRollup = false
}

// NewLimitViolation refuses an update of a stream's limits that consumers, given by name,
// would not keep.
func NewLimitViolation(consumers []string) *Error {
	return ErrStreamUpdate.With("change to limits violates consumers: " + strings.Join(consumers, ", "))
}

// Violates tells whether a consumer would not keep a stream's limits.
func (l StreamConsumerLimits) Violates(c *ConsumerConfig) bool {
	return l.MaxAckPending > 0 && c.MaxAckPending > l.MaxAckPending ||
		l.InactiveThreshold > 0 && c.InactiveThreshold > l.InactiveThreshold
}
