package cluster_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// lanesWorld is a cluster of servers with lanes: n1 has number 1, and so on.
type lanesWorld struct {
	t     *testing.T
	sim   *clock.Sim
	net   *netsim.Sim
	block string // of the cluster, besides name and routes
	tls   func(name string) *tls.Config
	nodes []*node // by number, from 1
	lives int
	sent  int
}

func newLanesWorld(t *testing.T, seed uint64, servers int, block string) *lanesWorld {
	sim := clock.NewSim(seed)
	return &lanesWorld{t: t, sim: sim, net: netsim.NewSim(sim), block: block, nodes: make([]*node, servers+1)}
}

func laneHost(i int) string { return fmt.Sprint("n", i) }

func (w *lanesWorld) begin() *lanesWorld {
	for i := 1; i < len(w.nodes); i++ {
		w.start(i, i)
	}
	return w
}

// start begins a life of the i-th server, which takes itself for a member.
func (w *lanesWorld) start(i, member int) {
	w.lives++
	name := laneHost(i)
	o := options(w.t, fmt.Sprintf("listen: \"%s:4222\"\ncluster { name: C, listen: \"%s:6222\", routes: [\"nats://u:p@n1:6222\"]\n%s }", name, name, w.block))
	if w.tls != nil {
		o.Cluster.TLSConfig = w.tls(name)
	}
	l := lane.DefaultOptions(core.MemberID(member))
	w.nodes[i] = startLaneNode(w.t, w.sim, w.net, name, fmt.Sprintf("N%s-%d", name, w.lives), o, &l)
}

func (w *lanesWorld) kill(i int, power bool) {
	if power {
		w.net.PowerLoss(laneHost(i))
	} else {
		w.net.Kill(laneHost(i))
	}
	w.sim.Clock(laneHost(i)).Kill()
}

// missing tells which server has no lane to the present life of which other.
func (w *lanesWorld) missing() string {
	for i := 1; i < len(w.nodes); i++ {
		for k := 1; k < len(w.nodes); k++ {
			id := core.MemberID(k)
			if i == k {
				continue
			}
			if p, up := w.nodes[i].heard.up[id]; !up || p.ServerID != w.nodes[k].broker.Identity().ServerID || !w.nodes[i].lane.IsUp(id) {
				return fmt.Sprintf("%d has no lane to %d", i, k)
			}
		}
	}
	return ""
}

// settle lets time pass until all lanes are up.
func (w *lanesWorld) settle(most time.Duration) {
	for left := most; left > 0 && w.missing() != ""; left -= 50 * time.Millisecond {
		w.sim.RunFor(50 * time.Millisecond)
	}
	require.Empty(w.t, w.missing(), "after %v", most)
}

// chat has every server send to every other.
func (w *lanesWorld) chat(r *rand.Rand) {
	for i := 1; i < len(w.nodes); i++ {
		for k := 1; k < len(w.nodes); k++ {
			size := r.IntN(200)
			if r.IntN(20) == 0 {
				size = r.IntN(200 << 10)
			}
			w.sent++
			w.nodes[i].lane.Send(core.MemberID(k), laneFrame(w.sent, size))
		}
	}
}

func TestLanesComeUp(t *testing.T) {
	for _, block := range []string{"", "pool_size: -1", `authorization { user: u, password: p }`, "compression: s2_fast"} {
		w := newLanesWorld(t, 1, 4, block).begin()
		w.settle(5 * time.Second)
		for i := 1; i < len(w.nodes); i++ {
			require.Len(t, w.nodes[i].heard.events, 3, "each comes up once")
			require.Equal(t, 3, w.nodes[i].cluster.NumRemotes(), "lanes are no routes")
		}
		routes := w.nodes[1].cluster.NumRoutes()
		w.sim.RunFor(time.Minute)
		require.Empty(t, w.missing())
		require.Len(t, w.nodes[1].heard.events, 3)
		require.Equal(t, routes, w.nodes[1].cluster.NumRoutes())
	}
}

// TestLanesAfterAPartition: a lane is down after a second, long before the routes are, and up again soon after
// the end of the partition.
func TestLanesAfterAPartition(t *testing.T) {
	w := newLanesWorld(t, 2, 3, "").begin()
	w.settle(5 * time.Second)
	for _, oneWay := range []bool{false, true} {
		for i := 1; i <= 3; i++ {
			w.nodes[i].heard.took()
		}
		part := w.net.Partition([]string{"n1"}, []string{"n2", "n3"}, oneWay)
		w.sim.RunFor(1500 * time.Millisecond)
		require.ElementsMatch(t, []string{"down n2", "down n3"}, w.nodes[1].heard.took())
		require.Equal(t, []string{"down n1"}, w.nodes[2].heard.took())
		require.Equal(t, 2, w.nodes[1].cluster.NumRemotes())
		w.sim.RunFor(5 * time.Second)
		part.Heal()
		w.settle(4 * time.Second)
	}
}

func TestLanesAfterARestart(t *testing.T) {
	for _, i := range []int{1, 2, 3} { // the first dials, the last is dialled
		w := newLanesWorld(t, 3, 3, "").begin()
		w.settle(5 * time.Second)
		for _, power := range []bool{false, true} {
			w.kill(i, power)
			w.start(i, i)
			w.settle(8 * time.Second)
		}
		other := 1 + i%3
		name := laneHost(i)
		events := slices.DeleteFunc(w.nodes[other].heard.took(), func(e string) bool { return !strings.Contains(e, name) })
		require.Len(t, events, 5, "%v", events)
		require.Equal(t, "down "+name, events[1])
		require.Equal(t, "down "+name, events[3])
	}
}

// TestLanesInAStorm: whatever happens to servers and network, frames arrive in order, whole and once, and
// all lanes are up soon after the end of it.
func TestLanesInAStorm(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newLanesWorld(t, seed, 3+r.IntN(2), []string{"", "pool_size: -1", "ping_interval: \"1s\""}[r.IntN(3)])
		w.net.SetProfile(netsim.Link{Latency: 300 * time.Microsecond, Jitter: 300 * time.Microsecond, Fragment: seed%2 == 0})
		w.begin().settle(10 * time.Second)
		var cuts []*netsim.Partition
		for range 150 {
			w.sim.RunFor(time.Duration(r.IntN(100)) * time.Millisecond)
			w.chat(r)
			i := 1 + r.IntN(len(w.nodes)-1)
			k := 1 + (i+r.IntN(len(w.nodes)-2))%(len(w.nodes)-1)
			switch r.IntN(12) {
			case 0:
				cuts = append(cuts, w.net.Partition([]string{laneHost(i)}, []string{laneHost(k)}, r.IntN(2) == 0))
			case 1, 2:
				if len(cuts) > 0 {
					cuts[0].Heal()
					cuts = cuts[1:]
				}
			case 3, 4:
				if pairs := w.net.Pairs(nil); len(pairs) > 0 {
					if p := pairs[r.IntN(len(pairs))]; r.IntN(2) == 0 {
						w.net.Reset(p)
					} else {
						w.net.HalfOpen(p, r.IntN(2) == 0)
					}
				}
			case 5:
				w.net.Clog(laneHost(i), laneHost(k), time.Duration(r.IntN(4000))*time.Millisecond)
			case 6:
				if r.IntN(3) == 0 {
					w.kill(i, r.IntN(2) == 0)
					w.start(i, i)
				}
			}
		}
		for _, p := range cuts {
			p.Heal()
		}
		w.sim.RunFor(6 * time.Second) // clogs end, and what is half open is found out
		w.settle(3 * time.Minute)     // a restarted server may have to wait for routes that its peers do not know to be dead
		w.sim.RunFor(2 * time.Second)
		frames := 0
		for _, n := range w.nodes[1:] {
			frames += n.heard.frames
		}
		w.chat(r)
		w.sim.RunFor(time.Second)
		after := 0
		for _, n := range w.nodes[1:] {
			after += n.heard.frames
		}
		pairs := (len(w.nodes) - 1) * (len(w.nodes) - 2)
		require.GreaterOrEqual(t, after, frames+pairs, "seed %d: what is sent over lanes that are up arrives", seed)
	}
}

// TestSaturatedRoutesDoNotDelayLanes: many megabytes wait on a route, and pings of the lane pass them.
func TestSaturatedRoutesDoNotDelayLanes(t *testing.T) {
	w := newLanesWorld(t, 5, 2, "pool_size: -1").begin()
	w.settle(5 * time.Second)
	w.net.SetLink("n1", "n2", netsim.Link{Latency: time.Millisecond, Bandwidth: 4 << 20})
	sub := w.client("n2", "SUB foo 1\r\n")
	pub := w.client("n1", "")
	w.sim.RunFor(time.Second)
	payload := bytes.Repeat([]byte("x"), 64<<10)
	for range 400 { // 25 MB
		pub.conn.Write(fmt.Appendf(nil, "PUB foo %d\r\n", len(payload)), payload, []byte("\r\n"))
	}
	pub.conn.Flush()
	start, worst := w.sim.Now(), time.Duration(0)
	for len(sub.text) < 400*len(payload) {
		w.sim.RunFor(50 * time.Millisecond)
		worst = max(worst, w.nodes[1].lane.Peers()[0].RTT)
		require.Less(t, w.sim.Now()-start, time.Minute)
	}
	require.Greater(t, w.sim.Now()-start, 5*time.Second, "the route was saturated")
	require.Less(t, worst, 150*time.Millisecond, "what the system's buffer holds of the route's bytes goes first, and no more")
	require.Len(t, w.nodes[1].heard.events, 1)
}

// client connects to a server and sends text.
func (w *lanesWorld) client(to, text string) *simPeer {
	p := &simPeer{auto: true}
	host := fmt.Sprint("client", w.sim.Now())
	strand := w.sim.Clock(host).NewStrand(host)
	w.net.Host(host).Dial(strand, to+":4222", netsim.DialOptions{}, func(c netsim.Conn, err error) {
		require.NoError(w.t, err)
		p.conn = c
		c.Start(strand, p)
		c.Write([]byte("CONNECT {\"verbose\":false}\r\n" + text))
		c.Flush()
	})
	w.sim.RunFor(50 * time.Millisecond)
	return p
}

// TestLanesToStrangers: a server is not taken for a member that it is not, and the lane is sought on.
func TestLanesToStrangers(t *testing.T) {
	w := newLanesWorld(t, 6, 3, "")
	w.begin().settle(5 * time.Second)
	log := &logLines{}
	w.nodes[1].log.Set(log)
	w.kill(2, false)
	w.start(2, 3) // the number of another
	w.sim.RunFor(20 * time.Second)
	require.False(t, w.nodes[1].lane.IsUp(2))
	require.True(t, w.nodes[1].lane.IsUp(3))
	require.Equal(t, "n3", w.nodes[1].heard.up[3].ServerName)
	text := strings.Join(log.errors, "\n")
	require.Contains(t, text, `server "n2" (Nn2-4) claims member number 3, which server "n3" (Nn3-3) has`)
	require.Less(t, len(log.errors), 20, "loudly, but not without end:\n%s", text)
	w.kill(2, false)
	w.start(2, 2)
	w.settle(5 * time.Second)
}

func TestLanesOverTLS(t *testing.T) {
	w := newLanesWorld(t, 7, 3, "")
	w.tls = func(string) *tls.Config { return &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert} }
	w.begin().settle(5 * time.Second)
}

// TestLaneIsNotKeptByWhoMayNotLogInAnyMore: a reload with another password ends lanes, too.
func TestLaneIsNotKeptByWhoMayNotLogInAnyMore(t *testing.T) {
	w := newLanesWorld(t, 8, 2, `authorization { user: u, password: p }`).begin()
	w.settle(5 * time.Second)
	n := w.nodes[2]
	next := options(t, "listen: \"n2:4222\"\ncluster { name: C, listen: \"n2:6222\", authorization { user: u, password: q } }")
	require.NoError(t, n.broker.Reload(next))
	n.opts = next
	require.NoError(t, n.cluster.Reload(next))
	w.sim.RunFor(500 * time.Millisecond)
	require.False(t, n.lane.IsUp(1))
	require.False(t, w.nodes[1].lane.IsUp(2))
}

func TestShutdownEndsLanes(t *testing.T) {
	w := newLanesWorld(t, 9, 3, "").begin()
	w.settle(5 * time.Second)
	gone := false
	w.nodes[1].cluster.Shutdown(w.nodes[1].clock.NewStrand("end"), func() { gone = true })
	w.sim.RunFor(500 * time.Millisecond)
	require.True(t, gone)
	require.Empty(t, w.nodes[1].heard.up)
	require.NotContains(t, w.nodes[2].heard.up, core.MemberID(1))
	w.sim.RunFor(time.Minute)
	require.False(t, w.nodes[1].lane.IsUp(2))
}

// TestLanesOfSomeServers: servers without a lane are in the cluster all the same.
func TestLanesOfSomeServers(t *testing.T) {
	w := newLanesWorld(t, 10, 2, "").begin()
	o := options(t, `listen: "n3:4222"
		cluster { name: C, listen: "n3:6222", routes: ["nats://n1:6222"] }`)
	plain := startNode(t, w.sim, w.net, "n3", "Nn3", o)
	w.settle(5 * time.Second)
	w.sim.RunFor(5 * time.Second)
	require.Equal(t, 2, plain.cluster.NumRemotes())
	require.Len(t, w.nodes[1].lane.Peers(), 1)
}
