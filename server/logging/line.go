package logging

import (
	"fmt"
	"strconv"
	"time"
)

// Form says how a line looks.
type Form struct {
	Time   bool // date and time to the microsecond
	UTC    bool // in UTC and not in the local zone
	Colour bool // the level's letters in colour
	PID    int  // in brackets at the start; 0 leaves it out
}

// appendLine adds one line to b: "[pid] YYYY/MM/DD hh:mm:ss.uuuuuu [INF] text" and a
// newline, where text has none of its own.
func (f Form) appendLine(b []byte, now time.Time, level Level, format string, v []any) []byte {
	if f.PID != 0 {
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(f.PID), 10)
		b = append(b, "] "...)
	}
	if f.Time {
		if f.UTC {
			now = now.UTC()
		}
		b = now.AppendFormat(b, "2006/01/02 15:04:05.000000 ")
	}
	b = append(b, '[')
	if f.Colour {
		b = append(b, coloured[level]...)
	} else {
		b = append(b, letters[level]...)
	}
	b = append(b, "] "...)
	b = fmt.Appendf(b, format, v...)
	if b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	return b
}
