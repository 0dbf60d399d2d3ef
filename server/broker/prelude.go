package broker

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/wire"
)

// proxyWait is how long a PROXY header may take.
const proxyWait = 5 * time.Second

// begin is the first task of a connection: it decides what the first bytes mean
// and, unless TLS comes before everything, says INFO. It runs before the network
// reads anything.
func (c *Client) begin() {
	o := c.b.options()
	c.now = c.b.clock.Monotonic()
	c.accepted = c.now
	c.authAsked = c.b.table().Required()
	c.connected = !c.authAsked
	c.nonce = c.b.newNonce()
	if !c.authAsked {
		c.bindAnonymous()
	}
	c.applyLimits()
	if o.PingInterval > 0 {
		c.pingAt = c.now + o.PingInterval
	}
	switch {
	case o.ProxyProtocol && !c.conn.InProcess():
		c.phase, c.tlsAt = phaseProxy, c.now+proxyWait
		c.sendInfo(false)
	default:
		c.beginTLS()
	}
	c.arm()
	c.conn.Flush()
}

// beginTLS decides when TLS starts, after a PROXY header if there is one.
func (c *Client) beginTLS() {
	o := c.b.options()
	switch {
	case o.TLSConfig == nil:
		c.beginClear()
	case o.TLSHandshakeFirst:
		c.phase, c.tlsFirst = phaseTLS, true
		c.tlsAt = c.now + c.b.tlsTimeout()
		fallback := o.TLSHandshakeFirstFallback
		if c.conn.InProcess() {
			fallback = 50 * time.Millisecond
		}
		if fallback > 0 {
			c.phase, c.tlsAt = phaseSniff, c.now+fallback
		}
	case o.AllowNonTLS || c.conn.InProcess():
		c.phase, c.tlsAt = phaseSniff, c.now+c.b.tlsTimeout()
		c.greet()
	default:
		c.phase, c.tlsAt = phaseTLS, c.now+c.b.tlsTimeout()
		c.greet()
	}
}

// greet sends the first INFO, once.
func (c *Client) greet() {
	if !c.infoSent {
		c.sendInfo(false)
	}
}

// beginClear lets the protocol begin: the handshake is over, or there is none.
func (c *Client) beginClear() {
	c.phase, c.tlsAt = phaseProtocol, 0
	c.greet()
	if c.authAsked && !c.connected {
		c.authAt = c.now + c.b.authTimeout()
	}
}

// prelude handles bytes that come before the protocol and returns those that
// belong to it.
func (c *Client) prelude(p []byte) []byte {
	if c.phase == phaseProxy {
		if p = c.proxyHeader(p); len(p) == 0 {
			return nil
		}
	}
	switch c.phase {
	case phaseTLS:
		c.startTLS(p)
		return nil
	case phaseSniff:
		if p[0] == tlsRecord || c.tlsFirst {
			c.startTLS(p)
			return nil
		}
		c.beginClear()
		c.arm()
	case phaseHandshake, phaseClosed:
		return nil
	}
	return p
}

// tlsRecord is the first byte of a TLS handshake.
const tlsRecord = 0x16

// startTLS hands the connection over to a TLS handshake that p begins.
func (c *Client) startTLS(p []byte) {
	if !c.b.admitHandshake(c.now) {
		c.fail(wire.TextThrottled, MaxConnectionsExceeded)
		return
	}
	c.phase, c.tlsAt = phaseHandshake, 0
	c.arm()
	c.conn.StartTLS(netsim.TLSOptions{
		Config: c.b.tlsConfig(), Server: true, Timeout: c.b.tlsTimeout(), Pending: slices.Clone(p), Identity: c.b.tlsIdentity,
	}, c.handshakeDone)
}

// handshakeDone goes on after the handshake; after a failed one the network
// closes the connection.
func (c *Client) handshakeDone(err error) {
	if c.phase == phaseClosed {
		return
	}
	if err != nil {
		c.b.log.Errorf("%s - TLS handshake error: %v", c, err)
		return
	}
	if !config.MatchesPinned(c.b.options().TLSPinnedCerts, c.conn.TLS()) {
		c.b.log.Errorf("%s - TLS handshake error: certificate not pinned", c)
		c.end(TLSHandshakeError)
		return
	}
	c.now = c.b.clock.Monotonic()
	c.beginClear()
	c.arm()
	c.conn.Flush()
}

// tlsSilence is what a silent peer means: nothing came before TLS or a PROXY
// header was due.
func (c *Client) tlsSilence() {
	switch {
	case c.phase == phaseProxy:
		c.end(ReadError)
	case c.phase == phaseSniff && c.tlsFirst: // not TLS first, after all
		c.tlsFirst = false
		c.beginTLSAfterInfo()
	case c.phase == phaseSniff:
		c.beginClear()
	case c.phase == phaseTLS:
		c.b.log.Errorf("%s - TLS handshake error: timeout", c)
		c.end(TLSHandshakeError)
	}
}

// beginTLSAfterInfo applies the normal rules to a client that waited for INFO.
func (c *Client) beginTLSAfterInfo() {
	c.phase, c.tlsAt = phaseTLS, c.now+c.b.tlsTimeout()
	if c.b.options().AllowNonTLS || c.conn.InProcess() {
		c.phase = phaseSniff
	}
	c.greet()
	c.conn.Flush()
}

// proxyHeader takes a PROXY header off the front of p, if there is one.
func (c *Client) proxyHeader(p []byte) []byte {
	c.held = append(c.held, p...)
	src, n, err := parseProxy(c.held)
	switch {
	case err != nil:
		c.b.log.Warnf("%s - PROXY protocol: %v", c, err)
		c.end(ProtocolViolation)
		return nil
	case n < 0: // not complete yet
		return nil
	}
	if src.host != "" {
		c.peer.Store(&src)
	}
	rest := c.held[n:]
	c.held = nil
	c.beginTLS()
	c.arm()
	return rest
}
