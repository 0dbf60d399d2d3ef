package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// story is a world whose events a test tells one after another.
type story struct {
	t *testing.T
	w *World
}

// newStory has a running server on a healthy network and no clients.
func newStory(t *testing.T, seed uint64) *story {
	w := NewWorld(Plan{
		Seed: seed, Profile: Calm, Think: 50 * time.Millisecond, Burst: 4, MaxPending: 256 << 10, MaxPayload: 64 << 10,
		PingInterval: 2 * time.Second, WriteDeadline: 5 * time.Second, SocketBuffer: 16 << 10,
		Link: netsim.Link{Latency: time.Millisecond, Jitter: time.Millisecond, Fragment: true},
	})
	require.NoError(t, w.StartServer())
	w.markClean()
	return &story{t, w}
}

// client is connected as a user, and subscribed for good.
func (s *story) client(user string, subjects ...string) *Client {
	account := ""
	for _, u := range s.w.rec.h.World.Users {
		if u.Name == user {
			account = u.Account
		}
	}
	require.NotEmpty(s.t, account, "user %s", user)
	c := s.w.newClient(user+string(rune('0'+len(s.w.clients))), user, account)
	for _, subject := range subjects {
		c.wanted = append(c.wanted, desire{subject: subject})
	}
	c.Connect()
	s.settle()
	return c
}

// do lets a client act and sends it.
func (s *story) do(c *Client, act func()) {
	c.strand.Post(func() {
		if c.state == clientReady {
			act()
			c.ping()
			c.send()
		}
	})
	s.w.sim.RunFor(time.Second)
}

func (s *story) pass(d time.Duration) { s.w.sim.RunFor(d) }

// settle waits until everybody is served.
func (s *story) settle() {
	s.w.waitQuiet(s.w.sim.RunFor)
	require.Empty(s.t, s.w.loud())
}

// received counts what arrived on a subject, on all connections of a client.
func (s *story) received(c *Client, subject string) int {
	n := 0
	for _, d := range s.w.rec.h.Deliveries {
		if d.Conn.Client == c.name && d.Subject == subject && d.Status == 0 {
			n++
		}
	}
	return n
}

// holds demands that nothing is broken, now and after all have gone.
func (s *story) holds() {
	s.w.heal()
	s.w.settle(s.w.sim.RunFor)
	s.w.audit()
	s.w.leave(s.w.sim.RunFor)
	r := &Result{Operations: map[string]int{}}
	s.w.verdict(r)
	require.Empty(s.t, r.Violations)
}

func TestClientsReturnAfterACrash(t *testing.T) {
	s := newStory(t, 1)
	listener, speaker := s.client("a-free", "t.*.x"), s.client("a-free")
	s.do(speaker, func() { speaker.publish("t.a.x", "", 10, 0) })
	require.Equal(t, 1, s.received(listener, "t.a.x"))

	s.w.endProcess(true) // power is lost: nobody hears of it
	s.pass(time.Second)
	require.NoError(t, s.w.StartServer())
	s.pass(15 * time.Second) // until the silence is noticed
	s.settle()

	s.do(speaker, func() { speaker.publish("t.b.x", "", 10, 0) })
	require.Equal(t, 1, s.received(listener, "t.b.x"))
	require.Equal(t, 2, s.w.epoch)
	s.holds()
}

func TestSlowReaderIsCutOffAndNobodyElse(t *testing.T) {
	s := newStory(t, 2)
	slow, brisk, speaker := s.client("a-free", "feed.a"), s.client("a-free", "feed.a"), s.client("a-free")
	first := slow.c
	for _, p := range s.w.net.Pairs(nil) {
		if p.ClientHost() == slow.name {
			s.w.net.SlowReader(p, true, time.Minute)
		}
	}
	for range 3 {
		s.do(speaker, func() {
			for range 40 {
				speaker.publish("feed.a", "", 8000, 0)
			}
		})
		s.w.watchBounds()
	}
	s.settle()
	require.Equal(t, 120, s.received(brisk, "feed.a"))
	stats := s.w.process.server.Broker().Stats()
	require.EqualValues(t, 1, stats.Slow.Load(), "the slow reader is counted")
	s.pass(2 * time.Minute)
	require.NotEqual(t, core.Never, first.Closed, "its connection was ended")
	s.holds()
}

func TestHalfOpenConnectionIsForgotten(t *testing.T) {
	s := newStory(t, 3)
	gone, speaker := s.client("a-free", "t.>"), s.client("a-free")
	for _, p := range s.w.net.Pairs(nil) {
		if p.ClientHost() == gone.name {
			s.w.net.HalfOpen(p, true) // the client hears of it, the server does not
		}
	}
	s.pass(time.Second)
	s.settle()
	require.Equal(t, 3, s.w.process.server.Broker().NumClients(), "the old connection is still believed in")
	s.pass(10 * time.Second)
	require.Equal(t, 2, s.w.process.server.Broker().NumClients(), "unanswered PINGs ended it")
	s.do(speaker, func() { speaker.publish("t.a.x", "", 10, 0) })
	require.Equal(t, 1, s.received(gone, "t.a.x"))
	s.holds()
}

func TestReloadTakesAwayWhatItForbids(t *testing.T) {
	s := newStory(t, 4)
	s.permit("a-some", core.Permissions{})
	some, free := s.client("a-some", "t.a.x", "t.b.x"), s.client("a-free", "t.a.x")
	s.permit("a-some", core.Permissions{SubDeny: []string{"t.a.>"}})
	s.pass(time.Second)
	var removed []string
	for _, sub := range s.w.rec.h.Subs {
		if sub.Removed != 0 {
			removed = append(removed, sub.Subject)
		}
	}
	require.Equal(t, []string{"t.a.x"}, removed)
	s.do(free, func() { free.publish("t.a.x", "", 10, 0); free.publish("t.b.x", "", 10, 0) })
	require.Equal(t, 0, s.received(some, "t.a.x"))
	require.Equal(t, 1, s.received(some, "t.b.x"))
	require.Equal(t, core.Never, free.c.Closed, "who is not concerned notices nothing")
	some.wanted = some.wanted[1:]
	s.holds()
}

func TestRefusedReloadChangesNothing(t *testing.T) {
	s := newStory(t, 11)
	s.permit("a-some", core.Permissions{})
	some, free := s.client("a-some", "t.a.x"), s.client("a-free")
	next := s.w.rec.h.World
	next.Users = append([]core.User(nil), next.Users...)
	for i := range next.Users {
		next.Users[i].Versions = []core.Version{{Perms: core.Permissions{SubDeny: []string{">"}}}}
	}
	s.w.reload(s.w.process, next, true)
	s.do(free, func() { free.publish("t.a.x", "", 10, 0) })
	require.Equal(t, 1, s.received(some, "t.a.x"))
	s.holds()
}

// permit changes a user's permissions in the configuration that the server runs.
func (s *story) permit(user string, p core.Permissions) {
	for i := range s.w.rec.h.World.Users {
		if u := &s.w.rec.h.World.Users[i]; u.Name == user {
			u.Versions = append(u.Versions, core.Version{Since: s.w.rec.now(), Perms: p})
		}
	}
	o, err := s.w.options()
	require.NoError(s.t, err)
	require.NoError(s.t, s.w.process.server.ReloadOptions(o))
}

func TestLameDuckSendsEveryoneAway(t *testing.T) {
	s := newStory(t, 5)
	for range 3 {
		s.client("a-free", "t.>")
	}
	s.w.strikeLameDuck()
	s.pass(time.Second)
	require.True(t, s.w.process.ending)
	require.Equal(t, 3, s.w.process.server.Broker().NumClients(), "the grace period")
	s.pass(time.Minute)
	require.Equal(t, 2, s.w.epoch, "it stopped, and the next one runs")
	s.settle()
	s.holds()
}

func TestStopCutShortByACrash(t *testing.T) {
	s := newStory(t, 6)
	s.client("b-free", "imp.>")
	s.w.strikeStop()
	s.pass(100 * time.Microsecond)
	s.w.endProcess(false)
	require.NoError(t, s.w.StartServer())
	s.pass(5 * time.Second)
	s.settle()
	s.holds()
}

func TestQuestionsCrossAccountsAndAnswersReturn(t *testing.T) {
	s := newStory(t, 7)
	answerer, asker, stranger := s.client("a-answers", "svc.*"), s.client("b-free"), s.client("c-free", "svc.*", "ask.*")
	for range 20 {
		s.do(asker, func() { asker.request("ask.a", 20) })
	}
	require.Equal(t, 20, s.received(answerer, "svc.a"))
	require.Zero(t, s.received(stranger, "svc.a")+s.received(stranger, "ask.a"))
	answers := 0
	for _, d := range s.w.rec.h.Deliveries {
		if d.Conn.Client == asker.name {
			answers++
		}
	}
	require.Equal(t, s.w.rec.answer, answers, "each answer that was given arrived")
	require.Positive(t, answers)
	s.holds()
}

func TestSuspendedServerServesOnWhenItWakes(t *testing.T) {
	s := newStory(t, 8)
	listener, speaker := s.client("a-free", "t.a.x"), s.client("a-free")
	s.w.process.clock.Suspend()
	s.w.net.Freeze(serverHost)
	s.do(speaker, func() { speaker.publish("t.a.x", "", 10, 0) })
	require.Zero(t, s.received(listener, "t.a.x"))
	s.w.resume()
	s.pass(5 * time.Second)
	require.Equal(t, 1, s.received(listener, "t.a.x"))
	s.holds()
}

// TestReloadBetweenTheLastMessageAndTheEnd: a subscription has had its maximum, and
// its end is posted; a reload comes first.
func TestReloadBetweenTheLastMessageAndTheEnd(t *testing.T) {
	s := newStory(t, 9)
	s.permit("a-some", core.Permissions{})
	some, free := s.client("a-some"), s.client("a-free")
	s.do(some, func() { some.unsubscribe(some.subscribe("t.*.x", "", false), 1) })
	peer := s.w.process.server.Broker().Client(some.id)
	require.Len(t, peer.Subscriptions(), 2, "the inbox, too")
	free.strand.Post(func() { free.publish("t.a.x", "", 10, 0); free.send() })
	had := func() bool {
		for _, sub := range peer.Subscriptions() {
			if sub.Max == 1 && sub.Delivered == 1 {
				return true
			}
		}
		return false
	}
	for !had() {
		require.True(t, s.w.sim.Step())
	}
	s.permit("a-some", core.Permissions{SubDeny: []string{"t.b.x"}}) // what it keeps is filtered from now on
	s.pass(time.Second)
	require.Equal(t, 1, s.received(some, "t.a.x"))
	require.Len(t, peer.Subscriptions(), 1)
	s.holds()
}

// TestAnswersThatNobodyTakesAreBounded: PONG, +OK and -ERR count against max_pending
// like messages do.
func TestAnswersThatNobodyTakesAreBounded(t *testing.T) {
	for _, misdeed := range []func(*garbageClient){(*garbageClient).pingFlood, (*garbageClient).verboseFlood, (*garbageClient).neverReads} {
		s := newStory(t, 10)
		s.w.plan.Garbage = 1
		s.w.startGarbage()
		g := s.w.garbage[0]
		g.busy = true
		g.network.Dial(g.strand, "server:4222", netsim.DialOptions{}, func(conn netsim.Conn, err error) {
			require.NoError(t, err)
			g.conn = conn
			conn.Start(g.strand, g)
			misdeed(g)
		})
		for range 400 {
			if g.conn != nil && g.conn.Buffered() < unsentMax {
				g.conn.Write(g.flood)
				g.conn.Flush()
			}
			s.pass(10 * time.Millisecond)
			s.w.watchBounds()
		}
		require.Empty(t, s.w.found)
	}
}

func TestPanicIsAViolationOfItsSeed(t *testing.T) {
	w := NewWorld(NewPlan(9, Calm, clock.NewSim(9).Rand("plan")))
	require.NoError(t, w.StartServer())
	w.sim.After(time.Second, w.process.clock, clock.KindTask, func() { panic("planted") })
	require.False(t, w.protect(func() { w.sim.RunFor(2 * time.Second) }))
	require.Len(t, w.found, 1)
	require.Equal(t, core.CrashFree, w.found[0].Invariant)
	require.Contains(t, w.found[0].Detail, "panic at 1s: planted")
	require.Contains(t, w.found[0].Detail, "story_test.go")
}

// TestPublisherLetsGoOfWhomItNeverServed: a receiver that was found for a subject, but
// is denied it, has no stage; what the publisher remembers of it goes with it all the same.
func TestPublisherLetsGoOfWhomItNeverServed(t *testing.T) {
	s := newStory(t, 12)
	s.permit("a-some", core.Permissions{SubDeny: []string{"t.b.x"}})
	listener, speaker := s.client("a-some", "t.*.*"), s.client("a-free")
	for range 3 {
		s.do(speaker, func() { speaker.publish("t.b.x", "", 10, 0) })
	}
	require.Zero(t, s.received(listener, "t.b.x"))
	listener.stopped = true
	listener.conn.Close(nil)
	s.pass(2 * s.w.plan.PingInterval)
	require.Equal(t, 1, s.w.process.server.Broker().Held().Clients)
	require.Zero(t, s.w.process.server.Broker().Held().Gone)
}
