package cluster_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// pair is one server in simulation and a peer without a pool that speaks to it as told.
type pair struct {
	t    *testing.T
	sim  *clock.Sim
	net  *netsim.Sim
	node *node
	peer *simPeer
}

const (
	peerConnect = `CONNECT {"name":"NP","cluster":"C","headers":true,"lnoc":true}` + "\r\n"
	peerInfo    = `INFO {"server_id":"NP","server_name":"P","cluster":"C","host":"p","port":1,"headers":true,"lnoc":true,"lnocu":true%s}` + "\r\n"
)

func newPair(t *testing.T, block string) *pair {
	sim := clock.NewSim(3)
	p := &pair{t: t, sim: sim, net: netsim.NewSim(sim)}
	p.node = newNode(t, sim, p.net, "server", simServerID, "no_system_account: true\ncluster { name: C, listen: \"server:6222\", pool_size: -1\n"+block+" }")
	p.peer = p.open("p", 6222)
	return p
}

// open connects somebody who answers no PING.
func (p *pair) open(name string, port int) *simPeer {
	peer := &simPeer{}
	strand := p.sim.Clock(name).NewStrand(name)
	p.net.Host(name).Dial(strand, fmt.Sprint("server:", port), netsim.DialOptions{}, func(c netsim.Conn, err error) {
		require.NoError(p.t, err)
		peer.conn = c
		c.Start(strand, peer)
	})
	p.sim.RunFor(10 * time.Millisecond)
	return peer
}

func (p *pair) send(peer *simPeer, text string) {
	peer.conn.Write([]byte(text))
	peer.conn.Flush()
	p.sim.RunFor(10 * time.Millisecond)
}

// took gives what came since the last time.
func (p *simPeer) took() string {
	text := string(p.text)
	p.text = nil
	return text
}

func (p *pair) handshake() {
	p.send(p.peer, peerConnect+fmt.Sprintf(peerInfo, ""))
	p.peer.took()
}

func TestRoutesArePingedWhateverComes(t *testing.T) {
	p := newPair(t, `ping_interval: "5s", ping_max: 2`)
	p.handshake()
	p.sim.RunFor(900 * time.Millisecond)
	require.Empty(t, p.peer.took())
	p.sim.RunFor(300 * time.Millisecond)
	require.Equal(t, "PING\r\n", p.peer.took(), "soon after the beginning")
	p.send(p.peer, "PONG\r\n")
	require.Positive(t, p.node.cluster.Routes()[0].RTT)
	for range 10 {
		p.sim.RunFor(500 * time.Millisecond)
		p.send(p.peer, "RS+ $G foo\r\nRS- $G foo\r\n")
	}
	require.Equal(t, "PING\r\n", p.peer.took(), "though there is traffic")

	// The peer goes silent: one more is sent, and then it is stale.
	p.sim.RunFor(5 * time.Second)
	require.Equal(t, "PING\r\n", p.peer.took())
	require.False(t, p.peer.end)
	p.sim.RunFor(5 * time.Second)
	require.Equal(t, "-ERR 'Stale Connection'\r\n", p.peer.took())
	require.True(t, p.peer.end)
	require.EqualValues(t, 1, p.node.cluster.Stats().Stale.Load())
	require.Zero(t, p.node.cluster.NumRoutes())
}

func TestPingIntervalIsAtMostHalfAMinute(t *testing.T) {
	p := newPair(t, `ping_interval: "90s", ping_max: 9`)
	p.handshake()
	p.sim.RunFor(2 * time.Second)
	p.send(p.peer, "PONG\r\n")
	p.peer.took()
	p.sim.RunFor(30 * time.Second)
	require.Equal(t, "PING\r\n", p.peer.took())
}

func TestHandshakesThatDoNotEnd(t *testing.T) {
	p := newPair(t, `ping_interval: "2s", ping_max: 2`)
	p.send(p.peer, peerConnect)
	p.peer.took()
	p.sim.RunFor(5800 * time.Millisecond)
	require.False(t, p.peer.end)
	p.sim.RunFor(300 * time.Millisecond)
	require.Equal(t, "-ERR 'Stale Connection'\r\n", p.peer.took())
	require.True(t, p.peer.end)
}

func TestClientsAreToldWhereElseToGo(t *testing.T) {
	p := newPair(t, "")
	client := p.open("client", 4222)
	p.send(client, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n")
	require.NotContains(t, client.took(), "connect_urls", "there is nowhere else")
	told := func(urls string) {
		t.Helper()
		p.sim.RunFor(10 * time.Millisecond)
		text := client.took()
		require.Equal(t, 1, strings.Count(text, "INFO "), text)
		require.Contains(t, text, `"cluster":"C","connect_urls":[`+urls+`]`)
	}
	p.send(p.peer, peerConnect+fmt.Sprintf(peerInfo, `,"connect_urls":["a:1","b:2"]`))
	told(`"server:4222","a:1","b:2"`)
	p.send(p.peer, fmt.Sprintf(peerInfo, `,"connect_urls":["a:1"]`))
	told(`"server:4222","a:1"`)
	p.send(p.peer, fmt.Sprintf(peerInfo, `,"connect_urls":["a:1"]`))
	p.sim.RunFor(10 * time.Millisecond)
	require.Empty(t, client.took(), "nothing is new")
	p.send(p.peer, fmt.Sprintf(peerInfo, `,"ldm":true`))
	told(`"server:4222"`)
	require.Equal(t, []string{"server:4222"}, p.node.broker.ConnectURLs())

	// A server that is not to be advertised says nothing of others, and nothing of itself.
	p.peer.took()
	p.node.reload(`no_system_account: true
		cluster { name: C, listen: "server:6222", pool_size: -1, no_advertise: true }`)
	p.sim.RunFor(10 * time.Millisecond)
	require.NotContains(t, client.took(), "connect_urls")
	require.NotContains(t, p.open("q", 6222).took(), "connect_urls")
	p.node.reload(`no_system_account: true
		cluster { name: C, listen: "server:6222", pool_size: -1 }`)
	p.sim.RunFor(10 * time.Millisecond)
	require.Contains(t, p.open("r", 6222).took(), `"connect_urls":["server:4222"]`)
}

func TestReloadIsRefusedBeforeAnythingChanges(t *testing.T) {
	p := newPair(t, "")
	for block, want := range map[string]string{
		`advertise: "a:b:c"`: "invalid cluster advertise value of a:b:c",
		``:                   "",
	} {
		err := p.node.cluster.Check(options(t, `cluster { name: C, listen: "server:6222", pool_size: -1
			`+block+` }`))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}

func TestLameDuckIsToldToPeers(t *testing.T) {
	p := newPair(t, "")
	p.handshake()
	p.node.cluster.LameDuck()
	p.sim.RunFor(10 * time.Millisecond)
	text := p.peer.took()
	require.Contains(t, text, `"ldm":true`)
	require.NotContains(t, text, "connect_urls")
}

func TestShutdownClosesRoutes(t *testing.T) {
	p := newPair(t, `routes: ["nats://nowhere:1"]`)
	p.handshake()
	gone := false
	p.node.cluster.Shutdown(p.sim.Clock("test").NewStrand("test"), func() { gone = true })
	p.sim.RunFor(time.Second)
	require.True(t, gone)
	require.True(t, p.peer.end)
	late := &simPeer{}
	strand := p.sim.Clock("late").NewStrand("late")
	p.net.Host("late").Dial(strand, "server:6222", netsim.DialOptions{Timeout: time.Second}, func(c netsim.Conn, err error) {
		late.end = err != nil
	})
	p.sim.RunFor(2 * time.Second)
	require.True(t, late.end)
}

// TestSlowPeer: a peer that takes nothing within the write deadline is closed.
func TestSlowPeer(t *testing.T) {
	for _, policy := range []string{"retry", "close"} {
		t.Run(policy, func(t *testing.T) {
			p := newPair(t, `write_deadline: "2s", write_timeout: `+policy)
			p.net.SetSocketBuffer(1000)
			p.handshake()
			p.send(p.peer, "RS+ $G big\r\n")
			pairs := p.net.Pairs(nil)
			p.net.SlowReader(pairs[len(pairs)-1], true, time.Hour)
			client := p.open("client", 4222)
			p.send(client, "CONNECT {\"verbose\":false}\r\n"+strings.Repeat("PUB big 500\r\n"+strings.Repeat("x", 500)+"\r\n", 200))
			require.Equal(t, 1, p.node.cluster.NumRoutes())
			p.sim.RunFor(10 * time.Second)
			require.Zero(t, p.node.cluster.NumRoutes())
			require.EqualValues(t, 1, p.node.cluster.Stats().Slow.Load())
		})
	}
}

// TestTLSOfRoutes uses what simulated connections state instead of certificates.
func TestTLSOfRoutes(t *testing.T) {
	sim := clock.NewSim(4)
	net := netsim.NewSim(sim)
	nodes := map[string]*node{}
	for i, name := range []string{"n0", "n1", "n2"} {
		o := options(t, fmt.Sprintf(`cluster { name: C, listen: "%s:6222", routes: ["nats://n0:6222"], compression: s2_fast }`, name))
		o.Cluster.TLSConfig = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}
		o.SetBaseline()
		nodes[name] = startNode(t, sim, net, name, fmt.Sprintf("N%d", i), o)
	}
	sim.RunFor(5 * time.Second)
	for name, n := range nodes {
		require.Equal(t, 8, n.cluster.NumRoutes(), name)
		for _, r := range n.cluster.Routes() {
			require.Equal(t, "s2_fast", r.Compression)
		}
	}
}

// FuzzPeer sends a server whatever a peer may send; another one must not notice.
func FuzzPeer(f *testing.F) {
	info := fmt.Sprintf(peerInfo, "")
	for _, text := range []string{
		peerConnect + info, peerConnect + fmt.Sprintf(peerInfo, `,"route_pool_size":3`),
		peerConnect + fmt.Sprintf(peerInfo, `,"route_pool_size":2000000000,"route_pool_idx":1999999999`),
		peerConnect + fmt.Sprintf(peerInfo, `,"route_pool_size":3,"route_account":"$G"`),
		peerConnect + fmt.Sprintf(peerInfo, `,"compression":"s2_fast"`) + "\xff\x06\x00\x00S2sTwO\x01\x05\x00\x00",
		peerConnect + info + "RS+ $G foo\r\nRS+ $G foo q 3\r\nRMSG $G foo | q 2\r\nhi\r\nPING\r\n",
		peerConnect + info + strings.Replace(info, `"NP"`, `"NX"`, 1),
		peerConnect + info + fmt.Sprintf(peerInfo, `,"route_account":"$G","route_acc_add_reqid":"x"`) + "RS+ $G foo\r\n",
		peerConnect + info + fmt.Sprintf(peerInfo, `,"gateway":"G"`),
		peerConnect + info + fmt.Sprintf(peerInfo, `,"ldm":true,"export":{"deny":["a..b"]}`),
		`CONNECT {"lang":"go"}` + "\r\n", "GET / HTTP/1.1\r\n\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sim := clock.NewSim(5)
		net := netsim.NewSim(sim)
		p := &pair{t: t, sim: sim, net: net}
		p.node = newNode(t, sim, net, "server", simServerID, `cluster { name: C, listen: "server:6222", ping_interval: "1s" }`)
		good := p.open("good", 6222)
		good.auto = true
		p.send(good, strings.ReplaceAll(peerConnect+fmt.Sprintf(peerInfo, ""), "NP", "NGOOD"))
		p.peer = p.open("p", 6222)
		p.send(p.peer, text)
		sim.RunFor(10 * time.Second)
		if good.end {
			t.Fatal("the other route ended")
		}
		good.took()
		p.send(good, "RS+ $G still.there\r\n")
		client := p.open("client", 4222)
		p.send(client, "CONNECT {\"verbose\":false}\r\nPUB still.there 2\r\nhi\r\n")
		if got := good.took(); !strings.Contains(got, "RMSG $G still.there 2\r\nhi\r\n") {
			t.Fatalf("the other route got %q", got)
		}
	})
}
