package consumer

import "slices"

// Cleared tells a listening consumer that all messages are gone which were there, as Removed does of one: a purge or a
// rollup removed them. What was stored since is there.
func (c *Consumer) Cleared() {
	if c.stopped {
		return
	}
	store := c.host.Store()
	if n := c.pending.len(); n > 0 {
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
		if len(gone) > 0 {
			c.settle()
			if c.live {
				c.ackedAt = c.host.Now()
				c.host.Run(c)
			}
		}
	}
	c.dropExhausted()
	if l := c.last; l != nil {
		l.seqs = slices.DeleteFunc(slices.Clone(l.seqs), func(seq uint64) bool { return !store.Has(seq) })
		if len(l.seqs) == 0 {
			c.last = nil
		}
	}
	c.recount()
}
