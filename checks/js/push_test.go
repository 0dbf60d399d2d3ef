package js

import (
	"testing"
	"time"
)

// pushed is a good history: three messages, sent to an ordered consumer and to a durable one.
func pushed() (s *Stream, one, ordered *Listening) {
	s, c := consumed("limits")
	events := func() (list []PushEvent) {
		for i, w := range s.Writes {
			list = append(list, PushEvent{Kind: PushMessage, At: c.Deliveries[i].At, CSeq: w.Seq, Seq: w.Seq, ID: w.ID, Size: 100})
		}
		return append(list, PushEvent{Kind: PushBeat, At: 40, CSeq: 3})
	}
	one = &Listening{Conn: "w#1", Heartbeat: time.Second, Window: 250, Events: events()}
	c.Listeners = []*Listening{one}
	ordered = &Listening{Conn: "o#1", First: 1, Events: events()}
	s.Ordered = []*Ordered{{Name: "o", Parts: []*Listening{ordered}, Done: true}}
	return s, one, ordered
}

func TestPushConsumers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(s *Stream, one, ordered *Listening)
		want   string
	}{
		{"as it should be", func(*Stream, *Listening, *Listening) {}, ""},
		{"a gap", func(_ *Stream, one, _ *Listening) { one.Events[2].CSeq = 4 }, PushOrder},
		{"a gap of another member's", func(_ *Stream, one, _ *Listening) { one.Group, one.Events[2].CSeq, one.Events[3].CSeq = true, 4, 4 }, ""},
		{"an ordered one that does not begin at one", func(_ *Stream, _, o *Listening) { o.First = 2 }, PushOrder},
		{"an ordered one misses the last", func(_ *Stream, _, o *Listening) { o.Events = o.Events[:2] }, PushOrder},
		{"an ordered one that had no time", func(s *Stream, _, o *Listening) { o.Events, s.Ordered[0].Done = o.Events[:2], false }, ""},
		{"an ordered one goes back", func(s *Stream, _, o *Listening) {
			s.Ordered[0].Parts = append(s.Ordered[0].Parts, &Listening{First: 1, Events: []PushEvent{{Kind: PushMessage, At: 45, CSeq: 1, Seq: 3, ID: 103}}})
		}, PushOrder},
		{"an ordered one goes on", func(s *Stream, _, o *Listening) {
			last := o.Events[2]
			last.CSeq, o.Events = 1, o.Events[:2]
			s.Ordered[0].Parts = append(s.Ordered[0].Parts, &Listening{First: 1, Events: []PushEvent{last}})
		}, ""},
		{"what nobody published", func(_ *Stream, _, o *Listening) { o.Events[1].ID = 999 }, NothingElse},
		{"silence", func(_ *Stream, one, _ *Listening) { one.Silent = time.Minute }, Beats},
		{"a heartbeat that is ahead", func(_ *Stream, one, _ *Listening) { one.Events[3].CSeq = 4 }, Beats},
		{"as much as the window allows", func(_ *Stream, one, _ *Listening) { one.Window = 200 }, ""},
		{"more than the window allows", func(_ *Stream, one, _ *Listening) { one.Window = 199 }, Window},
		{"more, after an answer", func(_ *Stream, one, _ *Listening) {
			one.Window = 150
			one.Events = append(one.Events[:2:2], PushEvent{Kind: PushQuestion, At: 23}, PushEvent{Kind: PushAnswer, At: 23}, one.Events[2])
		}, ""},
		{"more, and no answer", func(_ *Stream, one, _ *Listening) {
			one.Window = 150
			one.Events = append(one.Events[:2:2], PushEvent{Kind: PushQuestion, At: 23}, one.Events[2])
		}, Window},
		{"to two members", func(s *Stream, one, _ *Listening) {
			one.Group = true
			s.Consumers[0].Listeners = append(s.Consumers[0].Listeners, &Listening{Conn: "w#2", Group: true, Events: one.Events[1:2]})
		}, QueueOne},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, one, ordered := pushed()
			tc.change(s, one, ordered)
			requireJudged(t, tc.want, s)
		})
	}
}
