package js

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/checks/core"
)

// Names of the invariants of streams that copy others.
const (
	MirrorPrefix = "MIR.mirror-prefix"
	SourceOnce   = "MIR.source-once"
	PassThrough  = "MIR.pass-through"
	OriginAck    = "MIR.origin-ack"
	CatchUp      = "MIR.catch-up"
)

func copyInvariants() []core.Invariant {
	return []core.Invariant{
		{Name: MirrorPrefix, About: "a mirror holds what its origin had: the same sequences, subjects, headers, data and times, and nothing else"},
		{Name: SourceOnce, About: "each message of an origin is sourced at most once, in the origin's order, with where it is from"},
		{Name: PassThrough, About: "what an origin has is in its copies: none is passed over, refused or taken for a duplicate"},
		{Name: OriginAck, About: "what is moved out of a work queue goes there only when it is durable here"},
		{Name: CatchUp, About: "a copy catches up with its origins, also when they were purged or made anew, and says so"},
	}
}

// Copying says what a stream copies. Such a stream is judged by its origins.
type Copying struct {
	Mirror  bool
	Entries []*Entry
	// Behind is what the stream reported last when it did not catch up in time; "" when it did.
	Behind string
}

// Entry is one origin, or a part of it.
type Entry struct {
	Origin   *Stream
	Filters  string            // as Nats-Stream-Source names them
	Dests    string            // ditto
	Subjects map[string]string // the origin's subject by what it is stored on; others are not wanted
	From     uint64            // sequences below are not wanted
	Moved    bool              // the origin is a work queue that is emptied by this
}

// SourceInfo is what a stream reports of an origin.
type SourceInfo struct {
	Name   string `json:"name"`
	Lag    uint64 `json:"lag"`
	Active int64  `json:"active"` // nanoseconds since it was heard of; -1 is never
	Error  *struct {
		Description string `json:"description"`
	} `json:"error"`
}

// copyBook is the history of a stream that copies.
type copyBook struct {
	*book
	c      *Copying
	origin map[uint64]*Entry // of writes, by id
	of     map[uint64]*Write // of origins and of its own, by id
	mine   map[uint64]bool   // its own, by id
	taken  map[*Stream]map[uint64]uint64
}

// copied judges a stream that copies others, once those are judged.
func (j *judge) copied(s *Stream) {
	k := &copyBook{
		book: &book{judge: j, s: s}, c: s.Copies,
		origin: make(map[uint64]*Entry), of: make(map[uint64]*Write),
		mine: make(map[uint64]bool, len(s.Writes)), taken: make(map[*Stream]map[uint64]uint64),
	}
	for _, w := range s.Writes {
		k.of[w.ID], k.mine[w.ID] = w, true
	}
	for _, e := range k.c.Entries {
		taken := k.taken[e.Origin]
		if taken == nil {
			taken = make(map[uint64]uint64, len(e.Origin.Writes))
			k.taken[e.Origin] = taken
		}
		for _, w := range e.Origin.Writes {
			k.of[w.ID] = w
			if _, wanted := e.Subjects[w.Subject]; wanted {
				k.origin[w.ID] = e
			}
			if w.Seq != 0 && !w.Dup && w.Outcome != Refused {
				taken[w.Seq] = w.ID
			}
		}
	}
	if len(s.Deletions) == 0 {
		k.bounds()
	}
	if k.c.Mirror {
		k.mirror()
	} else {
		k.sourcing()
	}
	if k.c.Behind != "" {
		k.report(CatchUp, core.Never, "stream %s is not where its origins are, long after everything was healed: %s", s.Name, k.c.Behind)
		return
	}
	for i, a := range s.Audits {
		for _, e := range k.c.Entries {
			if i < len(e.Origin.Audits) {
				k.complete(e, e.Origin.Audits[i], a)
			}
		}
	}
}

// from finds what a stored message is a copy of, and complains if that cannot be.
func (k *copyBook) from(invariant string, seq uint64, m *Stored, at core.Stamp) (*Write, *Entry) {
	w, e := k.of[m.ID], k.origin[m.ID]
	switch {
	case w == nil:
		k.report(invariant, at, "sequence %d of stream %s holds message %d, which nobody published to what it copies", seq, k.s.Name, m.ID)
	case e == nil:
		k.report(invariant, at, "sequence %d of stream %s holds %s, which it does not ask for", seq, k.s.Name, w)
	case w.Outcome == Refused || w.Outcome == OK && w.Dup:
		k.report(invariant, at, "sequence %d of stream %s holds %s, which its origin did not store", seq, k.s.Name, w)
	default:
		return w, e
	}
	return nil, nil
}

// sound compares the content of a copy with what was published.
func (k *copyBook) sound(invariant string, m *Stored, w *Write, e *Entry, at core.Stamp) {
	if to := e.Subjects[w.Subject]; m.Subject != to || !m.Intact {
		k.report(invariant, at, "sequence %d of stream %s is on %q (intact: %v), and it is a copy of %s, to be stored on %q", m.Seq, k.s.Name, m.Subject, m.Intact, w, to)
	}
	for _, line := range bytes.Split(m.Header, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte("Nats-Expected-")) || bytes.HasPrefix(line, []byte("Nats-Batch-")) {
			k.report(invariant, at, "sequence %d of stream %s has %q, which was for its origin", m.Seq, k.s.Name, line)
		}
	}
	if w.Batch != "" {
		return
	}
	if id := headerOf(m.Header, "X-Id"); id != strconv.FormatUint(w.ID, 10) || headerOf(m.Header, "Nats-Msg-Id") != w.MsgID {
		k.report(invariant, at, "sequence %d of stream %s, a copy of %s, has not its headers: %q", m.Seq, k.s.Name, w, m.Header)
	}
}

// headerOf is the value of a header, "" without.
func headerOf(block []byte, name string) string {
	for _, line := range strings.Split(string(block), "\r\n") {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}
	return ""
}

// mirror judges a copy of one stream.
func (k *copyBook) mirror() {
	for _, w := range k.s.Writes {
		if w.Outcome == OK {
			k.report(MirrorPrefix, w.Return, "mirror %s took %s, which was published to itself", k.s.Name, w)
		}
	}
	for _, r := range k.s.Reads {
		if r.ID != 0 {
			k.mirrored(r.Seq, &Stored{Seq: r.Seq, ID: r.ID}, r.Return)
		}
	}
	e := k.c.Entries[0]
	for i, a := range k.s.Audits {
		k.rising(a)
		var there map[uint64]*Stored
		if i < len(e.Origin.Audits) {
			o := e.Origin.Audits[i]
			if there = bySeq(o); a.State.LastSeq > o.State.LastSeq && !e.Origin.Recreated {
				k.report(MirrorPrefix, a.At, "mirror %s is at %d, and its origin %s at %d", k.s.Name, a.State.LastSeq, e.Origin.Name, o.State.LastSeq)
			}
		}
		for n := range a.Msgs {
			m := &a.Msgs[n]
			w := k.mirrored(m.Seq, m, a.At)
			if w == nil {
				continue
			}
			k.sound(MirrorPrefix, m, w, e, a.At)
			// Behind messages of an earlier origin times do not fall, though the clock was set back meanwhile.
			held := e.Origin.Recreated && n > 0 && m.Time.Equal(a.Msgs[n-1].Time)
			if o := there[m.Seq]; o != nil && o.ID == m.ID && !o.Time.Equal(m.Time) && !(held && o.Time.Before(m.Time)) {
				k.report(MirrorPrefix, a.At, "sequence %d of mirror %s has the time %v, and %v in its origin", m.Seq, k.s.Name, m.Time, o.Time)
			}
		}
	}
}

// mirrored judges where a mirror has a message. It gives nil when it complained.
func (k *copyBook) mirrored(seq uint64, m *Stored, at core.Stamp) *Write {
	w, e := k.from(MirrorPrefix, seq, m, at)
	switch {
	case w == nil:
		return nil
	case w.Seq != 0 && w.Seq != seq:
		k.report(MirrorPrefix, at, "mirror %s has %s at %d, and its origin had it at %d", k.s.Name, w, seq, w.Seq)
		return nil
	case seq < e.From:
		k.report(MirrorPrefix, at, "mirror %s has %s at %d, and is to begin at %d", k.s.Name, w, seq, e.From)
		return nil
	}
	if other := k.taken[e.Origin][seq]; other != 0 && other != w.ID && !e.Origin.Recreated {
		k.report(MirrorPrefix, at, "mirror %s has %s at %d, and its origin message %d", k.s.Name, w, seq, other)
		return nil
	}
	if !e.Origin.Recreated {
		w.Seq = seq
		k.taken[e.Origin][seq] = w.ID
	}
	return w
}

func bySeq(a *Audit) map[uint64]*Stored {
	here := make(map[uint64]*Stored, len(a.Msgs))
	for i := range a.Msgs {
		here[a.Msgs[i].Seq] = &a.Msgs[i]
	}
	return here
}

// complete demands that what an origin has is here.
func (k *copyBook) complete(e *Entry, o, a *Audit) {
	here := make(map[uint64]bool, len(a.Msgs))
	for i := range a.Msgs {
		here[a.Msgs[i].ID] = true
	}
	before := k.earlierLast(e.Origin)
	for i := range o.Msgs {
		m := &o.Msgs[i]
		if _, wanted := e.Subjects[m.Subject]; !wanted || m.Seq < e.From || here[m.ID] || k.excused(m.ID) {
			continue
		}
		if k.c.Mirror && m.Seq <= before {
			continue // it is where the origin of before was
		}
		k.report(PassThrough, a.At, "sequence %d of %s holds message %d, and stream %s, which has caught up and goes from %d to %d, does not",
			m.Seq, e.Origin.Name, m.ID, k.s.Name, a.State.FirstSeq, a.State.LastSeq)
		return
	}
	if !e.Moved {
		return
	}
	left := make(map[uint64]bool, len(o.Msgs))
	for i := range o.Msgs {
		id := o.Msgs[i].ID
		if left[id] = true; here[id] {
			k.report(OriginAck, a.At, "%s at %d of %s is in stream %s, too, which has caught up", k.of[id], o.Msgs[i].Seq, e.Origin.Name, k.s.Name)
			return
		}
	}
	for _, w := range e.Origin.Writes {
		if w.Outcome == OK && !w.Dup && !here[w.ID] && !left[w.ID] && k.origin[w.ID] == e && !k.excused(w.ID) && !mayBeRemoved(e.Origin, w) {
			k.report(OriginAck, a.At, "%s was at %d of %s, and it is neither there nor in stream %s", w, w.Seq, e.Origin.Name, k.s.Name)
			return
		}
	}
}

// mayBeRemoved tells whether a client may have removed a message from its origin.
func mayBeRemoved(o *Stream, w *Write) bool {
	for _, r := range o.Removals {
		if r.Outcome != Refused && (r.Seq == w.Seq || r.Seq == 0 && covers(r.Filter, w.Subject) && w.Call < r.Return) {
			return true
		}
	}
	return false
}

// earlierLast is the highest sequence that an earlier origin of the name may have had while
// the present mirror followed it; 0 when there was none.
func (k *copyBook) earlierLast(o *Stream) (last uint64) {
	end := core.Stamp(0) // of the last deletion
	for _, d := range o.Deletions {
		if d.Outcome != Refused {
			end = max(end, d.Return)
		}
	}
	for _, d := range k.s.Deletions {
		if d.Outcome == OK && d.Call > end {
			return 0
		}
	}
	unknown := uint64(0)
	for _, w := range o.Writes {
		switch {
		case w.Call > end || w.Outcome == Refused:
		case w.Outcome == Unknown:
			unknown++
		default:
			last = max(last, w.Seq)
		}
	}
	if end == 0 {
		return 0
	}
	return last + unknown
}

// excused tells whether something was done to the stream itself that may have taken a copy.
func (k *copyBook) excused(id uint64) bool {
	if k.s.MaxMsgs > 0 {
		return true
	}
	w := k.of[id]
	for _, r := range k.s.Removals {
		if r.Outcome != Refused && (w == nil || w.Call < r.Return) {
			return true
		}
	}
	return false
}
