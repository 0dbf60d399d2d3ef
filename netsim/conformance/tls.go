//lockstep:exempt makes certificates for the real network's handshakes
package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// credentials is one side's certificate, and what states the same in simulation.
type credentials struct {
	cert     tls.Certificate
	leaf     *x509.Certificate
	identity *netsim.Identity
}

func newCredentials(id netsim.Identity) credentials {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: id.CommonName},
		NotBefore:             clock.Epoch.AddDate(-20, 0, 0),
		NotAfter:              clock.Epoch.AddDate(100, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
		DNSNames:              id.DNSNames,
		EmailAddresses:        id.Emails,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return credentials{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, leaf, &id}
}

// identities are those of the suite's server and client.
var identities = sync.OnceValues(func() (server, client credentials) {
	return newCredentials(netsim.Identity{CommonName: "the server", DNSNames: []string{"localhost"}}),
		newCredentials(netsim.Identity{CommonName: "alice", DNSNames: []string{"alice.example"}, Emails: []string{"alice@example.com"}})
})

func pool(c *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c)
	return p
}

func serverTLS(auth tls.ClientAuthType) netsim.TLSOptions {
	server, client := identities()
	return netsim.TLSOptions{
		Server: true,
		Config: &tls.Config{
			Certificates: []tls.Certificate{server.cert},
			ClientAuth:   auth,
			ClientCAs:    pool(client.leaf),
			NextProtos:   []string{"nats"},
		},
		Identity: server.identity,
	}
}

func clientTLS(withIdentity bool) netsim.TLSOptions {
	server, client := identities()
	o := netsim.TLSOptions{Config: &tls.Config{
		RootCAs:    pool(server.leaf),
		ServerName: "localhost",
		NextProtos: []string{"other", "nats"},
	}}
	if withIdentity {
		o.Config.Certificates = []tls.Certificate{client.cert}
		o.Identity = client.identity
	}
	return o
}

// shaking is a handshake under way.
type shaking struct {
	done int // under the harness's lock
	err  error
}

// startTLS begins a handshake on p's strand.
func (p *peer) startTLS(o netsim.TLSOptions) *shaking {
	p.h.Helper()
	sh := &shaking{}
	p.h.do(p.strand, func() { p.conn.StartTLS(o, p.shaken(sh)) })
	return sh
}

func (p *peer) shaken(sh *shaking) func(error) {
	return func(err error) {
		p.h.mu.Lock()
		sh.done++
		sh.err = err
		p.h.mu.Unlock()
		p.h.note()
	}
}

func testTLS(h *harness) {
	c, s := h.pair()
	ss := s.startTLS(serverTLS(tls.RequireAndVerifyClientCert))
	cs := c.startTLS(clientTLS(true))
	h.await("both handshakes", func() bool { return ss.done > 0 && cs.done > 0 })
	require.NoError(h, ss.err)
	require.NoError(h, cs.err)

	seen := s.conn.TLS()
	require.NotNil(h, seen)
	require.True(h, seen.HandshakeComplete)
	require.Equal(h, "nats", seen.NegotiatedProtocol)
	require.Len(h, seen.PeerCertificates, 1)
	require.NotEmpty(h, seen.VerifiedChains)
	cert := seen.PeerCertificates[0]
	require.Equal(h, "alice", cert.Subject.CommonName)
	require.Equal(h, []string{"alice.example"}, cert.DNSNames)
	require.Equal(h, []string{"alice@example.com"}, cert.EmailAddresses)
	require.Equal(h, "the server", c.conn.TLS().PeerCertificates[0].Subject.CommonName)

	want := text(200_000)
	c.send(want)
	s.send(want)
	h.await("bytes over TLS", func() bool { return len(c.data) >= len(want) && len(s.data) >= len(want) })
	require.True(h, string(want) == string(c.data))
	require.True(h, string(want) == string(s.data))

	c.conn.Close(errDone)
	h.await("both sides closed", func() bool { return c.isClosed() && s.isClosed() })
	require.Equal(h, 1, ss.done)
	require.Equal(h, 1, cs.done)
}

// testTLSAfterClearText greets in clear text, as a NATS server does.
func testTLSAfterClearText(h *harness) {
	c, s := h.pair()
	cs := &shaking{}
	c.onData = func(p []byte) {
		c.record(p)
		h.mu.Lock()
		whole := string(c.data) == "INFO {}\r\n"
		h.mu.Unlock()
		if whole {
			c.conn.StartTLS(clientTLS(false), c.shaken(cs))
		}
	}
	ss := &shaking{}
	h.do(s.strand, func() {
		s.conn.Write([]byte("INFO {}\r\n"))
		s.conn.StartTLS(serverTLS(tls.NoClientCert), s.shaken(ss))
	})
	h.await("both handshakes", func() bool { return ss.done > 0 && cs.done > 0 })
	require.NoError(h, ss.err)
	require.NoError(h, cs.err)
	require.Empty(h, s.conn.TLS().PeerCertificates)
	c.onData = nil
	s.send([]byte("+OK\r\n"))
	h.await("bytes over TLS", c.has(14))
	require.Equal(h, "INFO {}\r\n+OK\r\n", string(c.data))
}

// testTLSSniffed has a server that tells TLS by its first byte.
func testTLSSniffed(h *harness) {
	c, s := h.pair()
	ss := &shaking{}
	s.onData = func(p []byte) {
		if ss.done == 0 && s.conn.TLS() == nil && p[0] == 0x16 {
			o := serverTLS(tls.NoClientCert)
			o.Pending = append([]byte(nil), p...)
			s.conn.StartTLS(o, s.shaken(ss))
			return
		}
		s.record(p)
	}
	cs := c.startTLS(clientTLS(false))
	h.await("both handshakes", func() bool { return ss.done > 0 && cs.done > 0 })
	require.NoError(h, ss.err)
	require.NoError(h, cs.err)
	c.send([]byte("CONNECT {}\r\n"))
	h.await("bytes over TLS", s.has(12))
	require.Equal(h, "CONNECT {}\r\n", string(s.data))
}

func testTLSWritesDuringHandshake(h *harness) {
	c, s := h.pair()
	sh := []*shaking{{}, {}}
	for i, p := range []*peer{c, s} {
		o := clientTLS(false)
		if p == s {
			o = serverTLS(tls.NoClientCert)
		}
		h.do(p.strand, func() {
			p.conn.StartTLS(o, p.shaken(sh[i]))
			p.conn.Write([]byte("first "))
			words := []byte("words")
			assert.False(h, p.conn.Lend(words), "there is no turn before the end of the handshake")
			clear(words)
			p.conn.Flush()
		})
	}
	h.await("the words", func() bool { return len(c.data) >= 11 && len(s.data) >= 11 })
	require.Equal(h, "first words", string(c.data))
	require.Equal(h, "first words", string(s.data))
	require.NoError(h, sh[0].err)
	require.NoError(h, sh[1].err)
}

// wantFailed holds what is promised after a failed handshake.
func (h *harness) wantFailed(p *peer, sh *shaking) {
	h.Helper()
	h.await(p.name+" closed", func() bool { return sh.done > 0 && p.isClosed() })
	require.ErrorIs(h, sh.err, netsim.ErrHandshake)
	require.ErrorIs(h, p.err, netsim.ErrHandshake)
	require.Equal(h, 1, sh.done)
	require.Nil(h, p.conn.TLS())
}

func testTLSPlaintextClient(h *harness) {
	c, s := h.pair()
	ss := s.startTLS(serverTLS(tls.NoClientCert))
	c.send([]byte("CONNECT {\"verbose\":false}\r\nPING\r\n"))
	h.wantFailed(s, ss)
	require.Empty(h, s.data)
	h.await("the client's side closed", c.isClosed)
}

func testTLSClientIdentityMissing(h *harness) {
	c, s := h.pair()
	ss := s.startTLS(serverTLS(tls.RequireAndVerifyClientCert))
	cs := c.startTLS(clientTLS(false))
	h.wantFailed(s, ss)
	// The client may have believed that its handshake was complete.
	h.await("the client's side closed", func() bool { return cs.done > 0 && c.isClosed() })
	require.Error(h, c.err)
}

func testTLSTimeout(h *harness) {
	c, s := h.pair()
	o := serverTLS(tls.NoClientCert)
	o.Timeout = 50 * time.Millisecond
	h.wantFailed(s, s.startTLS(o))
	h.await("the client's side closed", c.isClosed)
}

func testTLSPeerLeaves(h *harness) {
	c, s := h.pair()
	ss := s.startTLS(serverTLS(tls.NoClientCert))
	c.conn.Close(errDone)
	h.wantFailed(s, ss)
}
