package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
)

// patience bounds every wait; it is spent by failing tests alone.
const patience = 20 * time.Second

// authority issues certificates and writes them as files into its folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	last int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir(), pool: x509.NewCertPool()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true})
	a.pool.AddCert(a.cert)
	return a
}

// issue writes name.pem and name-key.pem.
func (a *authority) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	a.last++
	template.SerialNumber = big.NewInt(a.last)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if template.Subject.String() == "" {
		template.Subject = pkix.Name{CommonName: name}
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+"-key.pem", "PRIVATE KEY", private)
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	require.NoError(a.t, os.WriteFile(filepath.Join(a.dir, name), text, 0o600))
}

// server issues a certificate for 127.0.0.1.
func (a *authority) server(name string) *x509.Certificate {
	cert, _ := a.issue(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name + ".example"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return cert
}

// client issues a certificate and returns the option that presents it.
func (a *authority) client(name string, template *x509.Certificate) nats.Option {
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	a.issue(name, template)
	return nats.ClientCert(filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+"-key.pem"))
}

func (a *authority) trust() nats.Option { return nats.RootCAs(filepath.Join(a.dir, "ca.pem")) }

// block is a tls block with the named server certificate, and more lines.
func (a *authority) block(name, more string) string {
	return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q\n%s }\n", filepath.Join(a.dir, name+".pem"),
		filepath.Join(a.dir, name+"-key.pem"), filepath.Join(a.dir, "ca.pem"), more)
}

// running is a server with its configuration file.
type running struct {
	*server.Server
	t    *testing.T
	path string
}

func (r *running) write(config string) {
	require.NoError(r.t, os.WriteFile(r.path, []byte("listen: \"127.0.0.1:-1\"\n"+config), 0o600))
}

func serve(t *testing.T, config string) *running { return serveWith(t, config, true) }

// serveLogging keeps the log that the configuration asks for.
func serveLogging(t *testing.T, config string) *running { return serveWith(t, config, false) }

func serveWith(t *testing.T, config string, quiet bool) *running {
	r := &running{t: t, path: filepath.Join(t.TempDir(), "server.conf")}
	r.write(config)
	o, err := server.ProcessConfigFile(r.path)
	require.NoError(t, err)
	o.NoLog, o.NoSigs = quiet, true
	r.Server, err = server.NewServer(o)
	require.NoError(t, err)
	r.ConfigureLogger()
	r.Start()
	require.True(t, r.ReadyForConnections(patience))
	t.Cleanup(func() { r.Shutdown(); r.WaitForShutdown() })
	return r
}

func (r *running) reload(config string) error {
	r.write(config)
	return r.Reload()
}

// try connects and tells how that went; a connection that stands has been used.
func (r *running) try(options ...nats.Option) error {
	nc, err := nats.Connect(r.url(), append(options, nats.NoReconnect(), nats.Timeout(patience))...)
	if err != nil {
		return err
	}
	defer nc.Close()
	return nc.Flush()
}

func (r *running) url() string { return "nats://" + r.Addr().String() }

// client connects and stays.
func (r *running) client(options ...nats.Option) *nats.Conn {
	nc, err := nats.Connect(r.url(), append(options, nats.NoReconnect(), nats.Timeout(patience))...)
	require.NoError(r.t, err)
	r.t.Cleanup(nc.Close)
	require.NoError(r.t, nc.Flush())
	return nc
}

// dial opens a bare connection.
func (r *running) dial() net.Conn {
	c, err := net.Dial("tcp", r.Addr().String())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	require.NoError(r.t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// info reads the first line.
func info(t *testing.T, c net.Conn) map[string]any {
	var line []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(line), "\n"); line = append(line, b[0]) {
		_, err := io.ReadFull(c, b)
		require.NoError(t, err, "after %q", line)
	}
	text, ok := strings.CutPrefix(string(line), "INFO ")
	require.True(t, ok, "%q", line)
	found := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(text), &found))
	return found
}

// lastReason is why the connection ended that ended last, once n have.
func (r *running) lastReason(n int) string {
	reason := ""
	require.Eventually(r.t, func() bool {
		c, err := r.Connz(&server.ConnzOptions{State: server.ConnClosed, Sort: server.ByStop})
		require.NoError(r.t, err)
		if c.Total < n {
			return false
		}
		reason = c.Conns[len(c.Conns)-1].Reason
		return true
	}, patience, 5*time.Millisecond)
	return reason
}

// allReasons are those of all connections that ended.
func (r *running) allReasons() []string {
	c, err := r.Connz(&server.ConnzOptions{State: server.ConnClosed})
	require.NoError(r.t, err)
	var list []string
	for _, conn := range c.Conns {
		list = append(list, conn.Reason)
	}
	return list
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	cert := a.server("one")
	r := serve(t, a.block("one", ""))
	c := r.dial()
	said := info(t, c)
	require.Equal(t, true, said["tls_required"])
	require.Nil(t, said["tls_verify"])
	require.Nil(t, said["tls_available"])
	encrypted := tls.Client(c, &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1"})
	require.NoError(t, encrypted.Handshake())
	require.Equal(t, cert.Raw, encrypted.ConnectionState().PeerCertificates[0].Raw)
	_, err := encrypted.Write([]byte("CONNECT {\"verbose\":false}\r\nPING\r\n"))
	require.NoError(t, err)
	answer := make([]byte, 6)
	_, err = io.ReadFull(encrypted, answer)
	require.NoError(t, err)
	require.Equal(t, "PONG\r\n", string(answer), "no second INFO")

	require.NoError(t, r.try(a.trust()))
	plain := r.dial()
	info(t, plain)
	_, err = plain.Write([]byte("CONNECT {}\r\nPING\r\n"))
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, plain)
	_ = err // an end or a reset, both end it
	r.lastReason(2)
	require.Contains(t, r.allReasons(), "TLS Handshake Failure")
	require.Error(t, r.try(nats.Secure(&tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12})), "an unknown authority")
}

func TestTLSSeveralCertificates(t *testing.T) {
	a := newAuthority(t)
	certs := map[string]*x509.Certificate{"one": a.server("one"), "two": a.server("two")}
	file := func(name string) string { return filepath.Join(a.dir, name) }
	r := serve(t, fmt.Sprintf("tls { certs: [ {cert_file: %q, key_file: %q}, {cert_file: %q, key_file: %q} ] }",
		file("one.pem"), file("one-key.pem"), file("two.pem"), file("two-key.pem")))
	for name, want := range certs { //lockstep:ordered each is asked alone
		c := r.dial()
		info(t, c)
		encrypted := tls.Client(c, &tls.Config{RootCAs: a.pool, ServerName: name + ".example"})
		require.NoError(t, encrypted.Handshake())
		require.Equal(t, want.Raw, encrypted.ConnectionState().PeerCertificates[0].Raw)
	}
}

func TestTLSMutual(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "verify: true"))
	require.Equal(t, true, info(t, r.dial())["tls_verify"])
	require.Error(t, r.try(a.trust()), "no certificate")
	require.Error(t, r.try(a.trust(), stranger.client("who", &x509.Certificate{})), "of another authority")
	r.client(a.trust(), a.client("me", &x509.Certificate{}))
	c, err := r.Connz(&server.ConnzOptions{Username: true})
	require.NoError(t, err)
	seen := 0
	for _, conn := range c.Conns {
		if conn.TLSVersion != "" {
			seen++
			require.Equal(t, "1.3", conn.TLSVersion)
			require.Equal(t, "CN=me", conn.TLSPeerCerts[0].Subject)
		}
	}
	require.Equal(t, 1, seen)
}

func TestTLSFirst(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "handshake_first: true"))
	c := r.dial()
	encrypted := tls.Client(c, &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1"})
	require.NoError(t, encrypted.Handshake(), "nothing comes before")
	require.Equal(t, true, info(t, encrypted)["tls_required"])
	require.NoError(t, r.try(a.trust(), nats.TLSHandshakeFirst()))

	r = serve(t, a.block("one", `handshake_first: "30ms"`))
	require.NoError(t, r.try(a.trust(), nats.TLSHandshakeFirst()))
	require.NoError(t, r.try(a.trust()), "INFO comes after the wait")
}

func TestTLSOptional(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "")+"allow_non_tls: true")
	said := info(t, r.dial())
	require.Equal(t, true, said["tls_available"])
	require.Nil(t, said["tls_required"])
	require.NoError(t, r.try())
	require.NoError(t, r.try(a.trust(), nats.Secure()))
}

func TestTLSVersionsAndCiphers(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	handshake := func(r *running, c *tls.Config) error {
		conn := r.dial()
		info(t, conn)
		c.RootCAs, c.ServerName = a.pool, "127.0.0.1"
		return tls.Client(conn, c).Handshake()
	}
	r := serve(t, a.block("one", `min_version: "1.3"`))
	require.Error(t, handshake(r, &tls.Config{MaxVersion: tls.VersionTLS12}))
	require.NoError(t, handshake(r, &tls.Config{MinVersion: tls.VersionTLS13}))

	r = serve(t, a.block("one", `cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256], curve_preferences: [CurveP384]`))
	only := func(suite uint16, curve tls.CurveID) *tls.Config {
		return &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}, CurvePreferences: []tls.CurveID{curve}}
	}
	require.NoError(t, handshake(r, only(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.CurveP384)))
	require.Error(t, handshake(r, only(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.CurveP384)))
	require.Error(t, handshake(r, only(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.CurveP256)))

	insecure := a.block("one", "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256]")
	path := filepath.Join(t.TempDir(), "c.conf")
	require.NoError(t, os.WriteFile(path, []byte(insecure), 0o600))
	_, err := server.ProcessConfigFile(path)
	require.ErrorContains(t, err, "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256")
	r = serve(t, a.block("one", "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256], allow_insecure_cipher_suites: true"))
	require.NoError(t, handshake(r, only(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, tls.CurveP256)))
}

func pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("verify: true, pinned_certs: [%q]", hex.EncodeToString(sum[:]))
}

// TestTLSPinned: a valid certificate is not enough, and a reload closes those that are
// pinned no longer.
func TestTLSPinned(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	mine, other := a.client("mine", &x509.Certificate{}), a.client("other", &x509.Certificate{})
	load := func(name string) *x509.Certificate {
		pair, err := tls.LoadX509KeyPair(filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+"-key.pem"))
		require.NoError(t, err)
		return pair.Leaf
	}
	r := serve(t, a.block("one", pin(load("mine"))))
	require.Error(t, r.try(a.trust(), other))
	require.Equal(t, "TLS Handshake Failure", r.lastReason(1))
	gone := make(chan struct{})
	r.client(a.trust(), mine, nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	require.NoError(t, r.reload(a.block("one", pin(load("other")))))
	<-gone
	require.NoError(t, r.try(a.trust(), other))
	require.Error(t, r.try(a.trust(), mine))
}

// TestTLSRate: handshakes over the limit of a second are turned away with a text.
func TestTLSRate(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "connection_rate_limit: 2"))
	refused := 0
	for range 6 {
		c := r.dial()
		info(t, c)
		err := tls.Client(c, &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1"}).Handshake()
		var text tls.RecordHeaderError
		if errors.As(err, &text) {
			refused++
			require.Equal(t, "-ERR ", string(text.RecordHeader[:]))
			continue
		}
		require.NoError(t, err)
	}
	require.Positive(t, refused)
	require.LessOrEqual(t, refused, 4)
}

func TestTLSTimeout(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "timeout: 0.05"))
	c := r.dial()
	info(t, c)
	_, err := io.Copy(io.Discard, c)
	require.NoError(t, err, "ends without a text")
	require.Equal(t, "TLS Handshake Failure", r.lastReason(1))
}

// TestTLSReload: new certificates for new handshakes, the block added and removed, and
// connections that stand go on.
func TestTLSReload(t *testing.T) {
	a := newAuthority(t)
	first := a.server("one")
	r := serve(t, a.block("one", ""))
	presented := func() []byte {
		c := r.dial()
		info(t, c)
		encrypted := tls.Client(c, &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1"})
		require.NoError(t, encrypted.Handshake())
		return encrypted.ConnectionState().PeerCertificates[0].Raw
	}
	stays := r.client(a.trust())
	require.Equal(t, first.Raw, presented())
	second := a.server("one") // the same files, renewed
	require.Equal(t, first.Raw, presented(), "before the reload")
	require.NoError(t, r.Reload())
	require.Equal(t, second.Raw, presented())
	require.NoError(t, stays.Flush())

	require.NoError(t, r.reload(""))
	require.Nil(t, info(t, r.dial())["tls_required"])
	require.NoError(t, r.try())
	require.NoError(t, stays.Flush())
	require.NoError(t, r.reload(a.block("one", "verify: true")))
	require.Error(t, r.try(a.trust()))
	require.NoError(t, r.try(a.trust(), a.client("me", &x509.Certificate{})))
	require.Error(t, r.reload("tls { cert_file: \"nowhere.pem\", key_file: \"nowhere.pem\" }"))
	require.Equal(t, true, info(t, r.dial())["tls_verify"], "what stood before stands")
}

// TestTLSUsers: the certificate names the user, by each kind of name, and no password
// is asked for.
func TestTLSUsers(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "verify_and_map: true")+`authorization { users: [
		{user: "mail@example.com"}, {user: "host.example.com"}, {user: "spiffe://example.com/job"}
		{user: "CN=bob,OU=Dev,O=Acme", permissions: {publish: x}} ] }`)
	parse := func(text string) *x509.Certificate {
		switch {
		case strings.Contains(text, "@"):
			return &x509.Certificate{EmailAddresses: []string{"other@example.com", text}}
		case strings.Contains(text, "//"):
			return &x509.Certificate{URIs: mustURL(t, text)}
		}
		return &x509.Certificate{DNSNames: []string{text}}
	}
	for _, name := range []string{"mail@example.com", "host.example.com", "spiffe://example.com/job"} {
		nc := r.client(a.trust(), a.client("x", parse(name)))
		require.NoError(t, nc.Publish("y", nil))
		require.NoError(t, nc.Flush())
		c, err := r.Connz(&server.ConnzOptions{Username: true, User: name})
		require.NoError(t, err)
		require.Len(t, c.Conns, 1, name)
	}
	errs := make(chan error, 1)
	bob := r.client(a.trust(), a.client("bob", &x509.Certificate{Subject: pkix.Name{CommonName: "bob", OrganizationalUnit: []string{"Dev"}, Organization: []string{"Acme"}}}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err }))
	require.NoError(t, bob.Publish("y", nil))
	require.ErrorContains(t, <-errs, "permissions violation")
	require.Error(t, r.try(a.trust(), a.client("nobody", &x509.Certificate{})))
	require.Error(t, r.try(a.trust(), a.client("bob", &x509.Certificate{Subject: pkix.Name{CommonName: "bob"}})), "a common name is no match")
}

// TestHTTPS: monitoring takes the certificate of the tls block and asks none of clients.
func TestHTTPS(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "verify: true")+`https: "127.0.0.1:-1"`)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + r.MonitorAddr().String() + "/varz")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), `"tls_verify": true`)
}
