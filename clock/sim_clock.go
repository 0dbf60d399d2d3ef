package clock

import (
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Epoch is what a simulated wall clock without offset shows at virtual time zero.
var Epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// driftMax is the widest drift, in parts per million: half or one and a half of the
// true speed.
const driftMax = 500_000

// SimClock is one machine's clock in a simulated world, and the owner of all that
// runs there. It is one incarnation: after Kill nothing of it runs again, and
// Sim.Clock makes the next one under the same name.
type SimClock struct {
	sim         *Sim
	name        string
	incarnation int
	id          uint64

	paused bool
	frozen bool // monotonic stands still
	dead   bool
	held   []*SimEvent

	// Both clocks run at 1+drift from their base at virtual time since.
	since    time.Duration
	drift    int64 // parts per million
	monoBase time.Duration
	wallBase time.Duration // since Epoch, without offset
	offset   time.Duration
	stuck    bool
	stuckAt  time.Time

	lateMax time.Duration
	late    *rand.Rand
	cost    time.Duration
	costs   *rand.Rand

	entropy map[string]*rand.ChaCha8
	names   map[string]int // strands made under a name
}

var _ Clock = (*SimClock)(nil)

// Clock returns the live clock of the machine called name, or makes the next
// incarnation of it. The wall clock's offset, drift and stuckness stay; monotonic time
// begins anew at a drawn value below an hour.
func (s *Sim) Clock(name string) *SimClock {
	old := s.clocks[name]
	if old != nil && !old.dead {
		return old
	}
	c := &SimClock{
		sim: s, name: name,
		entropy: make(map[string]*rand.ChaCha8),
		names:   make(map[string]int),
	}
	if old != nil {
		c.incarnation = old.incarnation + 1
		old.rebase()
		c.drift, c.wallBase, c.offset = old.drift, old.wallBase, old.offset
		c.stuck, c.stuckAt = old.stuck, old.stuckAt
		c.lateMax, c.cost = old.lateMax, old.cost
	} else {
		c.wallBase = s.now
	}
	c.since = s.now
	c.id, _ = seedKey(0, name, strconv.Itoa(c.incarnation))
	c.late = rand.New(newPCG(s.seed, c.key("lateness")...))
	c.costs = rand.New(newPCG(s.seed, c.key("cost")...))
	c.monoBase = time.Second + time.Duration(rand.New(newPCG(s.seed, c.key("boot")...)).Int64N(int64(time.Hour)))
	s.clocks[name] = c
	return c
}

// key is the name of one of the machine's streams.
func (c *SimClock) key(parts ...string) []string {
	return append([]string{"clock", c.name, strconv.Itoa(c.incarnation)}, parts...)
}

// Name is the machine's name.
func (c *SimClock) Name() string { return c.name }

// Incarnation counts from zero how often the machine was killed before.
func (c *SimClock) Incarnation() int { return c.incarnation }

// Sim is the world that the clock belongs to.
func (c *SimClock) Sim() *Sim { return c.sim }

// Now is the machine's wall clock, in UTC.
func (c *SimClock) Now() time.Time {
	if c.stuck {
		return c.stuckAt
	}
	return Epoch.Add(c.wallBase + c.elapsed() + c.offset)
}

// Monotonic is the machine's monotonic clock.
func (c *SimClock) Monotonic() time.Duration {
	if c.frozen {
		return c.monoBase
	}
	return c.monoBase + c.elapsed()
}

// elapsed is what the machine believes to have passed since the base.
func (c *SimClock) elapsed() time.Duration {
	e := c.sim.now - c.since
	if c.drift == 0 {
		return e
	}
	return e + time.Duration(scale(int64(e), c.drift, 1_000_000))
}

// scale is x*num/den, rounded towards zero, for |num| and den far below 1<<32.
func scale(x, num, den int64) int64 { return x/den*num + x%den*num/den }

// rebase starts counting anew from now, so that the speed may change.
func (c *SimClock) rebase() {
	e := c.elapsed()
	if !c.frozen {
		c.monoBase += e
	}
	c.wallBase += e
	c.since = c.sim.now
}

// virtual is the first virtual time at which the monotonic clock shows at least mono.
func (c *SimClock) virtual(mono time.Duration) time.Duration {
	left := mono - c.Monotonic()
	switch {
	case left <= 0:
		return c.sim.now
	case c.frozen:
		return never
	case c.drift == 0:
		return c.sim.now + left
	}
	left = mono - c.monoBase
	e := time.Duration(scale(int64(left), 1_000_000, 1_000_000+c.drift))
	for e+time.Duration(scale(int64(e), c.drift, 1_000_000)) < left {
		e++
	}
	return c.since + e
}

// retime puts every armed timer to where the changed clock makes it fire. One that is
// only late by now stays.
func (c *SimClock) retime() {
	var timers []*simTimer
	for _, x := range c.sim.heap {
		if x.ev.owner == c && x.ev.timer != nil && x.ev.timer.deadline > c.Monotonic() {
			timers = append(timers, x.ev.timer)
		}
	}
	for _, t := range timers {
		t.place()
	}
}

// SetDrift makes both clocks run fast (above zero) or slow by ppm parts per
// million from now on. It is cut to half the true speed either way.
func (c *SimClock) SetDrift(ppm int) {
	c.rebase()
	c.drift = max(-driftMax, min(driftMax, int64(ppm)))
	c.retime()
}

// Jump moves the wall clock by d, either way.
func (c *SimClock) Jump(d time.Duration) {
	c.offset += d
	c.stuckAt = c.stuckAt.Add(d)
}

// SetOffset makes the wall clock differ by d from where it would be without jumps.
func (c *SimClock) SetOffset(d time.Duration) { c.Jump(d - c.offset) }

// SetStuck makes the wall clock stand still, or go on from where it should be.
func (c *SimClock) SetStuck(on bool) {
	if on && !c.stuck {
		c.stuckAt = c.Now()
	}
	c.stuck = on
}

// SetTimerLateness makes every timer fire up to most late; zero ends it.
func (c *SimClock) SetTimerLateness(most time.Duration) { c.lateMax = max(most, 0) }

// SetTaskCost makes a strand busy for a drawn time of the given mean after each of its
// tasks; zero, as at first, is a machine of unlimited speed.
func (c *SimClock) SetTaskCost(mean time.Duration) { c.cost = max(mean, 0) }

func (c *SimClock) drawCost() time.Duration {
	if c.cost == 0 {
		return 0
	}
	return time.Duration(c.costs.Int64N(2*int64(c.cost) + 1))
}

// Pause stops the machine's tasks; its clocks go on. What comes due is held.
func (c *SimClock) Pause() { c.paused = true }

// Suspend is Pause with the monotonic clock standing still.
func (c *SimClock) Suspend() {
	c.paused = true
	if !c.frozen {
		c.rebase()
		c.frozen = true
		c.retime()
	}
}

// Resume ends Pause or Suspend: all that is due may run at once.
func (c *SimClock) Resume() {
	if !c.paused {
		return
	}
	c.paused = false
	if c.frozen {
		c.rebase()
		c.frozen = false
		c.retime()
	}
	held := c.held
	c.held = nil
	for _, ev := range held {
		c.sim.toReady(ev)
	}
}

// Paused tells whether the machine is paused or suspended.
func (c *SimClock) Paused() bool { return c.paused }

func (c *SimClock) hold(ev *SimEvent) {
	ev.place, ev.pos = inHeld, len(c.held)
	c.held = append(c.held, ev)
}

// Kill drops all that the machine was to do, for good: queued tasks, timers, events.
// The present task, if it is the machine's own, goes on to its end; Crash ends it.
func (c *SimClock) Kill() {
	if c.dead {
		return
	}
	c.dead, c.paused = true, false
	c.sim.drop(c)
}

// Dead tells whether the machine was killed.
func (c *SimClock) Dead() bool { return c.dead }

// crash unwinds a task of a killed machine.
type crash struct{ clock *SimClock }

func (c crash) Error() string { return "simulated crash of " + c.clock.name }

// Crash is Kill in the middle of a task: called from within a task of the machine it
// does not return, and nothing after the call happens.
func (c *SimClock) Crash() {
	c.Kill()
	if r := c.sim.running; r != nil && r.clock == c {
		panic(crash{c})
	}
}

// Entropy is the machine's stream of the given purpose. Every incarnation has others.
func (c *SimClock) Entropy(purpose string) io.Reader {
	e := c.entropy[purpose]
	if e == nil {
		e = newChaCha(c.sim.seed, c.key("entropy", purpose)...)
		c.entropy[purpose] = e
	}
	return e
}
