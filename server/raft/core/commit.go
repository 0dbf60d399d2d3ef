package core

import "time"

// matchOf is what the member holds durably, in the life that counts.
func (c *Core) matchOf(m Member) Index {
	if m.ID == c.id {
		if m.Life == c.hard.Life {
			return c.flushed
		}
		return 0
	}
	if p := c.find(m.ID); p != nil && p.life == m.Life {
		return p.match
	}
	return 0
}

// held is the largest index that a majority of the members holds durably.
func (c *Core) heldBy(members []Member) Index {
	var sorted [MembersMax]Index
	n := 0
	for _, m := range members {
		i := n
		match := c.matchOf(m)
		for ; i > 0 && sorted[i-1] < match; i-- {
			sorted[i] = sorted[i-1]
		}
		sorted[i] = match
		n++
	}
	return sorted[n/2]
}

// maybeCommit commits what majorities hold, if it reaches into this leadership.
func (c *Core) maybeCommit() {
	cfg := c.Config()
	to := c.heldBy(cfg.Voters)
	if cfg.Joint() {
		to = min(to, c.heldBy(cfg.Outgoing))
	}
	if to <= c.commit || c.log.term(to) != c.hard.Term {
		return
	}
	before := c.commit
	c.commitTo(to)
	if c.noticeAt == 0 && len(c.peers) > 0 {
		c.noticeAt = max(c.now+c.opts.CommitDelay, 1)
	}
	c.membersCommitted(before)
}

// commitTo moves the commit index forward; the log has the entry.
func (c *Core) commitTo(index Index) {
	if index <= c.commit {
		return
	}
	for _, e := range c.log.held(c.commit+1, index+1) {
		size := int64(len(e.Payload))
		c.unapplied += size
		if c.role == Leader {
			c.uncommitted -= size
		}
	}
	c.commit = index
}

// ownFlushed counts what the leader's own log holds.
func (c *Core) ownFlushed() {
	c.maybeCommit()
}

// hasQuorum tells whether majorities were heard of lately.
func (c *Core) hasQuorum() bool {
	return c.Config().each(c.present)
}

// present tells whether the member was heard of lately, or its host vouches for it while the group sleeps.
func (c *Core) present(m Member) bool {
	if m.ID == c.id {
		return true
	}
	p := c.find(m.ID)
	return p != nil && p.life == m.Life && !c.isDown(m.ID) && (c.asleep || c.unheard(p) < c.opts.ElectionMax)
}

// LeaderAlive tells that the host heard that the member leads this group in the term: what a
// heartbeat would tell.
func (c *Core) LeaderAlive(from MemberID, term Term) {
	m := Message{Type: MsgHeartbeat, From: from, To: c.id, Term: term}
	if term < c.hard.Term || c.failed != nil || !c.plausible(&m) {
		return
	}
	if term > c.hard.Term {
		c.becomeFollower(term, from)
	}
	c.fromLeader(&m)
}

// PeerAlive tells a leader that the member follows it in its present term.
func (c *Core) PeerAlive(from MemberID, term Term) {
	if c.role == Leader && term == c.hard.Term {
		if p := c.find(from); p != nil {
			p.activeAt = c.now
		}
	}
}

// unheard is how long nothing came from a member.
func (c *Core) unheard(p *progress) time.Duration { return c.now - p.activeAt }
