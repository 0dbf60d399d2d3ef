package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// entropyOf is a seeded source, as the simulation's is.
func entropyOf(seed uint64) io.Reader {
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	return rand.NewChaCha8(s)
}

var ciphers = []Cipher{ChaCha20Poly1305, AESGCM}

func newAsset(t testing.TB, c Cipher) (*Keyring, *Asset, []byte) {
	t.Helper()
	r := NewKeyring("s3cr3t", "")
	a, file, err := r.NewAsset(entropyOf(1), c, "ACME", "ORDERS")
	require.NoError(t, err)
	return r, a, file
}

func newSealer(t testing.TB, a *Asset, seed uint64) *Sealer {
	t.Helper()
	s, err := a.Sealer(entropyOf(seed), "blocks")
	require.NoError(t, err)
	return s
}

func TestWhatIsSealedOpens(t *testing.T) {
	for _, c := range ciphers {
		t.Run(fmt.Sprintf("cipher=%v", c), func(t *testing.T) {
			_, a, _ := newAsset(t, c)
			rapid.Check(t, func(t *rapid.T) {
				one, err := a.Sealer(entropyOf(rapid.Uint64().Draw(t, "seed")), "blocks")
				require.NoError(t, err)
				other, err := a.Sealer(entropyOf(rapid.Uint64().Draw(t, "other")), "blocks")
				require.NoError(t, err)
				plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plain")
				aad := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "aad")
				prefix := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "prefix")

				sealed := one.Seal(bytes.Clone(prefix), plain, aad)
				require.Equal(t, prefix, sealed[:len(prefix)])
				sealed = sealed[len(prefix):]
				require.Len(t, sealed, len(plain)+one.Overhead())
				for _, s := range []*Sealer{one, other} {
					got, err := s.Open(bytes.Clone(prefix), sealed, aad)
					require.NoError(t, err)
					require.Equal(t, append(bytes.Clone(prefix), plain...), got)
				}

				broken := bytes.Clone(sealed)
				broken[rapid.IntRange(0, len(broken)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				got, err := other.Open(prefix, broken, aad)
				require.ErrorIs(t, err, ErrDamaged)
				require.Equal(t, prefix, got)
				_, err = other.Open(nil, sealed, append(bytes.Clone(aad), 0))
				require.ErrorIs(t, err, ErrDamaged)
				_, err = other.Open(nil, sealed[:rapid.IntRange(0, len(sealed)-1).Draw(t, "cut")], aad)
				require.ErrorIs(t, err, ErrDamaged)
			})
		})
	}
}

func TestPurposesAndAssetsDoNotOpenEachOther(t *testing.T) {
	r, a, _ := newAsset(t, AESGCM)
	sealed := newSealer(t, a, 2).Seal(nil, []byte("text"), nil)
	log, err := a.Sealer(entropyOf(2), "log")
	require.NoError(t, err)
	_, err = log.Open(nil, sealed, nil)
	require.ErrorIs(t, err, ErrDamaged)
	b, _, err := r.NewAsset(entropyOf(3), AESGCM, "ACME", "ORDERS")
	require.NoError(t, err)
	_, err = newSealer(t, b, 2).Open(nil, sealed, nil)
	require.ErrorIs(t, err, ErrDamaged)
}

// A nonce is eight zeros and the count, under the key of the salt: salt and count must
// differ each time.
func TestNoncesDoNotRepeat(t *testing.T) {
	_, a, _ := newAsset(t, ChaCha20Poly1305)
	seen := map[string]bool{}
	for start := range uint64(50) {
		s := newSealer(t, a, start)
		s.last = 6 // three sessions of seven
		for range 21 {
			head := string(s.Seal(nil, []byte("same"), nil)[:textAt])
			require.False(t, seen[head], "start %d", start)
			seen[head] = true
		}
	}
	require.Len(t, seen, 50*21)
}

func TestSessionEndsBeforeTheCountWraps(t *testing.T) {
	_, a, _ := newAsset(t, ChaCha20Poly1305)
	s := newSealer(t, a, 1)
	s.count = countMax
	last := s.Seal(nil, []byte("last"), nil)
	next := s.Seal(nil, []byte("next"), nil)
	require.Equal(t, []byte{255, 255, 255, 255}, last[countAt:textAt])
	require.Equal(t, []byte{0, 0, 0, 0}, next[countAt:textAt])
	require.NotEqual(t, last[:saltBytes], next[:saltBytes])
	for _, sealed := range [][]byte{last, next} {
		_, err := newSealer(t, a, 2).Open(nil, sealed, nil)
		require.NoError(t, err)
	}
}

func TestManySessionsOpenInAnyOrder(t *testing.T) {
	_, a, _ := newAsset(t, AESGCM)
	var sealed [][]byte
	for i := range 3 * sessionsMax {
		sealed = append(sealed, newSealer(t, a, uint64(i)).Seal(nil, []byte{byte(i)}, nil))
	}
	s := newSealer(t, a, 999)
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		i := r.IntN(len(sealed))
		got, err := s.Open(nil, sealed[i], nil)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(i)}, got)
	}
	require.Len(t, s.others, sessionsMax)
}

func TestKeyFile(t *testing.T) {
	const account, asset = "ACME", "ORDERS"
	_, a, file := newAsset(t, ChaCha20Poly1305)
	sealed := newSealer(t, a, 5).Seal(nil, []byte("text"), nil)
	for _, tc := range []struct {
		name, key, previous, account, asset string
		stale                               bool
		advice                              string // of ErrKey
	}{
		{"its key", "s3cr3t", "", account, asset, false, ""},
		{"its key, and a previous one", "s3cr3t", "older", account, asset, false, ""},
		{"rotated", "new", "s3cr3t", account, asset, true, ""},
		{"previous only", "", "s3cr3t", account, asset, true, ""},
		{"none", "", "", account, asset, false, "no key is configured: set key"},
		{"another", "new", "", account, asset, false, "set prev_encryption_key"},
		{"two others", "new", "old", account, asset, false, "neither key nor prev_encryption_key"},
		{"another previous", "", "old", account, asset, false, "set key to the one"},
		{"of another account", "s3cr3t", "", "OTHER", asset, false, "set prev_encryption_key"},
		{"of another asset", "s3cr3t", "", account, "OTHER", false, "set prev_encryption_key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := NewKeyring(tc.key, tc.previous).OpenAsset(file, tc.account, tc.asset)
			if tc.advice != "" {
				require.ErrorIs(t, err, ErrKey)
				require.ErrorContains(t, err, tc.advice)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.stale, got.Stale())
			require.Equal(t, ChaCha20Poly1305, got.Cipher())
			plain, err := newSealer(t, got, 6).Open(nil, sealed, nil)
			require.NoError(t, err)
			require.Equal(t, "text", string(plain))
		})
	}
}

func TestRotationKeepsWhatWasSealed(t *testing.T) {
	_, a, file := newAsset(t, AESGCM)
	sealed := newSealer(t, a, 5).Seal(nil, []byte("text"), nil)

	rotated := NewKeyring("new", "s3cr3t")
	a, err := rotated.OpenAsset(file, "ACME", "ORDERS")
	require.NoError(t, err)
	require.True(t, a.Stale())
	again, err := rotated.Reseal(entropyOf(9), a, "ACME", "ORDERS")
	require.NoError(t, err)
	require.NotEqual(t, file[seedAt:], again[seedAt:], "a seed must not be used twice")

	a, err = NewKeyring("new", "").OpenAsset(again, "ACME", "ORDERS")
	require.NoError(t, err)
	require.False(t, a.Stale())
	plain, err := newSealer(t, a, 6).Open(nil, sealed, nil)
	require.NoError(t, err)
	require.Equal(t, "text", string(plain))
	_, err = NewKeyring("s3cr3t", "").OpenAsset(again, "ACME", "ORDERS")
	require.ErrorIs(t, err, ErrKey)
}

func TestDamagedKeyFileIsNotAWrongKey(t *testing.T) {
	r, _, file := newAsset(t, ChaCha20Poly1305)
	for i := range file {
		broken := bytes.Clone(file)
		broken[i] ^= 0x10
		_, err := r.OpenAsset(broken, "ACME", "ORDERS")
		require.NotErrorIs(t, err, ErrKey, "byte %d", i)
		if i == 4 {
			require.ErrorIs(t, err, ErrVersion)
		} else {
			require.ErrorIs(t, err, ErrDamaged, "byte %d", i)
		}
	}
	for n := range file {
		_, err := r.OpenAsset(file[:n], "ACME", "ORDERS")
		require.ErrorIs(t, err, ErrDamaged)
	}
	_, err := r.OpenAsset(append(bytes.Clone(file), 0), "ACME", "ORDERS")
	require.ErrorIs(t, err, ErrDamaged)
}

func TestRefusals(t *testing.T) {
	none := NewKeyring("", "old")
	require.False(t, none.Enabled())
	_, _, err := none.NewAsset(entropyOf(1), AESGCM, "A", "S")
	require.ErrorIs(t, err, ErrKey)
	r := NewKeyring("k", "")
	require.True(t, r.Enabled())
	_, _, err = r.NewAsset(entropyOf(1), 9, "A", "S")
	require.ErrorContains(t, err, "cipher 9 is not known")
	for n := range 64 {
		_, _, err = r.NewAsset(io.LimitReader(entropyOf(1), int64(n)), AESGCM, "A", "S")
		require.Error(t, err, "%d bytes of entropy", n)
	}
	_, a, _ := newAsset(t, AESGCM)
	_, err = a.Sealer(io.LimitReader(entropyOf(1), saltBytes-1), "log")
	require.True(t, errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
}

// The formats are on disks: these bytes must open for ever.
func TestFormatsStay(t *testing.T) {
	for _, tc := range []struct {
		cipher       Cipher
		file, sealed string
	}{
		{ChaCha20Poly1305, goldenChaChaFile, goldenChaChaSealed},
		{AESGCM, goldenAESFile, goldenAESSealed},
	} {
		t.Run(tc.cipher.String(), func(t *testing.T) {
			_, a, file := newAsset(t, tc.cipher)
			sealed := newSealer(t, a, 7).Seal(nil, []byte("hello"), []byte("aad"))
			require.Equal(t, tc.file, hex.EncodeToString(file))
			require.Equal(t, tc.sealed, hex.EncodeToString(sealed))
		})
	}
	for compressed, plain := range map[string]string{ //lockstep:ordered each is judged by itself
		"00":         "",
		"0061626364": "abcd",
		goldenS2:     strings.Repeat("abcdefgh", 16),
	} {
		raw, err := hex.DecodeString(compressed)
		require.NoError(t, err)
		got, err := Decompress(nil, raw, 1000)
		require.NoError(t, err, compressed)
		require.Equal(t, plain, string(got))
	}
}

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	for _, c := range ciphers {
		_, a, _ := newAsset(t, c)
		s, other := newSealer(t, a, 1), newSealer(t, a, 2)
		plain, aad := make([]byte, 1000), []byte("aad")
		sealed, open := make([]byte, 0, 2000), make([]byte, 0, 2000)
		foreign := other.Seal(nil, plain, aad)
		n := testing.AllocsPerRun(100, func() {
			sealed = s.Seal(sealed[:0], plain, aad)
			open, _ = s.Open(open[:0], sealed, aad)
			open, _ = s.Open(open[:0], foreign, aad)
		})
		require.Zero(t, n, "%v", c)
	}
}

func FuzzOpen(f *testing.F) {
	_, a, file := newAsset(f, AESGCM)
	s := newSealer(f, a, 1)
	f.Add(s.Seal(nil, []byte("hello"), nil), file)
	f.Add([]byte{}, []byte("LKEY"))
	r := NewKeyring("s3cr3t", "old")
	f.Fuzz(func(t *testing.T, sealed, keyFile []byte) {
		if plain, err := s.Open(nil, sealed, nil); err == nil && string(plain) != "hello" {
			t.Fatalf("forged %q", plain)
		}
		if a, err := r.OpenAsset(keyFile, "ACME", "ORDERS"); err == nil && !bytes.Equal(keyFile, file) {
			t.Fatalf("forged a key file: %v", a)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, c := range ciphers {
		for _, size := range []int{16, 256, 4096, 65536} {
			_, a, _ := newAsset(b, c)
			s := newSealer(b, a, 1)
			plain, dst := make([]byte, size), make([]byte, 0, size+Overhead)
			b.Run(fmt.Sprintf("op=seal/cipher=%v/size=%d", c, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					dst = s.Seal(dst[:0], plain, nil)
				}
			})
			sealed, out := s.Seal(nil, plain, nil), make([]byte, 0, size)
			b.Run(fmt.Sprintf("op=open/cipher=%v/size=%d", c, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					out, _ = s.Open(out[:0], sealed, nil)
				}
			})
		}
	}
}

func BenchmarkNewSession(b *testing.B) {
	for _, c := range ciphers {
		b.Run(fmt.Sprintf("cipher=%v", c), func(b *testing.B) {
			_, a, _ := newAsset(b, c)
			s := newSealer(b, a, 1)
			for b.Loop() {
				s.renew()
			}
		})
	}
}
