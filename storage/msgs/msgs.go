// Package msgs stores the messages of one stream.
//
// It owns [Store] and its two implementations: one whose blocks are files of a
// storage.FS ([OpenFile]), and one that lives in memory ([NewMemory]). Both are made of append-only blocks
// with an index by sequence and by subject, and answer alike. A store belongs to one
// strand, its stream's. What memory holds is answered at once; content that is not
// cached is fetched with a completion on the strand.
//
// A store is not a log: what it acknowledges is durable only after [Store.Checkpoint].
// Between checkpoints the server's log has everything, and replaying it from the
// last checkpoint on gives the same store again. So a store never decides, draws or
// reads a clock: times, limits and sequences are given to it.
package msgs

import "errors"

// Errors that refuse an Append. Their texts are what publishers are told.
var (
	ErrMaxMsgs           = errors.New("maximum messages exceeded")
	ErrMaxBytes          = errors.New("maximum bytes exceeded")
	ErrMaxMsgsPerSubject = errors.New("maximum messages per subject exceeded")
	ErrTooLarge          = errors.New("message too large")
)

// Errors of reads.
var (
	ErrNotFound = errors.New("no message found")
	// ErrLost: the message was stored, but what the disk has of it is damaged.
	ErrLost   = errors.New("message is damaged on disk")
	ErrClosed = errors.New("store is closed")
)

// ErrNoKey: what is stored is encrypted, and no key is given.
var ErrNoKey = errors.New("it is encrypted, and no key is given")

// RecordMax is the longest record a store takes, in bytes.
const RecordMax = 32 << 20

// Msg is a stored message. Its slices are never changed, and may be kept; that
// keeps the memory of a block.
type Msg struct {
	Seq     uint64
	Time    int64 // of storing, nanoseconds since 1970
	Subject string
	Header  []byte // the header block, NATS/1.0 line to empty line; nil for none
	Data    []byte
}

// Found says where a message is.
type Found uint8

const (
	None   Found = iota // no such message
	Cached              // in memory: answered
	Cold                // on disk: Fetch it
)

// Why says what removed a message.
type Why uint8

const (
	ByLimit  Why = iota // count, bytes or per-subject limit made room
	ByAge               // older than the stream's age, or than its own TTL
	ByDelete            // one message by request
	ByPurge             // purge, or rollup
	ByAck               // nobody needs it any more
)

// Limits are what Append and SetLimits enforce. Zero or less is unlimited.
type Limits struct {
	Msgs       int64
	Bytes      int64
	PerSubject int64
	Age        int64 // nanoseconds
	// DiscardNew refuses what would pass Msgs or Bytes instead of removing the oldest,
	// and with DiscardNewPerSubject what would pass PerSubject.
	DiscardNew           bool
	DiscardNewPerSubject bool
}

// State is what a stream reports.
type State struct {
	Msgs, Bytes uint64
	First, Last uint64 // First is Last+1 when the store is empty
	FirstTime   int64  // 0 when empty
	LastTime    int64  // of Last, even if it is gone or was skipped
	Subjects    int
	Deleted     uint64 // sequences between First and Last without a message
	LostMsgs    []uint64
	LostBytes   uint64
}

// SubjectState is what the store has on one subject. Count 0 means none.
type SubjectState struct {
	Count       uint64
	First, Last uint64
}

// TTL says when a message ends by itself.
type TTL struct {
	// Deadline in nanoseconds since 1970; 0 is none. Age of the stream applies too,
	// whichever comes first.
	Deadline int64
	// Never exempts the message from the stream's age.
	Never bool
}

// Filter selects messages by subject. The empty Filter selects all. Patterns may
// hold wildcards and do not overlap each other. Make one with [NewFilter]; it may be
// used with one store only, which keeps in it what it found, to answer the next
// question faster.
type Filter struct {
	Patterns []string
	cache    filterCache // of the store's index
}

// Store is the messages of a stream.
//
// Removals that an Append, SetLimits, Expire or Purge, or a step of one, brings about are told to the
// function given to OnRemove, in order of sequence, while the call lasts; it must not call the
// store's changing methods.
type Store interface {
	State() State
	// Subject is O(1) for a literal subject.
	Subject(subject []byte) SubjectState
	// SetLimits changes the limits and enforces them at once; with DiscardNew only PerSubject removes anything.
	// Age is Expire's. What is over PerSubject goes first, then the oldest.
	SetLimits(l Limits)
	// LimitStep does a part of SetLimits, for which it looks at most at most messages (0: no bound), and tells whether
	// more is to be done. Nothing may change the store meanwhile, and it is in no state to be checkpointed.
	LimitStep(w *Limiting, most int) (more bool)
	OnRemove(fn func(seq uint64, subject string, size int, why Why, lastOfSubject bool))
	// OnClear has a purge of everything told by one call, in which msgs messages from first to last are gone, instead
	// of by one for each. It makes such a purge cost as much as the store has blocks.
	OnClear(fn func(first, last, msgs uint64))

	// Admit tells whether a message of this size is to be refused; replaces tells that
	// the message is a rollup of its subject, which beats the per-subject limit.
	Admit(subject []byte, header, data int, replaces bool) error
	// Append stores a message as Last+1, or as seq if that is not 0 and higher (the
	// sequences between are deleted ones), and then removes what limits ask for, which may be
	// this very message if it alone is over the byte limit. It refuses what Admit refuses of a rollup: only Admit judges
	// DiscardNewPerSubject, and who does not ask it has the subject's oldest removed.
	// Nothing is kept of the arguments. Times never fall: at is raised to LastTime.
	Append(seq uint64, at int64, subject, header, data []byte, ttl TTL) (uint64, error)
	// Skip uses sequences up to and including seq without storing a message.
	Skip(seq uint64, at int64)
	// Remove removes one message. With erase its content goes from memory at once, but for what readers hold; what
	// was not written yet never is; and on disk it is overwritten when the next checkpoint has been made and released,
	// before which that disk may need it. Compressed and encrypted blocks are written anew first, which takes one
	// checkpoint more.
	Remove(seq uint64, erase bool, why Why) bool
	// Purge removes what matches f and is below before (0: no bound), but for the newest keep
	// of what would match. It tells how many were removed. An unfiltered purge raises First.
	Purge(f *Filter, before uint64, keep uint64) uint64
	// PurgeStep does a part of Purge, for which it looks at most at most messages that match (0: no bound), and tells
	// whether more is to be done. As with LimitStep, nothing may come in between.
	PurgeStep(p *Purging, most int) (more bool)
	// Expire removes what is over its age or TTL at now, at most max messages of it (0: no bound), and tells
	// whether more is due. Callers that must not see a message as existing call it before.
	Expire(now int64, max int) (more bool)
	// NextExpiry is when Expire will find something, in nanoseconds since 1970; 0 is never.
	NextExpiry() int64

	// Load answers from memory.
	Load(seq uint64) (Msg, Found)
	// Fetch answers from memory or disk, later, on the strand: ErrNotFound, ErrLost.
	// It reads ahead, so that the next ones are Cached.
	Fetch(seq uint64, done func(Msg, error))
	// Has tells whether the message exists, and SubjectOf and TimeOf what index
	// entries know without the content. TimeOf is exact.
	Has(seq uint64) bool
	SubjectOf(seq uint64) (string, bool)
	TimeOf(seq uint64) (int64, bool)
	SizeOf(seq uint64) (int, bool)

	// Next is the first sequence at or above from that matches.
	Next(f *Filter, from uint64) (seq uint64, ok bool)
	// Prev is the last sequence at or below from that matches.
	Prev(f *Filter, from uint64) (seq uint64, ok bool)
	// Count is the number of messages at or above from that match. For no filter it does not scan;
	// with lastPerSubject only the newest of each subject counts.
	Count(f *Filter, from uint64, lastPerSubject bool) uint64
	// LastPerSubject is the newest sequence not above upTo (0: no bound) of each matching subject, ascending;
	// it stops with false when there are more than max (0: no bound).
	LastPerSubject(f *Filter, upTo uint64, max int) (seqs []uint64, ok bool)
	// FirstAtOrAfter is the first sequence stored at or after t; Last+1 if none.
	FirstAtOrAfter(t int64) uint64
	// Subjects calls fn for each matching subject, ascending, from the one at or after start,
	// until it returns false.
	Subjects(f *Filter, start string, fn func(subject string, s SubjectState) bool)
	// DeletedRanges calls fn for each run of missing sequences between First and Last.
	DeletedRanges(fn func(first, last uint64) bool)

	// Freeze holds the store as it is for a reader, while it goes on changing.
	Freeze() *Frozen

	// Checkpoint writes out and syncs what is not on disk yet, then gives what Open needs to find
	// this very state again: the state at the call, while changes go on. The caller makes it
	// durable, and then calls Release, after which files that only an earlier one needs
	// may go. What is little is not written to files but is in the manifest itself. A memory store gives nil. After
	// an error that wraps [ErrFenced] no checkpoint succeeds any more. One that wraps storage.ErrFull, and not ErrFenced,
	// says that the disk is full: what was to be written waits in memory, and is tried again by and by; until that succeeds,
	// of which OnFull of [Options] tells, all checkpoints fail so.
	Checkpoint(done func(manifest []byte, err error))
	Release(manifest []byte)
	// Unwritten is the number of bytes that only memory and the log have.
	Unwritten() int64
	// Full tells that the disk is full and that what waits for space is a block's worth or more: it is time to append
	// nothing. Append takes more all the same, since what the log has must be applied.
	Full() bool
	// Compression and keys of blocks written from now on.
	SetCompression(c Compression)
	// Close lets go of the files; Delete removes them too.
	Close()
	Delete(done func(error))
}

// Compression of blocks.
type Compression uint8

const (
	NoCompression Compression = iota
	S2
)

// MemorySize and FileSize are what a message counts for in Bytes and in the byte limits.
func MemorySize(subject, header, data int) int { return subject + header + data + 16 }

// FileSize is 30 more than subject and data, and 4 more for a header.
func FileSize(subject, header, data int) int {
	n := 30 + subject + data
	if header > 0 {
		n += 4 + header
	}
	return n
}
