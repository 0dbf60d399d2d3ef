package core

import "sort"

// losses demands that what must arrive did: nothing is lost on a connection that
// lives, and of each queue group one member is served.
func (j *judge) losses() {
	if j.h.World.Drops {
		return
	}
	t := j.table()
	for _, s := range j.h.Subs {
		if s.Queue == "" && !j.refusedSub(s) {
			j.lossesOf(t, s)
		}
	}
	j.groupLosses(t)
	j.answerLosses()
}

func (j *judge) refusedSub(s *Sub) bool { return s.Refused != 0 }

// until is where the duty to deliver ends: at the UNSUB, or with the last PING
// whose answer tells that everything before it was read.
func (s *Sub) until() Stamp {
	end := s.Conn.Synced
	if s.UnsubSent != 0 && s.Max == 0 {
		end = min(end, s.UnsubSent)
	}
	return end
}

// must tells whether a message whose way is r has to reach s.
func (j *judge) must(p *Publish, s *Sub, r route) bool {
	return r.reaches() && r.sure && j.mustAsIf(p, s, r)
}

// mustAsIf is must, were it sure that mappings choose a subject that s receives.
func (j *judge) mustAsIf(p *Publish, s *Sub, r route) bool {
	return p.Answers == 0 && !p.TooBig && s.Limited == 0 && s.Confirmed < p.Sent && p.Done < s.until() &&
		!(p.Conn == s.Conn && !s.Conn.Echo) && j.h.World.joined(p, s.Conn) &&
		j.mustPublish(p) && j.mustHear(p, s, r.subjects...) && s.Conn.spans(r.over, p.Sent, p.Done).all
}

// mustPublish tells whether nothing that may be in force forbids the publish.
func (j *judge) mustPublish(p *Publish) bool {
	for _, o := range j.h.World.account(p.Conn.Account).outcomes(p.Subject) {
		if !j.versions(p.Conn, p.Sent, p.Done, func(v *Permissions) bool { return v.MayPublish(o.subject) }).all {
			return false
		}
	}
	return true
}

func (j *judge) mustHear(p *Publish, s *Sub, subjects ...string) bool {
	if !j.versions(s.Conn, s.Sent, p.Done, func(v *Permissions) bool { return v.MaySubscribe(s.Subject, s.Queue) }).all {
		return false
	}
	for _, subject := range subjects {
		if j.versions(s.Conn, p.Sent, p.Done, func(v *Permissions) bool { return v.Denies(subject, s.Queue) }).any {
			return false
		}
	}
	return true
}

func (j *judge) lossesOf(t *table, s *Sub) {
	if s.Confirmed == Never {
		return
	}
	row, end := t.row(j, s), s.until()
	pubs := j.h.Pubs
	for i := sort.Search(len(pubs), func(i int) bool { return pubs[i].Sent > s.Confirmed }); i < len(pubs); i++ {
		p := pubs[i]
		if p.Sent > end {
			return
		}
		r := row[t.class[i]]
		if !r.reaches() || j.got[s][p.ID] != nil || !j.must(p, s, r) {
			continue
		}
		if s.Max > 0 {
			if j.count[s] < s.Max {
				j.report(Exact, s.Conn.Synced, "%s was to end after %d messages, received %d and missed %s", s, s.Max, j.count[s], p)
				return
			}
			continue
		}
		name := LossTold
		if p.Probe {
			name = Reach
		}
		j.report(name, s.Conn.Synced, "%s never received %s, though neither was disturbed", s, p)
	}
}

// groupLosses judges queue groups: when every member that may be chosen is one
// that would have to be heard of, somebody heard.
func (j *judge) groupLosses(t *table) {
	type key struct{ account, queue string }
	groups := make(map[key][]*Sub)
	var order []key
	for _, s := range j.h.Subs {
		if s.Queue == "" || j.refusedSub(s) {
			continue
		}
		k := key{s.Conn.Account, s.Queue}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], s)
	}
	for _, k := range order {
		members := make([]member, len(groups[k]))
		for i, s := range groups[k] {
			members[i] = member{s, t.row(j, s)}
		}
		for i, p := range j.h.Pubs {
			if p.Done != Never && p.Answers == 0 {
				j.groupLoss(p, t.class[i], members)
			}
		}
	}
}

// member of a queue group, with the ways to it.
type member struct {
	*Sub
	row []route
}

func (j *judge) groupLoss(p *Publish, class int, members []member) {
	var owed *Sub
	last := Stamp(0)
	for _, m := range members {
		s, r := m.Sub, m.row[class]
		switch {
		case !r.reaches() || !j.possible(p, s):
		case j.got[s][p.ID] != nil, s.Max > 0, !j.must(p, s, r):
			return
		default:
			owed, last = s, max(last, s.Conn.Synced)
		}
	}
	if owed == nil {
		return
	}
	name := LossTold
	if p.Probe {
		name = Reach
	}
	j.report(name, last, "no member of queue %s received %s, though all could, as %s", owed.Queue, p, owed)
}

// possible tells whether the server may have had s registered while p passed. What
// one server knows of another it may know late.
func (j *judge) possible(p *Publish, s *Sub) bool {
	if j.refusedSub(s) {
		return false
	}
	if !j.h.World.joined(p, s.Conn) {
		return j.h.World.Mesh
	}
	if s.Sent > p.Done || s.Conn.Closed < p.Sent && p.Conn.Epoch != s.Conn.Epoch {
		return false
	}
	return s.UnsubConfirmed == 0 || s.Max > 0 || s.UnsubConfirmed > p.Sent
}

// table has the ways of all kinds of messages, so that each is found once.
type table struct {
	class []int // of each publish: those of one class come from one account on one subject
	from  []classKey
	rows  map[rowKey][]route
}

// noClass is that of messages which are not judged by it.
const noClass = 0

type classKey struct{ account, subject string }

type rowKey struct{ account, pattern string }

func (j *judge) table() *table {
	t := &table{class: make([]int, len(j.h.Pubs)), rows: make(map[rowKey][]route)}
	known := map[classKey]int{{}: noClass}
	t.from = append(t.from, classKey{}) // that nobody reaches
	for i, p := range j.h.Pubs {
		if p.Answers != 0 { // each has a subject of its own, and is judged with its request
			t.class[i] = noClass
			continue
		}
		k := classKey{p.Conn.Account, p.Subject}
		c, ok := known[k]
		if !ok {
			c = len(t.from)
			known[k] = c
			t.from = append(t.from, k)
		}
		t.class[i] = c
	}
	return t
}

func (t *table) row(j *judge, s *Sub) []route {
	k := rowKey{s.Conn.Account, s.Subject}
	r := t.rows[k]
	if r == nil {
		r = make([]route, len(t.from))
		for i, from := range t.from {
			r[i] = j.h.World.findRoute(from.account, from.subject, k.account, k.pattern)
		}
		t.rows[k] = r
	}
	return r
}
