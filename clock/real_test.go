package clock

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDoExcludes has goroutines, posts and timers compete for one strand.
func TestDoExcludes(t *testing.T) {
	r := NewReal()
	s, from := r.NewStrand("s"), r.NewStrand("from")
	const goroutines, rounds = 8, 500
	count := 0 // unguarded on purpose: the race detector watches
	add := func() { count++ }
	timer := s.NewTimer(func() {})
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for range rounds {
				switch g % 4 {
				case 0:
					s.Post(add)
				case 1:
					from.Post(func() { s.PostFrom(from, add) })
				default:
					ran := false
					s.(Doer).Do(func() { count++; ran = true })
					if !ran {
						t.Error("Do returned before its task ran")
					}
				}
				timer.Reset(0)
			}
		})
	}
	wg.Wait()
	// What was posted may still be on its way: from's tasks, then those they posted.
	for _, x := range []Strand{from, s, from, s} {
		done := make(chan struct{})
		x.Post(func() { close(done) })
		<-done
	}
	got := 0
	s.(Doer).Do(func() { got = count })
	require.Equal(t, goroutines*rounds, got)
}

func TestDoRunsOnTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewReal().NewStrand("s")
		gate := make(chan struct{})
		s.Post(func() { <-gate }) // holds the token
		var order []string
		go s.(Doer).Do(func() { order = append(order, "do") })
		synctest.Wait()
		s.Post(func() { order = append(order, "post") })
		synctest.Wait()
		require.Empty(t, order, "nothing runs while the token is held")
		close(gate)
		synctest.Wait()
		require.Equal(t, []string{"do", "post"}, order, "first come, first served")
	})
}

// TestDoHandsOn shows that a reader does not keep a busy strand for ever.
func TestDoHandsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewReal().NewStrand("s")
		ran, total := 0, 0
		s.(Doer).Do(func() {
			for range 10 * sliceTasks {
				s.Post(func() { total++ })
			}
			var again func()
			again = func() {
				ran++
				if ran < 1_000_000 {
					s.Post(again)
				}
			}
			s.Post(again)
		})
		// Do is back although the strand is far from done; it may have been handed on at once.
		synctest.Wait()
		require.Equal(t, 10*sliceTasks, total)
		require.Equal(t, 1_000_000, ran)
	})
}

// TestPostFromChain passes work along idle strands, each of them on the first one's goroutine.
func TestPostFromChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReal()
		var strands []Strand
		for range 1000 {
			strands = append(strands, r.NewStrand("s"))
		}
		var order []int
		var step func(i int) func()
		step = func(i int) func() {
			return func() {
				order = append(order, i)
				if i+1 < len(strands) {
					strands[i+1].PostFrom(strands[i], step(i+1))
				}
			}
		}
		strands[0].(Doer).Do(step(0))
		synctest.Wait()
		require.Len(t, order, 1000)
		for i, got := range order {
			require.Equal(t, i, got)
		}
	})
}

func TestPostFromFansOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReal()
		from := r.NewStrand("from")
		var l log
		from.(Doer).Do(func() {
			for range 1000 {
				r.NewStrand("s").PostFrom(from, l.add("x"))
			}
		})
		synctest.Wait()
		require.Len(t, l.take(), 1000)
	})
}

// TestPostFromIdleCaller is about a caller that is not on strand from at all.
func TestPostFromIdleCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReal()
		var l log
		r.NewStrand("s").PostFrom(r.NewStrand("idle"), l.add("x"))
		r.NewStrand("s").PostFrom(nil, l.add("y"))
		synctest.Wait()
		require.ElementsMatch(t, []string{"x", "y"}, l.take())
	})
}

// TestTimerOvertakenFiring calls what the runtime calls when a firing was under way while
// the timer was stopped, or armed anew.
func TestTimerOvertakenFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		timer := NewReal().NewStrand("s").NewTimer(l.add("fired")).(*realTimer)
		timer.Reset(time.Hour)
		timer.fired()
		synctest.Wait()
		require.Empty(t, l.take(), "armed anew")
		timer.Stop()
		time.Sleep(2 * time.Hour)
		timer.fired()
		synctest.Wait()
		require.Empty(t, l.take(), "stopped")
	})
}
