package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A journal is a file header and batches, each at a multiple of 8 bytes. Numbers
// are little-endian; checksums are CRC-32C, and those of batches begin with the
// journal's id, so that no other journal's bytes, and no record that holds such
// bytes, can pass for a batch.
//
//	file    magic 8 | id 8 | version 4 | checksum of the 20 bytes before 4 | zeros 8
//	batch   checksum of all that follows, padding included 4 | checksum of the rest of the header 4 |
//	        magic 4 | checksum of the batch before (of the file header for the first) 4 |
//	        own offset 8 | covered offset 8 | known-durable offset 8 |
//	        first sequence 8 | records 4 | bytes that follow the header 4
//	record  payload length 4 | checksum of length, sequence and payload 4 | sequence 8 | payload
//
// A batch is written only when everything before it is known to be durable, so
// its known-durable offset is its own. The exception is a repeat: recovery writes
// the last batch once more, because it cannot know whether it was ever synced.
// The repeat's covered and known-durable offsets are those where the first copy
// begins: it stands for everything from there to its own end.
const (
	journalMagic   = "LSJOURN\x01"
	journalVersion = 1
	fileHeaderSize = 32
	batchMagic     = 0x4253_4a4c // "LJSB"
	batchHeaderLen = 56
	recordHeader   = 16
)

const (
	// JournalRecordMax is the longest payload, in bytes.
	JournalRecordMax = 16 << 20
	// JournalPendingMax is what may wait for its sync, in bytes.
	JournalPendingMax = 32 << 20

	batchBodyMax = JournalPendingMax + JournalRecordMax + recordHeader + 8
)

// Reasons for damage, and for refusals.
var (
	errChecksum = errors.New("checksum mismatch")
	errHeader   = errors.New("no valid header")
	errShort    = errors.New("the file ends inside")
	errChain    = errors.New("it does not continue the batch before it")
	errRecord   = errors.New("record out of place")
)

// batchHeader is what stands in front of a batch.
type batchHeader struct {
	sum      uint32
	previous uint32
	offset   int64
	covers   int64
	durable  int64
	first    uint64
	count    uint32
	body     uint32
}

// size is the length of header and body, in bytes.
func (h *batchHeader) size() int64 { return batchHeaderLen + int64(h.body) }

// seed begins the checksums of a journal's batches. Of two seeds each gives the
// same bytes another checksum.
func seed(id uint64) uint32 { return uint32(id) ^ uint32(id>>32) }

// seal writes the header of a batch into the space in front of its body, and
// returns the checksum that the next batch names.
func seal(batch []byte, id uint64, h batchHeader) uint32 {
	le := binary.LittleEndian
	le.PutUint32(batch[8:], batchMagic)
	le.PutUint32(batch[12:], h.previous)
	le.PutUint64(batch[16:], uint64(h.offset))
	le.PutUint64(batch[24:], uint64(h.covers))
	le.PutUint64(batch[32:], uint64(h.durable))
	le.PutUint64(batch[40:], h.first)
	le.PutUint32(batch[48:], h.count)
	le.PutUint32(batch[52:], uint32(len(batch)-batchHeaderLen))
	s := seed(id)
	le.PutUint32(batch[4:], crc32.Update(s, castagnoli, batch[8:batchHeaderLen]))
	sum := crc32.Update(s, castagnoli, batch[4:])
	le.PutUint32(batch, sum)
	return sum
}

// parseBatchHeader reads a header by itself; the body is not looked at.
func parseBatchHeader(p []byte, id uint64) (h batchHeader, ok bool) {
	le := binary.LittleEndian
	if len(p) < batchHeaderLen || le.Uint32(p[8:]) != batchMagic {
		return h, false
	}
	if crc32.Update(seed(id), castagnoli, p[8:batchHeaderLen]) != le.Uint32(p[4:]) {
		return h, false
	}
	h = batchHeader{
		sum:      le.Uint32(p),
		previous: le.Uint32(p[12:]),
		offset:   int64(le.Uint64(p[16:])),
		covers:   int64(le.Uint64(p[24:])),
		durable:  int64(le.Uint64(p[32:])),
		first:    le.Uint64(p[40:]),
		count:    le.Uint32(p[48:]),
		body:     le.Uint32(p[52:]),
	}
	sane := h.covers >= fileHeaderSize && h.covers <= h.offset && h.durable >= fileHeaderSize && h.durable <= h.offset
	return h, sane && h.body%8 == 0 && h.body <= batchBodyMax && uint64(h.count)*recordHeader <= uint64(h.body)
}

// intact tells whether a batch, header and body, has its checksum.
func intact(batch []byte, id uint64) bool {
	return crc32.Update(seed(id), castagnoli, batch[4:]) == binary.LittleEndian.Uint32(batch)
}

// appendRecord adds one record to a batch.
func appendRecord(batch []byte, seq uint64, payload []byte) []byte {
	at := len(batch)
	batch = binary.LittleEndian.AppendUint32(batch, uint32(len(payload)))
	batch = binary.LittleEndian.AppendUint32(batch, 0)
	batch = binary.LittleEndian.AppendUint64(batch, seq)
	batch = append(batch, payload...)
	binary.LittleEndian.PutUint32(batch[at+4:], recordSum(batch[at:]))
	return batch
}

// recordSum is the checksum of a record, its own field left out.
func recordSum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[:4], castagnoli), castagnoli, record[8:])
}

// eachRecord walks a body of count records from sequence first on. It returns
// the place in the body where the first bad one begins, and why it is bad.
func eachRecord(body []byte, first uint64, count uint32, fn func(seq uint64, payload []byte)) (int, error) {
	at := 0
	for i := range uint64(count) {
		rest := body[at:]
		if len(rest) < recordHeader {
			return at, errShort
		}
		length := int64(binary.LittleEndian.Uint32(rest))
		if length > int64(len(rest)-recordHeader) {
			return at, errShort
		}
		record := rest[:recordHeader+length]
		if recordSum(record) != binary.LittleEndian.Uint32(record[4:]) {
			return at, errChecksum
		}
		if seq := binary.LittleEndian.Uint64(record[8:]); seq != first+i {
			return at, fmt.Errorf("%w: it is number %d, want %d", errRecord, seq, first+i)
		}
		fn(first+i, record[recordHeader:])
		at += len(record)
	}
	if len(body)-at >= 8 {
		return at, errRecord
	}
	return at, nil
}

// fileHeader is the beginning of a journal, and its checksum.
func fileHeader(id uint64) ([]byte, uint32) {
	p := append(make([]byte, 0, fileHeaderSize), journalMagic...)
	p = binary.LittleEndian.AppendUint64(p, id)
	p = binary.LittleEndian.AppendUint32(p, journalVersion)
	sum := crc32.Checksum(p, castagnoli)
	p = binary.LittleEndian.AppendUint32(p, sum)
	return append(p, make([]byte, 8)...), sum
}

// parseFileHeader reads the beginning of a journal.
func parseFileHeader(p []byte) (id uint64, sum uint32, err error) {
	if len(p) < fileHeaderSize {
		return 0, 0, errShort
	}
	sum = binary.LittleEndian.Uint32(p[20:])
	switch {
	case string(p[:8]) != journalMagic:
		return 0, 0, fmt.Errorf("%w: it does not begin as a journal", errHeader)
	case crc32.Checksum(p[:20], castagnoli) != sum:
		return 0, 0, errChecksum
	case binary.LittleEndian.Uint64(p[24:]) != 0:
		return 0, 0, fmt.Errorf("%w: padding is not zero", errHeader)
	case binary.LittleEndian.Uint32(p[16:]) != journalVersion:
		return 0, 0, fmt.Errorf("%w: version %d, want %d", errHeader, binary.LittleEndian.Uint32(p[16:]), journalVersion)
	}
	return binary.LittleEndian.Uint64(p[8:]), sum, nil
}
