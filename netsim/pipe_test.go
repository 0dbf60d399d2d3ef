//lockstep:exempt tests of blocking in-process connections
package netsim

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func pipePair(t testing.TB) (net.Conn, Conn) {
	server, client := NewReal().Pipe()
	t.Cleanup(func() { _ = client.Close() })
	return client, server
}

func TestPipeCarriesBothWays(t *testing.T) {
	client, server := pipePair(t)
	require.True(t, server.InProcess())
	require.Equal(t, "pipe", server.LocalAddr())
	require.Equal(t, "pipe", server.RemoteAddr())
	require.Equal(t, "pipe", client.LocalAddr().Network())
	p := newProbe(t)
	server.Start(testClock.NewStrand("conn"), p)
	big := pattern(1 << 20)
	go func() { _, _ = client.Write(big) }()
	require.Equal(t, big, p.want(len(big)))
	server.Write(big)
	server.Flush()
	require.Equal(t, big, readN(t, client, len(big)))
	lend(server, big[:100], big[100:5000], big[5000:])
	require.Equal(t, big, readN(t, client, len(big)))
	eventually(t, "the queue empties", func() bool { return server.Buffered() == 0 })
}

func TestPipeServerCloses(t *testing.T) {
	client, server := pipePair(t)
	p := newProbe(t)
	server.Start(testClock.NewStrand("conn"), p)
	server.Write([]byte("bye"))
	server.Close(io.ErrNoProgress)
	b, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "bye", string(b))
	require.Equal(t, io.ErrNoProgress, p.wantClosed())
	_, err = client.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestPipeClientCloses(t *testing.T) {
	client, server := pipePair(t)
	p := newProbe(t)
	server.Start(testClock.NewStrand("conn"), p)
	_, err := client.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.NoError(t, client.Close())
	require.Equal(t, "bye", string(p.want(3)))
	require.Equal(t, io.EOF, p.wantClosed())
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestPipeWriterLearnsThatClientClosed(t *testing.T) {
	client, server := pipePair(t)
	p := newProbe(t)
	server.Start(testClock.NewStrand("conn"), p)
	server.Write(pattern(1 << 20))
	server.Flush()
	require.NotZero(t, server.Buffered())
	require.NoError(t, client.Close())
	require.Error(t, p.wantClosed())
	require.Zero(t, server.Buffered())
}

func TestPipeBoundsTheClient(t *testing.T) {
	client, server := pipePair(t)
	taken := make(chan int, 1)
	go func() {
		n, err := client.Write(pattern(1 << 20))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		taken <- n
	}()
	b := client.(*pipeConn).end.out
	eventually(t, "the pipe is full", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return !b.writable()
	})
	require.NoError(t, client.SetWriteDeadline(time.Now().Add(10*time.Millisecond)))
	require.Equal(t, 64<<10, await(t, taken))
	server.Abort(nil)
}

func TestPipeDeadlines(t *testing.T) {
	client, server := pipePair(t)
	defer server.Abort(nil)
	one := make([]byte, 1)
	require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := client.Read(one)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())

	require.NoError(t, client.SetDeadline(time.Now().Add(-time.Second)))
	_, err = client.Read(one)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = client.Write(one)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	require.NoError(t, client.SetDeadline(time.Now().Add(time.Hour)))
	require.NoError(t, client.SetDeadline(time.Time{}))
	server.Write([]byte("x"))
	server.Flush()
	require.Equal(t, "x", string(readN(t, client, 1)))
	n, err := client.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestPipeRing(t *testing.T) {
	b := newPipeBuffer()
	size := chunkSizes[class64K]
	data := pattern(size)
	var sent, got []byte
	out := make([]byte, size)
	for i := range 500 {
		n, err := b.put(data[:1+(i*7919)%size])
		require.NoError(t, err)
		sent = append(sent, data[:n]...)
		n, err = b.take(out[:1+(i*104729)%size])
		require.NoError(t, err)
		got = append(got, out[:n]...)
		require.LessOrEqual(t, b.n, size)
	}
	b.end()
	for {
		n, err := b.take(out)
		if err != nil {
			require.Equal(t, io.EOF, err)
			break
		}
		got = append(got, out[:n]...)
	}
	require.Equal(t, sent, got)
	require.Nil(t, b.ring)
}
