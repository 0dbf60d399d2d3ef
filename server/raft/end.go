package raft

// fail ends the group because it cannot go on.
func (g *Group) fail(err error) {
	if g.state == ended {
		return
	}
	g.failed = err
	if g.member != nil {
		g.member.end(err)
	}
	g.end()
	if g.log != nil {
		g.log.Detach(func() {})
	}
	g.machine.Failed(err)
	g.tellStopped(err)
}

// end lets go of everything but the log.
func (g *Group) end() {
	g.state = ended
	g.queue, g.waiters = queue{}, nil
	g.account()
}

// tellStopped answers whoever waits for a checkpoint or the end.
func (g *Group) tellStopped(err error) {
	c := &g.checkpoint
	told := append(c.told, c.waiting...)
	c.told, c.waiting, c.busy, c.state = nil, nil, false, nil
	for _, done := range told {
		done(err)
	}
	if w := g.growing; w != nil && w.done != nil {
		g.growing = nil
		w.done(err)
	}
}

// Stop ends the group: the machine is not called any more. What was proposed before is
// handed to the log, but nobody is told whether it is committed. done, which may be nil,
// is called on the strand when the log has let go, so that Open may follow.
func (g *Group) Stop(done func()) {
	if done == nil {
		done = func() {}
	}
	if g.state == ended {
		g.host.forget(g)
		g.strand.Post(done)
		return
	}
	if g.member != nil {
		g.member.end(ErrStopped)
	}
	if g.log != nil {
		g.log.Submit()
	}
	found := g.state != finding
	g.end()
	g.tellStopped(ErrStopped)
	g.let = done
	if found { // otherwise find goes on
		g.letGo()
	}
}

// letGo ends the use of the log.
func (g *Group) letGo() {
	told := func() {
		g.host.forget(g)
		if g.let != nil {
			g.let()
		}
	}
	if g.log == nil {
		g.strand.Post(told)
		return
	}
	g.log.Detach(told)
}

// Drop ends the group as Stop does, and removes it from the log. done, which may be nil,
// is called on the strand when that is durable, or with what the log failed with; the
// ID is never used again.
func (g *Group) Drop(done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	if g.state == ended && g.failed == nil {
		g.strand.Post(func() { done(ErrStopped) })
		return
	}
	found := g.state != finding
	if g.state != ended {
		if g.member != nil {
			g.member.end(ErrStopped)
		}
		g.end()
		g.tellStopped(ErrStopped)
	}
	g.dropped = done
	if found { // otherwise find goes on
		g.remove()
	}
}

// remove takes the group out of the log.
func (g *Group) remove() {
	if g.log == nil {
		g.removed(nil)
		return
	}
	g.log.Drop(g.removed)
}

func (g *Group) removed(err error) {
	g.host.forget(g)
	g.strand.Post(func() { g.dropped(err) })
}
