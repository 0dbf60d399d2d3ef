package raft_test

import (
	"errors"
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage"
)

var (
	seeds = flag.Int("seeds", 50, "how many seeds the simulation runs")
	seed1 = flag.Uint64("seed", 1, "the first seed")
)

// chaos is a cluster under faults.
type chaos struct {
	*cluster
	names   int
	faults  map[string]int
	forgets bool // members may forget; membership does not change then, since that may leave too few
}

// newChaos draws a cluster: what it keeps, how large, how bad its network and disks are.
func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{faults: map[string]int{}}
	c.cluster = newCluster(t, seed, 3+2*int(seed%2), seed%4 == 3, func(c *cluster) {
		c.loss = []float64{0, 0, 0.02, 0.1}[c.rand.IntN(4)]
		c.delay = []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond}[c.rand.IntN(3)]
		c.files = c.rand.IntN(2) == 0
		c.cfg.CheckpointBytes = []int64{50, 300, 3000}[c.rand.IntN(3)]
		c.cfg.CacheBytes = []int64{0, 1, 200}[c.rand.IntN(3)]
		c.cfg.IdleAfter = []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond}[c.rand.IntN(2)]
	})
	c.forgets = c.memory || seed%4 == 1
	for _, s := range c.servers {
		s.disk.SetFaults(c.diskFaults())
	}
	c.create()
	return c
}

func (c *chaos) diskFaults() storage.DiskFaults {
	f := storage.DiskFaults{SyncTime: []time.Duration{0, time.Millisecond, 20 * time.Millisecond}[c.rand.IntN(3)]}
	switch c.rand.IntN(8) {
	case 0:
		f.SyncError = 0.01
	case 1:
		f.WriteFull = 0.1
	case 2:
		f.Hang, f.HangMin, f.HangMax = 0.01, time.Second, 3*time.Second
	}
	return f
}

// running lists the servers whose process runs.
func (c *cluster) running() []*server {
	return slices.DeleteFunc(slices.Clone(c.servers), func(s *server) bool { return !s.up })
}

// sound tells whether a server counts in the group by its own knowledge.
func (s *server) sound() bool {
	return s.up && s.book != nil && !s.book.ended && s.book.group != nil && s.book.group.State().Standing == core.Voter
}

// spare tells how many servers can fail so that a majority of voters remains that remembers everything, whichever
// configuration counts.
func (c *chaos) spare() int {
	least := len(c.servers)
	for _, s := range c.servers {
		if !s.up || s.book == nil || s.book.group == nil {
			continue
		}
		cfg := s.book.group.Members()
		for _, half := range [...][]core.Member{cfg.Voters, cfg.Outgoing} {
			sound := 0
			for _, v := range half {
				if o := c.server(v.ID); o.sound() && o.book.group.Life() == v.Life {
					sound++
				}
			}
			if len(half) > 0 {
				least = min(least, sound-(len(half)/2+1))
			}
		}
	}
	return least
}

// step lets something happen.
func (c *chaos) step() {
	r := c.rand
	all := c.running()
	var s *server
	if len(all) > 0 {
		s = all[r.IntN(len(all))]
	}
	switch k := r.IntN(100); {
	case k < 50:
		if l := c.leader(); l != nil && r.IntN(4) > 0 {
			s = l
		}
		if s != nil {
			var names []string
			for range 1 + r.IntN(4) {
				c.names++
				names = append(names, fmt.Sprintf("%d%s", c.names, strings.Repeat("x", r.IntN(40))))
			}
			s.propose(names...)
		}
	case k < 56:
		c.crash(s)
	case k < 66:
		if down := slices.DeleteFunc(slices.Clone(c.servers), func(s *server) bool { return s.up }); len(down) > 0 {
			down[r.IntN(len(down))].restart()
		}
	case k < 72:
		a, b := core.MemberID(1+r.IntN(len(c.servers))), core.MemberID(1+r.IntN(len(c.servers)))
		if a != b {
			c.faults["cut"]++
			c.sever(a, b, true)
		}
	case k < 74 && s != nil: // nobody is told
		for _, o := range c.servers {
			if o != s {
				c.cut[[2]core.MemberID{s.id, o.id}] = true
				c.cut[[2]core.MemberID{o.id, s.id}] = r.IntN(2) == 0
			}
		}
		c.faults["silence"]++
	case k < 82:
		c.mend()
	case k < 84 && s != nil && !c.memory:
		s.do(func(g *raft.Group) { g.CheckpointNow(nil) })
	case k < 86 && s != nil && s.book != nil:
		s.book.refuse = 1 + r.IntN(5)
	case k < 88 && s != nil:
		to := c.servers[r.IntN(len(c.servers))].id
		s.do(func(g *raft.Group) { _ = g.TransferLeadership(to) })
	case k < 89 && s != nil:
		s.do(func(g *raft.Group) { _ = g.StepDown() })
	case k < 91 && s != nil:
		if s.machine.Paused() {
			s.machine.Resume()
		} else {
			c.faults["pause"]++
			s.machine.Pause()
		}
	case k < 93:
		c.change()
	case k < 95 && s != nil:
		c.read(s)
	case k < 96 && s != nil:
		s.disk.SetFaults(c.diskFaults())
	case k < 97 && s != nil:
		c.reopen(s)
	case k < 98 && s != nil && c.forgets && !c.memory && c.spare() > 0:
		c.spoil(s)
	case k < 99:
		c.run(time.Duration(r.Int64N(int64(5 * time.Second))))
	}
	c.run(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
}

// crash ends a process, if enough are left that remember.
func (c *chaos) crash(s *server) {
	if s == nil {
		return
	}
	if c.memory && c.spare() <= 0 {
		return
	}
	c.faults["crash"]++
	s.stop(c.rand.IntN(2) == 0)
}

// reopen stops the group on a server, and opens it again; what it may have in memory only is gone.
func (c *chaos) reopen(s *server) {
	b := s.book
	if b == nil || b.group == nil || b.ended || c.memory && c.spare() <= 0 {
		return
	}
	c.faults["reopen"]++
	b.ended = true
	b.strand.Post(func() {
		b.group.Stop(func() {
			if s.book == b {
				s.open(raft.Members{}, false)
			}
		})
	})
	c.run(time.Duration(c.rand.Int64N(int64(time.Second))))
}

// spoil damages, empties or sets back the disk of a server.
func (c *chaos) spoil(s *server) {
	s.lost, s.spoiled = true, true
	switch c.rand.IntN(3) {
	case 0:
		c.faults["wipe"]++
		s.stop(true)
		s.disk.Wipe()
		s.states = nil
	default:
		c.faults["damage"]++
		s.stop(true)
		var logs []string
		for _, name := range s.disk.Files() {
			if strings.HasSuffix(name, ".wal") || strings.HasSuffix(name, ".seg") || strings.Contains(name, "log/") {
				logs = append(logs, name)
			}
		}
		if len(logs) > 0 {
			name := logs[c.rand.IntN(len(logs))]
			if size, _ := s.disk.FileSize(name); size > 0 {
				s.disk.FlipBit(name, c.rand.Int64N(8*size))
			}
		}
	}
	s.restart()
}

// mend mends all ways.
func (c *chaos) mend() {
	for a := range c.servers {
		for b := range a {
			x, y := core.MemberID(a+1), core.MemberID(b+1)
			if c.cut[[2]core.MemberID{x, y}] || c.cut[[2]core.MemberID{y, x}] {
				c.sever(x, y, true) // who was silent is missed now
				c.sever(x, y, false)
			}
		}
	}
}

// change adds or removes a member.
func (c *chaos) change() {
	l := c.leader()
	if l == nil || l.book.group == nil || c.forgets {
		return
	}
	cfg := l.book.group.Members()
	voters := len(cfg.Voters)
	id := core.MemberID(1 + c.rand.IntN(len(c.servers)))
	var ch core.Change
	switch {
	case cfg.Has(id) && voters > 3:
		ch.Remove = []core.MemberID{id}
	case !cfg.Has(id):
		ch.Join = []core.MemberID{id}
	case len(c.servers) < 6:
		s := c.add()
		s.start()
		s.open(raft.Members{}, true)
		ch.Join = []core.MemberID{s.id}
	default:
		return
	}
	l.do(func(g *raft.Group) {
		g.ProposeConfig(ch, func(err error) {
			if err == nil {
				c.faults["change"]++
			}
		})
	})
}

// read asks for everything that was acknowledged by now.
func (c *chaos) read(s *server) {
	b := s.book
	want := uint64(0)
	for _, index := range c.judge.acked { //lockstep:ordered a maximum
		want = max(want, index)
	}
	s.do(func(g *raft.Group) {
		g.ReadIndex(func(err error) {
			if err == nil {
				c.faults["read"]++
				b.check(b.index >= want, fmt.Sprintf("reads at %d, acknowledged was %d", b.index, want))
			}
		})
	})
}

// heal ends all faults.
func (c *chaos) heal() {
	c.loss, c.delay = 0, time.Millisecond
	for _, s := range c.servers {
		s.disk.SetFaults(storage.DiskFaults{})
		if s.up && s.machine.Paused() {
			s.machine.Resume()
		}
	}
	for _, s := range c.servers {
		if s.up && s.book != nil && s.book.failed != nil && c.failure(s.book.failed) {
			s.stop(false)
		}
		if !s.up {
			s.restart()
		}
	}
	for a := range c.servers {
		for b := range a {
			c.sever(core.MemberID(a+1), core.MemberID(b+1), true)
			c.sever(core.MemberID(a+1), core.MemberID(b+1), false)
		}
	}
}

// failure tells whether a group may fail by this.
func (c *chaos) failure(err error) bool { return errors.Is(err, raft.ErrFenced) }

// converge demands that everything goes on.
func (c *chaos) converge() string {
	if !c.until(60*time.Second, func() bool { return c.leader() != nil }) {
		return "nobody leads"
	}
	last := ""
	ok := c.until(60*time.Second, func() bool {
		if l := c.leader(); l != nil && len(l.book.flying) == 0 {
			last = fmt.Sprint("last", c.names)
			c.names++
			l.propose(last)
			c.run(time.Millisecond)
		}
		return c.judge.acked[last] > 0
	})
	if !ok {
		return "nothing is committed"
	}
	if !c.until(60*time.Second, c.agree) {
		return "members differ"
	}
	if !c.until(60*time.Second, func() bool { return c.asleep() }) {
		return "the group does not fall asleep"
	}
	l := c.leader()
	if l == nil {
		return "nobody leads asleep"
	}
	for name := range c.judge.acked { //lockstep:ordered any is an error
		if !slices.Contains(l.book.lines, name) {
			c.judge.violation("acknowledged %q is lost", name)
		}
	}
	for _, s := range c.servers {
		if s.book == nil {
			continue
		}
		if len(s.book.flying) > 0 {
			c.judge.violation("server %d is told nothing of %q", s.id, s.book.flying)
		}
		if s.book.failed != nil {
			c.judge.violation("server %d failed: %v", s.id, s.book.failed)
		}
	}
	return ""
}

// agree tells whether all members have what the leader has.
func (c *chaos) agree() bool {
	l := c.leader()
	if l == nil {
		return false
	}
	cfg := l.book.group.Members()
	if cfg.Joint() || len(cfg.Learners) > 0 {
		return false
	}
	for _, v := range cfg.Voters {
		s := c.server(v.ID)
		if !s.sound() || s.book.hash != l.book.hash || s.book.group.Life() != v.Life {
			return false
		}
	}
	return true
}

// asleep tells whether all members sleep.
func (c *chaos) asleep() bool {
	l := c.leader()
	if l == nil {
		return false
	}
	cfg := l.book.group.Members()
	for _, v := range cfg.Voters {
		if !c.server(v.ID).book.group.State().Asleep {
			return false
		}
	}
	return true
}

// status tells what the servers are at.
func (c *chaos) status() string {
	var b strings.Builder
	for _, s := range c.servers {
		fmt.Fprintf(&b, "%d: up=%v", s.id, s.up)
		if s.book != nil && s.book.group != nil {
			g := s.book.group
			cfg := g.Members()
			fmt.Fprintf(&b, " applied=%d last=%d led=%d failed=%v %+v life=%d %+v peers=%+v", g.Applied(), g.Last(), s.book.leads, s.book.failed, g.State(), g.Life(), cfg, g.Peers(nil))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func runChaos(t *testing.T, seed uint64, steps int) (c *chaos, broken string) {
	defer func() {
		if p := recover(); p != nil {
			broken = fmt.Sprintf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	c = newChaos(t, seed)
	for i := 0; i < steps && len(c.judge.broken) == 0; i++ {
		c.step()
	}
	if c.judge.wiped > 0 && !c.forgets {
		c.judge.violation("a log was lost to crashes")
	}
	if len(c.judge.broken) == 0 {
		c.heal()
		if missing := c.converge(); missing != "" {
			c.judge.violation("%s\n%s", missing, c.status())
		}
	}
	return c, strings.Join(c.judge.broken, "\n")
}

// TestSimulation runs groups of several servers under faults, and demands that nothing acknowledged is
// lost, that equal entries make equal states, that a term has one leader, and that everything
// goes on when the faults have ended.
func TestSimulation(t *testing.T) {
	total := map[string]int{}
	for s := *seed1; s < *seed1+uint64(*seeds); s++ {
		c, broken := runChaos(t, s, 150)
		if broken != "" {
			t.Fatalf("seed %d: %s\nreplay: go test ./server/raft -run TestSimulation -seed %d -seeds 1", s, broken, s)
		}
		for fault, n := range c.faults {
			total[fault] += n
		}
		total["acked"] += len(c.judge.acked)
		total["unsure"] += c.judge.unsure
		total["installs"] += c.judge.installs
		total["terms"] += len(c.judge.leaders)
	}
	t.Log(fmt.Sprint(total))
	if *seeds < 40 {
		return
	}
	for _, what := range []string{"acked", "unsure", "installs", "terms", "crash", "cut", "silence", "pause", "change", "read", "reopen", "wipe", "damage"} {
		if total[what] == 0 {
			t.Errorf("no %s happened: the simulation is vacuous", what)
		}
	}
}
