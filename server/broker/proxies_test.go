package broker_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
)

// vouch is a proxy: it signs the nonce for the clients that it passes on.
type vouch struct {
	pair nkeys.KeyPair
	key  string
}

// newVouch makes a proxy of the kind of key that prefix says.
func newVouch(t *testing.T, prefix nkeys.PrefixByte, seed byte) vouch {
	pair, err := nkeys.FromRawSeed(prefix, bytes.Repeat([]byte{seed}, 32))
	require.NoError(t, err)
	key, err := pair.PublicKey()
	require.NoError(t, err)
	return vouch{pair, key}
}

func (v vouch) sign(t *testing.T, nonce string) string {
	raw, err := v.pair.Sign([]byte(nonce))
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func trusted(list ...vouch) string {
	var keys []string
	for _, v := range list {
		keys = append(keys, "{key: "+v.key+"}")
	}
	return "proxies: {trusted: [" + strings.Join(keys, ", ") + "]}\n"
}

// nonce is what INFO gave the client to sign, "" for nothing.
func (s *script) nonce(name string) string {
	line, _, _ := strings.Cut(string(s.clients[name].got), "\r\n")
	var info struct {
		Nonce string `json:"nonce"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	return info.Nonce
}

// through connects a client; by is the proxy that it comes through, nil for none.
func (s *script) through(by *vouch, name, user string) {
	s.open(name)
	s.settle()
	sig := ""
	if by != nil {
		sig = by.sign(s.t, s.nonce(name))
	}
	s.connectWith(name, user, sig)
}

func (s *script) connectWith(name, user, sig string) {
	s.send(name, fmt.Sprintf(`CONNECT {"verbose":false,"name":%q,"user":%q,"pass":"p","proxy_sig":%q}`+"\r\nPING\r\n", name, user, sig))
	s.settle()
}

// fate is what became of a client: whether it is in, through whom, or why it ended.
func (s *script) fate(name string) string {
	for _, c := range s.broker.Clients() {
		if st := c.State(false); st.Ident != nil && st.Ident.Connect.Name == name {
			return strings.TrimSpace("open " + st.Ident.ProxyKey)
		}
	}
	for _, st := range s.broker.Closed() {
		if st.Ident != nil && st.Ident.Connect.Name == name {
			told := "silent"
			if strings.Contains(string(s.clients[name].got), "-ERR 'Authorization Violation'\r\n") {
				told = "told"
			}
			return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", st.Reason, told, st.Ident.User, st.Ident.ProxyKey))
		}
	}
	return "unknown"
}

func (s *script) reload(text string) {
	o := &config.Options{}
	require.NoError(s.t, o.ProcessConfigString(text))
	o.SetBaseline()
	require.NoError(s.t, o.Validate())
	require.NoError(s.t, s.broker.Reload(o))
	s.settle()
}

const proxyUsers = "authorization: {users: [{user: u, password: p}, {user: px, password: p, proxy_required: true}]}\n"

func TestTrustedProxies(t *testing.T) {
	a, n := newVouch(t, nkeys.PrefixByteAccount, 1), newVouch(t, nkeys.PrefixByteServer, 2)
	stranger := newVouch(t, nkeys.PrefixByteUser, 3)
	s := newScript(t, trusted(a, n)+proxyUsers)
	for _, tc := range []struct {
		name string
		by   *vouch
		user string
		want string
	}{
		{"direct", nil, "u", "open"},
		{"by the first", &a, "u", "open " + a.key},
		{"by the second", &n, "px", "open " + n.key},
		{"direct where a proxy is required", nil, "px", broker.ProxyRequired.String() + " told px"},
		{"by a stranger, though none is required", &stranger, "u", broker.ProxyNotTrusted.String() + " told u"},
		{"by a stranger where one is required", &stranger, "px", broker.ProxyNotTrusted.String() + " told px"},
		{"by a proxy, unknown user", &a, "zz", broker.AuthenticationViolation.String() + " told zz " + a.key},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.through(tc.by, tc.name, tc.user)
			require.Equal(t, tc.want, s.fate(tc.name))
			require.Len(t, s.nonce(tc.name), 15)
		})
	}
	s.open("garbage")
	s.settle()
	s.connectWith("garbage", "u", "!!")
	require.Equal(t, broker.ProxyNotTrusted.String()+" told u", s.fate("garbage"))
	s.open("replay")
	s.settle()
	s.connectWith("replay", "u", a.sign(t, "another's nonce"))
	require.Equal(t, broker.ProxyNotTrusted.String()+" told u", s.fate("replay"), "a signature is good for one connection")
}

func TestTrustedProxiesWithoutUsers(t *testing.T) {
	a, stranger := newVouch(t, nkeys.PrefixByteAccount, 1), newVouch(t, nkeys.PrefixByteAccount, 2)
	for _, tc := range []struct{ name, conf, direct, trusted string }{
		{"nobody must log in", "", "open", "open " + a.key},
		{"nobody must log in, nor come through a proxy", "authorization: {proxy_required: true}", "open", "open " + a.key},
		{"single user", "authorization: {user: u, password: p, proxy_required: true}", broker.ProxyRequired.String() + " told u", "open " + a.key},
		{"the block does not bind its users", "authorization: {proxy_required: true, users: [{user: u, password: p}]}", "open", "open " + a.key},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, trusted(a)+tc.conf)
			s.through(nil, "direct", "u")
			s.through(&a, "trusted", "u")
			s.through(&stranger, "stranger", "u")
			require.Equal(t, tc.direct, s.fate("direct"))
			require.Equal(t, tc.trusted, s.fate("trusted"))
			require.Equal(t, broker.ProxyNotTrusted.String()+" told u", s.fate("stranger"))
		})
	}
	s := newScript(t, proxyUsers)
	s.open("x")
	s.settle()
	require.Empty(t, s.nonce("x"), "nobody signs")
	s.connectWith("x", "u", "!!")
	require.Equal(t, "open", s.fate("x"), "where nobody is trusted no signature counts")
}

func TestReloadTakesTrustAway(t *testing.T) {
	a, n := newVouch(t, nkeys.PrefixByteAccount, 1), newVouch(t, nkeys.PrefixByteServer, 2)
	gone := broker.ProxyNotTrusted.String() + " told "
	for _, tc := range []struct{ name, after, u, px, direct string }{
		{"the other key stays", trusted(n) + proxyUsers, gone + "u " + a.key, "open " + n.key, "open"},
		{"the list is empty", "proxies: {trusted: []}\n" + proxyUsers, gone + "u " + a.key, gone + "px " + n.key, "open"},
		{"the block is gone", proxyUsers, gone + "u " + a.key, gone + "px " + n.key, "open"},
		{"another order", trusted(n, a) + proxyUsers, "open " + a.key, "open " + n.key, "open"},
		{"the user is gone, too", trusted(n) + "authorization: {users: [{user: px, password: p}]}",
			gone + "u " + a.key, "open " + n.key, broker.ClientClosed.String() + " silent u"},
		{"a proxy becomes required", trusted(a, n) + strings.Replace(proxyUsers, "password: p}", "password: p, proxy_required: true}", 1),
			"open " + a.key, "open " + n.key, broker.ProxyRequired.String() + " told u"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, trusted(a, n)+proxyUsers)
			s.through(&a, "u", "u")
			s.through(&n, "px", "px")
			s.through(nil, "direct", "u")
			s.reload(tc.after)
			require.Equal(t, tc.u, s.fate("u"))
			require.Equal(t, tc.px, s.fate("px"))
			require.Equal(t, tc.direct, s.fate("direct"))
		})
	}
}

func TestReloadBringsTrust(t *testing.T) {
	a, stranger := newVouch(t, nkeys.PrefixByteAccount, 1), newVouch(t, nkeys.PrefixByteAccount, 2)
	s := newScript(t, proxyUsers)
	s.through(nil, "early", "u")
	s.reload(trusted(a) + proxyUsers)
	require.Equal(t, "open", s.fate("early"), "who came without a signature needs none")
	s.through(&a, "late", "px")
	require.Equal(t, "open "+a.key, s.fate("late"))

	s = newScript(t, trusted(a)+proxyUsers)
	s.reload("proxies: {}\n" + trusted(stranger) + proxyUsers)
	s.through(&stranger, "new", "px")
	require.Equal(t, "open "+stranger.key, s.fate("new"))
	s.connectWith("new", "u", "")
	require.Equal(t, "open "+stranger.key, s.fate("new"), "a second CONNECT comes the same way")
	s.reload(trusted(a) + proxyUsers)
	require.Equal(t, broker.ProxyNotTrusted.String()+" told u "+stranger.key, s.fate("new"))
}
