// Package codec reads and writes the fields of log entries and states.
//
// It owns [Reader] and the append functions beside encoding/binary's: numbers are varints, texts
// have their length before them. It is pure, and knows of no entry what it means.
package codec

import (
	"encoding/binary"
	"errors"
)

// ErrUnreadable: an entry or a state cannot be read. Its checksum was right, so a version that this
// one does not know wrote it, or there is a bug.
var ErrUnreadable = errors.New("unreadable entry")

// Reader takes fields off P. After the first that cannot be read, Bad is set, P is empty and
// everything reads as zero, so that a caller may look once, at the end.
type Reader struct {
	P   []byte
	Bad bool
}

// Fail says that what was read makes no sense.
func (r *Reader) Fail() { r.P, r.Bad = nil, true }

// Err is [ErrUnreadable] when something could not be read.
func (r *Reader) Err() error {
	if r.Bad {
		return ErrUnreadable
	}
	return nil
}

// More tells whether anything is left.
func (r *Reader) More() bool { return len(r.P) > 0 }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.P) == 0 {
		r.Fail()
		return 0
	}
	b := r.P[0]
	r.P = r.P[1:]
	return b
}

// Uint reads what binary.AppendUvarint wrote.
func (r *Reader) Uint() uint64 {
	if len(r.P) > 0 && r.P[0] < 0x80 {
		v := uint64(r.P[0])
		r.P = r.P[1:]
		return v
	}
	v, n := binary.Uvarint(r.P)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.P = r.P[n:]
	return v
}

// Int reads what binary.AppendVarint wrote.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.P)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.P = r.P[n:]
	return v
}

// Bytes reads what [AppendBytes] wrote. The result is a part of P, not a copy.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.P)) {
		r.Fail()
		return nil
	}
	b := r.P[:n:n]
	r.P = r.P[n:]
	return b
}

// Text is Bytes as a string of its own.
func (r *Reader) Text() string { return string(r.Bytes()) }

// Count reads the number of things that follow and take size bytes each at least, so that what is
// made for them cannot be larger than what is there.
func (r *Reader) Count(size int) int {
	n := r.Uint()
	if n > uint64(len(r.P)/size) {
		r.Fail()
		return 0
	}
	return int(n)
}

// AppendBytes appends the length of b and then b.
func AppendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
