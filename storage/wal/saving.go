package wal

import "fmt"

// savingWindow is how many parts of a state are under way at one time.
const savingWindow = 4

// saving is a state on its way into the log. A window of parts keeps one large state
// from standing in everybody's way.
type saving struct {
	index, term uint64
	attempt     uint32
	state       []byte
	parts, next uint32
	flying      int
	done        func(error)
	reset       bool
}

// Checkpoint logs a state that makes the entries up to and including index unneeded. state
// must not change before done is called: when it is as durable as the mode asks for. One
// checkpoint at a time.
func (g *Group) Checkpoint(index uint64, state []byte, done func(error)) {
	err := g.refuses()
	parts := max(1, (len(state)+partBytes-1)/partBytes)
	switch {
	case err != nil:
	case g.saving != nil:
		err = fmt.Errorf("%v: checkpoint at %d: the one at %d is under way", g.id, index, g.saving.index)
	case index < g.checkpointed || index > g.last:
		err = fmt.Errorf("%v: checkpoint at %d: want %d to %d", g.id, index, g.checkpointed, g.last)
	case parts > partsMax:
		err = fmt.Errorf("%v: state of %d bytes, at most %d", g.id, len(state), partsMax*partBytes)
	}
	if err != nil {
		g.strand.Post(func() { done(err) })
		return
	}
	g.attempt++
	g.saving = &saving{
		index: index, term: g.Term(index), attempt: g.attempt, state: state, parts: uint32(parts), done: done,
	}
	g.Submit() // entries up to index may be among it
	g.saveMore(g.saving)
}

// saveMore hands over the parts that the window has room for.
func (g *Group) saveMore(s *saving) {
	for s.next < s.parts && s.flying < savingWindow {
		n := s.next
		s.next++
		s.flying++
		c := g.chunk(s.kind(), Lazy)
		c.index, c.term, c.count, c.from, c.to = s.index, s.term, s.attempt, n, s.parts
		part := s.state[int(n)*partBytes:]
		c.buf = append(c.buf, part[:min(len(part), partBytes)]...)
		g.record(c, func(err error) { g.saved(s, err) })
	}
}

func (s *saving) kind() chunkKind {
	if s.reset {
		return kindReset
	}
	return kindPart
}

// saved hears of a part.
func (g *Group) saved(s *saving, err error) {
	s.flying--
	if g.saving != s {
		return // told already
	}
	if err != nil {
		g.saving = nil
		s.done(err)
		return
	}
	if s.flying == 0 && s.next == s.parts {
		g.saving = nil
		g.checkpointed = s.index
		if s.reset {
			g.replaced(s)
		}
		g.forgetTerms()
		s.done(nil)
		return
	}
	g.saveMore(s)
}

// forgetTerms lets go of terms that only entries have which are neither behind the checkpoint nor kept.
func (g *Group) forgetTerms() {
	for len(g.terms) > 1 && g.terms[1].index <= min(g.checkpointed, g.keep) {
		g.terms = g.terms[1:]
	}
}
