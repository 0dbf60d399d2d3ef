package stream

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// A snapshot of a stream, as it travels to a server that lags:
//
//	uvarint length of the head | head | records of messages, see [msgs.Frozen.Append]
//
// The head is a version, what the store says of sequences, and what a checkpoint has behind the manifest.
const transferVersion = 1

// transfer is a [raft.Snapshot] of a stream. It belongs to the stream's strand.
type transfer struct {
	s      *Stream
	head   []byte
	frozen *msgs.Frozen
	marks  []mark // where runs begin, ascending
	run    []byte // of records
	at     uint64 // offset of run
	next   uint64 // sequence behind run
	busy   bool
	closed bool
}

// mark is where a run of records begins.
type mark struct{ offset, seq uint64 }

// runBytes is the length of a run, at least: what is read at one time.
const runBytes = 256 << 10

// Snapshot is part of [raft.Replica]. The state must be what the applied entries made: a leader's inputs are held
// until the log has caught up with its consumers.
func (s *Stream) Snapshot(done func(raft.Snapshot, error)) {
	if s.closed || s.failed != nil || s.halfway {
		done(nil, raft.ErrNoSnapshot)
		return
	}
	if !s.settled() {
		s.wantSnapshot = append(s.wantSnapshot, done)
		s.events.prompt = true
		s.proposeEvents()
		return
	}
	done(s.newTransfer(), nil)
}

func (s *Stream) newTransfer() *transfer {
	st := s.store.State()
	v := s.newSaving(nil)
	v.more(len(v.list))
	b := binary.AppendUvarint([]byte{transferVersion}, st.First)
	b = binary.AppendUvarint(b, st.Last)
	b = binary.AppendVarint(b, st.LastTime)
	b = append(b, v.head...)
	for _, p := range v.slices {
		b = append(b, p...)
	}
	b = append(b, v.tail...)
	t := &transfer{s: s, frozen: s.store.Freeze()}
	t.head = append(binary.AppendUvarint(nil, uint64(len(b))), b...)
	t.at = uint64(len(t.head))
	t.marks = []mark{{t.at, 1}}
	t.next = 1
	return t
}

// Close is part of [raft.Snapshot].
func (t *transfer) Close() {
	t.closed = true
	t.frozen.Close()
}

// Read is part of [raft.Snapshot].
func (t *transfer) Read(offset uint64, size int, done func(p []byte, last bool, err error)) {
	n := uint64(len(t.head))
	switch end := t.at + uint64(len(t.run)); {
	case t.closed || t.busy:
		done(nil, false, raft.ErrNoSnapshot)
	case offset < n:
		p := t.head[offset:]
		done(p[:min(len(p), size)], false, nil)
	case offset >= t.at && offset < end:
		p := t.run[offset-t.at:]
		p = p[:min(len(p), size)]
		done(p, offset+uint64(len(p)) == end && t.next > t.frozen.State().Last, nil)
	case offset == end && t.next > t.frozen.State().Last:
		done(nil, true, nil)
	default:
		if offset == end {
			t.begin(mark{end, t.next})
		} else {
			k := sort.Search(len(t.marks), func(i int) bool { return t.marks[i].offset > offset })
			if offset > end && k == len(t.marks) {
				done(nil, false, fmt.Errorf("%w: offset %d is beyond what was read", raft.ErrNoSnapshot, offset))
				return
			}
			t.begin(t.marks[k-1])
		}
		t.fill(func(err error) {
			if err != nil {
				done(nil, false, err)
				return
			}
			t.Read(offset, size, done)
		})
	}
}

// begin starts a run.
func (t *transfer) begin(m mark) {
	if m.offset > t.marks[len(t.marks)-1].offset {
		t.marks = append(t.marks, m)
	}
	t.run, t.at, t.next = nil, m.offset, m.seq
}

// fill reads a run, which is the same each time.
func (t *transfer) fill(done func(error)) {
	run, next, cold := t.frozen.Append(t.run, t.next, runBytes-len(t.run))
	t.run, t.next = run, next
	if !cold {
		done(nil)
		return
	}
	t.busy = true
	t.frozen.Warm(next, func(err error) {
		t.busy = false
		switch {
		case t.closed:
			done(raft.ErrNoSnapshot)
		case err != nil:
			t.run = nil
			t.at = 0 // nothing of it is used
			done(err)
		default:
			t.fill(done)
		}
	})
}

// installer is a [raft.Installer] of a stream: it fills a store beside the one that serves.
type installer struct {
	s          *Stream
	rest       []byte // came, and is not taken
	head       []byte
	last       uint64
	lastTime   int64
	store      msgs.Store
	generation uint64
	over       bool
}

// Install is part of [raft.Replica].
func (s *Stream) Install() raft.Installer { return &installer{s: s, generation: s.generation + 1} }

var errTransfer = fmt.Errorf("%w: a snapshot of another server", codec.ErrUnreadable)

// Write is part of [raft.Installer].
func (x *installer) Write(_ uint64, p []byte, done func(error)) {
	x.rest = append(x.rest, p...)
	if x.store != nil {
		done(x.take())
		return
	}
	n, w := binary.Uvarint(x.rest)
	if w < 0 || w == 0 && len(x.rest) >= binary.MaxVarintLen64 {
		done(errTransfer)
		return
	}
	if w == 0 || n > uint64(len(x.rest)-w) {
		done(nil)
		return
	}
	x.head, x.rest = x.rest[w:w+int(n):w+int(n)], x.rest[w+int(n):]
	x.begin(done)
}

// begin makes the store, whose first sequence the head tells.
func (x *installer) begin(done func(error)) {
	d := codec.Reader{P: x.head}
	version := d.Byte()
	first := d.Uint()
	x.last, x.lastTime = d.Uint(), d.Int()
	if version != transferVersion || d.Err() != nil || first > x.last+1 || x.last >= 1<<62 {
		done(errTransfer)
		return
	}
	x.head = d.P
	s := x.s
	s.newStore(x.generation, func(st msgs.Store, err error) {
		switch {
		case err != nil:
			done(err)
		case x.over || s.closed:
			st.Close()
			done(ErrClosed)
		default:
			x.store = st
			st.SetLimits(msgs.Limits{}) // what is over them was removed by entries
			if first > 1 {
				st.Skip(first-1, 0)
			}
			done(x.take())
		}
	})
}

// take stores the messages that have come whole.
func (x *installer) take() error {
	p := x.rest
	for len(p) >= 8 && uint64(binary.LittleEndian.Uint32(p[4:])) <= uint64(len(p)) {
		r, rest, err := msgs.ReadRecord(p)
		if err != nil {
			return fmt.Errorf("%w: %w", errTransfer, err)
		}
		if _, err := x.store.Append(r.Seq, r.Time, []byte(r.Subject), r.Header, r.Data, r.TTL); err != nil {
			return fmt.Errorf("%w: %w", errTransfer, err)
		}
		p = rest
	}
	x.rest = append([]byte(nil), p...)
	return nil
}

// Finish is part of [raft.Installer].
func (x *installer) Finish(done func([]byte, error)) {
	if x.store == nil || len(x.rest) > 0 {
		done(nil, errTransfer)
		return
	}
	if st := x.store.State(); st.Last < x.last || st.LastTime < x.lastTime {
		x.store.Skip(x.last, x.lastTime)
	}
	x.store.Checkpoint(func(manifest []byte, err error) {
		if err != nil {
			x.Abort()
			done(nil, err)
			return
		}
		x.adopt(manifest, done)
	})
}

// adopt puts the new state into the place of the stream's.
func (x *installer) adopt(manifest []byte, done func([]byte, error)) {
	s := x.s
	if s.closed || s.failed != nil {
		x.Abort()
		done(nil, ErrClosed)
		return
	}
	s.tick()
	s.replaced = append(s.replaced, s.store)
	s.store, s.generation = x.store, x.generation
	s.saving, s.manifest = nil, manifest
	s.consumers.reset()
	s.keep = retention{needs: make(map[uint64]uint32)}
	if err := s.restoreState(&codec.Reader{P: x.head}, true); err != nil {
		s.fail(err)
		done(nil, err)
		return
	}
	s.endTask()
	done(appendState(manifest, s.generation, x.head), nil)
}

// Abort is part of [raft.Installer].
func (x *installer) Abort() {
	x.over = true
	if x.store != nil {
		x.store.Delete(func(error) {})
	}
}

// appendState is the state of a checkpoint; see [saving].
func appendState(manifest []byte, generation uint64, rest ...[]byte) []byte {
	n := 1 + 2*binary.MaxVarintLen64 + len(manifest)
	for _, p := range rest {
		n += len(p)
	}
	b := codec.AppendBytes(append(make([]byte, 0, n), stateVersion), manifest)
	b = binary.AppendUvarint(b, generation)
	for _, p := range rest {
		b = append(b, p...)
	}
	return b
}
