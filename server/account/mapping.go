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
	topology.Lock()
	defer topology.Unlock()
	a.change(func(g *Graph) { g.Mappings = subject.NewMappings(with(g.Mappings.All(), m)...) })
	return nil
}

// RemoveMapping ends the mapping of src and tells whether there was one.
func (a *Account) RemoveMapping(src string) bool {
	topology.Lock()
	defer topology.Unlock()
	was := a.graph.Load().Mappings.All()
	now := slices.DeleteFunc(slices.Clone(was), func(m *subject.Mapping) bool { return m.Source() == src })
	if len(now) == len(was) {
		return false
	}
	a.change(func(g *Graph) {
		g.Mappings = nil
		if len(now) > 0 {
			g.Mappings = subject.NewMappings(now...)
		}
	})
	return true
}

func sameMappings(a, b *subject.Mappings) bool {
	return slices.EqualFunc(a.All(), b.All(), func(x, y *subject.Mapping) bool {
		return x.Source() == y.Source() && slices.Equal(x.Dests(), y.Dests())
	})
}
