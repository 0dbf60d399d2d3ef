package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Errors of opening. Ask with errors.Is.
var (
	// ErrKey: the server key is missing or another one; nothing is wrong with the data.
	ErrKey = errors.New("encryption key")
	// ErrDamaged: what should be opened is not what was written.
	ErrDamaged = errors.New("sealed or compressed data is damaged")
	// ErrVersion: a later version of the server wrote it.
	ErrVersion = errors.New("unknown format version")
)

// Cipher is an algorithm. The numbers are on disk.
type Cipher uint8

const (
	// ChaCha20Poly1305 is the default.
	ChaCha20Poly1305 Cipher = 1
	// AESGCM has keys of 256 bits.
	AESGCM Cipher = 2
)

func (c Cipher) String() string {
	switch c {
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	case AESGCM:
		return "AES-GCM"
	}
	return fmt.Sprintf("cipher %d", uint8(c))
}

func (c Cipher) known() bool { return c == ChaCha20Poly1305 || c == AESGCM }

const (
	keyBytes   = 32
	nonceBytes = 12
	tagBytes   = 16
)

type key [keyBytes]byte

// aead is the cipher with this key.
func (c Cipher) aead(k *key) cipher.AEAD {
	var a cipher.AEAD
	var err error
	if c == AESGCM {
		var block cipher.Block
		if block, err = aes.NewCipher(k[:]); err == nil {
			a, err = cipher.NewGCM(block)
		}
	} else {
		a, err = chacha20poly1305.New(k[:])
	}
	if err != nil {
		panic(fmt.Sprintf("seal: %v with a key of %d bytes: %v", c, len(k), err))
	}
	return a
}

// derive makes the key of what the parts name together, under another key.
func derive(parent []byte, parts ...string) *key {
	mac := hmac.New(sha256.New, parent)
	var length [4]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint32(length[:], uint32(len(p)))
		mac.Write(length[:])
		mac.Write([]byte(p))
	}
	k := new(key)
	mac.Sum(k[:0])
	return k
}
