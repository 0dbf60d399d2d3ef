package raft

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// retryAfter is when a log that was full is tried again.
const retryAfter = 100 * time.Millisecond

// persist is what was handed to the log and is not durable, or could not be handed yet.
type persist struct {
	persisted uint64   // mark that the core was told last
	hardMark  uint64   // of the newest hard state
	marks     []marked // handed over, ascending, without a gap
	durable   uint64   // index of the last entry that the log says it holds
	late      []handing
	voided    uint64 // marks up to it were handed over before the log began anew

	checkpoint uint64 // index of the newest one
	kept       uint64 // index up to which nothing is kept behind the next
	retryAt    time.Duration
}

// marked is one Ready's part of the log.
type marked struct {
	mark  uint64
	waits int    // answers that are missing
	last  uint64 // index of its last entry; 0 for none
}

// handing is what a Ready hands to the log, in steps: the log may be full in the middle.
type handing struct {
	mark     uint64
	hard     core.HardState
	hasHard  bool
	truncate core.Index
	entries  []core.Entry
	repair   []core.Entry
	begun    bool
}

// write hands to the log what a Ready has for it, or keeps it while the log is full.
func (m *member) write(r *core.Ready) {
	if r.HardChanged {
		m.hardMark = r.Mark
	}
	if m.g.log == nil {
		return
	}
	w := handing{mark: r.Mark, hard: r.Hard, hasHard: r.HardChanged, truncate: r.Truncate, entries: r.Append, repair: r.Repair}
	if len(m.late) == 0 && m.hand(&w) {
		return
	}
	w.entries, w.repair = slices.Clone(w.entries), slices.Clone(w.repair)
	m.late = append(m.late, w)
	m.retryAt = m.now + retryAfter
}

// stalled tells whether something waits for the log to take it.
func (m *member) stalled() bool {
	return len(m.late) > 0 || m.stage == logging && m.retryAt > 0
}

// retryWrites hands over what the log did not take before.
func (m *member) retryWrites() {
	if !m.stalled() || m.now < m.retryAt {
		return
	}
	m.retryAt = 0
	if m.stage == logging {
		m.logInstall()
	}
	for len(m.late) > 0 && m.hand(&m.late[0]) {
		m.late = slices.Delete(m.late, 0, 1)
	}
	if len(m.late) > 0 {
		m.retryAt = m.now + retryAfter
	}
}

// reset has the log begin anew behind the snapshot that is installed. What could not be handed to it before is void, but for
// the hard state.
func (m *member) reset(state []byte) {
	for i := range m.late {
		w := &m.late[i]
		w.truncate, w.entries, w.repair = 0, nil, nil
	}
	m.voided = uint64(len(m.marks))
	if m.voided > 0 {
		m.voided = m.marks[len(m.marks)-1].mark
	}
	m.readBack.cut()
	m.g.log.Reset(uint64(m.due.Index), uint64(m.due.Term), state, m.logged)
}

// resetDone goes on behind the snapshot: what was handed to the log before is durable, or void.
func (m *member) resetDone() {
	m.durable, m.checkpoint = uint64(m.due.Index), uint64(m.due.Index)
	for i := range m.marks {
		if m.marks[i].mark <= m.voided {
			m.marks[i].last, m.marks[i].waits = 0, 0
		}
	}
	m.settle()
}

// hand gives the log what is left of w, and tells whether it took all.
func (m *member) hand(w *handing) bool {
	log := m.g.log
	if !w.begun {
		m.marks = append(m.marks, marked{mark: w.mark})
		w.begun = true
	}
	if w.hasHard {
		h := toLog(w.hard)
		m.wait(w.mark, func(done func(error)) { log.SetHardState(h, done) })
		if log.Hard() != h {
			return m.refused()
		}
		w.hasHard = false
	}
	if w.truncate > 0 {
		if !m.truncate(w) {
			return m.refused()
		}
		w.truncate = 0
	}
	for len(w.entries) > 0 {
		e := &w.entries[0]
		if _, err := log.Append(uint64(e.Term), uint8(e.Kind), e.Payload, classOf(e.Kind)); err != nil {
			return false
		}
		w.entries = w.entries[1:]
		m.marks[len(m.marks)-1].last = uint64(e.Index)
	}
	if len(w.repair) > 0 {
		repair := toLogEntries(w.repair)
		m.wait(w.mark, func(done func(error)) { log.Repair(repair, done) })
		w.repair = nil
	}
	return true
}

// truncate makes the log's entries from an index on invalid, and tells whether the log took it.
func (m *member) truncate(w *handing) bool {
	log, from := m.g.log, uint64(w.truncate)
	m.wait(w.mark, func(done func(error)) { log.TruncateSuffix(from, done) })
	if log.Last() >= from {
		return false
	}
	for i := range m.marks {
		m.marks[i].last = min(m.marks[i].last, from-1)
	}
	m.durable = min(m.durable, from-1)
	m.readBack.cut()
	return true
}

// wait has the newest mark wait for an answer of the log.
func (m *member) wait(mark uint64, ask func(done func(error))) {
	m.marks[len(m.marks)-1].waits++
	ask(func(err error) { m.written(mark, err) })
}

// refused takes back the wait for an answer that says no.
func (m *member) refused() bool {
	m.marks[len(m.marks)-1].waits--
	return false
}

// written hears that a part of a mark is durable. An error means that it was refused, or that the log is fenced,
// which it tells by itself.
func (m *member) written(mark uint64, err error) {
	if err != nil || !m.live() || len(m.marks) == 0 || mark < m.marks[0].mark {
		return
	}
	m.advance()
	m.marks[mark-m.marks[0].mark].waits--
	m.settle()
	m.touch()
}

// flushed hears up to which entry the log is durable.
func (m *member) flushed(index uint64) {
	m.durable = index
	if !m.live() {
		return
	}
	m.advance()
	m.settle()
	m.pump()
}

// settle tells the core what has become durable.
func (m *member) settle() {
	n := 0
	for n < len(m.marks) && m.marks[n].waits == 0 && m.marks[n].last <= m.durable && (len(m.late) == 0 || m.marks[n].mark < m.late[0].mark) {
		n++
	}
	if n > 0 {
		m.persistedTo(n)
	}
}

// persistedTo tells that the first n marks are durable.
func (m *member) persistedTo(n int) {
	m.persisted = m.marks[n-1].mark
	m.marks = m.marks[:copy(m.marks, m.marks[n:])]
	m.core.Persisted(m.persisted)
}

func toLog(h core.HardState) wal.HardState {
	return wal.HardState{Term: uint64(h.Term), Vote: uint64(h.Vote), Life: uint64(h.Life)}
}

func fromLog(h wal.HardState) core.HardState {
	return core.HardState{Term: core.Term(h.Term), Vote: core.MemberID(h.Vote), Life: core.Life(h.Life)}
}

// Kinds of the host's entries.
const (
	kindPrompt core.Kind = iota
	kindLazy
)

// kindOf is how an entry of a class is marked, so that all members' logs know of it.
func kindOf(c Class) core.Kind {
	if c == Lazy {
		return kindLazy
	}
	return kindPrompt
}

func classOf(k core.Kind) wal.Class {
	if k == kindLazy {
		return wal.Lazy
	}
	return wal.Prompt
}

func toLogEntries(entries []core.Entry) []wal.Entry {
	list := make([]wal.Entry, len(entries))
	for i := range entries {
		e := &entries[i]
		list[i] = wal.Entry{Index: uint64(e.Index), Term: uint64(e.Term), Kind: uint8(e.Kind), Payload: e.Payload}
	}
	return list
}

func fromLogEntries(entries []wal.Entry) []core.Entry {
	list := make([]core.Entry, len(entries))
	for i := range entries {
		e := &entries[i]
		list[i] = core.Entry{Index: core.Index(e.Index), Term: core.Term(e.Term), Kind: core.Kind(e.Kind), Payload: e.Payload}
	}
	return list
}
