package raft

import (
	"errors"

	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// readBack reads from the log what the core's memory has no more, for followers that lag; one reading at a time. It is
// the core's Reader.
type readBack struct {
	m       *member
	busy    bool
	number  uint64 // of readings; older ones do not count
	lo      core.Index
	entries []core.Entry // what was read, until it is fetched
	failed  error        // why nothing was
}

var _ core.Reader = (*readBack)(nil)

// Entries implements core.Reader.
func (r *readBack) Entries(dst []core.Entry, lo, hi core.Index, bytesMax int) ([]core.Entry, error) {
	if r.busy {
		return dst, core.ErrReading
	}
	if r.lo == lo && (r.failed != nil || len(r.entries) > 0) {
		entries, err := r.entries, r.failed
		r.lo, r.entries, r.failed = 0, nil, nil
		size := 0
		for i := 0; i < len(entries) && entries[i].Index < hi; i++ {
			if size += len(entries[i].Payload); i > 0 && size > bytesMax {
				break
			}
			dst = append(dst, entries[i])
		}
		return dst, err
	}
	r.busy = true
	r.lo, r.entries, r.failed = lo, nil, nil
	r.number++
	number := r.number
	r.m.g.log.Read(uint64(lo), uint64(hi), bytesMax, func(found []wal.Entry, err error) { r.read(number, found, err) })
	return dst, core.ErrReading
}

// read has the core ask again.
func (r *readBack) read(number uint64, found []wal.Entry, err error) {
	m := r.m
	if number != r.number {
		return
	}
	r.busy = false
	if !m.live() {
		return
	}
	m.enter()
	r.entries, r.failed = fromLogEntries(found), err
	var lost *wal.LostError
	switch {
	case errors.As(err, &lost) && lost.Index >= m.g.log.First(): // it can be had from others, and written anew
		m.core.SetDamaged(core.Index(lost.Index))
	case err != nil: // what the log kept behind the checkpoint is gone: a snapshot is needed that is not behind it
		m.core.SnapshotTaken(core.Index(m.checkpoint))
	}
	m.core.LogRead()
}

// cut forgets what was read: the log has changed.
func (r *readBack) cut() {
	if r.busy {
		r.m.core.LogRead()
	}
	r.number++
	r.busy, r.lo, r.entries, r.failed = false, 0, nil, nil
}
