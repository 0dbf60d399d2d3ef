package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/lane"
)

// Lanes are judged like what clients send: laneKept is that what comes over one is what was sent, in order,
// without gaps and once, and that a server is up before its first frame; laneReach that when all is well
// all lanes are up and what is sent arrives.
const (
	laneKept  = core.PairOrder
	laneReach = core.Reach
)

const (
	laneLoadMean = 150 * time.Millisecond // between two frames of a server
	laneFrameMax = 96 << 10
	laneHead     = 20 // life of the sender, number of the frame, length
	laneEndMax   = 10 * time.Second
	laneMeshMax  = 20 * time.Second // a server that was refused tries again after 13 at the latest
)

// nodeLane is the lane of one life of a server: what it sends, and what is heard over it.
type nodeLane struct {
	c       *clusterWorld
	n       *node
	epoch   int
	lane    *lane.Lane
	timer   clock.Timer
	rnd     *rand.Rand
	stopped bool
	to      []laneTo   // by index of the node
	from    []laneFrom // by index of the node
}

// laneTo is what was sent to a server.
type laneTo struct{ sent uint64 }

// laneFrom is what is heard of a server.
type laneFrom struct {
	up    bool
	epoch int    // the life that is up
	last  uint64 // number of the last frame of this life; 0 is none
	fresh bool   // none came since it is up
}

// newLane makes the lane of a server that is about to begin a life. Members are numbered from 1.
func (c *clusterWorld) newLane(n *node, clk *clock.SimClock, log lane.Log) (*nodeLane, error) {
	l, err := lane.New(clk, log, lane.DefaultOptions(lane.MemberID(n.index+1)))
	if err != nil {
		return nil, fmt.Errorf("lane of %s: %w", n.name, err)
	}
	nl := &nodeLane{c: c, n: n, lane: l, to: make([]laneTo, len(c.nodes)), from: make([]laneFrom, len(c.nodes))}
	l.Serve(nl)
	strand := clk.NewStrand("lane-load")
	nl.rnd = strand.Rand("frames")
	nl.timer = strand.NewTimer(nl.load)
	return nl, nil
}

// begin lets a life send, which epoch numbers.
func (l *nodeLane) begin(epoch int) {
	l.epoch = epoch
	l.timer.Reset(laneLoadMean)
}

// load sends a frame to some server.
func (l *nodeLane) load() {
	if l.stopped {
		return
	}
	if i := l.rnd.IntN(len(l.to)); i != l.n.index {
		size := 0
		if l.rnd.IntN(4) > 0 {
			size = int(logTime(l.rnd, 1, laneFrameMax))
		}
		l.send(i, size)
	}
	l.timer.Reset(time.Duration(l.rnd.ExpFloat64() * float64(laneLoadMean)))
}

// send sends the next frame to the i-th server; a number that was not taken is used again.
func (l *nodeLane) send(i, size int) {
	p := appendLaneFrame(make([]byte, 0, laneHead+size), l.epoch, l.to[i].sent+1, size)
	if l.lane.Send(lane.MemberID(i+1), p) {
		l.to[i].sent++
		l.c.framesSent++
	}
	clear(p) // it is not kept
}

func appendLaneFrame(p []byte, epoch int, n uint64, size int) []byte {
	p = binary.LittleEndian.AppendUint64(p, uint64(epoch))
	p = binary.LittleEndian.AppendUint64(p, n)
	p = binary.LittleEndian.AppendUint32(p, uint32(size))
	for i := range size {
		p = append(p, byte(uint64(i)*(2*n+1)+n))
	}
	return p
}

func (l *nodeLane) fail(from lane.MemberID, format string, args ...any) {
	l.c.w.violate(laneKept, "lane at %s, of member %d: %s", l.n.name, from, fmt.Sprintf(format, args...))
}

// Up is of lane.Handler.
func (l *nodeLane) Up(p lane.Peer) {
	i := int(p.Member) - 1
	if i < 0 || i >= len(l.from) || i == l.n.index || p.ServerName != l.c.nodes[i].name {
		l.fail(p.Member, "%v came up, which is not that member", p)
		return
	}
	f := &l.from[i]
	if f.up {
		l.fail(p.Member, "came up twice")
	}
	epoch := l.c.w.epochs[p.ServerID]
	if epoch < f.epoch {
		l.fail(p.Member, "life %d came up after life %d", epoch, f.epoch)
	}
	if epoch != f.epoch {
		f.last = 0
	}
	f.up, f.epoch, f.fresh = true, epoch, true
}

// Down is of lane.Handler.
func (l *nodeLane) Down(id lane.MemberID) {
	f := &l.from[int(id)-1]
	if !f.up {
		l.fail(id, "went down, and was not up")
	}
	f.up = false
}

// Frame is of lane.Handler.
func (l *nodeLane) Frame(id lane.MemberID, p []byte) {
	f := &l.from[int(id)-1]
	l.c.framesHeard++
	if len(p) < laneHead {
		l.fail(id, "a frame of %d bytes", len(p))
		return
	}
	epoch, n := int(binary.LittleEndian.Uint64(p)), binary.LittleEndian.Uint64(p[8:])
	size := int(binary.LittleEndian.Uint32(p[16:]))
	switch {
	case !f.up:
		l.fail(id, "frame %d came while it was not up", n)
	case size != len(p)-laneHead || string(p) != string(appendLaneFrame(nil, epoch, n, size)):
		l.fail(id, "frame %d of %d bytes is corrupted", n, len(p))
	case epoch != f.epoch:
		l.fail(id, "a frame of life %d, and %d is up", epoch, f.epoch)
	case n <= f.last:
		l.fail(id, "frame %d came after %d", n, f.last)
	case n != f.last+1 && !f.fresh:
		l.fail(id, "frame %d came after %d, over one connection", n, f.last)
	}
	f.last, f.fresh = n, false
}

// laneDiff tells which server does not know the present life of which other to be up.
func (c *clusterWorld) laneDiff() string {
	for _, a := range c.nodes {
		for _, b := range c.nodes {
			if a == b {
				continue
			}
			if a.process == nil || b.process == nil {
				return "a server is down"
			}
			if f := a.lane.from[b.index]; !f.up || f.epoch != b.epoch || !a.lane.lane.IsUp(lane.MemberID(b.index+1)) {
				return fmt.Sprintf("%s has no lane to life %d of %s (of life %d: up %v)", a.name, b.epoch, b.name, f.epoch, f.up)
			}
		}
	}
	return ""
}

// awaitLanes lets time pass until all lanes are up, and has one frame more pass over each.
func (c *clusterWorld) awaitLanes(advance func(time.Duration)) {
	for range laneMeshMax / quietStep {
		if c.laneDiff() == "" {
			break
		}
		advance(quietStep)
	}
	if d := c.laneDiff(); d != "" {
		c.w.violate(laneReach, "%v are not enough for the lanes of servers that have all routes: %s", laneMeshMax, d)
		return
	}
	for _, n := range c.nodes {
		n.lane.stopped = true
		c.w.sim.After(0, n.process.clock, clock.KindWorkload, n.lane.last)
	}
	advance(laneEndMax)
	c.w.note(clock.LevelInfo, "lanes carried %d frames of %d", c.framesHeard, c.framesSent)
	for _, a := range c.nodes {
		for _, b := range c.nodes {
			if sent, heard := a.lane.to[b.index].sent, b.lane.from[a.index].last; a != b && sent != heard {
				c.w.violate(laneReach, "over the lane %s sent %d frames to %s, and the last that was heard is %d", a.name, sent, b.name, heard)
			}
		}
	}
}

// last sends a frame to everybody.
func (l *nodeLane) last() {
	for i := range l.to {
		if i != l.n.index {
			l.send(i, 100)
		}
	}
}
