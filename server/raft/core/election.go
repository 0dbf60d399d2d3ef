package core

import "time"

// election is what a member keeps to become, or choose, a leader.
type election struct {
	timeout    time.Duration // of this term, drawn
	electionAt time.Duration // 0: never
	votes      []vote        // of the campaign under way
	campaign   Flags         // Transfer and All, as the campaign's messages say
	preferred  MemberID      // should lead if it can; 0 for nobody
	down       []MemberID    // whose servers the host misses, ascending
	// votedLife is that of who got the vote of this term: what it was before it forgot may have led the term
	// already, so its next life must not win it. 0 after a restart, which repeats no vote.
	votedLife Life
	// wanted: nobody leads, and the log of this member, which is no voter by its own knowledge, kept a
	// candidate from winning. It may be the only one that can: a removed leader, when nobody else has the entry that
	// ends the change; a learner, when a candidate needs it by a change that never came here, and the others who
	// had its entries are lost. It leads without a vote of its own, until a voter has caught up.
	wanted bool
	gone   bool // somebody has a committed configuration without this member
}

// vote is an answer to a campaign.
type vote struct {
	member  Member
	granted bool
}

// drawTimeout draws how long a silence makes the member campaign. A preferred leader is first.
func (c *Core) drawTimeout() {
	from, span := c.opts.ElectionMin, int64(c.opts.ElectionMax-c.opts.ElectionMin)
	switch c.preferred {
	case 0:
	case c.id:
		span = max(span/8, 1)
	default:
		from, span = from+time.Duration(span/4), max(span-span/4, 1)
	}
	c.timeout = from + time.Duration(c.opts.Rand.Int64N(span))
}

func (c *Core) resetElection() {
	c.electionAt = max(c.now+c.timeout, 1)
}

// SetPreferred names the member that leads if it can; 0 is nobody. All members should be told the same.
func (c *Core) SetPreferred(id MemberID) {
	c.preferred = id
	c.preferAt = c.now
}

// becomeFollower follows leader, which may be 0, in a term not below the present one.
func (c *Core) becomeFollower(term Term, leader MemberID) {
	h := c.hard
	if term > h.Term {
		h.Term, h.Vote = term, 0
		c.votedLife = 0
		c.matched, c.acked = c.commit, 0
		c.drawTimeout()
	}
	if c.role == Leader {
		c.leaveLeadership()
	}
	if c.role != Follower || c.leader != leader {
		c.changed = true
		c.failReads()
	}
	c.role = Follower
	c.leader = leader
	c.votes = c.votes[:0]
	c.asleep = false
	c.setHard(h)
	c.resetElection()
	if leader != 0 {
		c.heardAt = c.now
	}
}

// leaderFresh tells whether there is a leader that an election would disturb.
func (c *Core) leaderFresh() bool {
	switch {
	case c.role == Leader:
		return true
	case c.leader == 0 || c.isDown(c.leader):
		return false
	}
	return c.asleep || c.now-c.heardAt < c.opts.ElectionMin
}

// canCampaign tells whether the member may lead.
func (c *Core) canCampaign() bool {
	return c.mayLead() && !c.gone && !c.suppress && c.failed == nil && c.role != Leader && !c.installing()
}

// mayLead tells whether the member is one that leads: a voter, or one that is wanted.
func (c *Core) mayLead() bool {
	switch c.standing() {
	case Voter:
		return true
	case Learning, Outside:
		return c.wanted
	}
	return false
}

// electionDue is the end of a silence.
func (c *Core) electionDue() {
	c.drawTimeout()
	c.resetElection()
	c.asleep = false
	switch {
	case c.role == Candidate && c.hardMark > c.persisted: // a slow disk: another term would take as long
	case c.canCampaign():
		c.preCampaign()
	case c.standing() == Forgot && c.mayReform():
		c.startCampaign(All)
	case c.gone || c.standing() == Outside && !c.reform:
		c.electionAt = 0 // until somebody speaks to us
	default:
		c.becomeFollower(c.hard.Term, 0) // whoever led is not heard
		c.sayHello()
	}
}

// preCampaign asks whether an election could be won, which changes nothing anywhere.
func (c *Core) preCampaign() {
	if c.mayReform() {
		c.startCampaign(All)
		return
	}
	c.becomeFollower(c.hard.Term, 0)
	c.role, c.campaign = PreCandidate, 0
	c.changed = true
	if c.record(Member{c.id, c.hard.Life}, true) {
		return
	}
	c.askVotes(MsgPreVote, c.hard.Term+1)
}

// startCampaign begins a term and asks for votes in it.
func (c *Core) startCampaign(how Flags) {
	term := c.hard.Term + 1
	if how&All != 0 {
		term += reformGap
	}
	c.becomeFollower(term, 0)
	h := c.hard
	h.Vote = c.id
	c.setHard(h)
	c.role, c.campaign = Candidate, how
	c.changed = true
	c.askVotes(MsgVote, c.hard.Term)
}

// askVotes asks all voters but this member.
func (c *Core) askVotes(t Type, term Term) {
	cfg := c.Config()
	c.others = cfg.ids(c.others[:0])
	for _, id := range c.others {
		life, votes := cfg.life(id)
		if id == c.id || !votes {
			continue
		}
		m := c.message(t, id)
		m.Term, m.ToLife = term, life
		m.Index, m.LogTerm = c.log.last, c.log.lastTerm()
		m.Flags |= c.campaign
	}
}

// votePersisted counts the own vote, once it is durable.
func (c *Core) votePersisted() {
	if c.role == Candidate && c.hardMark <= c.persisted {
		c.record(Member{c.id, c.hard.Life}, true)
	}
}

// record takes an answer to the campaign, and tells whether that ended it.
func (c *Core) record(from Member, granted bool) bool {
	known := false
	for i := range c.votes {
		if c.votes[i].member.ID == from.ID {
			known = true
			if granted {
				c.votes[i] = vote{from, true}
			}
		}
	}
	if !known {
		c.votes = append(c.votes, vote{from, granted})
	}
	switch {
	case c.won():
		if c.role == PreCandidate {
			c.startCampaign(0)
		} else {
			c.elected()
		}
		return true
	case c.lost():
		c.becomeFollower(c.hard.Term, 0)
		return true
	}
	return false
}

// won tells whether the campaign has the votes that it needs.
func (c *Core) won() bool {
	cfg := c.Config()
	if c.campaign&All != 0 {
		return c.allVoted(cfg)
	}
	return cfg.each(func(m Member) bool { return c.voted(m, true) })
}

func (c *Core) lost() bool {
	cfg := c.Config()
	return !cfg.each(func(m Member) bool { return !c.voted(m, false) }) && c.campaign&All == 0
}

// voted tells whether the member, in that life, gave this answer.
func (c *Core) voted(m Member, granted bool) bool {
	for i := range c.votes {
		if v := &c.votes[i]; v.member == m {
			return v.granted == granted
		}
	}
	return false
}

// upToDate tells whether a log that ends at index of term has everything that ours may have
// helped to commit.
func (c *Core) upToDate(index Index, term Term) bool {
	return term > c.log.lastTerm() || term == c.log.lastTerm() && index >= c.log.last
}

// electorate tells whether this member may answer yes: it remembers, and is asked as who it is.
func (c *Core) electorate(m *Message) bool {
	if len(c.damaged) > 0 || c.mendPending() {
		return false
	}
	if m.Is(All) {
		return c.reform
	}
	return m.ToLife == c.hard.Life
}

func (c *Core) onPreVote(m *Message) {
	if m.From == c.leader && m.Term == c.hard.Term+1 { // who led this term does not any more
		c.becomeFollower(c.hard.Term, 0)
	}
	free := m.Term > c.hard.Term && (!c.leaderFresh() || m.Is(Transfer)) && c.electorate(m)
	grant := free && c.upToDate(m.Index, m.LogTerm)
	c.refusedFor(free && !grant)
	r := c.message(MsgPreVoteReply, m.From)
	r.ToLife = m.Life
	c.tellGone(r)
	if grant {
		r.Term = m.Term
	} else {
		r.Flags |= Reject
	}
	if c.role == Leader { // it does not hear us
		c.rouse()
		c.contact(m.From)
	}
}

func (c *Core) onVote(m *Message) {
	again := c.hard.Vote == m.From && c.votedLife == m.Life
	free := again || c.hard.Vote == 0 && c.leader == 0 && c.role == Follower
	free = free && c.electorate(m)
	grant := free && c.upToDate(m.Index, m.LogTerm)
	c.refusedFor(free && !grant)
	if grant {
		h := c.hard
		h.Vote = m.From
		c.votedLife = m.Life
		c.setHard(h)
		c.resetElection()
	}
	r := c.message(MsgVoteReply, m.From)
	r.ToLife = m.Life
	if !grant {
		r.Flags |= Reject
	}
}

// refusedFor takes note of whether only the own log kept a candidate from getting the vote.
func (c *Core) refusedFor(log bool) {
	if !log || c.gone {
		return
	}
	c.wanted = true
	if c.electionAt == 0 && c.role != Leader {
		c.resetElection()
	}
}

func (c *Core) onVoteReply(m *Message) {
	switch {
	case m.ToLife != c.hard.Life: // the answer is to what this member was before it forgot, with another log
		return
	case m.Type == MsgVoteReply && c.role == Candidate && m.Term == c.hard.Term:
	case m.Type == MsgPreVoteReply && c.role == PreCandidate && (m.Is(Reject) || m.Term == c.hard.Term+1):
	default:
		return
	}
	c.record(Member{m.From, m.Life}, !m.Is(Reject))
}

// elected begins the leadership that the votes gave.
func (c *Core) elected() {
	all := c.campaign&All != 0
	c.lead()
	if all {
		c.nameLives()
		return
	}
	c.appendEntry(Entry{Index: c.log.last + 1, Term: c.hard.Term, Kind: KindEmpty})
	c.ownFlushed()
}

// removed tells whether a committed configuration is without the member, and the index of the newest.
func (c *Core) removed(id MemberID) (Index, bool) {
	for i := len(c.configs) - 1; i >= 0; i-- {
		if at := &c.configs[i]; at.Has(id) {
			return 0, false
		} else if at.index <= c.commit {
			return at.index, at.index > 0
		}
	}
	return 0, false
}

// tellGone adds to a message that its receiver is no member any more, if it is none.
func (c *Core) tellGone(m *Message) {
	if i, gone := c.removed(m.To); gone {
		m.Flags |= Gone
		m.Hint = i
	}
}

// isDown tells whether the host misses the member's server.
func (c *Core) isDown(id MemberID) bool {
	for _, d := range c.down {
		if d == id {
			return true
		}
	}
	return false
}
