//lockstep:exempt writes log lines to standard error with the machine's clock and time zone
package logging

import (
	"io"
	"os"
	"sync"
	"time"
)

// lineMax is how large a line buffer may be kept between statements, in bytes.
const lineMax = 64 << 10

// writer writes lines to w.
type writer struct {
	mu   sync.Mutex
	w    io.Writer
	form Form
	now  func() time.Time
	line []byte
}

// NewWriter returns a logger that writes lines of the given form to w. Failed writes
// are dropped: there is nowhere to tell.
func NewWriter(w io.Writer, form Form) Logger {
	return levels{&writer{w: w, form: form, now: time.Now}}
}

// NewStderr returns a logger to standard error, in colour if that is a terminal. The
// pid is the process's own.
func NewStderr(logtime, utc bool) Logger {
	return NewWriter(os.Stderr, Form{Time: logtime, UTC: utc, Colour: isTerminal(os.Stderr), PID: os.Getpid()})
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (w *writer) log(level Level, format string, v []any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line = w.form.appendLine(w.line[:0], w.now(), level, format, v)
	_, _ = w.w.Write(w.line)
	if cap(w.line) > lineMax {
		w.line = nil
	}
}
