package wal

import (
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Group is one group's view of the log. All methods run on the group's strand.
type Group struct {
	log    *Log
	id     ID
	strand clock.Strand
	seal   Sealer
	owner  Owner
	state  *groupState // the log's; only handed on
	out    *outbox

	checkpointed uint64 // index of the newest complete checkpoint
	last         uint64
	lastTerm     uint64
	terms        []termStart // of the entries that the log has, ascending
	hard         HardState
	hardSet      bool // since it was attached

	open    *chunk // being filled
	ready   []*chunk
	scratch []byte

	flying  int64  // bytes submitted and not answered
	flushed uint64 // index
	cuts    []cut  // truncations that are not answered
	cutNext uint64
	touched bool // Flushed is to be called
	fenced  bool
	closed  bool
	damage  error

	saving  *saving
	attempt uint32 // of the last checkpoint

	keep     uint64       // entries from it on stay behind checkpoints
	replica  bool         // see AttachReplica
	readings []*retrieval // asked for and not answered
}

// termStart says that entries from index on have the term.
type termStart struct{ index, term uint64 }

// ID is the group's name.
func (g *Group) ID() ID { return g.id }

// First is the index of the first entry behind the newest complete checkpoint, whether
// there is such an entry or not.
func (g *Group) First() uint64 { return g.checkpointed + 1 }

// Last is the index of the last entry, flushed or not; First-1 when there is none.
func (g *Group) Last() uint64 { return g.last }

// LastTerm is the term of the last entry; 0 when there never was one.
func (g *Group) LastTerm() uint64 { return g.lastTerm }

// Hard is what SetHardState was given last.
func (g *Group) Hard() HardState { return g.hard }

// refuses tells why nothing is taken.
func (g *Group) refuses() error {
	switch {
	case g.damage != nil:
		return g.damage
	case g.saving != nil && g.saving.reset:
		return fmt.Errorf("%v: it is being reset to the state at %d", g.id, g.saving.index)
	}
	return g.cannotWrite()
}

// cannotWrite tells why not even the hard state is taken, or a reset.
func (g *Group) cannotWrite() error {
	switch {
	case g.fenced:
		return g.log.fencedBy()
	case g.closed:
		return fmt.Errorf("%v: %w", g.id, ErrClosed)
	case g.log.full.Load():
		return fmt.Errorf("%v: log %q: %w", g.id, g.log.cfg.Dir, storage.ErrFull)
	}
	return nil
}

// Append adds the next entry, and tells its index. kind is 0 to 15. Nothing is kept of payload.
// The entry travels with the next Submit, and is answered by [Owner.Flushed]. The term must not
// fall.
func (g *Group) Append(term uint64, kind uint8, payload []byte, class Class) (uint64, error) {
	if err := g.refuses(); err != nil {
		return 0, err
	}
	if len(payload) > PayloadMax {
		return 0, fmt.Errorf("%v: entry of %d bytes, at most %d", g.id, len(payload), PayloadMax)
	}
	if kind > 15 {
		return 0, fmt.Errorf("%v: entry of kind %d, at most 15", g.id, kind)
	}
	if c := g.open; c != nil && (c.term != term || len(c.buf)+len(payload) > chunkMax) {
		g.close()
	}
	if g.open == nil {
		g.open = g.chunk(kindEntries, class)
		g.open.index, g.open.term = g.last+1, term
	}
	g.open.class = min(g.open.class, class)
	g.open.add(kind, payload)
	g.last++
	g.noteTerm(g.last, term)
	return g.last, nil
}

func (g *Group) noteTerm(index, term uint64) {
	g.lastTerm = term
	if n := len(g.terms); n == 0 || g.terms[n-1].term != term {
		g.terms = append(g.terms, termStart{index, term})
	}
}

// Term is the term of an entry, from First-1 to Last; 0 when it is not known.
func (g *Group) Term(index uint64) uint64 {
	if index > g.last {
		return 0
	}
	for _, t := range slices.Backward(g.terms) {
		if t.index <= index {
			return t.term
		}
	}
	return 0
}

// chunk starts a chunk of this group.
func (g *Group) chunk(kind chunkKind, class Class) *chunk {
	c := g.log.pool.get()
	c.kind, c.id, c.class = kind, g.id, class
	c.group, c.state, c.out, c.cuts = g, g.state, g.out, g.cutNext
	return c
}

// close ends the open chunk.
func (g *Group) close() {
	c := g.open
	if c == nil {
		return
	}
	g.open = nil
	c.to = c.count
	g.scratch = c.finish(g.seal, g.scratch)
	if cap(g.scratch) > 2*chunkMax {
		g.scratch = nil
	}
	g.ready = append(g.ready, c)
}

// Submit hands what was appended to the log.
func (g *Group) Submit() {
	g.close()
	for i, c := range g.ready {
		g.ready[i] = nil
		g.hand(c)
	}
	g.ready = g.ready[:0]
}

// record hands a chunk without entries over, behind what was appended.
func (g *Group) record(c *chunk, done func(error)) {
	c.done = done
	g.scratch = c.finish(g.seal, g.scratch)
	g.Submit()
	g.hand(c)
}

// hand gives a chunk to the log.
func (g *Group) hand(c *chunk) {
	if c.group != nil {
		g.flying += int64(len(c.buf))
	}
	g.log.metrics.pending.Add(int64(len(c.buf)))
	g.log.in.PutFrom(g.strand, c)
}

// Unflushed is the number of bytes that were submitted and are not answered.
func (g *Group) Unflushed() int64 { return g.flying }

// TruncateSuffix makes the entries from index on invalid; they must be behind the last checkpoint,
// one that is under way included. done is called when that is as durable as the mode asks for.
func (g *Group) TruncateSuffix(index uint64, done func(error)) {
	err := g.refuses()
	kept := g.checkpointed
	if g.saving != nil {
		kept = g.saving.index
	}
	if err == nil && index <= kept {
		err = fmt.Errorf("%v: truncate from %d: the checkpoint is at %d", g.id, index, kept)
	}
	if err != nil || index > g.last {
		g.strand.Post(func() { done(err) })
		return
	}
	c := g.chunk(kindTruncate, Prompt)
	c.index = index
	g.Submit()
	g.cutNext++
	g.cuts = append(g.cuts, cut{g.cutNext, index})
	g.record(c, func(err error) {
		g.cuts = g.cuts[1:]
		done(err)
	})
	g.cutReadings(index)
	g.last = index - 1
	g.flushed = min(g.flushed, g.last)
	for n := len(g.terms); n > 0 && g.terms[n-1].index > g.last; n-- {
		g.terms = g.terms[:n-1]
	}
	g.lastTerm = g.Term(g.last)
}

// cut is a truncation: of chunks handed over before it, entries from index on do not count.
type cut struct{ number, index uint64 }

// SetHardState replaces the hard state; also that of a damaged replica, which stays damaged.
// done is called when that is as durable as the
// mode asks for; before that nobody may be told of it.
func (g *Group) SetHardState(h HardState, done func(error)) {
	err := g.cannotWrite()
	if g.damage != nil && !g.replica {
		err = g.damage
	}
	if err != nil {
		g.strand.Post(func() { done(err) })
		return
	}
	g.hard, g.hardSet = h, true
	c := g.chunk(kindHard, Prompt)
	c.setHard(h)
	g.record(c, done)
}

// Drop removes the group from the log: its ID is never used again. done is called when
// that is durable. It is allowed for a damaged group, too, and after Detach was answered.
func (g *Group) Drop(done func(error)) {
	if g.fenced {
		err := g.log.fencedBy()
		g.strand.Post(func() { done(err) })
		return
	}
	c := g.chunk(kindDrop, Prompt)
	c.group = nil // no answer but done
	g.record(c, done)
	g.letGo()
}

// Detach ends the use of the group; what was submitted is written still. Nothing is
// told to the owner any more. done is called on the strand.
func (g *Group) Detach(done func()) {
	g.Submit()
	c := g.chunk(0, Prompt)
	c.action, c.group = detach, nil
	c.done = func(error) { done() }
	g.hand(c)
	g.letGo()
}

func (g *Group) letGo() {
	g.closed = true
	if g.saving != nil {
		s := g.saving
		g.saving = nil
		g.strand.Post(func() { s.done(fmt.Errorf("%v: %w", g.id, ErrClosed)) })
	}
}

// answered takes a chunk back from the log. One without a kind is a notice.
func (g *Group) answered(c *chunk) {
	if c.kind != 0 {
		g.flying -= int64(len(c.buf))
	}
	switch {
	case c.done != nil:
		c.done(c.err)
	case c.err != nil:
		g.fence(c.err)
	case c.kind == 0 && !g.closed:
		g.owner.Tail()
	case c.kind == kindEntries:
		g.entriesFlushed(c)
	}
}

func (g *Group) entriesFlushed(c *chunk) {
	last := c.last()
	for _, t := range g.cuts {
		if t.number > c.cuts {
			last = min(last, t.index-1)
		}
	}
	if last <= g.flushed {
		return
	}
	g.flushed = last
	if !g.touched {
		g.touched = true
		g.out.touched = append(g.out.touched, g)
	}
}

// fence tells the owner, once.
func (g *Group) fence(err error) {
	if g.fenced {
		return
	}
	g.fenced = true
	if !g.closed {
		g.owner.Fenced(err)
	}
}

func (g *Group) tellFlushed() {
	if !g.touched {
		return
	}
	g.touched = false
	if !g.closed && !g.fenced {
		g.owner.Flushed(g.flushed)
	}
}
