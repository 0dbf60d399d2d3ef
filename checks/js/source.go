package js

import (
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/checks/core"
)

// sourcedFrom is what a Nats-Stream-Source header says.
type sourcedFrom struct {
	name           string
	seq            uint64
	filters, dests string
	subject        string
	identity       string
}

func parseSource(value string) (f sourcedFrom, ok bool) {
	fields := strings.Split(value, " ")
	if len(fields) < 5 || len(fields) > 6 {
		return f, false
	}
	seq, err := strconv.ParseUint(fields[1], 10, 64)
	f = sourcedFrom{name: fields[0], seq: seq, filters: fields[2], dests: fields[3], subject: fields[4]}
	if len(fields) == 6 {
		f.identity = fields[5]
	}
	return f, err == nil
}

// sourcing judges a stream that is made from others.
func (k *copyBook) sourcing() {
	since, many := k.lastDeletion()
	where := make(map[uint64]uint64) // sequences by message, in the present stream
	place := func(id, seq uint64, at core.Stamp) {
		if old, known := where[id]; known && old != seq {
			k.report(SourceOnce, at, "%s is in stream %s at %d and at %d", k.of[id], k.s.Name, old, seq)
		}
		where[id] = seq
	}
	for _, r := range k.s.Reads {
		if r.ID != 0 && r.Call > since {
			place(r.ID, r.Seq, r.Return)
		}
	}
	for _, a := range k.s.Audits {
		k.rising(a)
		come := make(map[*Entry]sourcedFrom)
		before := make(map[*Entry]map[string]bool) // identities that were left
		for i := range a.Msgs {
			m := &a.Msgs[i]
			place(m.ID, m.Seq, a.At)
			e, from, ok := k.sourced(m, a.At)
			if !ok {
				continue
			}
			last, any := come[e]
			if any && last.identity == from.identity && from.seq <= last.seq {
				k.report(SourceOnce, a.At, "sequence %d of stream %s is %d of %s, and what came before is %d of it", m.Seq, k.s.Name, from.seq, from.name, last.seq)
			}
			if any && last.identity != from.identity {
				if before[e] == nil {
					before[e] = make(map[string]bool)
				}
				before[e][last.identity] = true
			}
			if before[e][from.identity] {
				k.report(SourceOnce, a.At, "sequence %d of stream %s is of a stream %s that had been made anew before", m.Seq, k.s.Name, from.name)
			}
			come[e] = from
		}
		k.own(a)
		if !many {
			k.atMost(a)
		}
	}
}

// lastDeletion is when the stream was deleted for the last time, and whether it ever may have been.
func (k *copyBook) lastDeletion() (at core.Stamp, any bool) {
	for _, d := range k.s.Deletions {
		if d.Outcome != Refused {
			at, any = max(at, d.Return), true
		}
	}
	return at, any
}

// sourced judges one message that came from an origin; false when it did not, or is wrong.
func (k *copyBook) sourced(m *Stored, at core.Stamp) (*Entry, sourcedFrom, bool) {
	text := headerOf(m.Header, "Nats-Stream-Source")
	from, ok := parseSource(text)
	if text == "" && m.Marker || text == "" && k.mine[m.ID] {
		return nil, from, false // its own
	}
	w, e := k.from(SourceOnce, m.Seq, m, at)
	if w == nil {
		return nil, from, false
	}
	k.sound(SourceOnce, m, w, e, at)
	if !ok || from.name != e.Origin.Name || from.filters != e.Filters || from.dests != e.Dests || from.subject != w.Subject || w.Seq != 0 && w.Seq != from.seq || from.seq < e.From {
		k.report(SourceOnce, at, "sequence %d of stream %s is %s (%d of %s, filter %q, transform %q), and says that it is %q", m.Seq, k.s.Name, w, w.Seq, e.Origin.Name, e.Filters, e.Dests, text)
		return nil, from, false
	}
	return e, from, true
}

// own judges what was published to the stream itself.
func (k *copyBook) own(a *Audit) {
	at := bySeq(a)
	since, many := k.lastDeletion()
	for _, w := range k.s.Writes {
		if w.Outcome != OK || w.Dup || w.Return > a.At || many && w.Call < since || k.excused(w.ID) {
			continue
		}
		if m := at[w.Seq]; m == nil || m.ID != w.ID {
			k.report(Acked, a.At, "%s was acknowledged at %d of stream %s, and is not there", w, w.Seq, k.s.Name)
			return
		}
	}
	for i := range a.Msgs {
		if w := k.of[a.Msgs[i].ID]; w != nil && k.mine[w.ID] && w.Outcome == Refused {
			k.report(NothingElse, a.At, "refused-but-stored: sequence %d of stream %s holds %s", a.Msgs[i].Seq, k.s.Name, w)
			return
		}
	}
}

// atMost bounds the sequences that were used: each message has one at most, also of what is gone.
func (k *copyBook) atMost(a *Audit) {
	most := uint64(0)
	for id, w := range k.of { //lockstep:ordered counted
		if w.Outcome != Refused && !w.Dup && (k.origin[id] != nil || k.mine[id]) {
			most++
		}
	}
	if a.State.LastSeq > most {
		k.report(SourceOnce, a.At, "stream %s has used %d sequences, and at most %d messages are to be in it", k.s.Name, a.State.LastSeq, most)
	}
}
