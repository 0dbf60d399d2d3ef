package netsim_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// fatal is what both rapid.T and testing.T can do.
type fatal interface{ Fatalf(string, ...any) }

// simSide is one side of a connection in the property test. It knows what its peer
// sent, since every byte follows from the sender's stream and its offset.
type simSide struct {
	t        fatal
	conn     netsim.Conn
	host     string
	stream   uint64
	peer     *simSide
	sent     int
	received int
	closed   int
	err      error
	ended    bool // Close or Abort was called
}

func streamByte(stream uint64, i int) byte {
	x := (stream + uint64(i)) * 0x9e3779b97f4a7c15
	return byte(x >> 56)
}

func (s *simSide) Data(p []byte) {
	if s.closed > 0 {
		s.t.Fatalf("%s: Data after Closed", s.host)
	}
	if len(p) == 0 {
		s.t.Fatalf("%s: Data without bytes", s.host)
	}
	for i, b := range p {
		if want := streamByte(s.peer.stream, s.received+i); b != want {
			s.t.Fatalf("%s: byte %d is %x, sent was %x", s.host, s.received+i, b, want)
		}
	}
	s.received += len(p)
	if s.received > s.peer.sent {
		s.t.Fatalf("%s: %d bytes of %d", s.host, s.received, s.peer.sent)
	}
}

func (s *simSide) Closed(err error) {
	s.closed++
	s.err = err
	if s.closed > 1 {
		s.t.Fatalf("%s: Closed again", s.host)
	}
}

func (s *simSide) write(n int) {
	p := make([]byte, n)
	for i := range p {
		p[i] = streamByte(s.stream, s.sent+i)
	}
	if n%2 == 0 {
		s.conn.Write(p[:n/2], p[n/2:])
		s.conn.Flush()
	} else if s.conn.Lend(p) {
		s.conn.Flush()
		s.conn.FlushLent()
		clear(p)
	} else {
		clear(p) // copied
		s.conn.Flush()
	}
	if !s.ended && s.closed == 0 {
		s.sent += n
	}
}

// simNet is a network of three machines, each of which listens.
type simNet struct {
	t          fatal
	world      *clock.Sim
	net        *netsim.Sim
	hosts      []string
	sides      []*simSide
	dialing    map[string]*simSide // by the dialer's address
	partitions []*netsim.Partition
	pairs      []*netsim.SimPair
	streams    uint64
}

func newSimNet(t fatal, seed uint64) *simNet {
	w := clock.NewSim(seed)
	n := &simNet{t: t, world: w, net: netsim.NewSim(w), hosts: []string{"a", "b", "c"},
		dialing: make(map[string]*simSide)}
	n.net.SetSocketBuffer(20_000)
	n.net.SetProfile(netsim.Link{Latency: time.Millisecond, Jitter: 5 * time.Millisecond, Fragment: seed%4 != 0, Bandwidth: int(seed%3) * 1_000_000})
	for _, h := range n.hosts {
		n.boot(h)
	}
	return n
}

func (n *simNet) boot(host string) {
	c := n.world.Clock(host)
	s := c.NewStrand("listener")
	_, err := n.net.Host(host).Listen(s, host+":4222", func(conn netsim.Conn) {
		n.start(c, host, conn, conn.RemoteAddr())
	})
	if err != nil {
		n.t.Fatalf("listen: %v", err)
	}
}

// start starts one side and finds its peer by the dialer's address.
func (n *simNet) start(c *clock.SimClock, host string, conn netsim.Conn, key string) {
	n.streams++
	s := &simSide{t: n.t, conn: conn, host: host, stream: n.streams << 32}
	if other := n.dialing[key]; other != nil {
		s.peer, other.peer = other, s
	} else {
		// The peer may never get to know, and bytes that never were cannot be received.
		s.peer = &simSide{}
		n.dialing[key] = s
	}
	n.sides = append(n.sides, s)
	conn.Start(c.NewStrand("conn"), s)
}

func (n *simNet) dial(from, to string) {
	c := n.world.Clock(from)
	n.net.Host(from).Dial(c.NewStrand("dialer"), to+":4222", netsim.DialOptions{Timeout: time.Minute}, func(conn netsim.Conn, err error) {
		if err == nil {
			n.start(c, from, conn, conn.LocalAddr())
		}
	})
}

// restart kills a machine and starts it again.
func (n *simNet) restart(host string, power bool) {
	n.world.Clock(host).Kill()
	if power {
		n.net.PowerLoss(host)
	} else {
		n.net.Kill(host)
	}
	for _, s := range n.sides {
		if s.host == host && s.closed == 0 {
			s.closed, s.err = 1, errors.New("killed with its machine") // Closed would be one too many
			s.ended = true
			s.conn.Write([]byte("from the grave"))
			s.conn.Flush()
		}
	}
	n.boot(host)
}

// TestSimStreams holds, whatever happens to the network: what is received is a prefix of
// what was sent, Closed comes once and last, and nothing is lost while nothing breaks.
func TestSimStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newSimNet(t, rapid.Uint64().Draw(t, "seed"))
		host := rapid.SampledFrom(n.hosts)
		side := func(t *rapid.T) *simSide {
			if len(n.sides) == 0 {
				t.Skip("no connection")
			}
			return n.sides[rapid.IntRange(0, len(n.sides)-1).Draw(t, "side")]
		}
		pair := func(t *rapid.T) *netsim.SimPair {
			n.pairs = n.net.Pairs(n.pairs[:0])
			if len(n.pairs) == 0 {
				t.Skip("no connection")
			}
			return n.pairs[rapid.IntRange(0, len(n.pairs)-1).Draw(t, "pair")]
		}
		flip := rapid.Bool()
		millis := func(t *rapid.T, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(t, "ms")) * time.Millisecond
		}
		dial := func(t *rapid.T) { n.dial(host.Draw(t, "from"), host.Draw(t, "to")) }
		write := func(t *rapid.T) { side(t).write(rapid.IntRange(1, 30_000).Draw(t, "n")) }
		run := func(t *rapid.T) { n.world.RunFor(millis(t, 200)) }
		actions := map[string]func(*rapid.T){
			"dial": dial, "dial too": dial,
			"write": write, "write too": write, "write three": write,
			"run": run, "run too": run,
			"close": func(t *rapid.T) {
				s := side(t)
				s.ended = true
				s.conn.Close(nil)
			},
			"abort": func(t *rapid.T) {
				s := side(t)
				s.ended = true
				s.conn.Abort(errors.New("aborted"))
			},
			"pause":  func(t *rapid.T) { side(t).conn.Pause() },
			"resume": func(t *rapid.T) { side(t).conn.Resume() },
			"reset":  func(t *rapid.T) { n.net.Reset(pair(t)) },
			"half-open": func(t *rapid.T) {
				n.net.HalfOpen(pair(t), flip.Draw(t, "client"))
			},
			"slow reader": func(t *rapid.T) { n.net.SlowReader(pair(t), flip.Draw(t, "client"), millis(t, 5000)) },
			"clog":        func(t *rapid.T) { n.net.Clog(host.Draw(t, "from"), host.Draw(t, "to"), millis(t, 5000)) },
			"burst": func(t *rapid.T) {
				n.net.Burst(host.Draw(t, "from"), host.Draw(t, "to"), millis(t, 2000), millis(t, 1000))
			},
			"partition": func(t *rapid.T) {
				n.partitions = append(n.partitions, n.net.Partition([]string{host.Draw(t, "from")}, n.hosts, flip.Draw(t, "one way")))
			},
			"heal": func(*rapid.T) { n.heal() },
			"freeze": func(t *rapid.T) {
				h := host.Draw(t, "host")
				n.net.Freeze(h)
				n.world.RunFor(millis(t, 1000))
				n.net.Thaw(h)
			},
			"pause machine": func(t *rapid.T) {
				c := n.world.Clock(host.Draw(t, "host"))
				c.Pause()
				n.world.RunFor(millis(t, 1000))
				c.Resume()
			},
			"restart": func(t *rapid.T) { n.restart(host.Draw(t, "host"), flip.Draw(t, "power loss")) },
		}
		for range 4 { // longer runs than one Repeat gives
			t.Repeat(actions)
		}
		n.heal()
		for _, s := range n.sides {
			s.conn.Resume()
		}
		n.world.RunFor(10 * time.Minute)
		for _, s := range n.sides {
			if s.ended && s.closed == 0 {
				t.Fatalf("%s: closed, and Closed never came", s.host)
			}
			if s.closed > 0 || s.peer.conn == nil || s.peer.closed > 0 {
				continue
			}
			if s.conn.Buffered() > 0 || s.peer.received != s.sent {
				t.Fatalf("%s to %s: %d bytes sent over a whole connection, %d received, %d buffered",
					s.conn.LocalAddr(), s.conn.RemoteAddr(), s.sent, s.peer.received, s.conn.Buffered())
			}
		}
	})
}

func (n *simNet) heal() {
	for _, p := range n.partitions {
		p.Heal()
	}
	n.partitions = n.partitions[:0]
}

// TestSimRunsAreEqual runs one seed twice through every kind of fault.
func TestSimRunsAreEqual(t *testing.T) {
	run := func(seed uint64) (hash, events, faults uint64) {
		n := newSimNet(t, seed)
		n.net.SetConnectFaults(0.1, 0.3, time.Second)
		r := n.world.Rand("test")
		pick := func() string { return n.hosts[r.IntN(len(n.hosts))] }
		for range 400 {
			pairs := n.net.Pairs(nil)
			switch k := r.IntN(24); {
			case k < 5:
				n.dial(pick(), pick())
			case k < 13 && len(n.sides) > 0:
				n.sides[r.IntN(len(n.sides))].write(1 + r.IntN(20_000))
			case k == 13 && len(pairs) > 0:
				n.net.Reset(pairs[r.IntN(len(pairs))])
			case k == 14 && len(pairs) > 0:
				n.net.HalfOpen(pairs[r.IntN(len(pairs))], r.IntN(2) == 0)
			case k == 15 && len(pairs) > 0:
				n.net.SlowReader(pairs[r.IntN(len(pairs))], r.IntN(2) == 0, time.Second)
			case k == 16:
				n.net.Clog(pick(), pick(), time.Second)
			case k == 17:
				n.net.Burst(pick(), pick(), time.Second, time.Second)
			case k == 18:
				n.partitions = append(n.partitions, n.net.Partition([]string{pick()}, n.hosts, r.IntN(2) == 0))
			case k == 19:
				n.restart(pick(), r.IntN(2) == 0)
			case k == 20:
				n.heal()
			case k == 21:
				h := pick()
				n.net.Freeze(h)
				n.world.RunFor(100 * time.Millisecond)
				n.net.Thaw(h)
			default:
				n.world.RunFor(time.Duration(r.IntN(int(500 * time.Millisecond))))
			}
		}
		n.heal()
		n.world.RunFor(time.Minute)
		for _, f := range netsim.Faults() {
			faults += n.net.Count(f)
			if n.net.Count(f) == 0 {
				t.Logf("seed %d: no %s", seed, f)
			}
		}
		return n.world.Trace().Hash(), n.world.Events(), faults
	}
	hashes := make(map[uint64]bool)
	for seed := range uint64(6) {
		h1, e1, f1 := run(seed)
		h2, e2, f2 := run(seed)
		if h1 != h2 || e1 != e2 || f1 != f2 {
			t.Fatalf("seed %d: two runs differ: hash %x and %x, %d and %d events, %d and %d faults", seed, h1, h2, e1, e2, f1, f2)
		}
		if f1 < 50 {
			t.Fatalf("seed %d: only %d faults", seed, f1)
		}
		hashes[h1] = true
	}
	if len(hashes) != 6 {
		t.Fatalf("%d different runs of 6 seeds", len(hashes))
	}
}
