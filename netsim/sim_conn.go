package netsim

import (
	"bytes"
	"crypto/tls"
	"io"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// simLinger is how long Close tries to send what is queued.
const simLinger = 100 * time.Millisecond

// simPoison overwrites what Data was lent, so that keeping it is noticed.
const simPoison = 0xdb

// simConn is one side of a connection.
type simConn struct {
	pair    *SimPair
	host    *SimHost
	port    int
	side    uint64 // 0 dialed, 1 accepted
	peer    *simConn
	in, out *simPipe

	strand  clock.Strand
	handler Handler

	// Reading.
	readTask     func()
	reading      bool // readTask is posted
	paused       bool
	stalledUntil time.Duration
	early        []byte // clear text that came with the end of the handshake

	// Writing: queue[head:] was not taken yet, and the first flushed bytes of it may be.
	queue    []byte
	head     int
	flushed  int
	lent     [][]byte // queued after queue, copied at FlushLent
	lentLen  int
	turn     bool // FlushLent is to come
	pumpTask func()
	pumping  bool // pumpTask is posted
	below    int
	belowFn  func()

	limit      time.Duration // write deadline
	limitRetry bool
	batch      int  // bytes of the batch under the deadline that were not taken
	batchTaken bool // something of it was
	expiry     *clock.SimEvent

	// Ending.
	closing  bool
	asked    bool // by Close or Abort, whose error Closed then has
	closeErr error
	linger   *clock.SimEvent
	gone     bool // only Closed may come
	told     bool // Closed was called, or never will be
	lost     bool // with the machine's power

	handshake *simHandshake // while it lasts
	sealed    []byte        // written meanwhile
	sealedOut bool          // and flushed
	state     *tls.ConnectionState
}

var _ Conn = (*simConn)(nil)

// newPair makes both sides of a connection that client dialed.
func (n *Sim) newPair(client, server *SimHost, clientPort, serverPort int) *SimPair {
	n.nextID++
	p := &SimPair{id: n.nextID, net: n}
	p.client = &simConn{pair: p, host: client, port: clientPort, side: 0, in: &p.down, out: &p.up}
	p.server = &simConn{pair: p, host: server, port: serverPort, side: 1, in: &p.up, out: &p.down}
	p.client.peer, p.server.peer = p.server, p.client
	there, back := n.link(client.name, server.name), n.link(server.name, client.name)
	p.up = simPipe{pair: p, from: p.client, to: p.server, link: there, back: back}
	p.down = simPipe{pair: p, from: p.server, to: p.client, link: back, back: there}
	for _, pipe := range [...]*simPipe{&p.up, &p.down} {
		pipe.event = n.clock.NewEvent(nil, clock.KindNet, pipe.deliver)
		pipe.event.Arg = p.id
	}
	for _, c := range [...]*simConn{p.client, p.server} {
		c.readTask, c.pumpTask = c.read, c.pumped
	}
	n.pairs = append(n.pairs, p)
	if len(n.pairs)%256 == 0 {
		n.livePairs() // forgets those that ended
	}
	n.trace.Fold(uint64(clock.KindNet), p.id, client.id, server.id, uint64(serverPort))
	if n.trace.Enabled(clock.LevelInfo) {
		n.trace.Notef(clock.LevelInfo, "net", "connection #%d: %s to %s", p.id, p.client.LocalAddr(), p.server.LocalAddr())
	}
	return p
}

// event makes an event of the machine that the connection's strand lives on.
func (c *simConn) event(fn func()) *clock.SimEvent {
	var owner *clock.SimClock
	if st, ok := c.strand.(*clock.SimStrand); ok {
		owner = st.Clock()
	}
	return c.pair.net.clock.NewEvent(owner, clock.KindNet, fn)
}

func (c *simConn) Start(s clock.Strand, h Handler) {
	c.strand, c.handler = s, h
	if c.gone {
		s.Post(c.tell)
		return
	}
	c.kick()
}

func (c *simConn) readable() bool {
	return len(c.early) > 0 || c.in.arrived > 0 || c.in.end != nil
}

func (c *simConn) mayRead() bool {
	return !c.gone && !c.closing && !c.paused && c.strand != nil && c.stalledUntil <= c.pair.net.clock.Now()
}

// wantsRead tells whether a read is to be posted now, and takes note that it is.
func (c *simConn) wantsRead() bool {
	if c.reading || !c.mayRead() || !c.readable() {
		return false
	}
	c.reading = true
	return true
}

// kick posts a read when there is something to read and nothing against it.
func (c *simConn) kick() {
	if c.wantsRead() {
		c.strand.Post(c.readTask)
	}
}

// arrived is kick in the event of an arrival, which the read may be part of.
func (c *simConn) arrived() {
	if c.wantsRead() {
		simRunOn(c.strand, c.readTask)
	}
}

// read is the task of one read.
func (c *simConn) read() {
	c.reading = false
	if !c.mayRead() {
		return
	}
	scratch := c.pair.net.scratch
	switch {
	case len(c.early) > 0:
		p := scratch[:c.in.link.cut(len(c.early))]
		copy(p, c.early)
		c.early = c.early[:copy(c.early, c.early[len(p):])]
		c.input(p)
	case c.in.arrived > 0:
		p := scratch[:c.in.link.cut(c.in.arrived)]
		c.in.read(p)
		c.input(p)
	case c.in.end != nil:
		c.shut(c.in.end, io.EOF)
		c.tell()
		return
	}
	c.kick()
}

func (c *simConn) input(p []byte) {
	if c.handshake != nil {
		c.handshake.feed(p)
		return
	}
	c.handler.Data(p)
	for i := range p {
		p[i] = simPoison
	}
}

func (c *simConn) Write(p ...[]byte) {
	if c.gone || c.closing {
		return
	}
	for _, b := range p {
		switch {
		case c.handshake != nil:
			c.sealed = append(c.sealed, b...)
		case len(c.lent) > 0:
			c.lend(bytes.Clone(b)) // stays behind what was lent
		default:
			c.queue = append(c.queue, b...)
		}
	}
}

// Lend keeps the caller's slices until FlushLent, so that a caller who changes them before
// is found out. As in a real connection, bytes that wait for the peer are being sent.
func (c *simConn) Lend(p ...[]byte) bool {
	if c.gone || c.closing {
		return false
	}
	if c.turn || c.flushed > 0 || c.handshake != nil {
		c.Write(p...)
		return false
	}
	for _, b := range p {
		c.lend(b)
	}
	c.turn = len(c.lent) > 0
	return c.turn
}

func (c *simConn) lend(b []byte) {
	if len(b) > 0 {
		c.lent = append(c.lent, b)
		c.lentLen += len(b)
	}
}

func (c *simConn) keepLent() {
	for _, b := range c.lent {
		c.queue = append(c.queue, b...)
	}
	clear(c.lent)
	c.lent, c.lentLen = c.lent[:0], 0
}

func (c *simConn) Flush() {
	switch {
	case c.gone || c.closing || c.turn:
	case c.handshake != nil:
		c.sealedOut = len(c.sealed) > 0
	default:
		c.flushAll()
	}
}

// FlushLent panics without a turn: its caller has mistaken what Lend reported.
func (c *simConn) FlushLent() {
	if !c.turn {
		panic("netsim: FlushLent by a caller whose Lend did not report true")
	}
	c.turn = false
	if c.gone {
		return
	}
	c.keepLent()
	if c.closing {
		c.flushAll()
		return
	}
	c.Flush()
}

// flushAll sends whatever is in the queue.
func (c *simConn) flushAll() {
	c.flushed = len(c.queue) - c.head
	c.pump()
}

func (c *simConn) Buffered() int {
	return len(c.queue) - c.head + c.lentLen + len(c.sealed)
}

func (c *simConn) WhenBelow(n int, fn func()) {
	if c.gone || c.Buffered() < n {
		c.belowFn = nil
		fn()
		return
	}
	c.below, c.belowFn = n, fn
}

func (c *simConn) checkBelow() {
	if c.belowFn != nil && (c.gone || c.Buffered() < c.below) {
		fn := c.belowFn
		c.belowFn = nil
		fn()
	}
}

// pumpSoon sends on as a task of the sender's machine, which may be paused.
func (c *simConn) pumpSoon() {
	if c.gone || c.pumping || c.flushed == 0 {
		return
	}
	if c.strand == nil {
		c.pump()
		return
	}
	c.pumping = true
	simRunOn(c.strand, c.pumpTask)
}

func (c *simConn) pumped() {
	c.pumping = false
	c.pump()
}

// pump gives the system what it takes of what was flushed.
func (c *simConn) pump() {
	if c.gone {
		return
	}
	n := min(c.flushed, c.out.room())
	if n > 0 {
		c.out.send(c.queue[c.head : c.head+n])
		c.head += n
		c.flushed -= n
		c.compact()
	}
	c.watchBatch(n)
	if c.closing && !c.turn && c.head == len(c.queue) {
		c.close()
		return
	}
	c.checkBelow()
}

func (c *simConn) compact() {
	switch {
	case c.head == len(c.queue):
		c.queue, c.head = c.queue[:0], 0
		if cap(c.queue) > simKeptMax {
			c.queue = nil
		}
	case c.head > 4096 && c.head > len(c.queue)/2:
		c.queue = c.queue[:copy(c.queue, c.queue[c.head:])]
		c.head = 0
	}
}

// watchBatch keeps the write deadline after n bytes were taken.
func (c *simConn) watchBatch(n int) {
	if c.batch > 0 && n > 0 {
		c.batch -= n
		c.batchTaken = true
		if c.batch <= 0 {
			c.batch = 0
			c.expiry.Stop()
		}
	}
	if c.batch == 0 && c.flushed > 0 && c.limit > 0 {
		c.beginBatch()
	}
}

func (c *simConn) beginBatch() {
	if c.expiry == nil {
		c.expiry = c.event(c.expired)
	}
	c.batch, c.batchTaken = c.flushed, false
	c.expiry.Reset(c.limit)
}

func (c *simConn) expired() {
	if c.gone || c.batch == 0 {
		return
	}
	if c.limitRetry && c.batchTaken {
		c.beginBatch()
		return
	}
	c.Abort(ErrWriteDeadline)
}

func (c *simConn) SetWriteDeadline(d time.Duration, retry bool) {
	c.limit, c.limitRetry = max(d, 0), retry
	if c.limit == 0 && c.batch > 0 {
		c.batch = 0
		c.expiry.Stop()
	}
	if !c.gone {
		c.watchBatch(0)
	}
}

func (c *simConn) Pause() { c.paused = true }

func (c *simConn) Resume() {
	c.paused = false
	c.kick()
}

func (c *simConn) Close(err error) {
	if c.gone || c.closing {
		return
	}
	c.closing, c.asked, c.closeErr = true, true, err
	c.sealed = nil // cannot be sealed any more
	if !c.turn {
		c.flushAll()
	}
	if !c.gone {
		c.linger = c.event(c.close)
		c.linger.Reset(simLinger)
	}
}

// close ends Close, whether or not all was taken.
func (c *simConn) close() {
	if !c.gone {
		c.shut(c.closeErr, io.EOF)
		c.postTell()
	}
}

func (c *simConn) Abort(err error) {
	if !c.gone {
		c.asked = true
		c.shut(err, io.EOF)
		c.postTell()
	}
}

func (c *simConn) postTell() {
	if c.strand != nil {
		c.strand.Post(c.tell)
	}
}

// tell calls Closed, on the strand.
func (c *simConn) tell() {
	if c.told {
		return
	}
	c.told = true
	if hs := c.handshake; hs != nil {
		c.handshake = nil
		err := handshakeError(c.closeErr)
		if !c.asked {
			c.closeErr = err
		}
		hs.done(err)
	}
	c.handler.Closed(c.closeErr)
}

// shut ends this side for the reason err, and lets the peer see end.
func (c *simConn) shut(err, end error) {
	c.gone, c.closeErr = true, err
	c.queue, c.head, c.flushed, c.batch = nil, 0, 0, 0
	c.lent, c.lentLen, c.sealed, c.early = nil, 0, nil, nil
	for _, e := range [...]*clock.SimEvent{c.expiry, c.linger} {
		if e != nil {
			e.Stop()
		}
	}
	if c.handshake != nil {
		c.handshake.stop()
	}
	if end != nil {
		c.out.finish(end)
		c.in.discard()
	}
	c.checkBelow()
}

// vanish ends this side without its handler, and lets the peer see end.
func (c *simConn) vanish(end error) {
	if !c.gone {
		c.told = true
		c.belowFn = nil
		c.shut(end, end)
	}
}

// lose ends this side without its handler, and without the peer.
func (c *simConn) lose() {
	c.told, c.lost = true, true
	c.belowFn = nil
	c.shut(errSimReset, nil)
}

func (c *simConn) TLS() *tls.ConnectionState { return c.state }
func (c *simConn) LocalAddr() string         { return c.host.addr(c.port) }
func (c *simConn) RemoteAddr() string        { return c.peer.LocalAddr() }
func (c *simConn) InProcess() bool           { return false }
