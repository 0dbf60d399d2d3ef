package account

import "sync/atomic"

// Owner receives what a subscription matches: a connection of the broker, of
// whatever kind, or an internal subscriber.
type Owner interface {
	// ID is the connection id, 0 for internal owners.
	ID() uint64
}

// Subscription is one entry of an account's interest. Subject, Queue, SID,
// Owner and the pointers never change after it was inserted. Delivered and Max
// are guarded by the owner's receiving lock.
type Subscription struct {
	Owner   Owner
	Subject string // as the index knows it
	Queue   string // "" for none
	SID     string // as the client named it

	// Service is set on the internal subscription that stands for a service
	// import in the importing account; it has no Owner.
	Service *ServiceImport
	// Response is set on the internal subscription for the replies to service
	// requests in the exporting account; it has no Owner. See [Responses.Lookup].
	Response bool
	tally    uint8 // guarded by the account's tally
	// Shadow is set on a subscription that a stream import put into the
	// exporting account on behalf of one in the importing account.
	Shadow *Shadow

	Delivered int64 // messages since SUB
	Max       int64 // auto-unsubscribe after that many; 0 is none
	limited   atomic.Bool
	closed    atomic.Bool
}

// Shadow ties a subscription in the exporting account to its origin.
type Shadow struct {
	Import *StreamImport
	Origin *Subscription // in the importing account
}

// Close marks the subscription as ended: nothing is delivered to it any more.
// It tells whether it was open.
func (s *Subscription) Close() bool { return s.closed.CompareAndSwap(false, true) }

// Closed tells whether the subscription has ended. A shadow ends with its origin.
func (s *Subscription) Closed() bool {
	return s.closed.Load() || s.Shadow != nil && s.Shadow.Origin.closed.Load()
}

// SetMax arms auto-unsubscribe; the owner's receiving lock is held.
func (s *Subscription) SetMax(n int64) {
	s.Max = n
	s.limited.Store(n > 0)
}

// Limited tells whether auto-unsubscribe is armed, without the owner's lock.
func (s *Subscription) Limited() bool {
	if s.Shadow != nil {
		return s.Shadow.Origin.limited.Load()
	}
	return s.limited.Load()
}

// Counter is the subscription that Delivered and Max are kept on.
func (s *Subscription) Counter() *Subscription {
	if s.Shadow != nil {
		return s.Shadow.Origin
	}
	return s
}
