package core

// responders demands that a requester is told that nobody listens exactly when
// nobody does.
func (j *judge) responders() {
	told := make(map[string][]*Delivery) // by reply subject, which is unique
	for _, d := range j.h.Deliveries {
		if d.Status == 503 {
			told[d.Subject] = append(told[d.Subject], d)
		}
	}
	requests := make(map[string]bool)
	for _, p := range j.h.Pubs {
		if p.Reply == "" || p.Answers != 0 {
			continue
		}
		requests[p.Reply] = true
		j.request(p, told[p.Reply])
	}
	for _, d := range j.h.Deliveries {
		if d.Status == 503 && !requests[d.Subject] {
			j.report(Exact, d.At, "%s was told on %q that nobody listens, without a request", d.Conn, d.Subject)
		}
	}
}

func (j *judge) request(p *Publish, told []*Delivery) {
	switch {
	case len(told) > 1:
		j.report(Exact, told[1].At, "%s was told twice that nobody listens", p)
	case len(told) == 1 && (told[0].Conn != p.Conn || !p.Conn.NoResponders):
		j.report(Exact, told[0].At, "%s was told that nobody listens to %s", told[0].Conn, p)
	case len(told) == 1:
		j.toldRight(p, told[0])
	case p.Done != Never && p.Conn.NoResponders && j.ownInbox(p) && j.mustPublish(p) && j.nobody(p):
		j.report(Exact, p.Done, "%s was not told that nobody listens", p)
	}
}

// toldRight judges a 503: it is wrong when somebody received the request or had
// to.
func (j *judge) toldRight(p *Publish, d *Delivery) {
	if got := j.byPub[p.ID]; len(got) > 0 {
		j.report(Exact, d.At, "%s was told that nobody listens, and %s received it", p, got[0])
		return
	}
	if j.h.World.Drops {
		return
	}
	for _, s := range j.h.Subs {
		r := j.routeOf(p.Conn.Account, p.Subject, s.Conn.Account, s.Subject)
		if s.Max == 0 && s.Queue == "" && !j.refusedSub(s) && j.must(p, s, r) {
			j.report(Exact, d.At, "%s was told that nobody listens, and %s does", p, s)
			return
		}
	}
}

// ownInbox tells whether the requester certainly listened on the reply subject.
func (j *judge) ownInbox(p *Publish) bool {
	for _, s := range j.h.Subs {
		if s.Conn == p.Conn && s.Queue == "" && s.Max == 0 && s.Confirmed < p.Sent && s.Removed == 0 && s.Refused == 0 &&
			(s.UnsubSent == 0 || s.UnsubSent > p.Done) && Matches(s.Subject, p.Reply) {
			return true
		}
	}
	return false
}

// nobody tells whether certainly no subscription could take the request.
func (j *judge) nobody(p *Publish) bool {
	if len(j.byPub[p.ID]) > 0 {
		return false
	}
	from := p.Conn.Account
	for _, s := range j.h.Subs {
		if !j.possible(p, s) || p.Conn == s.Conn && !s.Conn.Echo {
			continue
		}
		if r := j.routeOf(from, p.Subject, s.Conn.Account, s.Subject); r.reaches() {
			return false
		}
	}
	return true
}
