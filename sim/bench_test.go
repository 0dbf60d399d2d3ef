package sim

import "testing"

// BenchmarkRun measures whole runs, their judging included.
func BenchmarkRun(b *testing.B) {
	for _, p := range Profiles() {
		b.Run("profile="+string(p.Name), func(b *testing.B) {
			var events uint64
			var virtual float64
			seed := uint64(0)
			for b.Loop() {
				seed++
				r := Run(Options{Seed: seed, Profile: p.Name})
				events += r.Events
				virtual += r.Virtual
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(virtual/b.Elapsed().Seconds(), "virtual-s/s")
		})
	}
}
