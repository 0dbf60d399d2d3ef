package server

import (
	"strconv"

	"github.com/lockstepmq/lockstep/server/jetstream"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// makeLane makes what carries consensus between the servers of a cluster that has JetStream.
func (s *Server) makeLane(o *Options) error {
	if !o.JetStream || o.Cluster.Port == 0 || s.world.Lane != nil {
		return nil
	}
	l, err := lane.New(s.world.Clock, s.log, lane.DefaultOptions(stream.MemberOf(s.id.ServerName)))
	if err != nil {
		return err
	}
	l.Serve(laneHandler{s})
	s.world.Lane = l
	return nil
}

// laneHandler gives what other servers send to JetStream, while that runs.
type laneHandler struct{ s *Server }

// Up is part of [lane.Handler].
func (h laneHandler) Up(p lane.Peer) {
	if m := h.s.clustered.Load(); m != nil {
		m.Up(p.Member, p.ServerName)
	}
}

// Down is part of [lane.Handler].
func (h laneHandler) Down(id core.MemberID) {
	if m := h.s.clustered.Load(); m != nil {
		m.Down(id)
	}
}

// Frame is part of [lane.Handler].
func (h laneHandler) Frame(from core.MemberID, p []byte) {
	if m := h.s.clustered.Load(); m != nil {
		m.Frame(from, p)
	}
}

// jetStreamCluster is what JetStream needs of the cluster; nil for a server alone.
func (s *Server) jetStreamCluster(o *Options) *jetstream.Cluster {
	l := s.world.Lane
	if l == nil || s.cluster == nil {
		return nil
	}
	others := map[string]bool{}
	for _, u := range o.Routes {
		if u.Port() != strconv.Itoa(o.Cluster.Port) || !isOwnHost(u.Hostname(), o.Cluster.Host) {
			others[u.Host] = true
		}
	}
	return &jetstream.Cluster{
		Self: l.Self(), Name: s.cluster.Name, Lane: l, Expected: len(others) + 1,
		Attach: func(m *jetstream.Manager) {
			s.clustered.Store(m)
			for _, p := range l.Peers() {
				if p.Up {
					m.Up(p.Member, p.ServerName)
				}
			}
		},
	}
}

// isOwnHost tells whether a route leads to this server itself, as far as names tell.
func isOwnHost(host, own string) bool {
	return host == own || host == "localhost" || host == "127.0.0.1" || host == "::1"
}
