package msgs

import (
	"math"
	"slices"
	"sort"

	"github.com/lockstepmq/lockstep/server/subject"
)

// removal is what OnRemove was told.
type removal struct {
	seq           uint64
	subject       string
	size          int
	why           Why
	lastOfSubject bool
}

// modelMsg is a message of the model.
type modelMsg struct {
	Msg
	ttl TTL
}

// model is the naive store: a list of messages, walked for every question.
type model struct {
	file     bool
	list     []modelMsg
	last     uint64
	lastTime int64
	limits   Limits
	removed  []removal
}

func (m *model) size(x modelMsg) int {
	if m.file {
		return FileSize(len(x.Subject), len(x.Header), len(x.Data))
	}
	return MemorySize(len(x.Subject), len(x.Header), len(x.Data))
}

func (m *model) bytes() (n int64) {
	for _, x := range m.list {
		n += int64(m.size(x))
	}
	return n
}

func (m *model) of(subj string) (list []modelMsg) {
	for _, x := range m.list {
		if x.Subject == subj {
			list = append(list, x)
		}
	}
	return list
}

func (m *model) match(f *Filter, x modelMsg) bool {
	if f == nil || len(f.Patterns) == 0 {
		return true
	}
	for _, p := range f.Patterns {
		if subject.Matches(x.Subject, p) {
			return true
		}
	}
	return false
}

func (m *model) matching(f *Filter, from, to uint64) (list []modelMsg) {
	for _, x := range m.list {
		if x.Seq >= from && x.Seq <= to && m.match(f, x) {
			list = append(list, x)
		}
	}
	return list
}

func (m *model) newest(f *Filter, upTo uint64) (seqs []uint64) {
	last := map[string]uint64{}
	for _, x := range m.matching(f, 0, upTo) {
		last[x.Subject] = x.Seq
	}
	for _, seq := range last {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return seqs
}

func (m *model) find(seq uint64) (modelMsg, bool) {
	for _, x := range m.list {
		if x.Seq == seq {
			return x, true
		}
	}
	return modelMsg{}, false
}

func (m *model) remove(seq uint64, why Why, tell bool) bool {
	for i, x := range m.list {
		if x.Seq == seq {
			m.list = slices.Delete(slices.Clone(m.list), i, i+1)
			if tell {
				m.removed = append(m.removed, removal{seq, x.Subject, m.size(x), why, len(m.of(x.Subject)) == 0})
			}
			return true
		}
	}
	return false
}

func (m *model) admit(x modelMsg, replaces bool) error {
	l := m.limits
	if !l.DiscardNew {
		return nil
	}
	same := m.of(x.Subject)
	full := l.PerSubject > 0 && int64(len(same)) >= l.PerSubject
	switch {
	case full && l.DiscardNewPerSubject && !replaces:
		return ErrMaxMsgsPerSubject
	case l.Msgs > 0 && int64(len(m.list)) >= l.Msgs && !full:
		return ErrMaxMsgs
	case l.Bytes > 0 && m.bytes()+int64(m.size(x)) > l.Bytes && !(full && m.size(same[0]) >= m.size(x)):
		return ErrMaxBytes
	}
	return nil
}

func (m *model) append(x modelMsg) error {
	if err := m.admit(x, true); err != nil {
		return err
	}
	if x.Seq == 0 {
		x.Seq = m.last + 1
	}
	x.Time = max(x.Time, m.lastTime)
	m.last, m.lastTime = x.Seq, x.Time
	m.list = append(m.list, x)
	m.enforce()
	return nil
}

// enforce removes by all limits in order of sequence: first it finds what, then it removes.
func (m *model) enforce() {
	l := m.limits
	gone := map[uint64]bool{}
	if l.PerSubject > 0 {
		for _, x := range m.list {
			if same := m.of(x.Subject); int64(len(same)) > l.PerSubject {
				for _, y := range same[:int64(len(same))-l.PerSubject] {
					gone[y.Seq] = true
				}
			}
		}
	}
	count, bytes := int64(len(m.list)), m.bytes()
	for _, x := range m.list {
		if gone[x.Seq] {
			count, bytes = count-1, bytes-int64(m.size(x))
		}
	}
	for _, x := range m.list {
		if l.DiscardNew || !(l.Msgs > 0 && count > l.Msgs || l.Bytes > 0 && bytes > l.Bytes) {
			break
		}
		if !gone[x.Seq] {
			gone[x.Seq] = true
			count, bytes = count-1, bytes-int64(m.size(x))
		}
	}
	for _, x := range m.list {
		if gone[x.Seq] {
			m.remove(x.Seq, ByLimit, true)
		}
	}
}

// lower puts limits in force: what a subject has too many of goes first, then the oldest of all.
func (m *model) lower(l Limits) {
	m.limits = l
	for _, x := range slices.Clone(m.list) {
		if l.PerSubject > 0 && int64(len(m.of(x.Subject))) > l.PerSubject {
			m.remove(x.Seq, ByLimit, true)
		}
	}
	m.enforce()
}

func (m *model) skip(seq uint64, at int64) {
	if seq > m.last {
		m.last, m.lastTime = seq, max(m.lastTime, at)
	}
}

func (m *model) purge(f *Filter, before, keep uint64) uint64 {
	to := uint64(math.MaxUint64)
	if before != 0 {
		to = before - 1
	}
	list := m.matching(f, 0, to)
	n := max(len(list)-int(keep), 0)
	for _, x := range list[:n] {
		m.remove(x.Seq, ByPurge, true)
	}
	if f.none() && keep == 0 && before > m.last+1 {
		m.last = before - 1
	}
	return uint64(n)
}

// ends is when a message ends; 0 is never.
func (m *model) ends(x modelMsg) int64 {
	end := x.ttl.Deadline
	if m.limits.Age > 0 && !x.ttl.Never && (end == 0 || x.Time+m.limits.Age < end) {
		end = x.Time + m.limits.Age
	}
	return end
}

func (m *model) nextExpiry() (next int64) {
	for _, x := range m.list {
		if e := m.ends(x); e != 0 && (next == 0 || e < next) {
			next = e
		}
	}
	return next
}

// expire removes everything that is due, as a store asked without a bound does.
func (m *model) expire(now int64) {
	for _, x := range slices.Clone(m.list) {
		if e := m.ends(x); e != 0 && e <= now {
			m.remove(x.Seq, ByAge, true)
		}
	}
}

func (m *model) state() State {
	st := State{Msgs: uint64(len(m.list)), Bytes: uint64(m.bytes()), First: m.last + 1, Last: m.last, LastTime: m.lastTime}
	if len(m.list) > 0 {
		st.First, st.FirstTime = m.list[0].Seq, m.list[0].Time
	}
	st.Deleted = st.Last + 1 - st.First - st.Msgs
	st.Subjects = len(m.newest(nil, math.MaxUint64))
	return st
}

func (m *model) subjects() (list []string) {
	seen := map[string]bool{}
	for _, x := range m.list {
		if !seen[x.Subject] {
			seen[x.Subject] = true
			list = append(list, x.Subject)
		}
	}
	sort.Strings(list)
	return list
}

func (m *model) clone() *model {
	c := *m
	c.list = slices.Clone(m.list)
	c.removed = nil
	return &c
}
