package clock

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSimOrderOfWhatIsDueAtOnce(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(50) {
		s := NewSim(seed)
		var order string
		for _, name := range []string{"a", "b", "c"} {
			s.At(time.Second, nil, KindWorkload, func() { order += name })
		}
		s.RunUntil(2 * time.Second)
		orders[order] = true
	}
	require.Len(t, orders, 6, "every order comes up")
}

func TestSimNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSim(rapid.Uint64().Draw(t, "seed"))
		owners := []*SimClock{nil, s.Clock("a"), s.Clock("b")}
		var times []time.Duration
		happened, stopped := map[int]int{}, map[int]bool{}
		var events []*SimEvent
		due := map[int]time.Duration{}
		delays := rapid.Int64Range(-5, 1000)
		t.Repeat(map[string]func(*rapid.T){
			"new": func(t *rapid.T) {
				id := len(events)
				owner := rapid.SampledFrom(owners).Draw(t, "owner")
				events = append(events, s.NewEvent(owner, KindWorkload, func() {
					if s.Now() < due[id] {
						t.Fatalf("event %d at %d is early, due %d", id, s.Now(), due[id])
					}
					happened[id]++
					times = append(times, s.Now())
				}))
			},
			"reset": func(t *rapid.T) {
				if len(events) == 0 {
					t.Skip("none")
				}
				id := rapid.IntRange(0, len(events)-1).Draw(t, "event")
				d := time.Duration(delays.Draw(t, "d"))
				due[id], stopped[id], happened[id] = s.Now()+d, false, 0
				events[id].Reset(d)
			},
			"stop": func(t *rapid.T) {
				if len(events) == 0 {
					t.Skip("none")
				}
				id := rapid.IntRange(0, len(events)-1).Draw(t, "event")
				stopped[id] = !events[id].Armed() && stopped[id] || events[id].Armed()
				events[id].Stop()
			},
			"run": func(t *rapid.T) { s.RunFor(time.Duration(delays.Draw(t, "d"))) },
			"": func(t *rapid.T) {
				for i := 1; i < len(times); i++ {
					if times[i] <= times[i-1] {
						t.Fatalf("event %d at %v is not after the one before, at %v", i, times[i], times[i-1])
					}
				}
				for id, n := range happened {
					if n > 1 || n > 0 && events[id].Armed() {
						t.Fatalf("event %d happened %d times", id, n)
					}
				}
				checkHeap(t, s)
			},
		})
		s.RunFor(time.Second)
		for id, at := range due {
			if want := !stopped[id]; want != (happened[id] == 1) {
				t.Fatalf("event %d due at %v: happened %d times, stopped %v", id, at, happened[id], stopped[id])
			}
		}
	})
}

// TestSimManyEvents stops, moves and runs in a heap several levels deep.
func TestSimManyEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSim(rapid.Uint64().Draw(t, "seed"))
		g := s.Rand("test")
		var events []*SimEvent
		last, happened, stopped := time.Duration(0), 0, 0
		for range 500 {
			var ev *SimEvent
			ev = s.NewEvent(nil, KindWorkload, func() {
				if s.Now() < ev.at || s.Now() <= last {
					t.Fatalf("due %v, last %v, now %v", ev.at, last, s.Now())
				}
				last = s.Now()
				happened++
			})
			ev.Reset(time.Duration(g.IntN(10_000)))
			events = append(events, ev)
		}
		for range 200 {
			ev := events[g.IntN(len(events))]
			if g.IntN(2) == 0 && ev.Armed() {
				ev.Stop()
				stopped++
			} else if ev.Armed() {
				ev.Reset(time.Duration(g.IntN(10_000)))
			}
			checkHeap(t, s)
		}
		for s.Step() {
		}
		if happened+stopped != len(events) {
			t.Fatalf("%d happened, %d stopped of %d", happened, stopped, len(events))
		}
	})
}

// checkHeap holds the queue's own invariants.
func checkHeap(t *rapid.T, s *Sim) {
	for i, x := range s.heap {
		if x.ev.pos != i || x.ev.at != x.at || x.ev.place != inHeap || i > 0 && s.heap[(i-1)/4].at > x.at {
			t.Fatalf("slot %d of %d is wrong", i, len(s.heap))
		}
	}
	for i, ev := range s.ready {
		if ev.pos != i || ev.place != inReady {
			t.Fatalf("ready event %d is wrong", i)
		}
	}
}

// chatter is a small world: machines whose strands post, arm timers and draw.
func chatter(seed uint64, sink bool) (*Sim, *[]string) {
	s := NewSim(seed)
	var lines []string
	if sink {
		s.Trace().SetSink(LevelTask, func(_ Level, at time.Duration, who, what string) {
			lines = append(lines, fmt.Sprint(at, who, what))
		})
	}
	var strands []Strand
	for _, m := range []string{"a", "b", "c"} {
		c := s.Clock(m)
		c.SetTimerLateness(10 * time.Millisecond)
		c.SetTaskCost(20 * time.Microsecond)
		for i := range 3 {
			strands = append(strands, c.NewStrand(fmt.Sprint("s", i)))
		}
	}
	for i, st := range strands {
		g := st.Rand("work")
		var timer Timer
		timer = st.NewTimer(func() {
			to := strands[g.IntN(len(strands))]
			to.PostFrom(st, func() { s.Trace().Fold(uint64(i)) })
			timer.Reset(time.Duration(g.IntN(int(time.Second))))
		})
		timer.Reset(0)
	}
	return s, &lines
}

func TestSimSameSeedSameRun(t *testing.T) {
	hashes := map[uint64]bool{}
	for seed := range uint64(5) {
		a, _ := chatter(seed, false)
		b, lines := chatter(seed, true)
		for range 20 {
			a.RunFor(time.Second)
			b.RunFor(time.Second)
			require.Equal(t, a.Trace().Hash(), b.Trace().Hash(), "the sink changes nothing")
			require.Equal(t, a.Events(), b.Events())
		}
		require.NotEmpty(t, *lines)
		hashes[a.Trace().Hash()] = true
	}
	require.Len(t, hashes, 5)
}

// TestSimStreamsDoNotMoveOneAnother draws from one stream and looks at the others.
func TestSimStreamsDoNotMoveOneAnother(t *testing.T) {
	draw := func(disturb bool) []uint64 {
		s := NewSim(3)
		c := s.Clock("a")
		st := c.NewStrand("s")
		if disturb {
			s.Clock("b").NewStrand("s").Rand("p").Uint64()
			st.Rand("other").Uint64()
			c.NewStrand("t").Rand("p").Uint64()
			_, _ = c.Entropy("x").Read(make([]byte, 8))
			s.Rand("world").Uint64()
		}
		return []uint64{st.Rand("p").Uint64(), s.Rand("p").Uint64(), s.order.Uint64()}
	}
	require.Equal(t, draw(false), draw(true))
}

func TestSimKill(t *testing.T) {
	s := NewSim(1)
	c, other := s.Clock("a"), s.Clock("b")
	var l log
	st := c.NewStrand("s")
	timer := st.NewTimer(l.add("timer"))
	st.Post(l.add("task"))
	timer.Reset(time.Second)
	s.After(time.Second, c, KindDisk, l.add("event"))
	s.After(time.Second, other, KindDisk, l.add("other's event"))
	again := s.NewEvent(c, KindDisk, l.add("event"))
	again.Reset(time.Minute)
	c.Kill()
	require.True(t, c.Dead())
	st.Post(l.add("late task"))
	st.(*SimStrand).Run(l.add("late run"))
	timer.Reset(time.Second)
	again.Reset(0)
	s.After(0, c, KindDisk, l.add("late event"))
	s.RunFor(time.Hour)
	require.Equal(t, []string{"other's event"}, l.take())

	next := s.Clock("a")
	require.NotSame(t, c, next)
	require.Equal(t, 1, next.Incarnation())
	require.Same(t, next, s.Clock("a"))
	next.NewStrand("s").Post(l.add("alive"))
	s.RunFor(time.Second)
	require.Equal(t, []string{"alive"}, l.take())
	require.NotEqual(t, st.Rand("p").Uint64(), next.NewStrand("s").Rand("p").Uint64(), "an incarnation draws anew")
}

func TestSimCrashInTheMiddleOfATask(t *testing.T) {
	s := NewSim(1)
	c := s.Clock("a")
	var l log
	st := c.NewStrand("s")
	crashing := func() {
		l.add("before")()
		c.Crash()
		l.add("after")()
	}
	st.Post(crashing)
	st.Post(l.add("next task"))
	s.RunFor(time.Second)
	require.Equal(t, []string{"before"}, l.take())
	require.Nil(t, s.Running())

	c = s.Clock("a")
	st = c.NewStrand("s")
	s.After(0, nil, KindNet, func() { // an event of the world outlives the task it ran
		st.(*SimStrand).Run(crashing)
		l.add("world")()
	})
	s.RunFor(time.Second)
	require.Equal(t, []string{"before", "world"}, l.take())

	c = s.Clock("a")
	c.NewStrand("s").Post(func() { panic("a bug") })
	require.PanicsWithValue(t, "a bug", func() { s.Step() })
}

func TestSimPauseHoldsEverything(t *testing.T) {
	s := NewSim(1)
	c := s.Clock("a")
	var l log
	st := c.NewStrand("s")
	mono := c.Monotonic()
	for i := range 5 {
		st.NewTimer(l.add(fmt.Sprint("t", i))).Reset(time.Duration(i+1) * time.Second)
	}
	c.Pause()
	require.True(t, c.Paused())
	st.Post(l.add("task"))
	st.(*SimStrand).Run(l.add("run"))
	s.After(time.Second, c, KindDisk, l.add("disk"))
	s.RunFor(time.Minute)
	require.Empty(t, l.take())
	require.Equal(t, mono+time.Minute, c.Monotonic(), "clocks go on")
	c.Resume()
	c.Resume()
	s.RunFor(time.Microsecond)
	got := l.take()
	require.Less(t, slices.Index(got, "task"), slices.Index(got, "run"))
	slices.Sort(got)
	require.Equal(t, []string{"disk", "run", "t0", "t1", "t2", "t3", "t4", "task"}, got)
}

func TestSimSuspendFreezesMonotonic(t *testing.T) {
	s := NewSim(1)
	c := s.Clock("a")
	var l log
	c.NewStrand("s").NewTimer(l.add("fired")).Reset(10 * time.Second)
	s.RunFor(4 * time.Second)
	mono, wall := c.Monotonic(), c.Now()
	c.Suspend()
	c.Suspend()
	s.RunFor(time.Hour)
	require.Equal(t, mono, c.Monotonic())
	require.Equal(t, wall.Add(time.Hour), c.Now())
	c.Resume()
	s.RunFor(5900 * time.Millisecond)
	require.Empty(t, l.take(), "the time asleep does not count")
	s.RunFor(200 * time.Millisecond)
	require.Len(t, l.take(), 1)
	require.Equal(t, mono+6100*time.Millisecond, c.Monotonic())
}

func TestSimWallClock(t *testing.T) {
	s := NewSim(1)
	c := s.Clock("a")
	require.Equal(t, Epoch, c.Now())
	c.Jump(time.Hour)
	require.Equal(t, Epoch.Add(time.Hour), c.Now())
	c.SetOffset(-time.Minute)
	require.Equal(t, Epoch.Add(-time.Minute), c.Now())
	c.SetOffset(0)
	c.SetStuck(true)
	s.RunFor(time.Minute)
	require.Equal(t, Epoch, c.Now())
	c.Jump(time.Second)
	require.Equal(t, Epoch.Add(time.Second), c.Now())
	c.SetStuck(false)
	require.Equal(t, Epoch.Add(time.Minute+time.Second), c.Now())
	require.Equal(t, time.UTC, c.Now().Location())
	c.SetDrift(500)
	s.RunFor(1_000_000 * time.Second)
	c.Kill()
	require.Equal(t, Epoch.Add(time.Minute+time.Second+1_000_500*time.Second), s.Clock("a").Now(), "a restart keeps the wall clock")
}

// TestSimTimersFollowTheirClock changes everything about a clock and holds that timers
// fire neither early nor more than their lateness late by it.
func TestSimTimersFollowTheirClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSim(rapid.Uint64().Draw(t, "seed"))
		c := s.Clock("a")
		st := c.NewStrand("s")
		late := time.Duration(rapid.Int64Range(0, 100).Draw(t, "lateness")) * time.Millisecond
		c.SetTimerLateness(late)
		open, lastMono := 0, time.Duration(0)
		t.Repeat(map[string]func(*rapid.T){
			"arm": func(t *rapid.T) {
				d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "d"))
				deadline := c.Monotonic() + d
				open++
				st.NewTimer(func() {
					open--
					over := c.Monotonic() - deadline
					if over < 0 {
						t.Fatalf("early by %v", -over)
					}
					if over > late*3/2+time.Microsecond { // lateness is true time, and drift at most half
						t.Fatalf("late by %v", over)
					}
				}).Reset(d)
			},
			"drift":   func(t *rapid.T) { c.SetDrift(rapid.IntRange(-500_000, 500_000).Draw(t, "ppm")) },
			"jump":    func(t *rapid.T) { c.Jump(time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "d"))) },
			"suspend": func(*rapid.T) { c.Suspend(); s.RunFor(time.Minute); c.Resume() },
			"run":     func(t *rapid.T) { s.RunFor(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "d"))) },
			"": func(t *rapid.T) {
				if m := c.Monotonic(); m < lastMono {
					t.Fatalf("monotonic went back from %v to %v", lastMono, m)
				} else {
					lastMono = m
				}
			},
		})
		s.RunFor(3 * time.Hour)
		if open != 0 {
			t.Fatalf("%d timers never fired", open)
		}
	})
}

func TestSimTimerLatenessVaries(t *testing.T) {
	s := NewSim(1)
	c := s.Clock("a")
	c.SetTimerLateness(100 * time.Millisecond)
	st := c.NewStrand("s")
	var least, most time.Duration = time.Hour, 0
	for range 200 {
		armed := s.Now()
		st.NewTimer(func() {
			d := s.Now() - armed - time.Second
			least, most = min(least, d), max(most, d)
		}).Reset(time.Second)
		s.RunFor(2 * time.Second)
	}
	require.Less(t, least, 10*time.Millisecond)
	require.Greater(t, most, 90*time.Millisecond)
}

func TestSimTaskCost(t *testing.T) {
	s := NewSim(1)
	c := s.Clock("a")
	c.SetTaskCost(time.Millisecond)
	st := c.NewStrand("s")
	var at []time.Duration
	for range 1000 {
		st.Post(func() { at = append(at, s.Now()) })
	}
	for s.Step() {
	}
	require.Len(t, at, 1000)
	require.InDelta(t, time.Second, at[999], float64(100*time.Millisecond))
	var ran time.Duration
	st.(*SimStrand).Run(func() { ran = s.Now() })
	for s.Step() {
	}
	require.GreaterOrEqual(t, ran, at[999])
}

func TestSimEntropyIsSeeded(t *testing.T) {
	read := func(seed uint64, machine, purpose string) string {
		var b [24]byte
		_, err := io.ReadFull(NewSim(seed).Clock(machine).Entropy(purpose), b[:])
		require.NoError(t, err)
		return string(b[:])
	}
	require.Equal(t, read(1, "a", "p"), read(1, "a", "p"))
	all := map[string]bool{read(1, "a", "p"): true, read(2, "a", "p"): true, read(1, "b", "p"): true, read(1, "a", "q"): true}
	require.Len(t, all, 4)
}

func TestTraceFolds(t *testing.T) {
	hash := func(f func(*Trace)) uint64 {
		tr := NewSim(1).Trace()
		f(tr)
		return tr.Hash()
	}
	all := map[uint64]bool{}
	for _, f := range []func(*Trace){
		func(tr *Trace) {},
		func(tr *Trace) { tr.Fold(0) },
		func(tr *Trace) { tr.Fold(0, 0) },
		func(tr *Trace) { tr.Fold(1, 2) },
		func(tr *Trace) { tr.Fold(2, 1) },
		func(tr *Trace) { tr.FoldBytes([]byte("abc")) },
		func(tr *Trace) { tr.FoldBytes([]byte("abc\x00")) },
		func(tr *Trace) { tr.FoldBytes([]byte("12345678abc")) },
		func(tr *Trace) { tr.FoldString("12345678abc") },
	} {
		all[hash(f)] = true
	}
	require.Len(t, all, 9)

	tr := NewSim(1).Trace()
	before := tr.Hash()
	tr.Note(LevelFault, "nobody", "hears")
	var heard []string
	tr.SetSink(LevelInfo, func(_ Level, _ time.Duration, who, what string) { heard = append(heard, who+": "+what) })
	tr.Notef(LevelInfo, "a", "x=%d", 1)
	tr.Notef(LevelMessage, "a", "too much")
	require.True(t, tr.Enabled(LevelFault))
	require.False(t, tr.Enabled(LevelTask))
	tr.SetSink(LevelTask, nil)
	tr.Note(LevelFault, "nobody", "hears")
	require.Equal(t, []string{"a: x=1"}, heard)
	require.Equal(t, before, tr.Hash())
	require.Zero(t, tr.Folds())
}
