package monitor_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/monitor"
)

// keysOf lists the JSON keys of a struct in the order they are written; "?" marks
// those that are left out when empty. Embedded structs are part of the outer one.
func keysOf(t reflect.Type) string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-" || !f.IsExported():
		case tag == "" && f.Anonymous:
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			keys = append(keys, keysOf(inner))
		case strings.Contains(options, "omit"):
			keys = append(keys, tag+"?")
		default:
			keys = append(keys, tag)
		}
	}
	return strings.Join(keys, " ")
}

// TestKeys pins the keys of every answer and their order, which tools rely on.
func TestKeys(t *testing.T) {
	const stats = "num_subscriptions num_cache num_inserts num_removes num_matches cache_hit_rate max_fanout avg_fanout"
	const jetStream = "memory storage reserved_memory reserved_storage accounts ha_assets api"
	const kinds = "clients routes gateways leafs"
	for _, tc := range []struct {
		answer any
		want   string
	}{
		{monitor.Varz{}, "server_id server_name version proto git_commit? go host port auth_required? tls_required? tls_verify? " +
			"tls_ocsp_peer_verify? ip? connect_urls? ws_connect_urls? max_connections max_subscriptions? ping_interval ping_max " +
			"http_host http_port http_base_path https_port auth_timeout max_control_line max_payload max_pending cluster gateway leaf " +
			"mqtt websocket jetstream tls_timeout write_deadline write_timeout? start now uptime mem cores gomaxprocs gomemlimit? cpu " +
			"connections total_connections routes remotes leafnodes in_msgs in_bytes in_client_msgs in_client_bytes out_msgs " +
			"out_bytes out_client_msgs out_client_bytes slow_consumers stale_connections stalled_clients subscriptions " +
			"http_req_stats config_load_time config_digest tags? metadata? feature_flags? system_account? pinned_account_fails? " +
			"slow_consumer_stats stale_connection_stats? disk_io_wait_stats proxies? tls_cert_not_after? lockstep_version"},
		{monitor.ClusterOptsVarz{}, "name? addr? cluster_port? auth_timeout? urls? tls_timeout? tls_required? tls_verify? pool_size? " +
			"write_deadline? write_timeout? tls_cert_not_after?"},
		{monitor.SlowConsumersStats{}, kinds},
		{monitor.StaleConnectionStats{}, kinds},
		{monitor.DiskIOWaitStats{}, "waiters waits wait_time max_wait_time"},
		{monitor.Connz{}, "server_id now num_connections total offset limit connections"},
		{monitor.ConnInfo{}, "cid kind? type? ip port start last_activity stop? reason? rtt? uptime idle pending_bytes in_msgs out_msgs " +
			"in_bytes out_bytes stalls? subscriptions name? lang? version? tls_version? tls_cipher_suite? tls_peer_certs? tls_first? " +
			"authorized_user? account? subscriptions_list? subscriptions_list_detail? jwt? issuer_key? name_tag? tags? mqtt_client? proxy?"},
		{monitor.TLSPeerCert{}, "subject? spki_sha256? cert_sha256?"},
		{monitor.SubDetail{}, "account? account_tag? subject qgroup? sid msgs max? cid"},
		{monitor.Routez{}, "server_id server_name now import? export? num_routes routes"},
		{monitor.RouteInfo{}, "rid remote_id remote_name did_solicit is_configured ip port start last_activity rtt? uptime idle import? " +
			"export? pending_size in_msgs out_msgs in_bytes out_bytes subscriptions subscriptions_list? subscriptions_list_detail? " +
			"account? compression?"},
		{monitor.Gatewayz{}, "server_id now name? host? port? outbound_gateways inbound_gateways"},
		{monitor.RemoteGatewayz{}, "configured connection? accounts?"},
		{monitor.AccountGatewayz{}, "name interest_mode no_interest_count? interest_only_threshold? num_subs? num_queue_subs? " +
			"subscriptions_list? subscriptions_list_detail?"},
		{monitor.Leafz{}, "server_id now leafnodes leafs"},
		{monitor.LeafInfo{}, "id name is_spoke is_isolated? account ip port rtt? in_msgs out_msgs in_bytes out_bytes subscriptions " +
			"subscriptions_list? compression? proxy?"},
		{monitor.SublistStats{}, stats},
		{monitor.Subsz{}, "server_id now " + stats + " total offset limit subscriptions_list?"},
		{monitor.Accountz{}, "server_id now system_account? accounts? account_detail?"},
		{monitor.AccountInfo{}, "account_name update_time? is_system? expired complete jetstream_enabled leafnode_connections " +
			"client_connections subscriptions mappings? exports? imports? jwt? issuer_key? name_tag? tags? revoked_user? sublist_stats? responses?"},
		{monitor.ExtImport{}, "subject? account? to? local_subject? type? invalid share tracking latency?"},
		{monitor.ExtExport{}, "subject? type? response_type? service_latency? approved_accounts?"},
		{monitor.MapDest{}, "subject weight cluster?"},
		{monitor.AccountStatz{}, "server_id now account_statz"},
		{monitor.AccountStat{}, "acc name conns leafnodes total_conns num_subscriptions sent received slow_consumers"},
		{monitor.DataStats{}, "msgs bytes gateways? routes? leafs?"},
		{monitor.JetStreamVarz{}, "config? stats? limits?"},
		{monitor.JetStreamConfig{}, "max_memory max_storage store_dir? sync_interval? sync_always? domain? compress_ok? unique_tag? strict?"},
		{monitor.JetStreamStats{}, jetStream},
		{config.JSLimitOpts{}, "max_request_batch? max_ack_pending? max_ha_assets? max_duplicate_window? " +
			"max_batch_inflight_per_stream? max_batch_inflight_total? max_batch_size? max_batch_timeout? default_max_consumers?"},
		{monitor.JSInfo{}, jetStream + " server_id now disabled? config limits? streams streams_leader? consumers consumers_leader? " +
			"messages bytes meta_cluster? account_details? total"},
		{monitor.AccountDetail{}, "name id " + jetStream + " stream_detail?"},
		{monitor.StreamDetail{}, "name created cluster? config? state consumer_detail? direct_consumer_detail? mirror? sources? stream_raft_group? consumer_raft_groups?"},
		{monitor.MetaClusterInfo{}, "name? leader? peer? replicas? cluster_size quorum_needed pending pending_requests pending_infos snapshot?"},
		{monitor.MetaSnapshotStats{}, "pending_entries pending_size last_time last_duration?"},
		{monitor.RaftGroupDetail{}, "name raft_group?"},
		{monitor.HealthStatus{}, "status status_code? error? errors?"},
		{monitor.HealthzError{}, "type account? stream? consumer? error?"},
	} {
		typ := reflect.TypeOf(tc.answer)
		assert.Equal(t, tc.want, keysOf(typ), typ.Name())
	}
}

// TestOptionKeys pins the JSON keys of the options, which system requests use.
func TestOptionKeys(t *testing.T) {
	for _, tc := range []struct {
		options any
		want    string
	}{
		{monitor.ConnzOptions{}, "sort auth subscriptions subscriptions_detail offset limit cid mqtt_client state user acc filter_subject"},
		{monitor.RoutezOptions{}, "subscriptions subscriptions_detail"},
		{monitor.SubszOptions{}, "offset limit subscriptions account? test?"},
		{monitor.GatewayzOptions{}, "name accounts account_name subscriptions subscriptions_detail"},
		{monitor.LeafzOptions{}, "subscriptions account"},
		{monitor.AccountzOptions{}, "account"},
		{monitor.AccountStatzOptions{}, "accounts include_unused"},
		{monitor.JSzOptions{}, "account? accounts? streams? consumer? direct_consumer? config? leader_only? offset? limit? raft? stream_leader_only?"},
		{monitor.HealthzOptions{}, "js-enabled? js-enabled-only? js-server-only? js-meta-only? account? stream? consumer? details?"},
	} {
		typ := reflect.TypeOf(tc.options)
		assert.Equal(t, tc.want, keysOf(typ), typ.Name())
	}
}
