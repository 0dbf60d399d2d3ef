package api

import "time"

// SettleSourcing gives a consumer that a mirror or source asks for, direct and sourcing, the
// form in which its stream keeps it; it comes before [CheckConsumerConfig]. On a stream that
// keeps its messages it is one of its own each time: suffix, eight random characters, makes its
// name unique. On the others it is durable, and acknowledges by flow control what is stored,
// so that nothing is removed before. One without a name is left as it is.
func (c *ConsumerConfig) SettleSourcing(stream *StreamConfig, suffix string) {
	if !c.Direct || !c.Sourcing || c.Name == "" {
		return
	}
	if stream.Retention == LimitsPolicy {
		c.Name += "-" + suffix
		return
	}
	c.Durable, c.Direct, c.AckPolicy = c.Name, false, AckFlowControl
	c.AckWait, c.MaxDeliver, c.InactiveThreshold = 0, 0, 0
}

// Internal consumers are those of mirrors and sources. Rules of work queues do not concern
// them.
func (c *ConsumerConfig) Internal() bool { return c.Direct || c.Sourcing }

// CheckStreamIdentity refuses an internal consumer whose request, by its header block, knows
// another stream of the same name: that was created at another time.
func CheckStreamIdentity(c *ConsumerConfig, header []byte, created time.Time) *Error {
	if !c.Internal() || len(header) == 0 {
		return nil
	}
	current := StreamIdentity(created)
	if known := HeaderValue(header, HdrStreamIdentity); len(known) > 0 && string(known) != current {
		return NewConsumerStreamIdentityMismatch(current)
	}
	return nil
}
