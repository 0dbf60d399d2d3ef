package raft

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// proposals are the entries that were proposed here and have not come back committed.
type proposals struct {
	list   []proposal // by index; the first head have come back
	head   int
	bytes  int64
	unsure []any // tags that the machine is to be told of
}

type proposal struct {
	index core.Index
	term  core.Term
	size  int
	tag   any
}

func (p *proposals) push(e proposal) {
	if p.head > 0 && len(p.list) == cap(p.list) {
		n := copy(p.list, p.list[p.head:])
		clear(p.list[n:])
		p.list, p.head = p.list[:n], 0
	}
	p.list = append(p.list, e)
	p.bytes += int64(e.size)
}

// take gives the tag of a committed entry, if it was proposed here.
func (p *proposals) take(index core.Index, term core.Term) any {
	for p.head < len(p.list) && p.list[p.head].index <= index {
		e := p.pop()
		if e.index == index && e.term == term {
			return e.tag
		}
		p.doubt(e.tag)
	}
	return nil
}

func (p *proposals) pop() proposal {
	e := p.list[p.head]
	p.list[p.head] = proposal{}
	p.head++
	p.bytes -= int64(e.size)
	if p.head == len(p.list) {
		p.list, p.head = p.list[:0], 0
		if cap(p.list) > queueKept {
			p.list = nil
		}
	}
	return e
}

func (p *proposals) doubt(tag any) {
	if tag != nil {
		p.unsure = append(p.unsure, tag)
	}
}

// lose gives up what is not known to be committed: the leadership was lost.
func (p *proposals) lose(c *core.Core) {
	kept := p.head
	for kept < len(p.list) && p.list[kept].index <= c.Commit() && c.TermAt(p.list[kept].index) == p.list[kept].term {
		kept++
	}
	for _, e := range p.list[kept:] {
		p.bytes -= int64(e.size)
		p.doubt(e.tag)
	}
	clear(p.list[kept:])
	p.list = p.list[:kept]
}

// skip gives up everything up to an index: a snapshot has taken its place.
func (p *proposals) skip(index core.Index) {
	for p.head < len(p.list) && p.list[p.head].index <= index {
		p.doubt(p.pop().tag)
	}
}

// tell tells of what was given up.
func (p *proposals) tell(unsure func(tag any)) {
	for len(p.unsure) > 0 {
		tag := p.unsure[0]
		p.unsure = p.unsure[1:]
		unsure(tag)
	}
	p.unsure = nil
}

// propose is Propose in a group of several servers.
func (m *member) propose(payload []byte, tag any, c Class) error {
	if err := m.g.refuses(len(payload)); err != nil {
		return err
	}
	if m.core == nil {
		return ErrNotLeader
	}
	m.enter()
	switch {
	case m.core.Role() != core.Leader || !m.led:
		return ErrNotLeader
	case m.stalled():
		return fmt.Errorf("group %q: %w", m.g.opts.Name, ErrFull)
	}
	index, err := m.core.Propose(kindOf(c), payload)
	switch {
	case errors.Is(err, core.ErrBusy) || errors.Is(err, core.ErrTransferring):
		return ErrBusy
	case err != nil:
		return err
	}
	m.activeAt = m.now
	m.proposals.push(proposal{index, m.core.Hard().Term, len(payload), tag})
	m.g.entries++
	m.g.bytes += uint64(len(payload))
	return nil
}

// readsMax bounds the reads that wait.
const readsMax = 1 << 16

// pendingRead waits for its index, and then for the machine.
type pendingRead struct {
	ctx   uint64
	known bool
	index core.Index
	done  func(error)
}

// ReadIndex calls done when what the machine holds has all that was committed anywhere when ReadIndex was
// called, or with an error: ErrNotLeader when no leader confirmed it, ErrBusy, or what ended the group. done is
// called on the strand. It may be asked of any member. In a group of one it is called at once.
func (g *Group) ReadIndex(done func(error)) {
	m := g.member
	switch {
	case g.state == ended:
		g.strand.Post(func() { done(g.endedBy()) })
		return
	case m == nil:
		g.strand.Post(func() { done(nil) })
		return
	case !m.live():
		g.strand.Post(func() { done(ErrNotLeader) })
		return
	}
	m.enter()
	m.activeAt = m.now
	m.readCtx++
	err := ErrBusy
	if len(m.reads) < readsMax {
		err = m.core.ReadIndex(m.readCtx)
	}
	if err != nil {
		if errors.Is(err, core.ErrBusy) {
			err = ErrBusy
		}
		g.strand.Post(func() { done(err) })
		return
	}
	m.reads = append(m.reads, pendingRead{ctx: m.readCtx, done: done})
}

// endedBy is what a call after the end is answered.
func (g *Group) endedBy() error {
	if g.failed != nil {
		return g.failed
	}
	return ErrStopped
}

// answered takes the core's answer to a read.
func (m *member) answered(r core.Read) {
	i := slices.IndexFunc(m.reads, func(p pendingRead) bool { return p.ctx == r.Ctx })
	if i < 0 {
		return
	}
	if !r.OK {
		done := m.reads[i].done
		m.reads = slices.Delete(m.reads, i, i+1)
		m.strand.Post(func() { done(ErrNotLeader) })
		return
	}
	m.reads[i].known, m.reads[i].index = true, r.Index
}

// tellReads answers the reads whose index is applied.
func (m *member) tellReads() {
	var due []func(error)
	m.reads = slices.DeleteFunc(m.reads, func(p pendingRead) bool {
		ok := p.known && uint64(p.index) <= m.g.applied
		if ok {
			due = append(due, p.done)
		}
		return ok
	})
	for _, done := range due {
		done(nil)
	}
}

// pendingChange is a change of members that is not finished.
type pendingChange struct {
	index core.Index
	term  core.Term
	done  func(error)
}

// ProposeConfig changes the members of a group of several servers. done is called on the strand when the
// change is committed, and finished if it takes two entries; or with an error: those of the core, or ErrNotLeader when the
// leadership was lost, after which it may still come about.
func (g *Group) ProposeConfig(ch core.Change, done func(error)) {
	m := g.member
	err := g.noMember()
	var index core.Index
	if err == nil {
		m.enter()
		index, err = m.core.ProposeConfig(ch)
	}
	if err != nil {
		g.strand.Post(func() { done(err) })
		return
	}
	m.activeAt = m.now
	m.changes = append(m.changes, pendingChange{index, m.core.Hard().Term, done})
}

// CancelChange takes back a change of voters that is not committed yet.
func (g *Group) CancelChange() error {
	if err := g.noMember(); err != nil {
		return err
	}
	g.member.enter()
	return g.member.core.CancelChange()
}

// tellChanges answers changes that are finished, or that this server cannot answer any more.
func (m *member) tellChanges() {
	if len(m.changes) == 0 {
		return
	}
	leads := m.core.Role() == core.Leader
	var due []func()
	m.changes = slices.DeleteFunc(m.changes, func(c pendingChange) bool {
		switch {
		case m.core.Commit() >= c.index && m.core.TermAt(c.index) == c.term && !m.core.ChangePending():
			due = append(due, func() { c.done(nil) })
		case !leads || m.core.Hard().Term != c.term:
			due = append(due, func() { c.done(ErrNotLeader) })
		default:
			return false
		}
		return true
	})
	for _, tell := range due {
		tell()
	}
}

// noMember tells why there is no core to ask.
func (g *Group) noMember() error {
	switch {
	case g.state == ended:
		return g.endedBy()
	case g.member == nil:
		return fmt.Errorf("group %q: %w", g.opts.Name, ErrAlone)
	case g.member.core == nil:
		return ErrNotLeader
	}
	return nil
}

// TransferLeadership hands the leadership to another voter. It takes a moment, during which Propose answers
// ErrBusy; Followed tells when it has happened.
func (g *Group) TransferLeadership(to core.MemberID) error {
	if err := g.noMember(); err != nil {
		return err
	}
	g.member.enter()
	return g.member.core.TransferLeadership(to)
}

// StepDown ends this server's leadership, for whoever has most to take over.
func (g *Group) StepDown() error {
	if err := g.noMember(); err != nil {
		return err
	}
	m := g.member
	m.enter()
	if m.core.Role() != core.Leader {
		return ErrNotLeader
	}
	m.core.Resign()
	return nil
}

// Suppress tells a member whether it must not try to lead, for example while its server is about to stop.
func (g *Group) Suppress(yes bool) {
	if g.noMember() == nil {
		g.member.core.SetSuppressed(yes)
	}
}

// SetPreferred names the server that should lead if it can; 0 is none. All members are told the same.
func (g *Group) SetPreferred(id core.MemberID) {
	if g.noMember() == nil {
		g.member.enter()
		g.member.core.SetPreferred(id)
	}
}

// Reform allows the voters to elect a leader though no majority remembers everything: when all lost what was not
// synced, which the host's mode allows, or on an operator's word. lost are voters that are declared gone for good.
// It is taken back when the group is well.
func (g *Group) Reform(allow bool, lost ...core.MemberID) {
	if g.noMember() == nil {
		g.member.enter()
		g.member.core.Reform(allow, lost...)
	}
}

// Wake tells that somebody wants something of a group that may sleep: a follower makes sure that there is a
// leader.
func (g *Group) Wake() {
	if g.noMember() == nil {
		m := g.member
		m.enter()
		m.activeAt = m.now
		m.core.Wake()
	}
}

// State tells what this member of a group of several servers does. A group of one leads itself in term 1.
func (g *Group) State() core.State {
	switch {
	case g.member == nil && g.state != ended:
		return core.State{Term: term, Role: core.Leader, Leader: g.host.cfg.Self, Standing: core.Voter}
	case g.noMember() != nil:
		return core.State{}
	}
	return g.member.core.State()
}

// Members is the configuration in force; it must not be changed. A group of one has none.
func (g *Group) Members() core.Config {
	if g.noMember() != nil {
		return core.Config{}
	}
	return *g.member.core.Config()
}

// Peers appends what a leader knows of the other members to dst, ascending.
func (g *Group) Peers(dst []core.Peer) []core.Peer {
	if g.noMember() != nil {
		return dst
	}
	return g.member.core.Peers(dst)
}

// Life is that of this member; 0 in a group of one.
func (g *Group) Life() core.Life {
	if g.noMember() != nil {
		return 0
	}
	return g.member.core.Hard().Life
}

// ClockOffset is how far the median of the voters' wall clocks is ahead of this server's, as the followers of this
// leadership told; 0 unless a majority did.
func (g *Group) ClockOffset() time.Duration {
	if g.noMember() != nil {
		return 0
	}
	return g.member.core.ClockOffset()
}
