package monitor

import (
	"cmp"
	"slices"
)

// SortOpt is what connections are sorted by.
type SortOpt string

// The keys. Numbers come largest first, but for the connection id; of two equals the
// older connection comes first.
const (
	ByCid      SortOpt = "cid"
	ByStart    SortOpt = "start" // oldest first
	BySubs     SortOpt = "subs"
	ByPending  SortOpt = "pending"
	ByOutMsgs  SortOpt = "msgs_to"
	ByInMsgs   SortOpt = "msgs_from"
	ByOutBytes SortOpt = "bytes_to"
	ByInBytes  SortOpt = "bytes_from"
	ByLast     SortOpt = "last"   // latest activity first
	ByIdle     SortOpt = "idle"   // longest idle first
	ByUptime   SortOpt = "uptime" // youngest first
	ByStop     SortOpt = "stop"   // latest first; closed connections only
	ByReason   SortOpt = "reason" // alphabetical; closed connections only
	ByRTT      SortOpt = "rtt"
)

// orders has what comes first as negative.
var orders = map[SortOpt]func(a, b *found) int{
	ByCid:      func(a, b *found) int { return cmp.Compare(a.ID, b.ID) },
	ByStart:    func(a, b *found) int { return a.Start.Compare(b.Start) },
	BySubs:     func(a, b *found) int { return cmp.Compare(b.NumSubs, a.NumSubs) },
	ByPending:  func(a, b *found) int { return cmp.Compare(b.Pending, a.Pending) },
	ByOutMsgs:  func(a, b *found) int { return cmp.Compare(b.OutMsgs, a.OutMsgs) },
	ByInMsgs:   func(a, b *found) int { return cmp.Compare(b.InMsgs, a.InMsgs) },
	ByOutBytes: func(a, b *found) int { return cmp.Compare(b.OutBytes, a.OutBytes) },
	ByInBytes:  func(a, b *found) int { return cmp.Compare(b.InBytes, a.InBytes) },
	ByLast:     func(a, b *found) int { return b.LastActivity.Compare(a.LastActivity) },
	ByIdle:     func(a, b *found) int { return a.LastActivity.Compare(b.LastActivity) },
	ByUptime:   func(a, b *found) int { return cmp.Compare(a.Uptime, b.Uptime) },
	ByStop:     func(a, b *found) int { return b.Stop.Compare(a.Stop) },
	ByReason:   func(a, b *found) int { return cmp.Compare(a.Reason.String(), b.Reason.String()) },
	ByRTT:      func(a, b *found) int { return cmp.Compare(b.RTT, a.RTT) },
}

// IsValid tells whether s is one of the keys; the empty one stands for ByCid.
func (s SortOpt) IsValid() bool { return s == "" || orders[s] != nil }

// ended tells whether only closed connections have the key.
func (s SortOpt) ended() bool { return s == ByStop || s == ByReason }

// sortConns sorts by a valid key, then by id.
func sortConns(list []found, by SortOpt) {
	order := orders[by]
	//lockstep:total ids are unique
	slices.SortFunc(list, func(a, b found) int {
		return cmp.Or(order(&a, &b), cmp.Compare(a.ID, b.ID))
	})
}
