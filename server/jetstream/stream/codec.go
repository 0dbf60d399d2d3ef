package stream

import (
	"encoding/binary"
	"errors"
)

// errEntry: an entry or a state cannot be read. Its checksums were right, so it was
// written by a version that this one does not know, or there is a bug.
var errEntry = errors.New("unreadable entry")

// decoder reads what the encoders of this package wrote. After the first error
// everything reads as zero.
type decoder struct {
	p   []byte
	err error
}

func (d *decoder) fail() {
	d.p, d.err = nil, errEntry
}

func (d *decoder) byte() byte {
	if len(d.p) == 0 {
		d.fail()
		return 0
	}
	b := d.p[0]
	d.p = d.p[1:]
	return b
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.p)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.p = d.p[n:]
	return v
}

// bytes reads a length and as many bytes, which are not copied.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.p)) {
		d.fail()
		return nil
	}
	b := d.p[:n:n]
	d.p = d.p[n:]
	return b
}

func (d *decoder) string() string { return string(d.bytes()) }

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
