package wire

import (
	"encoding/binary"
	"math/bits"
)

// The short cuts for the bulk of all traffic: a message that lies whole in the
// read, its fields divided by single blanks and its line ended by CRLF. Whatever
// else comes, errors included, they leave to the general path, which starts over.

// wholeMin is the length of the shortest message.
const wholeMin = len("PUB a 0\r\n\r\n")

// fieldsMax is how many arguments a message has at most: HMSG with a reply.
const fieldsMax = 5

// fields finds the arguments that begin at from: ends gets the index behind each,
// where a blank stands or, behind the last, CRLF. It gives their number, and 0 for a
// line it does not understand.
func fields(in []byte, from int, ends *[fieldsMax]int) (n int) {
	const (
		low7 = 0x7f7f7f7f7f7f7f7f
		high = 0x8080808080808080
		// Added to seven bits, it sets the eighth if they are above a blank.
		above = (0x80 - (' ' + 1)) * 0x0101010101010101
	)
	i, start := from, from
	for ; i+8 <= len(in); i += 8 {
		word := binary.LittleEndian.Uint64(in[i:])
		for m := ^(word&low7 + above | word) & high; m != 0; m &= m - 1 {
			at := i + bits.TrailingZeros64(m)>>3
			if at == start || n == fieldsMax {
				return 0
			}
			ends[n] = at
			n++
			if in[at] != ' ' {
				return endOfLine(in, at, n)
			}
			start = at + 1
		}
	}
	for ; i < len(in); i++ {
		if in[i] > ' ' {
			continue
		}
		if i == start || n == fieldsMax {
			return 0
		}
		ends[n] = i
		n++
		if in[i] != ' ' {
			return endOfLine(in, i, n)
		}
		start = i + 1
	}
	return 0
}

// endOfLine gives n if CRLF stands at the index, else 0.
func endOfLine(in []byte, at, n int) int {
	if in[at] == '\r' && at+1 < len(in) && in[at+1] == '\n' {
		return n
	}
	return 0
}

// wholePub reads `subject [reply] size` and the payload.
func wholePub(in []byte, from int, op *Op, line int, payload int64) (rest []byte, ok bool) {
	var ends [fieldsMax]int
	n := fields(in, from, &ends)
	var reply []byte
	switch n {
	case 2:
	case 3:
		reply = in[ends[0]+1 : ends[1] : ends[1]]
	default:
		return nil, false
	}
	last := ends[n-1]
	size := sizeAt(in, ends[n-2]+1, last)
	if last-from > line || !fits(in, last+2, size, payload) {
		return nil, false
	}
	if op.Verb != VerbPub {
		*op = Op{Verb: VerbPub}
	}
	op.Subject, op.Reply = in[from:ends[0]:ends[0]], reply
	op.Payload = in[last+2 : last+2+size : last+2+size]
	return in[last+2+size+2:], true
}

// wholeHpub reads `subject [reply] header total` and the payload.
func wholeHpub(in []byte, from int, op *Op, line int, payload int64) (rest []byte, ok bool) {
	var ends [fieldsMax]int
	n := fields(in, from, &ends)
	var reply []byte
	switch n {
	case 3:
	case 4:
		reply = in[ends[0]+1 : ends[1] : ends[1]]
	default:
		return nil, false
	}
	last := ends[n-1]
	header := sizeAt(in, ends[n-3]+1, ends[n-2])
	size := sizeAt(in, ends[n-2]+1, last)
	if last-from > line || header < 0 || header > size || !fits(in, last+2, size, payload) {
		return nil, false
	}
	if op.Verb != VerbHpub {
		*op = Op{Verb: VerbHpub}
	}
	op.Subject, op.Reply, op.Header = in[from:ends[0]:ends[0]], reply, header
	op.Payload = in[last+2 : last+2+size : last+2+size]
	return in[last+2+size+2:], true
}

// wholeMsg reads `subject sid [reply] [header] size` and the payload; headers is 1
// for HMSG and 0 for MSG.
func wholeMsg(verb Verb, headers int, in []byte, from int, op *Op) (rest []byte, ok bool) {
	var ends [fieldsMax]int
	n := fields(in, from, &ends)
	if n-headers != 3 && n-headers != 4 {
		return nil, false
	}
	last := ends[n-1]
	size := sizeAt(in, ends[n-2]+1, last)
	header := 0
	if headers == 1 {
		header = sizeAt(in, ends[n-3]+1, ends[n-2])
	}
	if last-from > clientMaxControlLine || header < 0 || header > size || !fits(in, last+2, size, clientMaxPayload) {
		return nil, false
	}
	if op.Verb != verb {
		*op = Op{Verb: verb}
	}
	op.Subject, op.SID, op.Reply = in[from:ends[0]:ends[0]], in[ends[0]+1:ends[1]:ends[1]], nil
	if n-headers == 4 {
		op.Reply = in[ends[1]+1 : ends[2] : ends[2]]
	}
	op.Header, op.Payload = header, in[last+2:last+2+size:last+2+size]
	return in[last+2+size+2:], true
}

// sizeAt reads the digits in[from:to]; -1 if they are not 1 to 9 digits.
func sizeAt(in []byte, from, to int) int {
	if to-from > sizeDigitsMax {
		return -1
	}
	n := 0
	for _, c := range in[from:to] {
		if c -= '0'; c > 9 {
			return -1
		}
		n = n*10 + int(c)
	}
	return n
}

// fits tells whether a payload of size, allowed by the limit, and its CRLF lie in
// the read.
func fits(in []byte, from, size int, limit int64) bool {
	end := from + size
	return size >= 0 && (limit < 0 || int64(size) <= limit) &&
		end+1 < len(in) && in[end] == '\r' && in[end+1] == '\n'
}
