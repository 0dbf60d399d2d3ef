//go:build !windows && !plan9

//lockstep:exempt sends statements to the machine's or another machine's syslog
package logging

import (
	"fmt"
	"log/syslog"
	"net/url"
)

// Syslog sends statements to syslog, which stamps them itself.
type Syslog struct {
	levels
	w *syslog.Writer
}

// NewSyslog returns a logger to the local syslog, as a daemon of the name tag.
func NewSyslog(tag string) (*Syslog, error) {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_NOTICE, tag)
	if err != nil {
		return nil, fmt.Errorf("error connecting to syslog: %q", err.Error())
	}
	return newSyslog(w), nil
}

// NewRemoteSyslog returns a logger to the syslog at address: "udp://host:port",
// "tcp://host:port" or "unix:///path".
func NewRemoteSyslog(address, tag string) (*Syslog, error) {
	network, target, err := syslogTarget(address)
	if err != nil {
		return nil, err
	}
	w, err := syslog.Dial(network, target, syslog.LOG_DEBUG, tag)
	if err != nil {
		return nil, fmt.Errorf("error connecting to syslog: %q", err.Error())
	}
	return newSyslog(w), nil
}

func syslogTarget(address string) (network, target string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", err
	}
	switch u.Scheme {
	case "udp", "tcp":
		return u.Scheme, u.Host, nil
	case "unix":
		return u.Scheme, u.Path, nil
	}
	return "", "", fmt.Errorf("error invalid network type: %q", u.Scheme)
}

func newSyslog(w *syslog.Writer) *Syslog { return &Syslog{levels{syslogSink{w}}, w} }

// Close ends the connection.
func (s *Syslog) Close() error { return s.w.Close() }

type syslogSink struct{ w *syslog.Writer }

// log sends one statement. A failed one is dropped: there is nowhere to tell.
func (s syslogSink) log(level Level, format string, v []any) {
	text := fmt.Sprintf(format, v...)
	switch level {
	case Warn:
		_ = s.w.Warning(text)
	case Error:
		_ = s.w.Err(text)
	case Fatal:
		_ = s.w.Crit(text)
	case Debug:
		_ = s.w.Debug(text)
	default:
		_ = s.w.Notice(text)
	}
}
