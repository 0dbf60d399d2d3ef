package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/jetstream"
	"github.com/lockstepmq/lockstep/storage"
)

// JetStream has an account of its own, so that no client of the others sees its messages.
const (
	jsUser    = "j-free"
	jsAccount = "J"
	jsDisk    = "jetstream"
	jsBytes   = 64 << 20 // that JetStream may use
)

// JSPlan says what is done with JetStream, and what its disk does.
type JSPlan struct {
	Sizes  jetstream.Sizes
	Think  time.Duration // mean pause of a client between two operations
	Disk   storage.DiskFaults
	Loads  []string // names of the workloads
	Memory bool     // one of the streams is kept in memory

	CrashPer   float64 // probability of a crash at a disk operation
	RecoverPer float64 // the same while the server starts
	Power      float64 // of these, how many lose power

	Full time.Duration // mean time between two times at which the disk is full for a while; 0 is never

	Window   time.Duration // of deduplication
	Limit    int           // how many messages limits allow
	History  int           // values of a key
	MaxAge   time.Duration
	AckWait  time.Duration
	Deliver  int // at most, of a message; 0 is no limit
	Variants [8]int
	Rot      int // decides whether the disk rots when all is over, and how
}

// drawJS decides whether the run has JetStream, and how it is used.
func (p *Plan) drawJS(rnd *rand.Rand) {
	on := rnd.IntN(2) == 0
	js := newJSPlan(rnd, p)
	if p.Profile == Streams {
		p.Token, p.Chaos = false, p.Chaos/2
	}
	if (on || p.Profile == Streams) && !p.Token {
		p.JS = js
	}
}

func newJSPlan(rnd *rand.Rand, p *Plan) *JSPlan {
	j := &JSPlan{Think: logTime(rnd, 10*time.Millisecond, 120*time.Millisecond)}
	j.Sizes = jetstream.Sizes{
		Segment: 1 << (10 + rnd.IntN(7)), Checkpoint: 1 << (9 + rnd.IntN(9)), Block: 256 << rnd.IntN(7),
		Cache: 1 << (10 + rnd.IntN(10)), OpenFiles: 4 + rnd.IntN(20),
	}
	j.Sizes.Log = j.Sizes.Segment * int64(1+rnd.IntN(4))
	j.Disk.WriteTime, j.Disk.SyncTime = logTime(rnd, time.Microsecond, time.Millisecond), logTime(rnd, 10*time.Microsecond, 5*time.Millisecond)
	j.Disk.ReadTime, j.Disk.NameTime = j.Disk.WriteTime, j.Disk.SyncTime
	on := func(least, most float64) float64 {
		if x := rnd.Float64(); rnd.IntN(2) == 0 {
			return least + x*(most-least)
		}
		return 0
	}
	faults := p.Profile == Streams || p.Profile == Swarm || p.Profile == Disk
	crash, recover, power := on(0.0002, 0.003), on(0, 0.03), rnd.Float64()
	writeError, full, syncError, hang, miss := on(0, 0.0005), on(0, 0.0005), on(0, 0.001), on(0, 0.0003), on(0, 1)
	if faults && len(p.Rates) > 0 || p.Profile == Streams || p.Profile == Disk {
		j.CrashPer, j.RecoverPer, j.Power = crash, recover, power
		j.Disk.WriteError, j.Disk.WriteFull, j.Disk.SyncError = writeError, full, syncError
		j.Disk.Hang, j.Disk.HangMin, j.Disk.HangMax = hang, 10*time.Millisecond, 4*time.Second
	}
	j.Disk.CacheMiss = miss
	for _, l := range jsLoads[:jsLoadsFirst] {
		if rnd.IntN(3) > 0 {
			j.Loads = append(j.Loads, l.name)
		}
	}
	if len(j.Loads) == 0 {
		j.Loads = append(j.Loads, jsLoads[rnd.IntN(jsLoadsFirst)].name)
	}
	j.Memory = rnd.IntN(4) == 0
	j.Window = logTime(rnd, 500*time.Millisecond, 2*time.Minute)
	j.Limit, j.History = 1+rnd.IntN(20), 1+rnd.IntN(4)
	j.MaxAge, j.AckWait = logTime(rnd, time.Second, time.Minute), logTime(rnd, 300*time.Millisecond, 8*time.Second)
	if rnd.IntN(3) == 0 {
		j.Deliver = 1 + rnd.IntN(4)
	}
	for i := range j.Variants {
		j.Variants[i] = rnd.IntN(1 << 16)
	}
	j.Rot = rnd.IntN(1 << 16)
	for _, l := range jsLoads[jsLoadsFirst:] { // they came later: what was drawn before stays
		if rnd.IntN(3) == 0 {
			j.Loads = append(j.Loads, l.name)
		}
	}
	if rnd.IntN(4) > 0 {
		j.Sizes.Window = 512 << rnd.IntN(12)
	}
	if v := j.Variants[6]; v%4 > 0 {
		j.Sizes.Ease = 64 << (v / 4 % 8)
	}
	if v := j.Variants[7]; v%3 == 0 && (p.Profile == Streams || p.Profile == Swarm && len(p.Rates) > 0) {
		j.Full = time.Duration(2+v/3%16) * time.Second
	}
	return j
}

// jsWorld is what the world knows of JetStream.
type jsWorld struct {
	w       *World
	plan    JSPlan
	disk    *storage.SimDisk
	rnd     *rand.Rand
	clients []*jsClient
	loads   []jsLoad
	hist    js.History
	lives   int           // that got as far as to serve
	serving bool          // the present life does
	failed  int           // lives that the disk ended
	rotten  bool          // files were damaged: that JetStream does not serve is no violation
	refused error         // why it does not
	row     int           // crashes without serving in between
	wall    time.Time     // the server's clock as seen last
	healed  time.Duration // when everything was made good
	ops     map[string]int
}

func newJSWorld(w *World) *jsWorld {
	j := &jsWorld{w: w, plan: *w.plan.JS, disk: storage.NewSimDisk(w.sim, jsDisk), rnd: w.sim.Rand("jetstream"), ops: map[string]int{}}
	j.hist.Deaths = make(map[int]time.Duration)
	j.hist.Settling = time.Second
	if j.plan.Disk.Hang > 0 || j.plan.Disk.WriteFull > 0 || j.plan.Full > 0 || slices.ContainsFunc(w.plan.Rates, func(r Rate) bool { return r.Family == "pause" || r.Family == "suspend" }) {
		j.hist.Settling = 30 * time.Second // the disk or the machine stands still, or records wait for space, which is looked for once a second
	}
	return j
}

// store is the disk of the next life.
func (j *jsWorld) store() server.Store {
	return server.Store{
		Open: func(*server.Options) (storage.FS, error) { return j.disk.Mount(), nil },
		Dir:  "/store/jetstream", Memory: jsBytes, Disk: jsBytes, Sizes: j.plan.Sizes,
	}
}

// start lets a new life of the server recover its streams, and then listen.
func (j *jsWorld) start(p *process) {
	j.serving = false
	p.server.StartJetStream(func(err error) {
		if j.w.process != p {
			return
		}
		if err == nil {
			err = p.server.Listen()
		}
		if err != nil {
			j.fail(p, err)
			return
		}
		j.lives++
		j.serving, j.row = true, 0
		j.hist.Lives = append(j.hist.Lives, j.serverNow())
		j.w.note(clock.LevelFault, "JetStream serves, life %d", j.lives)
	})
}

// fail ends a life that the disk does not let serve.
func (j *jsWorld) fail(p *process, err error) {
	j.w.note(clock.LevelFault, "JetStream does not serve: %v", err)
	if j.rotten {
		j.refused = err
		return
	}
	j.failed++
	if !j.faulty() {
		j.w.violate(js.NoDamage, "JetStream does not serve on a disk that failed nothing since it started: %v", err)
	}
	j.w.sim.After(0, nil, clock.KindFault, func() {
		if j.w.process == p && !p.ending {
			j.w.resume()
			j.w.endProcess(false)
			j.w.restartAfter(logTime(j.rnd, 10*time.Millisecond, time.Second))
		}
	})
}

// faulty tells whether the disk has failed an operation in the present life.
func (j *jsWorld) faulty() bool { return j.diskFaults() != j.faultsAtStart() }

func (j *jsWorld) faultsAtStart() uint64 {
	if j.w.process == nil {
		return 0
	}
	return j.w.process.diskFaults
}

// diskFaults counts what the disk has refused so far.
func (j *jsWorld) diskFaults() uint64 {
	n := uint64(0)
	for _, f := range [...]storage.SimFault{storage.FaultWriteError, storage.FaultFull, storage.FaultSyncError, storage.FaultReadError, storage.FaultBadSector} {
		n += j.disk.Count(f)
	}
	return n
}

// mayCrash decides at each disk operation whether the machine dies there.
func (j *jsWorld) mayCrash(op storage.DiskOp) storage.CrashPoint {
	p := j.plan.CrashPer
	if op.Kind == storage.OpRemove { // what is let go of must not be needed any more
		p *= 15
	}
	if !j.serving {
		if p = j.plan.RecoverPer; j.row >= 5 {
			p = 0
		}
	}
	if p == 0 || !j.w.chaos || j.w.process == nil || j.rnd.Float64() >= p {
		return storage.CrashPoint{}
	}
	point := storage.CrashPoint{Stage: storage.CrashStage(1 + j.rnd.IntN(3)), Power: j.rnd.Float64() < j.plan.Power}
	j.w.count("crash at a disk operation")
	j.row++
	j.w.resume()
	j.w.killProcess(point.Power)
	j.w.restartAfter(logTime(j.rnd, time.Millisecond, time.Second))
	return point
}

// watch ends a life in which JetStream has given up, as an operator would.
func (j *jsWorld) watch() {
	p := j.w.process
	if p == nil || p.ending || j.rotten || p.server.JetStream() == nil {
		return
	}
	if list := p.server.JetStream().Problems(); len(list) > 0 {
		j.fail(p, fmt.Errorf("stream %q: %w", list[0].Stream, list[0].Err))
	}
}

// fillLater has the disk be full from time to time, for a while, as long as there are faults. Half of the time there is room
// for a little, so that one who waits for space may find some when others do not.
func (j *jsWorld) fillLater() {
	rnd := j.w.sim.Rand("faults/full-disk")
	j.after(time.Duration(rnd.ExpFloat64()*float64(j.plan.Full)), func() {
		if !j.w.chaos {
			j.fillLater()
			return
		}
		j.w.count("full-disk")
		f := j.plan.Disk
		if f.WriteFull = 1; rnd.IntN(2) == 0 {
			f.WriteFull, f.Capacity = j.plan.Disk.WriteFull, j.disk.Used()+rnd.Int64N(32<<10)
		}
		j.disk.SetFaults(f)
		j.after(logTime(rnd, 300*time.Millisecond, 8*time.Second), func() {
			j.disk.SetFaults(j.plan.Disk)
			j.fillLater()
		})
	})
}

// after runs fn unless the disk was made good before.
func (j *jsWorld) after(d time.Duration, fn func()) {
	j.w.sim.After(d, nil, clock.KindFault, func() {
		if j.healed == 0 {
			fn()
		}
	})
}

// heal makes the disk good.
func (j *jsWorld) heal() {
	f := j.plan.Disk
	f.WriteError, f.WriteFull, f.SyncError, f.ReadError, f.Hang = 0, 0, 0, 0, 0
	j.disk.SetFaults(f)
	j.healed = j.w.sim.Now()
}

// configText is what the configuration says of JetStream.
func (p *Plan) jsText() string {
	if p.JS == nil {
		return ""
	}
	return fmt.Sprintf("jetstream {store_dir: \"/store\", max_mem: %d, max_file: %d}\n", jsBytes, jsBytes)
}

func (p *Plan) jsAccountText() string {
	if p.JS == nil {
		return ""
	}
	return fmt.Sprintf("  %s {\n    jetstream: enabled\n    users: [{%s}]\n  }\n", jsAccount, p.userText(jsUser))
}

// awaitJS lets the server recover its streams for the first time.
func (w *World) awaitJS(advance func(time.Duration)) {
	if w.js != nil && !w.js.wait(advance, setUpMax, func() bool { return w.js.serving }) {
		w.violate(js.NoDamage, "JetStream does not start on an empty disk")
	}
	if w.js != nil && w.js.plan.Full > 0 {
		w.js.fillLater()
	}
}

// watchJS looks after JetStream as an operator would.
func (w *World) watchJS() {
	if w.js != nil {
		w.js.watch()
		w.js.sampleWall()
	}
}
