package broker

// Buffer gives an empty buffer with room for n bytes, from those that all strands share.
func (b *Broker) Buffer(n int) []byte { return b.buffers.get(n) }

// PutBuffer takes back a buffer that nobody refers to any more. It need not be one of Buffer.
func (b *Broker) PutBuffer(p []byte) { b.buffers.put(p) }
