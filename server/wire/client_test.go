package wire

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClientParsingAllocatesNothing(t *testing.T) {
	for _, chunks := range [][]string{
		{"MSG orders.new.eu 17 5\r\nhello\r\n"},
		{"HMSG orders.new.eu 17 _INBOX.1 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
		{"MSG orders.n", "ew.eu 17  5\r\nhe", "llo\r\nPING\r\n"},
	} {
		var p ClientParser
		var op Op
		in := make([][]byte, len(chunks))
		for i, c := range chunks {
			in[i] = []byte(c)
		}
		require.Zero(t, testing.AllocsPerRun(100, func() {
			for _, rest := range in {
				for ok := true; ok; {
					var err error
					if rest, ok, err = p.Next(rest, &op); err != nil {
						t.Error(err)
					}
				}
			}
		}), chunks[0])
	}
}

func TestClientParserTrim(t *testing.T) {
	var p ClientParser
	got, err := read(&p, []byte("MSG foo 1 5\r\nhel"), []byte("lo\r\n"))
	require.NoError(t, err)
	require.Len(t, got, 1)
	p.Trim()
	require.Zero(t, cap(p.core.body)+cap(p.core.line))
}

func BenchmarkClientParse(b *testing.B) {
	for _, size := range []int{16, 1024} {
		b.Run(fmt.Sprintf("verb=msg/size=%d", size), func(b *testing.B) {
			in := AppendMsgHeader(nil, []byte("orders.new.europe"), []byte("17"), nil, size)
			in = append(append(in, make([]byte, size)...), CRLF...)
			var p ClientParser
			var op Op
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, err := p.Next(in, &op); !ok {
					b.Fatal(err)
				}
			}
		})
	}
}
