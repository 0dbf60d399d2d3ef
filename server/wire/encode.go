package wire

import "strconv"

// Fixed lines of both directions.
const (
	LinePing = "PING\r\n"
	LinePong = "PONG\r\n"
	LineOK   = "+OK\r\n"
	CRLF     = "\r\n"
)

// AppendMsgHeader appends `MSG subject sid [reply] size` and its CRLF; an empty
// reply is left out. The payload and a CRLF must follow.
func AppendMsgHeader[S ~string | ~[]byte](dst, subject []byte, sid S, reply []byte, size int) []byte {
	dst = append(dst, "MSG "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	dst = append(dst, sid...)
	dst = append(dst, ' ')
	return AppendMsgTail(dst, reply, size)
}

// AppendMsgTail appends what follows the blank behind the sid of a MSG:
// `[reply] size` and CRLF. What precedes it does not change for a subscription
// without wildcards and may be kept.
func AppendMsgTail(dst, reply []byte, size int) []byte {
	if len(reply) > 0 {
		dst = append(dst, reply...)
		dst = append(dst, ' ')
	}
	dst = AppendSize(dst, size)
	return append(dst, CRLF...)
}

// AppendHmsgHeader appends `HMSG subject sid [reply] header total` and its CRLF;
// total counts the header block too. Block, body and a CRLF must follow.
func AppendHmsgHeader[S ~string | ~[]byte](dst, subject []byte, sid S, reply []byte, header, total int) []byte {
	dst = append(dst, "HMSG "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	dst = append(dst, sid...)
	dst = append(dst, ' ')
	return AppendHmsgTail(dst, reply, header, total)
}

// AppendHmsgTail is [AppendMsgTail] for HMSG.
func AppendHmsgTail(dst, reply []byte, header, total int) []byte {
	if len(reply) > 0 {
		dst = append(dst, reply...)
		dst = append(dst, ' ')
	}
	dst = AppendSize(dst, header)
	dst = append(dst, ' ')
	dst = AppendSize(dst, total)
	return append(dst, CRLF...)
}

// pairs has the decimal digits of 0 to 99.
const pairs = "00010203040506070809101112131415161718192021222324252627282930313233343536373839" +
	"40414243444546474849505152535455565758596061626364656667686970717273747576777879" +
	"8081828384858687888990919293949596979899"

// AppendSize appends n in decimal. Sizes are small: most take one or two steps.
func AppendSize(dst []byte, n int) []byte {
	switch {
	case uint(n) < 10:
		return append(dst, byte('0'+n))
	case uint(n) < 100:
		return append(dst, pairs[2*n], pairs[2*n+1])
	case uint(n) < 1000:
		low := n % 100
		return append(dst, byte('0'+n/100), pairs[2*low], pairs[2*low+1])
	case uint(n) < 10000:
		high, low := n/100, n%100
		return append(dst, pairs[2*high], pairs[2*high+1], pairs[2*low], pairs[2*low+1])
	case uint(n) < 100_000_000:
		dst = AppendSize(dst, n/10000)
		high, low := n%10000/100, n%100
		return append(dst, pairs[2*high], pairs[2*high+1], pairs[2*low], pairs[2*low+1])
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// AppendErr appends -ERR with the text in its quotes.
func AppendErr(dst []byte, text string) []byte {
	dst = append(dst, "-ERR '"...)
	dst = append(dst, text...)
	return append(dst, "'\r\n"...)
}

// AppendNoResponders appends the whole message that tells a requester that nobody
// listens on subject; it is sent to the requester's own subscription sid on reply.
func AppendNoResponders(dst, reply, sid, subject []byte) []byte {
	const fixed = len(statusNoResponders) + len(noRespondersSubject) + len("\r\n\r\n")
	size := fixed + len(subject)
	dst = AppendHmsgHeader(dst, reply, sid, nil, size, size)
	dst = append(dst, statusNoResponders+noRespondersSubject...)
	dst = append(dst, subject...)
	return append(dst, "\r\n\r\n\r\n"...)
}

const (
	statusNoResponders  = "NATS/1.0 503\r\n"
	noRespondersSubject = "Nats-Subject: "
)
