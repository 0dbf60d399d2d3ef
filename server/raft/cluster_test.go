package raft_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// cluster is several simulated servers with hosts, disks, and lanes between them.
type cluster struct {
	t       require.TestingT
	sim     *clock.Sim
	rand    *rand.Rand
	servers []*server // by id-1
	cut     map[[2]core.MemberID]bool
	loss    float64       // of a frame
	delay   time.Duration // of a frame, at most
	walCfg  wal.Config
	cfg     raft.Config
	memory  bool
	files   bool            // machines keep their states in files, which checkpoints name
	first   []core.MemberID // of the group at its creation
	judge   judge
}

// server is a machine; its disk outlives its process.
type server struct {
	c       *cluster
	id      core.MemberID
	name    string
	disk    *storage.SimDisk
	machine *clock.SimClock
	log     *wal.Log
	report  *wal.Report
	broken  error // why there is no log
	host    *raft.Host
	book    *book // nil while the group is not open
	up      bool
	opened  bool              // the group was opened once
	lost    bool              // its disk was emptied or damaged
	spoiled bool              // since it ran last
	unknown int               // frames for groups that are not open
	sent    int               // frames
	states  map[string][]byte // files of machines
	written int
}

// newCluster makes servers and starts them.
func newCluster(t require.TestingT, seed uint64, servers int, memory bool, tune func(*cluster)) *cluster {
	c := &cluster{t: t, sim: clock.NewSim(seed), cut: map[[2]core.MemberID]bool{}, memory: memory, delay: time.Millisecond}
	c.rand = c.sim.Rand("test")
	c.walCfg = wal.Config{Dir: "log", SegmentBytes: 8 << 10, LogBytesMax: 32 << 10}
	c.judge = judge{t: t, states: map[uint64]uint64{}, leaders: map[core.Term]core.MemberID{}, acked: map[string]uint64{}, answered: map[string]bool{}}
	if tune != nil {
		tune(c)
	}
	for range servers {
		c.add().start()
	}
	return c
}

// add makes a server without starting it.
func (c *cluster) add() *server {
	s := &server{c: c, id: core.MemberID(len(c.servers) + 1)}
	s.name = fmt.Sprintf("n%d", s.id)
	s.disk = storage.NewSimDisk(c.sim, s.name)
	c.servers = append(c.servers, s)
	return s
}

func (c *cluster) server(id core.MemberID) *server { return c.servers[id-1] }

// start begins a process.
func (s *server) start() {
	c := s.c
	s.machine = c.sim.Clock(s.name)
	fs := s.disk.Mount()
	strand := s.machine.NewStrand("log")
	s.log, s.host, s.up = nil, nil, true
	w := c.walCfg
	w.Identity = s.name
	machine := s.machine
	strand.Post(func() {
		wal.Open(fs, strand, w, func(l *wal.Log, r *wal.Report, err error) {
			s.log, s.report, s.broken = l, r, err
		})
	})
	s.broken = nil
	for s.log == nil && s.broken == nil && !machine.Dead() && c.sim.Step() {
	}
	if s.log == nil {
		return
	}
	cfg := c.cfg
	cfg.Self, cfg.Lane, cfg.Clock, cfg.Strand = s.id, lane{s}, s.machine, s.machine.NewStrand("lane")
	cfg.UnknownGroup = func(core.MemberID, raft.ID) { s.unknown++ }
	s.host = raft.NewHost(s.log, cfg)
}

// stop ends the process.
func (s *server) stop(power bool) {
	s.machine.Kill()
	s.up, s.host = false, nil
	if s.book != nil {
		s.book.ended = true
	}
	s.book = nil
	if power {
		s.disk.PowerLoss()
	} else {
		s.disk.Crash()
	}
	for _, o := range s.c.servers {
		if o != s && o.up && o.host != nil {
			o.host.PeerDown(s.id)
		}
	}
}

// restart starts the process again, and opens the group.
func (s *server) restart() {
	s.start()
	if s.host == nil { // its disk failed
		s.stop(false)
		s.disk.SetFaults(storage.DiskFaults{})
		s.start()
	}
	if s.host == nil { // there is no log to work with: it is given another disk
		s.c.judge.wiped++
		s.lost = true
		s.stop(false)
		s.disk.Wipe()
		s.states = nil
		s.start()
	}
	for _, o := range s.c.servers {
		if o != s && o.up && o.host != nil {
			if s.c.cut[[2]core.MemberID{s.id, o.id}] {
				s.host.PeerDown(o.id)
			} else {
				o.host.PeerUp(s.id)
			}
		}
	}
	// Nothing of the group's creation was durable, so that nobody heard of this member.
	if !s.c.memory && !s.lost && slices.Contains(s.c.first, s.id) && !slices.Contains(s.host.Unopened(), gid(1)) {
		s.open(raft.Members{Voters: s.c.first, Leader: 1}, true)
		return
	}
	// Rot at the end of the log looks like what was never durable.
	s.open(raft.Members{Forgot: s.spoiled && s.report.Torn != nil}, false)
	s.spoiled = false
}

// lane carries frames of a server.
type lane struct{ s *server }

// Send implements raft.Lane.
func (l lane) Send(to core.MemberID, p []byte) bool {
	s, c := l.s, l.s.c
	s.sent++
	if int(to) > len(c.servers) || c.cut[[2]core.MemberID{s.id, to}] {
		return false
	}
	o := c.server(to)
	if !o.up || o.host == nil {
		return false
	}
	if c.rand.Float64() < c.loss {
		return true
	}
	frame, machine := slices.Clone(p), o.machine
	c.sim.After(time.Duration(c.rand.Int64N(int64(c.delay))), machine, clock.KindNet, func() {
		if o.machine == machine && o.host != nil && !c.cut[[2]core.MemberID{s.id, to}] {
			o.host.Frame(s.id, frame)
			clear(frame)
		}
	})
	return true
}

// sever cuts or mends the way between two servers; both hosts hear of it.
func (c *cluster) sever(a, b core.MemberID, cut bool) {
	c.cut[[2]core.MemberID{a, b}], c.cut[[2]core.MemberID{b, a}] = cut, cut
	for _, pair := range [...][2]core.MemberID{{a, b}, {b, a}} {
		if s := c.server(pair[0]); s.up && s.host != nil {
			if cut {
				s.host.PeerDown(pair[1])
			} else if c.server(pair[1]).up {
				s.host.PeerUp(pair[1])
			}
		}
	}
}

// open opens the group.
func (s *server) open(m raft.Members, fresh bool) *book {
	b := &book{s: s, strand: s.machine.NewStrand("group")}
	s.book, s.opened = b, true
	b.strand.Post(func() {
		g, err := s.host.Open(raft.Options{
			ID: gid(1), Name: "book", Strand: b.strand, Machine: b, Memory: s.c.memory, Members: &m, Fresh: fresh,
		})
		if err != nil {
			s.c.judge.violation("server %d: open: %v", s.id, err)
			return
		}
		b.group = g
	})
	return b
}

// create makes the group on all servers, led by the first.
func (c *cluster) create() {
	c.first = nil
	for _, s := range c.servers {
		c.first = append(c.first, s.id)
	}
	for _, s := range c.servers {
		s.open(raft.Members{Voters: c.first, Leader: 1}, true)
	}
}

// run lets the world go on.
func (c *cluster) run(d time.Duration) { c.sim.RunFor(d) }

// until runs the world until cond holds, for at most d.
func (c *cluster) until(d time.Duration, cond func() bool) bool {
	for end := c.sim.Now() + d; !cond(); {
		if at, ok := c.sim.Next(); !ok || at > end {
			c.sim.RunUntil(end)
			return cond()
		}
		if c.sim.Events() > 2_000_000 {
			c.judge.violation("it comes to no end")
			return false
		}
		c.sim.Step()
	}
	return true
}

// leader is the server whose machine leads in the highest term, nil for none.
func (c *cluster) leader() *server {
	var best *server
	for _, s := range c.servers {
		if s.up && s.book != nil && s.book.leads > 0 && (best == nil || s.book.leads > best.book.leads) {
			best = s
		}
	}
	return best
}

// do runs fn on the group's strand.
func (s *server) do(fn func(*raft.Group)) {
	b := s.book
	if b == nil {
		return
	}
	b.strand.Post(func() {
		if b.group != nil {
			fn(b.group)
		}
	})
}

// propose proposes entries by name, and tells how many were taken by now, later.
func (s *server) propose(names ...string) {
	s.do(func(g *raft.Group) {
		for _, name := range names {
			if err := g.Propose([]byte(name), name, raft.Class(s.c.rand.IntN(3))); err == nil {
				s.c.judge.proposed++
				s.book.flying = append(s.book.flying, name)
			}
		}
	})
}

// judge knows what must hold over all servers.
type judge struct {
	t        require.TestingT
	broken   []string
	states   map[uint64]uint64 // hash by index
	leaders  map[core.Term]core.MemberID
	acked    map[string]uint64 // index, by name
	answered map[string]bool
	proposed int
	unsure   int
	installs int
	applied  int
	wiped    int
}

func (j *judge) violation(format string, args ...any) {
	if len(j.broken) < 10 {
		j.broken = append(j.broken, fmt.Sprintf(format, args...))
	}
}

// state compares a machine's state at an index with that of others.
func (j *judge) state(who core.MemberID, index, hash uint64) {
	if known, ok := j.states[index]; ok && known != hash {
		j.violation("server %d: its state at %d differs from another's", who, index)
	}
	j.states[index] = hash
}
