package js

import (
	"fmt"

	"github.com/lockstepmq/lockstep/checks/core"
)

// FastBatch is a batch whose messages are stored as they come. Its writes stay unknown until somebody sees them:
// what a publisher is told, it is told of many at a time.
type FastBatch struct {
	ID      string
	GapFail bool     // a gap ends it
	Writes  []*Write // as they were sent; their BatchSeq have gaps where some were left out
	// Told of, in the order of the answers.
	Acked   uint64     // everything up to here is stored, but for what was missing or refused
	AckedAt core.Stamp // when that was told
	Refused map[uint64]bool
	Gaps    []Gap
	Final   bool // the batch was confirmed to be over
	Count   uint64
	LastSeq uint64 // in the stream, of the newest message
	FinalAt core.Stamp
}

// Gap is what a publisher was told to be missing: From is there no more than what comes before To.
type Gap struct{ From, To uint64 }

func (f *FastBatch) String() string { return fmt.Sprintf("fast batch %s", f.ID) }

// missing tells whether a message was said not to have come.
func (f *FastBatch) missing(seq uint64) bool {
	for _, g := range f.Gaps {
		if seq >= g.From && seq < g.To {
			return true
		}
	}
	return false
}

// fast judges batches whose messages are stored as they come.
func (b *book) fast() {
	if len(b.s.Audits) == 0 {
		return
	}
	for _, f := range b.s.Fast {
		b.fastAcked(f)
		b.fastOrder(f)
		if f.GapFail {
			b.fastWhole(f)
		}
		if f.Final {
			b.fastFinal(f)
		}
	}
}

// fastAcked demands that what was acknowledged is stored.
func (b *book) fastAcked(f *FastBatch) {
	for _, w := range f.Writes {
		n := uint64(w.BatchSeq)
		switch {
		case f.Refused[n] && w.seen:
			b.report(Fast, w.Call, "refused-but-stored: %s, message %d of %s, was refused, and is at %d of stream %s", w, n, f, w.Seq, b.s.Name)
		case n <= f.Acked && !f.Refused[n] && !f.missing(n) && !w.seen:
			b.report(Fast, f.AckedAt, "%s, message %d of %s, was acknowledged with those up to %d, and is not in stream %s", w, n, f, f.Acked, b.s.Name)
			return
		}
	}
}

// fastOrder demands that a batch is stored in its order.
func (b *book) fastOrder(f *FastBatch) {
	var before *Write
	for _, w := range f.Writes {
		if !w.seen {
			continue
		}
		if before != nil && w.Seq < before.Seq {
			b.report(Fast, w.Call, "message %d of %s is at %d of stream %s, and message %d at %d", before.BatchSeq, f, before.Seq, b.s.Name, w.BatchSeq, w.Seq)
			return
		}
		before = w
	}
}

// fastWhole demands that a batch that a gap ends has none.
func (b *book) fastWhole(f *FastBatch) {
	next := 1
	for _, w := range f.Writes {
		if !w.seen {
			continue
		}
		if w.BatchSeq != next {
			b.report(Fast, w.Call, "message %d of %s is stored in stream %s, and message %d is not: a gap ends the batch", w.BatchSeq, f, b.s.Name, next)
			return
		}
		next++
	}
}

// fastFinal demands that the last answer of a batch is so.
func (b *book) fastFinal(f *FastBatch) {
	stored, last := 0, (*Write)(nil)
	for _, w := range f.Writes {
		if w.seen {
			stored, last = stored+1, w
		}
		if n := uint64(w.BatchSeq); n > f.Count && w.seen {
			b.report(Fast, f.FinalAt, "%s ended with %d messages, and message %d is at %d of stream %s", f, f.Count, n, w.Seq, b.s.Name)
			return
		}
	}
	switch {
	case last != nil && last.Seq != f.LastSeq:
		b.report(Fast, f.FinalAt, "%s ended at %d of stream %s, and its newest message is at %d", f, f.LastSeq, b.s.Name, last.Seq)
	case f.GapFail && uint64(stored) != f.Count:
		b.report(Fast, f.FinalAt, "%s ended with %d messages, and %d are in stream %s", f, f.Count, stored, b.s.Name)
	}
}
