package wire

import (
	"errors"
	"strconv"
)

// The kinds of error a parser reports; every error of Next is a [*ParseError]
// that wraps one of them. All of them end the connection.
var (
	ErrProtocol    = errors.New("unknown protocol operation")
	ErrMalformed   = errors.New("malformed arguments") // closed without a text
	ErrControlLine = errors.New("maximum control line exceeded")
	ErrMaxPayload  = errors.New("maximum payload exceeded")
)

// ParseError tells what a peer sent that could not be accepted.
type ParseError struct {
	Kind    error  // one of the sentinels above
	Verb    Verb   // the operation being read; VerbNone when the verb itself is unknown
	Detail  string // what was wrong, with the allowed value; may be empty
	Snippet string // Go-quoted start of the offending bytes; empty for CONNECT, whose arguments are secret
}

// snippetMax is how many bytes of a peer's input an error carries.
const snippetMax = 32

func (e *ParseError) Error() string {
	s := e.Kind.Error()
	if e.Verb != VerbNone {
		s = e.Verb.String() + ": " + s
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Snippet != "" {
		s += ": " + e.Snippet
	}
	return s
}

// Unwrap gives the kind, for errors.Is.
func (e *ParseError) Unwrap() error { return e.Kind }

// Text is what the peer is told inside -ERR before the connection closes; empty
// when it is closed without a word.
func (e *ParseError) Text() string {
	switch e.Kind {
	case ErrProtocol:
		return TextUnknownProtocol
	case ErrControlLine:
		return TextMaxControlLine
	case ErrMaxPayload:
		return TextMaxPayload
	}
	return ""
}

func parseError(kind error, verb Verb, detail string, input []byte) *ParseError {
	e := &ParseError{Kind: kind, Verb: verb, Detail: detail}
	if verb == VerbConnect || len(input) == 0 {
		return e
	}
	if len(input) > snippetMax {
		e.Snippet = strconv.Quote(string(input[:snippetMax])) + "..."
	} else {
		e.Snippet = strconv.Quote(string(input))
	}
	return e
}
