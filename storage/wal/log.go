package wal

import (
	"fmt"
	"path"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Log is the write-ahead log of a server. Its work runs on the strand it was opened
// with; the methods may be called from any strand.
//
// What was acknowledged is recovered: of each group in order, once, and nothing that was
// not appended. What was appended and not acknowledged may be recovered too, as a prefix.
type Log struct {
	fs     storage.FS
	strand clock.Strand
	cfg    Config
	id     uint64
	pool   pool
	in     *clock.Mailbox[*chunk]

	segments []*segment // ascending; the last is the head
	bytes    int64      // of all segments
	bases    int64      // of it, what segments begin with
	file     storage.File
	durable  int64  // of the head: everything before is
	previous uint32 // checksum of the last batch
	number   uint64 // of the next batch
	undo     undo
	tight    uint64 // segment that reserves nothing, because the disk was full
	live     int64  // bytes that groups need, roughly
	credit   int64  // bytes of segments that may be carried forward; what groups log earns more
	oldest   uint64 // segment that is needed, as the log says
	unknown  bool   // damage may have hit groups of which nothing was found

	gathered []*chunk // for the next batches
	flying   []*chunk // written, not answered
	spare    []*chunk
	hurry    bool // gathered holds what asks for a flush
	// gatheredBytes is the size of gathered; a batch full of it does not wait.
	gatheredBytes int
	state         logState
	header        [batchHeaderLen]byte
	closing       func(error)

	committedTask, restedTask func(error)

	lazy      clock.Timer // armed while lazy chunks wait and nobody hurries
	lazyArmed bool
	interval  clock.Timer // armed while the head has unsynced bytes, in mode Interval
	syncArmed bool
	syncDue   bool
	lighter   bool        // the batch under way is written out, not synced
	retry     clock.Timer // after a full disk
	rest      clock.Timer // armed in mode Flush when the last batch has no witness
	restArmed bool

	trim      trimming
	carrying  *carrier
	readers   readers
	onDurable []func() // when everything written by now is durable

	failed     error
	fenceCause atomic.Pointer[error]
	full       atomic.Bool
	metrics    counters

	mu       sync.Mutex // guards the next three; held across no call out
	groups   map[ID]*groupState
	outboxes map[clock.Strand]*outbox
	closed   bool
}

// logState says what the log's strand waits for.
type logState uint8

const (
	idle    logState = iota
	writing          // a batch is on its way
	rolling          // the next segment is being made
	syncing          // mode Interval: the head is being synced
	waiting          // for space on the disk
	fenced
	shut
)

func newLog(fs storage.FS, s clock.Strand, c Config) *Log {
	l := &Log{
		fs: fs, strand: s, cfg: c, number: 1,
		credit: c.LogBytesMax, groups: map[ID]*groupState{}, outboxes: map[clock.Strand]*outbox{},
	}
	l.in = clock.NewMailbox(s, 0, nil, l.take)
	l.committedTask, l.restedTask = l.committed, l.rested
	l.lazy = s.NewTimer(l.lazyDue)
	l.interval = s.NewTimer(l.intervalDue)
	l.retry = s.NewTimer(l.retryDue)
	l.rest = s.NewTimer(l.restDue)
	return l
}

// head is the segment that is written.
func (l *Log) head() *segment { return l.segments[len(l.segments)-1] }

func (l *Log) segmentName(number uint64) string {
	return path.Join(l.cfg.Dir, segmentFile(number))
}

// segmentFile is a segment's name in the directory.
func segmentFile(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

const (
	segmentSuffix = ".wal"
	damagedSuffix = segmentSuffix + ".damaged"
	newName       = "new"
	identityName  = "identity"
)

// forget takes a dropped group out of the table.
func (l *Log) forget(st *groupState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letGo(st)
	if l.groups[st.id] == st {
		delete(l.groups, st.id)
	}
}

// sortedGroups lists the groups in order.
func (l *Log) sortedGroups() []*groupState {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*groupState, 0, len(l.groups))
	//lockstep:ordered sorted below
	for _, st := range l.groups {
		all = append(all, st)
	}
	//lockstep:total IDs are unique
	slices.SortFunc(all, func(a, b *groupState) int { return a.id.compare(b.id) })
	return all
}
