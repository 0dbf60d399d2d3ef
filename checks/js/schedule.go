package js

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
)

// Scheduled says what a publish has to do with schedules: it is one, or it ends one.
type Scheduled struct {
	Due    time.Time     // of one that fires once; zero of others
	Every  time.Duration // between two firings; 0 of one that fires once
	Target string        // where its messages go; "" is no schedule
	Source string        // of whose newest message they are made; "" is its own
	Ends   string        // the subject whose schedule the publish ends, besides that of its own
}

// Firing is what a message that a schedule made says of it.
type Firing struct {
	Scheduler string    // subject of the schedule
	Next      time.Time // when it is due next; zero is never
}

// scheduling is what is known of the schedules of a stream.
type scheduling struct {
	*book
	fired map[*Write][]*Stored // by schedule, in the order of the stream
	late  time.Duration        // how long after its time a schedule may fire, while the server serves
}

// schedules judges what schedules made. Only messages on subjects of schedules go by themselves in such a
// stream, so whatever they made is there in the end.
func (b *book) schedules() {
	if !b.s.Schedules || len(b.s.Audits) == 0 {
		return
	}
	s := &scheduling{book: b, fired: make(map[*Write][]*Stored), late: slack + b.settling}
	last := b.s.Audits[len(b.s.Audits)-1]
	for i := range last.Msgs {
		if m := &last.Msgs[i]; m.Fired != nil {
			s.made(m, last.At)
		}
	}
	s.stays()
	for _, w := range b.s.Writes {
		if w.Schedule != nil && w.Schedule.Target != "" {
			s.kept(w, last)
		}
	}
}

// made judges one message that a schedule made.
func (s *scheduling) made(m *Stored, at core.Stamp) {
	w := s.writes[m.ID]
	if w == nil || w.Schedule == nil || w.Schedule.Target == "" { // made of another message
		w = s.scheduleOn(m.Fired.Scheduler, m.Seq)
	}
	if w == nil || w.Subject != m.Fired.Scheduler {
		s.report(Schedule, at, "%d of stream %s says that the schedule of %q made it, and there was none", m.Seq, s.s.Name, m.Fired.Scheduler)
		return
	}
	switch {
	case w.Outcome == Refused:
		s.report(Schedule, at, "%s was refused, and made %d of stream %s", w, m.Seq, s.s.Name)
	case w.Schedule.Target != m.Subject || !m.Intact || !s.madeOf(w, m):
		s.report(Schedule, at, "%d of stream %s on %q, with the payload of message %d, is not what %s makes", m.Seq, s.s.Name, m.Subject, m.ID, w)
	case w.Seq > m.Seq:
		s.report(Schedule, at, "%s at %d of stream %s made %d before it", w, w.Seq, s.s.Name, m.Seq)
	}
	if end := s.endBefore(w, m.Seq); end != "" {
		s.report(Schedule, at, "%s made %d of stream %s, and had been ended by %s", w, m.Seq, s.s.Name, end)
	}
	s.times(w, m, at)
	s.fired[w] = append(s.fired[w], m)
}

// madeOf tells whether a message has the payload that it should have.
func (s *scheduling) madeOf(w *Write, m *Stored) bool {
	if w.ID == m.ID {
		return true // also of one that found nothing at its source
	}
	from := s.writes[m.ID]
	return from != nil && from.Subject == w.Schedule.Source && from.Call < core.Never && (from.Seq == 0 || from.Seq < m.Seq)
}

// scheduleOn finds the schedule that was last stored on a subject before a sequence.
func (s *scheduling) scheduleOn(subject string, before uint64) (found *Write) {
	for _, w := range s.s.Writes {
		if w.Subject == subject && w.Schedule != nil && w.Schedule.Target != "" && w.Seq < before && w.Outcome != Refused && (found == nil || w.Seq > found.Seq) {
			found = w
		}
	}
	return found
}

// endBefore names what surely ended a schedule before a sequence was used; "" is nothing.
func (s *scheduling) endBefore(w *Write, seq uint64) string {
	if w.Seq == 0 {
		return ""
	}
	for _, p := range s.stored() {
		if p.Seq > w.Seq && p.Seq < seq && (p.Subject == w.Subject || p.Schedule != nil && p.Schedule.Ends == w.Subject) {
			return p.String()
		}
	}
	for _, r := range s.s.Removals {
		if r.Outcome == OK && r.Call > w.Return && s.mayTake(r, w) && s.firstAfter(r.Return) < seq {
			return "its removal"
		}
	}
	return ""
}

// firstAfter is the lowest sequence that a publish has which began after a stamp.
func (s *scheduling) firstAfter(at core.Stamp) uint64 {
	first := ^uint64(0)
	for _, w := range s.s.Writes {
		if w.Call > at && w.Seq > 0 && !w.Dup {
			first = min(first, w.Seq)
		}
	}
	return first
}

// times demands that a schedule fires once for each time, not before it and not long after.
func (s *scheduling) times(w *Write, m *Stored, at core.Stamp) {
	due, known := s.dueOf(w)
	if list := s.fired[w]; len(list) > 0 {
		before := list[len(list)-1]
		due, known = before.Fired.Next, true
		if before.Fired.Next.IsZero() {
			s.report(Schedule, at, "%s was to fire for the last time with %d of stream %s, and fired again with %d", w, before.Seq, s.s.Name, m.Seq)
			return
		}
	}
	if !known {
		return
	}
	if next := m.Fired.Next; w.Schedule.Every > 0 && (!next.After(due) || !s.s.Jumped && next.Sub(m.Time) > w.Schedule.Every+time.Second) {
		s.report(Schedule, at, "%s was due at %v, made %d of stream %s at %v, and says that it is due next at %v", w, due, m.Seq, s.s.Name, m.Time, next)
	}
	// A clock that is set back between the moment at which it is due and that at which it is told may show less.
	if m.Time.Before(due) && !s.s.Jumped || s.s.WallMax.Before(due) {
		s.report(Schedule, at, "%s made %d of stream %s at %v, and was due at %v", w, m.Seq, s.s.Name, m.Time, due)
	}
	if s.s.Jumped {
		return
	}
	if since := s.servingSince(m.Time); m.Time.Sub(due) > s.late && m.Time.Sub(since) > s.late {
		s.report(Schedule, at, "%s was due at %v and made %d of stream %s at %v, and the server had been there since %v", w, due, m.Seq, s.s.Name, m.Time, since)
	}
}

// dueOf is when a schedule is due for the first time, or the earliest that it may be.
func (s *scheduling) dueOf(w *Write) (time.Time, bool) {
	if w.Schedule.Every == 0 {
		due := w.Schedule.Due
		if t, known := s.timeOf(w.Seq); known && t.After(due) {
			due = t // it was due when it came
		}
		return due, true
	}
	return time.Time{}, false
}

// servingSince is when the life of the server began that it was in at a time.
func (s *scheduling) servingSince(t time.Time) (since time.Time) {
	for _, l := range s.lives {
		if !l.After(t) {
			since = l
		}
	}
	return since
}

// stays demands that what schedules made is still there after a restart.
func (s *scheduling) stays() {
	for i := 1; i < len(s.s.Audits); i++ {
		before, a := s.s.Audits[i-1], s.s.Audits[i]
		here := make(map[uint64]bool, len(a.Msgs))
		for k := range a.Msgs {
			here[a.Msgs[k].Seq] = true
		}
		for k := range before.Msgs {
			if m := &before.Msgs[k]; m.Fired != nil && !here[m.Seq] {
				s.report(Prefix, a.At, "%d of stream %s, which a schedule made, was there before the restart, and is not after it", m.Seq, s.s.Name)
				return
			}
		}
	}
}

// kept demands that a schedule that was stored and not ended is there, or fired for the last time.
func (s *scheduling) kept(w *Write, a *Audit) {
	if w.Seq == 0 || w.Return > a.At {
		return
	}
	i, here := slices.BinarySearchFunc(a.Msgs, w.Seq, func(m Stored, seq uint64) int {
		if m.Seq < seq {
			return -1
		}
		return int(min(m.Seq-seq, 1))
	})
	var last *Stored
	if list := s.fired[w]; len(list) > 0 {
		last = list[len(list)-1]
	}
	over := last != nil && last.Fired.Next.IsZero()
	switch {
	case here && over:
		s.report(Schedule, a.At, "%s fired for the last time with %d of stream %s, and is still there", w, last.Seq, s.s.Name)
	case here && s.mayHaveEnded(w): // a message without a schedule ends one of its subject, and leaves its message
	case here:
		s.overdue(w, last, &a.Msgs[i], a.At)
	case !over && !s.mayHaveEnded(w):
		s.report(Schedule, a.At, "%s at %d of stream %s was not ended, has not fired for the last time, and is gone", w, w.Seq, s.s.Name)
	}
}

// overdue demands that a schedule that is in force does not wait for a time that is past.
func (s *scheduling) overdue(w *Write, last, m *Stored, at core.Stamp) {
	due := w.Schedule.Due
	switch {
	case last != nil:
		due = last.Fired.Next
	case w.Schedule.Every > 0:
		due = m.Time.Add(w.Schedule.Every + time.Second)
	}
	if s.s.Settled.Sub(due) > s.late && m.Read.After(s.s.Settled) {
		s.report(Schedule, at, "%s at %d of stream %s was due at %v, and has not fired at %v", w, w.Seq, s.s.Name, due, s.s.Settled)
	}
}

// mayHaveEnded tells whether something may have ended a schedule.
func (s *scheduling) mayHaveEnded(w *Write) bool {
	for _, p := range s.s.Writes {
		if p != w && p.Outcome != Refused && (p.Seq == 0 || p.Seq > w.Seq) && (p.Subject == w.Subject || p.Schedule != nil && p.Schedule.Ends == w.Subject) {
			return true
		}
	}
	return s.removedBy(w, core.Never) != nil
}
