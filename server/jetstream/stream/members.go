package stream

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Reconcile brings the members of the stream's group one step nearer to those that are wanted, if this server leads it:
// first the new ones come in, then the others go. It tells whether all is as wanted, and known to stay so. It is called
// again and again until then; whoever leads goes on where another ended.
func (s *Stream) Reconcile(want []core.MemberID) bool {
	if !s.Leads() {
		return false
	}
	cfg := s.group.Members()
	var join, remove []core.MemberID
	for _, id := range want {
		if !cfg.Has(id) {
			join = append(join, id)
		}
	}
	for _, v := range cfg.Voters {
		if !slices.Contains(want, v.ID) {
			remove = append(remove, v.ID)
		}
	}
	learning := false
	for _, l := range cfg.Learners {
		if slices.Contains(want, l.ID) {
			learning = true
		} else {
			remove = append(remove, l.ID)
		}
	}
	if cfg.Joint() || len(join) > 0 || len(remove) > 0 || learning {
		s.settling = 0
	}
	switch {
	case cfg.Joint():
	case len(join) > 0:
		s.group.ProposeConfig(core.Change{Join: join}, func(error) {}) // what fails is tried again
	case learning:
		s.group.Wake()
	case slices.Contains(remove, s.spec.Self):
		s.handOver(want)
	case len(remove) > 0:
		s.group.ProposeConfig(core.Change{Remove: remove}, func(error) {})
	case s.settling == 0:
		s.settling = s.group.Last()
		return s.settling <= s.group.Committed()
	default:
		return s.settling <= s.group.Committed()
	}
	return false
}

// handOver gives the lead to the one of those wanted that has most.
func (s *Stream) handOver(want []core.MemberID) {
	var best core.Peer
	for _, p := range s.group.Peers(nil) {
		if p.Present && !p.Learner && slices.Contains(want, p.ID) && (best.ID == 0 || p.Match > best.Match) {
			best = p
		}
	}
	if best.ID != 0 {
		_ = s.group.TransferLeadership(best.ID) // what fails is tried again
	}
}

// Prefer names the server that should lead the stream if it can.
func (s *Stream) Prefer(id core.MemberID) {
	if !s.closed && s.failed == nil && s.group != nil {
		s.group.SetPreferred(id)
	}
}

// Forgotten tells whether this server has nothing of the stream, and nobody leads who could give it back.
func (s *Stream) Forgotten() bool {
	if s.closed || s.failed != nil || s.group == nil {
		return false
	}
	st := s.group.State()
	return st.Leader == 0 && (st.Standing == core.Outside || st.Standing == core.Forgot)
}
