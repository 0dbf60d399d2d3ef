// Package server assembles a Lockstep server and is what programs embed.
//
// A [Server] is built from [Options] and a [World]: clock and network are the
// only doors to the outside, so the same server runs on real sockets
// ([NewServer]) and in the simulator ([NewInWorld]). This file and reload.go are
// the server proper, which waits for nothing; embed.go is the facade for
// programs, whose calls may wait, and real.go builds the real world.
package server

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/cluster"
	"github.com/lockstepmq/lockstep/server/jetstream"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/monitor"
)

// VERSION is the official version whose behaviour the server has; clients gate
// features on it.
const VERSION = "2.15.0"

// LockstepVersion is the version of this server.
const LockstepVersion = "0.1.0"

// gitCommit is set by the linker.
var gitCommit string

// World is what a server runs in.
type World struct {
	Clock   clock.Clock
	Network netsim.Network
	Log     *logging.Switch
	// TLSIdentity is what the server states in simulated handshakes.
	TLSIdentity *netsim.Identity
	// Store is for JetStream; the zero Store is enough for servers without.
	Store Store
	// Addresses are the machine's, other than those that only it can reach: what clients are told
	// of a server that listens everywhere. Nil: none.
	Addresses func() []string
	// Lane carries frames to the other servers of the cluster; nil: none.
	Lane *lane.Lane
}

// Server is one NATS server. Its methods may be called from anywhere.
type Server struct {
	world   World
	log     *logging.Switch
	opts    atomic.Pointer[Options]
	broker  *broker.Broker
	monitor *monitor.Monitor
	strand  clock.Strand
	id      broker.Identity
	started time.Time
	loaded  atomic.Int64 // wall nanoseconds of the last configuration load
	shell   shell        // what only the real world has
	js      atomic.Pointer[jetstream.Manager]
	cluster *cluster.Cluster // nil: the server is in none
	// clustered hears what other servers send to JetStream; nil: nobody does.
	clustered atomic.Pointer[jetstream.Manager]

	jsSwitching bool          // JetStream is being started or stopped; of the strand
	jsNext      *bool         // what a reload wants meanwhile; of the strand
	jsError     error         // of the last start; of the strand
	jsSettled   []func(error) // wait for the end of it; of the strand

	reloading sync.Mutex // one reload at a time

	mu       sync.Mutex
	listener netsim.Listener
	running  bool
	stopping bool
}

// NewInWorld makes a server that runs in w. It listens to nothing before Listen.
func NewInWorld(o *Options, w World) (*Server, error) {
	o = o.Clone()
	o.SetBaseline()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Server{world: w, log: w.Log, strand: w.Clock.NewStrand("server"), started: w.Clock.Now()}
	s.opts.Store(o)
	s.loaded.Store(s.started.UnixNano())
	var err error
	if s.id, err = newIdentity(o, w.Clock); err != nil {
		return nil, err
	}
	s.broker, err = broker.New(broker.Config{
		Clock: w.Clock, Log: w.Log, Options: o, Identity: s.id, TLSIdentity: w.TLSIdentity,
	})
	if err != nil {
		return nil, err
	}
	if err := s.makeLane(o); err != nil {
		return nil, err
	}
	if err := s.makeCluster(o); err != nil {
		return nil, err
	}
	s.monitor = monitor.New(monitor.Config{
		Broker: s.broker, Clock: w.Clock, Options: s.getOpts, Started: s.started,
		ConfigLoaded: func() time.Time { return time.Unix(0, s.loaded.Load()).UTC() },
		Digest:       func() string { return s.getOpts().ConfigDigest() },
		Cluster:      s.cluster,
		Listening:    s.listening,
		Warnf:        w.Log.Warnf,
		JetStream:    s.monitored,
	})
	return s, nil
}

// newIdentity draws the server's keys and finds its name.
func newIdentity(o *Options, c clock.Clock) (broker.Identity, error) {
	entropy := c.Entropy("server identity")
	pair, err := nkeys.CreatePairWithRand(nkeys.PrefixByteServer, entropy)
	if err != nil {
		return broker.Identity{}, fmt.Errorf("server key: %w", err)
	}
	id, err := pair.PublicKey()
	if err != nil {
		return broker.Identity{}, fmt.Errorf("server key: %w", err)
	}
	curve, err := nkeys.CreateCurveKeysWithRand(entropy)
	if err != nil {
		return broker.Identity{}, fmt.Errorf("server curve key: %w", err)
	}
	xkey, err := curve.PublicKey()
	if err != nil {
		return broker.Identity{}, fmt.Errorf("server curve key: %w", err)
	}
	name := o.ServerName
	if name == "" {
		name = id
	}
	return broker.Identity{
		ServerID: id, ServerName: name, XKey: xkey, Version: VERSION, LockstepVersion: LockstepVersion,
		GitCommit: gitCommit, GoVersion: runtime.Version(),
	}, nil
}

func (s *Server) getOpts() *Options { return s.opts.Load() }

// Listen opens the listeners for clients and for routes. It returns when their addresses are
// bound.
func (s *Server) Listen() error {
	if err := s.listenClients(); err != nil {
		return err
	}
	return s.listenRoutes()
}

// listenClients opens the client listener.
func (s *Server) listenClients() error {
	o := s.getOpts()
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	if o.DontListen {
		return nil
	}
	port := max(o.Port, 0)
	l, err := s.world.Network.Listen(s.strand, netsim.JoinHostPort(o.Host, port), s.broker.Accept)
	if err != nil {
		//lint:ignore ST1005 the whole of a log line
		return fmt.Errorf("Error listening on port: %s, %q", netsim.JoinHostPort(o.Host, port), err)
	}
	_, bound, err := netsim.SplitHostPort(l.Addr())
	if err != nil {
		l.Close()
		return err
	}
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	advertised, err := s.advertised(o)
	if err != nil {
		l.Close()
		return err
	}
	s.broker.SetAddress(advertised)
	s.note(func(o *Options) { o.Port = bound })
	s.log.Noticef("Listening for client connections on %s", netsim.JoinHostPort(o.Host, bound))
	if o.ProxyProtocol {
		s.log.Noticef("PROXY protocol enabled for client connections")
	}
	if o.TLSConfig != nil {
		s.announceTLS(o)
	}
	return nil
}

// note puts what was found out while starting, such as a port that the system
// picked, into the options.
func (s *Server) note(change func(*Options)) {
	o := s.getOpts().Clone()
	change(o)
	s.opts.Store(o)
	s.broker.SetOptions(o)
}

func (s *Server) announceTLS(o *Options) {
	word := "required"
	if o.AllowNonTLS {
		word = "available"
	}
	s.log.Noticef("TLS %s for client connections", word)
	if o.TLSHandshakeFirst {
		s.log.Warnf("Clients that are not using \"TLS Handshake First\" option will fail to connect")
	}
}

// advertise reads client_advertise; without a port the bound one holds.
func advertise(text string, port int) (broker.Address, error) {
	if !strings.Contains(text, ":") {
		return broker.Address{Host: text, Port: port}, nil
	}
	if host, ok := strings.CutSuffix(text, ":-1"); ok {
		return broker.Address{Host: host, Port: port}, nil
	}
	host, p, err := netsim.SplitHostPort(text)
	if err != nil {
		return broker.Address{}, fmt.Errorf("client_advertise %q is not host or host:port: %w", text, err)
	}
	if p == 0 {
		p = port
	}
	return broker.Address{Host: host, Port: p}, nil
}

// listening is nil when every configured listener is up.
func (s *Server) listening() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || s.stopping || s.broker.LameDuckMode() {
		return fmt.Errorf("client connections are not accepted")
	}
	if s.listener == nil && !s.getOpts().DontListen {
		return fmt.Errorf("client listener is not up")
	}
	if s.cluster != nil && s.cluster.Addr() == "" {
		return fmt.Errorf("route listener is not up")
	}
	return nil
}

// closeListener stops taking connections.
func (s *Server) closeListener() {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

// Stop closes the listener and every connection; done is posted to the server's
// strand when all have gone. A second call does nothing.
func (s *Server) Stop(done func()) {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return
	}
	s.stopping = true
	s.mu.Unlock()
	s.log.Noticef("Initiating Shutdown...")
	s.closeListener()
	s.stopJetStream(func() {
		s.broker.Shutdown(s.strand, func() {
			s.stopRoutes(func() {
				s.mu.Lock()
				s.running = false
				s.mu.Unlock()
				s.log.Noticef("Server Exiting..")
				if done != nil {
					done()
				}
			})
		})
	})
}

// LameDuck stops taking connections, tells clients to go elsewhere, closes them
// one by one, then stops. done is posted to the server's strand at the end.
func (s *Server) LameDuck(done func()) {
	s.log.Noticef("Entering lame duck mode, stop accepting new clients")
	s.closeListener()
	if s.cluster != nil {
		s.cluster.LameDuck()
	}
	s.broker.LameDuck(s.strand, func() { s.Stop(done) })
}

// Broker has the server's connections and accounts.
func (s *Server) Broker() *broker.Broker { return s.broker }

// Monitor answers what monitoring asks.
func (s *Server) Monitor() *monitor.Monitor { return s.monitor }
