package api

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAckReply(t *testing.T) {
	v1 := AppendAckReply(nil, AckHead("S", "C"), 2, 10, 12, 1700000000000000001, 7)
	require.Equal(t, "$JS.ACK.S.C.2.10.12.1700000000000000001.7", string(v1))
	v2 := AppendAckReply(nil, AckHeadV2("", "abcdefgh", "S", "C"), 2, 10, 12, 1700000000000000001, 7)
	require.Equal(t, "$JS.ACK._.abcdefgh.S.C.2.10.12.1700000000000000001.7", string(v2))
	hub := AppendAckReply(nil, AckHeadV2("hub", "abcdefgh", "S", "C"), 1, 1, 1, 0, 0)
	for _, tc := range []struct {
		subject string
		domain  string
		account string
	}{
		{string(v1), "", ""},
		{string(v2), "", "abcdefgh"},
		{string(v2) + ".random", "", "abcdefgh"},
		{string(v2) + ".random.more", "", "abcdefgh"},
	} {
		var r AckReply
		require.True(t, ParseAckReply([]byte(tc.subject), &r), tc.subject)
		require.Equal(t, tc.domain, string(r.Domain))
		require.Equal(t, tc.account, string(r.Account))
		require.Equal(t, "S C 2 10 12 1700000000000000001 7",
			fmt.Sprintf("%s %s %d %d %d %d %d", r.Stream, r.Consumer, r.Delivered, r.StreamSeq, r.ConsumerSeq, r.Time, r.Pending))
	}
	var r AckReply
	require.True(t, ParseAckReply(hub, &r))
	require.Equal(t, "hub", string(r.Domain))
	for _, bad := range []string{
		"", "$JS.ACK", "$JS.ACK.", "$JS.ACK.S.C.2.10.12.17", "$JS.ACK.S.C.2.10.12.17.7.8", "$JS.FC.S.C.2.10.12.17.7",
		"$JS.ACK.S.C.x.10.12.17.7", "$JS.ACK.S.C.-2.10.12.17.7", "$JS.ACK.S.C.2.10.12.17.", "$JS.ACK..C.2.10.12.17.7",
		"$JS.ACK.S..2.10.12.17.7", "$JS.ACK.S.C.2.99999999999999999999.12.17.7", "$JS.ACK.S.C.2.9223372036854775808.12.17.7",
		"$JS.ACK......", "$JS.ACK.........",
	} {
		require.False(t, ParseAckReply([]byte(bad), &r), bad)
	}
}

func TestAckReplyRoundTrip(t *testing.T) {
	token := rapid.StringMatching(`[A-Za-z0-9_-]{1,12}`)
	rapid.Check(t, func(t *rapid.T) {
		seq := rapid.Uint64Max(math.MaxInt64)
		stream, consumer := token.Draw(t, "stream"), token.Draw(t, "consumer")
		head := AckHead(stream, consumer)
		domain := rapid.SampledFrom([]string{"", "hub"}).Draw(t, "domain")
		v2 := rapid.Bool().Draw(t, "v2")
		if v2 {
			head = AckHeadV2(domain, Hash8("A"), stream, consumer)
		}
		want := AckReply{
			Stream: []byte(stream), Consumer: []byte(consumer), Delivered: seq.Draw(t, "n"), StreamSeq: seq.Draw(t, "s"),
			ConsumerSeq: seq.Draw(t, "c"), Time: int64(seq.Draw(t, "t")), Pending: seq.Draw(t, "p"),
		}
		var got AckReply
		subj := AppendAckReply(nil, head, want.Delivered, want.StreamSeq, want.ConsumerSeq, want.Time, want.Pending)
		if !ParseAckReply(subj, &got) {
			t.Fatalf("%s does not parse", subj)
		}
		if v2 {
			require.Equal(t, Hash8("A"), string(got.Account))
			require.Equal(t, domain, string(got.Domain))
			got.Account, got.Domain = nil, nil
		}
		require.Equal(t, want, got)
	})
}

func FuzzAckReply(f *testing.F) {
	f.Add([]byte("$JS.ACK.S.C.2.10.12.1700000000000000001.7"))
	f.Add([]byte("$JS.ACK.d.a.S.C.2.10.12.1700000000000000001.7.x"))
	f.Add([]byte("$JS.FC.S.C.abcd"))
	f.Fuzz(func(t *testing.T, subj []byte) {
		var r AckReply
		if ParseAckReply(subj, &r) {
			tokens := strings.Split(string(subj), ".")
			if len(tokens) != 9 && len(tokens) < 11 {
				t.Fatalf("%q has %d tokens", subj, len(tokens))
			}
			if r.Time < 0 || len(r.Stream) == 0 || len(r.Consumer) == 0 {
				t.Fatalf("%q gives %+v", subj, r)
			}
		}
		if c, ok := ParseFlowReply(subj); ok && len(c) == 0 {
			t.Fatalf("%q has no consumer", subj)
		}
		ParseAck(subj)
	})
}

func TestFlowControlSubjects(t *testing.T) {
	require.Equal(t, "$JS.FC.S.C.wxyz", string(AppendFlowControl(nil, FlowControlHead("S", "C"), "wxyz")))
	require.Equal(t, "$JS.FC._.abcdefgh.S.C.wxyz", string(AppendFlowControl(nil, FlowControlHeadV2("", "abcdefgh", "S", "C"), "wxyz")))
	for subj, want := range map[string]string{
		"$JS.FC.S.C.wxyz": "C", "$JS.FC._.abcdefgh.S.C.wxyz": "C", "$JS.FC.S.C": "", "$JS.FC.S.C.": "", "$JS.FC.S..x": "",
		"$JS.FC.S.C.x.y": "", "$JS.ACK.S.C.x": "", "": "",
	} {
		got, ok := ParseFlowReply([]byte(subj))
		require.Equal(t, want != "", ok, subj)
		if ok {
			require.Equal(t, want, string(got))
		}
	}
	require.Len(t, FlowControlID(1<<60), 4)
	require.NotEqual(t, FlowControlID(1), FlowControlID(2))
}

func TestAckPayloads(t *testing.T) {
	for _, tc := range []struct {
		payload string
		want    Ack
	}{
		{"", Ack{Kind: AckDone}},
		{"+ACK", Ack{Kind: AckDone}},
		{"+OK", Ack{Kind: AckDone}},
		{"+ACK ", Ack{}},
		{"+ack", Ack{}},
		{" +ACK", Ack{}},
		{"ack", Ack{}},
		{"-NAK", Ack{Kind: AckNak}},
		{"-NAK ", Ack{Kind: AckNak}},
		{"-NAKx", Ack{Kind: AckNak}},
		{"-NAK x", Ack{Kind: AckNak}},
		{"-NAK 10s", Ack{Kind: AckNak, Delay: 10 * time.Second}},
		{"-NAK10s", Ack{Kind: AckNak, Delay: 10 * time.Second}},
		{"-NAK -5s", Ack{Kind: AckNak}},
		{`-NAK {"delay":10000000000}`, Ack{Kind: AckNak, Delay: 10 * time.Second}},
		{`-NAK{"delay":1}`, Ack{Kind: AckNak, Delay: 1}},
		{`-NAK {"delay":-5}`, Ack{Kind: AckNak}},
		{`-NAK {"delay":"10s"}`, Ack{Kind: AckNak}},
		{`-NAK {`, Ack{Kind: AckNak}},
		{"-nak", Ack{}},
		{"+WPI", Ack{Kind: AckProgress}},
		{"+TERM", Ack{Kind: AckTerm, Reason: []byte{}}},
		{"+TERM  r e ", Ack{Kind: AckTerm, Reason: []byte("r e")}},
		{"+TERMx", Ack{Kind: AckTerm, Reason: []byte("x")}},
		{"+NXT", Ack{Kind: AckNext, Pull: []byte{}}},
		{"+NXT 5", Ack{Kind: AckNext, Pull: []byte("5")}},
		{"+NXT5", Ack{Kind: AckNext, Pull: []byte("5")}},
		{`+NXT {"batch":2}`, Ack{Kind: AckNext, Pull: []byte(`{"batch":2}`)}},
	} {
		got := ParseAck([]byte(tc.payload))
		require.Equal(t, tc.want.Kind, got.Kind, "%q", tc.payload)
		require.Equal(t, tc.want.Delay, got.Delay, "%q", tc.payload)
		require.Equal(t, string(tc.want.Reason), string(got.Reason), "%q", tc.payload)
		require.Equal(t, string(tc.want.Pull), string(got.Pull), "%q", tc.payload)
	}
}

func TestAcksAllocateNothing(t *testing.T) {
	head := AckHead("ORDERS", "worker")
	dst := make([]byte, 0, 128)
	subj := AppendAckReply(nil, head, 1, 123456, 123456, 1700000000000000001, 1000)
	var r AckReply
	require.Zero(t, testing.AllocsPerRun(100, func() { dst = AppendAckReply(dst[:0], head, 1, 2, 3, 4, 5) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { ParseAckReply(subj, &r) }))
	for _, p := range []string{"", "+ACK", "-NAK", "+WPI", "+TERM why", "+NXT 1"} {
		payload := []byte(p)
		require.Zero(t, testing.AllocsPerRun(100, func() { ParseAck(payload) }), p)
	}
}

func BenchmarkAckReply(b *testing.B) {
	head := AckHead("ORDERS", "worker")
	subj := AppendAckReply(nil, head, 1, 123456, 123456, 1700000000000000001, 1000)
	b.Run("op=append", func(b *testing.B) {
		dst := make([]byte, 0, 128)
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendAckReply(dst[:0], head, 1, 123456, 123456, 1700000000000000001, 1000)
		}
	})
	b.Run("op=parse", func(b *testing.B) {
		var r AckReply
		b.ReportAllocs()
		for b.Loop() {
			ParseAckReply(subj, &r)
		}
	})
}
