package clock

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Level says how much of a run a trace's sink hears. A sink set to a level
// hears that level and those below it.
type Level uint8

// Levels from the rarest to the most frequent.
const (
	LevelFault   Level = 1 // what the world does to the server, and operators
	LevelInfo    Level = 2 // client operations, connections, elections
	LevelMessage Level = 3 // messages and disk operations
	LevelTask    Level = 4 // every event of the queue
)

// Sink receives human-readable lines of a trace. It must not touch the run.
type Sink func(level Level, at time.Duration, who, what string)

// Trace folds everything that happens in a run into one hash. Two runs of one
// seed have the same hash after every event; the first difference is a bug of
// the simulator or a hidden source of chance in what it runs. The sink changes
// nothing in the hash.
//
// A Trace is used by one goroutine.
type Trace struct {
	hash  uint64
	folds uint64
	level Level
	sink  Sink
	now   func() time.Duration
}

const (
	traceSeed = 0x51f15eed0c0ffee1
	traceMul  = 0x9e3779b97f4a7c15
)

func mix(h, w uint64) uint64 {
	h = (h ^ w) * traceMul
	return h ^ h>>32
}

// Fold adds words to the hash. It does not allocate.
func (t *Trace) Fold(words ...uint64) {
	h := t.hash
	for _, w := range words {
		h = mix(h, w)
	}
	t.hash = h
	t.folds++
}

// FoldBytes adds the bytes of p and their number to the hash, eight at a time.
func (t *Trace) FoldBytes(p []byte) {
	h := mix(t.hash, uint64(len(p)))
	for len(p) >= 8 {
		h = mix(h, binary.LittleEndian.Uint64(p))
		p = p[8:]
	}
	if len(p) > 0 {
		var tail [8]byte
		copy(tail[:], p)
		h = mix(h, binary.LittleEndian.Uint64(tail[:]))
	}
	t.hash = h
	t.folds++
}

// FoldString adds the bytes of s and their number to the hash.
func (t *Trace) FoldString(s string) {
	h := mix(t.hash, uint64(len(s)))
	for i := 0; i < len(s); i++ {
		h = mix(h, uint64(s[i]))
	}
	t.hash = h
	t.folds++
}

// Hash is the hash of all that was folded so far.
func (t *Trace) Hash() uint64 { return t.hash }

// Folds is how often something was folded.
func (t *Trace) Folds() uint64 { return t.folds }

// SetSink makes sink hear level and the levels below it; nil ends it.
func (t *Trace) SetSink(level Level, sink Sink) {
	t.level, t.sink = level, sink
	if sink == nil {
		t.level = 0
	}
}

// Enabled tells whether the sink hears level; ask before building a costly text.
func (t *Trace) Enabled(level Level) bool { return level <= t.level }

// Note gives the sink a line. It leaves the hash alone.
func (t *Trace) Note(level Level, who, what string) {
	if level <= t.level {
		t.sink(level, t.now(), who, what)
	}
}

// Notef is Note with a format, which is expanded only when the sink hears level.
func (t *Trace) Notef(level Level, who, format string, args ...any) {
	if level <= t.level {
		t.sink(level, t.now(), who, fmt.Sprintf(format, args...))
	}
}
