package integration

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

func TestBcryptPasswordsAndTokens(t *testing.T) {
	t.Parallel()
	hash := func(secret string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
		require.NoError(t, err)
		return string(h)
	}
	p := start(t, `authorization { users: [ {user: u, password: "`+hash("secret")+`"}, {user: plain, password: "plain"} ] }`)
	p.client(nats.UserInfo("u", "secret"))
	p.client(nats.UserInfo("plain", "plain"))
	_, err := p.dial(nats.UserInfo("u", "other"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = p.dial(nats.UserInfo("u", hash("secret")))
	require.ErrorIs(t, err, nats.ErrAuthorization)

	p = start(t, `authorization { token: "`+hash("t0ken")+`" }`)
	p.client(nats.Token("t0ken"))
	_, err = p.dial(nats.Token("other"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestNkeys(t *testing.T) {
	t.Parallel()
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "seed")
	require.NoError(t, os.WriteFile(file, seed, 0o600))
	stranger, err := nkeys.CreateUser()
	require.NoError(t, err)
	strangerPublic, err := stranger.PublicKey()
	require.NoError(t, err)

	p := start(t, `authorization { users: [ {nkey: `+public+`}, {user: u, password: p} ] }`)
	option, err := nats.NkeyOptionFromSeed(file)
	require.NoError(t, err)
	working(t, p.client(option))
	working(t, p.client(nats.UserInfo("u", "p")))
	_, err = p.dial(nats.Nkey(strangerPublic, stranger.Sign))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = p.dial(nats.Nkey(public, stranger.Sign))
	require.ErrorIs(t, err, nats.ErrAuthorization)

	// By hand: either alphabet of base64 will do; a nonce serves one connection.
	r := p.raw()
	nonce, ok := r.field("nonce").(string)
	require.True(t, ok)
	require.Len(t, nonce, 15)
	sig, err := user.Sign([]byte(nonce))
	require.NoError(t, err)
	r.line(`CONNECT {"verbose":true,"nkey":"%s","sig":"%s"}`, public, base64.StdEncoding.EncodeToString(sig))
	r.want("+OK")
	replay := p.raw()
	require.NotEqual(t, nonce, replay.field("nonce"))
	replay.line(`CONNECT {"nkey":"%s","sig":"%s"}`, public, base64.RawURLEncoding.EncodeToString(sig))
	replay.wantErr("Authorization Violation")
	replay.wantClosed()
	both := p.raw() // an unknown key is not saved by a good password
	both.line(`CONNECT {"nkey":"%s","sig":"x","user":"u","pass":"p"}`, strangerPublic)
	both.wantErr("Authorization Violation")
}

func TestNoAuthUser(t *testing.T) {
	t.Parallel()
	p := start(t, `accounts { A { users: [ {user: guest, password: x} ] }, B { users: [ {user: b, password: b} ] } }
no_auth_user: guest`)
	r := p.connected(`"protocol":1`)
	require.Nil(t, r.field("auth_required"))
	r.quiet()
	_, err := r.read()
	require.NoError(t, err)
	require.Equal(t, "A", r.field("remote_account"))
	working(t, p.client(nats.UserInfo("b", "b")))
	_, err = p.dial(nats.UserInfo("b", "wrong"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestConnectionTypes(t *testing.T) {
	t.Parallel()
	p := start(t, `authorization { users: [
  {user: std, password: p, allowed_connection_types: [standard]}
  {user: ws, password: p, allowed_connection_types: ["WEBSOCKET", "MQTT"]}
  {user: in, password: p, allowed_connection_types: ["IN_PROCESS"]} ] }`)
	working(t, p.client(nats.UserInfo("std", "p")))
	for _, user := range []string{"ws", "in"} {
		_, err := p.dial(nats.UserInfo(user, "p"))
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
}

func TestPermissionsWithTheClient(t *testing.T) {
	t.Parallel()
	p := start(t, `authorization {
  default_permissions: {publish: "open.>", subscribe: ["open.>", "_INBOX.>"]}
  users: [ {user: d, password: p}, {user: own, password: p, permissions: {publish: {deny: "shut"}}} ] }`)
	errs := make(chan error, 10)
	handler := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err })
	d, own := p.client(nats.UserInfo("d", "p"), handler), p.client(nats.UserInfo("own", "p"), handler)
	require.NoError(t, d.Publish("shut", nil))
	require.ErrorContains(t, <-errs, `Permissions Violation for Publish to "shut"`)
	require.NoError(t, own.Publish("shut", nil))
	require.ErrorContains(t, <-errs, `Permissions Violation for Publish to "shut"`)
	_, err := d.SubscribeSync("shut")
	require.NoError(t, err)
	err = <-errs
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.ErrorContains(t, err, `Permissions Violation for Subscription to "shut"`)
	_, err = d.QueueSubscribeSync("shut", "q")
	require.NoError(t, err)
	require.ErrorContains(t, <-errs, `using queue "q"`)
	sub := flushed(t, d, "open.*")
	require.NoError(t, own.Publish("open.x", nil))
	next(t, sub)
}

func TestSecondConnectChangesTheAccount(t *testing.T) {
	t.Parallel()
	p := start(t, `accounts { A { users: [ {user: a, password: a} ] }, B { users: [ {user: b, password: b} ] } }`)
	r := p.connected(`"user":"a","pass":"a"`)
	r.line("SUB x 1")
	r.quiet()
	a, b := p.client(nats.UserInfo("a", "a")), p.client(nats.UserInfo("b", "b"))
	require.NoError(t, a.Publish("x", []byte("1")))
	require.NoError(t, a.Flush())
	r.want(`MSG x 1 1 "1"`)
	r.line(`CONNECT {"user":"b","pass":"b"}`)
	r.quiet()
	require.NoError(t, a.Publish("x", []byte("2")))
	require.NoError(t, b.Publish("x", []byte("3")))
	require.NoError(t, a.Flush())
	require.NoError(t, b.Flush())
	r.quiet() // the subscription is gone
	r.line("SUB x 2")
	r.quiet()
	require.NoError(t, b.Publish("x", []byte("4")))
	require.NoError(t, b.Flush())
	r.want(`MSG x 2 1 "4"`)
}
