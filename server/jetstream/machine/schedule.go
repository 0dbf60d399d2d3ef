package machine

import (
	"container/heap"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// schedule is one in force: the message that describes it is the newest on its subject.
type schedule struct {
	subject string
	seq     uint64
	due     int64 // nanoseconds since 1970
	place   int   // in the queue; -1 while its firing is under way
}

// schedules are those of a stream, by subject, and those that wait in order of time.
type schedules struct {
	bySubject map[string]*schedule
	queue     dueQueue
}

type dueQueue []*schedule

func (q dueQueue) Len() int { return len(q) }
func (q dueQueue) Less(i, j int) bool {
	if q[i].due != q[j].due {
		return q[i].due < q[j].due
	}
	return q[i].seq < q[j].seq
}
func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}
func (q *dueQueue) Push(x any) {
	s := x.(*schedule)
	s.place = len(*q)
	*q = append(*q, s)
}
func (q *dueQueue) Pop() any {
	s := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	s.place = -1
	return s
}

func (t *schedules) init() { t.bySubject = make(map[string]*schedule) }

func (t *schedules) any() bool { return len(t.bySubject) > 0 }

// set puts a schedule in force, in place of the subject's earlier one.
func (t *schedules) set(subj string, seq uint64, due int64) {
	t.drop(subj)
	s := &schedule{subject: subj, seq: seq, due: due}
	t.bySubject[subj] = s
	heap.Push(&t.queue, s)
}

// drop ends the schedule of a subject.
func (t *schedules) drop(subj string) {
	s := t.bySubject[subj]
	if s == nil {
		return
	}
	delete(t.bySubject, subj)
	if s.place >= 0 {
		heap.Remove(&t.queue, s.place)
	}
}

// removed ends the schedule whose message is gone.
func (t *schedules) removed(subj string, seq uint64) {
	if s := t.bySubject[subj]; s != nil && s.seq == seq {
		t.drop(subj)
	}
}

// clear ends all.
func (t *schedules) clear() {
	clear(t.bySubject)
	t.queue = nil
}

// wait puts a schedule back in line, for due.
func (t *schedules) wait(s *schedule, due int64) {
	s.due = due
	if s.place >= 0 {
		heap.Fix(&t.queue, s.place)
		return
	}
	heap.Push(&t.queue, s)
}

// next is when a schedule is due whose firing is not under way; 0 for never.
func (t *schedules) next() int64 {
	if len(t.queue) == 0 {
		return 0
	}
	return max(t.queue[0].due, 1)
}

func (t *schedules) snapshot(dst []byte) []byte {
	subjects := make([]string, 0, len(t.bySubject))
	for subj := range t.bySubject { //lockstep:ordered sorted below
		subjects = append(subjects, subj)
	}
	slices.Sort(subjects)
	dst = binary.AppendUvarint(dst, uint64(len(subjects)))
	for _, subj := range subjects {
		s := t.bySubject[subj]
		dst = codec.AppendBytes(dst, subj)
		dst = binary.AppendUvarint(dst, s.seq)
		dst = binary.AppendVarint(dst, s.due)
	}
	return dst
}

func (t *schedules) restore(r *codec.Reader) {
	for range r.Count(3) {
		subj, seq, due := r.Text(), r.Uint(), r.Int()
		if r.Bad {
			return
		}
		t.set(subj, seq, due)
	}
}

// checkSchedule judges the headers of a schedule. The pattern and its time zone were judged by
// the leader.
func (m *Machine) checkSchedule(it *item, msg *message) *api.Error {
	h := msg.h
	if h.Has&api.HasSchedule == 0 && it.dueErr == 0 {
		return nil
	}
	switch {
	case !m.cfg.AllowMsgSchedules:
		return api.ErrMessageSchedulesDisabled
	case it.due == 0 && it.dueErr == uint64(api.ErrMessageSchedulesTimeZoneInvalid.ErrCode):
		return api.ErrMessageSchedulesTimeZoneInvalid
	case it.due == 0:
		return api.ErrMessageSchedulesPatternInvalid
	}
	if h.Has&api.HasScheduleTTL != 0 {
		if _, ok := api.ParseTTL(h.ScheduleTTL); !ok {
			return api.ErrMessageSchedulesTTLInvalid
		}
	}
	if h.Has&api.HasScheduleRollup != 0 && string(h.ScheduleRollup) != api.RollupSubject {
		return api.ErrMessageSchedulesRollupInvalid
	}
	if h.Has&api.HasScheduleTTL != 0 && !m.cfg.AllowMsgTTL {
		return api.ErrMessageTTLDisabled
	}
	if err := m.checkScheduleSubjects(msg); err != nil {
		return err
	}
	msg.due = it.due
	return m.scheduleRollup(msg)
}

// checkScheduleSubjects judges where a schedule's messages go and come from.
func (m *Machine) checkScheduleSubjects(msg *message) *api.Error {
	target, source := msg.h.ScheduleTarget, msg.h.ScheduleSource
	if msg.h.Has&api.HasScheduleTarget == 0 || !subject.ValidLiteral(target) || string(target) == string(msg.subject) {
		return api.ErrMessageSchedulesTargetInvalid
	}
	sourced := msg.h.Has&api.HasScheduleSource != 0
	if sourced && (!subject.ValidLiteral(source) || string(source) == string(target) || string(source) == string(msg.subject)) {
		return api.ErrMessageSchedulesSourceInvalid
	}
	if !m.ours(target) {
		return api.ErrMessageSchedulesTargetInvalid
	}
	if sourced && !m.ours(source) {
		return api.ErrMessageSchedulesSourceInvalid
	}
	return nil
}

// ours tells whether a subject is one of the stream's.
func (m *Machine) ours(subj []byte) bool {
	for _, s := range m.cfg.Subjects {
		if subject.Matches(subj, s) {
			return true
		}
	}
	return false
}

// scheduleRollup makes a schedule the only message of its subject.
func (m *Machine) scheduleRollup(msg *message) *api.Error {
	if msg.h.Has&api.HasRollup == 0 {
		m.setHeader(msg, api.HdrRollup, api.RollupSubject)
	} else if string(msg.h.Rollup) != api.RollupSubject {
		return api.ErrMessageSchedulesRollupInvalid
	}
	msg.rollup = rollupSubject
	return nil
}

// checkScheduler judges the headers by which a publisher ends a schedule.
func (m *Machine) checkScheduler(_ *item, msg *message) *api.Error {
	h := msg.h
	if h.Has&(api.HasScheduler|api.HasScheduleNext) == 0 {
		return nil
	}
	switch {
	case h.Has&api.HasScheduleNext == 0, h.Has&api.HasScheduler == 0, string(h.ScheduleNext) != api.ScheduleNextPurge,
		string(h.Scheduler) == string(msg.subject), !subject.ValidLiteral(h.Scheduler):
		return api.ErrMessageSchedulesSchedulerInvalid
	case !m.cfg.AllowMsgSchedules:
		return api.ErrMessageSchedulesDisabled
	}
	return nil
}

// endSchedule removes the message of a schedule, and the schedule with it.
func (m *Machine) endSchedule(subj string) {
	if s := m.schedules.bySubject[subj]; s != nil {
		m.remove(s.seq, false, msgs.ByDelete)
		m.schedules.drop(subj)
	}
}

// applyFire stores messages that schedules generated.
func (m *Machine) applyFire(r *codec.Reader) {
	m.maxPayload = 0
	it := &m.it
	for i := 0; r.More(); i++ {
		subj, seq, due, next := r.Bytes(), r.Uint(), r.Int(), r.Int()
		if !it.read(r) {
			return
		}
		s := m.schedules.bySubject[string(subj)]
		if s == nil || s.seq != seq || s.due != due {
			continue // it was replaced or ended meanwhile, or fired already
		}
		m.fire(i, s, next, it)
	}
}

// fireRetry is when a firing that limits refused is tried again, in nanoseconds.
const fireRetry = int64(10e9)

func (m *Machine) fire(i int, s *schedule, next int64, it *item) {
	m.head.Parse(it.header)
	it.subject = m.transform(it.subject, m.now, i)
	msg := m.next(it)
	if err := m.checkFired(it, msg); err != nil {
		m.refuse(i, err)
		m.schedules.wait(s, m.now+fireRetry)
		return
	}
	if next != 0 {
		m.schedules.wait(s, next)
	}
	var seq uint64
	if m.unwanted(msg) {
		seq = m.skip(msg)
	} else {
		var err *api.Error
		if seq, err = m.put(msg); err != nil {
			m.refuse(i, err)
			m.schedules.wait(s, m.now+fireRetry)
			return
		}
	}
	if next == 0 && m.schedules.bySubject[s.subject] == s {
		m.endSchedule(s.subject)
	}
	m.acked(i, seq, false)
}

// checkFired judges a generated message.
func (m *Machine) checkFired(it *item, msg *message) *api.Error {
	if m.cfg.Sealed {
		return api.ErrStreamSealed
	}
	if err := accountError(it.limits); err != nil {
		return err
	}
	if err := m.checkSizes(msg); err != nil {
		return err
	}
	if m.head.Has&api.HasRollup != 0 && m.cfg.AllowRollup {
		msg.rollup = rollupSubject
	}
	if m.head.Has&api.HasTTL != 0 && m.cfg.AllowMsgTTL {
		if ttl, ok := api.ParseTTL(m.head.TTL); ok {
			m.lifetime(msg, ttl)
		}
	}
	return nil
}

// isScheduleHeader tells which headers of a schedule do not pass to the messages that it generates.
func isScheduleHeader(name string) bool {
	return strings.HasPrefix(name, "Nats-Schedule") || strings.HasPrefix(name, "Nats-Expected-") ||
		name == api.HdrMsgID || name == api.HdrTTL || name == api.HdrRollup
}
