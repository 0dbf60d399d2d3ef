package core

import "strings"

// World is what the server was configured with, as far as it decides who may
// receive what.
type World struct {
	Accounts []Account
	Users    []User
	// Drops tells that producers are not stalled: what a receiver with much pending
	// does not get is lost without a word, and no loss is judged.
	Drops bool
	// Mesh tells that several servers share the accounts: a message may pass between
	// two of them, which takes as long as it likes and is certain only once all is settled.
	Mesh bool
	// Breaks are the times in which connections between servers ended.
	Breaks []Break
	// Reloads are the stamps of the reloads that were accepted.
	Reloads []Stamp
}

// Break is a time in which a connection between the servers of two epochs ended.
type Break struct {
	Between      [2]int // epochs, the lower first
	Since, Until Stamp
}

// joined tells whether what p publishes passes to c for certain, but for what befalls
// the two connections themselves.
func (w *World) joined(p *Publish, c *Conn) bool {
	return p.Conn.Epoch == c.Epoch || w.Mesh && p.Probe
}

// broke tells whether a connection between two servers ended in a time.
func (w *World) broke(a, b int, since, until Stamp) bool {
	if a > b {
		a, b = b, a
	}
	for i := range w.Breaks {
		if x := &w.Breaks[i]; x.Between == [2]int{a, b} && x.Until >= since && x.Since <= until {
			return true
		}
	}
	return false
}

// Account is a subject space with what crosses its border. Patterns that are
// carried over have their wildcards in the same order on both sides.
type Account struct {
	Name     string
	Streams  []Crossing // imports: From's Remote is seen here as Local
	Services []Crossing // imports: what is published here on Local is a request to From's Remote
	Mappings []Mapping

	MaxSubs    int // of a connection; 0 is no limit
	MaxPayload int // bytes; 0 is no limit of the account's own
}

// Crossing is one import.
type Crossing struct {
	From, Remote, Local string
	Response            ResponseKind // of a service
	// Spans tell since when it is there and when not, the first since ever; nil is
	// always.
	Spans []Span
}

// Span begins where an import comes or goes.
type Span struct {
	Since Stamp
	On    bool
}

// ResponseKind is how many responses a service gives.
type ResponseKind uint8

// Kinds of responses. Those of a stream and in chunks end with an empty one.
const (
	Single ResponseKind = iota
	Streamed
	Chunked
)

// Mapping renames what is published, to one of its destinations.
type Mapping struct {
	From string
	To   []Destination
}

// Destination takes a share of what is mapped. One of another cluster takes nothing.
type Destination struct {
	To      string
	Weight  int // percent
	Cluster string
}

// Renamed is the mapping that turns from into to.
func Renamed(from, to string) Mapping { return Mapping{from, []Destination{{To: to, Weight: 100}}} }

// User has one set of permissions at a time. Since is when each came into force:
// zero for the first, the stamp of the reload for the others.
type User struct {
	Name     string
	Account  string
	Versions []Version
	Spans    []Span // when it is there and when not, as of an import
}

// Employed tells whether the user is in the configuration that was read last.
func (u *User) Employed() bool { return len(u.Spans) == 0 || u.Spans[len(u.Spans)-1].On }

// Version is a user's permissions from one reload to the next.
type Version struct {
	Since Stamp
	Perms Permissions
}

// Permissions in their plainest form; nil allow lists allow everything.
type Permissions struct {
	PubAllow, PubDeny []string
	SubAllow, SubDeny []string
	Responses         bool // may answer requests it received
	ResponsesMax      int  // how often each; 0 is once
}

// MayPublish judges a subject.
func (p *Permissions) MayPublish(subject string) bool {
	if p.PubAllow == nil && p.Responses {
		return false
	}
	return allowed(p.PubAllow, p.PubDeny, subject)
}

// MaySubscribe judges a subscription; wildcards in it are plain text. Entries may
// be "subject queue": such an entry speaks of members of that queue alone.
func (p *Permissions) MaySubscribe(subject, queue string) bool {
	plain, named, member := entries(p.SubAllow, subject, queue)
	if p.SubAllow != nil && (named && !member || !named && !plain) {
		return false
	}
	return !p.Denies(subject, queue)
}

// Denies tells whether a message on subject is kept from a wildcard subscription.
func (p *Permissions) Denies(subject, queue string) bool {
	plain, _, member := entries(p.SubDeny, subject, queue)
	return plain || member
}

// entries tells what a list says of a subscription: whether an entry without a queue
// matches; for a queue also whether one with a queue does, and whether that queue is
// its own.
func entries(list []string, subject, queue string) (plain, named, member bool) {
	for _, e := range list {
		pattern, group, qualified := strings.Cut(e, " ")
		switch {
		case !Matches(pattern, subject):
		case !qualified:
			plain = true
		case queue != "":
			named = true
			member = member || Matches(group, queue)
		}
	}
	return plain, named, member
}

func allowed(allow, deny []string, subject string) bool {
	return (allow == nil || anyMatches(allow, subject)) && !anyMatches(deny, subject)
}

func anyMatches(patterns []string, subject string) bool {
	for _, p := range patterns {
		if Matches(p, subject) {
			return true
		}
	}
	return false
}

// Matches tells whether a subject, whose wildcards are plain text, matches a pattern.
func Matches(pattern, subject string) bool {
	return matches(strings.Split(pattern, "."), strings.Split(subject, "."))
}

func matches(pattern, subject []string) bool {
	for i, p := range pattern {
		if p == ">" {
			return len(subject) > i
		}
		if i >= len(subject) || p != "*" && p != subject[i] {
			return false
		}
	}
	return len(pattern) == len(subject)
}

// carry writes a subject that matches from in the form of to.
func carry(subject, from, to string) (string, bool) {
	s, f := strings.Split(subject, "."), strings.Split(from, ".")
	if !matches(f, s) {
		return "", false
	}
	var held []string // what the wildcards of from stand for
	for i, t := range f {
		switch t {
		case "*":
			held = append(held, s[i])
		case ">":
			held = append(held, strings.Join(s[i:], "."))
		}
	}
	out := strings.Split(to, ".")
	for i, t := range out {
		if t == "*" || t == ">" {
			out[i], held = held[0], held[1:]
		}
	}
	return strings.Join(out, "."), true
}

// outcome is one subject that a message may be published under, and how often.
type outcome struct {
	subject string
	weight  int // percent
}

// Outcomes are the subjects under which an account may take what is published. Their
// weights are 100 together, unless the rest is lost.
func (a *Account) outcomes(subject string) []outcome {
	m := a.mapping(subject)
	if m == nil {
		return []outcome{{subject, 100}}
	}
	var out []outcome
	left, explicit := 100, false
	for _, d := range m.To {
		explicit = explicit || d.To == m.From
		if d.Cluster != "" || d.Weight == 0 {
			continue
		}
		to, _ := carry(subject, m.From, d.To)
		out = append(out, outcome{to, d.Weight})
		left -= d.Weight
	}
	if left > 0 && !explicit {
		out = append(out, outcome{subject, left})
	}
	return out
}

// mapping is the first that takes a subject.
func (a *Account) mapping(subject string) *Mapping {
	for i := range a.Mappings {
		if Matches(a.Mappings[i].From, subject) {
			return &a.Mappings[i]
		}
	}
	return nil
}

// mayBe tells whether a subject is one of those that another may be published under.
func (a *Account) mayBe(published, subject string) bool {
	for _, o := range a.outcomes(published) {
		if o.subject == subject {
			return true
		}
	}
	return false
}

func (w *World) account(name string) *Account {
	for i := range w.Accounts {
		if w.Accounts[i].Name == name {
			return &w.Accounts[i]
		}
	}
	return nil
}

type routeKey struct{ from, subject, to, pattern string }

// route is how a message reaches a subscription.
type route struct {
	subjects []string // as it may be delivered; none when it does not reach it
	sure     bool     // whatever mappings choose, it does
	service  bool     // over a service import: the reply is another
	over     *Crossing
}

func (r *route) reaches() bool { return len(r.subjects) > 0 }

// routeOf finds the way from an account and subject to a subscription.
func (j *judge) routeOf(from, subject, to, pattern string) route {
	key := routeKey{from, subject, to, pattern}
	r, known := j.routes[key]
	if !known {
		r = j.h.World.findRoute(from, subject, to, pattern)
		j.routes[key] = r
	}
	return r
}

// hopsMax is how many service imports may follow one another.
const hopsMax = 3

func (w *World) findRoute(from, subject, to, pattern string) route {
	var r route
	src, dst := w.account(from), w.account(to)
	if src != nil && dst != nil {
		r.sure = w.spread(&r, src, subject, dst, pattern, 0) == 100
	}
	return r
}

// spread follows all that the mappings of src may make of a subject, and tells which
// share of it reaches the subscription.
func (w *World) spread(r *route, src *Account, subject string, dst *Account, pattern string, hops int) (share int) {
	for _, o := range src.outcomes(subject) {
		if w.reach(r, src, o.subject, dst, pattern, hops) {
			share += o.weight
		}
	}
	return share
}

// reach finds the way of a subject, as it is after mapping, to a subscription.
func (w *World) reach(r *route, src *Account, subject string, dst *Account, pattern string, hops int) bool {
	if src == dst && Matches(pattern, subject) {
		r.subjects = append(r.subjects, subject)
		return true
	}
	for i := range dst.Streams {
		im := &dst.Streams[i]
		if local, ok := carry(subject, im.Remote, im.Local); ok && im.From == src.Name && Matches(pattern, local) {
			r.subjects = append(r.subjects, local)
			if im.Spans != nil {
				r.over = im
			}
			return true
		}
	}
	if hops == hopsMax {
		return false
	}
	for _, im := range src.Services {
		remote, ok := carry(subject, im.Local, im.Remote)
		if !ok {
			continue
		}
		if w.spread(r, w.account(im.From), remote, dst, pattern, hops+1) == 100 {
			r.service = true
			return true
		}
	}
	return false
}

// between tells whether a request of home passes through another account.
func (w *World) between(home, subject, other string) bool {
	for range hopsMax {
		im := w.service(home, subject)
		if im == nil {
			return false
		}
		if home = im.From; home == other {
			return true
		}
		subject, _ = carry(subject, im.Local, im.Remote)
	}
	return false
}

// service is the import that a request of an account takes, nil when there is none.
func (w *World) service(account, subject string) *Crossing {
	a := w.account(account)
	for _, o := range a.outcomes(subject) {
		for i := range a.Services {
			if Matches(a.Services[i].Local, o.subject) {
				return &a.Services[i]
			}
		}
	}
	return nil
}

// verdict sums up what several versions of permissions say.
type verdict struct{ any, all bool }

// versions asks all permissions that may have been in force for a connection
// between two stamps.
func (j *judge) versions(c *Conn, from, to Stamp, ask func(*Permissions) bool) verdict {
	u := j.users[c.User]
	v := verdict{all: true}
	for i := range u.Versions {
		ver := &u.Versions[i]
		if ver.Since > to {
			break
		}
		if i+1 < len(u.Versions) && c.settled(u.Versions[i+1].Since) < from {
			continue // replaced by then
		}
		if ask(&ver.Perms) {
			v.any = true
		} else {
			v.all = false
		}
	}
	return v
}

// spans asks whether an import may have been, and whether it must have been, there for
// a connection between two stamps.
func (c *Conn) spans(im *Crossing, from, to Stamp) verdict {
	v := verdict{any: im == nil, all: true}
	if im == nil {
		return v
	}
	for i, s := range im.Spans {
		if s.Since > to {
			break
		}
		if i+1 < len(im.Spans) && c.settled(im.Spans[i+1].Since) < from {
			continue // over by then
		}
		v.any, v.all = v.any || s.On, v.all && s.On
	}
	return v
}

// settled is when a change made at since is known to hold for the connection:
// it was opened later, or a PING sent later was answered.
func (c *Conn) settled(since Stamp) Stamp {
	if c.Open > since {
		return since
	}
	for _, a := range c.Answers {
		if a.Sent > since {
			return a.Came
		}
	}
	return Never
}
