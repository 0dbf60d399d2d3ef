package consumer

import (
	"strconv"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Pull takes a pull request, whose answers go to inbox.
func (c *Consumer) Pull(inbox string, header, body []byte) {
	if !c.live || c.stopped || inbox == "" {
		return
	}
	if c.IsPush() {
		c.tell(inbox, api.StatusPushBased, nil, false)
		return
	}
	if level := api.HeaderValue(header, api.HdrRequiredApiLevel); level != nil {
		if n, err := strconv.Atoi(string(level)); err != nil || n > api.Level {
			c.tell(inbox, api.StatusRequiredLevel, nil, false)
			return
		}
	}
	var a api.PullRequest
	if err := api.ParsePull(body, &a); err != nil {
		c.tell(inbox, api.StatusPullRefused+err.Error(), nil, false)
		return
	}
	if why := c.refuses(&a); why != "" {
		c.tell(inbox, why, nil, false)
		return
	}
	c.touch()
	now := c.activeAt
	if a.ID != "" && c.pins() && a.ID == c.group.pin {
		c.renewPin(now)
	}
	if a.NoWait {
		if why := c.cannotServe(&a, now); why != "" {
			c.tell(inbox, why, nil, false)
			c.tidy()
			return
		}
	}
	if c.isCrowded(now) {
		if a.Heartbeat == 0 {
			c.tell(inbox, api.StatusMaxWaiting, nil, false)
		}
		return
	}
	if a.Expires < 0 { // is over already
		c.tell(inbox, api.StatusRequestTimeout, &request{left: a.Batch, bytes: a.MaxBytes}, true)
		return
	}
	c.enter(inbox, &a, now)
}

// refuses gives the status by which a request is refused; "" is that it is not.
func (c *Consumer) refuses(a *api.PullRequest) string {
	cfg := c.cfg
	switch {
	case a.Heartbeat > 0 && (a.Expires <= 0 || a.Heartbeat > a.Expires/2):
		return api.StatusHeartbeatTooLarge
	case cfg.MaxRequestBatch > 0 && a.Batch > cfg.MaxRequestBatch:
		return api.StatusMaxRequestBatch(cfg.MaxRequestBatch)
	case cfg.MaxRequestExpires > 0 && a.Expires > cfg.MaxRequestExpires:
		return api.StatusMaxRequestExpires(cfg.MaxRequestExpires)
	case cfg.MaxRequestBytes > 0 && a.MaxBytes > cfg.MaxRequestBytes:
		return api.StatusMaxRequestBytes(cfg.MaxRequestBytes)
	}
	if a.Bare {
		return ""
	}
	policy := api.PriorityNone
	if c.group != nil {
		policy = cfg.PriorityPolicy
	}
	switch {
	case policy != api.PriorityOverflow && (a.MinPending != 0 || a.MinAckPending != 0):
		return api.StatusNotOverflow
	case policy != api.PriorityPinnedClient && a.ID != "":
		return api.StatusNotPinned
	case a.Priority < 0 || a.Priority > api.PriorityMax:
		return api.StatusPriorityRange
	case c.group == nil:
		return ""
	case a.Group == "":
		return api.StatusGroupMissing
	case a.Group != c.group.name:
		return api.StatusGroupInvalid
	case policy == api.PriorityPinnedClient && a.ID != "" && c.group.pin != "" && a.ID != c.group.pin:
		return api.StatusPinMismatch
	}
	return ""
}

// cannotServe gives the status for a request that does not wait when nothing is there for it.
func (c *Consumer) cannotServe(a *api.PullRequest, now int64) string {
	c.work()
	c.count()
	available := c.ahead + uint64(c.w.line.count(&c.pending))
	if available == 0 {
		if a.Expires <= 0 {
			return api.StatusNoMessages
		}
		return ""
	}
	asked := uint64(0)
	if c.pull != nil {
		for _, r := range c.pull.waiting.all() {
			if r.expires == 0 || r.expires > now {
				asked += uint64(r.left)
			}
		}
	}
	if available < asked {
		return api.StatusRequestsPending
	}
	return ""
}

// isCrowded tells whether no more requests may wait.
func (c *Consumer) isCrowded(now int64) bool {
	limit := c.cfg.MaxWaiting
	if limit <= 0 {
		limit = waitingMaxDefault
	}
	if c.pull == nil || c.pull.waiting.len() < limit {
		return false
	}
	c.prune(now)
	return c.pull.waiting.len() >= limit
}

// enter puts a request into the queue.
func (c *Consumer) enter(inbox string, a *api.PullRequest, now int64) {
	r := c.requests().take()
	*r = request{
		inbox: inbox, id: a.ID, left: a.Batch, bytes: a.MaxBytes, sized: a.MaxBytes > 0, noWait: a.NoWait,
		minPending: uint64(max(a.MinPending, 0)), minAckPending: uint64(max(a.MinAckPending, 0)),
		priority: uint8(a.Priority), grouped: a.Group != "",
	}
	if a.Expires > 0 {
		r.expires = now + int64(a.Expires)
		c.wakeAt(r.expires)
	}
	if a.Heartbeat > 0 {
		r.beat = int64(a.Heartbeat)
		r.beatAt = now + r.beat
		c.wakeAt(r.beatAt)
	}
	if r.noWait {
		c.pull.impatient++
	}
	c.line(r)
	c.wake()
}
