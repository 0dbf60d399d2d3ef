package stream

import (
	"encoding/binary"
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// retention is what consumers hold of an interest stream: for each message how many of
// them still need it. A message goes when its count reaches nothing. A work queue
// needs no counts, since each message has one consumer at most.
//
// It is part of the replicated state: it changes when entries are applied, and never
// by a scan.
type retention struct {
	needs map[uint64]uint32
}

// isInterest and isQueue tell the retention of the stream.
func (s *Stream) isInterest() bool { return s.cfg.Retention == api.InterestPolicy }
func (s *Stream) isQueue() bool    { return s.cfg.Retention == api.WorkQueuePolicy }

// Wanted tells whether any consumer's filter matches subject; see [machine.Interest].
func (s *Stream) Wanted(subject []byte) bool { return s.consumers.count(subject) > 0 }

// retain counts who needs a message that was just stored.
func (s *Stream) retain(seq uint64, subject []byte) {
	if !s.isInterest() {
		return
	}
	n := uint32(0)
	for _, h := range s.consumers.interest.all {
		if !h.c.StartsBeyond(seq) {
			n++
		}
	}
	for _, h := range s.consumers.interest.matching(subject) {
		if !h.c.StartsBeyond(seq) {
			n++
		}
	}
	s.keep.needs[seq] = n
}

// wasReset makes the counts anew after a consumer was moved back: it needs again what is still
// there.
func (s *Stream) wasReset() {
	if s.isInterest() {
		clear(s.keep.needs)
		for _, h := range s.consumers.all() {
			s.adopt(h)
		}
	}
}

// release takes back what one consumer held of the sequences from first to last, and
// removes what nobody needs.
func (s *Stream) release(h *hosted, first, last uint64) {
	if !s.isInterest() && !s.isQueue() {
		return
	}
	f := h.c.Filter()
	for {
		seq, ok := s.store.Next(f, first)
		if !ok || seq > last {
			return
		}
		s.letGo(seq)
		if first = seq + 1; first > last {
			return
		}
	}
}

// letGo counts one consumer less for a message.
func (s *Stream) letGo(seq uint64) {
	if s.isInterest() {
		if n := s.keep.needs[seq]; n > 1 {
			s.keep.needs[seq] = n - 1
			return
		}
	}
	s.machine.RemoveAcked(seq)
}

// adopt counts a new consumer for what it needs of what is there already.
func (s *Stream) adopt(h *hosted) {
	if s.isInterest() {
		s.eachNeeded(h, func(seq uint64) { s.keep.needs[seq]++ })
	}
}

// disown takes back everything that a consumer held. With the last consumer of an
// interest stream everything goes.
func (s *Stream) disown(h *hosted) {
	switch {
	case !s.isInterest():
	case s.consumers.len() == 0:
		s.machine.PurgeUnneeded()
	default:
		s.eachNeeded(h, s.letGo)
	}
}

// eachNeeded visits the messages that a consumer needs.
func (s *Stream) eachNeeded(h *hosted, visit func(seq uint64)) {
	f := h.c.Filter()
	for seq, ok := s.store.Next(f, 1); ok; seq, ok = s.store.Next(f, seq+1) {
		if h.c.Needs(seq) {
			visit(seq)
		}
	}
}

// recount makes all counts anew, when the retention changes to interest, and lets go of
// what nobody needs.
func (s *Stream) recount() {
	clear(s.keep.needs)
	if !s.isInterest() {
		return
	}
	s.keep.needs = make(map[uint64]uint32)
	for _, h := range s.consumers.all() {
		s.adopt(h)
	}
	for seq, ok := s.store.Next(nil, 1); ok; seq, ok = s.store.Next(nil, seq+1) {
		if s.keep.needs[seq] == 0 {
			s.machine.RemoveAcked(seq)
		}
	}
}

// forget drops the count of a message that is gone.
func (r *retention) forget(seq uint64) { delete(r.needs, seq) }

// clear drops the counts of all that is gone, when there are few messages or none.
func (r *retention) clear(store msgs.Store) {
	if len(r.needs) == 0 {
		return
	}
	needs := r.needs
	r.needs = make(map[uint64]uint32)
	for seq, ok := store.Next(nil, 1); ok; seq, ok = store.Next(nil, seq+1) {
		if n, counted := needs[seq]; counted {
			r.needs[seq] = n
		}
	}
}

// snapshot appends the counts as runs of equal ones.
func (r *retention) snapshot(dst []byte) []byte {
	seqs := make([]uint64, 0, len(r.needs))
	for seq := range r.needs { //lockstep:ordered sorted below
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	var runs []byte
	n := 0
	for i := 0; i < len(seqs); {
		j := i + 1
		for j < len(seqs) && j-i < runMax && seqs[j] == seqs[j-1]+1 && r.needs[seqs[j]] == r.needs[seqs[i]] {
			j++
		}
		runs = binary.AppendUvarint(runs, seqs[i])
		runs = binary.AppendUvarint(runs, uint64(j-i))
		runs = binary.AppendUvarint(runs, uint64(r.needs[seqs[i]]))
		i, n = j, n+1
	}
	return append(binary.AppendUvarint(dst, uint64(n)), runs...)
}

// runMax bounds one run, so that a state that cannot be right does not take all memory.
const runMax = 1 << 26

// restore reads what snapshot wrote.
func (r *retention) restore(d *codec.Reader) {
	r.needs = make(map[uint64]uint32)
	for range d.Uint() {
		first, n, count := d.Uint(), d.Uint(), d.Uint()
		if d.Err() != nil || n > runMax {
			d.Fail()
			return
		}
		for i := range n {
			r.needs[first+i] = uint32(count)
		}
	}
}
