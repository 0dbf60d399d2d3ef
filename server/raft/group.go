package raft

import (
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage/wal"
)

const (
	// term is that of every entry of a group with one member.
	term = 1
	// sliceEntries and sliceBytes end a run of Apply calls, so that others on the
	// strand and its goroutine get their turn.
	sliceEntries = 1024
	sliceBytes   = 4 << 20
)

// Group takes proposals and hands committed entries to its machine. All methods run on
// its strand.
type Group struct {
	host    *Host
	opts    Options
	spent   [][]byte // payloads of entries applied in this run
	strand  clock.Strand
	machine Machine
	log     *wal.Group // nil for a memory group
	found   *wal.Found // until start
	member  *member    // of several servers; nil in a group of one
	growing *growing   // on the way from one to several; nil otherwise

	queue     queue  // proposed or found, and not yet applied
	applied   uint64 // index
	committed uint64 // index
	flushed   uint64 // index: the log holds everything up to it
	replayEnd uint64 // index of the last entry found at start

	state     groupState
	failed    error
	waiting   bool // the machine refused the entry behind applied
	blocked   bool // a snapshot takes the place of the machine's state
	resumed   bool // Resume came while Apply ran
	running   bool // run is on the stack
	runPosted bool
	submitted bool   // submit is posted
	handed    uint64 // index of the last entry handed to the log
	entry     Entry

	counted        int64  // of queue.bytes, what the host knows
	entries, bytes uint64 // proposed since the host was told

	logBytes   int64 // payload bytes since the last checkpoint
	checkpoint checkpoint
	let        func()      // after Stop: to call when the log has let go
	dropped    func(error) // after Drop

	waiters                       []func() // for room
	runTask, submitTask, roomTask func()
}

// groupState is how far a group's life has come.
type groupState uint8

const (
	starting  groupState = iota // Restore is under way
	finding                     // the log reads again what it has
	replaying                   // the log's entries are being applied
	serving
	ended // stopped, dropped or failed
)

func newGroup(h *Host, o Options) *Group {
	g := &Group{host: h, opts: o, strand: o.Strand, machine: o.Machine}
	g.runTask, g.submitTask, g.roomTask = g.postedRun, g.submit, g.tellRoom
	if o.Members != nil {
		g.member = newMember(g)
	}
	return g
}

// attach makes the log's acquaintance; it may run on any strand.
func (g *Group) attach() error {
	if g.opts.Memory {
		return nil
	}
	id, log := g.logID(), g.host.log
	create, attach := log.Create, log.Attach
	if g.member != nil {
		create, attach = log.CreateReplica, log.AttachReplica
	}
	if g.opts.Fresh {
		handle, err := create(id, g.strand, g.opts.Seal, logOwner{g})
		g.log = handle
		return fenced(err)
	}
	handle, found, err := attach(id, g.strand, g.opts.Seal, logOwner{g})
	if errors.Is(err, wal.ErrDetached) {
		g.state = finding
		return nil
	}
	if err != nil {
		return fenced(err)
	}
	g.take(handle, found)
	return nil
}

// fenced adds our sentinel to what the log says when it is fenced.
func fenced(err error) error {
	if errors.Is(err, wal.ErrFenced) {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return err
}

// take goes on from what the log has.
func (g *Group) take(handle *wal.Group, found *wal.Found) {
	g.log, g.found = handle, found
	g.applied = found.StateIndex
	if g.member != nil && !g.member.takes(found) { // a group of one that was to become one of several
		g.host.forgetMember(g.member)
		g.member, g.growing = nil, &growing{}
	}
	if g.member != nil {
		g.committed, g.replayEnd = g.applied, g.applied
		return
	}
	for i := range found.Entries {
		g.queue.push(item{payload: found.Entries[i].Payload, kind: core.Kind(found.Entries[i].Kind), replay: true})
	}
	g.account()
	g.logBytes = g.queue.bytes
	g.replayEnd = g.Last()
	g.committed, g.flushed, g.handed = g.replayEnd, g.replayEnd, g.replayEnd
	found.Entries = nil
}

// find reads the group again, which was open before in this process.
func (g *Group) find() {
	reattach := g.host.log.Reattach
	if g.member != nil {
		reattach = g.host.log.ReattachReplica
	}
	reattach(g.logID(), g.strand, g.opts.Seal, logOwner{g}, func(handle *wal.Group, found *wal.Found, err error) {
		g.log = handle
		switch {
		case g.state == ended && g.dropped != nil && err != nil:
			g.removed(err)
		case g.state == ended && g.dropped != nil:
			g.remove()
		case g.state == ended:
			g.letGo()
		case err != nil:
			g.fail(fmt.Errorf("open group %q: %w", g.opts.Name, fenced(err)))
		default:
			g.take(handle, found)
			g.state = starting
			g.start()
			g.tellRoom()
		}
	})
}

// start restores the machine.
func (g *Group) start() {
	switch g.state {
	case ended:
		return
	case finding:
		g.find()
		return
	}
	if g.member != nil && g.found != nil && g.found.Damage != nil {
		g.member.forget()
		return
	}
	state, err := g.foundState()
	if err != nil {
		g.fail(fmt.Errorf("restore group %q: %w", g.opts.Name, err))
		return
	}
	g.machine.Restore(state, g.restored)
}

func (g *Group) restored(err error) {
	if g.state != starting {
		return
	}
	if err != nil && g.member != nil && g.found != nil && errors.Is(err, ErrDamaged) && !g.member.forgot {
		g.found.Damage = err
		g.start()
		return
	}
	if err != nil {
		g.fail(fmt.Errorf("restore group %q: %w", g.opts.Name, err))
		return
	}
	g.state = replaying
	if g.member != nil {
		g.run()
		g.member.restart()
		return
	}
	g.postRun()
}

// Name is what Options said.
func (g *Group) Name() string { return g.opts.Name }

// ID is what Options said.
func (g *Group) ID() ID { return g.opts.ID }

// logID is what this server's log calls the group.
func (g *Group) logID() wal.ID {
	if g.opts.LogID != (ID{}) {
		return wal.ID(g.opts.LogID)
	}
	return wal.ID(g.opts.ID)
}

// Applied is the index of the last entry that the machine has applied.
func (g *Group) Applied() uint64 { return g.applied }

// Committed is the index of the last committed entry.
func (g *Group) Committed() uint64 { return g.committed }

// Last is the index of the last proposed entry; in a group of several servers, of the last that this one has.
func (g *Group) Last() uint64 {
	if g.member != nil && g.member.core != nil {
		return uint64(g.member.core.Last())
	}
	if g.member != nil && g.found != nil { // it was opened, and not taken up yet
		return g.found.StateIndex + uint64(len(g.found.Entries))
	}
	return g.applied + uint64(g.queue.len())
}

// Unapplied is the number of bytes proposed here, or committed, and not yet applied.
func (g *Group) Unapplied() int64 {
	if g.member != nil {
		return g.queue.bytes + g.member.proposals.bytes
	}
	return g.queue.bytes
}

// Err is what ended the group, or nil.
func (g *Group) Err() error { return g.failed }
