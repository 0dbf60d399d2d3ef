package founding

import (
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// attempt is this server's own ballot, and when it makes the next.
type attempt struct {
	ballot    Ballot // none: there is no attempt
	at        time.Duration
	asked     []Seat        // who was here when it began: only they count, so that nobody born later does
	majority  bool          // is here,
	since     time.Duration // since then
	holdUntil time.Duration // others are let go first
}

// expected is the largest number of servers that anybody is known to expect, and no less than are known.
func (n *Node) expected() int {
	most := max(n.o.Expected, 1+len(n.peers))
	for i := range n.peers {
		most = max(most, n.peers[i].said.expected)
	}
	return most
}

func (n *Node) quorum() int { return n.expected()/2 + 1 }

// present tells whether the peer can take part in a founding.
func (p *peer) present() bool { return p.heard && !p.said.Forgot && p.said.Settled == nil }

// count counts the servers here, this one included, for which yes holds of what they keep durably.
func (n *Node) count(yes func(*Kept) bool) int {
	count := 0
	if n.durable.Self.Birth != 0 && !n.durable.Forgot && yes(&n.durable) {
		count++
	}
	for i := range n.peers {
		if p := &n.peers[i]; p.present() && yes(&p.said.Kept) {
			count++
		}
	}
	return count
}

func anybody(*Kept) bool { return true }

func (n *Node) fresh() bool { return n.cur.Settled == nil }

// step goes on as far as what is known allows.
func (n *Node) step() {
	if n.fresh() {
		n.learn()
	}
	if n.fresh() && !n.cur.Forgot {
		n.pursue()
	}
	n.armRetry()
}

// consider takes what a peer asks for: its own ballot is promised, and what stands in a ballot that nothing forbids
// is agreed to, whoever passes it on.
func (n *Node) consider(s *statement) {
	if !n.fresh() || n.cur.Forgot {
		return
	}
	if s.Promised.By == s.Self.Birth && s.Promised.above(n.cur.Promised) {
		n.cur.Promised = s.Promised
		n.dirty = true
		n.attempt.holdUntil = n.now + n.o.Round + n.draw(n.o.Round)
	}
	a := &s.Accepted
	if a.Founding != nil && !n.cur.Promised.above(a.Ballot) && a.Ballot.above(n.cur.Accepted.Ballot) && slices.Contains(a.Basis, n.cur.Self) {
		n.cur.Promised, n.cur.Accepted = a.Ballot, *a
		n.dirty = true
	}
}

// learn settles when somebody here has settled, or when a majority has agreed in one ballot.
func (n *Node) learn() {
	for i := range n.peers {
		if p := &n.peers[i]; p.heard && p.said.Settled != nil {
			n.settle(p.said.Settled)
			return
		}
	}
	n.learnFrom(&n.durable)
	for i := range n.peers {
		if p := &n.peers[i]; p.heard && n.fresh() {
			n.learnFrom(&p.said.Kept)
		}
	}
}

// learnFrom settles if a majority agrees to what one has agreed to.
func (n *Node) learnFrom(k *Kept) {
	a := k.Accepted
	if a.Founding == nil {
		return
	}
	if n.count(func(k *Kept) bool { return k.Accepted.Ballot == a.Ballot }) >= n.quorum() {
		n.settle(a.Founding)
	}
}

func (n *Node) settle(f *Founding) {
	n.cur.Settled = f
	n.cur.Promised, n.cur.Accepted = Ballot{}, Proposal{}
	n.attempt = attempt{}
	n.dirty = true
}

// conclude makes an outcome of a founding that is durable here.
func (n *Node) conclude() {
	f := n.cur.Settled
	o := &Outcome{Kind: Join, ID: f.ID, Leader: f.Leader}
	switch {
	case n.cur.Begun:
		o.Kind = Resume
	case f.names(n.cur.Self):
		o.Kind = Found
	}
	for _, v := range f.Voters {
		o.Voters = append(o.Voters, v.ID)
	}
	n.outcome, n.concluded = o, true
}

// pursue makes an attempt, or goes on with it.
func (n *Node) pursue() {
	here, a := n.count(anybody), &n.attempt
	if n.durable.Self.Birth == 0 || here < n.quorum() {
		a.ballot, a.majority = Ballot{}, false
		return
	}
	if !a.majority {
		a.majority, a.since = true, n.now
	}
	switch {
	case a.ballot.none():
		if n.now >= n.startAt(here) {
			n.begin()
		}
	case n.outrun():
		n.abandon(n.o.Round / 4)
	case n.now >= a.at+n.o.Round:
		n.abandon(0)
	case n.cur.Accepted.Ballot != a.ballot:
		n.propose()
	}
}

// startAt is when the next attempt is due: the server with the lowest id goes first.
func (n *Node) startAt(here int) time.Duration {
	at := n.attempt.since
	if here < n.expected() {
		at += n.o.Patience
	}
	for i := range n.peers {
		if p := &n.peers[i]; p.present() && p.id < n.o.Self {
			at += n.o.Retry
		}
	}
	return max(at, n.attempt.holdUntil)
}

// nextRound is above all that are known; beyond roundMax there is none.
func (n *Node) nextRound() uint64 {
	round := n.cur.Promised.Round
	for i := range n.peers {
		round = max(round, n.peers[i].said.Promised.Round)
	}
	return round + 1
}

func (n *Node) begin() {
	round := n.nextRound()
	if round > roundMax {
		return
	}
	n.attempt.ballot = Ballot{round, n.cur.Self.Birth}
	n.attempt.at = n.now
	n.attempt.asked = nil
	n.count(func(k *Kept) bool {
		n.attempt.asked = append(n.attempt.asked, k.Self)
		return false
	})
	n.cur.Promised = n.attempt.ballot
	n.dirty = true
}

// outrun tells whether somebody here has promised a later ballot.
func (n *Node) outrun() bool {
	if n.cur.Promised.above(n.attempt.ballot) {
		return true
	}
	return n.count(func(k *Kept) bool { return k.Promised.above(n.attempt.ballot) }) > 0
}

// abandon ends the attempt, and lets others go first for a while.
func (n *Node) abandon(least time.Duration) {
	n.attempt.ballot = Ballot{}
	n.attempt.holdUntil = max(n.attempt.holdUntil, n.now+least+n.draw(n.o.Round))
}

// propose puts a founding forward when enough have promised the ballot: what one of them agreed to in the latest
// ballot, or else a new one of those who promised.
func (n *Node) propose() {
	ballot := n.attempt.ballot
	asked := func(k *Kept) bool { return slices.Contains(n.attempt.asked, k.Self) }
	promised := func(k *Kept) bool { return k.Promised == ballot && asked(k) }
	here, votes := n.count(asked), n.count(promised)
	if votes < n.quorum() || votes < here && n.now < n.attempt.at+n.o.Gather {
		return
	}
	basis := []Seat{}
	latest := Proposal{}
	n.count(func(k *Kept) bool {
		if promised(k) {
			basis = append(basis, k.Self)
			if k.Accepted.Ballot.above(latest.Ballot) {
				latest = k.Accepted
			}
		}
		return false
	})
	//lockstep:total ids differ
	slices.SortFunc(basis, compareSeats)
	f := latest.Founding
	if f == nil {
		f = n.found(basis)
	}
	n.cur.Accepted = Proposal{Ballot: ballot, Basis: basis, Founding: f}
	n.dirty = true
}

// found makes a new founding of those who promised, this server among them.
func (n *Node) found(basis []Seat) *Founding {
	voters := slices.Clone(basis)
	for i := len(voters) - 1; len(voters) > core.MembersMax; i-- {
		if voters[i].ID != n.o.Self {
			voters = slices.Delete(voters, i, i+1)
		}
	}
	return &Founding{ID: drawID(n.o.Rand), Voters: voters, Leader: n.o.Self}
}

func (n *Node) draw(limit time.Duration) time.Duration {
	return time.Duration(n.o.Rand.Int64N(int64(limit)))
}
