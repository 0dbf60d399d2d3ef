package monitor

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/lockstepmq/lockstep/server/config"
)

// VarzOptions is empty: there is nothing to choose.
type VarzOptions struct{}

// Varz is what the server is, how it is configured, and its counters.
type Varz struct {
	ID                string        `json:"server_id"`
	Name              string        `json:"server_name"`
	Version           string        `json:"version"`
	Proto             int           `json:"proto"`
	GitCommit         string        `json:"git_commit,omitempty"`
	GoVersion         string        `json:"go"`
	Host              string        `json:"host"`
	Port              int           `json:"port"`
	AuthRequired      bool          `json:"auth_required,omitempty"`
	TLSRequired       bool          `json:"tls_required,omitempty"`
	TLSVerify         bool          `json:"tls_verify,omitempty"`
	TLSOCSPPeerVerify bool          `json:"tls_ocsp_peer_verify,omitempty"`
	IP                string        `json:"ip,omitempty"`
	ClientConnectURLs []string      `json:"connect_urls,omitempty"`
	WSConnectURLs     []string      `json:"ws_connect_urls,omitempty"`
	MaxConn           int           `json:"max_connections"`
	MaxSubs           int           `json:"max_subscriptions,omitempty"`
	PingInterval      time.Duration `json:"ping_interval"`
	MaxPingsOut       int           `json:"ping_max"`
	HTTPHost          string        `json:"http_host"`
	HTTPPort          int           `json:"http_port"`
	HTTPBasePath      string        `json:"http_base_path"`
	HTTPSPort         int           `json:"https_port"`
	AuthTimeout       float64       `json:"auth_timeout"` // seconds
	MaxControlLine    int32         `json:"max_control_line"`
	MaxPayload        int           `json:"max_payload"`
	MaxPending        int64         `json:"max_pending"`

	Cluster   ClusterOptsVarz   `json:"cluster"`
	Gateway   GatewayOptsVarz   `json:"gateway"`
	LeafNode  LeafNodeOptsVarz  `json:"leaf"`
	MQTT      MQTTOptsVarz      `json:"mqtt"`
	Websocket WebsocketOptsVarz `json:"websocket"`
	JetStream JetStreamVarz     `json:"jetstream"`

	TLSTimeout       float64       `json:"tls_timeout"` // seconds
	WriteDeadline    time.Duration `json:"write_deadline"`
	WriteTimeout     string        `json:"write_timeout,omitempty"`
	Start            time.Time     `json:"start"`
	Now              time.Time     `json:"now"`
	Uptime           string        `json:"uptime"`
	Mem              int64         `json:"mem"`
	Cores            int           `json:"cores"`
	MaxProcs         int           `json:"gomaxprocs"`
	MemLimit         int64         `json:"gomemlimit,omitempty"`
	CPU              float64       `json:"cpu"`
	Connections      int           `json:"connections"`
	TotalConnections uint64        `json:"total_connections"`
	Routes           int           `json:"routes"`
	Remotes          int           `json:"remotes"`
	Leafs            int           `json:"leafnodes"`
	InMsgs           int64         `json:"in_msgs"`
	InBytes          int64         `json:"in_bytes"`
	InClientMsgs     int64         `json:"in_client_msgs"`
	InClientBytes    int64         `json:"in_client_bytes"`
	OutMsgs          int64         `json:"out_msgs"`
	OutBytes         int64         `json:"out_bytes"`
	OutClientMsgs    int64         `json:"out_client_msgs"`
	OutClientBytes   int64         `json:"out_client_bytes"`
	SlowConsumers    int64         `json:"slow_consumers"`
	StaleConnections int64         `json:"stale_connections"`
	StalledClients   int64         `json:"stalled_clients"`
	Subscriptions    uint32        `json:"subscriptions"`

	HTTPReqStats   map[string]uint64 `json:"http_req_stats"`
	ConfigLoadTime time.Time         `json:"config_load_time"`
	ConfigDigest   string            `json:"config_digest"`
	Tags           []string          `json:"tags,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	FeatureFlags   map[string]bool   `json:"feature_flags,omitempty"`
	SystemAccount  string            `json:"system_account,omitempty"`

	PinnedAccountFail    uint64                `json:"pinned_account_fails,omitempty"`
	SlowConsumersStats   *SlowConsumersStats   `json:"slow_consumer_stats"`
	StaleConnectionStats *StaleConnectionStats `json:"stale_connection_stats,omitempty"`
	DiskIOWaitStats      DiskIOWaitStats       `json:"disk_io_wait_stats"`
	Proxies              *ProxiesOptsVarz      `json:"proxies,omitempty"`
	TLSCertNotAfter      time.Time             `json:"tls_cert_not_after,omitzero"`

	LockstepVersion string `json:"lockstep_version"`
}

// The parts of Varz for what the server does not have are empty objects.
type (
	// GatewayOptsVarz describes the gateway listener.
	GatewayOptsVarz struct{}
	// LeafNodeOptsVarz describes the leafnode listener.
	LeafNodeOptsVarz struct{}
	// MQTTOptsVarz describes the MQTT listener.
	MQTTOptsVarz struct{}
	// WebsocketOptsVarz describes the WebSocket listener.
	WebsocketOptsVarz struct{}
)

// ClusterOptsVarz describes the route listener; it is empty where there is none.
type ClusterOptsVarz struct {
	Name            string        `json:"name,omitempty"`
	Host            string        `json:"addr,omitempty"`
	Port            int           `json:"cluster_port,omitempty"`
	AuthTimeout     float64       `json:"auth_timeout,omitempty"` // seconds
	URLs            []string      `json:"urls,omitempty"`         // configured routes
	TLSTimeout      float64       `json:"tls_timeout,omitempty"`  // seconds
	TLSRequired     bool          `json:"tls_required,omitempty"`
	TLSVerify       bool          `json:"tls_verify,omitempty"`
	PoolSize        int           `json:"pool_size,omitempty"`
	WriteDeadline   time.Duration `json:"write_deadline,omitempty"`
	WriteTimeout    string        `json:"write_timeout,omitempty"`
	TLSCertNotAfter time.Time     `json:"tls_cert_not_after,omitzero"`
}

// JetStreamVarz describes JetStream; it is empty where that does not run.
type JetStreamVarz struct {
	Config *JetStreamConfig    `json:"config,omitempty"`
	Stats  *JetStreamStats     `json:"stats,omitempty"`
	Limits *config.JSLimitOpts `json:"limits,omitempty"`
}

// SlowConsumersStats counts slow consumers by the kind of connection.
type SlowConsumersStats struct {
	Clients  uint64 `json:"clients"`
	Routes   uint64 `json:"routes"`
	Gateways uint64 `json:"gateways"`
	Leafs    uint64 `json:"leafs"`
}

// StaleConnectionStats counts stale connections by the kind of connection.
type StaleConnectionStats struct {
	Clients  uint64 `json:"clients"`
	Routes   uint64 `json:"routes"`
	Gateways uint64 `json:"gateways"`
	Leafs    uint64 `json:"leafs"`
}

// ProxiesOptsVarz lists the proxies that may vouch for clients.
type ProxiesOptsVarz struct {
	Trusted []*ProxyInfo `json:"trusted,omitempty"`
}

// DiskIOWaitStats tells how disk operations waited for each other.
type DiskIOWaitStats struct {
	Waiters     int64         `json:"waiters"` // now
	Waits       int64         `json:"waits"`
	WaitTime    time.Duration `json:"wait_time"` // in all
	MaxWaitTime time.Duration `json:"max_wait_time"`
}

// Varz describes the server.
func (m *Monitor) Varz(*VarzOptions) (*Varz, error) {
	now := m.now()
	id := m.c.Broker.Identity()
	v := &Varz{
		ID: id.ServerID, Name: id.ServerName, Version: id.Version, Proto: 1, GitCommit: id.GitCommit,
		GoVersion: id.GoVersion, LockstepVersion: id.LockstepVersion,
		Start: m.c.Started.UTC(), Now: now, Uptime: uptime(now.Sub(m.c.Started)),
		ConfigLoadTime: m.c.ConfigLoaded().UTC(), ConfigDigest: m.c.Digest(), HTTPReqStats: m.requestStats(),
		FeatureFlags: m.c.Options().FeatureFlagValues(),
	}
	m.addOptions(v)
	m.addTLS(v)
	m.addCounters(v)
	m.addCluster(v)
	m.addJetStream(v)
	if read := m.process.Load(); read != nil {
		p := (*read)()
		v.Mem, v.Cores, v.MaxProcs, v.MemLimit, v.CPU = p.Memory, p.Cores, p.MaxProcs, p.MemLimit, p.CPU
	}
	return v, nil
}

func (m *Monitor) addOptions(v *Varz) {
	o := m.c.Options()
	a := m.c.Broker.Address()
	v.Host, v.Port = a.Host, a.Port
	v.AuthRequired = m.c.Broker.AuthRequired()
	v.MaxConn, v.MaxSubs = o.MaxConn, o.MaxSubs
	v.PingInterval, v.MaxPingsOut = o.PingInterval, o.MaxPingsOut
	v.HTTPHost, v.HTTPBasePath = o.HTTPHost, o.HTTPBasePath
	v.HTTPPort, v.HTTPSPort = m.boundPort(o.HTTPPort), m.boundPort(o.HTTPSPort)
	v.AuthTimeout, v.TLSTimeout = o.AuthTimeout, o.TLSTimeout
	v.MaxControlLine, v.MaxPayload, v.MaxPending = o.MaxControlLine, int(o.MaxPayload), o.MaxPending
	v.WriteDeadline, v.WriteTimeout = o.WriteDeadline, o.WriteTimeout.String()
	v.Tags, v.Metadata = o.Tags, o.Metadata
	if o.Proxies != nil {
		v.Proxies = &ProxiesOptsVarz{}
		for _, key := range o.TrustedProxyKeys() {
			v.Proxies.Trusted = append(v.Proxies.Trusted, &ProxyInfo{Key: key})
		}
	}
	if sys := m.c.Broker.SystemAccount(); sys != nil {
		v.SystemAccount = sys.Name
	}
}

// boundPort is the port that a random one turned out to be, as far as a request
// that came in on it has told.
func (m *Monitor) boundPort(configured int) int {
	if bound := int(m.httpPort.Load()); configured < 0 && bound > 0 {
		return bound
	}
	return configured
}

func (m *Monitor) addTLS(v *Varz) {
	o := m.c.Options()
	c := o.TLSConfig
	if c == nil {
		return
	}
	v.TLSRequired = !o.AllowNonTLS
	v.TLSVerify = c.ClientAuth == tls.RequireAndVerifyClientCert
	v.TLSCertNotAfter = certNotAfter(c)
}

// certNotAfter is when the first certificate ends; zero without any.
func certNotAfter(c *tls.Config) time.Time {
	if len(c.Certificates) == 0 {
		return time.Time{}
	}
	cert := &c.Certificates[0]
	leaf := cert.Leaf
	if leaf == nil && len(cert.Certificate) > 0 {
		leaf, _ = x509.ParseCertificate(cert.Certificate[0])
	}
	if leaf == nil {
		return time.Time{}
	}
	return leaf.NotAfter.UTC()
}

// addCluster tells of the cluster, and adds what came and went over routes.
func (m *Monitor) addCluster(v *Varz) {
	c := m.c.Cluster
	if c == nil {
		return
	}
	o := m.c.Options().Cluster
	v.Cluster = ClusterOptsVarz{
		Name: c.Name(), Host: o.Host, Port: o.Port, AuthTimeout: o.AuthTimeout, TLSTimeout: o.TLSTimeout, PoolSize: o.PoolSize,
		WriteDeadline: o.WriteDeadline, WriteTimeout: o.WriteTimeout.String(),
	}
	for _, u := range m.c.Options().Routes {
		v.Cluster.URLs = append(v.Cluster.URLs, u.Host)
	}
	if o.TLSConfig != nil {
		v.Cluster.TLSRequired, v.Cluster.TLSVerify = true, true
		v.Cluster.TLSCertNotAfter = certNotAfter(o.TLSConfig)
	}
	v.ClientConnectURLs = m.c.Broker.ConnectURLs()
	v.Routes, v.Remotes = c.NumRoutes(), c.NumRemotes()
	in, out := &m.c.Broker.Stats().RoutesIn, &m.c.Broker.Stats().RoutesOut
	v.InMsgs, v.InBytes = v.InMsgs+in.Msgs.Load(), v.InBytes+in.Bytes.Load()
	v.OutMsgs, v.OutBytes = v.OutMsgs+out.Msgs.Load(), v.OutBytes+out.Bytes.Load()
	slow, stale := c.Stats().Slow.Load(), c.Stats().Stale.Load()
	v.SlowConsumers, v.StaleConnections = v.SlowConsumers+slow, v.StaleConnections+stale
	v.SlowConsumersStats.Routes, v.StaleConnectionStats.Routes = uint64(slow), uint64(stale)
}

func (m *Monitor) addJetStream(v *Varz) {
	src, c := m.source()
	if src == nil {
		return
	}
	stats := src.JetStreamTotals().JetStreamStats
	v.JetStream = JetStreamVarz{Config: c, Stats: &stats, Limits: m.limits()}
}

func (m *Monitor) addCounters(v *Varz) {
	b := m.c.Broker
	s := b.Stats()
	v.Connections, v.TotalConnections = b.NumClients(), s.Total.Load()
	v.InClientMsgs, v.InClientBytes = s.In.Msgs.Load(), s.In.Bytes.Load()
	v.OutClientMsgs, v.OutClientBytes = s.Out.Msgs.Load(), s.Out.Bytes.Load()
	v.InMsgs, v.InBytes = v.InClientMsgs+s.RoutesIn.Msgs.Load(), v.InClientBytes+s.RoutesIn.Bytes.Load()
	v.OutMsgs, v.OutBytes = v.OutClientMsgs+s.RoutesOut.Msgs.Load(), v.OutClientBytes+s.RoutesOut.Bytes.Load()
	v.SlowConsumers, v.StaleConnections, v.StalledClients = s.Slow.Load(), s.Stale.Load(), s.Stalled.Load()
	v.SlowConsumersStats = &SlowConsumersStats{Clients: uint64(v.SlowConsumers)}
	v.StaleConnectionStats = &StaleConnectionStats{Clients: uint64(v.StaleConnections)}
	v.Subscriptions = uint32(b.NumSubscriptions())
}

// counted are the paths whose requests varz counts, below the base path.
var counted = [...]string{
	"/", "/varz", "/connz", "/routez", "/gatewayz", "/leafz", "/subsz", "/accountz", "/accstatz", "/jsz", "/healthz",
}

// countRequest counts a request to a path; others than the counted are ignored.
func (m *Monitor) countRequest(path string) {
	for i, p := range counted {
		if p == path {
			m.requests[i].Add(1)
		}
	}
}

// requestStats has the paths that were asked for.
func (m *Monitor) requestStats() map[string]uint64 {
	stats := make(map[string]uint64)
	for i, p := range counted {
		if n := m.requests[i].Load(); n > 0 {
			stats[p] = n
		}
	}
	return stats
}
