package broker

import (
	"time"

	"github.com/lockstepmq/lockstep/server/wire"
)

var (
	pingLine = []byte(wire.LinePing)
	pongLine = []byte(wire.LinePong)
	okLine   = []byte(wire.LineOK)
)

// arm sets the connection's one timer to its nearest deadline.
func (c *Client) arm() {
	next := time.Duration(0)
	for _, at := range [...]time.Duration{c.authAt, c.tlsAt, c.pingAt, c.expireAt, c.stallAt, c.overSubsAt} {
		if at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	if next == 0 {
		c.timer.Stop()
		return
	}
	c.timer.Reset(next - c.now)
}

// due clears *at and tells whether it has come.
func (c *Client) due(at *time.Duration) bool {
	if *at == 0 || *at > c.now {
		return false
	}
	*at = 0
	return true
}

// deadline runs when the timer fires: whatever is due is done, then the timer
// is armed for the next.
func (c *Client) deadline() {
	if c.phase == phaseClosed {
		return
	}
	c.now = c.b.clock.Monotonic()
	if c.due(&c.stallAt) {
		c.resume()
	}
	if c.due(&c.tlsAt) {
		c.tlsSilence()
	}
	if c.due(&c.authAt) && !c.connected {
		c.b.log.Debugf("%s - Authentication Timeout", c)
		c.fail(wire.TextAuthTimeout, AuthenticationTimeout)
	}
	if c.due(&c.expireAt) {
		c.fail(wire.TextAuthExpired, AuthenticationExpired)
	}
	if c.due(&c.overSubsAt) {
		c.overSubs()
	}
	if c.due(&c.pingAt) {
		c.pingDue()
	}
	if c.phase == phaseClosed {
		return
	}
	c.conn.Flush()
	c.arm()
}

// Liveness. A client is pinged once an interval unless it was heard of and its
// round trip is known; it is stale when ping_max pings went unanswered.

// rttFresh is how long a measured round trip spares an active client its ping.
const rttFresh = time.Hour

// firstPing shortens the first interval after CONNECT, so that the round trip
// of a new client is known soon.
func (c *Client) firstPing() {
	interval := c.b.options().PingInterval
	if interval <= 0 {
		c.pingAt = 0
		return
	}
	if !c.b.options().DisableShortFirstPing {
		interval = min(interval, 2*time.Second)
		interval += time.Duration(c.strand.Rand("ping").Int64N(int64(interval)/5 + 1))
	}
	c.pingAt = c.now + interval
}

// guessRTT takes the time until CONNECT for a round trip: until a PING is answered
// nothing better is known.
func (c *Client) guessRTT() {
	c.rtt.CompareAndSwap(0, int64(max(c.now-c.accepted, 1)))
}

func (c *Client) pingDue() {
	interval := c.b.options().PingInterval
	if interval <= 0 {
		return
	}
	c.pingAt = c.now + interval
	c.parser.Trim()
	c.letGo()
	heard := time.Duration(c.last.Load())
	fresh := c.rtt.Load() > 0 && c.pingSent > 0 && c.now-c.pingSent < rttFresh
	if c.connected && fresh && heard > 0 && c.now-heard < interval {
		c.b.log.Debugf("%s - Delaying PING due to client activity or remote ping %v ago", c, c.now-heard)
		return
	}
	if c.pings+1 > c.b.options().MaxPingsOut {
		c.b.log.Debugf("%s - Stale Client Connection - Closing", c)
		c.b.stats.Stale.Add(1)
		c.fail(wire.TextStaleConnection, StaleConnection)
		return
	}
	c.sendPing()
}

func (c *Client) sendPing() {
	c.pings++
	c.pingSent = c.now
	c.reply(pingLine)
	if c.b.log.Trace() {
		c.traceOut("PING", nil)
	}
}

// ping answers a client's PING: what it published before is with its receivers
// then. The first after CONNECT also brings the INFO that tells the client its
// account and limits.
func (c *Client) ping() {
	if c.b.log.Trace() {
		c.traceIn("PING", nil)
	}
	c.active = true
	c.flushStages()
	c.b.announce() // what it subscribed to before is on its way to other servers then
	c.reply(pongLine)
	if c.b.log.Trace() {
		c.traceOut("PONG", nil)
	}
	if c.ponged || !c.connected || c.connect == nil && !c.implicit {
		return
	}
	c.ponged = true
	if c.connect != nil && c.connect.Protocol >= 1 {
		c.sendInfo(true)
	}
}

// pong takes the answer to a PING.
func (c *Client) pong() {
	if c.b.log.Trace() {
		c.traceIn("PONG", nil)
	}
	if c.pings > 0 && c.pingSent > 0 {
		c.rtt.Store(int64(max(c.now-c.pingSent, 1)))
	}
	c.pings = 0
}

// Stalls. A producer whose receiver has too much pending stops being read for a
// moment, so that the receiver may catch up.
const (
	stallSoft = 2 * time.Millisecond // over 75% of max_pending
	stallHard = 5 * time.Millisecond // at max_pending
)

// waitForSlow pauses the producer until its slow receiver has drained, for a
// few milliseconds at most.
func (c *Client) waitForSlow() {
	slow := c.stall
	c.stall = nil
	if c.phase == phaseClosed || slow == c.conn {
		return
	}
	limit := c.b.options().MaxPending
	pending := int64(slow.Buffered())
	gate := limit / 4 * 3
	if pending < gate {
		return
	}
	c.stallAt = c.now + stallSoft
	if pending >= limit {
		c.stallAt = c.now + stallHard
	}
	c.stalls.Add(1)
	c.b.stats.Stalled.Add(1)
	c.conn.Pause()
	c.arm()
	slow.WhenBelow(int(gate), func() { c.strand.Post(c.released) })
}

// waitForSink pauses the producer until a service of the server has room again for
// what comes.
func (c *Client) waitForSink() {
	k := c.crowded
	c.crowded = nil
	if c.phase == phaseClosed || c.waits {
		return
	}
	c.waits = true
	c.stalls.Add(1)
	c.b.stats.Stalled.Add(1)
	c.conn.Pause()
	k.whenRoom(func() { c.strand.Post(c.roomAgain) })
}

// roomAgain reads on after waitForSink.
func (c *Client) roomAgain() {
	c.waits = false
	if c.phase != phaseClosed && c.stallAt == 0 {
		c.resume()
	}
}

// released ends a stall early: the receiver has drained.
func (c *Client) released() {
	if c.stallAt == 0 || c.phase == phaseClosed {
		return
	}
	c.stallAt = 0
	c.now = c.b.clock.Monotonic()
	c.resume()
	c.arm()
}

// resume reads on after a stall, unless there is another reason to wait.
func (c *Client) resume() {
	if !c.waits {
		c.conn.Resume()
	}
}
