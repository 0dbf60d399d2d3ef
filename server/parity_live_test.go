package server_test

import (
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

func mustURL(t *testing.T, text string) []*url.URL {
	u, err := url.Parse(text)
	require.NoError(t, err)
	return []*url.URL{u}
}

// TestClientAdvertise: INFO names the address that is advertised, and a reload changes it.
func TestClientAdvertise(t *testing.T) {
	r := serve(t, `client_advertise: "nats.example.com:1234"`)
	said := info(t, r.dial())
	require.Equal(t, "nats.example.com", said["host"])
	require.EqualValues(t, 1234, said["port"])
	require.NoError(t, r.reload(`client_advertise: "other.example.com"`))
	said = info(t, r.dial())
	require.Equal(t, "other.example.com", said["host"])
	require.NoError(t, r.reload(""))
	require.Equal(t, "127.0.0.1", info(t, r.dial())["host"])
	require.Error(t, r.reload(`client_advertise: ":::x"`))
}

// TestBcrypt: passwords and tokens given as hashes.
func TestBcrypt(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	r := serve(t, "authorization { users: [ {user: u, password: "+string(hash)+"} ] }")
	require.NoError(t, r.try(nats.UserInfo("u", "secret")))
	require.ErrorIs(t, r.try(nats.UserInfo("u", "wrong")), nats.ErrAuthorization)
	require.ErrorIs(t, r.try(nats.UserInfo("u", string(hash))), nats.ErrAuthorization, "the hash is no password")
	r = serve(t, "authorization { token: "+string(hash)+" }")
	require.NoError(t, r.try(nats.Token("secret")))
	require.ErrorIs(t, r.try(nats.Token(string(hash))), nats.ErrAuthorization)
}

// TestReloadOfLogging: levels and the file change while the server runs.
func TestReloadOfLogging(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "1.log"), filepath.Join(t.TempDir(), "2.log")
	r := serveLogging(t, "log_file: "+first)
	require.NoError(t, r.try())
	require.NoError(t, r.reload("debug: true, log_file: "+first))
	require.NoError(t, r.try())
	require.NoError(t, r.reload("trace: true, log_file: "+second))
	require.NoError(t, r.try())
	r.Shutdown()
	r.WaitForShutdown()
	one, err := os.ReadFile(first)
	require.NoError(t, err)
	two, err := os.ReadFile(second)
	require.NoError(t, err)
	quiet, loud, _ := strings.Cut(string(one), "Reloaded: debug = true")
	require.NotContains(t, quiet, "[DBG]")
	require.Contains(t, loud, "[DBG]")
	require.NotContains(t, string(one), "[TRC]")
	require.Contains(t, string(two), "[TRC]")
	require.Contains(t, string(two), "Server Exiting..")
	state, err := os.Stat(second)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), state.Mode().Perm())
}

// TestReloadOfAccounts: exports, imports and mappings come and go under live connections.
func TestReloadOfAccounts(t *testing.T) {
	users := func(a, b string) string {
		return "accounts { A { users: [{user: a, password: p}], " + a + " }, B { users: [{user: b, password: p}], " + b + " } }"
	}
	r := serve(t, users("", ""))
	a, b := r.client(nats.UserInfo("a", "p")), r.client(nats.UserInfo("b", "p"))
	sub, err := b.SubscribeSync("in.>")
	require.NoError(t, err)
	mapped, err := a.SubscribeSync("new")
	require.NoError(t, err)
	_, err = a.Subscribe("help", func(m *nats.Msg) { _ = m.Respond([]byte("yes")) })
	require.NoError(t, err)
	require.NoError(t, a.Flush())
	require.NoError(t, b.Flush())
	_, err = b.Request("help", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)

	require.NoError(t, r.reload(users(`exports: [{stream: "s.>"}, {service: help}], mappings: {old: new}`,
		`imports: [{stream: {account: A, subject: "s.>"}, prefix: in}, {service: {account: A, subject: help}}]`)))
	require.NoError(t, a.Flush()) // each connection has taken it in
	require.NoError(t, b.Flush())
	require.NoError(t, a.Publish("s.1", nil))
	m, err := sub.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, "in.s.1", m.Subject)
	m, err = b.Request("help", nil, patience)
	require.NoError(t, err)
	require.Equal(t, "yes", string(m.Data))
	require.NoError(t, a.Publish("old", nil))
	m, err = mapped.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, "new", m.Subject)

	require.NoError(t, r.reload(users("", "")))
	require.NoError(t, a.Flush())
	require.NoError(t, b.Flush())
	require.NoError(t, a.Publish("s.2", nil))
	require.NoError(t, a.Publish("old", nil))
	require.NoError(t, a.Flush())
	require.NoError(t, b.Flush())
	for _, s := range []*nats.Subscription{sub, mapped} {
		n, _, err := s.Pending()
		require.NoError(t, err)
		require.Zero(t, n)
	}
	_, err = b.Request("help", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.True(t, a.IsConnected() && b.IsConnected())
}

// TestBcryptHoldsUpNobody: while one connection's password is compared, which takes its
// time, the requests of others are answered.
func TestBcryptHoldsUpNobody(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("slow"), 12) // a quarter of a second and more
	require.NoError(t, err)
	r := serve(t, "authorization { users: [ {user: slow, password: "+string(hash)+"}, {user: quick, password: q} ] }")
	quick := r.client(nats.UserInfo("quick", "q"))
	slow := r.dial()
	info(t, slow)
	begin := time.Now()
	_, err = slow.Write([]byte("CONNECT {\"verbose\":false,\"user\":\"slow\",\"pass\":\"slow\"}\r\nPING\r\n"))
	require.NoError(t, err)
	answered := make(chan time.Duration, 1)
	go func() {
		_, err := io.ReadFull(slow, make([]byte, len("PONG\r\n")))
		if err != nil {
			answered <- 0
			return
		}
		answered <- time.Since(begin)
	}()
	between := 0
	for len(answered) == 0 {
		require.NoError(t, quick.Flush())
		between++
	}
	took := <-answered
	require.Positive(t, took, "the slow one gets in")
	require.Greater(t, between, 3, "others went on meanwhile")
}

// TestNoSystemAccount: there may be none, and then its name is free for nobody.
func TestNoSystemAccount(t *testing.T) {
	r := serve(t, "no_system_account: true")
	require.Nil(t, r.SystemAccount())
	require.NoError(t, r.try())
	r = serve(t, "")
	require.Equal(t, "$SYS", r.SystemAccount().Name)
	r = serve(t, "accounts { S { users: [{user: s, password: s}] }, A { users: [{user: a, password: a}] } }, system_account: S")
	require.Equal(t, "S", r.SystemAccount().Name)
	c := r.dial()
	info(t, c)
	_, err := c.Write([]byte("CONNECT {\"verbose\":false,\"protocol\":1,\"user\":\"s\",\"pass\":\"s\"}\r\nPING\r\n"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, len("PONG\r\n")))
	require.NoError(t, err)
	said := info(t, c)
	require.Equal(t, true, said["acc_is_sys"])
	require.Equal(t, "S", said["remote_account"])
}
