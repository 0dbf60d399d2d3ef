// Package config owns what an operator may say to the server: the options, the
// configuration file and the command line that state them, the checks across
// options, and the plan of a reload.
//
// It runs before there are strands, and again whenever a reload is asked for; it
// keeps no state between calls. An [Options] value belongs to its caller, and is
// never changed after a server was given it: a reload builds a new one and
// compares. Nothing here opens a listener, signals a process or logs: callers do,
// with what is returned.
//
// The language itself (lexer, parser, variables, includes) is in package
// server/config/lang. The only file here that reads files and the environment is
// files.go.
package config

import (
	"crypto/tls"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
)

// Sizes, periods and addresses that hold when nothing else is said.
const (
	DefaultHost                  = "0.0.0.0"
	DefaultPort                  = 4222
	RandomPort                   = -1 // the kernel picks
	DefaultHTTPPort              = 8222
	DefaultHTTPBasePath          = "/"
	DefaultMaxConnections        = 64 * 1024
	DefaultMaxControlLine        = 4096
	DefaultMaxPayload            = 1024 * 1024
	DefaultMaxPending            = 64 * 1024 * 1024
	DefaultMaxClosedClients      = 10000
	DefaultPingInterval          = 2 * time.Minute
	DefaultPingMax               = 2
	DefaultTLSTimeout            = 2 * time.Second
	DefaultAuthTimeout           = 2 * time.Second
	DefaultFlushDeadline         = 10 * time.Second
	DefaultLameDuckDuration      = 2 * time.Minute
	DefaultLameDuckGracePeriod   = 10 * time.Second
	DefaultConnectErrorReports   = 3600
	DefaultReconnectErrorReports = 1
	DefaultTLSHandshakeFallback  = 50 * time.Millisecond

	// MaxPayloadWarning is the max_payload above which the start warns.
	MaxPayloadWarning = 8 * 1024 * 1024
)

// Options says how a server behaves. The zero value is usable: [Options.SetBaseline]
// fills in what was left zero. Field names are those that embedding programs know.
type Options struct {
	// ConfigFile is the path the options were read from; empty means that there is
	// nothing to reload. digest is "sha256:" and the hex digest of its content
	// (layout and comments do not count).
	ConfigFile string `json:"-"`
	digest     string
	// CheckConfig asks to load and check the file only (-t).
	CheckConfig bool `json:"-"`

	ServerName      string            `json:"server_name"`
	Host            string            `json:"addr"`
	Port            int               `json:"port"` // 0: DefaultPort; RandomPort: any free one
	DontListen      bool              `json:"dont_listen"`
	ClientAdvertise string            `json:"-"` // host[:port] told to clients instead of Host, Port
	Tags            []string          `json:"-"`
	Metadata        map[string]string `json:"-"`

	// Logging. MaxTracedMsgLen is bytes, 0 for no limit; LogSizeLimit is bytes, 0 for
	// no rotation; LogMaxFiles counts the current file too, 0 for all.
	Trace           bool   `json:"-"`
	Debug           bool   `json:"-"`
	TraceVerbose    bool   `json:"-"`
	TraceHeaders    bool   `json:"-"`
	NoLog           bool   `json:"-"`
	NoSigs          bool   `json:"-"`
	Logtime         bool   `json:"-"`
	LogtimeUTC      bool   `json:"-"`
	LogFile         string `json:"-"`
	LogSizeLimit    int64  `json:"-"`
	LogMaxFiles     int64  `json:"-"`
	Syslog          bool   `json:"-"`
	RemoteSyslog    string `json:"-"`
	MaxTracedMsgLen int    `json:"-"`
	// ConnectErrorReports and ReconnectErrorReports log every n-th failed dial.
	ConnectErrorReports   int `json:"-"`
	ReconnectErrorReports int `json:"-"`

	// Limits. MaxSubs and MaxSubTokens are per connection, 0 for none; the sizes are
	// bytes; MaxPayload -1 means no limit.
	MaxConn          int   `json:"max_connections"`
	MaxSubs          int   `json:"max_subscriptions,omitempty"`
	MaxSubTokens     uint8 `json:"-"`
	MaxControlLine   int32 `json:"max_control_line"`
	MaxPayload       int32 `json:"max_payload"`
	MaxPending       int64 `json:"max_pending"`
	MaxClosedClients int   `json:"-"`

	// Liveness.
	PingInterval          time.Duration      `json:"ping_interval"`
	MaxPingsOut           int                `json:"ping_max"`
	DisableShortFirstPing bool               `json:"-"`
	WriteDeadline         time.Duration      `json:"-"`
	WriteTimeout          WriteTimeoutPolicy `json:"-"`
	LameDuckDuration      time.Duration      `json:"-"`
	LameDuckGracePeriod   time.Duration      `json:"-"`

	// Behaviour switches.
	NoFastProducerStall bool `json:"-"`
	NoHeaderSupport     bool `json:"-"`
	NoSublistCache      bool `json:"-"`
	ProxyProtocol       bool `json:"-"`
	AlwaysEnableNonce   bool `json:"-"`
	// FeatureFlags are the flags that were stated, of any name.
	FeatureFlags map[string]bool `json:"-"`

	// Who may connect. Users and Nkeys belong to the account they name, or to $G.
	// AuthTimeout is seconds.
	Username                   string              `json:"-"`
	Password                   string              `json:"-"`
	Authorization              string              `json:"-"`
	AuthTimeout                float64             `json:"auth_timeout"`
	Users                      []*auth.User        `json:"-"`
	Nkeys                      []*auth.NkeyUser    `json:"-"`
	NoAuthUser                 string              `json:"-"`
	CustomClientAuthentication auth.Authentication `json:"-"`
	Accounts                   []*account.Account  `json:"-"`
	SystemAccount              string              `json:"-"`
	NoSystemAccount            bool                `json:"-"`
	// Proxies sign the nonce for the clients that they pass on. ProxyRequired refuses
	// the single user and the token without; users say so themselves.
	Proxies       *ProxiesConfig `json:"-"`
	ProxyRequired bool           `json:"-"`

	// Routes are the servers that are dialled to form a cluster.
	Cluster ClusterOpts `json:"cluster"`
	Routes  []*url.URL  `json:"-"`

	// TLS of the client listener. TLSTimeout is seconds; TLSRateLimit is handshakes a
	// second, 0 for no limit; with TLSHandshakeFirst and a TLSHandshakeFirstFallback
	// above zero the server speaks INFO after that silence.
	TLS                       bool          `json:"-"`
	TLSTimeout                float64       `json:"tls_timeout"`
	TLSVerify                 bool          `json:"-"`
	TLSMap                    bool          `json:"-"`
	TLSCert                   string        `json:"-"`
	TLSKey                    string        `json:"-"`
	TLSCaCert                 string        `json:"-"`
	TLSConfig                 *tls.Config   `json:"-"`
	TLSPinnedCerts            PinnedCertSet `json:"-"`
	TLSRateLimit              int64         `json:"-"`
	TLSHandshakeFirst         bool          `json:"-"`
	TLSHandshakeFirstFallback time.Duration `json:"-"`
	AllowNonTLS               bool          `json:"-"`

	// Monitoring and profiling. Ports: 0 is off, RandomPort any free one.
	HTTPHost      string `json:"http_host"`
	HTTPPort      int    `json:"http_port"`
	HTTPBasePath  string `json:"http_base_path"`
	HTTPSPort     int    `json:"https_port"`
	ProfPort      int    `json:"-"`
	ProfBlockRate int    `json:"-"`
	PidFile       string `json:"-"`
	PortsFileDir  string `json:"-"`

	// JetStream. The maxima are bytes; -1, and 0 unless a file stated it, let the server
	// take a share of what the machine has. StoreDir holds the directory "jetstream".
	JetStream                  bool        `json:"jetstream"`
	NoJetStreamStrict          bool        `json:"-"` // unknown fields of API requests are ignored
	JetStreamMaxMemory         int64       `json:"-"`
	JetStreamMaxStore          int64       `json:"-"`
	JetStreamDomain            string      `json:"-"`
	JetStreamExtHint           string      `json:"-"` // "will_extend", "no_extend" or ""
	JetStreamKey               string      `json:"-"` // encrypts what is stored; "" does not
	JetStreamOldKey            string      `json:"-"` // reads what an earlier JetStreamKey encrypted
	JetStreamCipher            StoreCipher `json:"-"`
	JetStreamUniqueTag         string      `json:"-"` // lower-case prefix of server tags
	JetStreamLimits            JSLimitOpts `json:"-"`
	JetStreamTpm               JSTpmOpts   `json:"-"`
	JetStreamMaxCatchup        int64       `json:"-"` // bytes on the way to replicas that catch up
	JetStreamRequestQueueLimit int64       `json:"-"` // API requests that wait
	JetStreamInfoQueueLimit    int64       `json:"-"` // API requests for information that wait
	JetStreamMetaCompact       uint64      `json:"-"` // entries; 0 leaves it to the server
	JetStreamMetaCompactSize   uint64      `json:"-"` // bytes; 0 leaves it to the server
	JetStreamMetaCompactSync   bool        `json:"-"`
	JetStreamConcurrentIOs     int         `json:"-"` // disk operations at a time
	// StreamMaxBufferedMsgs and StreamMaxBufferedSize (bytes) bound what one stream was
	// sent and has not stored yet.
	StreamMaxBufferedMsgs int    `json:"-"`
	StreamMaxBufferedSize int64  `json:"-"`
	StoreDir              string `json:"-"`
	// SyncInterval above zero lets acknowledged messages wait so long for the disk:
	// [Options.FlushBeforeAck]. SyncAlways says that they never do, which is the default.
	SyncInterval time.Duration `json:"-"`
	SyncAlways   bool          `json:"-"`
	// JsAccDefaultDomain maps accounts to the domain that serves them from elsewhere.
	JsAccDefaultDomain map[string]string `json:"-"`

	// tlsOpts is what TLSConfig was built from, for reloads and messages.
	tlsOpts *TLSConfigOpts
	// inFile names the fields that the file set, so that an explicit zero is not taken
	// for an absent value.
	inFile map[string]bool
	// flags are what the command line said, to be laid over the file again on a reload.
	flags *commandLine
	// warnings are what reading the file complained about without refusing it.
	warnings []error
}

// PinnedCertSet holds lower-case hex SHA-256 digests of the public keys (SPKI) that
// peers may present. Empty admits every key.
type PinnedCertSet map[string]struct{}

// WriteTimeoutPolicy says what happens to a connection whose peer took nothing for a
// whole write deadline.
type WriteTimeoutPolicy uint8

// The policies. Default closes clients and retries on server links.
const (
	WriteTimeoutPolicyDefault WriteTimeoutPolicy = iota
	WriteTimeoutPolicyClose
	WriteTimeoutPolicyRetry
)

// String returns the word of the configuration file for p; the default has none.
func (p WriteTimeoutPolicy) String() string {
	switch p {
	case WriteTimeoutPolicyClose:
		return "close"
	case WriteTimeoutPolicyRetry:
		return "retry"
	}
	return ""
}

// Warnings returns what reading the configuration complained about without refusing
// it, in the file's order.
func (o *Options) Warnings() []error { return o.warnings }

// ConfigDigest is "sha256:" and the hex digest of the configuration file's content,
// in which layout and comments do not count; empty without a file.
func (o *Options) ConfigDigest() string { return o.digest }

// MaxConnExplicit reports whether the file stated max_connections, in which case zero
// is a limit and not an absent value.
func (o *Options) MaxConnExplicit() bool { return o.inFile["MaxConn"] }

// Clone returns a copy that shares no slice, map or user with o, so that changing
// one does not change the other. Accounts are shared: they are identities. A nil o
// gives nil.
func (o *Options) Clone() *Options {
	if o == nil {
		return nil
	}
	c := *o
	c.Tags = slices.Clone(o.Tags)
	c.Metadata = maps.Clone(o.Metadata)
	c.FeatureFlags = maps.Clone(o.FeatureFlags)
	c.JsAccDefaultDomain = maps.Clone(o.JsAccDefaultDomain)
	c.Proxies = o.Proxies.clone()
	c.Accounts = slices.Clone(o.Accounts)
	c.Cluster, c.Routes = o.Cluster.clone(), cloneURLs(o.Routes)
	c.TLSPinnedCerts = maps.Clone(o.TLSPinnedCerts)
	c.inFile = maps.Clone(o.inFile)
	c.warnings = slices.Clone(o.warnings)
	if o.TLSConfig != nil {
		c.TLSConfig = o.TLSConfig.Clone()
	}
	if o.tlsOpts != nil {
		t := *o.tlsOpts
		c.tlsOpts = &t
	}
	c.Users, c.Nkeys = cloneUsers(o.Users), cloneNkeys(o.Nkeys)
	return &c
}
