package consumer

import (
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Host is what a consumer needs of its stream. All of it is called on the stream's strand.
type Host interface {
	Store() msgs.Store
	Stream() *api.StreamConfig
	// Now is the wall clock of the present task, nanoseconds since 1970; Mono the monotonic one.
	Now() int64
	Mono() time.Duration
	Rand() *rand.Rand
	NewTimer(task func()) clock.Timer

	// Deliver sends a message to who is subscribed to inbox, showing subject; false when nobody is.
	Deliver(inbox, subject string, reply []byte, header, data []byte) bool
	// Status sends a header-only message to inbox, with an optional reply; false when nobody listens.
	Status(inbox string, reply []byte, header []byte) bool
	// Interested tells whether anybody, or with queue anybody in that queue group, listens to a literal subject.
	Interested(inbox, queue string) bool
	// Watch asks that InterestChanged is called when interest in a literal subject comes or goes; it
	// returns what ends the watch.
	Watch(inbox string, c *Consumer) (stop func())
	// Run asks for a call of Step soon, in turn with other consumers.
	Run(c *Consumer)

	// Record logs an event of c, lazily: with a flush that comes anyway, or within 5 ms; prompt asks for
	// one. committed, if not nil, is called once the event is durable. Committed is called for it then, too.
	Record(c *Consumer, event []byte, prompt bool, committed func())
	// Release tells that c needs none of the sequences first to last any more, at commit.
	Release(c *Consumer, first, last uint64)
	// Advise publishes an advisory or metric on subject, if anybody listens: build makes its JSON.
	Advise(subject string, build func(id string, now time.Time) any)
	// Expire proposes the end of the consumer, because of inactivity.
	Expire(c *Consumer)
	// Changed moves the consumer in or out of the set that is told of new and removed messages.
	Listen(c *Consumer, on bool)
}
