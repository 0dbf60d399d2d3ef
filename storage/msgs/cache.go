package msgs

import (
	"sync"
	"sync/atomic"
)

// Cache bounds what stores keep of their content in memory beside what no disk has yet. Stores on
// different strands share it; it locks inside, and calls nobody. What was not used since the
// last round goes first.
//
// Content that was written has a small part for itself, in order: whoever reads at the end of a stream finds it
// there, and the rest of the cache is for what is read.
type Cache struct {
	mu   sync.Mutex
	max  int64
	used int64
	ring []*content
	hand int

	written     []*content // in order; nil: it is gone
	first       int        // number of the first
	writtenUsed int64      // part of used
}

// writtenPart is the part of a cache for what was written and not read since.
const writtenPart = 8

// content is the records of a frame, as the cache knows them.
type content struct {
	data  []byte
	frame *frame
	place int  // in the ring, or the number among the written; -1: not there
	fresh bool // it is among the written
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

// put makes data, which was read, the cached content of f.
func (c *Cache) put(f *frame, data []byte) {
	t := &content{data: data, frame: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replace(f, t)
	c.enter(t)
	for c.used > c.max && len(c.ring) > 1 {
		c.turn(t)
	}
}

// putWritten is put of what was written: it goes when it is not used before as much again was written.
func (c *Cache) putWritten(f *frame, data []byte) {
	t := &content{data: data, frame: f, fresh: true}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replace(f, t)
	t.place = c.first + len(c.written)
	c.written = append(c.written, t)
	c.writtenUsed += t.cost()
	for c.writtenUsed > c.max/writtenPart && c.written[0] != t {
		c.pass()
	}
	for c.used > c.max && len(c.ring) > 0 {
		c.turn(t)
	}
}

func (c *Cache) replace(f *frame, t *content) {
	if old := f.cached.Swap(t); old != nil {
		c.remove(old)
	}
	c.used += t.cost()
}

// enter puts content into the ring.
func (c *Cache) enter(t *content) {
	t.place = len(c.ring)
	c.ring = append(c.ring, t)
}

// pass lets the oldest content that was written go, into the ring if it was used.
func (c *Cache) pass() {
	t := c.written[0]
	c.written[0] = nil
	c.written = c.written[1:]
	c.first++
	if t == nil {
		return
	}
	t.fresh = false
	c.writtenUsed -= t.cost()
	if t.used.Swap(false) {
		c.enter(t)
		return
	}
	t.place = -1
	c.used -= t.cost()
	t.frame.cached.CompareAndSwap(t, nil)
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
	switch {
	case t.place < 0:
		return
	case t.fresh:
		c.written[t.place-c.first] = nil
		c.writtenUsed -= t.cost()
		c.used -= t.cost()
		t.place, t.fresh = -1, false
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
