package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"
)

// The sealed form:
//
//	byte 0   salt of the session, 12 bytes
//	byte 12  count, little endian: the nonce is eight zeros and it
//	byte 16  the plain form, enciphered
//	         tag, 16 bytes
//
// Salt and count need no place among the bound bytes: with another one nothing opens.
const (
	saltBytes = 12
	countAt   = saltBytes
	textAt    = countAt + 4
	// Overhead is by how many bytes the sealed form is longer.
	Overhead = textAt + tagBytes

	countMax = math.MaxUint32
	// sessionsMax is how many keys of other sessions a sealer keeps for opening.
	sessionsMax = 8
)

type salt [saltBytes]byte

// session is a key that something was sealed with.
type session struct {
	salt salt
	aead cipher.AEAD
}

// Sealer seals and opens for one purpose of one asset. It opens what every other sealer of
// this asset and purpose sealed. It belongs to one strand.
type Sealer struct {
	cipher Cipher
	key    key
	salt   salt // of what is sealed
	own    cipher.AEAD
	count  uint32 // of the next nonce
	last   uint32 // the last count of a session
	spent  bool   // last was used
	others []session
	victim int // the next of others to go
	nonce  [nonceBytes]byte
}

// Overhead is by how many bytes the sealed form is longer.
func (s *Sealer) Overhead() int { return Overhead }

// aead is the cipher of a session.
func (s *Sealer) aead(of salt) cipher.AEAD {
	return s.cipher.aead(derive(s.key[:], "session", string(of[:])))
}

// Seal appends the sealed form of plain to dst; Open needs the same aad. plain must not
// overlap dst's free capacity.
func (s *Sealer) Seal(dst, plain, aad []byte) []byte {
	if s.spent {
		s.renew()
	}
	dst = append(dst, s.salt[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, s.count)
	binary.LittleEndian.PutUint32(s.nonce[nonceBytes-4:], s.count)
	s.spent = s.count == s.last
	s.count++
	return s.own.Seal(dst, s.nonce[:], plain, aad)
}

// renew begins a session after the last nonce of the one before.
func (s *Sealer) renew() {
	next := derive(s.key[:], "next", string(s.salt[:]))
	copy(s.salt[:], next[:])
	s.own, s.count, s.spent = s.aead(s.salt), 0, false
}

// Open appends the plain form to dst. It fails with ErrDamaged, and then what it gives is dst.
// sealed must not overlap dst's free capacity.
func (s *Sealer) Open(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return dst, fmt.Errorf("%w: %d bytes, shorter than the %d of nothing sealed", ErrDamaged, len(sealed), Overhead)
	}
	copy(s.nonce[nonceBytes-4:], sealed[countAt:textAt])
	plain, err := s.session(salt(sealed[:saltBytes])).Open(dst, s.nonce[:], sealed[textAt:], aad)
	if err != nil {
		return dst, fmt.Errorf("%w: the tag of %d sealed bytes is wrong", ErrDamaged, len(sealed))
	}
	return plain, nil
}

// session gives the cipher of a session, from memory or made anew.
func (s *Sealer) session(of salt) cipher.AEAD {
	if of == s.salt {
		return s.own
	}
	for i := range s.others {
		if s.others[i].salt == of {
			return s.others[i].aead
		}
	}
	found := session{of, s.aead(of)}
	if len(s.others) < sessionsMax {
		s.others = append(s.others, found)
		return found.aead
	}
	s.others[s.victim] = found
	s.victim = (s.victim + 1) % sessionsMax
	return found.aead
}
