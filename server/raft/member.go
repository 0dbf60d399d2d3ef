package raft

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// member drives the consensus of a group of several servers, on the group's strand: what happens is told to
// the core, and pump carries out what the core wants done.
type member struct {
	g       *Group
	host    *Host
	id      ID
	strand  clock.Strand
	self    core.MemberID
	machine Replica
	core    *core.Core // nil until the machine is restored
	inbox   *clock.Mailbox[inbound]
	rand    *rand.Rand

	timer    clock.Timer
	armedAt  time.Duration // 0: it is not armed
	now      time.Duration // as the core was told last
	beatAt   time.Duration // when a leader tells that it lives
	activeAt time.Duration // when the group was asked for something last

	pumping  bool
	posted   bool // pump is posted
	pumpTask func()

	told    core.State    // as the core told last
	changed bool          // and not looked at yet
	leading core.Term     // the term that is led; 0 for none
	led     bool          // the machine knows
	follows core.MemberID // as the machine knows

	countedLeader, countedAsleep bool // by the host

	proposals proposals
	reads     []pendingRead // whose index is not known, or not applied
	readCtx   uint64
	changes   []pendingChange

	foundConfig core.Config // of the checkpoint that was found
	forgot      bool        // damage took what was found

	persist
	readBack readBack
	sending
	receiving

	message core.Message // being taken in
	scratch []byte
	others  []core.MemberID
	peers   []core.Peer
}

func newMember(g *Group) *member {
	h := g.host
	m := &member{
		g: g, host: h, id: g.opts.ID, strand: g.strand, self: h.cfg.Self, machine: g.machine.(Replica),
		rand: g.strand.Rand("raft"),
	}
	m.readBack.m = m
	m.timer = m.strand.NewTimer(m.fired)
	m.pumpTask = m.postedPump
	m.inbox = clock.NewMailbox(m.strand, h.cfg.InboxBytesMax, inbound.size, m.drain)
	return m
}

// coreOptions are those of the core.
func (m *member) coreOptions() core.Options {
	cfg := &m.host.cfg
	o := core.DefaultOptions(m.self, m.rand)
	o.HeartbeatInterval, o.ElectionMin, o.ElectionMax = cfg.HeartbeatInterval, cfg.ElectionMin, cfg.ElectionMax
	o.HostHeartbeats = true
	// The group refuses first, by its own count.
	o.UncommittedMax, o.UnappliedMax = 2*cfg.UnappliedMax+PayloadMax, 2*cfg.UnappliedMax+PayloadMax
	if m.g.log != nil {
		o.Log, o.CacheBytes = &m.readBack, cfg.CacheBytes
	}
	return o
}

// clock reads the time for the core.
func (m *member) clock() { m.now = m.host.cfg.Clock.Monotonic() }

// begin makes the core, when the machine is restored and serves.
func (m *member) begin(start core.Start, bootstrap bool) {
	m.clock()
	var err error
	if voters := m.g.opts.Members.Voters; bootstrap {
		m.core, err = core.Bootstrap(m.coreOptions(), voters, m.g.opts.Members.Leader, m.now)
	} else {
		start.Now = m.now
		if alone(&start, m.self) { // nobody is waited for
			start.Now -= m.host.cfg.ElectionMax
		}
		m.core, err = core.Restart(m.coreOptions(), start)
	}
	if err != nil {
		m.core = nil
		m.g.fail(fmt.Errorf("group %q: %w", m.g.opts.Name, err))
		return
	}
	for _, id := range m.host.out.down() {
		m.core.PeerDown(id)
	}
	m.core.SetPreferred(m.g.opts.Members.Preferred)
	m.activeAt = m.now
	m.advance()
	m.pump()
}

// alone tells whether the newest configuration that is found has one voter, this member in its present life.
func alone(s *core.Start, self core.MemberID) bool {
	cfg := s.Snapshot.Config
	for i := range s.Entries {
		if e := &s.Entries[i]; e.Kind == core.KindConfig {
			if c, err := core.ParseConfig(e.Payload); err == nil {
				cfg = c
			}
		}
	}
	return len(s.Damaged) == 0 && !s.Forgot && !cfg.Joint() && len(cfg.Voters) == 1 && cfg.Names(self, s.Hard.Life)
}

// advance tells the core the time.
func (m *member) advance() {
	m.clock()
	m.core.SetWall(m.host.cfg.Clock.Now().UnixNano())
	m.core.Advance(m.now)
}

// enter begins what a call from outside asks of the core, and has it carried out later.
func (m *member) enter() {
	if !m.posted && !m.pumping {
		m.advance()
	}
	m.touch()
}

// touch has pump run in a task of its own, with what else comes until then.
func (m *member) touch() {
	if !m.posted {
		m.posted = true
		m.strand.Post(m.pumpTask)
	}
}

func (m *member) postedPump() {
	m.posted = false
	if m.live() {
		m.pump()
	}
}

// live tells whether there is a core that goes on.
func (m *member) live() bool { return m.core != nil && m.g.state != ended }

// fired is the timer's task.
func (m *member) fired() {
	m.armedAt = 0
	if !m.live() {
		return
	}
	m.advance()
	m.beat()
	m.retryWrites()
	m.pump()
}

// drain takes what other servers sent.
func (m *member) drain(batch []inbound) {
	if !m.live() || m.deaf() {
		m.host.in.dropped.Add(uint64(len(batch)))
		return
	}
	m.advance()
	for i := range batch {
		m.take(&batch[i])
	}
	m.pump()
}

func (m *member) take(in *inbound) {
	switch in.kind {
	case sectionMessage:
		rest, err := core.ParseMessage(in.message, &m.message)
		if err != nil || len(rest) > 0 || m.message.From != in.from {
			m.host.in.dropped.Add(1)
			return
		}
		m.core.Step(&m.message)
		clear(m.message.Entries)
	case sectionLeads:
		m.core.LeaderAlive(in.from, in.term)
		if h := m.core.Hard(); h.Term == in.term && m.core.LeaderID() == in.from && m.hardMark <= m.persisted {
			m.scratch = appendAlive(m.scratch[:0], m.id, sectionFollows, in.term)
			m.host.out.putLazy(in.from, m.scratch)
		}
	case sectionFollows:
		m.core.PeerAlive(in.from, in.term)
	}
}

// peer hears whether a server can be vouched for.
func (m *member) peer(id core.MemberID, down bool) {
	if !m.live() {
		return
	}
	m.advance()
	if down {
		m.core.PeerDown(id)
	} else {
		m.core.PeerUp(id)
	}
	m.pump()
}

// pump carries out what the core wants done, lets the machine go on, and arms the timer.
func (m *member) pump() {
	if m.pumping || !m.live() {
		return
	}
	m.pumping = true
	for m.core.HasReady() {
		m.carryOut(m.core.Ready())
	}
	m.pumping = false
	if err := m.core.Failed(); err != nil {
		m.g.fail(fmt.Errorf("group %q: %w", m.g.opts.Name, err))
		return
	}
	if m.g.log != nil {
		m.g.log.Submit()
	}
	m.look()
	if m.live() {
		m.g.run()
	}
	if m.live() {
		m.transfers()
	}
	if m.live() {
		m.ran()
	}
	if m.live() {
		m.g.account()
		m.arm()
	}
}

// carryOut does what a Ready says, but for what calls the machine: that waits for the end of pump.
func (m *member) carryOut(r *core.Ready) {
	if r.Mark > 0 {
		m.write(r)
	}
	for i := range r.Messages {
		msg := &r.Messages[i]
		m.scratch = appendMessage(m.scratch[:0], m.id, msg)
		m.host.out.put(m.strand, msg.To, m.scratch)
	}
	if cap(m.scratch) > 2*frameBytes {
		m.scratch = nil
	}
	for i := range r.Committed {
		e := &r.Committed[i]
		m.g.queue.push(item{payload: e.Payload, kind: e.Kind, tag: m.proposals.take(e.Index, e.Term)})
		m.g.committed = uint64(e.Index)
	}
	for _, read := range r.Reads {
		m.answered(read)
	}
	m.note(r)
	if r.Changed {
		m.told, m.changed = r.State, true
	}
	if m.g.log == nil && r.Mark > 0 {
		m.persisted = r.Mark
		m.core.Persisted(r.Mark)
	}
}

// look tells the machine and the host what has changed.
func (m *member) look() {
	if m.changed {
		m.changed = false
		m.lookAt()
	}
	m.proposals.tell(m.machine.Unsure)
}

func (m *member) lookAt() {
	s := m.told
	leads := s.Role == core.Leader
	wasLed := m.led
	if m.leading > 0 && (!leads || s.Term != m.leading) {
		m.leading, m.led = 0, false
		m.proposals.lose(m.core)
		m.dropPins()
	}
	if leads && m.leading == 0 {
		m.leading = s.Term
		m.activeAt = m.now
		m.beatAt = m.nextBeat()
		m.dropInstaller()
	}
	m.count(leads, s.Asleep)
	if !leads && (wasLed || s.Leader != m.follows) {
		m.follows = s.Leader
		m.machine.Followed(s.Leader)
	}
}

// ran follows a run of the machine.
func (m *member) ran() {
	m.core.Applied(core.Index(m.g.applied))
	if !m.led && m.leading > 0 && !m.g.blocked && m.g.state == serving &&
		m.core.TermAt(core.Index(m.g.applied)) == m.leading && m.core.Role() == core.Leader {
		m.led, m.follows = true, m.self
		m.machine.Led(m.leading)
	}
	m.tellReads()
	m.tellChanges()
	m.compact()
	if m.core.HasReady() {
		m.touch()
	}
	m.g.tellRoom()
}

// nextBeat is when the leaders of all groups tell that they live: at the same times, so that it takes one frame.
func (m *member) nextBeat() time.Duration {
	every := m.host.cfg.HeartbeatInterval
	return (m.now/every + 1) * every
}

// beat tells the followers that the leader lives, and lets an idle group sleep.
func (m *member) beat() {
	if m.core.Role() != core.Leader || m.told.Asleep || m.now < m.beatAt {
		return
	}
	m.beatAt = m.nextBeat()
	m.expirePins()
	if m.now-m.activeAt >= m.host.cfg.IdleAfter && m.core.Sleep() {
		return
	}
	if m.hardMark > m.persisted {
		return
	}
	m.scratch = appendAlive(m.scratch[:0], m.id, sectionLeads, m.core.Hard().Term)
	for _, id := range m.otherMembers() {
		m.host.out.putLazy(id, m.scratch)
	}
}

// otherMembers lists all members but this one, ascending. It is valid until the next call.
func (m *member) otherMembers() []core.MemberID {
	cfg, ids := m.core.Config(), m.others[:0]
	for _, half := range [...][]core.Member{cfg.Voters, cfg.Outgoing} {
		for _, v := range half {
			ids = append(ids, v.ID)
		}
	}
	for _, l := range cfg.Learners {
		ids = append(ids, l.ID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	ids = slices.DeleteFunc(ids, func(id core.MemberID) bool { return id == m.self })
	m.others = ids
	return ids
}

// arm sets the timer for what is due next. It may fire too early, but not too late.
func (m *member) arm() {
	at, due := m.core.Deadline()
	if m.core.Role() == core.Leader && !m.told.Asleep && (!due || m.beatAt < at) {
		at, due = m.beatAt, true
	}
	if m.stalled() && (!due || m.retryAt < at) {
		at, due = m.retryAt, true
	}
	switch {
	case !due && m.armedAt != 0:
		m.armedAt = 0
		m.timer.Stop()
	case due && (m.armedAt == 0 || at < m.armedAt):
		m.armedAt = max(at, 1)
		m.timer.Reset(at - m.now)
	}
}

// count keeps the host's numbers of leaders and sleepers.
func (m *member) count(leads, asleep bool) {
	m.host.leaders.Add(tick(&m.countedLeader, leads))
	m.host.asleep.Add(tick(&m.countedAsleep, asleep))
}

// tick makes *was what is, and tells the difference.
func tick(was *bool, is bool) int64 {
	switch {
	case is && !*was:
		*was = true
		return 1
	case !is && *was:
		*was = false
		return -1
	}
	return 0
}

// resign hands the leadership over, as far as that needs no log, because the group ends here.
func (m *member) resign() {
	if m.core == nil || m.core.Failed() != nil {
		return
	}
	m.core.SetSuppressed(true)
	m.core.Resign()
	for m.core.HasReady() {
		r := m.core.Ready()
		for i := range r.Messages {
			m.scratch = appendMessage(m.scratch[:0], m.id, &r.Messages[i])
			m.host.out.put(m.strand, r.Messages[i].To, m.scratch)
		}
	}
}

// end lets go of everything.
func (m *member) end(err error) {
	m.resign()
	m.host.forgetMember(m)
	m.timer.Stop()
	m.count(false, false)
	m.dropPins()
	m.dropInstaller()
	reads, changes := m.reads, m.changes
	m.reads, m.changes, m.proposals = nil, nil, proposals{}
	for i := range reads {
		reads[i].done(err)
	}
	for i := range changes {
		changes[i].done(err)
	}
}
