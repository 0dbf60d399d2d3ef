package wal

import (
	"errors"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/storage"
)

const (
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
	// What lives is a third at most, so that it is seldom copied. And entries alone earn the credit
	// for asking and carrying: the log never works because of its own work.
	bound := max(l.cfg.LogBytesMax, 3*l.live+l.bases)
	oldest := l.segments[0]
	if l.bytes > bound || len(l.segments) > segmentsMax {
		l.unkeep(oldest)
		if oldest.refs == 0 {
			l.startTrim()
			return
		}
	}
	if !oldest.asked && l.credit > 0 && (l.bytes > bound/2 || len(l.segments) > segmentsMax/2) {
		oldest.asked = true
		l.credit -= oldest.size
		l.askTail(oldest)
	}
	if l.carrying == nil && !oldest.stuck && l.credit > 0 && (l.bytes > bound || len(l.segments) > segmentsMax) {
		l.credit -= oldest.size
		l.startCarry(oldest)
	}
}

// askTail asks the groups that have entries in a segment to checkpoint. A state alone is as well
// carried forward.
func (l *Log) askTail(seg *segment) {
	for _, st := range l.sortedGroups() {
		if slices.ContainsFunc(st.runs, func(r run) bool { return r.seg == seg }) {
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
	l.metrics.pending.Add(int64(len(c.buf)))
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
