package raft_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// book is a replicated machine: a list of all that was written into it.
type book struct {
	s          *server
	strand     clock.Strand
	group      *raft.Group
	lines      []string
	index      uint64 // of the last entry applied
	hash       uint64
	restored   bool
	serving    bool
	ended      bool
	installing bool
	leads      core.Term
	follows    core.MemberID
	failed     error
	saved      int
	flying     []string // proposed here and not answered
	alone      bool     // in a group of one, until it leads
	installer  *bookInstaller
	refuse     int
	pins       int
}

var _ raft.Replica = (*book)(nil)

func (b *book) encode() []byte {
	out := binary.LittleEndian.AppendUint64(nil, b.index)
	out = binary.LittleEndian.AppendUint64(out, b.hash)
	for _, l := range b.lines {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(l)))
		out = append(out, l...)
	}
	return out
}

func (b *book) decode(state []byte) {
	b.lines = nil
	b.index = binary.LittleEndian.Uint64(state)
	b.hash = binary.LittleEndian.Uint64(state[8:])
	for state = state[16:]; len(state) > 0; {
		n := binary.LittleEndian.Uint32(state)
		b.lines = append(b.lines, string(state[4:4+n]))
		state = state[4+n:]
	}
	if b.index > 0 {
		b.s.c.judge.state(b.s.id, b.index, b.hash)
	}
}

func (b *book) check(ok bool, what string) {
	if !ok {
		b.s.c.judge.violation("server %d: %s", b.s.id, what)
	}
}

// later answers at once, or in another task.
func (b *book) later(fn func()) {
	if b.s.c.rand.IntN(2) == 0 {
		fn()
	} else {
		b.strand.Post(fn)
	}
}

// Restore implements raft.Machine.
func (b *book) Restore(state []byte, done func(error)) {
	b.check(!b.restored || state == nil && b.s.lost, "restored twice")
	b.restored = true
	if b.s.c.files && len(state) > 0 {
		whole, ok := b.s.states[string(state)]
		b.check(ok || b.s.lost, "the file of the state is gone")
		if !ok {
			b.strand.Post(func() { done(raft.ErrDamaged) })
			return
		}
		state = whole
	}
	if len(state) > 0 {
		b.decode(state)
	}
	b.strand.Post(func() { done(nil) })
}

// Apply implements raft.Machine.
func (b *book) Apply(e *raft.Entry) bool {
	b.check((b.serving || e.Replay) && !b.installing && !b.ended, "gets an entry at a bad time")
	b.check(e.Index > b.index, "gets an old entry")
	b.check(!e.Replay || !b.serving, "replays while it serves")
	if b.refuse > 0 {
		b.refuse--
		b.strand.Post(b.group.Resume)
		return false
	}
	h := fnv.New64a()
	fmt.Fprint(h, b.hash, e.Index, string(e.Payload))
	b.index, b.hash = e.Index, h.Sum64()
	b.lines = append(b.lines, string(e.Payload))
	j := &b.s.c.judge
	j.applied++
	j.state(b.s.id, b.index, b.hash)
	if e.Tag != nil {
		b.check(e.Tag == string(e.Payload), "gets a tag of another entry")
		b.answer(e.Tag.(string))
		j.acked[e.Tag.(string)] = e.Index
	}
	return true
}

func (b *book) answer(name string) {
	j := &b.s.c.judge
	b.check(!j.answered[name], "is told twice of "+name)
	j.answered[name] = true
	if i := slices.Index(b.flying, name); i >= 0 {
		b.flying = slices.Delete(b.flying, i, i+1)
	} else {
		b.check(false, "is told of "+name+", which it did not propose")
	}
}

// Applied implements raft.Machine.
func (b *book) Applied(replayed bool) {
	if replayed {
		b.check(!b.serving, "replayed twice")
		b.serving = true
	}
}

// Checkpoint implements raft.Machine.
func (b *book) Checkpoint(done func([]byte, error)) {
	b.check(!b.installing, "checkpoint during an install")
	state := b.save(b.encode())
	b.strand.Post(func() { done(state, nil) })
}

// save writes a state to a file, durably, and gives what finds it again.
func (b *book) save(state []byte) []byte {
	if !b.s.c.files {
		return state
	}
	b.s.written++
	name := fmt.Sprint("state", b.s.written)
	if b.s.states == nil {
		b.s.states = map[string][]byte{}
	}
	b.s.states[name] = state
	return []byte(name)
}

// Checkpointed implements raft.Machine.
func (b *book) Checkpointed(state []byte) {
	b.saved++
	for name := range b.s.states { //lockstep:ordered each by itself
		if name != string(state) {
			delete(b.s.states, name)
		}
	}
}

// Failed implements raft.Machine.
func (b *book) Failed(err error) {
	b.failed, b.ended, b.leads = err, true, 0
}

// Led implements raft.Replica.
func (b *book) Led(term core.Term) {
	b.check(b.serving && !b.ended && b.leads == 0, "leads at a bad time")
	b.leads = term
	j := &b.s.c.judge
	if who, known := j.leaders[term]; known && who != b.s.id {
		j.violation("servers %d and %d lead term %d", who, b.s.id, term)
	}
	j.leaders[term] = b.s.id
	for name, index := range j.acked {
		if index > b.index {
			j.violation("server %d leads term %d with %d, acknowledged was %q at %d", b.s.id, term, b.index, name, index)
			return
		}
	}
}

// Followed implements raft.Replica.
func (b *book) Followed(leader core.MemberID) { b.leads, b.follows = 0, leader }

// Unsure implements raft.Replica.
func (b *book) Unsure(tag any) {
	b.s.c.judge.unsure++
	b.answer(tag.(string))
}

// Snapshot implements raft.Replica.
func (b *book) Snapshot(done func(raft.Snapshot, error)) {
	b.check(!b.installing, "snapshot during an install")
	if b.s.c.rand.IntN(5) == 0 {
		b.strand.Post(func() { done(nil, raft.ErrNoSnapshot) })
		return
	}
	b.later(func() { // entries are applied meanwhile
		b.pins++
		done(&bookSnapshot{b: b, state: b.encode()}, nil)
	})
}

type bookSnapshot struct {
	b      *book
	state  []byte
	closed bool
}

// Read implements raft.Snapshot.
func (s *bookSnapshot) Read(offset uint64, size int, done func([]byte, bool, error)) {
	s.b.check(!s.closed, "reads a closed snapshot")
	size = min(size, 100)
	end := min(int(offset)+size, len(s.state))
	s.b.later(func() {
		s.b.check(!s.closed, "a snapshot is closed while it is read")
		part := slices.Clone(s.state[offset:end])
		done(part, end == len(s.state), nil)
		clear(part)
	})
}

// Close implements raft.Snapshot.
func (s *bookSnapshot) Close() {
	s.b.check(!s.closed, "closes a snapshot twice")
	s.closed = true
	s.b.pins--
}

// Install implements raft.Replica.
func (b *book) Install() raft.Installer {
	b.check(b.installer == nil, "begins an install in another")
	b.installer = &bookInstaller{b: b}
	return b.installer
}

type bookInstaller struct {
	b       *book
	got     []byte
	writing bool
}

// Write implements raft.Installer.
func (i *bookInstaller) Write(offset uint64, p []byte, done func(error)) {
	i.b.check(i.b.installer == i && !i.writing && offset == uint64(len(i.got)), "writes a snapshot out of order")
	i.writing = true
	i.b.later(func() {
		i.writing = false
		if i.b.s.c.rand.IntN(50) == 0 {
			done(raft.ErrNoSnapshot)
			return
		}
		i.got = append(i.got, p...)
		done(nil)
	})
}

// Finish implements raft.Installer.
func (i *bookInstaller) Finish(done func([]byte, error)) {
	b := i.b
	b.check(b.installer == i && !i.writing, "finishes at a bad time")
	b.installing = true
	b.strand.Post(func() {
		b.installer = nil
		b.installing = false
		if b.s.c.rand.IntN(10) == 0 {
			done(nil, raft.ErrNoSnapshot)
			return
		}
		b.s.c.judge.installs++
		b.decode(i.got)
		done(b.save(i.got), nil)
	})
}

// Abort implements raft.Installer.
func (i *bookInstaller) Abort() {
	i.b.check(i.b.installer == i && !i.b.installing, "aborts at a bad time")
	i.b.installer = nil
}
