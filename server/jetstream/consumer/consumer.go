// Package consumer serves one consumer of a stream: what was delivered, acknowledged, is
// pending and must be sent again, and the pull requests and push interest that wait.
//
// It owns [Consumer], which runs on its stream's strand. State that must survive changes
// only by events ([Host.Record]): the leader applies an event at once and logs it in
// batches; replaying the events of the log gives the same state. What only a leader
// has (requests, timers, cursors) is volatile. A consumer that waits for nothing arms no timer and
// costs no event. It knows no log and no connection: [Host] does.
//
// # What a crash may lose, and why that is enough
//
// The events of the last milliseconds before a crash may be missing from the log, always as a
// tail. Five rules keep the promises nevertheless:
//
//   - Acks are confirmed to whoever asked, and retention is told, only when the ack's event is durable. So
//     what was confirmed is never delivered again, and no message goes that is still needed.
//   - The horizon: a delivery uses a consumer sequence, and no consumer sequence is used above
//     the horizon, which is durable before. After a crash, the messages that may have been delivered without
//     a record are among the first (horizon - last recorded consumer sequence) matching ones after the
//     recorded position: deliveries follow the stream, each uses one consumer sequence, and
//     what was lost is a tail. These are presumed delivered, in an event of their own: they
//     are pending, so acks of them count, and new consumer sequences start above the horizon. The stream
//     sequence needs no horizon of its own: with the number of deliveries bounded, the
//     stream's last sequence bounds it.
//   - Presumed messages are sent again at once. Without a limit of deliveries they count as not yet delivered, so
//     the count that a client sees never falls; with a limit they count as delivered once, so the limit is
//     never passed; with a limit of one, and without acks, they are not sent again.
//   - A redelivery is sent when its higher count is durable. So counts never fall, and limits of deliveries are exact.
//   - The horizon is raised in advance, without haste, so that it is rarely waited for, and is taken back
//     when nobody waits for messages, so that a crash at rest presumes nothing.
//
// A consumer that is [Consumer.Lazy] records nothing: its client starts over when it sees a gap.
package consumer

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Spec is what identifies and configures a consumer.
type Spec struct {
	ID      uint32
	Name    string
	Created time.Time
	Config  *api.ConsumerConfig // complete and valid; shared, and never changed
	Window  int                 // bytes under way with which flow control begins; 0 is the default
}

// Consumer is one consumer. Its methods run on the stream's strand.
//
// Times in the pending table are wall clock while the log is replayed, and monotonic from then
// on, so that a clock that is set moves no deadline.
type Consumer struct {
	host    Host
	cfg     *api.ConsumerConfig
	name    string
	created int64 // nanoseconds since 1970
	id      uint32
	window  uint32 // of flow control at first; 0 is the default

	live      bool // serves: the replay has ended
	stopped   bool
	lazy      bool
	listening bool // told of new and removed messages
	counting  bool // ahead is exact; implies listening
	fetching  bool // a message is being read from disk
	resumed   bool // the pause has ended, though the configuration still names its end

	// State, which events change.
	cursor    uint64 // all below was delivered or passed over; but see last
	dseq      uint64 // the last consumer sequence used
	floor     uint64 // ack floor: stream sequence
	floorDseq uint64 // and consumer sequence
	horizon   uint64 // consumer sequences up to it may be used, once that is durable
	pending   pendingTable
	exhausted []uint64        // had all deliveries and were not acknowledged; ascending
	last      *lastOfSubjects // nil when delivered

	// Records and their commits, counted; volatile.
	recorded  uint64
	committed uint64
	allowed   uint64 // the horizon that is durable
	cutAt     uint64 // number of the record that took the horizon back last
	promptAt  uint64 // of the last raise that somebody waits for; 0 is none
	grantAt   uint64 // of the last redelivery that waits for its commit; 0 is none
	sample    uint8  // percent of acks that are measured
	lead      uint16 // how far ahead the horizon is raised

	idleMsgs uint8  // messages told to it while nobody waited
	ahead    uint64 // messages not yet delivered for the first time; if counting

	grace   uint16      // ms by which inactivity is longer, drawn once; 0 is not drawn
	timer   clock.Timer // nil until first needed
	alarmAt int64       // monotonic time for which it is armed; 0 is not

	restAt int64 // monotonic time when the horizon is taken back; 0 is not planned

	activeAt    int64 // monotonic, of the last sign of life
	deliveredAt int64 // wall, 0 is never
	ackedAt     int64

	filter *msgs.Filter // nil until first needed
	w      *work        // nil while nothing is in the works
	push   *push        // nil for pull consumers
	pull   *pull        // nil while no request waits
	group  *group       // nil without priority groups
	pace   *pace        // nil unless it replays with the original gaps
}

// work is what a consumer needs only while messages are on their way.
type work struct {
	alarms    alarms
	line      line
	releasing queue[released]     // in the order of their records
	confirms  queue[confirmation] // acks that wait for their commit
	ev        event               // what the present turn delivered; kind 0 is nothing
	scratch   event               // for other events
	expired   []uint64
	buf       []byte // encoded event, status
	reply     []byte // ack subject
	header    []byte // changed header
	pinned    []byte // header with a pin
	head      string // of ack subjects
}

// released is a range of messages that nobody needs once record number is durable.
type released struct {
	number      uint64
	first, last uint64
}

// confirmation is an ack that asked to be told.
type confirmation struct {
	number uint64
	inbox  string
}

// New makes a consumer that has delivered nothing. Its position follows from the store as
// it is now. It is passive until Start or Recovered.
func New(host Host, s Spec) *Consumer {
	c := prepare(host, s)
	c.start()
	c.floor = c.position()
	return c
}

// prepare makes a consumer without state.
func prepare(host Host, s Spec) *Consumer {
	c := &Consumer{host: host, cfg: s.Config, name: s.Name, created: s.Created.UnixNano(), id: s.ID, window: uint32(s.Window)}
	c.configure()
	c.cursor = 1
	return c
}

// isLazy tells whether a consumer's progress is worth no record: without acks each
// message is sent once at most, and a client of an ephemeral one starts over.
func isLazy(stream *api.StreamConfig, cfg *api.ConsumerConfig) bool {
	return cfg.AckPolicy == api.AckNone && stream.Retention == api.LimitsPolicy &&
		(cfg.Durable == "" || cfg.MemoryStorage || stream.Storage == api.MemoryStorage)
}

// ID is the stream's number for the consumer.
func (c *Consumer) ID() uint32 { return c.id }

// Name is the consumer's name.
func (c *Consumer) Name() string { return c.name }

// Created is when the consumer was created.
func (c *Consumer) Created() time.Time { return time.Unix(0, c.created).UTC() }

// Config is the configuration in force. It is never changed in place.
func (c *Consumer) Config() *api.ConsumerConfig { return c.cfg }

// IsPush tells whether it delivers to a subject without being asked.
func (c *Consumer) IsPush() bool { return c.cfg.DeliverSubject != "" }

// Lazy tells whether the consumer records nothing.
func (c *Consumer) Lazy() bool { return c.lazy }

// Filters are the patterns of what it delivers; none is everything.
func (c *Consumer) Filters() []string {
	if c.cfg.FilterSubject != "" {
		return []string{c.cfg.FilterSubject}
	}
	return c.cfg.FilterSubjects
}

// Filter is the filter of its stream's store.
func (c *Consumer) Filter() *msgs.Filter {
	if c.filter == nil {
		c.filter = msgs.NewFilter(c.Filters()...)
	}
	return c.filter
}

// Matches tells whether the filter selects a subject.
func (c *Consumer) Matches(subj []byte) bool { return matches(c.cfg, subj) }

func matches[S subject.Text](cfg *api.ConsumerConfig, subj S) bool {
	if cfg.FilterSubject != "" {
		return subject.Matches(subj, cfg.FilterSubject)
	}
	for _, p := range cfg.FilterSubjects {
		if subject.Matches(subj, p) {
			return true
		}
	}
	return len(cfg.FilterSubjects) == 0
}

// Needs tells whether a message that the filter selects must be kept for the consumer: it
// is not delivered yet, pending, or out of deliveries without an ack. It looks at durable
// acks only, so that the answer is the same in a replay.
func (c *Consumer) Needs(seq uint64) bool {
	if c.isAhead(seq) || c.pending.find(seq) != nil {
		return true
	}
	if _, found := slices.BinarySearch(c.exhausted, seq); found {
		return true
	}
	if c.w != nil {
		for _, r := range c.w.releasing.all() {
			if r.first <= seq && seq <= r.last {
				return true
			}
		}
	}
	return false
}

// StartsBeyond tells whether a message that has just been stored is below the consumer's position,
// so that it will never be delivered: the start was set to a sequence the stream had not reached.
func (c *Consumer) StartsBeyond(seq uint64) bool { return seq < c.cursor }

// work gives the work space, made on need.
func (c *Consumer) work() *work {
	if c.w == nil {
		c.w = &work{}
	}
	return c.w
}

// start sets the position by the deliver policy.
func (c *Consumer) start() {
	store := c.host.Store()
	st := store.State()
	first, end := max(st.First, 1), st.Last+1
	switch c.cfg.DeliverPolicy {
	case api.DeliverNew:
		c.cursor = end
	case api.DeliverLast:
		c.cursor = first
		if seq, ok := store.Prev(c.Filter(), st.Last); ok {
			c.cursor = seq
		}
	case api.DeliverByStartSequence:
		c.cursor = max(first, c.cfg.OptStartSeq)
		return
	case api.DeliverByStartTime:
		c.cursor = end
		if t := c.cfg.OptStartTime; t != nil {
			c.cursor = store.FirstAtOrAfter(api.Nanos(*t))
		}
	case api.DeliverLastPerSubject:
		c.startLastPerSubject(st)
	default:
		c.cursor = first
	}
	c.cursor = min(max(c.cursor, 1), end)
}

func (c *Consumer) startLastPerSubject(st msgs.State) {
	if c.host.Stream().MaxMsgsPer == 1 {
		c.cursor = max(st.First, 1)
		return
	}
	seqs, ok := c.host.Store().LastPerSubject(c.Filter(), 0, sequencesMax)
	if !ok { // more subjects than a snapshot could tell of
		c.cursor = max(st.First, 1)
		return
	}
	c.cursor = st.Last + 1
	if len(seqs) > 0 {
		c.last = &lastOfSubjects{seqs: seqs, at: seqs[0] - 1, end: st.Last}
	}
}
