package config

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/perm"
)

const wholeCluster = `
	cluster {
		name: c, listen: "127.0.0.1:6222", advertise: "a:1", no_advertise: true
		routes: ["nats://u:p@h:1", "nats://h:2"]
		authorization { user: u, password: p, timeout: 3 }
		permissions { import: a, export: {allow: [b], deny: ["c.>"]} }
		connect_retries: 4, connect_backoff: true, pool_size: 5, accounts: [A, B]
		compression: {mode: auto, rtt_thresholds: ["0", "20ms", "30ms"]}
		ping_interval: "5s", ping_max: 6, write_deadline: "7s", write_timeout: close
	}`

func TestClusterBlock(t *testing.T) {
	o := read(t, wholeCluster)
	o.SetBaseline()
	require.NoError(t, o.Validate())
	require.Len(t, o.Routes, 2)
	require.Equal(t, "nats://u:p@h:1", o.Routes[0].String())
	require.Equal(t, ClusterOpts{
		Name: "c", Host: "127.0.0.1", Port: 6222, Advertise: "a:1", NoAdvertise: true, Username: "u", Password: "p",
		AuthTimeout: 3, TLSTimeout: 2, Permissions: &RoutePermissions{
			Import: &perm.SubjectPermission{Allow: []string{"a"}},
			Export: &perm.SubjectPermission{Allow: []string{"b"}, Deny: []string{"c.>"}},
		},
		ConnectRetries: 4, ConnectBackoff: true, PoolSize: 5, PinnedAccounts: []string{"A", "B"},
		Compression:  CompressionOpts{CompressionS2Auto, []time.Duration{0, 20 * time.Millisecond, 30 * time.Millisecond}},
		PingInterval: 5 * time.Second, MaxPingsOut: 6, WriteDeadline: 7 * time.Second, WriteTimeout: WriteTimeoutPolicyClose,
	}, o.Cluster)
	require.Equal(t, []string{"A", "B", "$SYS"}, o.PinnedTo("$SYS"))
	require.Equal(t, []string{"A", "B"}, o.PinnedTo("A"))

	c := o.Clone()
	c.Routes[0].Host, c.Cluster.PinnedAccounts[0], c.Cluster.Compression.RTTThresholds[0] = "z", "z", 9
	c.Cluster.Permissions.Import = nil
	require.Equal(t, "h:1", o.Routes[0].Host)
	require.Equal(t, "A", o.Cluster.PinnedAccounts[0])
	require.Zero(t, o.Cluster.Compression.RTTThresholds[0])
	require.NotNil(t, o.Cluster.Permissions.Import)
}

func TestClusterBaseline(t *testing.T) {
	o := &Options{}
	o.SetBaseline()
	require.Zero(t, o.Cluster, "no cluster")

	o = &Options{Cluster: ClusterOpts{Port: RandomPort}}
	o.SetBaseline()
	require.Equal(t, ClusterOpts{
		Host: "0.0.0.0", Port: RandomPort, AuthTimeout: 2, TLSTimeout: 2, PoolSize: 3,
		Compression: CompressionOpts{Mode: CompressionAccept},
	}, o.Cluster)
	require.Equal(t, []string{"$SYS"}, o.PinnedTo("$SYS"))
	twice := o.Clone()
	twice.SetBaseline()
	require.Equal(t, o, twice)

	o = &Options{Cluster: ClusterOpts{Port: 1, PoolSize: -1, TLSConfig: &tls.Config{}, Compression: CompressionOpts{Mode: "on"}}}
	o.SetBaseline()
	require.Equal(t, 3.0, o.Cluster.AuthTimeout)
	require.Equal(t, CompressionS2Fast, o.Cluster.Compression.Mode)
	require.Empty(t, o.PinnedTo("$SYS"))
}

func TestValidateCluster(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"port: 0, pool_size: -1, accounts: [A]", ""},
		{"port: -1, pool_size: -1, accounts: [A]", "pool_size cannot be negative if pinned accounts are specified"},
		{"port: -1, compression: zzz", `unsupported compression mode "zzz"`},
		{"port: -1, compression: {mode: s2_auto, rtt_thresholds: ['10ms','5ms']}", "RTT threshold values [10ms 5ms] should be in ascending order"},
		{"port: -1, compression: {mode: s2_auto, rtt_thresholds: ['1ms','2ms','3ms','4ms','5ms']}",
			`compression mode "s2_auto" should have no more than 4 RTT thresholds: [1ms 2ms 3ms 4ms 5ms]`},
		{"port: -1, compression: {mode: s2_auto, rtt_thresholds: ['0','-1s']}", `compression mode "s2_auto" requires at least one RTT threshold`},
		{"port: -1, compression: {mode: s2_auto, rtt_thresholds: ['-1ms','20ms']}", ""},
	} {
		o := read(t, "cluster {"+tc.text+"}")
		o.SetBaseline()
		err := o.Validate()
		if tc.want == "" {
			require.NoError(t, err, tc.text)
			continue
		}
		require.EqualError(t, err, tc.want)
	}
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{Cluster: ClusterOpts{Name: "a b"}}, "cluster name cannot contain spaces"},
		{Options{JetStream: true, Cluster: ClusterOpts{Port: 1}}, "jetstream cluster requires `server_name` to be set"},
		{Options{JetStream: true, ServerName: "s", Cluster: ClusterOpts{Port: 1}}, "jetstream cluster requires `cluster.name` to be set"},
		{Options{Cluster: ClusterOpts{Port: 1, Permissions: &RoutePermissions{Import: &perm.SubjectPermission{Deny: []string{"a b"}}}}},
			`cluster import deny: subject "a b" is not a valid subject`},
	} {
		tc.o.SetBaseline()
		require.EqualError(t, tc.o.Validate(), tc.want)
	}
}

func TestClusterFlags(t *testing.T) {
	o, _, err := configure("--cluster", "nats://u:p@127.0.0.1:-1", "--routes", "nats://h:1, nats://a:b@h:2",
		"--cluster_name", "c", "--cluster_advertise", "a:1", "--no_advertise", "--connect_retries", "3")
	require.NoError(t, err)
	require.Equal(t, ClusterOpts{
		Name: "c", Host: "127.0.0.1", Port: RandomPort, Username: "u", Password: "p", Advertise: "a:1", NoAdvertise: true, ConnectRetries: 3,
	}, o.Cluster)
	require.Len(t, o.Routes, 2)

	inCorpusDir(t)
	require.NoError(t, os.WriteFile("cl.conf", []byte(wholeCluster), 0o600))
	o, _, err = configure("-c", "cl.conf", "--cluster_listen", "nats://[::1]:7")
	require.NoError(t, err)
	require.Equal(t, "::1", o.Cluster.Host)
	require.Equal(t, 7, o.Cluster.Port)
	require.Empty(t, o.Cluster.Username, "a url without a user clears it")
	require.Len(t, o.Routes, 2)

	o, _, err = configure("-c", "cl.conf", "--cluster", "", "--routes", "")
	require.NoError(t, err)
	require.Zero(t, o.Cluster.Port)
	require.Empty(t, o.Routes)

	o, _, err = configure("-c", "cl.conf", "--routes", "nats://x:9")
	require.NoError(t, err)
	require.Equal(t, "x:9", o.Routes[0].Host)
	o.SetBaseline()
	next, err := o.Reread()
	require.NoError(t, err)
	require.Len(t, next.Routes, 1, "the flag survives a reload")
}

func TestClusterFlagsHideUsers(t *testing.T) {
	args := strings.Fields("--cluster nats://u:p@h:1 --routes=nats://a:b@h:1,nats://h:2 -cluster_listen nats://h:3")
	redact(args)
	require.Equal(t, "--cluster nats://[REDACTED]@h:1 --routes=nats://[REDACTED]@h:1,nats://h:2 -cluster_listen nats://h:3",
		strings.Join(args, " "))
}

func TestReloadOfClusters(t *testing.T) {
	const c = `cluster { name: c, listen: "127.0.0.1:6222"`
	for _, tc := range []struct{ before, after, want, refused string }{
		{c + "}", c + "}", "", ""},
		{c + "}", c + `, routes: ["nats://a:1"]}`, "Reloaded: cluster routes", ""},
		{c + `, routes: ["nats://a:1"]}`, c + "}", "Reloaded: cluster routes", ""},
		{c + "}", c + ", pool_size: 5}", "Reloaded: cluster", ""},
		{c + "}", c + ", pool_size: 3, compression: accept, write_timeout: default}", "", ""},
		{c + "}", c + ", accounts: A}", "Reloaded: cluster", ""},
		{c + "}", c + ", compression: s2_fast}", "Reloaded: cluster", ""},
		{c + "}", c + ", permissions: {import: a}}", "Reloaded: cluster", ""},
		{c + ", permissions: {import: a}}", c + ", permissions: {import: b}}", "Reloaded: cluster", ""},
		{c + ", permissions: {import: a}}", c + ", permissions: {import: a}}", "", ""},
		{c + "}", strings.Replace(c, "name: c", "name: d", 1) + "}", "Reloaded: cluster", ""},
		{c + "}", strings.Replace(c, ":6222", ":-1", 1) + "}", "", ""},
		{c + "}", strings.Replace(c, ":6222", ":1", 1) + "}", "", "cluster port: old=6222, new=1"},
		{c + "}", strings.Replace(c, "0.0.1", "0.0.2", 1) + "}", "", "cluster host: old=127.0.0.1, new=127.0.0.2"},
		{c + "}", "", "", "cluster host: old=127.0.0.1, new="},
		{"", c + "}", "", "cluster host: old=, new=127.0.0.1"},
	} {
		lines, _, err := reloading(t, tc.before, tc.after)
		if tc.refused != "" {
			require.EqualError(t, err, "config reload not supported for "+tc.refused)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(usersAndAccounts+"\n"+tc.want), lines, tc.after)
	}
}
