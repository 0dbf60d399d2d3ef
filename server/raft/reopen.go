package raft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// errSeveral: a group of several servers was opened as a group of one.
var errSeveral = errors.New("the group has several members, but was opened as a group of one")

// takes tells whether what the log has is that of a member, and not of a group of one.
func (m *member) takes(f *wal.Found) bool {
	if f.Hard == (wal.HardState{}) && wrapped(f.State) && f.Damage == nil { // Replicate was interrupted before its last step
		f.Hard = toLog(firstHard(m.self))
	}
	none := f.StateIndex == 0 && len(f.State) == 0 && len(f.Entries) == 0
	return none || f.Hard != (wal.HardState{}) || wrapped(f.State) || slices.ContainsFunc(f.Entries, func(e wal.Entry) bool {
		return core.Kind(e.Kind) > core.KindHostMax || e.Term > term
	})
}

// foundState is the machine's state of the newest checkpoint.
func (g *Group) foundState() ([]byte, error) {
	if g.found == nil {
		return nil, nil
	}
	state := g.found.State
	g.found.State = nil
	if g.opts.Members == nil && (g.found.Hard != (wal.HardState{}) || wrapped(state)) {
		return nil, errSeveral
	}
	if g.found.StateIndex == 0 && len(state) == 0 {
		return nil, nil
	}
	if !wrapped(state) {
		return state, nil
	}
	cfg, state, err := unwrap(state)
	if g.member != nil {
		g.member.foundConfig = cfg
	}
	return state, err
}

// restart makes the core of what the log has.
func (m *member) restart() {
	g := m.g
	if g.state == ended {
		return
	}
	o, f := g.opts.Members, g.found
	g.found = nil
	if f == nil || g.opts.Fresh {
		m.begin(core.Start{Forgot: !g.opts.Fresh || o.Forgot}, g.opts.Fresh && len(o.Voters) > 0)
		return
	}
	s := core.Start{
		Hard:     fromLog(f.Hard),
		Snapshot: core.SnapshotMeta{Index: core.Index(f.StateIndex), Term: core.Term(f.StateTerm), Config: m.foundConfig},
		Forgot:   o.Forgot || m.forgot,
	}
	s.Entries = fromLogEntries(f.Entries)
	for _, index := range f.Lost {
		s.Damaged = append(s.Damaged, core.Index(index))
	}
	m.durable = f.StateIndex + uint64(len(f.Entries))
	m.checkpoint = f.StateIndex
	m.begin(s, false)
}

// forget has the log begin anew with nothing, since damage took more than the others could give back entry by
// entry: the member that was is no more.
func (m *member) forget() {
	f := m.g.found
	hard := f.Hard
	m.forgot = true
	m.g.log.Reset(0, 0, []byte{}, func(err error) {
		switch {
		case m.g.state == ended:
		case err != nil:
			m.g.fail(fmt.Errorf("group %q: %w: %w", m.g.opts.Name, f.Damage, err))
		default:
			*f = wal.Found{Hard: hard}
			m.g.applied, m.g.committed, m.g.replayEnd = 0, 0, 0
			m.g.start()
		}
	})
}

// wrap puts the configuration before the machine's state.
func (m *member) wrap(index uint64, state []byte) ([]byte, error) {
	meta, ok := m.core.SnapshotAt(core.Index(index))
	if !ok {
		return nil, fmt.Errorf("entry %d is not the log's any more", index)
	}
	if len(meta.Config.Voters) == 0 {
		return nil, errors.New("nothing has told yet who the members are")
	}
	return wrap(&meta.Config, state), nil
}

// keptEntries bounds how far behind a checkpoint the log keeps entries for followers that lag.
const keptEntries = 1 << 16

// keep tells the log, before a checkpoint at an index, what to keep of what that makes unneeded: what was logged since the
// checkpoint before, and what followers have not got.
func (m *member) keep(index uint64) {
	from := m.checkpoint
	if m.core.Role() == core.Leader {
		from = min(from, uint64(m.core.Needed()))
		m.peers = m.core.Peers(m.peers[:0])
		for i := range m.peers {
			if p := &m.peers[i]; !p.Snapshot {
				from = min(from, uint64(p.Match))
			}
		}
	}
	if index > keptEntries {
		from = max(from, index-keptEntries)
	}
	m.kept = min(from, index)
	m.g.log.Keep(m.kept + 1)
}

// checkpointed has the core's log begin behind a checkpoint, or before, where the log keeps entries.
func (m *member) checkpointed(index uint64) {
	m.checkpoint = index
	m.core.SnapshotTaken(core.Index(m.kept))
}

const (
	// compactBytes of entries that are applied, or [Config.CheckpointBytes] if that is less, have a group in memory let
	// go of those that nobody needs, and compactTimes as many of all.
	compactBytes = 1 << 20
	compactTimes = 32
)

// compact lets a group in memory forget.
func (m *member) compact() {
	g := m.g
	enough := min(compactBytes, m.host.cfg.CheckpointBytes)
	if g.log != nil || g.blocked || g.logBytes < enough {
		return
	}
	keep := core.Index(g.applied)
	if m.core.Role() == core.Leader && g.logBytes < compactTimes*enough {
		keep = min(keep, m.core.Needed())
	}
	first := m.core.First()
	m.core.SnapshotTaken(keep)
	if m.core.First() > first && keep == core.Index(g.applied) {
		g.logBytes = 0
	}
}

// closed tells whether a leader takes no proposals for the moment.
func (m *member) closed() bool {
	return m.core != nil && (m.core.Transferring() != 0 || m.stalled())
}

// skipTo goes on behind a snapshot at an index.
func (g *Group) skipTo(index uint64) {
	for g.queue.len() > 0 && g.applied < index {
		g.member.proposals.doubt(g.queue.at(0).tag)
		g.queue.pop()
		g.applied++
	}
	g.applied, g.committed = max(g.applied, index), max(g.committed, index)
	g.waiting, g.logBytes = false, 0
}
