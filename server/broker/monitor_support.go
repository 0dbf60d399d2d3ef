package broker

import "github.com/lockstepmq/lockstep/server/account"

// What monitoring asks beside [Client.State]. Any strand.

// Address is where clients reach the server, as INFO tells them.
func (b *Broker) Address() Address { return *b.listen.Load() }

// MeasureRTT pings a client whose round trip is not known yet, so that a later
// look at it knows. Only clients that named their language are asked, and none
// that has a ping to answer: asking often must not make a client look stale.
func (c *Client) MeasureRTT() {
	if c.rtt.Load() != 0 {
		return
	}
	if id := c.ident.Load(); id == nil || id.Connect.Lang == "" {
		return
	}
	c.strand.Post(func() {
		if c.phase == phaseClosed || !c.connected || c.pings > 0 || c.rtt.Load() != 0 {
			return
		}
		c.now = c.b.clock.Monotonic()
		c.sendPing()
		c.conn.Flush()
	})
}

// Delivered is how many messages a subscription of this connection received, and
// after how many it ends; 0 is never. A shadow shares the numbers of its origin.
func (c *Client) Delivered(s *account.Subscription) (msgs, limit int64) {
	n := s.Counter()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return n.Delivered, n.Max
}

// AccountName is the account that the connection belongs to.
func (c *Client) AccountName() string { return c.account() }
