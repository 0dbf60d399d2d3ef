package msgs

import (
	"sort"
	"sync/atomic"
)

// frame is a part of a block's content: records one behind another, which are read
// from disk, cached and compressed as one. What is in memory of it never changes once it is
// there, so that messages may refer to it; it is replaced.
type frame struct {
	off  uint32 // of its first record in the block
	size uint32 // of its records, in bytes
	// own is the content while no disk has it, or when there is no disk.
	own []byte
	// cached is the content that the cache may take away.
	cached atomic.Pointer[content]
	closed bool // takes no more records
	place  place
}

// place is where a frame is on disk.
type place struct {
	off    int64  // in the file: of its header, or of the first record of a plain block
	stored uint32 // length there
	load   *load  // under way
}

// frameBytes is the length at which a frame ends.
const frameBytes = 64 << 10

// frameFirst is the capacity that the first frame of a block begins with.
const frameFirst = 1 << 10

// bytes is the content, or nil.
func (f *frame) bytes() []byte {
	if f.own != nil {
		return f.own
	}
	if c := f.cached.Load(); c != nil {
		c.touch()
		return c.data
	}
	return nil
}

// frameOf is the frame that holds the record at off.
func (b *block) frameOf(off uint32) *frame {
	n := len(b.frames)
	if f := b.frames[n-1]; off >= f.off {
		return f
	}
	return b.frames[sort.Search(n, func(i int) bool { return b.frames[i].off > off })-1]
}

// room gives n bytes behind the content of the open frame, or of a new one; they belong to the record at
// b.size.
func (b *block) room(n int) []byte {
	if len(b.frames) > 0 && !b.frames[len(b.frames)-1].closed {
		f := b.frames[len(b.frames)-1]
		if f.own != nil && f.grow(n) {
			at := len(f.own)
			f.own = f.own[:at+n]
			f.size += uint32(n)
			return f.own[at:]
		}
	}
	size := frameFirst
	if len(b.frames) > 0 {
		size = min(max(2*int(b.frames[len(b.frames)-1].size), frameFirst), frameBytes)
	}
	f := &frame{off: b.size, size: uint32(n), own: make([]byte, n, max(size, n))}
	b.frames = append(b.frames, f)
	return f.own
}

// grow makes room for n more bytes, unless that makes the frame too long. Small ones are
// moved to larger memory; messages keep what they refer to.
func (f *frame) grow(n int) bool {
	if len(f.own)+n <= cap(f.own) {
		return true
	}
	if want := len(f.own) + n; want <= frameBytes && cap(f.own) < frameBytes {
		f.own = append(make([]byte, 0, min(max(2*cap(f.own), want), frameBytes)), f.own...)
		return true
	}
	return false
}
