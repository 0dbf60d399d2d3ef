package wal

import (
	"slices"

	"github.com/lockstepmq/lockstep/storage"
)

// carryWindow is how much is carried forward at one time, in bytes.
const carryWindow = 1 << 20

// carrier copies what is needed of the oldest segment to the head.
type carrier struct {
	walker
	flying int // bytes on their way
	over   bool
}

func (l *Log) startCarry(seg *segment) {
	c := &carrier{}
	c.walker = walker{
		l: l, seg: seg, ready: func() bool { return c.flying < carryWindow },
		chunk: c.carry, bad: c.damaged, unsound: c.unsound, end: c.walked,
	}
	l.carrying = c
	c.start()
	c.carryLost()
}

// carry sends a chunk to the head if anything of it is needed.
func (c *carrier) carry(h *chunkHeader, at int64, records []byte) {
	l := c.l
	l.mu.Lock()
	st := l.groups[h.id]
	l.mu.Unlock()
	if st == nil || h.kind.ofLog() || h.kind == kindLost {
		return
	}
	if probe := *h; !st.needed(&probe, c.seg, at) {
		return
	}
	c.send(st, h, at, records)
}

// carryLost writes once more which entries in the segment are lost, so that what is damaged can go.
func (c *carrier) carryLost() {
	for _, st := range c.l.sortedGroups() {
		for _, r := range slices.Clone(st.runs) { // what is sent may change them
			if !r.lost || r.seg != c.seg {
				continue
			}
			n := uint32(r.last - r.first + 1)
			h := chunkHeader{id: st.id, index: r.first, term: r.term, to: n, count: n}
			m := h.marker()
			c.send(st, &m, r.from, nil)
		}
	}
}

// unsound writes the same of entries of a replica that were sound before.
func (c *carrier) unsound(h *chunkHeader, at int64) {
	l := c.l
	l.mu.Lock()
	st := l.groups[h.id]
	replica := st != nil && st.replica
	l.mu.Unlock()
	if !replica || h.kind != kindEntries {
		return
	}
	if m := h.marker(); st.needed(&m, c.seg, at) {
		c.send(st, &m, at, nil)
	}
}

// send puts a chunk on its way to the head.
func (c *carrier) send(st *groupState, h *chunkHeader, at int64, records []byte) {
	l := c.l
	ch := l.pool.get()
	ch.chunkHeader = *h
	ch.nth = 0
	ch.flags |= flagAgain
	ch.buf = append(ch.buf, records...)
	ch.pad()
	ch.action, ch.class, ch.state = carry, Lazy, st
	ch.source, ch.sourceAt = c.seg, at
	size := len(ch.buf)
	c.flying += size
	ch.done = func(error) { c.carried(size) }
	l.metrics.pending.Add(int64(size))
	l.gather(ch)
	l.advance()
}

func (c *carrier) carried(size int) {
	c.flying -= size
	switch {
	case c.l.state == fenced || c.l.state == shut || c.l.closing != nil:
	case c.over:
		c.settle()
	default:
		c.step()
	}
}

// damaged tells of bytes that were sound when the log was opened, or were known not to be. Groups
// that need them keep the segment, until their checkpoints make them unneeded.
func (c *carrier) damaged(at int64, err error) {
	c.l.damaged(c.seg, at, err)
}

// damaged tells of damage that is met in use.
func (l *Log) damaged(seg *segment, at int64, err error) {
	l.metrics.damaged.Add(1)
	if !seg.spoilt && l.cfg.OnDamage != nil {
		l.cfg.OnDamage(&storage.DamageError{File: l.segmentName(seg.number), Offset: at, Err: err})
	}
	seg.spoilt = true
}

func (c *carrier) walked(err error) {
	c.over = true
	if err != nil {
		c.damaged(c.pos, err)
	}
	c.settle()
}

// settle ends the carrying when everything has its new place.
func (c *carrier) settle() {
	if c.flying > 0 {
		return
	}
	if c.seg.refs > 0 {
		c.seg.stuck = true
		c.l.askTail(c.seg) // once: it is not tried again
	}
	c.l.carrying = nil
	c.l.reclaim()
}

// judge decides what of a chunk that is carried is still needed. It does so when the chunk gets its
// place: what stands before it in the same batch may have ended the need.
func (l *Log) judge(c *chunk) bool {
	if !c.judged {
		c.judged = c.state.needed(&c.chunkHeader, c.source, c.sourceAt)
		if c.kind == kindReset && c.state.done.is(&c.chunkHeader) {
			c.kind = kindPart // what stands behind the reset stays
		}
	}
	return c.judged
}
