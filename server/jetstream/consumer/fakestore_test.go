package consumer

import (
	"math"
	"slices"

	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// fakeStore is a naive store: a slice of all messages ever, nil where they are gone. Methods that a
// consumer does not call are those of the nil interface.
type fakeStore struct {
	msgs.Store
	all   []*msgs.Msg // by sequence - 1
	first uint64
	cold  map[uint64]bool
	fetch []func()
}

func newFakeStore() *fakeStore { return &fakeStore{first: 1, cold: make(map[uint64]bool)} }

func (s *fakeStore) add(at int64, subj, header, data string) uint64 {
	m := &msgs.Msg{Seq: uint64(len(s.all) + 1), Time: at, Subject: subj, Data: []byte(data)}
	if header != "" {
		m.Header = []byte(header)
	}
	s.all = append(s.all, m)
	return m.Seq
}

func (s *fakeStore) get(seq uint64) *msgs.Msg {
	if seq == 0 || seq > uint64(len(s.all)) {
		return nil
	}
	return s.all[seq-1]
}

func (s *fakeStore) remove(seq uint64) bool {
	if s.get(seq) == nil {
		return false
	}
	s.all[seq-1] = nil
	for s.first <= uint64(len(s.all)) && s.all[s.first-1] == nil {
		s.first++
	}
	return true
}

func (s *fakeStore) matches(f *msgs.Filter, m *msgs.Msg) bool {
	if m == nil || f == nil || len(f.Patterns) == 0 {
		return m != nil
	}
	return slices.ContainsFunc(f.Patterns, func(p string) bool { return subject.Matches(m.Subject, p) })
}

func (s *fakeStore) State() msgs.State {
	return msgs.State{First: s.first, Last: uint64(len(s.all))}
}

func (s *fakeStore) Load(seq uint64) (msgs.Msg, msgs.Found) {
	m := s.get(seq)
	switch {
	case m == nil:
		return msgs.Msg{}, msgs.None
	case s.cold[seq]:
		return msgs.Msg{}, msgs.Cold
	}
	return *m, msgs.Cached
}

func (s *fakeStore) Fetch(seq uint64, done func(msgs.Msg, error)) {
	s.fetch = append(s.fetch, func() {
		delete(s.cold, seq)
		if m := s.get(seq); m != nil {
			done(*m, nil)
		} else {
			done(msgs.Msg{}, msgs.ErrNotFound)
		}
	})
}

func (s *fakeStore) Has(seq uint64) bool { return s.get(seq) != nil }

func (s *fakeStore) SubjectOf(seq uint64) (string, bool) {
	if m := s.get(seq); m != nil {
		return m.Subject, true
	}
	return "", false
}

func (s *fakeStore) Next(f *msgs.Filter, from uint64) (uint64, bool) {
	for seq := max(from, s.first); seq <= uint64(len(s.all)); seq++ {
		if s.matches(f, s.get(seq)) {
			return seq, true
		}
	}
	return 0, false
}

func (s *fakeStore) Prev(f *msgs.Filter, from uint64) (uint64, bool) {
	for seq := min(from, uint64(len(s.all))); seq > 0; seq-- {
		if s.matches(f, s.get(seq)) {
			return seq, true
		}
	}
	return 0, false
}

func (s *fakeStore) Count(f *msgs.Filter, from uint64, _ bool) (n uint64) {
	if f == nil || len(f.Patterns) == 0 {
		if s.first == 1 && from <= 1 {
			from = 1
		}
	}
	for seq := max(from, s.first); seq <= uint64(len(s.all)); seq++ {
		if s.matches(f, s.get(seq)) {
			n++
		}
	}
	return n
}

func (s *fakeStore) LastPerSubject(f *msgs.Filter, upTo uint64, _ int) ([]uint64, bool) {
	seen := make(map[string]bool)
	var seqs []uint64
	if upTo == 0 {
		upTo = math.MaxUint64
	}
	for seq := min(upTo, uint64(len(s.all))); seq > 0; seq-- {
		if m := s.get(seq); s.matches(f, m) && !seen[m.Subject] {
			seen[m.Subject] = true
			seqs = append(seqs, seq)
		}
	}
	slices.Reverse(seqs)
	return seqs, true
}

func (s *fakeStore) FirstAtOrAfter(t int64) uint64 {
	for _, m := range s.all {
		if m != nil && m.Time >= t {
			return m.Seq
		}
	}
	return uint64(len(s.all)) + 1
}
