package core

import "sort"

// subscriptions judges the answers to SUB, and removals, by the permissions.
func (j *judge) subscriptions() {
	for _, s := range j.h.Subs {
		may := func(v *Permissions) bool { return v.MaySubscribe(s.Subject, s.Queue) }
		switch {
		case s.Refused != 0:
			if j.versions(s.Conn, s.Sent, s.Refused, may).all {
				j.report(Perms, s.Refused, "%s was refused, and is permitted", s)
			}
			continue
		case s.Confirmed == Never, s.Limited != 0:
			continue
		case !j.versions(s.Conn, s.Sent, s.Confirmed, may).any:
			j.report(Perms, s.Confirmed, "%s was accepted, and is not permitted", s)
			continue
		}
		j.removal(s, may)
	}
}

// removal demands that a reload takes away exactly what it forbids.
func (j *judge) removal(s *Sub, may func(*Permissions) bool) {
	if s.Removed != 0 {
		if j.versions(s.Conn, s.Sent, s.Removed, may).all {
			j.report(Reload, s.Removed, "%s was removed, and is permitted", s)
		}
		return
	}
	versions := j.users[s.Conn.User].Versions
	for i, v := range versions {
		at := s.Conn.settled(v.Since)
		if v.Since < s.Sent || at == Never || may(&v.Perms) || s.UnsubSent != 0 && s.UnsubSent < at {
			continue
		}
		if i+1 < len(versions) && versions[i+1].Since < at { // the next one may have come first
			continue
		}
		if s.Max > 0 { // may have ended by itself
			continue
		}
		j.report(Reload, at, "%s is not permitted since a reload, and was not removed", s)
		return
	}
}

// notices judges errors that no operation of the client explains.
func (j *judge) notices() {
	for _, n := range j.h.Notices {
		switch n.Kind {
		case NoticeAuth:
			j.refusedLogin(n)
		case NoticePublish:
			j.refusedPublish(n)
		case NoticeLimit:
			j.limited(n)
		}
	}
}

// refusedLogin demands that a connection was refused, or ended, for a user that was
// taken away.
func (j *judge) refusedLogin(n *Notice) {
	spans := j.users[n.Conn.User].Spans
	for i, s := range spans {
		if !s.On && s.Since < n.At && (i+1 == len(spans) || spans[i+1].Since > n.Conn.Open) {
			return
		}
	}
	j.report(Reload, n.At, "%s, whose user never changed, was refused", n.Conn)
}

// unemployed demands that nothing is answered to a connection whose user a reload took
// away.
func (j *judge) unemployed() {
	for _, c := range j.h.Conns {
		spans := j.users[c.User].Spans
		for i, s := range spans {
			if s.On {
				continue
			}
			until := Never
			if i+1 < len(spans) {
				until = spans[i+1].Since
			}
			for _, a := range c.Answers {
				if a.Sent > s.Since && a.Came < until {
					j.report(Reload, a.Came, "%s is served, and its user was removed by a reload", c)
					break
				}
			}
		}
	}
}

// refusedPublish demands a publish that was refused rightly. Answers to requests are
// permitted by what was received, which is not judged here.
func (j *judge) refusedPublish(n *Notice) {
	acc := j.h.World.account(n.Conn.Account)
	from := Stamp(0)
	sent := j.sent[n.Conn]
	open := sort.Search(len(sent), func(i int) bool { return sent[i].Done > n.At }) // those before were answered
	for _, p := range sent[open:] {
		if p.Sent > n.At {
			break
		}
		if acc.mayBe(p.Subject, n.Subject) {
			if p.Answers != 0 {
				return
			}
			if from == 0 {
				from = p.Sent
			}
		}
	}
	if from == 0 {
		j.report(Perms, n.At, "%s was refused a publish to %q, which it did not send", n.Conn, n.Subject)
		return
	}
	if j.versions(n.Conn, from, n.At, func(v *Permissions) bool { return v.MayPublish(n.Subject) }).all {
		j.report(Perms, n.At, "%s was refused a publish to %q, which is permitted", n.Conn, n.Subject)
	}
}

// limited demands that a connection which was told that it has too many
// subscriptions may have had as many as its account allows.
func (j *judge) limited(n *Notice) {
	limit := j.h.World.account(n.Conn.Account).MaxSubs
	from, have := n.At, 0
	for _, s := range j.h.Subs {
		if s.Conn == n.Conn && s.Sent < n.At && s.Confirmed > n.At && s.Sent < from {
			from = s.Sent // the refused one is this or a later one
		}
	}
	for _, s := range j.h.Subs {
		if s.Conn == n.Conn && s.Sent < n.At && s.Refused == 0 && (s.UnsubConfirmed == 0 || s.Max > 0 || s.UnsubConfirmed > from) {
			have++
		}
	}
	if limit == 0 || have <= limit {
		j.report(Exact, n.At, "%s was told that it has too many subscriptions, with %d and a limit of %d", n.Conn, have-1, limit)
	}
}
