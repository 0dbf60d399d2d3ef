package wal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Create makes a handle for a group that the log never had anything of: its strand is s from now
// on. It may be called from any strand.
func (l *Log) Create(id ID, s clock.Strand, seal Sealer, o Owner) (*Group, error) {
	g, _, err := l.attach(id, s, seal, o, how{fresh: true})
	return g, err
}

// Attach makes a handle for a group, and tells what recovery found of it: its strand is s from now
// on. An ID that the log does not know is a new group, unless damage may have taken all that the log
// had of it. It may be called from any strand.
func (l *Log) Attach(id ID, s clock.Strand, seal Sealer, o Owner) (*Group, *Found, error) {
	return l.attach(id, s, seal, o, how{})
}

// CreateReplica is Create for a group of which other servers have the entries, too.
func (l *Log) CreateReplica(id ID, s clock.Strand, seal Sealer, o Owner) (*Group, error) {
	g, _, err := l.attach(id, s, seal, o, how{fresh: true, replica: true})
	return g, err
}

// AttachReplica is Attach for a group of which other servers have the entries, too. When all that damage took is
// entries, and it is known which, Found tells them in Lost, and the group is usable: [Group.Repair]
// writes them anew. Else Damage is set as Attach does; the group then takes the hard state, and [Group.Reset] ends
// the damage.
func (l *Log) AttachReplica(id ID, s clock.Strand, seal Sealer, o Owner) (*Group, *Found, error) {
	return l.attach(id, s, seal, o, how{replica: true})
}

// how a group is attached.
type how struct {
	fresh   bool // the log must not know it
	replica bool // lost entries can be had from others
}

func (l *Log) attach(id ID, s clock.Strand, seal Sealer, o Owner, how how) (*Group, *Found, error) {
	l.mu.Lock()
	st := l.groups[id]
	var err error
	switch {
	case l.closed:
		err = ErrClosed
	case l.fenceCause.Load() != nil:
		err = l.fencedBy()
	case st != nil && how.fresh:
		err = storage.ErrExist
	case st != nil && st.used && st.handle == nil && !st.loading:
		err = ErrDetached
	case st != nil && st.used:
		err = errAttached
	}
	if err != nil {
		l.mu.Unlock()
		return nil, nil, fmt.Errorf("log %q: attach %v: %w", l.cfg.Dir, id, err)
	}
	lost := st == nil && l.unknown && !how.fresh
	if st == nil {
		st = newState(id)
		l.groups[id] = st
	}
	st.used, st.replica = true, how.replica
	raw := st.found
	st.found = nil
	g := &Group{log: l, id: id, strand: s, seal: seal, owner: o, state: st, out: l.outbox(s), keep: keepNothing, replica: how.replica}
	g.out.groups++
	st.handle = g
	l.mu.Unlock()

	f := &Found{}
	if raw != nil {
		f = raw.open(seal, how.replica)
		if how.replica && raw.damage != nil && !raw.unbounded {
			l.strand.Post(func() { st.damage = nil }) // what is lost says so itself
		}
	}
	if lost {
		f.Damage = &storage.DamageError{
			File: l.cfg.Dir, Err: fmt.Errorf("%w: nothing is found of %v, and it may have been lost", ErrDamaged, id),
		}
	}
	g.take(f, raw)
	return g, f, nil
}

// take goes on from what was found.
func (g *Group) take(f *Found, raw *found) {
	g.damage, g.hard, g.checkpointed = f.Damage, f.Hard, f.StateIndex
	if raw != nil {
		g.attempt = raw.attempt
	}
	if f.StateTerm > 0 {
		g.noteTerm(f.StateIndex, f.StateTerm)
	}
	g.last = f.StateIndex
	for i := range f.Entries {
		g.last = f.Entries[i].Index
		g.noteTerm(g.last, f.Entries[i].Term)
	}
	g.flushed = g.last
}

// outbox is the way to a strand; the lock is held. It goes with the last group that lives there.
func (l *Log) outbox(s clock.Strand) *outbox {
	out := l.outboxes[s]
	if out == nil {
		out = newOutbox(l, s)
		l.outboxes[s] = out
	}
	return out
}

// letGo ends the use of a group's handle; the lock is held.
func (l *Log) letGo(st *groupState) {
	g := st.handle
	if g == nil {
		return
	}
	st.handle = nil
	if g.out.groups--; g.out.groups == 0 && l.outboxes[g.strand] == g.out {
		delete(l.outboxes, g.strand)
	}
}

var errAttached = errors.New("it is attached")

// Unattached lists the groups that recovery found and nobody has attached or dropped, in order.
func (l *Log) Unattached() []ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []ID
	//lockstep:ordered sorted below
	for id, st := range l.groups {
		if !st.used {
			ids = append(ids, id)
		}
	}
	//lockstep:total IDs are unique
	slices.SortFunc(ids, ID.compare)
	return ids
}

// DropUnattached removes what recovery found of a group that nobody has attached. done is called
// on s when that is as durable as the mode asks for.
func (l *Log) DropUnattached(id ID, s clock.Strand, done func(error)) {
	l.mu.Lock()
	st := l.groups[id]
	ok := st != nil && !st.used && !l.closed
	if ok {
		st.used, st.found = true, nil
	}
	l.mu.Unlock()
	if !ok {
		s.Post(func() { done(fmt.Errorf("log %q: drop %v: it is attached, dropped or unknown", l.cfg.Dir, id)) })
		return
	}
	c := l.pool.get()
	c.kind, c.id, c.state, c.out, c.done = kindDrop, id, st, newOutbox(l, s), done
	c.finish(nil, nil)
	l.metrics.pending.Add(int64(len(c.buf)))
	l.in.Put(c)
}

func (l *Log) detached(c *chunk) {
	l.mu.Lock()
	l.letGo(c.state)
	l.mu.Unlock()
	c.state.keepFrom(keepNothing)
	before := c.state.bytes
	c.state.giveUp() // nobody logs the rest of them
	l.live += c.state.bytes - before
	c.err = nil
	l.answer(c)
}
