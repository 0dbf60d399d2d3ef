// Package js judges histories of JetStream: what clients published, read, were delivered
// and acknowledged, and what an audit found in the end.
//
// A [History] is what clients saw, stamped with rising numbers. The judges know nothing of
// the server but how its streams were configured. They own no state between calls, run on
// no strand, and never change a history but for what an audit resolves: a write whose outcome
// was unknown and that somebody saw did happen.
//
// # How time is judged
//
// An operation happened somewhere between its Call and its Return; [core.Never] stands for
// an answer that never came. What must and what may have happened are told apart by
// these bounds alone.
package js

import (
	"fmt"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
)

// Names of the invariants, as violations carry them.
const (
	Acked       = "STREAM.acked"
	Dense       = "STREAM.dense"
	NothingElse = "STREAM.nothing-else"
	Order       = "STREAM.order"
	Dedupe      = "STREAM.dedupe"
	Expected    = "STREAM.expected"
	Policy      = "STREAM.policy"
	Counter     = "STREAM.counter"
	Schedule    = "STREAM.schedule"
	Fast        = "STREAM.fast"
	Batch       = "STREAM.batch"
	Deleted     = "STREAM.deleted"
	Info        = "STREAM.info"
	Linear      = "STREAM.linearizable"

	Floor       = "CONS.floor"
	AckedStays  = "CONS.acked-stays"
	AtLeastOnce = "CONS.at-least-once"
	InOrder     = "CONS.in-order"
	Limits      = "CONS.limits"
	Pull        = "CONS.pull"
	NumPending  = "CONS.num-pending"
	Moves       = "CONS.moves"

	Interest   = "RET.interest"
	WorkQueue  = "RET.work-queue"
	MaxDeliver = "RET.max-deliver"
	NoOrphans  = "RET.no-orphans"

	Rev         = "KV.rev"
	CAS         = "KV.cas"
	KVHist      = "KV.history"
	APITruth    = "META.api-truth"
	Incarnation = "META.incarnation"
	NoDamage    = "STORE.recovers"
	Tombstones  = "STORE.tombstones"
	Prefix      = "STORE.recovered"
	Rot         = "STORE.rot"
	EarlyTime   = "TIME"
)

// Invariants lists what is judged, in the order of the failure model.
func Invariants() []core.Invariant {
	return append([]core.Invariant{
		{Name: NoDamage, About: "a store opens on a disk that failed nothing"},
		{Name: Prefix, About: "what a restart recovers equals what was there before it"},
		{Name: Tombstones, About: "what was removed never returns; first and last sequence never fall"},
		{Name: Rot, About: "what bits that rot take is told: no message is served otherwise than it was, and no sequence given away again"},
		{Name: APITruth, About: "a request that was answered is so: what was created is there, what was refused left no trace"},
		{Name: Incarnation, About: "a stream made anew holds nothing of the one before it"},
		{Name: Acked, About: "what was acknowledged is stored at its sequence, byte for byte, until policy removes it"},
		{Name: Dense, About: "sequences rise by one per stored message and none is used twice, over restarts"},
		{Name: NothingElse, About: "every stored message was published so, once, and not refused"},
		{Name: Order, About: "a connection's publishes keep their order; one begun after another's ack comes later"},
		{Name: Dedupe, About: "within the window one id is stored once, repeats get the first's sequence, and no id is invented"},
		{Name: Expected, About: "preconditions are judged against the state at their place"},
		{Name: Policy, About: "count, byte, age, per-subject and discard limits hold and remove nothing else"},
		{Name: Counter, About: "a counter is the sum of what was accepted, at each of its messages"},
		{Name: Schedule, About: "a schedule fires once for each of its times, not before it and not long after, until it is ended"},
		{Name: Batch, About: "a batch is stored wholly and contiguously, or not at all"},
		{Name: Fast, About: "what is acknowledged of a fast batch is stored, in order, and without a gap where a gap ends it"},
		{Name: Deleted, About: "purge, delete and rollup act at their place"},
		{Name: Info, About: "reported counts and bounds equal a full read"},
		{Name: Linear, About: "publishes and reads of a subject are linearizable"},
		{Name: Floor, About: "an ack floor never falls and never passes what is not acknowledged"},
		{Name: AckedStays, About: "after a confirmed ack a message is not delivered again by that consumer"},
		{Name: AtLeastOnce, About: "each matching message is delivered until acknowledged, terminated or out of deliveries"},
		{Name: InOrder, About: "consumer sequences and delivery counts rise"},
		{Name: Limits, About: "deliveries, pending acks and redelivery times are as configured"},
		{Name: Pull, About: "a pull gets messages or a status, no more than it asked for, and nothing after its end"},
		{Name: NumPending, About: "reported pending counts equal recounted ones"},
		{Name: Moves, About: "a matching message and an open pull meet"},
		{Name: Interest, About: "a message is kept while a consumer needs it"},
		{Name: WorkQueue, About: "a message is kept until its one consumer acknowledges it"},
		{Name: MaxDeliver, About: "what is out of deliveries is not removed"},
		{Name: NoOrphans, About: "nothing is kept that nobody needs"},
		{Name: Rev, About: "revisions of a key rise in real-time order"},
		{Name: CAS, About: "create and update succeed exactly if their condition held: a key's history is linearizable"},
		{Name: KVHist, About: "the last values of a key, in order, and no more of them than configured"},
		{Name: EarlyTime, About: "entry times never fall, and nothing is removed before its time"},
	}, append(append(copyInvariants(), pushInvariants()...), replicaInvariants()...)...)
}

// NoResponders is the error of a request that nobody listens to: nothing happened.
const NoResponders = -503

// Answer is what the API or a publish was answered, in so far as it matters here.
type Answer struct {
	Error *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
	Stream    string         `json:"stream"`
	Seq       uint64         `json:"seq"`
	Duplicate bool           `json:"duplicate"`
	Val       string         `json:"val"`
	Batch     string         `json:"batch"`
	Count     int            `json:"count"`
	Success   bool           `json:"success"`
	Purged    uint64         `json:"purged"`
	Created   string         `json:"created"`
	Message   *StoredMessage `json:"message"`
	State     *StreamState   `json:"state"`
	Delivered *SequencePair  `json:"delivered"`
	AckFloor  *SequencePair  `json:"ack_floor"`
	AckPend   int            `json:"num_ack_pending"`
	Redeliv   int            `json:"num_redelivered"`
	Waiting   int            `json:"num_waiting"`
	Pending   uint64         `json:"num_pending"`
	Mirror    *SourceInfo    `json:"mirror"`
	Sources   []*SourceInfo  `json:"sources"`

	Code int        `json:"-"`
	Err  int        `json:"-"`
	At   core.Stamp `json:"-"`
}

// SequencePair is a place in a consumer and in its stream.
type SequencePair struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

// StreamState is what a stream reports of itself.
type StreamState struct {
	Msgs       uint64 `json:"messages"`
	Bytes      uint64 `json:"bytes"`
	FirstSeq   uint64 `json:"first_seq"`
	LastSeq    uint64 `json:"last_seq"`
	NumDeleted int    `json:"num_deleted"`
	Subjects   int    `json:"num_subjects"`
	Consumers  int    `json:"consumer_count"`
	Lost       struct {
		Msgs []uint64 `json:"msgs"`
	} `json:"lost"`
}

// StoredMessage is a message as the API shows it.
type StoredMessage struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

// Outcome is what a client knows of an operation.
type Outcome uint8

// Outcomes. Refused guarantees that nothing happened.
const (
	Unknown Outcome = iota
	OK
	Refused
)

// refusals are the errors after which nothing has happened.
var refusals = []int{
	NoResponders, 10043, 10037, 10059, 10014, 10060, 10070, 10071, 10054, 10077, 10109, 10110, 10057,
	10164, 10174, 10175, 10176, 10177, 10178, 10179, 10180, 10167, 10165, 10166, 10199, 10200, 10201, 10202, 10211, 10012, 10058, 10065, 10168, 10169, 10170, 10171,
}

// OutcomeOf tells what an answer means; nil is no answer.
func OutcomeOf(a *Answer) Outcome {
	switch {
	case a == nil:
		return Unknown
	case a.Err == 0 && a.Code == 0:
		return OK
	case slices.Contains(refusals, a.Err):
		return Refused
	}
	return Unknown
}

// Write is one publish.
type Write struct {
	ID      uint64 // of the payload; unique
	Conn    string // client and connection
	Subject string
	Call    core.Stamp
	Return  core.Stamp // Never while nobody knows
	Outcome Outcome
	Seq     uint64 // of OK; or of an unknown one that was seen
	Dup     bool   // it was answered as a duplicate of Seq
	Err     int
	ErrSeq  uint64 // that a wrong-last-sequence error names

	MsgID       string
	LastSeq     int64 // expected; -1 is none
	LastSubjSeq int64
	LastMsgID   string
	Rollup      bool // of its subject
	KV          string
	TTL         time.Duration // 0 is none
	Batch       string
	BatchSeq    int
	Commit      bool // ends its batch
	Size        int  // of the payload

	Incr string // what it adds to the counter of its subject; "" is no counter
	Val  string // of the counter, as the ack told

	Schedule *Scheduled // what it has to do with schedules; nil is nothing
	Fleeting bool       // it may go by itself, which is judged elsewhere

	seen bool
}

func (w *Write) String() string {
	return fmt.Sprintf("message %d on %q by %s", w.ID, w.Subject, w.Conn)
}

// Removal is a delete or purge.
type Removal struct {
	Seq     uint64 // of a delete; 0 of a purge
	Filter  string // "" is all
	Keep    int
	UpTo    uint64 // what is below goes; 0 is all
	Call    core.Stamp
	Return  core.Stamp
	Outcome Outcome
	Purged  uint64
}

// Read is a message that a client got, or that there was none.
type Read struct {
	Subject string // of a read of the last; "" of one by sequence
	Seq     uint64
	ID      uint64 // 0: there was none
	Val     string // of a counter
	Call    core.Stamp
	Return  core.Stamp
}

// Stored is one message of a full read.
type Stored struct {
	Seq     uint64
	Subject string
	Header  []byte
	ID      uint64 // 0: no message that was published
	Intact  bool
	Time    time.Time
	Marker  bool      // made by the server
	Read    time.Time // by the server's wall clock
	Val     string    // of a counter
	Fired   *Firing   // a schedule made it
}

// Audit is a full read, when nobody else was busy.
type Audit struct {
	At    core.Stamp // it began
	Msgs  []Stored   // by sequence
	State StreamState
}

// Stream is one stream with what was done to it.
type Stream struct {
	Name       string
	Retention  string // limits, workqueue, interest; moved, where another stream takes what is in the queue
	MaxMsgs    int
	MaxBytes   int
	MaxPer     int
	DiscardNew bool
	NewPer     bool // per subject
	MaxAge     time.Duration
	Window     time.Duration // of deduplication
	TTLs       bool          // messages may have one
	KV         bool
	Schedules  bool     // messages are made at their time
	FirstLast  []Bounds // as reported, in order

	Writes    []*Write
	Removals  []*Removal
	Reads     []*Read
	Audits    []*Audit
	Consumers []*Consumer
	Ordered   []*Ordered
	Fast      []*FastBatch
	Rots      []*RotRead // when all else was over
	// Deletions are the attempts to delete it, after each of which it was made anew. With
	// one the stream is judged as several of one name.
	Recreated bool
	Deletions []*Removal
	// Copies is not nil when the stream is a mirror or has sources.
	Copies *Copying
	// WallMax is the latest wall clock that the server may have seen.
	WallMax time.Time
	// Settled is the server's wall clock when everybody had been well for a while, before the first audit.
	Settled time.Time
	// Jumped tells that its wall clock was set or ran wrong: what is due by it may be late.
	Jumped bool
}

// Bounds are the first and last sequence as reported.
type Bounds struct {
	First, Last uint64
	Call, At    core.Stamp
}

// Consumer is one incarnation of a consumer.
type Consumer struct {
	Stream     string
	Name       string
	Filter     string // "" is all
	MaxDeliver int
	AckWait    time.Duration
	MaxPending int
	Created    core.Stamp // the answer
	Asked      core.Stamp // the request
	Deleted    core.Stamp // the first request to delete it; Never
	Gone       core.Stamp // the answer to a delete; Never
	Deliveries []*Delivery
	Acks       []*Ack
	Pulls      []*PullReq
	Infos      []*ConsumerInfo
	Listeners  []*Listening // of a push consumer
	Drained    bool         // it said that nothing is left to deliver, in the end
	Restarts   int          // of the server, while it existed
}

func (c *Consumer) String() string { return c.Stream + " > " + c.Name }

// Delivery is a message that a worker was given.
type Delivery struct {
	Conn    string
	Pull    *PullReq
	Seq     uint64 // in the stream
	CSeq    uint64
	Count   uint64
	Pending uint64
	ID      uint64
	Intact  bool
	Subject string
	At      core.Stamp
	Time    time.Duration // virtual
	// Life of the server that sent it, from 1.
	Life int
}

// PullReq is a request for messages.
type PullReq struct {
	Conn    string
	Batch   int
	Expires time.Duration
	Sent    core.Stamp
	Time    time.Duration // virtual, when it was sent
	Got     int
	Ended   core.Stamp // a status ended it, or it had all; 0 while it is open
	Status  int
	Late    bool // a message came after the end
	Silent  bool // no end came, though the connection lasted
	// Life of the server that it was sent to, from 1.
	Life int
}

// AckKind is what a worker said of a message.
type AckKind uint8

// Kinds of acks.
const (
	Ack_ AckKind = iota
	Nak
	Term
	Progress
)

// Ack is what a worker said of a message.
type Ack struct {
	Kind      AckKind
	Of        *Delivery
	Conn      string
	Call      core.Stamp
	Return    core.Stamp // of the confirmation; Never without one
	Confirmed bool
	Time      time.Duration // virtual, of the call
	Delay     time.Duration // of a nak
}

// ConsumerInfo is what a consumer reported of itself.
type ConsumerInfo struct {
	Call, At core.Stamp
	Quiet    bool // nobody else was busy
	Life     int  // of the server
	Answer   Answer
}

// History is all that clients saw of the streams of one run.
type History struct {
	// Deaths are when lives of the server ended, in virtual time, by life from 1.
	Deaths map[int]time.Duration
	// Settling is how long after a delivery its record is durable for sure.
	Settling time.Duration
	// Lives are when lives of the server began to serve, by its wall clock.
	Lives   []time.Time
	Streams []*Stream
}

// judge is the state of one check.
type judge struct {
	deaths       map[int]time.Duration
	settling     time.Duration
	lives        []time.Time
	found        []core.Violation
	searched     int
	inconclusive int
}

const violationsMax = 60

func (j *judge) report(invariant string, at core.Stamp, format string, args ...any) {
	if len(j.found) < violationsMax {
		j.found = append(j.found, core.Violation{Invariant: invariant, At: at, Detail: fmt.Sprintf(format, args...)})
	}
}

// Check judges a history.
func Check(h *History) core.Verdict {
	j := &judge{deaths: h.Deaths, settling: h.Settling, lives: h.Lives}
	for _, s := range h.Streams {
		if s.Copies == nil {
			j.stream(s)
		}
	}
	for _, s := range h.Streams {
		if s.Copies != nil {
			j.copied(s)
		}
	}
	core.SortViolations(j.found)
	return core.Verdict{Violations: j.found, Registers: j.searched, Inconclusive: j.inconclusive}
}

// covers tells whether a removal takes a filter's messages.
func covers(filter, subject string) bool {
	return filter == "" || filter == ">" || core.Matches(filter, subject)
}
