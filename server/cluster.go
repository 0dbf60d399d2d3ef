package server

import (
	"net/url"
	"strings"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/cluster"
	"github.com/lockstepmq/lockstep/server/config"
)

// What options say of a cluster.
type (
	ClusterOpts      = config.ClusterOpts
	CompressionOpts  = config.CompressionOpts
	RoutePermissions = config.RoutePermissions
)

// RoutesFromStr reads URLs that are separated by commas, for Options.Routes.
func RoutesFromStr(text string) []*url.URL { return config.RoutesFromStr(text) }

// makeCluster makes the server's part of a cluster, when the options have one.
func (s *Server) makeCluster(o *Options) error {
	if o.Cluster.Port == 0 {
		return nil
	}
	var err error
	s.cluster, err = cluster.New(cluster.Config{
		Broker: s.broker, Clock: s.world.Clock, Network: s.world.Network, Log: s.log, Options: s.getOpts,
		ClientURLs: s.connectURLs, TLSIdentity: s.world.TLSIdentity, Lane: s.world.Lane,
	})
	return err
}

// listenRoutes opens the listener for routes and has the configured ones dialled.
func (s *Server) listenRoutes() error {
	if s.cluster == nil {
		return nil
	}
	if err := s.cluster.Listen(); err != nil {
		return err
	}
	_, port, err := netsim.SplitHostPort(s.cluster.Addr())
	if err != nil {
		return err
	}
	s.note(func(o *Options) { o.Cluster.Port = port })
	return nil
}

// stopRoutes closes the routes; done is called on the server's strand when they have gone.
func (s *Server) stopRoutes(done func()) {
	if s.cluster == nil {
		done()
		return
	}
	s.cluster.Shutdown(s.strand, done)
}

// connectURLs are where clients reach this server.
func (s *Server) connectURLs() []string {
	a := s.broker.Address()
	if !unspecified(a.Host) || s.world.Addresses == nil {
		return []string{netsim.JoinHostPort(a.Host, a.Port)}
	}
	var urls []string
	for _, host := range s.world.Addresses() {
		urls = append(urls, netsim.JoinHostPort(host, a.Port))
	}
	return urls
}

// unspecified tells whether a host stands for all addresses of the machine.
func unspecified(host string) bool {
	return host == "" || host == "0.0.0.0" || strings.Trim(host, "[]") == "::"
}

// ClusterName is that of the cluster the server is in; empty when it is in none.
func (s *Server) ClusterName() string {
	if s.cluster == nil {
		return ""
	}
	return s.cluster.Name()
}

// NumRoutes counts route connections.
func (s *Server) NumRoutes() int {
	if s.cluster == nil {
		return 0
	}
	return s.cluster.NumRoutes()
}

// NumRemotes counts routed servers.
func (s *Server) NumRemotes() int {
	if s.cluster == nil {
		return 0
	}
	return s.cluster.NumRemotes()
}
