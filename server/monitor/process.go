//lockstep:exempt reads what the operating system knows of the process
package monitor

import (
	"bytes"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// clockTicks is how many ticks Linux counts in a second of processor time.
const clockTicks = 100

// cpuInterval is the least time that a CPU percentage is taken over.
const cpuInterval = time.Second

// cpuMeter turns processor time into a percentage between two looks at it.
var cpuMeter struct {
	sync.Mutex
	at      time.Time
	used    time.Duration
	percent float64
}

// ReadProcess asks the operating system and the runtime. What cannot be found out
// is zero.
func ReadProcess() Process {
	p := Process{
		Memory: residentMemory(), Cores: runtime.NumCPU(), MaxProcs: runtime.GOMAXPROCS(0), CPU: cpuPercent(time.Now()),
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		p.MemLimit = limit
	}
	return p
}

// residentMemory is bytes: what the system says, else what the runtime took.
func residentMemory() int64 {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(text); len(f) > 1 {
			if pages, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// cpuPercent is the share of one core since the last look, or since the first
// one that was long enough ago.
func cpuPercent(now time.Time) float64 {
	used, ok := processorTime()
	if !ok {
		return 0
	}
	cpuMeter.Lock()
	defer cpuMeter.Unlock()
	if cpuMeter.at.IsZero() {
		cpuMeter.at, cpuMeter.used = now, used
		return 0
	}
	if d := now.Sub(cpuMeter.at); d >= cpuInterval {
		cpuMeter.percent = math.Round(float64(used-cpuMeter.used)/float64(d)*1000) / 10
		cpuMeter.at, cpuMeter.used = now, used
	}
	return cpuMeter.percent
}

// processorTime is what the process used in user and system mode.
func processorTime() (time.Duration, bool) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, false
	}
	return parseStat(text)
}

// parseStat reads user and system time from a line of /proc/<pid>/stat. The
// command, in parentheses, may contain anything.
func parseStat(text []byte) (time.Duration, bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, false
	}
	const user, system = 11, 12 // fields 14 and 15, of which two come before the end
	f := bytes.Fields(text[end+1:])
	if len(f) <= system {
		return 0, false
	}
	u, err := strconv.ParseInt(string(f[user]), 10, 64)
	if err != nil {
		return 0, false
	}
	s, err := strconv.ParseInt(string(f[system]), 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Duration(u+s) * (time.Second / clockTicks), true
}
