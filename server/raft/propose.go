package raft

import (
	"fmt"

	"github.com/lockstepmq/lockstep/storage/wal"
)

// Propose appends an entry, which the machine gets to apply, with the tag, once it is
// committed. payload is given away: it is never changed again. Entries are applied in the
// order of the calls, whatever their classes, and never within this call. An error
// means that the entry will never be applied: ErrBusy (see WhenRoom) and ErrFull pass by themselves;
// ErrTooLarge, ErrStopped, ErrFenced and ErrDamaged do not.
//
// In a group of several servers only the leader takes entries, from [Replica.Led] on; others answer
// ErrNotLeader. An entry that was taken comes back with its tag, or [Replica.Unsure] gets the tag.
func (g *Group) Propose(payload []byte, tag any, c Class) error {
	if g.member != nil {
		return g.member.propose(payload, tag, c)
	}
	if err := g.refuses(len(payload)); err != nil {
		return err
	}
	if g.log != nil {
		class := wal.Prompt
		if c != Prompt {
			class = wal.Lazy
		}
		if _, err := g.log.Append(term, 0, payload, class); err != nil {
			return fmt.Errorf("group %q: %w", g.opts.Name, err)
		}
	}
	g.queue.push(item{payload: payload, tag: tag, class: c})
	g.logBytes += int64(len(payload))
	g.entries++
	g.bytes += uint64(len(payload))
	if !g.submitted {
		g.submitted = true
		g.strand.Post(g.submitTask)
	}
	return nil
}

// refuses tells why a payload of n bytes is not taken.
func (g *Group) refuses(n int) error {
	h := g.host
	switch {
	case g.failed != nil:
		return g.failed
	case g.state == ended:
		return fmt.Errorf("group %q: %w", g.opts.Name, ErrStopped)
	case g.state == finding || g.growing != nil:
		return ErrBusy
	case n > PayloadMax:
		return fmt.Errorf("group %q: %w: %d bytes, at most %d", g.opts.Name, ErrTooLarge, n, PayloadMax)
	case g.backlog() > 0 && g.backlog()+int64(n) > h.cfg.UnappliedMax:
		return ErrBusy
	case g.backlog() > 0 && h.backlog()+g.Unapplied()-g.counted+int64(n) > h.cfg.UnappliedTotalMax:
		return ErrBusy
	}
	return nil
}

// backlog is what waits, in bytes: to be applied, or to be flushed, which entries that are applied
// before may do.
func (g *Group) backlog() int64 {
	if g.log == nil {
		return g.Unapplied()
	}
	return max(g.Unapplied(), g.log.Unflushed())
}

// WhenRoom calls fn once, later, on the strand: when at most half of what [ErrBusy] refuses by is used. After the
// group's end it is not called.
func (g *Group) WhenRoom(fn func()) {
	g.waiters = append(g.waiters, fn)
	g.strand.Post(g.roomTask)
}

// tellRoom calls those who wait for room, if there is some.
func (g *Group) tellRoom() {
	if len(g.waiters) == 0 || g.state == ended || g.state == finding || g.growing != nil || g.member != nil && g.member.closed() {
		return
	}
	if b := g.backlog(); b > g.host.cfg.UnappliedMax/2 || b > 0 && g.host.backlog() > g.host.cfg.UnappliedTotalMax/2 {
		return
	}
	waiters := g.waiters
	g.waiters = nil
	for _, fn := range waiters {
		fn()
	}
}

// backlog is the same of all groups.
func (h *Host) backlog() int64 {
	if h.log == nil {
		return h.unapplied.Load()
	}
	return max(h.unapplied.Load(), h.log.Pending())
}

// account tells the host what has changed; once a task, since all groups share its counters.
func (g *Group) account() {
	if bytes := g.Unapplied(); bytes != g.counted {
		change := bytes - g.counted
		g.counted = bytes
		g.host.unapplied.Add(change)
	}
	if g.entries > 0 {
		g.host.entries.Add(g.entries)
		g.host.bytes.Add(g.bytes)
		g.entries, g.bytes = 0, 0
	}
}

// submit hands over what the tasks before it have proposed.
func (g *Group) submit() {
	g.submitted = false
	if g.state == ended {
		return
	}
	g.account()
	g.handed = g.Last()
	if g.log == nil {
		g.flushedTo(g.handed)
		return
	}
	g.log.Submit()
	g.flushedTo(g.flushed)
}

// flushedTo moves the commit index: to what the log holds, and past unflushed entries
// behind it that the log was handed.
func (g *Group) flushedTo(index uint64) {
	g.flushed = index
	before := g.committed
	g.committed = max(g.committed, index)
	for g.committed < g.handed && g.queue.at(int(g.committed-g.applied)).class == Unflushed {
		g.committed++
	}
	if g.committed > before {
		g.run()
	}
}

// logOwner is what the log calls.
type logOwner struct{ g *Group }

// Flushed implements wal.Owner.
func (o logOwner) Flushed(index uint64) {
	switch {
	case o.g.state == ended:
	case o.g.member != nil:
		o.g.member.flushed(index)
	default:
		o.g.flushedTo(index)
		o.g.tellRoom()
		if o.g.growing != nil {
			o.g.grow()
		}
	}
}

// Fenced implements wal.Owner.
func (o logOwner) Fenced(err error) {
	o.g.fail(fmt.Errorf("group %q: %w: %w", o.g.opts.Name, ErrFenced, err))
}

// Tail implements wal.Owner.
func (o logOwner) Tail() {
	o.g.checkpoint.asked = true
	o.g.maybeCheckpoint()
}
