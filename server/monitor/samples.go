package monitor

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names and labels are those of prometheus-nats-exporter, so that dashboards made
// for it work; what only this server knows begins with "lockstep_".

// sample is one number for Prometheus.
type sample struct {
	name   string
	help   string
	kind   kind
	labels []string
	values []string
	value  float64
}

// kind of a sample.
type kind uint8

const (
	gauge kind = iota
	counter
	untyped
)

// samples collects.
type samples struct {
	id   string
	list []sample
}

// gauge adds a number of the whole server.
func (s *samples) gauge(name string, v float64) {
	s.list = append(s.list, sample{name: name, help: name, labels: labelsServer, values: []string{s.id}, value: v})
}

func (s *samples) count(name string, v float64) {
	s.gauge(name, v)
	s.list[len(s.list)-1].kind = counter
}

var (
	labelsServer  = []string{"server_id"}
	labelsValue   = []string{"server_id", "value"}
	labelsAccstat = []string{"server_id", "account", "account_id", "account_name"}
	labelsAccount = []string{"server_id", "account_id", "account_name"}
	labelsConn    = []string{
		"server_id", "cid", "kind", "type", "ip", "port", "name", "name_tag", "account", "account_id", "lang", "version",
		"tls_version", "tls_cipher_suite",
	}
)

// flattened are the members of an answer that are told as they are named: numbers,
// and of the texts these, as the label of a gauge that is 1, or in milliseconds
// since 1970 when they are times.
var flattened = []string{"server_id", "server_name", "version", "domain", "leader", "name", "start", "config_load_time"}

// scrape says what one scrape sees besides the server and its accounts.
type scrape struct {
	connections bool // each, as far as one answer of connz has them
	jetStream   depth
}

// samples computes everything that one scrape sees.
func (m *Monitor) samples(want scrape) []sample {
	s := &samples{id: m.id()}
	if v, err := m.Varz(nil); err == nil {
		s.flatten("gnatsd_varz", v)
		s.ours(m, v)
	}
	if z, err := m.Subsz(nil); err == nil {
		s.flatten("gnatsd_subsz", z)
	}
	if z, err := m.Routez(nil); err == nil {
		s.flatten("gnatsd_routez", z)
	}
	if z, err := m.Connz(&ConnzOptions{Username: want.connections}); err == nil {
		s.connz(z, want.connections)
	}
	s.healthz("gnatsd_healthz", m.Healthz(nil))
	s.healthz("gnatsd_healthz_js_enabled_only", m.Healthz(&HealthzOptions{JSEnabledOnly: true}))
	s.healthz("gnatsd_healthz_js_server_only", m.Healthz(&HealthzOptions{JSServerOnly: true}))
	s.jetStream(m, want.jetStream)
	if z, err := m.AccountStatz(&AccountStatzOptions{IncludeUnused: true}); err == nil {
		for _, a := range z.Accounts {
			s.accstatz(a)
		}
	}
	s.accountz(m)
	s.gauge("gnatsd_leafz_conn_nodes_total", 0)
	return s.list
}

// flatten adds the members of an answer, those of objects in it with the names of
// both joined.
func (s *samples) flatten(prefix string, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		return
	}
	var members map[string]any
	if json.Unmarshal(text, &members) == nil {
		s.object(prefix, members)
	}
}

func (s *samples) object(prefix string, members map[string]any) {
	keys := make([]string, 0, len(members))
	for k := range members { //lockstep:ordered sorted below
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		name := metricName(prefix, k)
		switch v := members[k].(type) {
		case float64:
			s.gauge(name, v)
		case map[string]any:
			s.object(name, v)
		case string:
			if slices.Contains(flattened, k) {
				s.text(name, v)
			}
		}
	}
}

// metricName joins names; "/" is not allowed in one.
func metricName(prefix, key string) string {
	name := prefix + "_" + strings.ReplaceAll(key, "/", "_")
	for strings.Contains(name, "__") {
		name = strings.ReplaceAll(name, "__", "_")
	}
	return strings.Trim(name, "_")
}

func (s *samples) text(name, v string) {
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		s.gauge(name, float64(t.UnixMilli()))
		return
	}
	s.list = append(s.list, sample{name: name, help: name, labels: labelsValue, values: []string{s.id, v}, value: 1})
}

func (s *samples) connz(z *Connz, detailed bool) {
	var pending, subs, inBytes, outBytes, inMsgs, outMsgs float64
	for _, c := range z.Conns {
		pending += float64(c.Pending)
		subs += float64(c.NumSubs)
		inBytes += float64(c.InBytes)
		outBytes += float64(c.OutBytes)
		inMsgs += float64(c.InMsgs)
		outMsgs += float64(c.OutMsgs)
		if detailed {
			s.connection(c, z.Now)
		}
	}
	s.gauge("gnatsd_connz_num_connections", float64(z.NumConns))
	s.gauge("gnatsd_connz_total", float64(z.Total))
	s.gauge("gnatsd_connz_offset", float64(z.Offset))
	s.gauge("gnatsd_connz_limit", float64(z.Limit))
	s.gauge("gnatsd_connz_pending_bytes", pending)
	s.gauge("gnatsd_connz_subscriptions", subs)
	s.count("gnatsd_connz_in_bytes", inBytes)
	s.count("gnatsd_connz_out_bytes", outBytes)
	s.count("gnatsd_connz_in_msgs", inMsgs)
	s.count("gnatsd_connz_out_msgs", outMsgs)
}

// connection adds one connection. Times are milliseconds, the round trip is in
// microseconds.
func (s *samples) connection(c *ConnInfo, now time.Time) {
	values := []string{
		s.id, strconv.FormatUint(c.Cid, 10), c.Kind, c.Type, c.IP, strconv.Itoa(c.Port), c.Name, c.NameTag,
		c.Account, c.Account, c.Lang, c.Version, c.TLSVersion, c.TLSCipher,
	}
	add := func(name string, k kind, v float64) {
		name = "gnatsd_connz_" + name
		s.list = append(s.list, sample{name, name, k, labelsConn, values, v})
	}
	rtt, _ := time.ParseDuration(c.RTT)
	add("pending_bytes", gauge, float64(c.Pending))
	add("subscriptions", gauge, float64(c.NumSubs))
	add("in_bytes", counter, float64(c.InBytes))
	add("out_bytes", counter, float64(c.OutBytes))
	add("in_msgs", counter, float64(c.InMsgs))
	add("out_msgs", counter, float64(c.OutMsgs))
	add("start", untyped, float64(c.Start.UnixMilli()))
	add("last_activity", untyped, float64(c.LastActivity.UnixMilli()))
	add("rtt", gauge, float64(rtt.Microseconds()))
	add("uptime", untyped, float64(now.Sub(c.Start).Milliseconds()))
	add("idle", gauge, float64(now.Sub(c.LastActivity).Milliseconds()))
}

func (s *samples) healthz(prefix string, h *HealthStatus) {
	s.gauge(prefix+"_status", oneIf(h.Status != "ok"))
	s.list = append(s.list, sample{
		name: prefix + "_status_value", help: "status", labels: labelsValue, values: []string{s.id, h.Status},
		value: oneIf(h.Status == "ok"),
	})
}

func (s *samples) accstatz(a *AccountStat) {
	values := []string{s.id, a.Account, a.Account, a.Name}
	add := func(name string, v float64) {
		name = "gnatsd_accstatz_" + name
		s.list = append(s.list, sample{name, name, gauge, labelsAccstat, values, v})
	}
	add("current_connections", float64(a.Conns))
	add("total_connections", float64(a.TotalConns))
	add("subscriptions", float64(a.NumSubs))
	add("leaf_nodes", float64(a.LeafNodes))
	add("sent_messages", float64(a.Sent.Msgs))
	add("sent_bytes", float64(a.Sent.Bytes))
	add("received_messages", float64(a.Received.Msgs))
	add("received_bytes", float64(a.Received.Bytes))
	add("slow_consumers", float64(a.SlowConsumers))
}

// accountz adds every account's state and limits; -1 is unlimited.
func (s *samples) accountz(m *Monitor) {
	sys := m.c.Broker.SystemAccount()
	for _, a := range m.c.Broker.Accounts() {
		values := []string{s.id, a.Name, a.Name}
		add := func(name string, v float64) {
			name = "gnatsd_accountz_" + name
			s.list = append(s.list, sample{name, name, gauge, labelsAccount, values, v})
		}
		l := a.Limits()
		add("client_connections", float64(m.connections(a)))
		add("leafnode_connections", float64(a.NumLeafNodes()))
		add("subscriptions", float64(a.TotalSubs()))
		add("is_system", oneIf(a == sys))
		add("expired", 0)
		add("complete", 1)
		add("jetstream_enabled", oneIf(m.jetStreamEnabled(a.Name)))
		add("limit_subs", float64(l.Subs))
		add("limit_data", -1)
		add("limit_payload", float64(l.Payload))
		add("limit_imports", -1)
		add("limit_exports", -1)
		add("limit_wildcards", 1)
		add("limit_conn", float64(l.Connections))
		add("limit_leaf", float64(l.LeafNodes))
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
