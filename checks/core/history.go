// Package core judges histories of core messaging: what clients did, what they
// were sent, and what follows for delivery, accounts and permissions.
//
// A [History] is what clients saw, stamped with rising numbers; the judges know
// nothing of the server but the [World] that it was configured with. They own no
// state between calls, run on no strand, and never change a history. Violations
// carry the names of the failure model, with their area in front.
//
// # How time is judged
//
// The server carries out an operation somewhere between its Sent stamp and the
// stamp at which the answer to a later PING arrived; [Never] when none did. What
// must have happened and what may have happened are told apart by these bounds
// alone, so a verdict never depends on how long something took.
package core

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Stamp orders the records of a run; each is unique. Zero means that it did not happen.
type Stamp uint64

// Never is later than everything: an operation that nobody confirmed.
const Never Stamp = math.MaxUint64

// Names of the invariants, as violations carry them.
const (
	NoMore    = "CORE.no-more"
	PairOrder = "CORE.pair-order"
	QueueOne  = "CORE.queue-one"
	Exact     = "CORE.exact"
	LossTold  = "CORE.loss-told"
	Interest  = "CORE.interest"
	Reach     = "CORE.reach"
	Isolation = "ACC.isolation"
	Perms     = "ACC.perms"
	Reload    = "ACC.reload"
	Health    = "HEALTH"
	Bound     = "BOUND"
	CrashFree = "CRASH-FREE"
	Clean     = "CLEAN"

	StorePrefix = "STORE.prefix"
	StoreTorn   = "STORE.torn-or-damaged"
	StoreFence  = "STORE.fence"
)

// Conn is one connection of a client, from its dial to its end.
type Conn struct {
	ID      int
	Client  string
	User    string
	Account string // of the user
	Epoch   int    // of the server process that accepted it

	Echo, NoResponders, Headers bool

	Open   Stamp
	Closed Stamp // seen by the client; Never while it lasts
	// Synced is when the last PING that was answered was sent: up to here what
	// the server sent has been read.
	Synced  Stamp
	Answers []Answer // in order
}

// Answer is one PING with its PONG.
type Answer struct{ Sent, Came Stamp }

// Sub is one subscription of a connection.
type Sub struct {
	Conn    *Conn
	SID     string
	Subject string
	Queue   string
	Max     int // of auto-unsubscribe; 0 is none

	Sent, Confirmed           Stamp
	UnsubSent, UnsubConfirmed Stamp // of the UNSUB without a maximum, or of the one with Max
	Refused                   Stamp // -ERR in answer to SUB
	Removed                   Stamp // -ERR after a reload
	Limited                   Stamp // -ERR for too many, in answer to this SUB or to one near it
}

// Publish is one message that a client sent.
type Publish struct {
	ID      uint64
	Seq     int // within its connection
	Conn    *Conn
	Subject string
	Reply   string
	Probe   bool   // published after everything was healed
	Answers uint64 // the request that this responds to, or 0
	End     bool   // it is empty and ends a streamed response: its ID is not in it
	TooBig  bool   // for its account

	Sent, Done Stamp
}

// Delivery is one message that a client was sent.
type Delivery struct {
	Conn    *Conn
	SID     string
	Subject string
	Reply   string
	ID      uint64 // of the Publish; 0 when the payload names none, or, if Intact, is empty
	Intact  bool   // payload and headers are as published
	Status  int    // of a status message, such as 503
	At      Stamp
}

// Notice is an -ERR.
type Notice struct {
	Conn *Conn
	Kind NoticeKind
	// Subject is what a violation names.
	Subject string
	At      Stamp
}

// NoticeKind tells -ERRs apart.
type NoticeKind uint8

// Kinds of notices. Refused and removed subscriptions are noted in their Sub.
const (
	NoticeOther   NoticeKind = iota
	NoticePublish            // permissions violation for publish
	NoticeAuth               // authorization violation
	NoticeLimit              // too many subscriptions
)

// History is all that clients saw of one run.
type History struct {
	World      World
	Conns      []*Conn
	Subs       []*Sub
	Pubs       []*Publish
	Deliveries []*Delivery
	Notices    []*Notice
}

// Violation is one broken invariant.
type Violation struct {
	Invariant string `json:"invariant"`
	At        Stamp  `json:"at"` // of the record that shows it
	Detail    string `json:"detail"`
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s", v.Invariant, v.Detail) }

// violationsMax bounds what one check reports: the first ones tell the story.
const violationsMax = 100

// judge is the state of one check.
type judge struct {
	h     *History
	found []Violation

	subs  map[subKey]*Sub
	pubs  map[uint64]*Publish
	users map[string]*User
	sent  map[*Conn][]*Publish // in order
	// got has the deliveries of each subscription by message.
	got    map[*Sub]map[uint64]*Delivery
	count  map[*Sub]int
	byPub  map[uint64][]*Sub // who received it
	chosen map[uint64]string // the subject that a mapping chose, as its account saw it
	ends   map[string][]*Publish
	routes map[routeKey]route

	registers    int // searched for an order
	inconclusive int // of these, given up for time
}

type subKey struct {
	conn *Conn
	sid  string
}

func (j *judge) report(invariant string, at Stamp, format string, args ...any) {
	if len(j.found) < violationsMax {
		j.found = append(j.found, Violation{invariant, at, fmt.Sprintf(format, args...)})
	}
}

// Verdict is what a check found.
type Verdict struct {
	Violations []Violation
	// Registers is how many subscriptions an order was searched for, and Inconclusive
	// how many of these searches ran out of time.
	Registers, Inconclusive int
}

func newJudge(h *History) *judge {
	j := &judge{
		h: h, subs: make(map[subKey]*Sub, len(h.Subs)), pubs: make(map[uint64]*Publish, len(h.Pubs)),
		users: make(map[string]*User), got: make(map[*Sub]map[uint64]*Delivery), count: make(map[*Sub]int),
		byPub: make(map[uint64][]*Sub), routes: make(map[routeKey]route), sent: make(map[*Conn][]*Publish),
		chosen: make(map[uint64]string), ends: make(map[string][]*Publish),
	}
	for _, s := range h.Subs {
		j.subs[subKey{s.Conn, s.SID}] = s
	}
	for _, p := range h.Pubs {
		j.pubs[p.ID] = p
		j.sent[p.Conn] = append(j.sent[p.Conn], p)
	}
	for i := range h.World.Users {
		j.users[h.World.Users[i].Name] = &h.World.Users[i]
	}
	return j
}

// Check judges a history and tells what is broken, by stamp.
func Check(h *History) Verdict {
	j := newJudge(h)
	j.listEnds()
	j.deliveries()
	j.order()
	j.queues()
	j.losses()
	j.mappings()
	j.permits()
	j.tooBig()
	j.unemployed()
	j.responders()
	j.subscriptions()
	j.notices()
	j.register()
	SortViolations(j.found)
	return Verdict{j.found, j.registers, j.inconclusive}
}

func (s *Sub) String() string {
	q := ""
	if s.Queue != "" {
		q = " queue " + s.Queue
	}
	return fmt.Sprintf("%s sid %s on %q%s", s.Conn, s.SID, s.Subject, q)
}

func (c *Conn) String() string { return fmt.Sprintf("%s#%d", c.Client, c.ID) }

func (p *Publish) String() string {
	return fmt.Sprintf("message %d of %s to %q", p.ID, p.Conn, p.Subject)
}

// SortViolations orders violations by the stamp of what shows them.
func SortViolations(list []Violation) {
	slices.SortStableFunc(list, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
}
