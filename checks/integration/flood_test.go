package integration

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPingAndStaleConnection(t *testing.T) {
	t.Parallel()
	p := start(t, "ping_interval: \"60ms\"\nping_max: 2")
	r := p.connected()
	r.pings = true
	r.want("PING")
	r.want("PING")
	r.wantErr("Stale Connection")
	r.wantClosed()

	done := p.connected()
	done.pings = true
	for range 3 {
		done.want("PING")
		done.send("PONG\r\n")
	}
	done.quiet()
}

func TestOversizedLines(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	for _, verb := range []string{"CONNECT ", "SUB ", "PUB ", "UNSUB "} {
		r := p.raw()
		r.send(verb + strings.Repeat("x", 5000))
		r.wantErr("maximum control line exceeded")
		r.wantClosed()
	}
	r := p.raw()
	r.send(strings.Repeat("x", 1<<20))
	r.want("-ERR 'Unknown Protocol Operation'")
	working(t, p.client())
}

func TestBinaryNoise(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	rnd := rand.New(rand.NewPCG(1, 2))
	verbs := []string{"", "PUB ", "SUB ", "HPUB a 1", "CONNECT {", "UNSUB ", "INFO {", "PING\r\nPUB x 10\r\n"}
	for i := range 200 {
		noise := make([]byte, 1+rnd.IntN(300))
		for j := range noise {
			noise[j] = byte(rnd.Uint32())
		}
		r := p.raw()
		r.send(verbs[i%len(verbs)] + string(noise))
		r.conn.Close()
	}
	working(t, p.client())
}

func TestHalfFrames(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	sub := flushed(t, p.client(), ">")
	for _, half := range []string{"CONN", "CONNECT {\"verb", "PUB x 10\r\n01234", "PUB x 10", "HPUB x 12 20\r\nNATS/1.0\r\n", "SUB x", "PUB x 5\r\nhello\r"} {
		r := p.raw()
		r.send(half)
		r.conn.Close()
	}
	nc := p.client()
	require.NoError(t, nc.Publish("whole", nil))
	require.Equal(t, "whole", next(t, sub).Subject, "nothing of a half message came")
}

func TestSubscriberThatNeverReads(t *testing.T) {
	t.Parallel()
	const messages, size = 300, 60 << 10
	p := start(t, "max_payload: 64KB\nmax_pending: 6MB\nhttp: \"127.0.0.1:-1\"")
	base := "http://" + p.after("Starting http monitor on ")
	slow := p.connected()
	slow.line("SUB flood 1")
	slow.quiet()
	fast, pub := p.client(), p.client()
	sub := flushed(t, fast, "flood")
	require.NoError(t, sub.SetPendingLimits(-1, -1))
	for range messages {
		require.NoError(t, pub.Publish("flood", make([]byte, size)))
	}
	require.NoError(t, pub.Flush())
	for range messages {
		require.Len(t, next(t, sub).Data, size)
	}
	p.waitLog("Slow Consumer")
	_, text, _ := get(t, base+"/varz")
	require.Contains(t, text, `"slow_consumers": 1`)
	_, text, _ = get(t, base+"/connz?state=closed")
	require.Contains(t, text, `"reason": "Slow Consumer (Pending Bytes)"`)
	require.NoError(t, slow.conn.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, slow.r) // what the kernel held, then the end
	if err != nil {
		require.True(t, ended(err), "%v", err)
	}
	require.NoError(t, pub.Flush())
}

// idle is how many connections TestIdleConnections holds: 10,000 where the limit of
// file descriptors has room for them in this process, as the server has in its own.
func idle(t *testing.T) int {
	const want, spare = 10_000, 2_000
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur >= want+spare {
		return want
	}
	return max(int(limit.Cur)-spare, 300)
}

// TestIdleConnections holds connections that never speak beside one that works.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	n := idle(t)
	p := start(t, "authorization { user: u, password: p, timeout: 60 }\nmax_connections: "+strconv.Itoa(n+1))
	for range n {
		conn, err := net.DialTimeout("tcp", p.addr, patience)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
	}
	r := p.connected(`"user":"u","pass":"p"`)
	r.line("SUB x 1")
	r.line("PUB x 2\r\nhi")
	require.Equal(t, []string{`MSG x 1 2 "hi"`}, r.sync())
	over := p.raw()
	over.wantErr("maximum connections exceeded")
	over.wantClosed()
}

func TestSubscriptionsOverTheLimit(t *testing.T) {
	t.Parallel()
	const limit, sent = 1000, 1_000_000
	p := start(t, "max_subscriptions: "+strconv.Itoa(limit))
	r := p.connected()
	go func() { // the answers must be read meanwhile
		w := bufio.NewWriterSize(r.conn, 64<<10)
		for i := range sent {
			fmt.Fprintf(w, "SUB s.%d %d\r\n", i, i)
		}
		_, _ = w.WriteString("PING\r\n")
		_ = w.Flush() // the reader sees a failure
	}()
	refused := 0
	for {
		line, err := r.read()
		require.NoError(t, err)
		if line == "PONG" {
			break
		}
		require.Equal(t, "-ERR 'maximum subscriptions exceeded'", line)
		refused++
	}
	require.Equal(t, sent-limit, refused)
	r.line("PUB s.%d 0\r\n", limit-1)
	r.line("PUB s.%d 0\r\n", limit)
	require.Equal(t, []string{fmt.Sprintf(`MSG s.%d %d 0 ""`, limit-1, limit-1)}, r.sync())
	working(t, p.client())
}

// TestSlowReaderGetsEverything checks that a reader who is behind, but below
// max_pending, loses nothing.
func TestSlowReaderGetsEverything(t *testing.T) {
	t.Parallel()
	const messages, size = 400, 30 << 10
	p := start(t, "max_payload: 64KB\nmax_pending: 32MB")
	slow := p.connected()
	slow.line("SUB s 1")
	slow.quiet()
	pub := p.client()
	for range messages {
		require.NoError(t, pub.Publish("s", make([]byte, size)))
	}
	require.NoError(t, pub.Flush())
	for range messages {
		line, err := slow.read()
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(line, "MSG s 1 30720 "))
	}
	slow.quiet()
}

func TestRequestsWhileOthersFlood(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	flood := p.connected()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		chunk := []byte(strings.Repeat("PUB nobody 16\r\n0123456789abcdef\r\n", 500))
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := flood.conn.Write(chunk); err != nil {
					return
				}
			}
		}
	}()
	working(t, p.client())
	nc := p.client()
	for range 20 {
		working(t, nc)
	}
	close(stop)
	<-done
}
