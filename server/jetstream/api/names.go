package api

import (
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"time"
)

// ValidName tells whether s may be the name of a stream or consumer, but for its length.
func ValidName(s string) bool {
	return s != "" && !strings.ContainsAny(s, " \t\r\n\f.*>/\\")
}

// HasSeparator tells whether a name has a separator of paths, which has errors of its own.
func HasSeparator(name string) bool { return strings.ContainsAny(name, `/\`) }

// digits are those of names made of hashes and random numbers.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Hash8 gives eight characters that stand for s: in names of consumers of mirrors and
// sources, peer ids and account hashes.
func Hash8(s string) string {
	sum := sha256.Sum256([]byte(s))
	var b [8]byte
	for i := range b {
		b[i] = digits[sum[i]%byte(len(digits))]
	}
	return string(b[:])
}

// Name8 makes an eight character name of a random number.
func Name8(random uint64) string { return nameOf(random, 8) }

// nameOf makes a name of n characters of a random number.
func nameOf(random uint64, n int) string {
	var b [8]byte
	for i := range n {
		b[i] = digits[random%uint64(len(digits))]
		random /= uint64(len(digits))
	}
	return string(b[:n])
}

// NewID draws an id of the form of a NUID: of advisories, snapshots and pins.
func NewID(r *rand.Rand) string {
	var b [PinIDLen]byte
	for i := range b {
		b[i] = digits[r.IntN(len(digits))]
	}
	return string(b[:])
}

// StreamIdentity tells streams of the same name apart: by when they were created.
func StreamIdentity(created time.Time) string {
	return Hash8(created.UTC().Format(time.RFC3339Nano))
}
