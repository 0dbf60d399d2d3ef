package core

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// scene builds histories: a publisher and subscribers, each stamped as it goes.
type scene struct {
	h  History
	at Stamp
	id uint64
}

func newScene() *scene {
	user := func(name, account string, p Permissions) User {
		return User{Name: name, Account: account, Versions: []Version{{Perms: p}}}
	}
	return &scene{h: History{World: World{
		Accounts: []Account{
			{Name: "A", Mappings: []Mapping{Renamed("map.*", "mapped.*")}},
			{Name: "B", Streams: []Crossing{{From: "A", Remote: "feed.>", Local: "imp.feed.>"}}, Services: []Crossing{{From: "A", Remote: "svc.*", Local: "ask.*"}}},
			{Name: "C"},
		},
		Users: []User{
			user("a", "A", Permissions{}), user("b", "B", Permissions{}), user("c", "C", Permissions{}),
			user("less", "A", Permissions{PubDeny: []string{"no"}, SubDeny: []string{"t.secret"}}),
			user("none", "A", Permissions{SubAllow: []string{"only"}}),
		},
	}}}
}

func (s *scene) now() Stamp {
	s.at++
	return s.at
}

func (s *scene) conn(user string) *Conn {
	c := &Conn{
		ID: len(s.h.Conns) + 1, Client: user, User: user, Epoch: 1, Echo: true, Headers: true, NoResponders: true,
		Open: s.now(), Closed: Never,
	}
	for _, u := range s.h.World.Users {
		if u.Name == user {
			c.Account = u.Account
		}
	}
	s.h.Conns = append(s.h.Conns, c)
	return c
}

// sync is a PING with its PONG; the server has done all that c sent before.
func (s *scene) sync(c *Conn) {
	sent, came := s.now(), s.now()
	c.Synced = sent
	c.Answers = append(c.Answers, Answer{sent, came})
	for _, sub := range s.h.Subs {
		if sub.Conn == c && sub.Confirmed == Never {
			sub.Confirmed = came
		}
		if sub.Conn == c && sub.UnsubSent != 0 && sub.UnsubConfirmed == Never {
			sub.UnsubConfirmed = came
		}
	}
	for _, p := range s.h.Pubs {
		if p.Conn == c && p.Done == Never {
			p.Done = came
		}
	}
}

func (s *scene) sub(c *Conn, sid, subject, queue string) *Sub {
	sub := &Sub{Conn: c, SID: sid, Subject: subject, Queue: queue, Sent: s.now(), Confirmed: Never}
	s.h.Subs = append(s.h.Subs, sub)
	return sub
}

func (s *scene) unsub(sub *Sub, most int) {
	sub.Max, sub.UnsubSent, sub.UnsubConfirmed = most, s.now(), Never
}

func (s *scene) pub(c *Conn, subject string) *Publish {
	s.id++
	p := &Publish{ID: s.id, Seq: int(s.id), Conn: c, Subject: subject, Sent: s.now(), Done: Never}
	s.h.Pubs = append(s.h.Pubs, p)
	return p
}

func (s *scene) deliver(sub *Sub, p *Publish) *Delivery {
	d := &Delivery{Conn: sub.Conn, SID: sub.SID, Subject: p.Subject, Reply: p.Reply, ID: p.ID, Intact: true, At: s.now()}
	s.h.Deliveries = append(s.h.Deliveries, d)
	return d
}

func (s *scene) nobody(p *Publish, sid string) {
	s.h.Deliveries = append(s.h.Deliveries, &Delivery{Conn: p.Conn, SID: sid, Subject: p.Reply, Status: 503, At: s.now()})
}

// reload gives a user other permissions.
func (s *scene) reload(user string, p Permissions) {
	for i := range s.h.World.Users {
		if u := &s.h.World.Users[i]; u.Name == user {
			u.Versions = append(u.Versions, Version{s.now(), p})
		}
	}
}

// syncAll lets every connection see the end.
func (s *scene) syncAll() {
	for _, c := range s.h.Conns {
		s.sync(c)
	}
}

// pair is a publisher and a subscriber of subject in one account.
func (s *scene) pair(subject, queue string) (from *Conn, sub *Sub) {
	from = s.conn("a")
	sub = s.sub(s.conn("a"), "1", subject, queue)
	s.sync(sub.Conn)
	return from, sub
}

// histories are known good (no names) or known bad, one for each rule.
var histories = []struct {
	name string
	want []string // in order
	tell func(*scene)
}{
	{"delivered", nil, func(s *scene) {
		from, sub := s.pair("t.*", "")
		s.deliver(sub, s.pub(from, "t.x"))
	}},
	{"published before the subscription was confirmed may be missed", nil, func(s *scene) {
		from := s.conn("a")
		sub := s.sub(s.conn("a"), "1", "t", "")
		s.pub(from, "t")
		s.sync(sub.Conn)
	}},
	{"lost with its connection", nil, func(s *scene) {
		from, sub := s.pair("t", "")
		s.pub(from, "t")
		s.sync(from)
		sub.Conn.Closed = s.now()
		sub.Conn.Synced = 0
	}},
	{"lost for nothing", []string{LossTold}, func(s *scene) {
		from, _ := s.pair("t", "")
		s.pub(from, "t")
		s.sync(from)
	}},
	{"probe lost", []string{Reach}, func(s *scene) {
		from, _ := s.pair("t", "")
		s.pub(from, "t").Probe = true
		s.sync(from)
	}},
	{"unknown sid", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("t", "")
		s.deliver(sub, s.pub(from, "t"))
		s.deliver(&Sub{Conn: sub.Conn, SID: "9"}, s.pub(from, "other"))
	}},
	{"nobody published it", []string{NoMore}, func(s *scene) {
		_, sub := s.pair("t", "")
		s.deliver(sub, &Publish{ID: 77, Subject: "t"})
	}},
	{"payload spoiled", []string{NoMore, LossTold}, func(s *scene) {
		from, sub := s.pair("t", "")
		s.deliver(sub, s.pub(from, "t")).Intact = false
	}},
	{"twice", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("t", "")
		p := s.pub(from, "t")
		s.deliver(sub, p)
		s.deliver(sub, p)
	}},
	{"does not match", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("t", "")
		s.deliver(sub, s.pub(from, "u"))
	}},
	{"other reply", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("t", "")
		s.deliver(sub, s.pub(from, "t")).Reply = "changed"
	}},
	{"before SUB", []string{NoMore}, func(s *scene) {
		from := s.conn("a")
		p := s.pub(from, "t")
		s.sync(from)
		sub := s.sub(s.conn("a"), "1", "t", "")
		s.sync(sub.Conn)
		s.deliver(sub, p)
	}},
	{"after UNSUB", []string{NoMore}, func(s *scene) {
		from, sub := s.pair("t", "")
		p := s.pub(from, "t")
		s.unsub(sub, 0)
		s.sync(sub.Conn)
		s.deliver(sub, p)
	}},
	{"before the answer to UNSUB", nil, func(s *scene) {
		from, sub := s.pair("t", "")
		s.unsub(sub, 0)
		s.deliver(sub, s.pub(from, "t"))
		s.sync(sub.Conn)
	}},
	{"out of order", []string{PairOrder}, func(s *scene) {
		from, sub := s.pair("t", "")
		p, q := s.pub(from, "t"), s.pub(from, "t")
		s.deliver(sub, q)
		s.deliver(sub, p)
	}},
	{"two members", []string{QueueOne}, func(s *scene) {
		from, sub := s.pair("t", "q")
		other := s.sub(sub.Conn, "2", "t.>", "q")
		other.Subject = "t"
		s.sync(sub.Conn)
		p := s.pub(from, "t")
		s.deliver(sub, p)
		s.deliver(other, p)
	}},
	{"one of two members", nil, func(s *scene) {
		from, sub := s.pair("t", "q")
		s.sub(sub.Conn, "2", "*", "q")
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(from, "t"))
	}},
	{"no member", []string{LossTold}, func(s *scene) {
		from, sub := s.pair("t", "q")
		s.sub(sub.Conn, "2", "t", "q")
		s.sync(sub.Conn)
		s.pub(from, "t")
		s.sync(from)
	}},
	{"no member, and one may have died with it", nil, func(s *scene) {
		from, sub := s.pair("t", "q")
		s.sub(s.conn("a"), "1", "t", "q") // never confirmed
		s.pub(from, "t")
		s.sync(from)
		s.sync(sub.Conn)
		s.h.Conns[2].Synced = 0
	}},
	{"own message without echo", []string{Exact}, func(s *scene) {
		c := s.conn("a")
		c.Echo = false
		sub := s.sub(c, "1", "t", "")
		s.sync(c)
		s.deliver(sub, s.pub(c, "t"))
	}},
	{"one more than the maximum", []string{Exact}, func(s *scene) {
		from, sub := s.pair("t", "")
		s.unsub(sub, 1)
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(from, "t"))
		s.deliver(sub, s.pub(from, "t"))
	}},
	{"one less than the maximum", []string{Exact}, func(s *scene) {
		from, sub := s.pair("t", "")
		s.unsub(sub, 2)
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(from, "t"))
		s.pub(from, "t")
		s.sync(from)
	}},
	{"told rightly that nobody listens", nil, func(s *scene) {
		c, p := s.requester()
		s.nobody(p, "1")
		s.sync(c)
	}},
	{"not told that nobody listens", []string{Exact}, func(s *scene) {
		c, _ := s.requester()
		s.sync(c)
	}},
	{"told though somebody received it", []string{Exact}, func(s *scene) {
		sub := s.sub(s.conn("a"), "1", "rq", "")
		s.sync(sub.Conn)
		c, p := s.requester()
		s.nobody(p, "1")
		s.deliver(sub, p)
		s.sync(c)
	}},
	{"told twice", []string{Exact}, func(s *scene) {
		c, p := s.requester()
		s.nobody(p, "1")
		s.nobody(p, "1")
		s.sync(c)
	}},
	{"told without a request", []string{Exact}, func(s *scene) {
		c, p := s.requester()
		s.nobody(p, "1")
		s.nobody(&Publish{Conn: c, Reply: "_INBOX.2"}, "1")
		s.sync(c)
	}},
	{"from an account that has nothing to do with it", []string{Isolation}, func(s *scene) {
		sub := s.sub(s.conn("c"), "1", "t", "")
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(s.conn("a"), "t"))
	}},
	{"over a stream import", nil, func(s *scene) {
		sub := s.sub(s.conn("b"), "1", "imp.>", "")
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(s.conn("a"), "feed.x")).Subject = "imp.feed.x"
	}},
	{"over a stream import under the wrong subject", []string{NoMore}, func(s *scene) {
		sub := s.sub(s.conn("b"), "1", "imp.>", "")
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(s.conn("a"), "feed.x")).Subject = "feed.x"
	}},
	{"over a mapping", nil, func(s *scene) {
		from, sub := s.pair("mapped.x", "")
		s.deliver(sub, s.pub(from, "map.x")).Subject = "mapped.x"
	}},
	{"request over a service import, and its answer", nil, func(s *scene) {
		s.service("b", "_INBOX.b")
	}},
	{"answer within an account", nil, func(s *scene) {
		s.deliver(s.answered())
	}},
	{"answer within an account lost", []string{LossTold}, func(s *scene) {
		s.answered()
	}},
	{"answer to somebody else's account", []string{Isolation}, func(s *scene) {
		s.service("c", "_INBOX.b")
	}},
	{"answer on another subject", []string{NoMore}, func(s *scene) {
		s.service("b", "_INBOX.else")
	}},
	{"denied to the publisher", []string{Perms}, func(s *scene) {
		_, sub := s.pair("no", "")
		s.deliver(sub, s.pub(s.conn("less"), "no"))
	}},
	{"denied to the subscriber", []string{Perms}, func(s *scene) {
		sub := s.sub(s.conn("less"), "1", "t.*", "")
		s.sync(sub.Conn)
		s.deliver(sub, s.pub(s.conn("a"), "t.secret"))
	}},
	{"accepted against the permissions", []string{Perms}, func(s *scene) {
		s.sub(s.conn("none"), "1", "else", "")
	}},
	{"refused against the permissions", []string{Perms}, func(s *scene) {
		sub := s.sub(s.conn("none"), "1", "only", "")
		sub.Refused = s.now()
	}},
	{"received after a refusal", []string{Perms}, func(s *scene) {
		from := s.conn("a")
		sub := s.sub(s.conn("none"), "1", "else", "")
		sub.Refused = s.now()
		s.deliver(sub, s.pub(from, "else"))
	}},
	{"publish refused against the permissions", []string{Perms}, func(s *scene) {
		p := s.pub(s.conn("less"), "yes")
		s.h.Notices = append(s.h.Notices, &Notice{Conn: p.Conn, Kind: NoticePublish, Subject: "yes", At: s.now()})
	}},
	{"publish refused that was never sent", []string{Perms}, func(s *scene) {
		s.h.Notices = append(s.h.Notices, &Notice{Conn: s.conn("less"), Kind: NoticePublish, Subject: "no", At: s.now()})
	}},
	{"publish refused rightly", nil, func(s *scene) {
		p := s.pub(s.conn("less"), "no")
		s.h.Notices = append(s.h.Notices, &Notice{Conn: p.Conn, Kind: NoticePublish, Subject: "no", At: s.now()})
	}},
	{"removed by a reload", nil, func(s *scene) {
		sub := s.sub(s.conn("none"), "1", "only", "")
		s.sync(sub.Conn)
		s.reload("none", Permissions{SubAllow: []string{"else"}})
		sub.Removed = s.now()
	}},
	{"not removed by a reload", []string{Reload}, func(s *scene) {
		sub := s.sub(s.conn("none"), "1", "only", "")
		s.sync(sub.Conn)
		s.reload("none", Permissions{SubAllow: []string{"else"}})
	}},
	{"removed by a reload that permits it", []string{Reload}, func(s *scene) {
		sub := s.sub(s.conn("none"), "1", "only", "")
		s.sync(sub.Conn)
		s.reload("none", Permissions{})
		sub.Removed = s.now()
	}},
	{"received after its removal", []string{Reload}, func(s *scene) {
		from := s.conn("a")
		sub := s.sub(s.conn("none"), "1", "only", "")
		s.sync(sub.Conn)
		p := s.pub(from, "only")
		s.reload("none", Permissions{SubAllow: []string{"else"}})
		sub.Removed = s.now()
		s.deliver(sub, p)
	}},
	{"received under a reload", nil, func(s *scene) {
		from := s.conn("a")
		sub := s.sub(s.conn("none"), "1", "only", "")
		s.sync(sub.Conn)
		s.reload("none", Permissions{SubAllow: []string{"else"}})
		s.deliver(sub, s.pub(from, "only"))
		sub.Removed = s.now()
	}},
	{"refused to log in", []string{Reload}, func(s *scene) {
		s.h.Notices = append(s.h.Notices, &Notice{Conn: s.conn("a"), Kind: NoticeAuth, At: s.now()})
	}},
	{"reads of the register that no order explains", []string{Interest}, func(s *scene) {
		x, y := s.conn("a"), s.conn("a")
		sub := s.sub(s.conn("a"), "1", "t", "")
		p := s.pub(x, "t")
		d := s.deliver(sub, p) // while SUB was on its way: it was in force
		s.sync(x)
		s.pub(y, "t") // later, and before the answer to SUB: it was not
		s.sync(y)
		s.sync(sub.Conn)
		_ = d
	}},
}

// requester sends a request with an inbox of its own.
func (s *scene) requester() (*Conn, *Publish) {
	c := s.conn("a")
	s.sub(c, "1", "_INBOX.1", "")
	s.sync(c)
	p := s.pub(c, "rq")
	p.Reply = "_INBOX.1"
	return c, p
}

// answered is a request with its answer, not yet delivered.
func (s *scene) answered() (inbox *Sub, answer *Publish) {
	listener := s.sub(s.conn("a"), "1", "rq", "")
	s.sync(listener.Conn)
	_, p := s.requester()
	s.deliver(listener, p)
	answer = s.pub(listener.Conn, p.Reply)
	answer.Answers = p.ID
	s.sync(listener.Conn)
	return s.h.Subs[1], answer
}

// service lets B ask A, whose answer arrives in an account under a subject.
func (s *scene) service(user, subject string) {
	server := s.sub(s.conn("a"), "1", "svc.*", "")
	asker := s.conn("b")
	own := s.sub(asker, "1", "_INBOX.>", "")
	inbox := s.sub(s.conn(user), "1", "_INBOX.>", "")
	s.syncAll()
	q := s.pub(asker, "ask.x")
	q.Reply = "_INBOX.b"
	d := s.deliver(server, q)
	d.Subject, d.Reply = "svc.x", "_R_.1.2"
	a := s.pub(server.Conn, "_R_.1.2")
	a.Answers = q.ID
	s.deliver(inbox, a).Subject = subject
	s.deliver(own, a).Subject = "_INBOX.b"
}

func TestHistories(t *testing.T) {
	for _, tc := range histories {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene()
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

// syncTail lets the connections that still live see the end.
func (s *scene) syncTail() {
	for _, c := range s.h.Conns {
		if c.Closed == Never && (c.Synced != 0 || len(c.Answers) == 0) {
			s.sync(c)
		}
	}
}

func TestVisualizeDrawsTheSubscription(t *testing.T) {
	s := newScene()
	from, sub := s.pair("t", "")
	s.pub(from, "t")
	s.syncAll()
	found := Check(&s.h).Violations
	require.Len(t, found, 1)
	var page bytes.Buffer
	require.NoError(t, Visualize(&s.h, found[0], &page))
	require.Contains(t, page.String(), "SUB "+sub.SID)
	require.Contains(t, page.String(), LossTold)
}

// journals are what a log does, and what is wrong with it.
var journals = []struct {
	name string
	want []string
	tell func(*Journal)
}{
	{"what was vouched for comes back", nil, func(m *Journal) { m.recover(1, 2, 3) }},
	{"what was not may be gone", nil, func(m *Journal) { m.recover(1, 2) }},
	{"vouched for and lost", []string{StorePrefix}, func(m *Journal) { m.recover(1) }},
	{"another payload", []string{StorePrefix}, func(m *Journal) { m.recover(1, 3) }},
	{"never appended", []string{StorePrefix}, func(m *Journal) { m.recover(1, 2, 3, 4) }},
	{"damage passed over", []string{StoreTorn}, func(m *Journal) { m.Damaged(); m.recover(1) }},
	{"damage reported", nil, func(m *Journal) { m.Damaged(); m.Opening(); m.FoundDamage(errors.New("bad")) }},
	{"damage made up", []string{StoreTorn}, func(m *Journal) { m.Opening(); m.FoundDamage(errors.New("bad")) }},
	{"acknowledged after a failure", []string{StoreFence}, func(m *Journal) { m.Refused(); m.Acknowledged(3) }},
	{"acknowledged after a failure and a recovery", nil, func(m *Journal) {
		m.Refused()
		m.recover(1, 2)
		m.Appended(3, 9)
		m.Acknowledged(3)
	}},
	{"acknowledged out of order", []string{StorePrefix}, func(m *Journal) { m.Appended(4, 4); m.Acknowledged(4) }},
	{"sequence used twice", []string{StorePrefix}, func(m *Journal) { m.Appended(3, 9) }},
	{"replayed out of order", []string{StorePrefix, StorePrefix}, func(m *Journal) { m.Opening(); m.Replayed(2, 2); m.Opened(1) }},
	{"next sequence wrong", []string{StorePrefix}, func(m *Journal) {
		m.Opening()
		m.Replayed(1, 1)
		m.Replayed(2, 2)
		m.Opened(9)
	}},
}

// recover opens with these payloads.
func (m *Journal) recover(ids ...uint64) {
	m.Opening()
	for i, id := range ids {
		m.Replayed(uint64(i)+1, id)
	}
	m.Opened(uint64(len(ids)) + 1)
}

func TestJournals(t *testing.T) {
	for _, tc := range journals {
		t.Run(tc.name, func(t *testing.T) {
			m := &Journal{}
			m.Appended(1, 1)
			m.Appended(2, 2)
			m.Appended(3, 3)
			m.Acknowledged(1)
			m.Acknowledged(2)
			tc.tell(m)
			var got []string
			for _, v := range m.Take(1) {
				got = append(got, v.Invariant)
			}
			require.Equal(t, tc.want, got)
			require.Empty(t, m.Take(2), "told once")
		})
	}
}
