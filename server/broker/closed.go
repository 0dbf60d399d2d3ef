package broker

import (
	"crypto/tls"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
)

// closedSubsMax is how many subscriptions of a closed connection are remembered.
const closedSubsMax = 1024

// ConnState is a connection at one moment, for monitoring.
type ConnState struct {
	ID           uint64
	Host         string
	Port         int
	Start        time.Time
	LastActivity time.Time
	Stop         time.Time // zero while open
	Reason       Reason
	RTT          time.Duration
	Uptime       time.Duration
	Idle         time.Duration
	Pending      int
	InMsgs       int64
	InBytes      int64
	OutMsgs      int64
	OutBytes     int64
	Stalls       int64
	NumSubs      int
	Ident        *Ident // nil before CONNECT
	Account      string
	TLS          *tls.ConnectionState
	TLSFirst     bool
	Subs         []*account.Subscription // only when asked for
}

// State describes the connection; with subs, its subscriptions too. Any strand.
func (c *Client) State(subs bool) ConnState {
	s := ConnState{
		ID: c.id, Start: c.start, Pending: c.conn.Buffered(),
		RTT: time.Duration(c.rtt.Load()), InMsgs: c.in.Msgs.Load(), InBytes: c.in.Bytes.Load(),
		Stalls: c.stalls.Load(), Ident: c.ident.Load(), Account: c.account(), TLS: c.conn.TLS(),
		Reason: Reason(c.why.Load()),
	}
	peer := c.peer.Load()
	s.Host, s.Port = peer.host, peer.port
	s.TLSFirst = s.TLS != nil && c.b.options().TLSHandshakeFirst
	now := c.b.clock.Now()
	s.Uptime = now.Sub(c.start)
	s.LastActivity, s.Idle = c.start, s.Uptime
	if last := time.Duration(c.last.Load()); last > 0 {
		s.Idle = max(c.b.clock.Monotonic()-last, 0)
		s.LastActivity = now.Add(-s.Idle)
	}
	if denied := c.denied.Load(); denied != nil {
		s.Ident = denied
	}
	c.out.mu.Lock()
	s.OutMsgs, s.OutBytes, s.NumSubs = c.out.msgs, c.out.bytes, len(c.out.subs)
	c.out.mu.Unlock()
	if subs && s.NumSubs > 0 && s.NumSubs <= closedSubsMax {
		s.Subs = c.Subscriptions()
	}
	return s
}

// detach puts copies in the place of subscriptions that are remembered: they lead
// to no connection, which would be kept with them.
func (c *Client) detach(subs []*account.Subscription) {
	for i, sub := range subs {
		n := &account.Subscription{Subject: sub.Subject, Queue: sub.Queue, SID: sub.SID}
		n.Delivered, n.Max = c.Delivered(sub)
		subs[i] = n
	}
}

// closedRing keeps the last connections that ended.
type closedRing struct {
	max   int
	next  int
	items []ConnState
	total int
}

func (r *closedRing) add(s ConnState) {
	r.total++
	switch {
	case r.max <= 0:
	case len(r.items) < r.max:
		r.items = append(r.items, s)
	default:
		r.items[r.next] = s
		r.next = (r.next + 1) % r.max
	}
}

// list is oldest first.
func (r *closedRing) list() []ConnState {
	return append(append([]ConnState(nil), r.items[r.next:]...), r.items[:r.next]...)
}

func itoa(n int) string { return strconv.Itoa(n) }
