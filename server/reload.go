package server

import (
	"fmt"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
)

// Reload reads the configuration file again and puts in force what may change. It
// changes everything or, with an error, nothing.
func (s *Server) Reload() error {
	next, err := s.getOpts().Reread()
	if err != nil {
		return s.reloadFailed(err)
	}
	return s.ReloadOptions(next)
}

// ReloadOptions puts new options in force. Options that cannot change while the
// server runs must be as they are; else nothing changes.
func (s *Server) ReloadOptions(next *Options) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	old := s.getOpts()
	next = next.Clone()
	next.SetBaseline()
	if err := next.Validate(); err != nil {
		return s.reloadFailed(err)
	}
	plan, err := config.Plan(old, next)
	if err != nil {
		return s.reloadFailed(err)
	}
	outside, err := s.apply(plan)
	if err != nil {
		return s.reloadFailed(err)
	}
	if s.shell.settle != nil {
		s.shell.settle(s)
	}
	for _, line := range plan.Lines {
		s.log.Noticef("%s", line)
	}
	s.followJetStream(plan)
	outside()
	s.log.SetLevels(next.Debug, next.Trace, next.TraceVerbose)
	s.log.Noticef("Reloaded server configuration (%s)", next.ConfigDigest())
	return nil
}

func (s *Server) reloadFailed(err error) error {
	s.log.Errorf("Failed to reload server configuration: %v", err)
	return err
}

// apply carries a plan out. What can fail comes first. What is returned changes the
// log, after the last line that belongs into the old one.
func (s *Server) apply(plan *config.ReloadPlan) (outside func(), err error) {
	next := plan.New
	address, err := s.advertised(next)
	if err != nil {
		return nil, err
	}
	outside = func() {}
	if s.shell.reload != nil {
		if outside, err = s.shell.reload(s, plan); err != nil {
			return nil, err
		}
	}
	if s.cluster != nil {
		if err := s.cluster.Check(next); err != nil {
			return nil, err
		}
	}
	if err := s.broker.Reload(next); err != nil {
		return nil, err
	}
	s.opts.Store(next)
	s.loaded.Store(s.world.Clock.Now().UnixNano())
	s.broker.SetAddress(address)
	if s.cluster != nil {
		if err := s.cluster.Reload(next); err != nil {
			return nil, err
		}
	}
	return outside, nil
}

// advertised is where INFO tells clients to connect.
func (s *Server) advertised(o *Options) (broker.Address, error) {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	port := o.Port
	if l != nil {
		_, bound, err := netsim.SplitHostPort(l.Addr())
		if err != nil {
			return broker.Address{}, err
		}
		port = bound
	}
	if o.ClientAdvertise == "" {
		return broker.Address{Host: o.Host, Port: port}, nil
	}
	a, err := advertise(o.ClientAdvertise, port)
	if err != nil {
		return a, fmt.Errorf("invalid ClientAdvertise value of %s, err=%w", o.ClientAdvertise, err)
	}
	return a, nil
}
