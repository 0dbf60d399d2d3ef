package core

import "time"

// pace is how a leader sends to a follower.
type pace uint8

const (
	// probing: one message at a time, until it is known where the logs agree.
	probing pace = iota
	// replicating: ahead of acknowledgements, within the window.
	replicating
	// snapshotting: the log has no more what the follower needs.
	snapshotting
)

func (p pace) String() string {
	return [...]string{"probe", "replicate", "snapshot"}[p]
}

// progress is what a leader knows of a follower.
type progress struct {
	id    MemberID
	life  Life // under which it spoke last
	pace  pace
	match Index // durable there
	next  Index // to be sent
	sent  window

	probed     bool          // probing: sent, and no answer yet
	activeAt   time.Duration // heard of last
	movedAt    time.Duration // sent the first of what is under way, or acknowledged last
	received   Index         // it said that it has, durable or not
	seq        uint64        // newest round of reads that it answered
	commitSent Index
	reading    bool // the Reader is reading for it

	challenge uint64 // to be answered in the present life
	confirmed bool   // it was

	clockKnown  bool
	clockOffset time.Duration

	snapshot transfer
}

// window is what was sent and not acknowledged: a ring of message ends.
type window struct {
	ring        []flight
	from, count int
	bytes       int
}

type flight struct {
	last  Index
	bytes int
}

func (w *window) full(o *Options) bool {
	return w.count >= o.InflightMessagesMax || w.bytes >= o.InflightBytesMax
}

func (w *window) add(last Index, bytes int) {
	if w.count == len(w.ring) {
		ring := make([]flight, max(8, 2*len(w.ring)))
		for i := range w.count {
			ring[i] = w.ring[(w.from+i)%len(w.ring)]
		}
		w.ring, w.from = ring, 0
	}
	w.ring[(w.from+w.count)%len(w.ring)] = flight{last, bytes}
	w.count++
	w.bytes += bytes
}

// acked forgets what ends at or before index.
func (w *window) acked(index Index) {
	for w.count > 0 && w.ring[w.from].last <= index {
		w.bytes -= w.ring[w.from].bytes
		w.from = (w.from + 1) % len(w.ring)
		w.count--
	}
}

func (w *window) empty() { w.from, w.count, w.bytes = 0, 0, 0 }

// probe starts over behind what is known to be there.
func (p *progress) probe(next Index) {
	p.pace, p.probed = probing, false
	p.next = max(next, p.match+1)
	p.sent.empty()
	p.snapshot = transfer{}
}

// replicate goes on from where the logs agree.
func (p *progress) replicate() {
	p.pace, p.probed = replicating, false
	p.next = p.match + 1
	p.sent.empty()
	p.snapshot = transfer{}
}

// adopt starts over with another life of the member, which promised nothing yet. That it is the present one is
// known when it has answered the challenge: a message of an earlier life may have been long under way.
func (p *progress) adopt(l Life, challenge uint64) {
	p.life, p.match, p.received, p.seq = l, 0, 0, 0
	p.clockKnown = false
	p.challenge, p.confirmed = challenge, false
	p.probe(p.next)
}

// Peer is what a leader can tell of another member.
type Peer struct {
	ID      MemberID
	Learner bool
	// Match is the index up to which it holds the log durably.
	Match Index
	// Heard is how long ago it was heard of; while the group sleeps, before it fell asleep.
	Heard time.Duration
	// Present tells that it was heard of lately, or is vouched for, in the life that counts.
	Present bool
	// Snapshot tells that it is being sent one, because the log has no more what it needs.
	Snapshot bool
}

// Peers appends what a leader knows of the other members to dst, ascending. Others know nothing.
func (c *Core) Peers(dst []Peer) []Peer {
	cfg := c.Config()
	for i := range c.peers {
		p := &c.peers[i]
		life, votes := cfg.life(p.id)
		if !votes {
			life = p.life
		}
		dst = append(dst, Peer{
			ID: p.id, Learner: !votes, Match: p.match, Heard: c.unheard(p), Present: c.present(Member{p.id, life}), Snapshot: p.pace == snapshotting,
		})
	}
	return dst
}
