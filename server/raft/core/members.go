package core

import (
	"fmt"
	"slices"
)

// Config is the configuration in force: the newest in the log, committed or not. It
// must not be changed.
func (c *Core) Config() *Config { return &c.configs[len(c.configs)-1].Config }

// configAt is the configuration in force at an index of the log.
func (c *Core) configAt(index Index) *Config {
	i := len(c.configs) - 1
	for i > 0 && c.configs[i].index > index {
		i--
	}
	return &c.configs[i].Config
}

// ChangePending tells whether a change of members is under way.
func (c *Core) ChangePending() bool {
	last := &c.configs[len(c.configs)-1]
	return last.index > c.commit || last.Joint()
}

// ProposeConfig changes the members. It tells the index of the entry that begins the change. A
// change of voters takes two entries, the second of which the leader adds by itself.
func (c *Core) ProposeConfig(ch Change) (Index, error) {
	if err := c.refusesChange(); err != nil {
		return 0, err
	}
	next := c.Config().clone()
	if err := c.change(&next, ch); err != nil {
		return 0, err
	}
	if !slices.Equal(next.Voters, c.Config().Voters) {
		next.Outgoing = c.Config().Voters
	}
	if err := next.Validate(); err != nil {
		return 0, err
	}
	if !next.each(c.present) {
		return 0, fmt.Errorf("no majority of the new voters is heard: %w", ErrBehind)
	}
	return c.propose(next), nil
}

// refusesChange tells why members cannot be changed now.
func (c *Core) refusesChange() error {
	switch {
	case c.role != Leader:
		return ErrNotLeader
	case c.transferTo != 0:
		return ErrTransferring
	case c.ChangePending() || c.commit < c.begun:
		return ErrPending
	}
	return nil
}

// change makes next what ch asks for.
func (c *Core) change(next *Config, ch Change) error {
	for auto, ids := range [...][]MemberID{ch.Learn, ch.Join} {
		for _, id := range ids {
			if id == 0 || next.Has(id) {
				return fmt.Errorf("%w: member %d is one already, or is 0", ErrChange, id)
			}
			next.Learners = append(next.Learners, Learner{id, auto == 1})
		}
	}
	for _, id := range ch.Promote {
		i := next.learner(id)
		if i < 0 {
			return fmt.Errorf("%w: member %d is no learner", ErrChange, id)
		}
		p := c.find(id)
		if p != nil && !p.confirmed {
			c.heartbeat(p)
		}
		if !c.caughtUp(p) {
			return fmt.Errorf("member %d: %w", id, ErrBehind)
		}
		next.Learners = slices.Delete(next.Learners, i, i+1)
		next.Voters = append(next.Voters, Member{id, p.life})
	}
	for _, id := range ch.Remove {
		if !next.Has(id) {
			return fmt.Errorf("%w: member %d is none", ErrChange, id)
		}
		next.Voters = slices.DeleteFunc(next.Voters, func(m Member) bool { return m.ID == id })
		next.Learners = slices.DeleteFunc(next.Learners, func(l Learner) bool { return l.ID == id })
	}
	slices.SortStableFunc(next.Voters, compareMembers)
	slices.SortStableFunc(next.Learners, compareLearners)
	return nil
}

// caughtUp tells whether a member can take part without holding the others up.
func (c *Core) caughtUp(p *progress) bool {
	return p != nil && p.life != 0 && p.confirmed && p.pace == replicating && p.match+caughtUpEntries >= c.commit &&
		(c.asleep || c.unheard(p) < c.opts.ElectionMax)
}

// caughtUpEntries is how far behind a member may be that joins.
const caughtUpEntries = 256

// propose appends a configuration, which is in force from then on.
func (c *Core) propose(cfg Config) Index {
	index := c.log.last + 1
	c.appendEntry(Entry{Index: index, Term: c.hard.Term, Kind: KindConfig, Payload: AppendConfig(nil, &cfg)})
	c.configs = append(c.configs, configAt{index, cfg})
	c.uncommitted += int64(len(c.log.at(index).Payload))
	c.changed = true
	c.rouse()
	c.meetPeers()
	return index
}

// membersCommitted goes on with a change whose entry is committed, when it or the entry that began the
// leadership is behind before.
func (c *Core) membersCommitted(before Index) {
	last := &c.configs[len(c.configs)-1]
	if last.index > c.commit || max(last.index, c.begun) <= before {
		return
	}
	if last.Joint() {
		next := last.clone()
		next.Outgoing = nil
		c.propose(next)
		c.maybeCommit()
		return
	}
	if !last.Names(c.id, c.hard.Life) {
		for i := range c.peers { // so that those who stay know that they are by themselves
			c.heartbeat(&c.peers[i])
		}
		c.resign()
		return
	}
	c.considerAll()
}

// considerAll looks for members that are to be admitted.
func (c *Core) considerAll() {
	c.others = c.Config().ids(c.others[:0])
	for _, id := range slices.Clone(c.others) {
		c.considerMember(id)
	}
}

// admits tells whether a member waits to be admitted: under a new life, or as a voter.
func (c *Core) admits() bool {
	cfg := c.Config()
	for i := range c.peers {
		p := &c.peers[i]
		if life, votes := cfg.life(p.id); votes && p.life != life || !votes && c.wantsVote(cfg, p.id) {
			return true
		}
	}
	return false
}

// considerMember admits a member that has caught up: a voter that forgot, under its new life, or
// a learner that is to vote.
func (c *Core) considerMember(id MemberID) {
	cfg := c.Config()
	p := c.find(id)
	life, votes := cfg.life(id)
	switch {
	case p == nil || votes && p.life == life || !votes && !c.wantsVote(cfg, id):
		return
	case !p.confirmed:
		c.heartbeat(p)
		return
	case c.refusesChange() != nil && !(votes && c.mayAmend()) || !c.caughtUp(p) || !c.hasQuorum():
		return
	}
	next := cfg.clone()
	if !cfg.Joint() {
		next.Outgoing = cfg.Voters
	}
	if i := next.learner(id); i >= 0 {
		next.Learners = slices.Delete(next.Learners, i, i+1)
		next.Voters = append(next.Voters, Member{id, p.life})
		slices.SortStableFunc(next.Voters, compareMembers)
	} else if i := slices.IndexFunc(next.Voters, func(m Member) bool { return m.ID == id }); i >= 0 {
		next.Voters[i].Life = p.life
	}
	if next.Validate() == nil && !slices.Equal(next.Voters, cfg.Voters) {
		c.propose(next)
	}
}

// mayAmend tells whether the change under way can be replaced by another one. It can while it is not
// committed: whatever was proposed since the last committed configuration needs a majority of
// that one's voters, the Outgoing of all of it, so that no two of those proposals can both decide.
func (c *Core) mayAmend() bool {
	last := &c.configs[len(c.configs)-1]
	return c.role == Leader && c.transferTo == 0 && last.Joint() && last.index > c.commit && c.commit >= c.begun
}

// CancelChange takes back a change of voters that is not committed yet, for example because a
// member that it adds is gone.
func (c *Core) CancelChange() error {
	if c.role != Leader {
		return ErrNotLeader
	}
	if !c.mayAmend() {
		return ErrPending
	}
	next := c.Config().clone()
	next.Voters = slices.Clone(next.Outgoing)
	next.Learners = slices.DeleteFunc(next.Learners, func(l Learner) bool {
		_, votes := next.life(l.ID)
		return votes
	})
	c.propose(next)
	return nil
}

// wantsVote tells whether the learner becomes a voter by itself.
func (c *Core) wantsVote(cfg *Config, id MemberID) bool {
	i := cfg.learner(id)
	return i >= 0 && cfg.Learners[i].Auto
}
