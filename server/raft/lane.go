package raft

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

const (
	// frameBytes is the length from which a frame takes no further section.
	frameBytes = 256 << 10
	// framesKept bounds the empty frames that are kept for a server.
	framesKept = 4
	// lazyDelay is how long sections wait at most that tell only who lives: those of many groups come at
	// nearly the same time.
	lazyDelay = 5 * time.Millisecond
)

// outgoing gathers what the groups have for other servers. Sections come from any strand, and frames
// leave from the host's: what comes while it is busy leaves together.
type outgoing struct {
	lane     Lane
	strand   clock.Strand
	bytesMax int
	task     func()
	timer    clock.Timer // runs task

	mu     sync.Mutex // guards what follows; held across no call out
	peers  map[core.MemberID]*peer
	dirty  []*peer // with frames, in the order of their first sections
	posted bool    // flush is
	armed  bool    // the timer is
	spare  []*peer // the strand's

	frames, bytes, dropped atomic.Uint64
}

// peer is another server.
type peer struct {
	id      core.MemberID
	down    bool
	frames  [][]byte
	waiting int // bytes of frames
	empty   [][]byte
	taken   [][]byte // the strand's: frames being sent
}

// of is what is kept of a server; the lock is held.
func (o *outgoing) of(id core.MemberID) *peer {
	p := o.peers[id]
	if p == nil {
		p = &peer{id: id}
		o.peers[id] = p
	}
	return p
}

// put queues a section, which is copied, and has it sent at once.
func (o *outgoing) put(from clock.Strand, to core.MemberID, section []byte) {
	if o.add(to, section, false) {
		o.strand.PostFrom(from, o.task)
	}
}

// putLazy queues a section that may wait a little.
func (o *outgoing) putLazy(to core.MemberID, section []byte) {
	if o.add(to, section, true) {
		o.timer.Reset(lazyDelay)
	}
}

// add queues a section, and tells whether flush has to be asked for. It is dropped when too much waits.
func (o *outgoing) add(to core.MemberID, section []byte, lazy bool) bool {
	o.mu.Lock()
	p := o.of(to)
	if p.waiting > 0 && p.waiting+len(section) > o.bytesMax {
		o.mu.Unlock()
		o.dropped.Add(1)
		return false
	}
	if len(p.frames) == 0 {
		o.dirty = append(o.dirty, p)
	}
	p.add(section)
	asked := o.posted || lazy && o.armed
	if lazy {
		o.armed = o.armed || !o.posted
	} else {
		o.posted = true
	}
	o.mu.Unlock()
	return !asked
}

// add appends a section to the last frame, or to a new one.
func (p *peer) add(section []byte) {
	n := len(p.frames)
	if n == 0 || len(p.frames[n-1])+len(section) > frameBytes {
		var frame []byte
		if e := len(p.empty); e > 0 {
			frame, p.empty = p.empty[e-1], p.empty[:e-1]
		}
		p.frames = append(p.frames, append(frame, frameVersion))
		n++
	}
	p.frames[n-1] = append(p.frames[n-1], section...)
	p.waiting += len(section)
}

// flush gives the lane what waits.
func (o *outgoing) flush() {
	o.mu.Lock()
	dirty := o.dirty
	o.dirty, o.spare, o.posted, o.armed = o.spare[:0], nil, false, false
	for _, p := range dirty {
		p.taken, p.frames = p.frames, p.taken[:0]
		p.waiting = 0
	}
	o.mu.Unlock()
	for _, p := range dirty {
		for _, frame := range p.taken {
			if o.lane.Send(p.id, frame) {
				o.frames.Add(1)
				o.bytes.Add(uint64(len(frame)))
			} else {
				o.dropped.Add(1)
			}
		}
	}
	o.mu.Lock()
	for _, p := range dirty {
		for i, frame := range p.taken {
			if len(p.empty) < framesKept && cap(frame) <= 2*frameBytes {
				p.empty = append(p.empty, frame[:0])
			}
			p.taken[i] = nil
		}
		p.taken = p.taken[:0]
	}
	clear(dirty)
	o.spare = dirty[:0]
	o.mu.Unlock()
}

// setDown notes whether a server can be vouched for.
func (o *outgoing) setDown(id core.MemberID, down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(id).down = down
}

// down lists the servers that cannot be vouched for, ascending.
func (o *outgoing) down() []core.MemberID {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []core.MemberID
	//lockstep:ordered sorted below
	for id, p := range o.peers {
		if p.down {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// incoming counts what other servers sent.
type incoming struct{ frames, bytes, dropped atomic.Uint64 }

// inbound is a section that waits for its group's strand.
type inbound struct {
	from    core.MemberID
	kind    sectionKind
	term    core.Term
	message []byte
}

// inboundBytes is what a section takes besides its message.
const inboundBytes = 64

func (in inbound) size() int { return inboundBytes + len(in.message) }

// Frame takes a frame that another server's host gave to its lane. It may be called from any strand; p
// is not kept. Bytes that are no frame are dropped.
func (h *Host) Frame(from core.MemberID, p []byte) {
	h.in.frames.Add(1)
	h.in.bytes.Add(uint64(len(p)))
	rest, err := sections(p)
	for err == nil && len(rest) > 0 {
		var s section
		if s, rest, err = nextSection(rest); err == nil {
			h.section(from, &s)
		}
	}
	if err != nil {
		h.in.dropped.Add(1)
	}
}

// section hands a section to its group.
func (h *Host) section(from core.MemberID, s *section) {
	h.mu.Lock()
	m := h.members[s.id]
	open := m != nil || h.groups[s.id] != nil
	h.mu.Unlock()
	if m == nil {
		h.in.dropped.Add(1)
		if !open && h.cfg.UnknownGroup != nil {
			h.cfg.UnknownGroup(from, s.id)
		}
		return
	}
	if !m.inbox.Put(inbound{from, s.kind, s.term, slices.Clone(s.message)}) {
		h.in.dropped.Add(1)
	}
}

// PeerUp tells all groups that a server can be vouched for again: it is connected, and whatever it is sent
// arrives while it stays so. It may be called from any strand.
func (h *Host) PeerUp(id core.MemberID) { h.peer(id, false) }

// PeerDown tells all groups that a server cannot be vouched for: it is silent, or its process is another one
// than before. It may be called from any strand.
func (h *Host) PeerDown(id core.MemberID) { h.peer(id, true) }

func (h *Host) peer(id core.MemberID, down bool) {
	h.out.setDown(id, down)
	for _, m := range h.sortedMembers() {
		m.strand.Post(func() { m.peer(id, down) })
	}
}

// sortedMembers lists the groups of several servers that are open.
func (h *Host) sortedMembers() []*member {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*member, 0, len(h.members))
	//lockstep:ordered sorted below
	for _, m := range h.members {
		list = append(list, m)
	}
	//lockstep:total IDs are unique
	slices.SortFunc(list, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.id.Group, b.id.Group), cmp.Compare(a.id.Incarnation, b.id.Incarnation))
	})
	return list
}
