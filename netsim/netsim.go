// Package netsim is the door to the network.
//
// It owns [Network], [Listener] and [Conn]; [Real] implements them over TCP and
// TLS, and [Sim] over the event queue of clock.Sim with faults. TLS sits below
// Conn: its users see plain bytes and [Conn.TLS].
//
// A Conn's [Handler] runs on the strand given to Start. Write, Lend, Flush,
// FlushLent, Buffered, Close and Abort may be called from any strand. No method
// blocks.
package netsim

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// Errors that a Handler sees in Closed, besides what Close and Abort were given.
var (
	// ErrWriteDeadline: the peer took nothing, or not all, within the write deadline.
	ErrWriteDeadline = errors.New("write deadline exceeded")
	// ErrWrite wraps what failed while sending.
	ErrWrite = errors.New("write failed")
	// ErrHandshake wraps every TLS handshake failure.
	ErrHandshake = errors.New("tls handshake failed")
	// ErrClosed: the connection or listener was closed before.
	ErrClosed = errors.New("connection closed")
)

// Network makes listeners and connections.
type Network interface {
	// Listen binds addr ("host:port"; port 0 lets the system pick) and calls
	// accept on s for every new connection, which must be started or closed there.
	Listen(s clock.Strand, addr string, accept func(Conn)) (Listener, error)
	// Dial connects and calls done once, on s.
	Dial(s clock.Strand, addr string, o DialOptions, done func(Conn, error))
}

// DialOptions tunes Dial. The zero value has no time-out of its own.
type DialOptions struct {
	Timeout time.Duration
}

// Listener accepts connections until it is closed. Close is idempotent;
// connections already accepted live on.
type Listener interface {
	Addr() string // the bound "host:port"
	Close()
}

// Handler receives what happens to a connection, on its strand.
type Handler interface {
	// Data has bytes from the peer. p is the network's: it may change after the
	// call returns.
	Data(p []byte)
	// Closed is called exactly once and last. err is what Close or Abort was
	// given, io.EOF when the peer closed, or what broke.
	Closed(err error)
}

// TLSOptions says how to start TLS on a connection.
type TLSOptions struct {
	Config *tls.Config
	// Server: act as the TLS server; else as the client.
	Server bool
	// Timeout bounds the handshake; 0 is none.
	Timeout time.Duration
	// Pending are bytes already delivered to Data that belong to the handshake.
	Pending []byte
	// Identity is what a simulated connection states instead of a certificate;
	// the real network ignores it.
	Identity *Identity
}

// Identity stands for a certificate in simulation.
type Identity struct {
	CommonName string
	DNSNames   []string
	Emails     []string
}

// Conn is one ordered byte stream in each direction.
type Conn interface {
	// Start begins to read, and to call h on s. Before it nothing is read.
	Start(s clock.Strand, h Handler)
	// Write queues a copy of p. Nothing is sent before Flush.
	Write(p ...[]byte)
	// Lend queues p without copying when nobody else is sending, and then reports
	// true: the caller has the turn to send and must call FlushLent next, before it
	// changes or reuses p; what the peer does not take at once is copied then. It
	// reports false when p was copied: Flush sends it.
	Lend(p ...[]byte) bool
	// Flush sends what is queued as far as the peer takes it without waiting; the
	// rest is sent when the peer takes it. It never waits. While somebody has the
	// turn, it leaves what is queued to them.
	Flush()
	// FlushLent is Flush by the caller whose Lend reported true; it ends its turn.
	// A Close or Abort that came during the turn has its effect on the queue here.
	FlushLent()
	// Buffered is the number of bytes queued and not yet taken by the system.
	Buffered() int
	// WhenBelow calls fn once, from any goroutine and without locks held, when
	// Buffered() falls below n or the connection ends; at once if it already is.
	// fn must be short: it posts to a strand. A second call replaces the first.
	WhenBelow(n int, fn func())
	// Pause stops reading, once what was read is delivered; Resume goes on. They
	// are called on the connection's strand and do not nest.
	Pause()
	Resume()
	// StartTLS is called on the connection's strand, from Data or between reads.
	// What was queued before leaves in clear text. done runs on the strand; after a
	// failure the connection closes with an error that wraps ErrHandshake.
	StartTLS(o TLSOptions, done func(error))
	// TLS is nil without TLS or before its handshake is complete.
	TLS() *tls.ConnectionState
	// SetWriteDeadline sets the longest time that one batch may wait for the peer; 0 is
	// none. With retry, a batch of which something was taken begins anew instead
	// of closing the connection.
	SetWriteDeadline(d time.Duration, retry bool)
	// Close sends what is queued for up to 100 ms, then closes. Later writes are
	// dropped. Abort closes at once.
	Close(err error)
	Abort(err error)
	// LocalAddr and RemoteAddr are "host:port"; an in-process pipe has "pipe".
	LocalAddr() string
	RemoteAddr() string
	// InProcess tells a pipe from a socket.
	InProcess() bool
}
