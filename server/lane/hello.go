package lane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// helloMax is the longest LANE line, in bytes with its CRLF.
const helloMax = 16 << 10

// Hello is what each side of a lane says first, the side that dialled before the other.
type Hello struct {
	Lane       int    `json:"lane"`          // version: 1 or higher
	Member     uint64 `json:"member,string"` // not 0
	ServerID   string `json:"server_id"`     // not empty
	ServerName string `json:"server_name"`
	Cluster    string `json:"cluster"`
	User       string `json:"user,omitempty"` // said by who dialled, as on a route
	Pass       string `json:"pass,omitempty"`
	Nonce      string `json:"nonce,omitempty"`   // of this connection
	Answers    string `json:"answers,omitempty"` // the nonce that the other side said
}

// AppendHello appends a LANE line.
func AppendHello(dst []byte, h *Hello) []byte {
	arg, err := json.Marshal(h)
	if err != nil {
		panic("lane: LANE of strings and numbers does not marshal: " + err.Error())
	}
	dst = append(append(dst, verb...), arg...)
	return append(dst, "\r\n"...)
}

const verb = "LANE "

// RefusedError is what the other side said instead of LANE.
type RefusedError struct {
	Text string
}

func (e *RefusedError) Error() string { return "refused: " + e.Text }

// HelloReader reads a LANE line, however it arrives.
type HelloReader struct {
	line []byte
}

// Next takes p. When the line is whole, done is true and rest is what came after it. Errors are of lines that are
// none, or too long, and never quote a value; a [RefusedError] has the text of -ERR.
func (r *HelloReader) Next(p []byte) (h Hello, rest []byte, done bool, err error) {
	end := bytes.IndexByte(p, '\n')
	if n := len(r.line) + len(p); end < 0 && n > helloMax || end >= 0 && len(r.line)+end >= helloMax {
		return Hello{}, nil, false, fmt.Errorf("LANE line is longer than %d bytes", helloMax)
	}
	if end < 0 {
		r.line = append(r.line, p...)
		return Hello{}, nil, false, nil
	}
	line := append(r.line, p[:end]...)
	r.line = nil
	h, err = parseHello(bytes.TrimSuffix(line, []byte("\r")))
	return h, p[end+1:], err == nil, err
}

func parseHello(line []byte) (Hello, error) {
	if text, is := bytes.CutPrefix(line, []byte("-ERR ")); is {
		return Hello{}, &RefusedError{string(bytes.Trim(text, "' "))}
	}
	arg, is := bytes.CutPrefix(line, []byte(verb))
	if !is {
		return Hello{}, errors.New("line is not LANE")
	}
	var h Hello
	if err := json.Unmarshal(arg, &h); err != nil {
		var bad *json.UnmarshalTypeError
		if errors.As(err, &bad) {
			return Hello{}, fmt.Errorf("LANE: %q is not of type %v", bad.Field, bad.Type)
		}
		return Hello{}, errors.New("LANE: its argument is not the JSON that is wanted")
	}
	switch {
	case h.Lane < 1:
		return Hello{}, fmt.Errorf("LANE: version %d is none", h.Lane)
	case h.Member == 0:
		return Hello{}, errors.New("LANE: member number 0 is nobody's")
	case h.ServerID == "":
		return Hello{}, errors.New("LANE: the server has no id")
	}
	return h, nil
}
