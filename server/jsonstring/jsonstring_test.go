package jsonstring

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var seeds = []string{
	"", "ORDERS", "$JS.API.STREAM.CREATE.ORDERS", `"quoted"`, `back\slash`, "a<b>&c", "\x00\x01\b\f\n\r\t\x1f\x7f",
	"grüße", "日本語", "\u2028\u2029", "\U0001f600", "\xff", "a\xc3", "\xed\xa0\x80", "x\xf4\x90\x80\x80y", "\ufffd",
	strings.Repeat("x", 300) + "<",
}

func TestAppendIsWhatTheEncoderWrites(t *testing.T) {
	for _, s := range seeds {
		want, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(Append(nil, s)), "%q", s)
		require.Equal(t, "before"+string(want), string(Append([]byte("before"), s)), "%q", s)
	}
	for c := range 0x300 {
		s := "a" + string(rune(c)) + "b"
		want, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(Append(nil, s)), "%q", s)
	}
	for c := range 0x100 {
		s := "a" + string([]byte{byte(c)}) + "b"
		want, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(Append(nil, s)), "%q", s)
	}
}

func FuzzAppend(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(Append(nil, s)))
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 4096)
	for _, s := range seeds {
		require.Zero(t, testing.AllocsPerRun(100, func() { dst = Append(dst[:0], s) }), "%q", s)
	}
}

func BenchmarkAppend(b *testing.B) {
	dst := make([]byte, 0, 4096)
	for _, s := range []string{"ORDERS", strings.Repeat("subject.", 16), strings.Repeat("<&>", 16), strings.Repeat("ü", 32)} {
		b.Run(fmt.Sprintf("bytes=%d/escapes=%t", len(s), s[0] == '<'), func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				dst = Append(dst[:0], s)
			}
		})
	}
}
