package js

import (
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/checks/core"
)

// RotRead is what was read of a stream when files of the stopped server had been damaged.
type RotRead struct {
	At      core.Stamp
	Damage  []string // what was done, for the message of a violation
	Stopped bool     // the stream, or all of JetStream, does not serve, and the server says so
	Told    bool     // the server said that the stream, or the log, is damaged
	Gone    bool     // the server says that there is no such stream
	Msgs    []Stored
	// Failed are the sequences whose read was answered with an error other than that there is no such message.
	Failed map[uint64]bool
	Lost   []uint64 // sequences that the stream reports as lost
	Sent   []*Write // publishes after it was read: no other judge knows them
	Acked  []*Write // those of them that were acknowledged
}

// rotten judges what a damaged disk made of a stream: every message is served as it was, or the server says that
// something is lost. It never serves other bytes under a sequence, and gives no sequence away once more.
func (b *book) rotten() {
	if len(b.s.Rots) == 0 || len(b.s.Audits) == 0 {
		return
	}
	before := b.s.Audits[len(b.s.Audits)-1]
	was := make(map[uint64]*Stored, len(before.Msgs))
	for i := range before.Msgs {
		was[before.Msgs[i].Seq] = &before.Msgs[i]
	}
	var acked []*Write
	told := false
	for _, r := range b.s.Rots {
		told = told || r.Told
		if r.Stopped {
			continue
		}
		if r.Gone {
			if !told {
				b.report(Rot, r.At, "stream %s is gone, and the server does not say that anything is damaged: %v", b.s.Name, r.Damage)
			}
			continue
		}
		for _, w := range r.Sent {
			b.writes[w.ID] = w
		}
		b.rotRead(r, before, was, told)
		b.rotAcked(r, acked, told)
		for _, w := range r.Acked {
			if w.Seq <= before.State.LastSeq {
				b.report(Rot, r.At, "%s was acknowledged at %d of stream %s, whose last sequence had been %d: %v", w, w.Seq, b.s.Name, before.State.LastSeq, r.Damage)
			}
		}
		acked = append(acked, r.Acked...)
	}
}

// rotRead compares one read with the last one before the damage.
func (b *book) rotRead(r *RotRead, before *Audit, was map[uint64]*Stored, told bool) {
	here := make(map[uint64]bool, len(r.Msgs))
	for i := range r.Msgs {
		m := &r.Msgs[i]
		here[m.Seq] = true
		switch o := was[m.Seq]; {
		case o == nil && m.Seq <= before.State.LastSeq && !told:
			b.report(Rot, r.At, "sequence %d of stream %s was gone, and is back with message %d: %v", m.Seq, b.s.Name, m.ID, r.Damage)
		case o != nil && different(o, m) != "":
			b.report(Rot, r.At, "sequence %d of stream %s is served with another %s than before: %v", m.Seq, b.s.Name, different(o, m), r.Damage)
		case o == nil && m.ID != 0 && (b.writes[m.ID] == nil || !m.Intact):
			b.report(Rot, r.At, "sequence %d of stream %s is served with what nobody published: %v", m.Seq, b.s.Name, r.Damage)
		}
	}
	if told || b.goes() {
		return
	}
	for i := range before.Msgs {
		m := &before.Msgs[i]
		if w := b.writes[m.ID]; here[m.Seq] || r.Failed[m.Seq] || slices.Contains(r.Lost, m.Seq) || w != nil && w.Fleeting {
			continue
		}
		b.report(Rot, r.At, "sequence %d of stream %s is lost, and the server does not say that anything is damaged: %v", m.Seq, b.s.Name, r.Damage)
		return
	}
}

// goes tells whether messages may leave a stream by themselves, or because others came or were taken.
func (b *book) goes() bool {
	s := b.s
	return s.MaxAge > 0 || s.TTLs || s.MaxMsgs > 0 || s.MaxBytes > 0 || s.MaxPer > 0 || s.KV || s.Retention != "limits" && len(s.Consumers) == 0
}

// different names what two reads of a message do not have in common; "" is nothing.
func different(a, b *Stored) string {
	switch {
	case a.Subject != b.Subject:
		return fmt.Sprintf("subject (%q, %q)", a.Subject, b.Subject)
	case a.ID != b.ID || b.Intact != a.Intact || a.Val != b.Val:
		return fmt.Sprintf("payload (of %d, of %d, whole: %v)", a.ID, b.ID, b.Intact)
	case !a.Time.Equal(b.Time):
		return fmt.Sprintf("time (%v, %v)", a.Time, b.Time)
	case a.Marker != b.Marker:
		return "header"
	}
	return ""
}

// rotAcked demands that what was acknowledged since has a new sequence, and is there.
func (b *book) rotAcked(r *RotRead, acked []*Write, told bool) {
	here := make(map[uint64]uint64, len(r.Msgs))
	for i := range r.Msgs {
		here[r.Msgs[i].Seq] = r.Msgs[i].ID
	}
	for _, w := range acked {
		id, found := here[w.Seq]
		switch {
		case found && id != w.ID:
			b.report(Rot, r.At, "%s was acknowledged at %d of stream %s, and that holds message %d: %v", w, w.Seq, b.s.Name, id, r.Damage)
		case !found && !told && !r.Failed[w.Seq] && !slices.Contains(r.Lost, w.Seq) && !b.goes():
			b.report(Rot, r.At, "%s was acknowledged at %d of stream %s and is lost, and the server does not say that anything is damaged: %v", w, w.Seq, b.s.Name, r.Damage)
		}
	}
}
