// Package sim runs the real server in a simulated world, from one seed.
//
// A [World] owns the event queue, the network, the server's process and the
// clients, which speak the real protocol. Everything runs in the goroutine that
// calls [Run]; there is no other, no wall clock and no chance but the seed's. The
// package injects faults, records what clients saw and hands it to the judges of
// package checks/core. It never looks into the server but for what the failure
// model compares at an audit.
//
// # Randomness
//
// Each purpose has a generator of its own, keyed by its name: plan, topology, one
// for every client's script, one for every family of faults. What is switched off
// draws nothing.
package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/logging"
)

const (
	serverHost = "server"
	serverPort = 4222
)

// World is one simulated world.
type World struct {
	plan    Plan
	sim     *clock.Sim
	net     *netsim.Sim
	trace   *clock.Trace
	rec     recorder
	clients []*Client
	garbage []*garbageClient
	journal *journalLoad
	js      *jsWorld      // nil: the server has no JetStream
	cluster *clusterWorld // nil: there is one server
	// replicas is not nil when JetStream runs on several servers.
	replicas *replicasWorld

	process  *process // nil while the server is down
	epochs   map[string]int
	epoch    int
	started  time.Duration // when the present life began
	restarts int
	faults   map[string]int // by kind, those that the world itself counts
	parts    []*netsim.Partition
	features map[string]int // made use of
	removed  string         // a user that a script takes away
	chaos    bool           // faults may strike
	clean    cleanState
	found    []core.Violation // by the world's own probes
	logger   logging.Logger
}

// process is one life of the server.
type process struct {
	server *server.Server
	clock  *clock.SimClock
	ending bool // a stop or lame duck is under way
	// diskFaults are those of JetStream's disk before it started.
	diskFaults uint64
}

// NewWorld makes the world of a plan. The server does not run yet.
func NewWorld(p Plan) *World {
	s := clock.NewSim(p.Seed)
	w := &World{
		plan: p, sim: s, net: netsim.NewSim(s), trace: s.Trace(),
		epochs: make(map[string]int), faults: make(map[string]int), features: make(map[string]int),
	}
	w.net.SetProfile(p.Link)
	w.net.SetSocketBuffer(p.SocketBuffer)
	w.rec.h.World = newTopology(s.Rand("topology"))
	if p.Token {
		w.rec.h.World = newTokenTopology()
	}
	w.rec.h.World.Drops = p.NoStall
	if p.Cluster != nil {
		w.cluster = newClusterWorld(w)
	}
	if p.JS != nil {
		w.js = newJSWorld(w)
		w.js.disk.Hook = w.js.mayCrash
	}
	if p.Replicas != nil {
		w.replicas = newReplicasWorld(w)
	}
	return w
}

// options reads the configuration as the server's operator wrote it last.
func (w *World) options() (*server.Options, error) { return w.optionsOf(&w.rec.h.World) }

func (w *World) optionsOf(t *core.World) (*server.Options, error) {
	o := &server.Options{}
	if err := o.ProcessConfigString(configText(t, &w.plan)); err != nil {
		return nil, fmt.Errorf("configuration of the simulated server: %w", err)
	}
	w.plan.applyTLS(o)
	return o, nil
}

// StartServer begins a life of the server.
func (w *World) StartServer() error {
	if w.process != nil {
		return fmt.Errorf("the server runs already")
	}
	o, err := w.options()
	if err != nil {
		return err
	}
	c := w.sim.Clock(serverHost)
	c.SetTimerLateness(w.plan.Lateness)
	c.SetTaskCost(w.plan.TaskCost)
	log := logging.NewSwitch()
	log.Set(w.logger)
	world := server.World{Clock: c, Network: w.net.Host(serverHost), Log: log}
	if w.js != nil {
		world.Store = w.js.store()
	}
	s, err := server.NewInWorld(o, world)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	w.epoch++
	w.started = w.sim.Now()
	w.epochs[s.Broker().Identity().ServerID] = w.epoch
	w.process = &process{server: s, clock: c}
	if w.js != nil {
		w.process.diskFaults = w.js.diskFaults()
		w.js.start(w.process)
	} else if err := s.Listen(); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if w.epoch > 1 {
		w.restarts++
	}
	w.note(clock.LevelFault, "server started, life %d", w.epoch)
	return nil
}

// endProcess ends the server's life at once, and its disk's process.
func (w *World) endProcess(power bool) {
	p := w.process
	if p == nil {
		return
	}
	w.killProcess(power)
	if w.js == nil || !w.js.disk.Mounted() {
		return
	}
	switch {
	case power:
		w.js.disk.PowerLoss()
	case p.ending:
		w.js.disk.Unmount()
	default:
		w.js.disk.Crash()
	}
}

// killProcess ends the server's life, all but its disk.
func (w *World) killProcess(power bool) {
	p := w.process
	w.process = nil
	if w.js != nil {
		w.js.hist.Deaths[w.epoch] = w.sim.Now()
	}
	if power {
		w.net.PowerLoss(serverHost)
	} else {
		w.net.Kill(serverHost)
	}
	p.clock.Kill()
}

// restartAfter starts the server again, d from now.
func (w *World) restartAfter(d time.Duration) {
	w.sim.After(d, nil, clock.KindFault, func() {
		if w.process == nil {
			if err := w.StartServer(); err != nil {
				w.violate(core.CrashFree, "the server does not start again: %v", err)
			}
		}
	})
}

// Reload gives the restricted users other permissions and lets the server read
// them, as a task of its own. One in five also changes what may not change while
// the server runs: it must be refused, and change nothing.
func (w *World) Reload() {
	p := w.process
	if p == nil || p.ending {
		return
	}
	rnd := w.sim.Rand("reload")
	w.sim.After(0, p.clock, clock.KindWorkload, func() {
		if w.process != p {
			return
		}
		next := w.rec.h.World
		next.Users = slices.Clone(next.Users)
		at := w.rec.now()
		for i := range next.Users {
			u := &next.Users[i]
			if strings.HasSuffix(u.Name, "-some") && rnd.IntN(3) > 0 {
				u.Versions = append(slices.Clone(u.Versions), core.Version{Since: at, Perms: restrictions[rnd.IntN(len(restrictions))]})
			}
		}
		if rnd.IntN(2) == 0 {
			next.Accounts = toggleImports(next.Accounts, at)
			w.used("stream import toggled")
		}
		w.reload(p, next, rnd.IntN(5) == 0)
	})
}

// toggleImports takes imports away that come and go, or brings them back.
func toggleImports(accounts []core.Account, at core.Stamp) []core.Account {
	accounts = slices.Clone(accounts)
	for i := range accounts {
		a := &accounts[i]
		a.Streams = slices.Clone(a.Streams)
		for k := range a.Streams {
			if im := &a.Streams[k]; len(im.Spans) > 0 {
				im.Spans = append(slices.Clone(im.Spans), core.Span{Since: at, On: !im.Spans[len(im.Spans)-1].On})
			}
		}
	}
	return accounts
}

func (w *World) reload(p *process, next core.World, forbidden bool) {
	o, err := w.optionsOf(&next)
	if err != nil {
		w.violate(core.Reload, "%v", err)
		return
	}
	if forbidden {
		o.MaxSubs = 3
		if p.server.ReloadOptions(o) == nil {
			w.violate(core.Reload, "a reload that changes max_subscriptions was not refused")
		}
		return
	}
	next.Reloads = append(next.Reloads, w.rec.now())
	w.rec.h.World = next
	if err := p.server.ReloadOptions(o); err != nil {
		w.violate(core.Reload, "reload of permissions failed: %v", err)
	}
}

func (w *World) violate(invariant, format string, args ...any) {
	if len(w.found) < 20 {
		w.found = append(w.found, core.Violation{Invariant: invariant, At: w.rec.now(), Detail: fmt.Sprintf(format, args...)})
	}
}

func (w *World) note(level clock.Level, format string, args ...any) {
	w.trace.Notef(level, "world", format, args...)
}

func (w *World) count(fault string) {
	w.faults[fault]++
	w.trace.FoldString(fault)
	w.note(clock.LevelFault, "%s", fault)
}
