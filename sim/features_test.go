package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// TestEveryWayIn makes a calm run of each kind of listener and login.
func TestEveryWayIn(t *testing.T) {
	for _, tc := range []struct {
		feature string
		set     func(*Plan)
	}{
		{"password login", func(*Plan) {}},
		{"nkey login", func(*Plan) {}},
		{"no_auth_user login", func(*Plan) {}},
		{"token login", func(p *Plan) { p.Token = true }},
		{"certificate login", func(p *Plan) { p.TLS = TLSMap }},
		{"TLS optional", func(p *Plan) { p.TLS = TLSOptional }},
		{"TLS required", func(p *Plan) { p.TLS = TLSRequired }},
		{"TLS handshake first", func(p *Plan) { p.TLS = TLSFirst }},
		{"PROXY header", func(p *Plan) { p.Proxy = true }},
		{"PROXY header", func(p *Plan) { p.Proxy, p.TLS = true, TLSRequired }},
		{"no_fast_producer_stall", func(p *Plan) { p.NoStall = true }},
	} {
		t.Run(tc.feature, func(t *testing.T) {
			p := NewPlan(3, Calm, clock.NewSim(3).Rand("plan"))
			p.Token, p.TLS, p.Proxy, p.NoStall, p.Clients, p.Chaos = false, "", false, false, 24, 5*time.Second
			p.Think, p.Burst = 250*time.Millisecond, 3
			tc.set(&p)
			r := RunPlan(p, Options{Seed: 3, Profile: Calm})
			require.Empty(t, r.Violations)
			require.Positive(t, r.Operations["used: "+tc.feature], r.Operations)
		})
	}
}

// TestCertificateDecidesWhoItIs: what CONNECT says of the user does not matter.
func TestCertificateDecidesWhoItIs(t *testing.T) {
	w := NewWorld(Plan{
		Seed: 21, Profile: Calm, Think: 50 * time.Millisecond, Burst: 4, MaxPending: 256 << 10, MaxPayload: 64 << 10,
		PingInterval: 2 * time.Second, WriteDeadline: 5 * time.Second, SocketBuffer: 16 << 10, TLS: TLSMap,
		Link: netsim.Link{Latency: time.Millisecond, Jitter: time.Millisecond, Fragment: true},
	})
	require.NoError(t, w.StartServer())
	w.markClean()
	s := &story{t, w}
	for range 6 {
		s.client("a-free", "t.>")
	}
	s.holds()
	require.Equal(t, 6, w.features["certificate login"])
}

// TestReloadLeavesUnchangedImportsAlone: one import comes and goes, and another misses
// nothing meanwhile.
func TestReloadLeavesUnchangedImportsAlone(t *testing.T) {
	s := newStory(t, 22)
	listener, speaker := s.client("b-free", "imp.>"), s.client("a-free")
	for i := range 6 {
		next := s.w.rec.h.World
		next.Accounts = toggleImports(next.Accounts, s.w.rec.now())
		s.w.reload(s.w.process, next, false)
		s.do(speaker, func() { speaker.publish("feed.a", "", 10, 0); speaker.publish("side.a", "", 10, 0) })
		require.Equal(t, i+1, s.received(listener, "imp.feed.a"))
		require.Equal(t, (i+1)/2, s.received(listener, "imp.side.a"))
	}
	s.holds()
}

// TestAnswersAreCounted: who may answer twice is refused the third time.
func TestAnswersAreCounted(t *testing.T) {
	s := newStory(t, 23)
	s.client("a-answers", "svc.*")
	asker := s.client("a-free")
	for range 20 {
		s.do(asker, func() { asker.request("svc.a", 10) })
	}
	require.Positive(t, s.w.features["answers above the permit"])
	require.NotEmpty(t, s.w.rec.h.Notices)
	s.holds()
}
