package core

import (
	"errors"
	"slices"
	"time"
)

// leading is what a leader keeps.
type leading struct {
	peers  []progress // of all members but itself, ascending
	others []MemberID // scratch

	begun       Index // entry that begins the leadership: when it is committed, so is all before it
	heartbeatAt time.Duration
	quorumAt    time.Duration
	noticeAt    time.Duration // followers are to hear what is committed; 0 when they know
	preferAt    time.Duration
	flushedThen Index // flushed, when the quorum was looked at last
	challenges  uint64
	scratch     []Entry

	transferTo   MemberID
	transferAt   time.Duration
	transferSent bool
}

// lead begins a leadership.
func (c *Core) lead() {
	c.role, c.leader = Leader, c.id
	c.changed = true
	c.asleep = false
	c.electionAt = 0
	c.failReads()
	c.peers = c.peers[:0]
	c.uncommitted = 0
	for _, e := range c.log.held(c.commit+1, c.log.last+1) {
		c.uncommitted += int64(len(e.Payload))
	}
	c.begun = c.log.last + 1
	c.quorumAt, c.heartbeatAt = c.now+c.opts.ElectionMax, c.now+c.opts.HeartbeatInterval
	c.preferAt = c.now + c.opts.ElectionMax
	c.endTransfer()
	c.noticeAt, c.flushedThen = 0, 0
	c.meetPeers()
}

// leaveLeadership forgets what only a leader needs.
func (c *Core) leaveLeadership() {
	c.endTransfer()
	c.noticeAt, c.uncommitted = 0, 0
	clear(c.peers)
	c.peers = c.peers[:0]
	c.matched = c.commit // whoever leads this term is not known to agree with more
	c.acked = 0
}

// meetPeers makes the list of peers follow the configuration.
func (c *Core) meetPeers() {
	cfg := c.Config()
	c.others = cfg.ids(c.others[:0])
	old := c.peers
	c.peers = make([]progress, 0, len(c.others))
	for _, id := range c.others {
		if id == c.id {
			continue
		}
		i := slices.IndexFunc(old, func(p progress) bool { return p.id == id })
		if i >= 0 {
			c.peers = append(c.peers, old[i])
			continue
		}
		life, _ := cfg.life(id)
		c.peers = append(c.peers, progress{
			id: id, life: life, next: c.log.last + 1, activeAt: c.now, movedAt: c.now, challenge: c.nextChallenge(),
		})
	}
}

// find is the progress of a member, nil for none.
func (c *Core) find(id MemberID) *progress {
	for i := range c.peers {
		if c.peers[i].id == id {
			return &c.peers[i]
		}
	}
	return nil
}

// Propose appends entries of a kind of the host's. It tells the index of the first: the others follow.
// All are taken or none. What was taken is committed when it comes back in Ready.Committed
// with the present term; after a change of leaders it may be gone.
func (c *Core) Propose(kind Kind, payloads ...[]byte) (Index, error) {
	size := int64(0)
	for _, p := range payloads {
		size += int64(len(p))
	}
	if err := c.refuses(size); err != nil {
		return 0, err
	}
	kind = min(kind, KindHostMax)
	first := c.log.last + 1
	for _, p := range payloads {
		c.appendEntry(Entry{Index: c.log.last + 1, Term: c.hard.Term, Kind: kind, Payload: p})
	}
	c.uncommitted += size
	c.rouse()
	return first, nil
}

// refuses tells why a proposal of so many bytes is not taken.
func (c *Core) refuses(size int64) error {
	switch {
	case c.role != Leader:
		return ErrNotLeader
	case c.transferTo != 0:
		return ErrTransferring
	case c.uncommitted > 0 && c.uncommitted+size > c.opts.UncommittedMax:
		return ErrBusy
	case c.unapplied > 0 && c.unapplied+size > c.opts.UnappliedMax:
		return ErrBusy
	}
	return nil
}

// feedAll sends to everybody what may be sent.
func (c *Core) feedAll() {
	if c.asleep || c.hardMark > c.persisted {
		return
	}
	notice := c.noticeAt > 0 && c.now >= c.noticeAt
	if notice {
		c.noticeAt = 0
	}
	for i := range c.peers {
		p := &c.peers[i]
		c.feed(p)
		if notice && p.commitSent < c.commit && p.pace == replicating {
			c.heartbeat(p)
		}
		if p.id == c.transferTo {
			c.pushTransfer(p)
		}
	}
}

// feed sends to one follower what may be sent.
func (c *Core) feed(p *progress) {
	for c.maySend(p) && c.sendEntries(p) {
	}
}

func (c *Core) maySend(p *progress) bool {
	switch {
	case p.reading:
		return false
	case p.pace == probing:
		return !p.probed
	case p.pace == replicating:
		return p.next <= c.log.last && !p.sent.full(&c.opts)
	}
	return false
}

// sendEntries sends what follows p.next-1, and tells whether it did.
func (c *Core) sendEntries(p *progress) bool {
	prev := p.next - 1
	if prev < c.log.snap {
		c.beginSnapshot(p)
		return false
	}
	entries, size, ok := c.entriesFor(p)
	if !ok {
		return false
	}
	m := c.message(MsgAppend, p.id)
	m.Index, m.LogTerm, m.Commit, m.Entries = prev, c.log.term(prev), c.commit, entries
	if p.sent.count == 0 {
		p.movedAt = c.now
	}
	if p.pace == probing {
		p.probed = true
	} else {
		last := prev + Index(len(entries))
		p.sent.add(last, size)
		p.next = last + 1
		p.commitSent = min(c.commit, last)
	}
	return true
}

// entriesFor are the entries of one message. They are copied to the arena, since the log moves.
func (c *Core) entriesFor(p *progress) (entries []Entry, size int, ok bool) {
	from := c.log.held(p.next, c.log.last+1)
	if p.next < c.log.first && p.next <= c.log.last {
		if from, ok = c.readBack(p); !ok {
			return nil, 0, false
		}
	}
	start := len(c.arena)
	most := c.opts.AppendBytesMax
	if p.pace == probing {
		most = min(most, probeBytes)
	}
	for i := range from {
		size += len(from[i].Payload)
		if i > 0 && size > most || i == entriesMax {
			size -= len(from[i].Payload)
			break
		}
		c.arena = append(c.arena, from[i])
	}
	return c.arena[start:len(c.arena):len(c.arena)], size, true
}

const (
	// probeBytes bounds what is sent before it is known to fit.
	probeBytes = 4 << 10
	// entriesMax bounds the entries of one message.
	entriesMax = 8192
)

// readBack asks the Reader for what memory has no more.
func (c *Core) readBack(p *progress) ([]Entry, bool) {
	if c.opts.Log == nil {
		c.beginSnapshot(p)
		return nil, false
	}
	var err error
	clear(c.scratch)
	c.scratch, err = c.opts.Log.Entries(c.scratch[:0], p.next, min(c.log.first, p.next+entriesMax), c.opts.AppendBytesMax)
	if errors.Is(err, ErrReading) {
		p.reading = true
		return nil, false
	}
	if err != nil || len(c.scratch) == 0 || c.scratch[0].Index != p.next || c.scratch[0].Term != c.log.term(p.next) {
		c.beginSnapshot(p)
		return nil, false
	}
	return c.scratch, true
}

// LogRead tells that a Reader that answered ErrReading can be asked again.
func (c *Core) LogRead() {
	for i := range c.peers {
		c.peers[i].reading = false
	}
}

// fromFollower takes what a leader is told.
func (c *Core) fromFollower(m *Message) {
	p := c.find(m.From)
	if c.role != Leader || p == nil {
		return
	}
	c.meetLife(p, m.Life)
	p.activeAt = c.now
	if m.Clock != 0 && c.wall != 0 {
		p.clockKnown, p.clockOffset = true, time.Duration(m.Clock-c.wall)
	}
	switch m.Type {
	case MsgAppended:
		if m.Is(Reject) {
			c.rejected(p, m)
		} else {
			c.appended(p, m)
		}
	case MsgHeartbeatReply:
		c.heartbeatAnswered(p, m)
	case MsgRead:
		c.onRead(m)
	case MsgSnapshotReply:
		c.onSnapshotReply(p, m)
	}
}

// appended takes an acknowledgement.
func (c *Core) appended(p *progress, m *Message) {
	if m.Index > c.log.last {
		return // nothing of ours
	}
	p.received = max(p.received, m.Index)
	moved := m.Index > p.match
	if moved {
		p.match = m.Index
		p.movedAt = c.now
	}
	p.sent.acked(m.Index)
	switch {
	case p.pace == probing:
		p.replicate()
	case p.pace == snapshotting && p.match >= c.log.snap && p.match >= p.snapshot.meta.Index:
		p.replicate()
	case p.next <= p.match:
		p.next = p.match + 1
	}
	if moved {
		c.maybeCommit()
		c.considerMember(m.From)
	}
}

// rejected goes back to where the logs may agree.
func (c *Core) rejected(p *progress, m *Message) {
	switch {
	case p.pace == snapshotting:
		return
	case p.pace == replicating && m.Index <= p.match:
		return // of long ago
	case p.pace == probing && m.Index != p.next-1:
		return
	}
	hint := m.Hint
	if m.Index <= p.match { // it does not have what it said it had; believing less is always safe
		p.match = min(hint, m.Index-min(m.Index, 1))
	}
	if hint > c.log.snap {
		hint, _ = c.log.before(hint, m.HintTerm)
	}
	p.probe(min(hint, m.Index-min(m.Index, 1)) + 1)
}

// heartbeats tells everybody that the leader lives, and looks after what got lost.
func (c *Core) heartbeats() {
	c.heartbeatAt = c.now + c.opts.HeartbeatInterval
	for i := range c.peers {
		p := &c.peers[i]
		behind := c.lagging(p)
		if behind && c.now-p.movedAt >= 2*c.opts.HeartbeatInterval {
			c.resume(p)
		}
		if behind || !c.opts.HostHeartbeats || c.awaiting(p) || p.commitSent < c.commit {
			c.heartbeat(p)
		}
	}
}

// lagging tells whether the follower was sent something and did not answer, or has not got everything.
func (c *Core) lagging(p *progress) bool {
	return p.match < c.log.last || p.pace != replicating
}

// outstanding tells whether heartbeats are needed though the host vouches.
func (c *Core) outstanding() bool {
	for i := range c.peers {
		p := &c.peers[i]
		if c.lagging(p) || c.awaiting(p) || p.commitSent < c.commit {
			return true
		}
	}
	return false
}

// resume sends again what seems lost.
func (c *Core) resume(p *progress) {
	p.movedAt = c.now
	switch p.pace {
	case probing:
		p.probed = false
	case replicating:
		if p.received+1 < p.next { // it never came
			p.probe(p.received + 1)
		}
	case snapshotting:
		c.resumeSnapshot(p)
	}
}

// heartbeat sends one.
func (c *Core) heartbeat(p *progress) {
	m := c.message(MsgHeartbeat, p.id)
	m.Commit, m.Seq, m.Offset = min(c.commit, p.match), c.round.seq, p.challenge
	p.commitSent = max(p.commitSent, m.Commit)
}

func (c *Core) heartbeatAnswered(p *progress, m *Message) {
	p.received = min(m.Index, c.log.last)
	if !p.confirmed && m.Offset == p.challenge {
		p.confirmed = true
		defer c.considerMember(m.From)
	}
	if p.pace == replicating && m.Index < p.match { // it restarted, and knows less of what it has than we do
		p.probe(p.match + 1)
	}
	if m.Seq > p.seq && m.Seq <= c.round.seq {
		p.seq = m.Seq
		c.confirmRound()
	}
	if p.pace == probing && p.probed && c.now-p.movedAt >= c.opts.HeartbeatInterval {
		p.probed = false
	}
	if p.pace == replicating && m.Hint > p.match { // the acknowledgement was lost
		c.appended(p, &Message{From: m.From, Index: m.Hint})
	}
}

// meetLife takes note of the life under which a member speaks.
func (c *Core) meetLife(p *progress, l Life) {
	if p.life != l {
		p.adopt(l, c.nextChallenge())
		c.heartbeat(p)
	}
}

func (c *Core) nextChallenge() uint64 {
	c.challenges++
	return c.challenges
}

// contact makes a member that asks for it hear of its leader.
func (c *Core) contact(id MemberID) {
	if p := c.find(id); p != nil {
		c.heartbeat(p)
		if p.pace == probing {
			p.probed = false
		}
	}
}
