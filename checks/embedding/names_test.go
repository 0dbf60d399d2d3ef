package embedding

import (
	"crypto/tls"
	"flag"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/test"
)

// The functions, with the signatures that programs use.
var (
	_ func(*server.Options) (*server.Server, error)                                  = server.NewServer
	_ func(*server.Options) *server.Server                                           = server.New
	_ func(string) (*server.Options, error)                                          = server.ProcessConfigFile
	_ func(*server.Server) error                                                     = server.Run
	_ func(*server.TLSConfigOpts) (*tls.Config, error)                               = server.GenTLSConfig
	_ func(string) *server.Account                                                   = server.NewAccount
	_ func(string, uint8) *server.MapDest                                            = server.NewMapDest
	_ func(*flag.FlagSet, []string, func(), func(), func()) (*server.Options, error) = server.ConfigureOptions

	_ func(*server.Options) *server.Server                                                        = test.RunServer
	_ func() *server.Server                                                                       = test.RunDefaultServer
	_ func() *server.Server                                                                       = test.RunRandClientPortServer
	_ func(*server.Options, func(*server.Server)) *server.Server                                  = test.RunServerCallback
	_ func(string) (*server.Server, *server.Options)                                              = test.RunServerWithConfig
	_ func(string, func(*server.Options), func(*server.Server)) (*server.Server, *server.Options) = test.RunServerWithConfigOverrides
	_ func(string) *server.Options                                                                = test.LoadConfig
	_ server.Options                                                                              = test.DefaultTestOptions
)

// embedded is what programs call on a server.
type embedded interface {
	// life
	Start()
	ReadyForConnections(time.Duration) bool
	Shutdown()
	WaitForShutdown()
	LameDuckShutdown()
	Running() bool
	Reload() error
	ReloadOptions(*server.Options) error
	ConfigureLogger()
	SetLogger(server.Logger, bool, bool)
	SetLoggerV2(server.Logger, bool, bool, bool)
	ReOpenLogFile()
	StartMonitoring() error
	Logger() server.Logger
	Noticef(string, ...any)
	Warnf(string, ...any)
	Errorf(string, ...any)
	Debugf(string, ...any)
	Tracef(string, ...any)
	Fatalf(string, ...any)

	// where
	ClientURL() string
	Addr() net.Addr
	MonitorAddr() *net.TCPAddr
	ProfilerAddr() *net.TCPAddr
	PortsInfo(time.Duration) *server.Ports
	InProcessConn() (net.Conn, error)
	HTTPHandler() http.Handler

	// who
	ID() string
	Name() string
	ClusterName() string
	NodeName() string
	ConfigTime() time.Time

	// counts
	NumClients() int
	NumSubscriptions() uint32
	NumRoutes() int
	NumRemotes() int
	NumLeafNodes() int
	NumOutboundGateways() int
	NumInboundGateways() int
	NumSlowConsumers() int64
	NumLoadedAccounts() int
	NonceRequired() bool

	// monitoring
	Varz(*server.VarzOptions) (*server.Varz, error)
	Connz(*server.ConnzOptions) (*server.Connz, error)
	Routez(*server.RoutezOptions) (*server.Routez, error)
	Subsz(*server.SubszOptions) (*server.Subsz, error)
	Gatewayz(*server.GatewayzOptions) (*server.Gatewayz, error)
	Leafz(*server.LeafzOptions) (*server.Leafz, error)
	Accountz(*server.AccountzOptions) (*server.Accountz, error)
	AccountStatz(*server.AccountStatzOptions) (*server.AccountStatz, error)
	Healthz(*server.HealthzOptions) *server.HealthStatus

	// accounts
	SystemAccount() *server.Account
	SetSystemAccount(string) error
	GlobalAccount() *server.Account
	LookupAccount(string) (*server.Account, error)
	LookupOrRegisterAccount(string) (*server.Account, bool)
	RegisterAccount(string) (*server.Account, error)

	// clients in process
	DisconnectClientByID(uint64) error
	LDMClientByID(uint64) error
}

// embeddedAccount is what programs call on an account.
type embeddedAccount interface {
	GetName() string
	String() string
	AddServiceExport(string, []*server.Account) error
	AddServiceExportWithResponse(string, server.ServiceRespType, []*server.Account) error
	AddServiceImport(*server.Account, string, string) error
	AddStreamExport(string, []*server.Account) error
	AddStreamImport(*server.Account, string, string) error
	AddMappedStreamImport(*server.Account, string, string) error
	AddMapping(string, string) error
	AddWeightedMappings(string, ...*server.MapDest) error
	RemoveMapping(string) bool
	NumConnections() int
	NumLocalConnections() int
	NumLeafNodes() int
	TotalSubs() int
	SubscriptionInterest(string) bool
	Interest(string) int
	IsExportService(string) bool
	TrackServiceExport(string, string) error
	TrackServiceExportWithSampling(string, string, int) error
	UnTrackServiceExport(string)
	ServiceExportResponseThreshold(string) (time.Duration, error)
	SetServiceExportResponseThreshold(string, time.Duration) error
	SetServiceImportSharing(*server.Account, string, bool) error
}

var (
	_ embedded        = (*server.Server)(nil)
	_ embeddedAccount = (*server.Account)(nil)
)

// TestOptionsTakeTheirTypes compiles against each field that programs set.
func TestOptionsTakeTheirTypes(t *testing.T) {
	o := server.Options{
		ConfigFile: "", ServerName: "n", Host: server.DEFAULT_HOST, Port: server.DEFAULT_PORT, DontListen: true,
		ClientAdvertise: "a:1", Trace: true, Debug: true, TraceVerbose: true, TraceHeaders: true, NoLog: true, NoSigs: true,
		NoSublistCache: true, NoHeaderSupport: true, DisableShortFirstPing: true, Logtime: true, LogtimeUTC: true,
		MaxConn: 1, MaxSubs: 2, MaxSubTokens: uint8(3),
		Users: []*server.User{{
			Username: "u", Password: "p", Account: server.NewAccount("A"), ConnectionDeadline: time.Time{},
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"a"}, Deny: []string{"b"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"a"}},
				Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: time.Second},
			},
			AllowedConnectionTypes: map[string]struct{}{"STANDARD": {}}, ProxyRequired: false,
		}},
		Nkeys: []*server.NkeyUser{{
			Nkey: "U", Permissions: &server.Permissions{}, Account: server.NewAccount("A"),
			AllowedConnectionTypes: map[string]struct{}{},
		}},
		Accounts: []*server.Account{server.NewAccount("A")}, NoAuthUser: "u", SystemAccount: "S", NoSystemAccount: false,
		Username: "u", Password: "p", Authorization: "t", ProxyProtocol: false,
		PingInterval: time.Minute, MaxPingsOut: 2, HTTPHost: "h", HTTPPort: 1, HTTPBasePath: "/", HTTPSPort: 2,
		AuthTimeout: float64(1.5), MaxControlLine: int32(4096), MaxPayload: int32(1 << 20), MaxPending: int64(1 << 26),
		NoFastProducerStall: true, ProfPort: 1, ProfBlockRate: 0, PidFile: "p", PortsFileDir: "d",
		LogFile: "l", LogSizeLimit: int64(1), LogMaxFiles: int64(2), Syslog: false, RemoteSyslog: "",
		TLS: true, TLSTimeout: float64(2), TLSVerify: true, TLSMap: true, TLSCert: "c", TLSKey: "k", TLSCaCert: "a",
		TLSConfig: &tls.Config{}, TLSPinnedCerts: server.PinnedCertSet{"x": struct{}{}}, TLSRateLimit: int64(1),
		TLSHandshakeFirst: true, TLSHandshakeFirstFallback: server.DEFAULT_TLS_HANDSHAKE_FIRST_FALLBACK_DELAY, AllowNonTLS: true,
		WriteDeadline: server.DEFAULT_FLUSH_DEADLINE, WriteTimeout: server.WriteTimeoutPolicyClose, MaxClosedClients: 1,
		LameDuckDuration: server.DEFAULT_LAME_DUCK_DURATION, LameDuckGracePeriod: server.DEFAULT_LAME_DUCK_GRACE_PERIOD,
		MaxTracedMsgLen: 1, AlwaysEnableNonce: true, CheckConfig: false,
		ConnectErrorReports: 1, ReconnectErrorReports: 1, Tags: []string{"a"}, Metadata: map[string]string{"k": "v"},
	}
	c := o.Clone()
	require.Equal(t, o.ServerName, c.ServerName)
	c.Users[0].Username = "other"
	require.Equal(t, "u", o.Users[0].Username, "a clone has users of its own")
	require.Empty(t, o.ConfigDigest())
}

// TestConstants holds the values that programs compile in.
func TestConstants(t *testing.T) {
	require.Equal(t, "2.15.0", server.VERSION)
	require.Equal(t, -1, server.RANDOM_PORT)
	require.Equal(t, 4222, server.DEFAULT_PORT)
	require.Equal(t, "0.0.0.0", server.DEFAULT_HOST)
	require.Equal(t, 8222, server.DEFAULT_HTTP_PORT)
	require.Equal(t, "/", server.DEFAULT_HTTP_BASE_PATH)
	require.Equal(t, 64*1024, server.DEFAULT_MAX_CONNECTIONS)
	require.Equal(t, 2*time.Minute, server.DEFAULT_PING_INTERVAL)
	require.Equal(t, 2, server.DEFAULT_PING_MAX_OUT)
	require.Equal(t, 10*time.Second, server.DEFAULT_FLUSH_DEADLINE)
	require.Equal(t, 4096, server.MAX_CONTROL_LINE_SIZE)
	require.Equal(t, 1024*1024, server.MAX_PAYLOAD_SIZE)
	require.Equal(t, 64*1024*1024, server.MAX_PENDING_SIZE)
	require.Equal(t, "$G", server.DEFAULT_GLOBAL_ACCOUNT)
	require.Equal(t, "$SYS", server.DEFAULT_SYSTEM_ACCOUNT)
	require.Equal(t, 0, server.CLIENT)
	require.Equal(t, []server.ServiceRespType{0, 1, 2}, []server.ServiceRespType{server.Singleton, server.Streamed, server.Chunked})
}

// TestDefaultTestOptions holds what tests of programs count on.
func TestDefaultTestOptions(t *testing.T) {
	require.Equal(t, server.Options{
		Host: "127.0.0.1", Port: 4222, NoLog: true, NoSigs: true, MaxControlLine: 4096, DisableShortFirstPing: true,
	}, test.DefaultTestOptions)
}
