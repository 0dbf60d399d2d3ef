package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const block = "NATS/1.0\r\nA: 1\r\nNats-Trace-Dest:  x.y \r\nNats-Trace:other\r\nTraceParent:\tt\r\nA: 2\r\nno colon\r\n: empty name\r\nEmpty:\r\n\r\n"

func TestHeaderValue(t *testing.T) {
	for _, tc := range []struct {
		name, block, header, want string
		ok                        bool
	}{
		{"first of two", block, "A", "1", true},
		{"leading blanks go, trailing stay", block, "Nats-Trace-Dest", "x.y ", true},
		{"beginning of another", block, "Nats-Trace", "other", true},
		{"exact case", block, "a", "", false},
		{"empty value", block, "Empty", "", true},
		{"no such", block, "B", "", false},
		{"status line is no header", "A: 1\r\nB: 2\r\n\r\n", "A", "", false},
		{"behind the empty line", "NATS/1.0\r\n\r\nA: 1\r\n", "A", "", false},
		{"line without end", "NATS/1.0\r\nA: 1", "A", "", false},
		{"bare LF ends no line", "NATS/1.0\r\nB: 2\nA: 1\r\n\r\n", "A", "", false},
		{"bare LF is part of the value", "NATS/1.0\r\nB: 2\nA: 1\r\n\r\n", "B", "2\nA: 1", true},
		{"nothing", "", "A", "", false},
		{"garbage", "hello", "A", "", false},
		{"name ends the block", "NATS/1.0\r\nA", "A", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := HeaderValue([]byte(tc.block), tc.header)
			require.Equal(t, tc.ok, ok)
			require.Equal(t, tc.want, string(got))
		})
	}
	got, ok := HeaderValueFold([]byte(block), "traceparent")
	require.True(t, ok)
	require.Equal(t, "t", string(got))
	_, ok = HeaderValueFold([]byte(block), "tracepare")
	require.False(t, ok)
}

func TestHeadersInOrder(t *testing.T) {
	var got []string
	for name, value := range Headers([]byte(block)) {
		got = append(got, string(name)+"="+string(value))
	}
	require.Equal(t, []string{"A=1", "Nats-Trace-Dest=x.y ", "Nats-Trace=other", "TraceParent=t", "A=2", "=empty name", "Empty="}, got)
	for range Headers([]byte(block)) {
		break // may stop early
	}
}

func TestHeaderStatus(t *testing.T) {
	for _, tc := range []struct {
		block, description string
		code               int
		ok                 bool
	}{
		{"NATS/1.0 503\r\n\r\n", "", 503, true},
		{"NATS/1.0 404 No Messages\r\n\r\n", "No Messages", 404, true},
		{"NATS/1.0   100  Idle Heartbeat \r\nA: 1\r\n\r\n", "Idle Heartbeat", 100, true},
		{"NATS/1.0\r\n\r\n", "", 0, false},
		{"NATS/1.0 \r\n\r\n", "", 0, false},
		{"NATS/1.0 x\r\n\r\n", "", 0, false},
		{"NATS/1.0 503", "", 0, false},
		{"HTTP/1.1 503\r\n\r\n", "", 0, false},
		{"", "", 0, false},
	} {
		code, description, ok := HeaderStatus([]byte(tc.block))
		require.Equal(t, tc.code, code, tc.block)
		require.Equal(t, tc.description, string(description), tc.block)
		require.Equal(t, tc.ok, ok, tc.block)
	}
	require.Equal(t, "NATS/1.0 503\r\n", string(AppendHeaderStatus(nil, 503, "")))
	require.Equal(t, "NATS/1.0 404 No Messages\r\n", string(AppendHeaderStatus(nil, 404, "No Messages")))
}

func TestHeaderEdits(t *testing.T) {
	add := func(b string) []byte { return AppendHeaderAdd(nil, []byte(b), "N", "v") }
	set := func(b string) []byte { return AppendHeaderSet(nil, []byte(b), "N", "v") }
	del := func(b string) []byte { return AppendHeaderDelete(nil, []byte(b), "N") }
	for _, tc := range []struct {
		name     string
		edit     func(string) []byte
		in, want string
	}{
		{"add to nothing", add, "", "NATS/1.0\r\nN: v\r\n\r\n"},
		{"add", add, "NATS/1.0 503\r\nA: 1\r\n\r\n", "NATS/1.0 503\r\nA: 1\r\nN: v\r\n\r\n"},
		{"add beside its like", add, "NATS/1.0\r\nN: 1\r\n\r\n", "NATS/1.0\r\nN: 1\r\nN: v\r\n\r\n"},
		{"add to a block cut off", add, "NATS/1.0\r\nA: 1\r\n", "NATS/1.0\r\nA: 1\r\nN: v\r\n\r\n"},
		{"add to garbage", add, "hello", "hello\r\nN: v\r\n\r\n"},
		{"set in nothing", set, "", "NATS/1.0\r\nN: v\r\n\r\n"},
		{"set where there is none", set, "NATS/1.0\r\nA: 1\r\n\r\n", "NATS/1.0\r\nA: 1\r\nN: v\r\n\r\n"},
		{"set in place", set, "NATS/1.0\r\nN: old\r\nA: 1\r\n\r\n", "NATS/1.0\r\nN: v\r\nA: 1\r\n\r\n"},
		{"set where there are two", set, "NATS/1.0\r\nA: 1\r\nN: x\r\nB: 2\r\nN: y\r\n\r\n", "NATS/1.0\r\nA: 1\r\nN: v\r\nB: 2\r\n\r\n"},
		{"set leaves other cases", set, "NATS/1.0\r\nn: x\r\nNN: x\r\n\r\n", "NATS/1.0\r\nn: x\r\nNN: x\r\nN: v\r\n\r\n"},
		{"delete", del, "NATS/1.0\r\nA: 1\r\nN: x\r\nB: 2\r\nN: y\r\n\r\n", "NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n"},
		{"delete the last", del, "NATS/1.0\r\nN: x\r\n\r\n", ""},
		{"delete the last beside a status", del, "NATS/1.0 503\r\nN: x\r\n\r\n", "NATS/1.0 503\r\n\r\n"},
		{"delete none", del, "NATS/1.0\r\nA: 1\r\n\r\n", "NATS/1.0\r\nA: 1\r\n\r\n"},
		{"delete in garbage", del, "hello", "hello"},
		{"delete in nothing", del, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, string(tc.edit(tc.in))) })
	}
	require.Equal(t, "A : b  C: d\r\n", string(AppendHeaderLine(nil, "A\n", "b\r\nC: d")))
}

func TestHeaderEditsKeepTheRest(t *testing.T) {
	name := rapid.StringMatching(`[NnA]{1,2}`)
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(HeaderLine)
		var others []string
		for range rapid.IntRange(0, 5).Draw(t, "headers") {
			n := name.Draw(t, "name")
			b = AppendHeaderLine(b, n, "v")
			if n != "N" {
				others = append(others, n)
			}
		}
		b = append(b, CRLF...)
		names := func(b []byte) (out []string) {
			for n := range Headers(b) {
				if string(n) != "N" {
					out = append(out, string(n))
				}
			}
			return out
		}
		set := AppendHeaderSet([]byte("before"), b, "N", "new")
		require.True(t, bytes.HasPrefix(set, []byte("before")))
		set = set[len("before"):]
		value, ok := HeaderValue(set, "N")
		require.True(t, ok)
		require.Equal(t, "new", string(value))
		require.Equal(t, 1, strings.Count("\r\n"+string(set), "\r\nN:"))
		require.Equal(t, others, names(set))
		require.Equal(t, others, names(AppendHeaderDelete(nil, set, "N")))
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add([]byte(block), "A", "v")
	f.Add([]byte(""), "", "")
	f.Add([]byte("hello"), "N", "\r\n")
	f.Add([]byte("\r\n\r\n"), "\n", "x")
	f.Fuzz(func(t *testing.T, b []byte, name, value string) {
		before := bytes.Clone(b)
		HeaderStatus(b)
		n := 0
		for range Headers(b) {
			n++
		}
		first, had := HeaderValue(b, name)
		if folded, ok := HeaderValueFold(b, name); had {
			require.True(t, ok)
			require.LessOrEqual(t, len(folded), len(b))
			require.GreaterOrEqual(t, n, 1)
			require.LessOrEqual(t, len(first), len(b))
		}
		gone := AppendHeaderDelete(nil, b, name)
		if !strings.ContainsAny(name, "\r\n:") && name != "" {
			_, ok := HeaderValue(gone, name)
			require.False(t, ok)
			set := AppendHeaderSet(nil, b, name, value)
			if bytes.HasPrefix(b, []byte(HeaderLine)) && bytes.Index(b, []byte("\r\n\r\n")) == len(b)-4 {
				_, ok = HeaderValue(set, name)
				require.True(t, ok)
			}
		}
		require.LessOrEqual(t, len(AppendHeaderAdd(nil, b, name, value)), len(b)+len(name)+len(value)+32)
		require.Equal(t, before, b)
	})
}

func TestHeaderLookupsAllocateNothing(t *testing.T) {
	b, dst := []byte(block), make([]byte, 0, 512)
	require.Zero(t, testing.AllocsPerRun(100, func() { HeaderValue(b, "Missing") }))
	require.Zero(t, testing.AllocsPerRun(100, func() { HeaderValueFold(b, "traceparent") }))
	require.Zero(t, testing.AllocsPerRun(100, func() { AppendHeaderSet(dst, b, "A", "x") }))
	require.Zero(t, testing.AllocsPerRun(100, func() { AppendHeaderAdd(dst, nil, "A", "x") }))
}

func BenchmarkHeaderValue(b *testing.B) {
	for _, name := range []string{"A", "Missing"} {
		b.Run("name="+name, func(b *testing.B) {
			in := []byte(block)
			for b.Loop() {
				HeaderValue(in, name)
			}
		})
	}
}
