package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/logging"
)

const (
	routePort = 6222
	// meshMax is how long servers may take, once all is well, to have all connections between
	// them, and to know each other's interest.
	meshMax = 120 * time.Second
)

// ClusterPlan says what a cluster is like.
type ClusterPlan struct {
	Servers      int
	Pool         int // connections of each pair beside those of single accounts; negative is one for all
	Pinned       []string
	Compression  string
	PingInterval time.Duration
	Seeds        int // how many servers each is configured with; the others it hears of
	Rates        []Rate
}

// drawCluster makes the plan that of a cluster.
func (p *Plan) drawCluster(rnd *rand.Rand) {
	c := &ClusterPlan{
		Servers: 3, Pool: []int{-1, 1, 3, 3}[rnd.IntN(4)], Compression: []string{"accept", "off", "s2_fast", "s2_auto"}[rnd.IntN(4)],
		PingInterval: time.Duration(1+rnd.IntN(10)) * time.Second, Seeds: 1 + rnd.IntN(3),
	}
	if pinned := rnd.IntN(3) == 0; pinned && c.Pool > 0 {
		c.Pinned = [][]string{{"A"}, {"B"}, {"A", "B"}}[rnd.IntN(3)]
	}
	if rnd.IntN(6) == 0 {
		c.Servers = 2 + 3*rnd.IntN(2)
	}
	quiet := rnd.IntN(8) == 0
	for _, f := range clusterFamilies {
		on, rate := rnd.IntN(2) == 0, logRate(rnd, f.min, f.max)
		if on && !quiet {
			c.Rates = append(c.Rates, Rate{f.name, rate})
		}
	}
	if p.Profile != Cluster {
		return
	}
	p.Cluster, p.Rates, p.JS, p.Journal, p.Script = c, nil, nil, nil, ""
	p.Token, p.TLS, p.Proxy, p.NoStall, p.Garbage = false, "", false, false, 0
	p.Clients = max(p.Clients, 6) + rnd.IntN(3)
	p.Link.Bandwidth, p.Refuse, p.Slow, p.Lateness = 0, 0, 0, 0
}

// clusterText is the part of a server's configuration about the others.
func (c *ClusterPlan) text(of int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster {\n  name: sim\n  listen: \"0.0.0.0:%d\"\n  pool_size: %d\n  compression: %s\n", routePort, c.Pool, c.Compression)
	fmt.Fprintf(&b, "  ping_interval: \"%dms\"\n", c.PingInterval.Milliseconds())
	if len(c.Pinned) > 0 {
		fmt.Fprintf(&b, "  accounts: [%s]\n", quoted(c.Pinned))
	}
	var routes []string
	for i := range min(c.Seeds, c.Servers) { // the first server is the one that all know
		if i != of || c.Seeds > 1 {
			routes = append(routes, fmt.Sprintf("nats-route://%s:%d", nodeName(i), routePort))
		}
	}
	fmt.Fprintf(&b, "  routes: [%s]\n}\n", quoted(routes))
	return b.String()
}

func nodeName(i int) string { return "s" + string(rune('1'+i)) }

// connections is how many each pair of servers has.
func (c *ClusterPlan) connections() int {
	if c.Pool < 0 {
		return 1
	}
	return c.Pool + len(c.Pinned) + 1 // one is the system account's
}

// groupless are subjects that no queue group of a cluster hears: what is sent on for a group may be
// repeated, or late, so that only of others it is certain that nothing is.
var groupless = []string{"t.b.x", "t.b.y", "feed.a", "feed.b", "imp.feed.a", "imp.feed.b"}

// queueOn is the queue with which a client of a cluster subscribes.
func (w *World) queueOn(pattern, queue string) string {
	if w.cluster != nil && slices.ContainsFunc(groupless, func(s string) bool { return core.Matches(pattern, s) }) {
		return ""
	}
	return queue
}

// clusterWorld is a world of several servers.
type clusterWorld struct {
	w     *World
	plan  ClusterPlan
	nodes []*node
	seen  core.Stamp // when connections between servers were looked at last

	framesSent, framesHeard int // over lanes
}

// node is one server of a cluster.
type node struct {
	name    string
	index   int
	process *process // nil while it is down
	epoch   int
	routes  map[[2]uint64]bool // connections to others, as they were seen last: epoch of the other, id
	own     map[string]int     // subscriptions without clients, by account
	lane    *nodeLane          // of the last life
}

func newClusterWorld(w *World) *clusterWorld {
	c := &clusterWorld{w: w, plan: *w.plan.Cluster}
	for i := range c.plan.Servers {
		c.nodes = append(c.nodes, &node{name: nodeName(i), index: i})
	}
	w.rec.h.World.Mesh = true
	return c
}

// start begins a life of a server.
func (c *clusterWorld) start(n *node) error {
	w := c.w
	o := &server.Options{}
	text := strings.Replace(configText(&w.rec.h.World, &w.plan), "server_name: sim\n", "server_name: "+n.name+"\n", 1) + c.plan.text(n.index)
	if err := o.ProcessConfigString(text); err != nil {
		return fmt.Errorf("configuration of %s: %w", n.name, err)
	}
	clk := w.sim.Clock(n.name)
	clk.SetTaskCost(w.plan.TaskCost)
	log := logging.NewSwitch()
	log.Set(w.logger)
	l, err := c.newLane(n, clk, log)
	if err != nil {
		return err
	}
	s, err := server.NewInWorld(o, server.World{Clock: clk, Network: w.net.Host(n.name), Log: log, Lane: l.lane})
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	w.epoch++
	n.epoch = w.epoch
	w.epochs[s.Broker().Identity().ServerID] = n.epoch
	n.process = &process{server: s, clock: clk}
	n.own = ownSubs(s.Broker())
	n.lane = l
	l.begin(n.epoch)
	if err := s.Listen(); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	if w.epoch > c.plan.Servers {
		w.restarts++
	}
	w.note(clock.LevelFault, "%s started, life %d", n.name, n.epoch)
	return nil
}

// kill ends a server's life at once.
func (c *clusterWorld) kill(n *node, power bool) {
	p := n.process
	if p == nil {
		return
	}
	c.look() // its connections end
	n.process = nil
	c.w.net.Thaw(n.name)
	if power {
		c.w.net.PowerLoss(n.name)
	} else {
		c.w.net.Kill(n.name)
	}
	p.clock.Kill()
}

func (c *clusterWorld) restartAfter(n *node, d time.Duration) {
	c.w.sim.After(d, nil, clock.KindFault, func() {
		if n.process == nil {
			if err := c.start(n); err != nil {
				c.w.violate(core.CrashFree, "a server does not start again: %v", err)
			}
		}
	})
}

// phases is the run: set-up, chaos, heal, settle, audit.
func (c *clusterWorld) phases(advance func(time.Duration)) {
	w := c.w
	for _, n := range c.nodes {
		if err := c.start(n); err != nil {
			w.violate(core.CrashFree, "%v", err)
			return
		}
	}
	if !c.await(advance, "servers that have just started", c.meshDiff) {
		return
	}
	w.setUp(advance)
	w.note(clock.LevelFault, "chaos begins")
	c.startFaults()
	for left := w.plan.Chaos; left > 0; left -= boundStep {
		advance(boundStep)
		c.look()
	}
	w.note(clock.LevelFault, "everything heals")
	c.heal()
	c.settle(advance)
	c.audit()
	c.leave(advance)
}

// settle waits until everybody is served, all servers are connected and know each other's interest,
// and lets each client publish to everybody.
func (c *clusterWorld) settle(advance func(time.Duration)) {
	w := c.w
	for _, cl := range w.clients {
		cl.paused = true
	}
	if w.waitQuiet(advance); !w.allQuiet() {
		w.violate(core.Reach, "%v after everything was healed clients are still not served: %s", settleMax, w.loud())
		return
	}
	if !c.await(advance, "servers that are well again", c.meshDiff) {
		return
	}
	w.waitQuiet(advance)
	if !c.await(advance, "servers that are well again", c.interestDiff) {
		return
	}
	c.awaitLanes(advance)
	c.look()
	for _, cl := range w.clients {
		cl.probe()
	}
	w.waitQuiet(advance)
	advance(5 * time.Second) // what passes between servers has arrived
	for _, cl := range w.clients {
		cl.ping()
		cl.send()
	}
	if w.waitQuiet(advance); !w.allQuiet() {
		w.violate(core.Reach, "probes are not answered: %s", w.loud())
	}
	advance(2*w.plan.PingInterval + quietStep)
}

// await lets time pass until diff is "".
func (c *clusterWorld) await(advance func(time.Duration), whose string, diff func() string) bool {
	for range meshMax / quietStep {
		if diff() == "" {
			return true
		}
		advance(quietStep)
		c.look()
		c.w.nudge()
	}
	if d := diff(); d != "" {
		c.w.violate(core.Interest, "%v are not enough for %s: %s", meshMax, whose, d)
		return false
	}
	return true
}

// meshDiff tells which pair of servers does not have all of its connections.
func (c *clusterWorld) meshDiff() string {
	for _, a := range c.nodes {
		for _, b := range c.nodes {
			if a == b {
				continue
			}
			if n, want := len(c.linksTo(a, b)), c.plan.connections(); n != want {
				return fmt.Sprintf("%s has %d connections to %s, and should have %d", a.name, n, b.name, want)
			}
		}
	}
	return ""
}

// linksTo is the connections of a server to the present life of another.
func (c *clusterWorld) linksTo(a, b *node) (all []*broker.Link) {
	if a.process == nil || b.process == nil {
		return nil
	}
	for _, l := range a.process.server.Broker().Links() {
		if c.w.epochs[l.RemoteID()] == b.epoch {
			all = append(all, l)
		}
	}
	return all
}

// interestDiff tells where a server knows something else of another than what that one is
// interested in.
func (c *clusterWorld) interestDiff() string {
	for _, b := range c.nodes {
		if b.process == nil {
			return b.name + " is down"
		}
		want := localInterest(b.process.server.Broker())
		for _, a := range c.nodes {
			if a == b {
				continue
			}
			var have []string
			for _, l := range c.linksTo(a, b) {
				for _, s := range l.Subscriptions() {
					have = append(have, interestEntry(s.Account, s.Subject, s.Queue, s.Weight))
				}
			}
			if diff := difference(want, have); len(diff) > 0 {
				return fmt.Sprintf("what %s knows of %s: %s", a.name, b.name, strings.Join(diff[:min(len(diff), 6)], "; "))
			}
		}
	}
	return ""
}

func interestEntry(account, subject, queue string, weight int) string {
	if queue == "" {
		return fmt.Sprintf("%s %q", account, subject)
	}
	return fmt.Sprintf("%s %q queue %q of %d", account, subject, queue, weight)
}

// localInterest lists what others are to know of a server, counted anew.
func localInterest(b *broker.Broker) (list []string) {
	for _, a := range b.Accounts() {
		type key struct{ subject, queue string }
		count := map[key]int{}
		var order []key
		eachLocal(a, func(subject, queue string) {
			k := key{subject, queue}
			if count[k]++; count[k] == 1 {
				order = append(order, k)
			}
		})
		for _, k := range order {
			list = append(list, interestEntry(a.Name, k.subject, k.queue, count[k]))
		}
	}
	return list
}

// eachLocal visits the interest of an account that did not come from other servers, nor from
// imports of services.
func eachLocal(a *account.Account, visit func(subject, queue string)) {
	a.Index().Walk(func(subject, queue string, s *account.Subscription) bool {
		_, client := s.Owner.(*broker.Client)
		_, sink := s.Owner.(*broker.Sink)
		if client || sink || s.Response {
			visit(subject, queue)
		}
		return true
	})
}

// ownSubs counts what a server without clients holds, by account.
func ownSubs(b *broker.Broker) map[string]int {
	subs := map[string]int{}
	for _, a := range b.Accounts() {
		subs[a.Name] = a.TotalSubs()
	}
	return subs
}

// difference lists what one of two lists has and the other not.
func difference(want, have []string) (diff []string) {
	slices.Sort(want)
	slices.Sort(have)
	i, k := 0, 0
	for i < len(want) || k < len(have) {
		switch {
		case k == len(have) || i < len(want) && want[i] < have[k]:
			diff = append(diff, "missing "+want[i])
			i++
		case i == len(want) || have[k] < want[i]:
			diff = append(diff, "left over "+have[k])
			k++
		default:
			i, k = i+1, k+1
		}
	}
	return diff
}

// look notes which connections between servers have ended since the last look: what went over
// them may be lost, or be overtaken by what goes over the next.
func (c *clusterWorld) look() {
	now := c.w.rec.now()
	for _, a := range c.nodes {
		routes := map[[2]uint64]bool{}
		if a.process != nil {
			for _, l := range a.process.server.Broker().Links() {
				routes[[2]uint64{uint64(c.w.epochs[l.RemoteID()]), l.ID()}] = true
			}
		}
		for r := range a.routes { //lockstep:ordered each adds a span of its own, and they are only searched
			if !routes[r] {
				between := [2]int{min(int(r[0]), a.epoch), max(int(r[0]), a.epoch)}
				c.w.rec.h.World.Breaks = append(c.w.rec.h.World.Breaks, core.Break{Between: between, Since: c.seen, Until: now})
			}
		}
		a.routes = routes
	}
	c.seen = now
}

// audit compares what each server believes with what its clients do, and with what the others
// know of it.
func (c *clusterWorld) audit() {
	w := c.w
	if !w.allQuiet() {
		return
	}
	if d := c.meshDiff(); d != "" {
		w.violate(core.Interest, "%s", d)
	}
	if d := c.interestDiff(); d != "" {
		w.violate(core.Interest, "%s", d)
	}
	for _, n := range c.nodes {
		if n.process == nil {
			continue
		}
		b := n.process.server.Broker()
		var want []string
		for _, cl := range w.clients {
			if cl.c.Epoch != n.epoch {
				continue
			}
			for _, s := range cl.live {
				want = append(want, entry(cl.id, s.Subject, s.Queue, s.SID))
			}
		}
		w.compare("accounts' interest at "+n.name, want, w.indexed(b))
		if held := b.Held(); held.Gone > 0 {
			w.violate(core.Clean, "publishers of %s still refer in %d places to receivers that have gone", n.name, held.Gone)
		}
	}
}

// leave ends all clients and sees what the servers keep of them.
func (c *clusterWorld) leave(advance func(time.Duration)) {
	w := c.w
	for _, cl := range w.clients {
		cl.stopped = true
		if cl.conn != nil {
			cl.conn.Close(nil)
		}
	}
	advance(drainMax)
	if d := c.interestDiff(); d != "" {
		w.violate(core.Interest, "all clients have gone: %s", d)
	}
	for _, n := range c.nodes {
		if n.process == nil {
			continue
		}
		b := n.process.server.Broker()
		if held := b.Held(); held != (broker.Held{}) {
			w.violate(core.Clean, "all clients have gone, and %s has %+v", n.name, held)
		}
		for _, a := range b.Accounts() {
			away := 0
			for _, l := range b.Links() {
				for _, s := range l.Subscriptions() {
					if s.Account == a.Name {
						away++
					}
				}
			}
			if have := a.TotalSubs() - away; have != n.own[a.Name] {
				w.violate(core.Clean, "%s keeps %d subscriptions of account %s when all clients have gone, %d are its own", n.name, have, a.Name, n.own[a.Name])
			}
		}
	}
}
