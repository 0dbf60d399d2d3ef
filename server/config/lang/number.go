package lang

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

const dateForm = "2006-01-02T15:04:05Z"

// unit consumes a size suffix (k, kb, ki, kib and so on, in any case) and returns the
// factor that it stands for; 1 when there is none.
func (s *scanner) unit() uint64 {
	letter := func() byte {
		if s.pos < len(s.text) {
			return s.text[s.pos] | 0x20
		}
		return 0
	}
	power := strings.IndexByte("kmgtpe", letter()) + 1
	if power == 0 {
		return 1
	}
	s.next()
	base := uint64(1000)
	if letter() == 'i' {
		base = 1024
		s.next()
	}
	if letter() == 'b' {
		base = 1024
		s.next()
	}
	factor := uint64(1)
	for range power {
		factor *= base
	}
	return factor
}

// number reads a value that starts with a digit. It may turn out to be a date, or a
// word such as 10s or 127.0.0.1:4222. inList lets a closing bracket end it.
func (p *parser) number(inList bool) (any, error) {
	s := &p.scanner
	start := s.pos
	for isDigit(s.peek()) {
		s.next()
	}
	switch c := s.peek(); {
	case c == '-':
		s.next()
		return s.date(start)
	case c == '.':
		s.next()
		return p.float(start)
	}
	digits := s.text[start:s.pos]
	unit := s.unit()
	if p.numberEnds(inList) {
		return integer(s.text[start:s.pos], digits, unit)
	}
	// What makes a word of plain digits is taken as it is.
	return p.wordTail(start, s.pos == start+len(digits))
}

// negative reads a value after its minus sign; it can only be a number.
func (p *parser) negative(inList bool) (any, error) {
	s := &p.scanner
	start := s.pos
	if c := s.peek(); !isDigit(c) {
		if c == '.' {
			return nil, s.fail("Floats must start with a digit, not '.'.")
		}
		s.next()
		return nil, s.fail("Expected a digit but got '%s'.", show(c))
	}
	for isDigit(s.peek()) {
		s.next()
	}
	if s.peek() == '.' {
		s.next()
		if c := s.peek(); !isDigit(c) {
			s.next()
			return nil, s.fail("Floats must have a digit after the '.', but got '%s' instead.", show(c))
		}
		for isDigit(s.peek()) {
			s.next()
		}
		if s.peek() == '.' {
			return p.address(start - 1), nil
		}
		return parseFloat("-" + s.text[start:s.pos])
	}
	digits := s.text[start:s.pos]
	unit := s.unit()
	if s.pos > start+len(digits) && !p.numberEnds(inList) {
		return p.wordTail(start-1, false)
	}
	return integer(s.text[start-1:s.pos], digits, unit)
}

// float reads what follows the first dot of a number.
func (p *parser) float(start int) (any, error) {
	s := &p.scanner
	if c := s.peek(); !isDigit(c) {
		s.next()
		return nil, s.fail("Floats must have a digit after the '.', but got '%s' instead.", show(c))
	}
	for isDigit(s.peek()) {
		s.next()
	}
	if s.peek() == '.' {
		return p.address(start), nil
	}
	return parseFloat(s.text[start:s.pos])
}

func parseFloat(text string) (any, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("float '%s' is out of the range", text)
	}
	return f, nil
}

// date reads what follows the first dash of a date.
func (s *scanner) date(start int) (any, error) {
	if s.pos-start != len("2006-") {
		return nil, s.fail("All ISO8601 dates must be in full Zulu form.")
	}
	for i := len("2006-"); i < len(dateForm); i++ {
		want, got := dateForm[i], s.next()
		switch {
		case isDigit(rune(want)):
			if !isDigit(got) {
				return nil, s.fail("Expected digit in ISO8601 datetime, but found '%s' instead.", show(got))
			}
		case got != rune(want):
			return nil, s.fail("Expected '%c' in ISO8601 datetime, but found '%s' instead.", want, show(got))
		}
	}
	text := s.text[start:s.pos]
	t, err := time.Parse(dateForm, text)
	if err != nil {
		return nil, fmt.Errorf("expected Zulu formatted DateTime, but got '%s'", text)
	}
	return t, nil
}

// numberEnds tells whether the character here may follow a number.
func (p *parser) numberEnds(inList bool) bool {
	r := p.peek()
	return r == eof || isSpace(r) || r == ',' || r == ';' || r == '}' || inList && r == ']'
}

// integer returns digits times unit; written is how the file states it.
func integer(written, digits string, unit uint64) (any, error) {
	n, err := strconv.ParseUint(digits, 10, 64)
	high, product := bits.Mul64(n, unit)
	minus := written[0] == '-'
	limit := uint64(1)<<63 - 1
	if minus {
		limit++
	}
	if err != nil || high != 0 || product > limit {
		return nil, fmt.Errorf("integer '%s' is out of the range", written)
	}
	if minus {
		return -int64(product), nil
	}
	return int64(product), nil
}
