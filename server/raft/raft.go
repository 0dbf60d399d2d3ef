// Package raft runs groups over the server's log.
//
// It owns [Host], which multiplexes all groups of a server over one [wal.Log] and one [Lane],
// and [Group], which takes proposals and hands committed entries to a [Machine], in
// order, on the group's strand.
//
// A group of one member, the common case on a single server, needs no consensus: an entry is
// committed when this server's log holds it as durably as the host's mode asks for. A group of
// several servers ([Options.Members]) is driven by a [core.Core], one on each of them: proposals and
// frames go in; what comes out goes to the log, to the lane and to the machine, which is then
// a [Replica]. All of a group's work runs on its strand; what several groups have for one
// server leaves from the host's strand in one frame.
//
// The package never looks into entries and never touches a machine from another strand.
package raft

import (
	"errors"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// Errors of proposals.
var (
	// ErrStopped: the group was stopped or dropped. It is unknown whether what was
	// proposed and is not yet applied will be found again.
	ErrStopped = errors.New("group is stopped")
	// ErrFenced: a write or sync of the log failed. Nothing more is accepted.
	ErrFenced = errors.New("the log is fenced after a failed write or sync")
)

// ID names a group for good: Group is never reused; Incarnation changes when a
// group starts from nothing again, such as a memory stream after a restart.
type ID struct {
	Group       uint64
	Incarnation uint64
}

// Class says how soon an entry must be committed.
type Class uint8

const (
	// Prompt: with the next flush, which it asks for.
	Prompt Class = iota
	// Lazy: with a flush that comes anyway, 5 ms later at the latest.
	Lazy
	// Unflushed: committed when appended to the log's buffer; durable with the next flush,
	// which comes within 5 ms. What power loss or a crash takes of it is a suffix. In a group of
	// several servers it is Prompt.
	Unflushed
)

// Entry is a committed entry.
type Entry struct {
	Index   uint64 // 1 is the group's first
	Payload []byte // never changes, until it is spent; see [Options.Spent]
	Tag     any    // what Propose was given; nil in replay
	Replay  bool   // found in the log at start
}

// Machine is a state machine that a group drives, on the group's strand.
type Machine interface {
	// Restore gets the state of the newest checkpoint, nil for none, before anything else.
	Restore(state []byte, done func(error))
	// Apply applies an entry. When it returns false it waits for something, or lets others have their turn
	// in the middle of an entry that takes long, and calls Group.Resume when it can go on with the same entry.
	// While a part of an entry is applied it must fail Checkpoint.
	Apply(e *Entry) bool
	// Applied ends a run of Apply calls: what they brought about can be flushed.
	// replayed tells that the log's entries at start have all been applied by now (once).
	Applied(replayed bool)
	// Checkpoint makes the effects of everything applied so far durable outside the log,
	// and gives the state that Restore needs. Apply calls may come while it is under way; the
	// state is that at the call.
	Checkpoint(done func(state []byte, err error))
	// Checkpointed tells that the log holds the state given, so that what only earlier
	// ones needed may go.
	Checkpointed(state []byte)
	// Failed tells that the group cannot go on: the log is fenced (ErrFenced) or damaged.
	Failed(err error)
}

// Options of a group.
type Options struct {
	ID ID
	// LogID is what this server's log calls the group; the zero value is ID. A server that was a member before, and dropped
	// the group, comes to it again under another.
	LogID   ID
	Name    string // for logs and traces
	Strand  clock.Strand
	Machine Machine
	// Memory keeps the log in memory only: after a restart the group is gone.
	Memory bool
	// Fresh tells that the group is being created, so that the log never had anything of it. Without
	// it, a group of which a damaged log has nothing counts as lost.
	Fresh bool
	// Spent, if not nil, gets each payload that was proposed when it has been applied and nobody refers to
	// it any more, behind the call of Applied: its memory may be used again.
	Spent func(payload []byte)
	// Seal encrypts what the log holds of the group; nil leaves it plain.
	Seal wal.Sealer
	// Members makes it a group of several servers, of which this is one; nil is a group of one member.
	// Machine is a [Replica] then. Its Applied(true) comes right behind Restore: what the log holds behind
	// the checkpoint is applied when it is known to be committed, and not as Replay. Spent is not used. Indexes that
	// the machine sees have gaps, where the group's own entries are. When damage took more of the log than the others can
	// give back entry by entry, or Restore fails with [ErrDamaged], this server begins with nothing: Restore
	// gets nil, a second time in the latter case, and the others admit it again.
	Members *Members
}

// Members says how this server takes part in a group of several.
type Members struct {
	// Voters and Leader create the group, with Fresh: all its servers are given the same, once in the
	// life of the group, and Leader leads at once. Without them, a server of which the log has nothing
	// waits until a leader makes it a member.
	Voters []core.MemberID
	Leader core.MemberID
	// Forgot tells that this server may have promised more than its log has: the log was wiped,
	// rolled back, or lost its end. It is nobody until the others have admitted it again. Where
	// the log has nothing, and Fresh is not set, that is taken for granted.
	Forgot bool
	// Preferred is the server that should lead if it can; 0 for none. All are told the same.
	Preferred core.MemberID
}
