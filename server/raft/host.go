package raft

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

var (
	// ErrBusy: more is proposed and not yet applied, or applied and not yet flushed, than
	// [Config.UnappliedMax] or [Config.UnappliedTotalMax] allows. It passes by itself.
	ErrBusy = errors.New("too much is proposed and not yet applied or flushed")
	// ErrTooLarge: a payload is longer than [PayloadMax].
	ErrTooLarge = errors.New("entry is too large")
	// ErrOpen: a group of this ID is open already.
	ErrOpen = errors.New("group is open already")
	// ErrNoLog: the host has no log, so it takes memory groups only.
	ErrNoLog = errors.New("the host has no log: it takes memory groups only")
	// ErrFull: the disk is full. It passes when there is space again.
	ErrFull = storage.ErrFull
	// ErrDamaged: the log lost records of the group to damage of the disk.
	ErrDamaged = wal.ErrDamaged
)

// PayloadMax is the longest payload of an entry, in bytes.
const PayloadMax = wal.PayloadMax

// Config is what a host's groups have in common. The zero value holds the defaults.
type Config struct {
	// CheckpointBytes of log since a group's last checkpoint begin the next; 0 is 64 MiB.
	CheckpointBytes int64
	// UnappliedMax bounds the bytes that a group has proposed and not applied or flushed; 0 is 64 MiB.
	UnappliedMax int64
	// UnappliedTotalMax bounds the same for all groups together; 0 is 512 MiB.
	UnappliedTotalMax int64
}

func (c Config) withDefaults() Config {
	if c.CheckpointBytes <= 0 {
		c.CheckpointBytes = 64 << 20
	}
	if c.UnappliedMax <= 0 {
		c.UnappliedMax = 64 << 20
	}
	if c.UnappliedTotalMax <= 0 {
		c.UnappliedTotalMax = 512 << 20
	}
	return c
}

// Host runs the groups of a server over its log. Its methods may be called from any
// strand.
type Host struct {
	cfg Config
	log *wal.Log

	unapplied   atomic.Int64 // bytes, of all groups, as of their last tasks
	entries     atomic.Uint64
	bytes       atomic.Uint64
	checkpoints atomic.Uint64

	mu     sync.Mutex // guards open; held across no call out
	groups map[ID]*Group
}

// Metrics of a host since it was made.
type Metrics struct {
	Groups      int    // open ones
	Entries     uint64 // proposed
	Bytes       uint64 // of their payloads
	Unapplied   int64  // bytes proposed and not yet applied
	Checkpoints uint64 // completed
	Log         wal.Metrics
}

// NewHost makes a host. log may be nil: memory groups only.
func NewHost(log *wal.Log, cfg Config) *Host {
	return &Host{cfg: cfg.withDefaults(), log: log, groups: map[ID]*Group{}}
}

// Open starts a group. It is called on o.Strand, and calls nobody before it returns. Then
// the machine gets Restore, the entries that the log holds behind the checkpoint, and
// Applied(true). What is proposed before that is applied after it. An ID that the log
// does not know is a new group. A group that was stopped is read again: until then Propose
// answers ErrBusy.
func (h *Host) Open(o Options) (*Group, error) {
	if !o.Memory && h.log == nil {
		return nil, fmt.Errorf("open group %q: %w", o.Name, ErrNoLog)
	}
	g := newGroup(h, o)
	h.mu.Lock()
	_, taken := h.groups[o.ID]
	if !taken {
		h.groups[o.ID] = g
	}
	h.mu.Unlock()
	if taken {
		return nil, fmt.Errorf("open group %q: %w", o.Name, ErrOpen)
	}
	if err := g.attach(); err != nil {
		h.forget(g)
		return nil, fmt.Errorf("open group %q: %w", o.Name, err)
	}
	o.Strand.Post(g.start)
	return g, nil
}

func (h *Host) forget(g *Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.groups[g.opts.ID] == g {
		delete(h.groups, g.opts.ID)
	}
}

// Unopened lists the groups that the log knew at start and nobody has opened or
// dropped since, in order.
func (h *Host) Unopened() []ID {
	if h.log == nil {
		return nil
	}
	found := h.log.Unattached()
	ids := make([]ID, len(found))
	for i, id := range found {
		ids[i] = ID(id)
	}
	return ids
}

// DropUnopened removes what the log has of a group that nobody has open. done is called
// on s when that is durable.
func (h *Host) DropUnopened(id ID, s clock.Strand, done func(error)) {
	if h.log == nil {
		s.Post(func() { done(ErrNoLog) })
		return
	}
	h.log.DropUnattached(wal.ID(id), s, done)
}

// Metrics tells what has happened so far.
func (h *Host) Metrics() Metrics {
	h.mu.Lock()
	open := len(h.groups)
	h.mu.Unlock()
	m := Metrics{
		Groups: open, Entries: h.entries.Load(), Bytes: h.bytes.Load(),
		Unapplied: h.unapplied.Load(), Checkpoints: h.checkpoints.Load(),
	}
	if h.log != nil {
		m.Log = h.log.Metrics()
	}
	return m
}
