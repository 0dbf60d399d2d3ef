package core

import (
	"slices"
	"strings"
)

// deliveries judges each message that a client was sent by itself.
func (j *judge) deliveries() {
	for _, d := range j.h.Deliveries {
		s := j.subs[subKey{d.Conn, d.SID}]
		switch {
		case s == nil:
			j.report(NoMore, d.At, "%s received %q on sid %s, which it never subscribed", d.Conn, d.Subject, d.SID)
		case d.Status != 0: // judged with the requests
		default:
			j.delivery(d, s)
		}
	}
}

func (j *judge) delivery(d *Delivery, s *Sub) {
	p := j.pubs[d.ID]
	if d.ID == 0 && d.Intact {
		p = j.endOf(d, s)
	}
	if p == nil || !d.Intact {
		j.report(NoMore, d.At, "%s received on %q what nobody published so (message %d)", s, d.Subject, d.ID)
		return
	}
	if j.got[s] == nil {
		j.got[s] = make(map[uint64]*Delivery)
	}
	if j.got[s][p.ID] != nil {
		if s.Queue != "" || !j.sentOn(p) {
			j.report(NoMore, d.At, "%s received %s twice", s, p)
		}
		j.count[s]++
		return
	}
	j.got[s][p.ID] = d
	j.count[s]++
	j.byPub[p.ID] = append(j.byPub[p.ID], s)
	switch {
	case !j.ended(d, s, p):
	case !j.reached(d, s, p):
	case p.Conn == s.Conn && !s.Conn.Echo && !j.sentOn(p): // what is sent on and on forgets where it began
		j.report(Exact, d.At, "%s received its own %s without echo", s, p)
	case p.TooBig:
		j.report(Exact, d.At, "%s received %s, which is above its publisher's max_payload", s, p)
	case p.Done < s.Sent && p.Conn.Epoch == s.Conn.Epoch && !j.detour(p, s) && !j.sentOn(p):
		j.report(NoMore, d.At, "%s received %s, which was over before it subscribed", s, p)
	default:
		j.permitted(d, s, p)
	}
}

// ended judges a delivery by the end of its subscription.
func (j *judge) ended(d *Delivery, s *Sub, p *Publish) bool {
	switch {
	case s.Refused != 0 && d.At > s.Refused:
		j.report(Perms, d.At, "%s was refused and receives %s", s, p)
	case s.Removed != 0 && d.At > s.Removed:
		j.report(Reload, d.At, "%s was removed and receives %s", s, p)
	case s.UnsubConfirmed == 0 || d.At < s.UnsubConfirmed:
		return true
	case s.Max == 0:
		j.report(NoMore, d.At, "%s received %s after its UNSUB was confirmed", s, p)
	case j.count[s] > s.Max:
		j.report(Exact, d.At, "%s received %s as number %d, and was to end after %d", s, p, j.count[s], s.Max)
	default:
		return true
	}
	return false
}

// reached judges whether a message could come this way.
func (j *judge) reached(d *Delivery, s *Sub, p *Publish) bool {
	from, to := p.Conn.Account, s.Conn.Account
	if p.Answers != 0 {
		return j.answerReached(d, s, p)
	}
	r := j.routeOf(from, p.Subject, to, s.Subject)
	switch {
	case !r.reaches() && from != to:
		j.report(Isolation, d.At, "%s of account %s received %s of account %s, which nothing brings there", s, to, p, from)
	case !r.reaches():
		j.report(NoMore, d.At, "%s received %s, which it does not match", s, p)
	case !slices.Contains(r.subjects, d.Subject):
		j.report(NoMore, d.At, "%s received %s as %q, expected %q", s, p, d.Subject, r.subjects)
	case !s.Conn.spans(r.over, p.Sent, d.At).any:
		j.report(Reload, d.At, "%s received %s by an import that a reload had taken away", s, p)
	case from == to && !j.sameChoice(p, d):
		j.report(NoMore, d.At, "%s received %s as %q, and another as %q", s, p, d.Subject, j.chosen[p.ID])
	case !r.service && d.Reply != p.Reply:
		j.report(NoMore, d.At, "%s received %s with reply %q, expected %q", s, p, d.Reply, p.Reply)
	default:
		return true
	}
	return false
}

// sameChoice demands that all who hear a message hear it under the one subject that a
// mapping chose for it.
func (j *judge) sameChoice(p *Publish, d *Delivery) bool {
	before, known := j.chosen[p.ID]
	j.chosen[p.ID] = d.Subject
	return !known || before == d.Subject
}

// answerReached judges the response to a request, which may come back over a
// border: it belongs on the request's reply subject, in the requester's account.
func (j *judge) answerReached(d *Delivery, s *Sub, p *Publish) bool {
	request := j.pubs[p.Answers]
	from, to := p.Conn.Account, s.Conn.Account
	home := request.Conn.Account
	switch {
	case to == from && Matches(s.Subject, p.Subject) && d.Subject == p.Subject: // heard where it was published
	case to != home && strings.HasPrefix(d.Subject, "_R_.") && j.h.World.between(home, request.Subject, to): // heard on its way back
	case to != home:
		j.report(Isolation, d.At, "%s of account %s received %s, the answer to a request of account %s", s, to, p, home)
		return false
	case d.Subject != request.Reply || !Matches(s.Subject, request.Reply):
		j.report(NoMore, d.At, "%s received %s as %q, the answer to a request with reply %q", s, p, d.Subject, request.Reply)
		return false
	}
	return true
}

// permitted judges a delivery by the permissions of both sides.
func (j *judge) permitted(d *Delivery, s *Sub, p *Publish) {
	if p.Answers == 0 {
		may := false
		for _, o := range j.h.World.account(p.Conn.Account).outcomes(p.Subject) {
			may = may || j.versions(p.Conn, p.Sent, min(p.Done, d.At), func(v *Permissions) bool { return v.MayPublish(o.subject) }).any
		}
		if !may {
			j.report(Perms, d.At, "%s received %s, whose publisher may not publish it", s, p)
			return
		}
	}
	// It may have passed while it was permitted; what was sent after that is over may not.
	may := func(v *Permissions) bool { return v.MaySubscribe(s.Subject, s.Queue) }
	if !j.versions(s.Conn, p.Sent, d.At, may).any {
		name := Perms
		if j.versions(s.Conn, s.Sent, min(s.Confirmed, p.Sent), may).any {
			name = Reload
		}
		j.report(name, d.At, "%s received %s, and may not be subscribed any more", s, p)
		return
	}
	if j.versions(s.Conn, p.Sent, d.At, func(v *Permissions) bool { return v.Denies(d.Subject, s.Queue) }).all {
		j.report(Perms, d.At, "%s received %s on %q, which it may not", s, p, d.Subject)
	}
}

// order demands that each subscription hears a connection's messages in the
// order of their sending, while no connection on the way breaks. Between servers two kinds of
// messages have a way of their own: answers that are carried to another account go by the server
// that took the request, and what a queue group is to have may go by one whose member has just left.
func (j *judge) order() {
	type pair struct {
		from *Conn
		to   *Sub
	}
	last := make(map[pair]*Publish)
	for _, d := range j.h.Deliveries {
		s, p := j.subs[subKey{d.Conn, d.SID}], j.pubs[d.ID]
		if s == nil || p == nil || d.Status != 0 || j.detour(p, s) || s.Queue != "" && p.Conn.Epoch != s.Conn.Epoch || j.got[s][p.ID] != d {
			continue
		}
		k := pair{p.Conn, s}
		if before := last[k]; before != nil && before.Seq > p.Seq && !j.h.World.broke(p.Conn.Epoch, s.Conn.Epoch, p.Sent, d.At) && !j.sentOn(p) {
			j.report(PairOrder, d.At, "%s received %s (number %d) after message %d (number %d)", s, p, p.Seq, before.ID, before.Seq)
		}
		last[k] = p
	}
}

// detour tells whether a message may pass through servers that neither side is connected to:
// answers that are carried to another account do.
func (j *judge) detour(p *Publish, s *Sub) bool {
	return j.h.World.Mesh && p.Answers != 0 && p.Conn.Account != s.Conn.Account
}

// sentOn tells whether servers may send p on to each other: one that was chosen for a queue group
// whose last member there has just left sends it to a third, which cannot know that it is for
// the group alone. Whoever is interested there may have it twice, or late, even where it began.
func (j *judge) sentOn(p *Publish) bool {
	if !j.h.World.Mesh {
		return false
	}
	for _, q := range j.h.Subs {
		if q.Queue != "" && j.mayReach(p, q) {
			return true
		}
	}
	return false
}

// mayReach tells whether a message matches a subscription, as it was published or as an answer.
func (j *judge) mayReach(p *Publish, s *Sub) bool {
	if p.Answers != 0 {
		return s.Conn.Account == p.Conn.Account && Matches(s.Subject, p.Subject)
	}
	r := j.routeOf(p.Conn.Account, p.Subject, s.Conn.Account, s.Subject)
	return r.reaches()
}

// queues demands that one member of each group receives a message. A group is all
// that carries its name in an account, on whatever patterns.
func (j *judge) queues() {
	type group struct {
		id             uint64
		account, queue string
	}
	taken := make(map[group]*Sub)
	for _, d := range j.h.Deliveries {
		s := j.subs[subKey{d.Conn, d.SID}]
		if s == nil || s.Queue == "" || d.ID == 0 {
			continue
		}
		g := group{d.ID, s.Conn.Account, s.Queue}
		if other := taken[g]; other != nil && other != s {
			j.report(QueueOne, d.At, "message %d reached both %s and %s", d.ID, other, s)
		}
		taken[g] = s
	}
}
