package broker_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// mesh is several brokers in one simulated world, joined by links. It stands in for what owns
// the connections between servers: it parses and hands over, and knows no handshake.
type mesh struct {
	t     require.TestingT
	sim   *clock.Sim
	net   *netsim.Sim
	nodes map[string]*node
	names []string // of nodes, in the order of their making
	ports int
}

type node struct {
	m         *mesh
	name      string
	clock     clock.Clock
	broker    *broker.Broker
	announcer *broker.Announcer
	log       *logging.Switch
	ends      []*linkEnd // of this node, closed ones included
}

// linkEnd is one side of a connection between two nodes.
type linkEnd struct {
	at, to *node
	conn   netsim.Conn
	link   *broker.Link
	parser wire.RouteParser
	heard  []byte // all that came
	closed bool
	err    error
}

// tie says what a connection between two nodes is like.
type tie struct {
	account   string // pinned
	noHeaders bool
	imports   *perm.Set
	export    *perm.Set
}

func (e *linkEnd) Data(p []byte) {
	e.heard = append(e.heard, p...)
	var op wire.RouteOp
	for len(p) > 0 {
		rest, ok, err := e.parser.Next(p, &op)
		if err == nil && ok {
			err = e.link.Op(&op)
		}
		if err != nil {
			e.err = err
			e.conn.Close(err)
			break
		}
		p = rest
		if !ok {
			break
		}
	}
	e.link.EndBatch()
}

func (e *linkEnd) Closed(error) {
	e.closed = true
	e.link.Close()
}

func newMesh(t require.TestingT, seed uint64, conf string, names ...string) *mesh {
	sim := clock.NewSim(seed)
	m := &mesh{t: t, sim: sim, net: netsim.NewSim(sim), nodes: map[string]*node{}, ports: 7000}
	for _, name := range names {
		m.start(name, conf)
	}
	return m
}

func meshOptions(t require.TestingT, conf string) *config.Options {
	o := &config.Options{}
	require.NoError(t, o.ProcessConfigString(conf))
	o.SetBaseline()
	require.NoError(t, o.Validate())
	return o
}

func (m *mesh) start(name, conf string) *node {
	n := &node{m: m, name: name, clock: m.sim.Clock(name), log: logging.NewSwitch()}
	b, err := broker.New(broker.Config{
		Clock: n.clock, Log: n.log, Options: meshOptions(m.t, conf),
		Identity: broker.Identity{ServerID: "N" + name, ServerName: name},
	})
	require.NoError(m.t, err)
	n.broker, n.announcer = b, b.NewAnnouncer()
	_, err = m.net.Host(name).Listen(n.clock.NewStrand("listen"), name+":4222", b.Accept)
	require.NoError(m.t, err)
	m.nodes[name] = n
	m.names = append(m.names, name)
	return n
}

func (n *node) join(conn netsim.Conn, s clock.Strand, to *node, t tie) *linkEnd {
	id := n.broker.NextID()
	e := &linkEnd{at: n, to: to, conn: conn}
	e.parser.Pinned = t.account != ""
	e.link = n.broker.NewLink(broker.LinkOptions{
		ID: id, Conn: conn, Strand: s, Name: fmt.Sprintf("%s - rid:%d", to.name, id), RemoteID: "N" + to.name, RemoteName: to.name,
		Account: n.broker.LookupAccount(t.account), Headers: !t.noHeaders, Origins: true, OriginInUnsub: true, Export: t.export,
	})
	e.parser.OriginInUnsub = true
	n.ends = append(n.ends, e)
	conn.Start(s, e)
	n.announcer.Add(e.link, func(a string) bool { return t.account == "" || t.account == a }, t.imports)
	return e
}

// tie connects two nodes; the connection stands when the network has had time.
func (m *mesh) tie(a, b string, t tie) {
	from, to := m.nodes[a], m.nodes[b]
	m.ports++
	addr := fmt.Sprintf("%s:%d", b, m.ports)
	accept := to.clock.NewStrand("route " + addr)
	listener, err := m.net.Host(b).Listen(accept, addr, func(c netsim.Conn) { to.join(c, accept, from, t) })
	require.NoError(m.t, err)
	dial := from.clock.NewStrand("route " + addr)
	m.net.Host(a).Dial(dial, addr, netsim.DialOptions{}, func(c netsim.Conn, err error) {
		listener.Close()
		if err == nil {
			from.join(c, dial, to, t)
		}
	})
}

// live is the ends of a node's open links to another.
func (n *node) live(to string) (ends []*linkEnd) {
	for _, e := range n.ends {
		if !e.closed && e.to.name == to {
			ends = append(ends, e)
		}
	}
	return ends
}

// cut closes the links between two nodes, from the side of the first.
func (m *mesh) cut(a, b string) {
	for _, e := range m.nodes[a].live(b) {
		e.conn.Abort(netsim.ErrClosed)
	}
}

func (m *mesh) settle() { m.sim.RunFor(500 * time.Millisecond) }

func (m *mesh) client(name, at string) *meshClient {
	c := &meshClient{m: m, name: name}
	strand := m.sim.Clock("client-" + name).NewStrand(name)
	m.net.Host("client-"+name).Dial(strand, at+":4222", netsim.DialOptions{}, func(conn netsim.Conn, err error) {
		require.NoError(m.t, err)
		c.conn = conn
		conn.Start(strand, c)
	})
	return c
}

// meshClient is a client that keeps what it got.
type meshClient struct {
	m    *mesh
	name string
	conn netsim.Conn
	got  []byte
	end  error
}

func (c *meshClient) Data(p []byte)    { c.got = append(c.got, p...) }
func (c *meshClient) Closed(err error) { c.end = err }

func (c *meshClient) say(format string, v ...any) {
	c.conn.Write(fmt.Appendf(nil, format, v...))
	c.conn.Flush()
}

// take is the lines that came since the last time, without INFO.
func (c *meshClient) take() (lines []string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(string(c.got), "\r\n"), "\r\n") {
		if line != "" && !strings.HasPrefix(line, "INFO ") {
			lines = append(lines, line)
		}
	}
	c.got = nil
	return lines
}
