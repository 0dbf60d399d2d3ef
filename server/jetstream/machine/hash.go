package machine

import (
	"encoding/binary"
	"math/bits"
)

// Two odd constants without pattern.
const (
	hashA = 0x9e3779b97f4a7c15
	hashB = 0xd6e8feb86659fd93
)

// mix folds v into h.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v^hashA, hashB^v>>32)
	return hi ^ lo ^ bits.RotateLeft64(h, 23)
}

// mixBytes folds p into h, sixteen bytes a step.
func mixBytes(h uint64, p []byte) uint64 {
	h ^= uint64(len(p)) * hashA
	le := binary.LittleEndian
	for len(p) >= 16 {
		hi, lo := bits.Mul64(le.Uint64(p)^hashA^h, le.Uint64(p[8:])^hashB)
		h = hi ^ lo ^ bits.RotateLeft64(h, 23)
		p = p[16:]
	}
	var last [16]byte
	copy(last[:], p)
	hi, lo := bits.Mul64(le.Uint64(last[:])^hashA^h, le.Uint64(last[8:])^hashB)
	return hi ^ lo ^ bits.RotateLeft64(h, 23)
}
