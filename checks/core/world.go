package core

import "strings"

// World is what the server was configured with, as far as it decides who may
// receive what.
type World struct {
	Accounts []Account
	Users    []User
}

// Account is a subject space with what crosses its border. Patterns that are
// carried over have their wildcards in the same order on both sides.
type Account struct {
	Name     string
	Streams  []Crossing // imports: From's Remote is seen here as Local
	Services []Crossing // imports: what is published here on Local is a request to From's Remote
	Mappings []Mapping
}

// Crossing is one import.
type Crossing struct{ From, Remote, Local string }

// Mapping renames what is published.
type Mapping struct{ From, To string }

// User has one set of permissions at a time. Since is when each came into force:
// zero for the first, the stamp of the reload for the others.
type User struct {
	Name     string
	Account  string
	Versions []Version
}

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
}

// MayPublish judges a subject.
func (p *Permissions) MayPublish(subject string) bool {
	if p.PubAllow == nil && p.Responses {
		return false
	}
	return allowed(p.PubAllow, p.PubDeny, subject)
}

// MaySubscribe judges a subscription; wildcards in it are plain text.
func (p *Permissions) MaySubscribe(subject string) bool {
	return allowed(p.SubAllow, p.SubDeny, subject)
}

// Denies tells whether a message on subject is kept from a wildcard subscription.
func (p *Permissions) Denies(subject string) bool { return anyMatches(p.SubDeny, subject) }

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

// Mapped is the subject under which an account takes what is published.
func (a *Account) Mapped(subject string) string {
	for _, m := range a.Mappings {
		if to, ok := carry(subject, m.From, m.To); ok {
			return to
		}
	}
	return subject
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
	subject string // as it is delivered; "" when it does not reach it
	service bool   // over a service import: the reply is another
}

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

func (w *World) findRoute(from, subject, to, pattern string) route {
	src, dst := w.account(from), w.account(to)
	if src == nil || dst == nil {
		return route{}
	}
	subject = src.Mapped(subject)
	if from == to && Matches(pattern, subject) {
		return route{subject: subject}
	}
	for _, im := range dst.Streams {
		if local, ok := carry(subject, im.Remote, im.Local); ok && im.From == from && Matches(pattern, local) {
			return route{subject: local}
		}
	}
	for _, im := range src.Services {
		if im.From != to {
			continue
		}
		if remote, ok := carry(subject, im.Local, im.Remote); ok {
			if remote = dst.Mapped(remote); Matches(pattern, remote) {
				return route{subject: remote, service: true}
			}
		}
	}
	return route{}
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
