package wal

import (
	"errors"
	"io"

	"github.com/lockstepmq/lockstep/storage"
)

// walkRead is how much of a segment is read at one time, in bytes.
const walkRead = 1 << 20

// walker reads a segment of an open log, chunk by chunk, up to what is written of it at the start.
// What is damaged is skipped, and told.
type walker struct {
	l    *Log
	seg  *segment
	size int64
	from int64 // offset of the first batch to read; 0 is the first that there is
	unit int64 // how much to read at one time, in bytes; 0 is walkRead
	// ready tells whether to go on; when it was false, whoever made it true calls step.
	ready func() bool
	chunk func(h *chunkHeader, at int64, records []byte)
	bad   func(at int64, err error)
	// unsound, when set, is told after bad of a chunk whose header alone is sound.
	unsound func(h *chunkHeader, at int64)
	// end is called once: with an error when the rest cannot be read.
	end func(error)

	file      storage.File
	buf       []byte // of the file, from pos on
	pos       int64  // of the next batch
	reading   bool
	running   bool // step is on the stack
	stopped   bool
	searching bool // the next batch is looked for behind damage
}

func (w *walker) start() {
	w.size, w.pos, w.reading = w.l.written(w.seg), max(w.from, fileHeaderLen), true
	if w.unit == 0 {
		w.unit = walkRead
	}
	w.l.fs.Open(w.l.strand, w.l.segmentName(w.seg.number), storage.ReadOnly, func(f storage.File, err error) {
		w.reading = false
		switch {
		case w.stopped:
			if err == nil {
				f.Close()
			}
		case err != nil:
			w.finish(err)
		default:
			w.file = f
			w.step()
		}
	})
}

// stop ends the walk; nothing more is called.
func (w *walker) stop() {
	w.stopped = true
	if w.file != nil {
		w.file.Close()
	}
}

func (w *walker) finish(err error) {
	w.stop()
	w.end(err)
}

// step goes on until it has to wait.
func (w *walker) step() {
	if w.running {
		return
	}
	w.running = true
	for !w.stopped && !w.reading && w.ready() {
		if w.size-w.pos < batchHeaderLen {
			w.running = false
			w.finish(nil)
			return
		}
		w.batch()
	}
	w.running = false
}

// batch takes the next batch, or begins to read it.
func (w *walker) batch() {
	if !w.ensure(batchHeaderLen) {
		return
	}
	h, ok := parseBatchHeader(w.buf, w.l.id)
	if !ok || h.segment != w.seg.number || h.offset != w.pos || h.offset+h.size() > w.size {
		if !w.searching {
			w.searching = true
			w.bad(w.pos, errHeader)
		}
		w.skip(8)
		return
	}
	if !w.ensure(h.size()) {
		return
	}
	w.searching = false
	body := w.buf[batchHeaderLen:h.size()]
	place := w.pos + batchHeaderLen
	unknown := eachChunk(body, &h, w.l.id, func(c *chunkHeader, at int, records []byte, sound bool) {
		switch {
		case w.stopped:
		case sound:
			w.chunk(c, place+int64(at), records)
		default:
			w.bad(place+int64(at), errChecksum)
			if w.unsound != nil && !w.stopped {
				w.unsound(c, place+int64(at))
			}
		}
	})
	if unknown >= 0 && !w.stopped {
		w.bad(place+int64(unknown), errChecksum)
	}
	w.skip(h.size())
}

// skip goes on n bytes further.
func (w *walker) skip(n int64) {
	w.buf = w.buf[n:]
	w.pos += n
}

// ensure makes buf hold n bytes. When it has to read it returns false, and step is called later.
func (w *walker) ensure(n int64) bool {
	have := int64(len(w.buf))
	if have >= n {
		return true
	}
	want := min(max(n-have, w.unit), w.size-w.pos-have)
	p := make([]byte, have+want)
	copy(p, w.buf)
	w.reading = true
	w.file.ReadAt(w.l.strand, p[have:], w.pos+have, func(got int, err error) {
		w.reading = false
		switch {
		case w.stopped:
		case err != nil && !(errors.Is(err, io.EOF) && got == int(want)):
			w.finish(err)
		default:
			w.buf = p
			w.step()
		}
	})
	return false
}
