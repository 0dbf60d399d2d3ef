package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/storage"
)

const (
	replicaServers = 3
	// foundMax is how long servers that have just started may take to create their first streams.
	foundMax = 60 * time.Second
	// convergeMax is how long replicas may take, once all is well, to be equal.
	convergeMax = 60 * time.Second
)

// ReplicasPlan says what JetStream on several servers is like.
type ReplicasPlan struct {
	Cluster  ClusterPlan // how the servers are joined
	Rates    []Rate
	CrashPer float64 // probability of a crash at a disk operation
	Power    float64 // of crashes, how many lose power
}

// replicaLoads are the workloads that streams of several servers have.
var replicaLoads = []string{"log", "kv", "consume", "work", "limits"}

// drawReplicas makes the plan that of JetStream on several servers.
func (p *Plan) drawReplicas(rnd *rand.Rand) {
	if p.Profile != Replicas {
		return
	}
	r := &ReplicasPlan{Cluster: ClusterPlan{
		Servers: replicaServers, Pool: []int{-1, 1, 3}[rnd.IntN(3)], Compression: []string{"accept", "off", "s2_fast"}[rnd.IntN(3)],
		PingInterval: time.Duration(1+rnd.IntN(10)) * time.Second, Seeds: replicaServers,
	}}
	quiet := rnd.IntN(8) == 0
	for _, f := range replicaFamilies {
		if on, rate := rnd.IntN(2) == 0, logRate(rnd, f.min, f.max); on && !quiet {
			r.Rates = append(r.Rates, Rate{f.name, rate})
		}
	}
	r.Power = rnd.Float64()
	if on, crash := rnd.IntN(3) == 0, 0.0001+rnd.Float64()*0.0006; on && !quiet {
		r.CrashPer = crash
	}
	p.Replicas, p.Cluster, p.Journal, p.Script, p.Rates = r, nil, nil, "", nil
	p.Token, p.TLS, p.Proxy, p.NoStall, p.Garbage, p.Clients = false, "", false, false, 0, 0
	p.Link.Bandwidth, p.Refuse, p.Slow, p.Lateness = 0, 0, 0, 0
	p.Chaos = min(p.Chaos, 30*time.Second)
	j := newJSPlan(rnd, p)
	j.Disk.WriteError, j.Disk.WriteFull, j.Disk.SyncError, j.Disk.Hang = 0, 0, 0, 0
	j.CrashPer, j.RecoverPer, j.Full, j.Memory = 0, 0, 0, false
	j.Think = max(j.Think, 20*time.Millisecond)
	j.Loads = nil
	for _, name := range replicaLoads {
		if rnd.IntN(2) == 0 {
			j.Loads = append(j.Loads, name)
		}
	}
	if len(j.Loads) == 0 {
		j.Loads = append(j.Loads, replicaLoads[rnd.IntN(len(replicaLoads))])
	}
	p.JS = j
}

// replicasWorld is JetStream on several servers. Clients and what is judged of them are those of one server.
type replicasWorld struct {
	w     *World
	js    *jsWorld
	plan  ReplicasPlan
	nodes []*replicaNode
	eras  int
	rnd   *rand.Rand // of crashes at disk operations
	found bool       // streams have been created
	lives int
	// compared counts messages that were compared between servers.
	compared int
}

// replicaNode is one server.
type replicaNode struct {
	name    string
	index   int
	disk    *storage.SimDisk
	process *process // nil while it is down
	serving bool     // the present life
	row     int      // crashes without serving in between
}

func newReplicasWorld(w *World) *replicasWorld {
	r := &replicasWorld{w: w, js: w.js, plan: *w.plan.Replicas, rnd: w.sim.Rand("faults/disk-crash")}
	for i := range replicaServers {
		n := &replicaNode{name: nodeName(i), index: i}
		n.disk = storage.NewSimDisk(w.sim, jsDisk+"-"+n.name)
		n.disk.SetFaults(r.js.plan.Disk)
		n.disk.Hook = func(storage.DiskOp) storage.CrashPoint { return r.mayCrash(n) }
		r.nodes = append(r.nodes, n)
	}
	r.js.serving = true // some server does, mostly
	r.js.hist.Settling = 30 * time.Second
	return r
}

// copies is how many servers a stream has.
func (w *World) copies() int {
	if w.replicas == nil {
		return 1
	}
	return replicaServers
}

// someProcess is a server that runs; nil when none does.
func (w *World) someProcess() *process {
	if w.replicas == nil {
		return w.process
	}
	for _, n := range w.replicas.nodes {
		if n.process != nil {
			return n.process
		}
	}
	return nil
}

// address is where a client connects to now.
func (c *jsClient) address() string {
	host := serverHost
	if r := c.w.replicas; r != nil {
		host = r.nodes[c.rnd.IntN(len(r.nodes))].name
	}
	return fmt.Sprintf("%s:%d", host, serverPort)
}

// era numbers what a client is told. Who leads a stream may change at any time, and a new leader knows of
// deliveries only what was logged: each is judged as if its server had ended right after it, unless there are no faults.
func (r *replicasWorld) era() int {
	if !r.faulty() {
		return 1
	}
	r.eras++
	r.js.hist.Deaths[r.eras] = r.w.sim.Now()
	return r.eras
}

// text is the part of a server's configuration about the others.
func (r *replicasWorld) text(of *replicaNode) string {
	c := r.plan.Cluster
	c.Servers = 0 // routes are listed here
	var routes []string
	for _, n := range r.nodes {
		if n != of {
			routes = append(routes, fmt.Sprintf("nats-route://%s:%d", n.name, routePort))
		}
	}
	return strings.Replace(c.text(of.index), "  routes: []\n", fmt.Sprintf("  routes: [%s]\n", quoted(routes)), 1)
}

// start begins a life of a server.
func (r *replicasWorld) start(n *replicaNode) error {
	w := r.w
	o := &server.Options{}
	text := strings.Replace(configText(&w.rec.h.World, &w.plan), "server_name: sim\n", "server_name: "+n.name+"\n", 1) + r.text(n)
	if err := o.ProcessConfigString(text); err != nil {
		return fmt.Errorf("configuration of %s: %w", n.name, err)
	}
	clk := w.sim.Clock(n.name)
	clk.SetTaskCost(w.plan.TaskCost)
	log := logging.NewSwitch()
	if w.logger != nil {
		log.Set(&namedLog{w.trace, n.name})
	}
	store := r.js.store()
	store.Open = func(*server.Options) (storage.FS, error) { return n.disk.Mount(), nil }
	s, err := server.NewInWorld(o, server.World{Clock: clk, Network: w.net.Host(n.name), Log: log, Store: store})
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	w.epoch++
	w.epochs[s.Broker().Identity().ServerID] = w.epoch
	p := &process{server: s, clock: clk}
	n.process, n.serving = p, false
	r.lives++
	if r.lives > replicaServers {
		w.restarts++
	}
	w.note(clock.LevelFault, "%s started, life %d", n.name, w.epoch)
	s.StartJetStream(func(err error) {
		if n.process != p {
			return
		}
		if err == nil {
			err = s.Listen()
		}
		if err != nil {
			w.violate(js.NoDamage, "JetStream of %s does not serve: %v", n.name, err)
			return
		}
		n.serving, n.row = true, 0
		r.js.lives++
		w.note(clock.LevelFault, "JetStream of %s serves", n.name)
	})
	return nil
}

// kill ends a server's life at once, and its disk's process.
func (r *replicasWorld) kill(n *replicaNode, power bool) {
	if n.process == nil {
		return
	}
	r.killProcess(n, power)
	if !n.disk.Mounted() {
		return
	}
	if power {
		n.disk.PowerLoss()
	} else {
		n.disk.Crash()
	}
}

// killProcess ends a server's life, all but its disk.
func (r *replicasWorld) killProcess(n *replicaNode, power bool) {
	p := n.process
	r.resume(n)
	n.process, n.serving = nil, false
	if power {
		r.w.net.PowerLoss(n.name)
	} else {
		r.w.net.Kill(n.name)
	}
	p.clock.Kill()
	r.w.note(clock.LevelFault, "%s ends (power is lost: %v)", n.name, power)
}

func (r *replicasWorld) restartAfter(n *replicaNode, d time.Duration) {
	r.w.sim.After(d, nil, clock.KindFault, func() {
		if n.process == nil {
			if err := r.start(n); err != nil {
				r.w.violate(core.CrashFree, "a server does not start again: %v", err)
			}
		}
	})
}

// phases is the run: set-up, chaos, heal, drain, audit, power loss of all, audit.
func (r *replicasWorld) phases(advance func(time.Duration)) {
	w := r.w
	for _, n := range r.nodes {
		if err := r.start(n); err != nil {
			w.violate(core.CrashFree, "%v", err)
			return
		}
	}
	w.startJS()
	r.found = r.js.wait(advance, foundMax, r.created)
	if !r.found {
		w.violate(js.Majority, "%v are not enough for servers that are well to create streams", foundMax)
		return
	}
	w.note(clock.LevelFault, "chaos begins")
	r.startFaults()
	for left := w.plan.Chaos; left > 0; left -= boundStep {
		advance(boundStep)
		r.watch()
	}
	w.note(clock.LevelFault, "everything heals")
	r.heal()
	r.finish(advance)
}

// created tells whether all streams are there.
func (r *replicasWorld) created() bool {
	for _, l := range r.js.loads {
		for _, s := range l.streams() {
			if !s.created {
				return false
			}
		}
	}
	return true
}

// watch reports servers that have given up a stream.
func (r *replicasWorld) watch() {
	for _, n := range r.nodes {
		if n.process == nil || n.process.server.JetStream() == nil {
			continue
		}
		if list := n.process.server.JetStream().Problems(); len(list) > 0 {
			r.w.violate(js.NoDamage, "%s gave up stream %q on a disk that failed nothing: %v", n.name, list[0].Stream, list[0].Err)
		}
	}
	r.js.sampleWall()
}

// heal ends all faults: links are well, every server runs.
func (r *replicasWorld) heal() {
	w := r.w
	w.chaos = false
	for _, p := range w.parts {
		p.Heal()
	}
	w.parts = nil
	for _, n := range r.nodes {
		r.resume(n)
		n.disk.SetFaults(r.js.plan.Disk)
		if n.process == nil {
			r.restartAfter(n, 0)
		}
	}
	r.js.healed, w.started = w.sim.Now(), w.sim.Now()
}

// finish lets the workloads drain, compares the servers and reads every stream; then power is lost everywhere,
// and all is done again.
func (r *replicasWorld) finish(advance func(time.Duration)) {
	w, j := r.w, r.js
	for _, l := range j.loads {
		l.calm()
	}
	if !j.wait(advance, jsDrainMax, j.settled) {
		w.violate(js.Moves, "%v after everything was healed JetStream still does not serve everybody: %s", jsDrainMax, j.unsettled())
		return
	}
	for _, c := range j.clients {
		c.paused = true
	}
	j.wait(advance, jsTimeout*2, j.idle)
	for _, h := range j.hist.Streams {
		h.Settled = j.serverNow()
	}
	auditor := j.newClient("js-auditor")
	for round := range 2 {
		if round > 0 {
			w.note(clock.LevelFault, "audit: power is lost everywhere")
			for _, n := range r.nodes {
				r.kill(n, true)
				r.restartAfter(n, time.Duration(j.rnd.Int64N(int64(time.Second))))
			}
			advance(2 * time.Second)
			w.started = w.sim.Now()
		}
		if !r.converge(advance) {
			return
		}
		if !j.wait(advance, jsAuditMax, auditor.idle) {
			w.violate(js.Moves, "JetStream does not serve when all is well")
			return
		}
		if !j.audit(advance, auditor, round) {
			return
		}
		r.watch()
	}
}

// summarizeReplicas counts what the servers did.
func (w *World) summarizeReplicas(res *Result) {
	r := w.replicas
	if r == nil {
		return
	}
	res.Operations["replicas_compared"] = r.compared
	for _, n := range r.nodes {
		for _, c := range n.disk.Counts() {
			if c.Count > 0 {
				res.Faults["store: "+c.Fault.String()] += int(c.Count)
			}
		}
	}
}

// floors tells what a run did too little of to prove anything.
func (r *replicasWorld) floors() (missed []string) {
	floor := func(what string, n, least int) {
		if n < least {
			missed = append(missed, fmt.Sprintf("%s: %d, at least %d expected", what, n, least))
		}
	}
	floor("JetStream publishes", r.js.ops["js_publishes"], 20)
	floor("JetStream acks", r.js.ops["js_acks"], 10)
	floor("messages compared between servers", r.compared, 1)
	for _, rate := range r.plan.Rates {
		if expected := rate.PerSecond * r.w.plan.Chaos.Seconds(); expected >= 12 {
			floor("fault "+rate.Family, r.w.faults[rate.Family], 1)
		}
	}
	return missed
}

// namedLog makes a server's log part of the trace.
type namedLog struct {
	t    *clock.Trace
	name string
}

func (l *namedLog) line(level, format string, v []any) {
	l.t.Notef(clock.LevelInfo, l.name, level+" "+format, v...)
}

func (l *namedLog) Noticef(format string, v ...any) { l.line("INF", format, v) }
func (l *namedLog) Warnf(format string, v ...any)   { l.line("WRN", format, v) }
func (l *namedLog) Fatalf(format string, v ...any)  { l.line("FTL", format, v) }
func (l *namedLog) Errorf(format string, v ...any)  { l.line("ERR", format, v) }
func (l *namedLog) Debugf(format string, v ...any)  { l.line("DBG", format, v) }
func (l *namedLog) Tracef(format string, v ...any)  { l.line("TRC", format, v) }

// forgetReads leaves what streams told while there were faults to nobody: a server that does not know yet that another
// leads may answer with what was.
func (r *replicasWorld) forgetReads() {
	if r == nil || !r.faulty() {
		return
	}
	for _, h := range r.js.hist.Streams {
		h.Reads, h.FirstLast = nil, nil
	}
}

// faulty tells whether the plan has any faults.
func (r *replicasWorld) faulty() bool { return len(r.plan.Rates) > 0 || r.plan.CrashPer > 0 }

// mayLose tells whether what waited at a leader since a moment may have ended with it: elections go on for a
// while after faults.
func (r *replicasWorld) mayLose(since time.Duration) bool {
	return r != nil && (r.js.healed == 0 || since < r.w.started+convergeMax/2)
}
