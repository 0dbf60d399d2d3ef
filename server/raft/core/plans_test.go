package core

import (
	"fmt"
	"slices"
)

// churn is a plan: something begins, gets a little way, the leader is lost in the middle of it, and others
// try to lead on this side and on that.
func (c *chaos) churn() {
	c.count("churn")
	for range 1 + c.r.IntN(4) {
		switch c.r.IntN(4) {
		case 0:
			c.operate()
		case 1:
			l := c.leader()
			if l == nil {
				break
			}
			if ch := (Change{Remove: []MemberID{l.id}}); c.leavesSound(l.c.Config(), ch) {
				_, _ = l.c.ProposeConfig(ch)
				l.pump()
			}
		default:
			c.work()
		}
		c.someMessages()
		c.partition()
		if l := c.leader(); l != nil && c.r.IntN(3) == 0 {
			l.crash(c.r.IntN(len(l.pending) + 1))
			c.told(l)
		}
		for range 1 + c.r.IntN(2) {
			c.campaign(c.some())
			c.someMessages()
		}
	}
}

// chairs is a plan: members lead one after another, each with a majority of its own choice, and each is
// lost when what it began is on a few members only. Servers may have joined before, so that majorities of
// different configurations meet.
func (c *chaos) chairs() {
	c.count("chairs")
	if l := c.leader(); l != nil && c.r.IntN(2) == 0 && len(c.nodes) < 8 {
		c.grow(l)
	}
	if c.r.IntN(2) == 0 && c.figure8() || c.split() {
		return
	}
	for range 3 + c.r.IntN(5) {
		x := c.some()
		c.majorityOf(x)
		if c.r.IntN(2) == 0 {
			c.net = c.net[:0]
		}
		c.campaign(x)
		for range 12 {
			c.votesOnly()
		}
		if x.c == nil || x.c.Role() != Leader {
			continue
		}
		if c.r.IntN(2) == 0 {
			c.replace(x)
		}
		for range c.r.IntN(4) {
			c.proposed++
			if _, err := x.c.Propose(0, fmt.Appendf(nil, "%d", c.proposed)); err == nil {
				x.pump()
			}
		}
		c.someMessages()
		if c.r.IntN(2) == 0 {
			x.crash(len(x.pending))
			c.told(x)
		}
	}
}

// figure8 is the plan that the figure of that number in the paper draws: entries that one leader left with few are
// given to many by the same one in a later term, while another has written in between; then that one
// leads again.
func (c *chaos) figure8() bool {
	c.link(func(*node) bool { return true })
	a := c.leader()
	if a == nil {
		a = c.some()
		c.campaign(a)
		c.exchange(a, func() {})
	}
	if a.c.Role() != Leader || len(a.c.Config().Voters) < 3 {
		return false
	}
	b := c.some()
	if _, votes := a.c.Config().life(b.id); b == a || !votes {
		return false
	}
	c.count("figure 8")
	c.link(func(*node) bool { return false })
	for range 3 { // one message each
		if _, err := a.c.Propose(0, make([]byte, 100)); err != nil {
			break
		}
	}
	a.pump()
	a.crash(len(a.pending))
	c.told(a)
	lead := func(n, without *node) {
		if without != nil {
			without.crash(len(without.pending))
			c.told(without)
		}
		c.link(func(o *node) bool { return o != without })
		c.net = c.net[:0]
		for k := 0; k < 3 && (n.c == nil || n.c.Role() != Leader); k++ { // the first try may only tell it the term
			c.campaign(n)
			for range 6 {
				c.votesOnly()
			}
		}
	}
	lead(b, a)
	c.net = c.net[:0]
	b.flush(1 << 30)
	lead(a, b)
	c.someMessages()
	c.someMessages()
	lead(b, a)
	c.exchange(b, func() { c.work() })
	return true
}

// split is a plan: a change from some voters to others is lost with its leader when only the new ones have
// it; then the old ones go on by themselves, and then the new ones.
func (c *chaos) split() bool {
	l := c.leader()
	if l == nil || len(l.c.Config().Learners) < 2 {
		return false
	}
	c.link(func(*node) bool { return true })
	c.exchange(l, func() {})
	fresh := func(n *node) bool {
		return slices.ContainsFunc(l.c.Config().Learners, func(m Learner) bool { return m.ID == n.id })
	}
	var isNew []bool
	for _, n := range c.nodes {
		isNew = append(isNew, fresh(n))
	}
	ch := Change{}
	for _, m := range l.c.Config().Learners {
		ch.Promote = append(ch.Promote, m.ID)
	}
	for _, m := range l.c.Config().Voters {
		if m.ID != l.id {
			ch.Remove = append(ch.Remove, m.ID)
		}
	}
	if !c.leavesSound(l.c.Config(), ch) {
		return false
	}
	c.link(func(n *node) bool { return n == l || isNew[n.id-1] })
	if _, err := l.c.ProposeConfig(ch); err != nil {
		return false
	}
	c.count("split")
	c.exchange(l, func() { c.work() })
	l.crash(len(l.pending))
	c.told(l)
	for _, side := range []bool{false, true} {
		c.link(func(n *node) bool { return n != l && isNew[n.id-1] == side })
		for range 2 {
			if x := c.some(); x != l && isNew[x.id-1] == side {
				c.campaign(x)
				c.exchange(x, func() { c.work() })
			}
		}
	}
	return true
}

// link lets those of whom it is true, and nobody else, reach each other.
func (c *chaos) link(in func(*node) bool) {
	for a := range c.cut {
		for b := range c.cut[a] {
			c.cut[a][b] = !in(c.nodes[a]) || !in(c.nodes[b])
		}
	}
}

// exchange exchanges what is to be said for a while, with what do does in between.
func (c *chaos) exchange(l *node, do func()) {
	for range 6 {
		if l.c != nil && l.c.Role() == Leader {
			l.c.heartbeats()
			l.pump()
		}
		for range len(c.net) {
			c.world.deliver(c.take(0))
		}
		for _, n := range c.nodes {
			n.flush(1 << 30)
		}
		do()
	}
}

// replace puts learners in the place of voters, all at once, as soon as they are known well enough.
func (c *chaos) replace(l *node) {
	c.exchange(l, func() {})
	for range 4 {
		c.operate()
	}
}

// grow lets servers join and catch up.
func (c *chaos) grow(l *node) {
	for i := range c.cut {
		clear(c.cut[i])
	}
	for range 1 + c.r.IntN(3) {
		n := c.add()
		c.backups = append(c.backups, disk{})
		n.disk.forgot = true
		n.start()
		if _, err := l.c.ProposeConfig(Change{Learn: []MemberID{n.id}}); err != nil {
			return
		}
		for range 8 {
			l.pump()
			for _, n := range c.nodes {
				n.flush(1 << 30)
			}
			c.settle()
		}
	}
}

// majorityOf links a member with a random majority of all servers, and nobody else with anybody.
func (c *chaos) majorityOf(x *node) {
	in := make([]bool, len(c.nodes))
	in[x.id-1] = true
	for k := 0; k < len(in)/2; {
		if i := c.r.IntN(len(in)); !in[i] {
			in[i] = true
			k++
		}
	}
	for a := range c.cut {
		for b := range c.cut[a] {
			c.cut[a][b] = !in[a] || !in[b]
		}
		if n := c.nodes[a]; in[a] && n.c == nil {
			n.start()
		}
	}
}

// votesOnly flushes everything, and delivers all that is said about elections.
func (c *chaos) votesOnly() {
	for _, n := range c.nodes {
		n.flush(1 << 30)
	}
	for i := 0; i < len(c.net); {
		switch c.net[i].Type {
		case MsgPreVote, MsgPreVoteReply, MsgVote, MsgVoteReply:
			c.world.deliver(c.take(i))
		default:
			i++
		}
	}
}

// someMessages delivers a few of the messages under way, and flushes a few writes.
func (c *chaos) someMessages() {
	for k := c.r.IntN(12); k > 0; k-- {
		if len(c.net) > 0 && c.r.IntN(3) > 0 {
			c.world.deliver(c.take(c.r.IntN(min(len(c.net), 4))))
		} else {
			c.some().flush(1 + c.r.IntN(2))
		}
	}
}

// campaign makes a member lose patience, and all others doubt their leader.
func (c *chaos) campaign(n *node) {
	for _, o := range c.nodes {
		if o.c != nil {
			o.c.heardAt -= o.c.opts.ElectionMax
		}
	}
	if n.c == nil {
		n.start()
	}
	if n.c != nil && n.c.Role() != Leader {
		n.c.electionDue()
		n.pump()
	}
}
