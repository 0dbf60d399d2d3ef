package subject

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
)

// What can be wrong with the destination of a transform. They come wrapped in a
// [DestinationError].
var (
	ErrInvalidTransform  = errors.New("invalid transform")
	ErrNotAllWildcards   = errors.New("not using all of the token wildcard(s)")
	ErrUnknownFunction   = errors.New("unknown function")
	ErrWildcardRange     = errors.New("wildcard index out of range")
	ErrNotEnoughArgs     = errors.New("not enough arguments passed to the function")
	ErrInvalidArg        = errors.New("function argument is invalid or in the wrong format")
	ErrTooManyArgs       = errors.New("too many arguments passed to the function")
	ErrFunctionForImport = errors.New("the only mapping function allowed for import transforms is {{Wildcard()}}")
)

// A DestinationError says what is wrong with a transform's destination, and where.
type DestinationError struct {
	Err    error
	Token  string // "" when the token says nothing, being empty or blank
	Detail string // "" or more about it
}

func (e *DestinationError) Error() string {
	text := "invalid mapping destination: " + e.Err.Error()
	if e.Token != "" {
		text += " in " + e.Token
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

func (e *DestinationError) Unwrap() error { return e.Err }

// A Transform rewrites subjects that match its source. It is immutable.
//
// The destination's tokens are text, "$N" for what the N-th "*" of the source
// matched, or a function of such tokens, "{{Function(arguments)}}". A last ">"
// stands for what the ">" of the source matched; both have it or neither.
type Transform struct {
	source string
	dest   string
	stars  []int // places in source of its "*"
	rest   int   // place in source of its ">", -1 without
	parts  []part
}

// A part makes one token of the result, or by the splitting functions several.
type part struct {
	does   function
	token  string // as it was written
	text   string // of a literal part; separator of split
	places []int  // tokens of the subject that it takes
	n      int    // numeric argument
}

// NewTransform compiles a transform. An empty source is ">"; an empty destination
// leaves subjects that match as they are. Errors are [ErrInvalidSubject], for a
// source that is not valid or a destination that does not fit it, and
// [DestinationError].
func NewTransform(source, dest string) (*Transform, error) {
	if source == "" {
		source = ">"
	}
	t, err := newSource(source, dest)
	if err != nil || dest == "" {
		return t, err
	}
	if err := t.parse(); err != nil {
		return nil, err
	}
	if err := t.fits(); err != nil {
		return nil, err
	}
	for i := range t.parts {
		if err := t.resolve(&t.parts[i]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// NewImportTransform compiles a transform that can be reversed, as imports need
// it: its only function is wildcard, as many tokens of the destination come from
// the source as the source has "*", and the N-th "*" of the destination is short
// for "$N". A source without wildcards has a literal destination, whatever it looks
// like.
func NewImportTransform(source, dest string) (*Transform, error) {
	t, err := newSource(source, numberStars(dest))
	switch {
	case err != nil:
		return nil, err
	case !Valid(dest):
		return nil, ErrInvalidSubject
	}
	if !HasWildcard(source) {
		t.dest, t.parts = dest, []part{{does: fnText, token: dest, text: dest}}
		return t, nil
	}
	if err := t.parse(); err != nil {
		return nil, err
	}
	if err := t.fits(); err != nil {
		return nil, err
	}
	taken := 0
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.does == fnWildcard:
			taken++
		case p.does.called():
			return nil, &DestinationError{Err: ErrFunctionForImport, Token: p.token}
		}
		if err := t.resolve(p); err != nil {
			return nil, err
		}
	}
	if taken < len(t.stars) {
		return nil, &DestinationError{Err: ErrNotAllWildcards, Token: t.dest}
	}
	return t, nil
}

func newSource(source, dest string) (*Transform, error) {
	if !Valid(source) || HasBlank(source) {
		return nil, ErrInvalidSubject
	}
	t := &Transform{source: source, dest: dest, rest: -1}
	Each(source, func(n int, token string) bool {
		switch {
		case is(token, wildOne):
			t.stars = append(t.stars, n)
		case is(token, wildRest):
			t.rest = n
		}
		return true
	})
	return t, nil
}

func numberStars(dest string) string {
	if !HasWildcard(dest) {
		return dest
	}
	tokens, n := strings.Split(dest, "."), 0
	for i := range tokens {
		if tokens[i] == "*" {
			n++
			tokens[i] = "$" + strconv.Itoa(n)
		}
	}
	return strings.Join(tokens, ".")
}

// parse makes parts of the destination's tokens. Their places are still the
// numbers written there; [Transform.resolve] replaces them.
func (t *Transform) parse() (err error) {
	ended := false
	Each(t.dest, func(_ int, token string) bool {
		var p part
		switch p, err = parsePart(token); {
		case err != nil:
		case ended:
			err = &DestinationError{Err: ErrInvalidTransform, Token: token}
		}
		ended = p.does == fnRest
		t.parts = append(t.parts, p)
		return err == nil
	})
	return err
}

// fits checks that source and destination agree about ">", and the rest of the
// destination has no wildcard.
func (t *Transform) fits() error {
	if last := t.parts[len(t.parts)-1]; (last.does == fnRest) != (t.rest >= 0) {
		return ErrInvalidSubject
	}
	for _, p := range t.parts {
		if p.does == fnText && is(p.text, wildOne) {
			return ErrInvalidSubject
		}
	}
	return nil
}

// resolve turns the number of a source's wildcard into the place of its token.
// Numbers below 1 mean the subject's first token. The hash of a source without
// wildcards is over all of the subject, whichever tokens are asked for.
func (t *Transform) resolve(p *part) error {
	switch {
	case !p.does.called():
		return nil
	case len(t.stars) == 0 && t.rest < 0 && p.does == fnPartition:
		p.places = nil
		return nil
	case len(t.stars) == 0 && t.rest < 0 && p.does != fnRandom:
		return &DestinationError{Err: ErrWildcardRange, Token: p.token}
	}
	for i, n := range p.places {
		switch {
		case n > len(t.stars):
			return &DestinationError{ErrWildcardRange, p.token, "[" + strconv.Itoa(n) + "]"}
		case n < 1:
			p.places[i] = 0
		default:
			p.places[i] = t.stars[n-1]
		}
	}
	return nil
}

// Source gives the pattern of subjects that t transforms.
func (t *Transform) Source() string { return t.source }

// Destination gives the destination as it was written; numbered, where an import's
// had "*".
func (t *Transform) Destination() string { return t.dest }

// Apply gives what t makes of a subject, and false when its source does not match.
// Wildcards of a subject pass like text where the source has wildcards as wide, so
// that the subject of a subscription can be transformed too. A nil r draws 0 for
// every random token. The result may be no valid subject where functions left a
// token empty.
func (t *Transform) Apply(subject string, r *rand.Rand) (string, bool) {
	if t.dest == "" && SubsetOf(subject, t.source) {
		return subject, true
	}
	out, ok := t.AppendTo(make([]byte, 0, len(t.dest)+len(subject)), view(subject), r)
	return string(out), ok
}

// AppendTo is [Transform.Apply] on bytes: it appends the result to dst.
func (t *Transform) AppendTo(dst, subject []byte, r *rand.Rand) ([]byte, bool) {
	if !SubsetOf(subject, t.source) {
		return dst, false
	}
	return t.write(dst, subject, subject, r), true
}

// write appends the transformed subject; whole is what partition hashes when it
// takes the whole subject.
func (t *Transform) write(dst, subject, whole []byte, r *rand.Rand) []byte {
	if t.dest == "" {
		return append(dst, subject...)
	}
	for i := range t.parts {
		if i > 0 {
			dst = append(dst, separator)
		}
		p := &t.parts[i]
		switch p.does {
		case fnText:
			dst = append(dst, p.text...)
		case fnRest:
			dst = append(dst, after(subject, t.rest)...)
		default:
			dst = p.write(dst, subject, whole, r)
		}
	}
	return dst
}

// after gives the tokens of subject from the n-th on.
func after(subject []byte, n int) []byte {
	i := 0
	for ; n > 0; n-- {
		_, i = next(subject, i)
	}
	return subject[i:]
}

// Reverse gives the transform that undoes t, which must use no function but
// wildcard. Where t takes a "*" of its source several times, the first one is
// taken back; where it takes one not at all, what stands at the same number.
func (t *Transform) Reverse() (*Transform, error) {
	if t.dest == "" {
		return t, nil
	}
	source := make([]string, len(t.parts))
	for i := range t.parts {
		switch p := &t.parts[i]; {
		case p.does == fnText:
			source[i] = p.text
		case p.does == fnRest:
			source[i] = ">"
		case p.does == fnWildcard:
			source[i] = "*"
		default:
			return nil, &DestinationError{Err: ErrFunctionForImport, Token: p.token}
		}
	}
	back, err := newSource(strings.Join(source, "."), t.source)
	if err != nil {
		return nil, err
	}
	star := 0
	Each(t.source, func(place int, token string) bool {
		p := part{does: fnText, token: token, text: token}
		switch {
		case is(token, wildRest):
			p.does = fnRest
		case is(token, wildOne):
			p = t.giveBack(place, star, back)
			star++
		}
		back.parts = append(back.parts, p)
		return true
	})
	back.dest = back.written()
	return back, nil
}

// giveBack makes the part that restores the token at a place of t's source, its
// star-th "*".
func (t *Transform) giveBack(place, star int, back *Transform) part {
	if len(back.stars) == 0 {
		return part{does: fnText, token: "*", text: "*"}
	}
	n := min(star, len(back.stars)-1)
	for i := len(back.stars) - 1; i >= 0; i-- {
		if t.parts[back.stars[i]].places[0] == place {
			n = i
		}
	}
	return part{does: fnWildcard, token: "$" + strconv.Itoa(n+1), places: []int{back.stars[n]}}
}

func (t *Transform) written() string {
	tokens := make([]string, len(t.parts))
	for i := range t.parts {
		tokens[i] = t.parts[i].token
	}
	return strings.Join(tokens, ".")
}
