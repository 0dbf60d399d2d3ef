package config

import (
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// settings are the top-level keys, aliases included.
var settings map[string]setting

// settings is filled here and not where it is declared, since readers lead back to it.
func init() {
	settings = make(map[string]setting)
	add := func(names, field string, read func(*decoder, string, *lang.Value)) {
		for name := range strings.FieldsSeq(names) {
			settings[name] = setting{field, read}
		}
	}
	add("listen", "Host", (*decoder).listen)
	add("port", "Port", integer(func(o *Options) *int { return &o.Port }))
	add("host net", "Host", text(func(o *Options) *string { return &o.Host }))
	add("server_name", "ServerName", (*decoder).serverName)
	add("client_advertise", "ClientAdvertise", text(func(o *Options) *string { return &o.ClientAdvertise }))
	add("server_tags", "Tags", (*decoder).tags)
	add("server_metadata", "Metadata", (*decoder).metadata)

	add("max_connections max_conn", "MaxConn", integer(func(o *Options) *int { return &o.MaxConn }))
	add("max_subscriptions max_subs", "MaxSubs", integer(func(o *Options) *int { return &o.MaxSubs }))
	add("max_sub_tokens max_subscription_tokens", "MaxSubTokens", (*decoder).maxSubTokens)
	add("max_control_line", "MaxControlLine", size32(func(o *Options) *int32 { return &o.MaxControlLine }))
	add("max_payload", "MaxPayload", size32(func(o *Options) *int32 { return &o.MaxPayload }))
	add("max_pending", "MaxPending", integer(func(o *Options) *int64 { return &o.MaxPending }))
	add("max_closed_clients", "MaxClosedClients", integer(func(o *Options) *int { return &o.MaxClosedClients }))

	add("ping_interval", "PingInterval", period(func(o *Options) *time.Duration { return &o.PingInterval }))
	add("ping_max", "MaxPingsOut", integer(func(o *Options) *int { return &o.MaxPingsOut }))
	add("write_deadline", "WriteDeadline", period(func(o *Options) *time.Duration { return &o.WriteDeadline }))
	add("write_timeout", "WriteTimeout", (*decoder).writeTimeout)
	add("lame_duck_duration", "LameDuckDuration", (*decoder).lameDuckDuration)
	add("lame_duck_grace_period", "LameDuckGracePeriod", (*decoder).lameDuckGracePeriod)

	add("no_fast_producer_stall", "NoFastProducerStall", boolean(func(o *Options) *bool { return &o.NoFastProducerStall }))
	add("no_header_support", "NoHeaderSupport", boolean(func(o *Options) *bool { return &o.NoHeaderSupport }))
	add("disable_sublist_cache no_sublist_cache", "NoSublistCache", boolean(func(o *Options) *bool { return &o.NoSublistCache }))
	add("proxy_protocol", "ProxyProtocol", boolean(func(o *Options) *bool { return &o.ProxyProtocol }))
	add("feature_flags", "FeatureFlags", (*decoder).featureFlags)

	add("authorization", "Authorization", (*decoder).authorization)
	add("proxies", "Proxies", (*decoder).proxies)
	add("accounts", "Accounts", nil)
	add("mappings maps", "Mappings", (*decoder).globalMappings)
	add("no_auth_user", "NoAuthUser", text(func(o *Options) *string { return &o.NoAuthUser }))
	add("system_account system", "SystemAccount", (*decoder).systemAccount)
	add("no_system_account no_system no_sys_acc", "NoSystemAccount", boolean(func(o *Options) *bool { return &o.NoSystemAccount }))
	add("tls", "TLSConfig", (*decoder).clientTLS)
	add("allow_non_tls", "AllowNonTLS", boolean(func(o *Options) *bool { return &o.AllowNonTLS }))

	add("cluster", "Cluster", (*decoder).cluster)

	add("http", "HTTPPort", monitoring(func(o *Options) *int { return &o.HTTPPort }))
	add("https", "HTTPSPort", monitoring(func(o *Options) *int { return &o.HTTPSPort }))
	add("http_port monitor_port", "HTTPPort", integer(func(o *Options) *int { return &o.HTTPPort }))
	add("https_port", "HTTPSPort", integer(func(o *Options) *int { return &o.HTTPSPort }))
	add("http_base_path", "HTTPBasePath", text(func(o *Options) *string { return &o.HTTPBasePath }))
	add("prof_port", "ProfPort", integer(func(o *Options) *int { return &o.ProfPort }))
	add("prof_block_rate", "ProfBlockRate", integer(func(o *Options) *int { return &o.ProfBlockRate }))
	add("pid_file pidfile", "PidFile", text(func(o *Options) *string { return &o.PidFile }))
	add("ports_file_dir", "PortsFileDir", text(func(o *Options) *string { return &o.PortsFileDir }))

	add("jetstream", "JetStream", (*decoder).jetStream)
	add("store_dir storedir", "StoreDir", (*decoder).topStoreDir)
	add("default_js_domain", "JsAccDefaultDomain", (*decoder).defaultDomains)

	add("debug", "Debug", boolean(func(o *Options) *bool { return &o.Debug }))
	add("trace", "Trace", (*decoder).trace)
	add("trace_verbose", "TraceVerbose", tracing(func(o *Options) *bool { return &o.TraceVerbose }))
	add("trace_headers", "TraceHeaders", tracing(func(o *Options) *bool { return &o.TraceHeaders }))
	add("logtime", "Logtime", boolean(func(o *Options) *bool { return &o.Logtime }))
	add("logtime_utc", "LogtimeUTC", boolean(func(o *Options) *bool { return &o.LogtimeUTC }))
	add("log_file logfile", "LogFile", text(func(o *Options) *string { return &o.LogFile }))
	add("log_size_limit logfile_size_limit", "LogSizeLimit", integer(func(o *Options) *int64 { return &o.LogSizeLimit }))
	add("log_max_num logfile_max_num", "LogMaxFiles", integer(func(o *Options) *int64 { return &o.LogMaxFiles }))
	add("syslog", "Syslog", boolean(func(o *Options) *bool { return &o.Syslog }))
	add("remote_syslog", "RemoteSyslog", text(func(o *Options) *string { return &o.RemoteSyslog }))
	add("max_traced_msg_len", "MaxTracedMsgLen", integer(func(o *Options) *int { return &o.MaxTracedMsgLen }))
	add("connect_error_reports", "ConnectErrorReports", integer(func(o *Options) *int { return &o.ConnectErrorReports }))
	add("reconnect_error_reports", "ReconnectErrorReports", integer(func(o *Options) *int { return &o.ReconnectErrorReports }))
}

func period(field func(*Options) *time.Duration) func(*decoder, string, *lang.Value) {
	return func(d *decoder, key string, v *lang.Value) {
		if dur, ok := d.seconds(key, v); ok {
			*field(d.o) = dur
		}
	}
}

// monitoring reads an address for the monitoring listener.
func monitoring(port func(*Options) *int) func(*decoder, string, *lang.Value) {
	return func(d *decoder, _ string, v *lang.Value) {
		if host, n, ok := d.hostPort(v); ok {
			d.o.HTTPHost, *port(d.o) = host, n
		}
	}
}

// tracing reads a kind of protocol trace, which turns the trace itself on too.
func tracing(field func(*Options) *bool) func(*decoder, string, *lang.Value) {
	return func(d *decoder, _ string, v *lang.Value) {
		if on, ok := d.truth(v); ok {
			*field(d.o) = on
			d.o.Trace = d.o.Trace || on
		}
	}
}

// trace does not turn off what trace_verbose or trace_headers above it turned on.
func (d *decoder) trace(_ string, v *lang.Value) {
	if on, ok := d.truth(v); ok {
		d.o.Trace = on || d.o.TraceVerbose || d.o.TraceHeaders
	}
}

func (d *decoder) listen(_ string, v *lang.Value) {
	if host, port, ok := d.hostPort(v); ok {
		d.o.Host, d.o.Port = host, port
	}
}

func (d *decoder) serverName(_ string, v *lang.Value) {
	name, ok := d.text(v)
	switch {
	case !ok:
	case strings.Contains(name, " "):
		d.add(v.Pos, "server name cannot contain spaces")
	default:
		d.o.ServerName = name
	}
}

func (d *decoder) maxSubTokens(key string, v *lang.Value) {
	n, ok := d.number(v)
	switch {
	case !ok:
	case n > 255:
		d.add(v.Pos, "%s value is too big", key)
	case n <= 0:
		d.add(v.Pos, "%s value can not be negative", key)
	default:
		d.o.MaxSubTokens = uint8(n)
	}
}

func (d *decoder) writeTimeout(_ string, v *lang.Value) {
	if p, ok := d.writeTimeoutPolicy(v); ok {
		d.o.WriteTimeout = p
	}
}

func (d *decoder) writeTimeoutPolicy(v *lang.Value) (p WriteTimeoutPolicy, ok bool) {
	word, ok := d.text(v)
	if !ok {
		return 0, false
	}
	switch word {
	case "default":
		return WriteTimeoutPolicyDefault, true
	case "close":
		return WriteTimeoutPolicyClose, true
	case "retry":
		return WriteTimeoutPolicyRetry, true
	}
	d.add(v.Pos, "write_timeout must be 'default', 'close' or 'retry'")
	return 0, false
}

func (d *decoder) lameDuckDuration(key string, v *lang.Value) {
	dur, ok := d.durationText(key, v)
	switch {
	case !ok:
	case dur < 30*time.Second:
		d.add(v.Pos, "invalid lame_duck_duration of %v, minimum is 30 seconds", dur)
	default:
		d.o.LameDuckDuration = dur
	}
}

func (d *decoder) lameDuckGracePeriod(key string, v *lang.Value) {
	dur, ok := d.durationText(key, v)
	switch {
	case !ok:
	case dur < 0:
		d.add(v.Pos, "invalid lame_duck_grace_period, needs to be positive")
	default:
		d.o.LameDuckGracePeriod = dur
	}
}

func (d *decoder) systemAccount(_ string, v *lang.Value) {
	name, ok := v.Data.(string)
	if !ok {
		d.add(v.Pos, "system account name must be a string")
		return
	}
	d.o.SystemAccount = name
}

// tags reads one tag or a list. Tags have no outer blanks, are in lower case, and stand
// once.
func (d *decoder) tags(_ string, v *lang.Value) {
	var tags []string
	add := func(tag string) {
		if tag = strings.ToLower(strings.TrimSpace(tag)); tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	switch data := v.Data.(type) {
	case string:
		add(data)
	case []*lang.Value:
		for _, e := range data {
			tag, ok := e.Data.(string)
			if !ok {
				d.add(v.Pos, "error parsing tags: unsupported type %s where string is expected", e.TypeName())
				return
			}
			add(tag)
		}
	default:
		d.add(v.Pos, "error parsing tags: unsupported type %s", v.TypeName())
		return
	}
	d.o.Tags = tags
}

func (d *decoder) metadata(_ string, v *lang.Value) {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		d.add(v.Pos, "error parsing metadata: unsupported type %s", v.TypeName())
		return
	}
	d.o.Metadata = make(map[string]string, m.Len())
	for _, pair := range m.Pairs() {
		if s, ok := d.text(pair.Value); ok {
			d.o.Metadata[pair.Key] = s
		}
	}
}
