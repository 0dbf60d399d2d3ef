package source

import (
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/subject"
)

// Times of a follower.
const (
	createTimeout = 30 * time.Second
	resetTimeout  = 5 * time.Second
	stallAfter    = 10 * time.Second // of silence: heartbeats come every second
	spacing       = 2 * time.Second  // between two attempts, at least
	backoff       = 10 * time.Second // times the failures in a row
	backoffMax    = 2 * time.Minute
	refusedFirst  = 2 * time.Second // doubles with every refusal in a row
	refusedMax    = 10 * time.Second
	jitterMin     = 100 * time.Millisecond
	jitterMax     = 200 * time.Millisecond
	jitterManyMax = 600 * time.Millisecond // of the first attempt, for sources of a stream with replicas
)

// Bounds on what is in memory of one origin's messages.
const (
	underMax = 8 << 20  // bytes proposed and not applied; above, messages queue up
	entryMax = 1 << 20  // bytes of messages in an entry, but for one that is larger alone
	queueMax = 64 << 20 // above, the origin does not heed flow control, and the consumer is made again
)

// phase is what a follower waits for.
type phase uint8

const (
	resting   phase = iota // the timer
	draining               // what is under way, or the search for its position; then it asks at once
	asking                 // the origin's reply to the request for a consumer
	following              // messages
	ended
)

// Follower copies from one origin. It belongs to a [Set].
type Follower struct {
	set        *Set
	host       Host
	src        *api.StreamSource
	mirror     bool
	key        string // of a source
	transforms []*subject.Transform
	name       string // of the consumer at the origin, without a random suffix

	phase    phase
	timer    clock.Timer
	asked    time.Duration // when the last attempt began
	everMade bool          // an attempt was made
	failures int           // attempts in a row
	refusals int           // of messages in a row
	attempt  uint64        // tells late callbacks of an earlier attempt
	level    level
	deliver  string
	stop     func() // ends the subscription to deliver
	cancel   func() // gives the request up
	err      *api.Error

	identity  string // of the origin, as it last told; "" if it never did
	fromStart bool   // the origin was made anew, and did not tell its identity yet
	remade    bool   // what is here is of an earlier origin: this one is followed from its first message

	early      []message // came before the reply to the request
	earlyBytes int
	began      uint64   // the origin's sequence that the consumer begins behind
	acksFlow   bool     // the consumer's ack policy is flow control
	taken      place    // of the last message that came
	done       place    // up to here all is committed
	proposed   uint64   // the origin's sequence of the last message proposed, or here before
	chain      position // of the last message of a source that is here or proposed
	queue      queue    // taken, not proposed
	under      int      // entries proposed and not applied
	underSize  int      // bytes of them
	question   []byte   // of flow control, not answered
	questionAt uint64   // the last message before it

	copies  machine.Copies
	sources machine.SourceBuilder
	batch   *Batch // of the entry being built; nil for none
	subject []byte

	lag   uint64
	heard time.Duration
	known bool // the origin was heard of
}

// place is a message of a consumer.
type place struct {
	consumer uint64 // the consumer's sequence
	stream   uint64 // the origin's sequence
}

func newFollower(s *Set, src *api.StreamSource, mirror bool) *Follower {
	f := &Follower{set: s, host: s.host, src: src, mirror: mirror}
	f.sources.MaxPayload = s.opts.MaxPayload
	if mirror {
		f.name = s.consumerName(f)
	} else {
		f.key = machine.SourceKey(src)
	}
	for _, t := range src.SubjectTransforms {
		if tr, err := subject.NewTransform(t.Source, t.Destination); err == nil {
			f.transforms = append(f.transforms, tr)
		} else {
			f.err = f.failure(err.Error())
		}
	}
	f.timer = f.host.NewTimer(f.timeout)
	last := jitterMax
	if !mirror && s.cfg.Replicas > 1 {
		last = jitterManyMax
	}
	f.rest(f.jitter(last))
	return f
}

func (f *Follower) jitter(last time.Duration) time.Duration {
	return jitterMin + time.Duration(f.host.Rand().Int64N(int64(last-jitterMin)))
}

// failure is how a text is reported.
func (f *Follower) failure(text string) *api.Error {
	if f.mirror {
		return api.ErrMirrorConsumerSetupFailed.With(text)
	}
	return api.ErrSourceConsumerSetupFailed.With(text)
}

// rest plans the next attempt, d from now or later.
func (f *Follower) rest(d time.Duration) {
	f.phase = resting
	if f.everMade {
		d = max(d, f.asked+spacing-f.host.Mono())
	}
	f.timer.Reset(max(d, 0))
}

// timeout does what is due.
func (f *Follower) timeout() {
	switch f.phase {
	case resting:
		f.begin()
	case following:
		if left := f.heard + stallAfter - f.host.Mono(); left > 0 {
			f.timer.Reset(left)
			return
		}
		f.again()
	}
}

// begin makes an attempt, once nothing is under way that could still move the position.
func (f *Follower) begin() {
	if f.under > 0 || (!f.mirror && f.set.searching()) {
		f.phase = draining
		return
	}
	f.level = levelFull
	f.ask()
}

// drained goes on with an attempt that had to wait.
func (f *Follower) drained() {
	if f.phase == draining && f.under == 0 && (f.mirror || !f.set.searching()) {
		f.begin()
	}
}

// drop lets go of the consumer and of what it sent that was not proposed.
func (f *Follower) drop() {
	f.attempt++
	f.timer.Stop()
	if f.cancel != nil {
		f.cancel()
		f.cancel = nil
	}
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
	f.queue.clear()
	f.early, f.earlyBytes, f.question = nil, 0, nil
	f.taken, f.done = place{}, place{}
}

// again asks for a new consumer, soon.
func (f *Follower) again() {
	f.drop()
	f.rest(0)
}

// fail asks again after a while: longer each time. A nil err leaves what is reported.
func (f *Follower) fail(err *api.Error) {
	f.drop()
	if err != nil {
		f.err = err
	}
	f.failures++
	f.rest(min(time.Duration(f.failures)*backoff, backoffMax) + f.jitter(jitterMax))
}

// refused tries the same message again after a while.
func (f *Follower) refused(err *api.Error) {
	f.drop()
	f.err = err
	d := min(refusedFirst<<min(f.refusals, 8), refusedMax)
	f.refusals++
	f.rest(d)
}

// end is the end of it.
func (f *Follower) end(why Reason) {
	f.drop()
	f.phase = ended
	if why == Removed && f.src.Consumer == nil && f.everMade {
		f.host.Request(f.call("CONSUMER.DELETE.")+"."+f.name, nil, nil, createTimeout, func([]byte, []byte, bool) {})
	}
}

// arrived is given what comes on the deliver subject of an attempt.
func (f *Follower) arrived(attempt uint64, batch []broker.Arrival) {
	if f.attempt != attempt || f.phase == ended {
		return
	}
	f.take(batch)
}

// info tells how the follower does.
func (f *Follower) info() *api.StreamSourceInfo {
	i := Idle(f.src)
	i.Lag, i.Error = f.lag, f.err
	if !f.mirror {
		i.Seq, _, _ = f.host.Position(f.key)
	}
	if f.known {
		i.Active = f.host.Mono() - f.heard
	}
	return i
}
