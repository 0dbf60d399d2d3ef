//go:build windows || plan9

//lockstep:exempt stands in where the machine has no syslog
package logging

import "errors"

// Syslog does not exist on this system.
type Syslog struct{ levels }

var errNoSyslog = errors.New("syslog is not available on this system")

// NewSyslog fails: there is no syslog here.
func NewSyslog(string) (*Syslog, error) { return nil, errNoSyslog }

// NewRemoteSyslog fails: there is no syslog here.
func NewRemoteSyslog(string, string) (*Syslog, error) { return nil, errNoSyslog }

// Close does nothing.
func (*Syslog) Close() error { return nil }
