package stream

import (
	"encoding/binary"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// saving is a checkpoint under way. A stream may have very many consumers, so they are written a slice at a time while
// the stream goes on; one that is about to change is written before it does. So the state is that of the moment at
// which the checkpoint was asked for. A consumer that changes before it is written after all is ahead of the log by
// what it records, which the log then has twice; its events allow that.
type saving struct {
	head   []byte              // what stands before the consumers
	tail   []byte              // and behind
	list   []*hosted           // in order
	next   int                 // of list, the first that is not written
	early  map[*hosted][]byte  // written before their turn; looked up only
	slices [][]byte            // of consumers
	done   func([]byte, error) // nil: told
	state  []byte              // reused
	stored bool                // the messages are safe
	store  []byte              // their manifest
}

// sliceDefault is how many messages or consumers one task deals with where there may be very many.
const sliceDefault = 2048

// slice is that for this stream; with small blocks, as simulations have them, it is small, too.
func (s *Stream) slice() int {
	if b := s.env.Store.BlockBytes; b > 0 {
		return min(max(b/512, 2), sliceDefault)
	}
	return sliceDefault
}

// newSaving begins a checkpoint.
func (s *Stream) newSaving(done func([]byte, error)) *saving {
	b := codec.AppendBytes(nil, api.Marshal(s.cfg))
	b = codec.AppendBytes(b, s.machine.Snapshot())
	b = binary.AppendUvarint(b, uint64(s.consumers.nextID))
	v := &saving{list: s.consumers.all(), tail: s.keep.snapshot(nil), done: done}
	v.head = binary.AppendUvarint(b, uint64(len(v.list)))
	return v
}

// saveMore writes the next slice of consumers.
func (s *Stream) saveMore() {
	if v := s.saving; v != nil && v.more(s.slice()) {
		s.strand.Post(s.saveMore)
		return
	}
	s.saved()
}

// saveRest writes all consumers that are not written yet, before many of them change.
func (s *Stream) saveRest() {
	if v := s.saving; v != nil && v.next < len(v.list) {
		v.more(len(v.list))
	}
}

// saveFirst writes a consumer, which is about to change, unless it is written.
func (s *Stream) saveFirst(h *hosted) {
	if s.saving != nil {
		s.saving.first(h)
	}
}

func (v *saving) first(h *hosted) {
	if v.next == len(v.list) || h.id < v.list[v.next].id || h.id > v.list[len(v.list)-1].id || v.early[h] != nil {
		return
	}
	if v.early == nil {
		v.early = make(map[*hosted][]byte)
	}
	v.early[h] = v.append(nil, h)
}

// more writes up to n consumers, and tells whether there are others.
func (v *saving) more(n int) bool {
	end := min(v.next+n, len(v.list))
	size := 96 * (end - v.next)
	if k := len(v.slices); k > 0 {
		size = len(v.slices[k-1]) + 64
	}
	b := make([]byte, 0, size)
	for _, h := range v.list[v.next:end] {
		if p := v.early[h]; p != nil {
			b = append(b, p...)
		} else {
			b = v.append(b, h)
		}
	}
	v.slices = append(v.slices, b)
	v.next = end
	return v.next < len(v.list)
}

// append appends a consumer: what it is, and its state.
func (v *saving) append(b []byte, h *hosted) []byte {
	b = appendConsumerEntry(b, h.id, h.name, h.c.Created(), h.c.Config())
	v.state = h.c.Snapshot(v.state[:0])
	return codec.AppendBytes(b, v.state)
}

// saved gives the checkpoint away when all of it is there.
func (s *Stream) saved() {
	v := s.saving
	if v == nil || !v.stored || v.next < len(v.list) {
		return
	}
	s.saving = nil
	parts := append([][]byte{v.head}, v.slices...)
	v.done(appendState(v.store, s.generation, append(parts, v.tail)...), nil)
}
