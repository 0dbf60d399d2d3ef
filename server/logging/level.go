package logging

// Level is how grave a statement is.
type Level uint8

// The levels.
const (
	Info Level = iota
	Warn
	Error
	Fatal
	Debug
	Trace
)

// letters are the names of levels on a line; coloured are the same for a terminal.
var (
	letters  = [...]string{Info: "INF", Warn: "WRN", Error: "ERR", Fatal: "FTL", Debug: "DBG", Trace: "TRC"}
	coloured = [...]string{
		Info: "\x1b[32mINF\x1b[0m", Warn: "\x1b[0;93mWRN\x1b[0m", Error: "\x1b[31mERR\x1b[0m",
		Fatal: "\x1b[31mFTL\x1b[0m", Debug: "\x1b[36mDBG\x1b[0m", Trace: "\x1b[33mTRC\x1b[0m",
	}
)

// String is the level's three letters.
func (l Level) String() string { return letters[l] }

// sink takes formatted statements.
type sink interface {
	log(level Level, format string, v []any)
}

// levels turns a sink into a Logger.
type levels struct{ sink }

func (l levels) Noticef(format string, v ...any) { l.log(Info, format, v) }
func (l levels) Warnf(format string, v ...any)   { l.log(Warn, format, v) }
func (l levels) Fatalf(format string, v ...any)  { l.log(Fatal, format, v) }
func (l levels) Errorf(format string, v ...any)  { l.log(Error, format, v) }
func (l levels) Debugf(format string, v ...any)  { l.log(Debug, format, v) }
func (l levels) Tracef(format string, v ...any)  { l.log(Trace, format, v) }
