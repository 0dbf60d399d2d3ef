// Package wal is the server's one write-ahead log: all groups append to it, and one
// flush makes a whole batch of groups durable.
//
// It owns [Log], which runs on a strand of its own, and [Group], one group's view of
// it, whose methods run on the group's strand. Between the two strands travel chunks:
// records of one group, encoded and summed on the group's strand, that the log gathers
// into batches. The log knows of each group which segments hold what it
// needs; it removes the others, and carries forward what slow groups leave behind.
// It never looks into payloads, and never truncates or removes what was durable and
// may be needed.
//
// For groups of several servers it reads entries back ([Group.Read]), keeps some of them behind checkpoints for
// members that lag ([Group.Keep]), replaces everything by the state of another server ([Group.Reset]), and tells
// which entries damage took, so that they can be had from others and written anew ([Log.AttachReplica],
// [Group.Repair]). For that every chunk counts those before it, and apart those without entries: of chunks that are
// missing it is known whether one of them may have been a vote, a truncation or a state. Entries alone can be
// named; when anything else may be lost, the group is damaged as a whole.
package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/storage"
)

// Errors of the log.
var (
	// ErrFenced: a write or sync failed. Nothing since the last acknowledgement is
	// trusted, and nothing more is accepted.
	ErrFenced = storage.ErrFenced
	// ErrForeign: the directory belongs to another server or store.
	ErrForeign = errors.New("the log belongs to another store")
	// ErrDamaged: records that were durable cannot be read.
	ErrDamaged = errors.New("the log is damaged")
	// ErrNoKey: what was found of a group is encrypted, and it was attached without a key.
	ErrNoKey = errors.New("there is no key")
	// ErrDetached: the group was detached, so that only Reattach finds it.
	ErrDetached = errors.New("it was detached, and has to be read again")
	// ErrGone: entries that were asked for were checkpointed and let go, or truncated.
	ErrGone = errors.New("the log does not have the entries any more")
	// ErrClosed: the log was closed, or the group detached or dropped.
	ErrClosed = storage.ErrClosed
)

// ID names a group and its incarnation for good.
type ID struct {
	Group       uint64
	Incarnation uint64
}

func (id ID) String() string { return fmt.Sprintf("group %d incarnation %d", id.Group, id.Incarnation) }

// compare orders by group, then incarnation.
func (id ID) compare(o ID) int {
	switch {
	case id.Group != o.Group && id.Group < o.Group, id.Group == o.Group && id.Incarnation < o.Incarnation:
		return -1
	case id == o:
		return 0
	}
	return 1
}

// Mode says what an acknowledged append is worth.
type Mode uint8

const (
	// Flush: it survives the loss of power.
	Flush Mode = iota
	// Interval: it survives a crash of the process at once, and the loss of power
	// within [Config.SyncInterval].
	Interval
)

// Class says how soon records must be acknowledged.
type Class uint8

const (
	// Prompt records ask for a flush.
	Prompt Class = iota
	// Lazy ones ride the next flush, which comes within [LazyDelay].
	Lazy
)

// LazyDelay is how long lazy records wait at most for a flush that others ask for.
const LazyDelay = 5 * time.Millisecond

// HardState is what a member must not forget, whatever else it has.
type HardState struct {
	Term uint64
	Vote uint64
	// Life is the one that the member lives.
	Life uint64
}

// Sealer encrypts the records of a group. It is used on the group's strand, and Open
// during recovery too.
type Sealer interface {
	// Seal appends the sealed form of plain to dst; aad is bound to it.
	Seal(dst, plain, aad []byte) []byte
	// Open appends the plain form to dst, or tells why it cannot.
	Open(dst, sealed, aad []byte) ([]byte, error)
}

// Owner hears of what happens to a group, on the group's strand.
type Owner interface {
	// Flushed: every entry up to and including index is as durable as the mode asks for.
	Flushed(index uint64)
	// Fenced: the log takes nothing more. It is called once.
	Fenced(err error)
	// Tail: the group's records hold the log's oldest segment; a checkpoint would let it go. What only
	// [Group.Keep] keeps goes without asking.
	Tail()
}

// Config says where the log is and how it behaves.
type Config struct {
	// Dir is its directory, whose parent exists. It is made when absent.
	Dir string
	// Identity names server and store: a log made under another one is refused.
	Identity string
	// SegmentBytes is the length at which a segment ends, 1 KiB or more; 0 is 64 MiB.
	SegmentBytes int64
	// LogBytesMax is the length of all segments above which records of slow groups are
	// carried forward; 0 is four segments. It is exceeded while that is under way.
	LogBytesMax int64
	// ReserveBytes is how much a segment grows at one time in mode Flush, in zeros that batches then
	// overwrite: a sync takes the system less when the file has not grown. 0 reserves nothing.
	ReserveBytes int64
	// BatchBytesMax is the length at which a batch takes no further chunk; 0 is 512 KiB.
	BatchBytesMax int
	Mode          Mode
	// SyncInterval is for mode Interval; 0 is two minutes.
	SyncInterval time.Duration
	// OnDamage, when set, is told on the log's strand of damage that is met after recovery.
	OnDamage func(*storage.DamageError)
}

// Defaults.
const (
	segmentBytesDefault = 64 << 20
	segmentBytesMin     = 1 << 10 // so that notes about segments take less than they set free
	batchBytesDefault   = 512 << 10
	syncIntervalDefault = 2 * time.Minute
)

func (c Config) withDefaults() (Config, error) {
	if c.SegmentBytes < 0 || c.LogBytesMax < 0 || c.ReserveBytes < 0 || c.BatchBytesMax < 0 || c.SyncInterval < 0 {
		return c, fmt.Errorf("log %q: a size or interval is negative: %+v", c.Dir, c)
	}
	if c.SegmentBytes > 0 && c.SegmentBytes < segmentBytesMin {
		return c, fmt.Errorf("log %q: segments of %d bytes: want %d or more", c.Dir, c.SegmentBytes, segmentBytesMin)
	}
	if c.Identity == "" || len(c.Identity) > identityMax {
		return c, fmt.Errorf("log %q: the identity has %d bytes: want 1 to %d", c.Dir, len(c.Identity), identityMax)
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = segmentBytesDefault
	}
	if c.LogBytesMax == 0 {
		c.LogBytesMax = 4 * c.SegmentBytes
	}
	if c.BatchBytesMax == 0 {
		c.BatchBytesMax = batchBytesDefault
	}
	if c.SyncInterval == 0 {
		c.SyncInterval = syncIntervalDefault
	}
	return c, nil
}

// identityMax bounds the identity, in bytes.
const identityMax = 512

// PayloadMax is the longest payload of an entry, in bytes.
const PayloadMax = 128 << 20
