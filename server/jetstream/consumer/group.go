package consumer

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// group is the priority group of a consumer, of which the first of its configuration counts.
type group struct {
	name     string
	pin      string // id of the client that alone gets messages; "" is nobody
	pinnedAt int64  // wall
	pinDue   int64  // monotonic, when the pin ends if the client is silent
}

// pinTimeoutDefault is how long a pinned client may be silent where the configuration is silent.
const pinTimeoutDefault = 2 * time.Minute

// newGroup gives the group of a configuration, or nil.
func newGroup(cfg *api.ConsumerConfig) *group {
	if cfg.PriorityPolicy == api.PriorityNone || len(cfg.PriorityGroups) == 0 {
		return nil
	}
	return &group{name: cfg.PriorityGroups[0]}
}

func (c *Consumer) prioritized() bool {
	return c.group != nil && c.cfg.PriorityPolicy == api.PriorityPrioritized
}

func (c *Consumer) pins() bool {
	return c.group != nil && c.cfg.PriorityPolicy == api.PriorityPinnedClient
}

// eligible tells whether a request may have the next message.
func (c *Consumer) eligible(r *request) bool {
	if c.group == nil {
		return true
	}
	switch c.cfg.PriorityPolicy {
	case api.PriorityOverflow:
		if r.minPending == 0 && r.minAckPending == 0 {
			return true
		}
		pending := c.ahead + uint64(c.w.line.count(&c.pending))
		return r.minPending > 0 && pending >= r.minPending ||
			r.minAckPending > 0 && uint64(c.pending.len()) >= r.minAckPending
	case api.PriorityPinnedClient:
		return c.group.pin == "" || c.group.pin == r.id
	}
	return true
}

// staleID tells whether a request claims a pin that is another's or nobody's.
func (c *Consumer) staleID(r *request) bool {
	return c.pins() && r.id != "" && r.id != c.group.pin
}

// pinFor gives the pin id that goes with a message to r: a new one if nobody is pinned.
func (c *Consumer) pinFor(r *request) string {
	if !c.pins() || !r.grouped {
		return ""
	}
	if c.group.pin == "" {
		return api.NewID(c.host.Rand())
	}
	return c.group.pin
}

// pinned notes that r got a message with a pin.
func (c *Consumer) pinned(r *request, pin string, now int64) {
	if g := c.group; g.pin == "" {
		g.pin, r.id = pin, pin
		g.pinnedAt = c.host.Now()
		c.advisePinned()
	}
	c.renewPin(now)
}

// renewPin gives the pinned client its time again.
func (c *Consumer) renewPin(now int64) {
	ttl := c.cfg.PinnedTTL
	if ttl <= 0 {
		ttl = pinTimeoutDefault
	}
	c.group.pinDue = now + int64(ttl)
	c.wakeAt(c.group.pinDue)
}

// tendPin ends a pin whose client was silent, and gives when that is due.
func (c *Consumer) tendPin(now int64) (next int64) {
	if !c.pins() || c.group.pin == "" {
		return 0
	}
	if c.group.pinDue > now {
		return c.group.pinDue
	}
	c.unpin(api.UnpinnedByTimeout)
	return 0
}

// Unpin takes the pin of a group away; false when the consumer has no such group.
func (c *Consumer) Unpin(name string) bool {
	if c.group == nil || c.group.name != name {
		return false
	}
	c.unpin(api.UnpinnedByAdmin) // is told even if nobody was pinned
	return true
}

func (c *Consumer) unpin(reason string) {
	c.group.pin, c.group.pinnedAt, c.group.pinDue = "", 0, 0
	c.adviseUnpinned(reason)
	c.wake()
}
