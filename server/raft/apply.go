package raft

import "github.com/lockstepmq/lockstep/server/raft/core"

// Resume tells that the machine can go on with the entry that it refused. It may be
// called from within a Machine call too.
func (g *Group) Resume() {
	g.resumed = true
	if g.waiting {
		g.waiting = false
		g.postRun()
	}
}

func (g *Group) postRun() {
	if !g.runPosted {
		g.runPosted = true
		g.strand.Post(g.runTask)
	}
}

func (g *Group) postedRun() {
	g.runPosted = false
	if g.member != nil && g.member.live() {
		g.member.pump()
		return
	}
	g.run()
}

// run applies what is committed, up to a slice of it.
func (g *Group) run() {
	if g.running || g.waiting || g.blocked || g.runPosted || g.state != replaying && g.state != serving {
		return
	}
	g.running = true
	count, size := 0, 0
	upTo := g.committed
	if g.state == replaying { // what was proposed meanwhile comes after Applied(true)
		upTo = g.replayEnd
	}
	for g.applied < upTo && g.state != ended && count < sliceEntries && size < sliceBytes {
		n := len(g.queue.at(0).payload)
		if !g.applyOne() {
			break
		}
		count++
		size += n
	}
	g.running = false
	if g.state == ended {
		return
	}
	g.account()
	replayed := g.state == replaying && g.applied >= g.replayEnd
	if replayed {
		g.state = serving
	}
	if count > 0 || replayed {
		g.machine.Applied(replayed)
	}
	g.spend()
	if replayed && g.found != nil && g.found.Damage != nil {
		g.fail(g.found.Damage)
		return
	}
	if g.applied < g.committed && !g.waiting {
		g.postRun()
	}
	g.maybeCheckpoint()
	if g.growing != nil {
		g.grow()
	}
	g.tellRoom()
}

// applyOne gives the machine the next entry, and tells whether it was taken.
func (g *Group) applyOne() bool {
	it := g.queue.at(0)
	if it.kind > core.KindHostMax { // the group's own
		g.queue.pop()
		g.applied++
		return true
	}
	g.entry = Entry{Index: g.applied + 1, Payload: it.payload, Tag: it.tag, Replay: it.replay}
	g.resumed = false
	if !g.machine.Apply(&g.entry) {
		g.entry = Entry{}
		g.waiting = !g.resumed
		return false
	}
	g.entry = Entry{}
	if g.state == ended { // dropped by its own entry
		return true
	}
	if g.member != nil {
		g.logBytes += int64(len(it.payload))
	} else if g.opts.Spent != nil && !it.replay {
		g.spent = append(g.spent, it.payload)
	}
	g.queue.pop()
	g.applied++
	return true
}

// spend gives back the payloads of the entries that were applied.
func (g *Group) spend() {
	for i, payload := range g.spent {
		g.opts.Spent(payload)
		g.spent[i] = nil
	}
	g.spent = g.spent[:0]
}
