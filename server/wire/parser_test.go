package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type nexter interface {
	Next(in []byte, op *Op) (rest []byte, ok bool, err error)
}

func vectorParser() *Parser {
	return &Parser{MaxControlLine: vectorLine, MaxPayload: vectorPayload, Headers: true}
}

// read feeds the chunks and gives what came out.
func read(p nexter, chunks ...[]byte) ([]string, error) { return readEach(p.Next, show, chunks) }

// readEach feeds the chunks, each in memory that is spoiled afterwards, and shows what
// came out.
func readEach[O any](next func(in []byte, op *O) ([]byte, bool, error), show func(*O) string, chunks [][]byte) (ops []string, err error) {
	var op O
	for _, chunk := range chunks {
		in := bytes.Clone(chunk)
		whole := in
		for {
			var ok bool
			if in, ok, err = next(in, &op); err != nil {
				return ops, err
			}
			if !ok {
				break
			}
			ops = append(ops, show(&op))
		}
		for i := range whole {
			whole[i] = '#'
		}
	}
	return ops, nil
}

func bytewise(in string) (chunks [][]byte) {
	for i := range len(in) {
		chunks = append(chunks, []byte{in[i]})
	}
	return chunks
}

func kindOf(err error) error {
	var e *ParseError
	if errors.As(err, &e) {
		return e.Kind
	}
	return err
}

func TestVectors(t *testing.T) {
	for _, side := range []struct {
		name    string
		vectors []vector
		parser  func() nexter
	}{
		{"server", serverVectors, func() nexter { return vectorParser() }},
		{"client", clientVectors, func() nexter { return new(ClientParser) }},
	} {
		for _, v := range side.vectors {
			t.Run(side.name+"/"+v.name, func(t *testing.T) {
				got, err := read(side.parser(), []byte(v.in))
				require.Equal(t, v.want, got)
				require.Equal(t, v.err, kindOf(err))

				got, err = read(side.parser(), bytewise(v.in)...)
				require.Equal(t, v.want, got, "byte by byte")
				require.Equal(t, v.err, kindOf(err), "byte by byte")

				for i := range len(v.in) {
					got, err = read(side.parser(), []byte(v.in[:i]), nil, []byte(v.in[i:]))
					require.Equal(t, v.want, got, "split at %d", i)
					require.Equal(t, v.err, kindOf(err), "split at %d", i)
				}
			})
		}
	}
}

func TestVerbsAnyCase(t *testing.T) {
	for _, v := range serverVectors {
		if v.err != nil || v.want == nil {
			continue
		}
		i := strings.IndexAny(v.in, " \t\r\n{")
		got, err := read(vectorParser(), []byte(strings.ToLower(v.in[:i])+v.in[i:]))
		require.NoError(t, err, v.name)
		require.Equal(t, v.want, got, v.name)
	}
}

func TestHpubNeedsHeaders(t *testing.T) {
	for _, in := range []string{"HPUB foo 5 5\r\n", "HPUB foo 5 99999999\r\n", "HPUB foo\r\n"} {
		p := NewParser()
		_, err := read(p, []byte(in))
		require.ErrorIs(t, err, ErrMalformed, in)
		require.ErrorContains(t, err, "message headers not supported", in)
	}
	p := NewParser()
	p.Headers = true
	got, err := read(p, []byte("HPUB foo 5 5\r\nhello\r\n"))
	require.NoError(t, err)
	require.Len(t, got, 1)
}

func TestLimitsMayChangeBetweenOperations(t *testing.T) {
	p := NewParser()
	got, err := read(p, []byte("PUB foo 5\r\nhel"))
	require.NoError(t, err)
	require.Empty(t, got)
	p.MaxPayload, p.MaxControlLine = 1, 4 // by a reload: what was accepted stays accepted
	got, err = read(p, []byte("lo\r\n"))
	require.NoError(t, err)
	require.Equal(t, []string{`PUB subj="foo" payload="hello"`}, got)
	_, err = read(p, []byte("PUB a 2\r\nhi\r\n"))
	require.ErrorIs(t, err, ErrMaxPayload)

	p = &Parser{MaxControlLine: 64, MaxPayload: -1}
	_, err = read(p, []byte("PUB a 999999999\r\nhi"))
	require.NoError(t, err)
	require.LessOrEqual(t, cap(p.core.body), growAtOnce)

	p = &Parser{MaxControlLine: 64}
	_, err = read(p, []byte("PUB a 0\r\n\r\nPUB a 1\r\n"))
	require.ErrorIs(t, err, ErrMaxPayload, "a limit of zero allows empty payloads only")
}

func TestErrorIsRepeated(t *testing.T) {
	p := NewParser()
	var op Op
	_, ok, err := p.Next([]byte("FOO\r\nPUB a 0\r\n\r\n"), &op)
	require.False(t, ok)
	require.ErrorIs(t, err, ErrProtocol)
	_, ok, again := p.Next([]byte("PUB aaaaaaaaaaa 0\r\n\r\n"), &op)
	require.False(t, ok)
	require.Equal(t, err, again)
}

func TestErrorTexts(t *testing.T) {
	for _, tc := range []struct{ name, in, log, text string }{
		{"verb", "FOO\x00\r\n", `unknown protocol operation: "FOO\x00\r\n"`, "Unknown Protocol Operation"},
		{"long", "FOO" + strings.Repeat("x", 99), `unknown protocol operation: "FOOxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"`, "Unknown Protocol Operation"},
		{"size", "PUB foo \"x\r\n", `PUB: malformed arguments: bad or missing size, wants 1 to 9 digits: "foo \"x"`, ""},
		{"payload", "PUB foo 1048577\r\n", `PUB: maximum payload exceeded: 1048577 vs 1048576: "foo 1048577"`, "Maximum Payload Violation"},
		{"line", "SUB " + strings.Repeat("s", 4095) + " 1\r\n",
			`SUB: maximum control line exceeded: more than 4096 bytes of arguments: "ssssssssssssssssssssssssssssssss"...`, "maximum control line exceeded"},
		{"secrets stay out", `CONNECT {"pass":"` + strings.Repeat("s", 4096),
			`CONNECT: maximum control line exceeded: more than 4096 bytes of arguments`, "maximum control line exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := read(NewParser(), []byte(tc.in))
			var e *ParseError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.log, e.Error())
			require.Equal(t, tc.text, e.Text())
		})
	}
}

func TestFirst(t *testing.T) {
	require.True(t, First([]byte("CONNECT {}")))
	require.True(t, First([]byte("c")))
	for _, in := range []string{"", "PING", "\x03", "\r\n", "#"} {
		require.False(t, First([]byte(in)), in)
	}
}

// stream draws a byte stream of operations, well formed and not.
var stream = rapid.Custom(func(t *rapid.T) string {
	blanks := rapid.StringMatching(`[ \t]{1,3}`)
	token := rapid.StringMatching(`[a-c.*>\r]{1,5}`)
	end := rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", "\n", "\r\r\n"})
	var b strings.Builder
	for range rapid.IntRange(1, 6).Draw(t, "operations") {
		switch rapid.IntRange(0, 5).Draw(t, "operation") {
		case 0:
			body := rapid.StringN(0, 90, -1).Draw(t, "body")
			fmt.Fprintf(&b, "PUB%s%s %d%s%s\r\n", blanks.Draw(t, "b"), token.Draw(t, "s"), len(body), end.Draw(t, "e"), body)
		case 1:
			body := rapid.StringN(0, 90, -1).Draw(t, "body")
			n := rapid.IntRange(0, len(body)).Draw(t, "header")
			fmt.Fprintf(&b, "hPUB%s%s r %d %d%s%s\r\n", blanks.Draw(t, "b"), token.Draw(t, "s"), n, len(body), end.Draw(t, "e"), body)
		case 2:
			fmt.Fprintf(&b, "SUB%s%s%s1%s", blanks.Draw(t, "b"), token.Draw(t, "s"), blanks.Draw(t, "b"), end.Draw(t, "e"))
		case 3:
			b.WriteString(rapid.SampledFrom([]string{"PING\r\n", "PONGx\n", "+OK\r\n", "-ERR x\r\n", "CONNECT{}\r\n", "INFO \n\n"}).Draw(t, "line"))
		case 4:
			fmt.Fprintf(&b, "UNSUB %s%s", rapid.StringMatching(`[0-9]{1,2}( [0-9x]{1,10})?`).Draw(t, "u"), end.Draw(t, "e"))
		case 5:
			b.WriteString(rapid.SampledFrom(serverVectors).Draw(t, "vector").in)
		}
	}
	return b.String()
})

// chunked cuts in into chunks of drawn sizes.
func chunked(t *rapid.T, in string) (chunks [][]byte) {
	for len(in) > 0 {
		n := rapid.IntRange(0, min(len(in), 40)).Draw(t, "chunk")
		chunks = append(chunks, []byte(in[:n]))
		in = in[n:]
	}
	return chunks
}

func TestAnyChunkingEqualsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := stream.Draw(t, "stream")
		want, wantErr := read(vectorParser(), []byte(in))
		p := vectorParser()
		got, err := read(p, chunked(t, in)...)
		require.Equal(t, want, got)
		require.Equal(t, kindOf(wantErr), kindOf(err))
	})
}

func TestEncodedOperationsAreReadBack(t *testing.T) {
	token := rapid.StringMatching(`[!-~]{1,8}`)
	rapid.Check(t, func(t *rapid.T) {
		var in []byte
		var want []string
		for range rapid.IntRange(1, 8).Draw(t, "operations") {
			op := Op{Subject: []byte(token.Draw(t, "subject"))}
			body := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "body")
			switch rapid.IntRange(0, 3).Draw(t, "verb") {
			case 0:
				op.Verb, op.Payload = VerbPub, body
				if rapid.Bool().Draw(t, "reply?") {
					op.Reply = []byte(token.Draw(t, "reply"))
				}
				in = AppendPub(in, op.Subject, op.Reply, body)
			case 1:
				op.Verb, op.Payload = VerbHpub, body
				op.Header = rapid.IntRange(0, len(body)).Draw(t, "header")
				in = AppendHpub(in, op.Subject, nil, body[:op.Header], body[op.Header:])
			case 2:
				op.Verb, op.SID = VerbSub, []byte(token.Draw(t, "sid"))
				if rapid.Bool().Draw(t, "queue?") {
					op.Queue = []byte(token.Draw(t, "queue"))
				}
				in = AppendSub(in, op.Subject, op.Queue, op.SID)
			case 3:
				op = Op{Verb: VerbUnsub, SID: []byte(token.Draw(t, "sid")), Max: rapid.IntRange(0, 999999999).Draw(t, "max")}
				in = AppendUnsub(in, op.SID, op.Max)
			}
			want = append(want, show(&op))
		}
		got, err := read(vectorParser(), chunked(t, string(in))...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestPayloadBufferGrowsWithWhatArrives(t *testing.T) {
	const size = 3 << 20
	p := &Parser{MaxControlLine: 64, MaxPayload: -1}
	in := AppendPub(nil, []byte("a"), nil, bytes.Repeat([]byte("x"), size))
	var op Op
	for sent := 0; sent < len(in); {
		n := min(len(in)-sent, 50_000)
		rest, ok, err := p.Next(in[sent:sent+n], &op)
		require.NoError(t, err)
		require.Empty(t, rest)
		sent += n
		require.Equal(t, sent == len(in), ok)
		require.LessOrEqual(t, cap(p.core.body), max(2*sent, growAtOnce), "after %d bytes", sent)
	}
	require.Len(t, op.Payload, size)
	require.Nil(t, p.core.body, "released at the end of the read")

	ops, err := read(p, in[:1000], append(in[1000:], LinePing...))
	require.NoError(t, err)
	require.Len(t, ops, 2)
	require.Nil(t, p.core.body, "released when nothing of it is at the end of the read")
}

func TestTrim(t *testing.T) {
	p := NewParser()
	_, err := read(p, []byte("PUB foo 5\r\nhel"))
	require.NoError(t, err)
	require.Equal(t, len("foo 5")+3, p.Buffered())
	p.Trim() // in the middle of an operation nothing may be lost
	got, err := read(p, []byte("lo\r\n"))
	require.NoError(t, err)
	require.Equal(t, []string{`PUB subj="foo" payload="hello"`}, got)
	require.Zero(t, p.Buffered())
	require.NotZero(t, cap(p.core.body))
	p.Trim()
	require.Zero(t, cap(p.core.body)+cap(p.core.line))
}

func FuzzParser(f *testing.F) {
	for _, v := range serverVectors {
		f.Add([]byte(v.in), uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		checkSplits(t, in, int(cut), func() nexter { return vectorParser() })
		p := vectorParser()
		var op Op
		for i := range in {
			if _, _, err := p.Next(in[i:i+1], &op); err != nil {
				break
			}
			if n := cap(p.core.line) + cap(p.core.body); n > 8*(vectorLine+vectorPayload) {
				t.Fatalf("holds %d bytes", n)
			}
		}
	})
}

func FuzzClientParser(f *testing.F) {
	for _, v := range clientVectors {
		f.Add([]byte(v.in), uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		checkSplits(t, in, int(cut), func() nexter { return new(ClientParser) })
	})
}

func checkSplits(t *testing.T, in []byte, cut int, parser func() nexter) {
	want, wantErr := read(parser(), in)
	cut %= len(in) + 1
	for _, chunks := range [][][]byte{bytewise(string(in)), {in[:cut], in[cut:]}} {
		got, err := read(parser(), chunks...)
		require.Equal(t, want, got)
		require.Equal(t, kindOf(wantErr), kindOf(err))
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	for _, tc := range []struct {
		name   string
		chunks []string
	}{
		{"pub", []string{"PUB orders.new.eu _INBOX.abc 5\r\nhello\r\n"}},
		{"hpub", []string{"HPUB orders.new.eu 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"}},
		{"sub and unsub", []string{"SUB foo q 1\r\nUNSUB 1 5\r\n"}},
		{"ping", []string{"PING\r\n"}},
		{"payload split", []string{"PUB orders.new.eu 5\r\nhe", "llo\r\n"}},
		{"line split", []string{"PU", "B orders.n", "ew.eu 5\r\nhello\r\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := NewParser()
			p.Headers = true
			var op Op
			var chunks [][]byte
			for _, c := range tc.chunks {
				chunks = append(chunks, []byte(c))
			}
			require.Zero(t, testing.AllocsPerRun(100, func() {
				for _, in := range chunks {
					for ok := true; ok; {
						var err error
						if in, ok, err = p.Next(in, &op); err != nil {
							t.Error(err)
						}
					}
				}
			}))
		})
	}
}

func BenchmarkParsePub(b *testing.B) {
	for _, size := range []int{16, 128, 1024, 16384} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			const batch = 16
			var in []byte
			for range batch {
				in = AppendPub(in, []byte("orders.new.europe"), nil, make([]byte, size))
			}
			p := NewParser()
			var op Op
			b.SetBytes(int64(len(in) / batch))
			b.ReportAllocs()
			rest, ok := in, false
			for b.Loop() { // one operation each
				if rest, ok, _ = p.Next(rest, &op); !ok {
					rest = in
				}
			}
		})
	}
}

func BenchmarkParseOther(b *testing.B) {
	for _, tc := range []struct{ name, in string }{
		{"verb=pub-reply", "PUB orders.new.europe _INBOX.AbCdEfGhIjKlMnOpQrStUv.1 5\r\nhello\r\n"},
		{"verb=hpub", "HPUB orders.new.europe 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
		{"verb=sub", "SUB orders.new.europe 17\r\n"},
		{"verb=ping", "PING\r\n"},
	} {
		b.Run(tc.name, func(b *testing.B) {
			p, in := NewParser(), []byte(tc.in)
			p.Headers = true
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

func BenchmarkParseSplit(b *testing.B) {
	for _, read := range []int{64, 4096, 32768} {
		for _, size := range []int{128, 16384} {
			b.Run(fmt.Sprintf("read=%d/size=%d", read, size), func(b *testing.B) {
				const batch = 64
				var in []byte
				for range batch {
					in = AppendPub(in, []byte("orders.new.europe"), nil, make([]byte, size))
				}
				p := NewParser()
				var op Op
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					for from := 0; from < len(in); from += read {
						chunk := in[from:min(from+read, len(in))]
						for ok := true; ok; {
							chunk, ok, _ = p.Next(chunk, &op)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/message")
			})
		}
	}
}
