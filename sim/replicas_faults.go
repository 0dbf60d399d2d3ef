package sim

import (
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/storage"
)

// replicaFamily is one kind of fault of JetStream on several servers, with rates per second of virtual time.
type replicaFamily struct {
	name     string
	min, max float64
	strike   func(*replicasWorld, *rand.Rand)
}

var replicaFamilies = []replicaFamily{
	{"server-crash", 0.02, 0.2, (*replicasWorld).strikeCrash},
	{"leader-crash", 0.02, 0.2, (*replicasWorld).strikeLeader},
	{"power-loss-of-all", 0.01, 0.08, (*replicasWorld).strikeAll},
	{"server-partition", 0.02, 0.2, (*replicasWorld).strikePartition},
	{"links-cut", 0.01, 0.08, (*replicasWorld).strikeSplit},
	{"route-jitter", 0.02, 0.5, (*replicasWorld).strikeJitter},
	{"route-clog", 0.02, 0.4, (*replicasWorld).strikeClog},
	{"route-reset", 0.05, 0.5, (*replicasWorld).strikeReset},
	{"client-reset", 0.05, 0.5, (*replicasWorld).strikeClientReset},
	{"server-pause", 0.02, 0.2, (*replicasWorld).strikePause},
	{"disk-hang", 0.02, 0.2, (*replicasWorld).strikeHang},
}

// startFaults lets every family that is on strike at its rate until the world heals.
func (r *replicasWorld) startFaults() {
	r.w.chaos = true
	for _, rate := range r.plan.Rates {
		for i := range replicaFamilies {
			if f := &replicaFamilies[i]; f.name == rate.Family {
				r.strikeLoop(f, rate.PerSecond, r.w.sim.Rand("faults/"+f.name))
			}
		}
	}
}

func (r *replicasWorld) strikeLoop(f *replicaFamily, rate float64, rnd *rand.Rand) {
	r.w.sim.After(time.Duration(rnd.ExpFloat64()/rate*float64(time.Second)), nil, clock.KindFault, func() {
		if r.w.chaos {
			f.strike(r, rnd)
			r.strikeLoop(f, rate, rnd)
		}
	})
}

// resume ends a pause of a server's machine.
func (r *replicasWorld) resume(n *replicaNode) {
	r.w.net.Thaw(n.name)
	if n.process != nil {
		n.process.clock.Resume()
	}
}

func (r *replicasWorld) someNode(rnd *rand.Rand) *replicaNode { return r.nodes[rnd.IntN(len(r.nodes))] }

// someWay draws a direction between two servers.
func (r *replicasWorld) someWay(rnd *rand.Rand) (from, to string) {
	i := rnd.IntN(len(r.nodes))
	k := (i + 1 + rnd.IntN(len(r.nodes)-1)) % len(r.nodes)
	return r.nodes[i].name, r.nodes[k].name
}

// mayCrash decides at each disk operation whether the machine dies there.
func (r *replicasWorld) mayCrash(n *replicaNode) storage.CrashPoint {
	if r.plan.CrashPer == 0 || !r.w.chaos || n.process == nil || n.row >= 5 || r.rnd.Float64() >= r.plan.CrashPer {
		return storage.CrashPoint{}
	}
	point := storage.CrashPoint{Stage: storage.CrashStage(1 + r.rnd.IntN(3)), Power: r.rnd.Float64() < r.plan.Power}
	r.w.count("crash at a disk operation")
	n.row++
	r.killProcess(n, point.Power)
	r.restartAfter(n, logTime(r.rnd, time.Millisecond, 5*time.Second))
	return point
}

func (r *replicasWorld) strikeCrash(rnd *rand.Rand) { r.crash(r.someNode(rnd), "server-crash", rnd) }

// strikeLeader ends a server that leads a stream.
func (r *replicasWorld) strikeLeader(rnd *rand.Rand) {
	for range 8 {
		n := r.someNode(rnd)
		if n.process == nil || !n.serving {
			continue
		}
		leads := false
		n.process.server.JetStream().Held(func(_, _ string, s *stream.Stream) { leads = leads || s.Leads() })
		if leads {
			r.crash(n, "leader-crash", rnd)
			return
		}
	}
}

func (r *replicasWorld) crash(n *replicaNode, family string, rnd *rand.Rand) {
	power, d := rnd.Float64() < r.plan.Power, logTime(rnd, 10*time.Millisecond, 10*time.Second)
	if n.process == nil {
		return
	}
	r.w.count(family)
	r.kill(n, power)
	r.restartAfter(n, d)
}

// strikeAll has all servers lose power at once.
func (r *replicasWorld) strikeAll(rnd *rand.Rand) {
	r.w.count("power-loss-of-all")
	for _, n := range r.nodes {
		r.kill(n, true)
		r.restartAfter(n, logTime(rnd, 10*time.Millisecond, 5*time.Second))
	}
}

// strikePartition cuts one server off from the others, or from one of them, one way or both.
func (r *replicasWorld) strikePartition(rnd *rand.Rand) {
	n, there := r.someNode(rnd), []string(nil)
	for _, o := range r.nodes {
		if o != n {
			there = append(there, o.name)
		}
	}
	if rnd.IntN(3) == 0 {
		there = there[rnd.IntN(len(there)):][:1] // a bridge is left
	}
	here := []string{n.name}
	if rnd.IntN(2) == 0 {
		here, there = there, here
	}
	r.w.count("server-partition")
	r.part(here, there, rnd.IntN(3) == 0, rnd)
}

// strikeSplit cuts every server off from every other.
func (r *replicasWorld) strikeSplit(rnd *rand.Rand) {
	r.w.count("links-cut")
	for i, n := range r.nodes {
		for _, o := range r.nodes[i+1:] {
			r.part([]string{n.name}, []string{o.name}, false, rnd)
		}
	}
}

func (r *replicasWorld) part(here, there []string, oneWay bool, rnd *rand.Rand) {
	p := r.w.net.Partition(here, there, oneWay)
	r.w.parts = append(r.w.parts, p)
	r.w.sim.After(logTime(rnd, 500*time.Millisecond, 15*time.Second), nil, clock.KindFault, p.Heal)
}

func (r *replicasWorld) strikeJitter(rnd *rand.Rand) {
	from, to := r.someWay(rnd)
	r.w.count("route-jitter")
	r.w.net.Burst(from, to, logTime(rnd, 10*time.Millisecond, 2*time.Second), logTime(rnd, 100*time.Millisecond, 5*time.Second))
}

func (r *replicasWorld) strikeClog(rnd *rand.Rand) {
	from, to := r.someWay(rnd)
	r.w.count("route-clog")
	r.w.net.Clog(from, to, logTime(rnd, 20*time.Millisecond, 8*time.Second))
}

func (r *replicasWorld) strikeReset(rnd *rand.Rand) { r.reset("route-reset", routePort, rnd) }

func (r *replicasWorld) strikeClientReset(rnd *rand.Rand) { r.reset("client-reset", serverPort, rnd) }

// reset ends a connection to a port of any server.
func (r *replicasWorld) reset(family string, port int, rnd *rand.Rand) {
	pairs := r.w.net.Pairs(nil)
	n := 0
	for _, p := range pairs {
		if p.ServerPort() == port {
			pairs[n] = p
			n++
		}
	}
	if n > 0 {
		r.w.count(family)
		r.w.net.Reset(pairs[rnd.IntN(n)])
	}
}

// strikePause stops a server's machine; suspended, its monotonic clock stands still.
func (r *replicasWorld) strikePause(rnd *rand.Rand) {
	n := r.someNode(rnd)
	p := n.process
	if p == nil || p.clock.Paused() {
		return
	}
	r.w.count("server-pause")
	if rnd.IntN(3) == 0 {
		p.clock.Suspend()
		r.w.net.Freeze(n.name)
	} else {
		p.clock.Pause()
	}
	r.w.sim.After(logTime(rnd, 10*time.Millisecond, 12*time.Second), nil, clock.KindFault, func() {
		if n.process == p {
			r.resume(n)
		}
	})
}

// strikeHang has the disk of a server stand still at every operation, for a while.
func (r *replicasWorld) strikeHang(rnd *rand.Rand) {
	n := r.someNode(rnd)
	r.w.count("disk-hang")
	f := r.js.plan.Disk
	f.Hang, f.HangMin, f.HangMax = 0.2+0.8*rnd.Float64(), 10*time.Millisecond, logTime(rnd, 50*time.Millisecond, 6*time.Second)
	n.disk.SetFaults(f)
	r.w.sim.After(logTime(rnd, 100*time.Millisecond, 5*time.Second), nil, clock.KindFault, func() { n.disk.SetFaults(r.js.plan.Disk) })
}
