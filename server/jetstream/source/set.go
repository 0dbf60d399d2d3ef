package source

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
)

// Options of a Set.
type Options struct {
	Account string // its name, as the origin's consumers show it
	Domain  string // "" for none
	// MaxPayload is the server's, in bytes; 0 is no bound.
	MaxPayload int
}

// Set is all followers of a stream. See the package comment.
type Set struct {
	host   Host
	opts   Options
	cfg    *api.StreamConfig
	mirror *Follower
	list   []*Follower // of the sources, in the order of the configuration
	scan   *scan       // nil when no search for positions goes on
	found  map[string]position
	free   []*Batch
	caught bool
	over   bool
}

// position is a place at an origin.
type position struct {
	seq      uint64
	identity string
}

// Reason is why a Set is stopped.
type Reason uint8

const (
	Left    Reason = iota // somebody else leads, or the server goes: the consumers at the origins stay
	Removed               // the stream is deleted: they are deleted too
)

// New makes the followers of a stream that begins to lead. Configure comes next.
func New(h Host, o Options) *Set {
	return &Set{host: h, opts: o, found: make(map[string]position)}
}

// Configure follows what cfg names, and no longer what it does not name: a mirror without its origin is
// a stream like others.
func (s *Set) Configure(cfg *api.StreamConfig) {
	if s.over {
		return
	}
	s.cfg = cfg
	if s.mirror != nil && (cfg.Mirror == nil || !sameOrigin(s.mirror.src, cfg.Mirror)) {
		s.mirror.end(Removed)
		s.mirror = nil
	}
	switch {
	case cfg.Mirror == nil:
	case s.mirror == nil:
		s.mirror = newFollower(s, cfg.Mirror, true)
	default:
		s.mirror.src = cfg.Mirror
	}
	s.configureSources(cfg)
}

func (s *Set) configureSources(cfg *api.StreamConfig) {
	was := s.list
	s.list = nil
	kept := make([]bool, len(was))
	var fresh []*Follower
	for _, src := range cfg.Sources {
		i := slices.IndexFunc(was, func(f *Follower) bool { return f.key == machine.SourceKey(src) && sameOrigin(f.src, src) })
		if i >= 0 && !kept[i] {
			kept[i] = true
			was[i].src = src
			s.list = append(s.list, was[i])
			continue
		}
		f := newFollower(s, src, false)
		s.list = append(s.list, f)
		fresh = append(fresh, f)
	}
	for i, f := range was {
		if !kept[i] {
			f.end(Removed)
		}
	}
	for _, f := range s.list {
		f.name = s.consumerName(f)
	}
	s.search(fresh)
}

// sameOrigin tells whether two entries of the same key are reached, and deliver, in the same way.
func sameOrigin(a, b *api.StreamSource) bool {
	if (a.External == nil) != (b.External == nil) || (a.Consumer == nil) != (b.Consumer == nil) {
		return false
	}
	return machine.SourceKey(a) == machine.SourceKey(b) &&
		(a.External == nil || *a.External == *b.External) && (a.Consumer == nil || *a.Consumer == *b.Consumer)
}

// consumerName is what a follower's consumer is called at the origin: the same for every leader,
// and different for two sources of the same stream.
func (s *Set) consumerName(f *Follower) string {
	if f.src.Consumer != nil {
		return f.src.Consumer.Name
	}
	text := s.cfg.Name + " " + s.opts.Account
	if s.opts.Domain != "" {
		text += " " + s.opts.Domain
	}
	if f.mirror {
		return "JS_MIRROR_" + api.Hash8(text)
	}
	same := 0
	for _, src := range s.cfg.Sources {
		if src.Name == f.src.Name {
			same++
		}
	}
	if same > 1 {
		text += " " + f.key
	}
	return "JS_SRC_" + api.Hash8(text)
}

// Stop ends all followers, for good.
func (s *Set) Stop(why Reason) {
	if s.over {
		return
	}
	s.over = true
	s.scan = nil
	if s.mirror != nil {
		s.mirror.end(why)
	}
	for _, f := range s.list {
		f.end(why)
	}
}

// Mirror tells how the mirror does; nil if the stream is none.
func (s *Set) Mirror() *api.StreamSourceInfo {
	if s.mirror == nil {
		return nil
	}
	return s.mirror.info()
}

// Sources tells how the sources do, in the order of the configuration; nil for none.
func (s *Set) Sources() []*api.StreamSourceInfo {
	var list []*api.StreamSourceInfo
	for _, f := range s.list {
		list = append(list, f.info())
	}
	return list
}

// Idle is the information on an entry that nobody follows here.
func Idle(src *api.StreamSource) *api.StreamSourceInfo {
	return &api.StreamSourceInfo{
		Name: src.Name, External: src.External, Active: -1,
		FilterSubject: src.FilterSubject, SubjectTransforms: src.SubjectTransforms,
	}
}
