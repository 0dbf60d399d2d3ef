package broker

// What operators and embedding programs ask of single connections. Any strand.

// Kick closes the connection as a system request does.
func (c *Client) Kick() { c.Disconnect(Kicked, "") }

// AnnounceLameDuck tells the client that the server will go away, and answer, on
// the connection's strand, whether it could be told.
func (c *Client) AnnounceLameDuck(answer func(bool)) {
	c.strand.Post(func() {
		if c.phase == phaseClosed || !c.connected || !c.ponged || c.connect == nil || c.connect.Protocol < 1 {
			answer(false)
			return
		}
		c.now = c.b.clock.Monotonic()
		c.sendInfoWith(false, true)
		c.conn.Flush()
		answer(true)
	})
}

// PlaintextPasswords tells whether a configured password can be read.
func (b *Broker) PlaintextPasswords() bool { return b.table().PlaintextPasswords() }
