package wire

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
)

// Limits of a [ClientParser], which trusts its server more than a server its clients.
const (
	clientMaxControlLine = 1 << 20 // INFO of a large cluster names many servers
	clientMaxPayload     = 1 << 30
)

// ClientParser reads what a server sends to a client: INFO, MSG, HMSG, PING, PONG,
// +OK and -ERR. The zero value is ready to use.
type ClientParser struct{ core core }

// Next works like [Parser.Next].
func (p *ClientParser) Next(in []byte, op *Op) (rest []byte, ok bool, err error) {
	if p.core.stage == stageIdle && len(in) >= wholeMin {
		switch binary.LittleEndian.Uint32(in) {
		case 'M' | 'S'<<8 | 'G'<<16 | ' '<<24:
			rest, ok = wholeMsg(VerbMsg, 0, in, len("MSG "), op)
		case 'H' | 'M'<<8 | 'S'<<16 | 'G'<<24:
			if in[4] == ' ' {
				rest, ok = wholeMsg(VerbHmsg, 1, in, len("HMSG "), op)
			}
		}
		if ok {
			return rest, true, nil
		}
	}
	return p.core.next(in, op, limits{
		line: clientMaxControlLine, payload: clientMaxPayload, headers: true, verbs: clientVerbs,
	})
}

// Trim works like [Parser.Trim].
func (p *ClientParser) Trim() { p.core.trim() }

// ErrText is the text of -ERR without the quotes around it.
func ErrText(arg []byte) string {
	if n := len(arg); n >= 2 && arg[0] == '\'' && arg[n-1] == '\'' {
		arg = arg[1 : n-1]
	}
	return string(arg)
}

// AppendConnect appends a CONNECT line.
func AppendConnect(dst []byte, c *Connect) ([]byte, error) {
	arg, err := json.Marshal(c)
	if err != nil { // Import or Export is not JSON
		return dst, err
	}
	dst = append(dst, "CONNECT "...)
	dst = append(dst, arg...)
	return append(dst, CRLF...), nil
}

// AppendPub appends a whole PUB; an empty reply is left out.
func AppendPub(dst, subject, reply, payload []byte) []byte {
	dst = append(dst, "PUB "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	dst = AppendMsgTail(dst, reply, len(payload))
	dst = append(dst, payload...)
	return append(dst, CRLF...)
}

// AppendHpub appends a whole HPUB; an empty reply is left out.
func AppendHpub(dst, subject, reply, header, body []byte) []byte {
	dst = append(dst, "HPUB "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	dst = AppendHmsgTail(dst, reply, len(header), len(header)+len(body))
	dst = append(dst, header...)
	dst = append(dst, body...)
	return append(dst, CRLF...)
}

// AppendSub appends a SUB; an empty queue is left out.
func AppendSub(dst, subject, queue, sid []byte) []byte {
	dst = append(dst, "SUB "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	if len(queue) > 0 {
		dst = append(dst, queue...)
		dst = append(dst, ' ')
	}
	dst = append(dst, sid...)
	return append(dst, CRLF...)
}

// AppendUnsub appends an UNSUB; max 0 is left out.
func AppendUnsub(dst, sid []byte, max int) []byte {
	dst = append(dst, "UNSUB "...)
	dst = append(dst, sid...)
	if max != 0 {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(max), 10)
	}
	return append(dst, CRLF...)
}
