package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Public keys of three kinds: a proxy may have any.
const (
	proxyA = "ADTZDWQI4NNNDFZFDA73KE2AAEPBD6MM7QD64NTPVZBLAZKSVZQCXL42"
	proxyN = "NA6GWTTTCMVQJZJRZBS3GEAZ2TQAFID2NH4LY6G75EH6DKOSTDLPV3FH"
	proxyX = "XD6ASFDOYM44OGMASUVJVNV36PGNMRIQVIMWKUEYUPK2SOHO3VXFCPZA"
)

func trusting(keys ...string) string {
	var entries []string
	for _, key := range keys {
		entries = append(entries, "{key: "+key+"}")
	}
	return "proxies: {trusted: [" + strings.Join(entries, ", ") + "]}"
}

func TestProxies(t *testing.T) {
	o := read(t, fmt.Sprintf("proxies: {trusted: [{key: %s}, {Public_Key: %s}, {key: %s}]}", proxyA, proxyN, proxyX))
	require.Equal(t, &ProxiesConfig{Trusted: []*ProxyConfig{{Key: proxyA}, {Key: proxyN}, {Key: proxyX}}}, o.Proxies)
	require.Equal(t, []string{proxyA, proxyN, proxyX}, o.TrustedProxyKeys())
	require.False(t, o.ProxyRequired)
	require.Equal(t, &ProxiesConfig{}, read(t, "proxies: {}").Proxies)
	require.Nil(t, read(t, "host: a").Proxies)
	require.Empty(t, (&Options{}).TrustedProxyKeys())
}

func TestWhoNeedsAProxy(t *testing.T) {
	o := read(t, `authorization: {proxy_required: true, users: [{user: a}, {user: b, proxy_required: true}
		{nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4, proxy_required: true}]}`)
	require.True(t, o.ProxyRequired)
	require.False(t, o.Users[0].ProxyRequired, "the block does not speak for its users")
	require.True(t, o.Users[1].ProxyRequired)
	require.True(t, o.Nkeys[0].ProxyRequired)
}

func TestProxyWithoutKeyIsRefusedAtStart(t *testing.T) {
	o := read(t, "proxies: {trusted: [{}]}")
	o.SetBaseline()
	require.EqualError(t, o.Validate(), `proxy trusted key "" is invalid`)
	o.Proxies.Trusted[0].Key = "foo"
	require.EqualError(t, o.Validate(), `proxy trusted key "foo" is invalid`)
	o.Proxies.Trusted[0].Key = proxyA
	require.NoError(t, o.Validate())
}

func TestReloadOfProxies(t *testing.T) {
	gone := `Reloaded: proxies trusted keys ["` + proxyA + `"] were removed`
	come := `Reloaded: proxies trusted keys ["` + proxyN + `"] were added`
	for _, tc := range []struct{ name, before, after, want string }{
		{"one for another", trusting(proxyA), trusting(proxyN), gone + "\n" + come},
		{"one more", trusting(proxyA), trusting(proxyN, proxyA), come},
		{"one less", trusting(proxyN, proxyA), trusting(proxyN), gone},
		{"another order", trusting(proxyN, proxyA), trusting(proxyA, proxyN), ""},
		{"twice the same", trusting(proxyA), trusting(proxyA, proxyA), ""},
		{"the block comes", "host: a", "host: a\n" + trusting(proxyN), come},
		{"the block goes", "host: a\n" + trusting(proxyA), "host: a", gone},
		{"the block comes empty", "host: a", "host: a\nproxies: {}", ""},
		{"the list goes", trusting(proxyA, proxyN), "proxies: {}",
			`Reloaded: proxies trusted keys ["` + proxyA + `" "` + proxyN + `"] were removed`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines, changed, err := reloading(t, tc.before, tc.after)
			require.NoError(t, err)
			require.Equal(t, strings.Trim(usersAndAccounts+"\n"+tc.want, "\n"), lines)
			if tc.want == "" {
				require.NotContains(t, changed, "Proxies")
			} else {
				require.Contains(t, changed, "Proxies")
			}
		})
	}
	_, _, err := reloading(t, trusting(proxyA), "proxies: {trusted: [{}]}")
	require.EqualError(t, err, `proxy trusted key "" is invalid`)
	lines, _, err := reloading(t, trusting(proxyA), trusting(proxyN)+"\nserver_tags: a")
	require.NoError(t, err)
	require.Equal(t, usersAndAccounts+"\nReloaded: tags\n"+gone+"\n"+come, lines, "proxies come last")
}

func TestFeatureFlags(t *testing.T) {
	usual := map[string]bool{"js_ack_fc_v2": false, "js_api_reply_v2": false, "js_raft_delete_range": true, "js_snapshot_sources": false}
	o := read(t, "host: a")
	require.Equal(t, usual, o.FeatureFlagValues())
	require.Empty(t, o.FeatureFlagLines())
	require.Empty(t, read(t, "feature_flags: {}").FeatureFlagLines())

	o = read(t, "feature_flags: {js_snapshot_sources: false, js_ack_fc_v2: true, zz: true, JS_ACK_FC_V2: false, js_raft_delete_range: false}")
	require.Equal(t, map[string]bool{
		"js_ack_fc_v2": true, "js_snapshot_sources": false, "js_raft_delete_range": false, "zz": true, "JS_ACK_FC_V2": false,
	}, o.FeatureFlags, "names are taken as written")
	require.Equal(t, map[string]bool{
		"js_ack_fc_v2": true, "js_api_reply_v2": false, "js_raft_delete_range": false, "js_snapshot_sources": false,
	}, o.FeatureFlagValues())
	require.Equal(t, []string{
		"  Feature flags:",
		"    Configured:    js_ack_fc_v2 (opt-in), js_raft_delete_range (opt-out), js_snapshot_sources (disabled)",
		"    Unsupported:   JS_ACK_FC_V2, zz",
	}, o.FeatureFlagLines())
	require.Equal(t, []string{"  Feature flags:", "    Configured:    js_raft_delete_range (enabled)"},
		read(t, "feature_flags: {js_raft_delete_range: true}").FeatureFlagLines())
	require.Equal(t, []string{"  Feature flags:", "    Configured:    none", "    Unsupported:   a, foo"},
		read(t, "feature_flags: {foo: true, a: false}").FeatureFlagLines())
	require.Equal(t, usual, (&Options{}).FeatureFlagValues(), "answers do not share the defaults")
}
