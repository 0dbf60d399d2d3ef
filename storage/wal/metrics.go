package wal

import (
	"sync/atomic"
)

// counters are shared with whoever asks for metrics.
type counters struct {
	entries, bytes, batches, syncs atomic.Uint64
	pending, size                  atomic.Int64
	segments                       atomic.Int64
	carried, rolls, trims, damaged atomic.Uint64
}

// Metrics of a log since it was opened.
type Metrics struct {
	Entries  uint64 // acknowledged
	Bytes    uint64 // acknowledged, of everything logged
	Batches  uint64 // written
	Syncs    uint64
	Pending  int64 // bytes that wait for their batch to be acknowledged
	Segments int64
	Size     int64  // of all segments, in bytes
	Carried  uint64 // bytes carried forward
	Rolls    uint64 // segments begun
	Trims    uint64 // segments removed
	Damaged  uint64 // times that damage was met since
	Full     bool   // waits for space on the disk
}

// Metrics tells what has happened so far.
func (l *Log) Metrics() Metrics {
	c := &l.metrics
	return Metrics{
		Entries: c.entries.Load(), Bytes: c.bytes.Load(), Batches: c.batches.Load(), Syncs: c.syncs.Load(),
		Pending: c.pending.Load(), Segments: c.segments.Load(), Size: c.size.Load(),
		Carried: c.carried.Load(), Rolls: c.rolls.Load(), Trims: c.trims.Load(), Damaged: c.damaged.Load(), Full: l.full.Load(),
	}
}

// Pending is the number of bytes that were handed over and wait for their batch.
func (l *Log) Pending() int64 { return l.metrics.pending.Load() }
