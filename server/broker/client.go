package broker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// phase is what the next bytes of a connection mean.
type phase uint8

const (
	phaseProtocol  phase = iota
	phaseProxy           // a PROXY header may come first
	phaseTLS             // the first bytes begin a TLS handshake
	phaseSniff           // the first byte tells TLS from clear text
	phaseHandshake       // a handshake is running
	phaseClosed
)

// Client is one connection. Its fields belong to its strand, but for out (the
// receiving side, locked), the atomics, and what never changes after accept.
type Client struct {
	publisher

	id    uint64
	conn  netsim.Conn
	timer clock.Timer
	start time.Time
	peer  atomic.Pointer[endpoint] // the PROXY header may replace it before CONNECT

	phase     phase
	active    bool // an operation that counts as activity came in this read
	connected bool // CONNECT was accepted, or nothing asks for one
	began     bool // the first operation was seen
	ponged    bool // the first PING after CONNECT was answered
	infoSent  bool
	verbose   bool
	pedantic  bool
	echo      bool
	tlsFirst  bool
	noResp    bool // wants 503 for requests that nobody receives
	authAsked bool // the server asked for credentials when the connection came
	implicit  bool // became no_auth_user with its first operation
	known     bool // the table of users had its name when it authenticated

	parser      wire.Parser
	connect     *wire.Connect // nil until CONNECT
	held        []byte        // a PROXY header that is not complete
	nonce       []byte
	publishes   *perm.Set // what restricts publishing; nil when nothing does
	pub         perm.PubCache
	subsMax     int64 // -1 is unlimited
	accountSubs int64 // the account's share in subsMax

	// Deadlines on the monotonic clock; 0 is none. One timer serves them all.
	authAt     time.Duration
	tlsAt      time.Duration
	pingAt     time.Duration
	expireAt   time.Duration
	stallAt    time.Duration
	overSubsAt time.Duration
	pings      int           // unanswered
	pingSent   time.Duration // when the last PING went out; 0 is none yet
	accepted   time.Duration

	lastInfo   *account.ClientInfo // the last Info,
	lastInfoOf *Ident              // which was of this
	waits      bool                // until a sink has room
	one        [1][]byte           // argument space of Write

	out    receiver
	ident  atomic.Pointer[Ident]
	denied atomic.Pointer[Ident] // who the client claimed to be when it was refused
	in     account.Traffic
	rtt    atomic.Int64
	last   atomic.Int64 // monotonic time of the last operation
	stalls atomic.Int64
	bound  atomic.Pointer[account.Account] // acc, for other strands
	perms  atomic.Pointer[perm.Set]        // nil allows all
	why    atomic.Uint32                   // Reason, once decided
}

// receiver is the side of a connection that other strands touch: what it is
// subscribed to and what was sent to it. Its lock is held across no call out
// except Lend, which only queues.
type receiver struct {
	mu      sync.Mutex
	subs    map[string]*account.Subscription
	shadows map[*account.Subscription][]*account.Subscription // of local subscriptions, by stream imports
	msgs    int64
	bytes   int64
	closed  bool
	replies *perm.Replies // response permits; nil when none are given
	headers atomic.Bool   // understands headers
	permits atomic.Bool   // replies is set
	stalled atomic.Bool   // over 75% of max_pending, where producers are not stalled
	filters atomic.Bool   // some subscription overlaps what is denied: deliveries are checked
}

// Ident is what a connection said of itself and what the server made of it:
// immutable, replaced by every CONNECT.
type Ident struct {
	Connect wire.Connect
	User    string // as monitoring shows it
	Label   string // as the log shows it
	Account string // empty when the server did not let it in
	Perms   *perm.Permissions
	Nkey    string
	Kind    string
	// ProxyKey is that of the trusted proxy the client came through, "" for none.
	ProxyKey string
}

var _ netsim.Handler = (*Client)(nil)
var _ account.Owner = (*Client)(nil)

// ID is the connection id.
func (c *Client) ID() uint64 { return c.id }

// Kind of a client connection, as authentication hooks see it.
func (c *Client) Kind() int { return KindClient }

// KindClient is the kind of client connections.
const KindClient = 0

// Data processes what was read. It runs on the connection's strand.
func (c *Client) Data(p []byte) {
	if c.phase == phaseClosed {
		return
	}
	c.now = c.b.clock.Monotonic()
	if c.phase != phaseProtocol {
		if p = c.prelude(p); len(p) == 0 {
			return
		}
	}
	c.protocol(p)
	c.endBatch()
}

// protocol parses and carries out the operations in p.
func (c *Client) protocol(p []byte) {
	if !c.began && !c.firstOp(p) {
		return
	}
	var op wire.Op
	carried := true // the first operation may come from the parser's own buffer
	for len(p) > 0 {
		rest, ok, err := c.parser.Next(p, &op)
		if err != nil {
			c.parseError(err)
			return
		}
		p = rest
		if !ok {
			return
		}
		c.operate(&op)
		if c.phase == phaseClosed {
			return
		}
		if carried && c.lent || c.staged > stagedMax {
			c.flushStages()
		}
		carried = false
	}
}

// operate carries out one operation.
func (c *Client) operate(op *wire.Op) {
	switch op.Verb {
	case wire.VerbPub, wire.VerbHpub:
		c.publish(op)
	case wire.VerbSub:
		c.subscribe(op)
	case wire.VerbUnsub:
		c.unsubscribe(op)
	case wire.VerbPing:
		c.ping()
	case wire.VerbPong:
		c.pong()
	case wire.VerbConnect:
		c.processConnect(op.Arg)
	case wire.VerbInfo:
		c.peerInfo(op.Arg)
	case wire.VerbErr:
		c.b.log.Errorf("%s - Client Error %s", c, op.Arg)
		c.end(ParseError)
	}
}

// peerInfo reads a client's INFO, which must be a JSON object and means nothing.
func (c *Client) peerInfo(arg []byte) {
	if c.b.log.Trace() {
		c.traceIn("INFO", arg)
	}
	if _, err := wire.ParseInfo(arg); err != nil {
		c.b.log.Errorf("%s - %v", c, err)
		c.end(ProtocolViolation)
	}
}

// firstOp applies the rule that CONNECT comes first where credentials are asked for.
func (c *Client) firstOp(p []byte) bool {
	c.began = true
	if !c.authAsked || c.connected || wire.First(p) {
		return true
	}
	if c.implicitUser() {
		return true
	}
	c.authViolation(errFirstOp)
	return false
}

// parseError answers bytes that are not the protocol's.
func (c *Client) parseError(err error) {
	c.flushStages()
	c.b.log.Errorf("%s - %v", c, err)
	reason := ProtocolViolation
	switch {
	case errors.Is(err, wire.ErrMaxPayload):
		reason = MaxPayloadExceeded
	case errors.Is(err, wire.ErrControlLine):
		reason = MaxControlLineExceeded
	}
	text := ""
	var bad *wire.ParseError
	if errors.As(err, &bad) {
		text = bad.Text()
	}
	c.fail(text, reason)
}

// reply sends protocol to the connection itself, after what its own publishes
// already sent it.
func (c *Client) reply(p []byte) {
	if s := c.stages[c]; s != nil && s.touched {
		s.buf = c.b.buffers.grow(s.buf, len(p))
		s.buf = append(s.buf, p...)
		c.staged += len(p)
		s.note(nil, 0, false)
		return
	}
	c.one[0] = p
	c.conn.Write(c.one[:]...)
	c.one[0] = nil
}

// sendError sends -ERR with text; the connection stays.
func (c *Client) sendError(text string) {
	c.scratch = wire.AppendErr(c.scratch[:0], text)
	c.reply(c.scratch)
	if c.b.log.Trace() {
		c.traceOut("-ERR", []byte(text))
	}
}

// fail sends -ERR with text, if any, and ends the connection.
func (c *Client) fail(text string, reason Reason) {
	if text != "" {
		c.sendError(text)
	}
	c.end(reason)
}

// end closes the connection from its own strand, after what was staged.
func (c *Client) end(reason Reason) {
	if c.phase == phaseClosed {
		return
	}
	c.flushStages()
	c.phase = phaseClosed
	c.why.CompareAndSwap(0, uint32(reason))
	switch reason {
	case SlowConsumerPendingBytes, SlowConsumerWriteDeadline, ReadError, WriteError, TLSHandshakeError:
		c.conn.Abort(reason)
	default:
		c.conn.Close(reason)
	}
}

// Disconnect ends the connection from any strand after sending what is queued.
func (c *Client) Disconnect(reason Reason, text string) {
	c.strand.Post(func() {
		if c.phase == phaseClosed {
			return
		}
		c.now = c.b.clock.Monotonic()
		c.fail(text, reason)
		c.conn.Flush()
	})
}

// Closed removes every trace of the connection. It runs on the strand, once.
func (c *Client) Closed(err error) {
	c.phase = phaseClosed
	c.why.CompareAndSwap(0, uint32(reasonOf(err)))
	c.timer.Stop()
	c.discard()
	c.out.mu.Lock()
	c.out.closed = true // what is counted now is final
	c.out.mu.Unlock()
	c.b.connectionClosed(c, Reason(c.why.Load()), err)
	c.dropSubs()
	c.forgetRoutes()
	c.stages, c.recent, c.sinks, c.routes = nil, nil, nil, routeCache{}
}

// endBatch delivers what the read produced, then answers the connection itself,
// then adds up the statistics.
func (c *Client) endBatch() {
	c.flushStages()
	c.conn.Flush()
	c.overflow()
	if c.active {
		c.active = false
		c.last.Store(int64(c.now))
	}
	c.count()
	if c.stall != nil {
		c.waitForSlow()
	}
	if c.crowded != nil {
		c.waitForSink()
	}
}

// overflow ends a connection that asks more than it reads: answers are queued
// like messages, and count like them.
func (c *Client) overflow() {
	if c.phase != phaseClosed && int64(c.conn.Buffered()) > c.b.options().MaxPending {
		c.slowConsumer()
	}
}

// count adds the batch to the shared counters.
func (c *Client) count() {
	n := &c.batch
	if n.inMsgs > 0 {
		c.in.Add(n.inMsgs, n.inBytes)
		c.b.stats.In.Add(n.inMsgs, n.inBytes)
		if c.acc != nil {
			c.acc.Received.Add(n.inMsgs, n.inBytes)
		}
	}
	c.countHits()
	n.inMsgs, n.inBytes = 0, 0
	c.countOut()
}

// GetOpts is what the client sent in CONNECT, for authentication hooks.
func (c *Client) GetOpts() *wire.Connect { return c.connect }

// GetNonce is what the client was asked to sign.
func (c *Client) GetNonce() []byte { return c.nonce }

// GetID is the connection id, for authentication hooks.
func (c *Client) GetID() uint64 { return c.id }

// connType is the name of the connection's type in allowed_connection_types.
func (c *Client) connType() string {
	if c.conn.InProcess() {
		return auth.InProcess
	}
	return auth.Standard
}
