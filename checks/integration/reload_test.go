package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestReloadUsers(t *testing.T) {
	t.Parallel()
	p := start(t, `authorization { users: [ {user: stays, password: p}, {user: goes, password: p}, {user: turns, password: p} ] }`)
	clients := map[string]*raw{}
	for _, user := range []string{"stays", "goes", "turns"} {
		clients[user] = p.connected(`"pass":"p","user":"` + user + `"`)
		clients[user].quiet()
	}
	p.mustReload(`authorization { users: [ {user: stays, password: p}, {user: turns, password: other}, {user: comes, password: p} ] }`)
	clients["goes"].wantClosed() // without a text
	clients["turns"].wantErr("Authorization Violation")
	clients["turns"].wantClosed()
	clients["stays"].quiet()
	working(t, p.client(nats.UserInfo("comes", "p")))
	_, err := p.dial(nats.UserInfo("goes", "p"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	p.mustReload("")
	working(t, p.client())
}

func TestReloadAccountMove(t *testing.T) {
	t.Parallel()
	p := start(t, `accounts { A { users: [ {user: u, password: p} ] }, B { } }`)
	r := p.connected(`"user":"u","pass":"p"`)
	r.quiet()
	p.mustReload(`accounts { A { }, B { users: [ {user: u, password: p} ] } }`)
	r.wantClosed()
	moved := p.connected(`"user":"u","pass":"p","protocol":1`)
	moved.quiet()
	_, err := moved.read()
	require.NoError(t, err)
	require.Equal(t, "B", moved.field("remote_account"))
}

func TestReloadPermissions(t *testing.T) {
	t.Parallel()
	p := start(t, `authorization { users: [ {user: u, password: p} ] }`)
	r := p.connected(`"user":"u","pass":"p"`)
	for i, s := range []string{"keep", "lose", "keep.*"} {
		r.line("SUB %s %d", s, i)
	}
	r.quiet()
	p.mustReload(`authorization { users: [ {user: u, password: p, permissions: {publish: ["keep", "lose"], subscribe: ["keep", "keep.*"]}} ] }`)
	require.Equal(t, []string{`-ERR 'Permissions Violation for Subscription to "lose" (sid "1")'`}, r.sync())
	p.waitLog(`Removed sub "lose" (sid "1") for User "u" - not authorized`)
	r.line("PUB lose 0\r\n")
	r.quiet()
	r.line("PUB keep 0\r\n")
	require.Equal(t, []string{`MSG keep 0 0 ""`}, r.sync())
	p.mustReload(`authorization { users: [ {user: u, password: p} ] }`)
	r.line("SUB lose 9")
	r.line("PUB lose 0\r\n")
	require.Equal(t, []string{`MSG lose 9 0 ""`}, r.sync())
}

func TestReloadLimits(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	a, b := p.connected(), p.connected()
	a.quiet()
	b.quiet()
	p.mustReload("max_payload: 10\nmax_control_line: 100\nmax_connections: 1")
	errs, left := 0, 0
	for _, r := range []*raw{a, b} {
		got := r.sync()
		if len(got) == 0 {
			left++
			r.line("PUB x 11")
			r.wantErr("Maximum Payload Violation")
			r.wantClosed()
			continue
		}
		require.Equal(t, "-ERR 'maximum connections exceeded'", got[0])
		errs++
	}
	require.Equal(t, 1, errs)
	require.Equal(t, 1, left)
}

func TestReloadRefusals(t *testing.T) {
	t.Parallel()
	p := start(t, "server_name: one\nmax_pending: 2MB")
	nc := p.client()
	for config, why := range map[string]string{
		"server_name: two\nmax_pending: 2MB":                             "config reload not supported for ServerName: old=one, new=two",
		"server_name: one\nmax_pending: 3MB":                             "config reload not supported for MaxPending: old=2097152, new=3145728",
		"server_name: one\nmax_pending: 2MB\nmax_subscriptions: 1":       "config reload not supported for MaxSubs: old=0, new=1",
		"server_name: one\nmax_pending: 2MB\nno_header_support: true":    "config reload not supported for NoHeaderSupport",
		"server_name: one\nmax_pending: 2MB\nsystem_account: X":          "config reload not supported for SystemAccount",
		"server_name: one\nmax_pending: 2MB\nlog_size_limit: 5":          "config reload not supported for LogSizeLimit",
		"server_name: one\nmax_pending: 2MB\nprof_port: 65001":           "config reload not supported for ProfPort",
		"server_name: one\nmax_pending: 2MB\nhttp: 65002":                "config reload not supported for HTTP",
		"server_name: one\nmax_pending: 2MB\nlame_duck_duration: \"1m\"": "config reload not supported for LameDuckDuration",
		"server_name: one\nmax_pending: 2MB\nlisten: \"127.0.0.1:1\"":    "config reload not supported for Port",
		"server_name: one\nmax_pending: 2MB\nnonsense: 1":                `unknown field "nonsense"`,
		"server_name: one\nmax_pending: 2MB\nmax_payload: 3MB":           "max_payload (3145728) cannot be higher than max_pending (2097152)",
		"server_name: [": "Parse error on line",
		"websocket {}":   "is not supported yet",
	} {
		p.refusedReload(config, why)
	}
	working(t, nc)
	p.mustReload("server_name: one\nmax_pending: 2MB")
}

func TestReloadLogAndPidFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "debug: false")
	log, pid := filepath.Join(dir, "new.log"), filepath.Join(dir, "new.pid")
	p.write("log_file: \"" + log + "\"\npid_file: \"" + pid + "\"\ndebug: true\nlogtime: false")
	_, stderr, code := command(t, binary, "-sl", "reload="+strconv.Itoa(p.cmd.Process.Pid))
	require.Zero(t, code, stderr)
	lines := newTail()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go lines.followFile(log, stop)
	line, err := lines.wait("Reloaded server configuration", patience)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(line, "["+strconv.Itoa(p.cmd.Process.Pid)+"] [INF] Reloaded server configuration"), line)
	p.connected().quiet()
	_, err = lines.wait("[DBG] 127.0.0.1:", patience)
	require.NoError(t, err)
	text, err := os.ReadFile(pid)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(p.cmd.Process.Pid), string(text))
}
