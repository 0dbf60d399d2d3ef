package broker

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/wire"
)

// nonceSize is the number of random bytes in a nonce.
const nonceSize = 11

// apiLevel is the JetStream API level that clients are told, with or without
// JetStream.
const apiLevel = 5

// newNonce draws what a client must sign; nil when nobody signs.
func (b *Broker) newNonce() []byte {
	if !b.NonceRequired() {
		return nil
	}
	raw := make([]byte, nonceSize)
	if _, err := b.clock.Entropy("nonce").Read(raw); err != nil {
		panic("broker: no entropy for a nonce: " + err.Error())
	}
	return base64.RawURLEncoding.AppendEncode(nil, raw)
}

// drawAnonymous makes the name of the user that nobody can name.
func (b *Broker) drawAnonymous() string {
	raw := make([]byte, 6)
	if _, err := b.clock.Entropy("anonymous user").Read(raw); err != nil {
		panic("broker: no entropy for a user name: " + err.Error())
	}
	return "nats-" + base64.RawURLEncoding.EncodeToString(raw)
}

// info is what the server says about itself to one client.
func (b *Broker) info(c *Client) *wire.Info {
	o := b.options()
	a := b.listen.Load()
	i := &wire.Info{
		ServerID: b.identity.ServerID, ServerName: b.identity.ServerName, Version: b.identity.Version, Proto: 1,
		GitCommit: b.identity.GitCommit, GoVersion: b.identity.GoVersion, Host: a.Host, Port: a.Port,
		Headers: !o.NoHeaderSupport, AuthRequired: c.authAsked && o.NoAuthUser == "",
		MaxPayload: int64(o.MaxPayload), ClientID: c.id, Nonce: string(c.nonce), APILevel: apiLevel,
		XKey: b.identity.XKey, LockstepVersion: b.identity.LockstepVersion,
	}
	if js := b.jetstream.Load(); js != nil {
		i.JetStream, i.Domain = true, js.domain
	}
	b.describeCluster(i)
	if c.phase != phaseProxy {
		i.ClientIP = c.peer.Load().host
	}
	if o.TLSConfig != nil {
		i.TLSRequired = !o.AllowNonTLS && !c.conn.InProcess()
		i.TLSAvailable = !i.TLSRequired
		i.TLSVerify = o.TLSConfig.ClientAuth == tls.RequireAndVerifyClientCert
	}
	return i
}

// jetStream is what clients are told of it.
type jetStream struct{ domain string }

// SetJetStream tells clients that connect from now on whether the server has JetStream, and
// the domain it is in, "" for none. Those that are connected are not told.
func (b *Broker) SetJetStream(on bool, domain string) {
	if !on {
		b.jetstream.Store(nil)
		return
	}
	b.jetstream.Store(&jetStream{domain})
}

// JetStream tells what SetJetStream has set.
func (b *Broker) JetStream() (on bool, domain string) {
	if js := b.jetstream.Load(); js != nil {
		return true, js.domain
	}
	return false, ""
}

// tlsConfig is the listener's, as configured at this moment.
func (b *Broker) tlsConfig() *tls.Config { return b.options().TLSConfig }

// throttle limits handshakes to a number a second.
type throttle struct {
	mu      sync.Mutex
	log     Log
	second  time.Duration
	count   int64
	refused int64
}

// admitHandshake tells whether connection_rate_limit lets a handshake begin.
func (b *Broker) admitHandshake(now time.Duration) bool {
	limit := b.options().TLSRateLimit
	if limit <= 0 {
		return true
	}
	t := &b.handshakes
	t.mu.Lock()
	refused := int64(0)
	if s := now.Truncate(time.Second); s != t.second {
		t.second, t.count = s, 0
		refused, t.refused = t.refused, 0
	}
	t.count++
	ok := t.count <= limit
	if !ok {
		t.refused++
	}
	t.mu.Unlock()
	if refused > 0 {
		t.log.Warnf("Rejected %d connections due to TLS rate limiting", refused)
	}
	return ok
}

// clientStrandName names the strand of a connection in traces.
func clientStrandName(id uint64) string { return "cid:" + strconv.FormatUint(id, 10) }

// endpointOf takes a peer's address apart; what has no port, such as an in-process
// pipe's, is all host.
func endpointOf(addr string) endpoint {
	host, port, err := netsim.SplitHostPort(addr)
	if err != nil {
		return endpoint{host: addr}
	}
	return endpoint{host, port}
}

// String is the connection as log lines name it.
func (c *Client) String() string {
	peer := c.peer.Load()
	host := peer.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	s := fmt.Sprintf("%s:%d - cid:%d", host, peer.port, c.id)
	id := c.ident.Load()
	if id == nil {
		return s
	}
	if v := clientLabel(&id.Connect); v != "" {
		s += fmt.Sprintf(" - %q", v)
	}
	switch {
	case id.Label != "":
		s += fmt.Sprintf(" - %q", id.Account+"/"+id.Label)
	case id.Connect.Lang != "" || id.Connect.Name != "":
		s += fmt.Sprintf(" - %q", id.Account)
	}
	return s
}

// clientLabel is "v<version>:<lang>:<name>" as far as the client told.
func clientLabel(o *wire.Connect) string {
	var parts []string
	if o.Version != "" {
		parts = append(parts, "v"+o.Version)
	}
	if o.Lang != "" {
		parts = append(parts, o.Lang)
	}
	if o.Name != "" {
		parts = append(parts, o.Name)
	}
	return strings.Join(parts, ":")
}
