package core

import "slices"

// sleeping is whether the group rests.
type sleeping struct{ asleep bool }

// Sleep lets an idle group rest, and tells whether it does: this member leads, everybody has
// everything, and nothing is under way. The host vouches for servers from then on.
func (c *Core) Sleep() bool {
	if c.asleep {
		return true
	}
	if !c.mayRest() {
		return false
	}
	c.asleep = true
	c.noticeAt = 0
	c.changed = true
	for i := range c.peers {
		p := &c.peers[i]
		m := c.message(MsgSleep, p.id)
		m.Index, m.LogTerm, m.Commit = c.log.last, c.log.lastTerm(), c.commit
		p.commitSent = c.commit
	}
	return true
}

func (c *Core) mayRest() bool {
	if c.role != Leader || !c.opts.HostHeartbeats || c.commit != c.log.last || c.applied != c.commit || c.transferTo != 0 ||
		c.Config().Joint() || c.round.busy() || c.mustPersist() || c.hardMark > c.persisted || len(c.down) > 0 || c.admits() {
		return false
	}
	for i := range c.peers {
		p := &c.peers[i]
		if p.match != c.log.last || p.pace != replicating {
			return false
		}
	}
	return true
}

// onSleep rests with the leader, if this member has everything.
func (c *Core) onSleep(m *Message) {
	if !c.opts.HostHeartbeats || !c.log.has(m.Index, m.LogTerm) || c.log.last != m.Index || c.flushed != c.log.last ||
		m.Commit != m.Index || c.standing() == Damaged {
		c.sayHelloTo(m.From)
		return
	}
	c.matched = max(c.matched, m.Index)
	c.commitTo(m.Commit)
	if !c.asleep {
		c.asleep = true
		c.changed = true
	}
	c.electionAt = 0
}

// Wake tells a member that somebody wants something of its group: a follower makes sure that there
// is a leader.
func (c *Core) Wake() {
	if !c.asleep {
		return
	}
	if c.role == Leader {
		c.rouse()
		c.heartbeats()
		return
	}
	c.awake()
	c.resetElection()
	c.sayHelloTo(c.leader)
}

func (c *Core) awake() {
	c.asleep = false
	c.changed = true
	c.heardAt = c.now
}

// rouse ends a leader's rest.
func (c *Core) rouse() {
	if c.heartbeatAt <= c.now {
		c.heartbeatAt = c.now + c.opts.HeartbeatInterval
	}
	if !c.asleep {
		return
	}
	c.awake()
	c.quorumAt = c.now + c.opts.ElectionMax
	for i := range c.peers {
		c.peers[i].activeAt = c.now
	}
}

// PeerDown tells that the host cannot vouch for the member any more: its server is silent, or its
// process is another one than before.
func (c *Core) PeerDown(id MemberID) {
	if i, known := slices.BinarySearch(c.down, id); !known {
		c.down = slices.Insert(c.down, i, id)
	}
	switch {
	case c.role == Leader && !c.hasQuorumUp():
		c.becomeFollower(c.hard.Term, 0)
	case c.role != Leader && c.leader == id:
		c.asleep = false
		c.changed = true
		c.heardAt = c.now - c.opts.ElectionMax
		c.drawTimeout()
		c.electionAt = max(c.now+(c.timeout-c.opts.ElectionMin)/2, 1)
	}
}

// PeerUp tells that the host vouches for the member again.
func (c *Core) PeerUp(id MemberID) {
	if i, known := slices.BinarySearch(c.down, id); known {
		c.down = slices.Delete(c.down, i, i+1)
	}
	p := c.find(id)
	if c.role != Leader || p == nil {
		return
	}
	c.rouse()
	p.activeAt = c.now
	if p.pace == replicating {
		p.probe(p.match + 1)
	}
}

// hasQuorumUp tells whether the host vouches for majorities.
func (c *Core) hasQuorumUp() bool {
	return c.Config().each(func(m Member) bool { return m.ID == c.id || !c.isDown(m.ID) })
}

// sayHello asks everybody for the leader's attention.
func (c *Core) sayHello() {
	c.others = c.Config().ids(c.others[:0])
	for _, id := range c.others {
		if id != c.id {
			c.sayHelloTo(id)
		}
	}
	if len(c.damaged) > 0 {
		c.fetchDamaged()
	}
}

func (c *Core) sayHelloTo(id MemberID) {
	if id != 0 {
		m := c.message(MsgHello, id)
		m.Index, m.LogTerm = c.log.last, c.log.lastTerm()
	}
}

// onHello meets a member that hears nothing.
func (c *Core) onHello(m *Message) {
	_, gone := c.removed(m.From)
	if (gone || c.leader == 0) && !m.Is(Reject) { // so that who sees nobody learns who is there
		r := c.message(MsgHello, m.From)
		r.Flags |= Reject
		r.Index, r.LogTerm = c.log.last, c.log.lastTerm()
		c.tellGone(r)
	}
	if c.role != Leader || c.find(m.From) == nil {
		return
	}
	if m.Term > c.hard.Term { // it will not listen to an earlier term
		c.becomeFollower(m.Term, 0)
		return
	}
	c.rouse()
	p := c.find(m.From)
	c.meetLife(p, m.Life)
	p.activeAt = c.now
	if p.pace == replicating {
		p.probe(p.match + 1)
	}
	c.contact(m.From)
}
