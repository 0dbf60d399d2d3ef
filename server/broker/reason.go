package broker

import (
	"errors"
	"io"

	"github.com/lockstepmq/lockstep/netsim"
)

// Reason is why a connection ended, as monitoring shows it. It is an error so
// that it can travel through [netsim.Conn.Close].
type Reason uint8

// Reasons of client connections.
const (
	Unknown Reason = iota
	ClientClosed
	AuthenticationTimeout
	AuthenticationViolation
	TLSHandshakeError
	SlowConsumerPendingBytes
	SlowConsumerWriteDeadline
	WriteError
	ReadError
	ParseError
	StaleConnection
	ProtocolViolation
	BadClientProtocolVersion
	MaxConnectionsExceeded
	MaxAccountConnectionsExceeded
	MaxPayloadExceeded
	MaxControlLineExceeded
	MaxSubscriptionsExceeded
	ServerShutdown
	AuthenticationExpired
	MissingAccount
	NoRespondersRequiresHeaders
	Kicked
	ProxyNotTrusted
	ProxyRequired
	reasonCount
)

var reasonNames = [reasonCount]string{
	Unknown:                       "Unknown State",
	ClientClosed:                  "Client Closed",
	AuthenticationTimeout:         "Authentication Timeout",
	AuthenticationViolation:       "Authentication Failure",
	TLSHandshakeError:             "TLS Handshake Failure",
	SlowConsumerPendingBytes:      "Slow Consumer (Pending Bytes)",
	SlowConsumerWriteDeadline:     "Slow Consumer (Write Deadline)",
	WriteError:                    "Write Error",
	ReadError:                     "Read Error",
	ParseError:                    "Parse Error",
	StaleConnection:               "Stale Connection",
	ProtocolViolation:             "Protocol Violation",
	BadClientProtocolVersion:      "Bad Client Protocol Version",
	MaxConnectionsExceeded:        "Maximum Connections Exceeded",
	MaxAccountConnectionsExceeded: "Maximum Account Connections Exceeded",
	MaxPayloadExceeded:            "Maximum Message Payload Exceeded",
	MaxControlLineExceeded:        "Maximum Control Line Exceeded",
	MaxSubscriptionsExceeded:      "Maximum Subscriptions Exceeded",
	ServerShutdown:                "Server Shutdown",
	AuthenticationExpired:         "Authentication Expired",
	MissingAccount:                "Missing Account",
	NoRespondersRequiresHeaders:   "No Responders Requires Headers",
	Kicked:                        "Kicked",
	ProxyNotTrusted:               "Proxy Not Trusted",
	ProxyRequired:                 "Proxy Required",
}

// String is the text that connz reports.
func (r Reason) String() string {
	if r >= reasonCount {
		return reasonNames[Unknown]
	}
	return reasonNames[r]
}

// Error makes a reason usable as the error a connection is closed with.
func (r Reason) Error() string { return r.String() }

// reasonOf tells why a connection ended from the error it ended with.
func reasonOf(err error) Reason {
	var r Reason
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, io.EOF):
		return ClientClosed
	case errors.Is(err, netsim.ErrWriteDeadline):
		return SlowConsumerWriteDeadline
	case errors.Is(err, netsim.ErrWrite):
		return WriteError
	case errors.Is(err, netsim.ErrHandshake):
		return TLSHandshakeError
	}
	return ReadError
}
