package lang

import (
	"fmt"
	"strings"
)

// literalPrefix starts a word that looks like a variable and is a bcrypt hash.
const literalPrefix = "$2a$"

// word reads a bare value: a boolean, a variable or a string.
func (p *parser) word() (any, error) { return p.wordTail(p.pos, false) }

// wordTail reads a bare word that began at start, the scanner being somewhere in it
// with nothing to unescape before. With raw the next character belongs to the word
// whatever it is. A single quote ends it too, and is swallowed; what
// ends so, or has escapes, is a string whatever it looks like.
func (p *parser) wordTail(start int, raw bool) (any, error) {
	var b strings.Builder
	b.WriteString(p.text[start:p.pos])
	if at := p.pos; raw && p.peek() != eof {
		p.next()
		b.WriteString(p.text[at:p.pos])
	}
	escaped := false
	for {
		at := p.pos
		c := p.peek()
		if endsWord(c) {
			break
		}
		p.next()
		switch c {
		case '\'':
			return b.String(), nil
		case '\\':
			escaped = true
			if err := p.escape(&b); err != nil {
				return nil, err
			}
		default:
			b.WriteString(p.text[at:p.pos])
		}
	}
	word := b.String()
	if escaped {
		return word, nil
	}
	if name, ok := strings.CutPrefix(word, "$"); ok && !strings.HasPrefix(word, literalPrefix) {
		return p.variable(name)
	}
	if truth, ok := boolean(word); ok {
		return truth, nil
	}
	return word, nil
}

func endsWord(r rune) bool {
	return r == eof || isSpace(r) || r == ',' || r == ';' || r == ']' || r == '}'
}

// address reads the rest of a number with two dots: an address, a port, a version.
func (p *parser) address(start int) string {
	for c := p.peek(); isDigit(c) || c == '.' || c == ':' || c == '-'; c = p.peek() {
		p.next()
	}
	return p.text[start:p.pos]
}

func boolean(word string) (value, ok bool) {
	switch strings.ToLower(word) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}

// variable returns what name stands for: the nearest enclosing pair of that key that
// was already read, or the environment's text read as a value.
func (p *parser) variable(name string) (any, error) {
	for i := len(p.scopes) - 1; i >= 0; i-- {
		if v := p.scopes[i].Get(name); v != nil {
			v.Used = true
			return v.Data, nil
		}
	}
	data, found, err := p.environment(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("variable reference for '%s' on line %d could not be parsed: %w", name, p.line, err)
	case !found:
		return nil, fmt.Errorf("variable reference for '%s' on line %d can not be found", name, p.line)
	}
	return data, nil
}

func (p *parser) environment(name string) (data any, found bool, err error) {
	for _, outer := range p.envs {
		if outer == name {
			return nil, false, fmt.Errorf("variable reference cycle for '%s'", name)
		}
	}
	if p.src.Env == nil || name == "" {
		return nil, false, nil
	}
	text, ok := p.src.Env(name)
	if !ok {
		return nil, false, nil
	}
	m, err := (&parser{
		scanner: newScanner(name+"="+text, ""),
		src:     p.src,
		envs:    append(p.envs[:len(p.envs):len(p.envs)], name),
		files:   p.files,
		depth:   p.depth + 1,
	}).parse()
	if err != nil {
		return nil, false, err
	}
	if v := m.Get(name); v != nil {
		return v.Data, true, nil
	}
	return nil, false, nil
}
