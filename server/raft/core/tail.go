package core

import "slices"

// tail is what memory holds of the log: the terms of all entries behind the snapshot, and the
// entries from first on.
type tail struct {
	snap     Index // the log begins behind it
	snapTerm Term
	last     Index
	runs     []run // of equal terms, ascending, from snap+1 to last

	first   Index // of entries[head]; last+1 when none is held
	entries []Entry
	head    int
	bytes   int64 // of the payloads held
}

// run says that entries from index on have the term.
type run struct {
	from Index
	term Term
}

// reset makes the log empty behind a snapshot.
func (t *tail) reset(snap Index, term Term) {
	clear(t.entries)
	*t = tail{snap: snap, snapTerm: term, last: snap, first: snap + 1, runs: t.runs[:0], entries: t.entries[:0]}
}

// lastTerm is that of the last entry or the snapshot.
func (t *tail) lastTerm() Term {
	if n := len(t.runs); n > 0 {
		return t.runs[n-1].term
	}
	return t.snapTerm
}

// term is that of an entry from snap to last; else 0.
func (t *tail) term(i Index) Term {
	switch {
	case i > t.last || i < t.snap:
		return 0
	case i == t.snap:
		return t.snapTerm
	}
	for n := len(t.runs) - 1; n >= 0; n-- { // nearly always the last
		if t.runs[n].from <= i {
			return t.runs[n].term
		}
	}
	return 0
}

// has tells whether an entry of the index and term is in the log, or is what it follows.
func (t *tail) has(i Index, term Term) bool {
	return i >= t.snap && i <= t.last && t.term(i) == term
}

// append adds the next entry.
func (t *tail) append(e Entry) {
	if n := len(t.runs); n == 0 || t.runs[n-1].term != e.Term {
		t.runs = append(t.runs, run{e.Index, e.Term})
	}
	t.last = e.Index
	if t.head > 0 && len(t.entries) == cap(t.entries) && t.head >= len(t.entries)/2 {
		n := copy(t.entries, t.entries[t.head:])
		clear(t.entries[n:])
		t.entries, t.head = t.entries[:n], 0
	}
	t.entries = append(t.entries, e)
	t.bytes += int64(len(e.Payload))
}

// at is an entry that memory holds.
func (t *tail) at(i Index) *Entry { return &t.entries[t.head+int(i-t.first)] }

// held is the part of [lo, hi) that memory holds, when lo is held.
func (t *tail) held(lo, hi Index) []Entry {
	hi = min(hi, t.last+1)
	if lo < t.first || lo >= hi {
		return nil
	}
	from := t.head + int(lo-t.first)
	return t.entries[from : from+int(hi-lo)]
}

// truncate removes the entries from index i on, which is above snap.
func (t *tail) truncate(i Index) {
	if i > t.last {
		return
	}
	for n := len(t.runs); n > 0 && t.runs[n-1].from >= i; n-- {
		t.runs = t.runs[:n-1]
	}
	keep := t.head
	if i > t.first {
		keep += int(i - t.first)
	}
	for j := keep; j < len(t.entries); j++ {
		t.bytes -= int64(len(t.entries[j].Payload))
	}
	clear(t.entries[keep:])
	t.entries = t.entries[:keep]
	t.last = i - 1
	if t.first > i {
		t.first = i
	}
}

// compact lets the log begin behind index i, which it has.
func (t *tail) compact(i Index) {
	t.snapTerm = t.term(i)
	t.snap = i
	n := 0
	for n+1 < len(t.runs) && t.runs[n+1].from <= i+1 {
		n++
	}
	t.runs = slices.Delete(t.runs, 0, n)
	if len(t.runs) > 0 {
		if t.runs[0].from = max(t.runs[0].from, i+1); t.last == i {
			t.runs = t.runs[:0]
		}
	}
	t.evict(i)
}

// evict forgets the entries up to i, but for their terms.
func (t *tail) evict(i Index) {
	for t.first <= min(i, t.last) {
		e := &t.entries[t.head]
		t.bytes -= int64(len(e.Payload))
		*e = Entry{}
		t.head++
		t.first++
	}
	if t.head == len(t.entries) {
		t.entries, t.head = t.entries[:0], 0
	}
	if t.first <= i {
		t.first = i + 1
	}
}

// before is the largest index up to i whose term is at most the one given, and its term.
func (t *tail) before(i Index, term Term) (Index, Term) {
	i = min(i, t.last)
	for n := len(t.runs) - 1; n >= 0 && i > t.snap; n-- {
		if t.runs[n].from > i {
			continue
		}
		if t.runs[n].term <= term {
			return i, t.runs[n].term
		}
		i = t.runs[n].from - 1
	}
	if i < t.snap {
		return i, 0
	}
	return t.snap, t.snapTerm
}
