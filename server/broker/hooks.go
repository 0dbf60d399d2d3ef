//lockstep:exempt custom authentication speaks of net.Addr
package broker

import (
	"crypto/tls"
	"net"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/auth"
)

// RemoteAddress is where the client connects from, for authentication hooks.
func (c *Client) RemoteAddress() net.Addr {
	peer := c.peer.Load()
	a, err := net.ResolveTCPAddr("tcp", netsim.JoinHostPort(peer.host, peer.port))
	if err != nil { // an in-process pipe has no address
		return &net.TCPAddr{}
	}
	return a
}

// GetTLSConnectionState is nil without TLS, for authentication hooks.
func (c *Client) GetTLSConnectionState() *tls.ConnectionState { return c.conn.TLS() }

// RegisterUser completes [auth.ClientAuthentication]; the table of users records
// what a hook registers before it comes here.
func (c *Client) RegisterUser(*auth.User) {}

var _ auth.ClientAuthentication = (*Client)(nil)
