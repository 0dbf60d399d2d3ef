package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

// The framing format of S2: chunks of a type byte, a length in three bytes and that many
// bytes. A chunk of data begins with a checksum of what it says.
const (
	chunkCompressed   = 0x00
	chunkUncompressed = 0x01
	chunkUnskippable  = 0x7f // the last type that a reader must know
	chunkIdentifier   = 0xff
	chunkHeader       = 4
	checksumSize      = 4
	// blockMax is how much data a chunk may have: 4 MB by the format, 1 MB as we write.
	blockMax   = 4 << 20
	blockWrite = 1 << 20
	// chunkMax is the length of the longest chunk of data.
	chunkMax = checksumSize + blockMax + blockMax/6 + 64
)

const (
	identifierS2     = "S2sTwO"
	identifierSnappy = "sNaPpY"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the masked checksum of the format.
func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// level is how hard what is sent is compressed.
type level uint8

const (
	levelUncompressed level = iota // framed only
	levelFast
	levelBetter
	levelBest
)

// appendFrames appends a whole stream with the data of src. Its blocks are compressed one by
// one; scratch is space for that, given back.
func appendFrames(dst, src, scratch []byte, l level) (out, space []byte) {
	if len(src) == 0 {
		return dst, scratch
	}
	dst = append(dst, chunkIdentifier, byte(len(identifierS2)), 0, 0)
	dst = append(dst, identifierS2...)
	for len(src) > 0 {
		block := src[:min(len(src), blockWrite)]
		src = src[len(block):]
		body, kind := block, byte(chunkUncompressed)
		if l != levelUncompressed {
			scratch = encodeBlock(scratch, block, l)
			if len(scratch) < len(block)-len(block)/32 {
				body, kind = scratch, chunkCompressed
			}
		}
		n := checksumSize + len(body)
		dst = append(dst, kind, byte(n), byte(n>>8), byte(n>>16))
		dst = binary.LittleEndian.AppendUint32(dst, checksum(block))
		dst = append(dst, body...)
	}
	return dst, scratch
}

func encodeBlock(scratch, block []byte, l level) []byte {
	if need := s2.MaxEncodedLen(len(block)); cap(scratch) < need {
		scratch = make([]byte, need)
	}
	scratch = scratch[:cap(scratch)]
	switch l {
	case levelBetter:
		return s2.EncodeBetter(scratch, block)
	case levelBest:
		return s2.EncodeBest(scratch, block)
	}
	return s2.Encode(scratch, block)
}

// unframer reads such streams, one after another. The zero value is ready to use.
type unframer struct {
	chunk []byte // of a chunk that is not complete: header and what came of it
	skip  int    // bytes to pass over
	begun bool   // an identifier came
	block []byte // the last data that was decoded
	err   error
}

var errFraming = errors.New("compressed data")

// next takes one chunk's data from in. It returns what is left of in; data is nil when in was
// used up without completing one. data is valid until the next call or until in
// changes. After an error every call repeats it.
func (u *unframer) next(in []byte) (data, rest []byte, err error) {
	for u.err == nil {
		n := min(u.skip, len(in))
		in, u.skip = in[n:], u.skip-n
		if len(in) == 0 {
			return nil, nil, nil
		}
		var chunk []byte
		if chunk, in = u.take(in); chunk == nil {
			continue
		}
		data, err := u.decode(chunk[0], chunk[chunkHeader:])
		if err != nil {
			u.err = err
		} else if len(data) > 0 {
			return data, in, nil
		}
	}
	return nil, nil, u.err
}

// take gives a whole chunk, or nil when more of it must come. A chunk that may be skipped is.
func (u *unframer) take(in []byte) (chunk, rest []byte) {
	if len(u.chunk) == 0 && len(in) >= chunkHeader {
		size, ok := u.size(in)
		if !ok {
			return nil, in[chunkHeader:]
		}
		if whole := chunkHeader + size; len(in) >= whole {
			return in[:whole], in[whole:]
		}
	}
	if n := chunkHeader - len(u.chunk); n > 0 {
		n = min(n, len(in))
		u.chunk, in = append(u.chunk, in[:n]...), in[n:]
		if len(u.chunk) < chunkHeader {
			return nil, in
		}
	}
	size, ok := u.size(u.chunk)
	if !ok {
		u.chunk = u.chunk[:0]
		return nil, in
	}
	n := min(chunkHeader+size-len(u.chunk), len(in))
	u.chunk, in = append(u.chunk, in[:n]...), in[n:]
	if len(u.chunk) < chunkHeader+size {
		return nil, in
	}
	chunk = u.chunk
	u.chunk = u.chunk[:0]
	return chunk, in
}

// size reads the length of a chunk from its header; false when it is skipped or wrong.
func (u *unframer) size(header []byte) (n int, ok bool) {
	kind := header[0]
	n = int(header[1]) | int(header[2])<<8 | int(header[3])<<16
	switch {
	case kind == chunkIdentifier:
		if n != len(identifierS2) {
			u.err = fmt.Errorf("%w: identifier of %d bytes", errFraming, n)
			return 0, false
		}
	case kind > chunkUnskippable:
		u.skip = n
		return 0, false
	case kind > chunkUncompressed:
		u.err = fmt.Errorf("%w: chunk of unknown type %#x", errFraming, kind)
		return 0, false
	case !u.begun:
		u.err = fmt.Errorf("%w: does not begin with an identifier", errFraming)
		return 0, false
	case n < checksumSize || n > chunkMax:
		u.err = fmt.Errorf("%w: chunk of %d bytes, want %d to %d", errFraming, n, checksumSize, chunkMax)
		return 0, false
	}
	return n, true
}

// decode gives the data of a chunk.
func (u *unframer) decode(kind byte, body []byte) (data []byte, err error) {
	if kind == chunkIdentifier {
		if s := string(body); s != identifierS2 && s != identifierSnappy {
			return nil, fmt.Errorf("%w: identifier %q", errFraming, s)
		}
		u.begun = true
		return nil, nil
	}
	sum := binary.LittleEndian.Uint32(body)
	body = body[checksumSize:]
	data = body
	if kind == chunkCompressed {
		n, err := s2.DecodedLen(body)
		if err != nil || n > blockMax {
			return nil, fmt.Errorf("%w: block of more than %d bytes, or none", errFraming, blockMax)
		}
		if cap(u.block) < n {
			u.block = make([]byte, n)
		}
		if data, err = s2.Decode(u.block[:cap(u.block)], body); err != nil {
			return nil, fmt.Errorf("%w: %w", errFraming, err)
		}
	} else if len(data) > blockMax {
		return nil, fmt.Errorf("%w: block of more than %d bytes", errFraming, blockMax)
	}
	if checksum(data) != sum {
		return nil, fmt.Errorf("%w: wrong checksum", errFraming)
	}
	return data, nil
}

// trim gives back what is kept for reuse.
func (u *unframer) trim() {
	u.block = nil
	if len(u.chunk) == 0 {
		u.chunk = nil
	}
}
