package machine

import (
	"slices"
	"sort"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// naiveStore is a store that a reader can see through: a list of messages. It can pretend that
// content is on disk only.
type naiveStore struct {
	msgs     []naiveMsg
	last     uint64
	lastTime int64
	limits   msgs.Limits
	removed  func(seq uint64, subject string, size int, why msgs.Why, lastOfSubject bool)
	cleared  func(first, last, msgs uint64)
	cold     bool     // Load finds nothing in memory
	fetches  []func() // answers to Fetch that are due
}

type naiveMsg struct {
	msgs.Msg
	ttl msgs.TTL
}

var _ msgs.Store = (*naiveStore)(nil)

func (s *naiveStore) sizeOf(subj, header, data int) int { return msgs.MemorySize(subj, header, data) }

func (s *naiveStore) size(m *naiveMsg) int {
	return s.sizeOf(len(m.Subject), len(m.Header), len(m.Data))
}

func (s *naiveStore) State() msgs.State {
	st := msgs.State{Msgs: uint64(len(s.msgs)), First: s.last + 1, Last: s.last, LastTime: s.lastTime}
	seen := map[string]bool{}
	for i := range s.msgs {
		st.Bytes += uint64(s.size(&s.msgs[i]))
		seen[s.msgs[i].Subject] = true
	}
	st.Subjects = len(seen)
	if len(s.msgs) > 0 {
		st.First, st.FirstTime = s.msgs[0].Seq, s.msgs[0].Time
		st.Deleted = st.Last - st.First + 1 - st.Msgs
	}
	return st
}

func (s *naiveStore) Subject(subj []byte) msgs.SubjectState {
	var st msgs.SubjectState
	for i := range s.msgs {
		if s.msgs[i].Subject == string(subj) {
			if st.Count == 0 {
				st.First = s.msgs[i].Seq
			}
			st.Count++
			st.Last = s.msgs[i].Seq
		}
	}
	return st
}

func (s *naiveStore) SetLimits(l msgs.Limits) {
	s.limits = l
	if l.PerSubject > 0 {
		for i := 0; i < len(s.msgs); {
			if s.Subject([]byte(s.msgs[i].Subject)).Count > uint64(l.PerSubject) {
				s.drop(i, msgs.ByLimit)
				continue
			}
			i++
		}
	}
	s.trim()
}

func (s *naiveStore) OnRemove(fn func(uint64, string, int, msgs.Why, bool)) { s.removed = fn }

func (s *naiveStore) OnClear(fn func(first, last, msgs uint64)) { s.cleared = fn }

// LimitStep does all of it.
func (s *naiveStore) LimitStep(w *msgs.Limiting, _ int) bool {
	s.SetLimits(w.Limits)
	return false
}

// drop removes the i-th message.
func (s *naiveStore) drop(i int, why msgs.Why) {
	m := s.msgs[i]
	s.msgs = slices.Delete(s.msgs, i, i+1)
	if s.removed != nil {
		s.removed(m.Seq, m.Subject, s.size(&m), why, s.Subject([]byte(m.Subject)).Count == 0)
	}
}

func (s *naiveStore) trim() {
	if s.limits.DiscardNew {
		return
	}
	for len(s.msgs) > 0 && (s.limits.Msgs > 0 && int64(len(s.msgs)) > s.limits.Msgs ||
		s.limits.Bytes > 0 && int64(s.State().Bytes) > s.limits.Bytes) {
		s.drop(0, msgs.ByLimit)
	}
}

func (s *naiveStore) Admit(subj []byte, header, data int, replaces bool) error {
	l := s.limits
	if header+data+len(subj) > msgs.RecordMax {
		return msgs.ErrTooLarge
	}
	if !l.DiscardNew {
		return nil
	}
	of := s.Subject(subj)
	full := l.PerSubject > 0 && int64(of.Count) >= l.PerSubject
	switch {
	case full && l.DiscardNewPerSubject && !replaces:
		return msgs.ErrMaxMsgsPerSubject
	case l.Msgs > 0 && int64(len(s.msgs)) >= l.Msgs && !full:
		return msgs.ErrMaxMsgs
	}
	size := s.sizeOf(len(subj), header, data)
	if l.Bytes > 0 && int64(s.State().Bytes)+int64(size) > l.Bytes {
		if room, _ := s.SizeOf(of.First); !full || room < size {
			return msgs.ErrMaxBytes
		}
	}
	return nil
}

func (s *naiveStore) Append(seq uint64, at int64, subj, header, data []byte, ttl msgs.TTL) (uint64, error) {
	if err := s.Admit(subj, len(header), len(data), true); err != nil {
		return 0, err
	}
	s.last = max(s.last+1, seq)
	at = max(s.lastTime, at)
	s.lastTime = at
	m := naiveMsg{msgs.Msg{Seq: s.last, Time: at, Subject: string(subj), Header: slices.Clone(header), Data: slices.Clone(data)}, ttl}
	s.msgs = append(s.msgs, m)
	for n := s.limits.PerSubject; n > 0 && int64(s.Subject(subj).Count) > n; {
		i, _ := s.find(s.Subject(subj).First)
		s.drop(i, msgs.ByLimit)
	}
	s.trim()
	return m.Seq, nil
}

func (s *naiveStore) Skip(seq uint64, at int64) {
	if seq > s.last {
		s.last, s.lastTime = seq, max(s.lastTime, at)
	}
}

func (s *naiveStore) find(seq uint64) (int, bool) {
	i := sort.Search(len(s.msgs), func(i int) bool { return s.msgs[i].Seq >= seq })
	return i, i < len(s.msgs) && s.msgs[i].Seq == seq
}

func (s *naiveStore) Remove(seq uint64, _ bool, _ msgs.Why) bool {
	i, ok := s.find(seq)
	if ok {
		s.msgs = slices.Delete(s.msgs, i, i+1)
	}
	return ok
}

func selects(f *msgs.Filter, subj string) bool {
	if f == nil || len(f.Patterns) == 0 {
		return true
	}
	for _, p := range f.Patterns {
		if subject.Matches(subj, p) {
			return true
		}
	}
	return false
}

func (s *naiveStore) Purge(f *msgs.Filter, before uint64, keep uint64) uint64 {
	var seqs []uint64
	for _, m := range s.msgs {
		if selects(f, m.Subject) && (before == 0 || m.Seq < before) {
			seqs = append(seqs, m.Seq)
		}
	}
	seqs = seqs[:len(seqs)-min(len(seqs), int(keep))]
	if n := len(s.msgs); n > 0 && len(seqs) == n && keep == 0 && (before == 0 || before > s.last) && s.cleared != nil {
		first := s.msgs[0].Seq
		s.msgs = nil
		s.cleared(first, s.last, uint64(n))
		return uint64(n)
	}
	for _, seq := range seqs {
		i, _ := s.find(seq)
		s.drop(i, msgs.ByPurge)
	}
	return uint64(len(seqs))
}

// PurgeStep does all of it.
func (s *naiveStore) PurgeStep(p *msgs.Purging, _ int) bool {
	p.Removed = s.Purge(p.Filter, p.Before, p.Keep)
	return false
}

func (s *naiveStore) deadline(m *naiveMsg) int64 {
	at := m.ttl.Deadline
	if s.limits.Age > 0 && !m.ttl.Never && (at == 0 || m.Time+s.limits.Age < at) {
		at = m.Time + s.limits.Age
	}
	return at
}

func (s *naiveStore) Expire(now int64, limit int) (more bool) {
	for i := 0; i < len(s.msgs); {
		if at := s.deadline(&s.msgs[i]); at == 0 || at > now {
			i++
			continue
		}
		if limit == 0 {
			return true
		}
		limit--
		s.drop(i, msgs.ByAge)
	}
	return false
}

func (s *naiveStore) NextExpiry() int64 {
	next := int64(0)
	for i := range s.msgs {
		if at := s.deadline(&s.msgs[i]); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

func (s *naiveStore) Load(seq uint64) (msgs.Msg, msgs.Found) {
	i, ok := s.find(seq)
	switch {
	case !ok:
		return msgs.Msg{}, msgs.None
	case s.cold:
		return msgs.Msg{}, msgs.Cold
	}
	return s.msgs[i].Msg, msgs.Cached
}

func (s *naiveStore) Fetch(seq uint64, done func(msgs.Msg, error)) {
	i, ok := s.find(seq)
	if !ok {
		s.fetches = append(s.fetches, func() { done(msgs.Msg{}, msgs.ErrNotFound) })
		return
	}
	m := s.msgs[i].Msg
	s.fetches = append(s.fetches, func() { done(m, nil) })
}

// answer runs the completions of fetches.
func (s *naiveStore) answer() {
	due := s.fetches
	s.fetches = nil
	for _, fn := range due {
		fn()
	}
}

func (s *naiveStore) Has(seq uint64) bool { _, ok := s.find(seq); return ok }
func (s *naiveStore) SubjectOf(seq uint64) (string, bool) {
	i, ok := s.find(seq)
	if !ok {
		return "", false
	}
	return s.msgs[i].Subject, true
}
func (s *naiveStore) TimeOf(seq uint64) (int64, bool) {
	i, ok := s.find(seq)
	if !ok {
		return 0, false
	}
	return s.msgs[i].Time, true
}
func (s *naiveStore) SizeOf(seq uint64) (int, bool) {
	i, ok := s.find(seq)
	if !ok {
		return 0, false
	}
	return s.size(&s.msgs[i]), true
}
func (s *naiveStore) Next(f *msgs.Filter, from uint64) (uint64, bool) {
	for _, m := range s.msgs {
		if m.Seq >= from && selects(f, m.Subject) {
			return m.Seq, true
		}
	}
	return 0, false
}
func (s *naiveStore) Prev(f *msgs.Filter, from uint64) (uint64, bool) {
	for i := len(s.msgs) - 1; i >= 0; i-- {
		if s.msgs[i].Seq <= from && selects(f, s.msgs[i].Subject) {
			return s.msgs[i].Seq, true
		}
	}
	return 0, false
}

// What the machine does not use.

func (s *naiveStore) Count(*msgs.Filter, uint64, bool) uint64 { panic("not used") }
func (s *naiveStore) LastPerSubject(*msgs.Filter, uint64, int) ([]uint64, bool) {
	panic("not used")
}
func (s *naiveStore) FirstAtOrAfter(int64) uint64 { panic("not used") }
func (s *naiveStore) Subjects(*msgs.Filter, string, func(string, msgs.SubjectState) bool) {
	panic("not used")
}
func (s *naiveStore) DeletedRanges(func(uint64, uint64) bool) { panic("not used") }
func (s *naiveStore) Checkpoint(func([]byte, error))          { panic("not used") }
func (s *naiveStore) Release([]byte)                          {}
func (s *naiveStore) Unwritten() int64                        { return 0 }
func (s *naiveStore) Full() bool                              { return false }
func (s *naiveStore) Freeze() *msgs.Frozen                    { panic("not used") }
func (s *naiveStore) SetCompression(msgs.Compression)         {}
func (s *naiveStore) Close()                                  {}
func (s *naiveStore) Delete(done func(error))                 { done(nil) }

// clone gives a store in the same state.
func (s *naiveStore) clone() *naiveStore {
	c := *s
	c.msgs, c.fetches, c.removed, c.cleared = slices.Clone(s.msgs), nil, nil, nil
	return &c
}

// testConfig is a configuration as checks leave it.
func testConfig(change func(*api.StreamConfig)) *api.StreamConfig {
	cfg := &api.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPer: -1, MaxMsgSize: -1,
		Replicas: 1, Duplicates: 120e9, Storage: api.MemoryStorage,
	}
	if change != nil {
		change(cfg)
	}
	return cfg
}

func durationOf(seconds int64) time.Duration { return time.Duration(seconds) * time.Second }
