package msgs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unsafe"
)

// A record is one message as blocks hold it, in memory and on disk. Numbers are
// little-endian.
//
//	checksum of all that follows 4 | length of the whole 4 | sequence 8 | time 8 |
//	flags 1 | zero 1 | subject length 2 | header length 4 | deadline 8, if flagged |
//	subject | header | data
//
// The checksum is CRC-32C and begins with a seed of the block and the record's offset in it, so that no record of
// another block passes, nor one that stands elsewhere. In memory it is not kept.
const (
	recordHead    = 32
	deadlineLen   = 8
	recordLenMax  = RecordMax + recordHead + deadlineLen + 1<<16
	subjectLenMax = 1<<16 - 1
)

// Flags of a record; the index has the first three of them too.
const (
	flagHeader   = 1 << 0 // there is a header
	flagDeadline = 1 << 1 // it ends by itself
	flagNever    = 1 << 2 // the stream's age does not apply
	flagErased   = 1 << 3 // content was overwritten, on disk only
	flagsIndex   = flagHeader | flagDeadline | flagNever
	flagBits     = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Reasons why a record is not one.
var (
	errRecordShort  = errors.New("the record is cut off")
	errRecordSum    = errors.New("the record's checksum does not match")
	errRecordFields = errors.New("the record's fields contradict each other")
)

// recordFlags are the flags of a message to be stored.
func recordFlags(header []byte, ttl TTL) uint8 {
	var flags uint8
	if len(header) > 0 {
		flags |= flagHeader
	}
	if ttl.Deadline != 0 {
		flags |= flagDeadline
	}
	if ttl.Never {
		flags |= flagNever
	}
	return flags
}

// recordLen is the length of a record, in bytes.
func recordLen(flags uint8, subject, header, data int) int {
	n := recordHead + subject + header + data
	if flags&flagDeadline != 0 {
		n += deadlineLen
	}
	return n
}

// putRecord fills p, which has the record's length, but for the checksum.
func putRecord(p []byte, seq uint64, at int64, flags uint8, subject, header, data []byte, deadline int64) {
	le := binary.LittleEndian
	le.PutUint32(p[4:], uint32(len(p)))
	le.PutUint64(p[8:], seq)
	le.PutUint64(p[16:], uint64(at))
	p[24], p[25] = flags, 0
	le.PutUint16(p[26:], uint16(len(subject)))
	le.PutUint32(p[28:], uint32(len(header)))
	n := recordHead
	if flags&flagDeadline != 0 {
		le.PutUint64(p[n:], uint64(deadline))
		n += deadlineLen
	}
	n += copy(p[n:], subject)
	n += copy(p[n:], header)
	copy(p[n:], data)
}

// record is a record's fields; slices are parts of it.
type record struct {
	seq      uint64
	time     int64
	flags    uint8
	deadline int64
	length   int
	subject  []byte
	header   []byte
	data     []byte
}

// parseRecord reads the record that p begins with. It looks at the fields, not at the checksum.
func parseRecord(p []byte) (record, error) {
	var r record
	if len(p) < recordHead {
		return r, errRecordShort
	}
	le := binary.LittleEndian
	r.length = int(le.Uint32(p[4:]))
	r.seq, r.time, r.flags = le.Uint64(p[8:]), int64(le.Uint64(p[16:])), p[24]
	subject, header := int(le.Uint16(p[26:])), int(le.Uint32(p[28:]))
	if r.length > recordLenMax || r.length < recordLen(r.flags, subject, 0, 0)+header || header > r.length {
		return r, errRecordFields
	}
	if r.length > len(p) {
		return r, errRecordShort
	}
	at := recordHead
	if r.flags&flagDeadline != 0 {
		r.deadline = int64(le.Uint64(p[at:]))
		at += deadlineLen
	}
	r.subject = p[at : at+subject : at+subject]
	at += subject
	if r.flags&flagHeader != 0 {
		r.header = p[at : at+header : at+header]
	}
	at += header
	r.data = p[at:r.length:r.length]
	return r, nil
}

// message is the record as readers get it: without a copy.
func (r *record) message() Msg {
	return Msg{Seq: r.seq, Time: r.time, Subject: textOf(r.subject), Header: r.header, Data: r.data}
}

// textOf is bytes that never change as a string, without a copy.
func textOf(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// recordSum is the checksum of a record that stands at off in a block of this seed.
func recordSum(p []byte, seed, off uint32) uint32 {
	return crc32.Update(seed+off*0x9e3779b1, castagnoli, p[4:])
}

// sealRecord writes the checksum into a record.
func sealRecord(p []byte, seed, off uint32) {
	binary.LittleEndian.PutUint32(p, recordSum(p, seed, off))
}

// checkRecord reads the record that p begins with, and its checksum.
func checkRecord(p []byte, seed, off uint32) (record, error) {
	r, err := parseRecord(p)
	if err != nil {
		return r, err
	}
	if recordSum(p[:r.length], seed, off) != binary.LittleEndian.Uint32(p) {
		return r, errRecordSum
	}
	return r, nil
}

// eraseRecord turns a record into a tombstone of the same length: its sequence and time stay, and
// nothing of subject, header and data.
func eraseRecord(p []byte, seed, off uint32) {
	p[24] = flagErased
	clear(p[25:])
	sealRecord(p, seed, off)
}

// sizeOf is what a record counts for in bytes and byte limits.
func sizeOf(length uint32, flags uint8, file bool) int {
	n := int(length) - recordHead
	if flags&flagDeadline != 0 {
		n -= deadlineLen
	}
	switch {
	case !file:
		return n + memoryOverhead
	case flags&flagHeader != 0:
		return n + fileOverhead + fileHeaderOverhead
	}
	return n + fileOverhead
}

const (
	memoryOverhead     = 16
	fileOverhead       = 30
	fileHeaderOverhead = 4
)

// errSequence says that a sequence was used before.
func errSequence(seq, last uint64) error {
	return fmt.Errorf("sequence %d is not above the last, %d", seq, last)
}
