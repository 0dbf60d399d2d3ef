package broker

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// LinkOptions of NewLink.
type LinkOptions struct {
	ID     uint64       // of the connection, see [Broker.NextID]
	Conn   netsim.Conn  // written to; somebody else reads it and starts and closes it
	Strand clock.Strand // the connection's
	Name   string       // in the log, such as `127.0.0.1:6222 - rid:5`

	RemoteID   string // of the other server: of several links to one, a message takes one
	RemoteName string
	// Account is set on a link that serves one account, which is then not written.
	Account *account.Account

	Headers       bool // the peer understands headers
	Origins       bool // it understands LS+, LS- and LMSG
	OriginInUnsub bool // it writes the origin in LS-

	// Export tells by its subscribe part which interest is accepted from the peer; nil is all.
	Export *perm.Set
}

// Link is the broker's side of a connection to another server of the cluster. It has the
// interest of that server, publishes here what comes from there, and takes what is published
// here for there. Whoever owns the connection parses what it reads, and hands it over.
// Methods belong to the connection's strand unless they say otherwise.
type Link struct {
	publisher
	o    LinkOptions
	conn netsim.Conn

	busy    bool // an operation came since EndBatch
	places  map[string]*linkPlace
	present *linkPlace // whose cache and account the publisher has
	epoch   uint64     // rises when caches must be forgotten
	inMsgs  int64      // of the present place, in this batch
	inBytes int64

	closed      atomic.Bool
	in, out     account.Traffic
	mu          sync.Mutex // guards changes of places and of their subs; held across no call out
	leafs       map[string]*leafOfLink
	origins     []string // keys of leafs, in the order in which they came
	subscribers int
}

// linkPlace is one account, as a link sees it.
type linkPlace struct {
	name   string
	acc    *account.Account // nil: no such account here, for the time being
	subs   map[linkKey]*linkSub
	oldest *linkSub
	newest *linkSub
	routes routeCache // while another place is present
	epoch  uint64     // of routes
}

// linkKey names one interest of the other server in an account.
type linkKey struct {
	subject, queue string
	origin         string // cluster of the leafnode that it comes from; "" for none
}

// linkSub is one interest, listed in the order in which they came.
type linkSub struct {
	sub          *account.Subscription
	weight       int
	older, newer *linkSub
}

// leafOfLink owns what comes over a link from leafnodes of the other server.
type leafOfLink struct {
	*Link
	origin string
}

var (
	_ account.Owner = (*Link)(nil)
	_ account.Owner = (*leafOfLink)(nil)
)

// linkOf tells the link that a subscription came over.
func linkOf(s *account.Subscription) (l *Link, ok bool) {
	switch o := s.Owner.(type) {
	case *Link:
		return o, true
	case *leafOfLink:
		return o.Link, true
	}
	return nil, false
}

// ErrInvalidSubscription is what an interest in something that is no subject is answered with.
//
//lint:ignore ST1005 as the protocol has it
var ErrInvalidSubscription = errors.New("Invalid Subscription")

// NewLink makes the broker's side of a connection to another server. Any strand.
func (b *Broker) NewLink(o LinkOptions) *Link {
	l := &Link{
		publisher: publisher{b: b, strand: o.Strand, name: o.Name}, o: o, conn: o.Conn,
		places: make(map[string]*linkPlace),
	}
	l.from = l
	b.links.add(l)
	return l
}

// ID is the connection's. Any strand.
func (l *Link) ID() uint64 { return l.o.ID }

// String is how the log names the link. Any strand.
func (l *Link) String() string { return l.o.Name }

// RemoteID and RemoteName are those of the other server. Any strand.
func (l *Link) RemoteID() string   { return l.o.RemoteID }
func (l *Link) RemoteName() string { return l.o.RemoteName }

// write queues protocol for the peer. Any strand.
func (l *Link) write(p []byte) {
	if !l.closed.Load() {
		l.conn.Write(p)
	}
}

// Op carries out an interest or a message: RS+, RS-, LS+, LS-, RMSG, HMSG or LMSG, others are
// ignored. What it refers to is used until EndBatch if it lies in the read, and not after Op returns
// else. The only error is [ErrInvalidSubscription], which is to be sent to the peer.
func (l *Link) Op(op *wire.RouteOp) error {
	if l.closed.Load() {
		return nil
	}
	carried := !l.busy // the first operation may come from the parser's own buffer
	if carried {
		l.busy = true
		l.now = l.b.clock.Monotonic()
	}
	switch op.Verb {
	case wire.VerbRSub, wire.VerbLSub:
		return l.learn(op)
	case wire.VerbRUnsub, wire.VerbLUnsub:
		l.unlearn(op)
	case wire.VerbRmsg, wire.VerbHmsg, wire.VerbLmsg:
		l.receive(op)
		if carried && l.lent || l.staged > stagedMax {
			l.flushStages()
		}
	}
	return nil
}

// EndBatch hands over what the operations of a read have brought. It is called at the end of
// every read, before what was read changes.
func (l *Link) EndBatch() {
	if !l.busy {
		return
	}
	l.busy = false
	l.flushStages()
	l.countIn()
	l.countHits()
	l.countOut()
	l.crowded = nil // nobody can be made to wait
}

// DropAccount forgets the peer's interest in an account.
func (l *Link) DropAccount(name string) {
	if pl := l.places[name]; pl != nil {
		l.drop([]heldSubs{l.takeSubs(pl)})
	}
}

// Close removes the peer's interest, and delivers nothing to it any more. It is called once,
// when the connection has ended or shall.
func (l *Link) Close() {
	if l.closed.Swap(true) {
		return
	}
	if a := l.b.announcer.Load(); a != nil {
		a.Remove(l)
	}
	l.discard()
	l.leave()
	var all []heldSubs
	for _, pl := range l.listPlaces() {
		all = append(all, l.takeSubs(pl))
		pl.routes = routeCache{}
	}
	l.stages, l.linked, l.recent, l.sinks = nil, nil, nil, nil
	l.b.links.remove(l)
	l.drop(all)
}

// listPlaces is the accounts of the link by name.
func (l *Link) listPlaces() []*linkPlace {
	all := make([]*linkPlace, 0, len(l.places))
	for _, pl := range l.places { //lockstep:ordered sorted below
		all = append(all, pl)
	}
	//lockstep:total names are unique
	slices.SortFunc(all, func(a, b *linkPlace) int { return strings.Compare(a.name, b.name) })
	return all
}

// letGo drops what the link keeps of receivers that have gone.
func (l *Link) letGo() {
	if l.closed.Load() {
		return
	}
	if l.gone() == 0 && !l.goneElsewhere() {
		return
	}
	l.forgetStages()
	for _, pl := range l.places { //lockstep:ordered each by itself
		pl.routes.drop(pl.acc)
	}
}

// goneElsewhere tells whether caches that are put aside refer to receivers that have ended.
func (l *Link) goneElsewhere() bool {
	for _, pl := range l.places { //lockstep:ordered any will do
		if pl.routes.gone() > 0 {
			return true
		}
	}
	return false
}

// Links lists the connections to other servers that are not closed, in the order of their
// making.
func (b *Broker) Links() []*Link { return b.links.list() }

// links are those of a broker that are not closed. Safe from any strand.
type links struct {
	mu  sync.Mutex // held across no call out
	all []*Link
}

func (ls *links) add(l *Link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.all = append(ls.all, l)
}

func (ls *links) remove(l *Link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if i := slices.Index(ls.all, l); i >= 0 {
		ls.all = slices.Delete(ls.all, i, i+1)
	}
}

func (ls *links) list() []*Link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return slices.Clone(ls.all)
}
