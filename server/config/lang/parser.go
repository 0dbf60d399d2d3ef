package lang

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// depthMax bounds how deep lists, maps, includes and variables of the environment
// may nest.
const depthMax = 1000

// Source is where text that a file refers to comes from.
type Source struct {
	// Read returns the content of an included file.
	Read func(path string) (string, error)
	// Env returns the value of an environment variable and whether it is set.
	Env func(name string) (string, bool)
}

// parser builds values from one text.
type parser struct {
	scanner
	src    Source
	scopes []*Map   // maps being filled, outermost first: where variables are looked up
	envs   []string // environment variables being resolved, to catch cycles
	files  []string // files being included, outermost first
	depth  int
}

// Parse reads text, which came from file. Included files are relative to the folder
// of the file that names them. The first error ends it.
func Parse(text, file string, src Source) (*Map, error) {
	return (&parser{scanner: newScanner(text, file), src: src, files: []string{file}}).parse()
}

func (p *parser) parse() (*Map, error) {
	if p.depth > depthMax {
		return nil, p.fail("More than %d levels of nesting", depthMax)
	}
	root := NewMap()
	p.scopes = append(p.scopes, root)
	if err := p.top(root); err != nil {
		return nil, err
	}
	return root, nil
}

// top reads a whole file: pairs, or pairs in one pair of braces.
func (p *parser) top(root *Map) error {
	inBlock := false
	for {
		p.skipSpace()
		switch c := p.peek(); {
		case c == eof:
			return nil
		case c == '{':
			p.next()
			inBlock = true
		case c == '}' && inBlock:
			p.next()
			inBlock = false
		case c == '}' && strings.TrimSpace(p.text[p.pos+1:]) == "": // one stray brace at the end is let pass
			return nil
		case p.atComment():
			p.skipComment()
		case c == '/':
			return p.fail("Unexpected EOF.")
		case c == ':' || c == '=':
			p.next()
			return p.fail("Unexpected key separator '%c'", c)
		default:
			if err := p.topPair(root, &inBlock); err != nil {
				return err
			}
		}
	}
}

func (p *parser) topPair(root *Map, inBlock *bool) error {
	key, at, quoted, err := p.key(false)
	if err != nil {
		return err
	}
	if !quoted && p.peek() == eof {
		return p.unfinished()
	}
	if isInclude(key, quoted) && isSpace(p.peek()) {
		if err := p.include(root); err != nil {
			return err
		}
		return p.topEnd(inBlock)
	}
	p.skipSpace()
	if c := p.peek(); c == ':' || c == '=' {
		p.next()
		p.skipBlanks()
		if isNewline(p.peek()) {
			p.next()
			return p.fail("Expected value but found new line")
		}
	} else if c == eof {
		return p.unfinished()
	}
	if err := p.assign(root, key, at); err != nil {
		return err
	}
	return p.topEnd(inBlock)
}

func (p *parser) unfinished() error {
	return fmt.Errorf("config is invalid (%s)", p.here())
}

// topEnd reads up to what separates a top-level pair from the next.
func (p *parser) topEnd(inBlock *bool) error {
	for {
		switch c := p.peek(); {
		case isBlank(c):
			p.next()
		case p.atComment():
			p.skipComment()
			return nil
		case c == '/': // a lone slash is noise here
			p.next()
		case c == eof && !*inBlock:
			return nil
		case isNewline(c), c == ',', c == ';':
			p.next()
			return nil
		case c == '}':
			p.next()
			*inBlock = false
			return nil
		default:
			kind := "top"
			if *inBlock {
				kind = "block"
			}
			return p.fail("Expected a %s-level value to end with a new line, comment or EOF, but got '%s' instead.", kind, show(c))
		}
	}
}

// key reads a key, quoted or bare. A bare one ends at blank, newline or separator.
func (p *parser) key(inMap bool) (key string, at Pos, quoted bool, err error) {
	if q := p.peek(); q == '"' || q == '\'' {
		p.next()
		at = p.here()
		missing := "Unexpected EOF."
		switch {
		case inMap && q == '"':
			missing = "Unexpected EOF processing double quoted map key."
		case inMap:
			missing = "Unexpected EOF processing quoted map key."
		}
		key, err = p.rawUntil(q, missing)
		return key, at, true, err
	}
	at = p.here()
	start := p.pos
	for c := p.peek(); c != eof && !isSpace(c) && c != ':' && c != '='; c = p.peek() {
		p.next()
	}
	return p.text[start:p.pos], at, false, nil
}

// rawUntil reads up to a closing quote; keys know no escapes.
func (p *parser) rawUntil(quote rune, missing string) (string, error) {
	start := p.pos
	for {
		switch p.next() {
		case quote:
			return p.text[start : p.pos-1], nil
		case eof:
			return "", p.fail("%s", missing)
		}
	}
}

func isInclude(key string, quoted bool) bool { return !quoted && strings.EqualFold(key, "include") }

// assign reads a value and stores it in m under key. A map found without a key of its
// own, because the last word inside it had no value, takes that word as its key.
func (p *parser) assign(m *Map, key string, at Pos) error {
	v, orphan, err := p.value(false)
	if err != nil {
		return err
	}
	v.Pos = at
	if orphan != nil {
		key, v.Pos = orphan.key, orphan.at
	}
	m.Set(key, v)
	return nil
}

// orphan is a key that its map ended behind.
type orphan struct {
	key string
	at  Pos
}

// value reads a value. The scanner stands at its first character.
func (p *parser) value(inList bool) (*Value, *orphan, error) {
	v := &Value{Pos: p.here()}
	var err error
	var lone *orphan
	switch c := p.peek(); {
	case c == '{':
		p.next()
		v.Data, lone, err = p.mapping()
		v.Pos = p.here()
	case c == '[':
		p.next()
		v.Data, err = p.list()
		v.Pos = p.here()
	case c == '\'':
		p.next()
		v.Pos = p.here()
		v.Data, err = p.single()
	case c == '"':
		p.next()
		v.Pos = p.here()
		v.Data, err = p.double()
	case c == '(':
		p.next()
		v.Pos = p.here()
		v.Data, err = p.block()
	case c == '-':
		p.next()
		v.Data, err = p.negative(inList)
	case isDigit(c):
		v.Data, err = p.number(inList)
	case c == '.':
		p.next()
		err = p.fail("Floats must start with a digit")
	default:
		v.Data, err = p.word()
	}
	if err != nil {
		return nil, nil, err
	}
	if v.weigh() > sizeMax {
		return nil, nil, p.fail("More than %d values in one", sizeMax)
	}
	return v, lone, nil
}

// list reads a list after its opening bracket.
func (p *parser) list() ([]*Value, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > depthMax {
		return nil, p.fail("More than %d levels of nesting", depthMax)
	}
	out := []*Value{}
	for {
		p.skipSpace()
		switch c := p.peek(); {
		case p.atComment():
			p.skipComment()
			continue
		case c == ']':
			p.next()
			return out, nil
		case c == ',':
			p.next()
			return nil, p.fail("Unexpected array value terminator ','.")
		case c == eof:
			return nil, p.badListEnd(c)
		}
		v, _, err := p.value(true)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if done, err := p.listEnd(); err != nil || done {
			return out, err
		}
	}
}

// listEnd reads up to what separates an element from the next, or the bracket.
func (p *parser) listEnd() (done bool, err error) {
	for {
		switch c := p.peek(); {
		case isBlank(c):
			p.next()
		case p.atComment():
			p.skipComment()
			return false, nil
		case c == '/':
			p.next()
		case c == ',' || isNewline(c):
			p.next()
			return false, nil
		case c == ']':
			p.next()
			return true, nil
		default:
			return false, p.badListEnd(c)
		}
	}
}

func (p *parser) badListEnd(c rune) error {
	return p.fail(`Expected an array value terminator "," or an array terminator "]", but got '%s' instead.`, show(c))
}

// mapping reads a map after its opening brace.
func (p *parser) mapping() (*Map, *orphan, error) {
	p.depth++
	m := NewMap()
	p.scopes = append(p.scopes, m)
	defer func() {
		p.depth--
		p.scopes = p.scopes[:len(p.scopes)-1]
	}()
	if p.depth > depthMax {
		return nil, nil, p.fail("More than %d levels of nesting", depthMax)
	}
	for {
		p.skipSpace()
		switch c := p.peek(); {
		case c == eof:
			return nil, nil, p.fail("Unexpected EOF processing map.")
		case p.atComment():
			p.skipComment()
			continue
		case c == '}':
			p.next()
			return m, nil, nil
		case c == ':' || c == '=':
			p.next()
			return nil, nil, p.fail("Unexpected key separator '%c'.", c)
		}
		lone, err := p.mapPair(m)
		if err != nil || lone != nil {
			return m, lone, err
		}
		if done, err := p.mapEnd(); err != nil || done {
			return m, nil, err
		}
	}
}

func (p *parser) mapPair(m *Map) (*orphan, error) {
	key, at, quoted, err := p.key(true)
	if err != nil {
		return nil, err
	}
	if !quoted && p.peek() == eof {
		return nil, p.fail("Unexpected EOF processing map key.")
	}
	if isInclude(key, quoted) && isSpace(p.peek()) {
		return nil, p.include(m)
	}
	p.skipSpace()
	separated := false
	if c := p.peek(); c == ':' || c == '=' {
		separated = true
		p.next()
		p.skipSpace()
	}
	if p.peek() == '}' && !separated {
		p.next()
		return &orphan{key, at}, nil
	}
	return nil, p.assign(m, key, at)
}

// mapEnd reads up to what separates a pair from the next, or the brace.
func (p *parser) mapEnd() (done bool, err error) {
	for {
		switch c := p.peek(); {
		case isBlank(c):
			p.next()
		case p.atComment():
			p.skipComment()
			return false, nil
		case c == '/':
			p.next()
		case c == ',' || c == ';' || isNewline(c):
			p.next()
			return false, nil
		case c == '}':
			p.next()
			return true, nil
		default:
			return false, p.fail(`Expected a map value terminator "," or a map terminator "}", but got '%s' instead.`, show(c))
		}
	}
}

// include reads a path after the word include, and merges that file's pairs into m.
func (p *parser) include(m *Map) error {
	p.skipBlanks()
	var name string
	var err error
	switch p.peek() {
	case eof:
		return p.unfinished()
	case '\n', '\r':
		p.next()
		return p.fail("Expected include value but found new line")
	case '"', '\'':
		name, err = p.rawUntil(p.next(), "Unexpected EOF.")
	default:
		start := p.pos
		for c := p.peek(); c != eof && !isSpace(c) && c != ',' && c != ';' && c != '}'; c = p.peek() {
			p.next()
		}
		name = p.text[start:p.pos]
	}
	if err != nil {
		return err
	}
	if p.src.Read == nil {
		return errors.New("includes are not available here")
	}
	path := filepath.Join(filepath.Dir(p.file), name)
	if slices.Contains(p.files, path) {
		return fmt.Errorf("error parsing include file '%s', it includes itself", name)
	}
	text, err := p.src.Read(path)
	if err != nil {
		return fmt.Errorf("error parsing include file '%s', %w", name, err)
	}
	inner, err := (&parser{
		scanner: newScanner(text, path),
		src:     p.src,
		files:   append(p.files[:len(p.files):len(p.files)], path),
		depth:   p.depth + 1,
	}).parse()
	if err != nil {
		return fmt.Errorf("error parsing include file '%s', %w", name, err)
	}
	for _, pair := range inner.pairs {
		m.Set(pair.Key, pair.Value)
	}
	return nil
}
