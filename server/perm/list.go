package perm

import (
	"strings"

	"github.com/lockstepmq/lockstep/server/subject"
)

// entry is one line of a list: a subject, which may have wildcards, and for
// subscriptions perhaps a queue, which may have them too.
type entry struct {
	subject, queue string
	qualified      bool
}

// list is entries as a tree of tokens, so that a check costs as much as the subject
// is long, however many entries there are.
type list struct {
	entries []entry
	root    node
}

type node struct {
	few       []child          // by literal token, while they are few
	many      map[string]*node // by literal token, otherwise
	one       *node            // "*"
	here      leaf             // entries that end here
	remainder leaf             // entries that end in ">" here
}

type child struct {
	token string
	node  *node
}

// fewMax is how many children are looked through one by one rather than hashed.
const fewMax = 8

type leaf struct {
	plain  bool
	queues []string
}

// match is what the entries that match a subject say about a queue.
type match struct {
	plain     bool // an entry without a queue matched
	qualified bool // a queue was given, and an entry with a queue matched the subject
	queue     bool // ... and the queue too
}

func (l *list) add(e entry) {
	l.entries = append(l.entries, e)
	n, last := &l.root, &l.root.here
	subject.Each(e.subject, func(_ int, token string) bool {
		switch {
		case token == ">": // valid subjects have it last only
			last = &n.remainder
			return true
		case token == "*":
			if n.one == nil {
				n.one = &node{}
			}
			n = n.one
		default:
			n = n.grow(token)
		}
		last = &n.here
		return true
	})
	if e.qualified {
		last.queues = append(last.queues, e.queue)
	} else {
		last.plain = true
	}
}

// literal gives the child of a literal token; nil without one.
func (n *node) literal(token string) *node {
	if n.many != nil {
		return n.many[token]
	}
	for i := range n.few {
		if n.few[i].token == token {
			return n.few[i].node
		}
	}
	return nil
}

// grow gives the child of a literal token, which it makes if there is none.
func (n *node) grow(token string) *node {
	if c := n.literal(token); c != nil {
		return c
	}
	c := &node{}
	switch {
	case n.many != nil:
		n.many[token] = c
	case len(n.few) < fewMax:
		n.few = append(n.few, child{token, c})
	default:
		n.many = map[string]*node{token: c}
		for _, f := range n.few {
			n.many[f.token] = f.node
		}
		n.few = nil
	}
	return c
}

// match collects the entries that match s, whose tokens are plain text. A subject
// with an empty token matches nothing.
func (l *list) match(s, queue string) (m match) {
	if hasTokens(s) {
		l.root.match(s, queue, &m)
	}
	return m
}

// hasTokens tells whether s has no empty token.
func hasTokens(s string) bool {
	before := byte('.')
	for i := range len(s) {
		if s[i] == '.' && before == '.' {
			return false
		}
		before = s[i]
	}
	return before != '.'
}

func (n *node) match(s, queue string, m *match) {
	n.remainder.match(queue, m)
	token, rest, more := strings.Cut(s, ".")
	for _, child := range [...]*node{n.literal(token), n.one} {
		switch {
		case child == nil:
		case more:
			child.match(rest, queue, m)
		default:
			child.here.match(queue, m)
		}
	}
}

func (f *leaf) match(queue string, m *match) {
	m.plain = m.plain || f.plain
	if queue == "" {
		return
	}
	for _, q := range f.queues {
		m.qualified = true
		m.queue = m.queue || subject.Matches(queue, q)
	}
}

// overlaps tells whether some subject matches both sub and an entry that concerns
// the queue.
func (l *list) overlaps(sub, queue string) bool {
	for _, e := range l.entries {
		concerns := !e.qualified || queue != "" && subject.Matches(queue, e.queue)
		if concerns && subject.Overlaps(sub, e.subject) {
			return true
		}
	}
	return false
}
