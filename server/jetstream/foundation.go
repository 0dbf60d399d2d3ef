package jetstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/founding"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage"
)

// How a server of a cluster comes to its part of the catalogue: it agrees with the others that there is one, or asks
// to be let in.

const (
	foundingFile = "founding"
	foundingMax  = 256 << 10
	// askEvery is how often a server asks to be let in that is no member.
	askEvery = time.Second
	// removedFor is how long a server that was removed is not let in again.
	removedFor = 5 * time.Minute
)

// Kinds of frames between managers: the first byte of each. Frames of consensus begin with their version, which is
// lower.
const (
	frameFounding = 0xf0
	frameJoin     = 0xf1 // the founding's id: the sender wants to be a member
	frameFacts    = 0xf2 // a [change] of the sender's facts, for the leader to propose
	frameLost     = 0xf4 // a [change] that says that the sender has nothing of a stream that nobody leads
	frameMoved    = 0xf3 // a [change] that says that a stream's places are those it should have, for the leader to propose
)

// foundation is what a server does to be part of a cluster. It belongs to the manager's strand.
type foundation struct {
	m     *Manager
	node  *founding.Node
	o     raft.Options // of the catalogue's group
	id    founding.ID  // of the cluster, once it is known
	timer clock.Timer
	ask   clock.Timer
	begun bool
	told  string
}

// found begins to agree with the other servers.
func (m *Manager) found(o raft.Options) {
	f := &foundation{m: m, o: o}
	f.timer, f.ask = m.strand.NewTimer(f.tend), m.strand.NewTimer(f.askIn)
	m.cluster.foundation = f
	storage.ReadFile(m.cfg.Disk, m.strand, foundingFile, foundingMax, func(text []byte, err error) {
		var kept *founding.Kept
		switch {
		case errors.Is(err, storage.ErrNotExist):
		case err != nil:
			m.broken(fmt.Errorf("record of the cluster's founding: %w", err))
			return
		default:
			if kept, err = founding.DecodeKept(text); err != nil {
				m.log.Errorf("JetStream: %v; waiting for a server that knows", err)
				kept = founding.Unreadable()
			}
		}
		f.start(kept)
	})
}

func (f *foundation) start(kept *founding.Kept) {
	m := f.m
	c := m.cluster
	id := m.cfg.Broker.Identity()
	o := founding.DefaultOptions(c.Self, id.ServerName, c.Name(), c.Expected, m.strand.Rand("founding"))
	node, err := founding.New(o, kept, m.cfg.Clock.Monotonic())
	if err != nil {
		m.broken(fmt.Errorf("founding of the cluster: %w", err))
		return
	}
	f.node = node
	c.Attach(m)
	m.finish(nil)
	f.tend()
}

// tend does what is due.
func (f *foundation) tend() {
	n := f.node
	if n == nil || f.m.stopped {
		return
	}
	now := f.m.cfg.Clock.Monotonic()
	n.Advance(now)
	for n.HasReady() {
		r := n.Ready()
		for _, msg := range r.Messages {
			f.m.cluster.Lane.Send(msg.To, append([]byte{frameFounding}, msg.Data...))
		}
		if r.Kept != nil {
			f.keep(r.Kept)
		}
		if r.Outcome != nil {
			f.open(r.Outcome)
		}
	}
	if at := n.Deadline(); at > 0 {
		f.timer.Reset(max(at-now, 0))
	} else {
		f.timer.Stop()
	}
	if text := n.State().String(); text != f.told {
		f.told = text
		f.m.log.Debugf("JetStream cluster: %s", text)
	}
}

func (f *foundation) keep(k *founding.Kept) {
	storage.ReplaceFile(f.m.cfg.Disk, f.m.strand, foundingFile, k.Encode(), func(err error) {
		if err != nil {
			f.m.broken(fmt.Errorf("record of the cluster's founding: %w", err))
			return
		}
		f.node.Persisted()
		f.tend()
	})
}

// open opens the catalogue's group as the outcome says.
func (f *foundation) open(out *founding.Outcome) {
	m := f.m
	f.id = out.ID
	f.o.ID.Incarnation = binary.LittleEndian.Uint64(out.ID[:]) | 1
	m.cluster.known = make(map[raft.ID]bool)
	for _, id := range m.host.Unopened() {
		m.cluster.known[id] = true
	}
	members := &raft.Members{}
	switch {
	case m.cluster.known[f.o.ID]:
	case out.Kind == founding.Found:
		members.Voters, members.Leader = out.Voters, out.Leader
		f.o.Fresh = true
	default:
		members.Forgot = true
	}
	if !m.cluster.known[f.o.ID] {
		f.o.Fresh = true
	}
	f.o.Members = members
	var err error
	if m.group, err = m.host.Open(f.o); err != nil {
		m.broken(err)
		return
	}
	m.cluster.old = m.group.Last()
	m.log.Noticef("JetStream cluster %s: %s", out.ID, out.Kind)
	f.askIn()
}

// member tells that the log has this server's part of the catalogue.
func (f *foundation) member() {
	if !f.begun {
		f.begun = true
		f.node.Begun()
		f.m.strand.Post(f.tend)
	}
}

// askIn asks the others to be let in, as long as this server is no member.
func (f *foundation) askIn() {
	m := f.m
	if m.stopped || m.group == nil || m.group.State().Standing != core.Outside {
		return
	}
	for _, id := range m.cluster.present {
		m.cluster.Lane.Send(id, append([]byte{frameJoin}, f.id[:]...))
	}
	f.ask.Reset(askEvery)
}

// letIn makes a server a member that asks for it, if this one leads.
func (f *foundation) letIn(from core.MemberID, p []byte) {
	m := f.m
	if m.group == nil || !m.cluster.leads || !bytes.Equal(p, f.id[:]) {
		return
	}
	if cfg := m.group.Members(); cfg.Has(from) {
		return
	}
	if s := m.catalogue.Servers[from]; s != nil && s.Removed != nil && m.cfg.Clock.Now().Sub(*s.Removed) < removedFor {
		return
	}
	m.group.ProposeConfig(core.Change{Join: []core.MemberID{from}}, func(err error) {
		if err != nil {
			m.log.Debugf("JetStream cluster: server %s cannot be let in: %v", m.cluster.nameOf(from), err)
		}
	})
}
