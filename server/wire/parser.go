package wire

import "encoding/binary"

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
	if p.core.stage == stageIdle && len(in) >= wholeMin {
		switch binary.LittleEndian.Uint32(in) | 0x20202020 {
		case 'p' | 'u'<<8 | 'b'<<16 | ' '<<24:
			if in[3] == ' ' { // and not NUL
				rest, ok = wholePub(in, len("PUB "), op, p.MaxControlLine, p.MaxPayload)
			}
		case 'h' | 'p'<<8 | 'u'<<16 | 'b'<<24:
			if in[4] == ' ' && p.Headers {
				rest, ok = wholeHpub(in, len("HPUB "), op, p.MaxControlLine, p.MaxPayload)
			}
		}
		if ok {
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
