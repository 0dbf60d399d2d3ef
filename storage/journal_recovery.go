package storage

import (
	"errors"
	"fmt"
	"io"
)

const (
	// recoveryChunk is how much recovery reads at a time, in bytes.
	recoveryChunk = 256 << 10
	// recoveryTries is how often a read that fails is tried.
	recoveryTries = 3
)

// recovery opens a journal:
//
//  1. No file: make one under another name, sync it, rename it, sync the directory.
//  2. Walk the batches; each must continue the one before. A repeat is skipped.
//  3. At a bad one look ahead. A repeat that covers it takes its place. A header
//     that knows of durable bytes beyond makes it damage, and recovery ends.
//     Otherwise it is a torn tail, never acknowledged.
//  4. Cut the tail off, write the last batch once more, sync the file and the
//     directory.
//
// The repeat is for a process that died after a failed sync: the system may show
// a batch, count it as clean, and never have written it. A repeat is dirty again.
// Cut short anywhere, and done again, recovery ends in the same records.
type recovery struct {
	j      *Journal
	replay func(seq uint64, payload []byte)
	done   func(*Journal, error)

	step  func() // what to do when a read has ended
	buf   []byte // the file's bytes from base on
	base  int64
	size  int64
	tries int

	pos    int64       // of the next batch
	last   batchHeader // the batch before pos; its body follows
	body   []byte
	behind bool // last is set

	scan int64 // place looked at, when looking ahead
	bad  *DamageError
}

// start opens the file.
func (r *recovery) start() {
	r.j.fs.Open(r.j.strand, r.j.name, 0, func(f File, err error) {
		switch {
		case errors.Is(err, ErrNotExist):
			r.create()
		case err != nil:
			r.fail(err)
		default:
			r.j.file, r.size = f, f.Size()
			r.step = r.readFileHeader
			r.step()
		}
	})
}

// fail ends recovery.
func (r *recovery) fail(err error) {
	if r.j.file != nil {
		r.j.file.Close()
	}
	r.done(nil, fmt.Errorf("open journal %q: %w", r.j.name, err))
}

// create makes the file under another name, since a journal without a whole
// header is damage.
func (r *recovery) create() {
	r.j.fs.Open(r.j.strand, r.j.name+".new", Create|Empty, func(f File, err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.j.file = f
		r.j.id = r.j.strand.Rand("storage.journal.id").Uint64()
		header, sum := fileHeader(r.j.id)
		r.j.previous, r.pos = sum, fileHeaderSize
		if _, err := f.Append(header); err != nil {
			r.fail(err)
			return
		}
		f.Sync(r.j.strand, r.created)
	})
}

func (r *recovery) created(err error) {
	if err != nil {
		r.fail(err)
		return
	}
	r.j.fs.Rename(r.j.strand, r.j.name+".new", r.j.name, func(err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.syncDir()
	})
}

// ensure makes buf hold what the file has of [off, off+n), and forgets what is
// before off. When it has to read it returns false, and step is called later.
func (r *recovery) ensure(off, n int64) bool {
	drop := min(off-r.base, int64(len(r.buf)))
	r.buf, r.base = r.buf[drop:], r.base+drop
	have := r.base + int64(len(r.buf))
	if have >= min(off+n, r.size) {
		return true
	}
	if len(r.buf) == 0 {
		r.base, have = off, off
	}
	r.read(have, min(max(recoveryChunk, off+n-have), r.size-have))
	return false
}

// read adds n bytes to buf, and goes on with step.
func (r *recovery) read(off, n int64) {
	p := make([]byte, n)
	r.j.file.ReadAt(r.j.strand, p, off, func(got int, err error) {
		switch {
		case err == nil || errors.Is(err, io.EOF) && got == len(p):
			r.tries = 0
			// A new array: records given to replay may still be looked at.
			r.buf = append(r.buf[:len(r.buf):len(r.buf)], p...)
			r.step()
		case errors.Is(err, io.EOF):
			r.fail(&DamageError{r.j.name, off + int64(got), errShort})
		default:
			if r.tries++; r.tries < recoveryTries {
				r.read(off, n)
				return
			}
			r.fail(&DamageError{r.j.name, r.pos, err})
		}
	})
}

// view is [off, off+n) of the file, or nil when it ends before.
func (r *recovery) view(off, n int64) []byte {
	from := off - r.base
	if from+n > int64(len(r.buf)) {
		return nil
	}
	return r.buf[from : from+n]
}

func (r *recovery) readFileHeader() {
	if !r.ensure(0, fileHeaderSize) {
		return
	}
	id, sum, err := parseFileHeader(r.view(0, min(fileHeaderSize, r.size)))
	if err != nil {
		r.fail(&DamageError{r.j.name, 0, err})
		return
	}
	r.j.id, r.j.previous, r.pos = id, sum, fileHeaderSize
	r.step = r.walk
	r.step()
}

// walk takes batch after batch.
func (r *recovery) walk() {
	for r.pos < r.size {
		if !r.ensure(r.pos, batchHeaderLen) {
			return
		}
		h, ok := parseBatchHeader(r.view(r.pos, batchHeaderLen), r.j.id)
		if !ok || h.offset != r.pos {
			r.lookAhead(r.pos, errHeader)
			return
		}
		if !r.ensure(r.pos, h.size()) {
			return
		}
		batch := r.view(r.pos, h.size())
		switch {
		case batch == nil:
			r.lookAhead(r.pos, errShort)
			return
		case !intact(batch, r.j.id):
			at, err := eachRecord(batch[batchHeaderLen:], h.first, h.count, func(uint64, []byte) {})
			if err == nil { // the header or the padding
				at, err = -batchHeaderLen, errChecksum
			}
			r.lookAhead(r.pos+batchHeaderLen+int64(at), err)
			return
		case r.continues(&h):
			if !r.take(h, batch) {
				return
			}
		case r.repeatsLast(&h):
			r.skip(h)
		default:
			r.lookAhead(r.pos, errChain)
			return
		}
	}
	r.repair()
}

// continues tells whether a batch comes next in the log.
func (r *recovery) continues(h *batchHeader) bool {
	return h.covers == r.pos && h.previous == r.j.previous && h.first == r.j.next
}

// repeatsLast tells whether a batch is a second copy of the one before.
func (r *recovery) repeatsLast(h *batchHeader) bool {
	return r.behind && h.covers == r.last.covers && h.previous == r.last.previous &&
		h.first == r.last.first && h.count == r.last.count
}

// take replays a batch. It is false when recovery has ended.
func (r *recovery) take(h batchHeader, batch []byte) bool {
	body := batch[batchHeaderLen:]
	if at, err := eachRecord(body, h.first, h.count, r.replay); err != nil {
		r.fail(&DamageError{r.j.name, h.offset + batchHeaderLen + int64(at), err})
		return false
	}
	r.j.next = h.first + uint64(h.count)
	r.body = append(r.body[:0], body...)
	r.skip(h)
	return true
}

// skip goes on behind a batch.
func (r *recovery) skip(h batchHeader) {
	r.last, r.behind = h, true
	r.j.previous = h.sum
	r.pos = h.offset + h.size()
}

// lookAhead finds out what a bad batch at pos means. at is where exactly it is bad.
func (r *recovery) lookAhead(at int64, why error) {
	r.bad = &DamageError{r.j.name, at, why}
	r.scan = r.pos + 8
	r.step = r.ahead
	r.step()
}

// ahead looks for later headers.
func (r *recovery) ahead() {
	for ; r.scan+batchHeaderLen <= r.size; r.scan += 8 {
		if !r.ensure(r.scan, batchHeaderLen) {
			return
		}
		h, ok := parseBatchHeader(r.view(r.scan, batchHeaderLen), r.j.id)
		if !ok || h.offset != r.scan {
			continue
		}
		if h.durable > r.pos {
			r.fail(r.bad)
			return
		}
		if !r.continues(&h) && !r.repeatsLast(&h) {
			continue
		}
		if !r.ensure(r.scan, h.size()) {
			return
		}
		if batch := r.view(r.scan, h.size()); batch != nil && intact(batch, r.j.id) {
			r.resume(h, batch)
			return
		}
	}
	r.repair()
}

// resume goes on with a repeat behind what it covers. Between the first copy and
// it may lie other copies, of which none was ever known to be durable.
func (r *recovery) resume(h batchHeader, batch []byte) {
	if r.repeatsLast(&h) {
		r.skip(h)
	} else if !r.take(h, batch) {
		return
	}
	r.step = r.walk
	r.step()
}

// repair makes sure that what was replayed is durable, and nothing else is there.
func (r *recovery) repair() {
	f := r.j.file
	if f.Size() > r.pos {
		if err := f.Truncate(r.pos); err != nil {
			r.fail(err)
			return
		}
	}
	if r.behind {
		batch := append(make([]byte, batchHeaderLen, batchHeaderLen+len(r.body)), r.body...)
		r.j.previous = seal(batch, r.j.id, batchHeader{
			previous: r.last.previous, offset: r.pos, covers: r.last.covers, durable: r.last.covers,
			first: r.last.first, count: r.last.count,
		})
		if _, err := f.Append(batch); err != nil {
			r.fail(err)
			return
		}
		r.pos += int64(len(batch))
	}
	f.Sync(r.j.strand, func(err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.syncDir()
	})
}

// syncDir makes the name durable, whoever gave it.
func (r *recovery) syncDir() {
	r.j.fs.SyncDir(r.j.strand, dirOf(r.j.name), func(err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.j.end = r.pos
		r.done(r.j, nil)
	})
}
