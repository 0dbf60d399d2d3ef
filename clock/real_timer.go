//lockstep:exempt timers of the real world
package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// realTimer stands on one runtime timer for its whole life. A firing of the
// runtime that was overtaken by Reset or Stop is told apart by the deadline; a
// firing already queued on the strand is told apart by the generation.
type realTimer struct {
	strand *realStrand
	task   func()
	gen    atomic.Uint64 // rises with every Reset and Stop

	mu       sync.Mutex
	timer    *time.Timer // made by the first Reset that has to wait
	armed    bool
	deadline time.Time
}

func (s *realStrand) NewTimer(task func()) Timer {
	return &realTimer{strand: s, task: task}
}

func (t *realTimer) Reset(d time.Duration) {
	if d <= 0 {
		t.fireNow()
		return
	}
	t.mu.Lock()
	t.gen.Add(1)
	t.armed = true
	t.deadline = time.Now().Add(d)
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.fired)
	} else {
		t.timer.Reset(d)
	}
	t.mu.Unlock()
}

func (t *realTimer) Stop() {
	t.mu.Lock()
	t.disarm()
	t.mu.Unlock()
}

// disarm forgets the present arming and reports the new generation.
func (t *realTimer) disarm() uint64 {
	if t.armed {
		t.armed = false
		t.timer.Stop()
	}
	return t.gen.Add(1)
}

func (t *realTimer) fireNow() {
	t.mu.Lock()
	gen := t.disarm()
	t.mu.Unlock()
	if t.strand.push(realTask{timer: t, gen: gen}) {
		go t.strand.work()
	}
}

// fired runs on a goroutine of the runtime's.
func (t *realTimer) fired() {
	t.mu.Lock()
	if !t.armed || time.Now().Before(t.deadline) {
		t.mu.Unlock() // overtaken by Stop or Reset
		return
	}
	t.armed = false
	gen := t.gen.Load()
	t.mu.Unlock()
	if t.strand.push(realTask{timer: t, gen: gen}) {
		work(t.strand)
	}
}
