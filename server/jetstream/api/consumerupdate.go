package api

import "time"

// CheckConsumerFilters judges a consumer beside the others of its stream, given their
// filters: on a work queue each message is for one of them. Internal consumers are not among
// the others.
func CheckConsumerFilters(c *ConsumerConfig, stream *StreamConfig, others [][]string) *Error {
	if stream.Retention != WorkQueuePolicy || c.Internal() {
		return nil
	}
	switch {
	case c.AckPolicy != AckExplicit && c.AckPolicy != AckFlowControl:
		return ErrConsumerWQRequiresExplicitAck
	case c.DeliverPolicy != DeliverAll:
		return ErrConsumerWQConsumerNotDeliverAll
	}
	filters := c.Filters()
	if len(filters) == 0 && len(others) > 0 {
		return ErrConsumerWQMultipleUnfiltered
	}
	for _, other := range others {
		if len(other) == 0 || SubjectsOverlap(filters, other) {
			return ErrConsumerWQConsumerNotUnique
		}
	}
	return nil
}

// CheckConsumerUpdate judges what may not change, and settles what an update leaves open: a
// pause goes on, and what was not durable keeps going away after the default time, even if it
// is durable from now on, and the other way round. Both configurations come from
// [CheckConsumerConfig]. Whether the old deliver subject is still listened to is the caller's
// to judge.
func CheckConsumerUpdate(was, next *ConsumerConfig) *Error {
	if err := checkConsumerChange(was, next); err != nil {
		return err
	}
	next.KeepPause(was)
	if next.Sourcing {
		next.DeliverPolicy, next.OptStartSeq, next.OptStartTime = was.DeliverPolicy, was.OptStartSeq, clone(was.OptStartTime)
	}
	if next.inactiveByDefault || next.InactiveThreshold == 0 {
		next.InactiveThreshold, next.inactiveByDefault = 0, true
		if was.Durable == "" {
			next.InactiveThreshold = InactiveThresholdDefault
		}
	}
	return nil
}

// KeepPause takes over the pause of was: an update does not change it.
func (c *ConsumerConfig) KeepPause(was *ConsumerConfig) {
	c.PauseUntil = clone(was.PauseUntil)
	c.SetStaticMetadata()
}

func checkConsumerChange(was, next *ConsumerConfig) *Error {
	fixed := func(what string) *Error { return ErrConsumerCreate.With(what + " can not be updated") }
	restarts := next.Sourcing // where it starts was settled when it was new
	switch {
	case !restarts && was.DeliverPolicy != next.DeliverPolicy:
		return fixed("deliver policy")
	case was.MemoryStorage != next.MemoryStorage:
		return fixed("storage type")
	case was.Direct != next.Direct:
		return fixed("direct")
	case was.Sourcing != next.Sourcing:
		return fixed("sourcing")
	case !restarts && was.OptStartSeq != next.OptStartSeq:
		return fixed("start sequence")
	case !restarts && !sameTime(was.OptStartTime, next.OptStartTime):
		return fixed("start time")
	case was.AckPolicy != next.AckPolicy:
		return fixed("ack policy")
	case was.ReplayPolicy != next.ReplayPolicy:
		return fixed("replay policy")
	case was.Heartbeat != next.Heartbeat:
		return fixed("heart beats")
	case was.FlowControl != next.FlowControl:
		return fixed("flow control")
	case !was.Push() && next.Push():
		return ErrConsumerCreate.With("can not update pull consumer to push based")
	case was.Push() && !next.Push():
		return ErrConsumerCreate.With("can not update push consumer to pull based")
	case was.MaxWaiting != next.MaxWaiting:
		return fixed("max waiting")
	}
	return nil
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}
