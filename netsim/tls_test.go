//lockstep:exempt tests of TLS over real sockets
package netsim

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
)

// authority signs the certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

var testAuthority = sync.OnceValue(func() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	a.pool.AddCert(a.cert)
	return a
})

func (a *authority) issue(t testing.TB, name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsConfigs are those of a server that demands certificates and its client.
func tlsConfigs(t testing.TB) (server, client *tls.Config) {
	a := testAuthority()
	server = &tls.Config{Certificates: []tls.Certificate{a.issue(t, "server")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool}
	client = &tls.Config{Certificates: []tls.Certificate{a.issue(t, "client")}, ServerName: "server", RootCAs: a.pool}
	return server, client
}

// startTLS calls StartTLS on c's strand and gives the channel of its outcome.
func startTLS(c Conn, s clock.Strand, o TLSOptions) <-chan error {
	done := make(chan error, 2)
	on(s, func() { c.StartTLS(o, func(err error) { done <- err }) })
	return done
}

func TestTLSMutual(t *testing.T) {
	for _, inProcess := range []bool{false, true} {
		nc, c, p, s := net.Conn(nil), Conn(nil), newProbe(t), testClock.NewStrand("conn")
		if inProcess {
			nc, c = pipePair(t)
		} else {
			nc, c = listen(t).connect(t)
		}
		c.Start(s, p)
		server, client := tlsConfigs(t)
		reload := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return server, nil }}
		// While the reader sleeps: this call must wake it.
		c.Write([]byte("INFO"))
		done := startTLS(c, s, TLSOptions{Config: reload, Server: true, Timeout: patience})
		c.Write([]byte("wait for the handshake")) // before it
		c.Flush()
		require.Nil(t, c.TLS())
		require.Equal(t, "INFO", string(readN(t, nc, 4)))
		tc := tls.Client(nc, client)
		require.NoError(t, tc.Handshake())
		require.NoError(t, await(t, done))
		require.Equal(t, "client", c.TLS().PeerCertificates[0].Subject.CommonName)
		require.Equal(t, "wait for the handshake", string(readN(t, tc, 22)))

		msg := pattern(3 << 20)
		go func() { _, _ = tc.Write(msg) }()
		require.Equal(t, msg, p.want(len(msg)))
		c.Write(msg[:1000])
		lend(c, msg[1000:])
		require.Equal(t, msg, readN(t, tc, len(msg)))
		eventually(t, "the queue empties", func() bool { return c.Buffered() == 0 })

		c.Write([]byte("bye"))
		c.Close(io.ErrNoProgress)
		b, err := io.ReadAll(tc) // fails without a close_notify
		require.NoError(t, err)
		require.Equal(t, "bye", string(b))
		require.Equal(t, io.ErrNoProgress, p.wantClosed())
	}
}

func TestTLSPeerCloses(t *testing.T) {
	nc, c, p, s := started(t)
	server, client := tlsConfigs(t)
	done := startTLS(c, s, TLSOptions{Config: server, Server: true})
	tc := tls.Client(nc, client)
	_, err := tc.Write([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, tc.Close())
	require.NoError(t, await(t, done))
	require.Equal(t, "last", string(p.want(4)))
	require.Equal(t, io.EOF, p.wantClosed())
}

// The first bytes of the handshake came with Data.
func TestTLSPending(t *testing.T) {
	nc, c, p, _ := started(t)
	server, client := tlsConfigs(t)
	done := make(chan error, 1)
	p.onData = func(b []byte) {
		p.onData = nil
		c.StartTLS(TLSOptions{Config: server, Server: true, Pending: b}, func(err error) { done <- err })
	}
	tc := tls.Client(nc, client)
	_, err := tc.Write([]byte("secret"))
	require.NoError(t, err)
	require.NoError(t, await(t, done))
	require.Equal(t, "secret", string(p.want(6)))
}

func TestTLSBothEndsOurs(t *testing.T) {
	a := listen(t)
	server, client := tlsConfigs(t)
	dialed := make(chan Conn, 1)
	NewReal().Dial(testClock.NewStrand("dialer"), a.l.Addr(), DialOptions{}, func(c Conn, _ error) { dialed <- c })
	sc, cc := await(t, a.conns), await(t, dialed)
	sp, cp := newProbe(t), newProbe(t)
	ss, cs := testClock.NewStrand("server"), testClock.NewStrand("client")
	sc.Start(ss, sp)
	cc.Start(cs, cp)
	serverDone := startTLS(sc, ss, TLSOptions{Config: server, Server: true, Timeout: patience})
	clientDone := startTLS(cc, cs, TLSOptions{Config: client, Timeout: patience})
	require.NoError(t, await(t, serverDone))
	require.NoError(t, await(t, clientDone))
	require.NotNil(t, cc.TLS())
	msg := pattern(5 << 20)
	lend(cc, msg)
	sc.Write(msg)
	sc.Flush()
	require.Equal(t, msg, sp.want(len(msg)))
	require.Equal(t, msg, cp.want(len(msg)))
	cc.Close(ErrClosed)
	require.Equal(t, io.EOF, sp.wantClosed())
	require.Equal(t, ErrClosed, cp.wantClosed())
}

func TestTLSHandshakeFails(t *testing.T) {
	server, client := tlsConfigs(t)
	for name, peer := range map[string]func(nc *net.TCPConn){
		"time-out":    func(*net.TCPConn) {},
		"plain text":  func(nc *net.TCPConn) { _, _ = nc.Write([]byte("CONNECT {}\r\nPING\r\n")) },
		"peer leaves": func(nc *net.TCPConn) { _ = nc.CloseWrite() },
		"no certificate": func(nc *net.TCPConn) {
			_ = tls.Client(nc, &tls.Config{ServerName: "server", RootCAs: client.RootCAs}).Handshake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			nc, c, p, s := started(t)
			timeout := patience
			if name == "time-out" {
				timeout = 20 * time.Millisecond
			}
			done := startTLS(c, s, TLSOptions{Config: server, Server: true, Timeout: timeout})
			c.Write([]byte("never in clear"))
			c.Flush()
			peer(nc)
			require.ErrorIs(t, await(t, done), ErrHandshake)
			require.ErrorIs(t, p.wantClosed(), ErrHandshake)
			require.Nil(t, c.TLS())
			if name == "time-out" {
				b, err := io.ReadAll(nc)
				require.NoError(t, err)
				require.Empty(t, b)
			}
		})
	}
}

func TestTLSCloseInHandshake(t *testing.T) {
	for _, abort := range []bool{false, true} {
		_, c, p, s := started(t)
		server, _ := tlsConfigs(t)
		done := startTLS(c, s, TLSOptions{Config: server, Server: true})
		c.Write([]byte("never sent"))
		if abort {
			c.Abort(io.ErrNoProgress)
		} else {
			c.Close(io.ErrNoProgress)
		}
		require.ErrorIs(t, await(t, done), ErrHandshake)
		require.Equal(t, io.ErrNoProgress, p.wantClosed())
	}
}

func TestTLSGarbageAfterHandshake(t *testing.T) {
	nc, c, p, s := started(t)
	server, client := tlsConfigs(t)
	done := startTLS(c, s, TLSOptions{Config: server, Server: true})
	require.NoError(t, tls.Client(nc, client).Handshake())
	require.NoError(t, await(t, done))
	_, err := nc.Write([]byte("this is not a record, and it is long enough to be judged"))
	require.NoError(t, err)
	var header tls.RecordHeaderError
	require.True(t, errors.As(p.wantClosed(), &header))
}

func TestTLSAnswersAreBounded(t *testing.T) {
	c := newRealConn(&pipeEnd{})
	l := &tlsLink{c: c}
	b := make([]byte, 1<<20)
	for range 100 {
		if _, err := l.Write(b); err != nil {
			require.Equal(t, errLinkFull, err)
			break
		}
	}
	require.LessOrEqual(t, c.Buffered(), linkMax+len(b))
	c.cut = true
	_, err := l.Write(b)
	require.Equal(t, ErrClosed, err)
}

func TestTLSStartedTwice(t *testing.T) {
	_, c, p, s := started(t)
	server, _ := tlsConfigs(t)
	first := startTLS(c, s, TLSOptions{Config: server, Server: true})
	require.ErrorIs(t, await(t, startTLS(c, s, TLSOptions{Config: server, Server: true})), ErrHandshake)
	c.Abort(nil)
	require.ErrorIs(t, await(t, first), ErrHandshake)
	require.NoError(t, p.wantClosed())
	require.ErrorIs(t, await(t, startTLS(c, s, TLSOptions{Config: server, Server: true})), ErrHandshake)
}

func TestTLSPause(t *testing.T) {
	nc, c, p, s := started(t)
	server, client := tlsConfigs(t)
	done := startTLS(c, s, TLSOptions{Config: server, Server: true})
	tc := tls.Client(nc, client)
	require.NoError(t, tc.Handshake())
	require.NoError(t, await(t, done))
	const size = 2 << 20
	var got []byte
	full := make(chan struct{})
	p.onData = func(b []byte) {
		got = append(got, b...)
		if len(got) == size {
			close(full)
			return
		}
		c.Pause()
		s.Post(c.Resume)
	}
	want := pattern(size)
	go func() { _, _ = tc.Write(want) }()
	await(t, full)
	require.Equal(t, want, got)
}

func TestTLSWriteDeadline(t *testing.T) {
	nc, c, p, s := started(t)
	server, client := tlsConfigs(t)
	done := startTLS(c, s, TLSOptions{Config: server, Server: true})
	require.NoError(t, tls.Client(nc, client).Handshake())
	require.NoError(t, await(t, done))
	c.SetWriteDeadline(30*time.Millisecond, false)
	big := pattern(32 << 20)
	lend(c, big)
	clear(big)
	require.ErrorIs(t, p.wantClosed(), ErrWriteDeadline)
}

func TestTLSManyWriters(t *testing.T) {
	nc, c, _, s := started(t)
	server, client := tlsConfigs(t)
	done := startTLS(c, s, TLSOptions{Config: server, Server: true})
	tc := tls.Client(nc, client)
	require.NoError(t, tc.Handshake())
	require.NoError(t, await(t, done))
	const writers, messages, size = 4, 200, 3000
	for w := range writers {
		go func() {
			body := make([]byte, size)
			for i := range messages {
				for k := range body {
					body[k] = byte(w)
				}
				body[1] = byte(i)
				if i%2 == 0 {
					lend(c, body)
				} else {
					c.Write(body)
					c.Flush()
				}
				clear(body)
			}
		}()
	}
	next := [writers]int{}
	for range writers * messages {
		b := readN(t, tc, size)
		w := int(b[0])
		require.Equal(t, byte(next[w]), b[1])
		next[w]++
		require.Equal(t, size-2, bytes.Count(b[2:], b[:1]))
	}
}

func TestTLSSendingAllocatesNothing(t *testing.T) {
	nc, c, _, s := started(t)
	server, client := tlsConfigs(t)
	done := startTLS(c, s, TLSOptions{Config: server, Server: true})
	require.NoError(t, tls.Client(nc, client).Handshake())
	require.NoError(t, await(t, done))
	msg := [][]byte{pattern(16), pattern(4096)}
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	wantAllocs(t, 0, func() { lend(c, msg...) })
}
