package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Unless it is told otherwise, Go's collector lets the heap grow by as much as is in use before it looks for garbage. The
// heap of a server with many messages is mostly their index, in which there are no pointers: to collect costs little, and to
// wait that long would take twice the memory that is needed. So the heap may grow by growthEven, and by half of what the
// collector has to look through; by what is in use at most, and by growthLeast percent of it at least.
const (
	growthEven  = 32 << 20
	growthLeast = 30
)

// tuneCollector adapts the collector to the heap after each collection, and costs nothing in between. Who sets GOGC has
// it as it says.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		c := &collector{percent: 100, sizes: []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}}
		c.await()
	}
}

type collector struct {
	percent int
	sizes   []metrics.Sample // what is in use; and of that, what may hold pointers
}

// sentinel is garbage: its cleanup tells that there was a collection.
type sentinel struct{ _ *sentinel }

func (c *collector) await() {
	runtime.AddCleanup(&sentinel{}, func(c *collector) {
		c.tune()
		c.await()
	}, c)
}

func (c *collector) tune() {
	metrics.Read(c.sizes)
	if p := growth(c.sizes[0].Value.Uint64(), c.sizes[1].Value.Uint64()); p != c.percent {
		c.percent = p
		debug.SetGCPercent(p)
	}
}

// growth is by how many percent a heap may grow, in steps of ten: each change stops the server for some
// microseconds.
func growth(live, scanned uint64) int {
	most := growthEven + scanned/2
	if live <= most {
		return 100
	}
	return max(int(10*most/live)*10, growthLeast)
}
