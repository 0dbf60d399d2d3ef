package wal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/storage"
)

// Entry is one entry of a group.
type Entry struct {
	Index   uint64
	Term    uint64
	Kind    uint8
	Payload []byte
}

// Found is what recovery found of a group.
type Found struct {
	// State is that of the newest complete checkpoint, nil when there is none.
	State      []byte
	StateIndex uint64
	StateTerm  uint64
	// Entries follow StateIndex without a gap.
	Entries []Entry
	// Lost are the indexes of entries that were durable and cannot be read, ascending; only AttachReplica
	// tells them. In Entries they have their places: without a payload, and with the term if that is known, else 0.
	Lost []uint64
	Hard HardState
	// Damage is set when records of the group were lost, or may have been: it is a
	// *storage.DamageError that wraps ErrDamaged. State and Entries are what is intact before the
	// first gap. Such a group takes nothing any more but Drop and Reset, and of a replica the hard state.
	Damage error
}

// Report tells what recovery met.
type Report struct {
	Created  bool // there was no log
	Clean    bool // it was closed: nothing can have been lost
	Segments int
	Batches  int
	Groups   int
	// Torn is what was never acknowledged as durable, and is cut off; nil for nothing.
	Torn *Torn
	// Damage is what was durable and cannot be read. The files stay as they are.
	Damage []Damage
	// Kept are damaged segments that belong to the log no more.
	Kept []string
	// Foreign are names in the directory that the log does not know.
	Foreign []string
}

// Torn is an end of the last segment that a crash left incomplete.
type Torn struct {
	File   string
	Offset int64
	Bytes  int64
	Err    error
}

// Damage is bytes that cannot be trusted although they were durable once.
type Damage struct {
	File   string
	Offset int64
	Bytes  int64 // 0 when it is not known how many
	Err    error
	Groups []ID // that lost records here, or may have
	// Unknown: groups of which nothing was found may have been here too.
	Unknown bool
}

func (d *Damage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q is damaged at offset %d", d.File, d.Offset)
	if d.Bytes > 0 {
		fmt.Fprintf(&b, ", %d bytes", d.Bytes)
	}
	fmt.Fprintf(&b, ": %v; concerned: ", d.Err)
	for i, id := range d.Groups {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(id.String())
	}
	switch {
	case d.Unknown && len(d.Groups) > 0:
		b.WriteString(" and perhaps groups that are not known")
	case d.Unknown:
		b.WriteString("perhaps groups that are not known")
	case len(d.Groups) == 0:
		b.WriteString("no group")
	}
	return b.String()
}

// error is what a group that is concerned is told.
func (d *Damage) error() error {
	return &storage.DamageError{File: d.File, Offset: d.Offset, Err: fmt.Errorf("%w: %w", ErrDamaged, d.Err)}
}

// kept is a chunk that recovery keeps for a group.
type kept struct {
	chunkHeader
	seg     *segment
	off     int64
	records []byte
	bad     bool // they are damaged, and not here
}

// found is what recovery keeps of a group until it is attached.
type found struct {
	chunks  []kept // in the order of the log
	attempt uint32
	state   checkpoint
	runs    []run
	hard    HardState
	damage  error
	// unbounded: more is lost than the entries of runs that say so.
	unbounded bool

	firstNth uint64 // of the group's chunks, of those that are there
	losses   int    // that recovery had met at its last chunk
	want     *want  // what a census says; nil when all of it was seen
	suspect  int    // losses before its first chunk, of which no census speaks
	// lostAttempt is the newest checkpoint that lost a part; 0 for none.
	lostAttempt uint32
	// loose is the first index of entries that are missing if nobody has said where they end; else 0.
	loose uint64
	// until is the index up to which entries were there, when damage took the last ones; else 0.
	until uint64
}

// prune lets go of what a newer checkpoint made unneeded.
func (f *found) prune(st *groupState) {
	f.chunks = slices.DeleteFunc(f.chunks, func(k kept) bool {
		if k.kind == kindEntries {
			return k.last() <= st.done.index
		}
		return !st.done.is(&k.chunkHeader) &&
			!slices.ContainsFunc(st.next, func(c checkpoint) bool { return c.is(&k.chunkHeader) })
	})
}

// entriesAhead bounds the entries for which space is made before they are seen.
const entriesAhead = 1 << 20

// open decrypts and puts together what was found. replica tells that lost entries may be given as such.
func (f *found) open(seal Sealer, replica bool) *Found {
	out := &Found{Hard: f.hard, Damage: f.damage}
	if replica && !f.unbounded {
		out.Damage = nil
	}
	replica = replica && out.Damage == nil
	if err := f.openState(out, seal); err != nil {
		out.Damage = cmp.Or(out.Damage, err)
		return out
	}
	count := uint64(0)
	for _, r := range f.runs {
		count += r.last - r.first + 1
	}
	out.Entries = make([]Entry, 0, min(count, entriesAhead))
	for _, r := range f.runs {
		if r.first > out.next() || r.lost && !replica {
			break // a gap, of which damage tells
		}
		if r.lost {
			out.lose(r.last, r.term)
			continue
		}
		if err := f.openRun(out, r, seal, replica); err != nil {
			out.Damage = cmp.Or(out.Damage, err)
			break
		}
	}
	return out
}

// openState puts the parts of the checkpoint together.
func (f *found) openState(out *Found, seal Sealer) error {
	if !f.state.complete() {
		return nil
	}
	parts := make([][]byte, len(f.state.parts))
	seen := make([]bool, len(parts))
	size := 0
	for i := range f.chunks {
		k := &f.chunks[i]
		if !k.kind.ofState() || !f.state.is(&k.chunkHeader) || f.state.parts[k.from] != k.seg {
			continue
		}
		p, err := k.plain(seal)
		if err != nil {
			return err
		}
		size += len(p) - len(parts[k.from])
		parts[k.from], seen[k.from] = p, true
	}
	if i := slices.Index(seen, false); i >= 0 {
		k := kept{seg: f.state.parts[i]}
		return k.damaged(fmt.Errorf("%w: part %d of the state at %d", errGap, i, f.state.index))
	}
	state := make([]byte, 0, size)
	for _, p := range parts {
		state = append(state, p...)
	}
	out.State, out.StateIndex, out.StateTerm = state, f.state.index, f.state.term
	return nil
}

// openRun adds the entries of a run.
func (f *found) openRun(out *Found, r run, seal Sealer, replica bool) error {
	i, _ := slices.BinarySearchFunc(f.chunks, r, func(k kept, r run) int {
		return cmp.Or(cmp.Compare(k.seg.number, r.seg.number), cmp.Compare(k.off, r.from))
	})
	for ; i < len(f.chunks) && f.chunks[i].seg == r.seg && f.chunks[i].off <= r.to; i++ {
		k := &f.chunks[i]
		if k.kind != kindEntries || k.last() < r.first || k.first() > r.last {
			continue
		}
		if replica && k.first() > out.next() {
			out.lose(min(k.first()-1, r.last), 0)
		}
		if k.bad {
			if replica {
				out.lose(min(k.last(), r.last), k.term)
			}
			continue
		}
		records, err := k.plain(seal)
		if err == nil {
			err = k.eachEntry(records, func(e Entry) {
				if e.Index >= r.first && e.Index <= r.last && e.Index == out.next() {
					out.Entries = append(out.Entries, e)
				}
			})
		}
		if err != nil {
			return k.damaged(err)
		}
	}
	if replica {
		out.lose(r.last, 0)
	}
	if next := out.next(); next <= r.last {
		k := kept{seg: r.seg, off: r.from}
		return k.damaged(fmt.Errorf("%w: %d to %d", errGap, next, r.last))
	}
	return nil
}

// next is the index behind the entries.
func (f *Found) next() uint64 { return f.StateIndex + uint64(len(f.Entries)) + 1 }

// lose adds entries up to an index that are lost.
func (f *Found) lose(last, term uint64) {
	for next := f.next(); next <= last; next++ {
		f.Entries = append(f.Entries, Entry{Index: next, Term: term})
		f.Lost = append(f.Lost, next)
	}
}

func (k *kept) damaged(err error) error {
	d := Damage{File: segmentFile(k.seg.number), Offset: k.off, Err: err}
	return d.error()
}

// plain decrypts the records where they are encrypted.
func (k *kept) plain(seal Sealer) ([]byte, error) {
	if k.flags&flagSealed == 0 {
		return k.records, nil
	}
	if seal == nil {
		return nil, k.damaged(fmt.Errorf("%w: %w", errSealed, ErrNoKey))
	}
	var aad [aadLen]byte
	p, err := seal.Open(nil, k.records, k.aad(&aad))
	if err != nil {
		return nil, k.damaged(fmt.Errorf("%w: %w", errSealed, err))
	}
	return p, nil
}
