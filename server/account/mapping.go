package account

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/subject"
)

// MapDest is one of the destinations that a mapping divides messages among.
type MapDest = subject.Dest

// NewMapDest is a destination for weight percent of the messages, in every cluster.
func NewMapDest(subj string, weight uint8) *MapDest { return &MapDest{Subject: subj, Weight: weight} }

// AddMapping sends all that is published on src to dest instead. Mapping a source
// again replaces its destinations.
func (a *Account) AddMapping(src, dest string) error {
	return a.AddWeightedMappings(src, NewMapDest(dest, 100))
}

// AddWeightedMappings divides what is published on src among dests by weight;
// what the weights leave stays as it is. Errors are those of [subject.NewMapping].
func (a *Account) AddWeightedMappings(src string, dests ...*MapDest) error {
	list := make([]MapDest, len(dests))
	for i, d := range dests {
		list[i] = *d
	}
	m, err := subject.NewMapping(src, list)
	if err != nil {
		return err
	}
	a.remap(func(g *Graph) { g.configured = withMapping(g.configured, m) })
	return nil
}

// RemoveMapping ends the mapping of src and tells whether there was one.
func (a *Account) RemoveMapping(src string) (removed bool) {
	a.remap(func(g *Graph) { g.configured, removed = withoutMapping(g.configured, src) })
	return removed
}

// SetSystemMapping sends all that is published on src to dest instead, beside what
// configuration maps: a reload leaves it. A configured mapping of the same source
// counts instead, while there is one. Setting a source again replaces its destination.
func (a *Account) SetSystemMapping(src, dest string) error {
	m, err := subject.NewMapping(src, []MapDest{{Subject: dest, Weight: 100}})
	if err != nil {
		return err
	}
	a.remap(func(g *Graph) { g.system = withMapping(g.system, m) })
	return nil
}

// RemoveSystemMapping ends the system mapping of src and tells whether there was one.
func (a *Account) RemoveSystemMapping(src string) (removed bool) {
	a.remap(func(g *Graph) { g.system, removed = withoutMapping(g.system, src) })
	return removed
}

// remap changes what is mapped.
func (a *Account) remap(edit func(g *Graph)) {
	topology.Lock()
	defer topology.Unlock()
	a.change(func(g *Graph) {
		edit(g)
		g.remap()
	})
}

// withMapping is a copy of list with m, in the place of one with the same source if
// there is one.
func withMapping(list []*subject.Mapping, m *subject.Mapping) []*subject.Mapping {
	if i := indexMapping(list, m.Source()); i >= 0 {
		return replaced(list, list[i], m)
	}
	return with(list, m)
}

func withoutMapping(list []*subject.Mapping, source string) ([]*subject.Mapping, bool) {
	i := indexMapping(list, source)
	if i < 0 {
		return list, false
	}
	return slices.Delete(slices.Clone(list), i, i+1), true
}

func sameMappings(a, b []*subject.Mapping) bool {
	return slices.EqualFunc(a, b, func(x, y *subject.Mapping) bool {
		return x.Source() == y.Source() && slices.Equal(x.Dests(), y.Dests())
	})
}
