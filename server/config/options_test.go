package config

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/perm"
)

// read returns the options that a file of this text states.
func read(t *testing.T, text string) *Options {
	t.Helper()
	path := t.TempDir() + "/c.conf"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	o, err := ProcessConfigFile(path)
	require.NoError(t, err)
	return o
}

func TestEveryScalarOption(t *testing.T) {
	o := read(t, `
		listen: "127.0.0.1:4333", server_name: n, client_advertise: "a:1"
		server_tags: [a, " B:c", A, ""], server_metadata: {k: v}
		max_connections: 1, max_subscriptions: 2, max_sub_tokens: 3, max_control_line: 4k, max_payload: 5kb
		max_pending: 6mb, max_closed_clients: 7, max_traced_msg_len: 8
		ping_interval: "9s", ping_max: 10, write_deadline: "11s", write_timeout: retry
		lame_duck_duration: "1m", lame_duck_grace_period: "12s"
		no_fast_producer_stall: true, no_header_support: true, disable_sublist_cache: true, proxy_protocol: true
		allow_non_tls: true, no_auth_user: u, system_account: S, no_system_account: true
		http: "h:13", http_base_path: /b, https_port: 14, prof_port: 15, prof_block_rate: 16
		pid_file: p, ports_file_dir: d, log_file: l, log_size_limit: 17, log_max_num: 18
		logtime: true, logtime_utc: true, debug: true, trace_verbose: true, trace_headers: true, trace: false
		syslog: true, remote_syslog: r, connect_error_reports: 19, reconnect_error_reports: 20
		authorization { user: a, pass: b, timeout: 1.5 }
	`)
	require.True(t, strings.HasPrefix(o.ConfigDigest(), "sha256:"))
	require.True(t, strings.HasSuffix(o.ConfigFile, "/c.conf"))
	o.ConfigFile, o.digest, o.inFile = "", "", nil
	require.Equal(t, &Options{
		Host: "127.0.0.1", Port: 4333, ServerName: "n", ClientAdvertise: "a:1",
		Tags: []string{"a", "b:c"}, Metadata: map[string]string{"k": "v"},
		MaxConn: 1, MaxSubs: 2, MaxSubTokens: 3, MaxControlLine: 4000, MaxPayload: 5120, MaxPending: 6 << 20,
		MaxClosedClients: 7, MaxTracedMsgLen: 8, PingInterval: 9 * time.Second, MaxPingsOut: 10,
		WriteDeadline: 11 * time.Second, WriteTimeout: WriteTimeoutPolicyRetry,
		LameDuckDuration: time.Minute, LameDuckGracePeriod: 12 * time.Second,
		NoFastProducerStall: true, NoHeaderSupport: true, NoSublistCache: true, ProxyProtocol: true, AllowNonTLS: true,
		NoAuthUser: "u", SystemAccount: "S", NoSystemAccount: true,
		HTTPHost: "h", HTTPPort: 13, HTTPBasePath: "/b", HTTPSPort: 14, ProfPort: 15, ProfBlockRate: 16,
		PidFile: "p", PortsFileDir: "d", LogFile: "l", LogSizeLimit: 17, LogMaxFiles: 18,
		Logtime: true, LogtimeUTC: true, Debug: true, Trace: true, TraceVerbose: true, TraceHeaders: true,
		Syslog: true, RemoteSyslog: "r", ConnectErrorReports: 19, ReconnectErrorReports: 20,
		Username: "a", Password: "b", AuthTimeout: 1.5,
	}, o)
}

// TestEveryKeyTakesEveryType gives each key a value of each type: it is taken or
// refused with its place, never worse.
func TestEveryKeyTakesEveryType(t *testing.T) {
	keys := slices.Sorted(maps.Keys(settings))
	require.Greater(t, len(keys), 60)
	for _, key := range keys {
		taken := 0
		for _, value := range []string{"7", "-7", "1.5", "true", `"40s"`, "close", `"a:1"`, "[a]", "[1 ]", "[{a: 1}]", "{a: b}", "{}", "2016-05-04T18:53:41Z"} {
			o := &Options{}
			err := o.ProcessConfigString(key + ": " + value)
			if err == nil {
				taken++
				continue
			}
			require.Regexp(t, `^(:1:\d+: .+\n)+$`, err.Error(), "%s: %s", key, value)
		}
		require.NotZero(t, taken, key)
	}
}

func TestAuthorizationBlock(t *testing.T) {
	o := read(t, `
		authorization {
			default_permissions: { publish: [x, y], subscribe: {allow: "q.>", deny: ["q.a g"]}, allow_responses: true }
			users: [
				{user: a, password: pa}
				{user: b, permissions: {pub: p, allow_responses: {max: 5, ttl: "1m"}}, connection_types: [standard, mqtt]}
				{nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4, permissions: {pub: [], allow_responses: {max: 0}}}
			]
		}`)
	defaults := &perm.Permissions{
		Publish:   &perm.SubjectPermission{Allow: []string{"x", "y"}},
		Subscribe: &perm.SubjectPermission{Allow: []string{"q.>"}, Deny: []string{"q.a g"}},
		Response:  &perm.ResponsePermission{MaxMsgs: 1, Expires: 2 * time.Minute},
	}
	require.Equal(t, []*auth.User{
		{Username: "a", Password: "pa", Permissions: defaults},
		{
			Username: "b", AllowedConnectionTypes: map[string]struct{}{"STANDARD": {}, "MQTT": {}},
			Permissions: &perm.Permissions{
				Publish:  &perm.SubjectPermission{Allow: []string{"p"}},
				Response: &perm.ResponsePermission{MaxMsgs: 5, Expires: time.Minute},
			},
		},
	}, o.Users)
	require.Equal(t, []*auth.NkeyUser{{
		Nkey: "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
		Permissions: &perm.Permissions{
			Publish:  &perm.SubjectPermission{Allow: []string{}},
			Response: &perm.ResponsePermission{MaxMsgs: 1, Expires: 2 * time.Minute},
		},
	}}, o.Nkeys)
}

func TestAccountsBlock(t *testing.T) {
	o := read(t, `
		mappings { "m.*": "n.$1" }
		accounts {
			A {
				nkey: ACSU3Q6LTLBVLGAQUONAGXJHVNWGSKKAUA7IY5TB4Z7PLEKSR5O6JTGR
				default_permissions: {pub: d}
				users: [{user: a, password: pa}, {user: b, permissions: {sub: s}}]
				limits { max_conn: 1, max_subs: 2, max_payload: 3k }
				exports: [
					{stream: "pub.>"}, {stream: "priv.>", accounts: [B]}, {stream: nobody, accounts: []}
					{service: "svc.*", response: stream, threshold: "5s", allow_trace: true}
					{service: "pos.*", account_token_position: 2}
				]
				mappings { x: [{dest: y, weight: "30%"}, {dest: z, weight: 20, cluster: c}] }
			}
			B {
				imports: [
					{stream: {account: A, subject: "pub.>"}, prefix: fromA, allow_trace: true}
					{stream: {account: A, subject: "priv.*"}, to: "x.$1"}
					{service: {account: A, subject: "svc.*"}, to: "mysvc.*", share: true}
					{service: {account: A, subject: "pos.B"}}
				]
			}
		}`)
	require.Len(t, o.Accounts, 3)
	global, a, b := o.Accounts[0], o.Accounts[1], o.Accounts[2]
	require.Equal(t, account.Global, global.Name)
	require.NotNil(t, global.Graph().Mappings)
	require.Equal(t, "A", a.Name)
	require.Equal(t, "ACSU3Q6LTLBVLGAQUONAGXJHVNWGSKKAUA7IY5TB4Z7PLEKSR5O6JTGR", a.Nkey)
	require.Equal(t, account.Limits{Connections: 1, Subs: 2, Payload: 3000, LeafNodes: -1}, a.Limits())
	require.Equal(t, account.Unlimited, b.Limits())
	require.NotNil(t, a.Graph().Mappings)
	require.Same(t, a, o.Users[0].Account)
	require.Equal(t, []string{"d"}, o.Users[0].Permissions.Publish.Allow)
	require.Nil(t, o.Users[1].Permissions.Publish, "default permissions do not mix with a user's own")

	exports := a.Graph().StreamExports
	require.Len(t, exports, 3)
	require.Nil(t, exports[0].Accounts)
	require.Equal(t, []string{"B"}, exports[1].Accounts)
	require.NotNil(t, exports[2].Accounts, "nobody is not everybody")
	services := a.Graph().ServiceExports
	require.Equal(t, account.Streamed, services[0].Response)
	require.Equal(t, 5*time.Second, services[0].Threshold)
	require.True(t, services[0].AllowTrace)
	require.Equal(t, 2, services[1].TokenPosition)

	streams := b.Graph().StreamImports
	require.Equal(t, "fromA.pub.>", streams[0].To)
	require.True(t, streams[0].AllowTrace)
	require.Equal(t, "x.*", streams[1].To)
	imports := b.Graph().ServiceImports
	require.Equal(t, "mysvc.*", imports[0].From)
	require.Equal(t, "svc.*", imports[0].To)
	require.True(t, imports[0].Share)
	require.Equal(t, "pos.B", imports[1].From)
	require.False(t, imports[1].Share)
}

func TestAccountNamesOnly(t *testing.T) {
	o := read(t, "accounts: [A, B]")
	require.Equal(t, "A", o.Accounts[0].Name)
	require.Equal(t, "B", o.Accounts[1].Name)
}

func TestWarningsDoNotRefuseAStart(t *testing.T) {
	o := read(t, "ping_interval: 5")
	require.Equal(t, 5*time.Second, o.PingInterval)
	require.Len(t, o.Warnings(), 1)
	require.ErrorContains(t, o.Warnings()[0], `:1:0: invalid use of field "ping_interval": ping_interval should be converted to a duration`)

	checked := &Options{CheckConfig: true}
	err := checked.ProcessConfigFile(o.ConfigFile)
	var list *Errors
	require.ErrorAs(t, err, &list)
	require.Len(t, list.Warnings, 1)
	require.Empty(t, list.Errors)
	var one *Error
	require.ErrorAs(t, err, &one)
	require.Equal(t, 1, one.Pos.Line)
}

func TestMissingFile(t *testing.T) {
	_, err := ProcessConfigFile("nope.conf")
	require.EqualError(t, err, "open nope.conf: no such file or directory")
	require.NoError(t, (&Options{}).ProcessConfigFile(""))
}

func TestProcessConfigString(t *testing.T) {
	o := &Options{}
	require.NoError(t, o.ProcessConfigString("port: 4333"))
	require.Equal(t, 4333, o.Port)
	require.EqualError(t, o.ProcessConfigString("port: a"), ":1:0: interface conversion: interface {} is string, not int64\n")
}

func TestBaseline(t *testing.T) {
	o := &Options{}
	o.SetBaseline()
	require.Equal(t, &Options{
		Host: "0.0.0.0", HTTPHost: "0.0.0.0", Port: 4222, MaxConn: 65536, PingInterval: 2 * time.Minute, MaxPingsOut: 2,
		TLSTimeout: 2, AuthTimeout: 2, MaxControlLine: 4096, MaxPayload: 1 << 20, MaxPending: 64 << 20,
		WriteDeadline: 10 * time.Second, MaxClosedClients: 10000, LameDuckDuration: 2 * time.Minute,
		LameDuckGracePeriod: 10 * time.Second, ConnectErrorReports: 3600, ReconnectErrorReports: 1,
		JetStreamMaxMemory: DynamicMax, JetStreamMaxStore: DynamicMax, JetStreamRequestQueueLimit: 10000,
		JetStreamInfoQueueLimit: 10000, JetStreamConcurrentIOs: 4096,
		JetStreamLimits: JSLimitOpts{DefaultMaxConsumers: 1000},
	}, o)
	twice := o.Clone()
	twice.SetBaseline()
	require.Equal(t, o, twice)

	o = &Options{Port: RandomPort, MaxPayload: -1, TLSConfig: &tls.Config{}, TLSTimeout: 5}
	o.SetBaseline()
	require.Equal(t, RandomPort, o.Port)
	require.EqualValues(t, -1, o.MaxPayload)
	require.Equal(t, 6.0, o.AuthTimeout)

	o = read(t, "max_connections: 0")
	o.SetBaseline()
	require.Zero(t, o.MaxConn, "a stated zero is a limit")
}

func TestCloneSharesNothing(t *testing.T) {
	o := read(t, `
		server_tags: [a], server_metadata: {a: b}, feature_flags: {a: true}
		proxies: {trusted: [{key: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4}]}
		tls { pinned_certs: ["`+strings.Repeat("a", 64)+`"] }
		accounts: {A: {users: [{user: u, permissions: {pub: x, allow_responses: true}}
			{nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4, permissions: {sub: x}}]}}`)
	c := o.Clone()
	require.Equal(t, o.Users, c.Users)
	require.Equal(t, o.Nkeys, c.Nkeys)
	c.Tags[0], c.Metadata["a"], c.inFile["x"] = "z", "z", true
	clear(c.TLSPinnedCerts)
	require.Equal(t, o.Proxies, c.Proxies)
	c.Proxies.Trusted[0].Key, c.FeatureFlags["a"] = "z", false
	c.Users[0].Permissions.Publish.Allow[0] = "z"
	c.Users[0].Permissions.Response.MaxMsgs = 9
	c.Nkeys[0].Permissions.Subscribe.Allow[0] = "z"
	c.tlsOpts.CertFile = "z"
	c.TLSConfig.MinVersion = tls.VersionTLS13
	require.Equal(t, "a", o.Tags[0])
	require.Equal(t, "b", o.Metadata["a"])
	require.False(t, o.inFile["x"])
	require.Len(t, o.TLSPinnedCerts, 1)
	require.Equal(t, []string{"UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"}, o.TrustedProxyKeys())
	require.True(t, o.FeatureFlags["a"])
	require.Equal(t, "x", o.Users[0].Permissions.Publish.Allow[0])
	require.Equal(t, 1, o.Users[0].Permissions.Response.MaxMsgs)
	require.Equal(t, "x", o.Nkeys[0].Permissions.Subscribe.Allow[0])
	require.Empty(t, o.tlsOpts.CertFile)
	require.EqualValues(t, tls.VersionTLS12, o.TLSConfig.MinVersion)
	require.Same(t, o.Users[0].Account, c.Users[0].Account)
	require.Nil(t, (*Options)(nil).Clone())
}

// TestCloneCopiesEveryReference fails for a new field that Clone would share.
func TestCloneCopiesEveryReference(t *testing.T) {
	copied := map[string]bool{
		"Tags": true, "Metadata": true, "Users": true, "Nkeys": true, "Accounts": true, "TLSConfig": true,
		"TLSPinnedCerts": true, "Routes": true, "Proxies": true, "FeatureFlags": true, "JsAccDefaultDomain": true, "tlsOpts": true, "inFile": true, "warnings": true,
		"CustomClientAuthentication": true, // the program's own
		"flags":                      true, // never changed
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Options]()) {
		switch f.Type.Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface, reflect.Func:
			require.True(t, copied[f.Name], "Clone does not know %s", f.Name)
		}
	}
}

func TestValidate(t *testing.T) {
	user := func(u auth.User) []*auth.User { return []*auth.User{&u} }
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"nothing wrong", Options{}, ""},
		{"grace equals duration", Options{LameDuckDuration: time.Minute, LameDuckGracePeriod: time.Minute},
			"lame duck grace period (1m0s) should be strictly lower than lame duck duration (1m0s)"},
		{"payload equals pending", Options{MaxPayload: 64 << 20}, ""},
		{"payload above pending", Options{MaxPayload: 64<<20 + 1}, "max_payload (67108865) cannot be higher than max_pending (67108864)"},
		{"blank in the name", Options{ServerName: "a b"}, "server name cannot contain spaces"},
		{"connection type", Options{Users: user(auth.User{AllowedConnectionTypes: map[string]struct{}{"b": {}, "STANDARD": {}, "a": {}}})},
			`invalid connection types ["a" "b"]`},
		{"nkey connection type", Options{Nkeys: []*auth.NkeyUser{{AllowedConnectionTypes: map[string]struct{}{"b": {}}}}},
			`invalid connection types ["b"]`},
		{"publish permission with a queue", Options{Users: user(auth.User{Permissions: &perm.Permissions{
			Publish: &perm.SubjectPermission{Deny: []string{"a b"}}}})}, `subject "a b" is not a valid subject`},
		{"nkey permission", Options{Nkeys: []*auth.NkeyUser{{Permissions: &perm.Permissions{
			Subscribe: &perm.SubjectPermission{Allow: []string{"a q", "a..b"}}}}}}, `subject "a..b" is not a valid subject`},
		{"no_auth_user without users", Options{NoAuthUser: "u"}, `no_auth_user: "u" present, but users/nkeys are not defined`},
		{"no_auth_user is nobody", Options{NoAuthUser: "u", Users: user(auth.User{Username: "v"})},
			`no_auth_user: "u" not present as user or nkey in authorization block or account configuration`},
		{"no_auth_user is a user", Options{NoAuthUser: "u", Users: user(auth.User{Username: "u"})}, ""},
		{"no_auth_user is an nkey", Options{NoAuthUser: "u", Nkeys: []*auth.NkeyUser{{Nkey: "u"}}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.SetBaseline()
			err := tc.o.Validate()
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestTLSBlock(t *testing.T) {
	inCorpusDir(t)
	o := read(t, `tls {
		cert_file: cert.pem, key_file: key.pem, ca_file: cert.pem, verify_and_map: true, timeout: 3
		handshake_first: auto, connection_rate_limit: 7, min_version: "1.3"
		cipher_suites: [TLS_AES_128_GCM_SHA256], curve_preferences: [CurveP256, X25519]
		pinned_certs: ["`+strings.Repeat("A", 64)+`"]
	}`)
	c := o.TLSConfig
	require.Len(t, c.Certificates, 1)
	require.Equal(t, tls.RequireAndVerifyClientCert, c.ClientAuth)
	require.EqualValues(t, tls.VersionTLS13, c.MinVersion)
	require.Equal(t, []uint16{tls.TLS_AES_128_GCM_SHA256}, c.CipherSuites)
	require.Equal(t, []tls.CurveID{tls.CurveP256, tls.X25519}, c.CurvePreferences)
	require.NotNil(t, c.ClientCAs)
	require.True(t, o.TLSMap)
	require.Equal(t, 3.0, o.TLSTimeout)
	require.EqualValues(t, 7, o.TLSRateLimit)
	require.True(t, o.TLSHandshakeFirst)
	require.Equal(t, 50*time.Millisecond, o.TLSHandshakeFirstFallback)
	require.Equal(t, PinnedCertSet{strings.Repeat("a", 64): {}}, o.TLSPinnedCerts)
}

func TestTLSDefaults(t *testing.T) {
	c, err := GenTLSConfig(&TLSConfigOpts{})
	require.NoError(t, err)
	require.EqualValues(t, tls.VersionTLS12, c.MinVersion)
	require.Equal(t, []tls.CurveID{
		tls.X25519MLKEM768, tls.SecP384r1MLKEM1024, tls.SecP256r1MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521,
	}, c.CurvePreferences)
	require.Len(t, c.CipherSuites, len(tls.CipherSuites()))
	require.Empty(t, insecureCiphers(c.CipherSuites))
	_, err = GenTLSConfig(&TLSConfigOpts{MinVersion: tls.VersionTLS11})
	require.EqualError(t, err, "unsupported TLS version: TLS 1.1")
}

func TestMatchesPinned(t *testing.T) {
	inCorpusDir(t)
	cert, err := loadKeyPair("cert.pem", "key.pem")
	require.NoError(t, err)
	state := &tls.ConnectionState{PeerCertificates: nil}
	require.True(t, MatchesPinned(nil, state))
	pinned := PinnedCertSet{strings.Repeat("a", 64): {}}
	require.False(t, MatchesPinned(pinned, state))
	require.False(t, MatchesPinned(pinned, nil))
	state.PeerCertificates = append(state.PeerCertificates, cert.Leaf)
	require.False(t, MatchesPinned(pinned, state))
	pinned[spkiDigest(cert.Leaf.RawSubjectPublicKeyInfo)] = struct{}{}
	require.True(t, MatchesPinned(pinned, state))
}

func spkiDigest(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
