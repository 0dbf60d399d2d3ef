package subjects

import (
	"fmt"
	"unsafe"

	"github.com/lockstepmq/lockstep/server/subject"
)

// A pattern is compiled to one operation a byte. A walk carries, for each pattern that
// may still match, the number of the operation it has come to.
const (
	opFirst uint16 = 256 + iota // the first byte of any token
	opMore                      // the token's further bytes, or none
	opRest                      // the first byte of what may be anything
	opEnd                       // of the pattern
)

// Patterns is an immutable set of subscriptions, with wildcards or without.
type Patterns struct {
	texts  []string
	ops    []uint16
	starts []uint32 // of each pattern in ops
}

// NewPatterns tells which pattern is not valid, if one is. Patterns may overlap. No
// pattern at all matches nothing.
func NewPatterns(patterns ...string) (*Patterns, error) {
	p := &Patterns{texts: patterns}
	for i, text := range patterns {
		if !subject.Valid(text) {
			return nil, fmt.Errorf(
				"pattern %d, %q: want tokens separated by single dots, and %q only as the last one", i, text, ">")
		}
		p.starts = append(p.starts, uint32(len(p.ops)))
		p.compile(text)
	}
	return p, nil
}

func (p *Patterns) compile(text string) {
	subject.Each(text, func(n int, token string) bool {
		if n > 0 {
			p.ops = append(p.ops, '.')
		}
		switch token {
		case "*":
			p.ops = append(p.ops, opFirst, opMore)
		case ">":
			p.ops = append(p.ops, opRest)
		default:
			for i := range len(token) {
				p.ops = append(p.ops, uint16(token[i]))
			}
		}
		return true
	})
	p.ops = append(p.ops, opEnd)
}

// Matches tells whether a subject matches at least one of the patterns.
func (p *Patterns) Matches(s []byte) bool {
	for _, text := range p.texts {
		if subject.Matches(asText(s), text) {
			return true
		}
	}
	return false
}

// asText is b as a string, for as long as b is not changed.
func asText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// advance carries one pattern over the bytes of a label: to the operation after it, to
// everything when whatever follows matches, or to nothing.
func (p *Patterns) advance(op uint32, label []byte) (next uint32, rest, alive bool) {
	for _, c := range label {
		switch o := p.ops[op]; {
		case o == uint16(c):
			op++
		case o == opMore && c != '.':
		case o == opMore && p.ops[op+1] == '.':
			op += 2
		case o == opFirst && c != '.':
			op++
		case o == opRest && c != '.':
			return op, true, true
		default:
			return 0, false, false
		}
	}
	return op, false, true
}

// ends tells whether a subject may end where the pattern has come to.
func (p *Patterns) ends(op uint32) bool {
	o := p.ops[op]
	return o == opEnd || o == opMore && p.ops[op+1] == opEnd
}
