package api

import (
	"strings"

	"github.com/lockstepmq/lockstep/server/subject"
)

// comparisonsMax bounds the work of one judgement on patterns: lists of plain subjects may be of
// any length, but a list whose patterns must all be held against each other may not.
const comparisonsMax = 1 << 22

// patternSet finds those of many subjects and patterns that may have something to do with
// a given one: most share no first token, and are passed over.
type patternSet struct {
	list   []string
	equal  map[string][]int // literals, by text
	lits   map[string][]int // literals, by first token
	wilds  map[string][]int // patterns, by literal first token
	any    []int            // patterns whose first token is a wildcard
	budget int              // comparisons left
}

// newPatternSet gives the set of list, in which what is not valid has nothing to do with
// anything.
func newPatternSet(list []string) *patternSet {
	p := &patternSet{
		list: list, equal: make(map[string][]int), lits: make(map[string][]int), wilds: make(map[string][]int),
		budget: comparisonsMax,
	}
	for i, s := range list {
		first := firstToken(s)
		switch {
		case !subject.Valid(s):
		case first == "*" || first == ">":
			p.any = append(p.any, i)
		case subject.HasWildcard(s):
			p.wilds[first] = append(p.wilds[first], i)
		default:
			p.equal[s] = append(p.equal[s], i)
			p.lits[first] = append(p.lits[first], i)
		}
	}
	return p
}

func firstToken(s string) string {
	first, _, _ := strings.Cut(s, ".")
	return first
}

// find gives the lowest place, not below from and not except, of one that is related to s, or
// -1. Related ones must overlap. ok is false when the budget is spent before it is known.
func (p *patternSet) find(s string, from, except int, related func(s, other string) bool) (place int, ok bool) {
	if !subject.Valid(s) {
		return -1, true
	}
	first := firstToken(s)
	if first == "*" || first == ">" {
		return p.search(nil, len(p.list), s, from, except, related)
	}
	near := p.equal[s]
	if subject.HasWildcard(s) {
		near = p.lits[first]
	}
	place = -1
	for _, places := range [...][]int{near, p.wilds[first], p.any} {
		at, ok := p.search(places, len(places), s, from, except, related)
		if !ok {
			return -1, false
		}
		if at >= 0 && (place < 0 || at < place) {
			place = at
		}
	}
	return place, true
}

// search goes through n places; nil places are 0, 1, 2 ...
func (p *patternSet) search(places []int, n int, s string, from, except int, related func(s, other string) bool) (int, bool) {
	for i := range n {
		at := i
		if places != nil {
			at = places[i]
		}
		if at < from || at == except {
			continue
		}
		if p.budget--; p.budget < 0 {
			return -1, false
		}
		if related(s, p.list[at]) {
			return at, true
		}
	}
	return -1, true
}

// overlap is [subject.Overlaps], and false where one of the two is not valid.
func overlap(a, b string) bool {
	return subject.Valid(a) && subject.Valid(b) && subject.Overlaps(a, b)
}

// subsetOf is [subject.SubsetOf], and false where one of the two is not valid.
func subsetOf(a, b string) bool {
	return subject.Valid(a) && subject.Valid(b) && subject.SubsetOf(a, b)
}

// SubjectsOverlap tells whether two lists collide: whether some subject matches one of each. Two
// lists of very many patterns, of which that cannot be told with reasonable effort, count as
// colliding.
func SubjectsOverlap(a, b []string) bool {
	const few = 1 << 10
	if len(a)*len(b) <= few {
		for _, s := range a {
			for _, t := range b {
				if overlap(s, t) {
					return true
				}
			}
		}
		return false
	}
	set := newPatternSet(b)
	for _, s := range a {
		if place, ok := set.find(s, 0, -1, overlap); place >= 0 || !ok {
			return true
		}
	}
	return false
}
