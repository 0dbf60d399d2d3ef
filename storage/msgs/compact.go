package msgs

import "slices"

// compaction writes what lives in a run of blocks into a new one. It reads frame by frame, while the
// store goes on; then the new block takes the place of the old ones, at once. Their files stay
// until no manifest needs them.
type compaction struct {
	d      *disk
	parts  []*block
	part   int // being copied
	frame  int
	out    *block
	budget int64 // bytes that may yet be copied by this checkpoint's compactions
	steps  int   // since the strand was given back
}

// compactionSteps is the number of frames copied in one task.
const compactionSteps = 16

// startCompaction looks for blocks worth it. What it may copy is in proportion to what was written since the last
// time, so that it keeps up and never takes over.
func (d *disk) startCompaction() {
	if d.compact != nil {
		return
	}
	budget := 2*d.written + 2*int64(d.st.blockBytes)
	d.written = 0
	d.nextCompaction(budget)
}

func (d *disk) nextCompaction(budget int64) {
	d.compact = nil
	if budget <= 0 || d.writable() != nil {
		return
	}
	parts := d.worthCompacting()
	if len(parts) == 0 {
		return
	}
	c := &compaction{d: d, parts: parts, budget: budget, out: newBlock(parts[0].first)}
	d.compact = c
	d.st.strand.Post(c.step)
}

// worthCompacting is a run of blocks that hold little, compared to their size or a block's, or that have to be
// written anew.
func (d *disk) worthCompacting() []*block {
	blocks := d.st.blocks[:len(d.st.blocks)-1]
	for n := 0; n < len(blocks); n++ {
		var live, small int
		end := n
		forced := false
		for ; end < len(blocks); end++ {
			b := blocks[end]
			hollow := b.liveSize < b.size/2 || b.disk.scrub || b.disk.index == 0
			low := int(b.liveSize) < d.st.blockBytes/4
			if b.disk.broken || !hollow && !low || end > n && b.last-blocks[n].first >= 1<<32 {
				break
			}
			if end > n && live+int(b.liveSize) > d.st.blockBytes {
				break
			}
			live += int(b.liveSize)
			small++
			forced = forced || hollow
		}
		if forced || small >= 4 {
			return slices.Clone(blocks[n:end])
		}
	}
	return nil
}

// step copies the next frames.
func (c *compaction) step() {
	c.steps = 0
	c.run()
}

func (c *compaction) run() {
	for c.d.compact == c && c.d.failed == nil {
		if c.part == len(c.parts) {
			c.install()
			return
		}
		b := c.parts[c.part]
		if c.frame == len(b.frames) || b.live == 0 {
			c.part, c.frame = c.part+1, 0
			continue
		}
		if c.steps++; c.steps > compactionSteps {
			c.d.st.strand.Post(c.step)
			return
		}
		f := b.frames[c.frame]
		p := f.bytes()
		if p == nil {
			l := c.d.load(b, f)
			l.then = append(l.then, c.loaded)
			return
		}
		c.copyFrame(b, f, p)
	}
}

// loaded goes on with content from disk. A block with damage is left as it is.
func (c *compaction) loaded(p []byte, bad []int) {
	if c.d.compact != c || c.d.failed != nil {
		return
	}
	if p == nil || len(bad) > 0 {
		c.d.nextCompaction(c.budget - int64(c.out.size))
		return
	}
	b := c.parts[c.part]
	c.copyFrame(b, b.frames[c.frame], p)
	c.run()
}

func (c *compaction) copyFrame(b *block, f *frame, p []byte) {
	c.frame++
	for i := b.nextLive(b.slotAt(f.off)); i < b.n; i = b.nextLive(i + 1) {
		e := b.entry(i)
		if e.off >= f.off+f.size {
			return
		}
		r := p[e.off-f.off:][:e.length]
		copy(c.out.room(len(r)), r)
		c.out.push(b.seq(i), b.peek(i), e.length, e.flags, e.time)
		c.out.noteTTL(e, r)
	}
}

// install puts the new block into the place of the old ones. What was removed while it was made is taken out
// first.
func (c *compaction) install() {
	s, out := c.d.st, c.out
	first := -1
	for _, b := range c.parts {
		at := slices.Index(s.blocks, b)
		if at < 0 {
			continue // all of it died, and it is gone
		}
		if first < 0 {
			first = at
		}
	}
	for i := out.nextLive(0); i < out.n; i = out.nextLive(i + 1) {
		b, j, ok := s.locate(out.seq(i))
		if !ok {
			out.kill(i, out.entry(i).length)
			continue
		}
		out.slots[i] = b.peek(j)
	}
	s.squeezeFresh(out)
	budget := c.budget - int64(out.size)
	if first >= 0 {
		c.replace(first)
	}
	c.d.nextCompaction(budget)
}

// replace swaps the blocks in the list, of which the first one left is at n.
func (c *compaction) replace(n int) {
	s := c.d.st
	for _, b := range c.parts {
		if at := slices.Index(s.blocks, b); at >= 0 {
			c.d.abandon(b)
			s.cutBlock(at)
		}
	}
	s.blocks = slices.Insert(s.blocks, n, c.out)
	c.d.complete(c.out)
	s.hint = 0
}
