package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/wire"
)

// flock is a cluster in simulation, and the clients of its servers.
type flock struct {
	t       *testing.T
	rand    *rand.Rand
	sim     *clock.Sim
	net     *netsim.Sim
	nodes   map[string]*node
	names   []string
	configs map[string]string
	lives   int
	clients []*flockClient
}

// flockClient is a client of one server.
type flockClient struct {
	f       *flock
	server  string
	account string
	conn    netsim.Conn
	parser  wire.ClientParser
	subs    map[string]flockSub
	got     []string // sid and payload
	dead    bool
	nextSID int
}

type flockSub struct{ subject, queue string }

func (c *flockClient) Data(p []byte) {
	var op wire.Op
	for len(p) > 0 {
		rest, ok, err := c.parser.Next(p, &op)
		require.NoError(c.f.t, err)
		if p = rest; !ok {
			return
		}
		switch op.Verb {
		case wire.VerbMsg:
			c.got = append(c.got, string(op.SID)+" "+string(op.Payload))
		case wire.VerbPing:
			c.send(wire.LinePong)
		}
	}
}

func (c *flockClient) Closed(error) { c.dead = true }

func (c *flockClient) send(text string) {
	if c.conn != nil && !c.dead {
		c.conn.Write([]byte(text))
		c.conn.Flush()
	}
}

func newFlock(t *testing.T, seed uint64, size int) *flock {
	sim := clock.NewSim(seed)
	f := &flock{
		t: t, rand: rand.New(rand.NewPCG(seed, 7)), sim: sim, net: netsim.NewSim(sim),
		nodes: map[string]*node{}, configs: map[string]string{},
	}
	f.net.SetProfile(netsim.Link{Latency: 300 * time.Microsecond, Jitter: 200 * time.Microsecond, Fragment: f.rand.IntN(2) == 0})
	compressions := []string{"off", "accept", "s2_fast", "s2_auto", "s2_better"}
	for i := range size {
		name := fmt.Sprintf("n%d", i)
		pool := f.rand.IntN(4)
		pinned := `, accounts: ["A"]`
		if pool == 0 {
			pool, pinned = -1, ""
		}
		seeds := `"nats://n0:6222"`
		if f.rand.IntN(3) == 0 {
			seeds += `, "nats://n1:6222"`
		}
		f.configs[name] = fmt.Sprintf(`
			listen: "%s:4222", ping_interval: "5m"
			cluster { name: C, listen: "%s:6222", routes: [%s], pool_size: %d, compression: %s, ping_interval: "1s"%s, connect_retries: 2 }
			accounts { A { users: [{user: A, password: A}] }, B { users: [{user: B, password: B}] } }`,
			name, name, seeds, pool, compressions[f.rand.IntN(len(compressions))], pinned)
		f.names = append(f.names, name)
		f.start(name)
	}
	return f
}

// start begins another life of a server.
func (f *flock) start(name string) {
	f.lives++
	f.nodes[name] = newNode(f.t, f.sim, f.net, name, fmt.Sprintf("N%s-%d", name, f.lives), f.configs[name])
}

func (f *flock) kill(name string) {
	f.net.Kill(name)
	f.sim.Clock(name).Kill()
	f.start(name)
}

// connect makes a client of a server; it comes once the connection is there.
func (f *flock) connect(server, account string) *flockClient {
	c := &flockClient{f: f, server: server, account: account, subs: map[string]flockSub{}}
	host := fmt.Sprintf("c%d", len(f.clients))
	f.clients = append(f.clients, c)
	strand := f.sim.Clock(host).NewStrand(host)
	f.net.Host(host).Dial(strand, server+":4222", netsim.DialOptions{}, func(conn netsim.Conn, err error) {
		if err != nil {
			c.dead = true
			return
		}
		c.conn = conn
		conn.Start(strand, c)
		c.send(fmt.Sprintf("CONNECT {\"verbose\":false,\"user\":%q,\"pass\":%q}\r\n", account, account))
	})
	return c
}

var (
	flockSubjects = []string{"a.1", "a.2", "a.*", "b.>", "b.c.d", ">"}
	flockQueues   = []string{"", "", "q", "r"}
)

func (c *flockClient) subscribe() {
	c.nextSID++
	sid := fmt.Sprint(c.nextSID)
	s := flockSub{flockSubjects[c.f.rand.IntN(len(flockSubjects))], flockQueues[c.f.rand.IntN(len(flockQueues))]}
	c.subs[sid] = s
	c.send(strings.TrimSpace(fmt.Sprintf("SUB %s %s", s.subject, s.queue)) + " " + sid + "\r\n")
}

func (c *flockClient) unsubscribe() {
	var sids []string
	for sid := range c.subs {
		sids = append(sids, sid)
	}
	if len(sids) == 0 {
		return
	}
	slices.Sort(sids)
	sid := sids[c.f.rand.IntN(len(sids))]
	delete(c.subs, sid)
	c.send("UNSUB " + sid + "\r\n")
}

// living lists the clients whose connections are whole.
func (f *flock) living() (all []*flockClient) {
	for _, c := range f.clients {
		if !c.dead && c.conn != nil {
			all = append(all, c)
		}
	}
	return all
}

// storm lets clients come, go and subscribe while the network and the servers fail.
func (f *flock) storm(steps int) {
	var cuts []*netsim.Partition
	for range steps {
		f.sim.RunFor(time.Duration(f.rand.IntN(300)) * time.Millisecond)
		server := f.names[f.rand.IntN(len(f.names))]
		switch n := f.rand.IntN(20); {
		case n < 3:
			f.connect(server, []string{"A", "B"}[f.rand.IntN(2)])
		case n < 10:
			if all := f.living(); len(all) > 0 {
				all[f.rand.IntN(len(all))].subscribe()
			}
		case n < 13:
			if all := f.living(); len(all) > 0 {
				all[f.rand.IntN(len(all))].unsubscribe()
			}
		case n < 15:
			cuts = append(cuts, f.net.Partition([]string{server}, []string{f.names[f.rand.IntN(len(f.names))]}, f.rand.IntN(3) == 0))
		case n < 17:
			if len(cuts) > 0 {
				cuts[len(cuts)-1].Heal()
				cuts = cuts[:len(cuts)-1]
			}
		case n < 19:
			if pairs := f.net.Pairs(nil); len(pairs) > 0 {
				if p := pairs[f.rand.IntN(len(pairs))]; p.ServerPort() == 6222 {
					f.net.Reset(p)
				}
			}
		default:
			f.kill(server)
		}
	}
	for _, p := range cuts {
		p.Heal()
	}
}

// match is the plain rule of wildcards.
func match(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}

// check publishes on every server and compares what is received with what must be: once by
// every plain subscription, once by every group (whatever its members' subjects), and in the account alone.
func (f *flock) check() {
	for _, c := range f.living() {
		c.got = nil
	}
	var publishers []*flockClient
	for _, name := range f.names {
		for _, account := range []string{"A", "B"} {
			publishers = append(publishers, f.connect(name, account))
		}
	}
	f.sim.RunFor(time.Second)
	subjects := []string{"a.1", "a.2", "b.c.d", "b.x", "z"}
	for i, p := range publishers {
		for _, subject := range subjects {
			text := fmt.Sprintf("%s:%s:%d", p.account, subject, i)
			p.send(fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(text), text))
		}
	}
	f.sim.RunFor(2 * time.Second)

	groups := map[string][]string{} // patterns of the members, by account and queue
	count := map[string]int{}       // what groups got, with the payload
	for _, c := range f.living() {
		for _, s := range c.subs {
			if s.queue != "" {
				group := c.account + " " + s.queue
				groups[group] = append(groups[group], s.subject)
			}
		}
		plain := map[string]int{}
		for _, line := range c.got {
			sid, payload, _ := strings.Cut(line, " ")
			s, known := c.subs[sid]
			require.True(f.t, known, "a subscription that has ended got %q", payload)
			require.True(f.t, strings.HasPrefix(payload, c.account+":"), "%q came to account %s", payload, c.account)
			if s.queue != "" {
				count[c.account+" "+s.queue+" "+payload]++
			} else {
				plain[line]++
			}
		}
		for sid, s := range c.subs {
			for i, p := range publishers {
				for _, subject := range subjects {
					want := 0
					if s.queue == "" && p.account == c.account && match(s.subject, subject) {
						want = 1
					}
					text := fmt.Sprintf("%s:%s:%d", p.account, subject, i)
					require.Equal(f.t, want, plain[sid+" "+text], "%q from %s at %s on %s", text, p.server, s.subject, c.server)
				}
			}
		}
	}
	for group, patterns := range groups {
		account, _, _ := strings.Cut(group, " ")
		for i, p := range publishers {
			for _, subject := range subjects {
				want := 0
				if p.account == account && slices.ContainsFunc(patterns, func(p string) bool { return match(p, subject) }) {
					want = 1
				}
				text := fmt.Sprintf("%s:%s:%d", p.account, subject, i)
				require.Equal(f.t, want, count[group+" "+text], "%q from %s to group %q", text, p.server, group)
			}
		}
	}
}

// whole tells whether every server has a complete set of routes to every other.
func (f *flock) whole() error {
	for _, name := range f.names {
		n := f.nodes[name]
		if got, want := n.cluster.NumRemotes(), len(f.names)-1; got != want {
			return fmt.Errorf("%s has routes to %d servers, not %d", name, got, want)
		}
		for _, other := range f.names {
			if other == name {
				continue
			}
			own, theirs := n.opts.Cluster.PoolSize, f.nodes[other].opts.Cluster.PoolSize
			want := 1
			if own > 0 && theirs > 0 {
				want = max(own, theirs) + 2 // those of A and of the system account
			}
			got := 0
			for _, r := range n.cluster.Routes() {
				if r.RemoteName == other {
					got++
				}
			}
			if got != want {
				return fmt.Errorf("%s has %d routes to %s, not %d", name, got, other, want)
			}
		}
	}
	return nil
}

// TestInterestConverges: after any storm, once the network is whole, all servers have all routes to each other, and
// every message reaches whoever subscribed to it, once, and nobody else.
func TestInterestConverges(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			f := newFlock(t, seed, 2+int(seed)%3)
			f.sim.RunFor(10 * time.Second)
			require.NoError(t, f.whole(), "at the start")
			for range 3 {
				f.storm(60)
				f.sim.RunFor(time.Minute)
				require.NoError(t, f.whole())
				f.check()
			}
		})
	}
}

// TestClusterFormsFromOneSeed: gossip does the rest.
func TestClusterFormsFromOneSeed(t *testing.T) {
	f := newFlock(t, 1, 6)
	f.sim.RunFor(10 * time.Second)
	require.NoError(t, f.whole())
	for _, name := range f.names {
		require.ElementsMatch(t, []string{"n0:4222", "n1:4222", "n2:4222", "n3:4222", "n4:4222", "n5:4222"}, f.nodes[name].broker.ConnectURLs())
		require.Equal(t, name+":4222", f.nodes[name].broker.ConnectURLs()[0])
	}
}
