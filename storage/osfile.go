//lockstep:exempt the real disk: system calls on a pool of worker goroutines

package storage

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/lockstepmq/lockstep/clock"
)

const (
	// realBufferMax is how much a file buffers before it writes out unasked, in bytes.
	realBufferMax = 256 << 10
	// writeHereMax is how much WriteOut writes without a worker, in bytes.
	writeHereMax = 64 << 10
	// realBufferKept bounds the buffer kept for use again, in bytes.
	realBufferKept = 1 << 20
)

// realFile is an open file of a [Real]. Its operations run one after another on
// the pool, except for reads, which run beside them.
type realFile struct {
	pool     *pool
	sys      *os.File
	name     string
	readOnly bool

	mu       sync.Mutex // held across no system call that waits
	size     int64
	handed   int64 // length as the system knows it
	buffer   []change
	inFlight []change // being written by the worker
	buffered int
	spare    [][]byte // buffers to use again, at most two: one fills while one is written
	broken   error
	ops      []realOp
	running  bool
	reads    int // under way
	closed   bool
	ended    bool // sys is closed, or about to be by the last read
}

// realOp is what a worker has to do for a file. A nil done is a write-out that
// nobody asked for, or the closing.
type realOp struct {
	strand clock.Strand
	sync   bool
	done   func(error)
}

var _ File = (*realFile)(nil)

// Name implements File.
func (f *realFile) Name() string { return f.name }

// Size implements File.
func (f *realFile) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Buffered implements File.
func (f *realFile) Buffered() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buffered
}

// usable tells why the file takes no operation.
func (f *realFile) usable(op string, change bool) error {
	var err error
	switch {
	case f.closed:
		err = ErrClosed
	case change && f.readOnly:
		err = ErrReadOnly
	case change && f.broken != nil:
		err = f.broken
	default:
		return nil
	}
	return &OpError{op, f.name, err}
}

// Append implements File.
func (f *realFile) Append(p []byte) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	off := f.size
	return off, f.put("append", p, off)
}

// WriteAt implements File.
func (f *realFile) WriteAt(p []byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.put("write", p, off)
}

func (f *realFile) put(op string, p []byte, off int64) error {
	if err := f.usable(op, true); err != nil {
		return err
	}
	if err := checkChange(op, f.name, off, f.size); err != nil {
		return err
	}
	if len(p) == 0 {
		return nil
	}
	last := len(f.buffer) - 1
	if last >= 0 && f.buffer[last].data != nil && f.buffer[last].off+int64(len(f.buffer[last].data)) == off {
		f.buffer[last].data = append(f.buffer[last].data, p...)
	} else {
		f.buffer = append(f.buffer, change{off, append(f.takeSpare(), p...)})
	}
	f.buffered += len(p)
	f.size = max(f.size, off+int64(len(p)))
	if f.buffered >= realBufferMax && !f.running {
		f.push(realOp{})
	}
	return nil
}

// takeSpare is an empty buffer, grown by earlier use where there is one.
func (f *realFile) takeSpare() []byte {
	last := len(f.spare) - 1
	if last < 0 {
		return nil
	}
	p := f.spare[last]
	f.spare = f.spare[:last]
	return p[:0]
}

// Truncate implements File.
func (f *realFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable("truncate", true); err != nil {
		return err
	}
	if err := checkChange("truncate", f.name, size, f.size); err != nil {
		return err
	}
	f.buffer = append(f.buffer, change{off: size})
	f.size = size
	return nil
}

// push queues an operation; a worker takes it when none is on the file.
func (f *realFile) push(op realOp) {
	f.ops = append(f.ops, op)
	if !f.running {
		f.running = f.pool.do(f.work)
	}
}

// work does what is queued: one write of the buffer and one sync for all. What was queued meanwhile is
// another worker's, since this one goes on with what the answers set in motion.
func (f *realFile) work() {
	f.mu.Lock()
	ops := f.ops
	f.ops = nil
	f.inFlight, f.buffer = f.buffer, f.inFlight[:0]
	closing := f.closed
	f.mu.Unlock()

	err := f.writeOut()
	var syncErr error
	if slices.ContainsFunc(ops, func(op realOp) bool { return op.sync }) && err == nil {
		syncErr = syncData(f.sys)
	}
	if closing {
		f.end()
	}
	f.next()
	f.answer(ops, err, syncErr)
}

// next goes on with what was queued, if anything was.
func (f *realFile) next() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = len(f.ops) > 0 && f.pool.do(f.work)
}

// writeHere writes the buffer out on the caller's goroutine, and tells whether it did. The system
// copies a little to its cache sooner than a worker would be awake.
func (f *realFile) writeHere() (bool, error) {
	f.mu.Lock()
	if f.running || f.closed || f.buffered > writeHereMax {
		f.mu.Unlock()
		return false, nil
	}
	f.running = true
	f.inFlight, f.buffer = f.buffer, f.inFlight[:0]
	f.mu.Unlock()
	err := f.writeOut()
	f.next()
	return true, err
}

// posterHere is a strand of the real clock: PostHere runs the task on the caller's goroutine when
// nobody is on the strand.
type posterHere interface{ PostHere(task func()) }

// answer tells those who asked, each on its strand.
func (f *realFile) answer(ops []realOp, written, synced error) {
	for _, op := range ops {
		if op.done == nil {
			continue
		}
		name, err := "write", written
		if op.sync {
			name = "sync"
			if err == nil {
				err = synced
			}
		}
		if err != nil {
			err = &OpError{name, f.name, realError(err)}
		}
		task := func() { op.done(err) }
		if s, ok := op.strand.(posterHere); ok {
			s.PostHere(task)
		} else {
			op.strand.Post(task)
		}
	}
}

// writeOut writes what is in flight.
func (f *realFile) writeOut() error {
	f.mu.Lock()
	changes, err := f.inFlight, f.broken
	f.mu.Unlock()
	written := 0
	for _, c := range changes {
		written += len(c.data)
		if err != nil {
			continue
		}
		if c.data == nil {
			err = f.sys.Truncate(c.off)
		} else {
			_, err = f.sys.WriteAt(c.data, c.off)
		}
		f.mu.Lock()
		if err == nil {
			f.handed = c.length(f.handed)
		} else {
			f.broken = realError(err)
		}
		f.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(changes) > 0 && changes[0].data != nil && cap(changes[0].data) <= realBufferKept && len(f.spare) < 2 {
		f.spare = append(f.spare, changes[0].data)
	}
	clear(f.inFlight)
	f.inFlight = f.inFlight[:0]
	f.buffered -= written
	return err
}

// end closes the system's file, or leaves it to the last read.
func (f *realFile) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	if f.reads == 0 {
		f.closeSys()
	}
}

// closeSys closes the system's file. What it could fail with concerns writes that
// nobody asked to be synced.
func (f *realFile) closeSys() { _ = f.sys.Close() }

// WriteOut implements File.
func (f *realFile) WriteOut(s clock.Strand, done func(error)) {
	if did, err := f.writeHere(); did {
		if err != nil {
			err = &OpError{"write", f.name, realError(err)}
		}
		s.Post(func() { done(err) })
		return
	}
	f.request(realOp{strand: s, done: done}, "write")
}

// Sync implements File.
func (f *realFile) Sync(s clock.Strand, done func(error)) {
	f.request(realOp{strand: s, sync: true, done: done}, "sync")
}

func (f *realFile) request(op realOp, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.usable(name, false)
	if err == nil {
		f.push(op)
		if f.running {
			return
		}
		f.ops = nil
		err = &OpError{name, f.name, ErrClosed}
	}
	op.strand.Post(func() { op.done(err) })
}

// Close implements File.
func (f *realFile) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed = true
	f.push(realOp{})
	if !f.running { // the store is closed
		f.ended = true
		if f.reads == 0 {
			f.closeSys()
		}
	}
}

// overlays copies the changes in memory that touch a range, and tells whether
// there are any.
func (f *realFile) overlays(off, end int64) []change {
	var out []change
	for _, list := range [...][]change{f.inFlight, f.buffer} {
		for _, c := range list {
			switch {
			case c.data == nil && c.off < end:
				out = append(out, c)
			case c.data != nil && c.off < end && off < c.off+int64(len(c.data)):
				from, to := max(0, off-c.off), min(int64(len(c.data)), end-c.off)
				out = append(out, change{c.off + from, slices.Clone(c.data[from:to])})
			}
		}
	}
	return out
}

// ReadCached implements File.
func (f *realFile) ReadCached(p []byte, off int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := off + int64(len(p))
	if f.ended || f.usable("read", false) != nil || off < 0 || end > f.size {
		return false
	}
	if onDisk := min(end, f.handed) - off; onDisk > 0 && int64(readNoWait(f.sys, p[:onDisk], off)) < onDisk {
		return false
	}
	for _, list := range [...][]change{f.inFlight, f.buffer} {
		for _, c := range list {
			overlay(p, off, c)
		}
	}
	return true
}

// ReadAt implements File.
func (f *realFile) ReadAt(s clock.Strand, p []byte, off int64, done func(n int, err error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.usable("read", false)
	if err == nil && off < 0 {
		err = checkChange("read", f.name, off, f.size)
	}
	if err != nil {
		s.Post(func() { done(0, err) })
		return
	}
	n := int(max(0, min(int64(len(p)), f.size-off)))
	over := f.overlays(off, off+int64(n))
	f.reads++
	queued := f.pool.do(func() {
		n, err := f.read(p, n, off, over)
		s.Post(func() { done(n, err) })
	})
	if !queued {
		f.reads--
		s.Post(func() { done(0, &OpError{"read", f.name, ErrClosed}) })
	}
}

// read fills p[:n] from the disk under the changes that were in memory.
func (f *realFile) read(p []byte, n int, off int64, over []change) (int, error) {
	defer f.readEnded()
	got, err := f.sys.ReadAt(p[:n], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, &OpError{"read", f.name, realError(err)}
	}
	if len(over) == 0 {
		n = got // someone else cut the file
	}
	clear(p[got:n])
	for _, c := range over {
		overlay(p[:n], off, c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *realFile) readEnded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads--
	if f.ended && f.reads == 0 {
		f.closeSys()
	}
}
