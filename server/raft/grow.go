package raft

import (
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// ErrAlone: the group has one member, and no consensus.
var ErrAlone = errors.New("the group has one member only")

// Replicate makes a group of one member, in place, one of several servers, which has this server as its only
// member at first: ProposeConfig adds others. While it is under way, for one checkpoint and one flush,
// Propose answers ErrBusy; then the machine, a [Replica], gets Led. done is called on the strand. After an
// error that is not the group's end the group goes on as it was. Whoever decides
// it remembers that before the call, and opens the group with Options.Members from then on: that
// finishes what a crash interrupted.
func (g *Group) Replicate(o Members, done func(error)) {
	err := g.cannotReplicate()
	if err != nil {
		g.strand.Post(func() { done(err) })
		return
	}
	g.opts.Members = &o
	g.growing = &growing{done: done}
	g.grow()
}

// growing is a group of one on its way to one of several.
type growing struct {
	done  func(error)
	stage growStage
}

type growStage uint8

const (
	draining growStage = iota // until everything is applied
	saving
	naming // the hard state is written
)

func (g *Group) cannotReplicate() error {
	switch {
	case g.state == ended:
		return g.endedBy()
	case g.member != nil || g.growing != nil:
		return fmt.Errorf("group %q has several members already", g.opts.Name)
	}
	return g.host.cannotReplicate(g.opts.Name, g.machine)
}

// cannotReplicate tells what is missing for groups of several servers.
func (h *Host) cannotReplicate(name string, machine Machine) error {
	if h.cfg.Self == 0 || h.cfg.Lane == nil || h.cfg.Clock == nil || h.cfg.Strand == nil {
		return fmt.Errorf("group %q: the host has no lane, clock, strand or name of its own for groups of several servers", name)
	}
	if _, ok := machine.(Replica); !ok {
		return fmt.Errorf("group %q: a %T is no machine of several servers", name, machine)
	}
	return nil
}

// grow goes on when it can.
func (g *Group) grow() {
	w := g.growing
	if w == nil || w.stage != draining || g.state != serving || g.running || g.queue.len() > 0 || g.checkpoint.busy ||
		g.log != nil && g.flushed < g.Last() {
		return
	}
	if g.log == nil {
		g.becomeMember(core.SnapshotMeta{Index: core.Index(g.applied), Term: min(core.Term(g.applied), term)})
		return
	}
	w.stage = saving
	g.checkpoint.asked = true
	g.checkpoint.waiting = append(g.checkpoint.waiting, g.grownState)
	g.maybeCheckpoint()
}

// grownState follows the checkpoint that names this server as the only member.
func (g *Group) grownState(err error) {
	if g.growing == nil || g.state == ended {
		return
	}
	if err != nil {
		g.notGrown(err)
		return
	}
	g.growing.stage = naming
	g.log.SetHardState(toLog(firstHard(g.host.cfg.Self)), func(err error) {
		switch {
		case g.state == ended:
		case err != nil:
			g.notGrown(err)
		default:
			g.becomeMember(core.SnapshotMeta{Index: core.Index(g.applied), Term: min(core.Term(g.applied), term)})
		}
	})
}

func firstHard(self core.MemberID) core.HardState {
	return core.HardState{Term: term, Vote: self, Life: core.FirstLife}
}

func firstConfig(self core.MemberID) core.Config {
	return core.Config{Voters: []core.Member{{ID: self, Life: core.FirstLife}}}
}

func (g *Group) notGrown(err error) {
	done := g.growing.done
	g.growing = nil
	if done == nil { // it was opened to be one of several
		g.fail(fmt.Errorf("group %q: become one of several members: %w", g.opts.Name, err))
		return
	}
	g.opts.Members = nil
	done(err)
	g.tellRoom()
}

// becomeMember has the core take over.
func (g *Group) becomeMember(meta core.SnapshotMeta) {
	done := g.growing.done
	g.growing = nil
	meta.Config = firstConfig(g.host.cfg.Self)
	g.member = newMember(g)
	g.member.durable = g.applied
	g.host.addMember(g.member)
	g.member.begin(core.Start{Hard: firstHard(g.host.cfg.Self), Snapshot: meta}, false)
	if done != nil && g.state != ended {
		done(nil)
	}
}
