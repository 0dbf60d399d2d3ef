package core

import "slices"

// SnapshotMeta says what a snapshot replaces: the log up to Index.
type SnapshotMeta struct {
	Index  Index
	Term   Term
	Config Config
}

// Chunk is a part of a snapshot that a leader sent.
type Chunk struct {
	SnapshotMeta
	ID     uint64 // the sender's name of the snapshot
	Offset uint64
	Data   []byte
	Last   bool
}

// Want is a part of a snapshot that a follower needs, which the host gives with SendChunk.
type Want struct {
	To MemberID
	// ID is 0 when a snapshot is to be begun: the newest one, behind which the log goes on.
	ID     uint64
	Offset uint64
}

// transfer is a snapshot on its way to a follower.
type transfer struct {
	id     uint64
	meta   SnapshotMeta
	sent   uint64 // everything before it was sent
	stored uint64 // everything before it is stored there
	flying int    // chunks sent and not stored
	want   bool   // a want is out
	all    bool   // the last chunk was sent
}

// receiving is a snapshot that a leader sends.
type receiving struct {
	rid     uint64
	rmeta   SnapshotMeta
	roffset uint64 // everything before it was handed to the host
	rstored uint64 // everything before it is stored
	rlast   bool   // everything was handed to the host
	rfrom   MemberID
}

// SnapshotAt tells what a snapshot of the machine at index replaces, index being applied and not below
// First-1. The host keeps it with the snapshot.
func (c *Core) SnapshotAt(index Index) (SnapshotMeta, bool) {
	if index < c.log.snap || index > c.applied {
		return SnapshotMeta{}, false
	}
	return SnapshotMeta{index, c.log.term(index), c.configAt(index).clone()}, true
}

// SnapshotTaken tells that a durable snapshot replaces the log up to index, so that those entries
// may go; the host chooses how many to keep for followers that lag. It is ignored while a snapshot is being
// installed.
func (c *Core) SnapshotTaken(index Index) {
	index = min(index, c.applied, c.flushed)
	if index <= c.log.snap || c.installing() {
		return
	}
	c.log.compact(index)
	n := 0
	for n+1 < len(c.configs) && c.configs[n+1].index <= index {
		n++
	}
	c.configs = slices.Delete(c.configs, 0, n)
	c.dropDamage(index)
}

// Needed is the index up to which no follower that is heard of needs the log any more. It is for leaders; others
// need what they have applied no longer.
func (c *Core) Needed() Index {
	to := c.applied
	for i := range c.peers {
		switch p := &c.peers[i]; {
		case c.unheard(p) >= c.opts.ElectionMax:
		case p.pace != snapshotting:
			to = min(to, p.match)
		case p.snapshot.id != 0:
			to = min(to, p.snapshot.meta.Index)
		}
	}
	return to
}

// beginSnapshot asks the host for a snapshot for the follower.
func (c *Core) beginSnapshot(p *progress) {
	p.pace = snapshotting
	p.sent.empty()
	p.snapshot = transfer{want: true}
	p.movedAt = c.now
	c.wants = append(c.wants, Want{To: p.id})
}

// SendChunk gives a part of a snapshot that was wanted. id, not 0, names the snapshot among the
// host's; meta is that of SnapshotAt. The data is sent before it may change.
func (c *Core) SendChunk(to MemberID, meta SnapshotMeta, id, offset uint64, data []byte, last bool) {
	p := c.find(to)
	if c.role != Leader || p == nil || p.pace != snapshotting || id == 0 {
		return
	}
	s := &p.snapshot
	if s.id != id {
		if s.id != 0 && s.flying > 0 || offset != 0 {
			return
		}
		*s = transfer{id: id, meta: meta}
	}
	s.want = false
	if offset != s.sent || s.all {
		return
	}
	m := c.message(MsgSnapshot, to)
	m.Index, m.LogTerm, m.Seq, m.Offset = meta.Index, meta.Term, id, offset
	m.Data, m.Meta = data, AppendConfig(nil, &meta.Config)
	if last {
		m.Flags |= Last
	}
	s.sent += uint64(len(data))
	s.flying++
	s.all = last
	c.wantMore(p)
}

// SnapshotUnavailable tells that the host cannot give what was wanted now; it is asked again later.
func (c *Core) SnapshotUnavailable(to MemberID) {
	if p := c.find(to); p != nil && p.pace == snapshotting {
		p.snapshot = transfer{}
	}
}

func (c *Core) wantMore(p *progress) {
	s := &p.snapshot
	if s.want || s.all || s.flying >= c.opts.ChunksMax {
		return
	}
	s.want = true
	c.wants = append(c.wants, Want{To: p.id, ID: s.id, Offset: s.sent})
}

func (c *Core) onSnapshotReply(p *progress, m *Message) {
	s := &p.snapshot
	if p.pace != snapshotting || m.Seq != s.id || s.id == 0 {
		return
	}
	p.movedAt = c.now
	if m.Is(Reject) {
		if m.Offset <= s.sent {
			s.sent, s.stored, s.flying, s.all, s.want = m.Offset, m.Offset, 0, false, false
			c.wantMore(p)
		}
		return
	}
	if m.Offset > s.stored {
		s.stored = m.Offset
		s.flying = max(s.flying-1, 0)
		if s.stored == s.sent {
			s.flying = 0
		}
	}
	c.wantMore(p)
}

// resumeSnapshot goes on from what is stored, when nothing moved for a while.
func (c *Core) resumeSnapshot(p *progress) {
	s := &p.snapshot
	if s.id == 0 {
		if !s.want { // the host had none: perhaps the log can be read now
			p.probe(p.next)
		}
		return
	}
	if s.meta.Index < c.log.snap { // the log does not continue it any more
		c.beginSnapshot(p)
		return
	}
	s.sent, s.flying, s.all, s.want = s.stored, 0, false, false
	c.wantMore(p)
}

// onSnapshot takes a chunk.
func (c *Core) onSnapshot(m *Message) {
	cfg, err := ParseConfig(m.Meta)
	if err != nil {
		return
	}
	if m.Index <= c.commit && !c.needsSnapshot(m.Index) {
		c.matched = max(c.matched, min(m.Index, c.log.last))
		c.sendAck(c.ackable())
		return
	}
	if c.rid != m.Seq || c.rmeta.Index != m.Index || c.rfrom != m.From {
		c.receiving = receiving{rid: m.Seq, rmeta: SnapshotMeta{m.Index, m.LogTerm, cfg}, rfrom: m.From}
	}
	if m.Offset != c.roffset || c.rlast {
		r := c.snapshotReply()
		if m.Offset > c.roffset {
			r.Flags |= Reject
			r.Offset = c.roffset
		}
		return
	}
	c.roffset += uint64(len(m.Data))
	c.rlast = m.Is(Last)
	c.chunks = append(c.chunks, Chunk{c.rmeta, m.Seq, m.Offset, m.Data, c.rlast})
}

func (c *Core) snapshotReply() *Message {
	r := c.message(MsgSnapshotReply, c.leader)
	r.Seq, r.Index, r.Offset = c.rid, c.rmeta.Index, c.rstored
	return r
}

// ChunkStored tells that of the snapshot everything before offset is stored, durably. ok false gives the
// snapshot up.
func (c *Core) ChunkStored(id, offset uint64, ok bool) {
	if c.rid == 0 || c.rid != id || c.role == Leader {
		return
	}
	if !ok {
		c.receiving = receiving{}
		return
	}
	c.rstored = max(c.rstored, min(offset, c.roffset))
	if c.rlast && c.rstored == c.roffset {
		if c.rmeta.Index > c.delivered || c.needsSnapshot(c.rmeta.Index) {
			c.install = c.rmeta
			return
		}
		c.receiving = receiving{} // the entries came meanwhile
		c.acknowledge()
		return
	}
	if c.leader == c.rfrom {
		c.snapshotReply()
	}
}

// installing tells whether the host is replacing state and log by a snapshot.
func (c *Core) installing() bool { return c.rid != 0 && c.rlast && c.rstored == c.roffset }

// Continues tells whether the log goes on behind the snapshot, so that installing it keeps the
// entries behind.
func (c *Core) Continues(meta SnapshotMeta) bool { return c.log.has(meta.Index, meta.Term) }

// SnapshotInstalled tells that the snapshot of Ready.Install has durably replaced the machine's
// state and, unless the log goes on behind it, the log; ok false that it could not.
func (c *Core) SnapshotInstalled(meta SnapshotMeta, ok bool) {
	c.receiving = receiving{}
	if !ok || meta.Index <= c.delivered && !c.needsSnapshot(meta.Index) {
		return
	}
	c.dropDamage(meta.Index)
	if c.log.has(meta.Index, meta.Term) {
		c.continueBehind(meta)
	} else {
		c.startBehind(meta)
	}
	c.commit = max(c.commit, meta.Index)
	c.delivered, c.applied = max(c.delivered, meta.Index), max(c.applied, meta.Index)
	c.matched = max(c.matched, meta.Index)
	c.unapplied = 0
	for _, e := range c.log.held(c.applied+1, c.commit+1) {
		c.unapplied += int64(len(e.Payload))
	}
	c.changed = true
	if c.leader != 0 && c.role == Follower {
		c.sendAck(c.ackable())
	}
}

// continueBehind keeps the log behind a snapshot of a part of it.
func (c *Core) continueBehind(meta SnapshotMeta) {
	c.log.compact(meta.Index)
	behind := slices.IndexFunc(c.configs, func(f configAt) bool { return f.index > meta.Index })
	if behind < 0 {
		behind = len(c.configs)
	}
	c.configs = slices.Concat([]configAt{{meta.Index, meta.Config}}, c.configs[behind:])
	c.flushed = max(c.flushed, meta.Index)
	c.handed = max(c.handed, meta.Index)
}

// startBehind drops the whole log: it does not go on behind the snapshot.
func (c *Core) startBehind(meta SnapshotMeta) {
	c.log.reset(meta.Index, meta.Term)
	c.configs = []configAt{{meta.Index, meta.Config}}
	c.damaged = c.damaged[:0]
	c.flushed, c.handed, c.cut, c.junk = meta.Index, meta.Index, 0, 0
	for w := range c.writes {
		c.writes[w].last = min(c.writes[w].last, meta.Index)
	}
}
