package netsim

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// A simulated handshake is one record from the client and one from the server, each a
// TLS record header and a JSON object. What follows is not sealed. A failure is told to
// the peer by an alert.
const (
	simRecordHello  = 0x16
	simRecordAlert  = 0x15
	simRecordHeader = 5
	simRecordMax    = 16 << 10
)

// simHello is what one side states.
type simHello struct {
	Identity   *Identity `json:",omitempty"`
	ServerName string    `json:",omitempty"`
	Protocols  []string  `json:",omitempty"` // offered, or the one chosen
}

// simHandshake is a handshake under way.
type simHandshake struct {
	conn   *simConn
	o      TLSOptions
	config *tls.Config
	done   func(error)
	in     []byte
	expiry *clock.SimEvent
}

func handshakeError(err error) error {
	switch {
	case err == nil:
		return ErrHandshake
	case errors.Is(err, ErrHandshake):
		return err
	}
	return fmt.Errorf("%w: %w", ErrHandshake, err)
}

// StartTLS exchanges the identities of the two sides in place of certificates.
func (c *simConn) StartTLS(o TLSOptions, done func(error)) {
	if c.gone || c.closing || c.handshake != nil || c.state != nil {
		c.strand.Post(func() { done(handshakeError(ErrClosed)) })
		return
	}
	c.keepLent()
	hs := &simHandshake{conn: c, o: o, config: o.Config, done: done, in: slices.Clone(o.Pending)}
	if hs.config == nil {
		hs.config = &tls.Config{}
	}
	if o.Timeout > 0 {
		hs.expiry = c.event(hs.expired)
		hs.expiry.Reset(o.Timeout)
	}
	c.handshake = hs
	if !o.Server {
		hs.send(simRecordHello, simHello{Identity: o.Identity, ServerName: hs.config.ServerName, Protocols: hs.config.NextProtos})
	} else {
		c.flushAll()
	}
	c.strand.Post(func() { hs.feed(nil) })
}

func (hs *simHandshake) stop() {
	if hs.expiry != nil {
		hs.expiry.Stop()
	}
}

// send puts a record behind what was queued in clear text.
func (hs *simHandshake) send(kind byte, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("netsim: handshake record: " + err.Error())
	}
	c := hs.conn
	c.queue = append(c.queue, kind, 3, 3, byte(len(body)>>8), byte(len(body)))
	c.queue = append(c.queue, body...)
	c.flushAll()
}

// feed takes bytes of the peer, on the strand, and goes on when they are enough.
func (hs *simHandshake) feed(p []byte) {
	c := hs.conn
	if c.handshake != hs || c.gone || c.closing {
		return
	}
	hs.in = append(hs.in, p...)
	if len(hs.in) == 0 {
		return
	}
	switch {
	case hs.in[0] == simRecordAlert && !hs.o.Server:
	case hs.in[0] != simRecordHello:
		hs.fail(errors.New("first record does not look like a TLS handshake"))
		return
	}
	if len(hs.in) < simRecordHeader {
		return
	}
	n := int(binary.BigEndian.Uint16(hs.in[3:]))
	if n > simRecordMax {
		hs.fail(fmt.Errorf("record of %d bytes is above %d", n, simRecordMax))
		return
	}
	if len(hs.in) < simRecordHeader+n {
		return
	}
	body := hs.in[simRecordHeader : simRecordHeader+n]
	if hs.in[0] == simRecordAlert {
		hs.lose(fmt.Errorf("remote error: tls: %s", body))
		return
	}
	var hello simHello
	if err := json.Unmarshal(body, &hello); err != nil {
		hs.fail(fmt.Errorf("handshake record: %w", err))
		return
	}
	rest := hs.in[simRecordHeader+n:]
	if hs.o.Server {
		hs.serve(hello, rest)
	} else {
		hs.conclude(hello, rest)
	}
}

// serve judges the client's hello and answers it.
func (hs *simHandshake) serve(hello simHello, rest []byte) {
	if get := hs.config.GetConfigForClient; get != nil {
		config, err := get(&tls.ClientHelloInfo{ServerName: hello.ServerName, SupportedProtos: hello.Protocols, SupportedVersions: []uint16{tls.VersionTLS13}})
		if err != nil {
			hs.fail(err)
			return
		}
		if config != nil {
			hs.config = config
		}
	}
	state := &tls.ConnectionState{ServerName: hello.ServerName}
	auth := hs.config.ClientAuth
	if auth != tls.NoClientCert && hello.Identity != nil {
		state.PeerCertificates = []*x509.Certificate{hello.Identity.certificate()}
		if auth >= tls.VerifyClientCertIfGiven {
			state.VerifiedChains = [][]*x509.Certificate{state.PeerCertificates}
		}
	}
	if len(state.PeerCertificates) == 0 && (auth == tls.RequireAnyClientCert || auth == tls.RequireAndVerifyClientCert) {
		hs.fail(errors.New("client didn't provide a certificate"))
		return
	}
	answer := simHello{Identity: hs.o.Identity}
	for _, p := range hs.config.NextProtos {
		if slices.Contains(hello.Protocols, p) {
			answer.Protocols = []string{p}
			state.NegotiatedProtocol = p
			break
		}
	}
	if err := hs.verify(state); err != nil {
		hs.fail(err)
		return
	}
	hs.send(simRecordHello, answer)
	hs.finish(state, rest)
}

// conclude judges the server's answer.
func (hs *simHandshake) conclude(hello simHello, rest []byte) {
	id := hello.Identity
	if id == nil {
		id = &Identity{CommonName: hs.conn.peer.host.name}
	} else if name := hs.config.ServerName; name != "" && !hs.config.InsecureSkipVerify && len(id.DNSNames) > 0 && !slices.Contains(id.DNSNames, name) {
		hs.fail(fmt.Errorf("certificate is valid for %v, not %s", id.DNSNames, name))
		return
	}
	state := &tls.ConnectionState{
		ServerName:       hs.config.ServerName,
		PeerCertificates: []*x509.Certificate{id.certificate()},
	}
	if !hs.config.InsecureSkipVerify {
		state.VerifiedChains = [][]*x509.Certificate{state.PeerCertificates}
	}
	if len(hello.Protocols) > 0 {
		state.NegotiatedProtocol = hello.Protocols[0]
	}
	if err := hs.verify(state); err != nil {
		hs.fail(err)
		return
	}
	hs.finish(state, rest)
}

// verify completes state and asks the hooks of the configuration.
func (hs *simHandshake) verify(state *tls.ConnectionState) error {
	state.Version = tls.VersionTLS13
	state.CipherSuite = tls.TLS_AES_128_GCM_SHA256
	state.HandshakeComplete = true
	if hook := hs.config.VerifyPeerCertificate; hook != nil {
		var raw [][]byte
		for _, cert := range state.PeerCertificates {
			raw = append(raw, cert.Raw)
		}
		if err := hook(raw, state.VerifiedChains); err != nil {
			return err
		}
	}
	if hook := hs.config.VerifyConnection; hook != nil {
		return hook(*state)
	}
	return nil
}

func (hs *simHandshake) finish(state *tls.ConnectionState, rest []byte) {
	c := hs.conn
	hs.stop()
	c.handshake, c.state = nil, state
	c.early = slices.Clone(rest)
	sealedAll := c.sealedOut
	c.queue = append(c.queue, c.sealed...)
	c.sealed, c.sealedOut = nil, false
	if sealedAll {
		c.flushAll()
	}
	c.trace("tls handshake complete")
	hs.done(nil)
	c.kick()
}

// fail tells the peer, and ends the connection.
func (hs *simHandshake) fail(err error) {
	hs.send(simRecordAlert, err.Error())
	hs.lose(err)
}

// lose ends the connection.
func (hs *simHandshake) lose(err error) {
	c := hs.conn
	if c.gone {
		return
	}
	hs.stop()
	c.handshake = nil
	err = handshakeError(err)
	c.trace(err.Error())
	c.Close(err)
	hs.done(err)
}

// expired is an event, and so must post.
func (hs *simHandshake) expired() {
	c := hs.conn
	c.strand.Post(func() {
		if c.handshake == hs && !c.gone {
			hs.lose(errors.New("handshake timed out"))
		}
	})
}

func (c *simConn) trace(what string) {
	t := c.pair.net.trace
	t.Fold(uint64(clock.KindNet), c.pair.id, c.side)
	if t.Enabled(clock.LevelInfo) {
		t.Notef(clock.LevelInfo, "net", "connection #%d: %s: %s", c.pair.id, c.LocalAddr(), what)
	}
}

// certificate is a certificate that carries the identity, and no key.
func (id *Identity) certificate() *x509.Certificate {
	raw, err := json.Marshal(id)
	if err != nil {
		panic("netsim: identity: " + err.Error())
	}
	return &x509.Certificate{
		Raw:                     raw,
		RawSubjectPublicKeyInfo: raw,
		Version:                 3,
		SerialNumber:            big.NewInt(1),
		Subject:                 pkix.Name{CommonName: id.CommonName},
		Issuer:                  pkix.Name{CommonName: "simulated authority"},
		NotBefore:               clock.Epoch.Add(-24 * time.Hour),
		NotAfter:                clock.Epoch.AddDate(100, 0, 0),
		DNSNames:                slices.Clone(id.DNSNames),
		EmailAddresses:          slices.Clone(id.Emails),
	}
}
