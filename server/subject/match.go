package subject

// equal compares tokens that may be one a string and the other bytes.
func equal[A, B Text](a A, b B) bool { return string(a) == string(b) }

// Matches tells whether a message published to literal reaches a subscription to
// pattern. Tokens of literal are plain text, "*" and ">" included: as text they
// match a wildcard of the pattern that stands at their place. A literal with an
// empty token matches nothing.
func Matches[A, B Text](literal A, pattern B) bool {
	i, j := 0, 0
	for i <= len(literal) && j <= len(pattern) {
		var l A
		var p B
		l, i = next(literal, i)
		p, j = next(pattern, j)
		switch {
		case len(l) == 0:
			return false
		case is(p, wildRest) && j > len(pattern):
			return i > len(literal) || !hasEmptyToken(literal[i:])
		case !is(p, wildOne) && !equal(l, p):
			return false
		}
	}
	return i > len(literal) && j > len(pattern)
}

// MatchesAsText tests a subscription against an entry of an allow list the way
// permissions do: its wildcards are plain text. So "foo.*" passes "foo.*" and
// "foo.>" but "*.b" does not pass "a.*"; and "foo.>" passes "foo.*", although it
// will then receive deeper subjects. Where that is not wanted, use [SubsetOf].
func MatchesAsText[A, B Text](subscription A, allowed B) bool {
	return Matches(subscription, allowed)
}

// SubsetOf tells whether every subject that matches subject, which may have
// wildcards, also matches pattern.
func SubsetOf[A, B Text](subject A, pattern B) bool {
	i, j := 0, 0
	for i <= len(subject) && j <= len(pattern) {
		var s A
		var p B
		s, i = next(subject, i)
		p, j = next(pattern, j)
		switch {
		case len(s) == 0:
			return false
		case is(p, wildRest) && j > len(pattern):
			return i > len(subject) || !hasEmptyToken(subject[i:])
		case is(s, wildRest):
			return false
		case !is(p, wildOne) && !equal(s, p):
			return false
		}
	}
	return i > len(subject) && j > len(pattern)
}

// Overlaps tells whether some subject matches both a and b, which must be valid.
func Overlaps[A, B Text](a A, b B) bool {
	i, j := 0, 0
	for i <= len(a) && j <= len(b) {
		var s A
		var p B
		s, i = next(a, i)
		p, j = next(b, j)
		switch {
		case is(s, wildRest), is(p, wildRest):
			return true
		case is(s, wildOne), is(p, wildOne):
		case !equal(s, p):
			return false
		}
	}
	return i > len(a) && j > len(b)
}

// Intersection gives the pattern that matches exactly what both a and b match,
// and false when they do not overlap. Both must be valid.
func Intersection(a, b string) (string, bool) {
	if !Overlaps(a, b) {
		return "", false
	}
	out := make([]byte, 0, max(len(a), len(b)))
	for i, j := 0, 0; i <= len(a) && j <= len(b); {
		if len(out) > 0 {
			out = append(out, separator)
		}
		s, afterS := next(a, i)
		p, afterP := next(b, j)
		switch {
		case is(s, wildRest):
			return string(append(out, b[j:]...)), true
		case is(p, wildRest):
			return string(append(out, a[i:]...)), true
		case is(s, wildOne):
			out = append(out, p...)
		default:
			out = append(out, s...)
		}
		i, j = afterS, afterP
	}
	return string(out), true
}
