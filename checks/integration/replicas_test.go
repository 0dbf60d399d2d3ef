package integration

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// trio is a cluster of three servers with JetStream.
type trio struct {
	t       *testing.T
	configs [3]string
	servers [3]*process
}

// startTrio starts three servers that know each other's route addresses, as ones that are to survive restarts
// must.
func startTrio(t *testing.T) *trio {
	t.Helper()
	var routes [3]string
	var held [3]net.Listener
	for i := range held {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		held[i], routes[i] = l, l.Addr().String()
	}
	for _, l := range held {
		require.NoError(t, l.Close())
	}
	c := &trio{t: t}
	for i := range c.servers {
		c.configs[i] = memberConfig(fmt.Sprintf("n%d", i), routes[i], "", jsConfig, routes[:]...)
		c.servers[i] = startIn(t, binary, t.TempDir(), c.configs[i])
	}
	return c
}

// kill ends a server at once and starts it again.
func (c *trio) kill(i int) {
	c.t.Helper()
	c.servers[i] = c.servers[i].restartWith(syscall.SIGKILL, c.configs[i])
}

// client connects to any of the servers, and follows to others.
func (c *trio) client() (jetstream.JetStream, *nats.Conn) {
	c.t.Helper()
	var urls []string
	for _, p := range c.servers {
		urls = append(urls, p.url())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(tick), nats.RetryOnFailedConnect(true))
	require.NoError(c.t, err)
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second))
	require.NoError(c.t, err)
	return js, nc
}

// shortly is a context for a request that may meet nobody who answers it, and is made again then.
func (c *trio) shortly() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	c.t.Cleanup(cancel)
	return ctx
}

// create makes a stream, as soon as the cluster can.
func (c *trio) create(js jetstream.JetStream, cfg jetstream.StreamConfig) (s jetstream.Stream) {
	c.t.Helper()
	require.Eventually(c.t, func() (ok bool) {
		var err error
		s, err = js.CreateStream(c.shortly(), cfg)
		return err == nil
	}, patience, tick)
	return s
}

// Three servers are killed one after another while a client publishes: what was acknowledged is there, once, at its
// sequence, whoever leads in the end.
func TestReplicasOutliveKills(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	js, _ := c.client()
	c.create(js, jetstream.StreamConfig{Name: "S", Subjects: []string{"S.>"}, Replicas: 3})
	var mu sync.Mutex
	promised := map[uint64]string{}
	var count atomic.Int64
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for w := range 2 {
		pub, _ := c.client()
		publishers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprintf("%d/%d", w, i)
				ack, err := pub.Publish(c.shortly(), "S.a", []byte(text), jetstream.WithRetryAttempts(0))
				if err != nil {
					continue // it may be stored, or not
				}
				mu.Lock()
				if was, ok := promised[ack.Sequence]; ok {
					t.Errorf("sequence %d was acknowledged for %q and for %q", ack.Sequence, was, text)
				}
				promised[ack.Sequence] = text
				mu.Unlock()
				count.Add(1)
			}
		})
	}
	more := func() {
		from := count.Load()
		require.Eventually(t, func() bool { return count.Load() > from+50 }, patience, tick)
	}
	more()
	for round := range 3 {
		c.kill(round)
		more()
	}
	close(stop)
	publishers.Wait()
	for seq, text := range promised {
		require.Eventually(t, func() bool {
			s, err := js.Stream(c.shortly(), "S")
			if err != nil {
				return false
			}
			m, err := s.GetMsg(c.shortly(), seq)
			if err != nil {
				require.NotErrorIs(t, err, jetstream.ErrMsgNotFound, "sequence %d was acknowledged", seq)
				return false
			}
			require.Equal(t, text, string(m.Data), "sequence %d", seq)
			return true
		}, patience, tick)
	}
}
