package consumer

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// request is a pull request that waits for messages.
type request struct {
	inbox         string
	id            string // of the pin it claims or was given
	left          int    // messages
	sent          int
	bytes         int   // left; 0 with sized is none
	expires       int64 // monotonic; 0 is never
	beat          int64 // interval of heartbeats; 0 is none
	beatAt        int64
	minPending    uint64
	minAckPending uint64
	priority      uint8
	sized         bool // has a limit of bytes
	noWait        bool
	grouped       bool // named its group
}

// pull is the pull requests that wait, in the order in which they are served.
type pull struct {
	waiting   queue[*request]
	impatient int      // of them, those with noWait
	spare     *request // to be used again
}

// waitingMaxDefault bounds the requests that wait where the configuration does not.
const waitingMaxDefault = 512

// requests gives the queue, made on need.
func (c *Consumer) requests() *pull {
	if c.pull == nil {
		c.pull = &pull{}
	}
	return c.pull
}

// line puts a request into the queue: behind all, or by priority.
func (c *Consumer) line(r *request) {
	q := &c.pull.waiting
	if !c.prioritized() {
		q.push(r)
		return
	}
	all := q.all()
	i := len(all)
	for i > 0 && all[i-1].priority > r.priority {
		i--
	}
	q.insert(i, r)
}

// pick gives the place of the request that is served next, or -1. Requests that have ended
// are told on the way.
func (c *Consumer) pick(now int64) int {
	q := &c.pull.waiting
	for i := 0; i < q.len(); {
		r := q.all()[i]
		switch {
		case r.expires != 0 && r.expires <= now:
			c.end(i, api.StatusRequestTimeout, true)
		case c.group != nil && c.staleID(r):
			c.end(i, api.StatusWrongPin, true)
		case !c.eligible(r):
			i++
		default:
			return i
		}
	}
	return -1
}

// end answers the request at place i with a status, and forgets it.
func (c *Consumer) end(i int, status string, withPending bool) {
	r := c.pull.waiting.all()[i]
	c.pull.waiting.take(i)
	if status != "" {
		c.tell(r.inbox, status, r, withPending)
	}
	if r.noWait {
		c.pull.impatient--
	}
	*r = request{}
	c.pull.spare = r
}

// take gives a request to fill in.
func (p *pull) take() *request {
	if r := p.spare; r != nil {
		p.spare = nil
		return r
	}
	return &request{}
}

// tell sends a status; with r also what it did not get.
func (c *Consumer) tell(inbox, status string, r *request, withPending bool) bool {
	w := c.work()
	if withPending {
		w.buf = api.AppendPendingStatus(w.buf[:0], status, r.left, r.bytes)
	} else {
		w.buf = api.AppendStatus(w.buf[:0], status)
	}
	return c.host.Status(inbox, nil, w.buf)
}

// sendPull sends a message to the request at place i.
func (c *Consumer) sendPull(d *delivery, i int, now int64) (sent, progress bool) {
	r := c.pull.waiting.all()[i]
	pin := c.pinFor(r)
	header, data := c.content(d, pin, c.pins())
	reply := c.ackSubject(d)
	size := len(d.msg.Subject) + len(reply) + len(header) + len(data)
	if r.sized && size > r.bytes {
		c.end(i, api.StatusMaxBytes, true)
		return false, true
	}
	if !c.host.Deliver(r.inbox, d.msg.Subject, reply, header, data) {
		c.end(i, "", false)
		return false, true
	}
	c.sent(d, now)
	if pin != "" {
		c.pinned(r, pin, now)
	}
	r.left--
	r.sent++
	r.beatAt = now + r.beat
	if r.sized {
		r.bytes -= size
	}
	switch {
	case r.left <= 0 && r.sized && r.bytes > 0:
		c.end(i, api.StatusBatchCompleted, true)
	case r.left <= 0 || r.sized && r.bytes <= 0:
		c.end(i, "", false)
	case c.pull.waiting.len() > 1:
		c.pull.waiting.take(i)
		c.line(r)
	}
	return true, true
}

// drained ends the requests that do not wait, when all there was has been sent.
func (c *Consumer) drained(now int64) {
	if c.pull == nil || c.pull.impatient == 0 && !c.pins() || c.fetching || c.ahead > 0 || c.w.line.front(&c.pending) != nil {
		return
	}
	for i := 0; i < c.pull.waiting.len(); {
		r := c.pull.waiting.all()[i]
		if c.pins() && c.group.pin != "" && c.staleID(r) {
			c.end(i, api.StatusWrongPin, true)
			continue
		}
		if r.noWait && (r.sent > 0 || r.expires == 0) {
			c.end(i, api.StatusNoMessages, false)
			continue
		}
		i++
	}
}

// endUnwilling ends the requests that do not wait at all, while deliveries are withheld.
func (c *Consumer) endUnwilling() {
	for i := 0; c.pull != nil && c.pull.impatient > 0 && i < c.pull.waiting.len(); {
		if r := c.pull.waiting.all()[i]; r.noWait && r.expires == 0 {
			c.end(i, api.StatusNoMessages, false)
			continue
		}
		i++
	}
}

// prune forgets the requests whose inbox nobody listens to any more.
func (c *Consumer) prune(now int64) {
	for i := 0; i < c.pull.waiting.len(); {
		r := c.pull.waiting.all()[i]
		switch {
		case r.expires != 0 && r.expires <= now:
			c.end(i, api.StatusRequestTimeout, true)
		case !c.host.Interested(r.inbox, ""):
			c.end(i, "", false)
		default:
			i++
		}
	}
}

// tendRequests ends what has expired and sends heartbeats; it gives when that is due next.
func (c *Consumer) tendRequests(now int64) (next int64) {
	if c.pull == nil {
		return 0
	}
	for i := 0; i < c.pull.waiting.len(); {
		r := c.pull.waiting.all()[i]
		if r.expires != 0 && r.expires <= now {
			c.end(i, api.StatusRequestTimeout, true)
			c.activeAt = now
			continue
		}
		if r.beat > 0 && r.beatAt <= now {
			if !c.heartbeat(r.inbox, nil) {
				c.end(i, "", false)
				continue
			}
			r.beatAt = now + r.beat
		}
		next = sooner(next, r.expires)
		if r.beat > 0 {
			next = sooner(next, r.beatAt)
		}
		i++
	}
	return next
}

// sooner gives the earlier of two times of which 0 is never.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// heartbeat tells a client that waits that the consumer lives.
func (c *Consumer) heartbeat(inbox string, stalled []byte) bool {
	w := c.work()
	w.buf = api.AppendHeartbeat(w.buf[:0], c.dseq, c.position(), stalled)
	return c.host.Status(inbox, nil, w.buf)
}
