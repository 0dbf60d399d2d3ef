// Package stream runs one stream: its messages, its consumers, and whoever publishes
// to it or asks for it.
//
// It owns [Stream]: the group whose log holds every change, the machine that applies
// publishes, the consumers, and the sinks through which messages, acks, pulls and
// direct gets come in. All of it runs on the stream's strand. What is acknowledged was
// committed by the group first. The package knows nothing of other streams, of API subjects
// above the stream, or of account limits but for the [Usage] it shares.
package stream

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/keyfile"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/lockstepmq/lockstep/storage/seal"
)

// Env is what all streams of a server share.
type Env struct {
	Clock  clock.Clock
	Broker *broker.Broker
	Host   *raft.Host
	Disk   storage.FS // its root holds streams/
	Log    *logging.Switch
	Server string // name
	// Version is what replies report in _nats.ver.
	Version string
	Domain  string
	// NamesAccounts makes the subjects of acks and flow control name domain and account.
	NamesAccounts bool
	MaxPayload    int // bytes
	Store         msgs.Options
	Keys          keyfile.Keys // encryption at rest
	Limits        Limits
	Open          *machine.OpenBatches // of all streams
	// Cluster is what streams of several servers show of them; nil on a server alone.
	Cluster *Cluster
	// StreamFailed is told of a stream that cannot go on, on its strand.
	StreamFailed func(s *Stream, err error)
}

// Limits of a server on each stream.
type Limits struct {
	BufferedMsgs  int // that wait to be stored; above, publishers are told 429
	BufferedBytes int
	Batch         machine.BatchLimits
	RequestBatch  int // of a pull; 0 is none
	AckPending    int // of a consumer; 0 is none
	// DefaultConsumers bounds the consumers of a stream that states no maximum; 0 and below is none.
	DefaultConsumers int
	// Window is how many bytes a push consumer has under way when flow control begins; 0 is the default.
	Window int
	// Ease is how many bytes a stream may have taken and not stored yet before who publishes more has to wait; 0 is no bound.
	Ease int
}

// Spec is what the catalogue says of a stream.
type Spec struct {
	Account *account.Account
	ID      raft.ID
	LogID   raft.ID // see [raft.Options]
	Dir     string  // below the disk's root
	Config  *api.StreamConfig
	Created time.Time
	Usage   *Usage
	// Fresh: it is being created, so nothing of it was ever logged.
	Fresh bool
	// Members makes it a stream of several servers, of which Self is this one and Role is told what it is to
	// do; nil is a stream of this server alone.
	Members *raft.Members
	Self    core.MemberID
	Role    Role
	// Hidden: it is being made of a backup; it does not serve before [Stream.Appear].
	Hidden bool
}

// Stream is one stream. Its methods run on its strand unless they say otherwise.
type Stream struct {
	env     *Env
	spec    Spec
	strand  clock.Strand
	cfg     *api.StreamConfig
	name    string
	group   *raft.Group
	asset   *seal.Asset // nil: plain
	store   msgs.Store
	machine *machine.Machine
	sender  *broker.Sender
	opened  func(error)   // until the log was replayed
	leads   bool          // serves
	leader  core.MemberID // of a stream of several servers; 0: not known
	// settling is the last entry when the members were found to be those wanted; 0: they were not.
	settling uint64
	since    time.Time     // when this server came to lead
	unled    time.Duration // monotonic: when the leader was lost, or the start
	closed   bool
	ending   func() // who closes it; nil for nobody
	failed   error

	now  int64 // of the present task, wall
	mono time.Duration

	ingest    *broker.Sink
	control   *broker.Sink
	subs      map[string]*account.Subscription // of ingest, by subject
	ctl       map[string]*account.Subscription
	heads     heads
	ackPrefix []byte // PubAck up to the sequence
	tag       *intake
	free      []*intake
	builder   machine.Builder
	republish *subject.Transform
	scratch   []byte
	staging   *machine.Staging
	fast      *machine.FastBatches
	wake      clock.Timer   // the next deadline of machine and staging
	wakeAt    int64         // what the timer is for
	wakeMono  time.Duration // when it fires

	noAck          atomic.Bool // for publishers' strands
	inbox          []byte
	shown          []byte
	headers        api.PublishHeaders
	manifest       []byte // of the checkpoint under way
	wantCheckpoint bool
	halfway        bool    // a part of an entry is applied: nobody sees the stream so
	saving         *saving // the checkpoint under way, until all consumers are in it; nil: none
	closing        func()  // waits until the log has caught up
	caughtUp       bool    // a mirror, with its origin

	follow       following
	consumers    consumers
	keep         retention
	events       eventLog
	retryTimer   clock.Timer                  // nil until a disk was full
	waiting      map[string][]func()          // operations on a consumer that is being created or deleted
	calls        []func()                     // of Do, that wait for the rest of an entry
	held         []func()                     // inputs that wait for that, or for a checkpoint
	counted      counted                      // told to Usage
	jam          []proposal                   // that wait for room in the log
	jammed       int                          // their bytes
	wantSnapshot []func(raft.Snapshot, error) // that wait until the log has caught up
	generation   uint64                       // of the store
	replaced     []msgs.Store                 // by snapshots of other servers; they go when the log has that
	backups      []*Backup                    // under way
	restoring    *Restoring                   // nil: not being made of a backup
}

// counted is what a stream has told its account's usage.
type counted struct{ bytes, messages, consumers, internal, served int64 }

// ErrClosed: the stream is gone or going.
var ErrClosed = fmt.Errorf("stream is closed")

// Strand is where the stream runs.
func (s *Stream) Strand() clock.Strand { return s.strand }

// Config is the configuration in force.
func (s *Stream) Config() *api.StreamConfig { return s.cfg }

// Account is the name of the stream's account.
func (s *Stream) Account() string { return s.spec.Account.Name }

// Created is when the stream was created.
func (s *Stream) Created() time.Time { return s.spec.Created }

// Sender publishes in the stream's account, on the stream's strand.
func (s *Stream) Sender() *broker.Sender { return s.sender }

// tick reads the clocks, once a task.
func (s *Stream) tick() {
	s.now = s.env.Clock.Now().UnixNano()
	s.mono = s.env.Clock.Monotonic()
}

// Do runs fn on the stream's strand, from a task that runs on another; fn may use every
// method. What it sent is flushed after it.
func (s *Stream) Do(from clock.Strand, fn func()) {
	s.strand.PostFrom(from, func() {
		s.tick()
		if s.halfway && s.holds() {
			s.calls = append(s.calls, fn)
			return
		}
		fn()
		s.sender.Flush()
	})
}
