package account

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/server/subject"
)

// pairing binds the subject of an import in the importing account (local) to
// the one in the exporting account (remote), token by token, so that subjects
// can be carried over in both directions.
type pairing struct {
	local, remote []string // tokens, with `*` where a reference stood
	// bound has, for each local token, the position of the remote wildcard that it
	// repeats, or -1 for a literal.
	bound    []int
	toLocal  rewrite
	toRemote rewrite
}

// pairSubjects reads both subjects of an import. Either may refer to the other's
// wildcards by `$n` or `{{wildcard(n)}}`; plain `*` are taken in order. When
// lossy, several local subjects may lead to one remote subject.
func pairSubjects(local, remote string, lossy bool) (*pairing, error) {
	l, err := parsePattern(local)
	if err != nil {
		return nil, err
	}
	r, err := parsePattern(remote)
	if err != nil {
		return nil, err
	}
	p := &pairing{local: l.tokens, remote: r.tokens, bound: make([]int, len(l.tokens))}
	for i := range p.bound {
		p.bound[i] = -1
	}
	if lossy && len(r.wild) == 0 && !r.tail {
		p.toRemote = rewrite{mode: rewriteLiteral, text: remote}
		return p, nil
	}
	if l.tail != r.tail {
		return nil, errTransformSubject
	}
	if err := p.bind(l, r); err != nil {
		return nil, err
	}
	if l.tail {
		p.bound[len(l.tokens)-1] = len(r.tokens) - 1
	}
	p.toLocal = makeRewrite(p.local, p.bound, p.remote)
	p.toRemote = makeRewrite(p.remote, p.inverse(), p.local)
	return p, nil
}

// bind fills bound from the side that refers to the other.
func (p *pairing) bind(l, r pattern) error {
	if r.refers && !l.refers {
		at, err := r.resolve(l)
		if err != nil {
			return err
		}
		for i, pos := range at {
			p.bound[pos] = r.wild[i].pos
		}
		return nil
	}
	at, err := l.resolve(r)
	if err != nil {
		return err
	}
	for i, pos := range at {
		p.bound[l.wild[i].pos] = pos
	}
	return nil
}

// inverse has, for each remote token, the first local position bound to it.
func (p *pairing) inverse() []int {
	inv := make([]int, len(p.remote))
	for i := range inv {
		inv[i] = -1
	}
	for l, r := range p.bound {
		if r >= 0 && inv[r] < 0 {
			inv[r] = l
		}
	}
	return inv
}

// shadow is the remote pattern whose messages, once carried over, match sub; it
// is false when there are none.
func (p *pairing) shadow(sub string) (string, bool) {
	pattern, ok := subject.Intersection(strings.Join(p.local, "."), sub)
	if !ok {
		return "", false
	}
	common := strings.Split(pattern, ".")
	remote := append([]string(nil), p.remote...)
	for l, r := range p.bound {
		switch {
		case r < 0:
		case remote[r] == ">":
			return strings.Join(append(remote[:r], common[l:]...), "."), true
		case remote[r] == "*":
			remote[r] = common[l]
		case common[l] != "*" && common[l] != remote[r]:
			return "", false // one wildcard would have to be two different tokens
		}
	}
	return strings.Join(remote, "."), true
}

// complete refuses a pairing whose remote wildcards are not all told by the local
// subject; from is that subject as it was written.
func (p *pairing) complete(from string) error {
	for _, part := range p.toRemote.parts {
		if part.pos < 0 && (part.literal == "*" || part.literal == ">") {
			return badDestination("not using all of the token wildcard(s)", from)
		}
	}
	return nil
}

// pattern is one parsed subject of an import.
type pattern struct {
	tokens []string // references became `*`
	wild   []wildcard
	tail   bool // ends in `>`
	refers bool // has a `$n` or `{{wildcard(n)}}`
}

type wildcard struct {
	pos  int    // of the token, from 0
	ref  int    // of the other side's wildcard, from 1
	text string // as errors show it
}

func parsePattern(s string) (pattern, error) {
	p := pattern{tokens: strings.Split(s, ".")}
	stars := 0
	for i, tok := range p.tokens {
		n, err := reference(tok)
		switch {
		case err != nil:
			return p, err
		case tok == "":
			return p, errTransformSubject
		case tok == ">":
			if i != len(p.tokens)-1 {
				return p, errTransformSubject
			}
			p.tail = true
		case tok == "*":
			stars++
			p.wild = append(p.wild, wildcard{i, stars, fmt.Sprintf("$%d", stars)})
		case n > 0:
			p.refers = true
			p.tokens[i] = "*"
			p.wild = append(p.wild, wildcard{i, n, tok})
		}
	}
	return p, nil
}

// reference is the wildcard that a token refers to, 0 when it refers to none.
func reference(tok string) (int, error) {
	if strings.HasPrefix(tok, "$") {
		n, err := strconv.Atoi(tok[1:])
		if err != nil || n < 1 {
			return 0, nil // a literal that begins with a dollar sign
		}
		return n, nil
	}
	body, ok := strings.CutPrefix(tok, "{{")
	if !ok || !strings.HasSuffix(body, "}}") {
		return 0, nil
	}
	body = strings.TrimSpace(strings.TrimSuffix(body, "}}"))
	name, arg, ok := strings.Cut(strings.TrimSuffix(body, ")"), "(")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "wildcard") {
		return 0, badDestination("the only mapping function allowed for import transforms is {{Wildcard()}}", tok)
	}
	n, err := strconv.Atoi(strings.TrimSpace(arg))
	if err != nil || n < 1 {
		return 0, badDestination("function argument is invalid or in the wrong format", tok)
	}
	return n, nil
}

// resolve has, for each wildcard of p, the position of the wildcard of other
// that it refers to.
func (p pattern) resolve(other pattern) ([]int, error) {
	if len(p.wild) < len(other.wild) {
		return nil, badDestination("not using all of the token wildcard(s)", p.String())
	}
	at := make([]int, len(p.wild))
	for i, w := range p.wild {
		if w.ref > len(other.wild) {
			return nil, badDestination("wildcard index out of range", fmt.Sprintf("%s: [%d]", w.text, w.ref))
		}
		at[i] = other.wild[w.ref-1].pos
	}
	return at, nil
}

// String is the pattern with its references spelled out.
func (p pattern) String() string {
	tokens := append([]string(nil), p.tokens...)
	for _, w := range p.wild {
		tokens[w.pos] = w.text
	}
	return strings.Join(tokens, ".")
}

// How a rewrite makes its subject.
const (
	rewriteSame    = iota // as it came
	rewriteLiteral        // always text
	rewritePrefix         // text, then the subject as it came
	rewriteCut            // the subject without its first len(text) bytes
	rewriteTokens         // token by token
)

// rewrite makes one subject out of another without allocating.
type rewrite struct {
	mode int
	text string
	// parts of mode rewriteTokens, a token each.
	parts []part
}

// part is a literal, or the token at pos of the source; tail takes all from there.
type part struct {
	literal string
	pos     int
	tail    bool
}

// makeRewrite makes subjects of pattern dst out of subjects of pattern src; bound
// has for each token of dst its position in src, -1 for literals.
func makeRewrite(dst []string, bound []int, src []string) rewrite {
	if n := len(dst) - len(src); n >= 0 && keeps(dst[n:], bound[n:], src, 0) {
		if n == 0 {
			return rewrite{mode: rewriteSame}
		}
		if literals(bound[:n]) {
			return rewrite{mode: rewritePrefix, text: strings.Join(dst[:n], ".") + "."}
		}
	}
	if n := len(src) - len(dst); n > 0 && keeps(dst, bound, src[n:], n) && !wild(src[:n]) {
		return rewrite{mode: rewriteCut, text: strings.Join(src[:n], ".") + "."}
	}
	if literals(bound) && !wild(dst) {
		return rewrite{mode: rewriteLiteral, text: strings.Join(dst, ".")}
	}
	r := rewrite{mode: rewriteTokens}
	for i, tok := range dst {
		r.parts = append(r.parts, part{literal: tok, pos: bound[i], tail: tok == ">"})
	}
	return r
}

// keeps tells whether dst repeats src token by token, which starts at offset.
func keeps(dst []string, bound []int, src []string, offset int) bool {
	for i, tok := range dst {
		same := tok == src[i] && (bound[i] == i+offset || bound[i] < 0 && tok != "*" && tok != ">")
		if !same {
			return false
		}
	}
	return true
}

func literals(bound []int) bool {
	for _, b := range bound {
		if b >= 0 {
			return false
		}
	}
	return true
}

func wild(tokens []string) bool {
	for _, tok := range tokens {
		if tok == "*" || tok == ">" {
			return true
		}
	}
	return false
}

// append adds the rewritten subject to dst. What the subject lacks is left empty;
// callers pass subjects that match the source pattern.
func (r *rewrite) append(dst, from []byte) []byte {
	switch r.mode {
	case rewriteSame:
		return append(dst, from...)
	case rewriteLiteral:
		return append(dst, r.text...)
	case rewritePrefix:
		return append(append(dst, r.text...), from...)
	case rewriteCut:
		return append(dst, from[min(len(r.text), len(from)):]...)
	}
	var c cursor
	for i, p := range r.parts {
		if i > 0 {
			dst = append(dst, '.')
		}
		switch {
		case p.pos < 0:
			dst = append(dst, p.literal...)
		case p.tail:
			dst = append(dst, c.from(from, p.pos)...)
		default:
			dst = append(dst, c.token(from, p.pos)...)
		}
	}
	return dst
}

// cursor finds tokens by position; looking forward is one pass over the subject.
type cursor struct{ pos, off int }

// from is the subject from token pos on.
func (c *cursor) from(in []byte, pos int) []byte {
	if pos < c.pos {
		c.pos, c.off = 0, 0
	}
	for c.pos < pos {
		n := bytes.IndexByte(in[c.off:], '.')
		if n < 0 {
			return nil
		}
		c.off += n + 1
		c.pos++
	}
	return in[c.off:]
}

// token is the token at pos.
func (c *cursor) token(in []byte, pos int) []byte {
	rest := c.from(in, pos)
	if n := bytes.IndexByte(rest, '.'); n >= 0 {
		return rest[:n]
	}
	return rest
}

// validPattern tells whether s can be exported and imported: valid, and possible to
// write on the wire.
func validPattern(s string) bool { return subject.Valid(s) && !subject.HasBlank(s) }
