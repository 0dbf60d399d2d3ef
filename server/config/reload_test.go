package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReloadTableIsComplete(t *testing.T) {
	var fields, listed []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Options]()) {
		if f.IsExported() {
			fields = append(fields, f.Name)
		}
	}
	for _, r := range reloadTable {
		listed = append(listed, r.field)
		if r.line != nil {
			require.Contains(t, lineOrder, r.field, "its line has no place")
		}
	}
	slices.Sort(fields)
	slices.Sort(listed)
	require.Equal(t, fields, listed)
	for _, field := range lineOrder {
		require.True(t, findReloadable(field).line != nil || everyReload[field] != "", field)
	}
}

// reloading plans the change from one file to another. ok is whether it may happen.
func reloading(t *testing.T, before, after string) (lines string, changed []string, err error) {
	t.Helper()
	old := read(t, before)
	old.SetBaseline()
	require.NoError(t, os.WriteFile(old.ConfigFile, []byte(after), 0o600))
	next, err := old.Reread()
	if err != nil {
		return "", nil, err
	}
	p, err := Plan(old, next)
	if err != nil {
		return "", nil, err
	}
	for _, c := range p.Changes {
		changed = append(changed, c.Field)
	}
	return strings.Join(p.Lines, "\n"), changed, nil
}

const usersAndAccounts = "Reloaded: authorization users\nReloaded: accounts"

func TestLiveOptions(t *testing.T) {
	inCorpusDir(t)
	block := func(more string) string { return "tls {cert_file: cert.pem, key_file: key.pem" + more + "}" }
	for _, tc := range []struct{ before, after, first, then string }{
		{"", "", "", ""},
		{"", "client_advertise: 'a:1'", "Reload: client_advertise = a:1", ""},
		{"", "debug: true, trace: true", "Reloaded: trace = true\nReloaded: debug = true", ""},
		{"", "trace_verbose: true", "Reloaded: trace = true\nReloaded: trace_verbose = true", ""},
		{"", "trace_headers: true", "Reloaded: trace = true\nReloaded: trace_headers = true", ""},
		{"", "logtime: true, logtime_utc: true", "Reloaded: logtime = true\nReloaded: logtime_utc = true", ""},
		{"", "max_connections: 5", "Reloaded: max_connections = 5", ""},
		{"max_connections: 0", "", "Reloaded: max_connections = 65536", ""},
		{"", "log_file: a.log", "", "Reloaded: log_file = a.log"},
		{"log_file: a.log", "", "", "Reloaded: log_file = "},
		{"", "syslog: true", "", "Reloaded: syslog = true"},
		{"", "remote_syslog: 'udp://a:1'", "", "Reloaded: remote_syslog = udp://a:1"},
		{"", "pid_file: p", "", "Reloaded: pid_file = p"},
		{"pid_file: p", "", "", ""},
		{"", "ports_file_dir: d", "", "Reloaded: ports_file_dir = d"},
		{"", "max_control_line: 5k", "", "Reloaded: max_control_line = 5000"},
		{"", "max_payload: 5k", "", "Reloaded: max_payload = 5000"},
		{"", "max_traced_msg_len: 5", "", "Reloaded: max_traced_msg_len = 5"},
		{"", "ping_interval: '5s', ping_max: 3", "", "Reloaded: ping_interval = 5s\nReloaded: ping_max = 3"},
		{"", "write_deadline: '5s'", "", "Reloaded: write_deadline = 5s"},
		{"", "no_fast_producer_stall: true", "", "Reloaded: fast producers will not be stalled"},
		{"no_fast_producer_stall: true", "", "", "Reloaded: fast producers will be stalled"},
		{"", "prof_block_rate: 2", "", "Reloaded: prof_block_rate = 2"},
		{"", "connect_error_reports: 2", "", "Reloaded: connect_error_reports = 2"},
		{"", "reconnect_error_reports: 2", "", "Reloaded: reconnect_error_reports = 2"},
		{"server_tags: a", "server_tags: b, server_metadata: {a: b}", "", "Reloaded: tags\nReloaded: metadata"},
		{"", "authorization: {user: a, password: b}", "", "Reloaded: authorization username\nReloaded: authorization password"},
		{"authorization: {token: a}", "", "", "Reloaded: authorization token"},
		{"", "authorization: {timeout: 5}", "", "Reloaded: authorization timeout = 5"},
		{"", "accounts: {A: {users: [{user: a}]}}, mappings: {a: b}", "", ""},
		{"", block(""), "", "Reloaded: authorization timeout = 3\nReloaded: tls = enabled"},
		{block(""), "", "", "Reloaded: authorization timeout = 2\nReloaded: tls = disabled"},
		{block(""), block(""), "", ""},
		{block(""), block(", timeout: 5"), "", "Reloaded: authorization timeout = 6\nReloaded: tls timeout = 5"},
		{block(""), block(", verify: true, ca_file: cert.pem"), "", "Reloaded: tls = enabled"},
		{block(""), block(", pinned_certs: ['" + strings.Repeat("a", 64) + "']"), "", "Reloaded: 1 pinned_certs"},
		{block(""), block(", handshake_first: '100ms'"), "",
			"Reloaded: Client TLS handshake first: true\nReloaded: Client TLS handshake first fallback delay: 100ms"},
	} {
		t.Run(tc.before+"->"+tc.after, func(t *testing.T) {
			lines, _, err := reloading(t, tc.before, tc.after)
			require.NoError(t, err)
			want := strings.Trim(tc.first+"\n"+usersAndAccounts+"\n"+tc.then, "\n")
			require.Equal(t, strings.TrimRight(want, "\n"), strings.TrimRight(lines, "\n"))
		})
	}
}

func TestRejectedOptions(t *testing.T) {
	inCorpusDir(t)
	for _, tc := range []struct{ before, after, want string }{
		{"", "server_name: x", "ServerName: old=, new=x"},
		{"", "host: x", "Host: old=0.0.0.0, new=x"},
		{"", "port: 5", "Port: old=4222, new=5"},
		{"", "log_size_limit: 5", "LogSizeLimit: old=0, new=5"},
		{"", "log_max_num: 5", "LogMaxFiles: old=0, new=5"},
		{"", "max_subscriptions: 5", "MaxSubs: old=0, new=5"},
		{"", "max_sub_tokens: 5", "MaxSubTokens: old=0, new=5"},
		{"", "max_pending: 5mb", "MaxPending: old=67108864, new=5242880"},
		{"", "max_closed_clients: 5", "MaxClosedClients: old=10000, new=5"},
		{"", "write_timeout: close", "WriteTimeout: old=, new=close"},
		{"", "lame_duck_duration: '40s'", "LameDuckDuration: old=2m0s, new=40s"},
		{"", "lame_duck_grace_period: '5s'", "LameDuckGracePeriod: old=10s, new=5s"},
		{"", "no_header_support: true", "NoHeaderSupport: old=false, new=true"},
		{"", "no_sublist_cache: true", "NoSublistCache: old=false, new=true"},
		{"", "proxy_protocol: true", "ProxyProtocol: old=false, new=true"},
		{"", "authorization: {proxy_required: true}", "ProxyRequired: old=false, new=true"},
		{"", "feature_flags: {foo: false}", "FeatureFlags: old=map[], new=map[foo:false]"},
		{"feature_flags: {foo: true}", "feature_flags: {foo: false}", "FeatureFlags: old=map[foo:true], new=map[foo:false]"},
		{"", "authorization: {proxy_required: true}, feature_flags: {foo: true}", "ProxyRequired: old=false, new=true"},
		{"", "allow_non_tls: true", "AllowNonTLS: old=false, new=true"},
		{"", "http_port: 5", "HTTPPort: old=0, new=5"},
		{"", "http_base_path: /x", "HTTPBasePath: old=, new=/x"},
		{"", "https_port: 5", "HTTPSPort: old=0, new=5"},
		{"", "prof_port: 5", "ProfPort: old=0, new=5"},
		{"", "no_auth_user: a, authorization {users: [{user: a}]}", "NoAuthUser: old=, new=a"},
		{"", "system_account: A", "SystemAccount: old=, new=A"},
		{"", "no_system_account: true", "NoSystemAccount: old=false, new=true"},
		{"tls {}", "tls {connection_rate_limit: 5}", "TLSRateLimit: old=0, new=5"},
		{"tls {}", "tls {verify_and_map: true}", "TLSMap: old=false, new=true"},
		{"", "debug: true, port: 5, server_name: x", "ServerName: old=, new=x"},
	} {
		t.Run(tc.after, func(t *testing.T) {
			_, _, err := reloading(t, tc.before, tc.after)
			require.EqualError(t, err, "config reload not supported for "+tc.want)
		})
	}
}

func TestRereadRefusals(t *testing.T) {
	_, _, err := reloading(t, "", "foo: 1")
	require.ErrorContains(t, err, `c.conf:1:0: unknown field "foo"`)
	_, _, err = reloading(t, "", "max_payload: 100mb")
	require.EqualError(t, err, "max_payload (104857600) cannot be higher than max_pending (67108864)")
	_, err = (&Options{}).Reread()
	require.EqualError(t, err, "can only reload config when a file is provided using -c or --config")
}

func TestRandomPortKeepsWhatWasFound(t *testing.T) {
	_, changed, err := reloading(t, "port: 5", "port: -1")
	require.NoError(t, err)
	require.Equal(t, []string{"Users", "Nkeys", "Accounts"}, changed)
}

func TestNewCertificatesAreAChange(t *testing.T) {
	inCorpusDir(t)
	old := read(t, "tls {cert_file: cert.pem, key_file: key.pem}")
	old.SetBaseline()
	writePair(t, "cert.pem", "key.pem")
	next, err := old.Reread()
	require.NoError(t, err)
	p, err := Plan(old, next)
	require.NoError(t, err)
	require.True(t, p.Changed("TLSConfig"))
	require.False(t, p.Changed("TLSTimeout", "MaxConn"))
	require.Equal(t, usersAndAccounts+"\nReloaded: tls = enabled", strings.Join(p.Lines, "\n"))
}

func TestPlanTellsEveryChange(t *testing.T) {
	old := read(t, "debug: true")
	old.SetBaseline()
	next := old.Clone()
	next.Debug, next.PingInterval, next.Tags = false, 5, []string{}
	p, err := Plan(old, next)
	require.NoError(t, err)
	require.Equal(t, []Change{
		{"Debug", true, false, Live},
		{"PingInterval", old.PingInterval, next.PingInterval, Live},
		{"Users", old.Users, next.Users, Live},
		{"Nkeys", old.Nkeys, next.Nkeys, Live},
		{"Accounts", old.Accounts, next.Accounts, Live},
	}, p.Changes)
	require.Same(t, old, p.Old)
	require.Same(t, next, p.New)
}

func TestWhichFlagsSurviveAReload(t *testing.T) {
	inCorpusDir(t)
	require.NoError(t, os.WriteFile("c.conf", []byte("debug: true\nport: 7\n"), 0o600))
	for _, tc := range []struct{ args, want string }{
		{"-a h", ""}, {"-p 5", ""}, {"-P f", ""}, {"-m 1", ""}, {"--client_advertise a:1", ""}, {"--ports_file_dir d", ""},
		{"--profile 3", ""}, {"-l f", ""}, {"-T=false", ""}, {"-D=false", ""}, {"-V", ""}, {"-VV", ""}, {"-DVV", ""}, {"-js", ""}, {"-sd d", ""}, {"-js -sd d", ""},
		{"--user u --pass p", ""}, {"--auth t", ""},
		{"-n x", "config reload not supported for ServerName: old=x, new="},
		{"-ms 5", "config reload not supported for HTTPSPort: old=5, new=0"},
		{"--log_size_limit 5", "config reload not supported for LogSizeLimit: old=5, new=0"},
		{"--tlscert cert.pem --tlskey key.pem", "config reload not supported for TLSCert: old=cert.pem, new="},
	} {
		t.Run(tc.args, func(t *testing.T) {
			o, _, err := configure(append([]string{"-c", "c.conf"}, strings.Fields(tc.args)...)...)
			require.NoError(t, err)
			o.SetBaseline()
			next, err := o.Reread()
			require.NoError(t, err)
			p, err := Plan(o, next)
			if tc.want != "" {
				require.EqualError(t, err, tc.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, usersAndAccounts, strings.Join(p.Lines, "\n"))
		})
	}
	o, _, err := configure("-c", "c.conf", "--logtime_utc", "--max_traced_msg_len", "5")
	require.NoError(t, err)
	o.SetBaseline()
	o.NoSigs, o.DontListen = true, true
	next, err := o.Reread()
	require.NoError(t, err)
	require.True(t, next.NoSigs && next.DontListen, "what only a program can set stays")
	p, err := Plan(o, next)
	require.NoError(t, err)
	require.Equal(t, "Reloaded: logtime_utc = false\n"+usersAndAccounts+"\nReloaded: max_traced_msg_len = 0", strings.Join(p.Lines, "\n"))
}

func FuzzProcessConfigString(f *testing.F) {
	for _, name := range []string{"accounts", "authorization", "jetstream", "options", "proxies", "tls"} {
		b, err := os.ReadFile("testdata/" + name + ".txt")
		require.NoError(f, err)
		for i, c := range strings.Split(string(b), "====\n") {
			if text, _, ok := strings.Cut(c, "\n----\n"); ok && i%7 == 0 {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") {
			return // the tls block would read it
		}
		o := &Options{}
		if err := o.ProcessConfigString(text); err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		o.SetBaseline()
		next := o.Clone()
		_, err := Plan(o, next)
		require.NoError(t, err)
	})
}
