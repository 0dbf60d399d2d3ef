package js

import (
	"cmp"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
)

// place is what is known of one sequence of a stream.
type place struct {
	w  *Write
	at core.Stamp // of the record that told
}

// book is a stream's history, resolved.
type book struct {
	*judge
	s      *Stream
	writes map[uint64]*Write // by id
	places map[uint64]place
	seqs   []uint64 // of places, ascending
}

// stream judges one stream.
func (j *judge) stream(s *Stream) {
	b := &book{judge: j, s: s, writes: make(map[uint64]*Write, len(s.Writes)), places: make(map[uint64]place)}
	for _, w := range s.Writes {
		b.writes[w.ID] = w
	}
	if s.Recreated {
		b.recreated()
		return
	}
	b.resolve()
	b.order()
	b.expected()
	b.duplicates()
	b.batches()
	b.audits()
	b.bounds()
	b.removals()
	b.subjects()
	b.counters()
	b.schedules()
	b.fast()
	b.rotten()
	for _, c := range s.Consumers {
		b.consumer(c)
	}
	b.pushed()
	b.retention()
}

// resolve finds which message is where, from acks and from everything that was read.
func (b *book) resolve() {
	for _, w := range b.s.Writes {
		if w.Outcome == OK && !w.Dup {
			b.put(w.Seq, w, w.Return)
		}
	}
	for _, r := range b.s.Reads {
		if r.ID != 0 {
			b.saw(r.Seq, r.ID, r.Return)
		}
	}
	for _, c := range b.s.Consumers {
		for _, d := range c.Deliveries {
			b.saw(d.Seq, d.ID, d.At)
			if w := b.writes[d.ID]; w != nil && (!d.Intact || d.Subject != w.Subject) {
				b.report(NothingElse, d.At, "%s delivered sequence %d of stream %s on %q, and it is not as %s", c, d.Seq, b.s.Name, d.Subject, w)
			}
		}
	}
	b.sawOrdered()
	for _, a := range b.s.Audits {
		for i := range a.Msgs {
			m := &a.Msgs[i]
			if m.Marker {
				continue
			}
			b.saw(m.Seq, m.ID, a.At)
			if w := b.writes[m.ID]; w != nil && (!m.Intact || m.Subject != w.Subject) {
				b.report(Acked, a.At, "sequence %d of stream %s is not as published: %s", m.Seq, b.s.Name, w)
			}
		}
	}
	for seq := range b.places { //lockstep:ordered sorted below
		b.seqs = append(b.seqs, seq)
	}
	slices.Sort(b.seqs)
}

// saw notes that somebody read a message.
func (b *book) saw(seq, id uint64, at core.Stamp) {
	w := b.writes[id]
	if w == nil {
		b.report(NothingElse, at, "sequence %d of stream %s holds message %d, which nobody published there", seq, b.s.Name, id)
		return
	}
	w.seen = true
	switch {
	case w.Outcome == Refused:
		b.report(NothingElse, at, "refused-but-stored: sequence %d of stream %s holds %s, which was refused with %d", seq, b.s.Name, w, w.Err)
		return
	case w.Outcome == OK && w.Dup:
		b.report(Dedupe, at, "sequence %d of stream %s holds %s, which was answered as a duplicate of %d", seq, b.s.Name, w, w.Seq)
		return
	case w.Outcome == OK && w.Seq != seq:
		b.report(Acked, at, "%s is at sequence %d of stream %s and was acknowledged at %d", w, seq, b.s.Name, w.Seq)
		return
	case w.Outcome == Unknown && w.Seq != 0 && w.Seq != seq:
		b.report(NothingElse, at, "%s is in stream %s twice, at %d and at %d", w, b.s.Name, w.Seq, seq)
		return
	}
	w.Seq = seq
	if w.Outcome == Unknown {
		w.Return = min(w.Return, at)
	}
	b.put(seq, w, at)
}

// put notes who is where, and complains when somebody else is.
func (b *book) put(seq uint64, w *Write, at core.Stamp) {
	if old, known := b.places[seq]; known {
		if old.w != w {
			b.report(Dense, max(at, old.at), "sequence %d of stream %s was used twice: by %s and by %s", seq, b.s.Name, old.w, w)
		}
		return
	}
	b.places[seq] = place{w, at}
}

// stored lists the writes whose sequence is known, by sequence.
func (b *book) stored() []*Write {
	out := make([]*Write, 0, len(b.seqs))
	for _, seq := range b.seqs {
		out = append(out, b.places[seq].w)
	}
	return out
}

// order demands that what began after another's answer comes later, and that a
// connection's publishes keep their order.
func (b *book) order() {
	list := b.stored()
	var latest *Write // of the calls so far, by sequence
	last := make(map[string]*Write)
	for _, w := range list {
		if latest != nil && w.Return < latest.Call {
			b.report(Order, latest.Call, "%s has sequence %d of stream %s, and %s, which began after it was answered, has %d", w, w.Seq, b.s.Name, latest, latest.Seq)
		}
		if latest == nil || w.Call > latest.Call {
			latest = w
		}
		if before := last[w.Conn]; before != nil && before.Call > w.Call && before.Batch == "" && w.Batch == "" {
			b.report(Order, w.Call, "%s was sent after %s on one connection, and their sequences in stream %s are %d and %d", before, w, b.s.Name, before.Seq, w.Seq)
		}
		if w.Batch == "" {
			last[w.Conn] = w
		}
	}
}

// expected judges the preconditions of what was stored and of what was refused.
func (b *book) expected() {
	for _, w := range b.s.Writes {
		switch {
		case w.Outcome == OK && !w.Dup && w.Batch == "":
			b.held(w)
		case w.Outcome == Refused && w.Err == errWrongLast:
			b.wrongLast(w)
		}
	}
}

const errWrongLast = 10071

// held demands that the conditions of a stored message held at its place.
func (b *book) held(w *Write) {
	if w.LastSeq >= 0 && uint64(w.LastSeq)+1 != w.Seq {
		b.report(Expected, w.Return, "%s expected the last sequence %d of stream %s and was stored at %d", w, w.LastSeq, b.s.Name, w.Seq)
	}
	if w.LastMsgID != "" {
		if prior, known := b.places[w.Seq-1]; known && prior.w.MsgID != w.LastMsgID {
			b.report(Expected, w.Return, "%s expected the last message id %q of stream %s and was stored after %s with the id %q", w, w.LastMsgID, b.s.Name, prior.w, prior.w.MsgID)
		}
	}
	if w.LastSubjSeq < 0 {
		return
	}
	i, _ := slices.BinarySearch(b.seqs, w.Seq)
	for i--; i >= 0 && b.seqs[i] > uint64(w.LastSubjSeq); i-- {
		if p := b.places[b.seqs[i]].w; p.Subject == w.Subject && !b.mayBeGone(p, w.Return) {
			b.report(Expected, w.Return, "%s expected the last sequence %d of its subject in stream %s and was stored at %d, after %s at %d", w, w.LastSubjSeq, b.s.Name, w.Seq, p, p.Seq)
		}
	}
	if p, known := b.places[uint64(w.LastSubjSeq)]; known && p.w.Subject != w.Subject {
		b.report(Expected, w.Return, "%s expected the last sequence %d of its subject, which is another subject's: %s", w, w.LastSubjSeq, p.w)
	}
}

// wrongLast demands that what a refusal says of the last sequence was so.
func (b *book) wrongLast(w *Write) {
	want := w.LastSeq
	if w.LastSubjSeq >= 0 {
		want = w.LastSubjSeq
	}
	if want >= 0 && uint64(want) == w.ErrSeq {
		b.report(Expected, w.Return, "%s expected the last sequence %d, and was refused since it is %d", w, want, w.ErrSeq)
		return
	}
	subject := ""
	if w.LastSubjSeq >= 0 {
		subject = w.Subject
	}
	for _, p := range b.s.Writes {
		if p.Outcome != OK || p.Dup || p.Return >= w.Call || p.Seq <= w.ErrSeq || subject != "" && p.Subject != subject || subject != "" && b.mayBeGone(p, w.Return) {
			continue
		}
		b.report(Expected, w.Return, "%s was refused since the last sequence in stream %s was %d, and %s had been stored at %d before", w, b.s.Name, w.ErrSeq, p, p.Seq)
		return
	}
	if p, known := b.places[w.ErrSeq]; known && (subject != "" && p.w.Subject != subject || p.w.Call > w.Return) {
		b.report(Expected, w.Return, "%s was refused since the last sequence in stream %s was %d, which is %s", w, b.s.Name, w.ErrSeq, p.w)
	}
}

// mayBeGone tells whether something may have removed a message before a stamp: a
// removal, a rollup, or a policy.
func (b *book) mayBeGone(w *Write, before core.Stamp) bool {
	if b.s.MaxAge > 0 || b.s.TTLs || b.s.Retention != "limits" || b.s.MaxMsgs > 0 || b.s.MaxBytes > 0 {
		return true
	}
	return b.removedBy(w, before) != nil
}

// removedBy finds a removal that may have taken a message before a stamp.
func (b *book) removedBy(w *Write, before core.Stamp) *Removal {
	for _, r := range b.s.Removals {
		if r.Outcome != Refused && r.Call < before && b.mayTake(r, w) {
			return r
		}
	}
	return nil
}

// mayTake tells whether a removal may have taken a message.
func (b *book) mayTake(r *Removal, w *Write) bool {
	if r.Seq > 0 {
		return r.Seq == w.Seq
	}
	if !covers(r.Filter, w.Subject) || r.UpTo > 0 && w.Seq >= r.UpTo || w.Call > r.Return {
		return false
	}
	return r.Keep == 0 || b.above(r, w) >= r.Keep
}

// above counts the messages above one that a purge with a filter may have met.
func (b *book) above(r *Removal, w *Write) int {
	n := 0
	for i := len(b.seqs) - 1; i >= 0 && b.seqs[i] > w.Seq; i-- {
		if p := b.places[b.seqs[i]].w; covers(r.Filter, p.Subject) && p.Call < r.Return {
			n++
		}
	}
	for _, p := range b.s.Writes { // of whom nobody knows
		if p.Outcome == Unknown && p.Seq == 0 && covers(r.Filter, p.Subject) && p.Call < r.Return {
			n++
		}
	}
	return n
}

// timeOf is when a message was stored, as an audit saw it.
func (b *book) timeOf(seq uint64) (time.Time, bool) {
	for _, a := range b.s.Audits {
		i, found := slices.BinarySearchFunc(a.Msgs, seq, func(m Stored, seq uint64) int { return cmp.Compare(m.Seq, seq) })
		if found {
			return a.Msgs[i].Time, true
		}
	}
	return time.Time{}, false
}

// duplicates judges message ids.
func (b *book) duplicates() {
	first := make(map[string]*Write) // the latest stored with the id
	for _, w := range b.stored() {
		if w.MsgID == "" {
			continue
		}
		if p := first[w.MsgID]; p != nil {
			t1, ok1 := b.timeOf(p.Seq)
			t2, ok2 := b.timeOf(w.Seq)
			if ok1 && ok2 && t2.Sub(t1) < b.s.Window {
				b.report(Dedupe, w.Return, "the id %q is in stream %s twice within %v: at %d and %v later at %d", w.MsgID, b.s.Name, b.s.Window, p.Seq, t2.Sub(t1), w.Seq)
			}
		}
		first[w.MsgID] = w
	}
	for _, w := range b.s.Writes {
		if w.Outcome != OK || !w.Dup {
			continue
		}
		p, known := b.places[w.Seq]
		switch {
		case w.MsgID == "":
			b.report(Dedupe, w.Return, "%s has no id and was answered as a duplicate of %d in stream %s", w, w.Seq, b.s.Name)
		case known && p.w.MsgID != w.MsgID:
			b.report(Dedupe, w.Return, "%s has the id %q and was answered as a duplicate of %d in stream %s, whose id is %q", w, w.MsgID, w.Seq, b.s.Name, p.w.MsgID)
		case known && p.w.Call > w.Return:
			b.report(Dedupe, w.Return, "%s was answered as a duplicate of %d in stream %s, which was published later: %s", w, w.Seq, b.s.Name, p.w)
		}
	}
}

// batches demands that each is there as a whole and in one piece, or not at all.
func (b *book) batches() {
	groups := make(map[string][]*Write)
	var names []string
	for _, w := range b.s.Writes {
		if w.Batch != "" {
			if groups[w.Batch] == nil {
				names = append(names, w.Batch)
			}
			groups[w.Batch] = append(groups[w.Batch], w)
		}
	}
	for _, name := range names {
		b.batch(name, groups[name])
	}
}

func (b *book) batch(name string, list []*Write) {
	last := list[len(list)-1]
	seen, at := 0, core.Stamp(0)
	for _, w := range list {
		if w.seen || w.Outcome == OK && w.Seq != 0 {
			seen++
			at = max(at, w.Return)
		}
	}
	if seen == 0 {
		return
	}
	if !last.Commit {
		b.report(Batch, last.Call, "batch %s of stream %s was never committed, and %d of its messages are stored", name, b.s.Name, seen)
		return
	}
	whole := true // nothing may have removed a part
	for i, w := range list {
		want := last.Seq - uint64(len(list)-1-i)
		if w.Seq != 0 && last.Seq != 0 && w.Seq != want {
			b.report(Batch, last.Return, "batch %s of stream %s ends at %d, and its message %d of %d is at %d", name, b.s.Name, last.Seq, i+1, len(list), w.Seq)
		}
		whole = whole && !b.mayBeGone(w, core.Never) && b.s.MaxPer == 0
	}
	there := 0
	for _, w := range list {
		if w.seen {
			there++
		}
	}
	if whole && there < len(list) && len(b.s.Audits) > 0 {
		b.report(Batch, last.Return, "batch %s of stream %s has %d messages, and %d are stored", name, b.s.Name, len(list), there)
	}
}
