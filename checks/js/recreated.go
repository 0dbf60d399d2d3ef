package js

import "github.com/lockstepmq/lockstep/checks/core"

// recreated judges a stream that was deleted and made anew under its name.
func (b *book) recreated() {
	for _, a := range b.s.Audits {
		here := make(map[uint64]uint64, len(a.Msgs)) // ids by sequence
		for i := range a.Msgs {
			m := &a.Msgs[i]
			here[m.Seq] = m.ID
			w := b.writes[m.ID]
			switch {
			case w == nil || w.Subject != m.Subject || !m.Intact:
				b.report(NothingElse, a.At, "sequence %d of stream %s holds message %d on %q, which nobody published so", m.Seq, b.s.Name, m.ID, m.Subject)
			case w.Outcome == Refused || w.Outcome == OK && w.Dup:
				b.report(NothingElse, a.At, "refused-but-stored: sequence %d of stream %s holds %s", m.Seq, b.s.Name, w)
			case b.deletedAfter(w.Return) != nil:
				b.report(Incarnation, a.At, "stream %s holds %s at %d, which was stored before the stream was deleted", b.s.Name, w, m.Seq)
			}
		}
		b.told(a)
		for _, w := range b.s.Writes {
			if w.Outcome == OK && !w.Dup && w.Return < a.At && !b.mayBeDeletedAfter(w.Call) && here[w.Seq] != w.ID {
				b.report(Acked, a.At, "%s was acknowledged at %d of stream %s, and that holds message %d", w, w.Seq, b.s.Name, here[w.Seq])
				break
			}
		}
	}
	b.recreatedTwice()
	b.recreatedIDs()
}

// deletedAfter finds a deletion that was confirmed and began after a stamp.
func (b *book) deletedAfter(at core.Stamp) *Removal {
	for _, d := range b.s.Deletions {
		if d.Outcome == OK && d.Call > at {
			return d
		}
	}
	return nil
}

// mayBeDeletedAfter tells whether a deletion may have come after a stamp.
func (b *book) mayBeDeletedAfter(at core.Stamp) bool {
	for _, d := range b.s.Deletions {
		if d.Outcome != Refused && d.Return > at {
			return true
		}
	}
	return false
}

// recreatedTwice demands that no sequence is acknowledged twice without a deletion between.
func (b *book) recreatedTwice() {
	by := make(map[uint64]*Write)
	for _, w := range b.s.Writes {
		if w.Outcome != OK || w.Dup {
			continue
		}
		if p := by[w.Seq]; p != nil && !b.mayBeDeletedAfter(min(p.Call, w.Call)) {
			b.report(Dense, w.Return, "sequence %d of stream %s was used twice: by %s and by %s", w.Seq, b.s.Name, p, w)
		}
		by[w.Seq] = w
	}
}

// recreatedIDs demands that ids of an earlier stream are forgotten.
func (b *book) recreatedIDs() {
	for _, w := range b.s.Writes {
		if w.Outcome != OK || !w.Dup {
			continue
		}
		var last *Removal // the latest deletion that was over before
		for _, d := range b.s.Deletions {
			if d.Outcome == OK && d.Return < w.Call {
				last = d
			}
		}
		fresh := last == nil
		for _, p := range b.s.Writes {
			fresh = fresh || p != w && p.MsgID == w.MsgID && p.Call < w.Return && p.Return > last.Call
		}
		if !fresh {
			b.report(Incarnation, w.Return, "%s was answered as a duplicate of %d, of a stream %s that was deleted before", w, w.Seq, b.s.Name)
		}
	}
}
