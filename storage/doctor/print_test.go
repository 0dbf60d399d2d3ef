package doctor

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReportFitsTheTerminal(t *testing.T) {
	r := &Report{
		Parts: []Part{
			{"log", Damaged, strings.Repeat("3 segments, 120 batches, 4 groups; ", 5)},
			{"ACME > " + strings.Repeat("LONG", 60), Encrypted, "cannot be examined without the key"},
			{"evil \x1b[31m\u009b name", Sound, "1 message\a"},
		},
		Damage: []Finding{{"wal/0000000000000001.wal at 4096, 512 bytes", "checksum mismatch", []string{"ACME > ORDERS", strings.Repeat("x", 300)}}},
	}
	for range 120 {
		r.Notes = append(r.Notes, Finding{Where: "streams/9-1", Text: "no stream's directory"})
	}
	for _, width := range []int{0, 40, 80, 133} {
		var b bytes.Buffer
		r.Print(&b, width)
		for line := range strings.Lines(b.String()) {
			require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), max(width, widthMin), "%q", line)
		}
		require.NotContains(t, b.String(), "\x1b")
		require.NotContains(t, b.String(), "\u009b")
		require.Contains(t, b.String(), "and 20 more")
	}
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		parts []State
		want  string
		state State
	}{
		{nil, "SOUND.", Sound},
		{[]State{Sound, Sound}, "SOUND.", Sound},
		{[]State{Sound, Unread}, "SOUND as far as it could be read: 1 of 2 parts were not.", Unread},
		{[]State{Damaged, Unread}, "DAMAGED: 1 of 2 parts.", Damaged},
		{[]State{Sound, Encrypted}, "SOUND as far as it could be examined. Encrypted, and not examined without the key: 1 of 2 parts.", Encrypted},
		{[]State{Unread, Encrypted}, "SOUND as far as it could be read: 1 of 2 parts were not. Encrypted, and not", Unread},
		{[]State{Damaged, Encrypted, Encrypted}, "DAMAGED: 1 of 3 parts.", Damaged},
	} {
		r := &Report{}
		for _, s := range tc.parts {
			r.Parts = append(r.Parts, Part{"p", s, ""})
		}
		require.True(t, strings.HasPrefix(r.verdict(), tc.want), r.verdict())
		require.Equal(t, tc.state, r.State())
	}
}

func TestRangesAndSizes(t *testing.T) {
	require.Equal(t, "1-3, 5, 7-8", ranges([]uint64{1, 2, 3, 5, 7, 8}))
	var odd []uint64
	for i := range uint64(50) {
		odd = append(odd, 2*i)
	}
	require.True(t, strings.HasSuffix(ranges(odd), "38, and 30 more"), ranges(odd))
	require.Equal(t, "17 B", size(17))
	require.Equal(t, "1.5 KiB", size(1536))
	require.Equal(t, "16.0 EiB", size(^uint64(0)))
	require.Equal(t, "1 batch", count(1, "batch"))
	require.Equal(t, "2 batches", count(2, "batch"))
	require.Equal(t, "0 entries", count(0, "entry"))
}
