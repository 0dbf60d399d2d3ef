package broker

import (
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// closeIntervalMax bounds the pause between two closes of a lame duck.
const closeIntervalMax = time.Second

// lameDuck sends the clients of a server away, one after another, so that those
// that remain are not stormed. It lives on the broker's strand.
type lameDuck struct {
	b        *Broker
	strand   clock.Strand
	timer    clock.Timer
	rnd      *rand.Rand
	done     func()
	interval time.Duration
	begun    bool // the grace period is over
	left     []*Client
	finished bool
}

// LameDuck tells every client to go elsewhere, waits for the grace period, then
// closes them spread over the rest of the duration. done is posted to s when none is
// left; at once when there are none. A second call does nothing.
func (b *Broker) LameDuck(s clock.Strand, done func()) {
	if b.lame.Swap(true) {
		return
	}
	d := &lameDuck{b: b, strand: b.strand, done: func() { s.Post(done) }}
	d.timer = b.strand.NewTimer(d.next)
	b.strand.Post(d.start)
}

// LameDuckMode tells whether the server is sending its clients away.
func (b *Broker) LameDuckMode() bool { return b.lame.Load() }

func (d *lameDuck) start() {
	d.rnd = d.strand.Rand("lameduck")
	d.b.mu.Lock()
	d.b.duck = d
	d.b.mu.Unlock()
	clients := d.b.Clients()
	if len(clients) == 0 {
		d.finish()
		return
	}
	for _, c := range clients {
		c.strand.Post(c.announceInfo)
	}
	d.timer.Reset(max(d.b.options().LameDuckGracePeriod, 0))
}

// next closes one client and waits a random part of the interval.
func (d *lameDuck) next() {
	if d.finished {
		return
	}
	if !d.begun {
		d.begun = true
		d.left = d.b.Clients()
		o := d.b.options()
		if n := len(d.left); n > 0 {
			d.interval = min((o.LameDuckDuration-o.LameDuckGracePeriod)/time.Duration(n), closeIntervalMax)
			d.interval = max(d.interval, 1)
		}
	}
	if len(d.left) == 0 {
		d.finish()
		return
	}
	d.left[0].Disconnect(ServerShutdown, "")
	d.left = d.left[1:]
	d.timer.Reset(max(d.interval/2, time.Duration(d.rnd.Int64N(int64(d.interval)+1))))
}

// connectionGone ends the wait when the last client has left by itself.
func (d *lameDuck) connectionGone() {
	if !d.finished && d.b.NumClients() == 0 {
		d.finish()
	}
}

func (d *lameDuck) finish() {
	if d.finished {
		return
	}
	d.finished = true
	d.timer.Stop()
	d.done()
}

// announceInfo sends INFO to a client that can take it unasked: it speaks
// protocol 1 and its first PING was answered.
func (c *Client) announceInfo() {
	if c.phase == phaseClosed || !c.connected || !c.ponged || c.connect == nil || c.connect.Protocol < 1 {
		return
	}
	c.sendInfo(false)
	c.conn.Flush()
}
