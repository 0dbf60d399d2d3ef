package consumer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// Kinds of events, the first byte of each. The numbers are on disk: a change of meaning is a
// new number. Two bits are kept for a future format.
const (
	evDeliver  byte = 1  // new messages were sent
	evAgain    byte = 2  // messages are or were sent again
	evAck      byte = 3  // one message is done
	evAckAll   byte = 4  // all up to one are done
	evNak      byte = 5  // one must be sent again, at a time
	evProgress byte = 6  // the ack wait of one begins anew
	evExhaust  byte = 7  // messages are out of deliveries
	evHorizon  byte = 8  // consumer sequences that may be used
	evMove     byte = 9  // the position, without deliveries
	evPresume  byte = 10 // messages that may have been sent before a crash
	evPause    byte = 11
	evReset    byte = 12
)

// errEvent: an event cannot be read.
var errEvent = errors.New("unreadable consumer event")

// eventMsgsMax is the most messages that one event speaks of.
const eventMsgsMax = 1 << 14

// run is n messages at adjacent sequences.
type run struct{ first, n uint64 }

func (r run) last() uint64 { return r.first + r.n - 1 }

// addRun appends a sequence, which is higher than all others.
func addRun(runs []run, seq uint64) []run {
	if n := len(runs); n > 0 && runs[n-1].first+runs[n-1].n == seq {
		runs[n-1].n++
		return runs
	}
	return append(runs, run{seq, 1})
}

// again is one redelivery.
type again struct {
	seq   uint64
	count uint32
}

// event is a decoded or yet to be encoded event. Which fields count depends on the kind.
type event struct {
	kind  byte
	at    int64   // deliver, again, presume, progress, nak with a delay: wall clock of it; pause: until
	delay int64   // nak: before it is sent again, in nanoseconds; 0 is at once
	dseq  uint64  // deliver: of the first message; again, horizon, move, presume: last used
	seq   uint64  // ack, nak, progress, ackAll; move, reset: the next to look at
	last  uint64  // horizon: may be used
	count uint32  // presume
	runs  []run   // deliver, presume, exhaust; ackAll, move: what is done
	again []again // again
}

// append encodes e.
func (e *event) append(dst []byte) []byte {
	dst = append(dst, e.kind)
	switch e.kind {
	case evDeliver:
		dst = binary.AppendVarint(dst, e.at)
		dst = binary.AppendUvarint(dst, e.dseq)
		dst = appendRuns(dst, e.runs)
	case evAgain:
		dst = binary.AppendVarint(dst, e.at)
		dst = binary.AppendUvarint(dst, e.dseq)
		dst = binary.AppendUvarint(dst, uint64(len(e.again)))
		prev := uint64(0)
		for _, a := range e.again {
			dst = binary.AppendVarint(dst, int64(a.seq-prev))
			dst = binary.AppendUvarint(dst, uint64(a.count))
			prev = a.seq
		}
	case evAck:
		dst = binary.AppendUvarint(dst, e.seq)
	case evAckAll:
		dst = binary.AppendUvarint(dst, e.seq)
		dst = appendRuns(dst, e.runs)
	case evHorizon:
		dst = binary.AppendUvarint(dst, e.dseq)
		dst = binary.AppendUvarint(dst, e.last)
	case evNak:
		dst = binary.AppendUvarint(dst, e.seq)
		dst = binary.AppendVarint(dst, e.delay)
		if e.delay != 0 {
			dst = binary.AppendVarint(dst, e.at)
		}
	case evProgress:
		dst = binary.AppendUvarint(dst, e.seq)
		dst = binary.AppendVarint(dst, e.at)
	case evExhaust:
		dst = appendRuns(dst, e.runs)
	case evMove:
		dst = binary.AppendUvarint(dst, e.seq)
		dst = binary.AppendUvarint(dst, e.dseq)
		dst = appendRuns(dst, e.runs)
	case evReset:
		dst = binary.AppendUvarint(dst, e.seq)
	case evPresume:
		dst = binary.AppendVarint(dst, e.at)
		dst = binary.AppendUvarint(dst, e.dseq)
		dst = binary.AppendUvarint(dst, uint64(e.count))
		dst = appendRuns(dst, e.runs)
	case evPause:
		dst = binary.AppendVarint(dst, e.at)
	default:
		panic(fmt.Sprintf("event of kind %d", e.kind))
	}
	return dst
}

// appendRuns writes runs, each as its distance from the end of the one before, and its length.
func appendRuns(dst []byte, runs []run) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	prev := uint64(0)
	for _, r := range runs {
		dst = binary.AppendUvarint(dst, r.first-prev)
		dst = binary.AppendUvarint(dst, r.n)
		prev = r.first + r.n
	}
	return dst
}

// decode reads an event into e, whose slices are reused.
func (e *event) decode(p []byte) error {
	*e = event{runs: e.runs[:0], again: e.again[:0]}
	if len(p) == 0 {
		return fmt.Errorf("%w: it is empty", errEvent)
	}
	d := reader{codec.Reader{P: p[1:]}}
	e.kind = p[0]
	switch e.kind {
	case evDeliver:
		e.at, e.dseq = d.Int(), d.Uint()
		e.runs = d.runs(e.runs)
	case evAgain:
		e.at, e.dseq = d.Int(), d.Uint()
		e.again = d.again(e.again)
	case evAck, evReset:
		e.seq = d.sequence()
	case evAckAll:
		e.seq = d.sequence()
		e.runs = d.runs(e.runs)
	case evHorizon:
		e.dseq, e.last = d.Uint(), d.Uint()
	case evNak:
		if e.seq, e.delay = d.sequence(), d.Int(); e.delay != 0 {
			e.at = d.Int()
		}
	case evProgress:
		e.seq, e.at = d.sequence(), d.Int()
	case evExhaust:
		e.runs = d.runs(e.runs)
	case evMove:
		e.seq, e.dseq = d.sequence(), d.Uint()
		e.runs = d.runs(e.runs)
	case evPresume:
		e.at, e.dseq, e.count = d.Int(), d.Uint(), uint32(d.Uint())
		e.runs = d.runs(e.runs)
	case evPause:
		e.at = d.Int()
	default:
		return fmt.Errorf("%w: kind %d is not known to this version", errEvent, e.kind)
	}
	if d.Bad || len(d.P) > 0 {
		return fmt.Errorf("%w: kind %d, %d bytes", errEvent, e.kind, len(p))
	}
	return nil
}

// reader reads what events and snapshots consist of.
type reader struct{ codec.Reader }

// sequence reads a number above 0.
func (d *reader) sequence() uint64 {
	v := d.Uint()
	if v == 0 {
		d.Fail()
	}
	return v
}

// runs reads ascending runs that do not touch sequence 0 and do not wrap.
func (d *reader) runs(dst []run) []run {
	total, end := uint64(0), uint64(0)
	for range d.Count(1) {
		gap, n := d.Uint(), d.Uint()
		first := end + gap
		total += n
		if n == 0 || n > eventMsgsMax || total > eventMsgsMax || first == 0 || first < end || first+n < first {
			d.Fail()
			return dst
		}
		dst = append(dst, run{first, n})
		end = first + n
	}
	return dst
}

func (d *reader) again(dst []again) []again {
	seq := uint64(0)
	for range d.Count(1) {
		seq += uint64(d.Int())
		dst = append(dst, again{seq, uint32(d.Uint())})
	}
	return dst
}

// IsReset tells whether an event moves its consumer back, so that it may need again what it was
// done with.
func IsReset(event []byte) bool { return len(event) > 0 && event[0] == evReset }
