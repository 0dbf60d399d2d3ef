package machine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/wire"
)

// sources are the positions of what a stream is made from.
type sources struct{ at map[string]*sourcePosition }

// sourcePosition is how far a source has come.
type sourcePosition struct {
	seq      uint64 // of the origin's last message that is here
	identity string // of the origin, as last told; "" if never
}

// sourcesMax bounds the positions of sources that the configuration has no more.
const sourcesMax = 1024

// configure forgets positions when there are too many of sources that are gone.
func (t *sources) configure(cfg *api.StreamConfig) {
	if len(t.at) <= sourcesMax {
		return
	}
	keep := make(map[string]*sourcePosition, len(cfg.Sources))
	for _, s := range cfg.Sources {
		if p := t.at[SourceKey(s)]; p != nil {
			keep[SourceKey(s)] = p
		}
	}
	t.at = keep
}

func (t *sources) set(key []byte, seq uint64, identity []byte) {
	if p := t.at[string(key)]; p != nil {
		p.seq = seq
		if string(identity) != p.identity {
			p.identity = string(identity)
		}
		return
	}
	if t.at == nil {
		t.at = make(map[string]*sourcePosition)
	}
	t.at[string(key)] = &sourcePosition{seq, string(identity)}
}

func (t *sources) snapshot(dst []byte) []byte {
	keys := make([]string, 0, len(t.at))
	for key := range t.at { //lockstep:ordered sorted below
		keys = append(keys, key)
	}
	slices.Sort(keys)
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	for _, key := range keys {
		dst = codec.AppendBytes(dst, key)
		dst = binary.AppendUvarint(dst, t.at[key].seq)
		dst = codec.AppendBytes(dst, t.at[key].identity)
	}
	return dst
}

func (t *sources) restore(r *codec.Reader) {
	for range r.Count(3) {
		key, seq, identity := r.Bytes(), r.Uint(), r.Bytes()
		if r.Bad {
			return
		}
		t.set(key, seq, identity)
	}
}

// SourcePosition is the sequence and identity of the origin's last message that the stream
// has of a source; ok is false if it has none. key is that of [SourceKey].
func (m *Machine) SourcePosition(key string) (seq uint64, identity string, ok bool) {
	p := m.sources.at[key]
	if p == nil {
		return 0, "", false
	}
	return p.seq, p.identity, true
}

// SourceName is what a source is called in Nats-Stream-Source: the stream, and where it is reached.
func SourceName(s *api.StreamSource) string {
	name := s.Name
	if s.External != nil {
		name += ":" + hash8(s.External.ApiPrefix)
	}
	if s.Consumer != nil {
		name += ":C=" + hash8(s.Consumer.Name)
	}
	return name
}

// SourceKey identifies a source among those of a stream: its name, what it selects and what
// becomes of subjects, separated by spaces.
func SourceKey(s *api.StreamSource) string {
	filters, dests := sourceFilters(s)
	return SourceName(s) + " " + filters + " " + dests
}

// joiner stands between several filters or destinations.
const joiner = "\f"

func sourceFilters(s *api.StreamSource) (filters, dests string) {
	if len(s.SubjectTransforms) == 0 {
		return orAll(s.FilterSubject), ">"
	}
	var from, to []string
	for _, t := range s.SubjectTransforms {
		from, to = append(from, orAll(t.Source)), append(to, orAll(t.Destination))
	}
	return strings.Join(from, joiner), strings.Join(to, joiner)
}

func orAll(subj string) string {
	if subj == "" {
		return ">"
	}
	return subj
}

// hash8 is eight letters and digits that stand for a text.
func hash8(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(text))
	var b [8]byte
	for i := range b {
		b[i] = digits[int(sum[i])%len(digits)]
	}
	return string(b[:])
}

// StreamSourceHeader is the value of Nats-Stream-Source.
type StreamSourceHeader struct {
	Origin   string // stream, with hashes of an external API and of a consumer
	Seq      uint64 // at the origin
	Filters  string // joined by form feeds; ">" for none
	Dests    string // ditto
	Subject  string // at the origin
	Identity string // of the origin; "" if unknown
}

// Key is the source's [SourceKey]; empty for the old forms that do not say.
func (h *StreamSourceHeader) Key() string {
	if h.Filters == "" {
		return ""
	}
	return h.Origin + " " + h.Filters + " " + h.Dests
}

// Append appends the value.
func (h *StreamSourceHeader) Append(dst []byte) []byte {
	dst = append(append(dst, h.Origin...), ' ')
	dst = strconv.AppendUint(dst, h.Seq, 10)
	for _, field := range [...]string{h.Filters, h.Dests, h.Subject, h.Identity} {
		if field != "" {
			dst = append(append(dst, ' '), field...)
		}
	}
	return dst
}

// ParseStreamSource reads a value of Nats-Stream-Source. Older forms are taken too: a stream and a sequence, or
// nothing but the reply subject of a delivery.
func ParseStreamSource(value []byte) (h StreamSourceHeader, ok bool) {
	fields := bytes.Fields(bytes.ReplaceAll(value, []byte(joiner), []byte{0}))
	text := func(i int) string {
		if i >= len(fields) {
			return ""
		}
		return strings.ReplaceAll(string(fields[i]), "\x00", joiner)
	}
	if len(fields) == 1 {
		tokens := strings.Split(text(0), ".")
		if len(tokens) != 9 || tokens[0] != "$JS" || tokens[1] != "ACK" {
			return h, false
		}
		seq, err := strconv.ParseUint(tokens[5], 10, 63)
		return StreamSourceHeader{Origin: tokens[2], Seq: seq}, err == nil
	}
	if len(fields) < 2 {
		return h, false
	}
	seq, err := strconv.ParseUint(text(1), 10, 63)
	h = StreamSourceHeader{text(0), seq, text(2), text(3), text(4), text(5)}
	return h, err == nil
}

// Sourced is a message of an origin.
type Sourced struct {
	Source *api.StreamSource
	// After is the position that the source has before this message: the origin's sequence of the one before it;
	// 0 for none. A message that does not follow on is refused.
	After    uint64
	Seq      uint64 // at the origin
	Identity string // of the origin; "" if unknown
	Origin   []byte // subject at the origin
	Subject  []byte // as to be stored
	Header   []byte // as at the origin: Expected and Batch headers are dropped, Nats-Stream-Source is set
	Data     []byte
	Verdict  Verdict
}

// SourceBuilder makes an entry of messages of origins. The zero SourceBuilder is ready.
type SourceBuilder struct {
	MaxPayload         int // as for [Builder]
	buf, clean, header []byte
}

// Begin starts an entry behind what dst holds.
func (b *SourceBuilder) Begin(dst []byte, now int64) {
	b.buf = binary.AppendUvarint(appendHead(dst, kindSource, now), uint64(max(b.MaxPayload, 0)))
}

// Add adds a message.
func (b *SourceBuilder) Add(s *Sourced) {
	filters, dests := sourceFilters(s.Source)
	h := StreamSourceHeader{SourceName(s.Source), s.Seq, filters, dests, string(s.Origin), s.Identity}
	b.clean = AppendWithoutConditions(b.clean[:0], s.Header)
	b.header = wire.AppendHeaderSet(b.header[:0], b.clean, api.HdrStreamSource, string(h.Append(nil)))
	b.buf = codec.AppendBytes(b.buf, h.Key())
	b.buf = binary.AppendUvarint(b.buf, s.After)
	b.buf = binary.AppendUvarint(b.buf, s.Seq)
	b.buf = codec.AppendBytes(b.buf, s.Identity)
	b.buf = appendItem(b.buf, 0, s.Subject, b.header, s.Data, s.Verdict)
}

// Bytes is dst of Begin and the entry. It is the caller's from now on.
func (b *SourceBuilder) Bytes() []byte {
	buf := b.buf
	b.buf = nil
	return buf
}

type sourceHead struct {
	key, identity []byte
	after, seq    uint64
}

func readSourceHead(r *codec.Reader) sourceHead {
	var h sourceHead
	h.key = r.Bytes()
	h.after, h.seq = r.Uint(), r.Uint()
	h.identity = r.Bytes()
	return h
}

// applySource stores messages of origins. One that does not follow the position of its source is
// refused: something before it was.
func (m *Machine) applySource(r *codec.Reader) {
	m.maxPayload = int(r.Uint())
	it := &m.it
	for i := 0; r.More(); i++ {
		head := readSourceHead(r)
		if !it.read(r) {
			return
		}
		m.source(i, &head, it)
	}
}

func (m *Machine) source(i int, head *sourceHead, it *item) {
	at := uint64(0)
	if p := m.sources.at[string(head.key)]; p != nil && p.identity == string(head.identity) {
		at = p.seq
	}
	if head.after != at {
		m.refuse(i, api.ErrStreamSequenceNotMatch)
		return
	}
	m.head.Parse(it.header)
	msg := m.next(it)
	msg.copied, msg.remember = true, true
	if seq, known := m.duplicate(msg); known {
		m.sources.set(head.key, head.seq, head.identity)
		m.hash = mix(m.hash, seq)
		m.acked(i, seq, true)
		return
	}
	if err := m.checkSourced(it, msg); err != nil {
		m.refuse(i, err)
		return
	}
	if m.unwanted(msg) {
		m.sources.set(head.key, head.seq, head.identity)
		m.acked(i, m.skip(msg), false)
		return
	}
	seq, err := m.put(msg)
	if err != nil {
		m.refuse(i, err)
		return
	}
	m.sources.set(head.key, head.seq, head.identity)
	m.acked(i, seq, false)
}

// checkSourced judges a message of an origin: sizes and limits count, permissions do not.
func (m *Machine) checkSourced(it *item, msg *message) *api.Error {
	if m.cfg.Sealed {
		return api.ErrStreamSealed
	}
	if m.cfg.AllowMsgCounter {
		from, ok := ParseStreamSource(msg.h.StreamSource)
		if !ok {
			return api.ErrMessageCounterBroken
		}
		if err := m.mergeCounter(msg, &from); err != nil {
			return err
		}
	}
	if err := m.checkSizes(msg); err != nil {
		return err
	}
	if it.limits&ServerExceeded != 0 {
		return api.ErrInsufficientResources
	}
	if err := accountError(it.limits); err != nil {
		return err
	}
	m.copyRights(it, msg, false)
	return nil
}
