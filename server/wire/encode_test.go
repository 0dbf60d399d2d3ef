package wire

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEncoders(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"msg", AppendMsgHeader(nil, b("foo"), b("1"), nil, 5), "MSG foo 1 5\r\n"},
		{"msg with reply", AppendMsgHeader(b("x"), b("foo"), b("1"), b("bar"), 0), "xMSG foo 1 bar 0\r\n"},
		{"hmsg", AppendHmsgHeader(nil, b("foo"), b("1"), nil, 12, 1024), "HMSG foo 1 12 1024\r\n"},
		{"hmsg with reply", AppendHmsgHeader(nil, b("foo"), b("1"), b("r"), 12, 17), "HMSG foo 1 r 12 17\r\n"},
		{"err", AppendErr(nil, TextStaleConnection), "-ERR 'Stale Connection'\r\n"},
		{"no responders", AppendNoResponders(nil, b("_INBOX.1"), b("7"), b("nobody")),
			"HMSG _INBOX.1 7 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n"},
		{"pub", AppendPub(nil, b("foo"), nil, b("hello")), "PUB foo 5\r\nhello\r\n"},
		{"pub with reply", AppendPub(nil, b("foo"), b("r"), nil), "PUB foo r 0\r\n\r\n"},
		{"hpub", AppendHpub(nil, b("foo"), b("r"), b("NATS/1.0\r\n\r\n"), b("hi")), "HPUB foo r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"},
		{"sub", AppendSub(nil, b("foo.*"), nil, b("1")), "SUB foo.* 1\r\n"},
		{"sub with queue", AppendSub(nil, b("foo"), b("q"), b("1")), "SUB foo q 1\r\n"},
		{"unsub", AppendUnsub(nil, b("1"), 0), "UNSUB 1\r\n"},
		{"unsub max", AppendUnsub(nil, b("1"), 5), "UNSUB 1 5\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, string(tc.got)) })
	}
}

func TestAppendSize(t *testing.T) {
	for _, n := range []int{0, 9, 10, 99, 100, 999, 1000, 9999, 10000, 99999, 100000, 1 << 20, 99999999, 100000000, math.MaxInt, -1} {
		require.Equal(t, strconv.Itoa(n), string(AppendSize(nil, n)))
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 200_000_000).Draw(t, "n")
		require.Equal(t, strconv.Itoa(n), string(AppendSize(nil, n)))
	})
}

// What the server writes, a client reads back, however it is cut.
func TestMessagesAreReadBack(t *testing.T) {
	token := rapid.StringMatching(`[!-~]{1,8}`)
	rapid.Check(t, func(t *rapid.T) {
		var in []byte
		var want []string
		for range rapid.IntRange(1, 6).Draw(t, "operations") {
			op := Op{Subject: []byte(token.Draw(t, "subject")), SID: []byte(token.Draw(t, "sid"))}
			if rapid.Bool().Draw(t, "reply?") {
				op.Reply = []byte(token.Draw(t, "reply"))
			}
			op.Payload = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "body")
			if rapid.Bool().Draw(t, "header?") {
				op.Verb, op.Header = VerbHmsg, rapid.IntRange(0, len(op.Payload)).Draw(t, "header")
				in = AppendHmsgHeader(in, op.Subject, op.SID, op.Reply, op.Header, len(op.Payload))
			} else {
				op.Verb = VerbMsg
				in = AppendMsgHeader(in, op.Subject, op.SID, op.Reply, len(op.Payload))
			}
			in = append(append(in, op.Payload...), CRLF...)
			in = append(in, LinePing+LinePong+LineOK...)
			want = append(want, show(&op), "PING", "PONG", "+OK")
		}
		got, err := read(new(ClientParser), chunked(t, string(in))...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestTexts(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, tc := range []struct{ got, want string }{
		{TextPublishViolation(b("foo.bar")), `Permissions Violation for Publish to "foo.bar"`},
		{TextPublishViolation(b("a\"\x00\xff")), `Permissions Violation for Publish to "a\"\x00\xff"`},
		{TextReplyViolation(b("_R_.x")), `Permissions Violation for Publish with Reply of "_R_.x"`},
		{TextSubscribeViolation(b("foo"), nil), `Permissions Violation for Subscription to "foo"`},
		{TextSubscribeViolation(b("foo"), b("q")), `Permissions Violation for Subscription to "foo" using queue "q"`},
		{TextSubscriptionRemoved(b("foo"), nil, b("7")), `Permissions Violation for Subscription to "foo" (sid "7")`},
		{TextSubscriptionRemoved(b("foo"), b("q"), b("7")), `Permissions Violation for Subscription to "foo" using queue "q" (sid "7")`},
		{TextTooManyTokens(b("a.b.c")), `Permissions Violation for Subscription to "a.b.c", too many tokens`},
		{ErrText(b("'Stale Connection'")), "Stale Connection"},
		{ErrText(b("bare")), "bare"},
		{ErrText(b("'")), "'"},
	} {
		require.Equal(t, tc.want, tc.got)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 512)
	subject, sid, reply := []byte("orders.new.eu"), []byte("17"), []byte("_INBOX.abc")
	for name, encode := range map[string]func(){ //lockstep:ordered independent cases
		"msg":           func() { AppendMsgHeader(dst, subject, sid, reply, 123456) },
		"hmsg":          func() { AppendHmsgHeader(dst, subject, sid, reply, 12, 1024) },
		"err":           func() { AppendErr(dst, TextInvalidSubject) },
		"no responders": func() { AppendNoResponders(dst, reply, sid, subject) },
		"pub":           func() { AppendPub(dst, subject, reply, sid) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, encode), name)
	}
}

func BenchmarkAppendMsgHeader(b *testing.B) {
	dst := make([]byte, 0, 512)
	subject, sid := []byte("orders.new.europe"), []byte("17")
	for _, size := range []int{16, 128, 16384} {
		b.Run("size="+strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendMsgHeader(dst[:0], subject, sid, nil, size)
			}
		})
	}
}
