package wal

import (
	"fmt"
)

// fence refuses everything from now on, and tells everybody.
func (l *Log) fence(err error) {
	if l.state == fenced || l.state == shut {
		return
	}
	l.state = fenced
	l.failed = fmt.Errorf("log %q: %w: %w", l.cfg.Dir, ErrFenced, err)
	l.fenceCause.Store(&l.failed)
	l.full.Store(false)
	l.lazy.Stop()
	l.interval.Stop()
	l.rest.Stop()
	lost := append(l.flying, l.gathered...)
	l.flying, l.gathered, l.gatheredBytes = nil, nil, 0
	for _, c := range lost {
		l.refuse(c)
	}
	for _, st := range l.sortedGroups() {
		l.notify(st, l.failed)
	}
	if l.closing != nil {
		l.shut(l.failed)
	}
}

func (l *Log) fencedBy() error {
	if p := l.fenceCause.Load(); p != nil {
		return *p
	}
	return fmt.Errorf("log %q: %w", l.cfg.Dir, ErrFenced)
}

// notify tells a group something that answers nothing it asked.
func (l *Log) notify(st *groupState, err error) {
	l.mu.Lock()
	g := st.handle
	l.mu.Unlock()
	if g == nil {
		return
	}
	c := l.pool.get()
	c.group, c.state, c.out, c.err = g, st, g.out, err
	l.answer(c)
}

// Close writes what was handed over, leaves a witness of it and lets go of the files. done is
// called on the log's strand.
func (l *Log) Close(done func(error)) {
	l.strand.Post(func() {
		if l.state == shut || l.closing != nil {
			done(fmt.Errorf("log %q: %w", l.cfg.Dir, ErrClosed))
			return
		}
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.closing = done
		if l.carrying != nil {
			l.carrying.stop()
		}
		if l.state == fenced {
			l.shut(l.failed)
			return
		}
		l.advance()
	})
}

// witness writes an empty batch that tells the next recovery that everything before it was
// durable, and that nothing followed.
func (l *Log) witness() {
	if l.durable < l.head().size {
		l.syncHead(l.advance)
		return
	}
	if err := l.writeBatch(flagClosed); err != nil {
		l.fence(err)
		return
	}
	l.state = syncing
	l.file.Sync(l.strand, func(err error) {
		if l.state != syncing {
			return
		}
		if err != nil {
			l.fence(err)
			return
		}
		l.shut(nil)
	})
}

func (l *Log) shut(err error) {
	done := l.closing
	l.closing = nil
	if err == nil {
		for _, c := range l.gathered {
			c.err = fmt.Errorf("log %q: %w", l.cfg.Dir, ErrClosed)
			l.metrics.pending.Add(-int64(len(c.buf)))
			l.answer(c)
		}
		l.gathered = nil
	}
	l.state = shut
	l.lazy.Stop()
	l.interval.Stop()
	l.retry.Stop()
	l.rest.Stop()
	l.abortReads()
	l.file.Close()
	done(err)
}
