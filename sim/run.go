package sim

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
)

// Options of a run.
type Options struct {
	Seed    uint64
	Profile Profile
	// Level and Sink are for the trace; a nil Sink hears nothing.
	Level clock.Level
	Sink  clock.Sink
	// Until ends the run early, at this virtual time; 0 is the normal end. A run
	// that was cut is not judged.
	Until time.Duration
	// Log makes the server's log part of the trace.
	Log bool
}

// Result is what became of a run.
type Result struct {
	Seed       uint64           `json:"seed"`
	Profile    Profile          `json:"profile"`
	Virtual    float64          `json:"virtual_seconds"`
	Wall       float64          `json:"wall_seconds"`
	Events     uint64           `json:"events"`
	Faults     map[string]int   `json:"faults"`
	Operations map[string]int   `json:"operations"`
	TraceHash  string           `json:"trace_hash"`
	Result     string           `json:"result"` // "ok", "failed", "vacuous", "cut"
	Violations []core.Violation `json:"violations"`

	Plan    Plan          `json:"-"`
	History *core.History `json:"-"`
	Vacuous []string      `json:"-"` // which floors were missed
}

// Phases' lengths of virtual time.
const (
	setUpMax  = 20 * time.Second
	settleMax = 90 * time.Second
	quietStep = 250 * time.Millisecond
	boundStep = 100 * time.Millisecond // between two looks at what is pending
	// Answers to service requests are waited for two minutes, and lingered over.
	drainMax = 3 * time.Minute
)

// Run carries out the run of a seed: set-up, chaos, heal, settle, audit.
func Run(o Options) *Result {
	plan := NewPlan(o.Seed, o.Profile, clock.NewSim(o.Seed).Rand("plan"))
	return RunPlan(plan, o)
}

// RunPlan is Run with a plan that was changed by hand.
func RunPlan(plan Plan, o Options) *Result {
	w := NewWorld(plan)
	w.trace.SetSink(o.Level, o.Sink)
	if o.Log {
		w.logger = &traceLog{w.trace}
	}
	r := &Result{Seed: o.Seed, Profile: o.Profile, Plan: plan, Violations: []core.Violation{}}
	cut := !w.protect(func() { w.phases(o.Until) })
	r.Virtual = w.sim.Now().Seconds()
	r.Events = w.sim.Events()
	r.TraceHash = fmt.Sprintf("%016x", w.trace.Hash())
	r.History = &w.rec.h
	w.summarize(r)
	if cut && len(w.found) == 0 {
		r.Result = "cut"
		return r
	}
	w.verdict(r)
	return r
}

// cutShort unwinds a run that reached its --until.
type cutShort struct{}

// protect turns a panic into a violation; it is false when the run was cut.
func (w *World) protect(fn func()) (whole bool) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, ok := p.(cutShort); ok {
			return
		}
		w.violate(core.CrashFree, "panic at %v: %v\n%s", w.sim.Now(), p, trimStack(string(debug.Stack())))
	}()
	fn()
	return true
}

// trimStack leaves out addresses and arguments, which change from run to run, and the frames
// of the panic itself.
func trimStack(stack string) string {
	var out []string
	for _, line := range strings.Split(stack, "\n") {
		if !strings.HasPrefix(line, "\t") || strings.Contains(line, "/runtime/") {
			continue
		}
		line, _, _ = strings.Cut(strings.TrimSpace(line), " +0x")
		if i := strings.LastIndex(line, "/lockstep"); i < 0 && len(out) > 30 {
			break
		}
		out = append(out, line)
	}
	return strings.Join(out[:min(len(out), 16)], "\n")
}

func (w *World) phases(until time.Duration) {
	advance := func(d time.Duration) {
		end := w.sim.Now() + d
		if until > 0 && end >= until {
			w.sim.RunUntil(until)
			panic(cutShort{})
		}
		w.sim.RunUntil(end)
	}
	if w.cluster != nil {
		w.cluster.phases(advance)
		return
	}
	if w.replicas != nil {
		w.replicas.phases(advance)
		return
	}
	if err := w.StartServer(); err != nil {
		w.violate(core.CrashFree, "%v", err)
		return
	}
	w.awaitJS(advance)
	w.markClean()
	w.setUp(advance)
	w.note(clock.LevelFault, "chaos begins")
	w.startFaults()
	w.startScript()
	for left := w.plan.Chaos; left > 0; left -= boundStep {
		advance(boundStep)
		w.watchBounds()
		w.watchJS()
	}
	w.note(clock.LevelFault, "everything heals")
	w.heal()
	w.settle(advance)
	w.audit()
	w.stopJournal(advance)
	w.finishJS(advance)
	w.leave(advance)
	w.rotJS(advance)
}

func (w *World) setUp(advance func(time.Duration)) {
	w.newScripts()
	for _, c := range w.clients {
		c.Connect()
	}
	for range setUpMax / quietStep {
		advance(quietStep)
		if w.allQuiet() {
			break
		}
	}
	if !w.allQuiet() {
		w.violate(core.Reach, "clients do not connect on a healthy network: %s", w.loud())
	}
	for _, c := range w.clients {
		c.StartScript()
	}
	w.startGarbage()
	w.startJournal()
	w.startJS()
}

// settle waits until every client is connected and answered, lets each publish a
// probe, and waits again.
func (w *World) settle(advance func(time.Duration)) {
	for _, c := range w.clients {
		c.paused = true
	}
	if w.waitQuiet(advance); !w.allQuiet() {
		w.violate(core.Reach, "%v after everything was healed clients are still not served: %s", settleMax, w.loud())
		return
	}
	for _, c := range w.clients {
		c.probe()
	}
	w.waitQuiet(advance)
	for _, c := range w.clients { // what the probes made others send is read, too
		c.ping()
		c.send()
	}
	if w.waitQuiet(advance); !w.allQuiet() {
		w.violate(core.Reach, "probes are not answered: %s", w.loud())
	}
	w.waitForgotten(advance)
	advance(2*w.plan.PingInterval + quietStep) // publishers let go of receivers now and then
}

// waitForgotten gives the server the time that it may take to find out about
// connections whose other side is gone. Those of JetStream's clients, who still come and go,
// are not waited for: counted together, one that is yet to come would stand for one that is gone.
func (w *World) waitForgotten(advance func(time.Duration)) {
	most := 5*w.plan.PingInterval + w.plan.WriteDeadline
	for d := time.Duration(0); d < most && w.process != nil && w.known() > w.connected(); d += quietStep {
		advance(quietStep)
	}
}

// connected counts the clients that have a connection, and known those that the server believes in.
func (w *World) connected() int {
	n := 0
	for _, c := range w.clients {
		if c.state == clientReady {
			n++
		}
	}
	return n
}

func (w *World) known() int {
	n := 0
	for _, c := range w.process.server.Broker().Clients() {
		if c.AccountName() != jsAccount {
			n++
		}
	}
	return n
}

func (w *World) waitQuiet(advance func(time.Duration)) {
	for range settleMax / quietStep {
		advance(quietStep)
		if w.allQuiet() {
			return
		}
		w.nudge()
	}
}

// nudge lets clients ask for answers to what they have not asked about.
func (w *World) nudge() {
	for _, c := range w.clients {
		if c.state == clientReady && len(c.pings) == 0 && len(c.open) > 0 {
			c.ping()
			c.send()
		}
	}
}

func (w *World) allQuiet() bool { return w.loud() == "" }

// loud names the clients that are not quiet.
func (w *World) loud() string {
	var names []string
	for _, c := range w.clients {
		if !c.quiet() && !c.stopped {
			names = append(names, fmt.Sprintf("%s (%s, %d pings open)", c.name, [...]string{"down", "dialing", "greeting", "ready"}[c.state], len(c.pings)))
		}
	}
	return strings.Join(names, ", ")
}

// leave ends all clients and sees what the server keeps of them.
func (w *World) leave(advance func(time.Duration)) {
	for _, c := range w.clients {
		c.stopped = true
		if c.conn != nil {
			c.conn.Close(nil)
		}
	}
	if w.js != nil {
		for _, c := range w.js.clients {
			c.stop()
		}
	}
	advance(drainMax)
	w.checkClean()
}

// verdict judges the history and names the result.
func (w *World) verdict(r *Result) {
	r.Violations = append(r.Violations, w.found...)
	verdict := core.Check(&w.rec.h)
	r.Violations = append(r.Violations, verdict.Violations...)
	streams := w.judgeJS()
	r.Violations = append(r.Violations, streams.Violations...)
	verdict.Registers += streams.Registers
	verdict.Inconclusive += streams.Inconclusive
	r.Operations["registers"], r.Operations["inconclusive"] = verdict.Registers, verdict.Inconclusive
	if verdict.Inconclusive*100 > verdict.Registers && verdict.Inconclusive > 1 {
		r.Vacuous = append(r.Vacuous, fmt.Sprintf("%d of %d searches ran out of time", verdict.Inconclusive, verdict.Registers))
	}
	core.SortViolations(r.Violations)
	switch {
	case len(r.Violations) > 0:
		r.Result = "failed"
	case len(r.Vacuous) > 0:
		r.Result = "vacuous"
	default:
		r.Result = "ok"
	}
}
