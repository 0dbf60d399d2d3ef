package core

import "time"

// Read is the answer to ReadIndex.
type Read struct {
	Ctx uint64
	// Index: a read of what the machine holds once it has applied this entry sees every
	// write that was complete when the read began.
	Index Index
	// OK is false when leadership was lost or no answer came; the read may be asked again.
	OK bool
}

// reading are the reads that wait.
type reading struct {
	waiting []ask // not in a round yet, or not sent to the leader
	round   round // a leader's
	batch   []ask // a follower's, at the leader
	batchNo uint64
	readAt  time.Duration // when a follower gives the batch up; 0 for never
}

// ask is one read: a local one, or another member's batch.
type ask struct {
	ctx uint64
	of  MemberID // 0 for local ones
}

// round is one exchange that confirms the leadership for all reads in it.
type round struct {
	seq   uint64 // of the newest round
	asks  []ask  // in it; none when no round is under way
	index Index
}

func (r *round) busy() bool { return len(r.asks) > 0 }

// readsMax bounds the reads that wait.
const readsMax = 1 << 16

// ReadIndex asks at which index a linearizable read may be served. The answer comes in Ready.Reads with ctx. It needs no
// clock: a majority confirms after the call that the leader still leads.
func (c *Core) ReadIndex(ctx uint64) error {
	switch {
	case c.leader == 0:
		return ErrNotLeader
	case len(c.waiting) >= readsMax:
		return ErrBusy
	}
	c.waiting = append(c.waiting, ask{ctx: ctx})
	if c.role == Leader {
		c.rouse()
	} else if c.asleep {
		c.Wake()
	}
	return nil
}

// startRound begins to confirm the reads that wait, if none is being confirmed.
func (c *Core) startRound() {
	if len(c.waiting) == 0 || c.round.busy() || c.commit < c.begun || c.hardMark > c.persisted {
		return
	}
	r := &c.round
	r.seq++
	r.index = c.commit
	r.asks, c.waiting = c.waiting, r.asks[:0]
	cfg := c.Config()
	for i := range c.peers {
		if _, votes := cfg.life(c.peers[i].id); votes {
			c.heartbeat(&c.peers[i])
		}
	}
	c.confirmRound()
}

// awaiting tells whether the follower's answer to the round is missing.
func (c *Core) awaiting(p *progress) bool { return c.round.busy() && p.seq < c.round.seq }

// confirmRound ends the round once majorities have answered it.
func (c *Core) confirmRound() {
	r := &c.round
	if !r.busy() || !c.Config().each(c.confirmed) {
		return
	}
	for _, a := range r.asks {
		if a.of == 0 {
			c.reads = append(c.reads, Read{Ctx: a.ctx, Index: r.index, OK: true})
			continue
		}
		m := c.message(MsgReadReply, a.of)
		m.Seq, m.Index = a.ctx, r.index
	}
	r.asks = r.asks[:0]
}

// confirmed tells whether the voter has answered the round.
func (c *Core) confirmed(m Member) bool {
	if m.ID == c.id {
		return m.Life == c.hard.Life
	}
	p := c.find(m.ID)
	return p != nil && p.life == m.Life && p.seq >= c.round.seq
}

// forwardReads sends what waits to the leader, one batch at a time.
func (c *Core) forwardReads() {
	if len(c.waiting) == 0 || len(c.batch) > 0 || c.leader == 0 {
		return
	}
	if c.batchNo == 0 {
		c.batchNo = c.opts.Rand.Uint64()
	}
	c.batchNo++
	c.batch, c.waiting = c.waiting, c.batch[:0]
	c.readAt = c.now + c.opts.ElectionMin
	c.message(MsgRead, c.leader).Seq = c.batchNo
}

// onRead takes a follower's batch.
func (c *Core) onRead(m *Message) {
	for _, a := range c.waiting {
		if a.of == m.From && a.ctx == m.Seq {
			return
		}
	}
	if len(c.waiting) < readsMax {
		c.rouse()
		c.waiting = append(c.waiting, ask{m.Seq, m.From})
	}
}

func (c *Core) onReadReply(m *Message) {
	if c.role == Leader || len(c.batch) == 0 || m.Seq != c.batchNo || m.From != c.leader {
		return
	}
	for _, a := range c.batch {
		c.reads = append(c.reads, Read{Ctx: a.ctx, Index: m.Index, OK: true})
	}
	c.batch = c.batch[:0]
	c.readAt = 0
}

// failReads answers all reads that wait: the leadership that they were asked of has ended.
func (c *Core) failReads() {
	for _, list := range [...]*[]ask{&c.round.asks, &c.batch, &c.waiting} {
		for _, a := range *list {
			if a.of == 0 {
				c.reads = append(c.reads, Read{Ctx: a.ctx})
			}
		}
		*list = (*list)[:0]
	}
	c.readAt = 0
}
