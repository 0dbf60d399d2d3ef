package doctor

import (
	"errors"
	"fmt"
	"io"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// shadowFile is an open file of a shadow.
type shadowFile struct {
	n        *inode
	name     string
	readOnly bool
	closed   bool
	reads    int // under way
	buffered int
}

var _ storage.File = (*shadowFile)(nil)

func (n *inode) truncate(size int64) {
	if size >= n.kept {
		n.tail = n.tail[:size-n.kept]
		return
	}
	n.kept, n.tail = size, nil
	var patches []patch
	for _, p := range n.patches {
		if p.off < size {
			patches = append(patches, patch{p.off, p.data[:min(int64(len(p.data)), size-p.off)]})
		}
	}
	n.patches = patches
}

func (n *inode) write(p []byte, off int64) {
	if off < n.kept {
		k := min(int64(len(p)), n.kept-off)
		n.patches = append(n.patches, patch{off, append([]byte(nil), p[:k]...)})
		p, off = p[k:], off+k
	}
	if len(p) > 0 {
		at := off - n.kept
		n.tail = append(n.tail[:at], append(append([]byte(nil), p...), n.tail[min(int64(len(n.tail)), at+int64(len(p))):]...)...)
	}
}

// over copies what patches hold of the range from off on to p.
func over(p []byte, off int64, patches []patch) {
	for _, q := range patches {
		from, to := max(off, q.off), min(off+int64(len(p)), q.off+int64(len(q.data)))
		if from < to {
			copy(p[from-off:to-off], q.data[from-q.off:])
		}
	}
}

func (f *shadowFile) error(op string, err error) error {
	return &storage.OpError{Op: op, Name: f.name, Err: err}
}

// change judges a change.
func (f *shadowFile) change(op string, off int64) error {
	switch {
	case f.closed:
		return f.error(op, storage.ErrClosed)
	case f.readOnly:
		return f.error(op, storage.ErrReadOnly)
	case off < 0 || off > f.n.size():
		return f.error(op, fmt.Errorf("offset %d is outside 0 to %d", off, f.n.size()))
	}
	return nil
}

// Name is part of [storage.File], like all that follows.
func (f *shadowFile) Name() string  { return f.name }
func (f *shadowFile) Size() int64   { return f.n.size() }
func (f *shadowFile) Buffered() int { return f.buffered }

func (f *shadowFile) Append(p []byte) (int64, error) {
	off := f.n.size()
	if err := f.change("write", off); err != nil {
		return 0, err
	}
	f.n.tail = append(f.n.tail, p...)
	f.buffered += len(p)
	return off, nil
}

func (f *shadowFile) WriteAt(p []byte, off int64) error {
	if err := f.change("write", off); err != nil {
		return err
	}
	f.n.write(p, off)
	f.buffered += len(p)
	return nil
}

func (f *shadowFile) Truncate(size int64) error {
	if err := f.change("truncate", size); err != nil {
		return err
	}
	f.n.truncate(size)
	return nil
}

func (f *shadowFile) ReadCached(p []byte, off int64) bool {
	if f.closed || off < f.n.kept || off+int64(len(p)) > f.n.size() {
		return false
	}
	copy(p, f.n.tail[off-f.n.kept:])
	return true
}

func (f *shadowFile) ReadAt(s clock.Strand, p []byte, off int64, done func(int, error)) {
	if f.closed || off < 0 {
		err := storage.ErrClosed
		if !f.closed {
			err = fmt.Errorf("offset %d is below 0", off)
		}
		s.Post(func() { done(0, f.error("read", err)) })
		return
	}
	n := f.n
	var end error
	if left := max(n.size()-off, 0); int64(len(p)) > left {
		p, end = p[:left], io.EOF
	}
	below := int(min(max(n.kept-off, 0), int64(len(p)))) // of p, from the disk
	if len(p) > below {
		copy(p[below:], n.tail[off+int64(below)-n.kept:])
	}
	if below == 0 {
		s.Post(func() { done(len(p), end) })
		return
	}
	patches := n.patches
	f.reads++
	n.file.ReadAt(s, p[:below], off, func(got int, err error) {
		f.reads--
		f.letGo()
		over(p[:below], off, patches)
		switch {
		case got == below:
			done(len(p), end)
		case errors.Is(err, io.EOF): // it is shorter than the directory said
			done(got, f.error("read", fmt.Errorf("%w: the file changed while it was read", storage.ErrIO)))
		default:
			done(got, err)
		}
	})
}

func (f *shadowFile) WriteOut(s clock.Strand, done func(error)) { f.flush(s, "write", done) }
func (f *shadowFile) Sync(s clock.Strand, done func(error))     { f.flush(s, "sync", done) }

func (f *shadowFile) flush(s clock.Strand, op string, done func(error)) {
	var err error
	if f.closed {
		err = f.error(op, storage.ErrClosed)
	}
	f.buffered = 0
	s.Post(func() { done(err) })
}

func (f *shadowFile) Close() {
	if !f.closed {
		f.closed = true
		f.letGo()
	}
}

// letGo closes the file on the disk behind the last handle and read.
func (f *shadowFile) letGo() {
	if !f.closed || f.reads > 0 {
		return
	}
	f.n.handles--
	if f.n.handles == 0 && f.n.file != nil {
		f.n.file.Close()
		f.n.file = nil
	}
}
