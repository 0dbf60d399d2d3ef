package netsim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

const (
	// simSynRetry is when an unanswered attempt to connect is made again; it doubles.
	simSynRetry = time.Second
	// simDialTimeoutMax is what a system gives an attempt to connect at most.
	simDialTimeoutMax = 127 * time.Second
	simPortFirst      = 32768
	simPortLast       = 60999
)

// Sim is a simulated network: machines, the links between them and the connections
// over these. It lives on the event queue of one clock.Sim and in its goroutine.
// Faults are its methods; each that had an effect is counted.
//
// Within one connection bytes are ordered, complete and single until it breaks.
type Sim struct {
	clock *clock.Sim
	trace *clock.Trace

	hosts   map[string]*SimHost // the live one, or the last
	aliases map[string]string
	links   map[simLinkKey]*simLink
	order   []*simLink // of links, as they were made
	profile Link       // of links not set on their own
	pairs   []*SimPair
	nextID  uint64
	frozen  int // machines

	socketBuffer int
	refuse, slow float64 // probability per attempt to connect
	slowMax      time.Duration
	dialRand     *rand.Rand
	faultRand    *rand.Rand
	counts       [faultsEnd]uint64
	scratch      []byte // what Data is lent
}

// NewSim makes a network without faults in the world s.
func NewSim(s *clock.Sim) *Sim {
	return &Sim{
		clock: s, trace: s.Trace(),
		hosts:        make(map[string]*SimHost),
		aliases:      make(map[string]string),
		links:        make(map[simLinkKey]*simLink),
		profile:      Link{Latency: 200 * time.Microsecond, Jitter: 100 * time.Microsecond},
		socketBuffer: 256 << 10,
		dialRand:     s.Rand("net/dial"),
		faultRand:    s.Rand("net/fault"),
		scratch:      make([]byte, simReadMax),
	}
}

// Clock is the world that the network belongs to.
func (n *Sim) Clock() *clock.Sim { return n.clock }

// SetSocketBuffer sets how many bytes the system holds per direction of a connection
// between the writer's Flush and the reader's Data; 256 KiB at first, at least one.
func (n *Sim) SetSocketBuffer(bytes int) { n.socketBuffer = max(bytes, 1) }

// SimHost is one machine's network, from its start until it is killed.
type SimHost struct {
	net       *Sim
	name      string
	id        uint64
	dead      bool
	frozen    bool // its network card is gone
	listeners map[int]*simListener
	nextPort  int
}

var _ Network = (*SimHost)(nil)

// Host returns the network of the machine called name, or makes it: anew when it was
// killed. Its addresses are "name:port".
func (n *Sim) Host(name string) Network { return n.host(name) }

func (n *Sim) host(name string) *SimHost {
	h := n.hosts[name]
	if h != nil && !h.dead {
		return h
	}
	port := simPortFirst
	if h != nil {
		port = h.nextPort // its peers may still have connections of its former life
	}
	n.nextID++
	h = &SimHost{net: n, name: name, id: n.nextID, listeners: make(map[int]*simListener), nextPort: port}
	n.hosts[name] = h
	n.unblock() // what is sent to connections of its former life is answered again
	return h
}

// Alias makes the host part alias in addresses mean the machine called name; an empty
// name removes it. A machine that changes its address is one whose alias moves.
func (n *Sim) Alias(alias, name string) {
	if name == "" {
		delete(n.aliases, alias)
		return
	}
	n.aliases[alias] = name
}

// Name is the machine's name.
func (h *SimHost) Name() string { return h.name }

// Listen binds addr on this machine. Whatever its host part, the listener hears what is
// sent to the machine, and its address has the machine's name.
func (h *SimHost) Listen(s clock.Strand, addr string, accept func(Conn)) (Listener, error) {
	_, port, err := SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if h.dead {
		return nil, fmt.Errorf("listen %s: %w", addr, ErrClosed)
	}
	if port == 0 {
		port = h.freePort()
	} else if h.listeners[port] != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, errSimInUse)
	}
	l := &simListener{host: h, port: port, strand: s, accept: accept}
	h.listeners[port] = l
	return l, nil
}

func (h *SimHost) freePort() int {
	for {
		p := h.nextPort
		h.nextPort++
		if h.nextPort > simPortLast {
			h.nextPort = simPortFirst
		}
		if h.listeners[p] == nil {
			return p
		}
	}
}

func (h *SimHost) addr(port int) string { return h.name + ":" + strconv.Itoa(port) }

type simListener struct {
	host   *SimHost
	port   int
	strand clock.Strand
	accept func(Conn)
	closed bool
}

func (l *simListener) Addr() string { return l.host.addr(l.port) }

func (l *simListener) Close() {
	if l.closed {
		return
	}
	l.closed = true
	if l.host.listeners[l.port] == l {
		delete(l.host.listeners, l.port)
	}
}

// Dial connects to addr. The names "", "localhost", "127.0.0.1", "0.0.0.0", "::1" and "::" are this
// machine.
func (h *SimHost) Dial(s clock.Strand, addr string, o DialOptions, done func(Conn, error)) {
	if h.dead {
		s.Post(func() { done(nil, fmt.Errorf("dial %s: %w", addr, ErrClosed)) })
		return
	}
	d := &simDial{from: h, strand: s, addr: addr, done: done, retry: simSynRetry}
	d.event = h.net.clock.NewEvent(nil, clock.KindNet, d.arrive)
	d.expiry = h.net.clock.NewEvent(nil, clock.KindNet, d.expire)
	d.start(o)
}

// simDial is one attempt to connect: it travels to the peer, is answered there, and the
// answer travels back.
type simDial struct {
	from   *SimHost
	strand clock.Strand
	addr   string
	port   int
	to     *simLink
	done   func(Conn, error)
	retry  time.Duration
	event  *clock.SimEvent
	expiry *clock.SimEvent
	pair   *SimPair // once accepted
	err    error    // the peer's answer, when it is not to be
	back   bool     // the answer travels
}

func (d *simDial) start(o DialOptions) {
	n := d.from.net
	host, port, err := SplitHostPort(d.addr)
	if err != nil {
		d.fail(fmt.Errorf("dial: %w", err))
		return
	}
	switch host {
	case "", "localhost", "127.0.0.1", "0.0.0.0", "::1", "::":
		host = d.from.name
	}
	if real, ok := n.aliases[host]; ok {
		host = real
	}
	if n.hosts[host] == nil {
		d.fail(fmt.Errorf("dial %s: %w", d.addr, errSimNoHost))
		return
	}
	d.port = port
	d.to = n.link(d.from.name, host)
	limit := time.Duration(simDialTimeoutMax)
	if o.Timeout > 0 {
		limit = min(limit, o.Timeout)
	}
	d.expiry.Reset(limit)
	extra := time.Duration(0)
	if n.slow > 0 && n.dialRand.Float64() < n.slow {
		extra = time.Duration(n.dialRand.Int64N(int64(n.slowMax) + 1))
		n.count(FaultSlowConnect, d.to.id)
	}
	d.event.Reset(extra + d.to.delay())
}

// arrive is at the peer's machine, or back with its answer.
func (d *simDial) arrive() {
	n := d.from.net
	if d.from.dead {
		d.abandon()
		return
	}
	if d.back {
		d.answered()
		return
	}
	peer := n.hosts[d.to.key.to]
	if d.to.blocked() || peer.dead {
		d.event.Reset(d.retry)
		d.retry *= 2
		return
	}
	l := peer.listeners[d.port]
	refused := l == nil
	if !refused && n.refuse > 0 && n.dialRand.Float64() < n.refuse {
		refused = true
		n.count(FaultRefused, d.to.id)
	}
	if refused {
		d.err = fmt.Errorf("dial %s: %w", d.addr, errSimRefused)
	} else {
		d.pair = n.newPair(d.from, peer, d.from.freePort(), d.port)
		l.offer(d.pair.server)
	}
	d.back = true
	d.event.Reset(n.link(peer.name, d.from.name).delay())
}

// answered is at the dialing machine.
func (d *simDial) answered() {
	if d.from.net.link(d.to.key.to, d.from.name).blocked() {
		d.event.Reset(d.retry)
		d.retry *= 2
		return
	}
	if d.err != nil {
		d.finish(nil, d.err)
		return
	}
	d.finish(d.pair.client, nil)
}

func (d *simDial) expire() {
	if d.from.dead {
		d.abandon()
		return
	}
	if d.pair != nil {
		d.pair.client.vanish(errSimReset)
	}
	d.finish(nil, fmt.Errorf("dial %s: %w", d.addr, errSimTimeout))
}

// fail answers an attempt that cannot even begin, after Dial has returned.
func (d *simDial) fail(err error) {
	d.strand.Post(func() { d.done(nil, err) })
}

func (d *simDial) abandon() {
	d.event.Stop()
	d.expiry.Stop()
}

func (d *simDial) finish(c *simConn, err error) {
	d.abandon()
	done := d.done
	simRunOn(d.strand, func() {
		if c == nil {
			done(nil, err)
			return
		}
		done(c, nil)
	})
}

// offer gives c to the listener's owner, unless the listener is closed by then.
func (l *simListener) offer(c *simConn) {
	simRunOn(l.strand, func() {
		if l.closed {
			c.vanish(errSimReset)
			return
		}
		l.accept(c)
	})
}

// simRunOn saves an event where the strand is free.
func simRunOn(s clock.Strand, task func()) {
	if st, ok := s.(*clock.SimStrand); ok {
		st.Run(task)
		return
	}
	s.Post(task)
}
