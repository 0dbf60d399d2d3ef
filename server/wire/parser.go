package wire

import "bytes"

// Parser reads what a client sends to a server. The zero Parser refuses every
// argument and payload: start from [NewParser]. The exported fields may be
// changed between two calls of Next.
type Parser struct {
	MaxControlLine int   // bytes of arguments on a control line
	MaxPayload     int64 // bytes of header block and body; negative: no limit
	Headers        bool  // HPUB is understood: the server has headers and the client asked for them

	core core
}

// NewParser returns a parser with the default limits, headers off.
func NewParser() *Parser {
	return &Parser{MaxControlLine: DefaultMaxControlLine, MaxPayload: DefaultMaxPayload}
}

// Next takes one operation from in. It returns what is left of in; ok is false
// when in was used up without completing an operation, of which the parser keeps
// what it needs. After an error, which is a [*ParseError], every call repeats it.
func (p *Parser) Next(in []byte, op *Op) (rest []byte, ok bool, err error) {
	if p.core.stage == stageIdle && len(in) > pubMin && in[3] == ' ' &&
		in[0]|0x20 == 'p' && in[1]|0x20 == 'u' && in[2]|0x20 == 'b' {
		if rest, ok := p.pub(in, op); ok {
			return rest, true, nil
		}
	}
	return p.core.next(in, op, limits{
		line: p.MaxControlLine, payload: p.MaxPayload, headers: p.Headers, verbs: serverVerbs,
	})
}

// Trim gives back what the parser keeps for reuse. Call it when a connection has
// been quiet for a while.
func (p *Parser) Trim() { p.core.trim() }

// Buffered is how many bytes of an unfinished operation the parser holds.
func (p *Parser) Buffered() int { return p.core.buffered() }

// pubMin is the length of the shortest PUB that lies whole in a read, less one.
const pubMin = len("PUB a 0\r\n\r\n") - 1

// pub is the short cut for the bulk of all traffic: a PUB that lies whole in the
// read, with one blank after the verb and CRLF at its end. Everything else, and
// every error, is left to the general path, which starts over.
func (p *Parser) pub(in []byte, op *Op) (rest []byte, ok bool) {
	const start = len("PUB ")
	n := bytes.IndexByte(in[start:], '\n') - 1
	if n < 3 || n > p.MaxControlLine || in[start+n] != '\r' || isBlank(in[start]) {
		return nil, false
	}
	args := in[start : start+n]

	size, digits, unit := 0, 0, 1
	for n--; n > 1; n-- {
		d := args[n] - '0'
		if d > 9 {
			break
		}
		size += int(d) * unit
		unit *= 10
		digits++
	}
	if uint(digits-1) >= sizeDigitsMax || !isBlank(args[n]) || p.MaxPayload >= 0 && int64(size) > p.MaxPayload {
		return nil, false
	}

	body := in[start+len(args)+2:]
	if len(body) < size+2 || body[size] != '\r' || body[size+1] != '\n' {
		return nil, false
	}
	for n--; isBlank(args[n]); n-- { // ends at the first byte, which is no blank
	}
	args = args[:n+1]
	subject, reply := args, []byte(nil)
	for i, b := range args {
		if isBlank(b) {
			subject, reply = args[:i:i], args[i+1:]
			break
		}
	}
	if reply != nil {
		for isBlank(reply[0]) { // ends: the last byte of args is no blank
			reply = reply[1:]
		}
		for _, b := range reply {
			if isBlank(b) {
				return nil, false
			}
		}
	}

	if op.Verb != VerbPub {
		*op = Op{Verb: VerbPub}
	}
	op.Subject, op.Reply, op.Payload = subject, reply, body[:size:size]
	return body[size+2:], true
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }
