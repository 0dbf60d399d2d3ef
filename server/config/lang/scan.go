package lang

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// eof is what peek returns behind the last byte. A file that contains it ends there.
const eof = rune(0)

// scanner walks over one text. It knows characters, lines and columns, and the
// lexical forms that need no context: comments, quoted strings, raw blocks.
type scanner struct {
	text      string
	file      string
	pos       int
	line      int
	lineStart int // offset of the newline before this line; 0 on the first
}

func newScanner(text, file string) scanner { return scanner{text: text, file: file, line: 1} }

func (s *scanner) peek() rune {
	if s.pos >= len(s.text) {
		return eof
	}
	if c := s.text[s.pos]; c < utf8.RuneSelf {
		return rune(c)
	}
	r, _ := utf8.DecodeRuneInString(s.text[s.pos:])
	return r
}

// next consumes a character and returns it; at the end it consumes nothing.
func (s *scanner) next() rune {
	if s.pos >= len(s.text) {
		return eof
	}
	r, n := utf8.DecodeRuneInString(s.text[s.pos:])
	if r == '\n' {
		s.line++
		s.lineStart = s.pos
	}
	s.pos += n
	return r
}

func (s *scanner) here() Pos { return Pos{s.file, s.line, s.pos - s.lineStart} }

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.text[s.pos:], prefix) }

func isBlank(r rune) bool   { return r == ' ' || r == '\t' }
func isNewline(r rune) bool { return r == '\n' || r == '\r' }
func isSpace(r rune) bool   { return isBlank(r) || isNewline(r) }
func isDigit(r rune) bool   { return r >= '0' && r <= '9' }

func (s *scanner) skipBlanks() {
	for isBlank(s.peek()) {
		s.next()
	}
}

func (s *scanner) skipSpace() {
	for isSpace(s.peek()) {
		s.next()
	}
}

// skipComment consumes up to the end of the line.
func (s *scanner) skipComment() {
	for c := s.peek(); c != eof && !isNewline(c); c = s.peek() {
		s.next()
	}
}

// atComment reports whether a comment starts here.
func (s *scanner) atComment() bool { return s.peek() == '#' || s.has("//") }

// fail returns a lexical error at the current line.
func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("Parse error on line %d: '%s'", s.line, fmt.Sprintf(format, args...))
}

// show renders a character for an error text: a newline would break the line.
func show(r rune) string {
	if r == '\n' {
		return "\\n"
	}
	return string(r)
}

// single reads a raw string after its opening quote.
func (s *scanner) single() (string, error) {
	end := strings.IndexByte(s.text[s.pos:], '\'')
	if end < 0 || strings.IndexByte(s.text[s.pos:s.pos+end], 0) >= 0 {
		for s.peek() != eof {
			s.next()
		}
		return "", s.fail("Unexpected EOF.")
	}
	out := s.text[s.pos : s.pos+end]
	for range out {
		s.next()
	}
	s.next()
	return out, nil
}

// double reads a string with escapes after its opening quote.
func (s *scanner) double() (string, error) {
	var b strings.Builder
	for {
		start := s.pos
		switch c := s.next(); c {
		case eof:
			return "", s.fail("Unexpected EOF.")
		case '"':
			return b.String(), nil
		case '\\':
			if err := s.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteString(s.text[start:s.pos])
		}
	}
}

// escape reads what follows a backslash and appends what it stands for.
func (s *scanner) escape(b *strings.Builder) error {
	switch c := s.next(); c {
	case 't':
		b.WriteByte('\t')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case '"', '\\':
		b.WriteByte(byte(c))
	case 'x':
		return s.hexEscape(b)
	default:
		return s.fail(`Invalid escape character '%s'. Only the following escape characters are allowed: \xXX, \t, \n, \r, \", \\.`, show(c))
	}
	return nil
}

func (s *scanner) hexEscape(b *strings.Builder) error {
	var value byte
	start := s.pos
	for range 2 {
		c := s.next()
		if isNewline(c) {
			return s.fail("Expected two hexadecimal digits after '\\x', but hit end of line")
		}
		d, ok := hexDigit(c)
		if !ok {
			return s.fail("Expected two hexadecimal digits after '\\x', but got '%s'", s.text[start:s.pos])
		}
		value = value<<4 | d
	}
	b.WriteByte(value)
	return nil
}

func hexDigit(r rune) (byte, bool) {
	switch {
	case isDigit(r):
		return byte(r - '0'), true
	case r >= 'a' && r <= 'f':
		return byte(r-'a') + 10, true
	case r >= 'A' && r <= 'F':
		return byte(r-'A') + 10, true
	}
	return 0, false
}

// block reads raw text after an opening parenthesis, up to a closing one that stands
// alone on its line.
func (s *scanner) block() (string, error) {
	start := s.pos
	for {
		c := s.next()
		if c == eof {
			return "", s.fail("Unexpected EOF processing block.")
		}
		if c != ')' || s.pos < 2 || !isNewline(rune(s.text[s.pos-2])) {
			continue
		}
		if n := s.peek(); n == eof || isNewline(n) {
			return s.text[start : s.pos-1], nil
		}
	}
}
