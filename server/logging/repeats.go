package logging

import (
	"sync"
	"time"
)

const (
	repeatInterval = time.Second
	repeatsMax     = 1024 // different statements remembered within one interval
)

// Repeats tells which of many identical statements to write: each at most once a
// second. Its zero value is ready, and any strand may ask it.
type Repeats struct {
	mu     sync.Mutex
	epoch  time.Duration // when the present generation of statements began
	recent map[string]time.Duration
	older  map[string]time.Duration
}

// Allow reports whether statement should be written at the monotonic time now. When
// more different statements come than it remembers, it lets some through twice rather
// than grow.
func (r *Repeats) Allow(now time.Duration, statement string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recent == nil || now-r.epoch >= repeatInterval || len(r.recent) >= repeatsMax {
		r.older, r.recent, r.epoch = r.recent, make(map[string]time.Duration), now
	}
	last, seen := r.recent[statement]
	if !seen {
		last, seen = r.older[statement]
	}
	if seen && now-last < repeatInterval {
		return false
	}
	r.recent[statement] = now
	return true
}
