package placement

import (
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Reason is a set of reasons why servers were not chosen.
type Reason uint8

// The reasons that name no tag, in the order in which they are told.
const (
	PeerOffline         Reason = 1 << iota // offline beyond what a quorum permits, or without JetStream
	ExcludeTag                             // the server is tagged !jetstream
	InsufficientStorage                    // less free, in memory or files, than the stream reserves
	TagNotUnique                           // no unique tag, or another member has the same
	Miscellaneous                          // as many replicated assets as the server may hold
)

// reasonTexts are the texts, in the order of the bits.
var reasonTexts = []string{"peer offline", "exclude tag set", "insufficient storage", "server tag not unique", "miscellaneous issue"}

// Refusal says why no servers could be chosen, over all clusters that were tried.
type Refusal struct {
	Reasons    Reason
	NotMatched []string // tags that a server lacked, each once, as the request wrote them
	Excluded   []string // tags that a server must not have and has, without their !
}

// Error is what the client is told, such as
//
//	no suitable peers for placement, peer offline, tags not matched ['ssd', 'eu'], tags excluded ['old']
func (f *Refusal) Error() string {
	parts := []string{"no suitable peers for placement"}
	for i, text := range reasonTexts {
		if f.Reasons&(1<<i) != 0 {
			parts = append(parts, text)
		}
	}
	if len(f.NotMatched) > 0 {
		parts = append(parts, "tags not matched ["+quoted(f.NotMatched)+"]")
	}
	if len(f.Excluded) > 0 {
		parts = append(parts, "tags excluded ["+quoted(f.Excluded)+"]")
	}
	return strings.Join(parts, ", ")
}

// API is the refusal as error 10005.
func (f *Refusal) API() *api.Error { return api.ErrClusterNoPeers.With(f.Error()) }

// note adds what judge said of a server.
func (f *Refusal) note(v verdict) {
	f.Reasons |= v.reason
	switch {
	case v.lacks && !slices.Contains(f.NotMatched, v.tag):
		f.NotMatched = append(f.NotMatched, v.tag)
	case v.barred && !slices.Contains(f.Excluded, v.tag):
		f.Excluded = append(f.Excluded, v.tag)
	}
}

func quoted(tags []string) string { return "'" + strings.Join(tags, "', '") + "'" }

// verdict is what one server is for one request.
type verdict struct {
	ok     bool
	reason Reason
	lacks  bool // the server has not the tag
	barred bool // the server has the tag
	tag    string
}

// judge tells whether a server of the right cluster qualifies. Of one that does not, the first
// reason counts; one to avoid has none. What a group's members have in common is not judged here.
func (s *State) judge(r *Request, v *Server, kept bool) verdict {
	switch {
	case slices.Contains(r.Avoid, v.ID):
		return verdict{}
	case !v.JetStream:
		return verdict{reason: PeerOffline}
	case v.tagged(noJetStream):
		return verdict{reason: ExcludeTag}
	}
	for _, t := range r.Tags {
		if without, not := strings.CutPrefix(t, "!"); not {
			if v.tagged(without) {
				return verdict{barred: true, tag: without}
			}
		} else if !v.tagged(t) {
			return verdict{lacks: true, tag: t}
		}
	}
	resource, needed := v.Store, r.MaxBytes
	if r.Memory {
		resource = v.Memory
	}
	if kept {
		needed -= max(0, r.Held)
	}
	switch prefix := s.distinct(r.Tags); {
	case needed > 0 && needed > resource.free():
		return verdict{reason: InsufficientStorage}
	case r.Replicas > 1 && !kept && v.MaxAssets > 0 && v.Assets >= v.MaxAssets:
		return verdict{reason: Miscellaneous}
	case prefix != "" && v.class(prefix) == "":
		return verdict{reason: TagNotUnique}
	}
	return verdict{ok: true}
}
