package msgs

import (
	"sync"
	"sync/atomic"
)

// Cache bounds what stores keep of their content in memory beside what no disk has yet. Stores on
// different strands share it; it locks inside, and calls nobody. What was not used since the
// last round goes first.
type Cache struct {
	mu   sync.Mutex
	max  int64
	used int64
	ring []*content
	hand int
}

// content is the records of a frame, as the cache knows them.
type content struct {
	data  []byte
	frame *frame
	place int // in the ring; -1: not there
	used  atomic.Bool
}

// contentOverhead is what a cached frame costs beside its bytes.
const contentOverhead = 128

// NewCache makes a cache that holds up to max bytes; below 1 MiB it is 1 MiB.
func NewCache(max int64) *Cache {
	if max < 1<<20 {
		max = 1 << 20
	}
	return &Cache{max: max}
}

// Used is the number of bytes held.
func (c *Cache) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// touch notes that content is used.
func (c *content) touch() {
	if !c.used.Load() {
		c.used.Store(true)
	}
}

func (c *content) cost() int64 { return int64(cap(c.data)) + contentOverhead }

// put makes data the cached content of f.
func (c *Cache) put(f *frame, data []byte) {
	t := &content{data: data, frame: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := f.cached.Swap(t); old != nil {
		c.remove(old)
	}
	t.place = len(c.ring)
	c.ring = append(c.ring, t)
	c.used += t.cost()
	for c.used > c.max && len(c.ring) > 1 {
		c.turn(t)
	}
}

// turn advances the hand by one: what was not used since the last time goes. The newest
// stays.
func (c *Cache) turn(newest *content) {
	if c.hand >= len(c.ring) {
		c.hand = 0
	}
	t := c.ring[c.hand]
	if t == newest || t.used.Swap(false) {
		c.hand++
		return
	}
	t.frame.cached.CompareAndSwap(t, nil)
	c.remove(t)
}

func (c *Cache) remove(t *content) {
	if t.place < 0 {
		return
	}
	last := len(c.ring) - 1
	c.ring[t.place] = c.ring[last]
	c.ring[t.place].place = t.place
	c.ring[last] = nil
	c.ring = c.ring[:last]
	c.used -= t.cost()
	t.place = -1
}

// drop forgets the content of a frame that is gone.
func (c *Cache) drop(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := f.cached.Swap(nil); t != nil {
		c.remove(t)
	}
}
