package auth

import (
	"crypto/tls"
	"encoding/base64"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

var (
	global = account.New(account.Global)
	tenant = account.New("T")
	nonce  = []byte("bm9uY2Ugbm9uY2U")
)

func newTable(t require.TestingT, cfg Config) *Table {
	cfg.Global = global
	table, err := NewTable(cfg)
	require.NoError(t, err)
	return table
}

func userKey(t require.TestingT) (nkeys.KeyPair, string) {
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	name, err := key.PublicKey()
	require.NoError(t, err)
	return key, name
}

func sign(t require.TestingT, key nkeys.KeyPair, enc *base64.Encoding) string {
	sig, err := key.Sign(nonce)
	require.NoError(t, err)
	return enc.EncodeToString(sig)
}

// attempt is one row: who asks, and who they are then, or why they are nobody.
type attempt struct {
	name    string
	connect wire.Connect
	kind    string // connection type, STANDARD when empty
	want    string // label
	reason  string // of a refusal
	closed  Kind
	who     string
}

func check(t *testing.T, table *Table, attempts []attempt) {
	t.Helper()
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			if a.kind == "" {
				a.kind = Standard
			}
			id, err := table.Authenticate(Request{Connect: &a.connect, Nonce: nonce, ConnType: a.kind})
			if a.reason == "" {
				require.NoError(t, err)
				require.Equal(t, a.want, id.Label)
				require.NotNil(t, id.Account)
				return
			}
			var refusal *Error
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, a.reason, refusal.Reason)
			require.Equal(t, a.closed, refusal.Kind)
			require.Equal(t, a.who, refusal.Who)
			require.Nil(t, id.Account)
		})
	}
}

func types(names ...string) map[string]struct{} {
	set := map[string]struct{}{}
	for _, n := range names {
		set[n] = struct{}{}
	}
	return set
}

func TestNothingRequired(t *testing.T) {
	table := newTable(t, Config{})
	require.False(t, table.Required())
	require.False(t, table.NonceRequired())
	check(t, table, []attempt{
		{name: "nobody"},
		{name: "a user nobody knows", connect: wire.Connect{Username: "bob", Password: "x"}, want: "user:bob"},
		{name: "a token", connect: wire.Connect{Token: "x"}, want: "token"},
		{name: "an nkey", connect: wire.Connect{Nkey: "UX"}, want: "nkey:UX"},
		{name: "account", connect: wire.Connect{Account: "A"}, reason: "clients may not choose their account"},
		{name: "new account", connect: wire.Connect{AccountNew: true}, reason: "clients may not choose their account"},
	})
	id, err := table.Authenticate(Request{Connect: &wire.Connect{Token: "x"}})
	require.NoError(t, err)
	require.Equal(t, "[REDACTED]", id.Name)
	require.Same(t, global, id.Account)
	require.Nil(t, id.Perms)
}

func TestSingleUser(t *testing.T) {
	table := newTable(t, Config{Username: "u", Password: "p"})
	require.True(t, table.Required())
	check(t, table, []attempt{
		{name: "right", connect: wire.Connect{Username: "u", Password: "p"}, want: "user:u"},
		{name: "wrong password", connect: wire.Connect{Username: "u", Password: "q"}, reason: "wrong password", who: `User "u"`},
		{name: "password as token", connect: wire.Connect{Username: "u", Token: "p"}, reason: "wrong password", who: `User "u"`},
		{name: "other user", connect: wire.Connect{Username: "v", Password: "p"}, reason: "user is not known", who: `User "v"`},
		{name: "nobody", reason: "user is not known"},
	})
}

func TestSingleToken(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("tok"), bcrypt.MinCost)
	require.NoError(t, err)
	for _, secret := range []string{"tok", string(hash)} {
		table := newTable(t, Config{Token: secret})
		check(t, table, []attempt{
			{name: "right", connect: wire.Connect{Token: "tok"}, want: "token"},
			{name: "a user name does not matter", connect: wire.Connect{Username: "u", Token: "tok"}, want: "user:u"},
			{name: "wrong", connect: wire.Connect{Token: "no"}, reason: "wrong token", who: `Token "[REDACTED]"`},
			{name: "as user", connect: wire.Connect{Username: "tok"}, reason: "wrong token", who: `User "tok"`},
			{name: "as password", connect: wire.Connect{Password: "tok"}, reason: "wrong token"},
			{name: "nothing", reason: "wrong token"},
			{name: "the hash itself", connect: wire.Connect{Token: string(hash)}, reason: "wrong token", who: `Token "[REDACTED]"`},
		})
		require.False(t, table.PlaintextPasswords())
	}
}

func TestUsers(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	table := newTable(t, Config{Users: []*User{
		{Username: "u", Password: "p", Account: tenant},
		{Username: "h", Password: string(hash)},
		{Username: "np"},
		{Username: "ws", Password: "p", AllowedConnectionTypes: types(WebSocket, MQTT)},
		{Username: "px", Password: "p", ProxyRequired: true},
	}})
	check(t, table, []attempt{
		{name: "plain", connect: wire.Connect{Username: "u", Password: "p"}, want: "user:u"},
		{name: "wrong", connect: wire.Connect{Username: "u", Password: "pp"}, reason: "wrong password", who: `User "u"`},
		{name: "empty", connect: wire.Connect{Username: "u"}, reason: "wrong password", who: `User "u"`},
		{name: "hashed", connect: wire.Connect{Username: "h", Password: "secret"}, want: "user:h"},
		{name: "hashed, wrong", connect: wire.Connect{Username: "h", Password: "secre"}, reason: "wrong password", who: `User "h"`},
		{name: "the hash itself", connect: wire.Connect{Username: "h", Password: string(hash)}, reason: "wrong password", who: `User "h"`},
		{name: "no password", connect: wire.Connect{Username: "np"}, want: "user:np"},
		{name: "unknown", connect: wire.Connect{Username: "zz"}, reason: "user is not known", who: `User "zz"`},
		{name: "token", connect: wire.Connect{Token: "p"}, reason: "user is not known", who: `Token "[REDACTED]"`},
		{name: "nothing", reason: "user is not known"},
		{name: "nkeys do not count where none are defined", connect: wire.Connect{Username: "u", Password: "p", Nkey: "UX"}, want: "user:u"},
		{name: "wrong type", connect: wire.Connect{Username: "ws", Password: "p"}, reason: "connection type STANDARD is not allowed", who: `User "ws"`},
		{name: "right type", kind: MQTT, connect: wire.Connect{Username: "ws", Password: "p"}, want: "user:ws"},
		{name: "no proxy, even with a wrong password", connect: wire.Connect{Username: "px"}, closed: ProxyRequired,
			reason: "proxy connection required", who: `User "px"`},
		{name: "account", connect: wire.Connect{Username: "u", Password: "p", Account: "X"}, reason: "clients may not choose their account", who: `User "u"`},
	})
	id, err := table.Authenticate(Request{Connect: &wire.Connect{Username: "u", Password: "p"}, ConnType: Standard})
	require.NoError(t, err)
	require.Same(t, tenant, id.Account)
	require.Equal(t, "u", id.Name)
	require.True(t, table.PlaintextPasswords())
	require.True(t, table.Knows("u", ""))
	require.False(t, table.Knows("zz", ""))
	require.EqualError(t, &Error{Who: `User "u"`}, `authentication error - User "u"`)
	require.EqualError(t, &Error{}, `authentication error`)
}

func TestNkeys(t *testing.T) {
	key, name := userKey(t)
	other, _ := userKey(t)
	wsKey, wsName := userKey(t)
	table := newTable(t, Config{
		Nkeys: []*NkeyUser{{Nkey: name, Account: tenant}, {Nkey: wsName, AllowedConnectionTypes: types(WebSocket)}},
		Users: []*User{{Username: "u", Password: "p"}},
	})
	require.True(t, table.NonceRequired())
	raw, std := base64.RawURLEncoding, base64.StdEncoding
	who := `Nkey "` + name + `"`
	check(t, table, []attempt{
		{name: "URL alphabet", connect: wire.Connect{Nkey: name, Sig: sign(t, key, raw)}, want: "nkey:" + name},
		{name: "standard alphabet", connect: wire.Connect{Nkey: name, Sig: sign(t, key, std)}, want: "nkey:" + name},
		{name: "no signature", connect: wire.Connect{Nkey: name}, reason: "Signature missing", who: who},
		{name: "not base64", connect: wire.Connect{Nkey: name, Sig: "!!"}, reason: "Signature not valid base64", who: who},
		{name: "short", connect: wire.Connect{Nkey: name, Sig: "AAAA"}, reason: "Signature not verified", who: who},
		{name: "of another key", connect: wire.Connect{Nkey: name, Sig: sign(t, other, raw)}, reason: "Signature not verified", who: who},
		{name: "unknown key beats a valid password", connect: wire.Connect{Nkey: "UX", Username: "u", Password: "p"}, reason: "nkey is not known", who: `Nkey "UX"`},
		{name: "user beside nkeys", connect: wire.Connect{Username: "u", Password: "p"}, want: "user:u"},
		{name: "wrong type", connect: wire.Connect{Nkey: wsName, Sig: sign(t, wsKey, raw)}, reason: "connection type STANDARD is not allowed", who: `Nkey "` + wsName + `"`},
		{name: "right type", kind: WebSocket, connect: wire.Connect{Nkey: wsName, Sig: sign(t, wsKey, raw)}, want: "nkey:" + wsName},
	})
	_, err := table.Authenticate(Request{Connect: &wire.Connect{Nkey: name, Sig: "AAAA"}, ConnType: Standard})
	require.Error(t, err, "without a nonce there is nothing to sign")
	only := newTable(t, Config{Nkeys: []*NkeyUser{{Nkey: name}}})
	require.False(t, only.PlaintextPasswords())
	check(t, only, []attempt{{name: "password where only nkeys are", connect: wire.Connect{Username: "u", Password: "p"}, reason: "user is not known", who: `User "u"`}})
}

func TestNoAuthUser(t *testing.T) {
	key, name := userKey(t)
	users := []*User{
		{Username: "u", Password: "p"},
		{Username: "ws", AllowedConnectionTypes: types(WebSocket)},
		{Username: "px", ProxyRequired: true},
	}
	table := newTable(t, Config{Users: users, NoAuthUser: "u"})
	require.Equal(t, "u", table.NoAuthUser())
	require.True(t, table.Implicit(Standard))
	check(t, table, []attempt{
		{name: "nothing", want: "user:u"},
		{name: "a lone signature is nothing", connect: wire.Connect{Sig: "x", JWT: "x"}, want: "user:u"},
		{name: "a user is something", connect: wire.Connect{Username: "u"}, reason: "wrong password", who: `User "u"`},
		{name: "a password is something", connect: wire.Connect{Password: "p"}, reason: "user is not known"},
		{name: "a token is something", connect: wire.Connect{Token: "p"}, reason: "user is not known", who: `Token "[REDACTED]"`},
	})
	id, err := table.Authenticate(Request{Connect: &wire.Connect{}, ConnType: Standard})
	require.NoError(t, err)
	require.True(t, id.NoAuth)

	table = newTable(t, Config{Users: users, NoAuthUser: "ws"})
	require.False(t, table.Implicit(Standard))
	require.True(t, table.Implicit(WebSocket))
	check(t, table, []attempt{
		{name: "wrong type", reason: "connection type STANDARD is not allowed for no_auth_user", who: `User "ws"`},
		{name: "right type", kind: WebSocket, want: "user:ws"},
	})

	table = newTable(t, Config{Users: users, NoAuthUser: "px"})
	require.False(t, table.Implicit(Standard))
	check(t, table, []attempt{{name: "needs a proxy", closed: ProxyRequired, reason: "proxy connection required", who: `User "px"`}})

	table = newTable(t, Config{Users: users, Nkeys: []*NkeyUser{{Nkey: name}}, NoAuthUser: name})
	require.False(t, table.Implicit(Standard), "an nkey is assumed at CONNECT only")
	check(t, table, []attempt{
		{name: "nothing is the nkey", want: "nkey:" + name},
		{name: "the nkey itself must sign", connect: wire.Connect{Nkey: name}, reason: "Signature missing", who: `Nkey "` + name + `"`},
		{name: "signed", connect: wire.Connect{Nkey: name, Sig: sign(t, key, base64.RawURLEncoding)}, want: "nkey:" + name},
		{name: "user", connect: wire.Connect{Username: "u", Password: "p"}, want: "user:u"},
		{name: "wrong user", connect: wire.Connect{Username: "u"}, reason: "wrong password", who: `User "u"`},
	})
}

func TestTableRefusals(t *testing.T) {
	_, name := userKey(t)
	bad := &perm.Permissions{Publish: &perm.SubjectPermission{Allow: []string{"a..b"}}}
	for _, tc := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"user twice", Config{Users: []*User{{Username: "u"}, {Username: "u"}}}, `Duplicate user "u" detected`},
		{"nkey twice", Config{Nkeys: []*NkeyUser{{Nkey: name}, {Nkey: name}}}, `Duplicate nkey "` + name + `" detected`},
		{"not an nkey", Config{Nkeys: []*NkeyUser{{Nkey: "UX"}}}, `Not a valid public nkey for a user: "UX"`},
		{"no_auth_user unknown", Config{Users: []*User{{Username: "u"}}, NoAuthUser: "x"},
			`no_auth_user: "x" not present as user or nkey in authorization block or account configuration`},
		{"no_auth_user without users", Config{NoAuthUser: "x"}, `no_auth_user: "x" present, but users/nkeys are not defined`},
		{"permissions", Config{Users: []*User{{Username: "u", Permissions: bad}}}, `user "u": subject "a..b" is not a valid subject`},
		{"nkey permissions", Config{Nkeys: []*NkeyUser{{Nkey: name, Permissions: bad}}}, `nkey "` + name + `": subject "a..b" is not a valid subject`},
		{"proxy", Config{TrustedProxies: []string{"x"}}, `trusted proxy key "x" is not a public nkey: illegal base32 data at input byte 0`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.Global = global
			_, err := NewTable(tc.cfg)
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestPermissionsAreCompiledOnce(t *testing.T) {
	own := &perm.Permissions{Publish: &perm.SubjectPermission{Allow: []string{"own"}}}
	defaults := &perm.Permissions{Publish: &perm.SubjectPermission{Allow: []string{"default"}}}
	table := newTable(t, Config{Users: []*User{{Username: "own", Permissions: own}, {Username: "none"}}, DefaultPermissions: defaults})
	login := func(name string) Identity {
		id, err := table.Authenticate(Request{Connect: &wire.Connect{Username: name}, ConnType: Standard})
		require.NoError(t, err)
		return id
	}
	id := login("own")
	require.True(t, id.Perms.CanPublishString("own"))
	require.False(t, id.Perms.CanPublishString("default"))
	require.Same(t, id.Perms, login("own").Perms)
	require.Same(t, own, id.Permissions)
	require.True(t, login("none").Perms.CanPublishString("default"))
	require.Same(t, defaults, login("none").Permissions)
}

func TestProxies(t *testing.T) {
	key, trusted := userKey(t)
	stranger, _ := userKey(t)
	cfg := Config{Users: []*User{{Username: "u"}, {Username: "px", ProxyRequired: true}}, TrustedProxies: []string{trusted}, ProxyRequired: true}
	table := newTable(t, cfg)
	require.True(t, table.NonceRequired())
	require.True(t, table.TrustsProxy(trusted))
	require.False(t, table.TrustsProxy("x"))
	good, bad := sign(t, key, base64.RawURLEncoding), sign(t, stranger, base64.RawURLEncoding)
	check(t, table, []attempt{
		{name: "users are not bound by proxy_required of the block", connect: wire.Connect{Username: "u"}, want: "user:u"},
		{name: "trusted", connect: wire.Connect{Username: "px", ProxySig: good}, want: "user:px"},
		{name: "stranger, though none is required", connect: wire.Connect{Username: "u", ProxySig: bad}, closed: ProxyNotTrusted,
			reason: "proxy is not trusted", who: `User "u"`},
		{name: "not base64", connect: wire.Connect{Username: "u", ProxySig: "!"}, closed: ProxyNotTrusted,
			reason: "Proxy signature not valid base64", who: `User "u"`},
		{name: "none", connect: wire.Connect{Username: "px"}, closed: ProxyRequired, reason: "proxy connection required", who: `User "px"`},
	})
	id, err := table.Authenticate(Request{Connect: &wire.Connect{Username: "u", ProxySig: good}, Nonce: nonce, ConnType: Standard})
	require.NoError(t, err)
	require.Equal(t, trusted, id.ProxyKey)

	single := newTable(t, Config{Username: "u", Password: "p", ProxyRequired: true, TrustedProxies: []string{trusted}})
	check(t, single, []attempt{
		{name: "single user, none", connect: wire.Connect{Username: "u", Password: "p"}, closed: ProxyRequired, reason: "proxy connection required", who: `User "u"`},
		{name: "single user, trusted", connect: wire.Connect{Username: "u", Password: "p", ProxySig: good}, want: "user:u"},
	})
}

// program is an embedding program's own authentication.
type program struct {
	user *User
	ok   bool
	saw  *wire.Connect
}

func (p *program) Check(c ClientAuthentication) bool {
	p.saw = c.GetOpts()
	if p.user != nil {
		c.RegisterUser(p.user)
	}
	return p.ok
}

// client is the least that a connection shows a program.
type client struct{ connect *wire.Connect }

func (c client) GetOpts() *wire.Connect                      { return c.connect }
func (c client) GetTLSConnectionState() *tls.ConnectionState { return nil }
func (c client) RegisterUser(*User)                          {}
func (c client) RemoteAddress() net.Addr                     { return nil }
func (c client) GetNonce() []byte                            { return nonce }
func (c client) Kind() int                                   { return 0 }
func (c client) GetID() uint64                               { return 7 }

func TestCustomDecidesAlone(t *testing.T) {
	deadline := time.Unix(1000, 0)
	connect := &wire.Connect{Username: "u", Password: "wrong"}
	ask := func(p *program) (Identity, error) {
		table := newTable(t, Config{Custom: p, Users: []*User{{Username: "u", Password: "p"}}, NoAuthUser: "u"})
		require.True(t, table.Required())
		require.False(t, table.Implicit(Standard))
		return table.Authenticate(Request{Connect: connect, Client: client{connect}})
	}
	_, err := ask(&program{})
	require.Error(t, err)

	p := &program{ok: true}
	id, err := ask(p)
	require.NoError(t, err)
	require.Same(t, connect, p.saw)
	require.Same(t, global, id.Account)
	require.Equal(t, "user:u", id.Label)
	require.Nil(t, id.Perms)

	id, err = ask(&program{ok: true, user: &User{Username: "real", Account: tenant, ConnectionDeadline: deadline,
		Permissions: &perm.Permissions{Publish: &perm.SubjectPermission{Deny: []string{"x"}}}}})
	require.NoError(t, err)
	require.Same(t, tenant, id.Account)
	require.Equal(t, "user:real", id.Label)
	require.Equal(t, deadline, id.Deadline)
	require.False(t, id.Perms.CanPublishString("x"))

	_, err = ask(&program{ok: true, user: &User{Permissions: &perm.Permissions{Publish: &perm.SubjectPermission{Deny: []string{"."}}}}})
	require.Error(t, err, "permissions that cannot be enforced are not granted")
}

func TestNonceOnRequest(t *testing.T) {
	require.True(t, newTable(t, Config{AlwaysNonce: true}).NonceRequired())
	require.False(t, newTable(t, Config{AlwaysNonce: true}).Required())
}

func BenchmarkAuthenticate(b *testing.B) {
	key, name := userKey(b)
	table := newTable(b, Config{Users: []*User{{Username: "u", Password: "p"}}, Nkeys: []*NkeyUser{{Nkey: name}}})
	for _, bench := range []struct {
		kind    string
		connect wire.Connect
	}{
		{"password", wire.Connect{Username: "u", Password: "p"}},
		{"nkey", wire.Connect{Nkey: name, Sig: sign(b, key, base64.RawURLEncoding)}},
	} {
		b.Run("kind="+bench.kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := table.Authenticate(Request{Connect: &bench.connect, Nonce: nonce, ConnType: Standard}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
