package machine

import (
	"container/heap"
	"encoding/binary"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/wire"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// proposals are what a leader has under way. They are no part of the state.
type proposals struct {
	expire   bool  // an entry that expires messages is proposed and not applied
	expireAt int64 // not before: messages expire a batch at a time
	ready    []*firing
	fetching int
}

// firing is the making of the message of a schedule that is due.
type firing struct {
	of       *schedule
	schedule msgs.Msg
	source   msgs.Msg // whose body and headers are sent; Seq 0 for the schedule's own
	loaded   bool     // schedule is there
	done     bool     // source is there, or not needed
	gone     bool     // what it needs does not exist any more
}

// Granularity of what happens by itself, in nanoseconds.
const granularity = int64(250 * time.Millisecond)

// entryFires bounds the messages that one entry fires.
const entryFires = 64

// Deadline is when [Machine.Due] will have something to propose, in nanoseconds since 1970; 0 is never.
func (m *Machine) Deadline() int64 {
	at := m.nextExpiry()
	if at != 0 {
		at = max(at, m.proposals.expireAt)
	}
	next := m.schedules.next()
	if len(m.proposals.ready) > 0 {
		next = 1
	}
	if next != 0 && (at == 0 || next < at) {
		at = next
	}
	return at
}

// nextExpiry is when a message expires whose expiry is not proposed; 0 is never.
func (m *Machine) nextExpiry() int64 {
	if m.proposals.expire || m.cfg.Sealed { // what is sealed never leaves
		return 0
	}
	return m.store.NextExpiry()
}

// Due appends an entry of what is due at now, for a leader to propose: messages that expire,
// or schedules that fire. It gives nil when nothing is due, or when what a schedule needs has to be fetched;
// again is called, on the strand, when there is something to propose then. A leader calls it
// until it gives nil, and what it gave counts as proposed until it is applied, or [Machine.Forget]
// is called.
func (m *Machine) Due(dst []byte, now int64, again func()) []byte {
	p := &m.proposals
	if at := m.nextExpiry(); at != 0 && at <= now && p.expireAt <= now {
		p.expire = true
		p.expireAt = now + granularity
		return EncodeExpire(dst, now)
	}
	m.collectDue(now, again)
	if len(p.ready) == 0 {
		return nil
	}
	return m.encodeFires(dst, now)
}

// Forget gives up what Due proposed and is not applied: this server leads no more, or again.
func (m *Machine) Forget() {
	m.proposals = proposals{}
	q := &m.schedules.queue
	for _, s := range m.schedules.bySubject { //lockstep:ordered the queue orders them
		if s.place < 0 {
			heap.Push(q, s)
		}
	}
}

// collectDue takes schedules that are due out of the queue, and gets what they send.
func (m *Machine) collectDue(now int64, again func()) {
	t, p := &m.schedules, &m.proposals
	for len(t.queue) > 0 && t.queue[0].due <= now && len(p.ready)+p.fetching < entryFires {
		f := &firing{of: heap.Pop(&t.queue).(*schedule)}
		m.advance(f, again)
	}
}

// advance gets the next message that a firing needs, until it has all.
func (m *Machine) advance(f *firing, again func()) {
	for !f.done && !f.gone {
		seq := f.of.seq
		if f.loaded {
			seq = m.sourceOf(f)
			if seq == 0 {
				f.done = true
				break
			}
		}
		got, found := m.store.Load(seq)
		switch found {
		case msgs.Cached:
			f.take(got)
		case msgs.None:
			f.gone = true
		case msgs.Cold:
			m.fetch(f, seq, again)
			return
		}
	}
	if m.schedules.bySubject[f.of.subject] == f.of && !f.gone {
		m.proposals.ready = append(m.proposals.ready, f)
	}
}

func (f *firing) take(got msgs.Msg) {
	if f.loaded {
		f.source, f.done = got, true
	} else {
		f.schedule, f.loaded = got, true
	}
}

// sourceOf is the newest message of the subject that a schedule takes its messages from.
func (m *Machine) sourceOf(f *firing) uint64 {
	source := api.HeaderValue(f.schedule.Header, api.HdrScheduleSource)
	if len(source) == 0 {
		return 0
	}
	return m.store.Subject(source).Last
}

func (m *Machine) fetch(f *firing, seq uint64, again func()) {
	p := &m.proposals
	p.fetching++
	m.store.Fetch(seq, func(got msgs.Msg, err error) {
		p.fetching = max(p.fetching-1, 0)
		if m.schedules.bySubject[f.of.subject] != f.of || f.of.place >= 0 {
			return // ended or given up meanwhile
		}
		if err != nil {
			f.gone = true // damaged: it cannot be sent
			return
		}
		f.take(got)
		m.advance(f, again)
		if len(p.ready) > 0 {
			again()
		}
	})
}

// encodeFires appends an entry of the firings that are ready.
func (m *Machine) encodeFires(dst []byte, now int64) []byte {
	p := &m.proposals
	dst = appendHead(dst, kindFire, now)
	head := len(dst)
	for _, f := range p.ready {
		if m.schedules.bySubject[f.of.subject] == f.of && f.of.place < 0 {
			dst = m.appendFiring(dst, f, now)
		}
	}
	p.ready = p.ready[:0]
	if len(dst) == head {
		return nil
	}
	return dst
}

func (m *Machine) appendFiring(dst []byte, f *firing, now int64) []byte {
	var h api.PublishHeaders
	h.Parse(f.schedule.Header)
	next := nextDue(&h, f.of.due, now)
	dst = codec.AppendBytes(dst, f.of.subject)
	dst = binary.AppendUvarint(dst, f.of.seq)
	dst = binary.AppendVarint(dst, f.of.due)
	dst = binary.AppendVarint(dst, next)
	from := &f.schedule
	if f.source.Seq != 0 {
		from = &f.source
	}
	return appendItem(dst, 0, h.ScheduleTarget, firedHeader(&h, f.of.subject, from.Header, next), from.Data, Verdict{})
}

// firedHeader is the header block of a message that a schedule generates: what the message had that
// it is made from, but for what concerns the schedule itself.
func firedHeader(h *api.PublishHeaders, subj string, from []byte, next int64) []byte {
	b := append(make([]byte, 0, len(from)+128), api.HeaderLine...)
	for name, value := range wire.Headers(from) {
		if !isScheduleHeader(string(name)) {
			b = api.AppendHeader(b, string(name), string(value))
		}
	}
	b = api.AppendHeader(b, api.HdrScheduler, subj)
	if next == 0 {
		b = api.AppendHeader(b, api.HdrScheduleNext, api.ScheduleNextPurge)
	} else {
		b = api.AppendHeader(b, api.HdrScheduleNext, time.Unix(0, next).UTC().Format(time.RFC3339))
	}
	if h.Has&api.HasScheduleTTL != 0 {
		b = api.AppendHeader(b, api.HdrTTL, string(h.ScheduleTTL))
	}
	if h.Has&api.HasScheduleRollup != 0 {
		b = api.AppendHeader(b, api.HdrRollup, string(h.ScheduleRollup))
	}
	return append(b, "\r\n"...)
}
