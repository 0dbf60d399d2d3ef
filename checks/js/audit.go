package js

import (
	"cmp"
	"slices"
	"time"
)

// audits compares each full read with what must and what may be there.
func (b *book) audits() {
	for i, a := range b.s.Audits {
		here := make(map[uint64]*Stored, len(a.Msgs))
		for k := range a.Msgs {
			here[a.Msgs[k].Seq] = &a.Msgs[k]
		}
		b.kept(a, here)
		b.told(a)
		b.rising(a)
		if i > 0 {
			b.again(b.s.Audits[i-1], a, here)
		}
		b.limits(a)
	}
}

// kept demands that everything is there that nothing may have removed.
func (b *book) kept(a *Audit, here map[uint64]*Stored) {
	if b.s.Retention != "limits" {
		return
	}
	lost := 0
	for _, seq := range b.seqs {
		w := b.places[seq].w
		if here[seq] != nil || w.Return > a.At || lost > 3 || w.Fleeting || b.policyTakes(w, a) {
			continue
		}
		if b.removedBy(w, a.At) != nil {
			continue
		}
		lost++
		b.report(Acked, a.At, "%s was stored at %d in stream %s, nothing removed it, and it is gone (the stream has %d to %d)", w, seq, b.s.Name, a.State.FirstSeq, a.State.LastSeq)
	}
}

// policyTakes tells whether limits may have taken a message. All of them are judged exactly,
// so far as the messages above are known.
func (b *book) policyTakes(w *Write, a *Audit) bool {
	s := b.s
	if s.MaxAge > 0 || w.TTL > 0 {
		life := s.MaxAge
		if w.TTL > 0 && (life == 0 || w.TTL < life) {
			life = w.TTL
		}
		t, known := b.timeOf(w.Seq)
		if !known || t.Add(life).Before(s.WallMax) {
			return true
		}
	}
	if s.MaxBytes > 0 && !s.DiscardNew {
		return true // judged by what is there
	}
	if s.MaxMsgs > 0 && !s.DiscardNew && b.over(w, a, "") >= s.MaxMsgs {
		return true
	}
	return (s.MaxPer > 0 || s.KV) && (!s.NewPer && b.over(w, a, w.Subject) >= max(s.MaxPer, 1) || b.rolledUp(w))
}

// over counts what may have been stored above a message.
func (b *book) over(w *Write, a *Audit, subject string) int {
	n := 0
	for _, p := range b.s.Writes {
		switch {
		case p.Outcome == Refused || p.Dup || subject != "" && p.Subject != subject || p.Call > a.At:
		case p.Seq > w.Seq, p.Seq == 0 && p.Outcome == Unknown && p.Return > w.Call:
			n++
		}
	}
	for i := range a.Msgs {
		if m := &a.Msgs[i]; m.Marker && m.Seq > w.Seq && (subject == "" || m.Subject == subject) {
			n++
		}
	}
	return n
}

// rolledUp tells whether a rollup may have taken a message.
func (b *book) rolledUp(w *Write) bool {
	for _, p := range b.s.Writes {
		if p.Rollup && p.Subject == w.Subject && p.Outcome != Refused && (p.Seq == 0 || p.Seq > w.Seq) {
			return true
		}
	}
	return false
}

// told demands that what a stream reports of itself is so.
func (b *book) told(a *Audit) {
	st, n := a.State, len(a.Msgs)
	if b.s.MaxAge > 0 || b.s.TTLs || b.s.Schedules {
		return // something may have gone between the two
	}
	if int(st.Msgs) != n {
		b.report(Info, a.At, "stream %s reports %d messages, and %d were read", b.s.Name, st.Msgs, n)
		return
	}
	if n > 0 && (a.Msgs[0].Seq != st.FirstSeq || a.Msgs[n-1].Seq > st.LastSeq) {
		b.report(Info, a.At, "stream %s reports sequences %d to %d, and %d to %d were read", b.s.Name, st.FirstSeq, st.LastSeq, a.Msgs[0].Seq, a.Msgs[n-1].Seq)
	}
	if n > 0 && int(st.LastSeq-st.FirstSeq)+1-n != st.NumDeleted {
		b.report(Info, a.At, "stream %s reports %d deleted, and %d to %d with %d messages were read", b.s.Name, st.NumDeleted, st.FirstSeq, st.LastSeq, n)
	}
	subjects := make(map[string]bool)
	for i := range a.Msgs {
		subjects[a.Msgs[i].Subject] = true
	}
	if len(subjects) != st.Subjects {
		b.report(Info, a.At, "stream %s reports %d subjects, and %d were read", b.s.Name, st.Subjects, len(subjects))
	}
	if k := len(b.seqs); k > 0 && st.LastSeq < b.seqs[k-1] && b.places[b.seqs[k-1]].at < a.At {
		b.report(Dense, a.At, "stream %s reports the last sequence %d, and %d was stored", b.s.Name, st.LastSeq, b.seqs[k-1])
	}
	// Nothing but what may have been stored has a sequence.
	most := uint64(0)
	for _, w := range b.s.Writes {
		if w.Outcome != Refused && !w.Dup {
			most++
		}
	}
	if st.LastSeq > most && !b.s.TTLs {
		b.report(Dense, a.At, "stream %s has the last sequence %d, and at most %d messages were stored", b.s.Name, st.LastSeq, most)
	}
}

// rising demands that entry times never fall.
func (b *book) rising(a *Audit) {
	for i := 1; i < len(a.Msgs); i++ {
		if a.Msgs[i].Time.Before(a.Msgs[i-1].Time) {
			b.report(EarlyTime, a.At, "in stream %s the message at %d has the time %v, and the one before it %v", b.s.Name, a.Msgs[i].Seq, a.Msgs[i].Time, a.Msgs[i-1].Time)
			return
		}
	}
}

// again compares a read after a restart with the one before.
func (b *book) again(before, a *Audit, here map[uint64]*Stored) {
	was := make(map[uint64]bool, len(before.Msgs))
	for i := range before.Msgs {
		m := &before.Msgs[i]
		was[m.Seq] = true
		if here[m.Seq] == nil && b.s.Retention == "limits" && b.s.MaxAge == 0 && !b.s.TTLs && !b.s.Schedules {
			b.report(Prefix, a.At, "sequence %d of stream %s was there before the restart, and is not after it", m.Seq, b.s.Name)
			return
		}
	}
	for i := range a.Msgs {
		if m := &a.Msgs[i]; !was[m.Seq] && m.Seq <= before.State.LastSeq {
			b.report(Tombstones, a.At, "sequence %d of stream %s was gone before the restart, and is back", m.Seq, b.s.Name)
			return
		}
	}
	if before.State.LastSeq > a.State.LastSeq || before.State.FirstSeq > a.State.FirstSeq {
		b.report(Tombstones, a.At, "stream %s reported %d to %d before the restart, and reports %d to %d", b.s.Name, before.State.FirstSeq, before.State.LastSeq, a.State.FirstSeq, a.State.LastSeq)
	}
}

// slack is how late what is due may go.
const slack = 15 * time.Second

// limits demands that nothing is there which policy must have taken.
func (b *book) limits(a *Audit) {
	s := b.s
	if s.MaxMsgs > 0 && len(a.Msgs) > s.MaxMsgs {
		b.report(Policy, a.At, "stream %s has %d messages, and its limit is %d", s.Name, len(a.Msgs), s.MaxMsgs)
	}
	if s.MaxBytes > 0 && a.State.Bytes > uint64(s.MaxBytes) {
		b.report(Policy, a.At, "stream %s has %d bytes, and its limit is %d", s.Name, a.State.Bytes, s.MaxBytes)
	}
	if s.MaxPer > 0 {
		name := Policy
		if s.KV {
			name = KVHist
		}
		per := make(map[string]int)
		for i := range a.Msgs {
			m := &a.Msgs[i]
			if per[m.Subject]++; per[m.Subject] == s.MaxPer+1 {
				b.report(name, a.At, "stream %s has more than %d messages on %q", s.Name, s.MaxPer, m.Subject)
			}
		}
	}
	for i := range a.Msgs {
		m := &a.Msgs[i]
		life := s.MaxAge
		if w := b.writes[m.ID]; w != nil && w.TTL > 0 && (life == 0 || w.TTL < life) {
			life = w.TTL
		}
		if life > 0 && !m.Marker && !s.Jumped && m.Read.Sub(m.Time.Add(life)) > slack {
			b.report(Policy, a.At, "sequence %d of stream %s was stored at %v to live %v, and it was read at %v", m.Seq, s.Name, m.Time, life, m.Read)
			return
		}
	}
}

// bounds demands that first and last sequence never fall.
func (b *book) bounds() {
	list := slices.Clone(b.s.FirstLast)
	slices.SortStableFunc(list, func(x, y Bounds) int { return cmp.Compare(x.At, y.At) })
	for i, x := range list {
		var first, last Bounds // the highest that was answered before x was asked
		for _, y := range list[:i] {
			if y.At < x.Call {
				if y.First > first.First {
					first = y
				}
				if y.Last > last.Last {
					last = y
				}
			}
		}
		if x.First < first.First || x.Last < last.Last {
			b.report(Tombstones, x.At, "stream %s reports %d to %d (asked at %d), and reported first %d (asked at %d, told at %d) and last %d (asked at %d, told at %d) before",
				b.s.Name, x.First, x.Last, x.Call, first.First, first.Call, first.At, last.Last, last.Call, last.At)
			return
		}
		if i > 400 { // quadratic
			return
		}
	}
}

// removals demands that what was removed is gone.
func (b *book) removals() {
	for _, r := range b.s.Removals {
		if r.Outcome != OK {
			continue
		}
		for _, a := range b.s.Audits {
			if r.Return > a.At {
				continue
			}
			left := 0
			for i := range a.Msgs {
				w := b.writes[a.Msgs[i].ID]
				if w == nil || a.Msgs[i].Marker {
					continue
				}
				if r.Seq > 0 && w.Seq == r.Seq {
					b.report(Deleted, a.At, "sequence %d of stream %s was deleted, and is there", r.Seq, b.s.Name)
				}
				if r.Seq == 0 && covers(r.Filter, w.Subject) && w.Return < r.Call && (r.UpTo == 0 || w.Seq < r.UpTo) {
					if left++; left == r.Keep+1 {
						b.report(Deleted, a.At, "a purge of stream %s (subject %q, below %d, keep %d) left more, such as %d", b.s.Name, r.Filter, r.UpTo, r.Keep, w.Seq)
					}
				}
			}
		}
	}
	b.rollups()
}

// rollups demands that nothing is left below a rollup.
func (b *book) rollups() {
	for _, w := range b.s.Writes {
		if !w.Rollup || w.Seq == 0 {
			continue
		}
		for _, a := range b.s.Audits {
			for i := range a.Msgs {
				if m := &a.Msgs[i]; m.Seq < w.Seq && m.Subject == w.Subject && w.Return < a.At {
					b.report(Deleted, a.At, "%s rolled up its subject at %d in stream %s, and %d is left", w, w.Seq, b.s.Name, m.Seq)
					return
				}
			}
		}
	}
}

// subjects searches for an order of what was done to each subject.
func (b *book) subjects() {
	if b.s.Retention != "limits" || b.s.MaxAge > 0 || b.s.TTLs || b.s.Schedules || len(b.s.Fast) > 0 || len(b.s.Removals) > 0 || b.s.MaxMsgs > 0 || b.s.MaxBytes > 0 {
		return // what goes by itself is no part of the model
	}
	b.registers()
}
