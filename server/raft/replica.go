package raft

import (
	"errors"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Errors of groups of several servers.
var (
	// ErrNotLeader: another server leads the group, or nobody does.
	ErrNotLeader = core.ErrNotLeader
	// ErrNoSnapshot: the machine cannot give or take a snapshot now; it is asked again later.
	ErrNoSnapshot = errors.New("no snapshot can be had now")
)

// Replica is a [Machine] of a group of several servers. Only the leader's carries out what follows from
// entries; all hold equal state when they have applied equal entries.
type Replica interface {
	Machine
	// Led tells that this server leads from now on: every entry of earlier leaders that is committed has been
	// applied here. Proposals are taken from then on.
	Led(term core.Term)
	// Followed tells that another leads, 0 when it is not known who, or that this server leads no more.
	Followed(leader core.MemberID)
	// Unsure gets the tag of an entry that was proposed here and is not known to be committed, nor ever will be
	// by this tag: the leadership was lost before. It may be applied later, without a tag, or never.
	Unsure(tag any)
	// Snapshot pins the state for a server that lags. done is called on the strand, now or later, when it is pinned: as of
	// the entry that is the last one applied then.
	Snapshot(done func(Snapshot, error))
	// Install begins to take the snapshot of another server.
	Install() Installer
}

// Snapshot is a pinned state, which is read in parts.
type Snapshot interface {
	// Read gives the part at offset, of at most size bytes, and whether it is the last. The same offset gives the same
	// bytes. done is called on the strand; p is valid until it returns.
	Read(offset uint64, size int, done func(p []byte, last bool, err error))
	// Close lets go of it.
	Close()
}

// Installer takes a snapshot in parts, in order.
type Installer interface {
	// Write takes the part at offset. done is called on the strand when it is stored; p is given away.
	Write(offset uint64, p []byte, done func(error))
	// Finish makes what was written the machine's state, durably, in place of what it had; state is what
	// Restore needs to find it. A crash between done and the log's taking the state leads to Restore with the state
	// before, which must still be whole until Checkpointed tells of another.
	Finish(done func(state []byte, err error))
	// Abort gives up what was written.
	Abort()
}

// Lane carries frames to the other servers. Its methods may be called from any strand.
type Lane interface {
	// Send queues a frame; p is not kept. What cannot be sent is dropped, and false tells of it: the
	// server is not connected, or has too much waiting already. Frames that arrive do so in order.
	Send(to core.MemberID, p []byte) bool
}
