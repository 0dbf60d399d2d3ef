package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// world is a group of members with disks, machines and a network, all of which do only what they are told.
type world struct {
	detail      bool // trace what is handed to logs, too
	now         time.Duration
	rand        *rand.Rand
	nodes       []*node // by id-1
	net         []*packet
	free        []*packet
	cut         [][]bool // from, to, by id-1
	judge       judge
	first       []MemberID // the members at creation
	firstLeader MemberID
	hosted      bool // hosts tell who is alive
	lazy        bool // hosts take their time with snapshots
	readers     bool // entries that were applied are read back from disk
	tune        func(*Options)
	trace       func(format string, args ...any) // what happens; nil for nobody
	slow        bool                             // writes wait for flush on all new members
	coded       bool                             // messages pass through the codec
	steps       int
	buffer      []byte
}

// packet is a message under way, with room for its entries.
type packet struct {
	Message
	entries []Entry
}

// node is a server: its disk outlives its core.
type node struct {
	w        *world
	id       MemberID
	c        *Core
	disk     disk
	pending  []pendingWrite
	slow     bool
	manual   bool // entries are applied on command
	machine  machine
	seen     Index // commit that the judge has seen
	restarts int
	chunks   []byte
	deferred []func(ok bool) // what the host has not finished
	reads    []Read
	wantsLog bool          // the Reader has answered ErrReading
	wall     time.Duration // ahead of the world's clock
	told     State
}

type disk struct {
	hard    HardState
	snap    SnapshotMeta
	state   machine // at snap
	entries []Entry
	damaged []Index
	forgot  bool
}

// machine is a chain of hashes of all that was applied.
type machine struct {
	applied Index
	hash    uint64
}

type pendingWrite struct {
	mark     uint64
	truncate Index
	entries  []Entry
	repair   []Entry
	hard     HardState
	hasHard  bool
}

func newWorld(seed uint64) *world {
	w := &world{rand: rand.New(rand.NewPCG(seed, 1))}
	w.judge.w = w
	return w
}

func (w *world) log(format string, args ...any) {
	if w.trace != nil {
		w.trace(format, args...)
	}
}

// add makes room for a member without starting it.
func (w *world) add() *node {
	n := &node{w: w, id: MemberID(len(w.nodes) + 1), slow: w.slow}
	w.nodes = append(w.nodes, n)
	for i := range w.cut {
		w.cut[i] = append(w.cut[i], false)
	}
	w.cut = append(w.cut, make([]bool, len(w.nodes)))
	return n
}

func (w *world) node(id MemberID) *node { return w.nodes[id-1] }

func (n *node) options() Options {
	o := DefaultOptions(n.id, rand.New(rand.NewPCG(n.w.rand.Uint64(), uint64(n.id))))
	o.HeartbeatInterval, o.ElectionMin, o.ElectionMax = 20*time.Millisecond, 60*time.Millisecond, 120*time.Millisecond
	if n.w.readers {
		o.Log, o.CacheBytes = n, 4
	}
	if n.w.tune != nil {
		n.w.tune(&o)
	}
	return o
}

// bootstrap creates a group of count members.
func (w *world) bootstrap(count int, leader MemberID) {
	for range count {
		w.first = append(w.first, w.add().id)
	}
	w.firstLeader = leader
	for _, n := range w.nodes {
		n.create()
	}
}

func (n *node) create() {
	c, err := Bootstrap(n.options(), n.w.first, n.w.firstLeader, n.w.now)
	if err != nil {
		panic(err)
	}
	n.run(c)
}

// run lets a core live.
func (n *node) run(c *Core) {
	n.c = c
	n.seen = c.Commit()
	n.restarts++
	n.told = State{}
	c.SetWall(int64(n.w.now + n.wall + time.Hour))
	n.pump()
}

// start starts from what the disk has.
func (n *node) start() {
	n.machine = n.disk.state
	n.machine.applied = n.disk.snap.Index
	if n.disk.hard.Life == 0 && !n.disk.forgot { // nothing of its creation was durable, so nobody heard of it
		n.create()
		return
	}
	c, err := Restart(n.options(), Start{
		Hard: n.disk.hard, Snapshot: n.disk.snap, Entries: slices.Clone(n.disk.entries),
		Damaged: n.disk.damaged, Forgot: n.disk.forgot, Now: n.w.now,
	})
	if err != nil {
		n.w.judge.violation("RAFT.crash-free: restart of %d: %v", n.id, err)
		return
	}
	n.run(c)
}

// crash stops the member; of what is not flushed the first keep writes survive.
func (n *node) crash(keep int) {
	for range min(keep, len(n.pending)) {
		n.write(&n.pending[0])
		n.pending = n.pending[1:]
	}
	n.pending, n.deferred = nil, nil
	n.c = nil
	n.reads = nil
}

// flush makes the first count pending writes durable.
func (n *node) flush(count int) {
	if n.c == nil || count == 0 || len(n.pending) == 0 {
		return
	}
	count = min(count, len(n.pending))
	for i := range count {
		n.write(&n.pending[i])
	}
	mark := n.pending[count-1].mark
	n.pending = n.pending[:copy(n.pending, n.pending[count:])]
	n.c.Persisted(mark)
	n.pump()
}

// pump carries out what the core wants done.
func (n *node) pump() {
	for n.c != nil && (n.c.HasReady() || n.wantsLog) {
		n.carryOut(n.c.Ready())
		n.w.judge.look(n)
		if n.wantsLog {
			n.wantsLog = false
			n.c.LogRead()
		}
	}
	if n.c != nil {
		n.w.judge.look(n)
	}
}

func (n *node) carryOut(r *Ready) {
	if r.Mark > 0 {
		n.w.judge.persist(n, r)
		if n.w.detail {
			n.w.log("%d: mark %d truncate %d append %d first %v hard %v %v", n.id, r.Mark, r.Truncate, len(r.Append), r.Append, r.Hard, r.HardChanged)
		}
		n.pending = append(n.pending, pendingWrite{
			mark: r.Mark, truncate: r.Truncate, entries: slices.Clone(r.Append), repair: slices.Clone(r.Repair),
			hard: r.Hard, hasHard: r.HardChanged,
		})
	}
	for i := range r.Messages {
		n.w.judge.sent(n, &r.Messages[i])
		n.w.send(&r.Messages[i])
	}
	for i := range r.Committed {
		n.apply(&r.Committed[i])
	}
	if len(r.Committed) > 0 && !n.manual {
		n.c.Applied(n.machine.applied)
	}
	for _, read := range r.Reads {
		n.w.judge.answered(n, read)
		n.reads = append(n.reads, read)
		n.w.log("%d: read %d: index %d ok=%v", n.id, read.Ctx, read.Index, read.OK)
	}
	n.snapshots(r)
	if r.Changed {
		n.changed(r.State)
	}
	if !n.slow && len(n.pending) > 0 {
		n.flushNow()
	}
}

// flushNow flushes without pumping, since that is under way.
func (n *node) flushNow() {
	for i := range n.pending {
		n.write(&n.pending[i])
	}
	mark := n.pending[len(n.pending)-1].mark
	n.pending = n.pending[:0]
	n.c.Persisted(mark)
}

func (n *node) changed(s State) {
	if s.Role != n.told.Role || s.Leader != n.told.Leader || s.Term != n.told.Term {
		n.w.log("%d: %v of term %d, leader %d", n.id, s.Role, s.Term, s.Leader)
	}
	if s.Standing != n.told.Standing {
		n.w.log("%d: is %v", n.id, s.Standing)
	}
	if s.Asleep != n.told.Asleep {
		n.w.log("%d: asleep=%v", n.id, s.Asleep)
	}
	if s.Stuck != n.told.Stuck {
		n.w.log("%d: stuck: %s", n.id, s.Stuck)
	}
	n.told = s
}

func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func hashOf(e *Entry) uint64 {
	h := mix(uint64(e.Term), uint64(e.Kind))
	for _, b := range e.Payload {
		h = mix(h, uint64(b))
	}
	return h
}

func (n *node) apply(e *Entry) {
	if e.Index != n.machine.applied+1 {
		n.w.judge.violation("RAFT.snapshot: %d applied %d and is given %d", n.id, n.machine.applied, e.Index)
	}
	n.machine.applied = e.Index
	n.machine.hash = mix(n.machine.hash, hashOf(e))
	n.w.judge.applied(n, e)
	if n.w.trace != nil {
		n.w.log("%d: applies %s", n.id, describe(e))
	}
}

func describe(e *Entry) string {
	switch e.Kind {
	case KindEmpty:
		return fmt.Sprintf("%d/%d", e.Index, e.Term)
	case KindConfig:
		cfg, err := ParseConfig(e.Payload)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d/%d %s", e.Index, e.Term, describeConfig(&cfg))
	}
	return fmt.Sprintf("%d/%d %q", e.Index, e.Term, e.Payload)
}

func describeConfig(c *Config) string {
	list := func(members []Member) string {
		s := ""
		for _, m := range members {
			s += fmt.Sprintf(" %d", m.ID)
			if m.Life != FirstLife {
				s += "'"
			}
		}
		return s
	}
	s := "voters" + list(c.Voters)
	if c.Joint() {
		s += " from" + list(c.Outgoing)
	}
	if len(c.Learners) > 0 {
		s += " learners"
		for _, l := range c.Learners {
			s += fmt.Sprintf(" %d", l.ID)
			if l.Auto {
				s += "+"
			}
		}
	}
	return s
}

// send puts a message on the network.
func (w *world) send(m *Message) {
	p := w.packet()
	entries := append(p.entries[:0], m.Entries...)
	p.Message, p.entries = *m, entries
	p.Entries = entries
	if w.coded {
		w.buffer = AppendMessage(w.buffer[:0], m)
		rest, err := ParseMessage(slices.Clone(w.buffer), &p.Message)
		if err != nil || len(rest) > 0 {
			w.judge.violation("RAFT.codec: message %+v does not survive its encoding: %v", m, err)
		}
	}
	w.net = append(w.net, p)
}

func (w *world) packet() *packet {
	if n := len(w.free); n > 0 {
		p := w.free[n-1]
		w.free = w.free[:n-1]
		return p
	}
	return &packet{}
}

// take removes the i-th message under way.
func (w *world) take(i int) *packet {
	p := w.net[i]
	w.net = append(w.net[:i], w.net[i+1:]...)
	return p
}

// deliver gives a message to its receiver, unless the way is cut.
func (w *world) deliver(p *packet) {
	w.steps++
	if w.detail {
		w.log("%v %s lost=%v", w.now, describeMessage(&p.Message), w.lost(&p.Message))
	}
	if !w.lost(&p.Message) {
		n := w.node(p.To)
		n.c.Step(&p.Message)
		n.pump()
	}
	w.free = append(w.free, p)
}

func (w *world) lost(m *Message) bool {
	return int(m.To) > len(w.nodes) || w.cut[m.From-1][m.To-1] || w.node(m.To).c == nil
}

// settle delivers everything, in order, until nothing is under way.
func (w *world) settle() {
	for i := 0; len(w.net) > 0 && i < 100_000; i++ {
		w.deliver(w.take(0))
	}
	if len(w.net) > 0 {
		w.judge.violation("RAFT.bounded: messages never end")
	}
}

// pass lets time pass, from deadline to deadline; messages take no time.
func (w *world) pass(d time.Duration) {
	end := w.now + d
	for {
		w.settle()
		next := end
		for _, n := range w.nodes {
			if n.c == nil {
				continue
			}
			if at, ok := n.c.Deadline(); ok {
				next = min(next, max(at, w.now))
			}
		}
		if next > w.now {
			w.now = next
		} else if next == end {
			w.now = end
		} else {
			w.now++ // a deadline that is past already
		}
		for _, n := range w.nodes {
			n.advance()
		}
		if w.now >= end {
			w.settle()
			return
		}
	}
}

func (n *node) advance() {
	if n.c == nil {
		return
	}
	n.w.steps++
	n.c.SetWall(int64(n.w.now + n.wall + time.Hour))
	n.c.Advance(n.w.now)
	n.pump()
}

// passHosted is pass, with hosts that vouch if they are to.
func (w *world) passHosted(d time.Duration) {
	if !w.hosted {
		w.pass(d)
		return
	}
	for end := w.now + d; w.now < end; {
		w.pass(min(20*time.Millisecond, end-w.now))
		l := w.leader()
		for _, n := range w.nodes {
			if l != nil && n.c != nil && n != l && !l.c.asleep && !w.cut[l.id-1][n.id-1] && !w.cut[n.id-1][l.id-1] {
				n.c.LeaderAlive(l.id, l.c.Hard().Term)
				l.c.PeerAlive(n.id, n.c.Hard().Term)
				n.pump()
				l.pump()
			}
		}
	}
}

// leader is the live leader of the highest term, nil for none.
func (w *world) leader() *node {
	var best *node
	for _, n := range w.nodes {
		if n.c != nil && n.c.Role() == Leader && (best == nil || n.c.Hard().Term > best.c.Hard().Term) {
			best = n
		}
	}
	return best
}
