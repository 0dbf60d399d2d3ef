package source

import (
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Host is what followers need of their stream. All of it is called on the stream's strand, and
// nothing in it calls back before it returns.
type Host interface {
	// Now is the wall clock of the present task, nanoseconds since 1970; Mono the monotonic one.
	Now() int64
	Mono() time.Duration
	Rand() *rand.Rand
	NewTimer(task func()) clock.Timer
	// Post runs task later, as one of the stream's.
	Post(task func())

	Store() msgs.Store
	// Position is [machine.Machine.SourcePosition].
	Position(key string) (seq uint64, identity string, ok bool)
	// Judge says what only a leader can of a message that is to be stored: schedules, and limits of
	// account and server.
	Judge(subject, header, data []byte) machine.Verdict

	// Request publishes in the stream's account with an inbox to reply to, and calls done once: with the
	// first reply, or with false after timeout. cancel makes that it never is.
	Request(subject string, header, body []byte, timeout time.Duration, done func(header, body []byte, ok bool)) (cancel func())
	// Listen subscribes to a literal subject in the stream's account. take gets what arrives, in order, and
	// keeps nothing of it. Subjects are those that a delivery shows, not the one subscribed to.
	Listen(subject string, take func(batch []broker.Arrival)) (stop func(), err error)
	// Send publishes a message without a body.
	Send(subject, header []byte)

	// Entry begins an entry of the machine's, with room for size bytes.
	Entry(size int) []byte
	// Propose hands over an entry that began as Entry gave it. b is told what applying it came to.
	Propose(entry []byte, b *Batch)
	// CaughtUp tells, once, that the mirror is less than ten messages behind its origin.
	CaughtUp()
}
