package s2frame

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// unframe reads chunks, each in memory that is spoiled afterwards.
func unframe(r *Reader, chunks ...[]byte) (out []byte, err error) {
	for _, chunk := range chunks {
		in := bytes.Clone(chunk)
		for rest := in; ; {
			var data []byte
			if data, rest, err = r.Next(rest); err != nil {
				return out, err
			}
			if data == nil {
				break
			}
			out = append(out, data...)
		}
		for i := range in {
			in[i] = '#'
		}
	}
	return out, nil
}

// texts are of all kinds: repeated, random, long.
var texts = rapid.Custom(func(t *rapid.T) []byte {
	n := rapid.SampledFrom([]int{1, 10, 300, 5000, 70_000}).Draw(t, "size")
	if rapid.Bool().Draw(t, "random") {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	return []byte(strings.Repeat("RMSG APP orders.new 128 ", n/24+1)[:n])
})

func TestStreamsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in, want, scratch []byte
		for range rapid.IntRange(1, 5).Draw(t, "flushes") {
			text := texts.Draw(t, "text")
			want = append(want, text...)
			in, scratch = AppendStream(in, text, scratch, Level(rapid.IntRange(0, 3).Draw(t, "level")))
		}
		theirs, err := io.ReadAll(s2.NewReader(bytes.NewReader(in)))
		require.NoError(t, err, "the library reads it")
		require.Equal(t, want, theirs)

		var chunks [][]byte
		for left := in; len(left) > 0; {
			n := rapid.IntRange(1, min(len(left), 3000)).Draw(t, "chunk")
			chunks, left = append(chunks, left[:n]), left[n:]
		}
		got, err := unframe(new(Reader), chunks...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestStreamsOfTheLibraryAreRead(t *testing.T) {
	text := []byte(strings.Repeat("some text of a route ", 200_000)) // several blocks
	for _, options := range [][]s2.WriterOption{
		{s2.WriterConcurrency(1)}, {s2.WriterConcurrency(1), s2.WriterUncompressed()}, {s2.WriterConcurrency(1), s2.WriterBetterCompression()},
		{s2.WriterConcurrency(1), s2.WriterBestCompression(), s2.WriterPadding(512), s2.WriterPaddingSrc(zeros{})},
		{s2.WriterConcurrency(1), s2.WriterSnappyCompat()}, {s2.WriterConcurrency(1), s2.WriterAddIndex()},
	} {
		var in bytes.Buffer
		for range 2 { // streams follow each other
			w := s2.NewWriter(&in, options...)
			_, err := w.Write(text)
			require.NoError(t, err)
			require.NoError(t, w.Close())
		}
		want := append(bytes.Clone(text), text...)
		got, err := unframe(new(Reader), in.Bytes())
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))

		var byteByByte [][]byte
		for _, b := range in.Bytes()[:min(3000, in.Len())] {
			byteByByte = append(byteByByte, []byte{b})
		}
		r := new(Reader)
		got, err = unframe(r, append(byteByByte, in.Bytes()[min(3000, in.Len()):])...)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestDamagedStreams(t *testing.T) {
	good, _ := AppendStream(nil, []byte(strings.Repeat("abc", 100)), nil, Fast)
	head := good[:10]
	for _, tc := range []struct {
		name, want string
		kind       error
		in         []byte
	}{
		{"no identifier", "does not begin with an identifier", s2.ErrCorrupt, good[10:]},
		{"text", "does not begin with an identifier", s2.ErrCorrupt, []byte("INFO {}\r\n")},
		{"padding first", "does not begin with an identifier", s2.ErrCorrupt, []byte("\xfe\x01\x00\x00x")},
		{"identifier of another length", "identifier of 7 bytes", s2.ErrCorrupt, []byte{0xff, 7, 0, 0}},
		{"another identifier", `identifier "S2sTwo"`, s2.ErrCorrupt, []byte("\xff\x06\x00\x00S2sTwo")},
		{"unknown chunk", "chunk of unknown type 0x2", s2.ErrUnsupported, append(bytes.Clone(head), 2, 0, 0, 0)},
		{"last unknown chunk", "chunk of unknown type 0x7f", s2.ErrUnsupported, append(bytes.Clone(head), 0x7f, 0, 0, 0)},
		{"chunk too short", "chunk of 3 bytes", s2.ErrCorrupt, append(bytes.Clone(head), 0, 3, 0, 0)},
		{"chunk too long", "chunk of 16777215 bytes", s2.ErrCorrupt, append(bytes.Clone(head), 0, 0xff, 0xff, 0xff)},
		{"uncompressed chunk too long", "chunk of 4194309 bytes", s2.ErrCorrupt, append(bytes.Clone(head), 1, 5, 0, 0x40)},
		{"wrong checksum", "wrong checksum", s2.ErrCRC, append(bytes.Clone(head), 1, 5, 0, 0, 1, 2, 3, 4, 'x')},
		{"no block", "block of more than", s2.ErrCorrupt, append(bytes.Clone(head), 0, 4, 0, 0, 1, 2, 3, 4)},
		{"block too large", "block of more than", s2.ErrCorrupt, append(bytes.Clone(head), 0, 9, 0, 0, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"damaged block", "damaged block", s2.ErrCorrupt, append(bytes.Clone(head), 0, 6, 0, 0, 1, 2, 3, 4, 9, 0xff)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := new(Reader)
			_, err := unframe(r, tc.in)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, tc.kind, errors.Unwrap(err))
			_, again := unframe(r, good)
			require.Equal(t, err, again)
		})
	}
}

// TestReaderKnowsWholeChunks cuts a stream with padding everywhere.
func TestReaderKnowsWholeChunks(t *testing.T) {
	in, _ := AppendStream(nil, []byte("text"), nil, Uncompressed)
	ends := map[int]bool{0: true, 10: true, len(in): true}
	in = append(in, 0xfe, 3, 0, 0, 'p', 'a', 'd')
	ends[len(in)] = true
	for n := range len(in) + 1 {
		r := new(Reader)
		_, err := unframe(r, in[:n])
		require.NoError(t, err)
		require.Equal(t, ends[n], r.Whole(), "%d bytes", n)
		if ends[n] {
			require.Zero(t, r.Held())
		}
	}
}

// TestReaderHoldsWhatCame announces a large chunk and sends little of it.
func TestReaderHoldsWhatCame(t *testing.T) {
	r := new(Reader)
	_, err := unframe(r, []byte("\xff\x06\x00\x00S2sTwO"), []byte{1, 0, 0, 0x40, 1, 2, 3})
	require.NoError(t, err)
	require.Less(t, cap(r.chunk), 1024)
	_, err = unframe(r, make([]byte, 10_000))
	require.NoError(t, err)
	require.Less(t, cap(r.chunk), 40_000)
	r.Trim()
	require.NotEmpty(t, r.chunk, "what is not complete is kept")
}

func FuzzReader(f *testing.F) {
	good, _ := AppendStream(nil, []byte(strings.Repeat("RS+ $G foo\r\n", 10)), nil, Fast)
	plain, _ := AppendStream(nil, []byte("PING\r\n"), nil, Uncompressed)
	for _, in := range [][]byte{good, plain, append(good, plain...), append(good, 0xfe, 3, 0, 0, 1, 2, 3), []byte("INFO {}\r\n")} {
		f.Add(in, uint16(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		n := int(cut) % (len(in) + 1)
		want, wantErr := unframe(new(Reader), in)
		got, err := unframe(new(Reader), in[:n], in[n:])
		if !bytes.Equal(want, got) || (wantErr == nil) != (err == nil) {
			t.Fatalf("cut at %d: %q %v, whole: %q %v", n, got, err, want, wantErr)
		}
	})
}
