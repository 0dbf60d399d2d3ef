package broker

// Kept counts the receivers that a publisher has a stage for.
func (c *Client) Kept() int { return len(c.stages) }

// Kept counts the receivers that a sender has a stage for.
func (s *Sender) Kept() int { return len(s.pub.stages) }
