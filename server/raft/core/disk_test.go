package core

import (
	"encoding/binary"
	"errors"
	"slices"
)

func (d *disk) last() Index { return d.snap.Index + Index(len(d.entries)) }

// write is what a flush does to the disk.
func (n *node) write(p *pendingWrite) {
	d := &n.disk
	if p.hasHard {
		n.w.judge.hard(n, p.hard)
		if p.hard.Life != d.hard.Life {
			d.forgot = false // the new life is what it remembers from now on
		}
		d.hard = p.hard
	}
	if p.truncate > 0 && p.truncate <= d.last() {
		keep := max(p.truncate-1, d.snap.Index) - d.snap.Index
		d.entries = d.entries[:keep]
		d.damaged = slices.DeleteFunc(d.damaged, func(i Index) bool { return i >= p.truncate })
	}
	for _, e := range p.entries {
		if e.Index <= d.snap.Index {
			continue
		}
		if e.Index != d.last()+1 {
			n.w.judge.violation("RAFT.snapshot: disk of %d ends at %d and is given entry %d", n.id, d.last(), e.Index)
			return
		}
		d.entries = append(d.entries, e)
	}
	for _, e := range p.repair {
		if e.Index > d.snap.Index && e.Index <= d.last() {
			d.entries[e.Index-d.snap.Index-1] = e
			d.damaged = slices.DeleteFunc(d.damaged, func(i Index) bool { return i == e.Index })
		}
	}
}

// Entries implements Reader from the node's disk, which sometimes has to be asked twice.
func (n *node) Entries(dst []Entry, lo, hi Index, bytesMax int) ([]Entry, error) {
	d := &n.disk
	if n.w.rand.IntN(2) == 0 {
		n.wantsLog = true
		return dst, ErrReading
	}
	if lo <= d.snap.Index || slices.ContainsFunc(d.damaged, func(i Index) bool { return lo <= i && i < hi }) {
		return dst, errGone
	}
	size := 0
	for i := lo; i < hi && i <= d.last() && size <= bytesMax; i++ {
		e := d.entries[i-d.snap.Index-1]
		dst = append(dst, e)
		size += len(e.Payload)
	}
	return dst, nil
}

var errGone = errors.New("the log has it no more")

// snapshots stores chunks, installs, and gives chunks of the own snapshot: at once, or later in a lazy world, where
// it may fail, too.
func (n *node) snapshots(r *Ready) {
	for _, ch := range r.Chunks {
		ch.Data = slices.Clone(ch.Data)
		n.later(func(ok bool) {
			if ch.Offset == 0 {
				n.chunks = n.chunks[:0]
			}
			if ok && uint64(len(n.chunks)) == ch.Offset {
				n.chunks = append(n.chunks, ch.Data...)
			}
			n.c.ChunkStored(ch.ID, uint64(len(n.chunks)), ok)
		})
	}
	if meta := r.Install; meta.Index > 0 {
		n.later(func(ok bool) {
			if ok {
				n.install(meta)
			} else {
				n.c.SnapshotInstalled(meta, false)
			}
		})
	}
	for _, want := range r.Wants {
		n.later(func(ok bool) { n.give(want, ok) })
	}
}

// later does what the host does asynchronously.
func (n *node) later(do func(ok bool)) {
	if n.w.lazy {
		n.deferred = append(n.deferred, do)
	} else {
		do(true)
	}
}

// doLater does the first of what waits.
func (n *node) doLater(ok bool) {
	if n.c != nil && len(n.deferred) > 0 {
		do := n.deferred[0]
		n.deferred = n.deferred[1:]
		do(ok)
		n.pump()
	}
}

// give sends a part of the newest snapshot.
func (n *node) give(want Want, ok bool) {
	d := &n.disk
	if !ok || d.snap.Index == 0 || want.ID != 0 && want.ID != uint64(d.snap.Index) {
		n.c.SnapshotUnavailable(want.To)
		return
	}
	data := binary.LittleEndian.AppendUint64(nil, d.state.hash)
	end := min(want.Offset+3, uint64(len(data)))
	n.c.SendChunk(want.To, d.snap, uint64(d.snap.Index), want.Offset, data[want.Offset:end], int(end) == len(data))
}

func (n *node) install(meta SnapshotMeta) {
	d := &n.disk
	if n.c.Continues(meta) {
		n.flushNow0()
		d.entries = slices.Clone(d.entries[min(int(meta.Index-d.snap.Index), len(d.entries)):])
	} else {
		d.entries = nil
		for i := range n.pending {
			n.pending[i].entries, n.pending[i].truncate, n.pending[i].repair = nil, 0, nil
		}
	}
	d.damaged = slices.DeleteFunc(d.damaged, func(i Index) bool { return i <= meta.Index || len(d.entries) == 0 })
	d.snap = meta
	d.state = machine{meta.Index, binary.LittleEndian.Uint64(n.chunks)}
	if meta.Index > n.machine.applied {
		n.machine = d.state
	}
	n.w.log("%d: installs snapshot %d/%d", n.id, meta.Index, meta.Term)
	n.w.judge.installed(n, meta)
	n.c.SnapshotInstalled(meta, true)
}

func (n *node) flushNow0() {
	if len(n.pending) > 0 {
		n.flushNow()
	}
}

// compact takes a snapshot of everything applied, and lets the log before index go.
func (n *node) compact() {
	d := &n.disk
	meta, ok := n.c.SnapshotAt(n.machine.applied)
	if !ok || n.c.installing() || meta.Index <= d.snap.Index || meta.Index > d.last() {
		return
	}
	d.entries = slices.Clone(d.entries[meta.Index-d.snap.Index:])
	d.damaged = slices.DeleteFunc(d.damaged, func(i Index) bool { return i <= meta.Index })
	d.snap, d.state = meta, n.machine
	n.c.SnapshotTaken(meta.Index)
	n.pump()
}
