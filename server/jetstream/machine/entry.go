package machine

import (
	"encoding/binary"
	"fmt"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// An entry is bytes. Numbers are varints, "bytes" are a length and as many bytes:
//
//	kind 1 | time, ns since 1970 | feature level | what the kind says
//
// The kind's upper three bits are the version of the format.
const (
	formatVersion = 1 << 5
	kindMask      = 1<<5 - 1

	kindPublish = formatVersion | 1 // payload bound, then items to the end
	kindBatch   = formatVersion | 2 // payload bound, batch id, count, items
	kindMirror  = formatVersion | 3 // copies to the end
	kindSource  = formatVersion | 4 // payload bound, sourced items to the end
	kindFire    = formatVersion | 5 // firings to the end
	kindDelete  = formatVersion | 6
	kindPurge   = formatVersion | 7
	kindExpire  = formatVersion | 8
	kindSkip    = formatVersion | 9
	kindAcked   = formatVersion | 10
	kindConfig  = formatVersion | 11
)

// featureLevel is what this version's leaders write. Apply behaves as the level of the entry
// says, so that replicas of different versions stay equal.
const featureLevel = 1

// Flags of an item.
const (
	itemHeader   = 1 << 0
	itemRefused  = 1 << 1 // limits that only the leader knows: one byte
	itemSchedule = 1 << 2 // judgement of a schedule: first time, or 0 and an error code
	itemRestored = 1 << 3 // of a copy: comes from a backup
	itemChained  = 1 << 4 // refused if an earlier one of its chain was: the chain's number
	itemFlags    = itemHeader | itemRefused | itemSchedule | itemRestored | itemChained
)

// LeaderLimits are limits that a leader knows and a state machine cannot.
type LeaderLimits uint8

const (
	// AccountExceeded: the account's usage would pass its limit.
	AccountExceeded LeaderLimits = 1 << iota
	// NoTier: the account has tiers, and none for this number of replicas.
	NoTier
	// ServerExceeded: the server's storage or memory is used up.
	ServerExceeded
)

// Verdict is what a leader judges of one message: what depends on more than the stream's state.
// The zero Verdict is that of most messages.
type Verdict struct {
	Limits LeaderLimits
	// Schedule is the judgement of [JudgeSchedule]; it is needed when the message has a
	// Nats-Schedule header.
	Schedule ScheduleVerdict
	// Chain ties messages together: after one that is refused, later ones of the same chain are refused
	// too. 0 is none. See [FastAnswer].
	Chain uint64
}

// ScheduleVerdict says when a schedule is due first, in nanoseconds since 1970, or what is wrong with it.
type ScheduleVerdict struct {
	Due int64
	Err *api.Error // 10189 or 10223
}

// item is one message of an entry. Its slices are parts of the entry.
type item struct {
	flags   uint8
	limits  LeaderLimits
	due     int64
	dueErr  uint64 // error code
	chain   uint64
	subject []byte
	header  []byte
	data    []byte
}

func (v *Verdict) judged() bool { return v.Schedule.Due != 0 || v.Schedule.Err != nil }

func appendItem(dst []byte, flags uint8, subject, header, data []byte, v Verdict) []byte {
	if len(header) > 0 {
		flags |= itemHeader
	}
	if v.Limits != 0 {
		flags |= itemRefused
	}
	if v.judged() {
		flags |= itemSchedule
	}
	if v.Chain != 0 {
		flags |= itemChained
	}
	dst = append(dst, flags)
	if v.Limits != 0 {
		dst = append(dst, byte(v.Limits))
	}
	if v.judged() {
		dst = binary.AppendVarint(dst, v.Schedule.Due)
		if v.Schedule.Due == 0 {
			dst = binary.AppendUvarint(dst, uint64(v.Schedule.Err.ErrCode))
		}
	}
	if v.Chain != 0 {
		dst = binary.AppendUvarint(dst, v.Chain)
	}
	dst = codec.AppendBytes(dst, subject)
	if len(header) > 0 {
		dst = codec.AppendBytes(dst, header)
	}
	return codec.AppendBytes(dst, data)
}

// read reads an item, in place so that nothing is copied twice.
func (it *item) read(r *codec.Reader) bool {
	it.flags = r.Byte()
	it.limits, it.due, it.dueErr, it.chain, it.header = 0, 0, 0, 0, nil
	if it.flags&^itemFlags != 0 {
		r.Fail()
		return false
	}
	if it.flags&itemRefused != 0 {
		it.limits = LeaderLimits(r.Byte())
	}
	if it.flags&itemSchedule != 0 {
		if it.due = r.Int(); it.due == 0 {
			it.dueErr = r.Uint()
		}
	}
	if it.flags&itemChained != 0 {
		it.chain = r.Uint()
	}
	it.subject = r.Bytes()
	if it.flags&itemHeader != 0 {
		it.header = r.Bytes()
	}
	it.data = r.Bytes()
	return !r.Bad
}

// appendHead begins an entry.
func appendHead(dst []byte, kind byte, now int64) []byte {
	dst = append(dst, kind)
	dst = binary.AppendVarint(dst, now)
	return binary.AppendUvarint(dst, featureLevel)
}

// Builder makes an entry of messages that publishers sent. It keeps nothing of what it is
// given, and may be used again for the next entry. The zero Builder is ready.
type Builder struct {
	// MaxPayload is the server's, in bytes; a counter's total must fit it. 0 is no bound.
	MaxPayload int
	buf        []byte
}

// Begin starts an entry behind what dst holds; now is nanoseconds since 1970.
func (b *Builder) Begin(dst []byte, now int64) {
	b.buf = binary.AppendUvarint(appendHead(dst, kindPublish, now), uint64(max(b.MaxPayload, 0)))
}

// Add adds a message. header is its block, without the server's internal headers; empty for none.
func (b *Builder) Add(subject, header, data []byte, v Verdict) {
	if len(header) == 0 && v == (Verdict{}) {
		buf := append(b.buf, 0)
		buf = binary.AppendUvarint(buf, uint64(len(subject)))
		buf = append(buf, subject...)
		buf = binary.AppendUvarint(buf, uint64(len(data)))
		b.buf = append(buf, data...)
		return
	}
	b.buf = appendItem(b.buf, 0, subject, header, data, v)
}

// Bytes is dst of Begin and the entry. It is the caller's from now on.
func (b *Builder) Bytes() []byte {
	buf := b.buf
	b.buf = nil
	return buf
}

// badEntry says what cannot be read.
func badEntry(kind byte) error {
	return fmt.Errorf("%w: kind %d, version %d", codec.ErrUnreadable, kind&kindMask, kind>>5)
}
