//lockstep:exempt builds the real world: files, HTTP listeners, the process
package server

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/monitor"
)

// httpHeaderWait is how long an HTTP request's header may take.
const httpHeaderWait = 5 * time.Second

// NewServer makes a server on the machine's clock and network. It starts nothing.
func NewServer(o *Options) (*Server, error) {
	hashOnce.Do(seedHashes)
	network := netsim.NewReal()
	s, err := NewInWorld(o, World{
		Clock: clock.NewReal(), Network: network, Log: logging.NewSwitch(), Store: realStore(o),
		Addresses: machineAddresses,
	})
	if err != nil {
		return nil, err
	}
	s.monitor.UseProcess(monitor.ReadProcess)
	s.shell = shell{
		network: network, http: &httpServers{}, done: make(chan struct{}), ready: make(chan struct{}),
		reload: reloadOutside, settle: awaitReload,
	}
	return s, nil
}

var hashOnce sync.Once

// seedHashes makes the subject tables unpredictable.
func seedHashes() {
	var b [8]byte
	if _, err := rand.Read(b[:]); err == nil {
		account.SetHashSeed(binary.LittleEndian.Uint64(b[:]))
	}
}

// Run starts a server and returns; its caller waits with WaitForShutdown.
func Run(s *Server) error {
	s.Start()
	return nil
}

// httpServers are the monitoring and profiling listeners.
type httpServers struct {
	monitor, profiler net.Listener
	servers           []*http.Server
}

func (h *httpServers) serve(l net.Listener, handler http.Handler) {
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: httpHeaderWait, MaxHeaderBytes: 1 << 20}
	h.servers = append(h.servers, srv)
	go srv.Serve(l)
}

func (h *httpServers) close() {
	for _, s := range h.servers {
		s.Close()
	}
}

func tcpAddr(l net.Listener) *net.TCPAddr {
	if l == nil {
		return nil
	}
	a, _ := l.Addr().(*net.TCPAddr)
	return a
}

func (h *httpServers) monitorAddr() *net.TCPAddr  { return tcpAddr(h.monitor) }
func (h *httpServers) profilerAddr() *net.TCPAddr { return tcpAddr(h.profiler) }

// StartMonitoring opens the monitoring listener, when one is configured.
func (s *Server) StartMonitoring() error { return s.startMonitoring() }

func (s *Server) startMonitoring() error {
	o := s.getOpts()
	if err := s.startProfiler(o); err != nil {
		return err
	}
	port, scheme := o.HTTPPort, "http"
	if o.HTTPPort != 0 && o.HTTPSPort != 0 {
		return fmt.Errorf("can't specify both HTTP (%v) and HTTPs (%v) ports", o.HTTPPort, o.HTTPSPort)
	}
	if o.HTTPSPort != 0 {
		if o.TLSConfig == nil {
			return errors.New("TLS cert and key required for HTTPS")
		}
		port, scheme = o.HTTPSPort, "https"
	}
	if port == 0 || s.shell.http.monitor != nil {
		return nil
	}
	host := o.HTTPHost
	if host == "" {
		host = o.Host
	}
	l, err := net.Listen("tcp", netsim.JoinHostPort(host, max(port, 0)))
	if err != nil {
		return fmt.Errorf("can't listen to the monitor port: %w", err)
	}
	s.shell.http.monitor = l
	s.log.Noticef("Starting %s monitor on %s", scheme, netsim.JoinHostPort(host, tcpAddr(l).Port))
	if scheme == "https" {
		c := o.TLSConfig.Clone()
		c.ClientAuth = tls.NoClientCert
		l = tls.NewListener(l, c)
	}
	s.shell.http.serve(l, s.monitor.Handler())
	return nil
}

// startProfiler opens the listener of Go's profiler, when one is configured.
func (s *Server) startProfiler(o *Options) error {
	s.setBlockProfile(o.ProfBlockRate)
	if o.ProfPort == 0 || s.shell.http.profiler != nil {
		return nil
	}
	l, err := net.Listen("tcp", netsim.JoinHostPort(o.Host, max(o.ProfPort, 0)))
	if err != nil {
		return fmt.Errorf("can't listen to the profiling port: %w", err)
	}
	s.shell.http.profiler = l
	s.log.Noticef("profiling port: %d", tcpAddr(l).Port)
	s.shell.http.serve(l, http.DefaultServeMux)
	return nil
}

// banner writes the first lines of the log.
func (s *Server) banner() {
	o := s.getOpts()
	commit := gitCommit
	if commit == "" {
		commit = "not set"
	}
	s.log.Noticef("Starting lockstep")
	s.log.Noticef("  Version:  %s (lockstep %s)", VERSION, LockstepVersion)
	s.log.Noticef("  Git:      [%s]", commit)
	s.log.Debugf("  Go build: %s", runtime.Version())
	if name := cmp.Or(s.ClusterName(), o.Cluster.Name); name != "" {
		s.log.Noticef("  Cluster:  %s", name)
	}
	s.log.Noticef("  Name:     %s", s.id.ServerName)
	s.log.Noticef("  ID:       %s", s.id.ServerID)
	for _, line := range o.FeatureFlagLines() {
		s.log.Noticef("%s", line)
	}
	if s.broker.PlaintextPasswords() {
		s.log.Warnf("Plaintext passwords detected, use nkeys or bcrypt")
	}
	if o.ConfigFile != "" {
		s.log.Noticef("Using configuration file: %s (%s)", o.ConfigFile, o.ConfigDigest())
	}
	if o.MaxPayload > 8<<20 {
		s.log.Warnf("Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance")
	}
}

// writePidFile writes the pid file that was asked for.
func (s *Server) writePidFile() error {
	if path := s.getOpts().PidFile; path != "" {
		return writePid(path)
	}
	return nil
}

// writePortsFile writes the ports file that was asked for.
func (s *Server) writePortsFile() error {
	o := s.getOpts()
	if o.PortsFileDir == "" {
		return nil
	}
	text, err := json.Marshal(s.PortsInfo(0))
	if err != nil {
		return fmt.Errorf("ports file: %w", err)
	}
	if err := os.WriteFile(portsFile(o.PortsFileDir), text, 0o640); err != nil {
		return fmt.Errorf("could not write ports file: %w", err)
	}
	return nil
}

func portsFile(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("%s_%d.ports", filepath.Base(os.Args[0]), os.Getpid()))
}

func (s *Server) removePortsFile() {
	if dir := s.getOpts().PortsFileDir; dir != "" {
		if err := os.Remove(portsFile(dir)); err != nil && !os.IsNotExist(err) {
			s.log.Errorf("Error removing ports file: %v", err)
		}
	}
}

// Ports are the URLs a server listens on.
type Ports struct {
	Nats       []string `json:"nats,omitempty"`
	Monitoring []string `json:"monitoring,omitempty"`
	Cluster    []string `json:"cluster,omitempty"`
	Profile    []string `json:"profile,omitempty"`
	WebSocket  []string `json:"websocket,omitempty"`
}

// PortsInfo waits up to d for the listeners and tells where they are; nil when
// they are not up by then.
func (s *Server) PortsInfo(d time.Duration) *Ports {
	if d > 0 && !s.ReadyForConnections(d) {
		return nil
	}
	o := s.getOpts()
	p := &Ports{}
	if a, ok := s.Addr().(*net.TCPAddr); ok {
		scheme := "nats"
		if o.TLSConfig != nil {
			scheme = "tls"
		}
		p.Nats = expand(scheme, a)
	}
	if a := s.MonitorAddr(); a != nil {
		scheme := "http"
		if o.HTTPSPort != 0 {
			scheme = "https"
		}
		p.Monitoring = expand(scheme, a)
	}
	if a := s.ProfilerAddr(); a != nil {
		p.Profile = expand("http", a)
	}
	if a := s.ClusterAddr(); a != nil {
		scheme := "nats"
		if o.Cluster.TLSConfig != nil {
			scheme = "tls"
		}
		p.Cluster = expand(scheme, a)
	}
	return p
}

// machineAddresses lists the machine's addresses that others can reach.
func machineAddresses() []string {
	var hosts []string
	addrs, _ := net.InterfaceAddrs()
	for _, i := range addrs {
		if n, ok := i.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			hosts = append(hosts, n.IP.String())
		}
	}
	return hosts
}

// expand lists the URLs of an address; the unspecified host stands for those of
// all interfaces.
func expand(scheme string, a *net.TCPAddr) []string {
	if !a.IP.IsUnspecified() {
		return []string{fmt.Sprintf("%s://%s", scheme, a)}
	}
	var urls []string
	addrs, _ := net.InterfaceAddrs()
	for _, i := range addrs {
		if n, ok := i.(*net.IPNet); ok {
			urls = append(urls, fmt.Sprintf("%s://%s", scheme, netsim.JoinHostPort(n.IP.String(), a.Port)))
		}
	}
	return urls
}
