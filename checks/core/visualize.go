package core

import (
	"fmt"
	"io"

	"github.com/anishathalye/porcupine"
)

// Visualize writes a page that draws, for the subscription that a violation is
// about, SUB, UNSUB and the publishes around it in their intervals, and which of
// them arrived. A violation about no subscription draws the first that came and went.
func Visualize(h *History, v Violation, out io.Writer) error {
	j := newJudge(h)
	for _, d := range h.Deliveries {
		if s := j.subs[subKey{d.Conn, d.SID}]; s != nil && j.pubs[d.ID] != nil {
			if j.got[s] == nil {
				j.got[s] = make(map[uint64]*Delivery)
			}
			j.got[s][d.ID] = d
		}
	}
	s := concerned(h, v)
	if s == nil {
		_, err := fmt.Fprintf(out, "<pre>%s</pre>\n", v.Invariant)
		return err
	}
	ops := j.registerHistory(j.table(), s)
	_, info := porcupine.CheckOperationsVerbose(RegisterModel, ops, registerWait)
	info.AddAnnotations([]porcupine.Annotation{{Tag: v.Invariant, Start: int64(v.At), Description: v.Invariant, Details: v.Detail}})
	return porcupine.Visualize(RegisterModel, info, out)
}

// concerned finds the subscription whose name a violation begins with.
func concerned(h *History, v Violation) *Sub {
	var gone *Sub
	for _, s := range h.Subs {
		if name := s.String(); len(v.Detail) >= len(name) && v.Detail[:len(name)] == name {
			return s
		}
		if gone == nil && s.UnsubSent != 0 && s.Queue == "" && s.Confirmed != Never {
			gone = s
		}
	}
	return gone
}
