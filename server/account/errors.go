package account

import (
	"errors"
	"fmt"
)

// What changing an account's graph can be refused for. The texts are those that
// operators of the field know.
var (
	ErrMissingAccount       = errors.New("account missing")
	ErrMissingService       = errors.New("service missing")
	ErrInvalidSubject       = errors.New("sublist: invalid subject")
	ErrStreamImportRefused  = errors.New("stream import not authorized")
	ErrServiceImportRefused = errors.New("service import not authorized")
	ErrStreamImportExists   = errors.New("stream import already exists")
	ErrStreamImportPrefix   = errors.New("stream import prefix can not contain wildcard tokens")
	ErrImportCycle          = errors.New("import forms a cycle")
	ErrCycleSearchDepth     = errors.New("search cycle depth exhausted")
	ErrBadResponseType      = errors.New("bad service response type")
	ErrBadThreshold         = errors.New("response threshold must be above zero")
	ErrBadSampling          = errors.New("bad sampling percentage, should be 1-100")
	ErrBadLatencySubject    = errors.New("bad latency subject")

	errTransformSubject = errors.New("invalid subject")
)

// DuplicateServiceImportError tells that a local subject already leads to a
// service of the same exporting account.
type DuplicateServiceImportError struct {
	Subject string // the local subject
	Account string // the exporting account, both times
	To      string // where the first import leads
}

func (e *DuplicateServiceImportError) Error() string {
	return fmt.Sprintf("duplicate service import subject %q, previously used in import for account %q, subject %q",
		e.Subject, e.Account, e.To)
}

// badDestination is a refused destination of an import, in the words that
// mappings use.
func badDestination(why, token string) error {
	return fmt.Errorf("invalid mapping destination: %s in %s", why, token)
}
