package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGrowthOfTheHeap(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name          string
		live, scanned uint64
		want          int
	}{
		{"nothing", 0, 0, 100},
		{"small", growthEven, 0, 100},
		{"a byte more", growthEven + 1, 0, 90},
		{"twice as much without pointers", 2 * growthEven, 0, 50},
		{"twice as much, all pointers", 2 * growthEven, 2 * growthEven, 100},
		{"an index of messages", 90 * mib, 4 * mib, 30},
		{"many consumers", 100 * mib, 70 * mib, 60},
		{"very large", 1 << 40, 0, growthLeast},
		{"very large, all pointers", 1 << 40, 1 << 40, 50},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, growth(tc.live, tc.scanned)) })
	}
}

// TestCollectorIsTuned holds much memory for some collections.
func TestCollectorIsTuned(t *testing.T) {
	t.Setenv("GOGC", "")
	tuneCollector()
	held := make([]byte, 4*growthEven)
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	require.Eventually(t, func() bool {
		runtime.GC()
		metrics.Read(percent)
		return percent[0].Value.Uint64() == growthLeast
	}, 10*time.Second, time.Millisecond)
	runtime.KeepAlive(held)
}
