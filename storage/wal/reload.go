package wal

import (
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// reload finds a group anew that was attached and detached before: it reads the segments
// that hold what the group needs.
type reload struct {
	l     *Log
	st    *groupState
	raw   *found
	segs  []*segment // that hold it, ascending; they stay meanwhile
	at    int
	s     clock.Strand
	seal  Sealer
	owner Owner
	how   how
	done  func(*Group, *Found, error)
}

// Reattach is Attach for a group that was detached, which Attach answers with ErrDetached: the log reads
// its segments. done is called on s.
func (l *Log) Reattach(id ID, s clock.Strand, seal Sealer, o Owner, done func(*Group, *Found, error)) {
	l.reattach(id, s, seal, o, how{}, done)
}

// ReattachReplica is AttachReplica for a group that was detached.
func (l *Log) ReattachReplica(id ID, s clock.Strand, seal Sealer, o Owner, done func(*Group, *Found, error)) {
	l.reattach(id, s, seal, o, how{replica: true}, done)
}

func (l *Log) reattach(id ID, s clock.Strand, seal Sealer, o Owner, how how, done func(*Group, *Found, error)) {
	l.strand.Post(func() {
		l.mu.Lock()
		st := l.groups[id]
		err := l.whyNoReattach(st)
		if err == nil {
			st.loading = true
		}
		l.mu.Unlock()
		r := &reload{l: l, st: st, s: s, seal: seal, owner: o, how: how, done: done}
		if err != nil {
			s.Post(func() { done(nil, nil, fmt.Errorf("log %q: attach %v: %w", l.cfg.Dir, id, err)) })
			return
		}
		r.start()
	})
}

// whyNoReattach is called with the lock held.
func (l *Log) whyNoReattach(st *groupState) error {
	switch {
	case l.closed || l.state == shut:
		return ErrClosed
	case l.state == fenced:
		return l.failed
	case st == nil:
		return storage.ErrNotExist
	case st.handle != nil || !st.used || st.loading:
		return errAttached
	}
	return nil
}

func (r *reload) start() {
	st := r.st
	r.raw = &found{attempt: st.attemptMax, state: st.done, runs: slices.Clone(st.runs), hard: st.hard, damage: st.damage, unbounded: st.unbounded}
	r.raw.state.parts = slices.Clone(st.done.parts)
	for _, seg := range r.l.segments {
		if st.holds(seg) {
			seg.refs++ // until it was read
			r.segs = append(r.segs, seg)
		}
	}
	r.next()
}

func (r *reload) next() {
	if r.at == len(r.segs) {
		r.finish(nil)
		return
	}
	w := &walker{
		l: r.l, seg: r.segs[r.at], ready: func() bool { return true }, chunk: r.keep,
		bad: func(at int64, err error) { r.l.damaged(r.segs[r.at], at, err) },
	}
	w.unsound = func(c *chunkHeader, at int64) {
		if c.id == r.st.id && c.kind == kindEntries {
			r.raw.chunks = append(r.raw.chunks, kept{chunkHeader: *c, seg: r.segs[r.at], off: at, bad: true})
		}
	}
	w.end = func(err error) {
		if err != nil {
			r.finish(err)
			return
		}
		r.at++
		r.next()
	}
	w.start()
}

// keep takes a chunk of the group that is needed where it stands.
func (r *reload) keep(c *chunkHeader, at int64, records []byte) {
	if c.id == r.st.id && (c.kind == kindEntries || c.kind.ofState()) {
		r.raw.chunks = append(r.raw.chunks, kept{chunkHeader: *c, seg: r.segs[r.at], off: at, records: slices.Clone(records)})
	}
}

func (r *reload) finish(err error) {
	for _, seg := range r.segs {
		seg.refs--
	}
	l := r.l
	l.mu.Lock()
	r.st.loading = false
	if err == nil && l.groups[r.st.id] != r.st {
		err = storage.ErrNotExist // dropped meanwhile
	}
	if err == nil {
		r.st.used, r.st.found = false, r.raw
	}
	l.mu.Unlock()
	l.reclaim()
	r.s.Post(func() {
		if err != nil {
			r.done(nil, nil, fmt.Errorf("log %q: attach %v: %w", l.cfg.Dir, r.st.id, err))
			return
		}
		r.done(l.attach(r.st.id, r.s, r.seal, r.owner, r.how))
	})
}
