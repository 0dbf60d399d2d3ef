package wal

import (
	"errors"
	"io"
	"strings"

	"github.com/lockstepmq/lockstep/storage"
)

const (
	// carryWindow is how much is carried forward at one time, in bytes.
	carryWindow = 1 << 20
	// carryRead is how much of a segment is read at one time, in bytes.
	carryRead = 1 << 20
	// segmentsMax bounds the segments that short lives of the process leave behind.
	segmentsMax = 32
)

// trimming is the removal of segments that nobody needs, in steps: note in the log which
// is the oldest that is needed, make that durable, remove file after file, each with a sync of the
// directory. So files go oldest first, and one that is missing is told from one that was removed.
type trimming struct {
	busy bool
	upTo uint64 // segments below go
}

// reclaim removes what nobody needs, and sees to it that the log does not grow without
// bound because of what somebody does.
func (l *Log) reclaim() {
	l.countSize()
	if l.state == fenced || l.state == shut || l.state == waiting || l.closing != nil || len(l.segments) < 2 {
		return
	}
	if l.segments[0].refs == 0 {
		l.startTrim()
		return
	}
	// What lives is copied at most once for as much that is new.
	bound := max(l.cfg.LogBytesMax, 3*l.live+l.bases)
	oldest := l.segments[0]
	if !oldest.asked && (l.bytes > bound/2 || len(l.segments) > segmentsMax/2) {
		oldest.asked = true
		l.askTail(oldest)
	}
	if l.carrying == nil && !oldest.stuck && l.credit > 0 && (l.bytes > bound || len(l.segments) > segmentsMax) {
		l.credit -= oldest.size
		l.startCarry(oldest)
	}
}

// askTail asks the groups that need a segment to checkpoint.
func (l *Log) askTail(seg *segment) {
	for _, st := range l.sortedGroups() {
		if st.holds(seg) {
			l.notify(st, nil)
		}
	}
}

// startTrim notes which segments are not needed.
func (l *Log) startTrim() {
	if l.trim.busy {
		return
	}
	n := 0
	for n < len(l.segments)-1 && l.segments[n].refs == 0 {
		n++
	}
	l.trim = trimming{true, l.segments[n].number}
	c := l.pool.get()
	c.kind, c.class, c.index = kindTrim, Lazy, l.trim.upTo
	c.finish(nil, nil)
	c.done = l.trimNoted
	l.gather(c)
	l.advance()
}

func (l *Log) trimNoted(err error) {
	if err == nil {
		l.oldest = max(l.oldest, l.trim.upTo)
		l.whenDurable(l.trimNext)
	}
}

// trimNext removes the oldest segment.
func (l *Log) trimNext() {
	oldest := l.segments[0]
	if l.state == fenced || l.state == shut {
		return
	}
	if oldest.number >= l.trim.upTo {
		l.trim.busy = false
		l.reclaim()
		return
	}
	removed := func(err error) {
		if err != nil && !errors.Is(err, storage.ErrNotExist) {
			l.trim.busy = false // tried again after the next batch
			return
		}
		l.fs.SyncDir(l.strand, l.cfg.Dir, l.trimmed)
	}
	name := l.segmentName(oldest.number)
	if oldest.spoilt {
		l.fs.Rename(l.strand, name, strings.TrimSuffix(name, segmentSuffix)+damagedSuffix, removed)
		return
	}
	l.fs.Remove(l.strand, name, removed)
}

func (l *Log) trimmed(err error) {
	if err != nil {
		l.fence(err)
		return
	}
	l.bytes -= l.segments[0].size
	l.bases -= l.segments[0].base
	l.segments = l.segments[1:]
	l.metrics.trims.Add(1)
	l.countSize()
	l.trimNext()
}

// judge decides what of a chunk that is carried is still needed. It does so when the chunk gets its
// place: what stands before it in the same batch may have ended the need.
func (l *Log) judge(c *chunk) bool {
	if !c.judged {
		c.judged = c.state.needed(&c.chunkHeader, c.source, c.sourceAt)
	}
	return c.judged
}

// carrier copies what is needed of the oldest segment to the head.
type carrier struct {
	l       *Log
	seg     *segment
	file    storage.File
	buf     []byte // of the file, from base on
	base    int64
	pos     int64 // of the next batch
	flying  int   // bytes on their way
	reading bool
	running bool // step is on the stack
	stopped bool
	// searching: the next batch is looked for behind damage.
	searching bool
}

func (l *Log) startCarry(seg *segment) {
	c := &carrier{l: l, seg: seg, pos: fileHeaderLen, base: fileHeaderLen, reading: true}
	l.carrying = c
	l.fs.Open(l.strand, l.segmentName(seg.number), storage.ReadOnly, func(f storage.File, err error) {
		c.reading = false
		if err != nil {
			c.broken(err)
			return
		}
		if c.stopped {
			f.Close()
			return
		}
		c.file = f
		c.step()
	})
}

func (c *carrier) stop() {
	c.stopped = true
	if c.file != nil {
		c.file.Close()
	}
}

// step goes on until it has to wait.
func (c *carrier) step() {
	if c.running {
		return
	}
	c.running = true
	defer func() { c.running = false }()
	for !c.stopped && !c.reading && c.flying < carryWindow {
		if c.seg.size-c.pos < batchHeaderLen {
			c.pos = c.seg.size
		}
		if c.pos >= c.seg.size {
			if c.flying == 0 {
				c.end(c.seg.refs > 0)
			}
			return
		}
		if !c.ensure(batchHeaderLen) {
			return
		}
		h, ok := parseBatchHeader(c.buf, c.l.id)
		if !ok || h.segment != c.seg.number || h.offset != c.pos || h.offset+h.size() > c.seg.size {
			c.damaged(errHeader)
			c.skip(8)
			continue
		}
		if !c.ensure(h.size()) {
			return
		}
		c.searching = false
		bad := eachChunk(c.buf[batchHeaderLen:h.size()], &h, c.l.id, func(ch *chunkHeader, at int, records []byte, sound bool) {
			if !sound {
				c.damaged(errChecksum)
				return
			}
			c.carry(ch, h.offset+batchHeaderLen+int64(at), records)
		})
		if bad >= 0 {
			c.damaged(errChecksum)
		}
		c.skip(h.size())
	}
}

// skip goes on n bytes further.
func (c *carrier) skip(n int64) {
	c.buf = c.buf[n:]
	c.base += n
	c.pos = c.base
}

// ensure makes buf hold n bytes. When it has to read it returns false, and step is called later.
func (c *carrier) ensure(n int64) bool {
	if int64(len(c.buf)) >= n {
		return true
	}
	from := c.base + int64(len(c.buf))
	want := min(max(n-int64(len(c.buf)), carryRead), c.seg.size-from)
	p := make([]byte, len(c.buf)+int(want))
	kept := copy(p, c.buf)
	c.reading = true
	c.file.ReadAt(c.l.strand, p[kept:], from, func(got int, err error) {
		c.reading = false
		switch {
		case c.stopped:
		case err != nil && !(errors.Is(err, io.EOF) && got == int(want)):
			c.broken(err)
		default:
			c.buf = p
			c.step()
		}
	})
	return false
}

// carry sends a chunk to the head if anything of it is needed.
func (c *carrier) carry(h *chunkHeader, at int64, records []byte) {
	l := c.l
	l.mu.Lock()
	st := l.groups[h.id]
	l.mu.Unlock()
	if st == nil || h.kind == kindTrim {
		return
	}
	if probe := *h; !st.needed(&probe, c.seg, at) {
		return
	}
	ch := l.pool.get()
	ch.chunkHeader = *h
	ch.nth = 0
	ch.buf = append(ch.buf, records...)
	ch.pad()
	ch.action, ch.class, ch.state = carry, Lazy, st
	ch.source, ch.sourceAt = c.seg, at
	size := len(ch.buf)
	c.flying += size
	ch.done = func(error) {
		c.flying -= size
		if l.state != fenced && l.state != shut {
			c.step()
		}
	}
	l.gather(ch)
	l.advance()
}

// damaged tells of bytes that were sound when the log was opened, or were known not to be. Groups
// that need them keep the segment, until their checkpoints make them unneeded.
func (c *carrier) damaged(err error) {
	if c.stopped || c.searching {
		return
	}
	c.searching = errors.Is(err, errHeader)
	c.l.metrics.damaged.Add(1)
	if !c.seg.spoilt && c.l.cfg.OnDamage != nil {
		c.l.cfg.OnDamage(&storage.DamageError{File: c.l.segmentName(c.seg.number), Offset: c.pos, Err: err})
	}
	c.seg.spoilt = true
}

// broken gives up on a file that cannot be read.
func (c *carrier) broken(err error) {
	if c.stopped {
		return
	}
	c.damaged(err)
	c.end(true)
}

// end lets the segment go, or not.
func (c *carrier) end(stuck bool) {
	c.stop()
	c.seg.stuck = stuck
	if stuck {
		c.l.askTail(c.seg)
	}
	if c.l.carrying == c {
		c.l.carrying = nil
	}
	c.l.reclaim()
}
