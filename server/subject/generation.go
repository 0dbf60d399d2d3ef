package subject

import "sync/atomic"

// A Generation is the state of those parts of an index that decide what one
// subject matches. [Index.Valid] tells whether they have changed since. The zero
// value is never valid.
type Generation struct {
	literal, star, pattern    *atomic.Uint64
	literalN, starN, patternN uint64
	leadingN                  uint64
}

// generations are counters, each for a share of the hashes, that rise with every
// change to that share. Writers change first and count then; readers read the
// counter first: what they took is complete or will be found stale.
type generations struct {
	counters atomic.Pointer[[]atomic.Uint64]
}

// retired marks counters that were replaced by a larger or smaller set.
const retired = ^uint64(0)

func (g *generations) read(hash uint64) (*atomic.Uint64, uint64) {
	for {
		c := g.counter(hash)
		if n := c.Load(); n != retired {
			return c, n
		}
	}
}

func (g *generations) counter(hash uint64) *atomic.Uint64 {
	set := *g.counters.Load()
	return &set[hash>>40&uint64(len(set)-1)]
}

// resize replaces the counters. No writer may be at work.
func (g *generations) resize(n int) {
	old := g.counters.Load()
	set := make([]atomic.Uint64, n)
	g.counters.Store(&set) // before the old ones retire: who finds those tries again
	if old == nil {
		return
	}
	for i := range *old {
		(*old)[i].Store(retired)
	}
}
