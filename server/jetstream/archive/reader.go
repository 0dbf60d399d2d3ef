package archive

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Kind says what an [Item] is.
type Kind uint8

const (
	NoItem     Kind = iota
	IsConfig        // of the stream; in older backups only
	IsState         // of the stream
	IsConsumer      // Name and Consumer
	IsMessage       // Message
	IsRemoved       // Sequences that were given as messages before, and do not exist; in older backups only
	IsEnd           // nothing more comes
)

// Item is a part of a backup. What it refers to is valid until the next call of the Reader.
type Item struct {
	Kind     Kind
	Config   *api.StreamConfig
	State    *api.StreamState
	Name     string
	Consumer *Consumer
	Message  Message
	From, To uint64
}

// Message is a stored message.
type Message struct {
	Seq     uint64
	Time    int64 // nanoseconds since 1970
	Subject []byte
	Header  []byte // nil for none
	Data    []byte
}

// Options of a Reader.
type Options struct {
	Account string // its name, for error texts
	Stream  string // what the backup must be of
	// MaxPayload bounds a message's header and data, and MaxMsgSize too if it is not 0.
	MaxPayload int
	MaxMsgSize int
}

// Bounds on what is in a backup.
const (
	nameMax     = 1 << 20
	documentMax = 64 << 20 // of state.json, a consumer, meta.inf ...
	payloadMax  = 64 << 20 // whatever Options say
)

var (
	errTruncated     = errors.New("backup was truncated")
	errStateFirst    = errors.New("expected state.json first")
	errStateContents = errors.New("expected state.json contents")
	errNames         = errors.New("stream names do not match")
	errMalformed     = errors.New("malformed entry")
)

// Reader reads a backup that comes in pieces of any size: Feed, then Next until it has nothing.
type Reader struct {
	o      Options
	u      unframer
	buf    []byte // decompressed, not read yet
	used   int
	err    error
	format format
	new    entries
	tar    tarball
}

type format uint8

const (
	unknown format = iota
	newFormat
	tarFormat
)

// NewReader makes a reader.
func NewReader(o Options) *Reader {
	if o.MaxPayload <= 0 || o.MaxPayload > payloadMax {
		o.MaxPayload = payloadMax
	}
	return &Reader{o: o}
}

// Feed gives the next piece, which is copied.
func (r *Reader) Feed(p []byte) { r.u.feed(p) }

// Waiting is the number of bytes that were fed and not read yet.
func (r *Reader) Waiting() int { return r.u.left() }

// Next gives the next item, or false when it needs more. After an error the backup is useless.
func (r *Reader) Next(it *Item) (bool, error) {
	if r.err != nil {
		return false, r.err
	}
	for {
		*it = Item{}
		n, err := r.parse(it)
		if err != nil {
			r.err = err
			return false, err
		}
		r.used += n
		if it.Kind != NoItem {
			return true, nil
		}
		if n > 0 {
			continue
		}
		more, err := r.more()
		if err != nil || !more {
			r.err = err
			return false, err
		}
	}
}

// more decompresses the next piece.
func (r *Reader) more() (bool, error) {
	p, err := r.u.next()
	if err != nil || p == nil {
		return false, err
	}
	if r.used > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[r.used:])]
		r.used = 0
	}
	r.buf = append(r.buf, p...)
	return true, nil
}

// parse reads what the buffer begins with. It gives the bytes that were read; 0 when more are needed.
func (r *Reader) parse(it *Item) (int, error) {
	p := r.buf[r.used:]
	switch r.format {
	case newFormat:
		return r.new.parse(&r.o, p, it)
	case tarFormat:
		return r.tar.parse(&r.o, p, it)
	}
	if len(p) < len(magic) {
		return 0, nil
	}
	if string(p[:len(magic)]) == magic {
		r.format = newFormat
		return len(magic), nil
	}
	r.format = tarFormat
	return r.tar.parse(&r.o, p, it)
}

// End tells whether the backup is whole, when no more comes.
func (r *Reader) End() error {
	switch {
	case r.err != nil:
		return r.err
	case !r.u.whole(), r.format == newFormat && !r.new.ended, r.format == tarFormat && !r.tar.whole(), r.format == unknown:
		return errTruncated
	}
	return nil
}

// entries reads the present format.
type entries struct {
	begun     bool
	ended     bool
	consumers int // that must still come
	last      uint64
}

// head is what an entry begins with.
type head struct {
	name, header, data int
	time               int64
	seq                uint64
}

// readHead reads the fields of an entry. It gives their length; 0 when more bytes are needed.
func readHead(p []byte, h *head) (int, error) {
	var at int
	var bad bool
	uint := func() uint64 {
		v, n := binary.Uvarint(p[min(at, len(p)):])
		if n < 0 {
			bad = true
		}
		if n <= 0 {
			at = len(p) + 1
			return 0
		}
		at += n
		return v
	}
	name := uint()
	z := uint()
	h.time = int64(z>>1) ^ -int64(z&1)
	h.seq = uint()
	header, data := uint(), uint()
	switch {
	case bad:
		return 0, errMalformed
	case at > len(p):
		return 0, nil
	}
	bound := uint64(documentMax)
	if h.seq > 0 {
		bound = 1 << 40 // is judged with the sequence at hand
	}
	if name > nameMax || header > bound || data > bound {
		return 0, errMalformed
	}
	h.name, h.header, h.data = int(name), int(header), int(data)
	return at, nil
}

func (e *entries) parse(o *Options, p []byte, it *Item) (int, error) {
	if e.ended {
		if len(p) > 0 {
			return 0, e.unexpected(o)
		}
		return 0, nil
	}
	var h head
	n, err := readHead(p, &h)
	if n == 0 || err != nil {
		return 0, err
	}
	if err := e.judge(o, &h); err != nil {
		return 0, err
	}
	end := n + h.name + h.header + h.data
	if len(p) < end {
		return 0, nil
	}
	name, header, data := p[n:n+h.name], p[n+h.name:end-h.data], p[end-h.data:end]
	if h.seq > 0 {
		e.message(&h, name, header, data, it)
		return end, nil
	}
	return end, e.document(o, string(name), data, it)
}

func (e *entries) unexpected(o *Options) error {
	return fmt.Errorf("unexpected content (account=%s)", o.Account)
}

// judge refuses an entry before its content is there.
func (e *entries) judge(o *Options, h *head) error {
	switch {
	case h.seq == 0:
		return nil
	case !e.begun:
		return errStateFirst
	case e.consumers > 0, h.name == 0:
		return e.unexpected(o)
	case h.seq <= e.last:
		return fmt.Errorf("message sequence %d out of order", h.seq)
	case h.header+h.data > o.MaxPayload:
		return fmt.Errorf("message sequence %d exceeds maximum payload size", h.seq)
	case o.MaxMsgSize > 0 && h.header+h.data > o.MaxMsgSize:
		return fmt.Errorf("message sequence %d exceeds maximum message size", h.seq)
	}
	return nil
}

func (e *entries) message(h *head, name, header, data []byte, it *Item) {
	e.last = h.seq
	it.Kind = IsMessage
	it.Message = Message{Seq: h.seq, Time: h.time, Subject: name, Data: data}
	if len(header) > 0 {
		it.Message.Header = header
	}
}

// document reads an entry that is no message.
func (e *entries) document(o *Options, name string, data []byte, it *Item) error {
	switch {
	case !e.begun:
		return e.state(name, data, it)
	case name == "" && len(data) == 0 && e.consumers == 0:
		e.ended = true
		it.Kind = IsEnd
		return nil
	case e.consumers > 0 && len(name) > len(consumerPrefix) && name[:len(consumerPrefix)] == consumerPrefix:
		e.consumers--
		c := &Consumer{}
		if err := json.Unmarshal(data, c); err != nil || c.Config == nil || c.State == nil {
			return fmt.Errorf("consumer %q: unreadable contents", name[len(consumerPrefix):])
		}
		it.Kind, it.Name, it.Consumer = IsConsumer, name[len(consumerPrefix):], c
		return nil
	}
	return e.unexpected(o)
}

func (e *entries) state(name string, data []byte, it *Item) error {
	if name != stateName {
		return errStateFirst
	}
	s := &api.StreamState{}
	if err := json.Unmarshal(data, s); err != nil || s.Consumers < 0 {
		return errStateContents
	}
	e.begun, e.consumers = true, s.Consumers
	it.Kind, it.State = IsState, s
	return nil
}
