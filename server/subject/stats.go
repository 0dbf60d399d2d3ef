package subject

import "sync/atomic"

// Stats are an index's counters since it was made, and two gauges. They add up
// over indexes.
type Stats struct {
	Subscriptions uint64 // now
	Cached        uint64 // results in callers' caches now
	Inserts       uint64
	Removes       uint64
	Matches       uint64 // cached ones included
	Hits          uint64 // matches answered by callers' caches
	FanoutMax     uint64
	FanoutSum     uint64 // over Matches - Hits
}

// HitRate is the share of matches that caches answered, 0 to 1.
func (s Stats) HitRate() float64 {
	if s.Matches == 0 {
		return 0
	}
	return float64(s.Hits) / float64(s.Matches)
}

// FanoutAvg is the mean number of subscriptions an uncached match found.
func (s Stats) FanoutAvg() float64 {
	if s.Matches == s.Hits {
		return 0
	}
	return float64(s.FanoutSum) / float64(s.Matches-s.Hits)
}

// Add sums two indexes' statistics.
func (s Stats) Add(o Stats) Stats {
	s.Subscriptions += o.Subscriptions
	s.Cached += o.Cached
	s.Inserts += o.Inserts
	s.Removes += o.Removes
	s.Matches += o.Matches
	s.Hits += o.Hits
	s.FanoutMax = max(s.FanoutMax, o.FanoutMax)
	s.FanoutSum += o.FanoutSum
	return s
}

type counters struct {
	inserts, removes, matches, hits, fanoutMax, fanoutSum atomic.Uint64
	cached                                                atomic.Int64
}

func (c *counters) matched(fanout int) {
	c.matches.Add(1)
	if fanout == 0 {
		return
	}
	c.fanoutSum.Add(uint64(fanout))
	for was := c.fanoutMax.Load(); uint64(fanout) > was; was = c.fanoutMax.Load() {
		if c.fanoutMax.CompareAndSwap(was, uint64(fanout)) {
			return
		}
	}
}

// CountHits adds matches that a caller's cache answered. Callers count for
// themselves and hand the sum in once a batch.
func (x *Index[T]) CountHits(n int) { x.stat.hits.Add(uint64(n)) }

// CountCached adds to, or with a negative n takes from, the results in caches.
func (x *Index[T]) CountCached(n int) { x.stat.cached.Add(int64(n)) }

// Stats gives the counters; they are read one after another, not at one instant.
func (x *Index[T]) Stats() Stats {
	hits := x.stat.hits.Load()
	return Stats{
		Subscriptions: uint64(max(x.size.Load(), 0)),
		Cached:        uint64(max(x.stat.cached.Load(), 0)),
		Inserts:       x.stat.inserts.Load(),
		Removes:       x.stat.removes.Load(),
		Matches:       x.stat.matches.Load() + hits,
		Hits:          hits,
		FanoutMax:     x.stat.fanoutMax.Load(),
		FanoutSum:     x.stat.fanoutSum.Load(),
	}
}
