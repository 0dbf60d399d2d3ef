//lockstep:exempt opens log files and the pid file, and replaces them on reload
package server

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
)

// ConfigureLogger makes the server log as its options say: to a file, to syslog or
// to standard error; nowhere with NoLog. What cannot be opened is said on standard
// error, which then has the log.
func (s *Server) ConfigureLogger() {
	if err := s.OpenLog(); err != nil {
		fmt.Fprintf(os.Stderr, "lockstep: %v\n", err)
		o := s.getOpts()
		s.SetLoggerV2(logging.NewStderr(o.Logtime, o.LogtimeUTC), o.Debug, o.Trace, o.TraceVerbose)
	}
}

// OpenLog is ConfigureLogger for programs that would rather not start than log
// elsewhere.
func (s *Server) OpenLog() error {
	o := s.getOpts()
	if o.NoLog {
		return nil
	}
	l, err := openLog(o)
	if err != nil {
		return err
	}
	s.SetLoggerV2(l, o.Debug, o.Trace, o.TraceVerbose)
	return nil
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

// Noticef writes an informational line to the server's log.
func (s *Server) Noticef(format string, v ...any) { s.log.Noticef(format, v...) }

// Warnf writes a warning to the server's log.
func (s *Server) Warnf(format string, v ...any) { s.log.Warnf(format, v...) }

// Errorf writes an error to the server's log.
func (s *Server) Errorf(format string, v ...any) { s.log.Errorf(format, v...) }

// Fatalf writes a fatal error to the server's log.
func (s *Server) Fatalf(format string, v ...any) { s.log.Fatalf(format, v...) }

// Debugf writes a line that is shown with debug on.
func (s *Server) Debugf(format string, v ...any) { s.log.Debugf(format, v...) }

// Tracef writes a line that is shown with trace on.
func (s *Server) Tracef(format string, v ...any) { s.log.Tracef(format, v...) }

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

// reloadOutside prepares what a reload changes outside of the server proper: the
// pid file, the profiler's rate and, in the function it returns, the log.
func reloadOutside(s *Server, plan *config.ReloadPlan) (func(), error) {
	o := plan.New
	swap := func() {}
	if plan.Changed("LogFile", "Logtime", "LogtimeUTC", "Syslog", "RemoteSyslog") && !o.NoLog {
		l, err := openLog(o)
		if err != nil {
			return nil, err
		}
		swap = func() { s.SetLoggerV2(l, o.Debug, o.Trace, o.TraceVerbose) }
	}
	if plan.Changed("PidFile") && o.PidFile != "" {
		if err := writePid(o.PidFile); err != nil {
			return nil, err
		}
	}
	if plan.Changed("ProfBlockRate") {
		s.setBlockProfile(o.ProfBlockRate)
	}
	return swap, nil
}

// setBlockProfile samples blocking every rate nanoseconds; 0 is never.
func (s *Server) setBlockProfile(rate int) {
	runtime.SetBlockProfileRate(max(rate, 0))
	if rate > 0 {
		s.log.Warnf("Block profiling is enabled (rate %d), this may have a performance impact", rate)
	}
}

// writePid writes the process id, without a newline.
func writePid(path string) error {
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600)
}
