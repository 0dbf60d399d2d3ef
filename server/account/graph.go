package account

import (
	"slices"
	"sync"
	"time"

	"github.com/lockstepmq/lockstep/server/subject"
)

// topology serialises changes of every account's graph: whether an import forms a
// cycle depends on several accounts at once. It is never held on the message path.
var topology sync.Mutex

// Graph is what an account exports, imports and maps: immutable, published whole.
// Its slices are in definition order.
type Graph struct {
	StreamExports  []*Export
	ServiceExports []*Export
	StreamImports  []*StreamImport
	ServiceImports []*ServiceImport
	// Mappings is nil when the account maps nothing.
	Mappings *subject.Mappings

	configured []*subject.Mapping
	system     []*subject.Mapping
}

// remap makes Mappings of those that configuration and the server itself ask for. Of two
// with the same source that of configuration counts.
func (g *Graph) remap() {
	all := slices.Clone(g.configured)
	for _, m := range g.system {
		if indexMapping(g.configured, m.Source()) < 0 {
			all = append(all, m)
		}
	}
	g.Mappings = nil
	if len(all) > 0 {
		g.Mappings = subject.NewMappings(all...)
	}
}

func indexMapping(list []*subject.Mapping, source string) int {
	return slices.IndexFunc(list, func(m *subject.Mapping) bool { return m.Source() == source })
}

// change publishes a changed copy of the account's graph; topology is held.
func (a *Account) change(edit func(g *Graph)) {
	next := *a.graph.Load()
	edit(&next)
	a.graph.Store(&next)
}

// with is a copy of list with one more element: published slices never change.
func with[T any](list []T, one T) []T {
	return append(slices.Clip(list), one)
}

// replaced is a copy of list with now in the place of was.
func replaced[T comparable](list []T, was, now T) []T {
	out := slices.Clone(list)
	out[slices.Index(out, was)] = now
	return out
}

// ResponseType says when the path back of a service request ends.
type ResponseType int

const (
	// Singleton ends with the first response delivered.
	Singleton ResponseType = iota
	// Streamed ends with an empty response, or when idle for the threshold.
	Streamed
	// Chunked is as Streamed: parts of one response.
	Chunked
)

// String is the name that monitoring shows.
func (t ResponseType) String() string {
	switch t {
	case Streamed:
		return "Streamed"
	case Chunked:
		return "Chunked"
	}
	return "Singleton"
}

// DefaultThreshold is how long a service may take to respond when the export
// states nothing else.
const DefaultThreshold = 2 * time.Minute
