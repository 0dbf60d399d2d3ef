package subjects

import (
	"encoding/binary"
	"math/bits"
)

const (
	hashKey0 = 0x2d358dccaa6c78a5
	hashKey1 = 0x8bb84b93962eacc9
	hashKey2 = 0x4b33a62ed433d4a3
)

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashOf mixes b, sixteen bytes at a time by one multiplication, the last ones once more when
// they are fewer. The same seed gives the same hash in every process.
func hashOf(seed uint64, b []byte) uint64 {
	h, n := seed^hashKey0, uint64(len(b))
	key := hashKey1 ^ bits.RotateLeft64(seed, 32)
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
