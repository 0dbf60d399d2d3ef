package sim

import (
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// Families by their area.
var (
	networkFamilies = []string{"jitter", "clog", "reset", "half-open", "partition", "slow-reader"}
	processFamilies = []string{"crash", "power-loss", "pause", "suspend", "stop", "lame-duck", "wall-jump", "drift", "stuck-clock", "reload", "client-crash"}
)

// streamFamilies are those that JetStream is most in danger from.
var streamFamilies = []string{"reset", "half-open", "clog", "crash", "power-loss", "pause", "stop", "wall-jump", "drift", "stuck-clock"}

// families are all kinds of faults of network and process. Rates are per second of
// virtual time and range over all clients.
var families = []family{
	{"jitter", 0.01, 0.3, (*World).strikeJitter},
	{"clog", 0.02, 0.4, (*World).strikeClog},
	{"reset", 0.05, 1.5, (*World).strikeReset},
	{"half-open", 0.02, 0.3, (*World).strikeHalfOpen},
	{"partition", 0.02, 0.3, (*World).strikePartition},
	{"slow-reader", 0.05, 1, (*World).strikeSlowReader},
	{"crash", 0.02, 0.3, func(w *World) { w.strikeDeath("crash", false) }},
	{"power-loss", 0.02, 0.2, func(w *World) { w.strikeDeath("power-loss", true) }},
	{"pause", 0.02, 0.2, func(w *World) { w.strikePause(false) }},
	{"suspend", 0.01, 0.1, func(w *World) { w.strikePause(true) }},
	{"stop", 0.02, 0.2, (*World).strikeStop},
	{"lame-duck", 0.01, 0.1, (*World).strikeLameDuck},
	{"wall-jump", 0.05, 0.5, (*World).strikeWallJump},
	{"drift", 0.02, 0.1, (*World).strikeDrift},
	{"stuck-clock", 0.02, 0.1, (*World).strikeStuck},
	{"reload", 0.05, 1, func(w *World) { w.count("reload"); w.Reload() }},
	{"client-crash", 0.02, 0.3, (*World).strikeClientCrash},
}

// FaultNames lists the families of network and process faults.
func FaultNames() []string {
	names := make([]string, len(families))
	for i, f := range families {
		names[i] = f.name
	}
	return names
}

// startFaults lets every family that is on strike at its rate until the world heals.
func (w *World) startFaults() {
	w.chaos = true
	w.net.SetConnectFaults(w.plan.Refuse, w.plan.Slow, 2*time.Second)
	for _, rate := range w.plan.Rates {
		for i := range families {
			if families[i].name == rate.Family {
				w.strikeLoop(&families[i], rate.PerSecond)
			}
		}
	}
}

func (w *World) strikeLoop(f *family, rate float64) {
	rnd := w.sim.Rand("faults/" + f.name)
	var next func()
	next = func() {
		w.sim.After(time.Duration(rnd.ExpFloat64()/rate*float64(time.Second)), nil, clock.KindFault, func() {
			if w.chaos {
				f.strike(w)
				next()
			}
		})
	}
	next()
}

// heal ends all faults: links and clocks are well, the server runs.
func (w *World) heal() {
	w.chaos = false
	w.stopGarbage()
	w.net.SetConnectFaults(0, 0, 0)
	for _, p := range w.parts {
		p.Heal()
	}
	w.parts = nil
	profile := w.plan.Link
	profile.Bandwidth = 0
	w.net.SetProfile(profile)
	w.resume()
	if w.js != nil { // a restart hands a stuck clock on
		w.sim.Clock(serverHost).SetStuck(false)
		w.js.heal()
	}
	if w.process != nil && w.process.ending {
		w.endProcess(false)
	}
	if w.process == nil {
		w.restartAfter(0)
	}
}

// resume ends a pause of the server's machine.
func (w *World) resume() {
	w.net.Thaw(serverHost)
	if w.process != nil {
		w.process.clock.Resume()
	}
}

// clientHosts are the machines of all clients.
func (w *World) clientHosts() []string {
	var names []string
	for _, c := range w.clients {
		names = append(names, c.name)
	}
	if w.js != nil {
		for _, c := range w.js.clients {
			names = append(names, c.name)
		}
	}
	return names
}

// someLink draws a direction between a client and the server.
func (w *World) someLink(purpose string) (from, to string) {
	rnd := w.sim.Rand("faults/" + purpose)
	names := w.clientHosts()
	from, to = names[rnd.IntN(len(names))], serverHost
	if rnd.IntN(2) == 0 {
		from, to = to, from
	}
	return from, to
}

func (w *World) strikeJitter() {
	rnd := w.sim.Rand("faults/jitter")
	from, to := w.someLink("jitter")
	w.count("jitter")
	w.net.Burst(from, to, logTime(rnd, 10*time.Millisecond, 2*time.Second), logTime(rnd, 100*time.Millisecond, 5*time.Second))
}

func (w *World) strikeClog() {
	from, to := w.someLink("clog")
	w.count("clog")
	w.net.Clog(from, to, logTime(w.sim.Rand("faults/clog"), 20*time.Millisecond, 8*time.Second))
}

// somePair draws a connection to the server; nil when there is none.
func (w *World) somePair(purpose string) *netsim.SimPair {
	all := w.net.Pairs(nil)
	if len(all) == 0 {
		return nil
	}
	return all[w.sim.Rand("faults/"+purpose).IntN(len(all))]
}

func (w *World) strikeReset() {
	if p := w.somePair("reset"); p != nil {
		w.count("reset")
		w.net.Reset(p)
	}
}

func (w *World) strikeHalfOpen() {
	if p := w.somePair("half-open"); p != nil {
		w.count("half-open")
		w.net.HalfOpen(p, w.sim.Rand("faults/half-open").IntN(2) == 0)
	}
}

func (w *World) strikeSlowReader() {
	if p := w.somePair("slow-reader"); p != nil {
		rnd := w.sim.Rand("faults/slow-reader")
		w.count("slow-reader")
		w.net.SlowReader(p, rnd.IntN(5) > 0, logTime(rnd, 100*time.Millisecond, 20*time.Second))
	}
}

// strikePartition cuts some clients off, one way or both, for a while.
func (w *World) strikePartition() {
	rnd := w.sim.Rand("faults/partition")
	var some []string
	for _, name := range w.clientHosts() {
		if rnd.IntN(2) == 0 {
			some = append(some, name)
		}
	}
	there := []string{serverHost}
	if rnd.IntN(2) == 0 {
		some, there = there, some
	}
	w.count("partition")
	p := w.net.Partition(some, there, rnd.IntN(2) == 0)
	w.parts = append(w.parts, p)
	w.sim.After(logTime(rnd, 500*time.Millisecond, 20*time.Second), nil, clock.KindFault, p.Heal)
}

// strikeDeath ends the server's process, which comes back after a while.
func (w *World) strikeDeath(name string, power bool) {
	if w.process == nil {
		return
	}
	w.count(name)
	w.resume()
	w.endProcess(power)
	w.restartAfter(logTime(w.sim.Rand("faults/"+name), 10*time.Millisecond, 10*time.Second))
}

// strikePause stops the server's machine; suspended, its monotonic clock stands still.
func (w *World) strikePause(suspend bool) {
	p := w.process
	if p == nil || p.clock.Paused() {
		return
	}
	name := "pause"
	if suspend {
		name = "suspend"
	}
	rnd := w.sim.Rand("faults/" + name)
	w.count(name)
	if suspend {
		p.clock.Suspend()
		w.net.Freeze(serverHost)
	} else {
		p.clock.Pause()
	}
	w.sim.After(logTime(rnd, 10*time.Millisecond, 20*time.Second), nil, clock.KindFault, func() {
		if w.process == p {
			w.resume()
		}
	})
}

// strikeStop stops the server in good order; half of the time a crash cuts it short.
func (w *World) strikeStop() {
	p := w.process
	if p == nil || p.ending {
		return
	}
	rnd := w.sim.Rand("faults/stop")
	w.count("stop")
	p.ending = true
	w.sim.After(0, p.clock, clock.KindWorkload, func() { p.server.Stop(func() { w.gone(p) }) })
	if rnd.IntN(2) == 0 {
		w.sim.After(logTime(rnd, 100*time.Microsecond, 50*time.Millisecond), nil, clock.KindFault, func() { w.gone(p) })
	}
}

// strikeLameDuck sends all clients away and stops.
func (w *World) strikeLameDuck() {
	p := w.process
	if p == nil || p.ending {
		return
	}
	w.count("lame-duck")
	p.ending = true
	w.sim.After(0, p.clock, clock.KindWorkload, func() { p.server.LameDuck(func() { w.gone(p) }) })
}

// gone ends the process of a server that has stopped, and starts the next.
func (w *World) gone(p *process) {
	w.sim.After(0, nil, clock.KindFault, func() {
		if w.process != p {
			return
		}
		w.resume()
		w.endProcess(false)
		w.restartAfter(logTime(w.sim.Rand("faults/stop"), 10*time.Millisecond, 5*time.Second))
	})
}

func (w *World) strikeWallJump() {
	rnd := w.sim.Rand("faults/wall-jump")
	d := logTime(rnd, 100*time.Millisecond, time.Hour)
	if rnd.IntN(2) == 0 {
		d = -d
	}
	w.count("wall-jump")
	if w.js != nil {
		w.js.sampleWall()
	}
	w.sim.Clock(serverHost).Jump(d)
	if w.js != nil {
		w.js.sampleWall()
	}
}

func (w *World) strikeDrift() {
	rnd := w.sim.Rand("faults/drift")
	w.count("drift")
	w.sim.Clock(serverHost).SetDrift(rnd.IntN(100_001) - 50_000)
}

func (w *World) strikeStuck() {
	if w.process == nil {
		return
	}
	c := w.process.clock
	w.count("stuck-clock")
	c.SetStuck(true)
	w.sim.After(logTime(w.sim.Rand("faults/stuck-clock"), 100*time.Millisecond, 30*time.Second), nil, clock.KindFault, func() { c.SetStuck(false) })
}

// strikeClientCrash ends a client's process without a word; another one takes its
// place.
func (w *World) strikeClientCrash() {
	rnd := w.sim.Rand("faults/client-crash")
	c := w.clients[rnd.IntN(len(w.clients))]
	w.count("client-crash")
	if rnd.IntN(2) == 0 {
		w.net.PowerLoss(c.name)
	} else {
		w.net.Kill(c.name)
	}
	c.reborn()
}
