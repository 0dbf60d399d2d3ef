package lane_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

func TestFramesArriveInOrderAndWhole(t *testing.T) {
	w := newWorld(t, 1)
	w.net.SetProfile(netsim.Link{Latency: time.Millisecond, Jitter: time.Millisecond, Fragment: true})
	a, b := w.machine(1), w.machine(2)
	require.False(t, a.lane.Send(2, []byte("too early")))
	w.connect(a, b)
	require.Equal(t, []string{"up 2 Nn2"}, a.took())
	require.Equal(t, []string{"up 1 Nn1"}, b.took())

	var want, back []string
	for i := range 200 {
		p := []byte(fmt.Sprint(i, strings.Repeat("x", i*i%20000)))
		want = append(want, "1 "+string(p))
		require.True(t, a.lane.Send(2, p))
		clear(p) // it is not kept
		back = append(back, fmt.Sprint("2 ", i))
		require.True(t, b.lane.Send(1, []byte(fmt.Sprint(i))))
	}
	require.True(t, a.lane.Send(2, nil))
	w.sim.RunFor(5 * time.Second)
	require.Equal(t, append(want, "1 "), b.got)
	require.Equal(t, back, a.got)
	require.Empty(t, a.took())

	p := a.lane.Peers()[0]
	require.True(t, p.Up)
	require.Equal(t, b.who, p.Peer)
	require.Zero(t, p.Queued)
	require.Less(t, p.RTT, 20*time.Millisecond)
	require.GreaterOrEqual(t, p.RTT, 2*time.Millisecond)
	require.EqualValues(t, 201, p.Stats.FramesOut)
	require.EqualValues(t, 200, p.Stats.FramesIn)
	require.EqualValues(t, 1, p.Stats.Connects)
	require.EqualValues(t, 1, a.lane.Stats().Dropped)
	require.Equal(t, b.lane.Stats().BytesIn, a.lane.Stats().BytesOut)
}

// TestUpMaySend: what Up sends is taken, and arrives after the other side's Up.
func TestUpMaySend(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.machine(1), w.machine(2)
	a.up = func(p lane.Peer) { require.True(t, a.lane.Send(p.Member, []byte("hello"))) }
	b.up = func(lane.Peer) { require.Empty(t, b.got) }
	w.connect(a, b)
	require.Equal(t, []string{"1 hello"}, b.got)
}

func TestSilence(t *testing.T) {
	w := newWorld(t, 3)
	a, b := w.machine(1), w.machine(2)
	w.connect(a, b)
	a.took()
	w.sim.RunFor(time.Minute)
	require.Empty(t, a.took(), "an idle lane stays up")

	part := w.net.Partition([]string{"n1"}, []string{"n2"}, false)
	w.sim.RunFor(600 * time.Millisecond)
	require.True(t, a.lane.IsUp(2))
	w.sim.RunFor(700 * time.Millisecond)
	require.Equal(t, []string{"down 2"}, a.took())
	require.False(t, a.lane.Send(2, []byte("x")))
	require.EqualValues(t, 1, a.lane.Stats().Silences)
	require.False(t, a.lane.Peers()[0].Up)
	part.Heal()
	w.sim.RunFor(time.Second)
	require.Equal(t, []string{"up 1 Nn1", "down 1"}, b.took())

	w.connect(a, b)
	require.Equal(t, []string{"up 2 Nn2"}, a.took())
	require.EqualValues(t, 2, a.lane.Stats().Connects)
}

// TestSilenceOneWay: the side that hears nothing ends the link, and so does then the other.
func TestSilenceOneWay(t *testing.T) {
	w := newWorld(t, 4)
	a, b := w.machine(1), w.machine(2)
	w.connect(a, b)
	w.net.Partition([]string{"n1"}, []string{"n2"}, true)
	w.sim.RunFor(1500 * time.Millisecond)
	require.Equal(t, []string{"up 1 Nn1", "down 1"}, b.took())
	require.Equal(t, []string{"up 2 Nn2", "down 2"}, a.took())
}

// TestOwnPauseIsNotThePeers: a server that was paused finds what came meanwhile before it judges.
func TestOwnPauseIsNotThePeers(t *testing.T) {
	w := newWorld(t, 5)
	quick := func(o *lane.Options) { o.Silence = time.Hour }
	a, b := w.machine(1, quick), w.machine(2)
	w.connect(a, b)
	b.took()
	b.clock.Pause()
	w.sim.RunFor(30 * time.Second)
	b.clock.Resume()
	w.sim.RunFor(5 * time.Second)
	require.Empty(t, b.took())
	require.True(t, b.lane.IsUp(1))
}

func TestEndOfAConnection(t *testing.T) {
	w := newWorld(t, 6)
	a, b := w.machine(1), w.machine(2)
	ea, _ := w.connect(a, b)
	ea.conn.Abort(netsim.ErrClosed)
	w.sim.RunFor(100 * time.Millisecond)
	require.Equal(t, []string{"up 2 Nn2", "down 2"}, a.took())
	require.Equal(t, []string{"up 1 Nn1", "down 1"}, b.took())
}

// TestNewProcess: the connection of a restarted server replaces the one of its former life, which had not
// ended yet.
func TestNewProcess(t *testing.T) {
	w := newWorld(t, 7)
	a, b := w.machine(1), w.machine(2)
	w.connect(a, b)
	w.net.Partition([]string{"n1"}, []string{"n2"}, false).Heal()
	a2 := w.machine(1)
	a2.who.ServerID = "Nagain"
	_, eb := w.connect(a2, b)
	require.NoError(t, eb.err)
	require.Equal(t, []string{"up 1 Nn1", "down 1", "up 1 Nagain"}, b.took())
	require.Equal(t, []string{"up 2 Nn2", "down 2"}, a.took())
	require.True(t, a2.lane.Send(2, []byte("x")))
	w.sim.RunFor(100 * time.Millisecond)
	require.Equal(t, []string{"1 x"}, b.got)
}

// TestManyReplace: of connections that come at once each follows the end of the one before.
func TestManyReplace(t *testing.T) {
	w := newWorld(t, 8)
	a, b := w.machine(1), w.machine(2)
	strand := b.clock.NewStrand("accept")
	at, err := w.net.Host("n2").Listen(strand, "n2:0", func(c netsim.Conn) { b.attach(c, b.clock.NewStrand("link"), a.who) })
	require.NoError(t, err)
	sa := a.clock.NewStrand("dial")
	var conns []netsim.Conn
	for range 5 {
		w.net.Host("n1").Dial(sa, at.Addr(), netsim.DialOptions{}, func(c netsim.Conn, err error) {
			require.NoError(t, err)
			c.Start(sa, &stranger{})
			conns = append(conns, c)
		})
	}
	w.sim.RunFor(100 * time.Millisecond)
	events := b.took()
	for i, e := range events {
		require.True(t, strings.HasPrefix(e, []string{"up", "down"}[i%2]), "%v", events)
	}
	require.Len(t, events, 2*len(events)/2)
	require.True(t, b.lane.IsUp(1))
	w.sim.RunFor(2 * time.Second)
	require.False(t, b.lane.IsUp(1))
	require.Equal(t, "down 1", b.events[len(b.events)-1])
}

func TestOneNumberForTwo(t *testing.T) {
	w := newWorld(t, 9)
	a, b := w.machine(1), w.machine(2)
	w.connect(a, b)
	other := w.machine(3)
	claims := other.who
	claims.Member = 1
	_, eb := w.connectAs(other, b, claims)
	require.EqualError(t, eb.err, `server "n3" (Nn3) claims member number 1, which server "n1" (Nn1) has`)
	require.True(t, b.lane.Send(1, []byte("x")))
	w.sim.RunFor(100 * time.Millisecond)
	require.Equal(t, []string{"2 x"}, a.got)

	claims.Member = 2
	require.EqualError(t, b.lane.Claim(claims), `server "n3" (Nn3) claims member number 2, which is this server's`)
	require.NoError(t, b.lane.Claim(lane.Peer{Member: 1, ServerName: "n1", ServerID: "Nnew"}), "a restart")
}

// TestBacklog: what a peer does not take waits, up to the credit.
func TestBacklog(t *testing.T) {
	w := newWorld(t, 10)
	w.net.SetSocketBuffer(10 << 10)
	a := w.machine(1, func(o *lane.Options) { o.Credit, o.Silence = 100<<10, time.Minute })
	b := w.machine(2)
	w.connect(a, b)
	w.net.Clog("n1", "n2", 500*time.Millisecond)
	sent := 0
	for a.lane.Send(2, bytes.Repeat([]byte{byte(sent)}, 1000)) {
		sent++
	}
	require.InDelta(t, 110, sent, 5)
	require.InDelta(t, 100<<10, a.lane.Peers()[0].Queued, 4<<10)
	require.False(t, a.lane.Send(2, bytes.Repeat([]byte{1}, 8000)), "it would be lent")
	w.sim.RunFor(time.Second)
	require.Len(t, b.got, sent)
	for i, g := range b.got {
		require.Equal(t, "1 "+strings.Repeat(string([]byte{byte(i)}), 1000), g)
	}
	require.EqualValues(t, 2, a.lane.Stats().Dropped)
	require.True(t, a.lane.Send(2, make([]byte, 300<<10)), "alone it may exceed the credit")
	w.sim.RunFor(time.Second)
	require.Len(t, b.got[sent], 300<<10+2)
}

func head(n int, kind byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(n)), kind)
}

func TestBadFramesEndTheLink(t *testing.T) {
	for _, tc := range []struct {
		name string
		head []byte
		want string
	}{
		{"longer than any", head(lane.FrameMax+1, 1), "frame of 135266305 bytes, at most 135266304 are taken"},
		{"kind 0", head(0, 0), "frame of kind 0, which is none"},
		{"kind 4", head(0, 4), "frame of kind 4, which is none"},
		{"long ping", head(9, 2), "frame of kind 2 has 9 bytes instead of 8"},
		{"short pong", head(7, 3), "frame of kind 3 has 7 bytes instead of 8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, 11)
			m := w.machine(1)
			s := w.raw(m, lane.Peer{Member: 2, ServerName: "p", ServerID: "NP"})
			s.send(append(head(2, 1), 'o', 'k')...)
			for _, c := range tc.head {
				s.send(c)
				w.sim.RunFor(5 * time.Millisecond)
			}
			require.Equal(t, []string{"2 ok"}, m.got)
			require.Equal(t, []string{"up 2 NP", "down 2"}, m.took())
			require.True(t, s.end)
			require.Equal(t, []string{`Lane to server "p" (NP), member 2: ` + tc.want}, m.log)
		})
	}
}

func TestPingsAreAnsweredAndStrangePongsIgnored(t *testing.T) {
	w := newWorld(t, 12)
	m := w.machine(1)
	s := w.raw(m, lane.Peer{Member: 2, ServerName: "p", ServerID: "NP"})
	s.got = nil
	s.send(append(head(8, 2), "abcdefgh"...)...)
	w.sim.RunFor(5 * time.Millisecond)
	require.Equal(t, append(head(8, 3), "abcdefgh"...), s.got)
	s.send(append(head(8, 3), "abcdefgh"...)...)
	w.sim.RunFor(5 * time.Millisecond)
	require.Zero(t, m.lane.Peers()[0].RTT)
	require.True(t, m.lane.IsUp(2))
}

func TestFrameOfTheGreatestLength(t *testing.T) {
	w := newWorld(t, 13)
	m := w.machine(1)
	n := 0
	m.frame = func(_ core.MemberID, p []byte) { n = len(p) }
	k, err := m.lane.Attach(&nowhere{}, m.clock.NewStrand("link"), lane.Peer{Member: 2, ServerName: "p", ServerID: "NP"}, nil)
	require.NoError(t, err)
	p := make([]byte, lane.FrameMax+1)
	require.False(t, m.lane.Send(2, p))
	require.True(t, m.lane.Send(2, p[1:]))
	k.Data(head(lane.FrameMax, 1))
	k.Data(p[:1<<20])
	k.Data(p[1<<20:])
	require.Equal(t, lane.FrameMax, n)
	require.True(t, m.lane.IsUp(2), "the byte that is left may be the beginning of another")
}

func TestOptions(t *testing.T) {
	o := lane.Options{Silence: 10}
	require.EqualError(t, o.Validate(), "lane: member number 0 is nobody's\nping interval 0s is not above zero\ncredit of 0 bytes is not above zero")
	o = lane.DefaultOptions(1)
	o.Silence = 3*o.PingInterval - 1
	require.EqualError(t, o.Validate(), "lane: silence 599.999999ms is below three ping intervals (600ms)")
	require.NoError(t, (&lane.Options{Self: 1, PingInterval: 1, Silence: 3, Credit: 1}).Validate())
}

// TestForgetsMembers: memory does not grow with the numbers that were ever claimed.
func TestForgetsMembers(t *testing.T) {
	w := newWorld(t, 14)
	m := w.machine(1)
	strand := m.clock.NewStrand("x")
	at, err := w.net.Host("n1").Listen(strand, "n1:0", func(c netsim.Conn) {})
	require.NoError(t, err)
	for i := range 1500 {
		w.net.Host("p").Dial(strand, at.Addr(), netsim.DialOptions{}, func(c netsim.Conn, err error) {
			e := m.attach(c, strand, lane.Peer{Member: core.MemberID(i + 2), ServerName: "p", ServerID: "NP"})
			require.NoError(t, e.err)
			c.Abort(netsim.ErrClosed)
		})
		w.sim.RunFor(time.Millisecond)
	}
	w.sim.RunFor(time.Second)
	require.Len(t, m.lane.Peers(), 1024)
	require.EqualValues(t, 1500, m.lane.Stats().Connects)
	for i, p := range m.lane.Peers() {
		require.EqualValues(t, 1500-1024+2+i, p.Member)
	}
}
