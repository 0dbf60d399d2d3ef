package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A segment is a file header and batches; a batch is a header and chunks; a chunk is a
// header and the records of one group, padded with zeros to a multiple of 8. Numbers are
// little-endian, checksums CRC-32C. What begins with the log's id cannot be taken
// for another log's, nor a payload that looks like a batch for one.
//
//	file    magic 8 | version 4 | checksum of the other 60 bytes 4 | log id 8 | segment 8 |
//	        number of the first batch 8 | end of the segment before 8 | checksum of the last batch in it 4 |
//	        zeros 4 | oldest segment that is needed 8
//	batch   checksum of the 60 bytes that follow 4 | magic 4 | checksum of the batch before (of the file
//	        header for the first) 4 | checksum of all chunk headers 4 | segment 8 | own offset 8 |
//	        known-durable offset 8 | number 8 | bytes that follow the header 4 | chunks 4 | flags 4 | zeros 4
//	chunk   checksum of the 68 bytes that follow 4 | checksum of the records, padding included 4 |
//	        group 8 | incarnation 8 | how many chunks the group has had, this one included 8 | index 8 | term 8 |
//	        from 4 | to 4 | count 4 | bytes of the records 4 | kind 1 | flags 1 | one more than how many chunks
//	        without entries the group has had, this one included 6
//	entry   length 28 bits, kind 4 bits | payload
//
// So the checksum of a batch speaks, through the checksums in it, for every byte up to its end.
// Everything in the segments before is known to be durable when a segment is made, and the
// end that its header names is where they are joined: what lies behind that end belongs
// to nothing.
const (
	segmentMagic   = "LSWALSEG"
	formatVersion  = 2
	formatOldest   = 1 // that is read: it has no lives, no counts of chunks without entries, no kinds from kindReset on
	fileHeaderLen  = 64
	batchMagic     = 0x4254_4157 // "WATB"
	batchHeaderLen = 64
	chunkHeaderLen = 72
	entryHeaderLen = 4

	batchBodyMax = 1 << 30
)

// chunkKind says what a chunk holds. The fields index, term, from, to and count of its
// header mean:
type chunkKind uint8

const (
	// kindEntries: entries of one term; count of them from index on, of which those at
	// the places from up to but excluding to count.
	kindEntries chunkKind = 1 + iota
	// kindPart: part `from` of `to` of the state at index, of the attempt that count numbers;
	// term is that of the entry at index.
	kindPart
	// kindHard: the term index, the vote term, the life from its low and to its high half.
	kindHard
	// kindTruncate: no entry from index on is valid any more.
	kindTruncate
	// kindDrop: the group is gone.
	kindDrop
	// kindTrim: segments below index are not needed. It is of no group.
	kindTrim
	// kindCensus: the groups that live. It is of no group.
	kindCensus
	// kindReset: as kindPart, but of a state that replaces everything before the first of its parts.
	kindReset
	// kindLost: the entries that a chunk of the same header fields held cannot be read.
	kindLost
	kindEnd
)

// ofLog tells whether chunks of the kind are of no group.
func (k chunkKind) ofLog() bool { return k == kindTrim || k == kindCensus }

// ofEntries tells whether chunks of the kind add entries, or say that they cannot be read.
func (k chunkKind) ofEntries() bool { return k == kindEntries || k == kindLost }

// ofState tells whether chunks of the kind are parts of states.
func (k chunkKind) ofState() bool { return k == kindPart || k == kindReset }

// Flags.
const (
	flagSealed = 1 // of a chunk: the records are encrypted
	flagAgain  = 2 // of a chunk: its entries were written before
	flagClosed = 1 // of a batch: the log was closed behind it
)

// Reasons for damage.
var (
	errChecksum = errors.New("checksum mismatch")
	errHeader   = errors.New("no valid header")
	errShort    = errors.New("the file ends inside")
	errChain    = errors.New("it does not continue what is before it")
	errRecord   = errors.New("record out of place")
	errMissing  = errors.New("the file is missing")
	errRead     = errors.New("it cannot be read")
	errGap      = errors.New("entries are missing")
	errRecorded = errors.New("an earlier recovery found damage, and said so here")
	errSealed   = errors.New("the records cannot be decrypted")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seed begins the checksums of a log. Of two seeds each gives the same bytes another checksum.
func seed(id uint64) uint32 { return uint32(id) ^ uint32(id>>32) }

// chunkSeed binds chunk headers to their batch.
func chunkSeed(id, number uint64) uint32 { return seed(id) ^ uint32(number) ^ 0x9e3779b9 }

// sumOf is the checksum of records with the padding that follows them.
func sumOf(records []byte) uint32 {
	var zeros [8]byte
	return crc32.Update(crc32.Checksum(records, castagnoli), castagnoli, zeros[:padded(len(records))-len(records)])
}

func padded(n int) int { return (n + 7) &^ 7 }

// fileHeader is the beginning of a segment.
type fileHeader struct {
	log      uint64
	segment  uint64
	first    uint64 // number of the first batch
	joined   int64  // end of the segment before
	previous uint32 // checksum of the last batch in it
	oldest   uint64
}

// encode gives the bytes and their checksum.
func (h *fileHeader) encode() ([]byte, uint32) {
	p := make([]byte, fileHeaderLen)
	le := binary.LittleEndian
	copy(p, segmentMagic)
	le.PutUint32(p[8:], formatVersion)
	le.PutUint64(p[16:], h.log)
	le.PutUint64(p[24:], h.segment)
	le.PutUint64(p[32:], h.first)
	le.PutUint64(p[40:], uint64(h.joined))
	le.PutUint32(p[48:], h.previous)
	le.PutUint64(p[56:], h.oldest)
	sum := fileHeaderSum(p)
	le.PutUint32(p[12:], sum)
	return p, sum
}

func fileHeaderSum(p []byte) uint32 {
	return crc32.Update(crc32.Checksum(p[:12], castagnoli), castagnoli, p[16:fileHeaderLen])
}

func knownVersion(v uint32) bool { return v >= formatOldest && v <= formatVersion }

func versionError(v uint32) error {
	return fmt.Errorf("%w: format version %d, want %d to %d", errHeader, v, formatOldest, formatVersion)
}

func parseFileHeader(p []byte) (h fileHeader, sum uint32, err error) {
	le := binary.LittleEndian
	switch {
	case len(p) < fileHeaderLen:
		return h, 0, errShort
	case string(p[:8]) != segmentMagic:
		return h, 0, fmt.Errorf("%w: it does not begin as a segment of a log", errHeader)
	case !knownVersion(le.Uint32(p[8:])):
		return h, 0, versionError(le.Uint32(p[8:]))
	case fileHeaderSum(p) != le.Uint32(p[12:]):
		return h, 0, errChecksum
	}
	h = fileHeader{
		log: le.Uint64(p[16:]), segment: le.Uint64(p[24:]), first: le.Uint64(p[32:]),
		joined: int64(le.Uint64(p[40:])), previous: le.Uint32(p[48:]), oldest: le.Uint64(p[56:]),
	}
	if le.Uint32(p[52:]) != 0 {
		return h, 0, fmt.Errorf("%w: padding is not zero", errHeader)
	}
	return h, le.Uint32(p[12:]), nil
}

// batchHeader is what stands in front of a batch.
type batchHeader struct {
	sum      uint32
	previous uint32
	chunkSum uint32
	segment  uint64
	offset   int64
	durable  int64
	number   uint64
	body     uint32
	chunks   uint32
	flags    uint32
}

func (h *batchHeader) size() int64 { return batchHeaderLen + int64(h.body) }

// put writes the header to p, and sets its checksum.
func (h *batchHeader) put(p []byte, log uint64) {
	le := binary.LittleEndian
	le.PutUint32(p[4:], batchMagic)
	le.PutUint32(p[8:], h.previous)
	le.PutUint32(p[12:], h.chunkSum)
	le.PutUint64(p[16:], h.segment)
	le.PutUint64(p[24:], uint64(h.offset))
	le.PutUint64(p[32:], uint64(h.durable))
	le.PutUint64(p[40:], h.number)
	le.PutUint32(p[48:], h.body)
	le.PutUint32(p[52:], h.chunks)
	le.PutUint32(p[56:], h.flags)
	le.PutUint32(p[60:], 0)
	h.sum = crc32.Update(seed(log), castagnoli, p[4:batchHeaderLen])
	le.PutUint32(p, h.sum)
}

// parseBatchHeader reads a header by itself; the body is not looked at.
func parseBatchHeader(p []byte, log uint64) (h batchHeader, ok bool) {
	le := binary.LittleEndian
	if len(p) < batchHeaderLen || le.Uint32(p[4:]) != batchMagic {
		return h, false
	}
	if crc32.Update(seed(log), castagnoli, p[4:batchHeaderLen]) != le.Uint32(p) {
		return h, false
	}
	h = batchHeader{
		sum: le.Uint32(p), previous: le.Uint32(p[8:]), chunkSum: le.Uint32(p[12:]),
		segment: le.Uint64(p[16:]), offset: int64(le.Uint64(p[24:])), durable: int64(le.Uint64(p[32:])),
		number: le.Uint64(p[40:]), body: le.Uint32(p[48:]), chunks: le.Uint32(p[52:]), flags: le.Uint32(p[56:]),
	}
	sane := h.offset >= fileHeaderLen && h.durable >= fileHeaderLen && h.durable <= h.offset && h.number > 0 &&
		h.body%8 == 0 && h.body <= batchBodyMax && uint64(h.chunks)*chunkHeaderLen <= uint64(h.body) &&
		h.flags <= flagClosed && le.Uint32(p[60:]) == 0
	return h, sane
}

// chunkHeader is what stands in front of a group's records.
type chunkHeader struct {
	bodySum  uint32
	id       ID
	nth      uint64
	others   uint64 // one more than the chunks without entries, below 1<<48; 0 when that is not known
	index    uint64
	term     uint64
	from, to uint32
	count    uint32
	length   uint32
	kind     chunkKind
	flags    uint8
}

// size is the length with header and padding, in bytes.
func (h *chunkHeader) size() int { return chunkHeaderLen + padded(int(h.length)) }

// first and last are the indexes of the entries that count; last < first when none does.
func (h *chunkHeader) first() uint64 { return h.index + uint64(h.from) }
func (h *chunkHeader) last() uint64  { return h.index + uint64(h.to) - 1 }

func (h *chunkHeader) put(p []byte, log, number uint64) {
	le := binary.LittleEndian
	le.PutUint32(p[4:], h.bodySum)
	le.PutUint64(p[8:], h.id.Group)
	le.PutUint64(p[16:], h.id.Incarnation)
	le.PutUint64(p[24:], h.nth)
	le.PutUint64(p[32:], h.index)
	le.PutUint64(p[40:], h.term)
	le.PutUint32(p[48:], h.from)
	le.PutUint32(p[52:], h.to)
	le.PutUint32(p[56:], h.count)
	le.PutUint32(p[60:], h.length)
	le.PutUint64(p[64:], uint64(h.kind)|uint64(h.flags)<<8|h.others<<16)
	le.PutUint32(p, crc32.Update(chunkSeed(log, number), castagnoli, p[4:chunkHeaderLen]))
}

// parseChunkHeader reads a header by itself; the records are not looked at.
func parseChunkHeader(p []byte, log, number uint64) (h chunkHeader, ok bool) {
	le := binary.LittleEndian
	if len(p) < chunkHeaderLen ||
		crc32.Update(chunkSeed(log, number), castagnoli, p[4:chunkHeaderLen]) != le.Uint32(p) {
		return h, false
	}
	tail := le.Uint64(p[64:])
	h = chunkHeader{
		bodySum: le.Uint32(p[4:]), id: ID{le.Uint64(p[8:]), le.Uint64(p[16:])}, nth: le.Uint64(p[24:]),
		index: le.Uint64(p[32:]), term: le.Uint64(p[40:]), from: le.Uint32(p[48:]), to: le.Uint32(p[52:]),
		count: le.Uint32(p[56:]), length: le.Uint32(p[60:]), kind: chunkKind(tail), flags: uint8(tail >> 8),
		others: tail >> 16,
	}
	return h, h.sane()
}

// sane tells whether the fields agree with each other.
func (h *chunkHeader) sane() bool {
	if h.kind == 0 || h.kind >= kindEnd || h.flags > flagSealed|flagAgain || h.length > batchBodyMax {
		return false
	}
	switch h.kind {
	case kindEntries:
		return h.index > 0 && h.from <= h.to && h.to <= h.count && h.index+uint64(h.count) > h.index &&
			(h.flags&flagSealed != 0 || uint64(h.count)*entryHeaderLen <= uint64(h.length))
	case kindPart, kindReset:
		return h.from < h.to && h.to <= partsMax
	case kindLost:
		return h.index > 0 && h.from < h.to && h.to <= h.count && h.index+uint64(h.count) > h.index && h.length == 0
	case kindCensus:
		return h.flags == 0 && (uint64(h.count)*censusLen == uint64(h.length) || uint64(h.count)*censusLenV1 == uint64(h.length))
	}
	return h.length == 0
}

// marker is the header of a chunk that tells that this one's entries are lost.
func (h *chunkHeader) marker() chunkHeader {
	m := *h
	m.kind, m.flags, m.length, m.bodySum = kindLost, 0, 0, sumOf(nil)
	return m
}

func (h *chunkHeader) hard() HardState {
	return HardState{h.index, h.term, uint64(h.from) | uint64(h.to)<<32}
}

func (h *chunkHeader) setHard(s HardState) {
	h.index, h.term, h.from, h.to = s.Term, s.Vote, uint32(s.Life), uint32(s.Life>>32)
}

// aad is what the encryption of the records is bound to, wherever the chunk stands.
func (h *chunkHeader) aad(p *[aadLen]byte) []byte {
	le := binary.LittleEndian
	le.PutUint64(p[0:], h.id.Group)
	le.PutUint64(p[8:], h.id.Incarnation)
	le.PutUint64(p[16:], h.index)
	le.PutUint64(p[24:], h.term)
	le.PutUint64(p[32:], uint64(h.kind))
	le.PutUint32(p[40:], h.count)
	le.PutUint32(p[44:], 0)
	if h.kind.ofState() { // a part is carried whole, so these stay, but one of a reset becomes an ordinary one
		le.PutUint64(p[32:], uint64(kindPart))
		le.PutUint32(p[40:], h.from)
		le.PutUint32(p[44:], h.to)
	}
	return p[:]
}

const aadLen = 48

// eachChunk walks the body of a batch. It calls fn with each chunk whose header is sound, its
// place in the body and whether its records are; it returns the place of the first header that is
// not, behind which nothing is known, or -1.
func eachChunk(body []byte, h *batchHeader, log uint64, fn func(c *chunkHeader, at int, records []byte, sound bool)) int {
	at := 0
	for range h.chunks {
		c, ok := parseChunkHeader(body[at:], log, h.number)
		if !ok || c.size() > len(body)-at {
			return at
		}
		whole := body[at+chunkHeaderLen : at+c.size()]
		fn(&c, at, whole[:c.length:c.length], crc32.Checksum(whole, castagnoli) == c.bodySum)
		at += c.size()
	}
	if at != len(body) {
		return at
	}
	return -1
}

// intact tells whether every byte of the body is what the header speaks for.
func (h *batchHeader) intact(body []byte, log uint64) bool {
	sum, sound, at := uint32(0), true, 0
	for range h.chunks {
		c, ok := parseChunkHeader(body[at:], log, h.number)
		if !ok || c.size() > len(body)-at {
			return false
		}
		sum = crc32.Update(sum, castagnoli, body[at:at+chunkHeaderLen])
		sound = sound && crc32.Checksum(body[at+chunkHeaderLen:at+c.size()], castagnoli) == c.bodySum
		at += c.size()
	}
	return sound && at == len(body) && sum == h.chunkSum
}

// eachEntry walks the records of a chunk of entries, plain ones.
func (h *chunkHeader) eachEntry(records []byte, fn func(e Entry)) error {
	at := 0
	for i := range uint64(h.count) {
		if len(records)-at < entryHeaderLen {
			return errRecord
		}
		word := binary.LittleEndian.Uint32(records[at:])
		at += entryHeaderLen
		n := int(word & (1<<28 - 1))
		if n > len(records)-at {
			return errRecord
		}
		if i >= uint64(h.from) && i < uint64(h.to) {
			fn(Entry{h.index + i, h.term, uint8(word >> 28), records[at : at+n : at+n]})
		}
		at += n
	}
	if at != len(records) {
		return errRecord
	}
	return nil
}
