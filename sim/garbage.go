package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// garbageUser has an account of its own, so that nothing it does is anybody's
// message.
const (
	garbageUser    = "g-free"
	garbageAccount = "G"
	garbageSubsMax = 50 // of a connection
)

// garbageClient is one that means no good: it connects, does one thing that it
// should not, and comes back. What it is sent is not judged; that the server
// stays up, bounded and serves the others is.
type garbageClient struct {
	w       *World
	name    string
	strand  clock.Strand
	network netsim.Network
	rnd     *rand.Rand
	timer   clock.Timer
	conn    netsim.Conn
	flood   []byte // sent again and again while the connection lasts
	busy    bool   // connecting
	stopped bool
}

// misdeeds are what a garbage client may do with a new connection; each is counted.
var misdeeds = []struct {
	name string
	do   func(*garbageClient)
}{
	{"noise", (*garbageClient).noise},
	{"silence", func(*garbageClient) {}},
	{"bad password", func(g *garbageClient) { g.say("CONNECT {\"user\":\"%s\",\"pass\":\"guess\"}\r\nPING\r\n", garbageUser) }},
	{"not json", func(g *garbageClient) { g.say("CONNECT {\"user\": tru\r\n") }},
	{"endless line", func(g *garbageClient) { g.login(); g.say("SUB %s", bytes.Repeat([]byte("a"), 6000)) }},
	{"oversized payload", func(g *garbageClient) { g.login(); g.say("PUB a %d\r\n", g.w.plan.MaxPayload+1+g.rnd.IntN(1<<30)) }},
	{"half frame", func(g *garbageClient) { g.login(); g.say("PUB a 100\r\nonly so much") }},
	{"bad subjects", func(g *garbageClient) {
		g.login()
		g.say("SUB a..b 1\r\nSUB .a 2\r\nSUB a.>.b 3\r\nPUB a. 1\r\nx\r\nPUB > 1\r\nx\r\nUNSUB 99\r\nUNSUB 1 -5\r\n")
	}},
	{"numbers", func(g *garbageClient) { g.login(); g.say("PUB a 99999999999999999999\r\n") }},
	{"noise after login", func(g *garbageClient) { g.login(); g.noise() }},
	{"never reads", (*garbageClient).neverReads},
	{"ping flood", (*garbageClient).pingFlood},
	{"verbose flood", (*garbageClient).verboseFlood},
	{"subscription flood", (*garbageClient).subFlood},
	{"connect again and again", (*garbageClient).connects},
}

// MisdeedNames lists what garbage clients do.
func MisdeedNames() []string {
	names := make([]string, len(misdeeds))
	for i, m := range misdeeds {
		names[i] = m.name
	}
	return names
}

func (w *World) startGarbage() {
	for i := range w.plan.Garbage {
		name := fmt.Sprintf("garbage%d", i)
		g := &garbageClient{w: w, name: name, network: w.net.Host(name), rnd: w.sim.Rand("script/" + name)}
		g.strand = w.sim.Clock(name).NewStrand("client")
		g.timer = g.strand.NewTimer(g.tick)
		g.timer.Reset(0)
		w.garbage = append(w.garbage, g)
	}
}

func (w *World) stopGarbage() {
	for _, g := range w.garbage {
		g.stopped = true
		g.flood = nil
		if g.conn != nil {
			g.conn.Abort(nil)
		}
	}
}

// tick makes the next connection, or goes on with what the present one is for.
func (g *garbageClient) tick() {
	switch {
	case g.stopped || g.busy:
	case g.conn == nil:
		g.busy = true
		g.network.Dial(g.strand, fmt.Sprintf("%s:%d", serverHost, serverPort), netsim.DialOptions{Timeout: dialMax}, g.dialed)
	case g.flood != nil && g.conn.Buffered() < unsentMax && g.rnd.IntN(40) > 0:
		g.conn.Write(g.flood)
		g.conn.Flush()
		g.timer.Reset(20 * time.Millisecond)
	case g.rnd.IntN(3) == 0:
		g.conn.Abort(nil)
	default:
		g.timer.Reset(time.Second)
	}
}

func (g *garbageClient) dialed(conn netsim.Conn, err error) {
	g.busy = false
	if err != nil || g.stopped {
		if conn != nil {
			conn.Abort(nil)
		}
		g.timer.Reset(time.Second)
		return
	}
	g.conn, g.flood = conn, nil
	conn.Start(g.strand, g)
	m := misdeeds[g.rnd.IntN(len(misdeeds))]
	g.w.count("garbage: " + m.name)
	m.do(g)
	conn.Flush()
	g.timer.Reset(logTime(g.rnd, 20*time.Millisecond, 4*time.Second))
}

// Data drops what the server says.
func (g *garbageClient) Data([]byte) {}

// Closed makes room for the next connection.
func (g *garbageClient) Closed(error) {
	g.conn = nil
	g.timer.Reset(logTime(g.rnd, 20*time.Millisecond, 2*time.Second))
}

func (g *garbageClient) say(format string, args ...any) {
	g.conn.Write(fmt.Appendf(nil, format, args...))
}

func (g *garbageClient) login() {
	g.say("CONNECT {\"user\":%q,\"pass\":%q,\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"headers\":true}\r\n", garbageUser, password(garbageUser))
}

func (g *garbageClient) noise() {
	p := make([]byte, 1+g.rnd.IntN(5000))
	for i := range p {
		p[i] = byte(g.rnd.Uint32())
	}
	g.conn.Write(p)
}

// neverReads subscribes to what it publishes itself, and takes none of it.
func (g *garbageClient) neverReads() {
	g.login()
	g.say("SUB junk.%s 1\r\n", g.name)
	g.conn.Pause()
	size := min(1+g.rnd.IntN(8000), g.w.plan.MaxPayload)
	for range 1 + 20000/size {
		g.flood = fmt.Appendf(g.flood, "PUB junk.%s %d\r\n%s\r\n", g.name, size, filling[:size])
	}
}

// pingFlood asks for answers that it does not take.
func (g *garbageClient) pingFlood() {
	g.login()
	g.conn.Pause()
	g.flood = bytes.Repeat([]byte("PING\r\n"), 4000)
}

// verboseFlood makes the server acknowledge what it does not take.
func (g *garbageClient) verboseFlood() {
	g.say("CONNECT {\"user\":%q,\"pass\":%q,\"verbose\":true}\r\n", garbageUser, password(garbageUser))
	g.conn.Pause()
	g.flood = bytes.Repeat([]byte("PUB nobody.listens 0\r\n\r\n"), 1000)
}

// subFlood subscribes to more than its account allows.
func (g *garbageClient) subFlood() {
	g.login()
	for i := range garbageSubsMax + 1 + g.rnd.IntN(1000) {
		g.say("SUB junk.%s.%d %d\r\n", g.name, i, i)
	}
}

// connects repeats CONNECT, with other values and subscriptions between.
func (g *garbageClient) connects() {
	for i := range 1 + g.rnd.IntN(5) {
		g.login()
		g.say("SUB junk.%d.* %d\r\nPUB junk.%d.x 2\r\nhi\r\nPING\r\n", i, i, i)
	}
}
