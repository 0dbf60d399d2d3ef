package js

import "github.com/lockstepmq/lockstep/checks/core"

// left demands that what a first delivery says to come after it is what the stream held: all that was surely stored
// by then, and nothing but what may have been. Only the life of the server is judged in which the consumer began to
// deliver: after a restart, what is delivered for the first time may be far below what counts as delivered.
func (b *book) left(c *Consumer) {
	if len(c.Listeners) > 0 || len(c.Pulls) == 0 {
		return
	}
	for _, d := range c.Deliveries {
		if d.Count != 1 || d.Pull == nil || d.Life != c.Pulls[0].Life {
			continue
		}
		least, most := uint64(0), uint64(0)
		for _, w := range b.s.Writes {
			if w.Outcome == Refused || w.Dup || w.Seq != 0 && w.Seq <= d.Seq || c.Filter != "" && !core.Matches(c.Filter, w.Subject) || w.Call > d.At {
				continue
			}
			most++
			if w.Seq != 0 && w.Return < d.Pull.Sent && !b.mayBeGone(w, d.At) {
				least++
			}
		}
		if d.Pending < least || d.Pending > most {
			b.report(NumPending, d.At, "%s delivered %d and said that %d come after it, and %d to %d do", c, d.Seq, d.Pending, least, most)
			return
		}
	}
}
