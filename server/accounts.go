package server

import (
	"errors"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// The types that embedding programs name.
type (
	Account              = account.Account
	User                 = auth.User
	NkeyUser             = auth.NkeyUser
	Permissions          = perm.Permissions
	SubjectPermission    = perm.SubjectPermission
	ResponsePermission   = perm.ResponsePermission
	Authentication       = auth.Authentication
	ClientAuthentication = auth.ClientAuthentication
	ClientOpts           = wire.Connect
	TLSConfigOpts        = config.TLSConfigOpts
	TLSCertPairOpt       = config.TLSCertPairOpt
	ProxiesConfig        = config.ProxiesConfig
	ProxyConfig          = config.ProxyConfig
	PinnedCertSet        = config.PinnedCertSet
	WriteTimeoutPolicy   = config.WriteTimeoutPolicy
	MapDest              = account.MapDest
	Logger               = logging.Logger
	Client               = broker.Client
	ServiceRespType      = account.ResponseType
)

// CLIENT is what Kind tells of client connections.
const CLIENT = broker.KindClient

// Kinds of response of a service export.
const (
	Singleton = account.Singleton
	Streamed  = account.Streamed
	Chunked   = account.Chunked
)

// Ports, addresses and limits that hold when nothing else is said.
const (
	DEFAULT_HOST = config.DefaultHost
	DEFAULT_PORT = config.DefaultPort
	RANDOM_PORT  = config.RandomPort

	DEFAULT_HTTP_PORT                          = config.DefaultHTTPPort
	DEFAULT_HTTP_BASE_PATH                     = config.DefaultHTTPBasePath
	DEFAULT_MAX_CLOSED_CLIENTS                 = config.DefaultMaxClosedClients
	DEFAULT_LAME_DUCK_GRACE_PERIOD             = config.DefaultLameDuckGracePeriod
	DEFAULT_CONNECT_ERROR_REPORTS              = config.DefaultConnectErrorReports
	DEFAULT_RECONNECT_ERROR_REPORTS            = config.DefaultReconnectErrorReports
	DEFAULT_TLS_HANDSHAKE_FIRST_FALLBACK_DELAY = config.DefaultTLSHandshakeFallback
	TLS_TIMEOUT                                = config.DefaultTLSTimeout
	AUTH_TIMEOUT                               = config.DefaultAuthTimeout
	MAX_PAYLOAD_MAX_SIZE                       = config.MaxPayloadWarning
	DEFAULT_MAX_CONNECTIONS                    = config.DefaultMaxConnections
	DEFAULT_PING_INTERVAL                      = config.DefaultPingInterval
	DEFAULT_PING_MAX_OUT                       = config.DefaultPingMax
	DEFAULT_LAME_DUCK_DURATION                 = config.DefaultLameDuckDuration
	DEFAULT_FLUSH_DEADLINE                     = config.DefaultFlushDeadline
	MAX_CONTROL_LINE_SIZE                      = config.DefaultMaxControlLine
	MAX_PAYLOAD_SIZE                           = config.DefaultMaxPayload
	MAX_PENDING_SIZE                           = config.DefaultMaxPending
	DEFAULT_GLOBAL_ACCOUNT                     = account.Global
	DEFAULT_SYSTEM_ACCOUNT                     = account.System
)

// Errors of account look-ups.
var (
	ErrAccountExists  = errors.New("account exists")
	ErrMissingAccount = errors.New("account missing")
)

// What a time-out of a write does.
const (
	WriteTimeoutPolicyDefault = config.WriteTimeoutPolicyDefault
	WriteTimeoutPolicyClose   = config.WriteTimeoutPolicyClose
	WriteTimeoutPolicyRetry   = config.WriteTimeoutPolicyRetry
)

// NewMapDest is a destination of a mapping for weight percent of the messages.
func NewMapDest(subject string, weight uint8) *MapDest { return account.NewMapDest(subject, weight) }

// NewAccount makes an account that no server knows yet.
func NewAccount(name string) *Account { return account.New(name) }

// GlobalAccount is the account of clients that name no other.
func (s *Server) GlobalAccount() *Account { return s.broker.Global() }

// SystemAccount is nil when there is none.
func (s *Server) SystemAccount() *Account { return s.broker.SystemAccount() }

// SetSystemAccount makes a registered account the system account.
func (s *Server) SetSystemAccount(name string) error {
	if s.broker.LookupAccount(name) == nil {
		return ErrMissingAccount
	}
	return s.broker.SetSystemAccount(name)
}

// LookupAccount finds an account by name.
func (s *Server) LookupAccount(name string) (*Account, error) {
	if a := s.broker.LookupAccount(name); a != nil {
		return a, nil
	}
	return nil, ErrMissingAccount
}

// RegisterAccount makes a new account; ErrAccountExists when the name is taken.
func (s *Server) RegisterAccount(name string) (*Account, error) {
	a, isNew := s.broker.LookupOrRegisterAccount(name)
	if !isNew {
		return nil, ErrAccountExists
	}
	return a, nil
}

// LookupOrRegisterAccount finds or makes an account; isNew tells which.
func (s *Server) LookupOrRegisterAccount(name string) (a *Account, isNew bool) {
	return s.broker.LookupOrRegisterAccount(name)
}

// GetClient finds an open connection by id; nil when there is none.
func (s *Server) GetClient(cid uint64) *Client { return s.broker.Client(cid) }
