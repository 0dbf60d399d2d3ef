package archive

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

// The S2 stream format: chunks of a type, a length of three bytes, and content. Data chunks begin with a
// masked checksum of what they hold uncompressed.
const (
	chunkCompressed = 0x00
	chunkPlain      = 0x01
	chunkSkipFrom   = 0x80 // from here on types may be passed over
	chunkPadding    = 0xfe
	chunkIdentity   = 0xff

	frameBlock = 256 << 10 // bytes of a chunk that is written, uncompressed
	frameMax   = 4 << 20   // bytes of a chunk that is read, uncompressed
)

const (
	identityS2     = "S2sTwO"
	identitySnappy = "sNaPpY"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 {
	c := crc32.Checksum(p, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

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
		f.out = append(f.out, chunkIdentity, byte(len(identityS2)), 0, 0)
		f.out = append(f.out, identityS2...)
	}
	if len(f.block) == 0 {
		return
	}
	kind, body := byte(chunkPlain), f.block
	if cap(f.packed) == 0 {
		f.packed = make([]byte, s2.MaxEncodedLen(frameBlock))
	}
	if packed := s2.Encode(f.packed[:cap(f.packed)], f.block); len(packed) < len(f.block)-len(f.block)/8 {
		kind, body = chunkCompressed, packed
	}
	n := len(body) + 4
	f.out = append(f.out, kind, byte(n), byte(n>>8), byte(n>>16))
	f.out = binary.LittleEndian.AppendUint32(f.out, checksum(f.block))
	f.out = append(f.out, body...)
	f.block = f.block[:0]
}

// errUnsupported: the stream has a chunk that no reader may pass over.
var errUnsupported = errors.New("s2: unsupported input")

// unframer decompresses a stream, a chunk at a time.
type unframer struct {
	in    []byte // compressed, not read yet
	used  int    // bytes of in that were
	plain []byte // of the last chunk
	begun bool
}

func (u *unframer) feed(p []byte) {
	if u.used > 0 {
		u.in = u.in[:copy(u.in, u.in[u.used:])]
		u.used = 0
	}
	u.in = append(u.in, p...)
}

// left is the number of bytes that were fed and make no chunk yet.
func (u *unframer) left() int { return len(u.in) - u.used }

// next decompresses the next chunk that holds data. It is nil when more must be fed. The result is
// valid until the next call.
func (u *unframer) next() ([]byte, error) {
	for {
		in := u.in[u.used:]
		if len(in) < 4 {
			return nil, nil
		}
		kind, n := in[0], int(in[1])|int(in[2])<<8|int(in[3])<<16
		if err := u.acceptable(kind, n); err != nil {
			return nil, err
		}
		if len(in) < 4+n {
			return nil, nil
		}
		u.used += 4 + n
		plain, err := u.open(kind, in[4:4+n])
		if err != nil || len(plain) > 0 {
			return plain, err
		}
	}
}

// acceptable judges a chunk before all of it is there.
func (u *unframer) acceptable(kind byte, n int) error {
	switch {
	case !u.begun && kind != chunkIdentity:
		return s2.ErrCorrupt
	case kind == chunkIdentity && n != len(identityS2):
		return s2.ErrCorrupt
	case kind == chunkCompressed && (n < 4 || n > s2.MaxEncodedLen(frameMax)+4):
		return s2.ErrCorrupt
	case kind == chunkPlain && (n < 4 || n > frameMax+4):
		return s2.ErrCorrupt
	case kind > chunkPlain && kind < chunkSkipFrom:
		return errUnsupported
	}
	return nil
}

func (u *unframer) open(kind byte, body []byte) ([]byte, error) {
	switch kind {
	case chunkIdentity:
		if s := string(body); s != identityS2 && s != identitySnappy {
			return nil, s2.ErrCorrupt
		}
		u.begun = true
		return nil, nil
	case chunkCompressed:
		n, err := s2.DecodedLen(body[4:])
		if err != nil || n > frameMax {
			return nil, s2.ErrCorrupt
		}
		if cap(u.plain) < n {
			u.plain = make([]byte, n)
		}
		if u.plain, err = s2.Decode(u.plain[:cap(u.plain)], body[4:]); err != nil {
			return nil, s2.ErrCorrupt
		}
	case chunkPlain:
		u.plain = append(u.plain[:0], body[4:]...)
	default:
		return nil, nil
	}
	if checksum(u.plain) != binary.LittleEndian.Uint32(body) {
		return nil, s2.ErrCRC
	}
	return u.plain, nil
}
