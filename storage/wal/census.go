package wal

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A census is a chunk that lists the groups that live, and what the log holds of each. Every
// segment but the very first has one. Behind a place where something was lost it tells who lost
// something, and who nothing.
//
//	group 8 | incarnation 8 | chunks so far 8 | index of the checkpoint 8 | last index 8 | term 8 | vote 8 |
//	flags 4 | zeros 4
const (
	censusLen     = 64
	censusDamaged = 1 // the group has lost something for good
)

// member is a line of a census.
type member struct {
	id         ID
	nth        uint64
	checkpoint uint64
	last       uint64
	hard       HardState
	damaged    bool
}

func (m *member) append(p []byte) []byte {
	le := binary.LittleEndian
	for _, v := range [...]uint64{m.id.Group, m.id.Incarnation, m.nth, m.checkpoint, m.last, m.hard.Term, m.hard.Vote} {
		p = le.AppendUint64(p, v)
	}
	flags := uint64(0)
	if m.damaged {
		flags = censusDamaged
	}
	return le.AppendUint64(p, flags)
}

func parseMember(p []byte) member {
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(p[8*i:]) }
	return member{
		id: ID{at(0), at(1)}, nth: at(2), checkpoint: at(3), last: at(4),
		hard: HardState{at(5), at(6)}, damaged: at(7)&censusDamaged != 0,
	}
}

// census makes the chunk. unknown tells that groups may have been lost of which nothing is known.
func census(groups []*groupState, unknown bool) (chunkHeader, []byte) {
	var records []byte
	for _, st := range groups {
		if st.nth > 0 && !st.dropped {
			m := member{st.id, st.nth, st.done.index, st.last(), st.hard, st.damage != nil}
			records = m.append(records)
		}
	}
	h := chunkHeader{kind: kindCensus, count: uint32(len(records) / censusLen), length: uint32(len(records))}
	if unknown {
		h.index = 1
	}
	h.bodySum = sumOf(records)
	return h, records
}

// takeCensus compares a census with what was seen so far.
func (r *recovery) takeCensus(h *chunkHeader, records []byte, seg *segment) {
	r.unknown = r.unknown || h.index != 0
	listed := make(map[ID]bool, h.count)
	for at := 0; at+censusLen <= len(records); at += censusLen {
		m := parseMember(records[at:])
		listed[m.id] = true
		r.takeMember(&m, seg)
	}
	for _, st := range r.order {
		if st.nth > 0 && !st.dropped && !listed[st.id] { // its end was lost
			r.drop(st)
		}
	}
	for _, o := range r.lost {
		o.Unknown = false
	}
}

// takeMember says what must be there of a group in the end. It need not have been seen yet: what is
// carried forward comes later.
func (r *recovery) takeMember(m *member, seg *segment) {
	st := r.group(m.id)
	switch {
	case st.nth == 0:
		// What it had may have gone with old segments, and what of it is needed come later.
		st.found.firstNth = m.nth
		st.found.want = &want{m.checkpoint, m.last, m.hard, len(r.lost)}
	case st.nth == m.nth && st.found.suspect > 0:
		st.found.suspect = 0
		st.found.want = &want{m.checkpoint, m.last, m.hard, len(r.lost)}
	case st.nth != m.nth:
		r.lostBetween(st, fmt.Errorf("%w: a census speaks of chunk %d of the group behind chunk %d", errRecord, m.nth, st.nth), r.l.segmentName(seg.number), 0)
	}
	st.nth = max(st.nth, m.nth)
	st.found.losses = len(r.lost)
	if m.damaged && st.damage == nil {
		r.lossOf(st, r.l.segmentName(seg.number), 0, 0, errRecorded)
		st.found.losses = len(r.lost)
	}
}

// want is what a census says of a group.
type want struct {
	checkpoint uint64
	last       uint64
	hard       HardState
	losses     int // met before the census
}

// missed finds out whether what a census says is there.
func (r *recovery) missed(st *groupState) {
	w := st.found.want
	if w == nil || st.done.index >= w.checkpoint && st.last() == w.last && st.hard == w.hard {
		return
	}
	concerned := false
	for i := range r.lost[:w.losses] {
		if r.lost[i].open {
			r.concern(st, i)
			concerned = true
		}
	}
	if !concerned && st.damage == nil {
		r.lossOf(st, r.scans[0].name, 0, 0, fmt.Errorf("%w: the checkpoint is at %d and the last entry %d, want %d and %d",
			errGap, st.done.index, st.last(), w.checkpoint, w.last))
	}
}

// drop forgets a group that is gone.
func (r *recovery) drop(st *groupState) {
	st.drop()
	st.found = nil
	delete(r.states, st.id)
	for _, o := range r.lost {
		o.Groups = slices.DeleteFunc(o.Groups, func(id ID) bool { return id == st.id })
	}
}
