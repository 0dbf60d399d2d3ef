package wal

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/storage"
)

// retryDelay is how long a full disk is left alone, and then tried again.
const retryDelay = 250 * time.Millisecond

// maker makes a file that is whole once it has its name, in steps: write it under another name,
// sync it, rename it, sync the directory.
type maker struct {
	l       *Log
	name    string
	content []byte
	file    storage.File
	done    func(storage.File, error)
}

// make makes a file in the log's directory. Without an error the file given to done is open.
func (l *Log) make(name string, content []byte, done func(storage.File, error)) {
	m := &maker{l: l, name: path.Join(l.cfg.Dir, name), content: content, done: done}
	l.fs.Open(l.strand, path.Join(l.cfg.Dir, newName), storage.Create|storage.Empty, m.opened)
}

func (m *maker) opened(f storage.File, err error) {
	if err != nil {
		m.end(outOfSpace(nil, err))
		return
	}
	m.file = f
	if _, err := f.Append(m.content); err != nil {
		m.end(outOfSpace(f, err))
		return
	}
	f.Sync(m.l.strand, m.synced)
}

func (m *maker) synced(err error) {
	if err != nil {
		m.end(outOfSpace(m.file, err))
		return
	}
	m.l.fs.Rename(m.l.strand, path.Join(m.l.cfg.Dir, newName), m.name, m.renamed)
}

func (m *maker) renamed(err error) {
	if err != nil {
		m.end(outOfSpace(nil, err))
		return
	}
	m.l.fs.SyncDir(m.l.strand, m.l.cfg.Dir, m.end)
}

func (m *maker) end(err error) {
	if err != nil && m.file != nil {
		m.file.Close()
		m.file = nil
	}
	m.done(m.file, err)
}

// startRoll begins the next segment.
func (l *Log) startRoll() {
	if l.durable < l.head().size {
		l.syncHead(l.advanceHurry)
		return
	}
	l.state = rolling
	head := l.head()
	h := fileHeader{
		log: l.id, segment: head.number + 1, first: l.number, joined: head.size,
		previous: l.previous, oldest: l.oldest,
	}
	into := newRepeat(l.id, &segment{number: h.segment}, &h)
	if len(l.flying) == 0 { // otherwise the groups know of chunks that come behind
		groups := l.sortedGroups()
		damaged := l.unknown || slices.ContainsFunc(groups, func(st *groupState) bool { return st.damage != nil })
		if damaged || int64(len(groups)*censusLen) <= l.cfg.SegmentBytes/4 {
			into.census(groups, l.unknown)
		}
	}
	l.make(segmentFile(h.segment), into.content, func(f storage.File, err error) { l.rolled(into, f, err) })
}

// advanceHurry goes on with what the sync interrupted.
func (l *Log) advanceHurry() {
	l.hurry = true
	l.advance()
}

// rolled takes the new segment into use.
func (l *Log) rolled(into *repeat, f storage.File, err error) {
	if l.state != rolling {
		if err == nil {
			f.Close()
		}
		return
	}
	if err != nil {
		l.rollFailed(err)
		return
	}
	l.file.Close()
	l.adopt(into, f)
	l.metrics.rolls.Add(1)
	l.full.Store(false)
	l.state = idle
	if len(l.flying) > 0 { // a full disk had refused them
		if err := l.writeBatch(0); err != nil {
			l.writeFailed(err)
			return
		}
		l.commit()
		return
	}
	l.hurry = true
	l.advance()
}

// adopt makes a segment the head.
func (l *Log) adopt(into *repeat, f storage.File) {
	seg := into.seg
	seg.size, seg.base = int64(len(into.content)), int64(len(into.content))
	l.segments = append(l.segments, seg)
	l.file, l.durable, l.previous, l.number = f, seg.size, into.previous, into.number
	l.bytes += seg.size
	l.bases += seg.base
	l.countSize()
}

func (l *Log) countSize() {
	l.metrics.segments.Store(int64(len(l.segments)))
	l.metrics.size.Store(l.bytes)
}

// rollFailed waits for space, or gives up.
func (l *Log) rollFailed(err error) {
	if !errors.Is(err, errSpace) {
		l.fence(err)
		return
	}
	l.waitForSpace()
}

// errSpace: the disk was full before anything relied on the operation.
var errSpace = errors.New("no space")

// outOfSpace wraps an error that more space would cure: a write that failed, but never a sync.
func outOfSpace(f storage.File, err error) error {
	if !errors.Is(err, storage.ErrFull) {
		return err
	}
	if f != nil {
		if _, broken := f.Append(nil); broken == nil { // the sync failed
			return err
		}
	}
	return fmt.Errorf("%w: %w", errSpace, err)
}

// writeFailed decides what a failed write or sync means. When the disk was full, nothing of the
// batch was acknowledged: it goes into another segment once there is space. Whatever
// else failed, nobody can know what the disk holds.
func (l *Log) writeFailed(err error) {
	if !errors.Is(outOfSpace(l.file, err), errSpace) {
		l.fence(err)
		return
	}
	l.bytes -= l.head().size - l.undo.size
	l.unkeepFrom(l.head(), l.undo.size)
	l.head().size, l.previous, l.number = l.undo.size, l.undo.previous, l.undo.number
	if l.durable == l.head().size {
		l.waitForSpace()
		return
	}
	// The file refuses the sync that earlier batches still need; opened anew it does not.
	l.state = syncing
	l.file.Close()
	l.fs.Open(l.strand, l.segmentName(l.head().number), 0, func(f storage.File, err error) {
		if l.state != syncing {
			if err == nil {
				f.Close()
			}
			return
		}
		if err != nil {
			l.fence(err)
			return
		}
		l.file = f
		l.syncHead(l.waitForSpace)
	})
}

// undo is the end of the head before the batch that is under way.
type undo struct {
	size     int64
	previous uint32
	number   uint64
}

// waitForSpace refuses what is new, and tries again later.
func (l *Log) waitForSpace() {
	l.state = waiting
	l.full.Store(true)
	l.tight = l.head().number + 1
	l.retry.Reset(retryDelay)
}

// retryDue tries with a new segment, since the head takes nothing more.
func (l *Log) retryDue() {
	if l.state != waiting {
		return
	}
	if l.closing != nil {
		l.fence(storage.ErrFull)
		return
	}
	l.startRoll()
}
