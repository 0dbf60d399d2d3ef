package config

import (
	"fmt"
	"strings"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// Error is one complaint about a place in a configuration file.
type Error struct {
	Pos  lang.Pos
	Text string
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Text }

// Errors is everything that a configuration file was found to have wrong. Warnings
// alone do not refuse it, except when it is only checked.
type Errors struct {
	Warnings []error
	Errors   []error
}

// Error renders every complaint on a line of its own, warnings first.
func (e *Errors) Error() string {
	var b strings.Builder
	for _, list := range [][]error{e.Warnings, e.Errors} {
		for _, err := range list {
			b.WriteString(err.Error())
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Unwrap lets errors.As find one complaint.
func (e *Errors) Unwrap() []error { return append(append([]error(nil), e.Warnings...), e.Errors...) }

// problems collects complaints while a file is decoded.
type problems struct {
	warnings, errs []error
}

func (p *problems) add(at lang.Pos, format string, args ...any) {
	p.errs = append(p.errs, &Error{at, fmt.Sprintf(format, args...)})
}

// addBare notes a complaint that names no place.
func (p *problems) addBare(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *problems) warn(at lang.Pos, field, format string, args ...any) {
	p.warnings = append(p.warnings, &Error{at, fmt.Sprintf("invalid use of field %q: %s", field, fmt.Sprintf(format, args...))})
}

func (p *problems) unknown(at lang.Pos, v *lang.Value, key string) {
	if !v.Used {
		p.add(at, "unknown field %q", key)
	}
}

// notYet refuses a key of a feature that this server does not have, so that nobody
// believes to have it.
func (p *problems) notYet(at lang.Pos, key string) { p.add(at, "%q is not supported yet", key) }

// mismatch notes a value of the wrong type.
func (p *problems) mismatch(at lang.Pos, v *lang.Value, want string) {
	p.add(at, "interface conversion: interface {} is %s, not %s", v.TypeName(), want)
}
