package raft

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft/core"
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

	// Self, Lane, Clock and Strand are what groups of several servers need. Self names this server for good. Frames
	// leave from Strand, which should do little else.
	Self   core.MemberID
	Lane   Lane
	Clock  clock.Clock
	Strand clock.Strand
	// UnknownGroup, if not nil, is told that another server has something for a group that is not open
	// here. It is called on any strand, from within Frame, as often as it happens.
	UnknownGroup func(from core.MemberID, id ID)
	// HeartbeatInterval is the silence that a leader allows itself; 0 is 200 ms.
	HeartbeatInterval time.Duration
	// A follower campaigns after a silence drawn from ElectionMin to ElectionMax; 0 is 600 ms and 1200 ms.
	// ElectionMin is three heartbeats or more.
	ElectionMin, ElectionMax time.Duration
	// IdleAfter is when a group of which nobody wants anything falls asleep; 0 is 1500 ms.
	IdleAfter time.Duration
	// CacheBytes of applied entries stay in memory for followers of a group that lag; 0 is 256 KiB. Others are read
	// back from the log.
	CacheBytes int64
	// InboxBytesMax bounds what a group was sent and has not looked at; 0 is 16 MiB. OutboxBytesMax bounds
	// what the groups have for one server, and the lane was not given; 0 is 64 MiB. What is above is dropped.
	InboxBytesMax, OutboxBytesMax int
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
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, 200*time.Millisecond)
	c.ElectionMin = cmp.Or(c.ElectionMin, 600*time.Millisecond)
	c.ElectionMax = cmp.Or(c.ElectionMax, 1200*time.Millisecond)
	c.IdleAfter = cmp.Or(c.IdleAfter, 1500*time.Millisecond)
	c.CacheBytes = cmp.Or(c.CacheBytes, 256<<10)
	c.InboxBytesMax = cmp.Or(c.InboxBytesMax, 16<<20)
	c.OutboxBytesMax = cmp.Or(c.OutboxBytesMax, 64<<20)
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

	out                outgoing
	in                 incoming
	leaders, asleep    atomic.Int64
	snapshotsSent      atomic.Uint64
	snapshotsInstalled atomic.Uint64

	mu      sync.Mutex // guards what follows; held across no call out
	groups  map[ID]*Group
	members map[ID]*member // of them, those of several servers
}

// Metrics of a host since it was made.
type Metrics struct {
	Groups      int    // open ones
	Entries     uint64 // proposed
	Bytes       uint64 // of their payloads
	Unapplied   int64  // bytes proposed and not yet applied
	Checkpoints uint64 // completed
	Log         wal.Metrics

	Replicated int   // open groups of several servers
	Leaders    int64 // of them, those that this server leads
	Asleep     int64 // of them, those that sleep
	// Frames of and for other servers.
	FramesOut, BytesOut, FramesIn, BytesIn uint64
	// DroppedOut and DroppedIn are sections and frames that had no room, or nobody to take them.
	DroppedOut, DroppedIn uint64
	// Snapshots that were sent and installed whole.
	SnapshotsSent, SnapshotsInstalled uint64
}

// NewHost makes a host. log may be nil: memory groups only.
func NewHost(log *wal.Log, cfg Config) *Host {
	h := &Host{cfg: cfg.withDefaults(), log: log, groups: map[ID]*Group{}, members: map[ID]*member{}}
	h.out.lane, h.out.strand, h.out.bytesMax = h.cfg.Lane, h.cfg.Strand, h.cfg.OutboxBytesMax
	h.out.peers = map[core.MemberID]*peer{}
	h.out.task = h.out.flush
	if h.cfg.Strand != nil {
		h.out.timer = h.cfg.Strand.NewTimer(h.out.task)
	}
	return h
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
	if o.Members != nil {
		if err := h.cannotReplicate(o.Name, o.Machine); err != nil {
			return nil, err
		}
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
	if g.member != nil {
		h.addMember(g.member)
	}
	o.Strand.Post(g.start)
	return g, nil
}

func (h *Host) addMember(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members[m.id] = m
}

func (h *Host) forgetMember(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members[m.id] == m {
		delete(h.members, m.id)
	}
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
	open, members := len(h.groups), len(h.members)
	h.mu.Unlock()
	m := Metrics{
		Groups: open, Entries: h.entries.Load(), Bytes: h.bytes.Load(),
		Unapplied: h.unapplied.Load(), Checkpoints: h.checkpoints.Load(),
		Replicated: members, Leaders: h.leaders.Load(), Asleep: h.asleep.Load(),
		FramesOut: h.out.frames.Load(), BytesOut: h.out.bytes.Load(), DroppedOut: h.out.dropped.Load(),
		FramesIn: h.in.frames.Load(), BytesIn: h.in.bytes.Load(), DroppedIn: h.in.dropped.Load(),
		SnapshotsSent: h.snapshotsSent.Load(), SnapshotsInstalled: h.snapshotsInstalled.Load(),
	}
	if h.log != nil {
		m.Log = h.log.Metrics()
	}
	return m
}
