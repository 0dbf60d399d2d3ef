//lockstep:exempt the executor of the real world: goroutines, the machine's time and randomness
package clock

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Real is the Clock of production. Strands of different owners run in parallel;
// goroutines are started only to run what is queued, and end when nothing is.
type Real struct {
	start time.Time
}

// NewReal makes a clock whose monotonic time starts now.
func NewReal() *Real { return &Real{start: time.Now()} }

// Now is the machine's wall clock.
func (r *Real) Now() time.Time { return time.Now() }

// Monotonic is the time since NewReal.
func (r *Real) Monotonic() time.Duration { return time.Since(r.start) }

// NewStrand makes a strand, which also implements Doer.
func (r *Real) NewStrand(name string) Strand {
	s := &realStrand{name: name}
	s.work = func() { work(s) }
	return s
}

// Entropy is the system's generator, whatever the purpose.
func (r *Real) Entropy(string) io.Reader { return rand.Reader }

const (
	strandHeld   = 1 // someone has the token, or has promised to take it
	strandQueued = 2 // queue is not empty
)

const (
	// sliceTasks is how many queued tasks a goroutine runs before it gives the rest to
	// another, so that a reader is not kept from its socket.
	sliceTasks = 128
	// keptTasksMax bounds the queue capacity that a burst leaves behind.
	keptTasksMax = 1024
)

// realStrand is a token and a queue. The token is the held bit of state; whoever
// sets it runs the tasks, and everything below the second comment is its own.
type realStrand struct {
	name  string
	state atomic.Uint32
	work  func() // runs the strand on a new goroutine; made once

	mu    sync.Mutex // guards the next two; held across no call out
	queue []realTask
	spare []*waiter // as many as have waited in Do at one time

	// The token holder's.
	batch []realTask // taken from queue; batch[pos:] is still to run
	pos   int
	after chain         // strands that PostFrom promised to run after the present task
	next  *realStrand   // link of the one chain that this strand may be in
	rands []purposeRand // few, so a slice
}

// realTask is one of: a function, a timer's firing, a goroutine waiting in Do.
type realTask struct {
	fn     func()
	timer  *realTimer
	gen    uint64
	waiter *waiter
}

// waiter is a goroutine in Do that the token is handed to.
type waiter struct{ turn chan struct{} }

// newWaiter takes one that was used before, if it can. They belong to the strand,
// since channels of one synctest bubble are of no use in another.
func (s *realStrand) newWaiter() *waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.spare); n > 0 {
		w := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return w
	}
	return &waiter{turn: make(chan struct{}, 1)}
}

type purposeRand struct {
	purpose string
	rand    *mathrand.Rand
}

// chain is a list of strands whose token was taken for them.
type chain struct{ head, tail *realStrand }

func (c *chain) push(s *realStrand) {
	if c.tail == nil {
		c.head = s
	} else {
		c.tail.next = s
	}
	c.tail = s
}

func (c *chain) pop() *realStrand {
	s := c.head
	c.head, s.next = s.next, nil
	if c.head == nil {
		c.tail = nil
	}
	return s
}

// join moves all of d to the end of c.
func (c *chain) join(d *chain) {
	if d.head == nil {
		return
	}
	if c.tail == nil {
		c.head = d.head
	} else {
		c.tail.next = d.head
	}
	c.tail = d.tail
	*d = chain{}
}

func (s *realStrand) Name() string { return s.name }

func (s *realStrand) Post(task func()) {
	if s.push(realTask{fn: task}) {
		go s.work()
	}
}

func (s *realStrand) PostFrom(from Strand, task func()) {
	claimed := s.push(realTask{fn: task})
	if !claimed {
		return
	}
	if f, ok := from.(*realStrand); ok && f != s && f.state.Load()&strandHeld != 0 {
		f.after.push(s)
		return
	}
	go s.work()
}

// PostHere is Post for a goroutine of the real shell that is on no strand: where nobody has the token,
// it runs the task itself, and what that passes work to, up to a slice.
func (s *realStrand) PostHere(task func()) {
	if s.push(realTask{fn: task}) {
		work(s)
	}
}

// push queues t and reports whether the caller took the token with it and so
// must see to it that the strand runs.
func (s *realStrand) push(t realTask) (claimed bool) {
	s.mu.Lock()
	s.queue = append(s.queue, t)
	old := s.state.Or(strandHeld | strandQueued)
	s.mu.Unlock()
	return old&strandHeld == 0
}

// Do runs task on the calling goroutine as soon as the token is free, then up to
// a slice of what was queued meanwhile.
func (s *realStrand) Do(task func()) {
	if !s.state.CompareAndSwap(0, strandHeld) {
		w := s.newWaiter()
		if s.push(realTask{waiter: w}) {
			work(s) // the token was free after all; the first in the queue is w
		}
		<-w.turn
		s.mu.Lock()
		s.spare = append(s.spare, w)
		s.mu.Unlock()
	}
	task()
	if s.after.head == nil && s.pos == len(s.batch) && s.state.CompareAndSwap(strandHeld, 0) {
		return
	}
	work(s)
}

func (s *realStrand) Rand(purpose string) *mathrand.Rand {
	for i := range s.rands {
		if s.rands[i].purpose == purpose {
			return s.rands[i].rand
		}
	}
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // documented never to fail
	g := mathrand.New(mathrand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])))
	s.rands = append(s.rands, purposeRand{purpose, g})
	return g
}

// work runs s, whose token the caller has, and then the strands that its tasks
// passed work to, up to a slice of tasks; the rest goes to another goroutine.
func work(s *realStrand) {
	var todo chain
	todo.push(s)
	budget := sliceTasks
	for todo.head != nil {
		if budget <= 0 {
			go workChain(todo)
			return
		}
		s = todo.pop()
		s.drain(&budget, &todo)
	}
}

// workChain runs strands that another goroutine had no time for.
func workChain(todo chain) {
	for todo.head != nil {
		budget := sliceTasks
		s := todo.pop()
		s.drain(&budget, &todo)
	}
}

// drain runs queued tasks until there are none and the token is given back, or
// it is handed on. Strands that the tasks passed work to are added to todo.
func (s *realStrand) drain(budget *int, todo *chain) {
	for {
		for s.pos < len(s.batch) {
			t := s.batch[s.pos]
			if t.waiter == nil && *budget <= 0 {
				todo.join(&s.after)
				go s.work()
				return
			}
			s.batch[s.pos] = realTask{}
			s.pos++
			switch {
			case t.waiter != nil:
				todo.join(&s.after)
				t.waiter.turn <- struct{}{}
				return
			case t.timer != nil:
				if t.timer.gen.Load() == t.gen {
					t.timer.task()
				}
			default:
				t.fn()
			}
			*budget--
		}
		todo.join(&s.after)
		if !s.refill() {
			return
		}
	}
}

// refill takes what was queued, or gives the token back when nothing was.
func (s *realStrand) refill() bool {
	if s.state.CompareAndSwap(strandHeld, 0) {
		return false
	}
	s.mu.Lock()
	empty := s.batch[:0]
	if cap(empty) > keptTasksMax {
		empty = nil
	}
	s.batch, s.queue, s.pos = s.queue, empty, 0
	s.state.And(^uint32(strandQueued))
	s.mu.Unlock()
	return true
}
