package core

import "fmt"

// TransferLeadership hands the leadership to a voter: it gets everything, and is told to campaign at once. Until
// that has happened, or ElectionMin has passed, proposals are refused.
func (c *Core) TransferLeadership(to MemberID) error {
	life, votes := c.Config().life(to)
	switch {
	case c.role != Leader:
		return ErrNotLeader
	case to == c.id:
		return nil
	case !votes:
		return fmt.Errorf("%w: member %d is no voter", ErrChange, to)
	case c.transferTo == to:
		return nil
	case c.transferTo != 0:
		return ErrTransferring
	}
	p := c.find(to)
	if p == nil || p.life != life {
		return ErrBehind
	}
	c.rouse()
	c.transferTo, c.transferSent = to, false
	c.transferAt = c.now + c.opts.ElectionMin
	return nil
}

// Transferring is to whom the leadership is being handed; 0 for nobody.
func (c *Core) Transferring() MemberID { return c.transferTo }

func (c *Core) endTransfer() { c.transferTo, c.transferAt, c.transferSent = 0, 0, false }

// pushTransfer tells the member to campaign once it has everything.
func (c *Core) pushTransfer(p *progress) {
	if !c.transferSent && p.match == c.log.last {
		c.transferSent = true
		c.message(MsgTimeoutNow, p.id)
	}
}

func (c *Core) onTimeoutNow(m *Message) {
	if c.leader == m.From && c.role == Follower && c.canCampaign() {
		c.startCampaign(Transfer)
	}
}

// best is the voter that is furthest, the leader excepted; 0 for none.
func (c *Core) best() MemberID {
	cfg := c.Config()
	id, match := MemberID(0), Index(0)
	for _, m := range cfg.Voters {
		if m.ID == c.id || c.isDown(m.ID) {
			continue
		}
		if at := c.matchOf(m); at > match {
			id, match = m.ID, at
		}
	}
	return id
}

// resign ends a leadership and lets the best follower begin the next at once.
func (c *Core) resign() {
	if id := c.best(); id != 0 {
		c.message(MsgTimeoutNow, id)
	}
	c.becomeFollower(c.hard.Term, 0)
}

// tooSlow tells whether the leader's own log stands still, a check long, while a majority has more: others can
// do better.
func (c *Core) tooSlow() bool {
	stands := c.flushed < c.commit && c.flushed == c.flushedThen
	c.flushedThen = c.flushed
	return stands && c.best() != 0
}

// Resign makes a leader step down, for example because its disk failed. It is nothing at others.
func (c *Core) Resign() {
	if c.role == Leader {
		c.resign()
	}
}

// prefer hands over to the preferred leader, when it can lead.
func (c *Core) prefer() {
	id := c.preferred
	if id == 0 || id == c.id || c.transferTo != 0 || c.now < c.preferAt {
		return
	}
	p := c.find(id)
	life, votes := c.Config().life(id)
	if p == nil || !votes || p.life != life || p.pace != replicating || c.isDown(id) || c.unheard(p) >= c.opts.ElectionMin {
		return
	}
	c.preferAt = c.now + 10*c.opts.ElectionMax
	_ = c.TransferLeadership(id) // refused: tried again later
}
