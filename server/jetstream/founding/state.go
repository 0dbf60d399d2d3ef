package founding

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Phase is how far a server is.
type Phase uint8

const (
	// Waiting: too few servers are here.
	Waiting Phase = iota
	// Agreeing: a majority is here, and waits for the others or is agreeing.
	Agreeing
	// Settled: the cluster is founded, and this server belongs to it.
	Settled
)

func (p Phase) String() string {
	return [...]string{"waiting", "agreeing", "settled"}[p]
}

// Conflict is a server here that belongs to another founding than this one.
type Conflict struct {
	Peer core.MemberID
	Name string
	ID   ID
}

// State is for people and monitoring.
type State struct {
	Phase    Phase
	ID       ID  // once settled
	Expected int // servers: the largest number known
	Quorum   int // of them
	Present  int // servers here that can take part, this one included; unless settled
	// Knowing is how many servers here, this one included, are known to keep the founding that this one
	// has settled on. The fewer, the fewer disks may be lost.
	Knowing int
	Forgot  bool     // this server cannot take part, since it may have forgotten what it promised
	Missing []string // servers that were here and are not; unless settled
	// Warnings are sentences about servers that expect another number of servers, that are of another cluster, or
	// that forgot.
	Warnings  []string
	Conflicts []Conflict // to be cured by an operator: one of the sides has to be wiped
}

// State tells where the matter stands.
func (n *Node) State() State {
	s := State{Expected: n.expected(), Quorum: n.quorum(), Forgot: n.cur.Forgot && n.fresh()}
	if f := n.durable.Settled; f != nil {
		s.Phase, s.ID, s.Knowing = Settled, f.ID, 1
	} else {
		s.Present = n.count(anybody)
		if n.durable.Self.Birth == 0 && !n.cur.Forgot { // its first record is on the way
			s.Present++
		}
		if s.Present >= s.Quorum {
			s.Phase = Agreeing
		}
	}
	for i := range n.peers {
		n.look(&n.peers[i], &s)
	}
	return s
}

// look adds what is to be said of a peer.
func (n *Node) look(p *peer, s *State) {
	warn := func(format string, args ...any) { s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...)) }
	theirs := p.said.Settled
	switch {
	case p.stranger != "":
		warn("%s is of cluster %q and not of %q", p.name, p.stranger, n.o.Cluster)
	case !p.up && s.Phase != Settled:
		s.Missing = append(s.Missing, p.name)
	case !p.heard:
	case s.Phase == Settled && theirs != nil && theirs.ID == s.ID:
		s.Knowing++
	case s.Phase == Settled && theirs != nil:
		s.Conflicts = append(s.Conflicts, Conflict{Peer: p.id, Name: p.name, ID: theirs.ID})
	case theirs == nil && p.said.Forgot:
		warn("%s may have forgotten what it agreed to, and does not count", p.name)
	}
	if p.said.expected != 0 && p.said.expected != n.o.Expected && s.Phase != Settled {
		warn("%s expects %d servers, and %d are expected here: %d count", p.name, p.said.expected, n.o.Expected, s.Expected)
	}
}

// String gives one line.
func (s State) String() string {
	var text string
	switch {
	case len(s.Conflicts) > 0:
		text = fmt.Sprintf("conflict: this server belongs to cluster %v", s.ID)
		for _, c := range s.Conflicts {
			text += fmt.Sprintf(", %s to %v", c.Name, c.ID)
		}
		text += "; they are never merged: one side has to be wiped"
	case s.Phase == Settled:
		text = fmt.Sprintf("belongs to cluster %v, which %d of %d servers here know", s.ID, s.Knowing, s.Expected)
	case s.Forgot:
		text = "may have forgotten what it agreed to: waits for a server that belongs to the cluster"
	case s.Phase == Agreeing:
		text = fmt.Sprintf("founding the cluster with %d of %d servers", s.Present, s.Expected)
	default:
		text = fmt.Sprintf("waiting for %d of %d servers: %d here", s.Quorum, s.Expected, s.Present)
	}
	switch missing := s.Missing; len(missing) {
	case 0:
	case 1:
		text += ": " + missing[0] + " is missing"
	default:
		text += ": " + strings.Join(missing, ", ") + " are missing"
	}
	for _, w := range slices.Compact(slices.Clone(s.Warnings)) {
		text += "; " + w
	}
	return text
}
