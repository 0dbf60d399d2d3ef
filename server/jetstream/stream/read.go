package stream

import (
	"errors"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// pick finds the message that a get asks for, without its content.
func (s *Stream) pick(r *api.JSApiMsgGetRequest) (seq uint64, ok bool) {
	from := r.Seq
	if r.StartTime != nil {
		from = s.store.FirstAtOrAfter(api.Nanos(*r.StartTime))
	}
	switch {
	case r.LastFor != "":
		return s.store.Prev(msgs.NewFilter(r.LastFor), s.store.State().Last)
	case r.NextFor != "":
		return s.store.Next(msgs.NewFilter(r.NextFor), max(from, 1))
	case r.StartTime != nil:
		return s.store.Next(nil, from)
	}
	return from, s.store.Has(from)
}

// load gives a message, at once if memory has it.
func (s *Stream) load(seq uint64, done func(msgs.Msg, error)) {
	switch m, found := s.store.Load(seq); found {
	case msgs.Cached:
		done(m, nil)
	case msgs.None:
		done(m, msgs.ErrNotFound)
	default:
		s.store.Fetch(seq, func(m msgs.Msg, err error) {
			if s.closed {
				return
			}
			s.tick()
			done(m, err)
			s.endTask()
		})
	}
}

// GetMsg answers STREAM.MSG.GET.
func (s *Stream) GetMsg(r *api.JSApiMsgGetRequest, done func(*api.StoredMsg, *api.Error)) {
	if err := api.CheckMsgGet(r); err != nil {
		done(nil, err)
		return
	}
	s.getPicked(r, done)
}

// getPicked answers with what a get asks for now. A message that is removed while it is read from
// the disk may have a successor, of which the same is true.
func (s *Stream) getPicked(r *api.JSApiMsgGetRequest, done func(*api.StoredMsg, *api.Error)) {
	seq, ok := s.pick(r)
	if !ok {
		done(nil, api.ErrNoMessageFound)
		return
	}
	s.load(seq, func(m msgs.Msg, err error) {
		if err != nil && !s.store.Has(seq) {
			s.getPicked(r, done)
			return
		}
		if err != nil {
			done(nil, api.ErrNoMessageFound)
			return
		}
		out := &api.StoredMsg{Subject: m.Subject, Sequence: m.Seq, Header: m.Header, Data: m.Data, Time: timeOf(m.Time)}
		if r.NoHeaders {
			out.Header = nil
		}
		done(out, nil)
	})
}

var _ = errors.Is
