// Package broker owns the connections of a server and the path of a message
// from one to its receivers.
//
// Each connection is a [Client] with a strand of its own. What it reads is
// parsed and carried out there, to the end: permission, mapping, match, and an
// append to a stage per receiver; at the end of the read every stage is handed
// to its receiver once. The server's own services take part the same way: a [Sink]
// receives on their strand, a [Sender] publishes from it. Other servers of the cluster do by a
// [Link] each, whose connection somebody else owns; the [Announcer] tells them of the interest here.
//
// Between strands only these are shared: an account's index and watches, a receiver's
// small locked side, mailboxes, pools of buffers, and counters. No lock is held
// across a call out, and nothing here ever waits.
//
// # Invariants
//
//   - One publisher's messages reach one subscription in their order.
//   - After the answer to an UNSUB nothing more is delivered to it.
//   - A message is counted, delivered or refused once.
//   - What is queued for a receiver never passes max_pending, but for links.
//   - What came over a link goes to receivers of this server, and on only for a queue group that
//     has members nowhere else.
//   - Other servers are told of an interest before any message that its client publishes later.
package broker

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/wire"
)

// Log receives what the broker says. Debug and Trace tell whether their lines
// are wanted, so that nothing is formatted in vain.
type Log interface {
	Noticef(format string, v ...any)
	Warnf(format string, v ...any)
	Errorf(format string, v ...any)
	Debugf(format string, v ...any)
	Tracef(format string, v ...any)
	Debug() bool
	Trace() bool
}

// Identity is what a server is called. It never changes.
type Identity struct {
	ServerID        string // public nkey, N...
	ServerName      string
	XKey            string // public curve key, X...
	Version         string // the official version that clients gate features on
	LockstepVersion string
	GitCommit       string
	GoVersion       string
}

// Config is what a broker is built from.
type Config struct {
	Clock    clock.Clock
	Log      Log
	Options  *config.Options
	Identity Identity
	// TLSIdentity is what the server states in simulated handshakes.
	TLSIdentity *netsim.Identity
}

// Stats are a server's counters since it started.
type Stats struct {
	In, Out account.Traffic // of clients
	// RoutesIn and RoutesOut are what other servers of the cluster sent and were sent.
	RoutesIn, RoutesOut account.Traffic
	Total               atomic.Uint64 // connections ever
	Slow                atomic.Int64
	Stale               atomic.Int64
	Stalled             atomic.Int64
}

// Broker serves connections. Its methods may be called from any strand.
type Broker struct {
	clock       clock.Clock
	log         Log
	identity    Identity
	tlsIdentity *netsim.Identity
	strand      clock.Strand // of housekeeping
	opts        atomic.Pointer[config.Options]
	auth        atomic.Pointer[auth.Table]
	listen      atomic.Pointer[Address]
	accounts    accounts
	stats       Stats
	buffers     bufferPool
	batches     batchPool
	senders     senders
	sinks       sinks
	links       links
	announcer   atomic.Pointer[Announcer] // nil: nobody is told of interest
	anonymous   string                    // name and password of the user for clients without credentials
	ids         atomic.Uint64
	lame        atomic.Bool
	jetstream   atomic.Pointer[jetStream] // nil is none
	around      around
	sweepAt     atomic.Int64 // monotonic time the response sweep is armed for; 0 is not
	sweep       clock.Timer
	handshakes  throttle
	repeats     logging.Repeats

	mu      sync.Mutex
	clients map[uint64]*Client
	live    int // clients that were not told to close
	closed  closedRing
	down    bool
	duck    *lameDuck
}

// Address is where clients reach the server, as INFO tells them.
type Address struct {
	Host string
	Port int
}

// New makes a broker with the accounts and users of the options.
func New(c Config) (*Broker, error) {
	b := &Broker{
		clock: c.Clock, log: c.Log, identity: c.Identity, tlsIdentity: c.TLSIdentity,
		strand: c.Clock.NewStrand("broker"), clients: make(map[uint64]*Client),
	}
	b.opts.Store(c.Options)
	b.closed.max = c.Options.MaxClosedClients
	b.listen.Store(&Address{c.Options.Host, c.Options.Port})
	b.sweep = b.strand.NewTimer(b.sweepResponses)
	b.handshakes.log = c.Log
	if err := b.accounts.init(c.Options, c.Clock.Now()); err != nil {
		return nil, err
	}
	b.anonymous = b.drawAnonymous()
	table, err := b.buildTable(c.Options)
	if err != nil {
		return nil, err
	}
	b.auth.Store(table)
	return b, nil
}

func (b *Broker) options() *config.Options { return b.opts.Load() }

func (b *Broker) table() *auth.Table { return b.auth.Load() }

// SetAddress tells where clients reach the server, once that is known.
func (b *Broker) SetAddress(a Address) { b.listen.Store(&a) }

// SetOptions replaces the options by ones that differ in nothing a connection
// sees, such as the port that the system picked.
func (b *Broker) SetOptions(o *config.Options) { b.opts.Store(o) }

// Stats of all clients.
func (b *Broker) Stats() *Stats { return &b.stats }

// Identity of the server.
func (b *Broker) Identity() Identity { return b.identity }

// NextID draws a connection id; all kinds of connections share the sequence.
func (b *Broker) NextID() uint64 { return b.ids.Add(1) }

// complain logs an error of a client that could be had any number of times: the
// same one is logged once a second.
func (b *Broker) complain(c *Client, text string) {
	statement := c.String() + " - " + text
	if b.repeats.Allow(c.now, statement) {
		b.log.Errorf("%s", statement)
	}
}

// Accept takes a new client connection. It runs on the listener's strand.
func (b *Broker) Accept(conn netsim.Conn) { b.accept(conn) }

func (b *Broker) accept(conn netsim.Conn) *Client {
	c := &Client{
		publisher: publisher{b: b}, id: b.NextID(), conn: conn, start: b.clock.Now(),
		echo: true, verbose: true, pedantic: true, subsMax: -1, accountSubs: -1,
	}
	c.self, c.strand = c, b.clock.NewStrand(clientStrandName(c.id))
	c.timer = c.strand.NewTimer(c.deadline)
	peer := endpointOf(conn.RemoteAddr())
	c.peer.Store(&peer)
	o := b.options()
	conn.SetWriteDeadline(o.WriteDeadline, o.WriteTimeout == config.WriteTimeoutPolicyRetry)
	b.stats.Total.Add(1)
	b.mu.Lock()
	full := b.live >= max(o.MaxConn, 0)
	down := b.down
	b.live++
	b.mu.Unlock()
	table := b.table()
	b.log.Debugf("%s - Client connection created", c)
	switch {
	case down:
		c.phase = phaseClosed
		c.why.Store(uint32(ServerShutdown))
		conn.Abort(ServerShutdown)
	case full:
		b.log.Errorf("%s - maximum connections exceeded", c)
		c.sendInfo(false)
		c.fail(wire.TextMaxConnections, MaxConnectionsExceeded)
	default:
		c.begin()
	}
	b.admit(c, table)
	conn.Start(c.strand, c)
	return c
}

// admit makes a connection known to other strands, now that its beginning is over,
// and makes up for what they meanwhile told all the others.
func (b *Broker) admit(c *Client, began *auth.Table) {
	b.mu.Lock()
	b.clients[c.id] = c
	down := b.down
	b.mu.Unlock()
	if b.table() != began {
		c.strand.Post(func() { c.reloaded(nil, true) })
	}
	if down {
		c.Disconnect(ServerShutdown, "")
	}
}

// connectionClosed takes a connection off the books of the living.
func (b *Broker) connectionClosed(c *Client, why Reason, err error) {
	if why == SlowConsumerWriteDeadline {
		b.writeDeadline(c)
	}
	b.log.Debugf("%s - Client connection closed: %s", c, why)
	if c.acc != nil {
		c.acc.RemoveConnection()
	}
	state := c.State(true)
	c.detach(state.Subs)
	state.Stop, state.Reason = b.clock.Now(), why
	b.mu.Lock()
	b.live--
	b.closed.add(state)
	duck := b.duck
	b.mu.Unlock()
	if duck != nil {
		duck.strand.Post(duck.connectionGone)
	}
}

// writeDeadline counts a client that took nothing in time. One that never
// authenticated is not a slow consumer.
func (b *Broker) writeDeadline(c *Client) {
	if !c.connected {
		return
	}
	b.stats.Slow.Add(1)
	if c.acc != nil {
		c.acc.AddSlowConsumer()
	}
	b.log.Noticef("%s - Slow Consumer Detected: WriteDeadline of %v exceeded", c, b.options().WriteDeadline)
}

// forget drops a connection whose subscriptions are gone.
func (b *Broker) forget(c *Client) {
	b.mu.Lock()
	delete(b.clients, c.id)
	b.mu.Unlock()
	b.receiverGone()
}

// receiverGone counts one receiver that has ended, and now and then has those who publish
// without a timer of their own let go of all that have.
func (b *Broker) receiverGone() {
	if !b.senders.receiverGone() {
		return
	}
	for _, l := range b.links.list() {
		l.strand.Post(l.letGo)
	}
}

// Clients lists the open connections by id.
func (b *Broker) Clients() []*Client {
	b.mu.Lock()
	all := make([]*Client, 0, len(b.clients))
	for _, c := range b.clients { //lockstep:ordered sorted below
		all = append(all, c)
	}
	b.mu.Unlock()
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id }) //lockstep:total ids are unique
	open := all[:0]
	for _, c := range all {
		if c.why.Load() == 0 {
			open = append(open, c)
		}
	}
	return open
}

// Client finds an open connection by id.
func (b *Broker) Client(id uint64) *Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[id]; c != nil && c.why.Load() == 0 {
		return c
	}
	return nil
}

// NumClients counts the open connections.
func (b *Broker) NumClients() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live
}

// NumSubscriptions counts the subscriptions of all accounts.
func (b *Broker) NumSubscriptions() int {
	n := 0
	for _, a := range b.Accounts() {
		n += a.TotalSubs()
	}
	return n
}

// Closed lists the connections that ended, oldest first, as far as
// max_closed_clients keeps them.
func (b *Broker) Closed() []ConnState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed.list()
}

// Shutdown closes every connection without a word and takes no more. done, if
// any, is posted to s when the last one is gone.
func (b *Broker) Shutdown(s clock.Strand, done func()) {
	b.mu.Lock()
	b.down = true
	b.mu.Unlock()
	for _, c := range b.Clients() {
		c.Disconnect(ServerShutdown, "")
	}
	if done != nil {
		w := &departure{b: b, s: s, done: done}
		w.timer = b.strand.NewTimer(w.check)
		b.strand.Post(w.check)
	}
}

// departure waits until no connection is left.
type departure struct {
	b     *Broker
	s     clock.Strand
	timer clock.Timer
	done  func()
}

// departurePoll is how often a shutdown looks whether all have gone.
const departurePoll = 5 * time.Millisecond

func (w *departure) check() {
	if w.b.NumClients() > 0 {
		w.timer.Reset(departurePoll)
		return
	}
	w.s.Post(w.done)
}
