package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
)

// movable are servers of a cluster with JetStream, whose route addresses survive restarts.
type movable struct {
	t       *testing.T
	options []*server.Options
	servers []*server.Server
}

// startMovable starts servers that know each other's routes. Each is tagged az:0, az:1 and so on.
func startMovable(t *testing.T, n int) *movable {
	t.Helper()
	c := &movable{t: t}
	var routes []string
	var held []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		held = append(held, l)
		routes = append(routes, "nats://"+l.Addr().String())
	}
	for i := range n {
		o := &server.Options{
			Host: "127.0.0.1", Port: -1, ServerName: fmt.Sprintf("s%d", i), NoLog: true, NoSigs: true,
			JetStream: true, StoreDir: t.TempDir(), Tags: []string{fmt.Sprintf("az:%d", i)},
			Cluster: server.ClusterOpts{Name: "C", Host: "127.0.0.1", Port: held[i].Addr().(*net.TCPAddr).Port},
		}
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		c.options = append(c.options, o)
		c.servers = append(c.servers, nil)
	}
	for _, l := range held {
		require.NoError(t, l.Close())
	}
	for i := range n {
		c.start(i)
	}
	t.Cleanup(func() {
		for _, s := range c.servers {
			s.Shutdown()
		}
	})
	return c
}

func (c *movable) start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.options[i])
	require.NoError(c.t, err)
	s.Start()
	c.servers[i] = s
}

// stop ends a server.
func (c *movable) stop(i int) {
	c.servers[i].Shutdown()
	c.servers[i].WaitForShutdown()
}

// client connects to some of the servers.
func (c *movable) client(which ...int) (nats.JetStreamContext, *nats.Conn) {
	c.t.Helper()
	var urls []string
	for _, i := range which {
		urls = append(urls, c.servers[i].ClientURL())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(c.t, err)
	c.t.Cleanup(nc.Close)
	js, err := nc.JetStream(nats.MaxWait(time.Second))
	require.NoError(c.t, err)
	return js, nc
}

// eventually asks until what is asked succeeds.
func eventually(t *testing.T, what string, fn func() error) {
	t.Helper()
	var last error
	require.Eventually(t, func() bool { last = fn(); return last == nil }, 20*time.Second, 20*time.Millisecond, what)
	require.NoError(t, last, what)
}

// members are the names of the servers that a stream's information shows as current.
func membersOf(info *nats.StreamInfo) int {
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return 0
	}
	n := 1
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline {
			n++
		}
	}
	return n
}

var errNotYet = errors.New("not yet")

func TestReplicasGrowAndShrink(t *testing.T) {
	c := startMovable(t, 3)
	js, _ := c.client(0, 1, 2)
	cfg := &nats.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 1}
	eventually(t, "create", func() error { _, err := js.AddStream(cfg); return err })
	for range 50 {
		_, err := js.Publish("s", []byte("hello"))
		require.NoError(t, err)
	}
	_, err := js.AddConsumer("S", &nats.ConsumerConfig{Durable: "d", AckPolicy: nats.AckExplicitPolicy})
	require.NoError(t, err)
	for _, n := range []int{3, 1, 3, 2} {
		cfg.Replicas = n
		eventually(t, fmt.Sprintf("update to %d", n), func() error { _, err := js.UpdateStream(cfg); return err })
		eventually(t, fmt.Sprintf("%d members", n), func() error {
			info, err := js.StreamInfo("S")
			if err != nil {
				return err
			}
			if info.Config.Replicas != n || membersOf(info) != n || len(info.Cluster.Replicas) != n-1 {
				return fmt.Errorf("%w: %d replicas, %+v", errNotYet, info.Config.Replicas, info.Cluster)
			}
			if info.State.Msgs < 50 || info.State.FirstSeq != 1 || info.State.Consumers != 1 {
				return fmt.Errorf("messages are lost: %+v", info.State)
			}
			return nil
		})
		eventually(t, "publish", func() error { _, err := js.Publish("s", []byte("more")); return err })
	}
}

func TestPlacementFollowsTags(t *testing.T) {
	c := startMovable(t, 3)
	js, nc := c.client(0, 1, 2)
	eventually(t, "create", func() error {
		info, err := js.AddStream(&nats.StreamConfig{Name: "T", Placement: &nats.Placement{Tags: []string{"az:1"}}})
		if err == nil && info.Cluster != nil && info.Cluster.Leader != "s1" {
			return fmt.Errorf("is led by %q", info.Cluster.Leader)
		}
		return err
	})
	_, err := js.AddStream(&nats.StreamConfig{Name: "U", Placement: &nats.Placement{Tags: []string{"none"}}})
	require.ErrorContains(t, err, "no suitable peers for placement, tags not matched ['none']")
	_, err = js.AddStream(&nats.StreamConfig{Name: "V", Replicas: 5})
	require.ErrorContains(t, err, "no suitable peers for placement")
	require.NotEmpty(t, nc.ConnectedUrl())
}

func TestPeerIsReplaced(t *testing.T) {
	c := startMovable(t, 3)
	js, nc := c.client(0, 1, 2)
	eventually(t, "create", func() error {
		_, err := js.AddStream(&nats.StreamConfig{Name: "P", Subjects: []string{"p"}, Replicas: 2})
		return err
	})
	_, err := js.Publish("p", nil)
	require.NoError(t, err)
	info, err := js.StreamInfo("P")
	require.NoError(t, err)
	was := info.Cluster.Leader
	remove := func(peer string) (code int) {
		eventually(t, "peer remove", func() error {
			m, err := nc.Request("$JS.API.STREAM.PEER.REMOVE.P", []byte(`{"peer":"`+peer+`"}`), time.Second)
			if err != nil {
				return err
			}
			var resp struct {
				Success bool `json:"success"`
				Error   *struct {
					Code int `json:"err_code"`
				} `json:"error"`
			}
			if err = json.Unmarshal(m.Data, &resp); err == nil && resp.Error != nil {
				code = resp.Error.Code
			}
			return err
		})
		return code
	}
	require.Equal(t, 10040, remove("nobody"))
	require.Zero(t, remove(was))
	eventually(t, "replaced", func() error {
		info, err := js.StreamInfo("P")
		if err != nil {
			return err
		}
		if info.Cluster.Leader == was || membersOf(info) != 2 || len(info.Cluster.Replicas) != 1 || info.Cluster.Replicas[0].Name == was {
			return fmt.Errorf("%w: %+v", errNotYet, info.Cluster)
		}
		if info.State.Msgs != 1 {
			return fmt.Errorf("messages are lost: %+v", info.State)
		}
		return nil
	})
}

func TestServerWithNothingComesBack(t *testing.T) {
	c := startMovable(t, 3)
	js, _ := c.client(0, 1)
	eventually(t, "create", func() error {
		_, err := js.AddStream(&nats.StreamConfig{Name: "E", Subjects: []string{"e"}, Replicas: 3})
		return err
	})
	for range 20 {
		_, err := js.Publish("e", []byte("hello"))
		require.NoError(t, err)
	}
	c.stop(2)
	c.options[2].StoreDir = t.TempDir()
	c.start(2)
	whole := func() error {
		info, err := js.StreamInfo("E")
		if err == nil && (membersOf(info) != 3 || info.State.Msgs != 20) {
			err = fmt.Errorf("%w: %+v %+v", errNotYet, info.Cluster, info.State)
		}
		return err
	}
	eventually(t, "members", whole)
	for i := range 3 { // what the one that had nothing has now survives that all are started again
		c.stop(i)
	}
	for i := range 3 {
		c.start(i)
	}
	js, _ = c.client(0, 1, 2)
	eventually(t, "members", whole)
}

func TestServerComesNew(t *testing.T) {
	c := startMovable(t, 3)
	js, _ := c.client(0, 1, 2)
	eventually(t, "create", func() error {
		_, err := js.AddStream(&nats.StreamConfig{Name: "N", Subjects: []string{"n"}, Replicas: 1})
		return err
	})
	o := *c.options[0]
	o.ServerName, o.StoreDir, o.Tags = "s3", t.TempDir(), []string{"az:3"}
	o.Cluster.Port = -1
	c.options, c.servers = append(c.options, &o), append(c.servers, nil)
	c.start(3)
	eventually(t, "a stream of four", func() error {
		_, err := js.AddStream(&nats.StreamConfig{Name: "M", Replicas: 4})
		return err
	})
	eventually(t, "move there", func() error {
		_, err := js.UpdateStream(&nats.StreamConfig{Name: "N", Subjects: []string{"n"}, Placement: &nats.Placement{Tags: []string{"az:3"}}})
		return err
	})
	eventually(t, "moved", func() error {
		info, err := js.StreamInfo("N")
		if err == nil && (info.Cluster.Leader != "s3" || membersOf(info) != 1 || len(info.Cluster.Replicas) > 0) {
			err = fmt.Errorf("%w: %+v", errNotYet, info.Cluster)
		}
		return err
	})
}

func TestMemoryBeginsAnew(t *testing.T) {
	c := startMovable(t, 3)
	js, _ := c.client(0, 1, 2)
	for _, n := range []int{1, 3} {
		cfg := &nats.StreamConfig{Name: fmt.Sprintf("M%d", n), Subjects: []string{fmt.Sprintf("m%d", n)}, Replicas: n, Storage: nats.MemoryStorage}
		eventually(t, "create", func() error { _, err := js.AddStream(cfg); return err })
		_, err := js.Publish(cfg.Subjects[0], nil)
		require.NoError(t, err)
	}
	c.stop(1)
	c.start(1)
	eventually(t, "one is started again, the others have it", func() error {
		info, err := js.StreamInfo("M3")
		if err == nil && (membersOf(info) != 3 || info.State.Msgs != 1) {
			err = fmt.Errorf("%w: %+v %+v", errNotYet, info.Cluster, info.State)
		}
		return err
	})
	for i := range 3 {
		c.stop(i)
	}
	for i := range 3 {
		c.start(i)
	}
	js, _ = c.client(0, 1, 2)
	for _, subj := range []string{"m1", "m3"} {
		eventually(t, "publish", func() error { _, err := js.Publish(subj, nil); return err })
	}
	info, err := js.StreamInfo("M3")
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs)
}
