package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
)

// endings are the reasons of the connections that ended, by id.
func (s *script) endings() map[uint64]broker.Reason {
	out := map[uint64]broker.Reason{}
	for _, c := range s.broker.Closed() {
		out[c.ID] = c.Reason
	}
	return out
}

func (s *script) login(name, connect string) {
	s.open(name)
	s.settle()
	s.send(name, `CONNECT {"verbose":false,"protocol":1`+connect+"}\r\n")
	s.settle()
}

func TestReloadClosesWhoseUsersAreGone(t *testing.T) {
	const asU, asT = `,"user":"u","pass":"p"`, `,"auth_token":"t"`
	for _, tc := range []struct {
		name, before, after, connect string
		want                         broker.Reason // Unknown is none: it stays
	}{
		{"all users are gone", "authorization {users: [{user: u, password: p}]}", "", asU, broker.ClientClosed},
		{"the single user is gone", "authorization {user: u, password: p}", "", asU, broker.ClientClosed},
		{"the token is gone", "authorization {token: t}", "", asT, broker.Unknown},
		{"another token", "authorization {token: t}", "authorization {token: other}", asT, broker.AuthenticationViolation},
		{"nobody was asked who they are", "", "max_payload: 100", asU, broker.Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, tc.before)
			s.login("a", tc.connect)
			s.reload(tc.after)
			require.Equal(t, tc.want, s.endings()[1])
		})
	}
}

func TestReloadEndsWhoHasMoreSubscriptionsThanAllowed(t *testing.T) {
	const conf = "accounts {A {users: [{user: a, password: a}], limits {max_subs: %s}}}"
	for _, tc := range []struct {
		name, after string
		want        broker.Reason // Unknown is none: it stays
	}{
		{"below present use", "2", broker.MaxSubscriptionsExceeded},
		{"at present use", "3", broker.MaxSubscriptionsExceeded},
		{"above present use", "4", broker.Unknown},
		{"the same", "10", broker.Unknown},
		{"none", "-1", broker.Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, fmt.Sprintf(conf, "10"))
			s.login("a", `,"user":"a","pass":"a"`)
			s.send("a", "SUB x 1\r\nSUB y 2\r\nSUB z 3\r\n")
			s.settle()
			s.reload(fmt.Sprintf(conf, tc.after))
			require.Equal(t, tc.want, s.endings()[1])
			if tc.want != broker.Unknown {
				require.Contains(t, string(s.clients["a"].got), "-ERR 'maximum subscriptions exceeded'")
			}
		})
	}
}

func TestReloadLeavesOpenAnswersOpen(t *testing.T) {
	const conf = "authorization {users: [{user: u, password: p, permissions: {subscribe: [\"req\"], allow_responses: {max: %d}}}, {user: v, password: p}]}"
	for _, tc := range []struct {
		name string
		max  int
		want string
	}{
		{"as before", 1, "MSG answer 1 2\r\nok\r\n"},
		{"another maximum", 2, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, fmt.Sprintf(conf, 1))
			s.login("u", `,"user":"u","pass":"p"`)
			s.login("v", `,"user":"v","pass":"p"`)
			s.send("u", "SUB req 1\r\n")
			s.send("v", "SUB answer 1\r\n")
			s.settle()
			s.send("v", "PUB req answer 0\r\n\r\n")
			s.settle()
			s.reload(fmt.Sprintf(conf, tc.max))
			s.clients["v"].got = nil
			s.send("u", "PUB answer 2\r\nok\r\n")
			s.settle()
			require.Equal(t, tc.want, strings.ReplaceAll(string(s.clients["v"].got), "PING\r\n", ""))
		})
	}
}

func TestReloadShedsTheNewestOfAnAccount(t *testing.T) {
	s := newScript(t, "accounts {A {users: [{user: a, password: a}]}, B {users: [{user: b, password: b}]}}")
	for _, name := range []string{"1", "2", "3"} {
		s.login(name, `,"user":"a","pass":"a"`)
	}
	s.login("4", `,"user":"b","pass":"b"`)
	s.reload("accounts {A {users: [{user: a, password: a}], limits {max_connections: 1}}, B {users: [{user: b, password: b}]}}")
	require.Equal(t, map[uint64]broker.Reason{2: broker.MaxAccountConnectionsExceeded, 3: broker.MaxAccountConnectionsExceeded}, s.endings())
	require.Contains(t, string(s.clients["3"].got), "-ERR 'maximum account active connections exceeded'")
	require.Equal(t, 1, s.broker.LookupAccount("A").NumConnections())
	for _, c := range s.broker.Closed() {
		require.Equal(t, "a", c.Ident.User)
	}
}

// TestFullAccountIsNamed: who did not fit into an account is remembered with it.
func TestFullAccountIsNamed(t *testing.T) {
	s := newScript(t, "accounts {A {users: [{user: a, password: a}], limits {max_connections: 0}}}")
	s.login("x", `,"user":"a","pass":"a"`)
	gone := s.broker.Closed()
	require.Len(t, gone, 1)
	require.Equal(t, broker.MaxAccountConnectionsExceeded, gone[0].Reason)
	require.Equal(t, "a", gone[0].Ident.User)
	require.Equal(t, "A", gone[0].Ident.Account)
}

// TestLameDuckInfo: the notice is no answer to CONNECT and says nothing of it.
func TestLameDuckInfo(t *testing.T) {
	s := newScript(t, "")
	s.login("a", "")
	s.send("a", "PING\r\n")
	s.settle()
	s.clients["a"].got = nil
	s.broker.LameDuck(s.sim.Clock("server").NewStrand("duck"), func() {})
	s.settle()
	require.Contains(t, string(s.clients["a"].got), `"ldm":true`)
	require.NotContains(t, string(s.clients["a"].got), "connect_info")
}

func TestProxyHeaders(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	for _, tc := range []struct {
		name, header, host string // no host: refused
	}{
		{"blanks in a row", "PROXY  TCP4 1.2.3.4\t5.6.7.8 7 1\r\n", "1.2.3.4"},
		{"one blank each", "PROXY TCP4 1.2.3.4 5.6.7.8 7 1\r\n", "1.2.3.4"},
		{"unspecified family, stream", v2 + "\x21\x01\x00\x00", "client-a"},
		{"unspecified family, no stream", v2 + "\x21\x00\x00\x00", ""},
		{"local", v2 + "\x20\x00\x00\x00", "client-a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, "proxy_protocol: true")
			s.open("a")
			s.settle()
			s.clients["a"].conn.Write([]byte(tc.header + "PING\r\n"))
			s.clients["a"].conn.Flush()
			s.settle()
			if tc.host == "" {
				require.Equal(t, broker.ProtocolViolation, s.endings()[1])
				return
			}
			open := s.broker.Clients()
			require.Len(t, open, 1)
			require.Equal(t, tc.host, open[0].State(false).Host)
		})
	}
}

// TestClosedConnectionsAreLetGo: what monitoring remembers of a connection does not
// keep the connection.
func TestClosedConnectionsAreLetGo(t *testing.T) {
	s := newScript(t, "")
	s.login("a", "")
	s.send("a", "SUB foo 1\r\nUNSUB 1 9\r\nPUB foo 0\r\n\r\n")
	s.settle()
	s.clients["a"].conn.Close(netsim.ErrClosed)
	s.sim.RunFor(time.Minute)
	closed := s.broker.Closed()
	require.Len(t, closed, 1)
	require.Len(t, closed[0].Subs, 1)
	require.Equal(t, int64(1), closed[0].Subs[0].Delivered)
	require.Equal(t, int64(9), closed[0].Subs[0].Max)
	require.Nil(t, closed[0].Subs[0].Owner)
}

// TestShadowsAreFilteredAsSeen: what a user may not receive is named as its account
// names it, also where an import gives it another name.
func TestShadowsAreFilteredAsSeen(t *testing.T) {
	s := newScript(t, `accounts {
		A {users: [{user: a, password: a}], exports: [{stream: "ev.*"}]}
		B {users: [{user: b, password: b, permissions: {subscribe: {deny: ["p.ev.x", "ev.y"]}}}],
		   imports: [{stream: {account: A, subject: "ev.*"}, prefix: p}]}
	}`)
	s.login("b", `,"user":"b","pass":"b"`)
	s.send("b", "SUB p.ev.* 1\r\nSUB p.> 2\r\n")
	s.login("a", `,"user":"a","pass":"a"`)
	s.send("a", "PUB ev.x 0\r\n\r\nPUB ev.y 0\r\n\r\n")
	s.settle()
	got := string(s.clients["b"].got)
	require.NotContains(t, got, "MSG p.ev.x")
	require.Contains(t, got, "MSG p.ev.y 1 0")
	require.Contains(t, got, "MSG p.ev.y 2 0")
}

// TestReloadFiltersInPlace: a subscription that begins to overlap what is denied goes
// on under the same sid with the same count.
func TestReloadFiltersInPlace(t *testing.T) {
	const open = "authorization {users: [{user: u, password: p}]}"
	const denies = `authorization {users: [{user: u, password: p, permissions: {subscribe: {deny: foo.x}}}]}`
	s := newScript(t, open)
	s.login("a", `,"user":"u","pass":"p"`)
	s.send("a", "SUB foo.* 1\r\nUNSUB 1 3\r\nPUB foo.a 0\r\n\r\n")
	s.settle()
	s.reload(denies)
	s.send("a", "PUB foo.x 0\r\n\r\nPUB foo.b 0\r\n\r\n")
	s.settle()
	s.reload(open)
	s.send("a", "PUB foo.x 0\r\n\r\nPUB foo.c 0\r\n\r\n")
	s.settle()
	got := string(s.clients["a"].got)
	for subject, n := range map[string]int{"foo.a": 1, "foo.b": 1, "foo.x": 1, "foo.c": 0} {
		require.Equal(t, n, countMsgs(got, subject), subject)
	}
}

func countMsgs(got, subject string) (n int) {
	for i := 0; i+len(subject)+5 <= len(got); i++ {
		if got[i:i+len(subject)+5] == "MSG "+subject+" " {
			n++
		}
	}
	return n
}

// TestPublishersLetReceiversGo: a publisher that falls silent does not keep those it once
// published to.
func TestPublishersLetReceiversGo(t *testing.T) {
	s := newScript(t, `ping_interval: "1m"`)
	s.login("pub", "")
	s.login("sub", "")
	s.send("sub", "SUB foo 1\r\n")
	for range 3 {
		s.send("pub", "PUB foo 0\r\n\r\n")
		s.settle()
	}
	require.Contains(t, string(s.clients["sub"].got), "MSG foo 1 0")
	s.clients["sub"].conn.Close(netsim.ErrClosed)
	require.Equal(t, 1, s.broker.Client(1).Kept())
	s.sim.RunFor(2 * time.Second)
	for range 4 { // the publisher is alive
		s.sim.RunFor(time.Minute)
		s.send("pub", "PONG\r\n")
		s.settle()
	}
	require.Equal(t, 1, s.broker.NumClients())
	require.Zero(t, s.broker.Client(1).Kept())
}
