//lockstep:exempt asks for the process's id and name
package logging

import (
	"os"
	"path/filepath"
)

// Config says where a server's log goes. A file comes before remote syslog, that
// before local syslog, and standard error is what remains.
type Config struct {
	File         string
	RemoteSyslog string // see [NewRemoteSyslog]
	Syslog       bool
	Time         bool // stamp lines; syslog stamps them itself
	UTC          bool
	SizeMax      int64 // bytes of the file before it rotates; 0 is no limit
	FilesMax     int64 // files to keep, the current one included; 0 is all
}

// Open returns the logger that c asks for.
func Open(c Config) (Logger, error) {
	program := filepath.Base(os.Args[0])
	switch {
	case c.File != "":
		return asLogger(NewFile(FileOptions{
			Path: c.File, Form: Form{Time: c.Time, UTC: c.UTC, PID: os.Getpid()}, SizeMax: c.SizeMax, FilesMax: c.FilesMax,
		}))
	case c.RemoteSyslog != "":
		return asLogger(NewRemoteSyslog(c.RemoteSyslog, program))
	case c.Syslog:
		return asLogger(NewSyslog(program))
	}
	return NewStderr(c.Time, c.UTC), nil
}

// asLogger keeps a failed constructor's nil from becoming a Logger that is not nil.
func asLogger[L Logger](l L, err error) (Logger, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}
