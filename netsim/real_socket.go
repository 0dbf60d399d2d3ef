//lockstep:exempt real sockets
package netsim

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// vectorMax is how many buffers one writev takes.
const vectorMax = 64

// vector is what one write sends.
type vector struct {
	b   [vectorMax][]byte
	n   int
	iov iovecs
}

var vectors = sync.Pool{New: func() any { return new(vector) }}

// transport is one ordered byte stream under a realConn. read and write never
// wait; awaitRead and awaitWrite do.
type transport interface {
	// read returns errAgain when nothing is there, io.EOF at the end.
	read(p []byte) (int, error)
	// write and writev take what fits; less than all of it, and no error, means full.
	write(p []byte) (int, error)
	writev(v *vector) (int, error)
	// awaitRead calls f, and again whenever there may be something to read,
	// until f returns true. It fails when the deadline passes.
	awaitRead(f func(uintptr) bool) error
	awaitWrite(f func(uintptr) bool) error
	// drained: a read that did not fill its buffer has left nothing behind that
	// would not wake awaitRead.
	drained() bool
	setReadDeadline(t time.Time)
	setWriteDeadline(t time.Time)
	close()
	addrs() (local, remote string)
	inProcess() bool
}

// againError is what a read reports that would have to wait. It is temporary in
// the sense of net.Error, which lets crypto/tls go on afterwards.
type againError struct{}

func (againError) Error() string   { return "nothing to read at the moment" }
func (againError) Timeout() bool   { return false }
func (againError) Temporary() bool { return true }

var errAgain error = againError{}

// socket is the transport over a stream socket.
type socket struct {
	nc  net.Conn
	raw syscall.RawConn
	fd  int // valid until close, which the realConn calls when nobody sends or reads

	watched bool        // hungUp is kept up to date
	hungUp  atomic.Bool // the peer has ended its side, or both
	hangup  func()      // called then
}

func newSocket(nc net.Conn) (*socket, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, &net.OpError{Op: "open", Net: nc.LocalAddr().Network(), Addr: nc.LocalAddr(), Err: syscall.EINVAL}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{nc: nc, raw: raw}
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *socket) read(p []byte) (int, error) {
	for {
		n, e := sysRead(s.fd, p)
		switch {
		case e == 0 && n > 0:
			return n, nil
		case e == 0:
			return 0, io.EOF
		case e == syscall.EAGAIN:
			return 0, errAgain
		case e != syscall.EINTR:
			return 0, os.NewSyscallError("read", e)
		}
	}
}

func (s *socket) write(p []byte) (int, error) {
	for {
		n, e := sysWrite(s.fd, p)
		if e != syscall.EINTR {
			return written(n, e)
		}
	}
}

func (s *socket) writev(v *vector) (int, error) {
	for {
		n, e := sysWritev(s.fd, v)
		if e != syscall.EINTR {
			return written(n, e)
		}
	}
}

func written(n int, e syscall.Errno) (int, error) {
	switch e {
	case 0:
		return n, nil
	case syscall.EAGAIN:
		return 0, nil
	}
	return 0, os.NewSyscallError("write", e)
}

func (s *socket) awaitRead(f func(uintptr) bool) error  { return s.raw.Read(f) }
func (s *socket) awaitWrite(f func(uintptr) bool) error { return s.raw.Write(f) }
func (s *socket) drained() bool                         { return s.watched && !s.hungUp.Load() }
func (s *socket) setReadDeadline(t time.Time)           { _ = s.nc.SetReadDeadline(t) }
func (s *socket) setWriteDeadline(t time.Time)          { _ = s.nc.SetWriteDeadline(t) }
func (s *socket) inProcess() bool                       { return false }

func (s *socket) close() {
	unwatchHangup(s)
	_ = s.nc.Close()
}

func (s *socket) addrs() (local, remote string) {
	return s.nc.LocalAddr().String(), s.nc.RemoteAddr().String()
}
