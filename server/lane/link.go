package lane

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// Reasons for a link to end, besides those of its connection.
var (
	// ErrSilent: nothing came for as long as [Options.Silence].
	ErrSilent = errors.New("nothing was heard of the peer")
	// ErrReplaced: the peer has another connection.
	ErrReplaced = errors.New("replaced by a newer connection")
)

// rttInterval is how often the round trip is measured on a link that is never idle.
const rttInterval = time.Second

// lendMin is from which size on a frame is lent to the connection instead of copied.
const lendMin = 4 << 10

// linkState is how far a link has come.
type linkState uint8

const (
	linkWaiting linkState = iota // for the one before it to end
	linkOpen
	linkEnded
)

// Link is a connection between two servers after its handshake. Its fields are the strand's, but for those
// under the lock and what never changes.
type Link struct {
	lane      *Lane
	peer      *peer
	conn      netsim.Conn
	strand    clock.Strand
	timer     clock.Timer
	who       Peer
	beginTask func()

	state  linkState
	turn   bool  // the links before it have ended
	next   *Link // waits for this one to end
	in     reader
	paused bool   // does not read while it waits
	held   []byte // came though it waits
	heard  bool   // something came since the last tick
	quiet  int    // ticks in a row without anything heard
	pinged time.Duration
	stamp  [stampSize]byte // of the last ping
	asked  bool            // its pong has not come

	mu   sync.Mutex
	up   bool
	sent bool // something other than a ping, since the last tick
	head [headSize]byte
	part [2][]byte
}

// send queues a frame and has it sent as far as the peer takes it at once. credit bounds what may wait, 0 is no
// bound. It is false when the link is not open or its credit is spent.
func (k *Link) send(kind byte, p []byte, credit int) bool {
	k.mu.Lock()
	if !k.up || credit > 0 && !k.fits(len(p), credit) {
		k.mu.Unlock()
		return false
	}
	k.sent = k.sent || kind != kindPing
	putHead(&k.head, kind, len(p))
	k.part[0], k.part[1] = k.head[:], p
	lent := false
	if len(p) < lendMin {
		k.conn.Write(k.part[:]...)
	} else {
		k.conn.Write(k.part[:1]...)
		lent = k.conn.Lend(k.part[1:]...)
	}
	k.part[1] = nil
	k.mu.Unlock()
	if lent {
		k.conn.FlushLent()
	} else {
		k.conn.Flush()
	}
	return true
}

func (k *Link) fits(n, credit int) bool {
	queued := k.conn.Buffered()
	return queued == 0 || queued+n <= credit
}

// begin opens the link: those before it have ended.
func (k *Link) begin() {
	k.turn = true
	if k.state == linkEnded {
		k.passOn()
		return
	}
	k.state = linkOpen
	k.mu.Lock()
	k.up = true
	k.mu.Unlock()
	k.lane.opened(k)
	k.lane.log.Noticef("Lane to server %v at %s is up", k.who, k.conn.RemoteAddr())
	k.lane.handler.Up(k.who)
	k.heard = true
	k.tick() // the round trip is known soon
	if !k.paused || k.state != linkOpen {
		return
	}
	held := k.held
	k.paused, k.held = false, nil
	k.conn.Resume()
	k.Data(held)
}

// Data takes what came over the connection. It runs on the strand.
func (k *Link) Data(p []byte) {
	switch k.state {
	case linkWaiting:
		k.held = append(k.held, p...)
		return
	case linkEnded:
		return
	}
	k.heard = true
	for len(p) > 0 && k.state == linkOpen {
		f, rest, ok, err := k.in.next(p)
		if err != nil {
			k.lane.log.Errorf("Lane to server %v: %v", k.who, err)
			k.end(err)
			return
		}
		if p = rest; !ok {
			return
		}
		k.take(f)
	}
}

// take carries out what one frame says.
func (k *Link) take(f frame) {
	switch f.kind {
	case kindFrame:
		k.peer.count.framesIn.Add(1)
		k.peer.count.bytesIn.Add(uint64(len(f.payload)))
		k.lane.handler.Frame(k.who.Member, f.payload)
	case kindPing:
		k.send(kindPong, f.payload, 0)
	case kindPong:
		if k.asked && string(f.payload) == string(k.stamp[:]) {
			k.asked = false
			k.peer.rtt.Store(int64(max(k.lane.clock.Monotonic()-k.pinged, 1)))
		}
	}
}

// tick runs once a ping interval: it ends a link whose peer is silent, and has the peer hear something.
func (k *Link) tick() {
	if k.state != linkOpen {
		return
	}
	if k.quiet++; k.heard {
		k.heard, k.quiet = false, 0
	}
	if k.quiet >= k.lane.quietMax {
		k.peer.count.silences.Add(1)
		k.end(ErrSilent)
		return
	}
	k.mu.Lock()
	idle := !k.sent
	k.sent = false
	k.mu.Unlock()
	if now := k.lane.clock.Monotonic(); idle || now-k.pinged >= rttInterval {
		k.pinged, k.asked = now, true
		binary.LittleEndian.PutUint64(k.stamp[:], uint64(now))
		k.send(kindPing, k.stamp[:], 0)
	}
	k.timer.Reset(k.lane.o.PingInterval)
}

// retire ends the link for the sake of another, which begins when this one has ended.
func (k *Link) retire(next *Link) {
	k.next = next
	k.end(ErrReplaced)
	k.passOn()
}

// Closed tells of the connection's end. It runs on the strand.
func (k *Link) Closed(err error) { k.end(err) }

// end closes the link, once.
func (k *Link) end(why error) {
	if k.state == linkEnded {
		return
	}
	was := k.state
	k.state, k.held, k.in = linkEnded, nil, reader{}
	k.timer.Stop()
	k.mu.Lock()
	k.up = false
	k.mu.Unlock()
	k.conn.Abort(why)
	if was == linkOpen {
		k.lane.ended(k)
		k.lane.log.Noticef("Lane to server %v is down: %v", k.who, why)
		k.lane.handler.Down(k.who.Member)
	}
	k.passOn()
}

// passOn lets the next link begin once this one and those before it have ended.
func (k *Link) passOn() {
	if !k.turn || k.state != linkEnded {
		return
	}
	k.lane.leave(k)
	if next := k.next; next != nil {
		k.next = nil
		next.strand.Post(next.beginTask)
	}
}
