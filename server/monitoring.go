package server

import "github.com/lockstepmq/lockstep/server/monitor"

// What monitoring answers, and how it is asked.
type (
	Varz                 = monitor.Varz
	VarzOptions          = monitor.VarzOptions
	ClusterOptsVarz      = monitor.ClusterOptsVarz
	GatewayOptsVarz      = monitor.GatewayOptsVarz
	LeafNodeOptsVarz     = monitor.LeafNodeOptsVarz
	MQTTOptsVarz         = monitor.MQTTOptsVarz
	WebsocketOptsVarz    = monitor.WebsocketOptsVarz
	JetStreamVarz        = monitor.JetStreamVarz
	SlowConsumersStats   = monitor.SlowConsumersStats
	StaleConnectionStats = monitor.StaleConnectionStats
	Connz                = monitor.Connz
	ConnzOptions         = monitor.ConnzOptions
	ConnInfo             = monitor.ConnInfo
	ConnInfos            = monitor.ConnInfos
	ConnState            = monitor.ConnState
	SortOpt              = monitor.SortOpt
	TLSPeerCert          = monitor.TLSPeerCert
	ProxyInfo            = monitor.ProxyInfo
	ProxiesOptsVarz      = monitor.ProxiesOptsVarz
	SubDetail            = monitor.SubDetail
	Subsz                = monitor.Subsz
	SubszOptions         = monitor.SubszOptions
	SublistStats         = monitor.SublistStats
	Routez               = monitor.Routez
	RoutezOptions        = monitor.RoutezOptions
	RouteInfo            = monitor.RouteInfo
	Gatewayz             = monitor.Gatewayz
	GatewayzOptions      = monitor.GatewayzOptions
	RemoteGatewayz       = monitor.RemoteGatewayz
	AccountGatewayz      = monitor.AccountGatewayz
	Leafz                = monitor.Leafz
	LeafzOptions         = monitor.LeafzOptions
	LeafInfo             = monitor.LeafInfo
	Accountz             = monitor.Accountz
	AccountzOptions      = monitor.AccountzOptions
	AccountInfo          = monitor.AccountInfo
	ExtImport            = monitor.ExtImport
	ExtExport            = monitor.ExtExport
	ExtMap               = monitor.ExtMap
	AccountStatz         = monitor.AccountStatz
	AccountStatzOptions  = monitor.AccountStatzOptions
	AccountStat          = monitor.AccountStat
	DataStats            = monitor.DataStats
	MsgBytes             = monitor.MsgBytes
	HealthStatus         = monitor.HealthStatus
	HealthzOptions       = monitor.HealthzOptions
	HealthzError         = monitor.HealthzError
	HealthZErrorType     = monitor.HealthZErrorType
)

// Which connections Connz lists, and by what it sorts them.
const (
	ConnOpen   = monitor.ConnOpen
	ConnClosed = monitor.ConnClosed
	ConnAll    = monitor.ConnAll

	ByCid      = monitor.ByCid
	ByStart    = monitor.ByStart
	BySubs     = monitor.BySubs
	ByPending  = monitor.ByPending
	ByOutMsgs  = monitor.ByOutMsgs
	ByInMsgs   = monitor.ByInMsgs
	ByOutBytes = monitor.ByOutBytes
	ByInBytes  = monitor.ByInBytes
	ByLast     = monitor.ByLast
	ByIdle     = monitor.ByIdle
	ByUptime   = monitor.ByUptime
	ByStop     = monitor.ByStop
	ByReason   = monitor.ByReason
	ByRTT      = monitor.ByRTT

	DefaultConnListSize = monitor.DefaultConnListSize
	DefaultSubListSize  = monitor.DefaultSubListSize

	HealthzErrorConn       = monitor.HealthzErrorConn
	HealthzErrorBadRequest = monitor.HealthzErrorBadRequest
	HealthzErrorJetStream  = monitor.HealthzErrorJetStream
	HealthzErrorAccount    = monitor.HealthzErrorAccount
	HealthzErrorStream     = monitor.HealthzErrorStream
	HealthzErrorConsumer   = monitor.HealthzErrorConsumer
)

// Varz describes the server: what it is, how it is configured, its counters.
func (s *Server) Varz(opts *VarzOptions) (*Varz, error) {
	s.monitor.UseProcess(monitor.ReadProcess)
	return s.monitor.Varz(opts)
}

// Connz lists connections; nil is all that are open.
func (s *Server) Connz(opts *ConnzOptions) (*Connz, error) { return s.monitor.Connz(opts) }

// Subsz is the state of the subscription indexes.
func (s *Server) Subsz(opts *SubszOptions) (*Subsz, error) { return s.monitor.Subsz(opts) }

// Routez lists routes.
func (s *Server) Routez(opts *RoutezOptions) (*Routez, error) { return s.monitor.Routez(opts) }

// Gatewayz lists gateways.
func (s *Server) Gatewayz(opts *GatewayzOptions) (*Gatewayz, error) { return s.monitor.Gatewayz(opts) }

// Leafz lists leafnodes.
func (s *Server) Leafz(opts *LeafzOptions) (*Leafz, error) { return s.monitor.Leafz(opts) }

// Accountz lists accounts, or describes the one that opts names.
func (s *Server) Accountz(opts *AccountzOptions) (*Accountz, error) { return s.monitor.Accountz(opts) }

// AccountStatz has the counters of accounts.
func (s *Server) AccountStatz(opts *AccountStatzOptions) (*AccountStatz, error) {
	return s.monitor.AccountStatz(opts)
}

// Healthz judges whether the server is fit for work.
func (s *Server) Healthz(opts *HealthzOptions) *HealthStatus { return s.monitor.Healthz(opts) }
