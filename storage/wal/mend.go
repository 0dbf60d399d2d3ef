package wal

import (
	"fmt"
	"slices"
)

// Repair writes entries in the place of lost ones, as they were: each has the index of an entry that the group has,
// and its term if that is known. Entries up to the checkpoint are passed over. done is called when
// all are as durable as the mode asks for; recovery finds them then.
func (g *Group) Repair(entries []Entry, done func(error)) {
	err := g.refuses()
	for i := range entries {
		if err == nil {
			err = g.refusesRepair(&entries[i])
		}
	}
	if err != nil {
		g.strand.Post(func() { done(err) })
		return
	}
	g.Submit()
	m := &mending{done: done}
	var c *chunk
	for i := range entries {
		e := &entries[i]
		if e.Index <= g.checkpointed {
			continue
		}
		if c != nil && (c.term != e.Term || c.index+uint64(c.count) != e.Index || len(c.buf)+len(e.Payload) > chunkMax) {
			g.mend(c, m)
			c = nil
		}
		if c == nil {
			c = g.chunk(kindEntries, Prompt)
			c.index, c.term, c.flags = e.Index, e.Term, flagAgain
		}
		c.add(e.Kind, e.Payload)
		g.setTerm(e.Index, e.Term)
	}
	if c == nil {
		g.strand.Post(func() { done(nil) })
		return
	}
	g.mend(c, m)
}

func (g *Group) refusesRepair(e *Entry) error {
	known := g.Term(e.Index)
	switch {
	case e.Index == 0 || e.Index > g.last:
		return fmt.Errorf("%v: repair of entry %d: want 1 to %d", g.id, e.Index, g.last)
	case e.Index > g.checkpointed && known != 0 && known != e.Term:
		return fmt.Errorf("%v: repair of entry %d: it is of term %d, not %d", g.id, e.Index, known, e.Term)
	case len(e.Payload) > PayloadMax || e.Kind > 15:
		return fmt.Errorf("%v: repair of entry %d: %d bytes of kind %d, at most %d of 15", g.id, e.Index, len(e.Payload), e.Kind, PayloadMax)
	}
	return nil
}

// mending is chunks on their way, which are answered together.
type mending struct {
	flying int
	err    error
	done   func(error)
}

func (g *Group) mend(c *chunk, m *mending) {
	c.to = c.count
	m.flying++
	g.record(c, func(err error) {
		m.flying--
		if m.err == nil {
			m.err = err
		}
		if m.flying == 0 {
			m.done(m.err)
		}
	})
}

// setTerm notes the term of an entry among those that the log has.
func (g *Group) setTerm(index, term uint64) {
	if g.Term(index) == term {
		return
	}
	if index == g.last {
		g.lastTerm = term
	}
	i, at := slices.BinarySearchFunc(g.terms, index, func(t termStart, index uint64) int {
		switch {
		case t.index < index:
			return -1
		case t.index > index:
			return 1
		}
		return 0
	})
	next := uint64(0) // what follows keeps its term
	if i > 0 {
		next = g.terms[i-1].term
	}
	if at {
		next = g.terms[i].term
		g.terms[i].term = term
	} else {
		g.terms = slices.Insert(g.terms, i, termStart{index, term})
	}
	if i+1 == len(g.terms) && index < g.last || i+1 < len(g.terms) && g.terms[i+1].index > index+1 {
		g.terms = slices.Insert(g.terms, i+1, termStart{index + 1, next})
	}
	g.terms = slices.CompactFunc(g.terms, func(a, b termStart) bool { return a.term == b.term })
}

// Reset replaces everything that the log has of the group by a state at index, wherever its entries end: the next one
// is index+1. A crash leaves either what was there or the new state. It is legal for a damaged group, and
// ends the damage; the hard state of such a group is then the zero value, unless it was set since the group was
// attached. Else the hard state stays. state must not change before done is called: when it is as durable as the
// mode asks for. Until then the group takes the hard state only. A checkpoint that is under way is given up.
func (g *Group) Reset(index, term uint64, state []byte, done func(error)) {
	err := g.cannotWrite()
	parts := max(1, (len(state)+partBytes-1)/partBytes)
	switch {
	case err != nil:
	case g.saving != nil && g.saving.reset:
		err = fmt.Errorf("%v: reset to %d: the one to %d is under way", g.id, index, g.saving.index)
	case parts > partsMax:
		err = fmt.Errorf("%v: state of %d bytes, at most %d", g.id, len(state), partsMax*partBytes)
	}
	if err != nil {
		g.strand.Post(func() { done(err) })
		return
	}
	if old := g.saving; old != nil {
		g.strand.Post(func() { old.done(fmt.Errorf("%v: checkpoint at %d: a reset to %d came", g.id, old.index, index)) })
	}
	g.attempt++
	g.saving = &saving{
		index: index, term: term, attempt: g.attempt, state: state, parts: uint32(parts), done: done, reset: true,
	}
	g.Submit()
	g.cutReadings(0)
	if g.damage != nil && !g.hardSet {
		g.hard = HardState{}
	}
	// Recovery believes the reset only when nothing was lost from the hard state before it on.
	c := g.chunk(kindHard, Lazy)
	c.setHard(g.hard)
	g.record(c, func(error) {})
	g.saveMore(g.saving)
}

// replaced goes on from a new state.
func (g *Group) replaced(s *saving) {
	g.damage = nil
	g.last, g.flushed, g.touched = s.index, s.index, false
	g.terms, g.lastTerm = nil, 0
	if s.term > 0 {
		g.noteTerm(s.index, s.term)
	}
}
