package founding

import "time"

// Advance tells the time, which never goes back.
func (n *Node) Advance(now time.Duration) {
	n.now = max(n.now, now)
	if n.retryAt != 0 && n.now >= n.retryAt {
		n.retryAt = 0
		n.repeat()
	}
	n.step()
}

// repeat asks everybody of whom something is needed.
func (n *Node) repeat() {
	for i := range n.peers {
		p := &n.peers[i]
		if n.wants(p) {
			p.tell, p.ask = true, true
			p.asked++
		}
	}
}

// wants tells whether the peer is to be asked again: a server that waits asks all, a settled one those
// that have said nothing, since they might be of another founding.
func (n *Node) wants(p *peer) bool {
	return p.up && (n.durable.Settled == nil || !p.heard && p.asked < silentAsks)
}

// armRetry has the next repetition made, if one is needed.
func (n *Node) armRetry() {
	for i := range n.peers {
		if n.wants(&n.peers[i]) {
			if n.retryAt == 0 {
				n.retryAt = n.now + n.o.Retry + n.draw(n.o.Retry/4+1)
			}
			return
		}
	}
	n.retryAt = 0
}

// Deadline is when Advance is to be called at the latest; 0 is never. A settled server among settled ones has none.
func (n *Node) Deadline() time.Duration {
	next := n.retryAt
	by := func(at time.Duration) {
		if at = max(at, n.now+1); next == 0 || at < next {
			next = at
		}
	}
	a := &n.attempt
	if !n.fresh() || n.cur.Forgot || !a.majority {
		return next
	}
	if a.ballot.none() {
		if n.nextRound() <= roundMax {
			by(n.startAt(n.count(anybody)))
		}
		return next
	}
	by(a.at + n.o.Round)
	if gathered := a.at + n.o.Gather; n.cur.Accepted.Ballot != a.ballot && gathered > n.now {
		by(gathered)
	}
	return next
}

// HasReady tells whether Ready has something.
func (n *Node) HasReady() bool {
	if n.dirty && !n.writing || n.outcome != nil {
		return true
	}
	if n.durable.Self.Birth == 0 {
		return false
	}
	for i := range n.peers {
		if n.peers[i].tell {
			return true
		}
	}
	return false
}

// Ready gives what is to be done. It is valid until the next call; the messages' bytes and what
// Kept and Outcome point to are valid for good.
func (n *Node) Ready() *Ready {
	r := &n.ready
	*r = Ready{Messages: r.Messages[:0], Outcome: n.outcome}
	n.outcome = nil
	if n.dirty && !n.writing {
		n.dirty, n.writing = false, true
		n.written = n.cur
		kept := n.cur
		r.Kept = &kept
	}
	if n.durable.Self.Birth == 0 { // nobody yet
		return r
	}
	for i := range n.peers {
		p := &n.peers[i]
		if !p.tell {
			continue
		}
		s := statement{Kept: n.durable, ask: p.ask, expected: n.o.Expected, cluster: n.o.Cluster}
		r.Messages = append(r.Messages, Message{To: p.id, Data: appendStatement(nil, &s)})
		p.tell, p.ask = false, false
	}
	return r
}
