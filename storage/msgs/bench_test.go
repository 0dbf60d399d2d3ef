package msgs

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/lockstepmq/lockstep/clock"
)

// benchSubjects are n subjects as streams have them.
func benchSubjects(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, "orders.%d.item.%d", i%1000, i)
	}
	return list
}

func BenchmarkAppend(b *testing.B) {
	for _, file := range []bool{false, true} {
		for _, subjects := range []int{1, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("file=%t/subjects=%d", file, subjects), func(b *testing.B) {
				list := benchSubjects(subjects)
				r := benchStore(b, file)
				data := make([]byte, 128)
				at, i := int64(0), 0
				run := func(n, step int) {
					for n > 0 {
						r.do(func() { // in tasks, as a server does it
							for range min(n, 512) {
								at += 1000
								if _, err := r.store.Append(0, at, list[i], nil, data, TTL{}); err != nil {
									b.Fatal(err)
								}
								if i += step; i >= len(list) {
									i %= len(list)
								}
							}
						})
						n -= 512
					}
				}
				run(subjects, 1)
				b.ReportAllocs()
				b.SetBytes(128)
				b.ResetTimer()
				cpu := cpuTime(b)
				run(b.N, 7919)
				b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
				b.StopTimer()
				r.do(r.store.Close)
			})
		}
	}
}

// benchStore is a store in memory, or in files of a temporary directory.
func benchStore(b *testing.B, file bool) *realStore {
	if !file {
		s := clock.NewReal().NewStrand("stream")
		return &realStore{store: NewMemory(s, Options{}), strand: s}
	}
	return openReal(b, b.TempDir(), nil, Options{})
}

func BenchmarkAppendPerSubject(b *testing.B) {
	for _, subjects := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("subjects=%d", subjects), func(b *testing.B) {
			list := benchSubjects(subjects)
			st := NewMemory(clock.NewReal().NewStrand("stream"), Options{Limits: Limits{PerSubject: 1}})
			data := make([]byte, 128)
			for i, s := range list {
				_, _ = st.Append(0, int64(i)*1000, s, nil, data, TTL{})
			}
			b.ReportAllocs()
			i, at := 0, int64(subjects)*1000
			for b.Loop() {
				at += 1000
				_, _ = st.Append(0, at, list[i], nil, data, TTL{})
				if i += 7919; i >= len(list) {
					i %= len(list)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	st := NewMemory(clock.NewReal().NewStrand("stream"), Options{})
	list := benchSubjects(1000)
	data := make([]byte, 128)
	const n = 1_000_000
	for i := range n {
		_, _ = st.Append(0, int64(i)*1000, list[i%1000], nil, data, TTL{})
	}
	b.Run("order=sequence", func(b *testing.B) {
		b.ReportAllocs()
		seq := uint64(0)
		for b.Loop() {
			if seq++; seq > n {
				seq = 1
			}
			if _, found := st.Load(seq); found != Cached {
				b.Fatal(seq)
			}
		}
	})
	b.Run("order=random", func(b *testing.B) {
		b.ReportAllocs()
		seq := uint64(0)
		for b.Loop() {
			seq = seq*6364136223846793005 + 1442695040888963407
			if _, found := st.Load(seq>>33%n + 1); found != Cached {
				b.Fatal(seq)
			}
		}
	})
}

// BenchmarkQueue stores a message and removes it, as a work queue does.
func BenchmarkQueue(b *testing.B) {
	for _, file := range []bool{false, true} {
		b.Run(fmt.Sprintf("file=%t", file), func(b *testing.B) {
			r := benchStore(b, file)
			data, subject := make([]byte, 128), []byte("work")
			b.ReportAllocs()
			cpu := cpuTime(b)
			r.do(func() {
				for b.Loop() {
					seq, err := r.store.Append(0, 1, subject, nil, data, TTL{})
					if err != nil || !r.store.Remove(seq, false, ByAck) {
						b.Fatal(seq, err)
					}
				}
			})
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

func BenchmarkPurge(b *testing.B) {
	list := benchSubjects(100_000)
	for b.Loop() {
		b.StopTimer()
		st := NewMemory(clock.NewReal().NewStrand("stream"), Options{})
		for i := range 1_000_000 {
			_, _ = st.Append(0, int64(i), list[i%len(list)], nil, nil, TTL{})
		}
		told := 0
		st.OnRemove(func(uint64, string, int, Why, bool) { told++ })
		b.StartTimer()
		st.Purge(nil, 0, 0)
	}
}

// BenchmarkHeap tells what a message and a subject cost in memory.
func BenchmarkHeap(b *testing.B) {
	for _, c := range []struct{ messages, subjects int }{{2_000_000, 1}, {2_000_000, 100_000}, {1_000_000, 1_000_000}, {2_000_000, 1_000_000}} {
		b.Run(fmt.Sprintf("messages=%d/subjects=%d", c.messages, c.subjects), func(b *testing.B) {
			list := benchSubjects(c.subjects)
			for b.Loop() {
				before := heapUsed()
				r := openReal(b, b.TempDir(), nil, Options{Cache: NewCache(1)})
				fill(b, r, list, c.messages, list[0])
				b.ReportMetric(float64(heapUsed()-before)/float64(c.messages), "B/msg")
				r.do(r.store.Close)
			}
		})
	}
}

// fill appends n messages, a millisecond apart, with checkpoints.
func fill(b *testing.B, r *realStore, list [][]byte, n int, data []byte) {
	for i := 0; i < n; {
		r.do(func() {
			for range 10_000 {
				_, _ = r.store.Append(0, int64(i)*1_000_000, list[i%len(list)], nil, data, TTL{})
				i++
			}
		})
		if i%500_000 == 0 {
			r.checkpoint(b)
		}
	}
	r.checkpoint(b)
}

// cpuTime is what the process used of all cores, in nanoseconds: on a busy machine it tells more than
// the time that passed.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func heapUsed() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSelect asks a store of a million subjects with three messages each.
func BenchmarkSelect(b *testing.B) {
	const subjects = 1_000_000
	list := benchSubjects(subjects)
	st := NewMemory(clock.NewReal().NewStrand("stream"), Options{})
	for i := range 3 * subjects {
		_, _ = st.Append(0, int64(i)*1000, list[i%subjects], nil, nil, TTL{})
	}
	last := st.State().Last
	for _, p := range []struct{ name, pattern string }{
		{"literal", "orders.7.item.500007"}, {"narrow", "orders.7.>"}, {"wide", "orders.*.item.*"}, {"all", "orders.>"}, {"none", "nothing.>"},
	} {
		f := NewFilter(p.pattern)
		b.Run("next/"+p.name, func(b *testing.B) {
			b.ReportAllocs()
			seq := uint64(0)
			for b.Loop() {
				if got, ok := st.Next(f, seq+1); ok {
					seq = got
				} else {
					seq = 0
				}
			}
		})
		b.Run("tail/"+p.name, func(b *testing.B) {
			for b.Loop() {
				st.Next(f, last)
			}
		})
		b.Run("count/"+p.name, func(b *testing.B) {
			n := uint64(0)
			for b.Loop() {
				n++
				st.Count(f, last/2+n%1000, false)
			}
		})
		b.Run("count-first/"+p.name, func(b *testing.B) {
			s := st.(*store)
			for b.Loop() {
				s.change++
				st.Count(f, 0, false)
			}
		})
		b.Run("last/"+p.name, func(b *testing.B) {
			for b.Loop() {
				st.LastPerSubject(f, 0, 1024)
			}
		})
	}
}

// BenchmarkOpen opens stores whose files are in the system's cache.
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct{ messages, subjects int }{{10_000_000, 100_000}, {1_000_000, 1_000_000}} {
		b.Run(fmt.Sprintf("messages=%d/subjects=%d", c.messages, c.subjects), func(b *testing.B) {
			list := benchSubjects(c.subjects)
			dir := b.TempDir()
			r := openReal(b, dir, nil, Options{})
			fill(b, r, list, c.messages, make([]byte, 16))
			r.do(r.store.Close)
			b.ResetTimer()
			cpu := cpuTime(b)
			for range b.N {
				again := openReal(b, dir, r.manifest, Options{})
				b.StopTimer()
				if again.store.State().Msgs != uint64(c.messages) || !again.report.Sound() {
					b.Fatal(again.report)
				}
				again.do(again.store.Close)
				b.StartTimer()
			}
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}
