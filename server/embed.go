//lockstep:exempt the embedding facade: its callers are goroutines that may wait
package server

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
)

// shell is the state of the facade: what exists only in the real world.
type shell struct {
	network *netsim.Real
	http    *httpServers
	done    chan struct{} // closed when the server has stopped
	ready   chan struct{} // closed when listeners are up
	reload  func(*Server, *config.ReloadPlan) (func(), error)
	settle  func(*Server) // waits until connections have taken a reload in
}

// New makes a server as NewServer does, and panics when the options are wrong.
//
// Deprecated: use NewServer.
func New(o *Options) *Server {
	s, err := NewServer(o)
	if err != nil {
		panic(err)
	}
	return s
}

// Start opens the listeners, announces them and returns. What cannot be opened is
// fatal: it is logged as such, and ReadyForConnections stays false.
func (s *Server) Start() {
	if err := s.TryStart(); err != nil {
		s.log.Fatalf("%v", err)
	}
}

// TryStart is Start for programs that end when the server cannot start.
func (s *Server) TryStart() error {
	s.banner()
	if err := s.writePidFile(); err != nil {
		//lint:ignore ST1005 the whole of a log line
		return fmt.Errorf("Could not write pidfile: %w", err)
	}
	if err := s.startMonitoring(); err != nil {
		//lint:ignore ST1005 the whole of a log line
		return fmt.Errorf("Can't start monitoring: %w", err)
	}
	if err := s.awaitJetStream(); err != nil {
		return err
	}
	if err := s.listenClients(); err != nil {
		return err
	}
	if err := s.writePortsFile(); err != nil {
		return err
	}
	s.log.Noticef("Server is ready")
	if err := s.listenRoutes(); err != nil {
		return err
	}
	if s.cluster != nil { // which the file did not have yet
		if err := s.writePortsFile(); err != nil {
			return err
		}
	}
	close(s.shell.ready)
	return nil
}

// awaitJetStream recovers the streams before anybody can ask for them.
func (s *Server) awaitJetStream() error {
	ready := make(chan error, 1)
	s.StartJetStream(func(err error) { ready <- err })
	return <-ready
}

// ReadyForConnections waits up to d until the listeners are up, and tells whether
// they are.
func (s *Server) ReadyForConnections(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.shell.ready:
		return s.listening() == nil
	case <-s.shell.done:
		return false
	case <-t.C:
		return false
	}
}

// Shutdown closes everything and returns when all is closed.
func (s *Server) Shutdown() {
	s.Stop(s.stopped)
	<-s.shell.done
}

// stopped runs once, when the last connection has gone.
func (s *Server) stopped() {
	s.removePortsFile()
	s.shell.http.close()
	close(s.shell.done)
}

// WaitForShutdown waits until the server has stopped.
func (s *Server) WaitForShutdown() { <-s.shell.done }

// LameDuckShutdown sends the clients elsewhere, then shuts down, and returns at
// the end. See lame_duck_duration.
func (s *Server) LameDuckShutdown() {
	s.LameDuck(s.stopped)
	<-s.shell.done
}

// LameDuckMode tells whether the server is sending its clients away.
func (s *Server) LameDuckMode() bool { return s.broker.LameDuckMode() }

// settleWait bounds the wait for connections that take a reload in: one that calls
// Reload itself, from a hook, never would.
const settleWait = 2 * time.Second

// awaitReload waits until every connection is judged by the new options.
func awaitReload(s *Server) {
	done := make(chan struct{})
	s.broker.Settled(func() { close(done) })
	t := time.NewTimer(settleWait)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// Running tells whether the server was started and has not stopped.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running && !s.stopping
}

// InProcessConn connects to the server without a socket. It is what nats.go's
// InProcessServer option asks for.
func (s *Server) InProcessConn() (net.Conn, error) {
	if !s.Running() {
		return nil, fmt.Errorf("the server is not running")
	}
	inside, outside := s.shell.network.Pipe()
	s.broker.Accept(inside)
	return outside, nil
}

// ClientURL is where clients connect.
func (s *Server) ClientURL() string {
	o := s.getOpts()
	u := url.URL{Scheme: "nats", Host: o.ClientAdvertise}
	if o.TLSConfig != nil {
		u.Scheme = "tls"
	}
	if u.Host == "" {
		host := o.Host
		if host == "" || host == "::" {
			host = "0.0.0.0"
		}
		port := o.Port
		if a, ok := s.Addr().(*net.TCPAddr); ok {
			port = a.Port
		}
		u.Host = netsim.JoinHostPort(host, port)
	}
	return u.String()
}

// Addr is the client listener's address, nil when there is none.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	a, err := net.ResolveTCPAddr("tcp", s.listener.Addr())
	if err != nil {
		return nil
	}
	return a
}

// ClusterAddr is where routes are taken, nil when they are not.
func (s *Server) ClusterAddr() *net.TCPAddr {
	if s.cluster == nil || s.cluster.Addr() == "" {
		return nil
	}
	a, err := net.ResolveTCPAddr("tcp", s.cluster.Addr())
	if err != nil {
		return nil
	}
	return a
}

// MonitorAddr is the monitoring listener's address, nil when there is none.
func (s *Server) MonitorAddr() *net.TCPAddr { return s.shell.http.monitorAddr() }

// ProfilerAddr is the profiling listener's address, nil when there is none.
func (s *Server) ProfilerAddr() *net.TCPAddr { return s.shell.http.profilerAddr() }

// NumClients counts client connections.
func (s *Server) NumClients() int { return s.broker.NumClients() }

// NumSubscriptions counts the subscriptions of all accounts.
func (s *Server) NumSubscriptions() uint32 { return uint32(s.broker.NumSubscriptions()) }

// NumSlowConsumers counts connections that were closed because they were slow.
func (s *Server) NumSlowConsumers() int64 { return s.broker.Stats().Slow.Load() }

// NumLeafNodes counts leafnode connections.
func (s *Server) NumLeafNodes() int { return 0 }

// NumOutboundGateways counts gateway connections made.
func (s *Server) NumOutboundGateways() int { return 0 }

// NumInboundGateways counts gateway connections accepted.
func (s *Server) NumInboundGateways() int { return 0 }

// NumLoadedAccounts counts accounts.
func (s *Server) NumLoadedAccounts() int { return len(s.broker.Accounts()) }

// NonceRequired tells whether clients are given a nonce to sign.
func (s *Server) NonceRequired() bool { return s.broker.NonceRequired() }

// ID is the server's public key.
func (s *Server) ID() string { return s.id.ServerID }

// Name is the server's name, its id when none was given.
func (s *Server) Name() string { return s.id.ServerName }

// NodeName is eight characters that stand for the server's name.
func (s *Server) NodeName() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(s.id.ServerName))
	name := make([]byte, 8)
	for i := range name {
		name[i] = digits[int(sum[i])%len(digits)]
	}
	return string(name)
}

// ConfigTime is when the configuration in force was loaded.
func (s *Server) ConfigTime() time.Time { return time.Unix(0, s.loaded.Load()).UTC() }

// HTTPHandler answers what the monitoring listener answers.
func (s *Server) HTTPHandler() http.Handler { return s.monitor.Handler() }

// DisconnectClientByID closes a client as a system request would.
func (s *Server) DisconnectClientByID(id uint64) error {
	c := s.broker.Client(id)
	if c == nil {
		return fmt.Errorf("no such client or leafnode id")
	}
	c.Kick()
	return nil
}

// LDMClientByID tells one client that the server will go away.
func (s *Server) LDMClientByID(id uint64) error {
	c := s.broker.Client(id)
	if c == nil {
		return fmt.Errorf("no such client id")
	}
	answer := make(chan bool, 1)
	c.AnnounceLameDuck(func(ok bool) { answer <- ok })
	if !<-answer {
		return fmt.Errorf("client does not support Lame Duck Mode or is not ready to receive the notification")
	}
	return nil
}
