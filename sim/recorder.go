package sim

import (
	"bytes"
	"strconv"

	"github.com/lockstepmq/lockstep/checks/core"
)

// recorder writes the history. It also builds and recognizes payloads, which carry
// the message's id and a filling that follows from it.
type recorder struct {
	h      core.History
	stamp  core.Stamp
	ids    uint64
	conns  int
	served int // 503s
	answer int // requests that were answered
}

// now is the next stamp.
func (r *recorder) now() core.Stamp {
	r.stamp++
	return r.stamp
}

// filling repeats with the period 26, so that a piece of it tells where it began.
var filling = bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), 10<<10)

// appendPayload appends the payload of message id, size bytes or as long as it has
// to be.
func appendPayload(dst []byte, id uint64, size int) []byte {
	start := len(dst)
	dst = append(dst, '#')
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(dst, ';')
	if n := size - (len(dst) - start); n > 0 {
		from := int(id % 26)
		dst = append(dst, filling[from:from+min(n, len(filling)-26)]...)
	}
	return dst
}

// readPayload tells which message a payload belongs to, and whether it is whole in
// itself; its length is compared by the caller.
func readPayload(p []byte) (id uint64, intact bool) {
	end := bytes.IndexByte(p, ';')
	if end < 2 || p[0] != '#' {
		return 0, false
	}
	id, err := strconv.ParseUint(string(p[1:end]), 10, 64)
	if err != nil {
		return 0, false
	}
	rest := p[end+1:]
	from := int(id % 26)
	return id, len(rest) <= len(filling)-26 && bytes.Equal(rest, filling[from:from+len(rest)])
}
