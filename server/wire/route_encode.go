package wire

// The encoders of routes. An empty account is left out: that is how it is written on
// a pinned route. Names and subjects must not hold blanks or line ends.

// AppendRSub appends RS+. An empty queue makes it a plain subscription, which has no
// weight; with one, weight is how many members the group has, at least 1.
func AppendRSub(dst []byte, account, subject, queue string, weight int) []byte {
	return appendInterest(dst, "RS+", "", account, subject, queue, weight)
}

// AppendRUnsub appends RS-.
func AppendRUnsub(dst []byte, account, subject, queue string) []byte {
	return appendInterest(dst, "RS-", "", account, subject, queue, 0)
}

// AppendLSub appends LS+: [AppendRSub] for interest of a leafnode of cluster origin.
func AppendLSub(dst []byte, origin, account, subject, queue string, weight int) []byte {
	return appendInterest(dst, "LS+", origin, account, subject, queue, weight)
}

// AppendLUnsub appends LS-. An empty origin is left out, as peers without
// `lnocu` want it.
func AppendLUnsub(dst []byte, origin, account, subject, queue string) []byte {
	return appendInterest(dst, "LS-", origin, account, subject, queue, 0)
}

func appendInterest(dst []byte, verb, origin, account, subject, queue string, weight int) []byte {
	dst = append(dst, verb...)
	if origin != "" {
		dst = append(append(dst, ' '), origin...)
	}
	if account != "" {
		dst = append(append(dst, ' '), account...)
	}
	dst = append(append(dst, ' '), subject...)
	if queue != "" {
		dst = append(append(dst, ' '), queue...)
		if weight > 0 {
			dst = AppendSize(append(dst, ' '), weight)
		}
	}
	return append(dst, CRLF...)
}

// AppendRouteMsgHead appends RMSG, or HMSG if header is not 0, with its CRLF. reply
// and queues may be empty; size counts header block and body, which must follow,
// with a CRLF.
func AppendRouteMsgHead[S ~string | ~[]byte](
	dst []byte, account string, subject, reply []byte, queues []S, header, size int,
) []byte {
	if header == 0 {
		dst = append(dst, "RMSG "...)
	} else {
		dst = append(dst, "HMSG "...)
	}
	dst = appendReceivers(dst, account, subject, reply, queues)
	if header != 0 {
		dst = append(AppendSize(dst, header), ' ')
	}
	return append(AppendSize(dst, size), CRLF...)
}

// AppendLmsgHead appends LMSG: [AppendRouteMsgHead] for a message that came from a
// leafnode of cluster origin. It always has both sizes.
func AppendLmsgHead[S ~string | ~[]byte](
	dst []byte, origin, account string, subject, reply []byte, queues []S, header, size int,
) []byte {
	dst = append(dst, "LMSG "...)
	dst = append(append(dst, origin...), ' ')
	dst = appendReceivers(dst, account, subject, reply, queues)
	dst = append(AppendSize(dst, header), ' ')
	return append(AppendSize(dst, size), CRLF...)
}

func appendReceivers[S ~string | ~[]byte](dst []byte, account string, subject, reply []byte, queues []S) []byte {
	if account != "" {
		dst = append(append(dst, account...), ' ')
	}
	dst = append(append(dst, subject...), ' ')
	if len(queues) > 0 {
		if len(reply) > 0 {
			dst = append(dst, '+', ' ')
		} else {
			dst = append(dst, '|', ' ')
		}
	}
	if len(reply) > 0 {
		dst = append(append(dst, reply...), ' ')
	}
	for _, q := range queues {
		dst = append(append(dst, q...), ' ')
	}
	return dst
}
