package wire

import (
	"bytes"
	"iter"
	"strconv"
)

// A header block is a status line, lines of `Name: value` and an empty line, each
// ended by CRLF. Nobody validates what clients send as one, so every function here
// takes any bytes: lines without a colon are passed over, and reading ends at the
// first empty line or at the last CRLF.

// HeaderLine is the status line of a block without a status, with its CRLF.
const HeaderLine = "NATS/1.0\r\n"

// Headers yields names and values in order. Values come without leading blanks.
func Headers(block []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		_, rest, _ := cutLine(block)
		for {
			line, after, ok := cutLine(rest)
			if !ok || len(line) == 0 {
				return
			}
			rest = after
			if name, value, ok := cutHeader(line); ok && !yield(name, value) {
				return
			}
		}
	}
}

// HeaderValue gives the value of the first header of that exact name.
func HeaderValue(block []byte, name string) (value []byte, ok bool) {
	_, rest, _ := cutLine(block)
	for {
		line, after, ok := cutLine(rest)
		if !ok || len(line) == 0 {
			return nil, false
		}
		rest = after
		if isHeader(line, name) {
			_, value, _ := cutHeader(line)
			return value, true
		}
	}
}

// HeaderValueFold is [HeaderValue] without regard to ASCII case, for names that
// come from HTTP such as traceparent.
func HeaderValueFold(block []byte, name string) (value []byte, ok bool) {
	_, rest, _ := cutLine(block)
	for {
		line, after, ok := cutLine(rest)
		if !ok || len(line) == 0 {
			return nil, false
		}
		rest = after
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			_, value, _ := cutHeader(line)
			return value, true
		}
	}
}

// HeaderStatus gives the code and description of a status line such as
// `NATS/1.0 503 No Responders`; ok is false without a code of one to nine digits.
func HeaderStatus(block []byte) (code int, description []byte, ok bool) {
	line, _, _ := cutLine(block)
	rest, found := bytes.CutPrefix(line, []byte("NATS/1.0 "))
	if !found {
		return 0, nil, false
	}
	digits, description, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	if code = parseSize(digits); code < 0 {
		return 0, nil, false
	}
	return code, bytes.TrimSpace(description), true
}

// AppendHeaderStatus appends a status line; an empty description is left out.
// Header lines and an empty line must follow.
func AppendHeaderStatus(dst []byte, code int, description string) []byte {
	dst = append(dst, "NATS/1.0 "...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	if description != "" {
		dst = append(dst, ' ')
		dst = append(dst, description...)
	}
	return append(dst, CRLF...)
}

// AppendHeaderLine appends `name: value` and CRLF. CR and LF in either, which would
// begin another header, become blanks.
func AppendHeaderLine(dst []byte, name, value string) []byte {
	from := len(dst)
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	for i, b := range dst[from:] {
		if b == '\r' || b == '\n' {
			dst[from+i] = ' '
		}
	}
	return append(dst, CRLF...)
}

// AppendHeaderAdd appends the block with one more header at its end, whether or not
// the name is there already. An empty block begins a new one; a block without its
// closing empty line is given one.
func AppendHeaderAdd(dst, block []byte, name, value string) []byte {
	dst = append(dst, headerBody(block)...)
	dst = closeLine(dst, block)
	dst = AppendHeaderLine(dst, name, value)
	return append(dst, CRLF...)
}

// AppendHeaderSet appends the block with the value of the first header of that name
// replaced and the others of that name left out; if there is none it is added.
func AppendHeaderSet(dst, block []byte, name, value string) []byte {
	return appendWithout(dst, block, name, func(dst []byte, first bool) []byte {
		if first {
			return AppendHeaderLine(dst, name, value)
		}
		return dst
	}, func(dst []byte) []byte { return AppendHeaderAdd(dst, block, name, value) })
}

// AppendHeaderDelete appends the block without the headers of that name. When no
// header and no status is left, nothing is appended: the message then has no block.
func AppendHeaderDelete(dst, block []byte, name string) []byte {
	from := len(dst)
	dst = appendWithout(dst, block, name,
		func(dst []byte, _ bool) []byte { return dst },
		func(dst []byte) []byte { return append(dst, block...) })
	if string(dst[from:]) == HeaderLine+CRLF {
		return dst[:from]
	}
	return dst
}

// appendWithout copies the block, calling found in place of each header of that
// name; when there is none it undoes the copy and calls missing.
func appendWithout(dst, block []byte, name string, found func([]byte, bool) []byte, missing func([]byte) []byte) []byte {
	from := len(dst)
	hits := 0
	_, rest, _ := cutLine(block)
	dst = append(dst, block[:len(block)-len(rest)]...)
	for {
		line, after, ok := cutLine(rest)
		if !ok || len(line) == 0 {
			break
		}
		if isHeader(line, name) {
			dst = found(dst, hits == 0)
			hits++
		} else {
			dst = append(dst, rest[:len(rest)-len(after)]...)
		}
		rest = after
	}
	if hits == 0 {
		return missing(dst[:from])
	}
	return append(dst, rest...)
}

// headerBody is the block without its closing empty line.
func headerBody(block []byte) []byte {
	if len(block) == 0 {
		return []byte(HeaderLine)
	}
	if bytes.HasSuffix(block, []byte("\r\n\r\n")) {
		return block[:len(block)-2]
	}
	return block
}

// closeLine ends the last line of a block that was cut off inside it.
func closeLine(dst, block []byte) []byte {
	if len(block) == 0 || bytes.HasSuffix(block, []byte(CRLF)) {
		return dst
	}
	return append(dst, CRLF...)
}

// cutLine takes a line off block; ok is false when no CRLF is left.
func cutLine(block []byte) (line, rest []byte, ok bool) {
	for from := 0; ; {
		i := bytes.IndexByte(block[from:], '\n')
		if i < 0 {
			return nil, nil, false
		}
		if end := from + i; end > 0 && block[end-1] == '\r' {
			return block[:end-1], block[end+1:], true
		}
		from += i + 1
	}
}

func isHeader(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && string(line[:len(name)]) == name
}

func cutHeader(line []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return nil, nil, false
	}
	name, value = line[:i], line[i+1:]
	for len(value) > 0 && isBlank(value[0]) {
		value = value[1:]
	}
	return name, value, true
}

// equalFold compares two strings of equal length without ASCII case.
func equalFold(a []byte, b string) bool {
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
