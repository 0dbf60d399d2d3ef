package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// clusterFamily is one kind of fault of a cluster, with rates per second of virtual time.
type clusterFamily struct {
	name     string
	min, max float64
	strike   func(*clusterWorld, *rand.Rand)
}

var clusterFamilies = []clusterFamily{
	{"route-jitter", 0.02, 0.5, (*clusterWorld).strikeJitter},
	{"route-clog", 0.02, 0.4, (*clusterWorld).strikeClog},
	{"route-reset", 0.05, 0.8, (*clusterWorld).strikeReset},
	{"route-half-open", 0.02, 0.2, (*clusterWorld).strikeHalfOpen},
	{"server-partition", 0.02, 0.2, (*clusterWorld).strikePartition},
	{"server-crash", 0.02, 0.2, (*clusterWorld).strikeCrash},
	{"server-stop", 0.02, 0.1, (*clusterWorld).strikeStop},
	{"server-pause", 0.02, 0.2, (*clusterWorld).strikePause},
	{"client-reset", 0.05, 0.8, (*clusterWorld).strikeClientReset},
	{"client-clog", 0.02, 0.2, (*clusterWorld).strikeClientClog},
}

func logRate(rnd *rand.Rand, from, to float64) float64 {
	return math.Exp(math.Log(from) + rnd.Float64()*math.Log(to/from))
}

// startFaults lets every family that is on strike at its rate until the world heals.
func (c *clusterWorld) startFaults() {
	c.w.chaos = true
	for _, rate := range c.plan.Rates {
		for i := range clusterFamilies {
			if f := &clusterFamilies[i]; f.name == rate.Family {
				c.strikeLoop(f, rate.PerSecond, c.w.sim.Rand("faults/"+f.name))
			}
		}
	}
}

func (c *clusterWorld) strikeLoop(f *clusterFamily, rate float64, rnd *rand.Rand) {
	c.w.sim.After(time.Duration(rnd.ExpFloat64()/rate*float64(time.Second)), nil, clock.KindFault, func() {
		if c.w.chaos {
			f.strike(c, rnd)
			c.strikeLoop(f, rate, rnd)
		}
	})
}

// heal ends all faults: links are well, every server runs.
func (c *clusterWorld) heal() {
	w := c.w
	w.chaos = false
	for _, p := range w.parts {
		p.Heal()
	}
	w.parts = nil
	for _, n := range c.nodes {
		c.resume(n)
		if n.process != nil && n.process.ending {
			c.kill(n, false)
		}
		if n.process == nil {
			c.restartAfter(n, 0)
		}
	}
}

// resume ends a pause of a server's machine.
func (c *clusterWorld) resume(n *node) {
	c.w.net.Thaw(n.name)
	if n.process != nil {
		n.process.clock.Resume()
	}
}

func (c *clusterWorld) someNode(rnd *rand.Rand) *node { return c.nodes[rnd.IntN(len(c.nodes))] }

// someWay draws a direction between two servers.
func (c *clusterWorld) someWay(rnd *rand.Rand) (from, to string) {
	i := rnd.IntN(len(c.nodes))
	k := (i + 1 + rnd.IntN(len(c.nodes)-1)) % len(c.nodes)
	return c.nodes[i].name, c.nodes[k].name
}

func (c *clusterWorld) strikeJitter(rnd *rand.Rand) {
	from, to := c.someWay(rnd)
	c.w.count("route-jitter")
	c.w.net.Burst(from, to, logTime(rnd, 10*time.Millisecond, 2*time.Second), logTime(rnd, 100*time.Millisecond, 5*time.Second))
}

func (c *clusterWorld) strikeClog(rnd *rand.Rand) {
	from, to := c.someWay(rnd)
	c.w.count("route-clog")
	c.w.net.Clog(from, to, logTime(rnd, 20*time.Millisecond, 8*time.Second))
}

// somePair draws a connection to a port of any server; nil when there is none.
func (c *clusterWorld) somePair(rnd *rand.Rand, port int) *netsim.SimPair {
	var some []*netsim.SimPair
	for _, p := range c.w.net.Pairs(nil) {
		if p.ServerPort() == port {
			some = append(some, p)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[rnd.IntN(len(some))]
}

func (c *clusterWorld) strikeReset(rnd *rand.Rand) {
	if p := c.somePair(rnd, routePort); p != nil {
		c.w.count("route-reset")
		c.w.net.Reset(p)
	}
}

func (c *clusterWorld) strikeHalfOpen(rnd *rand.Rand) {
	if p := c.somePair(rnd, routePort); p != nil {
		c.w.count("route-half-open")
		c.w.net.HalfOpen(p, rnd.IntN(2) == 0)
	}
}

func (c *clusterWorld) strikeClientReset(rnd *rand.Rand) {
	if p := c.somePair(rnd, serverPort); p != nil {
		c.w.count("client-reset")
		c.w.net.Reset(p)
	}
}

func (c *clusterWorld) strikeClientClog(rnd *rand.Rand) {
	from, to := c.w.clients[rnd.IntN(len(c.w.clients))].name, c.someNode(rnd).name
	if rnd.IntN(2) == 0 {
		from, to = to, from
	}
	c.w.count("client-clog")
	c.w.net.Clog(from, to, logTime(rnd, 20*time.Millisecond, 5*time.Second))
}

// strikePartition cuts one server off from the others, or from one of them, one way or both, for
// a while; clients reach it all the time.
func (c *clusterWorld) strikePartition(rnd *rand.Rand) {
	n, there := c.someNode(rnd), []string(nil)
	for _, o := range c.nodes {
		if o != n {
			there = append(there, o.name)
		}
	}
	if rnd.IntN(2) == 0 {
		there = there[rnd.IntN(len(there)):][:1] // a bridge is left
	}
	here := []string{n.name}
	if rnd.IntN(2) == 0 {
		here, there = there, here
	}
	c.w.count("server-partition")
	p := c.w.net.Partition(here, there, rnd.IntN(2) == 0)
	c.w.parts = append(c.w.parts, p)
	c.w.sim.After(logTime(rnd, 500*time.Millisecond, 20*time.Second), nil, clock.KindFault, p.Heal)
}

func (c *clusterWorld) strikeCrash(rnd *rand.Rand) {
	if n := c.someNode(rnd); n.process != nil {
		c.w.count("server-crash")
		c.resume(n)
		c.kill(n, rnd.IntN(3) == 0)
		c.restartAfter(n, logTime(rnd, 10*time.Millisecond, 10*time.Second))
	}
}

// strikeStop stops a server in good order, or sends its clients away first.
func (c *clusterWorld) strikeStop(rnd *rand.Rand) {
	n := c.someNode(rnd)
	p := n.process
	if p == nil || p.ending {
		return
	}
	c.w.count("server-stop")
	p.ending = true
	duck, wait := rnd.IntN(3) == 0, logTime(rnd, 10*time.Millisecond, 5*time.Second)
	gone := func() {
		c.w.sim.After(0, nil, clock.KindFault, func() {
			if n.process == p {
				c.resume(n)
				c.kill(n, false)
				c.restartAfter(n, wait)
			}
		})
	}
	c.w.sim.After(0, p.clock, clock.KindWorkload, func() {
		if duck {
			p.server.LameDuck(gone)
		} else {
			p.server.Stop(gone)
		}
	})
}

// strikePause stops a server's machine; suspended, its monotonic clock stands still.
func (c *clusterWorld) strikePause(rnd *rand.Rand) {
	n := c.someNode(rnd)
	p := n.process
	if p == nil || p.clock.Paused() {
		return
	}
	c.w.count("server-pause")
	if rnd.IntN(3) == 0 {
		p.clock.Suspend()
		c.w.net.Freeze(n.name)
	} else {
		p.clock.Pause()
	}
	c.w.sim.After(logTime(rnd, 10*time.Millisecond, 20*time.Second), nil, clock.KindFault, func() {
		if n.process == p {
			c.resume(n)
		}
	})
}

// serverAddress is where a client connects to now: mostly where it did before.
func (c *Client) serverAddress() string {
	w := c.w.cluster
	if w == nil {
		return fmt.Sprintf("%s:%d", serverHost, serverPort)
	}
	if c.home == "" || c.rnd.IntN(4) == 0 {
		c.home = w.someNode(c.rnd).name
	}
	return fmt.Sprintf("%s:%d", c.home, serverPort)
}
