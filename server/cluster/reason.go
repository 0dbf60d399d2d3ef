package cluster

import (
	"errors"
	"io"

	"github.com/lockstepmq/lockstep/netsim"
)

// reason is why a route ended, as the log shows it. It is an error so that it can travel
// through [netsim.Conn.Close].
type reason string

const (
	clientClosed          reason = "Client Closed"
	authenticationTimeout reason = "Authentication Timeout"
	authenticationFailure reason = "Authentication Failure"
	tlsHandshakeFailure   reason = "TLS Handshake Failure"
	slowWriteDeadline     reason = "Slow Consumer (Write Deadline)"
	writeError            reason = "Write Error"
	readError             reason = "Read Error"
	parseError            reason = "Parse Error"
	staleConnection       reason = "Stale Connection"
	protocolViolation     reason = "Protocol Violation"
	controlLineExceeded   reason = "Maximum Control Line Exceeded"
	incorrectPort         reason = "Incorrect Port"
	duplicateRoute        reason = "Duplicate Route"
	routeRemoved          reason = "Route Removed"
	serverShutdown        reason = "Server Shutdown"
	wrongGateway          reason = "Wrong Gateway"
	missingAccount        reason = "Missing Account"
	clusterNameConflict   reason = "Cluster Name Conflict"
	duplicateServerName   reason = "Duplicate Server Name"
)

func (r reason) Error() string { return string(r) }

// reasonOf tells why a connection ended from the error it ended with.
func reasonOf(err error) reason {
	var r reason
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, io.EOF):
		return clientClosed
	case errors.Is(err, netsim.ErrWriteDeadline):
		return slowWriteDeadline
	case errors.Is(err, netsim.ErrWrite):
		return writeError
	case errors.Is(err, netsim.ErrHandshake):
		return tlsHandshakeFailure
	}
	return readError
}
