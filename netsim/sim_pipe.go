package netsim

import (
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// simReadMax is the most that one Data gets.
const simReadMax = 64 << 10

// simKeptMax bounds the buffer capacity that a burst leaves behind.
const simKeptMax = 256 << 10

const (
	simPacket = 1460 // bytes that always arrive together
	simPieces = 20   // per second, at most, over a link whose bandwidth is used up
)

// simPipe is one direction of a connection: what the sender's system took and the
// reader has not read.
type simPipe struct {
	pair     *SimPair
	from, to *simConn
	link     *simLink // that the bytes travel
	back     *simLink // that the answers travel

	buf     []byte // buf[head:] is unread; its first arrived bytes have arrived
	head    int
	arrived int
	owed    int // read, and the sender cannot know because back is blocked

	segments []simSegment // in flight, in order
	sentIn   uint64       // the event in which the last of them was sent
	event    *clock.SimEvent

	ended  bool  // the end was sent; what comes after is never seen
	end    error // the end has arrived: what the reader gets after the bytes
	silent bool  // nothing arrives any more
}

// simSegment is n bytes on their way, or the end.
type simSegment struct {
	n   int
	at  time.Duration // earliest arrival, rising along the pipe
	end error
}

func (p *simPipe) unread() int { return len(p.buf) - p.head }

// room is how many bytes the system takes at once.
func (p *simPipe) room() int {
	return max(0, p.pair.net.socketBuffer-p.unread()-p.owed)
}

// send takes a copy of b from the sender.
func (p *simPipe) send(b []byte) {
	p.buf = append(p.buf, b...)
	if p.ended {
		return
	}
	bandwidth := p.link.profile.Bandwidth
	now := p.pair.net.clock.Events()
	if n := len(p.segments); n > 0 && p.sentIn == now && bandwidth == 0 {
		p.segments[n-1].n += len(b)
		return
	}
	p.sentIn = now
	for left := len(b); left > 0; {
		n := left
		if bandwidth > 0 { // a slow link brings a large write in pieces
			n = min(left, max(simPacket, bandwidth/simPieces))
		}
		p.add(simSegment{n: n, at: p.link.arrival(n)})
		left -= n
	}
}

// finish sends the end, once.
func (p *simPipe) finish(end error) {
	if p.ended {
		return
	}
	p.ended = true
	p.add(simSegment{end: end, at: p.link.arrival(0)})
}

func (p *simPipe) add(s simSegment) {
	if n := len(p.segments); n > 0 {
		s.at = max(s.at, p.segments[n-1].at)
	}
	p.segments = append(p.segments, s)
	p.rearm()
}

// rearm makes the next segment arrive, and the answers to what was read.
func (p *simPipe) rearm() {
	if p.owed > 0 && !p.back.blocked() {
		p.owed = 0
		p.from.pumpSoon()
	}
	if len(p.segments) > 0 && !p.silent && !p.event.Armed() {
		p.event.ResetAt(p.segments[0].at)
	}
}

// deliver is the event in which segments arrive.
func (p *simPipe) deliver() {
	now := p.pair.net.clock.Now()
	switch {
	case p.silent, p.link.blocked():
		return // unblock arms it again
	case p.link.clogged > now:
		p.event.ResetAt(p.link.clogged)
		return
	case p.to.lost:
		p.meetRemains()
		return
	}
	done := 0
	for _, s := range p.segments {
		if s.at > now {
			break
		}
		done++
		if s.end != nil {
			p.end = s.end
			continue
		}
		p.fold(s.n)
		p.arrived += s.n
	}
	p.segments = p.segments[:copy(p.segments, p.segments[done:])]
	p.rearm()
	if p.to.gone {
		p.discard()
		return
	}
	p.to.arrived()
}

// fold adds the n bytes that arrive to the trace.
func (p *simPipe) fold(n int) {
	first := p.head + p.arrived
	t := p.pair.net.trace
	t.Fold(uint64(clock.KindNet), p.pair.id, p.to.side, uint64(n))
	t.FoldBytes(p.buf[first : first+n])
	if t.Enabled(clock.LevelMessage) {
		t.Notef(clock.LevelMessage, "net", "%s -> %s: %.200q", p.from.LocalAddr(), p.to.LocalAddr(), p.buf[first:first+n])
	}
}

// meetRemains is the arrival of bytes at a machine that lost the connection with its
// power. If it is up again it answers with a reset, else not at all.
func (p *simPipe) meetRemains() {
	n := p.pair.net
	if n.hosts[p.to.host.name].dead {
		return // Host arms it again
	}
	p.silent = true
	n.count(FaultDeadPeer, p.pair.id)
	p.to.out.finish(errSimReset)
}

// read moves len(b) arrived bytes to b.
func (p *simPipe) read(b []byte) {
	copy(b, p.buf[p.head:])
	p.consume(len(b))
}

// discard reads what has arrived for nobody.
func (p *simPipe) discard() {
	if p.arrived > 0 {
		p.consume(p.arrived)
	}
}

func (p *simPipe) consume(n int) {
	p.head += n
	p.arrived -= n
	switch {
	case p.head == len(p.buf):
		p.buf, p.head = p.buf[:0], 0
		if cap(p.buf) > simKeptMax {
			p.buf = nil
		}
	case p.head > 4096 && p.head > len(p.buf)/2:
		p.buf = p.buf[:copy(p.buf, p.buf[p.head:])]
		p.head = 0
	}
	if p.back.blocked() {
		p.owed += n
		return
	}
	p.from.pumpSoon()
}

// truncate keeps a random prefix of what is in flight.
func (p *simPipe) truncate(r *rand.Rand) {
	flying := 0
	for _, s := range p.segments {
		flying += s.n
	}
	if flying == 0 {
		return
	}
	keep := r.IntN(flying + 1)
	p.buf = p.buf[:p.head+p.arrived+keep]
	segments := p.segments[:0]
	for _, s := range p.segments {
		s.n = min(s.n, keep)
		keep -= s.n
		if s.n > 0 || s.end != nil {
			segments = append(segments, s)
		}
	}
	p.segments = segments
}
