package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// showRoute writes an operation with every field that is set.
func showRoute(op *RouteOp) string {
	var b strings.Builder
	b.WriteString(op.Verb.String())
	for _, f := range []struct {
		name string
		v    []byte
	}{{"origin", op.Origin}, {"acc", op.Account}, {"subj", op.Subject}, {"queue", op.Queue}, {"reply", op.Reply}, {"arg", op.Arg}} {
		if f.v != nil {
			fmt.Fprintf(&b, " %s=%q", f.name, f.v)
		}
	}
	if op.Weight != 0 {
		fmt.Fprintf(&b, " weight=%d", op.Weight)
	}
	for _, q := range op.Queues {
		fmt.Fprintf(&b, " to=%q", q)
	}
	if op.Header != 0 {
		fmt.Fprintf(&b, " hdr=%d", op.Header)
	}
	if op.Payload != nil {
		fmt.Fprintf(&b, " payload=%q", op.Payload)
	}
	return b.String()
}

// readRoute is read for a route.
func readRoute(p *RouteParser, chunks ...[]byte) ([]string, error) {
	return readEach(p.Next, showRoute, chunks)
}

// routeVector is a vector; pinned says on what kind of route it is read.
type routeVector struct {
	pinned bool
	vector
}

func onPool(name, in string, err error, want ...string) routeVector {
	return routeVector{false, vector{name, in, want, err}}
}

func onPinned(name, in string, err error, want ...string) routeVector {
	return routeVector{true, vector{name, in, want, err}}
}

var routeVectors = []routeVector{
	onPool("sub", "RS+ APP foo\r\n", nil, `RS+ acc="APP" subj="foo"`),
	onPool("sub of a queue", "RS+ APP bar q1 2\r\n", nil, `RS+ acc="APP" subj="bar" queue="q1" weight=2`),
	onPool("sub any case", "rs+ APP foo\n", nil, `RS+ acc="APP" subj="foo"`),
	onPool("sub weight of nothing counts one", "RS+ APP bar q1 0\r\n", nil, `RS+ acc="APP" subj="bar" queue="q1" weight=1`),
	onPool("sub weight is no number", "RS+ APP bar q1 -1\r\n", nil, `RS+ acc="APP" subj="bar" queue="q1" weight=1`),
	onPool("sub without weight", "RS+ APP bar q1\r\n", ErrMalformed),
	onPool("sub without subject", "RS+ APP\r\n", ErrMalformed),
	onPool("sub five arguments", "RS+ APP bar q1 2 3\r\n", ErrMalformed),
	onPool("sub without arguments", "RS+\r\n", ErrProtocol),
	onPool("sub longest", "RS+ A "+strings.Repeat("s", vectorLine-2)+"\r\n", nil, `RS+ acc="A" subj="`+strings.Repeat("s", vectorLine-2)+`"`),
	onPool("sub one over", "RS+ A "+strings.Repeat("s", vectorLine-1)+"\r\n", ErrControlLine),
	onPinned("sub", "RS+ $SYS.SERVER.*.STATSZ\r\n", nil, `RS+ subj="$SYS.SERVER.*.STATSZ"`),
	onPinned("sub of a queue", "RS+ bar q1 2\r\n", nil, `RS+ subj="bar" queue="q1" weight=2`),
	onPinned("sub without weight", "RS+ bar q1\r\n", ErrMalformed),
	onPool("unsub", "RS- APP foo\r\n", nil, `RS- acc="APP" subj="foo"`),
	onPool("unsub of a queue", "RS- APP bar q1\r\n", nil, `RS- acc="APP" subj="bar" queue="q1"`),
	onPool("unsub four arguments", "RS- APP bar q1 2\r\n", ErrMalformed),
	onPinned("unsub", "RS- foo\r\nRS- bar q1\r\n", nil, `RS- subj="foo"`, `RS- subj="bar" queue="q1"`),
	onPool("leaf sub", "LS+ LC APP foo\r\n", nil, `LS+ origin="LC" acc="APP" subj="foo"`),
	onPool("leaf sub of a queue", "LS+ LC APP bar q1 2\r\n", nil, `LS+ origin="LC" acc="APP" subj="bar" queue="q1" weight=2`),
	onPinned("leaf sub", "LS+ LC foo\r\n", nil, `LS+ origin="LC" subj="foo"`),
	onPool("leaf unsub", "LS- LC APP foo\r\n", nil, `LS- origin="LC" acc="APP" subj="foo"`),
	onPool("leaf unsub of a queue", "LS- LC APP foo q1\r\n", nil, `LS- origin="LC" acc="APP" subj="foo" queue="q1"`),

	onPool("message", "RMSG APP foo 5\r\nhello\r\n", nil, `RMSG acc="APP" subj="foo" payload="hello"`),
	onPool("message with reply", "RMSG APP foo rep 5\r\nhello\r\n", nil, `RMSG acc="APP" subj="foo" reply="rep" payload="hello"`),
	onPool("message empty", "RMSG APP foo 0\r\n\r\n", nil, `RMSG acc="APP" subj="foo" payload=""`),
	onPool("message to queues", "RMSG APP bar | q1 q2 3\r\nabc\r\n", nil, `RMSG acc="APP" subj="bar" to="q1" to="q2" payload="abc"`),
	onPool("message to queues with reply", "RMSG APP bar + rp q1 q2 3\r\nabc\r\n", nil,
		`RMSG acc="APP" subj="bar" reply="rp" to="q1" to="q2" payload="abc"`),
	onPool("message to no queue", "RMSG APP bar + rp 3\r\nabc\r\n", nil, `RMSG acc="APP" subj="bar" reply="rp" payload="abc"`),
	onPool("message many blanks", "RMSG  APP\t bar  |  q1 3 \r\nabc\r\n", nil, `RMSG acc="APP" subj="bar" to="q1" payload="abc"`),
	onPool("message without a sign", "RMSG APP bar q1 q2 3\r\nabc\r\n", ErrMalformed),
	onPool("message with a long sign", "RMSG APP bar ++ q2 3\r\nabc\r\n", ErrMalformed),
	onPool("message without size", "RMSG APP bar\r\n", ErrMalformed),
	onPool("message bad size", "RMSG APP bar x\r\n", ErrMalformed),
	onPool("message reply plus", "RMSG APP bar + 3\r\nabc\r\n", nil, `RMSG acc="APP" subj="bar" reply="+" payload="abc"`),
	onPool("message bad end", "RMSG APP bar 3\r\nabcd\r\n", ErrProtocol),
	onPinned("message", "RMSG $SYS.SERVER.N.STATSZ 4\r\n{}{}\r\n", nil, `RMSG subj="$SYS.SERVER.N.STATSZ" payload="{}{}"`),
	onPinned("message to queues", "RMSG bar | q1 3\r\nabc\r\n", nil, `RMSG subj="bar" to="q1" payload="abc"`),
	onPinned("message of a size only", "RMSG 3\r\n", ErrMalformed),
	onPool("headers", "HMSG APP foo rep 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", nil,
		`HMSG acc="APP" subj="foo" reply="rep" hdr=12 payload="NATS/1.0\r\n\r\nhello"`),
	onPool("headers to queues", "HMSG APP bar + rp q2 12 15\r\nNATS/1.0\r\n\r\nabc\r\n", nil,
		`HMSG acc="APP" subj="bar" reply="rp" to="q2" hdr=12 payload="NATS/1.0\r\n\r\nabc"`),
	onPool("headers larger than total", "HMSG APP foo 6 5\r\nhello\r\n", ErrMalformed),
	onPool("headers one size", "HMSG APP foo 5\r\nhello\r\n", ErrMalformed),
	onPinned("headers", "HMSG foo 12 12\r\nNATS/1.0\r\n\r\n\r\n", nil, `HMSG subj="foo" hdr=12 payload="NATS/1.0\r\n\r\n"`),
	onPool("leaf message", "LMSG LC APP hub.x rep 0 3\r\nabc\r\n", nil,
		`LMSG origin="LC" acc="APP" subj="hub.x" reply="rep" payload="abc"`),
	onPool("leaf message to queues", "LMSG LC APP hub.x | q1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n", nil,
		`LMSG origin="LC" acc="APP" subj="hub.x" to="q1" hdr=12 payload="NATS/1.0\r\n\r\nabc"`),
	onPinned("leaf message", "LMSG LC hub.x 0 3\r\nabc\r\n", nil, `LMSG origin="LC" subj="hub.x" payload="abc"`),

	onPool("control", "PING\r\nPONG\r\n+OK\r\n-ERR 'Stale Connection'\r\n", nil, `PING`, `PONG`, `+OK`, `-ERR arg="'Stale Connection'"`),
	onPool("handshake", "INFO {\"a\":1} \r\nCONNECT {}\r\nINFO {}\r\n", nil, `INFO arg="{\"a\":1} "`, `CONNECT arg="{}"`, `INFO arg="{}"`),
	onPool("nothing is left of what came before", "RMSG A b + c q 2\r\nhi\r\nPING\r\nRS+ A b q 3\r\nRS+ A c\r\nHMSG A b | q 0 0\r\n\r\nINFO {}\r\n", nil,
		`RMSG acc="A" subj="b" reply="c" to="q" payload="hi"`, `PING`, `RS+ acc="A" subj="b" queue="q" weight=3`,
		`RS+ acc="A" subj="c"`, `HMSG acc="A" subj="b" to="q" payload=""`, `INFO arg="{}"`),
	onPool("client verbs", "SUB foo 1\r\n", ErrProtocol),
	onPool("publish", "PUB foo 1\r\nx\r\n", ErrProtocol),
}

func vectorRouteParser(pinned bool) *RouteParser {
	return &RouteParser{Pinned: pinned, OriginInUnsub: true, MaxControlLine: vectorLine}
}

func TestRouteVectors(t *testing.T) {
	for _, v := range routeVectors {
		t.Run(fmt.Sprintf("%s/pinned=%v", v.name, v.pinned), func(t *testing.T) {
			got, err := readRoute(vectorRouteParser(v.pinned), []byte(v.in))
			require.Equal(t, v.want, got)
			require.Equal(t, v.err, kindOf(err))

			got, err = readRoute(vectorRouteParser(v.pinned), bytewise(v.in)...)
			require.Equal(t, v.want, got, "byte by byte")
			require.Equal(t, v.err, kindOf(err), "byte by byte")

			for i := range len(v.in) {
				got, err = readRoute(vectorRouteParser(v.pinned), []byte(v.in[:i]), nil, []byte(v.in[i:]))
				require.Equal(t, v.want, got, "split at %d", i)
				require.Equal(t, v.err, kindOf(err), "split at %d", i)
			}
		})
	}
}

func TestLeafUnsubOfAnOlderPeer(t *testing.T) {
	p := &RouteParser{}
	got, err := readRoute(p, []byte("LS- APP foo\r\nLS- APP foo q1\r\nLS+ LC APP foo\r\n"))
	require.NoError(t, err)
	require.Equal(t, []string{
		`LS- acc="APP" subj="foo"`, `LS- acc="APP" subj="foo" queue="q1"`, `LS+ origin="LC" acc="APP" subj="foo"`,
	}, got)
	_, err = readRoute(p, []byte("LS- LC APP foo q1\r\n"))
	require.ErrorIs(t, err, ErrMalformed)
	require.ErrorContains(t, err, "wants account subject [queue]")
}

func TestRouteControlLineIsLong(t *testing.T) {
	p := new(RouteParser)
	arg := strings.Repeat("x", DefaultRouteControlLine)
	got, err := readRoute(p, []byte("INFO "+arg+"\r\n"))
	require.NoError(t, err)
	require.Len(t, got, 1)
	_, err = readRoute(p, []byte("INFO "+arg+"x\r\n"))
	require.ErrorIs(t, err, ErrControlLine)
}

func TestListOfQueuesIsNotKeptWhenLong(t *testing.T) {
	p, op := new(RouteParser), RouteOp{}
	in := "RMSG A b |" + strings.Repeat(" q", 10_000) + " 0\r\n\r\n"
	_, ok, err := p.Next([]byte(in), &op)
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, op.Queues, 10_000)
	_, ok, err = p.Next([]byte(LinePing), &op)
	require.NoError(t, err)
	require.True(t, ok)
	require.LessOrEqual(t, cap(op.Queues), queuesKeep)
}

// drawRouteOp draws an operation and writes it.
func drawRouteOp(t *rapid.T, dst []byte, pinned bool) (in []byte, op RouteOp) {
	token := rapid.StringMatching(`[!-~]{2,8}`)
	maybe := func(label string) string {
		if rapid.Bool().Draw(t, label+"?") {
			return token.Draw(t, label)
		}
		return ""
	}
	set := func(s string) []byte {
		if s == "" {
			return nil
		}
		return []byte(s)
	}
	account := ""
	if !pinned {
		account = token.Draw(t, "account")
	}
	subject, queue, origin := token.Draw(t, "subject"), maybe("queue"), token.Draw(t, "origin")
	op = RouteOp{Account: set(account), Subject: set(subject)}
	verb := rapid.SampledFrom([]Verb{VerbRSub, VerbRUnsub, VerbLSub, VerbLUnsub, VerbRmsg, VerbHmsg, VerbLmsg}).Draw(t, "verb")
	op.Verb = verb
	switch verb {
	case VerbRSub, VerbRUnsub, VerbLSub, VerbLUnsub:
		op.Queue = set(queue)
		if queue != "" && (verb == VerbRSub || verb == VerbLSub) {
			op.Weight = rapid.IntRange(1, 1000).Draw(t, "weight")
		}
		switch verb {
		case VerbRSub:
			return AppendRSub(dst, account, subject, queue, op.Weight), op
		case VerbRUnsub:
			return AppendRUnsub(dst, account, subject, queue), op
		case VerbLSub:
			op.Origin = set(origin)
			return AppendLSub(dst, origin, account, subject, queue, op.Weight), op
		}
		op.Origin = set(origin)
		return AppendLUnsub(dst, origin, account, subject, queue), op
	}
	op.Payload = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "body")
	op.Reply = set(maybe("reply"))
	for range rapid.IntRange(0, 4).Draw(t, "queues") {
		op.Queues = append(op.Queues, set(token.Draw(t, "to")))
	}
	if verb != VerbRmsg {
		op.Header = rapid.IntRange(0, len(op.Payload)).Draw(t, "header")
	}
	if verb == VerbLmsg {
		op.Origin = set(origin)
		dst = AppendLmsgHead(dst, origin, account, op.Subject, op.Reply, op.Queues, op.Header, len(op.Payload))
	} else {
		if op.Header == 0 {
			op.Verb = VerbRmsg
		}
		dst = AppendRouteMsgHead(dst, account, op.Subject, op.Reply, op.Queues, op.Header, len(op.Payload))
	}
	return append(append(dst, op.Payload...), CRLF...), op
}

func TestEncodedRouteOperationsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pinned := rapid.Bool().Draw(t, "pinned")
		var in []byte
		var want []string
		for range rapid.IntRange(1, 8).Draw(t, "operations") {
			var op RouteOp
			in, op = drawRouteOp(t, in, pinned)
			want = append(want, showRoute(&op))
		}
		got, err := readRoute(&RouteParser{Pinned: pinned, OriginInUnsub: true}, chunked(t, string(in))...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzRouteParser(f *testing.F) {
	for _, v := range routeVectors {
		f.Add([]byte(v.in), uint16(3), v.pinned)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16, pinned bool) {
		want, wantErr := readRoute(vectorRouteParser(pinned), in)
		n := int(cut) % (len(in) + 1)
		for _, chunks := range [][][]byte{bytewise(string(in)), {in[:n], in[n:]}} {
			got, err := readRoute(vectorRouteParser(pinned), chunks...)
			require.Equal(t, want, got)
			require.Equal(t, kindOf(wantErr), kindOf(err))
		}
	})
}

func TestRouteInfoKeys(t *testing.T) {
	info := RouteInfo{
		ServerID: "N", ServerName: "B", Version: "2.15.0", Proto: 2, GoVersion: "go", Host: "h", Port: 6222, Headers: true,
		MaxPayload: 1 << 20, Nonce: "x", Cluster: "C", ConnectURLs: []string{"h:4222"}, Compression: "accept",
		LeafOrigin: true, LeafOriginInUnsub: true, PoolSize: 3, Export: &SubjectLists{Deny: []string{">"}},
	}
	const want = `INFO {"server_id":"N","server_name":"B","version":"2.15.0","proto":2,"go":"go","host":"h","port":6222,` +
		`"headers":true,"max_payload":1048576,"nonce":"x","cluster":"C","connect_urls":["h:4222"],"compression":"accept",` +
		`"export":{"deny":["\u003e"]},"lnoc":true,"lnocu":true,"route_pool_size":3}`
	require.Equal(t, want+" \r\n", string(AppendRouteInfo(nil, &info, true)))
	require.Equal(t, want+"\r\n", string(AppendRouteInfo(nil, &info, false)))

	back, err := ParseRouteInfo([]byte(want[len("INFO "):] + " "))
	require.NoError(t, err)
	require.Equal(t, info, back)
	_, err = ParseRouteInfo([]byte(`{"port":"x"}`))
	require.ErrorContains(t, err, "INFO of a route")
}

func TestRouteConnect(t *testing.T) {
	c := RouteConnect{Echo: true, User: "u", Pass: "p", Headers: true, Name: "N", Cluster: "C", LeafOrigin: true}
	line := AppendRouteConnect(nil, &c)
	require.Equal(t, `CONNECT {"echo":true,"verbose":false,"pedantic":false,"user":"u","pass":"p","tls_required":false,`+
		`"headers":true,"name":"N","cluster":"C","lnoc":true}`+"\r\n", string(line))
	back, err := ParseRouteConnect(bytes.TrimPrefix(line, []byte("CONNECT ")))
	require.NoError(t, err)
	require.Equal(t, c, back)

	_, err = ParseRouteConnect([]byte(`{"pass":17,"name":"secret"}`))
	require.ErrorContains(t, err, `key "pass" wants a value of type string`)
	_, err = ParseRouteConnect([]byte(`[]`))
	require.ErrorContains(t, err, "wants a JSON object")
}

func TestRouteParsingAllocatesNothing(t *testing.T) {
	for _, in := range []string{
		"RMSG APP orders.new.eu _INBOX.abc 5\r\nhello\r\n",
		"RMSG APP orders.new.eu + _INBOX.abc q1 q2 5\r\nhello\r\n",
		"HMSG APP foo rep 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
		"LMSG LC APP hub.x | q1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n",
		"RS+ APP foo.bar q1 12\r\nRS- APP foo.bar q1\r\nPING\r\nPONG\r\n",
	} {
		p, op, data := new(RouteParser), RouteOp{}, []byte(in)
		run := func() {
			for rest, ok := data, true; ok; {
				var err error
				if rest, ok, err = p.Next(rest, &op); err != nil {
					t.Fatal(err)
				}
			}
		}
		require.Zero(t, testing.AllocsPerRun(100, run), in)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			for i := range data {
				if _, _, err := p.Next(data[i:i+1], &op); err != nil {
					t.Fatal(err)
				}
			}
		}), "byte by byte: %s", in)
	}
}

func TestRouteEncodingAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 512)
	subject, reply, queues := []byte("orders.new"), []byte("_INBOX.1"), []string{"q1", "q2"}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		dst = AppendRSub(dst[:0], "APP", "orders.new", "q", 12)
		dst = AppendRUnsub(dst, "APP", "orders.new", "q")
		dst = AppendRouteMsgHead(dst, "APP", subject, reply, queues, 12, 4000)
		dst = AppendLmsgHead(dst, "LC", "APP", subject, nil, queues, 0, 400)
	}))
}

func BenchmarkParseRoute(b *testing.B) {
	for _, bm := range []struct{ name, in string }{
		{"verb=RMSG/queues=0", "RMSG APP orders.new.eu 128\r\n" + strings.Repeat("x", 128) + "\r\n"},
		{"verb=RMSG/queues=2", "RMSG APP orders.new.eu | q1 q2 128\r\n" + strings.Repeat("x", 128) + "\r\n"},
		{"verb=RS+", "RS+ APP orders.new.eu\r\n"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			data := []byte(strings.Repeat(bm.in, 100))
			p, op := new(RouteParser), RouteOp{}
			b.ReportAllocs()
			for i := 0; i < b.N; i += 100 {
				for rest, ok := data, true; ok; {
					var err error
					if rest, ok, err = p.Next(rest, &op); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
