// Package subject owns the language of subjects: what is valid, what matches
// what, how one subject is transformed into another, and the index that finds the
// subscriptions a message goes to.
//
// A subject is a sequence of tokens separated by '.'. Tokens are compared byte by
// byte. A token that is exactly "*" stands for any one token, a last token that is
// exactly ">" for one or more; every other token is literal, "foo*" included.
//
// Everything but [Index] is pure or immutable after construction, and belongs to no
// strand. An Index is shared by any number of strands: it hides its locking inside
// and calls nothing while it holds a lock. Randomness comes in as an argument, no
// clock is read, and no order that a caller can see depends on addresses or on maps.
package subject

// Text is what subjects come as: text that is kept, or bytes of a read buffer.
type Text interface{ ~string | ~[]byte }

const (
	separator = '.'
	wildOne   = '*' // one token
	wildRest  = '>' // one token or more, last
)

// next gives the token that starts at i and the place where the one after it
// starts, which is len(s)+1 when the token is the last.
func next[S Text](s S, i int) (token S, after int) {
	for j := i; j < len(s); j++ {
		if s[j] == separator {
			return s[i:j], j + 1
		}
	}
	return s[i:], len(s) + 1
}

// Each calls visit with the number (from 0) and text of each token, until it
// returns false. Empty tokens are visited too; the empty subject has one of them.
func Each[S Text](s S, visit func(n int, token S) bool) {
	for n, i := 0, 0; i <= len(s); n++ {
		var token S
		token, i = next(s, i)
		if !visit(n, token) {
			return
		}
	}
}

// Tokens counts tokens: separators plus one, and 0 for the empty subject.
func Tokens[S Text](s S) int {
	if len(s) == 0 {
		return 0
	}
	n := 1
	for i := range len(s) {
		if s[i] == separator {
			n++
		}
	}
	return n
}

// Token gives the n-th token, counted from 0, and false when there are fewer.
func Token[S Text](s S, n int) (S, bool) {
	for i := 0; i <= len(s); n-- {
		token, after := next(s, i)
		if n == 0 {
			return token, len(s) > 0
		}
		i = after
	}
	return s[:0], false
}

func is[S Text](token S, c byte) bool { return len(token) == 1 && token[0] == c }

// Valid tells whether s may be subscribed to: no empty token, and nothing after a
// ">". Any byte but the separator may be in a token; blanks never reach a
// subscription, since they end the argument on the wire, and are accepted here.
func Valid[S Text](s S) bool {
	ended := false
	for i := 0; i <= len(s); {
		token, after := next(s, i)
		if len(token) == 0 || ended {
			return false
		}
		ended = is(token, wildRest)
		i = after
	}
	return true
}

// ValidLiteral tells whether s is valid and free of wildcards.
func ValidLiteral[S Text](s S) bool {
	for i := 0; i <= len(s); {
		token, after := next(s, i)
		if len(token) == 0 || is(token, wildOne) || is(token, wildRest) {
			return false
		}
		i = after
	}
	return true
}

// ValidPublish is the rule for published subjects that only pedantic connections
// are held to: every token non-empty, none of them "*" or ">".
func ValidPublish[S Text](s S) bool { return ValidLiteral(s) }

// HasWildcard tells whether a token of s is exactly "*" or ">".
func HasWildcard[S Text](s S) bool {
	for i := range len(s) {
		if c := s[i]; c != wildOne && c != wildRest {
			continue
		}
		if (i == 0 || s[i-1] == separator) && (i == len(s)-1 || s[i+1] == separator) {
			return true
		}
	}
	return false
}

// HasBlank tells whether s holds a space, tab, line feed, form feed or carriage
// return. No subject that came over the wire does, but one from a file or an API
// request may, and then cannot be published to.
func HasBlank[S Text](s S) bool {
	for i := range len(s) {
		switch s[i] {
		case ' ', '\t', '\n', '\f', '\r':
			return true
		}
	}
	return false
}

// hasEmptyToken tells whether s can match nothing for want of a token.
func hasEmptyToken[S Text](s S) bool {
	last := byte(separator)
	for i := range len(s) {
		if s[i] == separator && last == separator {
			return true
		}
		last = s[i]
	}
	return last == separator
}
