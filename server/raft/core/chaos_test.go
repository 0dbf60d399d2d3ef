package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// chaos does to a world what may be done to it, by the rates of its seed: each family of faults is off in half
// of the seeds.
type chaos struct {
	*world
	r                                           *rand.Rand
	loss, again, reorder                        float64
	crashes, cuts, forgets, damages, membership float64
	compacts, transfers, sleeps, pauses, churns float64
	proposed                                    int
	slowest                                     time.Duration // convergence after healing
	backups                                     []disk        // by id-1, of some time
	faults                                      map[string]int
}

func newChaos(seed uint64) *chaos {
	c := &chaos{world: newWorld(seed), r: rand.New(rand.NewPCG(seed, 2)), faults: map[string]int{}}
	family := func(most float64) float64 {
		if c.r.IntN(2) == 0 {
			return 0
		}
		return most * c.r.Float64()
	}
	c.loss, c.again, c.reorder = family(0.3), family(0.2), family(0.3)
	c.crashes, c.cuts, c.forgets, c.damages = family(0.01), family(0.01), family(0.006), family(0.006)
	c.membership, c.compacts, c.transfers = family(0.01), family(0.02), family(0.004)
	c.hosted = c.r.IntN(2) == 0
	if c.hosted {
		c.sleeps = family(0.02)
	}
	c.pauses, c.churns = family(0.01), family(0.01)
	c.slow = c.r.IntN(3) > 0
	c.readers, c.lazy, c.coded = c.r.IntN(2) == 0, c.r.IntN(2) == 0, c.r.IntN(4) == 0
	window, bytes := 1+c.r.IntN(8), 1+c.r.IntN(64)
	c.tune = func(o *Options) {
		o.InflightMessagesMax, o.AppendBytesMax = window, bytes
		o.HostHeartbeats = c.hosted
		o.ChunksMax = 1 + window%3
	}
	c.bootstrap([...]int{1, 2, 3, 3, 3, 4, 5, 5, 7}[c.r.IntN(9)], 1)
	c.backups = make([]disk, len(c.nodes))
	return c
}

func (c *chaos) chance(p float64) bool { return p > 0 && c.r.Float64() < p }

func (c *chaos) some() *node { return c.nodes[c.r.IntN(len(c.nodes))] }

// step does one thing.
func (c *chaos) step() {
	switch roll := c.r.Float64(); {
	case roll < 0.62 && len(c.net) > 0:
		c.passMessage()
	case roll < 0.80:
		c.passTime()
	case roll < 0.90:
		n := c.some()
		n.flush(1 + c.r.IntN(3))
		n.doLater(c.r.IntN(10) > 0)
	case roll < 0.96:
		c.work()
	default:
		c.mishap()
	}
}

func (c *chaos) passMessage() {
	i := 0
	if c.chance(c.reorder) {
		i = c.r.IntN(len(c.net))
	}
	if c.chance(c.again) {
		p := c.packet()
		entries := append(p.entries[:0], c.net[i].Entries...)
		p.Message, p.entries = c.net[i].Message, entries
		p.Entries = entries
		c.net = append(c.net, p)
	}
	p := c.take(i)
	if c.chance(c.loss) {
		c.free = append(c.free, p)
		return
	}
	c.world.deliver(p)
}

// passTime lets some members see a later time: not all see the same.
func (c *chaos) passTime() {
	c.now += time.Duration(c.r.IntN(4000)) * time.Microsecond
	for _, n := range c.nodes {
		if !c.chance(c.pauses * 10) {
			n.advance()
		}
	}
	if c.hosted {
		c.vouch()
	}
}

// vouch is what hosts do: they tell who leads, who follows, who is missed and who is back.
func (c *chaos) vouch() {
	a, b := c.some(), c.some()
	if a == b || a.c == nil {
		return
	}
	up := b.c != nil && !c.cut[b.id-1][a.id-1]
	if c.chance(0.02) {
		up = !up
	}
	switch {
	case !up:
		a.c.PeerDown(b.id)
	case a.c.isDown(b.id):
		a.c.PeerUp(b.id)
	case b.c != nil && b.c.Role() == Leader && !b.c.asleep && b.c.hardMark <= b.c.persisted:
		a.c.LeaderAlive(b.id, b.c.Hard().Term)
		b.c.PeerAlive(a.id, a.c.Hard().Term)
		b.pump()
	}
	a.pump()
}

// work is what users do.
func (c *chaos) work() {
	n := c.some()
	if l := c.leader(); l != nil && c.r.IntN(4) > 0 {
		n = l
	}
	if n.c == nil {
		return
	}
	switch c.r.IntN(4) {
	case 0:
		ctx := c.r.Uint64()
		c.judge.ask(n, ctx)
		if n.c.ReadIndex(ctx) != nil {
			delete(c.judge.asked, question{n.id, n.restarts, ctx})
		}
	default:
		for range 1 + c.r.IntN(4) {
			c.proposed++
			if _, err := n.c.Propose(Kind(c.r.IntN(3)), fmt.Appendf(nil, "%d", c.proposed)); err != nil {
				break
			}
		}
	}
	n.pump()
}

// mishap is a fault, or an operator.
func (c *chaos) mishap() {
	scale := 25.0 // it is asked for in one step of 25
	n := c.some()
	switch {
	case c.chance(c.crashes * scale):
		c.count("crash")
		if n.c != nil {
			n.crash(c.r.IntN(len(n.pending) + 1))
		} else {
			n.start()
		}
		c.told(n)
	case c.chance(c.cuts * scale):
		c.partition()
	case c.chance(c.churns * scale):
		c.churn()
	case c.chance(c.churns * scale / 2):
		c.chairs()
	case c.chance(c.forgets * scale):
		c.oblivion(n)
	case c.chance(c.damages * scale):
		if c.mayHarm(n) && len(n.disk.entries) > 0 {
			c.count("damage")
			c.judge.tainted = true
			for range 1 + c.r.IntN(3) {
				n.damage(n.disk.snap.Index + 1 + Index(c.r.IntN(len(n.disk.entries))))
			}
			if n.c != nil {
				n.pump()
			}
		}
	case c.chance(c.membership * scale):
		c.operate()
	case c.chance(c.compacts * scale):
		if n.c != nil {
			c.count("compact")
			n.compact()
		}
	case c.chance(c.transfers * scale):
		if l := c.leader(); l != nil {
			c.count("transfer")
			if c.r.IntN(4) == 0 {
				l.c.Resign()
			} else {
				_ = l.c.TransferLeadership(n.id)
			}
			l.pump()
		}
	case c.chance(c.sleeps * scale):
		if l := c.leader(); l != nil && l.c.Sleep() {
			c.count("sleep")
			l.pump()
		} else if n.c != nil {
			n.c.Wake()
			n.pump()
		}
	case n.c != nil && c.r.IntN(4) == 0:
		c.backups[n.id-1] = n.disk.clone()
	}
}

func (c *chaos) count(fault string) { c.faults[fault]++ }

// told lets hosts know that a process is another one.
func (c *chaos) told(n *node) {
	for _, o := range c.nodes {
		if c.hosted && o != n && o.c != nil {
			o.c.PeerDown(n.id)
			o.pump()
		}
	}
}

func (c *chaos) partition() {
	c.count("cut")
	kind := c.r.IntN(4)
	side := make([]bool, len(c.nodes))
	for i := range side {
		side[i] = c.r.IntN(2) == 0
	}
	for i := range c.cut {
		for k := range c.cut[i] {
			switch kind {
			case 0: // heal
				c.cut[i][k] = false
			case 1:
				c.cut[i][k] = side[i] != side[k]
			case 2: // one way
				c.cut[i][k] = side[i] && !side[k]
			case 3: // one link
				c.cut[i][k] = c.cut[i][k] || c.r.IntN(len(c.nodes)*len(c.nodes)) == 0
			}
		}
	}
}

func (d *disk) clone() disk {
	o := *d
	o.entries, o.damaged = slices.Clone(d.entries), slices.Clone(d.damaged)
	return o
}

// oblivion takes a member's memory: all of it, a suffix, or everything since a backup.
func (c *chaos) oblivion(n *node) {
	if !c.mayHarm(n) {
		return
	}
	n.crash(c.r.IntN(len(n.pending) + 1))
	switch c.r.IntN(3) {
	case 0:
		c.count("wipe")
		n.disk = disk{}
	case 1:
		c.count("lose")
		n.disk.entries = n.disk.entries[:len(n.disk.entries)-c.r.IntN(len(n.disk.entries)+1)]
	case 2:
		c.count("roll-back")
		if b := &c.backups[n.id-1]; b.snap.Index <= n.disk.snap.Index {
			n.disk = b.clone()
		}
	}
	n.disk.damaged = slices.DeleteFunc(n.disk.damaged, func(i Index) bool { return i > n.disk.last() })
	c.forget(n)
	c.told(n)
	if c.r.IntN(2) == 0 {
		n.start()
	}
}

// sound tells whether a voter remembers all that it promised.
func (c *chaos) sound(m Member) bool {
	if int(m.ID) > len(c.nodes) {
		return false
	}
	d := &c.node(m.ID).disk
	return !d.forgot && d.hard.Life == m.Life && len(d.damaged) == 0
}

// heard is the life of a member as a leader knows it; 0 when leaders differ or are out of date.
func (c *chaos) heard(id MemberID) Life {
	life := c.node(id).disk.hard.Life
	for _, n := range c.nodes {
		if n.c == nil {
			continue
		}
		if p := n.c.find(id); p != nil && p.life != 0 && p.life != life {
			return 0
		}
	}
	return life
}

// mayHarm tells whether the group remains repairable without n: of each configuration that may be in
// force, majorities remain that remember.
func (c *chaos) mayHarm(n *node) bool {
	all := c.configs()
	for _, cfg := range all {
		if !cfg.each(func(m Member) bool { return m.ID != n.id && c.sound(m) }) {
			return false
		}
		grown := cfg.clone() // learners may be promoted by a leader that has not heard yet what befell them
		for _, l := range cfg.Learners {
			m := Member{l.ID, c.heard(l.ID)}
			grown.Voters = append(grown.Voters, m)
			alone := cfg.clone()
			if alone.Voters = append(alone.Voters, m); !alone.each(func(m Member) bool { return m.ID != n.id && c.sound(m) }) {
				return false
			}
		}
		if !grown.each(func(m Member) bool { return m.ID != n.id && c.sound(m) }) {
			return false
		}
	}
	return len(all) > 0
}

// configs are the last that is known to be committed, and all later ones in any log.
func (c *chaos) configs() (list []Config) {
	last := Index(0)
	seen := func(f func(Index, *Config)) {
		for _, n := range c.nodes {
			if n.c != nil {
				for i := range n.c.configs {
					f(n.c.configs[i].index, &n.c.configs[i].Config)
				}
			}
			if len(n.disk.snap.Config.Voters) > 0 {
				f(n.disk.snap.Index, &n.disk.snap.Config)
			}
			for i := range n.disk.entries {
				e := &n.disk.entries[i]
				if cfg, err := ParseConfig(e.Payload); e.Kind == KindConfig && err == nil {
					f(e.Index, &cfg)
				}
			}
		}
	}
	seen(func(i Index, _ *Config) {
		if int(i) <= len(c.judge.committed) && i > 0 && c.judge.committed[i-1].set {
			last = max(last, i)
		}
	})
	seen(func(i Index, cfg *Config) {
		if i >= last {
			list = append(list, cfg.clone())
		}
	})
	return list
}

// leavesSound tells whether a majority remembers after the change, without which nobody could go on.
func (c *chaos) leavesSound(cfg *Config, ch Change) bool {
	rest := Config{}
	for _, m := range cfg.Voters {
		if !slices.Contains(ch.Remove, m.ID) {
			rest.Voters = append(rest.Voters, m)
		}
	}
	for _, id := range ch.Promote {
		rest.Voters = append(rest.Voters, Member{id, c.heard(id)})
	}
	return rest.each(c.sound)
}

// operate changes members.
func (c *chaos) operate() {
	l := c.leader()
	if l == nil {
		return
	}
	cfg := l.c.Config()
	ch := Change{}
	switch c.r.IntN(5) {
	case 0:
		if len(c.nodes) >= 9 {
			return
		}
		n := c.add()
		c.backups = append(c.backups, disk{})
		n.disk.forgot = true
		n.start()
		ch.Join = []MemberID{n.id}
		if c.r.IntN(2) == 0 {
			ch.Learn, ch.Join = ch.Join, nil
		}
	case 1:
		for _, learner := range cfg.Learners {
			ch.Promote = append(ch.Promote, learner.ID)
		}
	case 2, 3: // many at once, of both kinds
		for _, learner := range cfg.Learners {
			if c.r.IntN(2) == 0 && l.c.caughtUp(l.c.find(learner.ID)) {
				ch.Promote = append(ch.Promote, learner.ID)
			}
		}
		left := len(cfg.Voters) + len(ch.Promote)
		for _, m := range cfg.Voters {
			if left > 1 && c.r.IntN(2) == 0 {
				ch.Remove = append(ch.Remove, m.ID)
				left--
			}
		}
	case 4:
		if len(cfg.Learners) > 0 {
			ch.Remove = []MemberID{cfg.Learners[0].ID}
		}
	}
	if !c.leavesSound(cfg, ch) {
		return
	}
	if _, err := l.c.ProposeConfig(ch); err == nil {
		c.count("change")
	}
	l.pump()
}
