package broker

// Kept counts the receivers that a publisher has a stage for.
func (c *Client) Kept() int { return len(c.stages) }
