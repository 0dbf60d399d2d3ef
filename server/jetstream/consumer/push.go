package consumer

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// push is what a consumer needs that delivers without being asked.
type push struct {
	active  bool   // somebody listens
	refused bool   // a delivery found nobody though somebody listens
	stop    func() // ends the watch of interest

	window      int // bytes that may be under way; 0 is no flow control
	outstanding int // bytes sent and not answered for
	asked       int // outstanding when the flow control question was sent
	question    []byte

	tokens   float64 // bytes that the rate allows now
	tokensAt int64   // monotonic
	resumeAt int64   // monotonic, when the rate allows the next message; 0 is now

	beatAt int64 // monotonic, of the next heartbeat; 0 is not planned
}

// Flow control: the window doubles with each answer.
const (
	windowFirst = 2 << 20
	windowMax   = 32 << 20
)

// refusedRetry is when a push is tried again that found nobody though somebody listens.
const refusedRetry = int64(250 * time.Millisecond)

// watch follows the interest in the deliver subject.
func (c *Consumer) watch() {
	if c.push == nil {
		return
	}
	if c.push.stop != nil {
		c.push.stop()
	}
	c.push.stop = c.host.Watch(c.cfg.DeliverSubject, c)
	c.interest()
}

// InterestChanged tells that interest in a watched subject came or went.
func (c *Consumer) InterestChanged(string) {
	if c.push != nil && c.live && !c.stopped {
		c.interest()
	}
}

func (c *Consumer) interest() {
	p := c.push
	active := c.host.Interested(c.cfg.DeliverSubject, c.cfg.DeliverGroup)
	if active == p.active && !p.refused {
		return
	}
	p.active, p.refused = active, false
	c.touch()
	if !active {
		p.window, p.question = 0, nil
		if limit := c.inactivity(); limit > 0 {
			c.wakeAt(c.activeAt + limit)
		}
		c.rest()
		return
	}
	p.outstanding, p.asked, p.question = 0, 0, nil
	if c.cfg.FlowControl {
		if p.window = windowFirst; c.window > 0 {
			p.window = int(c.window)
		}
	}
	p.tokensAt, p.tokens = c.activeAt, c.burst()
	c.planBeat(c.activeAt)
	c.wake()
}

// isStalled tells whether flow control holds messages back.
func (c *Consumer) isStalled() bool { return c.push.window > 0 && c.push.outstanding > c.push.window }

// spend takes a message's size off what the rate allows; false when it is not that much yet.
func (c *Consumer) spend(size int, now int64) bool {
	if c.cfg.RateLimit == 0 {
		return true
	}
	p, rate, need := c.push, float64(c.cfg.RateLimit)/8, min(float64(size), c.burst())
	p.tokens = min(p.tokens+float64(now-p.tokensAt)/1e9*rate, c.burst())
	p.tokensAt = now
	if p.tokens < need {
		p.resumeAt = now + int64(math.Ceil((need-p.tokens)/rate*1e9))
		c.wakeAt(p.resumeAt)
		return false
	}
	p.tokens -= need
	return true
}

// burst is how many bytes the rate lets go at once: a message of the largest size.
func (c *Consumer) burst() float64 {
	if n := c.host.Stream().MaxMsgSize; n > 0 {
		return float64(n)
	}
	return 1 << 20
}

// sendPush sends a message to the deliver subject.
func (c *Consumer) sendPush(d *delivery, now int64) (sent, progress bool) {
	p := c.push
	header, data := c.content(d, "", false)
	reply := c.ackSubject(d)
	size := len(d.msg.Subject) + len(reply) + len(header) + len(data)
	if !c.spend(size, now) {
		return false, false
	}
	if !c.host.Deliver(c.cfg.DeliverSubject, d.msg.Subject, reply, header, data) {
		p.active = false
		if p.refused = c.host.Interested(c.cfg.DeliverSubject, c.cfg.DeliverGroup); p.refused {
			c.wakeAt(now + refusedRetry)
		}
		return false, false
	}
	c.sent(d, now)
	p.outstanding += size
	c.planBeat(now)
	if p.window > 0 && c.asksNow() {
		c.ask()
	}
	return true, true
}

// planBeat plans the next heartbeat, an interval after the last message.
func (c *Consumer) planBeat(now int64) {
	if hb := int64(c.cfg.Heartbeat); hb > 0 {
		c.push.beatAt = now + hb
		c.wakeAt(c.push.beatAt)
	}
}

// tendPush sends a heartbeat when nothing else was sent, and gives when that is due.
func (c *Consumer) tendPush(now int64) (next int64) {
	p := c.push
	if p == nil {
		return 0
	}
	if p.refused {
		c.interest()
	}
	if !p.active {
		return 0
	}
	if p.beatAt != 0 && p.beatAt <= now {
		c.heartbeat(c.cfg.DeliverSubject, p.question)
		p.beatAt = now + int64(c.cfg.Heartbeat)
		if c.cfg.AckPolicy == api.AckFlowControl && c.pending.len() > 0 && p.question == nil {
			c.ask()
		}
	}
	next = p.beatAt
	if p.resumeAt > now {
		return sooner(next, p.resumeAt)
	}
	if p.resumeAt != 0 {
		p.resumeAt = 0
		c.wake()
	}
	return next
}

// asksNow tells whether a flow control question is due: half the window is under way, or
// a question was never answered while a whole window went.
func (c *Consumer) asksNow() bool {
	p := c.push
	if p.question == nil {
		return p.outstanding > p.window/2
	}
	return p.outstanding-p.asked >= p.window
}

// ask sends a flow control question, which makes earlier ones void.
func (c *Consumer) ask() {
	p := c.push
	p.question = api.AppendFlowControl(nil, c.flowHead(), api.FlowControlID(c.host.Rand().Uint64()))
	p.asked = p.outstanding
	c.host.Status(c.cfg.DeliverSubject, p.question, flowRequest)
}

var flowRequest = api.AppendStatus(nil, api.StatusFlowControl)

// stalled is called when max_ack_pending holds new messages back.
func (c *Consumer) stalled() {
	if c.push != nil && c.cfg.AckPolicy == api.AckFlowControl && c.push.question == nil {
		c.ask()
	}
}

// FlowReply is a client's answer to a flow control question, on its subject: everything sent
// before the question was processed.
func (c *Consumer) FlowReply(subj, header []byte) {
	p := c.push
	if p == nil || c.stopped || !c.live || p.question == nil || !bytes.Equal(subj, p.question) {
		return
	}
	p.question = nil
	p.outstanding = max(p.outstanding-p.asked, 0)
	p.asked = 0
	if p.window > 0 {
		p.window = min(2*p.window, windowMax)
	}
	if c.cfg.AckPolicy == api.AckFlowControl {
		if seq, err := strconv.ParseUint(string(api.HeaderValue(header, api.HdrLastStream)), 10, 64); err == nil {
			c.ackedAt = c.host.Now()
			c.ackUpTo(seq, false)
		}
	}
	c.wake()
}

// pace holds messages back as they were when they were stored.
type pace struct {
	until uint64 // the stream's last sequence at the start
	last  int64  // time of the last message sent
	next  int64  // monotonic, when the next may go; 0 is at once
	sent  int64  // monotonic, of the last message
}

// newPace gives the pace of a consumer that replays with the original gaps, or nil.
func (c *Consumer) newPace() *pace {
	last := c.host.Store().State().Last
	if c.cfg.ReplayPolicy != api.ReplayOriginal || c.cursor > last {
		return nil
	}
	return &pace{until: last}
}

// gapMin is the shortest gap that is kept.
const gapMin = int64(time.Millisecond)

// keepsPace tells whether a message may go now.
func (c *Consumer) keepsPace(seq uint64, at, now int64) bool {
	p := c.pace
	if p.last != 0 {
		if gap := at - p.last; gap > gapMin && p.sent+gap > now {
			p.next = p.sent + gap
			c.wakeAt(p.next)
			return false
		}
	}
	p.last, p.sent, p.next = at, now, 0
	if seq >= p.until {
		c.pace = nil
	}
	return true
}

// tendPace goes on when a gap is over.
func (c *Consumer) tendPace(now int64) (next int64) {
	if c.pace == nil || c.pace.next == 0 {
		return 0
	}
	if c.pace.next > now {
		return c.pace.next
	}
	c.wake()
	return 0
}
