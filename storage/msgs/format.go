package msgs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/storage/seal"
)

// A store's directory holds block files and subject files. Numbers are little-endian;
// checksums are CRC-32C, and begin with a seed made of the store's identity and the file's
// number, so that nothing of another file passes.
//
//	block file    header | body | index, once the block is complete
//	subject file  header | frames
//	header        magic 8 | version 4 | kind 4 | identity 8 | number 8 | first sequence 8 | zero 4 | checksum of the 44 bytes before 4
//	body          records, or frames of records when compressed or encrypted
//	frame         magic 4 | stored length 4 | plain length 4 | offset of what it holds 4 | flags 4 |
//	              checksum of what is stored 4 | zero 4 | checksum of the 28 bytes before 4 | what is stored
//	index         one frame
//
// What is stored in a frame is the plain bytes, perhaps compressed, then perhaps
// encrypted. The manifest knows how long everything is.
const (
	formatVersion = 1
	fileHeaderLen = 48
	frameHeadLen  = 32
	blockMagic    = "LSBLOCK\x01"
	subjectMagic  = "LSSUBJS\x01"
	frameMagic    = 0x314d_524c // "LRM1"
)

// Kinds of bodies.
const (
	bodyPlain  = 0
	bodyFramed = 1
)

// Flags of frames.
const (
	framePacked  = 1 << 0
	frameSealed  = 1 << 1
	frameColumns = 1 << 2 // it holds the index of a block
)

// frameMax is the longest plain frame.
const frameMax = 1 << 30

// Reasons for damage.
var (
	errHeader   = errors.New("no valid header")
	errShort    = errors.New("the file ends early")
	errSum      = errors.New("checksum mismatch")
	errContent  = errors.New("what it holds contradicts itself")
	errUnsealed = errors.New("it is not encrypted, as it should be")
)

// seedOf begins the checksums of a file.
func seedOf(identity, number uint64) uint32 {
	var p [16]byte
	binary.LittleEndian.PutUint64(p[:], identity)
	binary.LittleEndian.PutUint64(p[8:], number)
	return crc32.Checksum(p[:], castagnoli)
}

// fileHeader is what a file begins with.
type fileHeader struct {
	magic    string
	kind     uint32
	identity uint64
	number   uint64
	first    uint64
}

func (h fileHeader) encode() []byte {
	p := append(make([]byte, 0, fileHeaderLen), h.magic...)
	le := binary.LittleEndian
	p = le.AppendUint32(p, formatVersion)
	p = le.AppendUint32(p, h.kind)
	p = le.AppendUint64(p, h.identity)
	p = le.AppendUint64(p, h.number)
	p = le.AppendUint64(p, h.first)
	p = le.AppendUint32(p, 0)
	return le.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

func decodeFileHeader(p []byte) (h fileHeader, err error) {
	if len(p) < fileHeaderLen {
		return h, errShort
	}
	le := binary.LittleEndian
	h = fileHeader{
		magic: string(p[:8]), kind: le.Uint32(p[12:]), identity: le.Uint64(p[16:]),
		number: le.Uint64(p[24:]), first: le.Uint64(p[32:]),
	}
	switch {
	case h.magic != blockMagic && h.magic != subjectMagic:
		return h, fmt.Errorf("%w: it begins with %q", errHeader, h.magic)
	case crc32.Checksum(p[:44], castagnoli) != le.Uint32(p[44:]):
		return h, errSum
	case le.Uint32(p[8:]) != formatVersion:
		return h, fmt.Errorf("%w: version %d, want %d", errHeader, le.Uint32(p[8:]), formatVersion)
	case le.Uint32(p[40:]) != 0 || h.kind > bodyFramed:
		return h, errHeader
	}
	return h, nil
}

// check compares a header with what it must be.
func (h fileHeader) check(magic string, identity, number uint64) error {
	if h.magic != magic || h.identity != identity || h.number != number {
		return fmt.Errorf("%w: it belongs to file %d of store %d, want file %d of store %d",
			errHeader, h.number, h.identity, number, identity)
	}
	return nil
}

// codec turns bytes into what is stored in frames of one file.
type codec struct {
	sealer   *seal.Sealer
	pack     bool
	identity uint64
	number   uint64
	seed     uint32
}

func newCodec(o *Options, number uint64, pack bool) codec {
	return codec{o.Sealer, pack, o.Identity, number, seedOf(o.Identity, number)}
}

// aad is what encryption binds a frame to.
func (c *codec) aad(off uint32, flags uint32) []byte {
	p := make([]byte, 0, 24)
	p = binary.LittleEndian.AppendUint64(p, c.identity)
	p = binary.LittleEndian.AppendUint64(p, c.number)
	p = binary.LittleEndian.AppendUint32(p, off)
	return binary.LittleEndian.AppendUint32(p, flags)
}

// appendFrame appends a frame of plain, which stands at off of whatever the file is made of.
func (c *codec) appendFrame(dst, plain []byte, off, flags uint32) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, frameHeadLen)...)
	stored := plain
	if c.pack {
		flags |= framePacked
		stored = seal.Compress(nil, plain)
	}
	if c.sealer != nil {
		flags |= frameSealed
		dst = c.sealer.Seal(dst, stored, c.aad(off, flags))
	} else {
		dst = append(dst, stored...)
	}
	le := binary.LittleEndian
	h := dst[at : at+frameHeadLen]
	le.PutUint32(h[0:], frameMagic)
	le.PutUint32(h[4:], uint32(len(dst)-at-frameHeadLen))
	le.PutUint32(h[8:], uint32(len(plain)))
	le.PutUint32(h[12:], off)
	le.PutUint32(h[16:], flags)
	le.PutUint32(h[20:], crc32.Update(c.seed, castagnoli, dst[at+frameHeadLen:]))
	le.PutUint32(h[28:], crc32.Update(c.seed, castagnoli, h[:28]))
	return dst
}

// frameHead is the header of a frame.
type frameHead struct {
	stored, plain, off, flags, sum uint32
}

// decodeFrameHead reads a frame's header.
func (c *codec) decodeFrameHead(p []byte) (h frameHead, err error) {
	if len(p) < frameHeadLen {
		return h, errShort
	}
	le := binary.LittleEndian
	if crc32.Update(c.seed, castagnoli, p[:28]) != le.Uint32(p[28:]) {
		return h, errSum
	}
	h = frameHead{le.Uint32(p[4:]), le.Uint32(p[8:]), le.Uint32(p[12:]), le.Uint32(p[16:]), le.Uint32(p[20:])}
	if le.Uint32(p) != frameMagic || h.plain > frameMax || h.flags > framePacked|frameSealed|frameColumns || le.Uint32(p[24:]) != 0 {
		return h, errContent
	}
	return h, nil
}

// openFrame gives the plain bytes of the frame that p begins with, and the frame's length. The plain
// bytes are p's own where nothing had to be undone.
func (c *codec) openFrame(p []byte) (h frameHead, plain []byte, length int, err error) {
	if h, err = c.decodeFrameHead(p); err != nil {
		return h, nil, 0, err
	}
	length = frameHeadLen + int(h.stored)
	if length > len(p) {
		return h, nil, 0, errShort
	}
	plain = p[frameHeadLen:length]
	if crc32.Update(c.seed, castagnoli, plain) != h.sum {
		return h, nil, length, errSum
	}
	switch {
	case h.flags&frameSealed != 0 && c.sealer == nil:
		return h, nil, length, ErrNoKey
	case h.flags&frameSealed == 0 && c.sealer != nil:
		return h, nil, length, errUnsealed
	case h.flags&frameSealed != 0:
		if plain, err = c.sealer.Open(nil, plain, c.aad(h.off, h.flags)); err != nil {
			return h, nil, length, err
		}
	}
	if h.flags&framePacked != 0 {
		if plain, err = seal.Decompress(make([]byte, 0, h.plain), plain, int(h.plain)); err != nil {
			return h, nil, length, err
		}
	}
	if len(plain) != int(h.plain) {
		return h, nil, length, errContent
	}
	return h, plain, length, nil
}

// Names of files.
const (
	blockSuffix   = ".blk"
	subjectSuffix = ".sub"
)

func fileName(dir string, number uint64, suffix string) string {
	return fmt.Sprintf("%s/%08x%s", dir, number, suffix)
}

// parseFileName reads a name in the store's directory.
func parseFileName(name string) (number uint64, suffix string, ok bool) {
	for _, suffix := range [...]string{blockSuffix, subjectSuffix} {
		if hex, found := strings.CutSuffix(name, suffix); found {
			number, err := strconv.ParseUint(hex, 16, 64)
			return number, suffix, err == nil && fmt.Sprintf("%08x", number) == hex
		}
	}
	return 0, "", false
}
