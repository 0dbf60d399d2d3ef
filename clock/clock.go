// Package clock is the door to time, randomness and execution order.
//
// It owns four ideas: a [Clock] (wall and monotonic time), a [Strand] (a token
// with a queue: tasks of one strand run one after another, never two at once),
// a [Timer] (armed on a strand) and a [Mailbox] (typed work in batches for a
// strand). There are two implementations of Clock: [NewReal], which runs
// strands of different owners in parallel on the machine's cores, and [Sim],
// which runs everything in one goroutine from one seed in virtual time.
//
// Nothing in this package ever blocks a task: what waits is a timer or a
// queued task.
package clock

import (
	"io"
	"math/rand/v2"
	"time"
)

// Clock tells time and makes strands. All methods may be called from anywhere.
type Clock interface {
	// Now is the wall clock: it may be skewed and may jump. Never use it for
	// intervals.
	Now() time.Time
	// Monotonic is the time since an arbitrary start; it never goes back and
	// may stand still while the machine is suspended.
	Monotonic() time.Duration
	// NewStrand makes a strand. The name appears in traces and keys the
	// strand's randomness; in simulation it should be unique per owner.
	NewStrand(name string) Strand
	// Entropy is a source of key material and nonces, cryptographically strong
	// in production and seeded in simulation. The purpose keys the stream.
	Entropy(purpose string) io.Reader
}

// Strand runs tasks one after another. Post and NewTimer may be called from
// anywhere; Rand belongs to the strand's own tasks.
type Strand interface {
	// Name is what NewStrand was given.
	Name() string
	// Post queues task to run later, after what was posted before. It never
	// runs the task before Post returns.
	Post(task func())
	// PostFrom is Post by a task that now runs on strand from: if this strand
	// is idle it runs on from's goroutine after from's present task has ended,
	// which saves waking another.
	PostFrom(from Strand, task func())
	// NewTimer makes a stopped timer whose task runs on this strand.
	NewTimer(task func()) Timer
	// Rand is the generator keyed by (seed, clock, strand, purpose): a draw here
	// moves none elsewhere. Repeated calls with one purpose return one generator.
	Rand(purpose string) *rand.Rand
}

// Timer is reusable. Reset and Stop may be called from anywhere; when they are
// called from the timer's own strand, a task of an earlier arming that has not
// started yet never runs.
type Timer interface {
	// Reset arms the timer to fire once, d from now; d <= 0 fires at once.
	Reset(d time.Duration)
	// Stop disarms the timer.
	Stop()
}

// Doer is implemented by strands of the real clock. Do runs task on the strand
// on the caller's goroutine, waiting for the token if another holds it, and
// returns when it has run. Only goroutines of the real shell (connection
// readers, HTTP handlers, the embedding facade) may call it; a task never does.
type Doer interface {
	Do(task func())
}
