package founding

import (
	"cmp"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Node is one server's part in the founding.
type Node struct {
	o   Options
	now time.Duration

	cur     Kept // as decided
	durable Kept // as on disk: nothing else is spoken or counted
	written Kept // as handed to the host, while writing
	writing bool
	dirty   bool // cur is to be written

	peers   []peer // ascending by id; who went down stays known
	retryAt time.Duration
	attempt attempt

	outcome   *Outcome // waits for Ready
	concluded bool     // there was one
	ready     Ready
}

// peer is another server.
type peer struct {
	id       core.MemberID
	name     string
	up       bool
	heard    bool      // since it is up: said holds
	said     statement // the last; after it went down, too
	stranger string    // the name of the other cluster that it says it is of
	tell     bool      // a message is due
	ask      bool      // which asks for an answer
	asked    int       // how often, since it is up and silent
}

// Message is bytes for a peer's [Node.Message].
type Message struct {
	To   core.MemberID
	Data []byte
}

// Ready is what the host has to do, in any order.
type Ready struct {
	Messages []Message
	// Kept is to be made durable in place of what was kept before; then [Node.Persisted] is called. Until
	// that there is no other. Nil: nothing.
	Kept *Kept
	// Outcome comes once in the life of a Node; see [OutcomeKind]. Nil: not yet, or had already.
	Outcome *Outcome
}

// silentAsks is how often a settled server speaks to one that says nothing.
const silentAsks = 10

// New makes the node of a server that found kept on its disk, or nil when it found nothing.
func New(o Options, kept *Kept, now time.Duration) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	n := &Node{o: o, now: now}
	if kept != nil {
		n.cur, n.durable = *kept, *kept
	}
	if n.cur.Self.ID != o.Self || n.cur.Self.Birth == 0 {
		n.beBorn()
	}
	if n.cur.Settled != nil {
		n.conclude()
	}
	n.step()
	return n, nil
}

// beBorn makes a server somebody. A disk that comes under another name keeps its promises, which cannot harm, but is
// not the voter that the other name was.
func (n *Node) beBorn() {
	n.cur.Self = Seat{ID: n.o.Self}
	for n.cur.Self.Birth == 0 {
		n.cur.Self.Birth = Birth(n.o.Rand.Uint64())
	}
	n.cur.Begun = false
	n.durable = Kept{}
	n.dirty = true
}

func (n *Node) search(id core.MemberID) (int, bool) {
	return slices.BinarySearchFunc(n.peers, id, func(p peer, id core.MemberID) int { return cmp.Compare(p.id, id) })
}

// Up tells that messages reach the peer from now on.
func (n *Node) Up(id core.MemberID, name string) {
	if id == 0 || id == n.o.Self {
		return
	}
	i, known := n.search(id)
	if !known {
		if len(n.peers) >= ExpectedMax {
			return
		}
		n.peers = slices.Insert(n.peers, i, peer{id: id})
	}
	p := &n.peers[i]
	p.name, p.up, p.heard, p.asked = name, true, false, 0
	p.tell, p.ask = true, true
	n.step()
}

// Down tells that they do not any more.
func (n *Node) Down(id core.MemberID) {
	i, known := n.search(id)
	if !known || !n.peers[i].up {
		return
	}
	p := &n.peers[i]
	if p.heard && n.cur.Promised.By == p.said.Self.Birth { // its attempt is over: no need to wait for it
		n.attempt.holdUntil = min(n.attempt.holdUntil, n.now+n.draw(n.o.Retry))
	}
	p.up, p.heard, p.tell, p.ask, p.stranger = false, false, false, false, ""
	n.step()
}

// Message takes what a peer that is up has sent. What is no message, of a version that is not known, or of another
// cluster is ignored.
func (n *Node) Message(from core.MemberID, b []byte) {
	i, known := n.search(from)
	if !known || !n.peers[i].up {
		return
	}
	p := &n.peers[i]
	s, err := parseStatement(b)
	if err != nil || s.Self.ID != from {
		return
	}
	if s.cluster != n.o.Cluster {
		p.stranger = s.cluster
		return
	}
	if s.ask {
		p.tell = true
	}
	if !p.heard || s.Self != p.said.Self || !p.said.outruns(&s.Kept) {
		p.heard, p.said = true, s
		n.consider(&s)
	}
	n.step()
}

// outruns tells whether what a server kept is later than other, of the same server.
func (k *Kept) outruns(other *Kept) bool {
	if k.Settled != nil || other.Settled != nil {
		return other.Settled == nil
	}
	return cmp.Or(k.Promised.compare(other.Promised), k.Accepted.Ballot.compare(other.Accepted.Ballot)) > 0
}

// Persisted tells that what Ready gave last is durable.
func (n *Node) Persisted() {
	if !n.writing {
		return
	}
	n.writing = false
	news := n.durable.Settled == nil // what is settled changes for nobody else
	n.durable = n.written
	for i := range n.peers {
		p := &n.peers[i]
		p.tell = p.tell || news && p.up
	}
	if n.durable.Settled != nil && !n.concluded {
		n.conclude()
	}
	n.step()
}

// Begun tells that the member of the meta group is durable: a next run resumes.
func (n *Node) Begun() {
	if n.durable.Settled != nil && !n.cur.Begun {
		n.cur.Begun = true
		n.dirty = true
	}
}
