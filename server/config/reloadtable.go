package config

import "fmt"

// reloadTable has one entry for each exported field of [Options]. Its order decides
// which of several rejected changes is told.
var reloadTable = []reloadable{
	{field: "ConfigFile", effect: Unwatched},
	{field: "CheckConfig", effect: Unwatched},
	{field: "ServerName"},
	{field: "Host"},
	{field: "Port", same: samePort},
	{field: "DontListen"},
	{field: "ClientAdvertise", effect: Live, line: func(o *Options) string { return "Reload: client_advertise = " + o.ClientAdvertise }},
	{field: "Tags", effect: Live, line: fixed("Reloaded: tags")},
	{field: "Metadata", effect: Live, line: fixed("Reloaded: metadata")},

	{field: "Trace", effect: Live, line: shown("trace", func(o *Options) any { return o.Trace })},
	{field: "Debug", effect: Live, line: shown("debug", func(o *Options) any { return o.Debug })},
	{field: "TraceVerbose", effect: Live, line: shown("trace_verbose", func(o *Options) any { return o.TraceVerbose })},
	{field: "TraceHeaders", effect: Live, line: shown("trace_headers", func(o *Options) any { return o.TraceHeaders })},
	{field: "NoLog"},
	{field: "NoSigs"},
	{field: "Logtime", effect: Live, line: shown("logtime", func(o *Options) any { return o.Logtime })},
	{field: "LogtimeUTC", effect: Live, line: shown("logtime_utc", func(o *Options) any { return o.LogtimeUTC })},
	{field: "LogFile", effect: Live, line: shown("log_file", func(o *Options) any { return o.LogFile })},
	{field: "LogSizeLimit"},
	{field: "LogMaxFiles"},
	{field: "Syslog", effect: Live, line: shown("syslog", func(o *Options) any { return o.Syslog })},
	{field: "RemoteSyslog", effect: Live, line: shown("remote_syslog", func(o *Options) any { return o.RemoteSyslog })},
	{field: "MaxTracedMsgLen", effect: Live, line: shown("max_traced_msg_len", func(o *Options) any { return o.MaxTracedMsgLen })},
	{field: "ConnectErrorReports", effect: Live, line: shown("connect_error_reports", func(o *Options) any { return o.ConnectErrorReports })},
	{field: "ReconnectErrorReports", effect: Live, line: shown("reconnect_error_reports", func(o *Options) any { return o.ReconnectErrorReports })},

	{field: "MaxConn", effect: Live, line: shown("max_connections", func(o *Options) any { return o.MaxConn })},
	{field: "MaxSubs"},
	{field: "MaxSubTokens"},
	{field: "MaxControlLine", effect: Live, line: shown("max_control_line", func(o *Options) any { return o.MaxControlLine })},
	{field: "MaxPayload", effect: Live, line: shown("max_payload", func(o *Options) any { return o.MaxPayload })},
	{field: "MaxPending"},
	{field: "MaxClosedClients"},

	{field: "PingInterval", effect: Live, line: shown("ping_interval", func(o *Options) any { return o.PingInterval })},
	{field: "MaxPingsOut", effect: Live, line: shown("ping_max", func(o *Options) any { return o.MaxPingsOut })},
	{field: "DisableShortFirstPing", effect: NewConnections},
	{field: "WriteDeadline", effect: NewConnections, line: shown("write_deadline", func(o *Options) any { return o.WriteDeadline })},
	{field: "WriteTimeout"},
	{field: "LameDuckDuration"},
	{field: "LameDuckGracePeriod"},

	{field: "NoFastProducerStall", effect: Live, line: stalling},
	{field: "NoHeaderSupport"},
	{field: "NoSublistCache"},
	{field: "ProxyProtocol"},
	{field: "AlwaysEnableNonce", effect: NewConnections},

	// Users, accounts and their permissions are compared where they are applied:
	// every reload runs authorization again.
	{field: "Users", effect: Live, same: alwaysChanged},
	{field: "Nkeys", effect: Live, same: alwaysChanged},
	{field: "Accounts", effect: Live, same: alwaysChanged},
	{field: "Username", effect: Live, line: fixed("Reloaded: authorization username")},
	{field: "Password", effect: Live, line: fixed("Reloaded: authorization password")},
	{field: "Authorization", effect: Live, line: fixed("Reloaded: authorization token")},
	{field: "AuthTimeout", effect: NewConnections, line: shown("authorization timeout", func(o *Options) any { return o.AuthTimeout })},
	{field: "NoAuthUser"},
	{field: "CustomClientAuthentication", effect: Unwatched},
	{field: "SystemAccount"},
	{field: "NoSystemAccount"},
	{field: "Proxies", effect: Live, same: sameProxies},
	{field: "ProxyRequired"},

	{field: "Cluster", effect: Live, same: sameCluster, refuse: clusterRefusal, line: fixed("Reloaded: cluster")},
	{field: "Routes", effect: Live, same: sameRoutes, line: fixed("Reloaded: cluster routes")},

	{field: "TLSCert"},
	{field: "TLSKey"},
	{field: "TLSCaCert"},
	{field: "TLS"},
	{field: "TLSVerify"},
	{field: "TLSMap"},
	{field: "TLSTimeout", effect: NewConnections, line: shown("tls timeout", func(o *Options) any { return o.TLSTimeout })},
	{field: "TLSConfig", effect: NewConnections, same: sameTLS, line: tlsLine},
	{field: "TLSPinnedCerts", effect: Live, line: func(o *Options) string { return fmt.Sprintf("Reloaded: %d pinned_certs", len(o.TLSPinnedCerts)) }},
	{field: "TLSRateLimit"},
	{field: "TLSHandshakeFirst", effect: NewConnections, line: func(o *Options) string {
		return fmt.Sprintf("Reloaded: Client TLS handshake first: %v", o.TLSHandshakeFirst)
	}},
	{field: "TLSHandshakeFirstFallback", effect: NewConnections, line: func(o *Options) string {
		return fmt.Sprintf("Reloaded: Client TLS handshake first fallback delay: %v", o.TLSHandshakeFirstFallback)
	}},
	{field: "AllowNonTLS"},

	{field: "JetStream", effect: Live, line: fixed("Reloaded: JetStream")},
	{field: "NoJetStreamStrict"},
	{field: "JetStreamMaxMemory", effect: Live, refuse: maxRefusal(memoryMax), line: maxLine("max_mem_store", memoryMax), same: sameMax(memoryMax)},
	{field: "JetStreamMaxStore", effect: Live, refuse: maxRefusal(storeMax), line: maxLine("max_file_store", storeMax), same: sameMax(storeMax)},
	{field: "JetStreamDomain"},
	{field: "JetStreamExtHint"},
	{field: "JetStreamKey", secret: true},
	{field: "JetStreamOldKey", secret: true},
	{field: "JetStreamCipher"},
	{field: "JetStreamUniqueTag"},
	{field: "JetStreamLimits", effect: Live, line: fixed("Reloaded: JetStream limits")},
	{field: "JetStreamTpm", secret: true},
	{field: "JetStreamMaxCatchup"},
	{field: "JetStreamRequestQueueLimit"},
	{field: "JetStreamInfoQueueLimit"},
	{field: "JetStreamMetaCompact", effect: Live},
	{field: "JetStreamMetaCompactSize", effect: Live},
	{field: "JetStreamMetaCompactSync", effect: Live},
	{field: "JetStreamConcurrentIOs"},
	{field: "StreamMaxBufferedMsgs"},
	{field: "StreamMaxBufferedSize"},
	{field: "StoreDir", effect: Live, refuse: storeDirRefusal},
	{field: "SyncAlways", same: sameFlush},
	{field: "SyncInterval", same: sameInterval},
	{field: "JsAccDefaultDomain"},

	{field: "HTTPHost"},
	{field: "HTTPPort"},
	{field: "HTTPBasePath"},
	{field: "HTTPSPort"},
	{field: "ProfPort"},
	{field: "ProfBlockRate", effect: Live, line: shown("prof_block_rate", func(o *Options) any { return o.ProfBlockRate })},
	{field: "PidFile", effect: Live, line: pidLine},
	{field: "PortsFileDir", effect: Live, line: shown("ports_file_dir", func(o *Options) any { return o.PortsFileDir })},
	{field: "FeatureFlags"},
}

// lineOrder is the order of the log lines: what must hold before users are checked
// again, the check, and the rest.
var lineOrder = []string{
	"ClientAdvertise", "Trace", "Debug", "TraceVerbose", "TraceHeaders", "Logtime", "LogtimeUTC", "MaxConn",
	"Users", "Accounts",
	"Username", "Password", "Authorization", "PingInterval", "MaxPingsOut", "AuthTimeout",
	"MaxControlLine", "MaxPayload", "NoFastProducerStall", "Cluster",
	"JetStream", "JetStreamMaxMemory", "JetStreamMaxStore", "JetStreamLimits", "ProfBlockRate", "PidFile", "PortsFileDir", "LogFile", "Syslog", "RemoteSyslog", "Routes",
	"TLSTimeout", "TLSConfig", "TLSPinnedCerts", "TLSHandshakeFirst", "TLSHandshakeFirstFallback",
	"WriteDeadline", "MaxTracedMsgLen", "ConnectErrorReports", "ReconnectErrorReports",
	"Tags", "Metadata",
}

// everyReload are the lines of what every reload does.
var everyReload = map[string]string{
	"Users":    "Reloaded: authorization users",
	"Accounts": "Reloaded: accounts",
}

func alwaysChanged(_, _ *Options) bool { return false }

func fixed(text string) func(*Options) string { return func(*Options) string { return text } }

func shown(key string, value func(*Options) any) func(*Options) string {
	return func(o *Options) string { return fmt.Sprintf("Reloaded: %s = %v", key, value(o)) }
}

func stalling(o *Options) string {
	if o.NoFastProducerStall {
		return "Reloaded: fast producers will not be stalled"
	}
	return "Reloaded: fast producers will be stalled"
}

func tlsLine(o *Options) string {
	if o.TLSConfig != nil {
		return "Reloaded: tls = enabled"
	}
	return "Reloaded: tls = disabled"
}

// pidLine says nothing of a pid file no longer wanted: the old one stays.
func pidLine(o *Options) string {
	if o.PidFile == "" {
		return ""
	}
	return "Reloaded: pid_file = " + o.PidFile
}
