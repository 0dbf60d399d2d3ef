package subject

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Errors of weighted destinations.
var (
	ErrWeight      = errors.New("individual weights need to be <= 100")
	ErrTotalWeight = errors.New("total weight needs to be <= 100")
)

// A Dest is one of the destinations that a mapping divides messages among.
type Dest struct {
	Subject string // a transform's destination
	Weight  uint8  // percent of the messages, 0 to 100
	Cluster string // "" or the name of the only cluster where it counts
}

// A Mapping rewrites what is published to subjects that match its source. It is
// immutable.
//
// Weights are percentages within a scope: the destinations without a cluster, or
// those of one cluster, which replace the others there. What they leave goes on
// unchanged, unless the source is itself a destination, in any scope: then what
// the weights leave is dropped.
type Mapping struct {
	source string
	dests  []Dest
	scopes []scope // the one without a cluster first
	wild   bool
	drops  bool // what the weights leave
}

type scope struct {
	cluster string
	ways    []way
}

type way struct {
	to    *Transform
	below uint8 // draws from the one before up to below it go this way
}

// NewMapping compiles a mapping. Errors are those of [NewTransform], [ErrWeight],
// [ErrTotalWeight], and one for a destination given twice.
func NewMapping(source string, dests []Dest) (*Mapping, error) {
	if !Valid(source) || HasBlank(source) {
		return nil, ErrInvalidSubject
	}
	m := &Mapping{source: source, dests: slices.Clone(dests), scopes: []scope{{}}, wild: HasWildcard(source)}
	for i, d := range dests {
		if slices.ContainsFunc(dests[:i], func(o Dest) bool { return o.Subject == d.Subject }) {
			return nil, fmt.Errorf("duplicate entry for %q", d.Subject)
		}
		if err := m.addDest(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Mapping) addDest(d Dest) error {
	if d.Weight > 100 {
		return ErrWeight
	}
	s := m.scope(d.Cluster)
	if s == nil {
		m.scopes = append(m.scopes, scope{cluster: d.Cluster})
		s = &m.scopes[len(m.scopes)-1]
	}
	below := d.Weight
	if n := len(s.ways); n > 0 {
		below += s.ways[n-1].below
	}
	if below > 100 {
		return ErrTotalWeight
	}
	// The source as its own destination is text, though it has wildcards.
	dest := d.Subject
	if dest == m.source {
		m.drops, dest = true, ""
	}
	to, err := NewTransform(m.source, dest)
	s.ways = append(s.ways, way{to, below})
	return err
}

func (m *Mapping) scope(cluster string) *scope {
	for i := range m.scopes {
		if m.scopes[i].cluster == cluster {
			return &m.scopes[i]
		}
	}
	return nil
}

// Source gives the pattern of subjects that m maps.
func (m *Mapping) Source() string { return m.source }

// Dests gives the destinations as they were given. The caller must not change them.
func (m *Mapping) Dests() []Dest { return m.dests }

// Matches tells whether m maps a published subject.
func (m *Mapping) Matches(subject []byte) bool {
	if !m.wild {
		return string(subject) == m.source
	}
	return SubsetOf(subject, m.source)
}

// Choose draws where a message to a subject that m matches goes on a server of the
// named cluster: dest is subject itself when it stays, and drop says that it goes
// nowhere. A nil r draws 0.
func (m *Mapping) Choose(subject, cluster string, r *rand.Rand) (dest string, drop bool) {
	out, drop := m.AppendTo(nil, view(subject), cluster, r)
	return string(out), drop
}

// AppendTo is [Mapping.Choose] on bytes: it appends the destination to dst.
func (m *Mapping) AppendTo(dst, subject []byte, cluster string, r *rand.Rand) (_ []byte, drop bool) {
	return m.write(dst, subject, subject, cluster, r)
}

func (m *Mapping) write(dst, subject, whole []byte, cluster string, r *rand.Rand) (_ []byte, drop bool) {
	s := &m.scopes[0]
	if cluster != "" {
		if own := m.scope(cluster); own != nil {
			s = own
		}
	}
	w := s.draw(r)
	switch {
	case w != nil:
		return w.to.write(dst, subject, whole, r), false
	case m.drops:
		return dst, true
	}
	return append(dst, subject...), false
}

// draw picks a way by weight, nil for what the weights leave.
func (s *scope) draw(r *rand.Rand) *way {
	n := len(s.ways)
	if n == 0 || s.ways[n-1].below == 0 {
		return nil
	}
	at := uint8(0)
	if s.ways[0].below < 100 && r != nil {
		at = uint8(r.UintN(100))
	}
	for i := range s.ways {
		if at < s.ways[i].below {
			return &s.ways[i]
		}
	}
	return nil
}

// Mappings are those of an account, in the order of their definition: the first
// that matches is the only one that counts. They are immutable.
type Mappings struct {
	list    []*Mapping
	literal map[string]int   // by source
	first   map[string][]int // patterns by their first token
	leading []int            // patterns that start with a wildcard
}

// NewMappings puts mappings in order. A later one with the same source replaces an
// earlier one, at its place.
func NewMappings(list ...*Mapping) *Mappings {
	s := &Mappings{literal: map[string]int{}, first: map[string][]int{}}
	at := make(map[string]int, len(list))
	for _, m := range list {
		if i, again := at[m.source]; again {
			s.list[i] = m
			continue
		}
		i := len(s.list)
		at[m.source] = i
		s.list = append(s.list, m)
		first, _ := next(m.source, 0)
		switch {
		case !m.wild:
			s.literal[m.source] = i
		case is(first, wildOne), is(first, wildRest):
			s.leading = append(s.leading, i)
		default:
			s.first[first] = append(s.first[first], i)
		}
	}
	return s
}

// All gives the mappings in order. The caller must not change them.
func (s *Mappings) All() []*Mapping {
	if s == nil {
		return nil
	}
	return s.list
}

// Find gives the mapping of a published subject, nil when there is none. What
// cannot match costs two look-ups, however many mappings there are. s may be nil.
func (s *Mappings) Find(subject []byte) *Mapping {
	if s == nil || len(s.list) == 0 {
		return nil
	}
	best := len(s.list)
	if i, ok := s.literal[string(subject)]; ok {
		best = i
	}
	token, _ := next(subject, 0)
	best = s.firstMatch(s.first[string(token)], subject, best)
	best = s.firstMatch(s.leading, subject, best)
	if best == len(s.list) {
		return nil
	}
	return s.list[best]
}

func (s *Mappings) firstMatch(candidates []int, subject []byte, best int) int {
	for _, i := range candidates {
		if i >= best {
			break
		}
		if s.list[i].Matches(subject) {
			return i
		}
	}
	return best
}

// Choose finds the mapping of a subject and draws its destination, which is
// subject itself when none matches; see [Mapping.Choose].
func (s *Mappings) Choose(subject, cluster string, r *rand.Rand) (dest string, drop bool) {
	out, mapped, drop := s.AppendTo(nil, view(subject), cluster, r)
	if !mapped {
		return subject, false
	}
	return string(out), drop
}

// AppendTo is [Mappings.Choose] on bytes: it appends the destination to dst when a
// mapping matches, which mapped tells.
//
// When an account's only mapping has a literal source, a partition over the whole
// subject hashes nothing at all, so that it agrees with servers which do so.
func (s *Mappings) AppendTo(dst, subject []byte, cluster string, r *rand.Rand) (_ []byte, mapped, drop bool) {
	m := s.Find(subject)
	if m == nil {
		return dst, false, false
	}
	whole := subject
	if len(s.list) == 1 && !m.wild {
		whole = nil
	}
	dst, drop = m.write(dst, subject, whole, cluster, r)
	return dst, true, drop
}
