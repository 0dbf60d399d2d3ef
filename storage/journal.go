package storage

import (
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/clock"
)

// ErrBusy: more waits for the disk than [JournalPendingMax] allows.
var ErrBusy = errors.New("too much waits for the disk")

// Journal is a file of numbered records that is only appended to. It belongs to
// one strand.
//
// What was acknowledged is recovered: in order, once, and nothing that was not
// appended. What was appended and not acknowledged may be recovered too, as a
// prefix.
//
// Several appends share one sync: those of one task, and those that come while a
// sync is under way. After a failed write or sync the journal is fenced for good:
// nothing since the last acknowledgement is trusted. Opening it anew decides
// what of that is recovered.
//
// Recovery tells a torn tail, which is cut off, from damage, which it reports as
// a [DamageError] and leaves as it is: a bad batch is damage when a later one
// shows that everything up to there was durable once. So of the last batch
// before a crash, and of a file cut at the end of a batch, damage cannot be told;
// Close leaves a witness behind.
type Journal struct {
	fs     FS
	strand clock.Strand
	name   string
	file   File

	id       uint64
	previous uint32 // checksum of the last batch
	end      int64  // where the next batch begins
	next     uint64 // sequence of the next record

	batch   []byte // space for a header, then the records that wait
	count   uint32
	waiting []journalWaiter
	flying  []journalWaiter // their sync is under way
	flight  int             // bytes of the batch that is under way

	busy      bool // a sync is under way
	scheduled bool // a flush is posted
	closing   func(error)
	closed    bool
	failed    error // set once

	flushTask  func()
	syncedTask func(error)
}

// journalWaiter is who wants to know about a record.
type journalWaiter struct {
	seq  uint64
	done func(seq uint64, err error)
}

// OpenJournal recovers the journal called name, or makes an empty one; its
// directory must exist. Records are given to replay, unless it is nil, in order, on
// s; payload may be used during the call only. Then done is called, with a [DamageError] when
// what was durable cannot be read: records before it have been replayed by then,
// and the file is left as it is.
func OpenJournal(fs FS, s clock.Strand, name string, replay func(seq uint64, payload []byte), done func(*Journal, error)) {
	j := &Journal{fs: fs, strand: s, name: name, next: 1}
	j.batch = make([]byte, batchHeaderLen, 4096)
	j.flushTask, j.syncedTask = j.flush, j.synced
	if replay == nil {
		replay = func(uint64, []byte) {}
	}
	r := &recovery{j: j, replay: replay, done: done}
	r.start()
}

// Name is the file's name.
func (j *Journal) Name() string { return j.name }

// Next is the sequence that the next record gets; the first is 1.
func (j *Journal) Next() uint64 { return j.next }

// Size is the length of the file up to the last acknowledged record, in bytes.
func (j *Journal) Size() int64 { return j.end }

// Pending is the number of bytes that wait for a sync.
func (j *Journal) Pending() int { return j.flight + len(j.batch) - batchHeaderLen }

// Err is what fenced the journal, or nil.
func (j *Journal) Err() error { return j.failed }

// Append copies payload into the next record. done is called later on the
// strand, in the order of the calls: with the record's sequence once it is
// durable, or with an error that wraps ErrFenced, when it is unknown whether it
// will be recovered; ErrBusy and ErrClosed, and an error for a payload longer
// than JournalRecordMax, mean that it will not, and come with sequence 0.
func (j *Journal) Append(payload []byte, done func(seq uint64, err error)) {
	if err := j.refuses(payload); err != nil {
		j.strand.Post(func() { done(0, err) })
		return
	}
	j.batch = appendRecord(j.batch, j.next, payload)
	j.count++
	j.waiting = append(j.waiting, journalWaiter{j.next, done})
	j.next++
	j.schedule()
}

// refuses tells why a record is not taken.
func (j *Journal) refuses(payload []byte) error {
	switch {
	case j.failed != nil:
		return j.failed
	case j.closed:
		return &OpError{"append", j.name, ErrClosed}
	case len(payload) > JournalRecordMax:
		return fmt.Errorf("append to journal %q: record of %d bytes is longer than %d", j.name, len(payload), JournalRecordMax)
	case j.Pending() > JournalPendingMax:
		return &OpError{"append", j.name, ErrBusy}
	}
	return nil
}

// schedule lets the present task add more before the batch is written.
func (j *Journal) schedule() {
	if !j.busy && !j.scheduled {
		j.scheduled = true
		j.strand.Post(j.flushTask)
	}
}

// flush writes what waits as one batch, and asks for its sync.
func (j *Journal) flush() {
	j.scheduled = false
	if j.busy || j.failed != nil || j.count == 0 && j.closing == nil {
		return
	}
	for len(j.batch)%8 != 0 {
		j.batch = append(j.batch, 0)
	}
	sum := seal(j.batch, j.id, batchHeader{
		previous: j.previous, offset: j.end, covers: j.end, durable: j.end,
		first: j.next - uint64(j.count), count: j.count,
	})
	if _, err := j.file.Append(j.batch); err != nil {
		j.fence(err)
		return
	}
	j.busy, j.previous = true, sum
	j.flying, j.waiting = j.waiting, j.flying[:0]
	j.flight = len(j.batch)
	j.batch, j.count = j.batch[:batchHeaderLen], 0
	if cap(j.batch) > JournalRecordMax {
		j.batch = make([]byte, batchHeaderLen, 4096)
	}
	j.file.Sync(j.strand, j.syncedTask)
}

// synced acknowledges a batch. A closing journal ends with an empty one.
func (j *Journal) synced(err error) {
	if err != nil {
		j.fence(err)
		return
	}
	wasMark := len(j.flying) == 0
	j.busy = false
	j.end += int64(j.flight)
	j.flight = 0
	for i, w := range j.flying {
		j.flying[i] = journalWaiter{}
		w.done(w.seq, nil)
	}
	j.flying = j.flying[:0]
	if wasMark && j.closing != nil {
		j.finish(nil)
		return
	}
	j.flush()
}

// fence refuses everything from now on, and tells everybody who waits.
func (j *Journal) fence(err error) {
	j.failed = fmt.Errorf("journal %q: %w: %w", j.name, ErrFenced, err)
	j.busy, j.flight = false, 0
	lost := append(j.flying, j.waiting...)
	j.flying, j.waiting = nil, nil
	j.batch, j.count = j.batch[:batchHeaderLen], 0
	for _, w := range lost {
		w.done(w.seq, j.failed)
	}
	if j.closing != nil {
		j.finish(j.failed)
	}
}

// Close waits for what was appended, leaves a witness of it, and lets go of the
// file. done is called on the strand.
func (j *Journal) Close(done func(error)) {
	if j.closed {
		j.strand.Post(func() { done(&OpError{"close", j.name, ErrClosed}) })
		return
	}
	j.closed, j.closing = true, done
	if j.failed != nil {
		j.strand.Post(func() { j.finish(j.failed) })
		return
	}
	j.schedule()
}

func (j *Journal) finish(err error) {
	done := j.closing
	j.closing = nil
	j.file.Close()
	done(err)
}
