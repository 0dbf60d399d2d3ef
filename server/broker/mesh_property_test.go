package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/subject"
)

const meshAccounts = `accounts {
  X: {users: [{user: x, password: p}], exports: [{stream: "pub.>"}, {service: "svc.*"}]}
  Y: {users: [{user: y, password: p}]
      imports: [{stream: {account: X, subject: "pub.>"}, prefix: "from"}, {service: {account: X, subject: "svc.*"}, to: "ask.*"}]}
}`

// meshModel knows who should hear what, in the plainest way.
type meshModel struct {
	t       *rapid.T
	m       *mesh
	clients []*modelClient
	ties    map[string]bool // "A B" with A before B
	sent    int
	made    int
	heard   map[string]bool // client, sid and payload: nothing comes twice
}

type modelClient struct {
	*meshClient
	account string
	node    string
	subs    map[int]modelSub
	sids    int
	last    map[string]int // highest number by sid and publisher
}

type modelSub struct{ subject, queue string }

var (
	meshNodes    = []string{"A", "B", "C"}
	meshPatterns = []string{"foo", "foo.*", "foo.>", "pub.a", "pub.*", "from.pub.a", "from.>", "*.pub.*", "svc.me", "svc.*", "ask.me"}
	meshSubjects = []string{"foo", "foo.x", "pub.a", "pub.b", "from.pub.a", "svc.me"}
	// While things change, only what no queue group hears is certain to come once and in order.
	meshGrouped   = []string{"foo", "pub.a", "from.pub.a", "svc.me", "svc.*", "ask.me"}
	meshGroupless = []string{"foo.x", "pub.b"}
	meshQueues    = []string{"", "", "q", "r"}
)

func pairOf(a, b string) string {
	if a > b {
		a, b = b, a
	}
	return a + " " + b
}

func (w *meshModel) open(account, at string) {
	w.made++
	c := &modelClient{
		meshClient: w.m.client(fmt.Sprintf("%s%d", strings.ToLower(account), w.made), at), account: account, node: at,
		subs: map[int]modelSub{}, last: map[string]int{},
	}
	w.clients = append(w.clients, c)
	w.m.settle()
	c.say("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":%q,\"pass\":\"p\"}\r\n", strings.ToLower(account))
	c.sids = 1
	c.say("SUB inbox.%s.* 1\r\n", c.name)
}

func (w *meshModel) tie(a, b string) {
	w.m.tie(a, b, tie{})
	w.ties[pairOf(a, b)] = true
	w.m.sim.RunFor(10 * time.Millisecond) // what came to be heard may still be on its way
}

// reaches tells whether a message published at one node gets to another.
func (w *meshModel) reaches(from, to string) bool { return from == to || w.ties[pairOf(from, to)] }

// wanted is whether, and as what, a subscription of account acc hears subj of account from.
func wanted(s modelSub, acc, from, subj string) (string, bool) {
	if acc == from {
		return subj, subject.Matches([]byte(subj), s.subject)
	}
	if acc == "Y" && from == "X" && strings.HasPrefix(subj, "pub.") {
		return "from." + subj, subject.Matches([]byte("from."+subj), s.subject)
	}
	return "", false
}

// heardMessage is one delivery.
type heardMessage struct {
	client           *modelClient
	sid              int
	subject, payload string
}

// collect takes what all clients got, and checks what holds at any time: no delivery
// twice, and one publisher's messages in their order.
func (w *meshModel) collect() (all []heardMessage) {
	for _, c := range w.clients {
		lines := c.take()
		for i := 0; i < len(lines); i++ {
			f := strings.Fields(lines[i])
			switch f[0] {
			case "MSG", "HMSG":
			case "PING", "PONG":
				continue
			default:
				w.t.Fatalf("%s got %q", c.name, lines[i])
			}
			h := heardMessage{client: c, subject: f[1], sid: atoi(f[2])}
			for i++; f[0] == "HMSG" && !strings.HasPrefix(lines[i], "n=") && !strings.HasPrefix(lines[i], "NATS/1.0 503"); i++ {
			}
			h.payload = lines[i]
			if strings.HasPrefix(h.payload, "NATS/1.0 503") {
				i++
			} else {
				w.checkOnce(h)
			}
			all = append(all, h)
		}
	}
	return all
}

func atoi(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

func (w *meshModel) checkOnce(h heardMessage) {
	key := fmt.Sprint(h.client.name, " ", h.sid, " ", h.payload)
	if w.heard[key] {
		w.t.Fatalf("twice: %s", key)
	}
	w.heard[key] = true
	var n int
	var from string
	_, _ = fmt.Sscanf(h.payload, "n=%d from=%s", &n, &from)
	at := fmt.Sprint(h.sid, " ", from)
	if h.client.last[at] >= n {
		w.t.Fatalf("%s sid %d: %d of %s after %d", h.client.name, h.sid, n, from, h.client.last[at])
	}
	h.client.last[at] = n
}

func (w *meshModel) publish(c *modelClient, subj, reply string) (payload string) {
	w.sent++
	payload = fmt.Sprintf("n=%d from=%s", w.sent, c.name)
	c.say("PUB %s %s %d\r\n%s\r\n", subj, reply, len(payload), payload)
	return payload
}

// check publishes when everything has settled: exactly those who should hear it do.
func (w *meshModel) check(c *modelClient, subj string) {
	w.m.settle()
	w.collect()
	payload := w.publish(c, subj, "")
	w.m.settle()
	got := w.collect()
	w.judge(got, c, c.account, subj, payload)
}

func (w *meshModel) judge(got []heardMessage, from *modelClient, acc, subj, payload string) {
	groups := map[string]int{} // deliveries by group; those that exist at least
	plain := 0
	for _, c := range w.clients {
		if !w.reaches(from.node, c.node) {
			continue
		}
		for _, s := range c.subs {
			if _, ok := wanted(s, c.account, acc, subj); ok {
				if s.queue == "" {
					plain++
				} else {
					groups[s.queue] += 0
				}
			}
		}
	}
	for _, h := range got {
		if h.payload != payload {
			continue
		}
		s := h.client.subs[h.sid]
		seen, ok := wanted(s, h.client.account, acc, subj)
		if !ok || seen != h.subject || !w.reaches(from.node, h.client.node) {
			w.t.Fatalf("%s (%s at %s) got %s on sid %d %v: published in %s as %s", h.client.name, h.client.account, h.client.node, h.subject, h.sid, s, acc, subj)
		}
		if s.queue == "" {
			plain--
		} else {
			groups[s.queue]++
		}
	}
	if plain != 0 {
		w.t.Fatalf("%s in %s: %d plain subscriptions missed", subj, acc, plain)
	}
	for _, q := range slices.Sorted(maps.Keys(groups)) {
		if groups[q] != 1 {
			w.t.Fatalf("%s in %s: queue %s got it %d times", subj, acc, q, groups[q])
		}
	}
}

// request asks through the import: it is published in X, and whoever answers is heard once.
func (w *meshModel) request(c *modelClient) {
	w.m.settle()
	w.collect()
	inbox := fmt.Sprintf("inbox.%s.%d", c.name, w.sent)
	payload := w.publish(c, "ask.me", inbox)
	w.m.settle()
	got := w.collect()
	var asked, own []heardMessage
	for _, h := range got {
		switch {
		case h.client.account == "X":
			asked = append(asked, h)
		case h.client == c && h.sid == 1:
			own = append(own, h)
		}
	}
	w.judge(asked, c, "X", "svc.me", payload)
	if len(asked) > 0 {
		require.Empty(w.t, own, "asked, and told that nobody was")
		return
	}
	listening := false // others of Y that listen to the subject itself
	for _, o := range w.clients {
		for _, s := range o.subs {
			_, ok := wanted(s, o.account, "Y", "ask.me")
			listening = listening || ok && w.reaches(c.node, o.node)
		}
	}
	if !listening {
		require.Len(w.t, own, 1, "nobody was asked, and the client is not told")
	}
}

// TestMeshAgainstAModel: whatever comes and goes, once it has settled exactly those hear a
// message that should; and at any time nobody hears what is not theirs, twice or out of order.
func TestMeshAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &meshModel{
			t: t, m: newMesh(t, rapid.Uint64().Draw(t, "seed"), meshAccounts, meshNodes...),
			ties: map[string]bool{}, heard: map[string]bool{},
		}
		w.tie("A", "B")
		w.tie("B", "C")
		w.tie("C", "A")
		for _, at := range meshNodes {
			w.open("X", at)
			w.open("Y", at)
		}
		client := func() *modelClient { return rapid.SampledFrom(w.clients).Draw(t, "client") }
		nodes := func() (string, string) {
			i := rapid.IntRange(0, 2).Draw(t, "pair")
			return meshNodes[i], meshNodes[(i+1)%3]
		}
		t.Repeat(map[string]func(*rapid.T){
			"sub": func(t *rapid.T) {
				c := client()
				s := modelSub{rapid.SampledFrom(meshPatterns).Draw(t, "pattern"), rapid.SampledFrom(meshQueues).Draw(t, "queue")}
				if !slices.Contains(meshGrouped, s.subject) {
					s.queue = ""
				}
				c.sids++
				c.subs[c.sids] = s
				c.say("SUB %s %s %d\r\n", s.subject, s.queue, c.sids)
			},
			"unsub": func(t *rapid.T) {
				c := client()
				if len(c.subs) == 0 {
					t.Skip("nothing to end")
				}
				sid := rapid.SampledFrom(slices.Sorted(maps.Keys(c.subs))).Draw(t, "sid")
				delete(c.subs, sid)
				c.say("UNSUB %d\r\n", sid)
			},
			"leave": func(t *rapid.T) {
				if len(w.clients) <= 6 {
					t.Skip("few are left")
				}
				c := client()
				c.conn.Abort(nil)
				w.m.settle()
				w.collect()
				w.clients = slices.DeleteFunc(w.clients, func(o *modelClient) bool { return o == c })
			},
			"come": func(t *rapid.T) {
				w.open(rapid.SampledFrom([]string{"X", "Y"}).Draw(t, "account"), rapid.SampledFrom(meshNodes).Draw(t, "node"))
			},
			"cut": func(t *rapid.T) {
				a, b := nodes()
				if !w.ties[pairOf(a, b)] {
					t.Skip("is cut")
				}
				w.m.cut(a, b)
				delete(w.ties, pairOf(a, b))
			},
			"tie": func(t *rapid.T) {
				a, b := nodes()
				if w.ties[pairOf(a, b)] {
					t.Skip("is tied")
				}
				w.m.settle() // the old connection has ended on both sides
				w.tie(a, b)
			},
			"hold": func(t *rapid.T) {
				a, b := nodes()
				w.m.net.Clog(a, b, 100*time.Millisecond)
			},
			"burst": func(t *rapid.T) { // while things change
				c := client()
				for range rapid.IntRange(1, 5).Draw(t, "n") {
					w.publish(c, rapid.SampledFrom(meshGroupless).Draw(t, "subject"), "")
				}
			},
			"check": func(t *rapid.T) { w.check(client(), rapid.SampledFrom(meshSubjects).Draw(t, "subject")) },
			"request": func(t *rapid.T) {
				c := client()
				if c.account != "Y" {
					t.Skip("only Y imports")
				}
				w.request(c)
			},
		})
		w.end()
	})
}

// end checks that nothing is left when everybody has gone.
func (w *meshModel) end() {
	for _, c := range w.clients {
		c.conn.Abort(nil)
	}
	w.m.settle()
	for _, name := range w.m.names {
		n := w.m.nodes[name]
		for _, e := range n.ends {
			if !e.closed {
				for _, s := range e.link.Subscriptions() {
					if !strings.HasPrefix(s.Subject, "_R_.") { // lingers
						w.t.Fatalf("%s still knows %v of %s", name, s, e.to.name)
					}
				}
				require.Zero(w.t, e.link.Stats().Pending)
			}
			require.NoError(w.t, e.err)
		}
		require.Zero(w.t, n.broker.NumClients())
	}
}

// TestQueueWeights: every member of a group is as likely, wherever it is.
func TestQueueWeights(t *testing.T) {
	m := newMesh(t, 7, "", "A", "B", "C")
	m.tie("A", "B", tie{})
	m.tie("A", "C", tie{})
	a, b, c := m.client("a", "A"), m.client("b", "B"), m.client("c", "C")
	m.settle()
	for i, who := range []*meshClient{a, b, c} {
		who.say("CONNECT {\"verbose\":false}\r\n")
		for n := range i + 1 { // 1, 2 and 3 members
			who.say("SUB foo q %d\r\n", n+1)
		}
	}
	m.settle()
	const rounds = 6000
	for range rounds / 100 {
		a.say("%s", strings.Repeat("PUB foo 1\r\nx\r\n", 100))
		m.settle()
	}
	for i, who := range []*meshClient{a, b, c} {
		got := strings.Count(string(who.got), "MSG foo")
		require.InDelta(t, rounds*(i+1)/6, got, 150, "%s", who.name)
	}
}

// TestDeliveriesOfConsumers: what a consumer sends to a subject of its own has at other servers,
// too, the subject of the stream and the reply subject of the acknowledgement.
func TestDeliveriesOfConsumers(t *testing.T) {
	const ack = "$JS.ACK.S.C.1.2.3.4.5"
	m := newMesh(t, 3, "", "A", "B")
	m.tie("A", "B", tie{})
	a, b := m.client("a", "A"), m.client("b", "B")
	m.settle()
	for _, who := range []*meshClient{a, b} {
		who.say("CONNECT {\"verbose\":false}\r\nSUB inbox 1\r\nSUB inbox q 2\r\n")
	}
	m.settle()
	n := m.nodes["A"]
	strand := n.clock.NewStrand("service")
	send := n.broker.NewSender(strand, n.broker.Global(), "service")
	require.True(t, n.broker.Interested(n.broker.Global(), "inbox", "q"))
	strand.Post(func() {
		send.Deliver([]byte("inbox"), []byte("orders.new"), []byte(ack), nil, []byte("hi"))
		send.Flush()
	})
	m.settle()
	require.Contains(t, string(n.live("B")[0].link.String()), "B - rid")
	peer := m.nodes["B"].live("A")[0]
	require.Contains(t, string(peer.heard), "RMSG $G inbox "+ack+"@orders.new 2\r\nhi")
	for _, who := range []*meshClient{a, b} {
		require.Contains(t, strings.Join(who.take(), "\n"), "MSG orders.new 1 "+ack+" 2\nhi", who.name)
	}
}

// TestSlowLinkStallsItsPublisher: who publishes to a server that takes nothing is not read for a
// while, and the connection lives on.
func TestSlowLinkStallsItsPublisher(t *testing.T) {
	m := newMesh(t, 5, "max_pending: 64KB\nmax_payload: 16KB\nwrite_deadline: 100s", "A", "B")
	m.tie("A", "B", tie{})
	a, b := m.client("a", "A"), m.client("b", "B")
	m.settle()
	b.say("CONNECT {\"verbose\":false}\r\nSUB foo 1\r\n")
	a.say("CONNECT {\"verbose\":false}\r\n")
	m.settle()
	m.net.SetSocketBuffer(4 << 10)
	m.net.Clog("A", "B", 3*time.Second)
	body := strings.Repeat("x", 1000)
	for range 400 {
		a.say("PUB foo 1000\r\n%s\r\n", body)
	}
	m.sim.RunFor(time.Second)
	require.Positive(t, m.nodes["A"].broker.Stats().Stalled.Load())
	m.sim.RunFor(30 * time.Second)
	require.Equal(t, 400, strings.Count(string(b.got), "MSG foo"))
	require.False(t, m.nodes["A"].ends[0].closed)
	require.Zero(t, m.nodes["A"].ends[0].link.Stats().Pending)
}
