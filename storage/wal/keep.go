package wal

import (
	"math"
	"slices"
)

// keepNothing is what Keep is told to keep no entry behind a checkpoint.
const keepNothing = math.MaxUint64

// keeping is the entries of a group that are not needed, but kept.
type keeping struct {
	from uint64
	runs []run // ascending, apart, before those that are needed
}

// Keep says that entries from index from on shall stay readable when a checkpoint has made them unneeded,
// for members that lag. It begins with the next checkpoint; math.MaxUint64, which is what a group begins with,
// keeps nothing. The log lets go of such entries by itself, the oldest first, when it has grown to its
// bound: [Group.Read] then tells ErrGone. Recovery, and Reattach, drop them.
func (g *Group) Keep(from uint64) {
	if g.keep == from || g.closed || g.fenced {
		return
	}
	g.keep = from
	g.forgetTerms()
	c := g.chunk(0, Lazy)
	c.action, c.group, c.index = keep, nil, from
	g.hand(c)
}

// keepFrom lets go of what is kept before index.
func (st *groupState) keepFrom(index uint64) {
	k := &st.kept
	k.from = index
	for len(k.runs) > 0 && k.runs[0].first < index {
		if r := &k.runs[0]; r.last >= index {
			r.narrow(index, r.last)
			return
		}
		k.remove(1)
	}
}

// remove lets go of the first n runs.
func (k *keeping) remove(n int) {
	for i := range k.runs[:n] {
		k.runs[i].seg.refs--
	}
	k.runs = slices.Delete(k.runs, 0, n)
}

// retire keeps the part of a run up to index that is to be kept.
func (st *groupState) retire(r run, index uint64) {
	k := &st.kept
	first, last := max(r.first, k.from), min(r.last, index)
	if first > last || r.seg.unkept || r.lost {
		return
	}
	r.narrow(first, last)
	r.cut = true
	if n := len(k.runs); n > 0 {
		if p := &k.runs[n-1]; p.seg == r.seg && p.from == r.from && p.last+1 == r.first { // a run that was split before
			p.last, p.to, p.marks = r.last, r.to, r.marks
			return
		}
	}
	r.seg.refs++
	k.runs = append(k.runs, r)
}

// unkeep lets go of everything kept in a segment, and of what is before it.
func (l *Log) unkeep(seg *segment) {
	if seg.unkept {
		return
	}
	seg.unkept = true
	l.unkeepFrom(seg, 0)
}

// unkeepFrom does so for what lies at an offset or behind.
func (l *Log) unkeepFrom(seg *segment, off int64) {
	for _, st := range l.sortedGroups() {
		k := &st.kept
		for i := len(k.runs); i > 0; i-- {
			if r := &k.runs[i-1]; r.seg == seg && r.to >= off {
				k.remove(i)
				break
			}
		}
	}
}
