package codec_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

func TestFieldsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, u, i := rapid.Byte().Draw(t, "byte"), rapid.Uint64().Draw(t, "uint"), rapid.Int64().Draw(t, "int")
		text, raw := rapid.String().Draw(t, "text"), rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		p := binary.AppendVarint(binary.AppendUvarint([]byte{b}, u), i)
		p = codec.AppendBytes(codec.AppendBytes(p, text), raw)
		whole := len(p)
		r := codec.Reader{P: p}
		require.Equal(t, b, r.Byte())
		require.Equal(t, u, r.Uint())
		require.Equal(t, i, r.Int())
		require.Equal(t, text, r.Text())
		require.Equal(t, append([]byte{}, raw...), append([]byte{}, r.Bytes()...))
		require.False(t, r.Bad || r.More())

		cut := codec.Reader{P: p[:rapid.IntRange(0, whole-1).Draw(t, "cut")]}
		cut.Byte()
		cut.Uint()
		cut.Int()
		cut.Text()
		cut.Bytes()
		require.True(t, cut.Bad, "what is cut short is bad")
		require.Zero(t, cut.Uint(), "and stays so")
	})
}

func TestCountIsBoundedByWhatIsThere(t *testing.T) {
	r := codec.Reader{P: append(binary.AppendUvarint(nil, 3), 1, 2, 3, 4, 5)}
	require.Zero(t, r.Count(2))
	require.True(t, r.Bad)
	r = codec.Reader{P: append(binary.AppendUvarint(nil, 3), 1, 2, 3, 4, 5, 6)}
	require.Equal(t, 3, r.Count(2))
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		r := codec.Reader{P: p}
		for r.More() {
			before := len(r.P)
			r.Bytes()
			r.Count(3)
			if !r.Bad && len(r.P) >= before {
				t.Fatalf("%d bytes are left of %d", len(r.P), before)
			}
		}
	})
}
