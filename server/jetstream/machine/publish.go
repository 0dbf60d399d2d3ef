package machine

import (
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/wire"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// message is one on its way into the store.
type message struct {
	seq     uint64 // 0: the next
	time    int64
	subject []byte
	header  []byte
	data    []byte
	ttl     msgs.TTL
	h       *api.PublishHeaders // of the header that came; its Has is 0 without header

	rollup   rollup
	due      int64  // of a schedule; 0 when it is none
	value    []byte // of a counter, for the ack
	remember bool   // its id
	copied   bool   // from an origin: permissions were checked there
}

type rollup uint8

const (
	noRollup rollup = iota
	rollupSubject
	rollupAll
)

// applyPublish applies messages of publishers, one after another.
func (m *Machine) applyPublish(r *codec.Reader) {
	m.maxPayload = int(r.Uint())
	it := &m.it
	for i := 0; r.More(); i++ {
		if !it.read(r) {
			return
		}
		if m.features.plain && it.flags == 0 && m.fits(it) {
			m.publishPlain(i, it)
			continue
		}
		m.publish(i, it)
	}
}

// fits tells that a message without header breaks no bound on its size.
func (m *Machine) fits(it *item) bool {
	return (m.features.maxMsgSize == 0 || len(it.data) <= m.features.maxMsgSize) && !tooLarge(it)
}

// tooLarge tells that no store takes the message.
func tooLarge(it *item) bool {
	return msgs.FileSize(len(it.subject), len(it.header), len(it.data)) > msgs.RecordMax
}

// publishPlain is publish of a message with nothing to check but the store's limits.
func (m *Machine) publishPlain(i int, it *item) {
	s := &m.stored
	s.Previous = 0
	if m.cfg.RePublish != nil || m.schedules.any() || m.limits.DiscardNewPerSubject {
		m.publish(i, it)
		return
	}
	m.holding = true
	at := max(m.now, m.lastTime)
	seq, err := m.store.Append(0, at, it.subject, nil, it.data, msgs.TTL{})
	if err != nil {
		m.tellRemoved()
		m.refuse(i, storeError(err))
		return
	}
	m.lastTime = at
	m.lastID = m.lastID[:0]
	m.hash = mix(m.hash, seq)
	s.Seq, s.Time, s.Subject, s.Header, s.Data = seq, at, it.subject, nil, it.data
	m.effects.Stored(s)
	m.tellRemoved()
	m.acked(i, seq, false)
}

// acked tells that a message is stored; its ack has nothing but a sequence.
func (m *Machine) acked(i int, seq uint64, duplicate bool) {
	a := &m.ack
	a.Sequence, a.Duplicate, a.Value, a.BatchId, a.BatchSize = seq, duplicate, "", "", 0
	m.effects.Acked(i, a)
}

// next makes the message at hand of an item.
func (m *Machine) next(it *item) *message {
	m.msg = message{time: m.now, subject: it.subject, header: it.header, data: it.data, h: &m.head}
	return &m.msg
}

// publish checks a message and stores it.
func (m *Machine) publish(i int, it *item) {
	if it.chain != 0 && m.broken.has(it.chain) {
		m.refuse(i, api.ErrBatchPublishUnknownBatchID)
		return
	}
	msg := m.next(it)
	msg.remember = true
	m.head.Parse(it.header)
	it.subject = m.transform(it.subject, m.now, i)
	msg.subject = it.subject
	outcome, err := m.check(it, msg)
	switch {
	case err != nil:
		m.broken.add(it.chain)
		m.refuse(i, err)
	case outcome.duplicate:
		m.hash = mix(m.hash, outcome.seq)
		m.acked(i, outcome.seq, true)
	case outcome.unwanted:
		m.acked(i, m.skip(msg), false)
	default:
		m.publishChecked(i, it, msg)
	}
}

func (m *Machine) publishChecked(i int, it *item, msg *message) {
	seq, err := m.put(msg)
	if err != nil {
		m.broken.add(it.chain)
		m.refuse(i, err)
		return
	}
	if msg.value != nil {
		a := &m.ack
		a.Sequence, a.Duplicate, a.Value, a.BatchId, a.BatchSize = seq, false, string(msg.value), "", 0
		m.effects.Acked(i, a)
		return
	}
	m.acked(i, seq, false)
}

// skip uses a sequence for a message that nobody wants.
func (m *Machine) skip(msg *message) uint64 {
	seq := m.store.State().Last + 1
	if msg.seq != 0 {
		seq = msg.seq
	}
	m.lastTime = max(m.lastTime, msg.time)
	m.store.Skip(seq, m.lastTime)
	m.lastID = m.lastID[:0]
	if msg.h.Has&api.HasMsgID != 0 {
		m.lastID = append(m.lastID, msg.h.MsgID...)
	}
	m.remember(msg, seq)
	m.hash = mix(m.hash, seq)
	return seq
}

// remember notes the id of a message.
func (m *Machine) remember(msg *message, seq uint64) {
	if msg.remember && msg.h.Has&api.HasMsgID != 0 {
		m.dedupe.add(msg.h.MsgID, seq, msg.time)
	}
}

// put stores a message that passed all checks but the store's limits, and does what storing brings
// about.
func (m *Machine) put(msg *message) (uint64, *api.Error) {
	s := &m.stored
	s.Previous = 0
	if m.cfg.RePublish != nil {
		s.Previous = m.store.Subject(msg.subject).Last
	}
	m.holding = true
	if msg.rollup != noRollup || m.limits.DiscardNewPerSubject {
		if err := m.store.Admit(msg.subject, len(msg.header), len(msg.data), msg.rollup != noRollup); err != nil {
			m.holding = false
			return 0, storeError(err)
		}
	}
	if msg.rollup != noRollup {
		m.rollUp(msg)
	}
	at := max(msg.time, m.lastTime)
	seq, err := m.store.Append(msg.seq, at, msg.subject, msg.header, msg.data, msg.ttl)
	if err != nil {
		m.tellRemoved()
		return 0, storeError(err)
	}
	m.lastTime = at
	m.hash = mix(m.hash, seq)
	m.lastID = m.lastID[:0]
	if msg.h.Has != 0 {
		m.noteHeaders(msg, seq)
	}
	s.Seq, s.Time, s.Subject, s.Header, s.Data = seq, at, msg.subject, msg.header, msg.data
	m.effects.Stored(s)
	m.tellRemoved()
	m.afterStored(msg, seq)
	return seq, nil
}

// rollUp removes what the message replaces. It happens before the message is stored, so that a
// per-subject limit does not refuse it; what is told to the outside comes after it.
func (m *Machine) rollUp(msg *message) {
	if msg.rollup == rollupAll {
		m.purge(nil)
	} else if m.store.Subject(msg.subject).Count > 0 {
		m.purge(msgs.NewFilter(string(msg.subject)))
	}
}

// noteHeaders keeps what headers of a stored message mean for later.
func (m *Machine) noteHeaders(msg *message, seq uint64) {
	h := msg.h
	if h.Has&api.HasMsgID != 0 {
		m.lastID = append(m.lastID, h.MsgID...)
		m.remember(msg, seq)
	}
	if m.trackMarkers() && h.IsMarker() {
		m.markers.add(seq)
	}
}

// afterStored starts and ends schedules.
func (m *Machine) afterStored(msg *message, seq uint64) {
	if !m.cfg.AllowMsgSchedules {
		return
	}
	if msg.due != 0 {
		m.schedules.set(string(msg.subject), seq, msg.due)
	} else if m.schedules.any() {
		m.schedules.drop(string(msg.subject))
	}
	const ends = api.HasScheduler | api.HasScheduleNext
	if msg.h.Has&ends == ends && string(msg.h.ScheduleNext) == api.ScheduleNextPurge {
		m.endSchedule(string(msg.h.Scheduler))
	}
}

// lifetime sets the TTL of a message from its header; the header may be rewritten. The value
// was checked.
func (m *Machine) lifetime(msg *message, ttl time.Duration) {
	if ttl == api.Never {
		msg.ttl = msgs.TTL{Never: true}
		return
	}
	if least := m.cfg.SubjectDeleteMarkerTTL; ttl < least && m.cfg.MaxMsgsPer != 1 && !msg.copied {
		ttl = least
		m.valueBuf = api.AppendSeconds(m.valueBuf[:0], ttl)
		m.setHeader(msg, api.HdrTTL, string(m.valueBuf))
	}
	if deadline := msg.time + int64(ttl); deadline > msg.time {
		msg.ttl = msgs.TTL{Deadline: deadline}
	}
}

// setHeader sets a header of a message, in a buffer of the machine's.
func (m *Machine) setHeader(msg *message, name, value string) {
	m.headerAlt = wire.AppendHeaderSet(m.headerAlt[:0], msg.header, name, value)
	msg.header = m.headerAlt
	m.headerAlt, m.headerBuf = m.headerBuf, m.headerAlt
}

func quoted(p []byte) string { return strconv.Quote(string(p)) }
