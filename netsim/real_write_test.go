//lockstep:exempt tests of real sockets
package netsim

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRealSlowReaderGetsEverything(t *testing.T) {
	for _, lent := range []bool{false, true} {
		t.Run(fmt.Sprintf("lent=%v", lent), func(t *testing.T) {
			nc, c, _, _ := started(t)
			const rounds = 64
			sent := make([]byte, 0, rounds*(300<<10))
			b := make([]byte, 300<<10)
			for i := range rounds {
				n := len(b) - i*1000
				copy(b, pattern(n))
				b[0], b[n-1] = byte(i), byte(i)
				sent = append(sent, b[:n]...)
				if lent {
					lend(c, b[:3], b[3:n])
				} else {
					c.Write(b[:3], b[3:n])
					c.Flush()
				}
				clear(b) // it is the caller's again
			}
			require.NotZero(t, c.Buffered())
			below := make(chan int, 1)
			c.WhenBelow(1<<20, func() { below <- c.Buffered() })
			require.Equal(t, sent, readN(t, nc, len(sent)))
			require.Less(t, await(t, below), 1<<20)
			eventually(t, "the queue empties", func() bool { return c.Buffered() == 0 })
		})
	}
}

func TestRealWhenBelow(t *testing.T) {
	_, c, _, _ := started(t)
	calls := make(chan string, 4)
	c.WhenBelow(1, func() { calls <- "at once" })
	require.Equal(t, "at once", await(t, calls))
	c.Write([]byte("xy"))
	c.WhenBelow(2, func() { calls <- "replaced" })
	c.WhenBelow(2, func() { calls <- "below" })
	require.Empty(t, calls)
	c.Flush()
	require.Equal(t, "below", await(t, calls))
	require.Empty(t, calls)
}

func TestRealWriteDeadline(t *testing.T) {
	for _, retry := range []bool{false, true} {
		t.Run(fmt.Sprintf("retry=%v", retry), func(t *testing.T) {
			_, c, p, _ := started(t)
			c.SetWriteDeadline(30*time.Millisecond, retry)
			c.Write(pattern(32 << 20))
			c.Flush()
			require.ErrorIs(t, p.wantClosed(), ErrWriteDeadline)
		})
	}
}

// A peer that takes a little within every deadline lives on with retry, and is
// closed without.
func TestRealWriteDeadlineTrickle(t *testing.T) {
	for _, retry := range []bool{false, true} {
		t.Run(fmt.Sprintf("retry=%v", retry), func(t *testing.T) {
			client, server := pipePair(t)
			p := newProbe(t)
			server.Start(testClock.NewStrand("conn"), p)
			const limit = 100 * time.Millisecond
			server.SetWriteDeadline(limit, retry)
			server.Write(pattern(1 << 20))
			server.Flush()
			tick := time.NewTicker(limit / 10)
			defer tick.Stop()
			buf := make([]byte, 1000)
			for range 30 {
				<-tick.C
				if _, err := client.Read(buf); err != nil {
					require.ErrorIs(t, err, io.EOF)
					break
				}
			}
			if retry {
				require.False(t, p.ended.Load())
				require.Len(t, readN(t, client, (1<<20)-30*1000), (1<<20)-30*1000)
				server.Abort(nil)
				require.NoError(t, p.wantClosed())
			} else {
				require.ErrorIs(t, p.wantClosed(), ErrWriteDeadline)
			}
		})
	}
}

// Many goroutines write framed messages to one connection.
func TestRealCombiningKeepsFramesAndOrder(t *testing.T) {
	nc, c, _, _ := started(t)
	const writers, messages = 8, 400
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			body := make([]byte, 4000)
			for i := range messages {
				n := 1 + (i*37+w*101)%len(body)
				for k := range n {
					body[k] = byte(w)
				}
				head := []byte{byte(w), byte(i), byte(i >> 8), byte(n), byte(n >> 8)}
				if i%3 == 0 {
					c.Write(head, body[:n])
					c.Flush()
				} else {
					lend(c, head, body[:n])
				}
				body[0], body[n-1] = 0xff, 0xff
			}
		})
	}
	next := [writers]int{}
	for range writers * messages {
		h := readN(t, nc, 5)
		w, i, n := int(h[0]), int(h[1])|int(h[2])<<8, int(h[3])|int(h[4])<<8
		require.Less(t, w, writers)
		require.Equal(t, next[w], i)
		next[w]++
		require.Equal(t, bytes.Repeat([]byte{byte(w)}, n), readN(t, nc, n))
	}
	wg.Wait()
	eventually(t, "the queue empties", func() bool { return c.Buffered() == 0 })
}

// Whoever flushes during a turn leaves what is queued to its holder.
func TestRealFlushDuringTurn(t *testing.T) {
	nc, c, _, _ := started(t)
	lent, more := pattern(5000), pattern(2000)
	c.Write([]byte("a"))
	require.True(t, c.Lend(lent))
	done := make(chan bool)
	go func() {
		c.Write([]byte("b"))
		c.Flush()
		turn := c.Lend(more)
		c.Flush()
		clear(more) // copied
		done <- turn
	}()
	require.False(t, await(t, done), "there is one turn at a time")
	require.Equal(t, 1+5000+1+2000, c.Buffered())
	c.FlushLent()
	require.Zero(t, c.Buffered())
	want := append(append([]byte("a"), lent...), 'b')
	require.Equal(t, append(want, pattern(2000)...), readN(t, nc, len(want)+2000))
}

// The turn may pass from goroutine to goroutine.
func TestRealTurnEndsElsewhere(t *testing.T) {
	nc, c, _, _ := started(t)
	for range 3 {
		b := pattern(5000)
		require.True(t, c.Lend(b))
		done := make(chan struct{})
		go func() {
			c.FlushLent()
			close(done)
		}()
		await(t, done)
		require.Equal(t, b, readN(t, nc, len(b)))
	}
}

// A few bytes are copied, which needs no turn.
func TestRealLendOfLittle(t *testing.T) {
	nc, c, _, _ := started(t)
	require.False(t, c.Lend())
	require.False(t, c.Lend(nil, []byte("ab"), pattern(lendMin-1)))
	c.Flush()
	require.Equal(t, append([]byte("ab"), pattern(lendMin-1)...), readN(t, nc, lendMin+1))
	require.True(t, c.Lend([]byte("ab"), pattern(lendMin)))
	c.FlushLent()
	require.Equal(t, append([]byte("ab"), pattern(lendMin)...), readN(t, nc, lendMin+2))
}

// Close and Abort during a turn, by its holder or another goroutine, wait for its end.
func TestRealEndDuringTurn(t *testing.T) {
	for _, by := range []string{"holder", "another"} {
		for _, abort := range []bool{false, true} {
			t.Run(fmt.Sprintf("by=%s/abort=%v", by, abort), func(t *testing.T) {
				nc, c, p, _ := started(t)
				lent := pattern(5000)
				require.True(t, c.Lend(lent))
				end := func() { c.Close(io.ErrNoProgress) }
				if abort {
					end = func() { c.Abort(io.ErrNoProgress) }
				}
				if by == "holder" {
					end()
				} else {
					var wg sync.WaitGroup
					wg.Go(end)
					wg.Wait()
				}
				require.Equal(t, 5000, c.Buffered(), "the bytes are the holder's")
				require.False(t, p.ended.Load())
				c.FlushLent()
				require.Equal(t, io.ErrNoProgress, p.wantClosed())
				require.Zero(t, c.Buffered())
				got, err := io.ReadAll(nc)
				require.NoError(t, err)
				if abort {
					lent = []byte{}
				}
				require.Equal(t, lent, got)
			})
		}
	}
}

// A peer that takes nothing has the rest copied when the turn ends, and dropped
// when the time of Close is over.
func TestRealCloseDuringTurnOfSlowPeer(t *testing.T) {
	_, c, p, _ := started(t)
	big := pattern(32 << 20)
	require.True(t, c.Lend(big))
	c.Close(io.ErrNoProgress)
	c.FlushLent()
	clear(big)
	require.Equal(t, io.ErrNoProgress, p.wantClosed())
	require.Zero(t, c.Buffered())
}

// lend is how a Lend is sent.
func lend(c Conn, p ...[]byte) {
	if c.Lend(p...) {
		c.FlushLent()
	} else {
		c.Flush()
	}
}

func TestRealReadBufferAdapts(t *testing.T) {
	c := newRealConn(&pipeEnd{})
	require.EqualValues(t, class4K, c.class)
	for range 5 {
		c.adapt(chunkSizes[c.class])
	}
	require.EqualValues(t, class256K, c.class)
	for range shrinkAfter - 1 {
		c.adapt(100)
	}
	require.EqualValues(t, class256K, c.class)
	c.adapt(100)
	require.EqualValues(t, class64K, c.class)
	for range 10 * shrinkAfter {
		c.adapt(1)
	}
	require.EqualValues(t, class4K, c.class)
}

func TestRealSendingAllocatesNothing(t *testing.T) {
	nc, c, _, _ := started(t)
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	small, large := [][]byte{pattern(16), pattern(200)}, [][]byte{pattern(16), pattern(4096)}
	for name, send := range map[string]func(){
		"write": func() { c.Write(small...); c.Flush() },
		"lend":  func() { lend(c, large...) },
		"mixed": func() { c.Write(small...); lend(c, large...) },
	} {
		eventually(t, "the queue empties", func() bool { return c.Buffered() == 0 })
		t.Run(name, func(t *testing.T) { wantAllocs(t, 0, send) })
	}
}

func TestRealReadingAllocatesNothing(t *testing.T) {
	nc, _, p, _ := started(t)
	got := make(chan struct{}, 1)
	p.onData = func([]byte) { got <- struct{}{} }
	msg := pattern(64)
	wantAllocs(t, 0, func() {
		_, _ = nc.Write(msg)
		<-got
	})
}

// wantAllocs counts what all goroutines allocate during a run of f.
func wantAllocs(t *testing.T, want float64, f func()) {
	if raceDetector {
		t.Skip("the race detector drops what pools hold")
	}
	require.Equal(t, want, testing.AllocsPerRun(500, f))
}
