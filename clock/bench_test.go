package clock

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func BenchmarkRealDo(b *testing.B) {
	s := NewReal().NewStrand("s").(Doer)
	n := 0
	task := func() { n++ }
	b.ReportAllocs()
	for b.Loop() {
		s.Do(task)
	}
}

func BenchmarkRealPostDrain(b *testing.B) {
	s := NewReal().NewStrand("s")
	done := make(chan struct{}, 1)
	task := func() {}
	last := func() { done <- struct{}{} }
	b.ReportAllocs()
	for b.Loop() {
		for range 99 {
			s.Post(task)
		}
		s.Post(last)
		<-done
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/task")
}

func BenchmarkRealPostFrom(b *testing.B) {
	r := NewReal()
	from, to := r.NewStrand("from"), r.NewStrand("to")
	n := 0
	task := func() { n++ }
	outer := func() { to.PostFrom(from, task) }
	b.ReportAllocs()
	for b.Loop() {
		from.(Doer).Do(outer)
	}
	require.Equal(b, b.N, n)
}

func BenchmarkMailboxPut(b *testing.B) {
	s := NewReal().NewStrand("s")
	n := 0
	m := NewMailbox(s, 0, func(int) int { return 8 }, func(batch []int) { n += len(batch) })
	put := func() {
		for i := range 100 {
			m.PutFrom(s, i)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s.(Doer).Do(put)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/item")
}

func BenchmarkSimTimer(b *testing.B) {
	for _, timers := range []int{10, 1000, 100000} {
		b.Run(fmt.Sprintf("armed=%d", timers), func(b *testing.B) {
			s := NewSim(1)
			c := s.Clock("a")
			for i := range timers {
				st := c.NewStrand("s")
				g := st.Rand("d")
				var t Timer
				t = st.NewTimer(func() { t.Reset(time.Duration(1 + g.Int64N(int64(time.Second)))) })
				t.Reset(time.Duration(i))
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Step()
			}
		})
	}
}

func BenchmarkSimPost(b *testing.B) {
	s := NewSim(1)
	c := s.Clock("a")
	for range 8 {
		st := c.NewStrand("s")
		var again func()
		again = func() { st.Post(again) }
		st.Post(again)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Step()
	}
}

func BenchmarkTraceFold(b *testing.B) {
	t := &NewSim(1).trace
	for b.Loop() {
		t.Fold(1, 2, 3, 4, 5)
	}
}

func BenchmarkTraceFoldBytes(b *testing.B) {
	t := &NewSim(1).trace
	p := make([]byte, 1024)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		t.FoldBytes(p)
	}
}

func TestAllocations(t *testing.T) {
	r := NewReal()
	real, other := r.NewStrand("s"), r.NewStrand("other")
	nothing := func() {}
	pass := func() { other.PostFrom(real, nothing) }
	timer := real.NewTimer(nothing)
	timer.Reset(time.Hour)
	defer timer.Stop()
	box := NewMailbox(real, 0, nil, func([]int) {})
	put := func() { box.PutFrom(real, 1) }

	sim := NewSim(1)
	st := sim.Clock("a").NewStrand("s")
	simTimer := st.NewTimer(nothing)
	for name, f := range map[string]func(){
		"do":        func() { real.(Doer).Do(nothing) },
		"post from": func() { real.(Doer).Do(pass) },
		"mailbox":   func() { real.(Doer).Do(put) },
		"timer":     func() { timer.Reset(time.Hour) },
		"sim post":  func() { st.Post(nothing); sim.Step() },
		"sim timer": func() { simTimer.Reset(time.Second); sim.Step() },
		"sim after": func() { sim.After(time.Second, nil, KindNet, nothing); sim.Step() },
		"trace":     func() { sim.Trace().Fold(1, 2, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				f()
			}
			require.Zero(t, testing.AllocsPerRun(100, f))
		})
	}
}
