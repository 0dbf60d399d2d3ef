// Package jetstream is JetStream on one server: the API, the catalogue of streams, and
// what accounts may use.
//
// It owns [Manager], which runs on a strand of its own: API requests of all accounts arrive
// there, are judged, and go on to the strand of the stream that they concern. Which
// streams exist is the state of a group of its own, the catalogue; only a committed entry of it
// creates or deletes a stream. The manager never touches a stream's state, and never
// waits for a disk.
package jetstream

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// Config is what a Manager stands on.
type Config struct {
	Clock   clock.Clock
	Broker  *broker.Broker
	Disk    storage.FS // its root is the server's JetStream directory
	Log     *logging.Switch
	Options func() *config.Options
	// MaxMemory and MaxStore are the limits in force, in bytes.
	MaxMemory, MaxStore int64
	// Cluster makes it one of several; nil is a server alone.
	Cluster *Cluster
	// Sizes are those of production when zero.
	Sizes Sizes
}

// Sizes are lengths, in bytes, at which things end or begin anew; 0 is the default of each.
// A simulation makes them small, so that what is rare happens often.
type Sizes struct {
	Segment    int64 // of the log
	Log        int64 // of all segments, above which slow groups are carried forward
	Checkpoint int64 // of log since a group's last checkpoint
	Block      int   // of messages
	Cache      int64 // of message content in memory
	OpenFiles  int   // of blocks
	Window     int   // with which flow control begins
	Ease       int   // of a stream's publishes that are not stored, above which publishers wait
}

// Manager is JetStream on a server. Methods may be called from anywhere unless they say
// otherwise.
type Manager struct {
	cfg        Config
	strand     clock.Strand
	log        *logging.Switch
	wal        *wal.Log
	host       *raft.Host
	served     atomic.Pointer[raft.Host] // host, for other strands
	group      *raft.Group
	newLog     bool       // the log was made at this start
	cluster    *clustered // nil: this server is one alone
	env        stream.Env
	sink       *broker.Sink
	foreign    *broker.Sink  // of the system account, which no stream answers
	usage      *stream.Usage // of the server
	colleagues colleagues

	catalogue *catalogue
	accounts  map[string]*tenant
	subs      map[*account.Subscription]*tenant
	order     []*tenant // by name
	opened    func(error)
	opening   int // streams that have not replayed their log yet
	stopped   bool
	failure   error
	now       time.Time // of the present task

	reservedMemory, reservedFile atomic.Int64 // bytes
	granted, streams             atomic.Int64 // accounts and streams
	apiTotal, apiErrors          atomic.Int64

	mu       sync.Mutex // guards what follows, between the strand and who monitors
	problems []Problem
	names    []string // of accounts that have JetStream, ascending
}

// Open recovers what the disk holds and starts serving; done is called on the manager's
// strand when every stream is ready, or with what keeps them from it.
func Open(c Config, done func(*Manager, error)) {
	m := &Manager{
		cfg: c, strand: c.Clock.NewStrand("jetstream"), log: c.Log, catalogue: newCatalogue(),
		accounts: make(map[string]*tenant), subs: make(map[*account.Subscription]*tenant), usage: stream.NewUsage(nil),
	}
	if c.Cluster != nil {
		m.cluster = &clustered{Cluster: *c.Cluster, names: make(map[core.MemberID]string), server: c.Broker.Identity().ServerName}
	}
	m.usage.SetLimits(c.MaxMemory, c.MaxStore)
	m.colleagues.unled = c.Clock.Monotonic()
	m.opened = func(err error) { done(m, err) }
	m.strand.Post(m.recognise)
}

// Strand is where the manager runs.
func (m *Manager) Strand() clock.Strand { return m.strand }

// finish tells who opened the manager, once.
func (m *Manager) finish(err error) {
	if fn := m.opened; fn != nil {
		m.opened = nil
		fn(err)
	}
}

// broken says that JetStream cannot go on, and why.
func (m *Manager) broken(err error) {
	if m.failure == nil {
		m.failure = err
		m.log.Errorf("JetStream failed, and is disabled: %v", err)
		m.note(Problem{Err: err})
		m.cfg.Broker.SetJetStream(false, m.env.Domain)
	}
	//lint:ignore ST1005 the whole of a log line
	m.finish(fmt.Errorf("Can't start JetStream: %w", err))
}

// Problem is something that does not serve, although it should.
type Problem struct {
	Account, Stream string // "" for all of JetStream
	Err             error
}

// note keeps a problem for monitoring.
func (m *Manager) note(p Problem) {
	m.mu.Lock()
	m.problems = append(m.problems, p)
	m.mu.Unlock()
}

// Problems are what does not serve; none when all is well. Any strand.
func (m *Manager) Problems() []Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.problems)
}

// Limits are the bytes of memory and of files that all streams together may have.
func (m *Manager) Limits() (memory, file int64) { return m.cfg.MaxMemory, m.cfg.MaxStore }
