package broker

import (
	"bytes"
	"slices"

	"github.com/lockstepmq/lockstep/server/wire"
)

// The protocol trace of links: of all accounts, the system account too. Nothing here is called
// unless the trace is on.

func (l *Link) traceOut(line []byte) { l.b.log.Tracef("%s - ->> [%s]", l, line) }

func (l *Link) traceOutMessage(line, header, body []byte) {
	l.traceOut(line)
	l.b.tracePayload(l, "->>", slices.Concat(header, body), len(header))
}

// traceIn shows a line of the peer's; fields that are empty were not there.
func (l *Link) traceIn(op *wire.RouteOp, fields ...[]byte) {
	fields = slices.DeleteFunc(fields, func(f []byte) bool { return len(f) == 0 })
	l.b.log.Tracef("%s - <<- [%s %s]", l, op.Verb, bytes.Join(fields, []byte{' '}))
}

func (l *Link) traceSub(op *wire.RouteOp) {
	weight := ""
	if op.Weight > 0 {
		weight = itoa(op.Weight)
	}
	l.traceIn(op, op.Origin, op.Account, op.Subject, op.Queue, []byte(weight))
}

func (l *Link) traceMessage(op *wire.RouteOp) {
	mark, header := "", ""
	switch {
	case len(op.Queues) > 0 && len(op.Reply) > 0:
		mark = "+"
	case len(op.Queues) > 0:
		mark = "|"
	}
	if op.Verb != wire.VerbRmsg {
		header = itoa(op.Header)
	}
	fields := append([][]byte{op.Origin, op.Account, op.Subject, []byte(mark), op.Reply}, op.Queues...)
	l.traceIn(op, append(fields, []byte(header), []byte(itoa(len(op.Payload))))...)
	l.b.tracePayload(l, "<<-", op.Payload, op.Header)
}
