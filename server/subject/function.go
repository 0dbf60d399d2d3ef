package subject

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A function of a transform's destination.
type function uint8

const (
	fnText function = iota
	fnRest
	fnWildcard
	fnPartition
	fnRandom
	fnSplit
	fnSplitFromLeft
	fnSplitFromRight
	fnSliceFromLeft
	fnSliceFromRight
	fnLeft
	fnRight
)

// functionNames spell each word with a capital; it may as well be a small letter.
var functionNames = [...]string{
	fnWildcard: "Wildcard", fnPartition: "Partition", fnRandom: "Random", fnSplit: "Split",
	fnSplitFromLeft: "SplitFromLeft", fnSplitFromRight: "SplitFromRight",
	fnSliceFromLeft: "SliceFromLeft", fnSliceFromRight: "SliceFromRight",
	fnLeft: "Left", fnRight: "Right",
}

// called tells functions from text and ">".
func (f function) called() bool { return f > fnRest }

func functionNamed(name string) (function, bool) {
	for f := fnWildcard; f <= fnRight; f++ {
		if spells(name, functionNames[f]) {
			return f, true
		}
	}
	return 0, false
}

func spells(name, canonical string) bool {
	if len(name) != len(canonical) {
		return false
	}
	for i := range len(name) {
		c := canonical[i]
		if name[i] != c && (c < 'A' || c > 'Z' || name[i] != c+'a'-'A') {
			return false
		}
	}
	return true
}

// parsePart reads one token of a destination.
func parsePart(token string) (part, error) {
	switch {
	case is(token, wildRest):
		return part{does: fnRest, token: token}, nil
	case len(token) > len("{{}}") && strings.HasPrefix(token, "{{") && strings.HasSuffix(token, "}}"):
		p, err := parseFunction(strings.TrimSpace(token[2 : len(token)-2]))
		if err != nil {
			return part{}, &DestinationError{Err: err, Token: token}
		}
		p.token = token
		return p, nil
	case token == "" || HasBlank(token):
		return part{}, &DestinationError{Err: ErrInvalidTransform}
	case token[0] == '$':
		if n, err := strconv.Atoi(token[1:]); err == nil {
			return part{does: fnWildcard, token: token, places: []int{n}}, nil
		}
	}
	return part{does: fnText, token: token, text: token}, nil
}

func parseFunction(call string) (part, error) {
	name, args, ok := strings.Cut(call, "(")
	f, known := functionNamed(strings.TrimSpace(name))
	if !ok || !known || !strings.HasSuffix(args, ")") {
		return part{}, ErrUnknownFunction
	}
	list := strings.Split(args[:len(args)-1], ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	p := part{does: f}
	return p, p.arguments(list)
}

func (p *part) arguments(args []string) (err error) {
	switch {
	case p.does == fnPartition:
		if p.n, err = number(args[0]); err == nil {
			p.places, err = places(args[1:])
		}
		return err
	case p.does == fnRandom && len(args) > 1:
		return ErrNotEnoughArgs // sic: what users of this protocol are told
	case p.does == fnRandom:
		p.n, err = number(args[0])
		return err
	case p.does == fnWildcard && len(args) > 1, len(args) > 2:
		return ErrTooManyArgs
	case p.does == fnWildcard && args[0] == "", p.does != fnWildcard && len(args) < 2:
		return ErrNotEnoughArgs
	}
	if p.places, err = places(args[:1]); err != nil || p.does == fnWildcard {
		return err
	}
	if p.does != fnSplit {
		p.n, err = number(args[1])
		return err
	}
	if p.text = args[1]; strings.ContainsAny(p.text, " .") {
		return ErrInvalidArg
	}
	return nil
}

func places(args []string) ([]int, error) {
	out := make([]int, len(args))
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return nil, ErrInvalidArg
		}
		out[i] = n
	}
	return out, nil
}

// number reads an argument of at most 31 bits.
func number(arg string) (int, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n > math.MaxInt32 {
		return 0, ErrInvalidArg
	}
	return n, nil
}

// write appends what the function makes of subject.
func (p *part) write(dst, subject, whole []byte, r *rand.Rand) []byte {
	switch p.does {
	case fnPartition:
		return p.partition(dst, subject, whole)
	case fnRandom:
		return strconv.AppendInt(dst, draw(p.n, r), 10)
	}
	token, _ := Token(subject, p.places[0])
	k := p.n
	if p.does != fnSplit && (k <= 0 || k >= len(token)) {
		return append(dst, token...) // whole; so does wildcard, which has no number
	}
	switch p.does {
	case fnSplit:
		return appendSplit(dst, token, p.text)
	case fnSplitFromLeft:
		return appendCut(dst, token, k)
	case fnSplitFromRight:
		return appendCut(dst, token, len(token)-k)
	case fnSliceFromLeft:
		return appendSlices(dst, token, k, k)
	case fnSliceFromRight:
		return appendSlices(dst, token, (len(token)-1)%k+1, k)
	case fnLeft:
		return append(dst, token[:k]...)
	default:
		return append(dst, token[len(token)-k:]...)
	}
}

// partition appends the FNV-1a hash of the tokens, or of the whole subject, modulo
// the number of partitions; a negative number counts as its 32 bits unsigned.
func (p *part) partition(dst, subject, whole []byte) []byte {
	sum := uint32(2166136261)
	add := func(b []byte) {
		for _, c := range b {
			sum = (sum ^ uint32(c)) * 16777619
		}
	}
	if len(p.places) == 0 {
		add(whole)
	}
	for _, place := range p.places {
		token, _ := Token(subject, place)
		add(token)
	}
	if uint32(p.n) == 0 {
		return append(dst, '0')
	}
	return strconv.AppendUint(dst, uint64(sum%uint32(p.n)), 10)
}

// draw gives a number from 0 up to below |n|.
func draw(n int, r *rand.Rand) int64 {
	if n < 0 {
		n = -n
	}
	if n == 0 || r == nil {
		return 0
	}
	return r.Int64N(int64(n))
}

func appendCut(dst, token []byte, at int) []byte {
	dst = append(append(dst, token[:at]...), separator)
	return append(dst, token[at:]...)
}

func appendSlices(dst, token []byte, first, k int) []byte {
	dst = append(dst, token[:first]...)
	for i := first; i < len(token); i += k {
		dst = append(append(dst, separator), token[i:min(i+k, len(token))]...)
	}
	return dst
}

// appendSplit cuts at every sep, or behind every character when sep is empty, and
// drops what is empty.
func appendSplit(dst, token []byte, sep string) []byte {
	start := len(dst)
	piece := func(p []byte) {
		if len(p) == 0 {
			return
		}
		if len(dst) > start {
			dst = append(dst, separator)
		}
		dst = append(dst, p...)
	}
	for len(token) > 0 {
		at, skip := index(token, sep), len(sep)
		if sep == "" {
			_, at = utf8.DecodeRune(token)
		}
		if at < 0 {
			at, skip = len(token), 0
		}
		piece(token[:at])
		token = token[at+skip:]
	}
	return dst
}

func index(token []byte, sep string) int {
	for i := 0; i+len(sep) <= len(token); i++ {
		if string(token[i:i+len(sep)]) == sep {
			return i
		}
	}
	return -1
}
