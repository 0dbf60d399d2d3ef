package wire

import "bytes"

// RouteOp is one operation of a route. Its slices are valid until the next call of
// Next on the parser that filled it, or until the bytes given to Next change. Fields
// that do not belong to the verb are empty. Callers hand the same RouteOp in again,
// or a zero one.
type RouteOp struct {
	Verb    Verb
	Origin  []byte   // LS+, LMSG, and LS- of a parser with OriginInUnsub: cluster of the leafnode it came from
	Account []byte   // nil on a pinned route, and where an LS- without origin leaves it out
	Subject []byte   // RS+, RS-, LS+, LS- and messages
	Queue   []byte   // RS+, RS-, LS+, LS-; nil: a plain subscription
	Weight  int      // RS+ and LS+ with a queue: how many members the group has there, at least 1
	Reply   []byte   // messages; nil without one
	Queues  [][]byte // messages: the queue groups the receiver is to serve
	Header  int      // messages: bytes of the header block at the start of Payload
	Payload []byte   // header block and body, without the final CRLF
	Arg     []byte   // CONNECT and INFO: JSON; -ERR: text, as sent
}

// RouteParser reads what a server sends to another over a route. The exported fields
// may be changed between two calls of Next. The zero value takes 64 KB of arguments
// and reads accounts.
type RouteParser struct {
	Pinned         bool // the connection serves one account, which is not written
	OriginInUnsub  bool // the peer writes the origin in LS- too
	MaxControlLine int  // bytes of arguments on a control line; 0: [DefaultRouteControlLine]

	core core
	op   Op // what core fills
}

// DefaultRouteControlLine is 16 times what clients may send.
const DefaultRouteControlLine = 16 * DefaultMaxControlLine

// queuesKeep is up to which capacity the list of queue groups is reused.
const queuesKeep = 256

var routeVerbs = []Verb{
	VerbRmsg, VerbHmsg, VerbRSub, VerbRUnsub, VerbLmsg, VerbLSub, VerbLUnsub,
	VerbPing, VerbPong, VerbInfo, VerbConnect, VerbErr, VerbOK,
}

// Next works like [Parser.Next].
func (p *RouteParser) Next(in []byte, op *RouteOp) (rest []byte, ok bool, err error) {
	line := p.MaxControlLine
	if line == 0 {
		line = DefaultRouteControlLine
	}
	if p.core.stage == stageIdle && len(in) >= wholeMin {
		if rest, ok = p.whole(in, op, line); ok {
			return rest, true, nil
		}
	}
	rest, ok, err = p.core.next(in, &p.op, limits{
		line: line, payload: clientMaxPayload, headers: true, verbs: routeVerbs, route: p, routeOp: op,
	})
	if !ok {
		return rest, false, err
	}
	switch verb := p.op.Verb; verb {
	case VerbPing, VerbPong, VerbOK:
		op.reset(verb)
	default:
		op.Payload = p.op.Payload
	}
	return rest, true, nil
}

// Trim works like [Parser.Trim].
func (p *RouteParser) Trim() { p.core.trim() }

// Buffered works like [Parser.Buffered].
func (p *RouteParser) Buffered() int { return p.core.buffered() }

// whole is the short cut for messages that lie whole in the read.
func (p *RouteParser) whole(in []byte, op *RouteOp, line int) (rest []byte, ok bool) {
	var verb Verb
	switch {
	case in[0] == 'R' && in[1] == 'M' && in[2] == 'S' && in[3] == 'G':
		verb = VerbRmsg
	case in[0] == 'H' && in[1] == 'M' && in[2] == 'S' && in[3] == 'G':
		verb = VerbHmsg
	case in[0] == 'L' && in[1] == 'M' && in[2] == 'S' && in[3] == 'G':
		verb = VerbLmsg
	default:
		return nil, false
	}
	const from = len("RMSG ")
	if in[from-1] != ' ' || isBlank(in[from]) {
		return nil, false
	}
	end := from + 1 + bytes.IndexByte(in[from+1:], '\n') // of the line; the first byte belongs to it
	if end == from || in[end-1] != '\r' || end-1-from > line || bytes.IndexByte(in[from:end-1], '\r') >= 0 {
		return nil, false
	}
	size, err := p.arguments(verb, in[from:end-1:end-1], op)
	if err != nil || !fits(in, end+1, size, clientMaxPayload) {
		return nil, false
	}
	op.Payload = in[end+1 : end+1+size : end+1+size]
	return in[end+1+size+2:], true
}

// reset empties all but what is kept for reuse.
func (op *RouteOp) reset(verb Verb) {
	queues := op.Queues[:0]
	if cap(queues) > queuesKeep {
		queues = nil
	}
	*op = RouteOp{Verb: verb, Queues: queues}
}

// arguments fills op from the arguments of its verb and gives the announced size of
// header block and body.
func (p *RouteParser) arguments(verb Verb, args []byte, op *RouteOp) (size int, err error) {
	op.reset(verb)
	switch verb {
	case VerbConnect, VerbInfo, VerbErr:
		op.Arg = args
		return 0, nil
	case VerbRSub:
		return 0, op.sub(args, false, p.Pinned)
	case VerbLSub:
		return 0, op.sub(args, true, p.Pinned)
	case VerbRUnsub:
		return 0, op.unsub(args, false, p.Pinned)
	case VerbLUnsub:
		return 0, op.unsub(args, p.OriginInUnsub, p.Pinned)
	}
	return op.message(args, verb == VerbLmsg, p.Pinned)
}

// begin takes the origin and the account off the fields.
func (op *RouteOp) begin(f fieldReader, origin, pinned bool) fieldReader {
	if origin {
		op.Origin, f = f.next()
	}
	if !pinned {
		op.Account, f = f.next()
	}
	op.Subject, f = f.next()
	return f
}

// sub reads `[origin] [account] subject [queue weight]`.
func (op *RouteOp) sub(args []byte, origin, pinned bool) error {
	f := op.begin(fieldReader(args), origin, pinned)
	op.Queue, f = f.next()
	weight, f := f.next()
	if op.Subject == nil || f.more() || op.Queue != nil && weight == nil {
		return parseError(ErrMalformed, op.Verb, "wants "+operands(origin, pinned)+"subject [queue weight]", args)
	}
	if op.Queue != nil {
		op.Weight = max(parseSize(weight), 1) // what is no number counts as one member
	}
	return nil
}

// unsub reads `[origin] [account] subject [queue]`.
func (op *RouteOp) unsub(args []byte, origin, pinned bool) error {
	f := op.begin(fieldReader(args), origin, pinned)
	op.Queue, f = f.next()
	if op.Subject == nil || f.more() {
		return parseError(ErrMalformed, op.Verb, "wants "+operands(origin, pinned)+"subject [queue]", args)
	}
	return nil
}

// message reads what tells the receivers and then `[header] size`. Between subject and
// sizes stands nothing, a reply, `+ reply queue...` or `| queue...`.
func (op *RouteOp) message(args []byte, origin, pinned bool) (size int, err error) {
	f := op.begin(fieldReader(args), origin, pinned)
	sizes := 1
	if op.Verb != VerbRmsg {
		sizes = 2
	}
	for f.more() {
		var field []byte
		field, f = f.next()
		op.Queues = append(op.Queues, field)
	}
	n := len(op.Queues) - sizes
	if n < 0 {
		return 0, op.malformed(args, origin, pinned)
	}
	total, header := op.Queues[n+sizes-1], 0
	if size = parseSize(total); size < 0 {
		return 0, parseError(ErrMalformed, op.Verb, "bad or missing size, wants 1 to 9 digits", args)
	}
	if sizes == 2 {
		if header = parseSize(op.Queues[n]); header < 0 {
			return 0, parseError(ErrMalformed, op.Verb, "bad or missing header size, wants 1 to 9 digits", args)
		}
	}
	if op.Header = header; header > size {
		return 0, parseError(ErrMalformed, op.Verb, "header size is larger than the total size", args)
	}
	if !op.receivers(n) {
		return 0, op.malformed(args, origin, pinned)
	}
	return size, nil
}

// receivers reads the first n of op.Queues, which are what stands between subject and
// sizes, and leaves only the queue groups there.
func (op *RouteOp) receivers(n int) bool {
	switch {
	case n == 0:
		op.Queues = op.Queues[:0]
		return true
	case n == 1:
		op.Reply, op.Queues = op.Queues[0], op.Queues[:0]
		return true
	case len(op.Queues[0]) != 1:
		return false
	}
	skip := 1
	switch op.Queues[0][0] {
	case '+':
		op.Reply, skip = op.Queues[1], 2
	case '|':
	default:
		return false
	}
	op.Queues = op.Queues[:copy(op.Queues, op.Queues[skip:n])]
	return true
}

func (op *RouteOp) malformed(args []byte, origin, pinned bool) error {
	sizes := "size"
	if op.Verb != VerbRmsg {
		sizes = "header size"
	}
	return parseError(ErrMalformed, op.Verb, "wants "+operands(origin, pinned)+
		"subject, nothing or a reply or + reply queue... or | queue..., then "+sizes, args)
}

func operands(origin, pinned bool) string {
	s := ""
	if origin {
		s = "origin "
	}
	if !pinned {
		s += "account "
	}
	return s
}

// fieldReader gives the fields of a line, divided by blanks.
type fieldReader []byte

// next gives the next field, nil when there is none, and what follows it.
func (f fieldReader) next() (field []byte, rest fieldReader) {
	i := 0
	for i < len(f) && isBlank(f[i]) {
		i++
	}
	start := i
	for i < len(f) && !isBlank(f[i]) {
		i++
	}
	if i == start {
		return nil, nil
	}
	return f[start:i:i], f[i:]
}

// more tells whether there is another field.
func (f fieldReader) more() bool {
	for _, b := range f {
		if !isBlank(b) {
			return true
		}
	}
	return false
}
