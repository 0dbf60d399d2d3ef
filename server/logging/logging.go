// Package logging owns what the server writes for its operator: the levels, the form
// of a line, and where lines go (standard error, a file that rotates, syslog).
//
// Everything here may be called from any strand. A [Switch] is what the server holds:
// asking it whether debug or trace is on costs one atomic load, and a disabled
// statement formats nothing. Writers hide their lock inside and hold it across no call
// out of the package but the write itself. Nothing here ends the process: that is for
// who logs a fatal statement.
package logging

import "sync/atomic"

// Logger takes statements of six levels. Arguments are those of fmt.Sprintf.
type Logger interface {
	// Noticef tells of normal, notable events.
	Noticef(format string, v ...any)
	// Warnf tells of what may need care.
	Warnf(format string, v ...any)
	// Fatalf tells why the server ends. It returns: ending is the caller's.
	Fatalf(format string, v ...any)
	// Errorf tells of failures.
	Errorf(format string, v ...any)
	// Debugf tells what a developer asks for.
	Debugf(format string, v ...any)
	// Tracef tells every protocol line.
	Tracef(format string, v ...any)
}

// Reopener is a Logger whose file may have been moved away from under it.
type Reopener interface {
	// Reopen closes the file and opens its path again.
	Reopen() error
}

// Closer is a Logger that holds a file or connection.
type Closer interface {
	// Close writes what is pending and lets go; later statements are dropped.
	Close() error
}

// Switch is a Logger that leads to another one, which may be replaced while strands
// write. Without one it drops everything.
type Switch struct {
	current     atomic.Pointer[Logger]
	debug       atomic.Bool
	trace       atomic.Bool
	traceSystem atomic.Bool
}

// NewSwitch returns a switch that leads nowhere.
func NewSwitch() *Switch { return &Switch{} }

// Set leads the switch to l (nil: nowhere) and returns what it led to before, which
// the caller may close once nothing writes to it any more.
func (s *Switch) Set(l Logger) Logger {
	var next *Logger
	if l != nil {
		next = &l
	}
	if was := s.current.Swap(next); was != nil {
		return *was
	}
	return nil
}

// SetLevels turns debug statements, protocol traces and the traces of the system
// account on or off.
func (s *Switch) SetLevels(debug, trace, traceSystem bool) {
	s.debug.Store(debug)
	s.trace.Store(trace)
	s.traceSystem.Store(traceSystem)
}

// Logger returns what the switch leads to, or nil.
func (s *Switch) Logger() Logger {
	if l := s.current.Load(); l != nil {
		return *l
	}
	return nil
}

// Debug reports whether debug statements go anywhere.
func (s *Switch) Debug() bool { return s.debug.Load() }

// Trace reports whether protocol traces go anywhere. Ask it before preparing what to
// trace.
func (s *Switch) Trace() bool { return s.trace.Load() }

// TraceSystem reports whether traces include the system account.
func (s *Switch) TraceSystem() bool { return s.traceSystem.Load() }

// Reopen makes a logger to a file open it again; other loggers do nothing.
func (s *Switch) Reopen() error {
	if r, ok := s.Logger().(Reopener); ok {
		return r.Reopen()
	}
	return nil
}

// Noticef implements [Logger].
func (s *Switch) Noticef(format string, v ...any) {
	if l := s.Logger(); l != nil {
		l.Noticef(format, v...)
	}
}

// Warnf implements [Logger].
func (s *Switch) Warnf(format string, v ...any) {
	if l := s.Logger(); l != nil {
		l.Warnf(format, v...)
	}
}

// Fatalf implements [Logger].
func (s *Switch) Fatalf(format string, v ...any) {
	if l := s.Logger(); l != nil {
		l.Fatalf(format, v...)
	}
}

// Errorf implements [Logger].
func (s *Switch) Errorf(format string, v ...any) {
	if l := s.Logger(); l != nil {
		l.Errorf(format, v...)
	}
}

// Debugf implements [Logger]; it does nothing while debug is off.
func (s *Switch) Debugf(format string, v ...any) {
	if !s.debug.Load() {
		return
	}
	if l := s.Logger(); l != nil {
		l.Debugf(format, v...)
	}
}

// Tracef implements [Logger]; it does nothing while trace is off.
func (s *Switch) Tracef(format string, v ...any) {
	if !s.trace.Load() {
		return
	}
	if l := s.Logger(); l != nil {
		l.Tracef(format, v...)
	}
}
