package lane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// world is servers in simulation that have lanes, whose connections the test makes.
type world struct {
	t   *testing.T
	sim *clock.Sim
	net *netsim.Sim
}

// machine is one server.
type machine struct {
	w      *world
	who    lane.Peer
	clock  *clock.SimClock
	lane   *lane.Lane
	events []string
	got    []string
	frame  func(from core.MemberID, p []byte) // nil: noted in got
	up     func(p lane.Peer)
	log    []string
}

func (m *machine) Noticef(format string, v ...any) {}
func (m *machine) Errorf(format string, v ...any)  { m.log = append(m.log, fmt.Sprintf(format, v...)) }

func (m *machine) Up(p lane.Peer) {
	m.events = append(m.events, fmt.Sprintf("up %d %s", p.Member, p.ServerID))
	if m.up != nil {
		m.up(p)
	}
}

func (m *machine) Down(id core.MemberID) { m.events = append(m.events, fmt.Sprintf("down %d", id)) }

func (m *machine) Frame(from core.MemberID, p []byte) {
	if m.frame != nil {
		m.frame(from, p)
		return
	}
	m.got = append(m.got, fmt.Sprintf("%d %s", from, p))
}

// took gives the events since the last time.
func (m *machine) took() []string {
	e := m.events
	m.events = nil
	return e
}

func newWorld(t *testing.T, seed uint64) *world {
	sim := clock.NewSim(seed)
	return &world{t: t, sim: sim, net: netsim.NewSim(sim)}
}

// machine starts the server with this number, whose machine is called n and the number.
func (w *world) machine(id core.MemberID, change ...func(*lane.Options)) *machine {
	name := fmt.Sprint("n", id)
	m := &machine{w: w, who: lane.Peer{Member: id, ServerName: name, ServerID: "N" + name}, clock: w.sim.Clock(name)}
	o := lane.DefaultOptions(id)
	for _, f := range change {
		f(&o)
	}
	var err error
	m.lane, err = lane.New(m.clock, m, o)
	require.NoError(w.t, err)
	m.lane.Serve(m)
	return m
}

// end is one end of a connection that is a link.
type end struct {
	m    *machine
	conn netsim.Conn
	link *lane.Link
	err  error
}

func (e *end) Data(p []byte) {
	if e.link != nil {
		e.link.Data(p)
	}
}

func (e *end) Closed(err error) {
	if e.link != nil {
		e.link.Closed(err)
	}
}

func (m *machine) attach(c netsim.Conn, s clock.Strand, who lane.Peer) *end {
	e := &end{m: m, conn: c}
	c.Start(s, e)
	if e.link, e.err = m.lane.Attach(c, s, who, nil); e.err != nil {
		c.Abort(e.err)
	}
	return e
}

// connect makes a connection from a to b, over which they know each other.
func (w *world) connect(a, b *machine) (ea, eb *end) {
	return w.connectAs(a, b, a.who)
}

// connectAs is connect where b takes a for who.
func (w *world) connectAs(a, b *machine, who lane.Peer) (ea, eb *end) {
	sb := b.clock.NewStrand("accept")
	at, err := w.net.Host(b.who.ServerName).Listen(sb, b.who.ServerName+":0", func(c netsim.Conn) { eb = b.attach(c, sb, who) })
	require.NoError(w.t, err)
	sa := a.clock.NewStrand("dial")
	w.net.Host(a.who.ServerName).Dial(sa, at.Addr(), netsim.DialOptions{}, func(c netsim.Conn, err error) {
		require.NoError(w.t, err)
		ea = a.attach(c, sa, b.who)
	})
	w.sim.RunFor(10 * time.Millisecond)
	at.Close()
	return ea, eb
}

// raw makes a connection to m from somebody whose bytes the test writes.
func (w *world) raw(m *machine, who lane.Peer) *stranger {
	sm := m.clock.NewStrand("accept")
	at, err := w.net.Host(m.who.ServerName).Listen(sm, m.who.ServerName+":0", func(c netsim.Conn) { m.attach(c, sm, who) })
	require.NoError(w.t, err)
	s := &stranger{}
	strand := w.sim.Clock("stranger").NewStrand("stranger")
	w.net.Host("stranger").Dial(strand, at.Addr(), netsim.DialOptions{}, func(c netsim.Conn, err error) {
		require.NoError(w.t, err)
		s.conn = c
		c.Start(strand, s)
	})
	w.sim.RunFor(10 * time.Millisecond)
	at.Close()
	return s
}

// stranger speaks to a lane as the test tells.
type stranger struct {
	conn netsim.Conn
	got  []byte
	end  bool
}

func (s *stranger) Data(p []byte) { s.got = append(s.got, p...) }
func (s *stranger) Closed(error)  { s.end = true }

func (s *stranger) send(p ...byte) {
	s.conn.Write(p)
	s.conn.Flush()
}
