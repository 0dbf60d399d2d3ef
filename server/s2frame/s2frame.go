// Package s2frame writes and reads streams of S2, the format in which servers compress what they send
// each other and backups are kept: chunks of a type byte, a length in three bytes and that many bytes.
// A chunk of data begins with a checksum of what it says. The package is bytes in, bytes out: it runs on
// whatever strand calls it, keeps nothing but what a Reader holds, and never waits for anything.
package s2frame

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

const (
	chunkCompressed   = 0x00
	chunkUncompressed = 0x01
	chunkUnskippable  = 0x7f // the last type that a reader must know
	chunkIdentifier   = 0xff
	chunkHeader       = 4
	checksumSize      = 4
)

const (
	// blockMax is how much data a chunk may have: 4 MB by the format.
	blockMax = 4 << 20
	// blockWrite is how much data a chunk of AppendStream has at most.
	blockWrite = 1 << 20
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

// Level is how hard what is written is compressed.
type Level uint8

// The levels, from the fastest on.
const (
	Uncompressed Level = iota // framed only
	Fast
	Better
	Best
)

// AppendStream appends a whole stream with the data of src; nothing for no data. scratch is space to
// compress in, given back.
func AppendStream(dst, src, scratch []byte, l Level) (out, space []byte) {
	if len(src) == 0 {
		return dst, scratch
	}
	dst = AppendIdentifier(dst)
	for len(src) > 0 {
		block := src[:min(len(src), blockWrite)]
		src = src[len(block):]
		dst, scratch = AppendChunk(dst, block, scratch, l)
	}
	return dst, scratch
}

// AppendIdentifier appends what a stream begins with.
func AppendIdentifier(dst []byte) []byte {
	dst = append(dst, chunkIdentifier, byte(len(identifierS2)), 0, 0)
	return append(dst, identifierS2...)
}

// AppendChunk appends a chunk with the data of block, 1 byte to 4 MB. scratch is space to compress in,
// given back.
func AppendChunk(dst, block, scratch []byte, l Level) (out, space []byte) {
	body, kind := block, byte(chunkUncompressed)
	if l != Uncompressed {
		scratch = encodeBlock(scratch, block, l)
		if len(scratch) < len(block)-len(block)/32 {
			body, kind = scratch, chunkCompressed
		}
	}
	n := checksumSize + len(body)
	dst = append(dst, kind, byte(n), byte(n>>8), byte(n>>16))
	dst = binary.LittleEndian.AppendUint32(dst, checksum(block))
	return append(dst, body...), scratch
}

func encodeBlock(scratch, block []byte, l Level) []byte {
	if need := s2.MaxEncodedLen(len(block)); cap(scratch) < need {
		scratch = make([]byte, need)
	}
	scratch = scratch[:cap(scratch)]
	switch l {
	case Better:
		return s2.EncodeBetter(scratch, block)
	case Best:
		return s2.EncodeBest(scratch, block)
	}
	return s2.Encode(scratch, block)
}

// Reader reads streams, one after another. The zero value is ready to use.
type Reader struct {
	chunk []byte // of a chunk that is not complete: header and what came of it
	skip  int    // bytes to pass over
	begun bool   // an identifier came
	block []byte // the last data that was decoded
	err   error
}

// Next takes one chunk's data from in. It returns what is left of in; data is nil when in was
// used up without completing one. data is valid until the next call or until in
// changes. An error wraps s2.ErrCorrupt, s2.ErrCRC or s2.ErrUnsupported, and every call
// after it repeats it.
func (r *Reader) Next(in []byte) (data, rest []byte, err error) {
	for r.err == nil {
		n := min(r.skip, len(in))
		in, r.skip = in[n:], r.skip-n
		if len(in) == 0 {
			return nil, nil, nil
		}
		var chunk []byte
		if chunk, in = r.take(in); chunk == nil {
			continue
		}
		data, err := r.decode(chunk[0], chunk[chunkHeader:])
		if err != nil {
			r.err = err
		} else if len(data) > 0 {
			return data, in, nil
		}
	}
	return nil, nil, r.err
}

// take gives a whole chunk, or nil when more of it must come. A chunk that may be skipped is.
func (r *Reader) take(in []byte) (chunk, rest []byte) {
	if len(r.chunk) == 0 && len(in) >= chunkHeader {
		size, ok := r.size(in)
		if !ok {
			return nil, in[chunkHeader:]
		}
		if whole := chunkHeader + size; len(in) >= whole {
			return in[:whole], in[whole:]
		}
	}
	if n := chunkHeader - len(r.chunk); n > 0 {
		n = min(n, len(in))
		r.chunk, in = append(r.chunk, in[:n]...), in[n:]
		if len(r.chunk) < chunkHeader {
			return nil, in
		}
	}
	size, ok := r.size(r.chunk)
	if !ok {
		r.chunk = r.chunk[:0]
		return nil, in
	}
	n := min(chunkHeader+size-len(r.chunk), len(in))
	r.chunk, in = append(r.chunk, in[:n]...), in[n:]
	if len(r.chunk) < chunkHeader+size {
		return nil, in
	}
	chunk = r.chunk
	r.chunk = r.chunk[:0]
	return chunk, in
}

// size reads the length of a chunk from its header; false when it is skipped or wrong.
func (r *Reader) size(header []byte) (n int, ok bool) {
	kind := header[0]
	n = int(header[1]) | int(header[2])<<8 | int(header[3])<<16
	most := blockMax
	if kind == chunkCompressed {
		most = s2.MaxEncodedLen(blockMax)
	}
	switch {
	case kind == chunkIdentifier:
		if n != len(identifierS2) {
			r.err = fmt.Errorf("%w: identifier of %d bytes", s2.ErrCorrupt, n)
			return 0, false
		}
	case !r.begun:
		r.err = fmt.Errorf("%w: does not begin with an identifier", s2.ErrCorrupt)
		return 0, false
	case kind > chunkUnskippable:
		r.skip = n
		return 0, false
	case kind > chunkUncompressed:
		r.err = fmt.Errorf("%w: chunk of unknown type %#x", s2.ErrUnsupported, kind)
		return 0, false
	case n < checksumSize || n > checksumSize+most:
		r.err = fmt.Errorf("%w: chunk of %d bytes, want %d to %d", s2.ErrCorrupt, n, checksumSize, checksumSize+most)
		return 0, false
	}
	return n, true
}

// decode gives the data of a chunk.
func (r *Reader) decode(kind byte, body []byte) (data []byte, err error) {
	if kind == chunkIdentifier {
		if s := string(body); s != identifierS2 && s != identifierSnappy {
			return nil, fmt.Errorf("%w: identifier %q", s2.ErrCorrupt, s)
		}
		r.begun = true
		return nil, nil
	}
	sum := binary.LittleEndian.Uint32(body)
	body = body[checksumSize:]
	data = body
	if kind == chunkCompressed {
		n, err := s2.DecodedLen(body)
		if err != nil || n > blockMax {
			return nil, fmt.Errorf("%w: block of more than %d bytes, or none", s2.ErrCorrupt, blockMax)
		}
		if cap(r.block) < n {
			r.block = make([]byte, n)
		}
		if data, err = s2.Decode(r.block[:cap(r.block)], body); err != nil {
			return nil, fmt.Errorf("%w: damaged block", s2.ErrCorrupt)
		}
	}
	if checksum(data) != sum {
		return nil, fmt.Errorf("%w: wrong checksum", s2.ErrCRC)
	}
	return data, nil
}

// Held is the number of bytes that came and are kept until the rest of their chunk comes.
func (r *Reader) Held() int { return len(r.chunk) }

// Whole tells whether what came ends with a chunk.
func (r *Reader) Whole() bool { return len(r.chunk) == 0 && r.skip == 0 }

// Trim gives back what is kept for reuse.
func (r *Reader) Trim() {
	r.block = nil
	if len(r.chunk) == 0 {
		r.chunk = nil
	}
}
