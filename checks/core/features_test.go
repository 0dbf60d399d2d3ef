package core

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// wide is a scene whose world has what crosses, splits and limits.
func wide() *scene {
	s := newScene()
	w := &s.h.World
	user := func(name, account string, p Permissions) User {
		return User{Name: name, Account: account, Versions: []Version{{Perms: p}}}
	}
	w.Accounts = []Account{
		{Name: "A", Mappings: []Mapping{
			{"half.*", []Destination{{"left.*", 50, ""}, {"right.*", 50, ""}}},
			{"lose", []Destination{{"kept", 50, ""}, {"lose", 10, ""}, {"other", 100, "elsewhere"}}},
			{"some", []Destination{{"part", 60, ""}}},
		}},
		{Name: "B", Streams: []Crossing{{From: "A", Remote: "side.>", Local: "imp.side.>", Spans: []Span{{On: true}}}}, Services: []Crossing{
			{From: "A", Remote: "svc.*", Local: "ask.*"}, {From: "A", Remote: "flow.*", Local: "stream.*", Response: Streamed},
		}},
		{Name: "D", Services: []Crossing{{From: "B", Remote: "ask.*", Local: "far.*"}}, MaxSubs: 1, MaxPayload: 10},
	}
	w.Users = []User{
		user("a", "A", Permissions{}), user("b", "B", Permissions{}), user("d", "D", Permissions{}),
		user("answers", "A", Permissions{Responses: true, ResponsesMax: 2}),
		user("queue", "A", Permissions{SubAllow: []string{"t q*", "free"}, SubDeny: []string{"free bad"}}),
	}
	return s
}

// ask is a request with a server and an inbox, and how many answers are given and heard.
func (s *scene) ask(asker, subject, there string, answers, heard int) (server *Sub, inbox *Sub, q *Publish, all []*Publish) {
	server = s.sub(s.conn("a"), "1", there, "")
	inbox = s.sub(s.conn(asker), "1", "_INBOX.>", "")
	s.syncAll()
	q = s.pub(inbox.Conn, subject)
	q.Reply = "_INBOX.b"
	d := s.deliver(server, q)
	d.Subject, d.Reply = there, "_R_.1.2"
	for i := range answers {
		a := s.pub(server.Conn, "_R_.1.2")
		a.Answers = q.ID
		all = append(all, a)
		if i < heard {
			s.deliver(inbox, a).Subject = "_INBOX.b"
		}
	}
	return server, inbox, q, all
}

var features = []struct {
	name string
	want []string
	tell func(*scene)
}{
	{"one of two destinations", nil, func(s *scene) {
		from, sub := s.pair("*.x", "")
		s.deliver(sub, s.pub(from, "half.x")).Subject = "left.x"
	}},
	{"a destination that there is not", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("*.x", "")
		s.deliver(sub, s.pub(from, "half.x")).Subject = "middle.x"
	}},
	{"a destination of another cluster", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("*", "")
		s.deliver(sub, s.pub(from, "lose")).Subject = "other"
	}},
	{"both destinations at once", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("*.x", "")
		more := s.sub(sub.Conn, "2", "right.*", "")
		s.sync(sub.Conn)
		p := s.pub(from, "half.x")
		s.deliver(sub, p).Subject = "left.x"
		s.deliver(more, p).Subject = "right.x"
	}},
	{"lost, with all destinations heard", []string{LossTold}, func(s *scene) {
		from, _ := s.pair("*.x", "")
		s.pub(from, "half.x")
	}},
	{"lost, with one destination heard", nil, func(s *scene) {
		from, _ := s.pair("left.x", "")
		s.pub(from, "half.x")
	}},
	{"lost on purpose", nil, func(s *scene) {
		from, _ := s.pair("*", "")
		s.pub(from, "lose")
	}},
	{"the rest stays", nil, func(s *scene) {
		from, sub := s.pair("*", "")
		s.deliver(sub, s.pub(from, "some"))
	}},
	{"never lost on purpose", []string{Exact}, func(s *scene) {
		from, sub := s.pair("*", "")
		for i := range 60 {
			s.deliver(sub, s.pub(from, "lose")).Subject = []string{"kept", "lose"}[i%2]
		}
	}},
	{"always to one destination", []string{Exact}, func(s *scene) {
		from, sub := s.pair("*.x", "")
		for range 60 {
			s.deliver(sub, s.pub(from, "half.x")).Subject = "left.x"
		}
	}},
	{"queue that its entry names", nil, func(s *scene) { s.sub(s.conn("queue"), "1", "t", "q*") }},
	{"no queue where the entry names one", []string{Perms}, func(s *scene) { s.sub(s.conn("queue"), "1", "t", "") }},
	{"another queue", []string{Perms}, func(s *scene) { s.sub(s.conn("queue"), "1", "t", "r") }},
	{"denied queue", []string{Perms}, func(s *scene) { s.sub(s.conn("queue"), "1", "free", "bad") }},
	{"one answer of a service", nil, func(s *scene) { s.ask("b", "ask.x", "svc.x", 2, 1) }},
	{"two answers of a service that gives one", []string{Exact}, func(s *scene) { s.ask("b", "ask.x", "svc.x", 2, 2) }},
	{"no answer of a service", []string{LossTold}, func(s *scene) { s.ask("b", "ask.x", "svc.x", 2, 0) }},
	{"two hops to a service", nil, func(s *scene) { s.ask("d", "far.x", "svc.x", 1, 1) }},
	{"all answers of a stream", nil, func(s *scene) { s.ask("b", "stream.x", "flow.x", 3, 3) }},
	{"an answer of a stream lost", []string{LossTold}, func(s *scene) { s.ask("b", "stream.x", "flow.x", 3, 2) }},
	{"an answer after the end", []string{Exact}, func(s *scene) {
		server, inbox, q, _ := s.ask("b", "stream.x", "flow.x", 1, 1)
		end := s.pub(server.Conn, "_R_.1.2")
		end.Answers, end.End = q.ID, true
		d := s.deliver(inbox, end)
		d.Subject, d.ID = "_INBOX.b", 0
		s.syncAll()
		late := s.pub(server.Conn, "_R_.1.2")
		late.Answers = q.ID
		s.deliver(inbox, late).Subject = "_INBOX.b"
	}},
	{"an end that nobody sent", []string{NoMore}, func(s *scene) {
		_, inbox, _, all := s.ask("b", "stream.x", "flow.x", 1, 1)
		d := s.deliver(inbox, all[0])
		d.Subject, d.ID = "_INBOX.b", 0
	}},
	{"more answers than permitted", []string{Perms}, func(s *scene) { s.permitted(3, 0) }},
	{"fewer answers than permitted", []string{Perms}, func(s *scene) { s.permitted(2, 1) }},
	{"as many answers as permitted", nil, func(s *scene) { s.permitted(3, 1) }},
	{"refused after a reload", []string{Perms}, func(s *scene) {
		s.permitted(2, 1)
		s.h.World.Reloads = []Stamp{s.h.Pubs[0].Sent + 1}
	}},
	{"an import that a reload took away", []string{Reload}, func(s *scene) {
		from, sub := s.conn("a"), s.sub(s.conn("b"), "1", "imp.>", "")
		s.sync(sub.Conn)
		im := &s.h.World.Accounts[1].Streams[0]
		im.Spans = append(im.Spans, Span{Since: s.now()})
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(from, "side.x")).Subject = "imp.side.x"
	}},
	{"lost while an import comes and goes", nil, func(s *scene) {
		from, sub := s.conn("a"), s.sub(s.conn("b"), "1", "imp.>", "")
		s.sync(sub.Conn)
		s.pub(from, "side.x")
		im := &s.h.World.Accounts[1].Streams[0]
		im.Spans = append(im.Spans, Span{Since: s.now()}, Span{Since: s.now(), On: true})
	}},
	{"lost by an import that stayed", []string{LossTold}, func(s *scene) {
		from, sub := s.conn("a"), s.sub(s.conn("b"), "1", "imp.>", "")
		s.sync(sub.Conn)
		s.pub(from, "side.x")
	}},
	{"lost where producers do not wait", nil, func(s *scene) {
		from, _ := s.pair("t", "")
		s.pub(from, "t")
		s.h.World.Drops = true
	}},
	{"too big, and heard", []string{Exact}, func(s *scene) {
		sub := s.sub(s.conn("d"), "1", "t", "")
		s.sync(sub.Conn)
		p := s.pub(s.conn("d"), "t")
		p.TooBig, p.Conn.Closed, p.Conn.Synced = true, s.now(), 1
		p.Conn.Answers = []Answer{{1, 2}}
		s.deliver(sub, p)
	}},
	{"too big, and the connection lives", []string{Exact}, func(s *scene) { s.pub(s.conn("d"), "t").TooBig = true }},
	{"too many subscriptions with none", []string{Exact}, func(s *scene) {
		sub := s.sub(s.conn("d"), "1", "t", "")
		sub.Limited = s.now()
		s.h.Notices = append(s.h.Notices, &Notice{Conn: sub.Conn, Kind: NoticeLimit, At: s.now()})
	}},
	{"too many subscriptions", nil, func(s *scene) {
		sub := s.sub(s.conn("d"), "1", "t", "")
		s.sync(sub.Conn)
		s.sub(sub.Conn, "2", "u", "").Limited = s.now()
		s.h.Notices = append(s.h.Notices, &Notice{Conn: sub.Conn, Kind: NoticeLimit, At: s.now()})
	}},
	{"served after its user was removed", []string{Reload}, func(s *scene) {
		c := s.conn("a")
		s.h.World.Users[0].Spans = []Span{{On: true}, {Since: s.now()}}
		s.sync(c)
	}},
	{"refused after its user was removed", nil, func(s *scene) {
		c := s.conn("a")
		s.h.World.Users[0].Spans = []Span{{On: true}, {Since: s.now()}}
		s.h.Notices = append(s.h.Notices, &Notice{Conn: c, Kind: NoticeAuth, At: s.now()})
		c.Closed, c.Answers = s.now(), []Answer{{1, 2}}
	}},
}

// permitted lets one who may answer twice do so, with so many refused.
func (s *scene) permitted(answers, refused int) {
	listener := s.sub(s.conn("answers"), "1", "rq", "")
	inbox := s.sub(s.conn("a"), "1", "_INBOX.>", "")
	s.syncAll()
	q := s.pub(inbox.Conn, "rq")
	q.Reply = "_INBOX.a.1"
	s.deliver(listener, q)
	for i := range answers {
		a := s.pub(listener.Conn, q.Reply)
		a.Answers = q.ID
		if i >= answers-refused {
			s.h.Notices = append(s.h.Notices, &Notice{Conn: listener.Conn, Kind: NoticePublish, Subject: q.Reply, At: s.now()})
			continue
		}
		s.deliver(inbox, a)
	}
}

func TestHistoriesOfFeatures(t *testing.T) {
	for _, tc := range features {
		t.Run(tc.name, func(t *testing.T) {
			s := wide()
			tc.tell(s)
			s.syncTail()
			var got []string
			for _, v := range Check(&s.h).Violations {
				got = append(got, v.Invariant)
			}
			require.Equal(t, tc.want, got)
		})
	}
}
