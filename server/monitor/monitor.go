// Package monitor answers what operators ask: the HTTP endpoints and the
// Prometheus metrics.
//
// A [Monitor] reads the broker's shared state (counters, immutable snapshots) and
// keeps almost none of its own, so it has no strand: its methods may be called
// from any, and never wait. What it says depends on the clock and the broker
// alone, but for what [UseProcess] adds: memory and processor time are the
// machine's. Serving HTTP (http.go), reading the process (process.go) and the
// Prometheus collector (metrics.go) are the only files that touch the outside.
//
// # Invariants
//
//   - The order of keys in every answer is fixed; lists are sorted.
//   - An answer lists no more connections or subscriptions than the limit asked
//     for; only connz with subs lists all subscriptions of each connection.
package monitor

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/cluster"
	"github.com/lockstepmq/lockstep/server/config"
)

// Config is what a monitor asks.
type Config struct {
	Broker  *broker.Broker
	Clock   clock.Clock
	Options func() *config.Options
	Started time.Time
	// ConfigLoaded is when the configuration was last read.
	ConfigLoaded func() time.Time
	// Digest of the configuration file, "" without one.
	Digest func() string
	// JetStream is what JetStream tells; nil, and a nil source, when it does not run.
	JetStream func() JetStreamSource
	// Cluster is nil when the server is in none.
	Cluster *cluster.Cluster
	// Listening is nil when every configured listener is up.
	Listening func() error
	// Process tells what the process uses; nil leaves those numbers zero, as in
	// simulation, until UseProcess.
	Process func() Process
	// Warnf logs what health checks find; nil logs nothing.
	Warnf func(format string, v ...any)
}

// Process is what the operating system knows of the server.
type Process struct {
	Memory   int64   // resident bytes
	Cores    int     // of the machine
	MaxProcs int     // that run Go code at once
	MemLimit int64   // soft memory limit in bytes, 0 for none
	CPU      float64 // percent of one core
}

// Monitor answers.
type Monitor struct {
	c        Config
	process  atomic.Pointer[func() Process]
	httpPort atomic.Int64 // bound, once a request came in on it
	requests [len(counted)]atomic.Uint64
}

// New makes a monitor.
func New(c Config) *Monitor {
	m := &Monitor{c: c}
	if c.Process != nil {
		m.process.Store(&c.Process)
	}
	return m
}

// UseProcess makes read tell what the process uses, if nothing else does yet.
func (m *Monitor) UseProcess(read func() Process) { m.process.CompareAndSwap(nil, &read) }

func (m *Monitor) now() time.Time { return m.c.Clock.Now().UTC() }

func (m *Monitor) id() string { return m.c.Broker.Identity().ServerID }

// uptime writes a duration in whole seconds, without units above the largest that
// is not zero: "20s", "5m3s", "2h0m1s", "1d2h3m4s", "1y2d3h4m5s".
func uptime(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	const minute, hour, day, year = 60, 3600, 86400, 365 * 86400
	y, ds, h, mi, sec := s/year, s%year/day, s%day/hour, s%hour/minute, s%minute
	switch {
	case y > 0:
		return fmt.Sprintf("%dy%dd%dh%dm%ds", y, ds, h, mi, sec)
	case ds > 0:
		return fmt.Sprintf("%dd%dh%dm%ds", ds, h, mi, sec)
	case h > 0:
		return fmt.Sprintf("%dh%dm%ds", h, mi, sec)
	case mi > 0:
		return fmt.Sprintf("%dm%ds", mi, sec)
	}
	return strconv.FormatInt(sec, 10) + "s"
}

// rttText writes a round trip, in whole microseconds below a millisecond.
func rttText(d time.Duration) string {
	if d < time.Millisecond {
		d = d.Truncate(time.Microsecond)
	}
	return d.String()
}

// window bounds a page to a list of n elements: list[from:to].
func window(n, offset, limit int) (from, to int) {
	from = min(offset, n)
	return from, from + min(limit, n-from)
}

// paging fills in what a request left out or said below zero.
func paging(offset, limit, otherwise int) (int, int) {
	if limit <= 0 {
		limit = otherwise
	}
	return max(offset, 0), limit
}
