package core

import (
	"encoding/binary"
	"errors"
)

// A message is encoded as
//
//	type, flags: one byte each
//	presence:    uvarint, one bit for each field below that is not zero
//	fields:      uvarints in the order of the bits; Clock is a varint
//	entries:     count, index of the first, then each: term less the one before (the first: less
//	             LogTerm, as a varint), kind, length of the payload, payload
//	data, meta:  length, bytes
//
// It ends by itself, so that messages can follow one another.

const (
	hasFrom = 1 << iota
	hasTo
	hasTerm
	hasLife
	hasToLife
	hasIndex
	hasLogTerm
	hasCommit
	hasHint
	hasHintTerm
	hasSeq
	hasOffset
	hasClock
	hasEntries
	hasData
	hasMeta
	hasEnd
)

// errMessage: the bytes are no message.
var errMessage = errors.New("a consensus message is not encoded as one")

// numbers lists the fields that are uvarints, in order.
func (m *Message) numbers() [12]uint64 {
	return [12]uint64{
		uint64(m.From), uint64(m.To), uint64(m.Term), uint64(m.Life), uint64(m.ToLife), uint64(m.Index),
		uint64(m.LogTerm), uint64(m.Commit), uint64(m.Hint), uint64(m.HintTerm), m.Seq, m.Offset,
	}
}

// AppendMessage appends the encoding of m to dst.
func AppendMessage(dst []byte, m *Message) []byte {
	numbers := m.numbers()
	presence := uint64(0)
	for i, n := range numbers {
		if n != 0 {
			presence |= 1 << i
		}
	}
	for bit, has := range [...]bool{m.Clock != 0, len(m.Entries) > 0, len(m.Data) > 0, len(m.Meta) > 0} {
		if has {
			presence |= hasClock << bit
		}
	}
	dst = append(dst, byte(m.Type), byte(m.Flags))
	dst = binary.AppendUvarint(dst, presence)
	for _, n := range numbers {
		if n != 0 {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	if m.Clock != 0 {
		dst = binary.AppendVarint(dst, m.Clock)
	}
	if len(m.Entries) > 0 {
		dst = appendEntries(dst, m)
	}
	if len(m.Data) > 0 {
		dst = appendBytes(dst, m.Data)
	}
	if len(m.Meta) > 0 {
		dst = appendBytes(dst, m.Meta)
	}
	return dst
}

func appendEntries(dst []byte, m *Message) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m.Entries)))
	dst = binary.AppendUvarint(dst, uint64(m.Entries[0].Index))
	term := m.LogTerm
	for i := range m.Entries {
		e := &m.Entries[i]
		dst = binary.AppendVarint(dst, int64(e.Term-term))
		term = e.Term
		dst = append(dst, byte(e.Kind))
		dst = appendBytes(dst, e.Payload)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// ParseMessage reads one message from the front of b into m, and tells what follows it. The
// payloads are parts of b. m.Entries is used again if it has room.
func ParseMessage(b []byte, m *Message) (rest []byte, err error) {
	r := reader{b: b}
	entries := m.Entries[:0]
	*m = Message{Type: Type(r.byte()), Flags: Flags(r.byte())}
	presence := r.uint()
	var numbers [12]uint64
	for i := range numbers {
		if presence&(1<<i) != 0 {
			numbers[i] = r.uint()
		}
	}
	m.From, m.To, m.Term = MemberID(numbers[0]), MemberID(numbers[1]), Term(numbers[2])
	m.Life, m.ToLife = Life(numbers[3]), Life(numbers[4])
	m.Index, m.LogTerm, m.Commit = Index(numbers[5]), Term(numbers[6]), Index(numbers[7])
	m.Hint, m.HintTerm = Index(numbers[8]), Term(numbers[9])
	m.Seq, m.Offset = numbers[10], numbers[11]
	if presence&hasClock != 0 {
		m.Clock = r.int()
	}
	if presence&hasEntries != 0 {
		m.Entries = r.entries(entries, m.LogTerm)
	}
	if presence&hasData != 0 {
		m.Data = r.bytes()
	}
	if presence&hasMeta != 0 {
		m.Meta = r.bytes()
	}
	if r.bad || m.Type == 0 || m.Type >= typeEnd || presence >= hasEnd {
		*m = Message{Entries: entries}
		return nil, errMessage
	}
	return r.b, nil
}

// reader takes fields from the front of b; bad tells that one was missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool {
	v := r.byte()
	r.bad = r.bad || v > 1
	return v == 1
}

// count reads how many things follow that take least bytes each.
func (r *reader) count(least int) int {
	n := r.uint()
	if n > uint64(len(r.b)/least) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.count(1)
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) entries(dst []Entry, term Term) []Entry {
	n := r.count(3)
	first := Index(r.uint())
	for i := range n {
		term += Term(r.int())
		e := Entry{Index: first + Index(i), Term: term, Kind: Kind(r.byte()), Payload: r.bytes()}
		if r.bad {
			return nil
		}
		dst = append(dst, e)
	}
	return dst
}
