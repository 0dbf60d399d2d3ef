package consumer

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

// Snapshot appends the state, which is the state of the log when nothing recorded waits for
// its commit.
func (c *Consumer) Snapshot(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	for _, v := range [...]uint64{c.cursor, c.dseq, c.floor, c.floorDseq, c.horizon} {
		dst = binary.AppendUvarint(dst, v)
	}
	until := int64(0)
	if t := c.cfg.PauseUntil; t != nil && !t.IsZero() {
		until = api.Nanos(*t)
	}
	dst = binary.AppendVarint(dst, until)
	dst = appendSequences(dst, c.exhausted)
	if c.last == nil {
		dst = append(dst, 0)
	} else {
		dst = append(dst, 1)
		dst = binary.AppendUvarint(dst, c.last.at)
		dst = binary.AppendUvarint(dst, c.last.end)
		dst = appendSequences(dst, c.last.seqs)
	}
	return c.appendPending(dst)
}

// appendPending writes the pending messages, with wall times as differences.
func (c *Consumer) appendPending(dst []byte) []byte {
	shift := int64(0)
	if c.live {
		shift = c.host.Now() - int64(c.host.Mono())
	}
	dst = binary.AppendUvarint(dst, uint64(c.pending.len()))
	seq, at := uint64(0), int64(0)
	c.pending.each(func(e *entry) bool {
		dst = binary.AppendUvarint(dst, e.seq-seq)
		dst = binary.AppendUvarint(dst, e.first)
		dst = binary.AppendUvarint(dst, uint64(e.count))
		dst = binary.AppendVarint(dst, e.at+shift-at)
		seq, at = e.seq, e.at+shift
		kept := e.flags & (timed | queued)
		dst = append(dst, kept)
		if kept&timed != 0 {
			dst = binary.AppendVarint(dst, e.due-e.at)
		}
		return true
	})
	return dst
}

// appendSequences writes ascending sequences as runs.
func appendSequences(dst []byte, seqs []uint64) []byte {
	var runs []run
	for _, seq := range seqs {
		runs = addRun(runs, seq)
	}
	return appendRuns(dst, runs)
}

// Restore makes a consumer of a snapshot. It is passive until Recovered.
func Restore(host Host, s Spec, snapshot []byte) (*Consumer, error) {
	return restore(host, s, snapshot, sequencesMax)
}

// restore takes lists of up to most sequences.
func restore(host Host, s Spec, snapshot []byte, most uint64) (*Consumer, error) {
	c := prepare(host, s)
	if len(snapshot) == 0 || snapshot[0] != snapshotVersion {
		return nil, fmt.Errorf("consumer %q: snapshot of a version this server does not know", s.Name)
	}
	d := reader{codec.Reader{P: snapshot[1:]}}
	for _, v := range [...]*uint64{&c.cursor, &c.dseq, &c.floor, &c.floorDseq, &c.horizon} {
		*v = d.Uint()
	}
	if until := d.Int(); until != 0 {
		c.applyPause(until)
	}
	c.exhausted = d.sequences(most)
	if d.Uint() == 1 {
		c.last = &lastOfSubjects{at: d.Uint(), end: d.Uint()}
		if c.last.seqs = d.sequences(most); len(c.last.seqs) == 0 {
			c.last = nil
		}
	}
	c.readPending(&d)
	if d.Bad || len(d.P) > 0 || c.cursor == 0 {
		return nil, fmt.Errorf("consumer %q: snapshot of %d bytes cannot be read", s.Name, len(snapshot))
	}
	return c, nil
}

func (c *Consumer) readPending(d *reader) {
	seq, at := uint64(0), int64(0)
	for range d.Count(1) {
		seq += d.Uint()
		e := entry{seq: seq, first: d.Uint(), count: uint32(d.Uint())}
		at += d.Int()
		e.at = at
		e.flags = byte(d.Uint()) & (timed | queued)
		if e.flags&timed != 0 {
			e.due = e.at + d.Int()
		}
		if d.Bad || !c.pending.add(e) {
			d.Fail()
			return
		}
	}
}

// sequences reads what appendSequences wrote.
func (d *reader) sequences(most uint64) []uint64 {
	var seqs []uint64
	end := uint64(0)
	for range d.Count(1) {
		first := end + d.Uint()
		n := d.Uint()
		if n == 0 || n > most || uint64(len(seqs))+n > most || first == 0 || first < end || first+n < first {
			d.Fail()
			return nil
		}
		seqs = slices.Grow(seqs, int(n))
		for i := range n {
			seqs = append(seqs, first+i)
		}
		end = first + n
	}
	return seqs
}

// sequencesMax bounds the sequences of one list in a snapshot.
const sequencesMax = 1 << 24
