package js

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/lockstepmq/lockstep/checks/core"
)

// searchWait bounds the search for one subject's order.
const searchWait = 2 * time.Second

// opsMax bounds how much of a subject's history is searched: the first part of it, up to
// where nothing was under way.
const opsMax = 200

// unknownMax bounds the writes of which nobody knows whether they happened, of one subject.
const unknownMax = 4

func unknowns(ops []porcupine.Operation) (n int) {
	for _, o := range ops {
		if o.Output.(subjectOut).Outcome == Unknown {
			n++
		}
	}
	return n
}

// subjectState is the last message on a subject.
type subjectState struct {
	ID  uint64 // 0: there is none
	Rev uint64 // 0 and an ID: nobody knows
}

// subjectOp is what was done to a subject.
type subjectOp struct {
	Read    bool
	Expects int64 // of the last sequence; -1 nothing
	ID      uint64
}

// subjectOut is what came of it.
type subjectOut struct {
	Outcome Outcome
	ID, Rev uint64 // of a read; Rev of a write
}

// SubjectModel is the last message on a subject: publishes, with the expected last sequence or
// without, and reads. An unknown publish happens where it fits best: it returns never, and at
// the very end it bothers nobody.
var SubjectModel = porcupine.Model{
	Init: func() any { return subjectState{} },
	Step: func(state, in, out any) (bool, any) {
		return stepSubject(state.(subjectState), in.(subjectOp), out.(subjectOut))
	},
	Equal:             func(a, b any) bool { return a == b },
	Hash:              func(s any) uint64 { return s.(subjectState).ID<<20 ^ s.(subjectState).Rev },
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v %+v", in, out) },
	DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
}

func stepSubject(s subjectState, in subjectOp, out subjectOut) (bool, any) {
	unknown := s.ID != 0 && s.Rev == 0
	fits := in.Expects < 0 || unknown || uint64(in.Expects) == s.Rev
	switch {
	case in.Read:
		return out.ID == s.ID && (out.ID == 0 || unknown || out.Rev == s.Rev), subjectState{out.ID, out.Rev}
	case out.Outcome == Refused: // for another last sequence than the one expected
		return unknown || in.Expects < 0 || uint64(in.Expects) != s.Rev, s
	case out.Outcome == OK:
		return fits && (unknown || out.Rev > s.Rev), subjectState{in.ID, out.Rev}
	case !fits:
		return true, s
	}
	return true, subjectState{in.ID, out.Rev}
}

// registers searches, for each subject, for an order that explains what was seen.
func (b *book) registers() {
	bySubject := make(map[string][]porcupine.Operation)
	var subjects []string
	add := func(subject, conn string, op porcupine.Operation) {
		if _, known := bySubject[subject]; !known {
			subjects = append(subjects, subject)
		}
		bySubject[subject] = append(bySubject[subject], op)
	}
	none := b.holes() == 0
	for _, w := range b.s.Writes {
		if w.Dup || w.Batch != "" && w.Seq == 0 && w.Outcome != OK && b.s.MaxPer == 0 {
			continue // it was not stored, or somebody would have seen it
		}
		out := subjectOut{w.Outcome, 0, w.Seq}
		switch {
		case w.Outcome == Refused && (w.LastSubjSeq < 0 || w.Err != errWrongLast):
			continue // other conditions are judged elsewhere
		case w.Outcome == Unknown && w.Seq != 0:
			out.Outcome = OK
		case w.Outcome == Unknown && none:
			continue // no sequence is left for it
		}
		end := w.Return
		if out.Outcome == Unknown {
			end = core.Never
		}
		add(w.Subject, w.Conn, operation(subjectOp{false, w.LastSubjSeq, w.ID}, out, w.Call, end))
	}
	for _, r := range b.s.Reads {
		if r.Subject != "" {
			add(r.Subject, "", operation(subjectOp{true, -1, 0}, subjectOut{OK, r.ID, r.Seq}, r.Call, r.Return))
		}
	}
	slices.Sort(subjects)
	for _, subject := range subjects {
		ops := prefix(bySubject[subject])
		if unknowns(ops) > unknownMax {
			continue // the search would take all orders of them
		}
		b.searched++
		switch porcupine.CheckOperationsTimeout(SubjectModel, ops, searchWait) {
		case porcupine.Unknown:
			b.inconclusive++
		case porcupine.Illegal:
			name := Linear
			if b.s.KV {
				name = CAS
			}
			b.report(name, core.Stamp(lastCall(ops)), "no order explains what was done to %q of stream %s in %d operations", subject, b.s.Name, len(ops))
		}
	}
}

// holes counts the sequences of which nobody knows what they held.
func (b *book) holes() int {
	if len(b.s.Audits) == 0 {
		return len(b.s.Writes)
	}
	return int(b.s.Audits[len(b.s.Audits)-1].State.LastSeq) - len(b.seqs)
}

func operation(in subjectOp, out subjectOut, from, to core.Stamp) porcupine.Operation {
	return porcupine.Operation{Input: in, Output: out, Call: int64(from), Return: int64(min(to, 1<<62))}
}

// prefix is the first part of a history that is not too long. Of what returned after it,
// reads and refusals tell of what is cut off, and stored writes stay open.
func prefix(ops []porcupine.Operation) []porcupine.Operation {
	slices.SortStableFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	if len(ops) <= opsMax {
		return ops
	}
	cut := ops[opsMax].Call
	out := ops[:0:0]
	for _, o := range ops[:opsMax] {
		if o.Return >= cut {
			if o.Input.(subjectOp).Read || o.Output.(subjectOut).Outcome == Refused {
				continue
			}
			o.Return = 1 << 62
		}
		out = append(out, o)
	}
	return out
}

func lastCall(ops []porcupine.Operation) int64 {
	last := int64(0)
	for _, o := range ops {
		last = max(last, o.Call)
	}
	return last
}
