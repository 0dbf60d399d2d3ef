package api

import (
	"bytes"
	"encoding/json"
	"time"
)

// PullRequest is the body of a pull request. Durations are nanoseconds in JSON.
type PullRequest struct {
	Batch         int           `json:"batch,omitempty"`
	MaxBytes      int           `json:"max_bytes,omitempty"`
	Expires       time.Duration `json:"expires,omitempty"`
	NoWait        bool          `json:"no_wait,omitempty"`
	Heartbeat     time.Duration `json:"idle_heartbeat,omitempty"`
	Group         string        `json:"group,omitempty"`
	MinPending    int64         `json:"min_pending,omitempty"`
	MinAckPending int64         `json:"min_ack_pending,omitempty"`
	ID            string        `json:"id,omitempty"`
	Priority      int           `json:"priority,omitempty"`

	// Bare requests say how many messages and nothing else; rules of priority groups do
	// not concern them.
	Bare bool `json:"-"`
}

// ParsePull reads the body of a pull request into r: nothing, a number, or an object.
// Other text asks for one message. The error is that of encoding/json, as clients
// see it after [StatusPullRefused]. Objects as client libraries write them cost no
// allocation but for group and id.
func ParsePull(body []byte, r *PullRequest) error {
	*r = PullRequest{Batch: 1, Bare: true}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' {
		if n, ok := parseUint(body); ok && n > 0 && n <= 1<<31 {
			r.Batch = int(n)
		}
		return nil
	}
	r.Batch, r.Bare = 0, false
	if r.scan(body) {
		return nil
	}
	*r = PullRequest{}
	if err := json.Unmarshal(body, (*jsonPull)(r)); err != nil {
		return pullError{err}
	}
	return nil
}

// jsonPull keeps the error texts of encoding/json from naming our type.
type jsonPull PullRequest

// pullError shows an error of encoding/json as clients know it.
type pullError struct{ err error }

func (e pullError) Error() string {
	return string(bytes.ReplaceAll([]byte(jsonText(e.err)), []byte("jsonPull"), []byte("JSApiConsumerGetNextRequest")))
}

func (e pullError) Unwrap() error { return e.err }

// scan reads an object of known fields with plain values. False is anything else, which is
// not to say that it is wrong.
func (r *PullRequest) scan(p []byte) bool {
	p = p[1:]
	for {
		key, rest, ok := scanString(skipBlank(p))
		if !ok {
			return false
		}
		rest = skipBlank(rest)
		if len(rest) == 0 || rest[0] != ':' {
			return false
		}
		if p, ok = r.value(key, skipBlank(rest[1:])); !ok {
			return false
		}
		p = skipBlank(p)
		switch {
		case len(p) == 1 && p[0] == '}':
			return true
		case len(p) > 1 && p[0] == ',':
			p = p[1:]
		default:
			return false
		}
	}
}

// value reads the value of a field.
func (r *PullRequest) value(key, p []byte) (rest []byte, ok bool) {
	switch string(key) {
	case "no_wait":
		if rest, ok = bytes.CutPrefix(p, []byte("true")); ok {
			r.NoWait = true
			return rest, true
		}
		rest, ok = bytes.CutPrefix(p, []byte("false"))
		r.NoWait = false
		return rest, ok
	case "group", "id":
		s, rest, ok := scanString(p)
		if !ok {
			return nil, false
		}
		if key[0] == 'g' {
			r.Group = string(s)
		} else {
			r.ID = string(s)
		}
		return rest, true
	}
	n, rest, ok := scanNumber(p)
	if !ok {
		return nil, false
	}
	switch string(key) {
	case "batch":
		r.Batch = int(n)
	case "max_bytes":
		r.MaxBytes = int(n)
	case "expires":
		r.Expires = time.Duration(n)
	case "idle_heartbeat":
		r.Heartbeat = time.Duration(n)
	case "min_pending":
		r.MinPending = n
	case "min_ack_pending":
		r.MinAckPending = n
	case "priority":
		r.Priority = int(n)
	default:
		return nil, false
	}
	return rest, true
}

func skipBlank(p []byte) []byte {
	for len(p) > 0 && isBlank(p[0]) {
		p = p[1:]
	}
	return p
}

// scanString reads a string of printable ASCII without escapes.
func scanString(p []byte) (s, rest []byte, ok bool) {
	if len(p) == 0 || p[0] != '"' {
		return nil, nil, false
	}
	for i, c := range p[1:] {
		switch {
		case c == '"':
			return p[1 : i+1], p[i+2:], true
		case c < ' ' || c >= 0x7f || c == '\\':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// scanNumber reads a whole number without leading zeros.
func scanNumber(p []byte) (n int64, rest []byte, ok bool) {
	neg := len(p) > 0 && p[0] == '-'
	if neg {
		p = p[1:]
	}
	end := 0
	for end < len(p) && '0' <= p[end] && p[end] <= '9' {
		end++
	}
	if end == 0 || end > 18 || end > 1 && p[0] == '0' {
		return 0, nil, false
	}
	if end < len(p) && (p[end] == '.' || p[end]|0x20 == 'e') {
		return 0, nil, false
	}
	u, _ := parseUint(p[:end])
	if neg {
		return -int64(u), p[end:], true
	}
	return int64(u), p[end:], true
}
