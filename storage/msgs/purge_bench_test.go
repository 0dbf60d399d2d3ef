package msgs

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkPurgeSteps removes most of a store's messages as a stream does it: so many at a time. It tells how long the
// whole took, and the longest step.
func BenchmarkPurgeSteps(b *testing.B) {
	const n = 1_000_000
	purge := func(f *Filter, before, keep uint64) func(s Store) func() bool {
		return func(s Store) func() bool {
			p := &Purging{Filter: f, Before: before, Keep: keep}
			return func() bool { return s.PurgeStep(p, 2048) }
		}
	}
	limit := func(l Limits) func(s Store) func() bool {
		return func(s Store) func() bool {
			w := &Limiting{Limits: l}
			return func() bool { return s.LimitStep(w, 2048) }
		}
	}
	list := benchSubjects(100_000)
	for _, what := range []struct {
		name  string
		begin func(s Store) func() bool
	}{
		{"all", purge(nil, 0, 0)}, {"sequence", purge(nil, n*3/4, 0)}, {"keep", purge(nil, 0, 1000)},
		{"narrow", purge(NewFilter("orders.5.>"), 0, 0)}, {"wide", purge(NewFilter("orders.*.item.>"), 0, 0)},
		{"max_msgs", limit(Limits{Msgs: 1000})}, {"per-subject", limit(Limits{PerSubject: 1})},
	} {
		for _, file := range []bool{false, true} {
			b.Run(fmt.Sprintf("file=%t/what=%s", file, what.name), func(b *testing.B) {
				var longest time.Duration
				for b.Loop() {
					b.StopTimer()
					r := benchStore(b, file)
					r.do(func() { r.store.OnRemove(func(uint64, string, int, Why, bool) {}) })
					r.do(func() { r.store.OnClear(func(_, _, _ uint64) {}) })
					for i := 0; i < n; {
						r.do(func() {
							for range 512 {
								_, _ = r.store.Append(0, int64(i)*1000, list[i%len(list)], nil, make([]byte, 128), TTL{})
								i++
							}
						})
					}
					step := what.begin(r.store)
					b.StartTimer()
					for more := true; more; {
						r.do(func() {
							at := time.Now()
							more = step()
							longest = max(longest, time.Since(at))
						})
					}
					b.StopTimer()
					r.do(r.store.Close)
					b.StartTimer()
				}
				b.ReportMetric(float64(longest.Microseconds()), "longest-us")
			})
		}
	}
}
