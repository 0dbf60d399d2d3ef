package core

import (
	"slices"
	"time"
)

// Advance tells the time, which never goes back, and does what is due.
func (c *Core) Advance(now time.Duration) {
	c.now = max(c.now, now)
	if c.failed != nil {
		return
	}
	switch {
	case c.role == Leader:
		c.leaderDue()
	case c.electionAt > 0 && c.now >= c.electionAt:
		c.electionDue()
	}
	if c.readAt > 0 && c.now >= c.readAt {
		c.failReads()
	}
}

// Deadline is when Advance has something to do; false when nothing is due by itself.
func (c *Core) Deadline() (time.Duration, bool) {
	if c.failed != nil {
		return 0, false
	}
	var d earliest
	if c.role != Leader {
		d.add(c.electionAt)
		d.add(c.readAt)
		return d.at, d.at > 0
	}
	if c.asleep {
		return 0, false
	}
	d.add(c.quorumAt)
	if !c.opts.HostHeartbeats || c.outstanding() {
		d.add(c.heartbeatAt)
	}
	d.add(c.transferAt)
	d.add(c.noticeAt)
	return d.at, d.at > 0
}

// earliest finds the first of several times, of which 0 is never.
type earliest struct{ at time.Duration }

func (e *earliest) add(at time.Duration) {
	if at > 0 && (e.at == 0 || at < e.at) {
		e.at = at
	}
}

// leaderDue does what a leader's time has come for.
func (c *Core) leaderDue() {
	if c.asleep {
		return
	}
	if c.now >= c.quorumAt {
		c.quorumAt = c.now + c.opts.ElectionMin
		if !c.hasQuorum() {
			c.becomeFollower(c.hard.Term, 0)
			return
		}
		if c.tooSlow() {
			c.resign()
			return
		}
		c.prefer()
		if c.admits() { // who could not be admitted when it spoke last
			c.considerAll()
		}
	}
	if c.transferAt > 0 && c.now >= c.transferAt {
		c.endTransfer()
	}
	if c.now >= c.heartbeatAt {
		c.heartbeats()
	}
}

// MedianOffset is the clock of the middle: of the differences between each member's wall clock
// and the own one, itself included as 0, the one that a majority is not below. With an even
// number it is the lower of the two in the middle. It sorts offsets in place; none gives 0.
func MedianOffset(offsets []time.Duration) time.Duration {
	if len(offsets) == 0 {
		return 0
	}
	slices.Sort(offsets)
	return offsets[(len(offsets)-1)/2]
}

// ClockOffset is how far the median of the voters' wall clocks is ahead of the own one, as
// the followers of this leadership told. It is 0 unless a majority of the voters told.
func (c *Core) ClockOffset() time.Duration {
	var offsets [MembersMax]time.Duration
	list := offsets[:0]
	if c.role != Leader {
		return 0
	}
	cfg := c.Config()
	for _, m := range cfg.Voters {
		if m.ID == c.id {
			list = append(list, 0)
		} else if p := c.find(m.ID); p != nil && p.clockKnown {
			list = append(list, p.clockOffset)
		}
	}
	if len(list) <= len(cfg.Voters)/2 {
		return 0
	}
	return MedianOffset(list)
}
