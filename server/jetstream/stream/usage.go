package stream

import (
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Usage is what the streams of one account hold together on this server, and what
// they may. It is shared by their strands: all of it is atomic.
type Usage struct {
	messages, consumers atomic.Int64
	internal            atomic.Int64 // consumers of mirrors and sources that are listed nowhere
	served              atomic.Int64 // consumers of both kinds, of the streams that this server leads
	memory, file        atomic.Int64
	memMax, fileMax     atomic.Int64    // -1 is unlimited
	total               *Usage          // the server's
	complained          [2]atomic.Int64 // when it was last said that a limit of memory or files is passed: monotonic; 0 never
}

// NewUsage makes the usage of an account; total is the server's, nil for that itself.
func NewUsage(total *Usage) *Usage {
	u := &Usage{total: total}
	u.SetLimits(-1, -1)
	return u
}

// SetLimits sets the most bytes of each kind; -1 is unlimited.
func (u *Usage) SetLimits(memory, file int64) {
	u.memMax.Store(memory)
	u.fileMax.Store(file)
}

// Used is the bytes of messages in streams of this kind.
func (u *Usage) Used(s api.StorageType) int64 { return u.of(s).Load() }

func (u *Usage) of(s api.StorageType) *atomic.Int64 {
	if s == api.MemoryStorage {
		return &u.memory
	}
	return &u.file
}

// add counts n more bytes, here and for the server.
func (u *Usage) add(s api.StorageType, n int64) {
	for ; u != nil; u = u.total {
		u.of(s).Add(n)
	}
}

// over tells whether n more bytes are too many for this level alone.
func (u *Usage) over(s api.StorageType, n int64) bool {
	max := u.fileMax.Load()
	if s == api.MemoryStorage {
		max = u.memMax.Load()
	}
	return max >= 0 && u.of(s).Load()+n > max
}

// complainInterval is how often it is said, at most, that a limit is passed.
const complainInterval = 10 * time.Second

// complains tells whether it is time to say that a limit is passed.
func (u *Usage) complains(s api.StorageType, mono time.Duration) bool {
	at := &u.complained[0]
	if s == api.MemoryStorage {
		at = &u.complained[1]
	}
	last, now := at.Load(), max(int64(mono), 1)
	return (last == 0 || now-last >= int64(complainInterval)) && at.CompareAndSwap(last, now)
}

// Consumers is how many there are, besides the Internal ones of mirrors and sources that are listed nowhere; Messages how many
// messages.
func (u *Usage) Consumers() int64 { return u.consumers.Load() }
func (u *Usage) Internal() int64  { return u.internal.Load() }

// Served is how many consumers of both kinds the streams have that this server leads.
func (u *Usage) Served() int64   { return u.served.Load() }
func (u *Usage) Messages() int64 { return u.messages.Load() }

func (u *Usage) addConsumers(n int64) {
	for ; u != nil; u = u.total {
		u.consumers.Add(n)
	}
}

func (u *Usage) addInternal(n int64) {
	for ; u != nil; u = u.total {
		u.internal.Add(n)
	}
}

func (u *Usage) addServed(n int64) {
	for ; u != nil; u = u.total {
		u.served.Add(n)
	}
}

func (u *Usage) addMessages(n int64) {
	for ; u != nil; u = u.total {
		u.messages.Add(n)
	}
}
