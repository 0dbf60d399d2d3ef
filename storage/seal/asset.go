package seal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Keyring holds the server keys that were configured. Immutable.
type Keyring struct {
	present, previous *key // nil: not configured
}

// NewKeyring takes the texts of key and prev_encryption_key; an empty one is not there.
func NewKeyring(key, previous string) *Keyring {
	return &Keyring{serverKey(key), serverKey(previous)}
}

func serverKey(text string) *key {
	if text == "" {
		return nil
	}
	return derive([]byte(text), "lockstep server key")
}

// Enabled tells whether a key is there, so that new assets are to be encrypted.
func (r *Keyring) Enabled() bool { return r.present != nil }

// Asset is the secret of a stream, or of whatever else is encrypted by itself. Immutable.
type Asset struct {
	cipher Cipher
	secret key
	stale  bool
}

// Cipher is the asset's algorithm, for its life.
func (a *Asset) Cipher() Cipher { return a.cipher }

// Stale tells that the previous key opened the file: write it anew, see [Keyring.Reseal].
func (a *Asset) Stale() bool { return a.stale }

// A key file, version 1:
//
//	byte 0   "LKEY"
//	byte 4   version
//	byte 5   cipher
//	byte 6   0, 0
//	byte 8   seed, 32 bytes
//	byte 40  secret, sealed with the lock of this seed and a nonce of zeros: 32 and 16 bytes. The
//	         bytes before are bound to it.
//	byte 88  CRC-32C of all before, little endian: it tells damage from another key
const (
	keyMagic    = "LKEY"
	keyVersion  = 1
	seedAt      = 8
	secretAt    = seedAt + keyBytes
	keyCRCAt    = secretAt + keyBytes + tagBytes
	keyFileSize = keyCRCAt + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// lock is the key of one key file.
func lock(server *key, account, asset string, seed []byte) *key {
	ofAccount := derive(server[:], "account", account)
	return derive(ofAccount[:], "asset", asset, string(seed))
}

// NewAsset draws the secret of a new asset, and gives the content of its key file. It fails with
// ErrKey without a key, and when the cipher is not known or entropy fails.
func (r *Keyring) NewAsset(entropy io.Reader, c Cipher, account, asset string) (a *Asset, file []byte, err error) {
	if !c.known() {
		return nil, nil, fmt.Errorf("encrypt %q of account %q: %v is not known: want %v or %v",
			asset, account, c, ChaCha20Poly1305, AESGCM)
	}
	a = &Asset{cipher: c}
	if _, err := io.ReadFull(entropy, a.secret[:]); err != nil {
		return nil, nil, fmt.Errorf("draw the secret of %q of account %q: %w", asset, account, err)
	}
	file, err = r.Reseal(entropy, a, account, asset)
	if err != nil {
		return nil, nil, err
	}
	return a, file, nil
}

// Reseal gives the content of a new key file, under the present key. It fails as NewAsset does.
func (r *Keyring) Reseal(entropy io.Reader, a *Asset, account, asset string) (file []byte, err error) {
	if r.present == nil {
		return nil, fmt.Errorf("%w: cannot write the key file of %q of account %q: no key is configured", ErrKey, asset, account)
	}
	file = make([]byte, secretAt, keyFileSize)
	copy(file, keyMagic)
	file[4], file[5] = keyVersion, byte(a.cipher)
	if _, err := io.ReadFull(entropy, file[seedAt:]); err != nil {
		return nil, fmt.Errorf("draw the seed of %q of account %q: %w", asset, account, err)
	}
	k := lock(r.present, account, asset, file[seedAt:])
	var nonce [nonceBytes]byte // the lock seals this text only
	file = a.cipher.aead(k).Seal(file, nonce[:], a.secret[:], file)
	return binary.LittleEndian.AppendUint32(file, crc32.Checksum(file, castagnoli)), nil
}

// OpenAsset reads a key file. It fails with ErrKey when neither key nor previous key opens it, with
// ErrDamaged when it is no key file or not whole, and with ErrVersion.
func (r *Keyring) OpenAsset(file []byte, account, asset string) (*Asset, error) {
	a, err := parseKeyFile(file)
	if err != nil {
		return nil, fmt.Errorf("key file of %q of account %q: %w", asset, account, err)
	}
	for _, server := range []*key{r.present, r.previous} {
		if server != nil && a.unlock(file, lock(server, account, asset, file[seedAt:secretAt])) {
			a.stale = server == r.previous
			return a, nil
		}
	}
	advice := "no key is configured: set key in the jetstream block to the one it was written with"
	switch {
	case r.present != nil && r.previous != nil:
		advice = "neither key nor prev_encryption_key opens it: set one of them to the one it was written with"
	case r.present != nil:
		advice = "key does not open it: set prev_encryption_key to the one it was written with"
	case r.previous != nil:
		advice = "prev_encryption_key does not open it, and no key is configured: set key to the one it was written with"
	}
	return nil, fmt.Errorf("%w: %q of account %q is encrypted, and %s", ErrKey, asset, account, advice)
}

// parseKeyFile checks everything but the secret.
func parseKeyFile(file []byte) (*Asset, error) {
	switch {
	case len(file) < keyFileSize || !bytes.HasPrefix(file, []byte(keyMagic)):
		return nil, fmt.Errorf("%w: %d bytes that do not begin as a key file does", ErrDamaged, len(file))
	case file[4] != keyVersion:
		return nil, fmt.Errorf("%w %d: want %d", ErrVersion, file[4], keyVersion)
	case len(file) != keyFileSize:
		return nil, fmt.Errorf("%w: %d bytes: want %d", ErrDamaged, len(file), keyFileSize)
	case crc32.Checksum(file[:keyCRCAt], castagnoli) != binary.LittleEndian.Uint32(file[keyCRCAt:]):
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	case !Cipher(file[5]).known() || file[6] != 0 || file[7] != 0:
		return nil, fmt.Errorf("%w: %v, flags %x", ErrVersion, Cipher(file[5]), file[6:8])
	}
	return &Asset{cipher: Cipher(file[5])}, nil
}

// unlock reads the secret.
func (a *Asset) unlock(file []byte, k *key) bool {
	var nonce [nonceBytes]byte
	secret, err := a.cipher.aead(k).Open(nil, nonce[:], file[secretAt:keyCRCAt], file[:secretAt])
	copy(a.secret[:], secret)
	return err == nil
}

// Sealer gives one that seals for this purpose; each strand has its own. It fails when
// entropy fails.
func (a *Asset) Sealer(entropy io.Reader, purpose string) (*Sealer, error) {
	s := &Sealer{cipher: a.cipher, key: *derive(a.secret[:], "purpose", purpose), last: countMax}
	if _, err := io.ReadFull(entropy, s.salt[:]); err != nil {
		return nil, fmt.Errorf("draw the salt of a sealer for %q: %w", purpose, err)
	}
	s.own = s.aead(s.salt)
	return s, nil
}
