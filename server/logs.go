//lockstep:exempt opens log files and the pid file, and replaces them on reload
package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
)

// ConfigureLogger makes the server log as its options say: to a file, to syslog or
// to standard error; nowhere with NoLog.
func (s *Server) ConfigureLogger() {
	o := s.getOpts()
	if o.NoLog {
		return
	}
	l, err := openLog(o)
	if err != nil {
		fmt.Fprintf(os.Stderr, "lockstep: %v\n", err)
		l = logging.NewStderr(o.Logtime, o.LogtimeUTC)
	}
	s.SetLoggerV2(l, o.Debug, o.Trace, o.TraceVerbose)
}

// SetLogger makes l receive the log.
func (s *Server) SetLogger(l Logger, debug, trace bool) { s.SetLoggerV2(l, debug, trace, false) }

// SetLoggerV2 makes l receive the log; sysTrace shows the system account's traces
// too. What l replaces is closed.
func (s *Server) SetLoggerV2(l Logger, debug, trace, sysTrace bool) {
	was := s.log.Set(l)
	s.log.SetLevels(debug, trace, sysTrace)
	if c, ok := was.(logging.Closer); ok {
		if err := c.Close(); err != nil {
			s.log.Errorf("closing the previous log: %v", err)
		}
	}
}

// Logger is where the server's log goes.
func (s *Server) Logger() Logger { return s.log }

// ReOpenLogFile opens the log file anew after it was moved away.
func (s *Server) ReOpenLogFile() {
	if s.getOpts().LogFile == "" {
		s.log.Noticef("File log re-open ignored, not a file logger")
		return
	}
	if err := s.log.Reopen(); err != nil {
		s.log.Errorf("Unable to re-open the log file: %v", err)
		return
	}
	s.log.Noticef("File log re-opened")
}

// openLog opens what the options say the log goes to.
func openLog(o *Options) (logging.Logger, error) {
	form := logging.Form{Time: o.Logtime, UTC: o.LogtimeUTC, PID: os.Getpid()}
	switch {
	case o.LogFile != "":
		return logging.NewFile(logging.FileOptions{
			Path: o.LogFile, Form: form, SizeMax: o.LogSizeLimit, FilesMax: o.LogMaxFiles,
		})
	case o.RemoteSyslog != "":
		return logging.NewRemoteSyslog(o.RemoteSyslog, logTag())
	case o.Syslog:
		return logging.NewSyslog(logTag())
	}
	return logging.NewStderr(o.Logtime, o.LogtimeUTC), nil
}

// logTag is the name that syslog shows.
func logTag() string { return filepath.Base(os.Args[0]) }

// reloadFiles carries out what a reload changes outside of the server proper: the
// log and the pid file.
func reloadFiles(s *Server, plan *config.ReloadPlan) error {
	o := plan.New
	if plan.Changed("LogFile", "Logtime", "LogtimeUTC", "Syslog", "RemoteSyslog") && !o.NoLog {
		l, err := openLog(o)
		if err != nil {
			return err
		}
		s.SetLoggerV2(l, o.Debug, o.Trace, o.TraceVerbose)
	}
	if plan.Changed("PidFile") && o.PidFile != "" {
		if err := writePid(o.PidFile); err != nil {
			return err
		}
	}
	return nil
}

// writePid writes the process id, without a newline.
func writePid(path string) error {
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("could not write pid file: %w", err)
	}
	return nil
}
