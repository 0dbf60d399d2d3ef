package api

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func block(lines ...string) []byte {
	return []byte("NATS/1.0\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")
}

func TestPublishHeaders(t *testing.T) {
	var h PublishHeaders
	h.Parse(block(
		"X: y", "Nats-Msg-Id: a b", "Nats-Expected-Stream:S", "Nats-Expected-Last-Sequence: 12",
		"Nats-Expected-Last-Subject-Sequence: x", "Nats-Expected-Last-Subject-Sequence-Subject: s.>",
		"Nats-Expected-Last-Msg-Id: m", "Nats-Rollup: sub", "Nats-TTL: 5s", "Nats-Incr: +1", "Nats-Counter-Sources: {}",
		"Nats-Batch-Id: b", "Nats-Batch-Sequence: 3", "Nats-Batch-Commit: eob", "Nats-Schedule: @daily",
		"Nats-Schedule-Target: t", "Nats-Schedule-TTL: 1", "Nats-Schedule-Source: q", "Nats-Schedule-Rollup: sub",
		"Nats-Schedule-Time-Zone: ", "Nats-Scheduler: sc", "Nats-Schedule-Next: purge", "Nats-Stream-Source: src",
		"Nats-Marker-Reason: MaxAge", "KV-Operation: PURGE", "Nats-Required-Api-Level: 2",
	))
	require.Equal(t, HasRequiredApiLevel<<1-1, h.Has, "all of them")
	for want, got := range map[string][]byte{
		"a b": h.MsgID, "S": h.ExpectedStream, "s.>": h.ExpectedLastSubjSeqSubj, "m": h.ExpectedLastMsgID,
		"sub": h.Rollup, "5s": h.TTL, "+1": h.Incr, "{}": h.CounterSources, "b": h.BatchID, "eob": h.BatchCommit,
		"@daily": h.Schedule, "t": h.ScheduleTarget, "1": h.ScheduleTTL, "q": h.ScheduleSource, "sc": h.Scheduler,
		"purge": h.ScheduleNext, "src": h.StreamSource, "MaxAge": h.MarkerReason, "PURGE": h.KVOperation,
		"2": h.RequiredApiLevel, "": h.ScheduleTimeZone,
	} {
		require.Equal(t, want, string(got))
	}
	require.EqualValues(t, 12, h.ExpectedLastSeq)
	require.EqualValues(t, uint64(math.MaxUint64), h.ExpectedLastSubjSeq, "no number is no sequence")
	require.EqualValues(t, 3, h.BatchSeq)
	require.True(t, h.IsMarker())
	h.Parse(nil)
	require.Zero(t, h.Has)
	require.False(t, h.IsMarker())
	h.Parse(block("KV-Operation: DEL"))
	require.False(t, h.IsMarker(), "a deletion by a client is a message")
}

// TestHeaderLines is what an official server makes of odd blocks: it looks for a message id.
func TestHeaderLines(t *testing.T) {
	for _, tc := range []struct {
		name, block, want string
	}{
		{"no space", "NATS/1.0\r\nNats-Msg-Id:q\r\n\r\n", "q"},
		{"spaces before", "NATS/1.0\r\nNats-Msg-Id:   q\r\n\r\n", "q"},
		{"space behind", "NATS/1.0\r\nNats-Msg-Id: q \r\n\r\n", "q "},
		{"tab", "NATS/1.0\r\nNats-Msg-Id:\tq\r\n\r\n", "\tq"},
		{"in a value", "NATS/1.0\r\nX: Nats-Msg-Id: q\r\n\r\n", ""},
		{"space in the name", "NATS/1.0\r\nNats-Msg-Id : q\r\n\r\n", ""},
		{"space before the name", "NATS/1.0\r\n Nats-Msg-Id: q\r\n\r\n", ""},
		{"line without colon", "NATS/1.0\r\nFoo\r\nNats-Msg-Id: q\r\n\r\n", "q"},
		{"line feeds", "NATS/1.0\nNats-Msg-Id: q\n\n", ""},
		{"status", "NATS/1.0 503\r\nNats-Msg-Id: q\r\n\r\n", "q"},
		{"first is empty", "NATS/1.0\r\nNats-Msg-Id: \r\nNats-Msg-Id: q\r\n\r\n", ""},
		{"behind an empty line", "NATS/1.0\r\nA: b\r\n\r\nNats-Msg-Id: q", "q"},
		{"no end", "NATS/1.0\r\nNats-Msg-Id: q", "q"},
		{"line feeds at the end", "NATS/1.0\r\nNats-Msg-Id: q\n\n", "q\n\n"},
		{"longer name", "NATS/1.0\r\nNats-Msg-IdX: p\r\nNats-Msg-Id: q\r\n\r\n", "q"},
		{"lower case", "NATS/1.0\r\nnats-msg-id: q\r\n\r\n", ""},
		{"other first line", "XX\r\nNats-Msg-Id: q\r\n\r\n", "q"},
		{"return in the value", "NATS/1.0\r\nNats-Msg-Id: q\rx\r\n\r\n", "q\rx"},
		{"empty", "", ""},
		{"only a name", "NATS/1.0\r\nNats-Msg-Id", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, string(HeaderValue([]byte(tc.block), HdrMsgID)))
		})
	}
	var h PublishHeaders
	h.Parse([]byte("NATS/1.0\r\nNats-Msg-Id: first\r\nNats-Msg-Id: second\r\n\r\n"))
	require.Equal(t, "first", string(h.MsgID))
	h.Parse([]byte("NATS/1.0\r\nNats-Msg-Id: \r\nNats-Msg-Id: second\r\n\r\n"))
	require.Zero(t, h.Has, "an empty first value is none, and counts")
}

func TestWithoutStatus(t *testing.T) {
	for _, tc := range [][2]string{
		{"NATS/1.0\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n"},
		{"NATS/1.0 503\r\nA: b\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n"},
		{"NATS/1.0 100 Idle Heartbeat\r\n\r\n", "NATS/1.0\r\n\r\n"},
		{"", ""},
		{"NATS/1.0 5", "NATS/1.0 5"},
	} {
		require.Equal(t, tc[1], string(WithoutStatus([]byte(tc[0]))))
	}
}

func TestTTL(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  time.Duration // 0 is an error
	}{
		{"1", time.Second},
		{"0", 0},
		{"02", 2 * time.Second},
		{"-1", 0},
		{"+1", 0},
		{"1s", time.Second},
		{"1.9s", time.Second},
		{"999ms", 0},
		{"1m30s", 90 * time.Second},
		{"never", Never},
		{"NEVER", Never},
		{"x", 0},
		{"1.5", 0},
		{"5 ", 0},
		{"1d", 0},
		{"-1s", 0},
		{"0s", 0},
		{"9223372036", ttlMax},
		{"9223372037", ttlMax},
		{"18446744073709551616", ttlMax},
		{"99999999999999999999999999999999999999", ttlMax},
		{"9223372036s", 9223372036 * time.Second},
		{"2562048h", 0},
		{"", 0},
	} {
		got, ok := ParseTTL([]byte(tc.value))
		require.Equal(t, tc.want != 0, ok, "%q", tc.value)
		if ok {
			require.Equal(t, tc.want, got, "%q", tc.value)
		}
	}
	require.Equal(t, "90", string(AppendSeconds(nil, 90*time.Second)))
}

func TestRollupAndIncr(t *testing.T) {
	for value, want := range map[string][2]bool{
		"sub": {false, true}, "SUB": {false, true}, "all": {true, true}, "All": {true, true}, "x": {}, "": {}, "sub ": {},
	} {
		all, ok := ParseRollup([]byte(value))
		require.Equal(t, want, [2]bool{all, ok}, "%q", value)
	}
	for value, want := range map[string]bool{
		"+1": true, "-5": true, "0": true, "-0": true, "00": true, "99999999999999999999999999999999": true,
		"": false, "+": false, "-": false, "1.0": false, "0x1": false, "1_000": false, "1e3": false, "١": false,
		"+-1": false, "1 ": false,
	} {
		require.Equal(t, want, ValidIncr([]byte(value)), "%q", value)
	}
}

// TestPublishHeadersAgainstModel compares one pass with a look-up of every name.
func TestPublishHeadersAgainstModel(t *testing.T) {
	names := []string{
		HdrMsgID, HdrExpectedStream, HdrExpectedLastSeq, HdrExpectedLastSubjSeq, HdrTTL, HdrRollup, HdrBatchID,
		HdrBatchSeq, HdrSchedule, HdrKVOperation, "X", "Nats-Msg-IdX", "nats-ttl", "",
	}
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		for range rapid.IntRange(0, 8).Draw(t, "lines") {
			sep := rapid.SampledFrom([]string{": ", ":", " : ", "", "\r\n\r\n"}).Draw(t, "sep")
			lines = append(lines, rapid.SampledFrom(names).Draw(t, "name")+sep+rapid.SampledFrom([]string{"1", "a", "", "2\r3", "9223372036854775808"}).Draw(t, "value"))
		}
		b := block(lines...)
		var h PublishHeaders
		h.Parse(b)
		for _, x := range []struct {
			bit  Has
			name string
			got  []byte
		}{
			{HasMsgID, HdrMsgID, h.MsgID}, {HasTTL, HdrTTL, h.TTL}, {HasRollup, HdrRollup, h.Rollup},
			{HasBatchID, HdrBatchID, h.BatchID}, {HasSchedule, HdrSchedule, h.Schedule},
			{HasKVOperation, HdrKVOperation, h.KVOperation}, {HasExpectedStream, HdrExpectedStream, h.ExpectedStream},
		} {
			want := firstValue(b, x.name)
			if (h.Has&x.bit != 0) != (want != "") {
				t.Fatalf("%s in %q: present %v, want %q", x.name, b, h.Has&x.bit != 0, want)
			}
			if want != "" && string(x.got) != want {
				t.Fatalf("%s in %q: %q, want %q", x.name, b, x.got, want)
			}
		}
	})
}

// firstValue splits the block into lines first.
func firstValue(block []byte, name string) string {
	for i, line := range strings.Split(string(block), "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); i > 0 && ok && n == name {
			return strings.TrimLeft(v, " ")
		}
	}
	return ""
}

func FuzzPublishHeaders(f *testing.F) {
	f.Add([]byte("NATS/1.0\r\nNats-Msg-Id: q\r\nNats-TTL: 1\r\n\r\n"))
	f.Add([]byte("NATS/1.0 503\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		was := bytes.Clone(b)
		var h PublishHeaders
		h.Parse(b)
		if got, want := string(HeaderValue(b, HdrMsgID)), firstValue(b, HdrMsgID); got != want {
			t.Fatalf("%q: %q, want %q", b, got, want)
		}
		if h.Has&HasTTL != 0 {
			if d, ok := ParseTTL(h.TTL); ok && d < time.Second && d != Never {
				t.Fatalf("TTL of %v", d)
			}
		}
		if h.Has&(HasSchedule|HasScheduleTimeZone) != 0 {
			if s, err := ParseSchedule(&h); err == nil {
				s.First(time.Unix(0, 0))
			}
		}
		WithoutStatus(b)
		wantUntouched(t, was, b)
	})
}

// wantUntouched fails when a parser wrote to what it read.
func wantUntouched(t *testing.T, was, is []byte) {
	t.Helper()
	if !bytes.Equal(was, is) {
		t.Fatal("the block was changed")
	}
}

func TestPublishHeadersAllocateNothing(t *testing.T) {
	var h PublishHeaders
	for _, b := range [][]byte{nil, block("Trace: 1", "Content-Type: text/plain"), block("Nats-Msg-Id: a", "Nats-Expected-Last-Sequence: 7", "Nats-TTL: 60")} {
		require.Zero(t, testing.AllocsPerRun(100, func() { h.Parse(b) }))
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { ParseTTL([]byte("60")) }))
}

func BenchmarkPublishHeaders(b *testing.B) {
	for name, blk := range map[string][]byte{
		"headers=0": nil,
		"headers=2": block("Trace-Parent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Content-Type: application/json"),
		"headers=3": block("Nats-Msg-Id: 0123456789abcdef", "Nats-Expected-Stream: ORDERS", "Nats-Expected-Last-Sequence: 1234567"),
	} {
		b.Run(name, func(b *testing.B) {
			var h PublishHeaders
			b.ReportAllocs()
			for b.Loop() {
				h.Parse(blk)
			}
		})
	}
}
