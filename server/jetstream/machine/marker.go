package machine

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// markers are the stored messages that mark the end of their subject: when such a one expires, no other
// marker follows.
type markers struct{ seqs map[uint64]struct{} }

func (k *markers) add(seq uint64) {
	if k.seqs == nil {
		k.seqs = make(map[uint64]struct{})
	}
	k.seqs[seq] = struct{}{}
}

// take forgets a message, and tells whether it was a marker.
func (k *markers) take(seq uint64) bool {
	if len(k.seqs) == 0 {
		return false
	}
	_, ok := k.seqs[seq]
	delete(k.seqs, seq)
	return ok
}

func (k *markers) clear() { k.seqs = nil }

func (k *markers) snapshot(dst []byte) []byte {
	seqs := make([]uint64, 0, len(k.seqs))
	for seq := range k.seqs { //lockstep:ordered sorted below
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	dst = binary.AppendUvarint(dst, uint64(len(seqs)))
	last := uint64(0)
	for _, seq := range seqs {
		dst = binary.AppendUvarint(dst, seq-last)
		last = seq
	}
	return dst
}

func (k *markers) restore(r *codec.Reader) {
	seq := uint64(0)
	for range r.Count(1) {
		seq += r.Uint()
		k.add(seq)
	}
}

// trackMarkers tells whether markers are looked out for: only where messages can end by themselves
// and leave a marker, now or after an update.
func (m *Machine) trackMarkers() bool { return m.cfg.AllowMsgTTL || m.cfg.SubjectDeleteMarkerTTL > 0 }

// expireMax bounds what one entry removes by age.
const expireMax = 4096

// EncodeExpire appends an entry that removes what is over its age or TTL at now, up to a bound;
// what is left is due at once.
func EncodeExpire(dst []byte, now int64) []byte {
	return binary.AppendUvarint(appendHead(dst, kindExpire, now), expireMax)
}

func (m *Machine) applyExpire(r *codec.Reader) {
	limit := r.Uint()
	m.proposals.expire = false
	if r.Bad || limit > 1<<20 {
		r.Fail()
		return
	}
	if m.cfg.Sealed {
		return
	}
	m.expiring = m.cfg.SubjectDeleteMarkerTTL > 0
	if m.store.Expire(m.now, int(limit)) {
		m.proposals.expireAt = 0
	}
	m.expiring = false
	for i, subj := range m.ended {
		m.mark(subj)
		m.ended[i] = ""
	}
	m.ended = m.ended[:0]
}

// mark stores the marker of a subject's end.
func (m *Machine) mark(subj string) {
	if m.store.Subject([]byte(subj)).Count > 0 {
		return
	}
	ttl := m.cfg.SubjectDeleteMarkerTTL
	b := append(m.headerBuf[:0], api.HeaderLine...)
	b = api.AppendHeader(b, api.HdrMarkerReason, api.MarkerMaxAge)
	b = api.AppendHeader(b, api.HdrTTL, ttl.String())
	b = api.AppendHeader(b, api.HdrRollup, api.RollupSubject)
	m.headerBuf = append(b, "\r\n"...)
	m.head.Parse(m.headerBuf)
	msg := m.next(&item{subject: []byte(subj), header: m.headerBuf})
	if m.unwanted(msg) {
		m.skip(msg)
		return
	}
	msg.ttl = msgs.TTL{Deadline: m.now + int64(max(ttl, time.Second))}
	if _, err := m.put(msg); err != nil { // only where a new message would be discarded
		m.hash = mix(m.hash, uint64(err.ErrCode))
	}
}
