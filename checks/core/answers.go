package core

import "strings"

// listEnds collects the empty answers by the subjects on which they may be heard: the
// one they were published on, and the one that the requester gave.
func (j *judge) listEnds() {
	for _, p := range j.h.Pubs {
		if !p.End {
			continue
		}
		j.ends[p.Subject] = append(j.ends[p.Subject], p)
		if q := j.pubs[p.Answers]; q != nil && q.Reply != p.Subject {
			j.ends[q.Reply] = append(j.ends[q.Reply], p)
		}
	}
}

// endOf finds the answer that an empty delivery is: one that s has not had yet.
func (j *judge) endOf(d *Delivery, s *Sub) *Publish {
	var other *Publish
	for _, p := range j.ends[d.Subject] {
		switch {
		case p.Sent > d.At || j.got[s][p.ID] != nil:
		case (p.Conn != s.Conn || s.Conn.Echo) && (p.Done > s.Sent || j.h.World.Mesh && p.Conn.Epoch != s.Conn.Epoch):
			return p
		case other == nil:
			other = p
		}
	}
	return other // explains it, though badly
}

// answerLosses demands that answers arrive at the requester: all of them within an
// account, and those of a service that gives several, up to its end; of one that gives
// a single one, the first.
func (j *judge) answerLosses() {
	inboxes := make(map[*Conn][]*Sub)
	for _, s := range j.h.Subs {
		if strings.HasPrefix(s.Subject, "_INBOX.") && s.Queue == "" && s.Max == 0 {
			inboxes[s.Conn] = append(inboxes[s.Conn], s)
		}
	}
	crossed := make(map[*Publish][]*Publish)
	var order []*Publish
	for _, p := range j.h.Pubs {
		q := j.pubs[p.Answers]
		switch {
		case p.Answers == 0 || q == nil:
		case p.Conn.Account != q.Conn.Account:
			if crossed[q] == nil {
				order = append(order, q)
			}
			crossed[q] = append(crossed[q], p)
		case p.Subject == q.Reply && !p.End:
			for _, s := range inboxes[q.Conn] {
				if j.got[s][p.ID] == nil && j.mustAnswer(q, p, s) {
					j.report(LossTold, s.Conn.Synced, "%s never received %s, the answer to message %d", s, p, q.ID)
				}
			}
		}
	}
	for _, q := range order {
		j.crossed(q, crossed[q], inboxes[q.Conn])
	}
}

// mustAnswer tells whether an answer that leads to s has to reach it.
func (j *judge) mustAnswer(q, p *Publish, s *Sub) bool {
	return !j.restrictedPublisher(p.Conn) && Matches(s.Subject, q.Reply) && !j.refusedSub(s) && s.Limited == 0 &&
		s.Confirmed < min(p.Sent, q.Sent) && p.Done < s.until() && p.Conn != s.Conn && p.Conn.Epoch == s.Conn.Epoch &&
		j.mustHear(p, s, q.Reply)
}

// crossed judges the answers to a request that came over a border.
func (j *judge) crossed(q *Publish, answers []*Publish, inboxes []*Sub) {
	im := j.h.World.service(q.Conn.Account, q.Subject)
	if im == nil {
		return // not by a service: nothing brings them back
	}
	endSent, endDone := Never, Never // of the first that surely, and of one that certainly ended it
	for _, p := range answers {
		if p.End {
			endSent = min(endSent, p.Sent)
			if !j.restrictedPublisher(p.Conn) && p.Conn.Epoch == q.Conn.Epoch {
				endDone = min(endDone, p.Done)
			}
		}
	}
	for _, s := range inboxes {
		var due *Publish
		heard := 0
		for _, p := range answers {
			switch {
			case j.got[s][p.ID] != nil:
				if heard++; im.Response != Single && !p.End && p.Sent > endDone {
					j.report(Exact, j.got[s][p.ID].At, "%s received %s after the end of the answers to message %d", s, p, q.ID)
				}
			case !j.mustAnswer(q, p, s):
			case im.Response == Single:
				due = p
			case !p.End && p.Done < endSent:
				j.report(LossTold, s.Conn.Synced, "%s never received %s, one of the answers to message %d", s, p, q.ID)
			}
		}
		if due != nil && heard == 0 {
			j.report(LossTold, s.Conn.Synced, "%s never received any answer to message %d, such as %s", s, q.ID, due)
		}
		if im.Response == Single && heard > 1 {
			j.report(Exact, s.Conn.Synced, "%s received %d answers to message %d, whose service gives one", s, heard, q.ID)
		}
	}
}

// permits judges the answers of those who may publish nothing else: each request that
// they receive lets them answer so often, and not more often.
func (j *judge) permits() {
	type key struct {
		conn  *Conn
		reply string
	}
	received, refused, sure := make(map[key]int), make(map[key]int), make(map[key]bool)
	for _, d := range j.h.Deliveries {
		if d.Reply != "" {
			received[key{d.Conn, d.Reply}]++
		}
	}
	for _, n := range j.h.Notices {
		if n.Kind == NoticePublish {
			refused[key{n.Conn, n.Subject}]++
		}
	}
	sent, done := make(map[key]int), make(map[key]int)
	var order []key
	for _, p := range j.h.Pubs {
		u := j.users[p.Conn.User]
		perms := &u.Versions[0].Perms
		if p.Answers == 0 || len(u.Versions) > 1 || !perms.Responses || perms.PubAllow != nil {
			continue
		}
		k := key{p.Conn, p.Subject}
		if sent[k]++; sent[k] == 1 {
			order = append(order, k)
			sure[k] = true
		}
		if p.Done != Never {
			done[k]++
		}
		if p.Done == Never || j.pubs[p.Answers] == nil {
			sure[k] = false
		}
	}
	for _, k := range order {
		most := max(j.users[k.conn.User].Versions[0].Perms.ResponsesMax, 1)
		switch {
		case done[k]-refused[k] > most*received[k]:
			j.report(Perms, k.conn.Synced, "%s published %d answers to %q, and may %d times for each of %d requests", k.conn, done[k]-refused[k], k.reply, most, received[k])
		case sure[k] && refused[k] > max(sent[k]-most, 0):
			j.report(Perms, k.conn.Synced, "%s was refused %d of %d answers to %q, and may %d times", k.conn, refused[k], sent[k], k.reply, most)
		}
	}
}

// tooBig demands that a publish above the account's limit ends the connection.
func (j *judge) tooBig() {
	for _, p := range j.h.Pubs {
		if p.TooBig && p.Done != Never {
			j.report(Exact, p.Done, "%s is above max_payload, and the connection lived on", p)
		}
	}
}
