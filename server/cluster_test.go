package server_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
)

// clustered starts a server of a cluster on ports that the system picks.
func clustered(t *testing.T, name, compression string, seeds ...string) *server.Server {
	t.Helper()
	o := &server.Options{
		Host: "127.0.0.1", Port: -1, ServerName: name, NoLog: true, NoSigs: true,
		Cluster: server.ClusterOpts{Name: "C", Host: "127.0.0.1", Port: -1, Compression: server.CompressionOpts{Mode: compression}},
	}
	for _, s := range seeds {
		o.Routes = append(o.Routes, server.RoutesFromStr("nats://"+s)...)
	}
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(10*time.Second))
	t.Cleanup(s.Shutdown)
	return s
}

// TestClusterInOneProcess has everything happen at once, for the race detector to see.
func TestClusterInOneProcess(t *testing.T) {
	for _, compression := range []string{"accept", "s2_fast"} {
		t.Run(compression, func(t *testing.T) {
			a := clustered(t, "a", compression)
			require.Equal(t, "C", a.ClusterName())
			seed := a.ClusterAddr().String()
			b, c := clustered(t, "b", compression, seed), clustered(t, "c", compression, seed)
			servers := []*server.Server{a, b, c}
			for _, s := range servers {
				require.Eventually(t, func() bool { return s.NumRoutes() == 8 && s.NumRemotes() == 2 }, 10*time.Second, 5*time.Millisecond)
			}
			const subscribers, messages = 6, 300
			var all sync.WaitGroup
			var conns []*nats.Conn
			for i := range subscribers {
				nc, err := nats.Connect(servers[i%3].ClientURL())
				require.NoError(t, err)
				t.Cleanup(nc.Close)
				conns = append(conns, nc)
				all.Add(messages * 3)
				_, err = nc.Subscribe("all", func(m *nats.Msg) { all.Done() })
				require.NoError(t, err)
				_, err = nc.Subscribe("ask."+fmt.Sprint(i), func(m *nats.Msg) { _ = m.Respond(nil) })
				require.NoError(t, err)
			}
			for i, nc := range conns { // what was subscribed to before is known everywhere
				for j := range subscribers {
					require.Eventually(t, func() bool {
						_, err := nc.Request("ask."+fmt.Sprint(j), nil, 10*time.Second)
						return err == nil
					}, 10*time.Second, 5*time.Millisecond, "%d asks %d", i, j)
				}
			}
			for i := range servers {
				go func() {
					for range messages {
						if conns[i].Publish("all", []byte("hello")) != nil {
							return
						}
						z, err := servers[i].Routez(&server.RoutezOptions{Subscriptions: true})
						if err != nil || z.NumRoutes != 8 {
							return
						}
					}
				}()
			}
			done := make(chan struct{})
			go func() { all.Wait(); close(done) }()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				require.Fail(t, "messages are missing")
			}
			c.Shutdown()
			for _, s := range servers[:2] {
				require.Eventually(t, func() bool { return s.NumRoutes() == 4 }, 10*time.Second, 5*time.Millisecond)
			}
		})
	}
}
