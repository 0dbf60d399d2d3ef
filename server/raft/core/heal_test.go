package core

import (
	"fmt"
	"time"
)

// sleepWithoutLeader lets the group rest and then takes its leader away.
func (c *chaos) sleepWithoutLeader() {
	l := c.leader()
	if !c.hosted || l == nil || !c.mayHarm(l) || !l.c.Sleep() {
		return
	}
	l.pump()
	c.settle()
	l.crash(0)
	c.told(l)
	c.proposed = max(c.proposed, 0)
}

// heal ends all faults: everything runs, is linked, and flushes. With a core only, a minority stays
// down for good.
func (c *chaos) heal(coreOnly bool) {
	for i := range c.cut {
		clear(c.cut[i])
	}
	c.lazy = false
	down := MemberID(0)
	if coreOnly {
		n := c.some()
		if c.mayHarm(n) {
			down = n.id
			n.crash(0)
		}
	}
	for _, n := range c.nodes {
		n.slow, n.manual = false, false
		for len(n.deferred) > 0 && n.c != nil {
			n.doLater(true)
		}
		if n.c == nil && n.id != down {
			n.start()
		}
		n.flush(1 << 30)
	}
	for _, n := range c.nodes {
		if !c.hosted || n.c == nil {
			continue
		}
		for _, o := range c.nodes {
			if o.c == nil {
				n.c.PeerDown(o.id)
			} else {
				n.c.PeerUp(o.id)
			}
			n.pump()
		}
	}
}

// convergeMax bounds what convergence may take, in election time-outs of the longest kind.
const convergeMax = 60

// converge lets time pass until everybody agrees, and tells what is missing after the bound.
func (c *chaos) converge() string {
	missing := ""
	start := c.now
	defer func() { c.slowest = max(c.slowest, c.now-start) }()
	for range convergeMax {
		c.passHosted(120 * time.Millisecond)
		l := c.leader()
		if l == nil {
			missing = "no leader"
			continue
		}
		if missing = c.differs(l); missing == "" {
			return ""
		}
		if l.c.asleep {
			l.c.Wake()
			l.pump()
		}
	}
	return missing
}

// differs tells what keeps the group from having converged behind its leader.
func (c *chaos) differs(l *node) string {
	if c.proposed >= 0 {
		if _, err := l.c.Propose(0, []byte("last")); err != nil {
			return fmt.Sprint("leader refuses: ", err)
		}
		c.proposed = -1
		l.pump()
		return "last proposal not committed"
	}
	cfg := l.c.Config()
	if l.c.ChangePending() {
		return "a change is pending"
	}
	for _, id := range cfg.ids(nil) {
		n := c.node(id)
		life, votes := cfg.life(id)
		switch {
		case n.c == nil:
			continue
		case n.c.Commit() != l.c.Last() || n.machine.applied != l.c.Last():
			return fmt.Sprintf("member %d has committed %d and applied %d of %d", id, n.c.Commit(), n.machine.applied, l.c.Last())
		case votes && n.c.Hard().Life != life:
			return fmt.Sprintf("member %d is not admitted again", id)
		case len(n.c.Damaged()) > 0:
			return fmt.Sprintf("member %d is damaged", id)
		case n.machine.hash != l.machine.hash:
			return fmt.Sprintf("member %d has another state", id)
		}
	}
	return ""
}
