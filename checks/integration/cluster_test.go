package integration

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// member is one server of a cluster.
type member struct {
	*process
	t       *testing.T
	route   string // host:port
	monitor string // base URL
}

// memberConfig is a configuration: block holds more keys of the cluster block, rest what stands beside it.
func memberConfig(name, route, block, rest string, seeds ...string) string {
	quoted := make([]string, len(seeds))
	for i, s := range seeds {
		quoted[i] = fmt.Sprintf("%q", "nats://"+s)
	}
	return fmt.Sprintf("server_name: %s\nhttp: \"127.0.0.1:-1\"\ncluster { name: C, listen: %q, routes: [%s]\n%s }\n%s",
		name, route, strings.Join(quoted, ", "), block, rest)
}

// join starts a program as a member.
func join(t *testing.T, program, config string) *member {
	t.Helper()
	p := startIn(t, program, t.TempDir(), config)
	m := &member{process: p, t: t, monitor: "http://" + p.after("Starting http monitor on ")}
	m.route = p.after("Listening for route connections on ")
	return m
}

// varz waits until what the server says of itself is as wanted.
func (m *member) varz(path string, want func(v map[string]any) bool) {
	m.t.Helper()
	var text string
	require.Eventually(m.t, func() bool {
		answer, err := http.Get(m.monitor + path)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var v map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&v); err != nil {
			return false
		}
		text = fmt.Sprint(v)
		return want(v)
	}, patience, 20*time.Millisecond, "%s of %s", path, m.cmd.Path)
	_ = text
}

// routed waits until there are routes to so many servers, and, if routes is not 0, so many of
// them.
func (m *member) routed(remotes, routes int) {
	m.t.Helper()
	m.varz("/varz", func(v map[string]any) bool {
		return v["remotes"] == float64(remotes) && (routes == 0 || v["routes"] == float64(routes))
	})
}

// across waits until what is published by one client reaches a subscription of another.
func across(t *testing.T, from, to *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub := flushed(t, to, subject)
	deadline := time.Now().Add(patience)
	for {
		require.True(t, time.Now().Before(deadline), "nothing comes across")
		require.NoError(t, from.Publish(subject, []byte("probe")))
		require.NoError(t, from.Flush())
		if _, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			break
		}
	}
	for { // what was published last comes last
		mark := nats.NewInbox()
		require.NoError(t, from.Publish(subject, []byte(mark)))
		for {
			if m := next(t, sub); string(m.Data) == mark {
				return sub
			}
		}
	}
}

// exchange checks what clients of two servers may do with each other.
func exchange(t *testing.T, a, b *nats.Conn) {
	t.Helper()
	sub := across(t, a, b, "x.plain")
	for i := range 500 {
		m := &nats.Msg{Subject: "x.plain", Reply: "r", Data: fmt.Append(nil, i)}
		if i%2 == 0 {
			m.Header = nats.Header{"N": []string{fmt.Sprint(i)}}
		}
		require.NoError(t, a.PublishMsg(m))
	}
	for i := range 500 {
		m := next(t, sub)
		require.Equal(t, fmt.Sprint(i), string(m.Data), "in order")
		require.Equal(t, "r", m.Reply)
		if i%2 == 0 {
			require.Equal(t, fmt.Sprint(i), m.Header.Get("N"))
		} else {
			require.Empty(t, m.Header)
		}
	}
	large := []byte(strings.Repeat("0123456789abcdef", 60_000))
	require.NoError(t, a.Publish("x.plain", large))
	require.Equal(t, large, next(t, sub).Data)
	require.NoError(t, sub.Unsubscribe())

	_, err := b.Subscribe("x.service", func(m *nats.Msg) { _ = m.Respond(append([]byte("re:"), m.Data...)) })
	require.NoError(t, err)
	require.NoError(t, b.Flush())
	require.Eventually(t, func() bool {
		m, err := a.Request("x.service", []byte("hi"), patience)
		return err == nil && string(m.Data) == "re:hi"
	}, patience, 20*time.Millisecond)
	_, err = a.Request("x.nobody", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

// share checks that a queue group over two servers gets each message once, and that members
// get like shares.
func share(t *testing.T, a, b *nats.Conn, membersA, membersB int) {
	t.Helper()
	type got struct {
		conn *nats.Conn
		data string
	}
	all := make(chan got, 10_000)
	subject := "q." + nats.NewInbox()
	add := func(nc *nats.Conn, n int) {
		for range n {
			sub, err := nc.QueueSubscribe(subject, "workers", func(m *nats.Msg) { all <- got{nc, string(m.Data)} })
			require.NoError(t, err)
			t.Cleanup(func() { _ = sub.Unsubscribe() })
		}
		require.NoError(t, nc.Flush())
	}
	add(a, membersA)
	add(b, membersB)
	across(t, a, b, subject+".settled") // interest that was told before is known
	const messages = 3000
	for i := range messages {
		require.NoError(t, a.Publish(subject, fmt.Append(nil, i)))
	}
	seen, here := map[string]bool{}, 0
	for range messages {
		select {
		case g := <-all:
			require.False(t, seen[g.data], "%s came twice", g.data)
			seen[g.data] = true
			if g.conn == a {
				here++
			}
		case <-time.After(patience):
			require.Fail(t, "messages are missing", "%d of %d came", len(seen), messages)
		}
	}
	want := float64(messages) * float64(membersA) / float64(membersA+membersB)
	require.InDelta(t, want, float64(here), 0.15*messages, "share of the publisher's own server")
}

func TestClusterFormsFromOneSeed(t *testing.T) {
	t.Parallel()
	seed := join(t, binary, memberConfig("n1", "127.0.0.1:-1", "", ""))
	members := []*member{seed}
	for i := 2; i <= 3; i++ {
		members = append(members, join(t, binary, memberConfig(fmt.Sprintf("n%d", i), "127.0.0.1:-1", "", "", seed.route)))
	}
	for _, m := range members {
		m.routed(2, 8)
	}
	var conns []*nats.Conn
	for _, m := range members {
		nc := m.client(nats.MaxReconnects(-1))
		conns = append(conns, nc)
		require.ElementsMatch(t, []string{members[0].url(), members[1].url(), members[2].url()}, nc.Servers())
		require.Equal(t, "C", nc.ConnectedClusterName())
	}
	exchange(t, conns[0], conns[1])
	exchange(t, conns[1], conns[2])
	exchange(t, conns[2], conns[0])
	share(t, conns[1], conns[2], 3, 1)

	// One dies, and comes back as another life of itself.
	discovered := make(chan []string, 10)
	watch := members[1].client(nats.DiscoveredServersHandler(func(nc *nats.Conn) { discovered <- nc.Servers() }))
	require.NoError(t, watch.Flush())
	members[2].kill()
	members[0].routed(1, 4)
	members[1].routed(1, 4)
	exchange(t, conns[0], conns[1])
	back := join(t, binary, memberConfig("n3", members[2].route, "", "", seed.route))
	for _, m := range []*member{members[0], members[1], back} {
		m.routed(2, 8)
	}
	require.Eventually(t, func() bool {
		select {
		case urls := <-discovered:
			return slices.Contains(urls, back.url())
		default:
			return false
		}
	}, patience, 20*time.Millisecond, "clients are told of the server that has come")
	nc := back.client()
	exchange(t, nc, conns[1])
	exchange(t, conns[0], nc)

	// So does the seed: the others dial it again.
	members[0].kill()
	again := join(t, binary, memberConfig("n1", seed.route, "", ""))
	for _, m := range []*member{again, members[1], back} {
		m.routed(2, 8)
	}
	exchange(t, again.client(), nc)
}

func TestClusterRoutez(t *testing.T) {
	t.Parallel()
	const accounts = "accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }"
	a := join(t, binary, memberConfig("n1", "127.0.0.1:-1", "accounts: [A], pool_size: 1", accounts))
	b := join(t, binary, memberConfig("n2", "127.0.0.1:-1", "accounts: [A], pool_size: 1", accounts, a.route))
	a.routed(1, 3)
	nc := b.client(nats.UserInfo("a", "a"))
	flushed(t, nc, "of.a")
	other := b.client(nats.UserInfo("b", "b"))
	flushed(t, other, "of.b")
	a.varz("/routez?subs=detail", func(v map[string]any) bool {
		if v["num_routes"] != float64(3) {
			return false
		}
		got := map[string]string{}
		for _, r := range v["routes"].([]any) {
			r := r.(map[string]any)
			if r["remote_name"] != "n2" || r["did_solicit"] != false || r["compression"] != "off" {
				return false
			}
			account, _ := r["account"].(string)
			for _, s := range asList(r["subscriptions_list_detail"]) {
				got[account] += fmt.Sprint(s.(map[string]any)["sid"], ";")
			}
		}
		return got["A"] == "R of.a;" && strings.Contains(got[""], "R B of.b;") && !strings.Contains(got[""], "of.a")
	})
	b.varz("/routez", func(v map[string]any) bool {
		for _, r := range v["routes"].([]any) {
			if r := r.(map[string]any); r["did_solicit"] != true || r["is_configured"] != true {
				return false
			}
		}
		return true
	})
	b.varz("/varz", func(v map[string]any) bool {
		c := v["cluster"].(map[string]any)
		return c["name"] == "C" && c["pool_size"] == float64(1) && fmt.Sprint(c["urls"]) == "["+a.route+"]"
	})

	// An account that gets a route of its own by a reload, and one that loses it.
	for _, pinned := range []string{"[A, B]", "[B]"} {
		block := "accounts: " + pinned + ", pool_size: 1"
		a.mustReload(memberConfig("n1", "127.0.0.1:-1", block, accounts))
		b.mustReload(memberConfig("n2", "127.0.0.1:-1", block, accounts, a.route))
		a.routed(1, 2+strings.Count(pinned, ",")+1)
		across(t, a.client(nats.UserInfo("a", "a")), nc, "moved."+fmt.Sprint(len(pinned)))
		across(t, a.client(nats.UserInfo("b", "b")), other, "moved."+fmt.Sprint(len(pinned)))
		across(t, nc, a.client(nats.UserInfo("a", "a")), "back."+fmt.Sprint(len(pinned)))
	}
	// Pools and compression change, too.
	for _, block := range []string{"pool_size: 4", "pool_size: 4, compression: s2_fast", "pool_size: -1, compression: s2_best"} {
		a.mustReload(memberConfig("n1", "127.0.0.1:-1", block, accounts))
		b.mustReload(memberConfig("n2", "127.0.0.1:-1", block, accounts, a.route))
		routes := 5
		if strings.Contains(block, "-1") {
			routes = 1
		}
		a.routed(1, routes)
		across(t, a.client(nats.UserInfo("a", "a")), nc, "again")
		across(t, other, a.client(nats.UserInfo("b", "b")), "again")
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// TestClusterTLS also pins who may not join.
func TestClusterTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.server("n1")
	ca.server("n2")
	ca.server("n3")
	a := join(t, binary, memberConfig("n1", "127.0.0.1:-1", ca.block("n1", ""), ""))
	b := join(t, binary, memberConfig("n2", "127.0.0.1:-1", ca.block("n2", ""), "", a.route))
	a.routed(1, 4)
	exchange(t, a.client(), b.client())

	stranger := newAuthority(t)
	stranger.server("n3")
	join(t, binary, memberConfig("n3", "127.0.0.1:-1", stranger.block("n3", ""), "", a.route)).waitLog("TLS route handshake error")
	a.routed(1, 4)
	join(t, binary, memberConfig("n3", "127.0.0.1:-1", "", "", a.route)).waitLog("Router connection closed")
	a.routed(1, 4)

	// Certificates that are pinned.
	p := pin(ca.server("n4"))
	c := join(t, binary, memberConfig("n5", "127.0.0.1:-1", ca.block("n1", `pinned_certs: ["`+p+`"]`), ""))
	join(t, binary, memberConfig("n6", "127.0.0.1:-1", ca.block("n2", ""), "", c.route))
	c.waitLog("certificate not pinned")
	join(t, binary, memberConfig("n4", "127.0.0.1:-1", ca.block("n4", ""), "", c.route))
	c.routed(1, 4)
}

func TestClusterAuthorization(t *testing.T) {
	t.Parallel()
	const auth = "authorization { user: u, password: p }"
	a := join(t, binary, memberConfig("n1", "127.0.0.1:-1", auth, ""))
	join(t, binary, memberConfig("n2", "127.0.0.1:-1", "", "", a.route)).waitLog("Route Error 'Authorization Violation'")
	b := join(t, binary, memberConfig("n3", "127.0.0.1:-1", auth, "", "u:p@"+a.route))
	c := join(t, binary, memberConfig("n4", "127.0.0.1:-1", auth, "", "u:p@"+a.route))
	b.routed(2, 8) // with the credentials of its own listener it reaches whom it is told of
	exchange(t, b.client(), c.client())
}

// official is the server that mixed clusters are made with.
func official(t *testing.T) string {
	program := os.Getenv("NATS_SERVER")
	if program == "" {
		t.Skip("NATS_SERVER does not name an official server to form a cluster with")
	}
	return program
}

func TestMixedCluster(t *testing.T) {
	program := official(t)
	ca := newAuthority(t)
	ca.server("n1")
	ca.server("n2")
	for _, tc := range []struct{ name, ours, theirs string }{
		{"defaults", "", ""},
		{"compressed", "compression: s2_fast", "compression: s2_fast"},
		{"we compress", "compression: s2_better", "compression: accept"},
		{"they compress", "compression: accept", "compression: s2_best"},
		{"by round trip", "compression: s2_auto", "compression: s2_auto"},
		{"they do not", "compression: s2_fast", "compression: off"},
		{"we do not", "compression: off", "compression: s2_fast"},
		{"not supported", "compression: s2_fast", `compression: "not supported"`},
		{"our pool is larger", "pool_size: 5", "pool_size: 2"},
		{"their pool is larger", "pool_size: 1", "pool_size: 4"},
		{"we have no pool", "pool_size: -1", ""},
		{"they have no pool", "", "pool_size: -1"},
		{"nobody has a pool", "pool_size: -1, compression: s2_fast", "pool_size: -1, compression: s2_fast"},
		{"an account of its own", `accounts: ["$G"]`, `accounts: ["$G"]`},
		{"tls", ca.block("n1", ""), ca.block("n2", "")},
		{"tls and compressed", ca.block("n1", "") + "compression: s2_fast", ca.block("n2", "") + "compression: s2_fast"},
		{"authorization", "authorization {user: u, password: p}", "authorization {user: u, password: p}"},
	} {
		for _, weDial := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/we dial=%v", tc.name, weDial), func(t *testing.T) {
				t.Parallel()
				programs, blocks := []string{program, binary}, []string{tc.theirs, tc.ours}
				if !weDial {
					slices.Reverse(programs)
					slices.Reverse(blocks)
				}
				user := ""
				if strings.Contains(tc.ours, "authorization") {
					user = "u:p@"
				}
				first := join(t, programs[0], memberConfig("n1", "127.0.0.1:-1", blocks[0], ""))
				second := join(t, programs[1], memberConfig("n2", "127.0.0.1:-1", blocks[1], "", user+first.route))
				first.routed(1, 0)
				second.routed(1, 0)
				a, b := first.client(), second.client()
				exchange(t, a, b)
				exchange(t, b, a)
				share(t, a, b, 2, 1)
				share(t, b, a, 1, 3)
			})
		}
	}
}

// TestMixedClusterFormsByGossip has two servers of each kind.
func TestMixedClusterFormsByGossip(t *testing.T) {
	program := official(t)
	t.Parallel()
	for _, seedProgram := range []string{program, binary} {
		seed := join(t, seedProgram, memberConfig("n1", "127.0.0.1:-1", "", ""))
		members := []*member{seed}
		for i, p := range []string{binary, program, binary} {
			members = append(members, join(t, p, memberConfig(fmt.Sprintf("n%d", i+2), "127.0.0.1:-1", "", "", seed.route)))
		}
		for _, m := range members {
			m.routed(3, 12)
			require.Len(t, m.client().Servers(), 4)
		}
		for i := range members {
			exchange(t, members[i].client(), members[(i+1)%4].client())
		}
		members[1].kill()
		members[0].routed(2, 8)
		back := join(t, binary, memberConfig("n2", members[1].route, "", "", seed.route))
		back.routed(3, 12)
		members[0].routed(3, 12)
		exchange(t, back.client(), members[2].client())
		for _, m := range append(members, back) {
			m.kill()
		}
	}
}

// TestClusterCertificatesSayWho: by the hosts of known routes, or as the user.
func TestClusterCertificatesSayWho(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.server("n1") // for localhost, and no user
	ca.issue("n2", x509.Certificate{
		Subject: pkix.Name{CommonName: "n2"}, DNSNames: []string{"other.host"}, EmailAddresses: []string{"route@here"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	known := join(t, binary, memberConfig("k1", "127.0.0.1:-1", ca.block("n1", "verify_cert_and_check_known_urls: true"), "", "localhost:1"))
	join(t, binary, memberConfig("k2", "127.0.0.1:-1", ca.block("n2", ""), "", known.route)).waitLog("Route Error 'Authorization Violation'")
	join(t, binary, memberConfig("k3", "127.0.0.1:-1", ca.block("n1", ""), "", known.route))
	known.routed(1, 4)

	mapped := join(t, binary, memberConfig("m1", "127.0.0.1:-1",
		ca.block("n1", "verify_and_map: true")+`authorization { user: "route@here", password: unasked }`, ""))
	join(t, binary, memberConfig("m2", "127.0.0.1:-1", ca.block("n1", ""), "", mapped.route)).waitLog("Route Error 'Authorization Violation'")
	join(t, binary, memberConfig("m3", "127.0.0.1:-1", ca.block("n2", ""), "", mapped.route))
	mapped.routed(1, 4)
}

// TestMixedClusterAccounts: what is imported and exported crosses routes, and nothing else leaves
// its account.
func TestMixedClusterAccounts(t *testing.T) {
	program := official(t)
	const accounts = `accounts {
		A { users: [{user: a, password: a}], exports: [{service: "svc.*"}, {service: "many", response: stream}, {stream: "news.>"}] }
		B { users: [{user: b, password: b}], imports: [{service: {account: A, subject: "svc.*"}, to: "ask.*"}, {service: {account: A, subject: many}},
			{stream: {account: A, subject: "news.>"}, prefix: told}] }
	}`
	for _, programs := range [][]string{{program, binary}, {binary, program}, {binary, binary}} {
		first := join(t, programs[0], memberConfig("n1", "127.0.0.1:-1", "", accounts))
		second := join(t, programs[1], memberConfig("n2", "127.0.0.1:-1", "", accounts, first.route))
		first.routed(1, 4)
		second.routed(1, 4)
		for _, way := range [][]*member{{first, second}, {second, first}} {
			a, b := way[0].client(nats.UserInfo("a", "a")), way[1].client(nats.UserInfo("b", "b"))
			_, err := a.Subscribe("svc.x", func(m *nats.Msg) { _ = m.Respond([]byte("x")) })
			require.NoError(t, err)
			_, err = a.Subscribe("many", func(m *nats.Msg) {
				for i := range 3 {
					_ = m.Respond(fmt.Append(nil, i))
				}
			})
			require.NoError(t, err)
			require.NoError(t, a.Flush())
			require.Eventually(t, func() bool {
				m, err := b.Request("ask.x", nil, time.Second)
				return err == nil && string(m.Data) == "x"
			}, patience, 20*time.Millisecond, "%v", programs)

			inbox := nats.NewInbox()
			answers := flushed(t, b, inbox)
			require.NoError(t, b.PublishRequest("many", inbox, nil))
			for i := range 3 {
				require.Equal(t, fmt.Sprint(i), string(next(t, answers).Data))
			}

			told := flushed(t, b, "told.news.>")
			silent := flushed(t, b, "news.>")
			require.Eventually(t, func() bool {
				require.NoError(t, a.Publish("news.today", []byte("n")))
				m, err := told.NextMsg(50 * time.Millisecond)
				return err == nil && m.Subject == "told.news.today"
			}, patience, time.Millisecond, "%v", programs)
			n, _, err := silent.Pending()
			require.NoError(t, err)
			require.Zero(t, n)
			a.Close()
			b.Close()
		}
		first.kill()
		second.kill()
	}
}
