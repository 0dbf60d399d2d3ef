package cluster

import (
	"time"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/wire"
)

var (
	pingLine = []byte(wire.LinePing)
	pongLine = []byte(wire.LinePong)
)

// firstPingWait is when a new route is pinged first, so that its round trip is known soon.
const firstPingWait = time.Second

// pingInterval is the time between two pings; 0 is none.
func pingInterval(o *config.Options) time.Duration {
	interval := o.PingInterval
	if o.Cluster.PingInterval > 0 {
		interval = o.Cluster.PingInterval
	}
	return min(interval, config.MaxRoutePingInterval)
}

func pingMax(o *config.Options) int {
	if o.Cluster.MaxPingsOut > 0 {
		return o.Cluster.MaxPingsOut
	}
	return o.MaxPingsOut
}

// patience is how long a handshake may take.
func (k *conn) patience() time.Duration {
	o := k.c.settings.Load().o
	interval := pingInterval(o)
	if interval <= 0 {
		interval = config.MaxRoutePingInterval
	}
	return interval * time.Duration(pingMax(o)+1)
}

// firstPing has the route pinged soon.
func (k *conn) firstPing() {
	o := k.c.settings.Load().o
	interval := pingInterval(o)
	if interval <= 0 {
		k.pingAt = 0
		return
	}
	if !o.DisableShortFirstPing {
		interval = min(interval, firstPingWait)
		interval += time.Duration(k.strand.Rand("ping").Int64N(int64(interval)/5 + 1))
	}
	k.pingAt = k.now + interval
}

// arm sets the route's one timer to its nearest deadline.
func (k *conn) arm() {
	next := time.Duration(0)
	for _, at := range [...]time.Duration{k.authAt, k.watchAt, k.pingAt} {
		if at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	if next == 0 {
		k.timer.Stop()
		return
	}
	k.timer.Reset(next - k.now)
}

// due clears *at and tells whether it has come.
func (k *conn) due(at *time.Duration) bool {
	if *at == 0 || *at > k.now {
		return false
	}
	*at = 0
	return true
}

// deadline runs when the timer fires.
func (k *conn) deadline() {
	if k.phase == phaseClosed {
		return
	}
	k.now = k.c.Clock.Monotonic()
	if k.due(&k.authAt) {
		k.refuse(wire.TextAuthTimeout, authenticationTimeout)
	}
	if k.due(&k.watchAt) {
		k.stale()
	}
	if k.due(&k.pingAt) {
		k.pingDue()
	}
	if k.phase != phaseClosed {
		k.out.Flush()
		k.arm()
	}
}

// pingDue asks whether the peer is there. Routes are asked whatever else came.
func (k *conn) pingDue() {
	o := k.c.settings.Load().o
	interval := pingInterval(o)
	if k.phase == phaseClosed || interval <= 0 {
		return
	}
	k.c.Log.Debugf("%s - Router Ping Timer", k)
	k.pingAt = k.now + interval
	k.parser.Trim()
	if k.unpack != nil {
		k.unpack.Trim()
	}
	if k.pings+1 > pingMax(o) {
		k.stale()
		return
	}
	k.sendPing()
}

// stale ends a route whose peer is silent.
func (k *conn) stale() {
	if k.phase == phaseClosed {
		return
	}
	k.c.stats.Stale.Add(1)
	k.c.Log.Debugf("%s - Stale Client Connection - Closing", k)
	if k.phase == phaseTLS {
		k.end(staleConnection)
		return
	}
	k.fail(wire.TextStaleConnection, staleConnection)
}

func (k *conn) sendPing() {
	k.pings++
	k.pingSent = k.now
	k.out.Write(pingLine)
	k.trace("->>", wire.VerbPing)
}

// trace shows a line of the keepalive in the protocol trace.
func (k *conn) trace(way string, verb wire.Verb) {
	if k.c.Log.Trace() {
		k.c.Log.Tracef("%s - %s [%s]", k, way, verb)
	}
}

// pong takes the answer to a PING: the round trip is known, and the next slot of the pool may
// be dialled.
func (k *conn) pong() {
	k.trace("<<-", wire.VerbPong)
	if k.pings > 0 && k.pingSent > 0 {
		k.rtt.Store(int64(max(k.now-k.pingSent, 1)))
	}
	k.pings = 0
	if k.packer != nil && k.mode == config.CompressionS2Auto {
		o := k.c.settings.Load().o.Cluster.Compression
		k.packer.level.Store(uint32(levelOf(o, k.mode, time.Duration(k.rtt.Load()))))
	}
	if !k.chain {
		return
	}
	k.chain = false
	next := *k.dialled
	next.account, next.remote, next.had, next.attempt = "", k.remoteID, false, 0
	k.c.strand.Post(func() {
		if k.c.table.lacks(next.remote, "") {
			k.c.dials.start(&next, 0, false)
		}
	})
}
