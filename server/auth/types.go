// Package auth turns credentials into identity and permissions.
//
// It owns the users that configuration (and, through [Authentication], an
// embedding program) defines, and the immutable [Table] built from them, which
// any strand may ask. It keeps no connection and sends nothing; checking a
// bcrypt password takes tens of milliseconds of the asking strand.
//
//lockstep:exempt the interface that embedding programs implement speaks of net.Addr
package auth

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// Connection types that allowed_connection_types may name.
const (
	Standard   = "STANDARD"
	WebSocket  = "WEBSOCKET"
	Leafnode   = "LEAFNODE"
	LeafnodeWS = "LEAFNODE_WS"
	MQTT       = "MQTT"
	MQTTWS     = "MQTT_WS"
	InProcess  = "IN_PROCESS"
)

// User is a user with a password, or with none when a certificate names it.
type User struct {
	Username               string
	Password               string
	Permissions            *perm.Permissions
	Account                *account.Account
	ConnectionDeadline     time.Time
	AllowedConnectionTypes map[string]struct{}
	ProxyRequired          bool
}

// NkeyUser is a user who signs the server's nonce.
type NkeyUser struct {
	Nkey                   string
	Issued                 int64
	Permissions            *perm.Permissions
	Account                *account.Account
	SigningKey             string
	AllowedConnectionTypes map[string]struct{}
	ProxyRequired          bool
}

// Authentication is implemented by programs that embed the server and decide
// themselves. Check runs on the connection's strand and must not block for long.
type Authentication interface {
	Check(c ClientAuthentication) bool
}

// ClientAuthentication is what an [Authentication] sees of a connection.
type ClientAuthentication interface {
	// GetOpts is what the client sent in CONNECT.
	GetOpts() *wire.Connect
	// GetTLSConnectionState is nil without TLS.
	GetTLSConnectionState() *tls.ConnectionState
	// RegisterUser binds account, permissions and name; without it the connection
	// belongs to the global account with every permission.
	RegisterUser(*User)
	RemoteAddress() net.Addr
	GetNonce() []byte
	Kind() int
	GetID() uint64
}
