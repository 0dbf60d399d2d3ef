package wire

import (
	"fmt"
	"strings"
)

// vector is a named piece of a byte stream and what a parser makes of it: the
// operations in the notation of show, and the kind of the error that ends it.
type vector struct {
	name string
	in   string
	want []string
	err  error
}

// show writes an operation with every field that is set.
func show(op *Op) string {
	var b strings.Builder
	b.WriteString(op.Verb.String())
	for _, f := range []struct {
		name string
		v    []byte
	}{{"subj", op.Subject}, {"reply", op.Reply}, {"queue", op.Queue}, {"sid", op.SID}, {"arg", op.Arg}} {
		if f.v != nil {
			fmt.Fprintf(&b, " %s=%q", f.name, f.v)
		}
	}
	if op.Max != 0 {
		fmt.Fprintf(&b, " max=%d", op.Max)
	}
	if op.Header != 0 {
		fmt.Fprintf(&b, " hdr=%d", op.Header)
	}
	if op.Payload != nil {
		fmt.Fprintf(&b, " payload=%q", op.Payload)
	}
	return b.String()
}

const (
	vectorLine    = 64 // limits of the vectors
	vectorPayload = 1000
)

// serverVectors are read with headers on.
var serverVectors = []vector{
	{"pub", "PUB foo 5\r\nhello\r\n", []string{`PUB subj="foo" payload="hello"`}, nil},
	{"pub with reply", "PUB foo bar 5\r\nhello\r\n", []string{`PUB subj="foo" reply="bar" payload="hello"`}, nil},
	{"pub empty payload", "PUB foo 0\r\n\r\n", []string{`PUB subj="foo" payload=""`}, nil},
	{"pub shortest", "PUB a 0\n\r\n", []string{`PUB subj="a" payload=""`}, nil},
	{"pub bare LF", "PUB foo 5\nhello\r\n", []string{`PUB subj="foo" payload="hello"`}, nil},
	{"pub any case", "pUb foo 5\r\nhello\r\n", []string{`PUB subj="foo" payload="hello"`}, nil},
	{"pub many blanks", "PUB \t foo\t \tbar   5 \t\r\nhello\r\n", []string{`PUB subj="foo" reply="bar" payload="hello"`}, nil},
	{"pub tab after the verb", "PUB\tfoo\t5\r\nhello\r\n", []string{`PUB subj="foo" payload="hello"`}, nil},
	{"pub payload has lines", "PUB foo 12\r\nPUB x 1\r\na\r\n\r\n", []string{`PUB subj="foo" payload="PUB x 1\r\na\r\n"`}, nil},
	{"pub nine digits", "PUB foo 000000005\r\nhello\r\n", []string{`PUB subj="foo" payload="hello"`}, nil},
	{"pub ten digits", "PUB foo 0000000005\r\nhello\r\n", nil, ErrMalformed},
	{"pub subject not UTF-8", "PUB \xff\x00 1\r\n\x80\r\n", []string{`PUB subj="\xff\x00" payload="\x80"`}, nil},
	{"pub LF is the first byte of the arguments", "PUB \nfoo 5\r\nhello\r\n", []string{`PUB subj="\nfoo" payload="hello"`}, nil},
	{"pub CR is the first byte of the arguments", "PUB \rfoo 5\r\nhello\r\n", []string{`PUB subj="\rfoo" payload="hello"`}, nil},
	{"pub CR inside", "PUB foo\r 5\r\nhello\r\n", []string{`PUB subj="foo\r" payload="hello"`}, nil},
	{"pub CR inside costs the last byte", "PUB foo\r 5x\nhello\r\n", []string{`PUB subj="foo\r" payload="hello"`}, nil},
	{"pub CR inside costs the size", "PUB foo\r 5\nhello\r\n", nil, ErrMalformed},
	{"pub two CR", "PUB foo 5\r\r\nhello\r\n", nil, ErrMalformed},
	{"pub without blank", "PUBfoo 5\r\nhello\r\n", nil, ErrProtocol},
	{"pub without arguments", "PUB\r\n", nil, ErrProtocol},
	{"pub with a blank only", "PUB \r\n", nil, ErrMalformed},
	{"pub one argument", "PUB 5\r\n", nil, ErrMalformed},
	{"pub four arguments", "PUB a b c 5\r\nhello\r\n", nil, ErrMalformed},
	{"pub ten arguments", "PUB a b c d e f g h i 5\r\nhello\r\n", nil, ErrMalformed},
	{"pub negative size", "PUB foo -1\r\n", nil, ErrMalformed},
	{"pub plus size", "PUB foo +1\r\n", nil, ErrMalformed},
	{"pub size of letters", "PUB foo 1x\r\n", nil, ErrMalformed},
	{"pub payload too short", "PUB foo 5\r\nhell\r\n", nil, ErrProtocol},
	{"pub payload too long", "PUB foo 5\r\nhello!\r\n", nil, ErrProtocol},
	{"pub payload ended by LF", "PUB foo 5\r\nhello\n", nil, ErrProtocol},
	{"pub payload ended by CR CR", "PUB foo 5\r\nhello\r\r", nil, ErrProtocol},
	{"pub largest payload", "PUB foo 1000\r\n" + strings.Repeat("x", 1000) + "\r\n",
		[]string{`PUB subj="foo" payload="` + strings.Repeat("x", 1000) + `"`}, nil},
	{"pub one byte over", "PUB foo 1001\r\n", nil, ErrMaxPayload},
	{"pub far over", "PUB foo 999999999\r\n", nil, ErrMaxPayload},
	{"pub longest arguments", "PUB " + strings.Repeat("s", 62) + " 0\r\n\r\n",
		[]string{`PUB subj="` + strings.Repeat("s", 62) + `" payload=""`}, nil},
	{"pub longest arguments, bare LF", "PUB " + strings.Repeat("s", 62) + " 0\n\r\n",
		[]string{`PUB subj="` + strings.Repeat("s", 62) + `" payload=""`}, nil},
	{"pub arguments one byte over", "PUB " + strings.Repeat("s", 63) + " 0\r\n\r\n", nil, ErrControlLine},
	{"pub blanks before arguments do not count", "PUB" + strings.Repeat(" ", 500) + strings.Repeat("s", 62) + " 0\r\n\r\n",
		[]string{`PUB subj="` + strings.Repeat("s", 62) + `" payload=""`}, nil},
	{"pub blanks inside arguments count", "PUB foo" + strings.Repeat(" ", 61) + "0\r\n\r\n", nil, ErrControlLine},
	{"pub line without end", "PUB " + strings.Repeat("s", 300), nil, ErrControlLine},

	{"hpub", "HPUB foo 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", []string{`HPUB subj="foo" hdr=12 payload="NATS/1.0\r\n\r\nhello"`}, nil},
	{"hpub with reply", "hpub foo bar 12 12\r\nNATS/1.0\r\n\r\n\r\n", []string{`HPUB subj="foo" reply="bar" hdr=12 payload="NATS/1.0\r\n\r\n"`}, nil},
	{"hpub no header bytes", "HPUB foo 0 5\r\nhello\r\n", []string{`HPUB subj="foo" payload="hello"`}, nil},
	{"hpub block is not validated", "HPUB foo 5 5\r\nhello\r\n", []string{`HPUB subj="foo" hdr=5 payload="hello"`}, nil},
	{"hpub header larger than total", "HPUB foo 6 5\r\nhello\r\n", nil, ErrMalformed},
	{"hpub header larger and total over", "HPUB foo 7000 5000\r\nhello\r\n", nil, ErrMalformed},
	{"hpub total over", "HPUB foo 1 1001\r\n", nil, ErrMaxPayload},
	{"hpub one size", "HPUB foo 5\r\nhello\r\n", nil, ErrMalformed},
	{"hpub five arguments", "HPUB foo a b 5 5\r\nhello\r\n", nil, ErrMalformed},
	{"hpub bad header size", "HPUB foo x 5\r\nhello\r\n", nil, ErrMalformed},
	{"hmsg", "HMSG foo 1 0 0\r\n\r\n", nil, ErrProtocol},

	{"sub", "SUB foo 1\r\n", []string{`SUB subj="foo" sid="1"`}, nil},
	{"sub queue", "sub\tfoo.*  workers\tabc \r\n", []string{`SUB subj="foo.*" queue="workers" sid="abc"`}, nil},
	{"sub CR inside splits", "SUB foo\r1\r\n", []string{`SUB subj="foo" sid="1"`}, nil},
	{"sub two CR", "SUB foo 1\r\r\n", []string{`SUB subj="foo" sid="1"`}, nil},
	{"sub LF first splits", "SUB \nfoo 1\r\n", []string{`SUB subj="foo" sid="1"`}, nil},
	{"sub one argument", "SUB foo\r\n", nil, ErrMalformed},
	{"sub four arguments", "SUB foo q 1 2\r\n", nil, ErrMalformed},
	{"sub longest", "SUB " + strings.Repeat("s", 62) + " 1\r\n", []string{`SUB subj="` + strings.Repeat("s", 62) + `" sid="1"`}, nil},
	{"sub one over", "SUB " + strings.Repeat("s", 63) + " 1\r\n", nil, ErrControlLine},

	{"unsub", "UNSUB 1\r\n", []string{`UNSUB sid="1"`}, nil},
	{"unsub max", "UNSUB 1 5\r\n", []string{`UNSUB sid="1" max=5`}, nil},
	{"unsub max is no number", "UNSUB 1 abc\r\n", []string{`UNSUB sid="1"`}, nil},
	{"unsub max negative", "UNSUB 1 -5\r\n", []string{`UNSUB sid="1"`}, nil},
	{"unsub max of ten digits", "UNSUB 1 0000000001\r\n", []string{`UNSUB sid="1"`}, nil},
	{"unsub CR inside splits", "UNSUB 1\r5\r\n", []string{`UNSUB sid="1" max=5`}, nil},
	{"unsub three arguments", "UNSUB 1 2 3\r\n", nil, ErrMalformed},
	{"unsub none", "UNSUB \r\n", nil, ErrMalformed},

	{"ping", "PING\r\n", []string{`PING`}, nil},
	{"ping bare LF", "ping\n", []string{`PING`}, nil},
	{"ping tail", "PINGxyz \r whatever\nPONG123\r\n", []string{`PING`, `PONG`}, nil},
	{"ping tail has no limit", "PING" + strings.Repeat("x", 500) + "\r\n", []string{`PING`}, nil},
	{"ok", "+okay\r\n+OK\n", []string{`+OK`, `+OK`}, nil},
	{"err", "-ERR 'some text'\r\n", []string{`-ERR arg="'some text'"`}, nil},
	{"err without blank", "-ERR\r\n", nil, ErrProtocol},

	{"connect", "CONNECT {\"a\":1}\r\n", []string{`CONNECT arg="{\"a\":1}"`}, nil},
	{"connect without blank", "connect{}\r\n", []string{`CONNECT arg="{}"`}, nil},
	{"connect LF is the first byte of the arguments", "CONNECT\n{}\r\n", []string{`CONNECT arg="\n{}"`}, nil},
	{"connect empty", "CONNECT\r\n", []string{`CONNECT arg="\r"`}, nil},
	{"connect one byte over", "CONNECT " + strings.Repeat("x", 65) + "\r\n", nil, ErrControlLine},
	{"info", "INFO{}\r\n", []string{`INFO arg="{}"`}, nil},

	{"empty line", "\r\n", nil, ErrProtocol},
	{"empty line of LF", "\n", nil, ErrProtocol},
	{"vertical tab is no plus sign", "\vOK\r\n", nil, ErrProtocol},
	{"CR is no minus sign", "\rERR x\r\n", nil, ErrProtocol},
	{"unknown verb", "FOO\r\n", nil, ErrProtocol},
	{"wrong letter at once", "PUX", nil, ErrProtocol},
	{"msg", "MSG foo 1 1\r\nx\r\n", nil, ErrProtocol},
	{"route verbs", "RS+ A foo\r\n", nil, ErrProtocol},

	{"an exchange", "CONNECT {\"verbose\":false}\r\nPING\r\nSUB _INBOX.1 7\r\nPUB nobody _INBOX.1 0\r\n\r\nUNSUB 7 1\r\nPONG\r\n", []string{
		`CONNECT arg="{\"verbose\":false}"`, `PING`, `SUB subj="_INBOX.1" sid="7"`,
		`PUB subj="nobody" reply="_INBOX.1" payload=""`, `UNSUB sid="7" max=1`, `PONG`,
	}, nil},
	{"an error after operations", "PING\r\nPUB a 1\r\nx\r\n\r\n", []string{`PING`, `PUB subj="a" payload="x"`}, ErrProtocol},
}

var clientVectors = []vector{
	{"info", "INFO {\"server_id\":\"N\"} \r\n", []string{`INFO arg="{\"server_id\":\"N\"} "`}, nil},
	{"msg", "MSG foo 1 5\r\nhello\r\n", []string{`MSG subj="foo" sid="1" payload="hello"`}, nil},
	{"msg with reply", "MSG foo 1 bar 5\r\nhello\r\n", []string{`MSG subj="foo" reply="bar" sid="1" payload="hello"`}, nil},
	{"msg two blanks", "MSG trace.dest 1  3\r\nabc\r\n", []string{`MSG subj="trace.dest" sid="1" payload="abc"`}, nil},
	{"msg leading zeros", "MSG foo 1 0000005\r\nhello\r\n", []string{`MSG subj="foo" sid="1" payload="hello"`}, nil},
	{"hmsg", "HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", []string{`HMSG subj="foo" sid="1" hdr=12 payload="NATS/1.0\r\n\r\nhi"`}, nil},
	{"hmsg with reply", "HMSG foo 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n", []string{`HMSG subj="foo" reply="r" sid="1" hdr=12 payload="NATS/1.0\r\n\r\n"`}, nil},
	{"no responders", "HMSG _INBOX.1 7 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n",
		[]string{`HMSG subj="_INBOX.1" sid="7" hdr=38 payload="NATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n"`}, nil},
	{"pings", "PING\r\nPONG\r\n+OK\r\n", []string{`PING`, `PONG`, `+OK`}, nil},
	{"err", "-ERR 'Stale Connection'\r\n", []string{`-ERR arg="'Stale Connection'"`}, nil},
	{"pub", "PUB foo 0\r\n\r\n", nil, ErrProtocol},
	{"msg two arguments", "MSG foo 1\r\n", nil, ErrMalformed},
	{"msg five arguments", "MSG foo 1 2 3 4\r\n", nil, ErrMalformed},
	{"hmsg six arguments", "HMSG foo 1 2 3 4 5\r\n", nil, ErrMalformed},
	{"hmsg header larger than total", "HMSG foo 1 5 4\r\n", nil, ErrMalformed},
	{"msg bad end", "MSG foo 1 1\r\nabc", nil, ErrProtocol},
	{"msg over", "MSG foo 1 1001\r\n", nil, nil},
}
