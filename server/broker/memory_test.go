package broker_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// heap is what is alive after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryOfASubscription bounds what one more subscription with a subject of its
// own costs, all included, with as many as make tables grow.
func TestMemoryOfASubscription(t *testing.T) {
	const n = 200_000
	b := newBroker(t, "")
	s := accept(b)
	before := heap()
	var p []byte
	for i := range n {
		if p = fmt.Appendf(p, "SUB orders.region%d.item%d %d\r\n", i%100, i, i); len(p) > 32<<10 {
			s.h.Data(p)
			p = p[:0]
		}
	}
	s.h.Data(p)
	require.Equal(t, n, b.NumSubscriptions())
	each := (heap() - before) / n
	t.Logf("%d bytes a subscription", each)
	require.LessOrEqual(t, each, int64(420))
	runtime.KeepAlive(s)
}

// TestMemoryOfAnIdleConnection bounds what the server keeps of a client that has
// connected and is silent; the network's share has a bound of its own.
func TestMemoryOfAnIdleConnection(t *testing.T) {
	const n = 5_000
	b := newBroker(t, "")
	before := heap()
	var conns []*sink
	for range n {
		conns = append(conns, accept(b))
	}
	require.Equal(t, n, b.NumClients())
	each := (heap() - before) / n
	t.Logf("%d bytes a connection", each)
	require.LessOrEqual(t, each, int64(4<<10))
	runtime.KeepAlive(conns)
}

// TestMemoryOfAWatch bounds what it costs to watch one more subject.
func TestMemoryOfAWatch(t *testing.T) {
	const n = 20_000
	b := newBroker(t, "")
	strand := newStrand("watch")
	before := heap()
	stops := make([]func(), 0, n)
	for i := range n {
		stops = append(stops, b.WatchInterest(b.Global(), fmt.Sprintf("_INBOX.%d.x", i), strand, func() {}))
	}
	each := (heap() - before) / n
	t.Logf("%d bytes a watch", each)
	require.LessOrEqual(t, each, int64(900))
	for _, stop := range stops {
		stop()
	}
	require.Zero(t, b.Global().Watches())
}
