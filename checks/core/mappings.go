package core

import (
	"math"
	"slices"
)

// shareDoubt is how unlikely a run of choices may be before it is called wrong.
const shareDoubt = 1e-9

// mappings judges what weighted mappings chose in the long run: no destination with a
// weight is left out, and what is to be lost is lost sometimes.
func (j *judge) mappings() {
	for i := range j.h.World.Accounts {
		a := &j.h.World.Accounts[i]
		for k := range a.Mappings {
			if m := &a.Mappings[k]; len(m.To) > 1 {
				j.mapping(a, m)
			}
		}
	}
}

// mapping counts where the messages of one mapping went. Those that nobody heard are
// lost if somebody would have heard each choice.
func (j *judge) mapping(a *Account, m *Mapping) {
	shares := a.outcomes(m.From)
	chosen, lost, judged, sure := make([]int, len(shares)), 0, 0, 0
	last := Stamp(0)
	watchers := j.watchers(a, shares)
	for _, p := range j.h.Pubs {
		if p.Conn.Account != a.Name || p.Answers != 0 || a.mapping(p.Subject) != m {
			continue
		}
		subject, heard := j.chosen[p.ID]
		watched := j.watched(p, watchers)
		if watched { // what is judged only when it was heard says nothing of what is lost
			sure++
		}
		switch {
		case heard:
			for n, o := range a.outcomes(p.Subject) {
				if o.subject == subject {
					chosen[n]++
				}
			}
		case watched:
			lost++
		default:
			continue
		}
		judged++
		last = max(last, p.Sent)
	}
	rest := 100
	for n, o := range shares {
		rest -= o.weight
		j.share(m, o.subject, o.weight, chosen[n], judged, last)
	}
	j.share(m, "nowhere", rest, lost, sure, last)
}

// watchers are, for each choice, the subscriptions of an account that hear it.
func (j *judge) watchers(a *Account, shares []outcome) [][]*Sub {
	lists := make([][]*Sub, len(shares))
	for _, s := range j.h.Subs {
		if s.Queue != "" || s.Max != 0 || s.Conn.Account != a.Name || j.refusedSub(s) {
			continue
		}
		for i, o := range shares {
			if Matches(s.Subject, o.subject) {
				lists[i] = append(lists[i], s)
			}
		}
	}
	return lists
}

// watched tells whether somebody had to hear p whatever was chosen, had it not been
// lost on purpose.
func (j *judge) watched(p *Publish, watchers [][]*Sub) bool {
	for _, list := range watchers {
		if !slices.ContainsFunc(list, func(s *Sub) bool {
			return j.mustAsIf(p, s, j.routeOf(p.Conn.Account, p.Subject, s.Conn.Account, s.Subject))
		}) {
			return false
		}
	}
	return true
}

// share judges how often one choice was made.
func (j *judge) share(m *Mapping, where string, weight, n, of int, at Stamp) {
	if weight > 0 && n == 0 && math.Pow(1-float64(weight)/100, float64(of)) < shareDoubt {
		j.report(Exact, at, "%d messages to %q, and none went %s, which is to take %d%%", of, m.From, where, weight)
	}
}
