package machine

import (
	"bytes"
	"encoding/binary"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/wire"
)

// Copies makes an entry of messages that keep the sequence and time that they have elsewhere: a
// mirror's, or a backup's. The zero Copies is ready.
type Copies struct {
	buf, header []byte
	last        uint64
	time        int64
}

// Copy is a message as it is at its origin.
type Copy struct {
	Seq     uint64 // above all before it; what lies between does not exist
	Time    int64
	Subject []byte // as to be stored
	Header  []byte // Expected and Batch headers are dropped
	Data    []byte
	// Restored: it comes from a backup of this stream. A rollup of it has been carried out, and its id counts.
	Restored bool
	// Schedule is as for [Verdict].
	Schedule ScheduleVerdict
}

// Begin starts an entry behind what dst holds.
func (b *Copies) Begin(dst []byte, now int64) {
	b.buf = appendHead(dst, kindMirror, now)
	b.last, b.time = 0, 0
}

// Add adds a message.
func (b *Copies) Add(c *Copy) {
	b.buf = binary.AppendUvarint(b.buf, c.Seq-b.last)
	b.buf = binary.AppendVarint(b.buf, c.Time-b.time)
	b.last, b.time = c.Seq, c.Time
	flags := uint8(0)
	b.header = append(b.header[:0], c.Header...)
	if c.Restored {
		flags = itemRestored
	} else {
		b.header = AppendWithoutConditions(b.header[:0], c.Header)
	}
	b.buf = appendItem(b.buf, flags, c.Subject, b.header, c.Data, Verdict{Schedule: c.Schedule})
}

// Bytes is dst of Begin and the entry. It is the caller's from now on.
func (b *Copies) Bytes() []byte {
	buf := b.buf
	b.buf = nil
	return buf
}

// AppendWithoutConditions appends a header block without what was meant for the origin: expectations and
// batches. Nothing is appended when nothing is left.
func AppendWithoutConditions(dst, header []byte) []byte {
	if !bytes.Contains(header, []byte("\r\nNats-Expected-")) && !bytes.Contains(header, []byte("\r\nNats-Batch-")) {
		return append(dst, header...)
	}
	return appendFiltered(dst, header, func(name []byte) bool {
		return !bytes.HasPrefix(name, []byte("Nats-Expected-")) && !bytes.HasPrefix(name, []byte("Nats-Batch-"))
	})
}

// appendFiltered appends the headers of a block whose names pass; nothing when none does.
func appendFiltered(dst, header []byte, pass func(name []byte) bool) []byte {
	from := len(dst)
	dst = append(dst, api.HeaderLine...)
	any := false
	for name, value := range wire.Headers(header) {
		if pass(name) {
			any = true
			dst = append(append(append(dst, name...), ": "...), value...)
			dst = append(dst, "\r\n"...)
		}
	}
	if !any {
		return dst[:from]
	}
	return append(dst, "\r\n"...)
}

// EncodeSkip appends an entry that uses sequences up to and including seq without messages: the origin's
// are gone.
func EncodeSkip(dst []byte, now int64, seq uint64) []byte {
	return binary.AppendUvarint(appendHead(dst, kindSkip, now), seq)
}

// seqMax is above every sequence that a stream can reach.
const seqMax = 1 << 62

func (m *Machine) applySkip(r *codec.Reader) {
	seq := r.Uint()
	if r.Bad || seq > seqMax {
		r.Fail()
		return
	}
	if seq <= m.store.State().Last {
		return
	}
	m.store.Skip(seq, 0) // the time of the last message stays: this server's clock is not the origin's
	m.hash = mix(m.hash, seq)
}

// applyMirror stores copies under their own sequences and times. What is not above the last
// sequence is there already.
func (m *Machine) applyMirror(r *codec.Reader) {
	it := &m.it
	seq, at := uint64(0), int64(0)
	for i := 0; r.More(); i++ {
		seq += r.Uint()
		at += r.Int()
		if !it.read(r) {
			return
		}
		if seq > seqMax {
			r.Fail()
			return
		}
		if seq <= m.store.State().Last {
			continue
		}
		if !m.mirror(i, seq, at, it) {
			return
		}
	}
}

// mirror stores one copy. After a refusal nothing behind it may be stored.
func (m *Machine) mirror(i int, seq uint64, at int64, it *item) bool {
	m.head.Parse(it.header)
	restored := it.flags&itemRestored != 0
	msg := m.next(it)
	msg.seq, msg.time, msg.copied, msg.remember = seq, at, true, restored
	m.copyRights(it, msg, restored)
	if !restored && m.unwanted(msg) {
		m.acked(i, m.skip(msg), false)
		return true
	}
	if _, err := m.put(msg); err != nil {
		m.refuse(i, err)
		return false
	}
	m.acked(i, seq, false)
	return true
}

// copyRights puts in force what the headers of a copy say, as far as this stream allows it.
func (m *Machine) copyRights(it *item, msg *message, restored bool) {
	h := msg.h
	if h.Has&api.HasTTL != 0 && m.cfg.AllowMsgTTL {
		if ttl, ok := api.ParseTTL(h.TTL); ok {
			m.lifetime(msg, ttl)
		}
	}
	if h.Has&api.HasRollup != 0 && m.cfg.AllowRollup && !m.cfg.DenyPurge && !restored {
		if all, ok := api.ParseRollup(h.Rollup); ok && all {
			msg.rollup = rollupAll
		} else if ok {
			msg.rollup = rollupSubject
		}
	}
	if h.Has&api.HasSchedule != 0 && m.cfg.AllowMsgSchedules && it.due != 0 {
		msg.due = it.due
	}
}
