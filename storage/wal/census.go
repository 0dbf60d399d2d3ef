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
//	life 8 | flags 2 | one more than the chunks without entries so far 6
//
// In format version 1 there is no life, and the last number is 0: not known.
const (
	censusLen     = 72
	censusLenV1   = 64
	censusDamaged = 1 // the group has lost something for good
	censusBounded = 2 // and that is entries alone, of which the indexes are known
)

// member is a line of a census.
type member struct {
	id         ID
	nth        uint64
	checkpoint uint64
	last       uint64
	hard       HardState
	others     uint64
	damaged    bool
	bounded    bool
}

func (m *member) append(p []byte) []byte {
	le := binary.LittleEndian
	flags := m.others << 16
	if m.damaged {
		flags |= censusDamaged
	}
	if m.bounded {
		flags |= censusBounded
	}
	for _, v := range [...]uint64{m.id.Group, m.id.Incarnation, m.nth, m.checkpoint, m.last, m.hard.Term, m.hard.Vote, m.hard.Life} {
		p = le.AppendUint64(p, v)
	}
	return le.AppendUint64(p, flags)
}

// parseMember reads a line of either length.
func parseMember(p []byte) member {
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(p[8*i:]) }
	m := member{
		id: ID{at(0), at(1)}, nth: at(2), checkpoint: at(3), last: at(4),
		hard: HardState{Term: at(5), Vote: at(6)},
	}
	flags := at(7)
	if len(p) == censusLen {
		m.hard.Life, flags = flags, at(8)
	}
	m.others = flags >> 16
	m.damaged, m.bounded = flags&censusDamaged != 0, flags&censusBounded != 0
	return m
}

// census makes the chunk. unknown tells that groups may have been lost of which nothing is known.
func census(groups []*groupState, unknown bool) (chunkHeader, []byte) {
	var records []byte
	for _, st := range groups {
		if st.nth > 0 && !st.dropped {
			m := member{st.id, st.nth, st.done.index, st.last(), st.hard, st.others, st.damage != nil, st.damage != nil && !st.unbounded}
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
	line := censusLen
	if h.count > 0 {
		line = len(records) / int(h.count)
	}
	for at := 0; at < len(records); at += line {
		m := parseMember(records[at : at+line])
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
	unbounded := st.unbounded
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
	if missing := st.nth < m.nth; st.nth > 0 && st.nth <= m.nth && st.others > 0 && st.others == m.others && (missing || st.found.loose > 0) {
		st.unbounded = unbounded // entries alone are missing, and here they end
		st.found.until, st.found.loose = m.last, 0
	}
	if st.nth <= m.nth {
		st.others = m.others
	}
	st.nth = max(st.nth, m.nth)
	st.found.losses = len(r.lost)
	if m.damaged && st.damage == nil {
		concerns := st.concerns
		r.lossOf(st, r.l.segmentName(seg.number), 0, 0, errRecorded)
		st.concerns = concerns // it is no news
		st.unbounded = false
		st.found.losses = len(r.lost)
	}
	st.unbounded = st.unbounded || m.damaged && !m.bounded
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
