package consumer

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Stored tells a listening consumer of a message that was just stored.
func (c *Consumer) Stored(seq uint64, subj []byte) {
	if !c.live || c.stopped {
		return
	}
	if c.counting && c.isAhead(seq) && c.Matches(subj) {
		c.ahead++
		c.wake()
	}
	c.silent()
}

// Removed tells a listening consumer of a message that is gone. A pending one is as if it
// had been terminated.
func (c *Consumer) Removed(seq uint64, subj string, why msgs.Why) {
	if c.stopped {
		return
	}
	if e := c.pending.find(seq); e != nil {
		count, first := uint64(e.count), e.first
		c.pending.remove(seq)
		c.settle()
		if c.live {
			c.ackedAt = c.host.Now()
			switch why {
			case msgs.ByDelete:
				c.adviseTerminated(seq, first, count, api.TerminatedDeleted)
			case msgs.ByLimit, msgs.ByAge:
				c.adviseTerminated(seq, first, count, api.TerminatedLimits)
			}
			c.host.Run(c)
		}
		return
	}
	if c.isAhead(seq) {
		if l := c.last; l != nil && seq <= l.end {
			if i, found := slices.BinarySearch(l.seqs, seq); found {
				l.seqs = slices.Delete(slices.Clone(l.seqs), i, i+1)
				if len(l.seqs) == 0 {
					c.last = nil
				}
				c.lessAhead()
			}
		} else if matches(c.cfg, subj) {
			c.lessAhead()
		}
		return
	}
	c.revive(seq)
}

func (c *Consumer) lessAhead() {
	if c.counting && c.ahead > 0 {
		c.ahead--
		if c.ahead == 0 && c.live {
			c.host.Run(c) // requests that do not wait have their answer
		}
	}
}

// StreamChanged tells that the stream's configuration is another one, live and in a replay.
func (c *Consumer) StreamChanged() {
	was := c.lazy
	c.configure()
	if was && !c.lazy && c.live && !c.stopped {
		c.record(&event{kind: evMove, seq: c.position() + 1, dseq: c.dseq}, false)
	}
	c.recount()
}

// Purged tells that messages were purged: what is below the first one counts as done.
func (c *Consumer) Purged() {
	if c.stopped {
		return
	}
	c.dropMissing()
	c.recount()
	if c.live {
		c.tidy()
	}
}

// dropMissing forgets what the stream has not any more: all below its first message counts as
// done.
func (c *Consumer) dropMissing() {
	store := c.host.Store()
	var gone []uint64
	c.pending.each(func(e *entry) bool {
		if !store.Has(e.seq) {
			gone = append(gone, e.seq)
		}
		return true
	})
	for _, seq := range gone {
		c.pending.remove(seq)
	}
	if len(gone) > 0 && c.live {
		c.ackedAt = c.host.Now()
	}
	c.dropExhausted()
	first := store.State().First
	if passed := first > 0 && c.position() < first-1; passed {
		c.passTo(first - 1)
	} else if len(gone) == 0 {
		return
	}
	c.settle()
}

// dropExhausted forgets the messages out of deliveries that are gone.
func (c *Consumer) dropExhausted() {
	if len(c.exhausted) > 0 {
		store := c.host.Store()
		c.exhausted = slices.DeleteFunc(c.exhausted, func(seq uint64) bool { return !store.Has(seq) })
	}
}

// recount makes ahead exact again, after changes that were not told one by one.
func (c *Consumer) recount() {
	if c.counting {
		c.ahead = c.countAhead()
		c.host.Run(c)
	}
}
