package archive

import (
	"errors"

	"github.com/lockstepmq/lockstep/server/s2frame"
)

// frameBlock is how much data a chunk has that is written.
const frameBlock = 256 << 10

// framer compresses a stream.
type framer struct {
	out    []byte // ready
	block  []byte // not compressed yet
	packed []byte
	begun  bool
}

func (f *framer) write(p []byte) {
	for len(p) > 0 {
		n := min(len(p), frameBlock-len(f.block))
		f.block = append(f.block, p[:n]...)
		p = p[n:]
		if len(f.block) == frameBlock {
			f.flush()
		}
	}
}

// flush makes a chunk of what was written.
func (f *framer) flush() {
	if !f.begun {
		f.begun = true
		f.out = s2frame.AppendIdentifier(f.out)
	}
	if len(f.block) == 0 {
		return
	}
	f.out, f.packed = s2frame.AppendChunk(f.out, f.block, f.packed, s2frame.Fast)
	f.block = f.block[:0]
}

// unframer decompresses a stream, a chunk at a time.
type unframer struct {
	in     []byte // compressed, not read yet
	used   int    // bytes of in that were
	frames s2frame.Reader
}

func (u *unframer) feed(p []byte) {
	if u.used > 0 {
		u.in = u.in[:copy(u.in, u.in[u.used:])]
		u.used = 0
	}
	u.in = append(u.in, p...)
}

// left is the number of bytes that are kept and make no chunk yet.
func (u *unframer) left() int { return len(u.in) - u.used + u.frames.Held() }

// whole tells whether what was fed ends with a chunk, and all of it was given.
func (u *unframer) whole() bool { return u.used == len(u.in) && u.frames.Whole() }

// next decompresses the next chunk that holds data. It is nil when more must be fed. The result is
// valid until the next call or feed. An error says no more than clients are told.
func (u *unframer) next() ([]byte, error) {
	data, rest, err := u.frames.Next(u.in[u.used:])
	u.used = len(u.in) - len(rest)
	return data, errors.Unwrap(err)
}
