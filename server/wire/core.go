package wire

import (
	"bytes"
	"strconv"
)

// stage is how far an operation has been read.
type stage uint8

const (
	stageIdle      stage = iota // between two operations
	stageLetters                // inside the verb; line has its letters
	stageSeparator              // after the verb, a blank must follow
	stageBlanks                 // blanks before the arguments
	stageArgs                   // inside the arguments; line has what came
	stageTail                   // after a verb without arguments: ignored up to LF
	stagePayload                // line has the arguments, body what came of the payload
	stageFailed
)

// limits are what a parser's owner allows, as of this call.
type limits struct {
	line    int
	payload int64
	headers bool
	verbs   []Verb
	route   *RouteParser // reads the arguments instead, into routeOp; nil for clients
	routeOp *RouteOp
}

// parse fills the operation from its arguments and gives the announced size.
func (l *limits) parse(verb Verb, args []byte, op *Op) (size int, err error) {
	if l.route != nil {
		return l.route.arguments(verb, args, l.routeOp)
	}
	return parseArgs(verb, args, op)
}

// core assembles operations across reads. Both directions share it.
type core struct {
	stage stage
	verb  Verb
	size  int    // payload bytes announced, in stagePayload
	line  []byte // see the stages
	body  []byte // payload so far and its CRLF
	err   error  // in stageFailed
}

// Buffers above these capacities are not kept for the next operation.
const (
	lineKeep   = 8 << 10
	bodyKeep   = 64 << 10
	growAtOnce = 64 << 10
)

// next runs the stages until an operation is complete or in is used up.
func (c *core) next(in []byte, op *Op, lim limits) (rest []byte, ok bool, err error) {
	for c.stage != stageFailed {
		if len(in) == 0 {
			if c.stage == stageIdle {
				c.release()
			}
			return nil, false, nil
		}
		switch c.stage {
		case stageIdle:
			in = c.start(in, lim.verbs)
		case stageLetters:
			in, err = c.letter(in, lim.verbs)
		case stageSeparator:
			if !isBlank(in[0]) {
				err = parseError(ErrProtocol, c.verb, "a blank must follow the verb", in)
			}
			in = in[1:]
			c.stage = stageBlanks
		case stageBlanks:
			if isBlank(in[0]) {
				in = in[1:]
			} else {
				c.stage = stageArgs
			}
		case stageTail:
			i := bytes.IndexByte(in, '\n')
			if i < 0 {
				return nil, false, nil
			}
			*op = Op{Verb: c.verb}
			c.stage = stageIdle
			return in[i+1:], true, nil
		case stageArgs:
			in, ok, err = c.args(in, op, lim)
		case stagePayload:
			in, ok, err = c.payload(in, op, lim)
		}
		if err != nil {
			c.line, c.body = nil, nil
			c.stage, c.err = stageFailed, err
		} else if ok {
			return in, true, nil
		}
	}
	return nil, false, c.err
}

// start looks for a whole verb.
func (c *core) start(in []byte, verbs []Verb) (rest []byte) {
	c.line = c.line[:0]
	verb, n := wholeVerb(in, verbs)
	if n == 0 {
		c.stage = stageLetters
		return in
	}
	c.verb, c.stage = verb, stageAfter(verb)
	return in[n:]
}

// letter takes one letter of a verb that does not lie in one read, or is none: a
// wrong one is an error at once.
func (c *core) letter(in []byte, verbs []Verb) (rest []byte, err error) {
	c.line = append(c.line, in[0])
	verb, begins := verbOf(c.line, verbs)
	if !begins {
		return nil, parseError(ErrProtocol, VerbNone, "", append(c.line, in[1:min(len(in), snippetMax)]...))
	}
	if verb != VerbNone {
		c.verb, c.line, c.stage = verb, c.line[:0], stageAfter(verb)
	}
	return in[1:], nil
}

// args reads the arguments, and the payload too when that lies whole in the read.
func (c *core) args(in []byte, op *Op, lim limits) (rest []byte, ok bool, err error) {
	args, rest, done, err := c.collect(in, lim.line)
	if err != nil || !done {
		return nil, false, err
	}
	if err := c.begin(args, op, lim); err != nil {
		return nil, false, err
	}
	if !hasPayload(c.verb) {
		c.finish()
		return rest, true, nil
	}
	if whole := c.size + 2; len(rest) >= whole && rest[c.size] == '\r' && rest[c.size+1] == '\n' {
		op.Payload = rest[:c.size:c.size]
		c.finish()
		return rest[whole:], true, nil
	}
	if len(c.line) == 0 { // the arguments lie in the read
		c.line = append(c.line, args...)
	} else {
		c.line = c.line[:len(args)]
	}
	c.body = c.body[:0]
	c.stage = stagePayload
	return rest, false, nil
}

// payload takes what came of a payload that does not lie in one read.
func (c *core) payload(in []byte, op *Op, lim limits) (rest []byte, ok bool, err error) {
	rest, done, err := c.fill(in)
	if err != nil || !done {
		return nil, false, err
	}
	*op = Op{Verb: c.verb}
	if _, err := lim.parse(c.verb, c.line, op); err != nil {
		panic("wire: arguments accepted once and refused later: " + err.Error())
	}
	op.Payload = c.body[:c.size:c.size]
	c.finish()
	if len(rest) == 0 {
		c.release()
	}
	return rest, true, nil
}

// collect gives the arguments once their LF has come: from the read when they lie
// in it whole, else from line. The first byte belongs to them whatever it is.
func (c *core) collect(in []byte, limit int) (args, rest []byte, done bool, err error) {
	from := 0
	if len(c.line) == 0 {
		from = 1
	}
	i := bytes.IndexByte(in[from:], '\n')
	end := from + i
	if i < 0 {
		end = len(in)
	}
	args = in[:end]
	if len(c.line) > 0 || i < 0 {
		if len(c.line)+end > limit+1 { // over the limit even if one of them is a CR
			return nil, nil, false, c.lineError(limit, in)
		}
		c.line = append(c.line, args...)
		args = c.line
	}
	if cut := dropCR(args); len(cut) > limit {
		return nil, nil, false, c.lineError(limit, args)
	} else if i >= 0 {
		return cut, in[end+1:], true, nil
	}
	return nil, nil, false, nil
}

func (c *core) lineError(limit int, in []byte) error {
	return parseError(ErrControlLine, c.verb, "more than "+strconv.Itoa(limit)+" bytes of arguments", in)
}

// dropCR takes one byte off the end when there is a CR anywhere behind the first
// byte: it is assumed to be the CR of the line end.
func dropCR(args []byte) []byte {
	n := len(args)
	if n > 1 && (args[n-1] == '\r' || bytes.IndexByte(args[1:], '\r') >= 0) {
		return args[:n-1]
	}
	return args
}

// begin parses the arguments and judges the sizes they announce.
func (c *core) begin(args []byte, op *Op, lim limits) error {
	if c.verb == VerbHpub && !lim.headers {
		return parseError(ErrMalformed, c.verb, "message headers not supported", nil)
	}
	*op = Op{Verb: c.verb}
	var err error
	if c.size, err = lim.parse(c.verb, args, op); err != nil {
		return err
	}
	if lim.payload >= 0 && int64(c.size) > lim.payload {
		detail := strconv.Itoa(c.size) + " vs " + strconv.FormatInt(lim.payload, 10)
		return parseError(ErrMaxPayload, c.verb, detail, args)
	}
	return nil
}

// fill moves payload from in to body. A wrong byte where the CRLF belongs is an
// error as soon as it is there.
func (c *core) fill(in []byte) (rest []byte, done bool, err error) {
	whole := c.size + 2
	n := min(len(in), whole-len(c.body))
	c.body = append(grow(c.body, n, whole), in[:n]...)
	if len(c.body) > c.size && c.body[c.size] != '\r' || len(c.body) == whole && c.body[c.size+1] != '\n' {
		return nil, false, parseError(ErrProtocol, c.verb, "no CRLF after the payload", c.body[c.size:])
	}
	return in[n:], len(c.body) == whole, nil
}

// grow makes room for n more bytes of whole. Beyond what has come it reserves as
// much again, or 64 KB: an announced size costs nothing until it is sent.
func grow(b []byte, n, whole int) []byte {
	want := len(b) + n
	if cap(b) >= want {
		return b
	}
	room := min(max(2*want, growAtOnce), whole)
	return append(make([]byte, 0, room), b...)
}

// finish ends an operation, whose slices may still lie in line and body.
func (c *core) finish() {
	c.stage = stageIdle
	if cap(c.line) > lineKeep {
		c.line = nil
	}
}

// release lets go of a large body at the end of a read. An operation just returned
// keeps it alive until its owner is done with it.
func (c *core) release() {
	if cap(c.body) > bodyKeep {
		c.body = nil
	}
}

func (c *core) trim() {
	if c.stage == stageIdle {
		c.line, c.body = nil, nil
	}
}

func (c *core) buffered() int {
	switch c.stage {
	case stageLetters, stageArgs:
		return len(c.line)
	case stagePayload:
		return len(c.line) + len(c.body)
	}
	return 0
}
