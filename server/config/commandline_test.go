package config

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// configure runs ConfigureOptions on args; text is what it wrote or was asked to print.
func configure(args ...string) (o *Options, text string, err error) {
	fs := flag.NewFlagSet("lockstep", flag.ContinueOnError)
	var b bytes.Buffer
	fs.SetOutput(&b)
	fs.Usage = func() { b.WriteString("usage") }
	say := func(s string) func() { return func() { b.WriteString(s) } }
	o, err = ConfigureOptions(fs, args, say("version"), say("help"), say("tls help"))
	return o, b.String(), err
}

func TestFlagsSetOptions(t *testing.T) {
	for _, tc := range []struct {
		args string
		want Options
	}{
		{"", Options{Logtime: true}},
		{"-a h", Options{Logtime: true, Host: "h"}},
		{"--addr=h", Options{Logtime: true, Host: "h"}},
		{"-net h", Options{Logtime: true, Host: "h"}},
		{"-p -1", Options{Logtime: true, Port: -1}},
		{"--port 5", Options{Logtime: true, Port: 5}},
		{"-n x", Options{Logtime: true, ServerName: "x"}},
		{"--server_name x", Options{Logtime: true, ServerName: "x"}},
		{"-P f -m 1 -ms 2", Options{Logtime: true, PidFile: "f", HTTPPort: 1, HTTPSPort: 2}},
		{"--client_advertise a:1 --ports_file_dir d --profile 3", Options{Logtime: true, ClientAdvertise: "a:1", PortsFileDir: "d", ProfPort: 3}},
		{"-l f -T=false --logtime_utc", Options{LogFile: "f", LogtimeUTC: true}},
		{"-s -r udp://a:1", Options{Logtime: true, Syslog: true, RemoteSyslog: "udp://a:1"}},
		{"-D -V", Options{Logtime: true, Debug: true, Trace: true}},
		{"-VV", Options{Logtime: true, Trace: true, TraceVerbose: true}},
		{"-DV", Options{Logtime: true, Debug: true, Trace: true}},
		{"-DVV", Options{Logtime: true, Debug: true, Trace: true, TraceVerbose: true}},
		{"-DV=false -D", Options{Logtime: true, Debug: true}},
		{"--log_size_limit 9 --max_traced_msg_len 8", Options{Logtime: true, LogSizeLimit: 9, MaxTracedMsgLen: 8}},
		{"--user u --pass p", Options{Logtime: true, Username: "u", Password: "p"}},
		{"--auth t", Options{Logtime: true, Authorization: "t"}},
		{"--tls=false --tlscert nowhere", Options{Logtime: true, TLSCert: "nowhere"}},
	} {
		t.Run(tc.args, func(t *testing.T) {
			o, text, err := configure(strings.Fields(tc.args)...)
			require.NoError(t, err)
			require.Empty(t, text)
			o.flags = nil
			require.Equal(t, &tc.want, o)
		})
	}
}

func TestCommandLineErrors(t *testing.T) {
	inCorpusDir(t)
	require.NoError(t, os.WriteFile("wrong.conf", []byte("foo: 1\n"), 0o600))
	for _, tc := range []struct{ args, want string }{
		{"foo", `unrecognized command: "foo"`},
		{"-D extra", `unrecognized command: "extra"`},
		{"-t", "must specify [-c, --config] option to check configuration file syntax"},
		{"-t -c nope.conf", "open nope.conf: no such file or directory"},
		{"-c wrong.conf", "wrong.conf:1:0: unknown field \"foo\"\n"},
		{"-p abc", `invalid value "abc" for flag -p: parse error`},
		{"-T=x", `invalid boolean value "x" for -T: parse error`},
		{"--nope", "flag provided but not defined: -nope"},
		{"--tls", "TLS Server certificate must be present and valid"},
		{"--tlsverify --tlscert cert.pem", "TLS Server private key must be present and valid"},
		{"--tlscert nope.pem --tlskey key.pem", "error parsing X509 certificate/key pair: open nope.pem: no such file or directory"},
		{"-sl foo", `unknown signal "foo"`},
		{"-sl stop=1=2=3", "invalid signal parameters: [2 3]"},
		{"-sl stop", "this program can not send signals"},
		{"-js=x", `invalid boolean value "x" for -js: parse error`},
		{"--routes nats://a:1", "solicited routes require cluster capabilities, e.g. --cluster"},
		{"--cluster nats://h:1 --routes :", `route ":" is not a url, want for example nats://host:port`},
		{"--cluster 127.0.0.1:-1", `parse "127.0.0.1:0": first path segment in URL cannot contain colon`},
		{"--cluster nats://127.0.0.1", "address 127.0.0.1: missing port in address"},
		{"--cluster nats://127.0.0.1:x", `parse "nats://127.0.0.1:x": invalid port ":x" after host`},
		{"--cluster_listen nats://u@127.0.0.1:-1", "expected cluster password to be set"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			o, _, err := configure(strings.Fields(tc.args)...)
			require.EqualError(t, err, tc.want)
			require.Nil(t, o)
		})
	}
}

func TestCommandLineAsksForText(t *testing.T) {
	for args, want := range map[string]string{
		"-v": "version", "--version": "version", "VERSION": "version", "-h": "help", "--help": "help", "Help": "help",
		"--help_tls": "tls help", "-v -h": "version", "-t -c x version": "version",
	} {
		o, text, err := configure(strings.Fields(args)...)
		require.NoError(t, err)
		require.Nil(t, o)
		require.Equal(t, want, text, args)
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	inCorpusDir(t)
	require.NoError(t, os.WriteFile("c.conf", []byte("port: 1, debug: true, logtime: false, host: h\nping_interval: 3\n"), 0o600))
	o, text, err := configure("-c", "c.conf", "-p", "5", "-D=false")
	require.NoError(t, err)
	require.Equal(t, "c.conf:2:1: invalid use of field \"ping_interval\": ping_interval should be converted to a duration\n", text)
	require.Equal(t, 5, o.Port)
	require.Equal(t, "h", o.Host)
	require.False(t, o.Debug)
	require.False(t, o.Logtime)

	o, _, err = configure("-t", "-c", "good.conf")
	require.Nil(t, o)
	require.ErrorContains(t, err, `unknown field "p"`)
	require.NoError(t, os.WriteFile("c.conf", []byte("port: 1"), 0o600))
	o, _, err = configure("-t", "-c", "c.conf")
	require.NoError(t, err)
	require.True(t, o.CheckConfig)
}

func TestTLSFlagsReplaceTheBlock(t *testing.T) {
	inCorpusDir(t)
	block := `tls { cert_file: cert.pem, key_file: key.pem, verify: true, ca_file: cert.pem }`
	require.NoError(t, os.WriteFile("c.conf", []byte(block), 0o600))
	o, _, err := configure("-c", "c.conf", "--tlscert", "cert.pem", "--tlskey", "key.pem")
	require.NoError(t, err)
	require.True(t, o.TLS)
	require.Nil(t, o.TLSConfig.ClientCAs)

	o, _, err = configure("-c", "c.conf", "--tlsverify", "--tlscert", "cert.pem", "--tlskey", "key.pem", "--tlscacert", "cert.pem")
	require.NoError(t, err)
	require.NotNil(t, o.TLSConfig.ClientCAs)

	o, _, err = configure("-c", "c.conf", "--tls=false")
	require.NoError(t, err)
	require.Nil(t, o.TLSConfig)
}

func TestSecretsAreRedacted(t *testing.T) {
	args := []string{"--user", "alice", "-pass=secret", "--auth=tok=en", "-p", "5"}
	o, _, err := configure(args...)
	require.NoError(t, err)
	require.Equal(t, "alice", o.Username)
	require.Equal(t, "secret", o.Password)
	require.Equal(t, "tok=en", o.Authorization)
	require.Equal(t, []string{"--user", "[REDACTED]", "-pass=[REDACTED]", "--auth=[REDACTED]", "-p", "5"}, args)
}

func TestSignalHook(t *testing.T) {
	var got []string
	hooks := Hooks{Signal: func(command, target string) error {
		got = append(got, command+"/"+target)
		return nil
	}}
	for _, text := range []string{"reload", "stop=12", "ldm=/run/x.pid"} {
		fs := flag.NewFlagSet("lockstep", flag.ContinueOnError)
		o, err := ConfigureOptionsWith(fs, []string{"--signal", text}, hooks)
		require.NoError(t, err)
		require.Nil(t, o)
	}
	require.Equal(t, []string{"reload/", "stop/12", "ldm//run/x.pid"}, got)
}

func TestUsageNamesEveryFlag(t *testing.T) {
	for _, s := range flagSpecs {
		for _, name := range strings.Fields(s.names) {
			found := slices.ContainsFunc([]string{" ", ",", "\n", "="}, func(end string) bool {
				return strings.Contains(Usage, "-"+name+end) || strings.Contains(Usage, "-"+name+")")
			})
			require.True(t, found, name)
		}
	}
	require.NotContains(t, Usage+TLSUsage, "nats-server")
}
