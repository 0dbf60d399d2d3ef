// Package conformance is what every implementation of netsim.Network must do. The
// real and the simulated network pass the same suite, which keeps the simulated one
// honest.
//
//lockstep:exempt the suite also drives the real network, from goroutines that wait
package conformance

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// World is one implementation under test: a network that listens, one that dials,
// and strands for both.
type World struct {
	Server, Client netsim.Network
	ServerClock    clock.Clock
	ClientClock    clock.Clock
	// Listen is the address to listen on, with port 0.
	Listen string
	// Step runs the next event of a simulated world and is false when there is none.
	// It is nil when the world runs by itself.
	Step func() bool
}

// Factory makes a fresh world for one test.
type Factory func(t *testing.T) World

// Run runs the whole suite.
func Run(t *testing.T, factory Factory) {
	for _, test := range []struct {
		name string
		run  func(*harness)
	}{
		{"Exchange", testExchange},
		{"OrderedAndComplete", testOrderedAndComplete},
		{"ManyWriters", testManyWriters},
		{"Lend", testLend},
		{"FlushDuringTurn", testFlushDuringTurn},
		{"CloseDuringTurn", testCloseDuringTurn},
		{"AbortDuringTurn", testAbortDuringTurn},
		{"LendToSlowPeer", testLendToSlowPeer},
		{"BufferedBeforeFlush", testBufferedBeforeFlush},
		{"CloseSendsWhatIsQueued", testCloseSends},
		{"CloseWithNil", testCloseWithNil},
		{"WritesAfterCloseAreDropped", testWritesAfterClose},
		{"CloseTwice", testCloseTwice},
		{"Abort", testAbort},
		{"AbortBeforeStart", testAbortBeforeStart},
		{"PeerClosedWithUnreadBytes", testPeerClosedUnread},
		{"LateStart", testLateStart},
		{"PauseAndResume", testPauseAndResume},
		{"BackPressure", testBackPressure},
		{"WhenBelow", testWhenBelow},
		{"WriteDeadline", testWriteDeadline},
		{"WriteDeadlineRetry", testWriteDeadlineRetry},
		{"Refused", testRefused},
		{"BadAddress", testBadAddress},
		{"Listener", testListener},
		{"TLS", testTLS},
		{"TLSAfterClearText", testTLSAfterClearText},
		{"TLSSniffed", testTLSSniffed},
		{"TLSWritesDuringHandshake", testTLSWritesDuringHandshake},
		{"TLSPlaintextClient", testTLSPlaintextClient},
		{"TLSClientIdentityMissing", testTLSClientIdentityMissing},
		{"TLSTimeout", testTLSTimeout},
		{"TLSPeerLeaves", testTLSPeerLeaves},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &harness{T: t, World: factory(t), changed: make(chan struct{}, 1)}
			t.Cleanup(h.finish)
			test.run(h)
		})
	}
}

// harness is one test's world and the peers in it.
type harness struct {
	*testing.T
	World
	changed chan struct{} // has a token when a peer's record changed
	mu      sync.Mutex
	peers   []*peer
	strands int
}

// waitMax bounds a wait in the real world; a simulated one is bounded by its events.
const (
	waitMax   = 20 * time.Second
	eventsMax = 2_000_000
)

func (h *harness) note() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// await runs the world until cond holds. cond is called under the harness's lock.
func (h *harness) await(what string, cond func() bool) {
	h.Helper()
	holds := func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return cond()
	}
	if h.Step != nil {
		for range eventsMax {
			if holds() {
				return
			}
			if !h.Step() {
				break
			}
		}
		require.True(h, holds(), "%s: the world came to rest before", what)
		return
	}
	timeout := time.NewTimer(waitMax)
	defer timeout.Stop()
	for !holds() {
		select {
		case <-h.changed:
		case <-timeout.C:
			require.Fail(h, "timed out", "waiting for: %s", what)
		}
	}
}

// do runs fn on s and waits for its end.
func (h *harness) do(s clock.Strand, fn func()) {
	h.Helper()
	done := false
	s.Post(func() {
		fn()
		h.mu.Lock()
		done = true
		h.mu.Unlock()
		h.note()
	})
	h.await("a task on "+s.Name(), func() bool { return done })
}

func (h *harness) strand(c clock.Clock, name string) clock.Strand {
	h.mu.Lock()
	h.strands++
	n := h.strands
	h.mu.Unlock()
	return c.NewStrand(fmt.Sprintf("%s-%d", name, n))
}

// peer is one side of a connection: a Handler that records what it hears.
type peer struct {
	h      *harness
	name   string
	strand clock.Strand
	conn   netsim.Conn

	started bool

	// Guarded by the harness's lock.
	data   []byte
	closed int
	err    error
	after  int // calls after Closed

	onData func(p []byte) // instead of recording; on the strand
}

func (p *peer) Data(b []byte) {
	if len(b) == 0 {
		p.h.Errorf("%s: Data without bytes", p.name)
	}
	p.h.mu.Lock()
	if p.closed > 0 {
		p.after++
	}
	p.h.mu.Unlock()
	if p.onData != nil {
		p.onData(b)
	} else {
		p.record(b)
	}
	p.h.note()
}

func (p *peer) record(b []byte) {
	p.h.mu.Lock()
	p.data = append(p.data, b...)
	p.h.mu.Unlock()
	p.h.note()
}

func (p *peer) Closed(err error) {
	p.h.mu.Lock()
	p.closed++
	p.err = err
	p.h.mu.Unlock()
	p.h.note()
}

// has tells whether p has at least n bytes; for await.
func (p *peer) has(n int) func() bool { return func() bool { return len(p.data) >= n } }

func (p *peer) isClosed() bool { return p.closed > 0 }

// send writes and flushes on the peer's strand.
func (p *peer) send(b ...[]byte) {
	p.h.Helper()
	p.h.do(p.strand, func() {
		p.conn.Write(b...)
		p.conn.Flush()
	})
}

func (h *harness) newPeer(name string, s clock.Strand, c netsim.Conn) *peer {
	p := &peer{h: h, name: name, strand: s, conn: c}
	h.mu.Lock()
	h.peers = append(h.peers, p)
	h.mu.Unlock()
	return p
}

// listen accepts connections and keeps them for take.
type acceptor struct {
	netsim.Listener
	conns []netsim.Conn // under the harness's lock
}

func (h *harness) listen(addr string) *acceptor {
	h.Helper()
	a := &acceptor{}
	s := h.strand(h.ServerClock, "listener")
	l, err := h.Server.Listen(s, addr, func(c netsim.Conn) {
		h.mu.Lock()
		a.conns = append(a.conns, c)
		h.mu.Unlock()
		h.note()
	})
	require.NoError(h, err)
	a.Listener = l
	h.Cleanup(l.Close)
	return a
}

// dial makes a connection and returns both sides, neither started.
func (h *harness) dial(a *acceptor) (client, server *peer) {
	h.Helper()
	cs := h.strand(h.ClientClock, "client")
	var conn netsim.Conn
	var err error
	calls := 0
	h.Client.Dial(cs, a.Addr(), netsim.DialOptions{Timeout: 10 * time.Second}, func(c netsim.Conn, e error) {
		h.mu.Lock()
		conn, err = c, e
		calls++
		h.mu.Unlock()
		h.note()
	})
	h.await("the dial and the accept", func() bool { return calls > 0 && (err != nil || len(a.conns) > 0) })
	require.NoError(h, err)
	h.mu.Lock()
	accepted := a.conns[0]
	a.conns = a.conns[1:]
	h.mu.Unlock()
	client = h.newPeer("client", cs, conn)
	server = h.newPeer("server", h.strand(h.ServerClock, "server"), accepted)
	return client, server
}

func (p *peer) start() {
	p.h.Helper()
	p.started = true
	p.h.do(p.strand, func() { p.conn.Start(p.strand, p) })
}

// pair makes a connection with both sides started.
func (h *harness) pair() (client, server *peer) {
	h.Helper()
	client, server = h.dial(h.listen(h.Listen))
	client.start()
	server.start()
	return client, server
}

// errDone is what tests close with.
var errDone = errors.New("done with it")

// finish ends every connection and holds what is promised of all of them.
func (h *harness) finish() {
	if h.Failed() {
		return
	}
	for _, p := range h.peers {
		if !p.started {
			p.start()
		}
		p.conn.Abort(errDone)
		h.await(p.name+" closed", p.isClosed)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.peers {
		require.Equal(h, 1, p.closed, "%s: Closed is called exactly once", p.name)
		require.Zero(h, p.after, "%s: nothing is called after Closed", p.name)
	}
}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i*7+i/251)%26)
	}
	return b
}
