package api

import (
	"strconv"
	"unicode/utf8"
)

// PubAck is what a publisher is told, once its message is as durable as asked for.
type PubAck struct {
	Error     *Error `json:"error,omitempty"`
	Stream    string `json:"stream"`
	Domain    string `json:"domain,omitempty"`
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate,omitempty"`
	Value     string `json:"val,omitempty"`   // of a counter
	BatchId   string `json:"batch,omitempty"` // id
	BatchSize uint64 `json:"count,omitempty"` // messages of the batch
}

// AppendPubAckHead appends what all acks of a stream have in common: all before the
// number of "seq".
func AppendPubAckHead(dst []byte, stream, domain string) []byte {
	dst = append(dst, `{"stream":`...)
	dst = AppendQuoted(dst, stream)
	if domain != "" {
		dst = append(dst, `,"domain":`...)
		dst = AppendQuoted(dst, domain)
	}
	return append(dst, `,"seq":`...)
}

// AppendPubAck appends the JSON of an ack without error to dst. head is what
// [AppendPubAckHead] made for the stream and domain.
func AppendPubAck(dst, head []byte, seq uint64, duplicate bool) []byte {
	dst = append(dst, head...)
	dst = strconv.AppendUint(dst, seq, 10)
	if duplicate {
		dst = append(dst, `,"duplicate": true`...)
	}
	return append(dst, '}')
}

// AppendJSON appends the JSON of the ack to dst, or of the error if there is one, and does
// not allocate beyond dst.
func (a *PubAck) AppendJSON(dst []byte) []byte {
	if a.Error != nil {
		return AppendPubAckError(dst, a.Stream, a.Error)
	}
	dst = AppendPubAckHead(dst, a.Stream, a.Domain)
	dst = strconv.AppendUint(dst, a.Sequence, 10)
	if a.Duplicate {
		dst = append(dst, `,"duplicate": true`...)
	}
	if a.Value != "" {
		dst = append(dst, `,"val":`...)
		dst = AppendQuoted(dst, a.Value)
	}
	if a.BatchId != "" {
		dst = append(dst, `,"batch":`...)
		dst = AppendQuoted(dst, a.BatchId)
		dst = append(dst, `,"count":`...)
		dst = strconv.AppendUint(dst, a.BatchSize, 10)
	}
	return append(dst, '}')
}

// AppendPubAckError appends the JSON of a refusal to dst. It does not name the domain.
func AppendPubAckError(dst []byte, stream string, e *Error) []byte {
	dst = append(dst, `{"error":`...)
	dst = AppendError(dst, e)
	dst = append(dst, `,"stream":`...)
	dst = AppendQuoted(dst, stream)
	return append(dst, `,"seq":0}`...)
}

// AppendError appends the JSON of an error to dst.
func AppendError(dst []byte, e *Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	if e.ErrCode != 0 {
		dst = append(dst, `,"err_code":`...)
		dst = strconv.AppendInt(dst, int64(e.ErrCode), 10)
	}
	if e.Description != "" {
		dst = append(dst, `,"description":`...)
		dst = AppendQuoted(dst, e.Description)
	}
	return append(dst, '}')
}

const hex = "0123456789abcdef"

// AppendQuoted appends s as a JSON string the way encoding/json does: safe inside HTML,
// and with the replacement character for what is no UTF-8.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hex[r&0xf])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendEscape appends the escape of a byte below 0x80 that needs one.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(append(dst, `\u00`...), hex[c>>4], hex[c&0xf])
}
