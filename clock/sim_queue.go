package clock

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"time"
)

// Kind says what an event is, for traces.
type Kind uint8

// Kinds of events. Values are part of the trace hash: append only.
const (
	KindTask Kind = iota + 1
	KindTimer
	KindNet
	KindDisk
	KindFault
	KindWorkload
	KindCheck
)

var kindNames = [...]string{"none", "task", "timer", "net", "disk", "fault", "workload", "check"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// never is where a timer waits whose clock stands still.
const never = time.Duration(math.MaxInt64)

// Sim is the simulated world's event queue. It runs everything in the
// goroutine that calls Step, in virtual time, in an order drawn from the seed.
// Nothing of it may be used from another goroutine.
//
// # Invariants
//
//   - Virtual time rises with every event, so no two events have one time.
//   - What is due at once runs in an order that the seed draws; tasks of one
//     strand keep theirs.
//   - Two runs of one seed and one program are equal, trace hash included.
type Sim struct {
	seed   uint64
	now    time.Duration
	events uint64
	order  *rand.PCG // draws among what is due
	heap   []slot    // 4-ary, by time
	ready  []*SimEvent
	free   []*SimEvent // one-shot events to use again

	clocks  map[string]*SimClock // the live incarnation, or the last
	rands   map[string]*rand.Rand
	running *SimStrand // whose task runs now
	trace   Trace
}

type slot struct {
	at time.Duration
	ev *SimEvent
}

type place uint8

const (
	nowhere place = iota
	inHeap
	inReady
	inHeld // due, and its clock is paused
)

// SimEvent is an event that can be armed again and again.
type SimEvent struct {
	// Arg is folded into the trace when the event happens.
	Arg uint64

	sim    *Sim
	owner  *SimClock // nil: the world's
	strand *SimStrand
	timer  *simTimer
	fn     func()
	at     time.Duration
	pos    int
	place  place
	kind   Kind
	once   bool // back to the free list when it has happened
}

// NewSim makes a world at virtual time zero.
func NewSim(seed uint64) *Sim {
	s := &Sim{
		seed:   seed,
		order:  newPCG(seed, "order"),
		clocks: make(map[string]*SimClock),
		rands:  make(map[string]*rand.Rand),
	}
	s.trace = Trace{hash: mix(traceSeed, seed), now: s.Now}
	return s
}

// Seed is what NewSim was given.
func (s *Sim) Seed() uint64 { return s.seed }

// Now is the virtual time.
func (s *Sim) Now() time.Duration { return s.now }

// Events is the number of events that have happened.
func (s *Sim) Events() uint64 { return s.events }

// Trace is the run's trace.
func (s *Sim) Trace() *Trace { return &s.trace }

// Rand is the world's generator for purpose: a draw here moves none elsewhere.
// Repeated calls with one purpose return one generator.
func (s *Sim) Rand(purpose string) *rand.Rand {
	g := s.rands[purpose]
	if g == nil {
		g = rand.New(newPCG(s.seed, "world", purpose))
		s.rands[purpose] = g
	}
	return g
}

// Running is the strand whose task runs now, or nil.
func (s *Sim) Running() *SimStrand { return s.running }

// NewEvent makes an event that is not armed. When owner is killed it is dropped
// for good, and while owner is paused it waits; a nil owner is the world.
func (s *Sim) NewEvent(owner *SimClock, kind Kind, fn func()) *SimEvent {
	return &SimEvent{sim: s, owner: owner, kind: kind, fn: fn}
}

// At makes fn happen once at virtual time at, or as soon as possible when that
// has passed. See NewEvent for owner.
func (s *Sim) At(at time.Duration, owner *SimClock, kind Kind, fn func()) {
	if owner != nil && owner.dead {
		return
	}
	var ev *SimEvent
	if n := len(s.free); n > 0 {
		ev, s.free = s.free[n-1], s.free[:n-1]
	} else {
		ev = &SimEvent{sim: s, once: true}
	}
	ev.owner, ev.kind, ev.fn, ev.Arg = owner, kind, fn, 0
	s.arm(ev, at)
}

// After is At, d from now.
func (s *Sim) After(d time.Duration, owner *SimClock, kind Kind, fn func()) {
	s.At(s.now+max(d, 0), owner, kind, fn)
}

// Reset arms e to happen once, d of virtual time from now; d <= 0 is at once.
func (e *SimEvent) Reset(d time.Duration) { e.ResetAt(e.sim.now + max(d, 0)) }

// ResetAt arms e to happen once at virtual time at.
func (e *SimEvent) ResetAt(at time.Duration) {
	if e.owner != nil && e.owner.dead {
		return
	}
	if e.place == inHeap && at > e.sim.now {
		e.sim.move(e, at)
		return
	}
	e.sim.remove(e)
	e.sim.arm(e, at)
}

// Stop disarms e.
func (e *SimEvent) Stop() { e.sim.remove(e) }

// Armed tells whether e is going to happen.
func (e *SimEvent) Armed() bool { return e.place != nowhere }

// Step runs the next event. It is false when there is none that could happen
// without the world's doing.
func (s *Sim) Step() bool { return s.step(never) }

// RunUntil runs every event up to virtual time at, which Now is afterwards.
func (s *Sim) RunUntil(at time.Duration) {
	for s.step(at) {
	}
	s.now = max(s.now, at)
}

// RunFor is RunUntil, d from now.
func (s *Sim) RunFor(d time.Duration) { s.RunUntil(s.now + d) }

// Next is the time of the next event, and false when there is none.
func (s *Sim) Next() (time.Duration, bool) {
	switch {
	case len(s.ready) > 0:
		return s.now + 1, true
	case len(s.heap) > 0 && s.heap[0].at != never:
		return max(s.now+1, s.heap[0].at), true
	}
	return 0, false
}

// step runs the next event that is due by limit.
func (s *Sim) step(limit time.Duration) bool {
	for {
		at, ok := s.Next()
		if !ok || at > limit {
			return false
		}
		s.now = at
		for len(s.heap) > 0 && s.heap[0].at <= at {
			s.toReady(s.heapPop())
		}
		i := 0
		if n := uint64(len(s.ready)); n > 1 {
			hi, _ := bits.Mul64(s.order.Uint64(), n)
			i = int(hi)
		}
		ev := s.readyRemove(i)
		if ev.owner != nil && ev.owner.paused {
			ev.owner.hold(ev)
			continue
		}
		s.happen(ev)
		return true
	}
}

func (s *Sim) happen(ev *SimEvent) {
	s.events++
	var who uint64
	switch {
	case ev.strand != nil:
		who = ev.strand.id
	case ev.owner != nil:
		who = ev.owner.id
	}
	s.trace.Fold(uint64(s.now), s.events, who, uint64(ev.kind), ev.Arg)
	if s.trace.level >= LevelTask {
		s.trace.Note(LevelTask, ev.who(), ev.kind.String())
	}
	fn := ev.fn
	if ev.once {
		ev.owner, ev.fn = nil, nil
		s.free = append(s.free, ev)
	}
	fn()
}

func (e *SimEvent) who() string {
	switch {
	case e.strand != nil:
		return e.strand.clock.name + "/" + e.strand.name
	case e.owner != nil:
		return e.owner.name
	}
	return "world"
}

// arm puts ev, which is nowhere, where it belongs.
func (s *Sim) arm(ev *SimEvent, at time.Duration) {
	ev.at = at
	if at <= s.now {
		s.toReady(ev)
		return
	}
	s.heap = append(s.heap, slot{})
	ev.place = inHeap
	s.up(len(s.heap)-1, slot{at, ev})
}

func (s *Sim) toReady(ev *SimEvent) {
	ev.place, ev.pos = inReady, len(s.ready)
	s.ready = append(s.ready, ev)
}

func (s *Sim) readyRemove(i int) *SimEvent {
	ev := s.ready[i]
	s.ready = swapRemove(s.ready, i)
	ev.place = nowhere
	return ev
}

func swapRemove(list []*SimEvent, i int) []*SimEvent {
	last := len(list) - 1
	list[i] = list[last]
	list[i].pos = i
	list[last] = nil
	return list[:last]
}

// remove takes ev out of wherever it waits.
func (s *Sim) remove(ev *SimEvent) {
	switch ev.place {
	case inReady:
		s.ready = swapRemove(s.ready, ev.pos)
	case inHeld:
		ev.owner.held = swapRemove(ev.owner.held, ev.pos)
	case inHeap:
		s.heapRemove(ev.pos)
	}
	ev.place = nowhere
}

// move changes the time of ev, which is in the heap and stays there.
func (s *Sim) move(ev *SimEvent, at time.Duration) {
	old := ev.at
	ev.at = at
	if at < old {
		s.up(ev.pos, slot{at, ev})
	} else {
		s.down(ev.pos, slot{at, ev})
	}
}

func (s *Sim) heapPop() *SimEvent {
	ev := s.heap[0].ev
	s.heapRemove(0)
	ev.place = nowhere
	return ev
}

func (s *Sim) heapRemove(i int) {
	n := len(s.heap) - 1
	last := s.heap[n]
	s.heap[n] = slot{}
	s.heap = s.heap[:n]
	if i == n {
		return
	}
	if i > 0 && last.at < s.heap[(i-1)/4].at {
		s.up(i, last)
	} else {
		s.down(i, last)
	}
}

func (s *Sim) up(i int, x slot) {
	h := s.heap
	for i > 0 {
		parent := (i - 1) / 4
		if h[parent].at <= x.at {
			break
		}
		h[i] = h[parent]
		h[i].ev.pos = i
		i = parent
	}
	h[i] = x
	x.ev.pos = i
}

func (s *Sim) down(i int, x slot) {
	h := s.heap
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, len(h)); c++ {
			if h[c].at < h[least].at {
				least = c
			}
		}
		if h[least].at >= x.at {
			break
		}
		h[i] = h[least]
		h[i].ev.pos = i
		i = least
	}
	h[i] = x
	x.ev.pos = i
}

// drop forgets every event of c.
func (s *Sim) drop(c *SimClock) {
	ready := s.ready[:0]
	for _, ev := range s.ready {
		if ev.owner == c {
			ev.forget()
			continue
		}
		ev.pos = len(ready)
		ready = append(ready, ev)
	}
	clear(s.ready[len(ready):])
	s.ready = ready

	heap := s.heap[:0]
	for _, x := range s.heap {
		if x.ev.owner == c {
			x.ev.forget()
			continue
		}
		x.ev.pos = len(heap)
		heap = append(heap, x)
	}
	clear(s.heap[len(heap):])
	s.heap = heap
	for i := (len(heap) - 2) / 4; i >= 0 && len(heap) > 1; i-- {
		s.down(i, heap[i])
	}

	for _, ev := range c.held {
		ev.forget()
	}
	c.held = nil
}

// forget marks an event that was taken out as dropped for good.
func (e *SimEvent) forget() {
	e.place = nowhere
	if e.once {
		e.fn = nil
	}
}
