// Package seal encrypts and compresses what a store writes.
//
// It owns keys ([Keyring], [Asset]), the format of key files, the sealed form of records,
// blocks and small files ([Sealer]), and the compressed form of blocks ([Compress]). It reads
// and writes no file. A Keyring and an Asset are immutable; a Sealer belongs to one
// strand. Entropy is given.
//
// # Keys
//
//	server key   from the configured text
//	account key  from the server key and the account's name
//	lock         from the account key, the asset's name and a random seed; used once
//	secret       random; what an asset keeps for its life. Its key file holds the seed, and
//	             the secret sealed under the lock
//	purpose key  from the secret and a purpose ("log", "blocks")
//	session key  from the purpose key and a random salt; only one Sealer has it
//
// Each is the HMAC-SHA-256 of what is named, under the one above. To change the server key,
// only the key file is written again: the secret stays, and with it all that was sealed.
//
// # No nonce is used twice
//
// A nonce used twice under one key tells an attacker the difference of two texts, and with AES-GCM
// how to forge. Numbers kept on disk do not prevent that: after a crash, or with a disk that was rolled
// back or copied, the number last used is not known, and replay seals other content than before.
// So nothing is remembered. A Sealer draws a salt of 96 bits when it is made, which gives it a
// key of its own, and under this key it counts from zero. Within its life the
// counter does not repeat: before it would wrap, the next salt is derived and the count begins anew under
// another key. Between lives, two of n salts are equal with a chance of n²/2^97: after sixteen million
// starts of one asset, one in 2^49. Opening seals nothing. The seed of a key file is
// drawn for each writing of it, so that its lock seals one text only. What this rests on is that the entropy does not repeat:
// a virtual machine whose memory is copied while it runs breaks it, as it breaks TLS.
package seal

import (
	"errors"
	"fmt"
	"io"
)

// ErrKey is what a missing or wrong server key gives.
var ErrKey = errors.New("encryption key")

// ErrDamaged: what should be opened is not what was sealed.
var ErrDamaged = errors.New("sealed data is damaged")

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

// Keyring holds what was configured.
type Keyring struct{}

// NewKeyring takes the texts of key and prev_encryption_key; an empty one is not there.
func NewKeyring(key, previous string) *Keyring { return &Keyring{} }

// Enabled tells whether a key is there, so that new assets are to be encrypted.
func (k *Keyring) Enabled() bool { return false }

// NewAsset draws the secret of a new asset, and gives the content of its key file. It fails with
// ErrKey without a key, and when entropy fails.
func (k *Keyring) NewAsset(entropy io.Reader, c Cipher, account, asset string) (a *Asset, file []byte, err error) {
	return nil, nil, ErrKey
}

// OpenAsset reads a key file. It fails with ErrKey when neither key nor previous key opens it,
// and with ErrDamaged when it is no key file or not whole.
func (k *Keyring) OpenAsset(file []byte, account, asset string) (*Asset, error) { return nil, ErrKey }

// Reseal gives the content of a new key file, under the present key.
func (k *Keyring) Reseal(entropy io.Reader, a *Asset, account, asset string) (file []byte, err error) {
	return nil, ErrKey
}

// Asset is the secret of a stream, or of whatever else is encrypted by itself.
type Asset struct{}

// Cipher is the asset's algorithm, for its life.
func (a *Asset) Cipher() Cipher { return 0 }

// Stale tells that the previous key opened the file: it should be written anew, see [Keyring.Reseal].
func (a *Asset) Stale() bool { return false }

// Sealer gives one that seals for this purpose; each strand has its own. It fails
// when entropy fails.
func (a *Asset) Sealer(entropy io.Reader, purpose string) (*Sealer, error) { return nil, ErrKey }
