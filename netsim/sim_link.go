package netsim

import (
	"math/rand/v2"
	"time"
)

// Link says how bytes travel from one machine to another. The zero value carries
// everything at once.
type Link struct {
	// Latency is the least delay one way.
	Latency time.Duration
	// Jitter is the mean of an exponential delay on top.
	Jitter time.Duration
	// Bandwidth is in bytes per second, shared by the link's connections; 0 is no limit.
	Bandwidth int
	// Fragment splits and joins reads at any byte, from 1 B to 64 KiB.
	Fragment bool
}

type simLinkKey struct{ from, to string }

// simLink is one direction between two machines.
type simLink struct {
	net     *Sim
	key     simLinkKey
	id      uint64
	profile Link
	own     bool // profile was set for this link
	rand    *rand.Rand
	busy    time.Duration // until when the bandwidth is used

	cuts       int           // partitions that block it
	clogged    time.Duration // until when it stalls
	burst      time.Duration // most extra delay
	burstUntil time.Duration
}

// simJitterMax cuts the exponential's tail, as a multiple of its mean.
const simJitterMax = 20

func (n *Sim) link(from, to string) *simLink {
	key := simLinkKey{from, to}
	l := n.links[key]
	if l == nil {
		n.nextID++
		l = &simLink{net: n, key: key, id: n.nextID, profile: n.profile}
		if from == to {
			l.profile = Link{Latency: 10 * time.Microsecond, Fragment: n.profile.Fragment}
		}
		l.rand = n.clock.Rand("net/link/" + from + ">" + to)
		n.links[key] = l
		n.order = append(n.order, l)
	}
	return l
}

// SetProfile sets all links that have none of their own, now and later, but for those of a
// machine to itself, which take only Fragment from it.
func (n *Sim) SetProfile(p Link) {
	n.profile = p
	for _, l := range n.order {
		switch {
		case l.own:
		case l.key.from == l.key.to:
			l.profile.Fragment = p.Fragment
		default:
			l.profile = p
		}
	}
}

// SetLink sets the direction from one machine to another on its own.
func (n *Sim) SetLink(from, to string, p Link) {
	l := n.link(from, to)
	l.profile, l.own = p, true
}

// delay draws how long the next segment is on its way.
func (l *simLink) delay() time.Duration {
	d := l.profile.Latency
	if l.profile.Jitter > 0 {
		d += time.Duration(min(l.rand.ExpFloat64(), simJitterMax) * float64(l.profile.Jitter))
	}
	if l.burstUntil > l.net.clock.Now() {
		d += time.Duration(l.rand.Int64N(int64(l.burst) + 1))
	}
	return d
}

// arrival draws when n bytes sent now arrive.
func (l *simLink) arrival(n int) time.Duration {
	sent := l.net.clock.Now()
	if bw := l.profile.Bandwidth; bw > 0 {
		sent = max(sent, l.busy) + time.Duration(int64(n)*int64(time.Second)/int64(bw))
		l.busy = sent
	}
	return sent + l.delay()
}

// blocked tells whether nothing arrives for a reason other than a clog.
func (l *simLink) blocked() bool {
	return l.cuts > 0 || l.net.frozen > 0 && (l.net.hosts[l.key.from].frozen || l.net.hosts[l.key.to].frozen)
}

// cut draws how many of n readable bytes the next read has.
func (l *simLink) cut(n int) int {
	n = min(n, simReadMax)
	if !l.profile.Fragment || n == 1 {
		return n
	}
	// Log-uniform, so that single bytes and whole buffers are both common.
	bits := l.rand.IntN(17)
	return min(n, 1+l.rand.IntN(1<<bits))
}
