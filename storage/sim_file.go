package storage

import (
	"io"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
)

// simBufferMax is how much a simulated file buffers before it writes out unasked,
// in bytes. It is small, so that the rare path is common.
const simBufferMax = 16 << 10

// SimFile is an open file of a [SimFS].
type SimFile struct {
	fs       *SimFS
	node     *inode
	name     string
	ops      simQueue
	buffer   []change // not yet handed to the system
	buffered int      // bytes in buffer
	size     int64
	broken   error // what a write failed with
	readOnly bool
	closed   bool
	draining bool // an unasked write-out is under way
}

var _ File = (*SimFile)(nil)

// Name implements File.
func (f *SimFile) Name() string { return f.name }

// Size implements File.
func (f *SimFile) Size() int64 { return f.size }

// Buffered implements File.
func (f *SimFile) Buffered() int { return f.buffered }

// usable tells why the file takes no operation.
func (f *SimFile) usable(op string, change bool) error {
	var err error
	switch {
	case f.closed || f.fs.dead:
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
func (f *SimFile) Append(p []byte) (int64, error) {
	off := f.size
	return off, f.put("append", p, off)
}

// WriteAt implements File.
func (f *SimFile) WriteAt(p []byte, off int64) error { return f.put("write", p, off) }

func (f *SimFile) put(op string, p []byte, off int64) error {
	if err := f.usable(op, true); err != nil {
		return err
	}
	if err := checkChange(op, f.name, off, f.size); err != nil {
		return err
	}
	if len(p) == 0 {
		return nil
	}
	f.keep(change{off, slices.Clone(p)})
	f.buffered += len(p)
	f.size = max(f.size, off+int64(len(p)))
	if f.buffered > simBufferMax && !f.draining {
		f.draining = true
		f.ops.add(simOp{
			kind: OpWrite, name: f.name,
			run:   func(half bool) { f.drain(half) },
			reply: func() { f.draining = false },
		})
	}
	return nil
}

// Truncate implements File.
func (f *SimFile) Truncate(size int64) error {
	if err := f.usable("truncate", true); err != nil {
		return err
	}
	if err := checkChange("truncate", f.name, size, f.size); err != nil {
		return err
	}
	f.keep(change{off: size})
	f.size = size
	return nil
}

func (f *SimFile) keep(c change) {
	f.buffer = append(f.buffer, c)
	t := f.fs.disk.sim.Trace()
	t.Fold(f.node.id, uint64(c.off), uint64(len(c.data)))
	t.FoldBytes(c.data)
}

// drain hands the buffer to the system, or the prefix that a crash leaves.
func (f *SimFile) drain(half bool) {
	if half {
		f.buffer = f.buffer[:f.fs.disk.crash.IntN(len(f.buffer)+1)]
		f.drainHalf()
		return
	}
	for i, c := range f.buffer {
		if err := f.writeOne(c); err != nil {
			f.broken = err
			f.buffer, f.buffered = f.buffer[i+1:], 0
			break
		}
		f.buffered -= len(c.data)
	}
	f.buffer = nil
}

// drainHalf hands the buffer to the system, of its last write a prefix only.
func (f *SimFile) drainHalf() {
	for i, c := range f.buffer {
		if i == len(f.buffer)-1 && c.data != nil {
			c.data = c.data[:f.fs.disk.crash.IntN(len(c.data)+1)]
			if len(c.data) == 0 {
				break
			}
		}
		f.apply(c)
	}
	f.buffer = nil
}

// writeOne is one write by the system, which may fail after a prefix.
func (f *SimFile) writeOne(c change) error {
	d := f.fs.disk
	if c.data == nil {
		f.apply(c)
		return nil
	}
	fits, err := int64(len(c.data)), error(nil)
	switch growth := c.length(int64(len(f.node.mem))) - int64(len(f.node.mem)); {
	case d.faults.Capacity > 0 && d.used+growth > d.faults.Capacity:
		err = ErrFull
		fits = max(0, int64(len(c.data))-(d.used+growth-d.faults.Capacity))
		d.count(FaultFull, f.node.id)
	case d.chance(d.errors, d.faults.WriteError):
		err = ErrIO
		fits = d.errors.Int64N(fits + 1)
		d.count(FaultWriteError, f.node.id)
	case d.chance(d.errors, d.faults.WriteFull):
		err = ErrFull
		fits = d.errors.Int64N(fits + 1)
		d.count(FaultFull, f.node.id)
	}
	if c.data = c.data[:fits]; fits > 0 {
		f.apply(c)
	}
	return err
}

// apply changes the inode, minding the space.
func (f *SimFile) apply(c change) {
	before := len(f.node.mem)
	f.node.write(c)
	f.fs.disk.used += int64(len(f.node.mem) - before)
}

// ReadCached implements File.
func (f *SimFile) ReadCached(p []byte, off int64) bool {
	if f.usable("read", false) != nil || off < 0 || off+int64(len(p)) > f.size {
		return false
	}
	d, end := f.fs.disk, off+int64(len(p))
	if !f.bufferedAt(off, end) && !f.node.dirtyAt(off, end) && d.chance(d.cache, d.faults.CacheMiss) {
		return false
	}
	if f.badAt(off, end) {
		return false
	}
	f.copyOut(p, off)
	return true
}

func (f *SimFile) bufferedAt(off, end int64) bool {
	for _, c := range f.buffer {
		if c.data == nil || c.off < end && off < c.off+int64(len(c.data)) {
			return true
		}
	}
	return false
}

// badAt tells whether a sector in the range cannot be read.
func (f *SimFile) badAt(off, end int64) bool {
	for s := off / sectorSize; len(f.node.bad) > 0 && s*sectorSize < end; s++ {
		if f.node.bad[s] {
			return true
		}
	}
	return false
}

// copyOut fills p with what the system shows under what is buffered.
func (f *SimFile) copyOut(p []byte, off int64) int {
	n := int(max(0, min(int64(len(p)), f.size-off)))
	p = p[:n]
	clear(p)
	if off < int64(len(f.node.mem)) {
		copy(p, f.node.mem[off:])
	}
	for _, c := range f.buffer {
		overlay(p, off, c)
	}
	return n
}

// overlay applies a change to the part of a file that p holds from off on.
func overlay(p []byte, off int64, c change) {
	end := off + int64(len(p))
	switch {
	case c.data == nil:
		if c.off < end {
			clear(p[max(0, c.off-off):])
		}
	case c.off >= end || c.off+int64(len(c.data)) <= off:
	case c.off >= off:
		copy(p[c.off-off:], c.data)
	default:
		copy(p, c.data[off-c.off:])
	}
}

// ReadAt implements File.
func (f *SimFile) ReadAt(s clock.Strand, p []byte, off int64, done func(n int, err error)) {
	err := f.usable("read", false)
	if err == nil && off < 0 {
		err = checkChange("read", f.name, off, f.size)
	}
	if err != nil {
		if !f.fs.dead {
			s.Post(func() { done(0, err) })
		}
		return
	}
	d, n := f.fs.disk, 0
	d.sim.After(d.serviceTime(OpRead), nil, clock.KindDisk, func() {
		if f.fs.dead {
			return
		}
		ok := f.fs.perform(simOp{kind: OpRead, name: f.name, run: func(bool) { n, err = f.read(p, off) }})
		if ok {
			deliver(s, func() { done(n, err) })
		}
	})
}

func (f *SimFile) read(p []byte, off int64) (int, error) {
	d := f.fs.disk
	end := min(off+int64(len(p)), f.size)
	if off < end && d.chance(d.errors, d.faults.ReadError) {
		d.count(FaultReadError, f.node.id)
		if d.errors.IntN(2) == 0 {
			d.breakSector(f.node, (off+d.errors.Int64N(end-off))/sectorSize)
		}
		return 0, &OpError{"read", f.name, ErrIO}
	}
	if f.badAt(off, end) {
		return 0, &OpError{"read", f.name, ErrIO}
	}
	n := f.copyOut(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteOut implements File.
func (f *SimFile) WriteOut(s clock.Strand, done func(error)) {
	f.push(s, OpWrite, func(half bool) error {
		f.drain(half)
		return f.broken
	}, done)
}

// Sync implements File.
func (f *SimFile) Sync(s clock.Strand, done func(error)) {
	f.push(s, OpSync, func(half bool) error {
		d := f.fs.disk
		if half {
			if d.crash.IntN(2) == 0 {
				f.drain(true)
			} else {
				f.drain(false)
				d.halfSync(f.node)
			}
			return nil
		}
		f.drain(false)
		switch {
		case f.broken != nil:
			return f.broken
		case d.chance(d.errors, d.faults.SyncError):
			d.failSync(f.node)
			return ErrIO
		}
		f.node.sync()
		return nil
	}, done)
}

// push queues an operation whose only result is an error.
func (f *SimFile) push(s clock.Strand, kind OpKind, run func(half bool) error, done func(error)) {
	if err := f.usable(kind.String(), false); err != nil {
		if !f.fs.dead {
			s.Post(func() { done(err) })
		}
		return
	}
	var err error
	f.ops.add(simOp{
		kind: kind, name: f.name,
		run:   func(half bool) { err = run(half) },
		reply: func() { deliver(s, func() { done(wrapOp(kind, f.name, err)) }) },
	})
}

// Close implements File.
func (f *SimFile) Close() {
	if f.closed || f.fs.dead {
		return
	}
	f.closed = true
	f.ops.add(simOp{
		kind: OpWrite, name: f.name,
		run: func(half bool) { f.drain(half) },
		reply: func() {
			if i := slices.Index(f.fs.files, f); i >= 0 {
				f.fs.files = slices.Delete(f.fs.files, i, i+1)
			}
		},
	})
}
