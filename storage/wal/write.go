package wal

import (
	"fmt"
	"hash/crc32"
	"time"
)

// take gathers what strands handed over.
func (l *Log) take(chunks []*chunk) {
	for _, c := range chunks {
		if l.state == fenced || l.state == shut {
			l.refuse(c)
			continue
		}
		switch {
		case c.action == detach && len(l.gathered) == 0 && len(l.flying) == 0:
			l.metrics.pending.Add(-int64(len(c.buf)))
			l.detached(c)
		case c.action == keep:
			l.metrics.pending.Add(-int64(len(c.buf)))
			c.state.keepFrom(c.index)
			l.answer(c)
		case c.action == readBack && !l.underWay(c.reading):
			l.metrics.pending.Add(-int64(len(c.buf)))
			l.startRead(c)
		default:
			l.gather(c)
		}
	}
	l.advance()
}

func (l *Log) gather(c *chunk) {
	l.gathered = append(l.gathered, c)
	l.gatheredBytes += len(c.buf)
	l.hurry = l.hurry || c.class == Prompt || l.gatheredBytes >= l.cfg.BatchBytesMax
}

// refuse answers a chunk that came too late.
func (l *Log) refuse(c *chunk) {
	l.metrics.pending.Add(-int64(len(c.buf)))
	c.err = l.failed
	if l.state == shut {
		c.err = fmt.Errorf("log %q: %w", l.cfg.Dir, ErrClosed)
	}
	if c.action == detach {
		l.detached(c)
		return
	}
	l.answer(c)
}

// answer gives a chunk back.
func (l *Log) answer(c *chunk) {
	if c.out == nil {
		if c.done != nil {
			c.done(c.err)
		}
		l.pool.put(c)
		return
	}
	c.out.box.PutFrom(l.strand, c)
}

// advance starts whatever is due and can start.
func (l *Log) advance() {
	if l.state != idle {
		return
	}
	switch {
	case len(l.onDurable) > 0 || l.syncDue:
		l.syncHead(l.tellDurable)
	case l.hurry || l.closing != nil && len(l.gathered) > 0:
		l.writeNext()
	case l.closing != nil:
		l.witness()
	case len(l.gathered) > 0 && !l.lazyArmed:
		l.lazyArmed = true
		l.lazy.Reset(LazyDelay)
	}
}

func (l *Log) lazyDue() {
	l.lazyArmed = false
	if len(l.gathered) > 0 {
		l.hurry = true
	}
	l.advance()
}

// writeNext writes a batch, in a new segment when the head is long enough.
func (l *Log) writeNext() {
	if head := l.head(); head.size >= l.cfg.SegmentBytes && head.size > head.base {
		l.startRoll()
		return
	}
	if !l.fill() { // nothing of it is to be written
		l.answerFlying()
		l.advance()
		return
	}
	if err := l.writeBatch(0); err != nil {
		l.writeFailed(err)
		return
	}
	l.commit()
}

// fill moves what goes into the next batch from gathered to flying, and tells whether there is
// anything to write.
func (l *Log) fill() bool {
	size, n := 0, 0
	for n < len(l.gathered) && (size == 0 || size < l.cfg.BatchBytesMax) {
		c := l.gathered[n]
		n++
		l.gatheredBytes -= len(c.buf)
		if c.action < detach {
			size += len(c.buf)
		}
		l.flying = append(l.flying, c)
	}
	rest := copy(l.gathered, l.gathered[n:])
	clear(l.gathered[rest:])
	l.gathered = l.gathered[:rest]
	if cap(l.gathered) > keptChunks && rest == 0 {
		l.gathered = nil
	}
	l.hurry = rest > 0 // it was as due as the others
	if rest == 0 && l.lazyArmed {
		l.lazyArmed = false
		l.lazy.Stop()
	}
	return size > 0
}

// creditFactor is how many bytes of old segments one byte of new entries may set in motion: once to
// ask, once to carry, and as much again for the states that checkpoints log.
const creditFactor = 4

// keptChunks bounds the capacity that a burst leaves behind.
const keptChunks = 4096

// writeBatch puts what is flying behind the end of the head.
func (l *Log) writeBatch(flags uint32) error {
	seg := l.head()
	l.undo = undo{seg.size, l.previous, l.number}
	h := batchHeader{
		previous: l.previous, segment: seg.number, offset: seg.size, durable: l.durable,
		number: l.number, flags: flags,
	}
	at := seg.size + batchHeaderLen
	for _, c := range l.flying {
		if c.action == carry && !l.judge(c) {
			c.action = skip
		}
		if c.action >= detach {
			continue
		}
		l.settle(c, seg, seg.size, at)
		h.chunkSum = crc32.Update(h.chunkSum, castagnoli, c.buf[:chunkHeaderLen])
		h.chunks++
		at += int64(len(c.buf))
	}
	h.body = uint32(at - seg.size - batchHeaderLen)
	h.put(l.header[:], l.id)
	if err := l.reserve(at); err != nil {
		return err
	}
	if err := l.put(seg.size, at); err != nil {
		return err
	}
	l.bytes += at - seg.size
	seg.size = at
	l.previous = h.sum
	l.number++
	l.metrics.batches.Add(1)
	return nil
}

// put writes the header and what is flying from off to end.
func (l *Log) put(off, end int64) error {
	if err := l.file.WriteAt(l.header[:], off); err != nil {
		return err
	}
	off += batchHeaderLen
	for _, c := range l.flying {
		if c.action >= detach {
			continue
		}
		if err := l.file.WriteAt(c.buf, off); err != nil {
			return err
		}
		off += int64(len(c.buf))
	}
	if off != end {
		panic(fmt.Sprintf("log: a batch ends at %d, its chunks at %d", end, off))
	}
	return nil
}

// zeros is what a segment is extended with.
var zeros [16 << 10]byte

// written is the length of a segment without a batch that is on its way.
func (l *Log) written(seg *segment) int64 {
	if l.state == writing && seg == l.head() {
		return l.undo.size
	}
	return seg.size
}

// reserve extends the head with zeros for a batch that ends at end and for some to come. They are
// synced with that batch, and cut off or overwritten by nobody else: a tail of zeros is an end as
// good as the file's.
func (l *Log) reserve(end int64) error {
	have := l.file.Size()
	if l.cfg.ReserveBytes == 0 || l.cfg.Mode == Interval || end <= have || l.head().number == l.tight {
		return nil
	}
	for upTo := min(end+l.cfg.ReserveBytes, l.cfg.SegmentBytes); have < upTo; {
		n := min(upTo-have, int64(len(zeros)))
		if _, err := l.file.Append(zeros[:n]); err != nil {
			return err
		}
		have += n
	}
	return nil
}

// settle gives a chunk its place in a batch, numbers it and takes it into the group's state.
func (l *Log) settle(c *chunk, seg *segment, batch, at int64) {
	if c.state != nil {
		if c.nth == 0 { // a second try keeps its number
			c.state.nth++
			c.nth = c.state.nth
			c.state.others = max(1, c.state.others)
			if !c.kind.ofEntries() {
				c.state.others++
			}
			c.others = c.state.others
		}
		before := c.state.bytes
		c.state.note(&c.chunkHeader, seg, batch, at)
		l.live += c.state.bytes - before
		if c.kind == kindDrop {
			l.forget(c.state)
		}
	}
	c.put(c.buf, l.id, l.number)
}

// commit makes the batch as durable as the mode asks for.
func (l *Log) commit() {
	l.state = writing
	l.lighter = l.cfg.Mode == Interval && l.closing == nil
	if l.lighter {
		l.file.WriteOut(l.strand, l.committedTask)
		return
	}
	l.file.Sync(l.strand, l.committedTask)
}

// committed acknowledges a batch.
func (l *Log) committed(err error) {
	if l.state != writing {
		return
	}
	if err != nil {
		l.writeFailed(err)
		return
	}
	l.state = idle
	if l.lighter {
		l.armInterval()
	} else {
		l.durable = l.head().size
		l.metrics.syncs.Add(1)
		if !l.restArmed {
			l.restArmed = true
			l.rest.Reset(restDelay)
		}
	}
	l.answerFlying()
	l.advance()
	l.reclaim()
}

// answerFlying gives back what the batch held. Answers may gather more, and start the next batch.
func (l *Log) answerFlying() {
	flying := l.flying
	l.flying = l.spare[:0]
	l.spare = nil
	for i, c := range flying {
		flying[i] = nil
		l.metrics.pending.Add(-int64(len(c.buf)))
		switch c.action {
		case detach:
			l.detached(c)
			continue
		case readBack:
			l.startRead(c)
			continue
		case write:
			if c.kind == kindEntries {
				l.metrics.entries.Add(uint64(c.count))
				l.credit += creditFactor * int64(len(c.buf))
			}
			l.metrics.bytes.Add(uint64(len(c.buf)))
		case carry:
			l.metrics.carried.Add(uint64(len(c.buf)))
		}
		l.answer(c)
	}
	if cap(flying) <= keptChunks {
		l.spare = flying[:0]
	}
}

// restDelay is how long the last batch may be without a witness.
const restDelay = time.Second

// restDue writes an empty batch behind the last one that was synced, so that damage to that one is
// not taken for the torn end of the log. It is not synced itself.
func (l *Log) restDue() {
	l.restArmed = false
	if l.state != idle || l.closing != nil || l.durable != l.head().size || l.head().size == l.head().base {
		return // the next batch is a witness too
	}
	if err := l.writeBatch(0); err != nil {
		l.writeFailed(err)
		return
	}
	l.state = writing
	l.file.WriteOut(l.strand, l.restedTask)
}

func (l *Log) rested(err error) {
	switch {
	case l.state != writing:
	case err != nil:
		l.writeFailed(err)
	default:
		l.state = idle
		l.advance()
	}
}

// armInterval sees to it that what was written is synced before long.
func (l *Log) armInterval() {
	if !l.syncArmed && l.durable < l.head().size {
		l.syncArmed = true
		l.interval.Reset(l.cfg.SyncInterval)
	}
}

func (l *Log) intervalDue() {
	l.syncArmed = false
	switch l.state {
	case fenced, shut:
	case idle:
		l.syncHead(l.advance)
	default:
		l.syncDue = true // as soon as what is under way has ended
	}
}

// syncHead makes everything written durable, then calls next.
func (l *Log) syncHead(next func()) {
	l.state, l.syncDue = syncing, false
	size := l.head().size
	l.file.Sync(l.strand, func(err error) {
		if l.state != syncing {
			return
		}
		if err != nil {
			l.fence(err)
			return
		}
		l.state = idle
		l.durable = size
		l.metrics.syncs.Add(1)
		next()
	})
}

// whenDurable calls fn when everything written by now is durable.
func (l *Log) whenDurable(fn func()) {
	if l.durable == l.head().size {
		fn()
		return
	}
	l.onDurable = append(l.onDurable, fn)
	l.advance()
}

func (l *Log) tellDurable() {
	fns := l.onDurable
	l.onDurable = nil
	for _, fn := range fns {
		fn()
	}
	l.advance()
}
