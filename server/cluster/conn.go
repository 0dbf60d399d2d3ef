package cluster

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/s2frame"
	"github.com/lockstepmq/lockstep/server/wire"
)

// phase is how far a route has come.
type phase uint8

const (
	phaseTLS     phase = iota // a handshake is to be done
	phaseConnect              // the peer, who dialled, has not said CONNECT
	phaseInfo                 // the peer has not said INFO, or not the one that counts
	phaseReady                // registered
	phaseLane                 // the peer has not said LANE
	phaseLaneUp               // the connection is a lane
	phaseClosed
)

// conn is one route. Its fields belong to its strand, but for the atomics and what never
// changes after newConn; place and remote are the table's once it is registered.
type conn struct {
	c       *Cluster
	id      uint64
	strand  clock.Strand
	timer   clock.Timer
	start   time.Time
	host    string // of the peer
	port    int
	dialled *target // nil: the peer dialled
	nonce   string

	phase      phase
	raw        netsim.Conn // the connection
	out        netsim.Conn // what is written to: raw, or what compresses for it
	packer     *packer     // nil while nothing is compressed
	unpack     *s2frame.Reader
	parser     wire.RouteParser
	op         wire.RouteOp
	now        time.Duration
	active     bool   // interest or messages came in this read
	begun      bool   // the first byte was seen
	tlsBegun   bool   // the handshake is under way
	held       []byte // bytes that came before it was
	account    string // the route is for it alone
	size       int    // slots of the pool, 0 without
	negotiated bool   // compression is settled
	mode       string // how what is sent is compressed
	saidAll    bool   // the INFO that counts was sent
	remoteID   string
	remoteName string
	linked     *broker.Link
	said       wire.RouteConnect // by a peer that dialled
	lane       *laneSide         // nil: it is a route
	noAgain    bool              // is not to be dialled again
	removed    bool              // ended by a reload: is dialled again at once

	// Deadlines on the monotonic clock; 0 is none. One timer serves them all.
	authAt   time.Duration
	watchAt  time.Duration // the handshake must be over
	pingAt   time.Duration
	pings    int // unanswered
	pingSent time.Duration
	accepted time.Duration
	chain    bool // the next answer to a PING lets the next slot be dialled

	place  place   // of the table
	remote *remote // of the table

	link atomic.Pointer[broker.Link] // linked, for other strands
	peer atomic.Pointer[wire.RouteInfo]
	// moving lists accounts that get routes of their own: what comes over this one is late, and
	// nothing of them goes over it.
	moving atomic.Pointer[[]string]
	rtt    atomic.Int64
	last   atomic.Int64 // monotonic time at which interest or messages came last
	name   atomic.Pointer[string]
}

var _ netsim.Handler = (*conn)(nil)

// newConn takes a connection that came, or one that was dialled for t.
func (c *Cluster) newConn(nc netsim.Conn, t *target) *conn {
	k := &conn{
		c: c, id: c.Broker.NextID(), raw: nc, out: nc, dialled: t, start: c.Clock.Now(), now: c.Clock.Monotonic(),
		phase: phaseConnect, mode: config.CompressionOff,
	}
	k.accepted = k.now
	k.last.Store(int64(k.now))
	var err error
	if k.host, k.port, err = netsim.SplitHostPort(nc.RemoteAddr()); err != nil {
		k.host = nc.RemoteAddr()
	}
	name := k.describe()
	k.name.Store(&name)
	k.strand = c.Clock.NewStrand("rid:" + strconv.FormatUint(k.id, 10))
	k.timer = k.strand.NewTimer(k.deadline)
	if t != nil {
		k.phase, k.account = phaseInfo, t.account
	}
	o := c.settings.Load().o
	k.parser.MaxControlLine = 16 * int(o.MaxControlLine)
	deadline := o.Cluster.WriteDeadline
	if deadline == 0 {
		deadline = o.WriteDeadline
	}
	nc.SetWriteDeadline(deadline, o.Cluster.WriteTimeout != config.WriteTimeoutPolicyClose)
	k.nonce = c.newNonce()
	k.watchAt = k.now + k.patience()
	if t != nil && t.lane != nil {
		k.lane, k.watchAt = new(laneSide), k.now+laneHandshakeMax
	}
	if !c.table.add(k) {
		k.phase = phaseClosed
		nc.Abort(serverShutdown)
		nc.Start(k.strand, k)
		return k
	}
	if o.Cluster.TLSConfig != nil {
		k.phase = phaseTLS
		nc.Start(k.strand, k)
		k.strand.Post(k.beginTLS)
		return k
	}
	k.begin()
	nc.Start(k.strand, k)
	return k
}

// describe is how the log names the route.
func (k *conn) describe() string {
	host := k.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(k.port) + " - rid:" + strconv.FormatUint(k.id, 10)
}

// String is how the log names the route. Any strand.
func (k *conn) String() string { return *k.name.Load() }

func (k *conn) registered() bool { return k.phase == phaseReady }

// beginTLS starts the handshake, which comes before everything.
func (k *conn) beginTLS() {
	if k.phase != phaseTLS || k.tlsBegun {
		return
	}
	k.tlsBegun = true
	o := k.c.settings.Load().o
	cfg := o.Cluster.TLSConfig
	if cfg == nil { // taken away meanwhile
		k.end(routeRemoved)
		return
	}
	if k.dialled != nil {
		cfg = cfg.Clone()
		cfg.ServerName = k.c.serverName(k.dialled.url)
	}
	held := k.held
	k.held = nil
	k.raw.StartTLS(netsim.TLSOptions{
		Config: cfg, Server: k.dialled == nil, Pending: held, Identity: k.c.TLSIdentity,
		Timeout: time.Duration(o.Cluster.TLSTimeout * float64(time.Second)),
	}, k.handshakeDone)
}

// handshakeDone goes on after the handshake; after a failed one the network closes the
// connection.
func (k *conn) handshakeDone(err error) {
	if k.phase != phaseTLS {
		return
	}
	if err != nil {
		k.c.Log.Errorf("%s - TLS route handshake error: %v", k, err)
		return
	}
	if !config.MatchesPinned(k.c.settings.Load().o.Cluster.TLSPinnedCerts, k.raw.TLS()) {
		k.c.Log.Errorf("%s - TLS route handshake error: certificate not pinned", k)
		k.end(tlsHandshakeFailure)
		return
	}
	k.now = k.c.Clock.Monotonic()
	k.phase = phaseConnect
	if k.dialled != nil {
		k.phase = phaseInfo
	}
	k.begin()
}

// begin speaks first: INFO by the side that listened, CONNECT by the one that dialled.
func (k *conn) begin() {
	o := k.c.settings.Load().o
	switch {
	case k.dialled == nil:
		i := k.ownInfo()
		k.sendInfo(&i, true)
		if k.c.settings.Load().users.Required() {
			k.authAt = k.now + time.Duration(o.Cluster.AuthTimeout*float64(time.Second))
		}
	case k.lane != nil: // answers INFO
		k.c.Log.Debugf("%s - Lane connection created", k)
		k.arm()
		return
	default:
		k.sendConnect()
		if !mayCompress(o.Cluster.Compression.Mode) && (k.account != "" || o.Cluster.PoolSize < 0) {
			i := k.ownInfo()
			k.sendInfo(&i, false)
			k.saidAll = true
		}
	}
	k.c.Log.Noticef("%s - Route connection created", k)
	k.arm()
	k.out.Flush()
}

// Data processes what was read. It runs on the route's strand.
func (k *conn) Data(p []byte) {
	switch k.phase {
	case phaseClosed:
		return
	case phaseTLS:
		if !k.tlsBegun {
			k.held = append(k.held, p...)
		}
		return
	case phaseLaneUp:
		k.lane.link.Data(p)
		return
	}
	k.now = k.c.Clock.Monotonic()
	if k.phase == phaseLane {
		k.laneData(p)
	} else if k.unpack != nil {
		k.inflate(p)
	} else {
		k.consume(p)
	}
	if k.active {
		k.active = false
		k.last.Store(int64(k.now))
	}
	if k.phase != phaseClosed {
		k.out.Flush()
		k.arm()
	}
}

// inflate reads what is compressed.
func (k *conn) inflate(p []byte) {
	for k.phase != phaseClosed {
		data, rest, err := k.unpack.Next(p)
		if err != nil {
			k.c.Log.Errorf("%s - %v", k, err)
			k.end(readError)
			return
		}
		if data == nil {
			return
		}
		k.consume(data)
		p = rest
	}
}

// consume parses and carries out the operations in p.
func (k *conn) consume(p []byte) {
	if !k.begun && len(p) > 0 {
		k.begun = true
		if k.phase == phaseConnect && p[0] == 'L' && k.c.Lane != nil {
			k.phase, k.lane = phaseLane, new(laneSide)
			k.laneData(p)
			return
		}
		if k.phase == phaseConnect && !wire.First(p) {
			k.refuse(textAuthViolation, authenticationFailure)
			return
		}
	}
	for len(p) > 0 && k.phase != phaseClosed {
		rest, ok, err := k.parser.Next(p, &k.op)
		if err != nil {
			k.parseError(err)
			return
		}
		if p = rest; !ok {
			break
		}
		plain := k.unpack == nil
		k.operate(&k.op)
		if k.phase == phaseLane {
			k.laneData(p)
			return
		}
		if plain && k.unpack != nil { // what follows is compressed
			k.inflate(p)
			return
		}
	}
	if k.linked != nil && k.phase != phaseClosed {
		k.linked.EndBatch()
	}
}

// operate carries out one operation.
func (k *conn) operate(op *wire.RouteOp) {
	if k.phase == phaseConnect && op.Verb != wire.VerbConnect {
		k.refuse(textAuthViolation, authenticationFailure)
		return
	}
	switch op.Verb {
	case wire.VerbPing:
		k.trace("<<-", wire.VerbPing)
		k.out.Write(pongLine)
		k.trace("->>", wire.VerbPong)
	case wire.VerbPong:
		k.pong()
	case wire.VerbConnect:
		k.connect(op.Arg)
	case wire.VerbInfo:
		k.infoCame(op.Arg)
	case wire.VerbErr:
		k.c.Log.Errorf("%s - Route Error %s", k, op.Arg)
		k.end(parseError)
	case wire.VerbOK:
	default:
		k.active = true
		k.hand(op)
	}
}

// hand gives interest and messages to the link.
func (k *conn) hand(op *wire.RouteOp) {
	if k.linked == nil { // nothing is taken before there is one
		return
	}
	if k.moving.Load() != nil && k.isLate(op) {
		return
	}
	if err := k.linked.Op(op); err != nil {
		k.linked.EndBatch()
		k.say(err.Error())
	}
}

// isLate tells whether the operation is interest in an account that gets a route of its own.
func (k *conn) isLate(op *wire.RouteOp) bool {
	switch op.Verb {
	case wire.VerbRSub, wire.VerbLSub:
		return k.isMoving(string(op.Account))
	}
	return false
}

// isMoving tells whether an account gets a route of its own. Any strand.
func (k *conn) isMoving(account string) bool {
	list := k.moving.Load()
	return list != nil && slices.Contains(*list, account)
}

// parseError answers bytes that are not the protocol's.
func (k *conn) parseError(err error) {
	if k.linked != nil {
		k.linked.EndBatch()
	}
	why := protocolViolation
	if errors.Is(err, wire.ErrControlLine) {
		why = controlLineExceeded
	}
	text := ""
	var bad *wire.ParseError
	if errors.As(err, &bad) {
		text = bad.Text()
	}
	k.c.Log.Errorf("%s - %v", k, err)
	k.fail(text, why)
}

// say sends -ERR; the route stays.
func (k *conn) say(text string) {
	k.out.Write(wire.AppendErr(nil, text))
	if k.c.Log.Trace() {
		k.c.Log.Tracef("%s - ->> [-ERR %s]", k, text)
	}
}

// refuse is fail with the text in the log.
func (k *conn) refuse(text string, why reason) {
	k.c.Log.Errorf("%s - %s", k, text)
	k.fail(text, why)
}

// fail sends -ERR with text, if any, and ends the route.
func (k *conn) fail(text string, why reason) {
	if text != "" {
		k.say(text)
	}
	k.end(why)
}

// end closes the route from its own strand.
func (k *conn) end(why reason) {
	if k.phase == phaseClosed {
		return
	}
	if k.linked != nil {
		k.linked.EndBatch()
	}
	k.phase = phaseClosed
	k.out.Flush()
	switch why {
	case slowWriteDeadline, readError, writeError, tlsHandshakeFailure:
		k.out.Abort(why)
	default:
		k.out.Close(why)
	}
}

// disconnect ends the route from any strand.
func (k *conn) disconnect(why reason, text string) {
	k.strand.Post(func() { k.fail(text, why) })
}

// Closed removes every trace of the route. It runs on the strand, once.
func (k *conn) Closed(err error) {
	k.phase = phaseClosed
	k.timer.Stop()
	if k.linked != nil {
		k.linked.Close()
	}
	why := reasonOf(err)
	if why == slowWriteDeadline {
		k.c.stats.Slow.Add(1)
		k.c.Log.Noticef("%s - Slow Consumer Detected: WriteDeadline exceeded", k)
	}
	left := k.c.table.remove(k)
	if k.lane != nil {
		k.laneClosed(err)
		if left.gone != nil {
			left.gone()
		}
		return
	}
	suffix := ""
	if k.remoteName != "" {
		suffix = " - Remote: " + k.remoteName
	}
	k.c.Log.Noticef("%s - Router connection closed: %s%s", k, why, suffix)
	k.c.departed(k, left)
}

// departed has a lost route dialled again, where that is this server's part.
func (c *Cluster) departed(k *conn, left parting) {
	if k.linked != nil && left.last {
		c.tellClients()
	}
	if k.account != "" {
		c.comeBack(k.account, k.remoteID)
	}
	if left.gone != nil {
		left.gone()
	}
	if left.how == nil || k.noAgain || c.table.isDown() {
		return
	}
	now := c.Clock.Monotonic()
	lived, how := now-k.accepted, *left.how
	if k.linked == nil && !how.explicit {
		how.attempt++
	} else {
		how.attempt, how.had, how.until = 0, true, now+lostPatience
	}
	left.how = &how
	c.strand.Post(func() {
		if k.removed {
			c.dials.start(left.how, 0, true)
			return
		}
		if left.noPool && left.last { // it may come back with pools
			c.dials.again(left.how.forAccount(""), lived)
			for _, account := range c.settings.Load().layout.pinned {
				c.dials.again(left.how.forAccount(account), lived)
			}
			return
		}
		c.dials.again(left.how, lived)
	})
}
