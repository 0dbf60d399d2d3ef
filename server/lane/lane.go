// Package lane carries the frames of consensus between the servers of a cluster, over connections of
// their own: what clients have on the routes delays none of it.
//
// A [Lane] knows the other servers by their member numbers, and each connection that has ended its handshake
// is a [Link]. Package cluster makes the connections, judges who comes, and gives the bytes that arrive to the
// link, on the connection's strand; it is there that the [Handler] is called. [Lane.Send] may be called from any
// strand: what it shares with the link is the connection's queue and a few flags, which hide their lock. The
// lock is held across [netsim.Conn.Write], which calls nothing back, and across no other call.
//
// # On the wire
//
// The side with the lower member number dials the other's route port, reads the INFO, and says `LANE {json}` where
// a route would say CONNECT. The other side answers with a LANE line of its own, or with -ERR and the end of
// the connection. After these lines both sides send frames:
//
//	length   4 bytes, little endian: of the payload, at most FrameMax
//	kind     1 byte: 1 frame, 2 ping, 3 pong
//	payload  a frame's bytes; 8 bytes of a ping, which its pong repeats
//
// # Invariants
//
//   - A member has one open link at most; the handler hears Up before its first frame and Down after its last.
//   - Frames of one link arrive in order, each once, whole. What was queued when a link ends may be lost.
//   - Of two live servers of different names that claim one number, the first has it and the second is refused.
package lane

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Version of what is spoken after the handshake.
const Version = 1

// membersMax bounds how many members are known: beyond it those that are not connected are forgotten.
const membersMax = 1024

// Log is where a lane tells what happens to it.
type Log interface {
	Noticef(format string, v ...any)
	Errorf(format string, v ...any)
}

// MemberID is the number of a server, as consensus has it.
type MemberID = core.MemberID

// Peer is another server.
type Peer struct {
	Member     core.MemberID
	ServerName string
	ServerID   string // of the process: another one after a restart
}

// String names the server for a person.
func (p Peer) String() string {
	return fmt.Sprintf("%q (%s), member %d", p.ServerName, p.ServerID, p.Member)
}

// Handler is told of the other servers. Of one member it is called by one strand at a time, of several in
// parallel.
type Handler interface {
	// Up tells that frames can be sent to a member, and that it may send some. It runs before the member's
	// first frame.
	Up(p Peer)
	// Down tells that the member is not reached any more: what was sent last may not have arrived. After a
	// restart of the other server, Up follows.
	Down(id core.MemberID)
	// Frame has what a member sent. p is valid during the call only.
	Frame(from core.MemberID, p []byte)
}

// Options tune a lane. Start from [DefaultOptions].
type Options struct {
	// Self is the number of this server, not 0. No other server of the cluster has it.
	Self core.MemberID
	// PingInterval is how often a side makes sure that something was sent: after two of them at the latest
	// the peer has heard something. Above zero.
	PingInterval time.Duration
	// Silence ends a link over which nothing came for so long. It is counted in ping intervals that this
	// server lived through, so that a pause of its own is not taken for the peer's, and is at least three
	// of them.
	Silence time.Duration
	// Credit is how many bytes may wait for a peer; more are not taken. A single frame may exceed it where
	// nothing waits. Above zero.
	Credit int
}

// DefaultOptions are those of the server with this number.
func DefaultOptions(self core.MemberID) Options {
	return Options{Self: self, PingInterval: 200 * time.Millisecond, Silence: time.Second, Credit: 64 << 20}
}

// Validate tells all that is wrong with the options.
func (o *Options) Validate() error {
	var errs []error
	if o.Self == 0 {
		errs = append(errs, errors.New("member number 0 is nobody's"))
	}
	if o.PingInterval <= 0 {
		errs = append(errs, fmt.Errorf("ping interval %v is not above zero", o.PingInterval))
	}
	if o.Silence < 3*o.PingInterval {
		errs = append(errs, fmt.Errorf("silence %v is below three ping intervals (%v)", o.Silence, 3*o.PingInterval))
	}
	if o.Credit <= 0 {
		errs = append(errs, fmt.Errorf("credit of %d bytes is not above zero", o.Credit))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("lane: %w", errors.Join(errs...))
}

// Lane has the links to the other servers. Its methods may be called from any strand.
type Lane struct {
	o        Options
	clock    clock.Clock
	log      Log
	handler  Handler
	quietMax int // ping intervals without anything heard

	peers   atomic.Pointer[[]*peer] // by number; replaced, never changed
	unknown atomic.Uint64           // frames for members that never were connected

	mu   sync.Mutex // of what follows, and of the peers' own; held across no call out
	gone Stats      // of members that are not known any more
}

// peer is a member, connected or not.
type peer struct {
	id    core.MemberID
	open  atomic.Pointer[Link] // what Send writes to
	count counters
	rtt   atomic.Int64

	// Under the lane's lock.
	who    Peer
	addr   string
	up     bool
	since  time.Time // wall: since when it is up, or down
	newest *Link     // the last one whose predecessors and itself have not ended
}

// Stats count frames, and the bytes of their payloads.
type Stats struct {
	FramesOut, BytesOut uint64
	FramesIn, BytesIn   uint64
	Dropped             uint64 // frames that Send did not take
	Connects            uint64 // how often members came up
	Silences            uint64 // links that ended because nothing came
}

func (s *Stats) add(o Stats) {
	s.FramesOut += o.FramesOut
	s.BytesOut += o.BytesOut
	s.FramesIn += o.FramesIn
	s.BytesIn += o.BytesIn
	s.Dropped += o.Dropped
	s.Connects += o.Connects
	s.Silences += o.Silences
}

// counters are Stats while they are counted.
type counters struct {
	framesOut, bytesOut, framesIn, bytesIn, dropped, connects, silences atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		FramesOut: c.framesOut.Load(), BytesOut: c.bytesOut.Load(), FramesIn: c.framesIn.Load(), BytesIn: c.bytesIn.Load(),
		Dropped: c.dropped.Load(), Connects: c.connects.Load(), Silences: c.silences.Load(),
	}
}

// New makes the lane of a server. [Lane.Serve] comes next.
func New(clk clock.Clock, log Log, o Options) (*Lane, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	l := &Lane{o: o, clock: clk, log: log}
	l.quietMax = int((o.Silence + o.PingInterval - 1) / o.PingInterval)
	l.peers.Store(new([]*peer))
	return l, nil
}

// Serve says who is told of the other servers. It is called once, before the cluster listens.
func (l *Lane) Serve(h Handler) { l.handler = h }

// Self is this server's number.
func (l *Lane) Self() core.MemberID { return l.o.Self }

// find gives a member that is known, or nil.
func (l *Lane) find(id core.MemberID) *peer {
	for _, p := range *l.peers.Load() {
		if p.id == id {
			return p
		}
	}
	return nil
}

// Send queues a frame of at most [FrameMax] bytes and has it sent as far as the peer takes it at once; p is not
// kept. What cannot be sent is dropped, and false tells of it: the member is not connected, or has too much
// waiting already.
func (l *Lane) Send(to core.MemberID, p []byte) bool {
	pr := l.find(to)
	if pr == nil {
		l.unknown.Add(1)
		return false
	}
	k := pr.open.Load()
	if k == nil || len(p) > FrameMax || !k.send(kindFrame, p, l.o.Credit) {
		pr.count.dropped.Add(1)
		return false
	}
	pr.count.framesOut.Add(1)
	pr.count.bytesOut.Add(uint64(len(p)))
	return true
}

// Stats of all members since the start.
func (l *Lane) Stats() Stats {
	l.mu.Lock()
	s := l.gone
	l.mu.Unlock()
	for _, p := range *l.peers.Load() {
		s.add(p.count.stats())
	}
	s.Dropped += l.unknown.Load()
	return s
}

// PeerInfo is what monitoring shows of a member.
type PeerInfo struct {
	Peer
	Up      bool
	Since   time.Time // wall: since when it is up, or down
	Address string    // host:port of the present or last connection
	RTT     time.Duration
	Queued  int // bytes that wait for it
	Stats   Stats
}

// Peers lists the members that are or were connected, by number.
func (l *Lane) Peers() []PeerInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := *l.peers.Load()
	all := make([]PeerInfo, len(known))
	for i, p := range known {
		all[i] = PeerInfo{Peer: p.who, Up: p.up, Since: p.since, Address: p.addr, Stats: p.count.stats()}
		if k := p.open.Load(); k != nil && p.up {
			all[i].RTT, all[i].Queued = time.Duration(p.rtt.Load()), k.conn.Buffered()
		}
	}
	return all
}

// IsUp tells whether frames for a member are taken.
func (l *Lane) IsUp(id core.MemberID) bool {
	_, up := l.Present(id)
	return up
}

// Present tells which server is up as a member, if any is.
func (l *Lane) Present(id core.MemberID) (who Peer, up bool) {
	if p := l.find(id); p != nil {
		if k := p.open.Load(); k != nil {
			return k.who, true
		}
	}
	return Peer{}, false
}

// Claim tells why a server cannot have the number that it says it has; nil when it can.
func (l *Lane) Claim(who Peer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claim(who)
}

func (l *Lane) claim(who Peer) error {
	if who.Member == l.o.Self {
		return fmt.Errorf("server %q (%s) claims member number %d, which is this server's", who.ServerName, who.ServerID, who.Member)
	}
	if p := l.find(who.Member); p != nil && p.up && p.who.ServerName != who.ServerName {
		return fmt.Errorf("server %q (%s) claims member number %d, which server %q (%s) has",
			who.ServerName, who.ServerID, who.Member, p.who.ServerName, p.who.ServerID)
	}
	return nil
}

// Attach makes a link of a connection whose other side has proved to be who. It replaces the one that the
// member had. greeting is sent before all else. The caller is on strand s, which the connection was started on,
// and passes on what happens to it.
func (l *Lane) Attach(conn netsim.Conn, s clock.Strand, who Peer, greeting []byte) (*Link, error) {
	if l.handler == nil {
		return nil, errors.New("lane: nobody serves it yet")
	}
	k := &Link{lane: l, conn: conn, strand: s, who: who}
	k.timer = s.NewTimer(k.tick)
	k.beginTask = k.begin
	old, err := l.enter(k)
	if err != nil {
		return nil, err
	}
	if len(greeting) > 0 {
		conn.Write(greeting)
		conn.Flush()
	}
	if old == nil {
		k.begin()
		return k, nil
	}
	k.paused = true
	conn.Pause()
	old.strand.Post(func() { old.retire(k) })
	return k, nil
}

// enter makes k the newest link of its member, and gives the one it follows.
func (l *Lane) enter(k *Link) (old *Link, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.claim(k.who); err != nil {
		return nil, err
	}
	p := l.find(k.who.Member)
	if p == nil {
		if p, err = l.know(k.who); err != nil {
			return nil, err
		}
	}
	k.peer = p
	old, p.newest = p.newest, k
	return old, nil
}

// know adds a member.
func (l *Lane) know(who Peer) (*peer, error) {
	all := slices.Clone(*l.peers.Load())
	if len(all) >= membersMax {
		i := longestDown(all)
		if i < 0 {
			return nil, fmt.Errorf("lane: %d members are connected, and no more than that can be", len(all))
		}
		l.gone.add(all[i].count.stats())
		all = slices.Delete(all, i, i+1)
	}
	p := &peer{id: who.Member, who: who}
	i, _ := slices.BinarySearchFunc(all, who.Member, func(o *peer, id core.MemberID) int {
		switch {
		case o.id < id:
			return -1
		case o.id > id:
			return 1
		}
		return 0
	})
	all = slices.Insert(all, i, p)
	l.peers.Store(&all)
	return p, nil
}

// longestDown finds the member that has been without a link for longest, or -1.
func longestDown(all []*peer) int {
	found := -1
	for i, p := range all {
		if p.newest == nil && (found < 0 || p.since.Before(all[found].since)) {
			found = i
		}
	}
	return found
}

// opened notes that a member came up; ended that it went down.
func (l *Lane) opened(k *Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := k.peer
	p.who, p.addr, p.up, p.since = k.who, k.conn.RemoteAddr(), true, l.clock.Now()
	p.rtt.Store(0)
	p.count.connects.Add(1)
	p.open.Store(k)
}

func (l *Lane) ended(k *Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.peer.up, k.peer.since = false, l.clock.Now()
	k.peer.open.Store(nil)
}

// leave makes k not the newest link any more.
func (l *Lane) leave(k *Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.peer.newest == k {
		k.peer.newest = nil
	}
}
