package raft

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

const (
	// chunkBytes is how much of a snapshot travels at one time.
	chunkBytes = 128 << 10
	// pinnedFor is how long a snapshot is kept for who may still need it.
	pinnedFor = 10 * time.Second
)

// sending is what a leader does for followers that need a snapshot.
type sending struct {
	wants   []core.Want // of the last Readies
	waiting []core.Want // until the snapshot that is being made is there
	making  bool
	pinned  *pin // the newest; older ones are only finished
}

// pin is a pinned state, which is read in parts.
type pin struct {
	id      uint64
	meta    core.SnapshotMeta
	state   Snapshot
	usedAt  time.Duration
	reading int
	dropped bool // to be closed when nobody reads
}

// transfers goes on with snapshots that are sent and received.
func (m *member) transfers() {
	for len(m.wants) > 0 {
		wants := m.wants
		m.wants = nil
		for _, w := range wants {
			m.want(w)
		}
	}
	m.store()
	m.install()
}

// want gives a follower a part of a snapshot.
func (m *member) want(w core.Want) {
	p := m.pinned
	switch {
	case w.ID != 0 && (p == nil || p.id != w.ID):
		m.core.SnapshotUnavailable(w.To)
		m.touch()
	case w.ID == 0 && (p == nil || p.meta.Index+1 < m.core.First()):
		m.waiting = append(m.waiting, w)
		m.makePin()
	default:
		m.read(p, w)
	}
}

// makePin has the machine pin its state.
func (m *member) makePin() {
	if m.making {
		return
	}
	if _, ok := m.core.SnapshotAt(core.Index(m.g.applied)); !ok || m.g.blocked || m.g.waiting || m.g.state != serving {
		m.unavailable()
		return
	}
	m.making = true
	m.machine.Snapshot(m.pinMade)
}

// unavailable tells that what is waited for cannot be had now.
func (m *member) unavailable() {
	for _, w := range m.waiting {
		m.core.SnapshotUnavailable(w.To)
	}
	m.waiting = m.waiting[:0]
	m.touch()
}

// pinMade takes a state that was pinned just now: entries may have been applied since it was asked for.
func (m *member) pinMade(s Snapshot, err error) {
	m.making = false
	if err != nil {
		if m.live() {
			m.unavailable()
		}
		return
	}
	if !m.live() || m.leading == 0 {
		s.Close()
		m.waiting = m.waiting[:0]
		return
	}
	m.enter()
	m.core.Applied(core.Index(m.g.applied))
	meta, ok := m.core.SnapshotAt(core.Index(m.g.applied))
	if !ok || m.g.blocked || m.g.waiting {
		s.Close()
		m.unavailable()
		return
	}
	m.dropPins()
	m.pinned = &pin{id: m.rand.Uint64() | 1, meta: meta, state: s, usedAt: m.now}
	waiting := m.waiting
	m.waiting = nil
	for _, w := range waiting {
		m.read(m.pinned, w)
	}
}

func (m *member) read(p *pin, w core.Want) {
	p.usedAt = m.now
	p.reading++
	p.state.Read(w.Offset, chunkBytes, func(b []byte, last bool, err error) {
		p.reading--
		if m.live() && !p.dropped {
			m.enter()
			if err != nil {
				m.core.SnapshotUnavailable(w.To)
			} else {
				m.core.SendChunk(w.To, p.meta, p.id, w.Offset, slices.Clone(b), last)
				if last {
					m.host.snapshotsSent.Add(1)
				}
			}
		}
		p.maybeClose()
	})
}

func (p *pin) maybeClose() {
	if p.dropped && p.reading == 0 {
		p.state.Close()
	}
}

// dropPins lets go of the pinned state.
func (m *member) dropPins() {
	if p := m.pinned; p != nil {
		m.pinned = nil
		p.dropped = true
		p.maybeClose()
	}
}

// expirePins lets go of what nobody needed for a while, and of what the log does not continue any more.
func (m *member) expirePins() {
	if p := m.pinned; p != nil && (m.now-p.usedAt >= pinnedFor || p.meta.Index+1 < m.core.First()) {
		m.dropPins()
	}
}

// receiving is a snapshot that a leader sends.
type receiving struct {
	chunks    []core.Chunk // not handed to the installer
	installer Installer
	taken     uint64 // id of the snapshot that it takes
	writing   bool
	complete  bool // everything was written
	due       core.SnapshotMeta
	stage     stage
	state     []byte // what Finish gave
	replaces  bool   // the log does not go on behind it
}

// stage is how far an install has come.
type stage uint8

const (
	nothing   stage = iota
	wanted          // it begins when no checkpoint is under way
	finishing       // the machine is at it
	logging         // the log is at it
)

// chunksKept bounds the chunks that wait for the installer.
const chunksKept = 64

// note keeps what a Ready says of snapshots until pump has ended.
func (m *member) note(r *core.Ready) {
	for _, ch := range r.Chunks {
		if len(m.chunks) == chunksKept {
			m.chunks = nil
			m.core.ChunkStored(ch.ID, 0, false)
			break
		}
		m.chunks = append(m.chunks, ch)
	}
	if r.Install.Index > 0 {
		m.due, m.stage = r.Install, wanted
		m.g.blocked = true
	}
	m.wants = append(m.wants, r.Wants...)
}

// store gives the installer the next chunk.
func (m *member) store() {
	for len(m.chunks) > 0 && !m.writing && m.stage == nothing {
		ch := m.chunks[0]
		m.chunks = m.chunks[1:]
		if ch.Offset == 0 {
			m.dropInstaller()
			m.installer, m.taken = m.machine.Install(), ch.ID
		}
		if m.installer == nil || m.taken != ch.ID {
			m.core.ChunkStored(ch.ID, 0, false)
			m.touch()
			continue
		}
		m.writing = true
		m.installer.Write(ch.Offset, ch.Data, func(err error) { m.stored(&ch, err) })
	}
	if m.complete && m.stage == nothing && !m.writing && len(m.chunks) == 0 && !m.posted {
		m.dropInstaller() // the core has no use for it: the entries came meanwhile
	}
}

func (m *member) stored(ch *core.Chunk, err error) {
	m.writing = false
	if !m.live() {
		m.dropInstaller()
		return
	}
	m.enter()
	if err != nil {
		m.dropInstaller()
		m.core.ChunkStored(ch.ID, 0, false)
		return
	}
	m.complete = ch.Last
	m.core.ChunkStored(ch.ID, ch.Offset+uint64(len(ch.Data)), true)
}

// dropInstaller gives up what was written, unless it is being installed.
func (m *member) dropInstaller() {
	if m.installer == nil || m.stage != nothing || m.writing {
		return
	}
	m.installer.Abort()
	m.installer, m.taken, m.complete = nil, 0, false
}

// deaf tells whether nothing is to be heard of others: the log is being replaced.
func (m *member) deaf() bool { return m.stage == logging }

// install has the machine take over what was written, when nothing else concerns its state.
func (m *member) install() {
	if m.stage != wanted || m.writing || m.g.checkpoint.busy || m.g.running {
		return
	}
	if m.installer == nil {
		m.installEnded(false)
		return
	}
	m.stage = finishing
	m.installer.Finish(m.finished)
}

// finished puts the machine's new state into the log.
func (m *member) finished(state []byte, err error) {
	if !m.live() || m.stage != finishing {
		return
	}
	m.enter()
	m.installer = nil
	if err != nil {
		m.installEnded(false)
		return
	}
	m.stage, m.state = logging, state
	m.replaces = !m.core.Continues(m.due)
	m.logInstall()
}

// logInstall has the log forget what the snapshot replaces. Nothing is heard meanwhile, so that the core's log stays
// what it was when that was decided.
func (m *member) logInstall() {
	switch log := m.g.log; {
	case log == nil:
		m.logged(nil)
	case m.replaces:
		m.reset(wrap(&m.due.Config, m.state))
	default:
		log.Checkpoint(uint64(m.due.Index), wrap(&m.due.Config, m.state), m.logged)
	}
}

// logged goes on behind the snapshot. The machine has it already, so that an error ends the group, unless the disk is
// full.
func (m *member) logged(err error) {
	if !m.live() || m.stage != logging {
		return
	}
	m.enter()
	if errors.Is(err, ErrFull) {
		m.retryAt = m.now + retryAfter
		return
	}
	if err != nil {
		m.g.fail(fmt.Errorf("group %q: install a snapshot: %w", m.g.opts.Name, err))
		return
	}
	if m.replaces {
		m.resetDone()
	}
	state := m.state
	m.g.skipTo(uint64(m.due.Index))
	m.proposals.skip(m.due.Index)
	m.host.snapshotsInstalled.Add(1)
	m.installEnded(true)
	m.core.Applied(core.Index(m.g.applied))
	if m.g.log != nil {
		m.machine.Checkpointed(state)
	}
}

// installEnded tells the core how it went, and lets the machine have entries again.
func (m *member) installEnded(ok bool) {
	meta := m.due
	m.stage, m.due, m.complete, m.state = nothing, core.SnapshotMeta{}, false, nil
	m.installer, m.taken = nil, 0
	m.g.blocked = false
	m.core.SnapshotInstalled(meta, ok)
	m.touch()
}
