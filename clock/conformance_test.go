package clock

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// world is a clock under test and how to let it run until nothing is left to do.
type world struct {
	Clock
	// settle runs what is due. Time passes only in pass.
	settle func()
	pass   func(time.Duration)
}

// eachClock runs the test on the real clock, in a bubble of synctest where time is
// virtual too, and on the simulated one.
func eachClock(t *testing.T, test func(t *testing.T, w world)) {
	t.Run("real", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, world{Clock: NewReal(), settle: synctest.Wait, pass: func(d time.Duration) {
				time.Sleep(d) // of the bubble: returns when all else is blocked
				synctest.Wait()
			}})
		})
	})
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("sim seed=%d", seed), func(t *testing.T) {
			s := NewSim(seed)
			// A settled world is one in which nothing is due within a microsecond.
			test(t, world{Clock: s.Clock("machine"), settle: func() { s.RunFor(time.Microsecond) }, pass: s.RunFor})
		})
	}
}

// log records what happened, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line string) func() {
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	}
}

func (l *log) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func TestPostKeepsOrder(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		var l log
		s := w.NewStrand("s")
		require.Equal(t, "s", s.Name())
		var want []string
		for i := range 1000 {
			line := fmt.Sprint(i)
			want = append(want, line)
			s.Post(l.add(line))
		}
		w.settle()
		require.Equal(t, want, l.take())
	})
}

func TestPostNeverRunsInline(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		var l log
		s, other := w.NewStrand("s"), w.NewStrand("other")
		s.Post(func() {
			s.Post(l.add("second"))
			s.PostFrom(s, l.add("third"))
			l.add("first")()
		})
		w.settle()
		require.Equal(t, []string{"first", "second", "third"}, l.take())
		s.Post(func() {
			other.PostFrom(s, l.add("passed on"))
			l.add("first")()
		})
		w.settle()
		require.Equal(t, []string{"first", "passed on"}, l.take())
	})
}

// TestNeverTwoAtOnce makes strands pass work to one another in every way there is.
func TestNeverTwoAtOnce(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		const strands, hops = 8, 4000
		var all [strands]struct {
			Strand
			busy  atomic.Int32
			count int // unguarded on purpose: the race detector watches
			next  int
		}
		for i := range all {
			all[i].Strand = w.NewStrand(fmt.Sprint("s", i))
		}
		var broken atomic.Int32
		var left atomic.Int64
		left.Store(hops)
		var hop func(i int) func()
		hop = func(i int) func() {
			return func() {
				me := &all[i]
				if me.busy.Add(1) != 1 {
					broken.Add(1)
				}
				me.count++
				me.next = (me.next*7 + 3) % strands
				if left.Add(-1) > 0 {
					to := me.next
					switch me.count % 3 {
					case 0:
						all[to].Post(hop(to))
					case 1:
						all[to].PostFrom(me.Strand, hop(to))
					default:
						all[to].NewTimer(hop(to)).Reset(0)
					}
				}
				me.busy.Add(-1)
			}
		}
		for i := range all {
			for range 4 {
				all[i].Post(hop(i))
			}
		}
		w.settle()
		w.pass(time.Second)
		require.Zero(t, broken.Load())
		total := 0
		for i := range all {
			total += all[i].count
		}
		require.GreaterOrEqual(t, total, hops)
	})
}

func TestPostFromKeepsOrder(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		var l log
		from, to := w.NewStrand("from"), w.NewStrand("to")
		const rounds = 300 // more than a slice of tasks
		var want []string
		for i := range rounds {
			a, b := fmt.Sprint(i, "a"), fmt.Sprint(i, "b")
			want = append(want, a, b)
			from.Post(func() {
				to.PostFrom(from, l.add(a))
				to.Post(l.add(b))
			})
		}
		w.settle()
		require.Equal(t, want, l.take())
	})
}

func TestTimerFiresOnceAndOnTime(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		s := w.NewStrand("s")
		var last, count atomic.Int64
		timer := s.NewTimer(func() {
			last.Store(int64(w.Monotonic()))
			count.Add(1)
		})
		w.pass(time.Hour)
		require.Zero(t, count.Load(), "a new timer is stopped")
		start := w.Monotonic()
		timer.Reset(time.Second)
		w.pass(999 * time.Millisecond)
		require.Zero(t, count.Load())
		w.pass(2 * time.Second)
		require.EqualValues(t, 1, count.Load())
		took := time.Duration(last.Load()) - start
		require.GreaterOrEqual(t, took, time.Second)
		require.Less(t, took, time.Second+time.Millisecond)
		timer.Reset(0)
		w.settle()
		require.EqualValues(t, 2, count.Load(), "at once")
		timer.Reset(-time.Second)
		w.settle()
		require.EqualValues(t, 3, count.Load(), "in the past is at once")
	})
}

func TestTimerResetAndStop(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		s := w.NewStrand("s")
		var l log
		timer := s.NewTimer(l.add("fired"))
		timer.Reset(time.Second)
		timer.Reset(3 * time.Second) // later
		w.pass(2 * time.Second)
		require.Empty(t, l.take())
		timer.Reset(500 * time.Millisecond) // earlier
		w.pass(600 * time.Millisecond)
		require.Len(t, l.take(), 1)
		w.pass(time.Hour)
		require.Empty(t, l.take())
		timer.Reset(time.Second)
		timer.Stop()
		timer.Stop()
		w.pass(time.Hour)
		require.Empty(t, l.take())
		timer.Reset(time.Second)
		w.pass(2 * time.Second)
		require.Len(t, l.take(), 1, "a stopped timer can be armed again")
	})
}

// TestTimerStaleFiring stops and resets, on the strand, timers that have fired and are
// queued behind the present task.
func TestTimerStaleFiring(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		s := w.NewStrand("s")
		var l log
		stopped, again, kept := s.NewTimer(l.add("stopped")), s.NewTimer(l.add("again")), s.NewTimer(l.add("kept"))
		s.Post(func() {
			stopped.Reset(0)
			again.Reset(0)
			kept.Reset(0)
			s.Post(func() {
				l.add("task")()
			})
			stopped.Stop()
			again.Reset(time.Second)
		})
		w.settle()
		require.ElementsMatch(t, []string{"kept", "task"}, l.take())
		w.pass(2 * time.Second)
		require.Equal(t, []string{"again"}, l.take())
	})
}

func TestTimersFireInOrder(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		s := w.NewStrand("s")
		var l log
		var want []string
		for i := range 50 {
			line := fmt.Sprint(i)
			want = append([]string{line}, want...)
			s.NewTimer(l.add(line)).Reset(time.Duration(50-i) * time.Millisecond)
		}
		w.pass(time.Second)
		require.Equal(t, want, l.take())
	})
}

func TestMonotonicRises(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		before, wall := w.Monotonic(), w.Now()
		w.pass(time.Minute)
		require.InDelta(t, time.Minute, w.Monotonic()-before, float64(time.Millisecond))
		require.InDelta(t, time.Minute, w.Now().Sub(wall), float64(time.Millisecond))
	})
}

func TestRandIsOneGeneratorPerPurpose(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		s, other := w.NewStrand("s"), w.NewStrand("other")
		require.Same(t, s.Rand("a"), s.Rand("a"))
		require.NotSame(t, s.Rand("a"), s.Rand("b"))
		draws := map[uint64]bool{}
		for _, g := range []interface{ Uint64() uint64 }{s.Rand("a"), s.Rand("b"), other.Rand("a"), w.NewStrand("s").Rand("a")} {
			draws[g.Uint64()] = true
		}
		require.Len(t, draws, 4, "streams differ")
	})
}

func TestEntropyFillsBuffers(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		var a, b [32]byte
		_, err := io.ReadFull(w.Entropy("a"), a[:])
		require.NoError(t, err)
		_, err = io.ReadFull(w.Entropy("a"), b[:])
		require.NoError(t, err)
		require.NotEqual(t, a, b)
	})
}

func TestMailboxBatches(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		s, from := w.NewStrand("s"), w.NewStrand("from")
		var got, batches []int
		m := NewMailbox(s, 0, nil, func(batch []int) {
			got = append(got, batch...)
			batches = append(batches, len(batch))
		})
		from.Post(func() {
			for i := range 100 {
				require.True(t, m.PutFrom(from, i))
			}
		})
		w.settle()
		for i := range 100 {
			require.Equal(t, i, got[i])
		}
		require.Less(t, len(batches), 100, "values travel together")
		require.Zero(t, m.Used())
	})
}

func TestMailboxCredit(t *testing.T) {
	eachClock(t, func(t *testing.T, w world) {
		s := w.NewStrand("s")
		size := func(v string) int { return len(v) }
		drained := 0
		var m *Mailbox[string]
		m = NewMailbox(s, 10, size, func(batch []string) {
			drained += len(batch)
			require.Positive(t, m.Used(), "what is being drained still counts")
		})
		var l log
		refused := false
		s.Post(func() { // so that nothing is drained meanwhile
			require.True(t, m.Put("a value above the credit, alone"))
			require.False(t, m.Put("b"))
			m.WhenCredit(l.add("credit"))
			refused = true
		})
		w.settle()
		require.True(t, refused)
		require.Equal(t, []string{"credit"}, l.take())
		require.Equal(t, 1, drained)
		s.Post(func() {
			require.True(t, m.Put("1234"))
			m.WhenCredit(l.add("at once"))
			require.Len(t, l.lines, 1)
			require.True(t, m.Put("5678"))
			require.False(t, m.Put("abc"))
			require.True(t, m.Put("ab"))
			require.Equal(t, 10, m.Used())
		})
		w.settle()
		require.Equal(t, 4, drained)
		require.Zero(t, m.Used())
	})
}

// TestMailboxModel compares a mailbox with a queue that has the same credit.
func TestMailboxModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sim := NewSim(rapid.Uint64().Draw(t, "seed"))
		credit := rapid.IntRange(0, 20).Draw(t, "credit")
		var want, got []int
		used := 0
		m := NewMailbox(sim.Clock("c").NewStrand("s"), credit, func(v int) int { return v }, func(batch []int) {
			got = append(got, batch...)
		})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				v := rapid.IntRange(0, 8).Draw(t, "v")
				fits := credit == 0 || used == 0 || used+v <= credit
				if m.Put(v) != fits {
					t.Fatalf("put %d with %d of %d used: want %v", v, used, credit, fits)
				}
				if fits {
					want, used = append(want, v), used+v
				}
			},
			"settle": func(t *rapid.T) {
				sim.RunFor(time.Microsecond)
				used = 0
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("got %v, want %v", got, want)
				}
			},
		})
	})
}
