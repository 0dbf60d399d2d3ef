package seal

import (
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
)

// The compressed form begins with a byte that tells what follows.
const (
	asIs   = 0
	packed = 1 // a block in the S2 format
)

// CompressBound is the longest compressed form of n bytes.
func CompressBound(n int) int { return n + 1 }

// Compress appends the compressed form of plain to dst, which is one byte longer than plain where
// it cannot be shorter. Other processors may give other bytes: compare what they hold, never them.
func Compress(dst, plain []byte) []byte {
	bound := s2.MaxEncodedLen(len(plain))
	if bound < 0 { // 4 GiB
		return append(append(dst, asIs), plain...)
	}
	at := len(dst) + 1
	dst = append(slices.Grow(dst, 1+bound), packed)
	out := s2.Encode(dst[at:at+bound], plain)
	if len(out) >= len(plain) {
		dst[at-1] = asIs
		return append(dst, plain...)
	}
	return dst[:at+len(out)]
}

// Decompress appends the plain form to dst, which must be at most limit bytes long; no more memory
// is taken, whatever packed says. It fails with ErrDamaged, and then what it gives is dst.
func Decompress(dst, compressed []byte, limit int) ([]byte, error) {
	if len(compressed) == 0 {
		return dst, fmt.Errorf("%w: the compressed form is empty", ErrDamaged)
	}
	body := compressed[1:]
	switch compressed[0] {
	case asIs:
		if len(body) > limit {
			return dst, tooLong(len(body), limit)
		}
		return append(dst, body...), nil
	case packed:
		n, err := s2.DecodedLen(body)
		if err != nil {
			return dst, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if n > limit {
			return dst, tooLong(n, limit)
		}
		at := len(dst)
		grown := slices.Grow(dst, n)
		if _, err := s2.Decode(grown[at:at+n], body); err != nil {
			return dst, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return grown[:at+n], nil
	}
	return dst, fmt.Errorf("%w: compression %d is not known", ErrDamaged, compressed[0])
}

func tooLong(n, limit int) error {
	return fmt.Errorf("%w: %d bytes when decompressed: want at most %d", ErrDamaged, n, limit)
}
