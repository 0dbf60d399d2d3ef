package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/cluster"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/logging"
)

const simServerID = "NAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// simWorld runs this server in simulation.
type simWorld struct {
	t       *testing.T
	sim     *clock.Sim
	net     *netsim.Sim
	node    *node
	peers   map[string]*simPeer
	hello   map[string]string // what a listener says to each connection
	pending string            // a listener that still wants its hello
	cl      *simPeer
}

// node is one server: what package server assembles of it.
type node struct {
	t       require.TestingT
	name    string
	broker  *broker.Broker
	cluster *cluster.Cluster
	opts    *config.Options
	clock   *clock.SimClock
	log     *logging.Switch
	lane    *lane.Lane // nil: none
	heard   *laneEnd   // what came over it
}

// newNode starts a server on the machine called name. Clients connect to port 4222, routes to
// 6222.
func newNode(t require.TestingT, sim *clock.Sim, net *netsim.Sim, name, id, text string) *node {
	return startNode(t, sim, net, name, id, options(t, text))
}

// startNode is newNode with options.
func startNode(t require.TestingT, sim *clock.Sim, net *netsim.Sim, name, id string, o *config.Options) *node {
	return startLaneNode(t, sim, net, name, id, o, nil)
}

// startLaneNode is startNode for a server that may have a lane.
func startLaneNode(t require.TestingT, sim *clock.Sim, net *netsim.Sim, name, id string, o *config.Options, l *lane.Options) *node {
	n := &node{t: t, name: name, clock: sim.Clock(name), log: logging.NewSwitch(), opts: o}
	var err error
	if l != nil {
		n.lane, err = lane.New(n.clock, n.log, *l)
		require.NoError(t, err)
		n.heard = newLaneEnd(t)
		n.lane.Serve(n.heard)
	}
	n.broker, err = broker.New(broker.Config{
		Clock: n.clock, Log: n.log, Options: n.opts,
		Identity: broker.Identity{ServerID: id, ServerName: name, Version: "2.15.0", GoVersion: "go"},
	})
	require.NoError(t, err)
	host := net.Host(name)
	_, err = host.Listen(n.clock.NewStrand("listen"), name+":4222", n.broker.Accept)
	require.NoError(t, err)
	n.cluster, err = cluster.New(cluster.Config{
		Broker: n.broker, Clock: n.clock, Network: host, Log: n.log, Options: func() *config.Options { return n.opts },
		ClientURLs: func() []string { return []string{name + ":4222"} }, TLSIdentity: &netsim.Identity{CommonName: name},
		Lane: n.lane,
	})
	require.NoError(t, err)
	require.NoError(t, n.cluster.Listen())
	return n
}

func (n *node) reload(text string) {
	next := options(n.t, text)
	require.NoError(n.t, n.cluster.Check(next))
	require.NoError(n.t, n.broker.Reload(next))
	n.opts = next
	require.NoError(n.t, n.cluster.Reload(next))
}

func options(t require.TestingT, text string) *config.Options {
	o := &config.Options{}
	require.NoError(t, o.ProcessConfigString(text))
	o.SetBaseline()
	require.NoError(t, o.Validate())
	return o
}

// simPeer is what speaks to the server.
type simPeer struct {
	conn netsim.Conn
	text []byte
	end  bool
	auto bool // answers PING
}

func (p *simPeer) Data(b []byte) {
	p.text = append(p.text, b...)
	if p.auto && strings.Contains(string(b), "PING\r\n") {
		p.conn.Write([]byte("PONG\r\n"))
		p.conn.Flush()
	}
}

func (p *simPeer) Closed(error) { p.end = true }

func newSimWorld(t *testing.T) *simWorld {
	sim := clock.NewSim(1)
	return &simWorld{t: t, sim: sim, net: netsim.NewSim(sim), peers: map[string]*simPeer{}, hello: map[string]string{}}
}

func (w *simWorld) patience() time.Duration { return 150 * time.Millisecond }

func (w *simWorld) expand(text string) string {
	for name := range w.hello {
		text = strings.ReplaceAll(text, "$"+name, name+":7000")
	}
	return strings.NewReplacer("$listen", `listen: "server:6222", name: C`, "$anonymous", `listen: "server:6222"`).Replace(text)
}

func (w *simWorld) start(text string) {
	w.node = newNode(w.t, w.sim, w.net, "server", simServerID, w.expand(text))
}

func (w *simWorld) reload(text string) { w.node.reload(w.expand(text)) }

func (w *simWorld) listen(name string) {
	w.hello[name], w.pending = "", name
	strand := w.sim.Clock(name).NewStrand(name)
	n := 0
	_, err := w.net.Host(name).Listen(strand, name+":7000", func(c netsim.Conn) {
		n++
		p := &simPeer{conn: c, auto: true}
		w.peers[name+"."+port(n)] = p
		c.Write([]byte(w.hello[name]))
		c.Flush()
		c.Start(strand, p)
	})
	require.NoError(w.t, err)
}

func (w *simWorld) dial(name string) { w.peers[name] = w.connect(name, 6222) }

func (w *simWorld) connect(name string, to int) *simPeer {
	p := &simPeer{auto: true}
	strand := w.sim.Clock(name).NewStrand(name)
	w.net.Host(name).Dial(strand, "server:"+port(to), netsim.DialOptions{}, func(c netsim.Conn, err error) {
		require.NoError(w.t, err)
		p.conn = c
		c.Start(strand, p)
	})
	w.sim.RunFor(50 * time.Millisecond)
	return p
}

func (w *simWorld) send(name, text string) {
	if name == w.pending {
		w.hello[name], w.pending = text, ""
		return
	}
	p := w.peers[name]
	require.NotNil(w.t, p, "nobody is called %q", name)
	p.conn.Write([]byte(w.expand(text)))
	p.conn.Flush()
}

func (w *simWorld) close(name string) { w.peers[name].conn.Close(netsim.ErrClosed) }

func (w *simWorld) client(text string) {
	if w.cl == nil {
		w.cl = w.connect("client", 4222)
		w.cl.conn.Write([]byte("CONNECT {\"verbose\":false,\"headers\":true}\r\n"))
	}
	w.cl.conn.Write([]byte(text))
	w.cl.conn.Flush()
}

func (w *simWorld) wait(d time.Duration) { w.sim.RunFor(d) }

func (w *simWorld) got() map[string]*transcript {
	all := make(map[string]*transcript)
	var gone []string
	for name, p := range w.peers {
		all[name] = &transcript{string(p.text), p.end}
		p.text = nil
		if p.end {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		delete(w.peers, name)
	}
	return all
}

func (w *simWorld) names(text string) string {
	text = commonNames(text)
	text = strings.NewReplacer("server:4222", "CLIENTS", `"host":"server"`, `"host":"HOST"`, `"port":6222`, `"port":6222`).Replace(text)
	for name := range w.hello {
		text = strings.ReplaceAll(text, name+":7000", "$"+name)
	}
	return text
}
