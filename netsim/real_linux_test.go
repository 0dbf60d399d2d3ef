//lockstep:exempt asks the system about sockets
package netsim

import (
	"crypto/tls"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unread is how many bytes the system holds for the socket's reader.
func unread(t testing.TB, s *socket) int {
	n, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	require.NoError(t, err)
	return n
}

// rcvd is how many bytes the socket has ever received.
func rcvd(t testing.TB, s *socket) int {
	info, err := unix.GetsockoptTCPInfo(s.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	require.NoError(t, err)
	return int(info.Bytes_received)
}

// Bytes that were read before StartTLS, but not delivered, are the handshake's.
func TestTLSReadAheadOfStart(t *testing.T) {
	nc, c, p, s := started(t)
	server, client := tlsConfigs(t)
	tc := tls.Client(nc, client)
	first := make(chan error, 1)
	done := make(chan error, 1)
	on(s, func() { // keeps the reader from delivering
		go func() { first <- tc.Handshake() }()
		fd := c.(*realConn).t.(*socket)
		eventually(t, "the reader takes the bytes", func() bool { return unread(t, fd) == 0 && rcvd(t, fd) > 0 })
		c.StartTLS(TLSOptions{Config: server, Server: true}, func(err error) { done <- err })
	})
	require.NoError(t, await(t, first))
	require.NoError(t, await(t, done))
	_, err := tc.Write([]byte("secret"))
	require.NoError(t, err)
	require.Equal(t, "secret", string(p.want(6)))
}

// rawPeer is a client's end that is a file descriptor and no more.
type rawPeer int

func dialRaw(t testing.TB, addr string) *rawPeer {
	_, port, err := SplitHostPort(addr)
	require.NoError(t, err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	p := rawPeer(fd)
	return &p
}

func (p *rawPeer) send(t testing.TB, b ...byte) {
	_, err := unix.Write(int(*p), b)
	require.NoError(t, err)
}

func (p *rawPeer) close() { _ = unix.Close(int(*p)) }

// counter counts what it is given.
type counter struct{ got, closed atomic.Int64 }

func (e *counter) Data(p []byte) { e.got.Add(int64(len(p))) }
func (e *counter) Closed(error)  { e.closed.Add(1) }

// processorTime is what the process has used, in nanoseconds.
func processorTime(t testing.TB) int64 {
	var u unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}
