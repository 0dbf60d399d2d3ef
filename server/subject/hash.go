package subject

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

const (
	hashKey0 = 0xa0761d6478bd642f
	hashKey1 = 0xe7037ed1a0b428db
	hashKey2 = 0x8ebc6af09c88c6e3
)

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Hash mixes b, sixteen bytes at a time by one multiplication. The same seed
// gives the same hash in every process: nothing that is replayed may differ. It is not meant
// for what is kept on disk.
func Hash(seed uint64, b []byte) uint64 {
	h, n := seed^hashKey0, uint64(len(b))
	key := hashKey1 ^ bits.RotateLeft64(seed, 32) // no bytes are known to cancel it
	for len(b) > 16 {
		h = fold(binary.LittleEndian.Uint64(b)^key, binary.LittleEndian.Uint64(b[8:])^h)
		b = b[16:]
	}
	var lo, hi uint64
	switch m := len(b); {
	case m >= 8:
		lo, hi = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[m-8:])
	case m >= 4:
		lo, hi = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[m-4:]))
	case m > 0:
		lo = uint64(b[0])<<16 | uint64(b[m>>1])<<8 | uint64(b[m-1])
	}
	return fold(fold(lo^key, hi^h)^n, hashKey2)
}

// view lets the bytes of s be read without a copy. They must not be written.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
