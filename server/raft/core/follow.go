package core

import "fmt"

// fromLeader takes note of who leads this term, and tells whether the message is the leader's.
func (c *Core) fromLeader(m *Message) bool {
	switch {
	case c.role == Leader:
		c.fail(fmt.Errorf("member %d says that it leads term %d, which this member leads", m.From, m.Term))
		return false
	case c.leader != m.From || c.role != Follower:
		if c.leader != 0 && c.leader != m.From && c.role == Follower {
			c.fail(fmt.Errorf("members %d and %d say that they lead term %d", c.leader, m.From, m.Term))
			return false
		}
		c.becomeFollower(m.Term, m.From)
		c.matched = max(c.matched, c.commit)
	}
	c.heardAt = c.now
	c.gone, c.wanted = false, false
	if m.Type != MsgSleep {
		c.asleep = false
	}
	c.resetElection()
	return true
}

// onAppend takes entries that follow one that both logs have.
func (c *Core) onAppend(m *Message) {
	if c.installing() {
		return // the log is being replaced; the leader sends again
	}
	prev, term, entries := c.uncovered(m)
	if !c.log.has(prev, term) {
		c.refuseAppend(m, prev, term)
		return
	}
	for i := range entries {
		if !c.takeEntry(m.From, &entries[i]) {
			return
		}
	}
	last := prev + Index(len(entries))
	c.matched = max(c.matched, last)
	c.commitTo(min(m.Commit, last))
	c.acknowledgeAll(last)
}

// uncovered is what a message has behind the snapshot.
func (c *Core) uncovered(m *Message) (prev Index, term Term, entries []Entry) {
	prev, term, entries = m.Index, m.LogTerm, m.Entries
	for len(entries) > 0 && prev < c.log.snap {
		prev, term = entries[0].Index, entries[0].Term
		entries = entries[1:]
	}
	if prev < c.log.snap { // all of it: what a snapshot has is committed, so the leader has it, too
		prev, term = c.log.snap, c.log.snapTerm
	}
	return prev, term, entries
}

// refuseAppend tells the leader where the logs may agree.
func (c *Core) refuseAppend(m *Message, prev Index, term Term) {
	if prev <= c.commit {
		c.fail(fmt.Errorf("entry %d of term %d is committed; leader %d has it with term %d", prev, c.log.term(prev), m.From, term))
		return
	}
	r := c.message(MsgAppended, m.From)
	r.Flags |= Reject
	r.Index, r.LogTerm = prev, term
	r.Hint, r.HintTerm = c.log.before(prev-1, term)
}

// takeEntry adds an entry of the leader's where it belongs.
func (c *Core) takeEntry(from MemberID, e *Entry) bool {
	if e.Index <= c.log.last {
		if c.log.term(e.Index) == e.Term {
			c.mend(e)
			return true
		}
		if e.Index <= c.commit {
			c.fail(fmt.Errorf("entry %d of term %d is committed; leader %d has it with term %d",
				e.Index, c.log.term(e.Index), from, e.Term))
			return false
		}
		c.truncate(e.Index)
	}
	if e.Kind == KindConfig {
		cfg, err := ParseConfig(e.Payload)
		if err != nil {
			c.fail(fmt.Errorf("entry %d of leader %d: %w", e.Index, from, err))
			return false
		}
		c.configs = append(c.configs, configAt{e.Index, cfg})
		c.changed = true
	}
	c.appendEntry(*e)
	return true
}

// ackable is the index up to which the log is durable, intact, and the leader's.
func (c *Core) ackable() Index {
	to := min(c.matched, c.flushed)
	if len(c.damaged) > 0 {
		to = min(to, c.damaged[0].Index-1)
	}
	if c.mendPending() {
		to = min(to, c.mendFrom-1)
	}
	return to
}

// acknowledge tells the leader of more that is durable.
func (c *Core) acknowledge() {
	if to := c.ackable(); c.leader != 0 && c.role == Follower && to > c.acked {
		c.sendAck(to)
	}
}

// acknowledgeAll answers a message at once if everything up to last is durable; else the log will
// have it answered.
func (c *Core) acknowledgeAll(last Index) {
	if to := c.ackable(); to >= last {
		c.sendAck(to)
	}
}

func (c *Core) sendAck(to Index) {
	c.acked = to
	m := c.message(MsgAppended, c.leader)
	m.Index, m.Clock = to, c.wall
}

// onHeartbeat hears that the leader lives.
func (c *Core) onHeartbeat(m *Message) {
	c.commitTo(min(m.Commit, c.matched))
	r := c.message(MsgHeartbeatReply, m.From)
	r.Seq, r.Offset, r.Index, r.Hint, r.Clock = m.Seq, m.Offset, c.matched, c.ackable(), c.wall
	if len(c.damaged) > 0 {
		c.fetchDamaged()
	}
}
