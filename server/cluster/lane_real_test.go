//lockstep:exempt servers on real sockets
package cluster_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/cluster"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// realServer is a server with a lane on real sockets.
type realServer struct {
	mu      sync.Mutex
	end     *laneEnd
	lane    *lane.Lane
	cluster *cluster.Cluster
	clock   *clock.Real
}

func (s *realServer) Up(p lane.Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end.Up(p)
}

func (s *realServer) Down(id core.MemberID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end.Down(id)
}

func (s *realServer) Frame(from core.MemberID, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end.Frame(from, p)
}

// frames counts what came.
func (s *realServer) frames() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.frames
}

func newRealServer(t *testing.T, member int, routes string, conf *tls.Config) *realServer {
	s := &realServer{end: newLaneEnd(t), clock: clock.NewReal()}
	o := options(t, fmt.Sprintf("cluster { name: C, listen: \"127.0.0.1:-1\", routes: [%s] }", routes))
	o.Cluster.TLSConfig, o.Cluster.TLSTimeout = conf, 5
	log := logging.NewSwitch()
	b, err := broker.New(broker.Config{
		Clock: s.clock, Log: log, Options: o,
		Identity: broker.Identity{ServerID: fmt.Sprint("N", member), ServerName: fmt.Sprint("n", member), Version: "2.15.0", GoVersion: "go"},
	})
	require.NoError(t, err)
	l := lane.DefaultOptions(core.MemberID(member))
	l.Silence = 5 * time.Second // the machine may be busy
	s.lane, err = lane.New(s.clock, log, l)
	require.NoError(t, err)
	s.lane.Serve(s)
	s.cluster, err = cluster.New(cluster.Config{
		Broker: b, Clock: s.clock, Network: netsim.NewReal(), Log: log, Options: func() *config.Options { return o }, Lane: s.lane,
	})
	require.NoError(t, err)
	require.NoError(t, s.cluster.Listen())
	return s
}

func (s *realServer) shutdown(t *testing.T) {
	gone := make(chan struct{})
	s.cluster.Shutdown(s.clock.NewStrand("end"), func() { close(gone) })
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the server does not end")
	}
}

// ownCertificate gives TLS options of servers that all have one certificate, and trust it.
func ownCertificate(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// TestLanesOnRealSockets has two servers exchange frames from several goroutines, and end.
func TestLanesOnRealSockets(t *testing.T) {
	for _, tc := range []struct {
		name string
		tls  func(*testing.T) *tls.Config
	}{
		{"plain", func(*testing.T) *tls.Config { return nil }},
		{"TLS", ownCertificate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conf := tc.tls(t)
			a := newRealServer(t, 1, "", conf)
			b := newRealServer(t, 2, fmt.Sprintf("%q", "nats://"+a.cluster.Addr()), conf)
			all := []*realServer{a, b}
			up := func() bool { return a.lane.IsUp(2) && b.lane.IsUp(1) }
			require.Eventually(t, up, 20*time.Second, 10*time.Millisecond)

			const frames = 2000
			var sent sync.WaitGroup
			for i, s := range all {
				to := core.MemberID(2 - i)
				sent.Go(func() {
					for n := 1; n <= frames; n++ {
						frame := laneFrame(n, n*n%3000+n/1900*50000)
						taken := func() bool { return s.lane.Send(to, frame) }
						assert.Eventually(t, taken, 20*time.Second, time.Millisecond, "the credit stays spent")
					}
				})
			}
			sent.Wait()
			require.Eventually(t, func() bool { return a.frames() == frames && b.frames() == frames }, 20*time.Second, 10*time.Millisecond)
			for _, s := range all {
				require.True(t, s.lane.Peers()[0].Up)
				require.Positive(t, s.lane.Peers()[0].RTT)
			}
			a.shutdown(t)
			require.Eventually(t, func() bool { return !b.lane.IsUp(1) }, 10*time.Second, 10*time.Millisecond)
			require.False(t, a.lane.IsUp(2))
			b.shutdown(t)
		})
	}
}
