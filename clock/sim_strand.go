package clock

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// SimStrand is a strand of a simulated machine.
type SimStrand struct {
	clock *SimClock
	name  string
	nth   int // among strands of this name
	id    uint64
	wake  SimEvent // armed while tasks are queued
	queue []simTask
	head  int
	busy  time.Duration // until when the last task keeps the strand
	rands []purposeRand
}

// simTask is a posted function, or the firing of a timer.
type simTask struct {
	fn    func()
	timer *simTimer
	gen   uint64
}

// NewStrand makes a strand. Of strands with one name each has its own randomness,
// in the order of their making.
func (c *SimClock) NewStrand(name string) Strand {
	st := &SimStrand{clock: c, name: name, nth: c.names[name]}
	c.names[name] = st.nth + 1
	st.id, _ = seedKey(c.id, name, strconv.Itoa(st.nth))
	st.wake = SimEvent{sim: c.sim, owner: c, strand: st, kind: KindTask, fn: st.step}
	return st
}

// Name is what NewStrand was given.
func (st *SimStrand) Name() string { return st.name }

// Clock is the machine that the strand belongs to.
func (st *SimStrand) Clock() *SimClock { return st.clock }

// Post queues task.
func (st *SimStrand) Post(task func()) { st.push(simTask{fn: task}) }

// PostFrom is Post: in simulation nobody has to be woken.
func (st *SimStrand) PostFrom(_ Strand, task func()) { st.push(simTask{fn: task}) }

// Run is Post for an event of the world: it runs task at once when no task runs now
// and this strand is free to, which saves an event.
func (st *SimStrand) Run(task func()) {
	if st.clock.dead {
		return
	}
	if st.clock.sim.running == nil && !st.clock.paused && st.idle() {
		st.clock.sim.trace.Fold(st.id)
		st.exec(task)
		return
	}
	st.push(simTask{fn: task})
}

// Rand is the strand's generator for purpose.
func (st *SimStrand) Rand(purpose string) *rand.Rand {
	for i := range st.rands {
		if st.rands[i].purpose == purpose {
			return st.rands[i].rand
		}
	}
	g := rand.New(newPCG(st.clock.sim.seed, st.clock.key("strand", st.name, strconv.Itoa(st.nth), purpose)...))
	st.rands = append(st.rands, purposeRand{purpose, g})
	return g
}

func (st *SimStrand) idle() bool {
	return st.head == len(st.queue) && st.busy <= st.clock.sim.now
}

func (st *SimStrand) push(t simTask) {
	if st.clock.dead {
		return
	}
	st.queue = append(st.queue, t)
	if !st.wake.Armed() && st.clock.sim.running != st {
		st.wake.ResetAt(st.busy)
	}
}

// step runs the next task.
func (st *SimStrand) step() {
	t := st.queue[st.head]
	st.queue[st.head] = simTask{}
	st.head++
	if st.head == len(st.queue) {
		st.queue, st.head = st.queue[:0], 0
	} else if st.head >= 64 && st.head > len(st.queue)/2 {
		n := copy(st.queue, st.queue[st.head:])
		clear(st.queue[n:])
		st.queue, st.head = st.queue[:n], 0
	}
	switch {
	case t.timer == nil:
		st.exec(t.fn)
	case t.timer.gen == t.gen:
		st.exec(t.timer.task)
	default:
		st.rearm()
	}
}

// exec runs one task on the strand, whichever event brought it.
func (st *SimStrand) exec(task func()) {
	st.clock.sim.running = st
	defer st.ended()
	task()
}

// ended comes after a task, and ends the unwinding of one that crashed its machine.
func (st *SimStrand) ended() {
	st.clock.sim.running = nil
	if st.clock.dead {
		st.queue, st.head = nil, 0
		if p := recover(); p != nil {
			if c, ok := p.(crash); !ok || c.clock != st.clock {
				panic(p)
			}
		}
		return
	}
	if d := st.clock.drawCost(); d > 0 {
		st.busy = st.clock.sim.now + d
	}
	st.rearm()
}

func (st *SimStrand) rearm() {
	if st.head < len(st.queue) && !st.wake.Armed() {
		st.wake.ResetAt(st.busy)
	}
}

// simTimer fires by the monotonic clock of its machine.
type simTimer struct {
	strand   *SimStrand
	task     func()
	gen      uint64 // rises with every Reset and Stop
	ev       SimEvent
	deadline time.Duration // monotonic
	late     time.Duration
}

// NewTimer makes a stopped timer.
func (st *SimStrand) NewTimer(task func()) Timer {
	t := &simTimer{strand: st, task: task}
	t.ev = SimEvent{sim: st.clock.sim, owner: st.clock, strand: st, timer: t, kind: KindTimer, fn: t.fire}
	return t
}

func (t *simTimer) Reset(d time.Duration) {
	c := t.strand.clock
	t.gen++
	if c.dead {
		return
	}
	t.late = 0
	if d > 0 && c.lateMax > 0 {
		t.late = time.Duration(c.late.Int64N(int64(c.lateMax) + 1))
	}
	t.deadline = c.Monotonic() + max(d, 0)
	t.place()
}

func (t *simTimer) Stop() {
	t.gen++
	t.ev.Stop()
}

// place arms the timer's event for its deadline.
func (t *simTimer) place() {
	at := t.strand.clock.virtual(t.deadline)
	if at < never-t.late {
		at += t.late
	}
	t.ev.ResetAt(at)
}

func (t *simTimer) fire() {
	st := t.strand
	if st.idle() {
		st.exec(t.task)
		return
	}
	st.push(simTask{timer: t, gen: t.gen})
}
