package raft

import "fmt"

// checkpoint is how far a group's checkpoint has come.
type checkpoint struct {
	asked bool // by the log or the machine, and not begun
	busy  bool
	index uint64 // of the one under way
	bytes int64  // logBytes when it began
	state []byte
	// postponed is what logBytes was when the last one failed; 0 when it did not.
	postponed int64

	waiting []func(error) // for the next one to begin
	told    []func(error) // for the one under way
}

// CheckpointNow makes a checkpoint of everything applied by now as soon as one can begin.
// done, which may be nil, is called on the strand when the log holds it.
func (g *Group) CheckpointNow(done func(error)) {
	if g.state == ended || g.log == nil {
		if done != nil {
			err := g.failed
			if err == nil && g.state == ended {
				err = ErrStopped
			}
			g.strand.Post(func() { done(err) })
		}
		return
	}
	c := &g.checkpoint
	c.asked = true
	if done != nil {
		c.waiting = append(c.waiting, done)
	}
	g.maybeCheckpoint()
}

// maybeCheckpoint begins a checkpoint if one is due and can begin.
func (g *Group) maybeCheckpoint() {
	c := &g.checkpoint
	if c.busy || g.running || g.blocked || g.log == nil || g.state != serving {
		return
	}
	if !c.asked && g.logBytes < c.postponed+g.host.cfg.CheckpointBytes {
		return
	}
	c.busy, c.asked = true, false
	c.index, c.bytes = g.applied, g.logBytes-g.queue.bytes
	if g.member != nil { // which counts what is applied
		c.bytes = g.logBytes
	}
	c.told, c.waiting = c.waiting, c.told[:0]
	g.machine.Checkpoint(g.checkpointMade)
}

// checkpointMade writes the machine's state to the log.
func (g *Group) checkpointMade(state []byte, err error) {
	if !g.checkpoint.busy || g.state == ended {
		return
	}
	if err != nil {
		g.checkpointEnded(fmt.Errorf("checkpoint of group %q: %w", g.opts.Name, err))
		return
	}
	g.checkpoint.state = state
	switch {
	case g.member != nil:
		state, err = g.member.wrap(g.checkpoint.index, state)
		g.member.keep(g.checkpoint.index)
	case g.growing != nil && g.growing.stage == saving:
		cfg := firstConfig(g.host.cfg.Self)
		state = wrap(&cfg, state)
	}
	if err != nil {
		g.checkpointEnded(fmt.Errorf("checkpoint of group %q: %w", g.opts.Name, err))
		return
	}
	g.log.Checkpoint(g.checkpoint.index, state, g.checkpointWritten)
}

func (g *Group) checkpointWritten(err error) {
	if !g.checkpoint.busy || g.state == ended {
		return
	}
	if err == nil {
		g.logBytes -= g.checkpoint.bytes
		g.host.checkpoints.Add(1)
		g.machine.Checkpointed(g.checkpoint.state)
		if g.member != nil && g.state != ended {
			g.member.checkpointed(g.checkpoint.index)
		}
	}
	g.checkpointEnded(err)
	g.tellRoom()
}

// checkpointEnded tells those who wait. After a failure the next is due only when as
// much was logged again.
func (g *Group) checkpointEnded(err error) {
	c := &g.checkpoint
	c.postponed = 0
	if err != nil {
		c.postponed = g.logBytes
	}
	c.busy, c.state = false, nil
	told := c.told
	c.told = nil
	for _, done := range told {
		done(err)
	}
	switch {
	case g.member != nil && g.state != ended:
		g.member.touch() // an install may have waited
	case g.growing != nil:
		g.grow()
	}
	g.maybeCheckpoint()
}
