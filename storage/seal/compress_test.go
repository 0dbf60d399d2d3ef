package seal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func texts() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 200),
		rapid.Map(rapid.IntRange(0, 5000), func(n int) []byte { return bytes.Repeat([]byte("subject."), n)[:n] }),
	)
}

func TestWhatIsCompressedDecompresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain, prefix := texts().Draw(t, "plain"), []byte("before")
		out := Compress(bytes.Clone(prefix), plain)
		require.Equal(t, prefix, out[:len(prefix)])
		out = out[len(prefix):]
		require.LessOrEqual(t, len(out), CompressBound(len(plain)))
		got, err := Decompress(bytes.Clone(prefix), out, len(plain))
		require.NoError(t, err)
		require.Equal(t, append(bytes.Clone(prefix), plain...), got)
		if len(plain) > 0 {
			got, err = Decompress(prefix, out, len(plain)-1)
			require.ErrorIs(t, err, ErrDamaged)
			require.Equal(t, prefix, got)
		}
	})
}

func TestNoiseGrowsByOneByte(t *testing.T) {
	noise := make([]byte, 10_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	require.Len(t, Compress(nil, noise), len(noise)+1)
	require.Less(t, len(Compress(nil, make([]byte, 10_000))), 100)
}

// What says that it expands to 4 GiB must not be believed.
func TestExpansionIsBounded(t *testing.T) {
	bomb := []byte{packed, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}
	n := testing.AllocsPerRun(10, func() {
		_, err := Decompress(nil, bomb, 1<<20)
		require.ErrorIs(t, err, ErrDamaged)
	})
	require.Less(t, n, 50.0)
	for _, broken := range [][]byte{nil, {}, {packed}, {2}, {packed, 0x05}, {packed, 0x80}, {255, 1, 2}} {
		_, err := Decompress(nil, broken, 100)
		require.ErrorIs(t, err, ErrDamaged, "%x", broken)
	}
}

func TestCompressionDoesNotAllocate(t *testing.T) {
	plain := bytes.Repeat([]byte("orders.12345 "), 1000)
	out, back := Compress(nil, plain), make([]byte, 0, len(plain))
	dst := make([]byte, 0, 2*len(plain))
	require.Zero(t, testing.AllocsPerRun(100, func() { back, _ = Decompress(back[:0], out, len(plain)) }))
	// The library's scratch tables may be made anew after a garbage collection.
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { dst = Compress(dst[:0], plain) }), 1.0)
}

func FuzzDecompress(f *testing.F) {
	f.Add(Compress(nil, []byte("hello")))
	f.Add(Compress(nil, make([]byte, 1000)))
	f.Add([]byte{packed, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		plain, err := Decompress(nil, b, limit)
		if err != nil {
			return
		}
		if len(plain) > limit {
			t.Fatalf("%d bytes", len(plain))
		}
		again, err := Decompress(nil, Compress(nil, plain), limit)
		if err != nil || !bytes.Equal(plain, again) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	for _, size := range []int{256, 4096, 262144} {
		r := rand.New(rand.NewPCG(1, 2))
		var plain []byte
		for len(plain) < size {
			plain = fmt.Appendf(plain, `{"order":%d,"customer":"c-%d","state":"open"}`, r.IntN(100_000), r.IntN(1000))
		}
		plain = plain[:size]
		dst := make([]byte, 0, 2*size)
		b.Run(fmt.Sprintf("op=compress/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				dst = Compress(dst[:0], plain)
			}
			b.ReportMetric(float64(len(dst))/float64(size), "ratio")
		})
		out, back := Compress(nil, plain), make([]byte, 0, size)
		b.Run(fmt.Sprintf("op=decompress/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				back, _ = Decompress(back[:0], out, size)
			}
		})
	}
}
