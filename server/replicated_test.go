package server_test

import (
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
)

// threeServers starts three servers that have JetStream, in one cluster, and waits until their catalogue has a leader.
func threeServers(t *testing.T) []*server.Server {
	t.Helper()
	var held [3]net.Listener
	var routes string
	for i := range held {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		held[i] = l
		routes += fmt.Sprintf(",nats://%s", l.Addr())
	}
	var servers []*server.Server
	for i, l := range held {
		port := l.Addr().(*net.TCPAddr).Port
		require.NoError(t, l.Close())
		s, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: -1, ServerName: fmt.Sprintf("n%d", i+1), NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "C", Host: "127.0.0.1", Port: port}, Routes: server.RoutesFromStr(routes[1:]),
			SystemAccount: "$SYS",
		})
		require.NoError(t, err)
		s.Start()
		t.Cleanup(s.Shutdown)
		servers = append(servers, s)
	}
	for _, s := range servers {
		require.True(t, s.ReadyForConnections(10*time.Second))
		require.Eventually(t, func() bool {
			z, err := s.Jsz(nil)
			return err == nil && z.Meta != nil && z.Meta.Leader != "" && z.Meta.Size == 3 && s.Healthz(nil).Status == "ok"
		}, 10*time.Second, 10*time.Millisecond)
	}
	return servers
}

// located is what a response of the API says of an asset, or an error.
type located struct {
	Cluster *struct {
		Name     string
		Leader   string
		Group    string     `json:"raft_group"`
		Since    *time.Time `json:"leader_since"`
		Replicas []struct {
			Name    string
			Current bool
			Peer    string
		}
	}
	Success bool
	Error   *struct {
		Code        int `json:"err_code"`
		Description string
	}
	Streams   json.RawMessage
	Missing   []string
	Store     uint64 `json:"storage"`
	Consumers json.RawMessage
}

// askAPI asks until somebody answers.
func askAPI(t *testing.T, nc *nats.Conn, subject, body string) *located {
	t.Helper()
	var w located
	require.Eventually(t, func() bool {
		m, err := nc.Request("$JS.API."+subject, []byte(body), 2*time.Second)
		if err != nil {
			return false
		}
		w = located{}
		require.NoError(t, json.Unmarshal(m.Data, &w), "%s", m.Data)
		return true
	}, 10*time.Second, 10*time.Millisecond, subject)
	return &w
}

// TestReplicatedAnswers asks three servers as one, and has leaders step down.
func TestReplicatedAnswers(t *testing.T) {
	servers := threeServers(t)
	nc, err := nats.Connect(servers[0].ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)

	w := askAPI(t, nc, "STREAM.CREATE.S", `{"name":"S","subjects":["s.>"],"num_replicas":3}`)
	require.Nil(t, w.Error)
	require.NotNil(t, w.Cluster)
	group := w.Cluster.Group
	assert.Regexp(t, `^S-R3F-[0-9A-Za-z]{8}$`, group)
	assert.NotNil(t, w.Cluster.Since)
	assert.Len(t, w.Cluster.Replicas, 2)
	for i := range 6 {
		name := fmt.Sprintf("R%d", i)
		w := askAPI(t, nc, "STREAM.CREATE."+name, `{"name":"`+name+`","subjects":["r.`+name+`"],"storage":"memory"}`)
		require.Nil(t, w.Error)
		assert.Equal(t, "C", w.Cluster.Name)
		assert.Empty(t, w.Cluster.Group)
		assert.Empty(t, w.Cluster.Replicas)
	}
	w = askAPI(t, nc, "CONSUMER.CREATE.S.c", `{"stream_name":"S","config":{"durable_name":"c","name":"c","ack_policy":"explicit"}}`)
	require.Nil(t, w.Error)
	assert.Regexp(t, `^C-R3F-[0-9A-Za-z]{8}$`, w.Cluster.Group)

	js, err := nc.JetStream()
	require.NoError(t, err)
	for range 10 {
		_, err = js.Publish("s.1", []byte("hello"))
		require.NoError(t, err)
	}
	t.Run("lists", func(t *testing.T) {
		w := askAPI(t, nc, "STREAM.LIST", "")
		var list []struct {
			Config  struct{ Name string }
			Cluster struct{ Leader string }
		}
		require.NoError(t, json.Unmarshal(w.Streams, &list))
		assert.Len(t, list, 7)
		assert.Empty(t, w.Missing)
		for _, s := range list {
			assert.NotEmpty(t, s.Cluster.Leader, s.Config.Name)
		}
		assert.JSONEq(t, `["R0","R1","R2","R3","R4","R5","S"]`, string(askAPI(t, nc, "STREAM.NAMES", "").Streams))
	})
	t.Run("account", func(t *testing.T) {
		require.Eventually(t, func() bool {
			w := askAPI(t, nc, "INFO", "")
			return w.Store == 3*380 && string(w.Consumers) == "1" && string(w.Streams) == "7"
		}, 5*time.Second, 10*time.Millisecond)
	})
	t.Run("step down", func(t *testing.T) {
		for _, subject := range []string{"STREAM.LEADER.STEPDOWN.S", "CONSUMER.LEADER.STEPDOWN.S.c"} {
			before := askAPI(t, nc, "STREAM.INFO.S", "").Cluster.Leader
			w := askAPI(t, nc, subject, "")
			require.Nil(t, w.Error)
			assert.True(t, w.Success)
			require.Eventually(t, func() bool {
				c := askAPI(t, nc, "STREAM.INFO.S", "").Cluster
				return c.Leader != before && len(c.Replicas) == 2 && c.Group == group
			}, 5*time.Second, 10*time.Millisecond)
		}
		now := askAPI(t, nc, "STREAM.INFO.S", "").Cluster
		next := now.Replicas[1].Name
		w := askAPI(t, nc, "STREAM.LEADER.STEPDOWN.S", `{"placement":{"preferred":"`+next+`"}}`)
		assert.True(t, w.Success)
		require.Eventually(t, func() bool { return askAPI(t, nc, "STREAM.INFO.S", "").Cluster.Leader == next }, 5*time.Second, 10*time.Millisecond)
		w = askAPI(t, nc, "STREAM.LEADER.STEPDOWN.S", `{"placement":{"preferred":"nix"}}`)
		require.NotNil(t, w.Error)
		assert.Equal(t, 10005, w.Error.Code)
		assert.Equal(t, `preferred server "nix" not known`, w.Error.Description)
		assert.Equal(t, 10014, askAPI(t, nc, "CONSUMER.LEADER.STEPDOWN.S.nix", "").Error.Code)
		assert.Equal(t, 10059, askAPI(t, nc, "STREAM.LEADER.STEPDOWN.nix", "").Error.Code)
		assert.True(t, askAPI(t, nc, "STREAM.LEADER.STEPDOWN.R0", "").Success)
	})
	t.Run("monitoring", func(t *testing.T) {
		leading := 0
		for i, s := range servers {
			z, err := s.Jsz(&server.JSzOptions{RaftGroups: true, Streams: true})
			require.NoError(t, err)
			assert.Equal(t, 2, z.Meta.Quorum)
			assert.Len(t, z.Meta.Replicas, 2)
			assert.Equal(t, "C", z.Meta.Name)
			assert.Equal(t, 1, z.HAAssets, "server %d", i)
			leading += z.StreamsLeader
			_, err = s.Jsz(&server.JSzOptions{LeaderOnly: true})
			assert.Equal(t, z.Meta.Leader == s.Name(), err == nil)
		}
		assert.Equal(t, 7, leading)
	})
	servers[2].Shutdown()
	for _, s := range servers[:2] {
		require.Eventually(t, func() bool { // somebody leads, and the one that is gone is not current
			z, err := s.Jsz(nil)
			return err == nil && (z.Meta.Leader == "n1" || z.Meta.Leader == "n2")
		}, 10*time.Second, 10*time.Millisecond)
	}
	require.Eventually(t, func() bool {
		c := askAPI(t, nc, "STREAM.INFO.S", "").Cluster
		for _, r := range c.Replicas {
			if r.Name == "n3" && !r.Current {
				return true
			}
		}
		return false
	}, 10*time.Second, 10*time.Millisecond)
	servers[1].Shutdown()
	require.Eventually(t, func() bool {
		return servers[0].Healthz(nil).Error == "JetStream has not established contact with a meta leader"
	}, 10*time.Second, 10*time.Millisecond)
}
