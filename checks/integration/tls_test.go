package integration

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// working publishes a message to itself.
func working(t *testing.T, nc *nats.Conn) {
	t.Helper()
	sub := flushed(t, nc, "works")
	require.NoError(t, nc.Publish("works", make([]byte, 100<<10)))
	require.Len(t, next(t, sub).Data, 100<<10)
	require.NoError(t, sub.Unsubscribe())
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	p := start(t, a.block("srv", ""))
	p.waitLog("TLS required for client connections")
	nc := p.client(nats.Secure(a.client("")))
	working(t, nc)
	state, err := nc.TLSConnectionState()
	require.NoError(t, err)
	require.Equal(t, "srv", state.PeerCertificates[0].Subject.CommonName)

	r := p.raw()
	require.Equal(t, true, r.field("tls_required"))
	require.Nil(t, r.field("tls_verify"))
	r.send("CONNECT {}\r\nPING\r\n") // in clear text
	r.wantClosed()
	_, err = p.dial() // nats.go takes to TLS by itself, and does not know the authority
	require.Error(t, err)
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	a.server("srv")
	a.issue("known", x509.Certificate{Subject: pkix.Name{CommonName: "known"}})
	other.issue("stranger", x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}})
	p := start(t, a.block("srv", "verify: true"))
	working(t, p.client(nats.Secure(a.client("known"))))
	_, err := p.dial(nats.Secure(a.client("")))
	require.Error(t, err)
	c := other.client("stranger")
	c.RootCAs = a.pool
	_, err = p.dial(nats.Secure(c))
	require.Error(t, err)
	require.Equal(t, true, p.raw().field("tls_verify"))
}

func TestVerifyAndMap(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	spiffe, err := url.Parse("spiffe://example.org/db")
	require.NoError(t, err)
	a.issue("email", x509.Certificate{EmailAddresses: []string{"derek@example.org"}})
	a.issue("dns", x509.Certificate{DNSNames: []string{"app.example.org"}})
	a.issue("uri", x509.Certificate{URIs: []*url.URL{spiffe}})
	a.issue("subject", x509.Certificate{Subject: pkix.Name{CommonName: "bob", OrganizationalUnit: []string{"Dev"}, Organization: []string{"Acme"}}})
	a.issue("nobody", x509.Certificate{Subject: pkix.Name{CommonName: "nobody"}})
	p := start(t, a.block("srv", "verify_and_map: true")+`
authorization { users: [
  {user: "derek@example.org", permissions: {publish: "email"}}
  {user: "app.example.org", permissions: {publish: "dns"}}
  {user: "spiffe://example.org/db", permissions: {publish: "uri"}}
  {user: "OU=Dev,CN=bob,O=Acme", permissions: {publish: "subject"}}
] }`)
	for _, name := range []string{"email", "dns", "uri", "subject"} {
		refused := make(chan error, 1)
		nc := p.client(nats.Secure(a.client(name)), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
		sub := flushed(t, nc, ">")
		require.NoError(t, nc.Publish(name, nil))
		require.Equal(t, name, next(t, sub).Subject)
		require.NoError(t, nc.Publish("other", nil))
		require.ErrorContains(t, <-refused, `Permissions Violation for Publish to "other"`)
	}
	_, err = p.dial(nats.Secure(a.client("nobody")))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestHandshakeFirst(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	p := start(t, a.block("srv", "handshake_first: true"))
	working(t, p.client(nats.Secure(a.client("")), nats.TLSHandshakeFirst()))
	silent := p.rawSilent()
	silent.send("CONNECT {}\r\nPING\r\n")
	silent.wantClosed()

	both := start(t, a.block("srv", "handshake_first: auto"))
	working(t, both.client(nats.Secure(a.client("")), nats.TLSHandshakeFirst()))
	working(t, both.client(nats.Secure(a.client(""))))
	require.Equal(t, true, both.raw().field("tls_required"))

	slow := start(t, a.block("srv", "handshake_first: \"10ms\""))
	working(t, slow.client(nats.Secure(a.client(""))))
}

func TestTLSIsOptional(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	p := start(t, a.block("srv", "")+"allow_non_tls: true")
	p.waitLog("TLS available for client connections")
	r := p.connected()
	require.Equal(t, true, r.field("tls_available"))
	require.Nil(t, r.field("tls_required"))
	r.quiet()
	working(t, p.client(nats.Secure(a.client(""))))
	working(t, p.client())
}

func TestPinnedCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	good := a.issue("good", x509.Certificate{Subject: pkix.Name{CommonName: "good"}})
	bad := a.issue("bad", x509.Certificate{Subject: pkix.Name{CommonName: "bad"}})
	with := func(c *x509.Certificate) string {
		return a.block("srv", "verify: true, pinned_certs: [\""+pin(c)+"\"]")
	}
	p := start(t, with(good))
	gone := make(chan struct{})
	working(t, p.client(nats.Secure(a.client("good")), nats.ClosedHandler(func(*nats.Conn) { close(gone) })))
	_, err := p.dial(nats.Secure(a.client("bad")))
	require.Error(t, err)
	p.mustReload(with(bad))
	<-gone // it is no longer welcome
	working(t, p.client(nats.Secure(a.client("bad"))))
}

func TestCertificateReload(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("first")
	a.server("second")
	p := start(t, a.block("first", ""))
	old := p.client(nats.Secure(a.client("")))
	working(t, old)
	p.mustReload(a.block("second", ""))
	working(t, old)
	nc := p.client(nats.Secure(a.client("")))
	state, err := nc.TLSConnectionState()
	require.NoError(t, err)
	require.Equal(t, "second", state.PeerCertificates[0].Subject.CommonName)
	p.mustReload("")
	working(t, old)
	working(t, p.client())
	p.mustReload(a.block("first", ""))
	working(t, p.client(nats.Secure(a.client(""))))
}

func TestTLSVersions(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	p := start(t, a.block("srv", "min_version: \"1.3\""))
	c := a.client("")
	c.MaxVersion = tls.VersionTLS12
	_, err := p.dial(nats.Secure(c))
	require.Error(t, err)
	working(t, p.client(nats.Secure(a.client(""))))
}

func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	p := start(t, strings.Replace(a.block("srv", ""), "timeout: 5", "timeout: 0.2", 1))
	p.raw().wantClosed() // says nothing
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.server("srv")
	p := start(t, a.block("srv", "verify: true")+`https: "127.0.0.1:-1"`)
	addr := p.after("Starting https monitor on ")
	conn, err := tls.Dial("tcp", addr, a.client("")) // no certificate is asked for
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /healthz HTTP/1.0\r\n\r\n"))
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "200")
}
